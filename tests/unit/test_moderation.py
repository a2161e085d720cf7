"""One stream from scores to events: ledger, engine and publisher wired together."""

from datetime import UTC, datetime

import pytest

from stream.clock import ManualClock
from stream.config import Config
from stream.frames import FrameScores, StreamEnd
from stream.moderation import Publisher, StreamModeration, utc_text
from stream.policy.alerts import PolicyEngine
from stream.policy.coverage import Ledger
from tests.support.fakes import MemorySink, frame_ref

ARRIVED = "2026-01-01T00:00:00.000Z"
PARTS = ("scored_s", "skipped_s", "dropped_s", "undecodable_s", "down_s")


class Stream:
    """A stream of samples every second, with its moderation."""

    def __init__(self, coverage_interval_s: float = 10.0) -> None:
        policy = Config().policy
        self.sink = MemorySink()
        self.clock = ManualClock()
        self.moderation = StreamModeration(
            "clip",
            PolicyEngine(policy, "clip", 1.0),
            Ledger("clip", 1.0),
            Publisher([self.sink], self.clock, {"open_nsfw": "open_nsfw@1"}, policy.version),
            coverage_interval_s,
        )

    def score(self, at_s: float, score: float = 0.1) -> None:
        scores = FrameScores(frame_ref(at_s), "scored", {"open_nsfw.nsfw": score}, 24)
        self.moderation.handle(scores, ARRIVED)

    def miss(self, at_s: float) -> None:
        scores = FrameScores(frame_ref(at_s), "undecodable", {}, 24, "damaged")
        self.moderation.handle(scores, ARRIVED)

    def steps(self) -> list[tuple[str, float]]:
        return [(event.transition, event.at_s) for event in self.sink.alerts]

    def stretches(self) -> list[tuple[float, float, bool]]:
        return [(event.start_s, event.end_s, event.final) for event in self.sink.coverage]


@pytest.fixture
def stream() -> Stream:
    return Stream()


def test_coverage_is_published_each_interval_and_at_the_end(stream: Stream) -> None:
    for second in range(25):
        stream.score(second)
    stream.moderation.finish(StreamEnd(25.0, 25.0, 625, 625))
    assert stream.stretches() == [(0.0, 10.0, False), (10.0, 20.0, False), (20.0, 25.0, True)]


def test_a_stretch_is_published_as_soon_as_it_is_settled(stream: Stream) -> None:
    for second in range(10):
        stream.score(second)
    assert stream.stretches() == []
    stream.score(10)
    assert stream.stretches() == [(0.0, 10.0, False)]


def test_the_parts_of_all_stretches_sum_up_to_the_whole(stream: Stream) -> None:
    for second in range(12):
        stream.score(second)
    for second in range(12, 18):
        stream.miss(second)
    stream.score(18)
    outcome = stream.moderation.finish(StreamEnd(30.5, 41.25, 0, 0, "cut short", "truncated"))
    sums = {part: sum(getattr(event, part) for event in stream.sink.coverage) for part in PARTS}
    assert sums == {part: pytest.approx(getattr(outcome.coverage, part)) for part in PARTS}
    assert sum(sums.values()) == pytest.approx(41.25)
    assert sums["undecodable_s"] == pytest.approx(6.0 + 10.75)
    assert sum(event.samples for event in stream.sink.coverage) == outcome.coverage.samples == 13


def test_stretches_adjoin(stream: Stream) -> None:
    for second in (0, 3, 9.5, 27, 28, 51):
        stream.score(second)
    stream.moderation.finish(StreamEnd(60.0, 60.0, 0, 0))
    edges = [(event.start_s, event.end_s) for event in stream.sink.coverage]
    assert [start for start, _ in edges] == [0.0, *(end for _, end in edges[:-1])]


def test_a_jump_over_many_intervals_is_one_stretch(stream: Stream) -> None:
    """A pts from outside may jump by years; it must not ask for millions of events."""
    stream.score(0)
    stream.score(100_000_003)
    stream.score(100_000_015)
    stream.moderation.finish(StreamEnd(100_000_016.0, 9e8, 0, 0))
    assert stream.stretches() == [
        (0.0, 100_000_000.0, False),
        (100_000_000.0, 100_000_010.0, False),
        (100_000_010.0, 9e8, False),
        (9e8, 9e8, True),
    ]


def test_a_stream_without_frames_still_accounts_for_itself(stream: Stream) -> None:
    outcome = stream.moderation.finish(StreamEnd(0.0, 0.0, 0, 0, "not a video", "unreadable"))
    assert stream.stretches() == [(0.0, 0.0, True)]
    assert (outcome.alerts, outcome.coverage.samples) == (0, 0)


def test_the_final_coverage_is_the_last_event(stream: Stream) -> None:
    for second in range(3):
        stream.score(second, 0.9)
    stream.moderation.finish(StreamEnd(3.0, 3.0, 75, 75))
    assert stream.sink.events[-1] == stream.sink.coverage[-1]
    assert stream.sink.coverage[-1].final


def test_scores_above_the_rule_open_and_close_an_alert(stream: Stream) -> None:
    for second, score in enumerate([0.1, 0.9, 0.95, 0.9, 0.1, 0.1, 0.1]):
        stream.score(second, score)
    outcome = stream.moderation.finish(StreamEnd(7.0, 7.0, 175, 175))
    assert stream.steps() == [("opened", 2.0), ("closed", 5.0)]
    assert outcome.alerts == 1


def test_a_frames_event_comes_before_the_alert_that_it_leads_to(stream: Stream) -> None:
    stream.score(0, 0.9)
    stream.score(1, 0.9)
    assert [event.__struct_config__.tag for event in stream.sink.events] == [
        "framewarden.frame.v1",
        "framewarden.frame.v1",
        "framewarden.alert.v1",
    ]
    assert stream.sink.alerts[0].event_id == stream.sink.frames[1].event_id


def test_an_alert_that_is_open_at_the_end_closes_there(stream: Stream) -> None:
    for second in range(3):
        stream.score(second, 0.9)
    stream.moderation.finish(StreamEnd(3.0, 3.0, 75, 75))
    closed = stream.sink.alerts[-1]
    assert (closed.transition, closed.reason, closed.end_s) == ("closed", "end_of_stream", 3.0)


def test_an_event_bears_its_arrival_and_the_time_of_publication(stream: Stream) -> None:
    stream.clock.advance(1.5)
    stream.score(0)
    event = stream.sink.frames[0]
    assert (event.ingested_at, event.published_at) == (ARRIVED, "2026-01-01T00:00:01.500Z")


def test_all_that_is_published_names_the_versions(stream: Stream) -> None:
    for second in range(2):
        stream.score(second, 0.9)
    for event in [*stream.sink.frames, *stream.sink.alerts]:
        assert dict(event.models) == {"open_nsfw": "open_nsfw@1"}
        assert event.policy == Config().policy.version


def test_a_frame_keeps_the_words_of_its_container(stream: Stream) -> None:
    stream.score(1.25)
    event = stream.sink.frames[0]
    assert (event.event_id, event.pts, event.time_base, event.media_time_s) == (
        "clip/0/1250",
        1250,
        "1/1000",
        1.25,
    )


def test_every_sink_gets_every_event() -> None:
    sinks = [MemorySink(), MemorySink()]
    publisher = Publisher(sinks, ManualClock(), {}, "none@0")
    publisher.frame(FrameScores(frame_ref(0.0), "dropped", {}, 0, "too slow"), ARRIVED)
    assert sinks[0].events == sinks[1].events
    assert len(sinks[0].events) == 1


def test_time_is_written_in_utc_to_the_millisecond() -> None:
    clock = ManualClock(datetime(2026, 3, 4, 5, 6, 7, 891_234, UTC))
    assert utc_text(clock) == "2026-03-04T05:06:07.891Z"
