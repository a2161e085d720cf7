"""From samples to events: batches scored by a few threads, results put back in stream order.

    Lane.sample --> FrameQueue --> scoring threads --> Lane (in order) --> StreamModeration --> sinks

Scoring threads race, so a stream's results can come back out of order; its lane holds them until their turn.
"""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from stream.clock import Clock
from stream.frames import FrameScores, Missed, Sample, StreamEnd, ViewArray, ViewSpec
from stream.moderation import Outcome, StreamModeration, utc_text
from stream.scoring.batching import FrameQueue


class Scorer(Protocol):
    """A model: views in, scores by label out. Called by several threads at once."""

    @property
    def name(self) -> str:
        """Name of the model."""

    @property
    def view(self) -> ViewSpec:
        """What it wants to see."""

    def score(self, views: Sequence[ViewArray]) -> list[dict[str, float]]:
        """Returns label to score in [0, 1] for each view."""


_Turn: TypeAlias = Callable[[], None]


class Lane:
    """One stream's way through the pipeline. Fed by one thread; results come from any."""

    def __init__(
        self, pipeline: "Pipeline", stream_id: str, moderation: StreamModeration, clock: Clock
    ) -> None:
        self._pipeline = pipeline
        self._stream_id = stream_id
        self._moderation = moderation
        self._clock = clock
        self._given = 0
        self._turns: dict[int, _Turn] = {}
        self._next = 0
        self._lock = threading.Lock()

    def sample(self, sample: Sample) -> None:
        """Queues a sample for scoring; waits for room.

        Raises:
            Exception: Whatever ended the pipeline.
        """
        job = Job(self, self._number(), sample, utc_text(self._clock))
        self._pipeline.submit(self._stream_id, job)

    def missed(self, missed: Missed) -> None:
        """Takes a frame that has no score, in its place."""
        scores = FrameScores(missed.ref, missed.state, {}, missed.frames_between, missed.reason)
        ingested_at = utc_text(self._clock)
        self.take_turn(self._number(), lambda: self._moderation.handle(scores, ingested_at))

    def finish(self, end: StreamEnd) -> Outcome:
        """Waits until everything before is published, ends the stream, and returns what came out.

        Raises:
            Exception: Whatever ended the pipeline.
        """
        outcome: Future[Outcome] = Future()
        self._pipeline.expect(outcome)
        self.take_turn(self._number(), lambda: self._settle(outcome, end))
        return outcome.result()

    def scored(self, job: "Job", scores: FrameScores) -> None:
        """Takes the scores of a job, whenever they come."""
        self.take_turn(job.number, lambda: self._moderation.handle(scores, job.ingested_at))

    def take_turn(self, number: int, turn: _Turn) -> None:
        """Runs `turn` after all with lower numbers, now or in the thread that brings the last of them."""
        with self._lock:
            self._turns[number] = turn
            while (ready := self._turns.pop(self._next, None)) is not None:
                self._next += 1
                ready()

    def _settle(self, outcome: "Future[Outcome]", end: StreamEnd) -> None:
        found = self._moderation.finish(end)
        with suppress(InvalidStateError):  # the pipeline has failed meanwhile
            outcome.set_result(found)

    def _number(self) -> int:
        self._given += 1
        return self._given - 1


@dataclass(frozen=True)
class Job:
    """A sample on its way to be scored."""

    lane: Lane
    number: int
    sample: Sample
    ingested_at: str


class Pipeline:
    """Scores the samples of many streams. Thread-safe.

    Args:
        scorers: The models, all of which see every sample.
        queue: Where samples wait.
        clock: Stamps their arrival.
        threads: Scoring threads.
        max_batch_size: Samples scored in one call at most.
        max_queue_delay_s: Seconds that a sample waits for its batch to fill.
    """

    def __init__(
        self,
        scorers: Sequence[Scorer],
        queue: FrameQueue[Job],
        clock: Clock,
        *,
        threads: int,
        max_batch_size: int,
        max_queue_delay_s: float,
    ) -> None:
        self._scorers = scorers
        self._queue = queue
        self._clock = clock
        self._max_batch_size = max_batch_size
        self._max_queue_delay_s = max_queue_delay_s
        self._failure: BaseException | None = None
        self._expected: set[Future[Outcome]] = set()
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._work, daemon=True) for _ in range(threads)]
        for thread in self._threads:
            thread.start()

    def lane(self, stream_id: str, moderation: StreamModeration) -> Lane:
        """Opens a stream's way through the pipeline."""
        return Lane(self, stream_id, moderation, self._clock)

    def submit(self, stream_id: str, job: Job) -> None:
        """Queues a job; waits for room.

        Raises:
            Exception: Whatever ended the pipeline.
        """
        if not self._queue.put(stream_id, job):
            raise self._failure or RuntimeError("the pipeline is closed")

    def expect(self, outcome: "Future[Outcome]") -> None:
        """Makes `outcome` fail when the pipeline does."""
        with self._lock:
            self._expected.add(outcome)
            if self._failure is not None:
                outcome.set_exception(self._failure)
        outcome.add_done_callback(self._expected.discard)

    def close(self) -> None:
        """Scores what is queued and ends the threads."""
        self._queue.close()
        for thread in self._threads:
            thread.join()

    def _work(self) -> None:
        try:
            while batch := self._queue.take(self._max_batch_size, self._max_queue_delay_s):
                for job, scores in zip(batch, self._score(batch), strict=True):
                    job.lane.scored(job, scores)
        except BaseException as error:  # noqa: BLE001 - a thread ends here; those who wait for results raise it
            self._fail(error)

    def _score(self, batch: Sequence[Job]) -> list[FrameScores]:
        merged: list[dict[str, float]] = [{} for _ in batch]
        for scorer in self._scorers:
            views = [job.sample.views[scorer.view.key] for job in batch]
            for scores, found in zip(merged, scorer.score(views), strict=True):
                scores.update({f"{scorer.name}.{label}": score for label, score in found.items()})
        return [
            FrameScores(job.sample.ref, "scored", scores, job.sample.frames_between)
            for job, scores in zip(batch, merged, strict=True)
        ]

    def _fail(self, error: BaseException) -> None:
        with self._lock:
            self._failure = self._failure or error
            waiting = list(self._expected)
        self._queue.close(drop=True)
        for outcome in waiting:
            with suppress(InvalidStateError):  # it is settled already
                outcome.set_exception(error)
