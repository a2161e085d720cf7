import json

import pytest

from stream.summary import VERDICTS, max_scores, summary_line, verdict_text
from tests.support.records import file_summary


def test_the_line_has_the_documented_keys_in_their_order() -> None:
    assert list(json.loads(summary_line(file_summary()))) == [
        "file", "verdict", "duration_s", "samples", "scored_s", "blind_s", "max_scores", "alerts", "models",
        "policy", "startup_s", "work_s", "reason", "skipped_s", "provider",
    ]  # fmt: skip


def test_scores_and_times_are_rounded() -> None:
    summary = file_summary(max_scores={"nsfw": 0.123456789}, duration_s=10 / 3, work_s=1.23456)
    line = json.loads(summary_line(summary))
    assert (line["max_scores"], line["duration_s"], line["work_s"]) == ({"nsfw": 0.123457}, 3.333333, 1.235)


def test_an_unknown_duration_stays_unknown() -> None:
    assert json.loads(summary_line(file_summary(duration_s=None)))["duration_s"] is None


@pytest.mark.parametrize(
    "name", ["two\nlines.mp4", "\x1b[2J.mp4", "\x9b31m.mp4", "a\u202egpj.mp4", "a\udcff.mp4"]
)
def test_a_hostile_name_stays_on_its_line_and_comes_back_the_same(name: str) -> None:
    line = summary_line(file_summary(name))
    assert line.isprintable()
    assert json.loads(line)["file"] == name


def test_names_in_other_scripts_stay_readable() -> None:
    assert "映画.mp4" in summary_line(file_summary("映画.mp4"))


def test_of_a_label_that_models_share_the_highest_score_counts() -> None:
    peaks = {"a.nsfw": 0.2, "b.nsfw": 0.7}
    assert max_scores(peaks, ["a.nsfw", "b.nsfw", "a.nsfw"]) == {"nsfw": 0.7}


def test_a_label_that_no_rule_watches_is_left_out() -> None:
    assert max_scores({"a.nsfw": 0.2, "a.neutral": 0.9}, ["a.nsfw"]) == {"nsfw": 0.2}


def test_a_label_without_a_score_is_absent_and_not_zero() -> None:
    assert max_scores({}, ["a.nsfw"]) == {}


def test_a_verdict_is_read_as_words() -> None:
    assert [verdict_text(verdict) for verdict in VERDICTS] == [
        "flagged, incomplete", "flagged", "incomplete", "unreadable", "clean",
    ]  # fmt: skip
