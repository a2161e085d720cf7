import io
from pathlib import Path

import pytest
from rich.console import Console

from stream.events import CoverageSpan
from stream.record import FileRecord
from stream.terminal import ScoreDisplay, print_table
from tests.support.records import alert_event, coverage_event, file_record, file_summary, frame_event


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def printed(*records: FileRecord, width: int = 80, report: Path | None = None) -> str:
    file = io.StringIO()
    print_table(records, Console(file=file, width=width, _environ={}), report)
    return file.getvalue()


def on_terminal() -> tuple[Terminal, Console]:
    file = Terminal()
    return file, Console(file=file, width=100, _environ={"TERM": "xterm-256color"})


def test_a_file_has_its_verdict_and_numbers() -> None:
    row = next(line for line in printed(file_record()).splitlines() if "clip.mp4" in line)
    assert row.split() == ["clip.mp4", "clean", "1:00.0", "60", "nsfw", "0.250", "0", "0.0", "s"]


def test_an_alert_has_its_rule_severity_span_and_peak() -> None:
    text = printed(file_record(events=[alert_event(10.0, 20.0)], verdict="flagged", alerts=1))
    row = text[text.index("Alerts\n") :].splitlines()[4]
    assert row.split() == ["clip.mp4", "nsfw", "high", "0:10.0", "-", "0:20.0", "0.950"]


def test_a_blind_span_has_a_line_with_its_reason() -> None:
    record = file_record(events=[coverage_event(CoverageSpan(3.0, 4.5, "undecodable", "invalid data"))])
    assert "clip.mp4: blind 0:03.0 - 0:04.5, undecodable: invalid data\n" in printed(record)


def test_an_unreadable_file_has_a_line_with_its_reason() -> None:
    record = file_record(verdict="unreadable", duration_s=None, max_scores={}, reason="not a video")
    assert "clip.mp4: unreadable: not a video\n" in printed(record)


def test_the_end_counts_verdicts_and_says_where_the_report_is() -> None:
    text = printed(file_record(), file_record("b.mp4", verdict="flagged"), report=Path("out/report.html"))
    assert text.endswith("2 files: 1 flagged; 1 clean\nReport: out/report.html\n")


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("[bold red]x[/].mp4", "[bold red]x[/].mp4"),
        ("a\x1b[2J.mp4", "a\\x1b[2J.mp4"),
        ("a\nb.mp4", "a\\nb.mp4"),
    ],
)
def test_a_hostile_name_is_shown_as_it_is(name: str, shown: str) -> None:
    blind = coverage_event(CoverageSpan(3.0, 4.5, "undecodable", f"reason of {name}"))
    text = printed(file_record(name, [blind]), width=120)
    assert text.count(shown) == 3
    assert "\x1b" not in text


@pytest.mark.parametrize("width", [80, 120])
def test_tables_fit_the_width(width: int) -> None:
    name = "recordings/2026-01/a rather long name of a clip.mp4"
    events = [alert_event(5000.0, 5010.0, severity="critical")]
    changes = {"verdict": "flagged_incomplete", "duration_s": 36_000.0, "samples": 36_000, "blind_s": 1000.0}
    text = printed(file_record(name, events, **changes), width=width)
    assert max(len(line) for line in text.splitlines()) <= width
    assert "10:00:00.0" in text
    assert "1000.0 s" in text


def test_a_pipe_gets_no_escape_sequences() -> None:
    assert "\x1b" not in printed(file_record(verdict="flagged"))


def test_an_ascii_pipe_gets_what_it_can_hold() -> None:
    raw = io.BytesIO()
    file = io.TextIOWrapper(raw, encoding="ascii")
    print_table([file_record("映.mp4")], Console(file=file, width=100, _environ={}))
    file.flush()
    assert b"\\u6620.mp4" in raw.getvalue()


def test_of_many_files_those_that_need_a_person_are_shown() -> None:
    records = [file_record(f"{number}.jpg") for number in range(150)]
    text = printed(*records, file_record("bad.jpg", verdict="flagged"), width=120)
    assert "bad.jpg" in text
    assert "51 more files are not shown here" in text


def test_progress_shows_the_running_file_on_a_terminal() -> None:
    file, console = on_terminal()
    with ScoreDisplay(3, console=console) as display:
        display.started("clip.mp4", 60.0)
        display.advanced("clip.mp4", 30.0)
    assert "clip.mp4" in file.getvalue()
    assert "0 of 3 files" in file.getvalue()


def test_progress_counts_finished_files() -> None:
    file, console = on_terminal()
    with ScoreDisplay(3, console=console) as display:
        display.started("clip.mp4", None)
        display.finished(file_summary())
    assert "1 of 3 files" in file.getvalue()


def test_progress_shows_a_hostile_name_as_it_is() -> None:
    file, console = on_terminal()
    with ScoreDisplay(1, console=console) as display:
        display.started("[bold]\x1b]0;x\x07.mp4", 60.0)
    assert "[bold]\\x1b]0;x\\x07.mp4" in file.getvalue()


def test_progress_is_silent_where_there_is_no_terminal() -> None:
    file = io.StringIO()
    with ScoreDisplay(1, console=Console(file=file, _environ={"FORCE_COLOR": "1"})) as display:
        display.started("clip.mp4", 60.0)
        display.advanced("clip.mp4", 30.0)
        display.finished(file_summary())
    assert not file.getvalue()


def test_progress_is_silent_when_it_is_not_wanted() -> None:
    file, console = on_terminal()
    with ScoreDisplay(1, enabled=False, console=console) as display:
        display.started("clip.mp4", 60.0)
        display.finished(file_summary())
    assert not file.getvalue()


def test_progress_of_a_file_that_is_not_running_changes_nothing() -> None:
    _, console = on_terminal()
    with ScoreDisplay(1, console=console) as display:
        display.advanced("other.mp4", 1.0)


def test_a_frame_event_alone_makes_no_alert_table() -> None:
    assert "Alerts\n" not in printed(file_record(events=[frame_event(1.0, 0.9)]))
