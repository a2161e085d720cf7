"""The queue between decoders and scorers: bounded, fair by stream, giving out batches."""

import threading
from collections import deque
from dataclasses import dataclass
from typing import Generic, TypeVar

from stream.clock import Clock

Item = TypeVar("Item")


@dataclass(frozen=True)
class _Held(Generic[Item]):
    item: Item
    since_s: float


class FrameQueue(Generic[Item]):
    """Holds samples until a scorer takes them in batches. Thread-safe.

    Streams take turns, so that one with many samples does not keep the others waiting.

    Args:
        per_stream: Samples held of one stream at most; `put` waits beyond it.
        total: Samples held in all at most.
        clock: Times the wait for a batch to fill.
    """

    def __init__(self, per_stream: int, total: int, clock: Clock) -> None:
        self._per_stream = per_stream
        self._total = total
        self._clock = clock
        self._lanes: dict[str, deque[_Held[Item]]] = {}
        self._turns: deque[str] = deque()
        self._held = 0
        self._closed = False
        self._changed = threading.Condition()

    def put(self, stream_id: str, item: Item) -> bool:
        """Adds a sample, waiting for room (back-pressure); returns False once the queue is closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._has_room(stream_id))
            if self._closed:
                return False
            if stream_id not in self._lanes:
                self._lanes[stream_id] = deque()
                self._turns.append(stream_id)
            self._lanes[stream_id].append(_Held(item, self._clock.monotonic_s()))
            self._held += 1
            self._changed.notify_all()
            return True

    def take(self, max_items: int, max_delay_s: float) -> list[Item]:
        """Waits for a batch: `max_items`, or fewer once the oldest has waited `max_delay_s`.

        Returns:
            The batch, each stream's samples in order; empty once the queue is closed and drained.
        """
        with self._changed:
            while True:
                self._changed.wait_for(lambda: self._held > 0 or self._closed)
                self._wait_for_more(max_items, max_delay_s)
                batch = [self._pop() for _ in range(min(max_items, self._held))]
                if batch or self._closed:
                    self._changed.notify_all()
                    return batch

    def close(self, *, drop: bool = False) -> None:
        """Takes no more samples; with `drop`, forgets those held."""
        with self._changed:
            self._closed = True
            if drop:
                self._lanes.clear()
                self._turns.clear()
                self._held = 0
            self._changed.notify_all()

    def _wait_for_more(self, max_items: int, max_delay_s: float) -> None:
        while 0 < self._held < max_items and not self._closed:
            left_s = max_delay_s - (self._clock.monotonic_s() - self._oldest_s())
            if left_s <= 0 or not self._changed.wait(left_s):
                return

    def _has_room(self, stream_id: str) -> bool:
        return self._held < self._total and len(self._lanes.get(stream_id, ())) < self._per_stream

    def _oldest_s(self) -> float:
        return min(lane[0].since_s for lane in self._lanes.values())

    def _pop(self) -> Item:
        stream_id = self._turns.popleft()
        lane = self._lanes[stream_id]
        item = lane.popleft().item
        self._held -= 1
        if lane:
            self._turns.append(stream_id)
        else:
            del self._lanes[stream_id]
        return item
