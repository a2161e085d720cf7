"""From samples to events: the order of a stream whatever races, and failures that reach those who wait."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from stream.clock import ManualClock
from stream.config import Config
from stream.events import Event
from stream.frames import StreamEnd
from stream.moderation import Publisher, StreamModeration
from stream.pipeline import Job, Lane, Pipeline, Scorer
from stream.policy.alerts import PolicyEngine
from stream.policy.coverage import Ledger
from stream.scoring.batching import FrameQueue
from tests.support.fakes import WAIT_S, FakeModel, MemorySink, missed, sample

END = StreamEnd(10.0, 10.0, 250, 250)


class Bench:
    """A pipeline of two scoring threads that take one sample at a time, and all that it needs."""

    def __init__(self, model: FakeModel) -> None:
        self.sink = MemorySink()
        self.clock = ManualClock()
        queue: FrameQueue[Job] = FrameQueue(8, 32, self.clock)
        self.pipeline = Pipeline(
            [model], queue, self.clock, threads=2, max_batch_size=1, max_queue_delay_s=0.0
        )

    def lane(self, stream_id: str = "clip") -> Lane:
        policy = Config().policy
        publisher = Publisher([self.sink], self.clock, {"open_nsfw": "1"}, policy.version)
        engine, ledger = PolicyEngine(policy, stream_id, 1.0), Ledger(stream_id, 1.0)
        return self.pipeline.lane(stream_id, StreamModeration(stream_id, engine, ledger, publisher, 60.0))


@pytest.fixture
def model() -> FakeModel:
    return FakeModel()


@pytest.fixture
def bench(model: FakeModel) -> Iterator[Bench]:
    made = Bench(model)
    yield made
    made.pipeline.close()


def pts_of(sink: MemorySink, stream_id: str = "clip") -> list[int]:
    return [event.pts for event in sink.frames if event.stream_id == stream_id]


def in_time(call: Callable[[], object]) -> object:
    """Returns what `call` returns or raises, and does not wait for a deadlock."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(call).result(WAIT_S)


def test_a_sample_becomes_an_event_with_its_score(bench: Bench) -> None:
    lane = bench.lane()
    lane.sample(sample(0.0, 51))
    lane.finish(END)
    assert [dict(event.scores) for event in bench.sink.frames] == [{"open_nsfw.nsfw": 0.2}]


def test_results_that_overtake_are_published_in_stream_order(bench: Bench, model: FakeModel) -> None:
    model.held[1] = threading.Event()
    lane = bench.lane()
    for number in range(1, 6):
        lane.sample(sample(number, number))
    others = bench.lane("other")
    others.sample(sample(0.0, 9, "other"))
    in_time(lambda: others.finish(END))
    assert [2] in model.batches, "the second was scored before the first"
    assert pts_of(bench.sink) == []

    model.held[1].set()
    in_time(lambda: lane.finish(END))
    assert pts_of(bench.sink) == [1000, 2000, 3000, 4000, 5000]


def test_a_missed_frame_is_published_in_its_place(bench: Bench, model: FakeModel) -> None:
    model.held[1] = threading.Event()
    lane = bench.lane()
    lane.sample(sample(1.0, 1))
    lane.missed(missed(2.0, "a broken slice"))
    lane.sample(sample(3.0, 3))
    assert pts_of(bench.sink) == []

    model.held[1].set()
    in_time(lambda: lane.finish(END))
    assert [(event.pts, event.state, event.reason) for event in bench.sink.frames] == [
        (1000, "scored", None),
        (2000, "undecodable", "a broken slice"),
        (3000, "scored", None),
    ]


def test_a_missed_frame_has_no_score(bench: Bench) -> None:
    lane = bench.lane()
    lane.missed(missed(0.0))
    lane.finish(END)
    assert bench.sink.frames[0].scores == {}


def test_finish_returns_what_came_out_of_the_stream(bench: Bench) -> None:
    lane = bench.lane()
    for second in range(10):
        lane.sample(sample(second, 250))
    outcome = lane.finish(END)
    assert (outcome.alerts, outcome.coverage.samples, outcome.coverage.scored_s) == (1, 10, 10.0)


def test_a_sample_bears_the_time_of_its_arrival_not_of_its_score(bench: Bench, model: FakeModel) -> None:
    model.held[1] = threading.Event()
    lane = bench.lane()
    lane.sample(sample(0.0, 1))
    bench.clock.advance(2.0)
    model.held[1].set()
    in_time(lambda: lane.finish(END))
    event = bench.sink.frames[0]
    assert event.ingested_at == "2026-01-01T00:00:00.000Z"
    assert event.published_at == "2026-01-01T00:00:02.000Z"


def test_every_model_scores_every_sample() -> None:
    class Second(FakeModel):
        name = "second"

    sink, clock = MemorySink(), ManualClock()
    models: list[Scorer] = [FakeModel(), Second()]
    queue: FrameQueue[Job] = FrameQueue(8, 8, clock)
    pipeline = Pipeline(models, queue, clock, threads=1, max_batch_size=4, max_queue_delay_s=0.0)
    publisher = Publisher([sink], clock, {}, "none@0")
    engine = PolicyEngine(Config().policy, "clip", 1.0)
    lane = pipeline.lane("clip", StreamModeration("clip", engine, Ledger("clip", 1.0), publisher, 60.0))
    lane.sample(sample(0.0, 255))
    lane.finish(END)
    pipeline.close()
    assert dict(sink.frames[0].scores) == {"open_nsfw.nsfw": 1.0, "second.nsfw": 1.0}


def test_a_model_that_fails_reaches_who_waits_for_the_end(bench: Bench, model: FakeModel) -> None:
    model.failing = 7
    lane = bench.lane()
    lane.sample(sample(0.0, 7))
    with pytest.raises(ArithmeticError, match="no score for 7"):
        in_time(lambda: lane.finish(END))


def test_a_model_that_fails_reaches_who_waits_already(bench: Bench, model: FakeModel) -> None:
    model.failing = 7
    model.held[7] = threading.Event()
    lane = bench.lane()
    lane.sample(sample(0.0, 7))
    with ThreadPoolExecutor(1) as thread:
        waiting = thread.submit(lane.finish, END)
        model.held[7].set()
        with pytest.raises(ArithmeticError):
            waiting.result(WAIT_S)


def failed(bench: Bench, model: FakeModel) -> None:
    """Makes the pipeline fail, and returns once it has."""
    model.failing = 7
    lane = bench.lane("failing")
    lane.sample(sample(0.0, 7, "failing"))
    with pytest.raises(ArithmeticError):
        in_time(lambda: lane.finish(END))


def test_a_failure_reaches_who_has_more_to_score(bench: Bench, model: FakeModel) -> None:
    failed(bench, model)
    with pytest.raises(ArithmeticError):
        bench.lane().sample(sample(0.0, 1))


def test_a_failure_reaches_a_stream_that_has_nothing_to_score(bench: Bench, model: FakeModel) -> None:
    failed(bench, model)
    with pytest.raises(ArithmeticError):
        in_time(lambda: bench.lane().finish(END))


def test_a_failure_ends_a_wait_for_room(bench: Bench, model: FakeModel) -> None:
    model.failing = 7
    model.held[7] = threading.Event()
    lane = bench.lane()

    def feed_until_refused() -> None:
        while True:
            lane.sample(sample(0.0, 7))

    with ThreadPoolExecutor(1) as thread:
        feeding = thread.submit(feed_until_refused)
        model.held[7].set()
        with pytest.raises(ArithmeticError):
            feeding.result(WAIT_S)


def test_a_sink_that_fails_reaches_who_waits(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: Event) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(bench.sink, "publish", refuse)
    lane = bench.lane()
    lane.sample(sample(0.0, 1))
    with pytest.raises(OSError, match="disk full"):
        in_time(lambda: lane.finish(END))


def test_closing_scores_what_is_queued(bench: Bench) -> None:
    lane = bench.lane()
    for number in range(6):
        lane.sample(sample(number, number))
    bench.pipeline.close()
    assert pts_of(bench.sink) == [0, 1000, 2000, 3000, 4000, 5000]


def test_a_closed_pipeline_refuses_samples(bench: Bench) -> None:
    bench.pipeline.close()
    with pytest.raises(RuntimeError, match="closed"):
        bench.lane().sample(sample(0.0))


def test_many_streams_at_once_keep_their_orders(bench: Bench) -> None:
    def run(stream_id: str) -> None:
        lane = bench.lane(stream_id)
        for number in range(100):
            lane.sample(sample(number / 10, number, stream_id))
        lane.finish(END)

    names = ["a", "b", "c", "d"]
    with ThreadPoolExecutor(4) as threads:
        for done in [threads.submit(run, name) for name in names]:
            done.result(WAIT_S)
    assert all(pts_of(bench.sink, name) == [number * 100 for number in range(100)] for name in names)
