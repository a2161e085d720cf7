import pytest

from stream.events import CoverageSpan
from stream.record import FileRecord
from tests.support.records import SIGNAL, alert_event, coverage_event, file_record, frame_event


def test_scores_are_kept_by_signal() -> None:
    record = file_record(events=[frame_event(0.0, 0.1), frame_event(1.0, 0.8)])
    assert record.timelines[SIGNAL].points == [(0.0, 0.1), (1.0, 0.8)]
    assert record.peaks == {SIGNAL: 0.8}


def test_of_an_alert_the_last_step_is_kept() -> None:
    opened = alert_event(1.0, 2.0, transition="opened", reason=None)
    closed = alert_event(1.0, 9.0)
    assert file_record(events=[opened, closed]).alerts == [closed]


def test_alerts_beyond_the_limit_are_counted_once() -> None:
    record = FileRecord("clip.mp4")
    for second in range(202):
        record.add(alert_event(float(second), second + 0.5, transition="opened"))
        record.add(alert_event(float(second), second + 0.5))
    assert (len(record.alerts), record.alerts_left_out) == (200, 2)


def test_time_skipped_on_purpose_is_not_blind() -> None:
    assert file_record(events=[coverage_event(CoverageSpan(0.0, 1.0, "skipped"))]).blind_spans == []


def test_a_blind_span_that_goes_on_in_the_next_coverage_event_is_one() -> None:
    first = coverage_event(CoverageSpan(50.0, 60.0, "undecodable", "bad data"))
    second = coverage_event(CoverageSpan(60.0, 70.0, "undecodable", "more bad data"))
    assert file_record(events=[first, second]).blind_spans == [
        CoverageSpan(50.0, 70.0, "undecodable", "bad data")
    ]


def test_blind_spans_of_different_causes_stay_apart() -> None:
    spans = [CoverageSpan(0.0, 1.0, "undecodable", "bad data"), CoverageSpan(1.0, 2.0, "down", "killed")]
    assert file_record(events=[coverage_event(*spans)]).blind_spans == spans


def test_blind_spans_beyond_the_limit_are_counted() -> None:
    spans = [CoverageSpan(2.0 * number, 2.0 * number + 1, "down", "killed") for number in range(203)]
    record = file_record(events=[coverage_event(*spans)])
    assert (len(record.blind_spans), record.blind_spans_left_out) == (200, 3)


def test_a_record_that_is_not_finished_says_so() -> None:
    with pytest.raises(ValueError, match=r"clip\.mp4: the record has no summary yet"):
        _ = FileRecord("clip.mp4").summary
