"""The queue between decoders and scorers: bounds, fairness, waiting, closing."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue
from typing import Protocol

import pytest

from stream.clock import ManualClock, SystemClock
from stream.scoring.batching import FrameQueue

SOON_S = 30.0
"""Longer than anything here takes; only a deadlock waits for it."""


def queue_of(*items: tuple[str, str], per_stream: int = 8, total: int = 32) -> FrameQueue[str]:
    """Returns a queue that holds these (stream, sample) pairs."""
    queue: FrameQueue[str] = FrameQueue(per_stream, total, ManualClock())
    for stream_id, item in items:
        assert queue.put(stream_id, item)
    return queue


class Waiting:
    """A call in a thread of its own, which is known to have begun waiting on the queue's condition."""

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, queue: FrameQueue[str], call: Callable[[], object]
    ) -> None:
        self._steps: SimpleQueue[object] = SimpleQueue()
        wait = queue._changed.wait

        def waits(timeout: float | None = None) -> bool:
            self._steps.put("waits")
            return wait(timeout)

        monkeypatch.setattr(queue._changed, "wait", waits)
        threading.Thread(target=lambda: self._steps.put(call()), daemon=True).start()
        assert self.next_step() == "waits"

    def next_step(self) -> object:
        """Returns `waits` or what the call returned."""
        return self._steps.get(timeout=SOON_S)

    def returns(self) -> object:
        while (step := self.next_step()) == "waits":
            pass
        return step


class Wait(Protocol):
    def __call__(self, queue: FrameQueue[str], call: Callable[[], object], /) -> Waiting: ...


@pytest.fixture
def wait(monkeypatch: pytest.MonkeyPatch) -> Wait:
    """Starts a call that must begin by waiting."""
    return lambda queue, call: Waiting(monkeypatch, queue, call)


def test_a_batch_keeps_the_order_of_a_stream() -> None:
    queue = queue_of(("a", "a1"), ("a", "a2"), ("a", "a3"))
    assert queue.take(3, 0.0) == ["a1", "a2", "a3"]


def test_streams_take_turns() -> None:
    queue = queue_of(("a", "a1"), ("a", "a2"), ("a", "a3"), ("b", "b1"), ("c", "c1"), ("b", "b2"))
    assert queue.take(6, 0.0) == ["a1", "b1", "c1", "a2", "b2", "a3"]


def test_turns_go_on_from_batch_to_batch() -> None:
    queue = queue_of(("a", "a1"), ("a", "a2"), ("a", "a3"), ("b", "b1"), ("b", "b2"))
    assert [queue.take(2, 0.0) for _ in range(3)] == [["a1", "b1"], ["a2", "b2"], ["a3"]]


def test_a_batch_has_at_most_as_many_as_asked_for() -> None:
    assert queue_of(("a", "a1"), ("a", "a2")).take(1, 0.0) == ["a1"]


def test_a_stream_waits_beyond_its_bound(wait: Wait) -> None:
    queue = queue_of(("a", "a1"), ("a", "a2"), per_stream=2)
    waiting = wait(queue, lambda: queue.put("a", "a3"))
    assert queue.take(2, 0.0) == ["a1", "a2"]
    assert waiting.returns() is True
    assert queue.take(2, 0.0) == ["a3"]


def test_a_full_stream_does_not_hold_up_another() -> None:
    queue = queue_of(("a", "a1"), per_stream=1)
    assert queue.put("b", "b1")


def test_all_streams_wait_beyond_the_bound_in_all(wait: Wait) -> None:
    queue = queue_of(("a", "a1"), ("b", "b1"), total=2)
    waiting = wait(queue, lambda: queue.put("c", "c1"))
    assert queue.take(1, 0.0) == ["a1"]
    assert waiting.returns() is True


def test_an_empty_queue_is_waited_for(wait: Wait) -> None:
    queue = queue_of()
    waiting = wait(queue, lambda: queue.take(1, 0.0))
    queue.put("a", "a1")
    assert waiting.returns() == ["a1"]


def test_a_batch_that_is_not_full_waits_for_more(wait: Wait) -> None:
    queue = queue_of(("a", "a1"))
    waiting = wait(queue, lambda: queue.take(2, SOON_S))
    queue.put("b", "b1")
    assert waiting.returns() == ["a1", "b1"]


def test_without_a_delay_a_batch_is_what_is_there() -> None:
    assert queue_of(("a", "a1")).take(4, 0.0) == ["a1"]


def test_a_sample_waits_no_longer_than_the_delay_counted_from_its_arrival() -> None:
    clock = ManualClock()
    queue: FrameQueue[str] = FrameQueue(8, 8, clock)
    queue.put("a", "a1")
    clock.advance(60.0)
    queue.put("b", "b1")
    assert queue.take(4, 60.0) == ["a1", "b1"]


def test_the_delay_passes_by_itself() -> None:
    queue: FrameQueue[str] = FrameQueue(8, 8, SystemClock())
    queue.put("a", "a1")
    assert queue.take(4, 0.001) == ["a1"]


def test_a_closed_queue_takes_nothing() -> None:
    queue = queue_of()
    queue.close()
    assert queue.put("a", "a1") is False


def test_closing_gives_out_what_is_held_and_then_nothing() -> None:
    queue = queue_of(("a", "a1"), ("a", "a2"), ("a", "a3"))
    queue.close()
    assert [queue.take(2, SOON_S) for _ in range(3)] == [["a1", "a2"], ["a3"], []]


def test_closing_with_drop_forgets_what_is_held() -> None:
    queue = queue_of(("a", "a1"))
    queue.close(drop=True)
    assert queue.take(1, 0.0) == []


def test_closing_ends_a_wait_for_room(wait: Wait) -> None:
    queue = queue_of(("a", "a1"), per_stream=1)
    waiting = wait(queue, lambda: queue.put("a", "a2"))
    queue.close()
    assert waiting.returns() is False


def test_closing_ends_a_wait_for_samples(wait: Wait) -> None:
    queue = queue_of()
    waiting = wait(queue, lambda: queue.take(1, 0.0))
    queue.close()
    assert waiting.returns() == []


def test_closing_ends_a_wait_for_a_full_batch(wait: Wait) -> None:
    queue = queue_of(("a", "a1"))
    waiting = wait(queue, lambda: queue.take(2, SOON_S))
    queue.close()
    assert waiting.returns() == ["a1"]


def test_only_a_closed_queue_gives_an_empty_batch(wait: Wait) -> None:
    """Scoring threads end at an empty batch, so an open queue must never give one."""
    queue = queue_of(("a", "a1"))
    waiting = wait(queue, lambda: queue.take(2, SOON_S))
    assert queue.take(1, 0.0) == ["a1"]
    assert waiting.next_step() == "waits"


def test_racing_threads_lose_and_repeat_nothing() -> None:
    queue: FrameQueue[int] = FrameQueue(4, 8, SystemClock())

    def put(stream: int) -> None:
        for number in range(200):
            queue.put(str(stream), stream * 1000 + number)

    def take() -> list[int]:
        taken = []
        while batch := queue.take(3, 0.0):
            taken += batch
        return taken

    with ThreadPoolExecutor(7) as threads:
        takers = [threads.submit(take) for _ in range(3)]
        for done in [threads.submit(put, stream) for stream in range(4)]:
            done.result(SOON_S)
        queue.close()
        taken = sorted(number for taker in takers for number in taker.result(SOON_S))
    assert taken == [stream * 1000 + number for stream in range(4) for number in range(200)]
