"""A model, a sink and samples in memory, for tests of what lies between decoders and sinks."""

import threading
from collections.abc import Sequence

import numpy as np

from stream.events import AlertEvent, CoverageEvent, Event, FrameEvent
from stream.frames import FrameRef, Missed, Sample, ViewArray, ViewSpec

VIEW = ViewSpec(2, 2, 2, 2)
WAIT_S = 30.0
"""Longer than anything fake takes; only a deadlock waits for it."""


class MemorySink:
    """Keeps what is published."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def publish(self, event: Event) -> None:
        self.events.append(event)

    def flush(self) -> None: ...

    def close(self) -> None: ...

    @property
    def frames(self) -> list[FrameEvent]:
        return [event for event in self.events if isinstance(event, FrameEvent)]

    @property
    def alerts(self) -> list[AlertEvent]:
        return [event for event in self.events if isinstance(event, AlertEvent)]

    @property
    def coverage(self) -> list[CoverageEvent]:
        return [event for event in self.events if isinstance(event, CoverageEvent)]


class FakeModel:
    """A model whose score is the view's first byte over 255.

    Attributes:
        batches: The first bytes of each batch, in the order in which they were begun.
        held: By first byte: an event that the batch with this sample waits for.
        failing: First byte of the sample at which the model fails.
    """

    name = "open_nsfw"
    version = "open_nsfw@1"
    provider = "cpu"
    labels = ("nsfw",)
    view = VIEW

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.held: dict[int, threading.Event] = {}
        self.failing: int | None = None

    def score(self, views: Sequence[ViewArray]) -> list[dict[str, float]]:
        values = [int(view[0, 0, 0]) for view in views]
        self.batches.append(values)
        for value in values:
            if value in self.held:
                assert self.held[value].wait(WAIT_S)
        if self.failing in values:
            raise ArithmeticError(f"no score for {self.failing}")
        return [{"nsfw": value / 255} for value in values]


def frame_ref(at_s: float, stream_id: str = "clip") -> FrameRef:
    """Returns the frame at `at_s` of a stream in milliseconds."""
    return FrameRef(stream_id, 0, round(at_s * 1000), (1, 1000), at_s, True, 64, 36)


def sample(at_s: float, value: int = 0, stream_id: str = "clip") -> Sample:
    """Returns the sample at `at_s` that `FakeModel` scores `value / 255`."""
    return Sample(frame_ref(at_s, stream_id), {VIEW.key: np.full(VIEW.shape, value, np.uint8)}, 24)


def missed(at_s: float, reason: str = "damaged", stream_id: str = "clip") -> Missed:
    """Returns a sample at `at_s` that could not be decoded."""
    return Missed(frame_ref(at_s, stream_id), "undecodable", reason, 24)
