import re
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree as ET

import msgspec
import pytest

from stream.charts import ticks
from stream.config import Policy, Rule, Sampling
from stream.errors import OutputError
from stream.events import CoverageSpan
from stream.record import FileRecord
from stream.report import render_report, sampling_text, write_report
from tests.support.records import (
    POLICY,
    RUN,
    alert_event,
    coverage_event,
    file_record,
    file_summary,
    frame_event,
)

HOSTILE = "<script>alert(1)</script>.mp4"
BLIND = CoverageSpan(30.0, 40.0, "undecodable", "invalid data <b>here</b>")


class Page(HTMLParser):
    """Tags with their attributes, and the text, of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def with_class(self, tag: str, name: str) -> list[dict[str, str | None]]:
        return [
            found for kind, found in self.tags if kind == tag and name in (found.get("class") or "").split()
        ]


def page_of(*records: FileRecord) -> Page:
    return Page(render_report(records, RUN))


def flagged_video(file: str = "clip.mp4") -> FileRecord:
    frames = [frame_event(float(second), 0.9 if 10 <= second < 20 else 0.1) for second in range(60)]
    events = [frame for frame in frames if not 30 <= frame.media_time_s < 40]
    alerts = [alert_event(10.0, 20.0, severity="critical")]
    changes = {"verdict": "flagged_incomplete", "alerts": 1, "blind_s": 10.0, "max_scores": {"nsfw": 0.9}}
    return file_record(file, [*events, *alerts, coverage_event(BLIND)], **changes)


def picture(number: int, **changes: object) -> FileRecord:
    return file_record(f"{number}.jpg", duration_s=0.0, samples=1, scored_s=0.0, **changes)


def charts_in(html: str) -> list[ET.Element]:
    return [
        ET.fromstring(text) for text in re.findall(r'<svg class="chart".*?</svg>\s*</svg>', html, re.DOTALL)
    ]


def test_the_header_counts_verdicts() -> None:
    words = " ".join(page_of(flagged_video(), picture(1), picture(2)).text.split())
    assert "1 ▲◐ flagged, incomplete 0 ▲ flagged 0 ◐ incomplete 0 ✕ unreadable 2 ✓ clean" in words


def test_files_that_need_a_person_stand_first() -> None:
    text = page_of(picture(1), picture(2, verdict="unreadable"), picture(3, verdict="flagged")).text
    assert text.index("3.jpg") < text.index("2.jpg") < text.index("1.jpg")


def test_a_chart_has_score_threshold_alert_and_blind_span() -> None:
    (chart,) = charts_in(render_report([flagged_video()], RUN))
    by_class = {element.get("class"): element for element in chart.iter()}
    assert (by_class["alert"].get("x"), by_class["alert"].get("width")) == ("16.667%", "16.666%")
    assert (by_class["blind"].get("x"), by_class["blind"].get("width")) == ("50.0%", "16.667%")
    assert by_class["threshold-label"].text == "0.8"
    assert by_class["score"].get("d", "").startswith("M0 900L167 900L")


def test_the_score_line_does_not_cross_a_blind_span() -> None:
    (chart,) = charts_in(render_report([flagged_video()], RUN))
    (path,) = [element.get("d", "") for element in chart.iter() if element.get("class") == "score"]
    assert [piece.split("L")[0] for piece in path.split("M")[1:]] == ["0 900", "6667 900"]


def test_a_chart_is_told_in_words() -> None:
    (chart,) = charts_in(render_report([flagged_video()], RUN))
    title, description = chart[0], chart[1]
    assert chart.get("aria-labelledby") == f"{title.get('id')} {description.get('id')}"
    assert title.text == "open_nsfw.nsfw over time"
    assert description.text == (
        "Score of open_nsfw.nsfw from 0:00 to 1:00. Highest 0.900 at 0:10.0. "
        "1 alert: 0:10.0 - 0:20.0. 1 blind span: 0:30.0 - 0:40.0."
    )


def test_alerts_and_blind_spans_are_listed_with_what_is_known_of_them() -> None:
    text = " ".join(page_of(flagged_video()).text.split())
    assert "A1 Severitycritical Rulensfw Span0:10.0 - 0:20.0 Peak0.950 at 0:10.0 Idalert-10" in text
    assert "0:30.0 - 0:40.0 Length10.0 s Causeundecodable Reasoninvalid data <b>here</b>" in text


def test_a_hostile_name_is_text_and_nothing_else() -> None:
    html = render_report([flagged_video(HOSTILE)], msgspec.structs.replace(RUN, command=("score", HOSTILE)))
    assert not [tag for tag, _ in Page(html).tags if tag in {"script", "b"}]
    assert "&lt;script&gt;alert(1)&lt;/script&gt;.mp4" in html


def test_invisible_characters_of_a_name_are_shown() -> None:
    assert "a\\x1b[2J\\u202e\\udcff.mp4" in page_of(file_record("a\x1b[2J\u202e\udcff.mp4")).text


def test_nothing_is_fetched_and_nothing_runs() -> None:
    html = render_report([flagged_video(), picture(1)], RUN)
    assert not re.findall(r"https?://|//[a-z]", html)
    assert not [name for _, attributes in Page(html).tags for name in attributes if name.startswith("on")]
    links = [attributes.get("href") or "" for _, attributes in Page(html).tags if "href" in attributes]
    assert all(link.startswith(("#", "data:")) for link in links)
    policies = [found["content"] for tag, found in Page(html).tags if tag == "meta" and "http-equiv" in found]
    assert policies == ["default-src 'none'; style-src 'unsafe-inline'; img-src data:"]


def test_links_lead_to_sections_that_are_there() -> None:
    page = page_of(flagged_video(), picture(1))
    ids = [found["id"] for _, found in page.tags if "id" in found]
    targets = [found["href"] for tag, found in page.tags if tag == "a"]
    assert targets == ["#file-1"]
    assert "file-1" in ids
    assert len(ids) == len(set(ids))


def test_every_table_column_has_a_header() -> None:
    page = page_of(flagged_video(), picture(1))
    headers = [found for tag, found in page.tags if tag == "th"]
    assert all(found.get("scope") in {"col", "row"} for found in headers)


def test_pictures_are_rows_without_charts() -> None:
    html = render_report([picture(number) for number in range(1000)], RUN)
    assert charts_in(html) == []
    assert html.count('role="rowheader"') == 1001
    assert "1,000 clean files" in html


def test_of_many_videos_the_first_fifty_are_drawn_and_the_rest_is_told() -> None:
    clean = [file_record(f"{number}.mp4", [frame_event(1.0, 0.1)]) for number in range(60)]
    html = render_report([*clean, flagged_video("bad.mp4")], RUN)
    assert len(charts_in(html)) == 50
    assert 'id="file-1"><span class="name">bad.mp4' in html
    assert "11 more videos are only in the table above" in html


def test_the_footer_says_how_it_was_made() -> None:
    text = " ".join(page_of().text.split())
    assert "Samplingone frame every 1 s; a scored frame stands for 1.5 s at most" in text
    assert "open_nsfw 1.0.0" in text
    assert POLICY.version in text
    assert "framewarden score clip.mp4" in text
    assert "2026-01-01 12:00:00 UTC" in text


def test_each_signal_that_a_rule_watches_has_its_chart() -> None:
    rules = tuple(
        Rule(name=name, category=name, signal=f"model.{name}", enter=0.7, exit=0.5)
        for name in ("nsfw", "fake")
    )
    run = msgspec.structs.replace(RUN, policy=Policy(name="two", rules=rules))
    titles = [chart[0].text for chart in charts_in(render_report([flagged_video()], run))]
    assert titles == ["model.nsfw over time", "model.fake over time"]


def test_a_video_of_which_nothing_was_scored_says_so() -> None:
    assert "Nothing was scored. No alerts. No blind spans." in render_report(
        [file_record(max_scores={})], RUN
    )


def test_the_report_of_a_long_video_stays_small() -> None:
    record = FileRecord("day.mp4")
    for second in range(86_400):
        record.add(frame_event(float(second), 0.1))
    record.finish(file_summary("day.mp4", duration_s=86_400.0))
    assert len(render_report([record], RUN)) < 100_000


@pytest.mark.parametrize(
    ("end_s", "texts"),
    [
        (1.0, ["0:00.0", "0:00.2", "0:00.4", "0:00.6", "0:00.8", "0:01.0"]),
        (65.0, ["0:00", "0:10", "0:20", "0:30", "0:40", "0:50", "1:00"]),
        (7200.0, ["0:00", "15:00", "30:00", "45:00", "1:00:00", "1:15:00", "1:30:00", "1:45:00", "2:00:00"]),
    ],
)
def test_the_time_axis_has_round_times(end_s: float, texts: list[str]) -> None:
    assert [tick.text for tick in ticks(end_s)] == texts


@pytest.mark.parametrize(
    ("sampling", "text"),
    [
        (Sampling(every=0.5), "one frame every 0.5 s"),
        (Sampling(mode="nth", every=5), "one frame in 5"),
        (Sampling(mode="keyframe"), "keyframes only"),
        (Sampling(mode="all"), "every frame"),
    ],
)
def test_sampling_is_told_in_words(sampling: Sampling, text: str) -> None:
    assert sampling_text(sampling) == text


def test_a_report_replaces_the_one_before_in_one_step(tmp_path: Path) -> None:
    path = tmp_path / "new" / "report.html"
    write_report(path, [picture(1)], RUN)
    write_report(path, [picture(2)], RUN)
    assert "2.jpg" in path.read_text()
    assert [found.name for found in path.parent.iterdir()] == ["report.html"]


def test_a_report_that_cannot_be_written_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "report.html").mkdir()
    with pytest.raises(OutputError, match=r"report\.html: cannot be written"):
        write_report(tmp_path / "report.html", [picture(1)], RUN)
    assert [found.name for found in tmp_path.iterdir()] == ["report.html"]
