"""Builds what a run needs, in order, and runs it: models warm, then scorers, then workers, then files.

Stopping goes the other way round: no new file, workers ended, what was sampled is scored and published.
"""

import contextlib
import os
import resource
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

from stream.clock import Clock
from stream.config import Config, Policy
from stream.decoding.supervisor import WorkerPool
from stream.errors import ConfigError
from stream.frames import Missed, Sample, StreamEnd, StreamFacts, ViewSpec
from stream.moderation import Outcome, Publisher, StreamModeration
from stream.pipeline import Job, Lane, Pipeline, Scorer
from stream.policy.alerts import PolicyEngine
from stream.policy.coverage import Ledger
from stream.policy.verdict import verdict
from stream.scoring.batching import FrameQueue
from stream.sinks.base import Sink
from stream.sources.file import FileItem
from stream.summary import FileSummary

BLIND_TOLERANCE_S = 0.001
"""Blind seconds that rounding may leave: containers give times in milliseconds or finer."""

QUEUED_PER_STREAM = 16
QUEUED_IN_ALL = 64


class Model(Scorer, Protocol):
    """A scorer that knows its version and what it runs on."""

    @property
    def version(self) -> str:
        """Its full version."""

    @property
    def provider(self) -> str:
        """What it runs on, `cpu` or `cuda`."""

    def warm(self) -> None:
        """Runs a batch of every size that there will be."""

    @property
    def labels(self) -> Sequence[str]:
        """The labels that it gives a score for."""


class Listener(Protocol):
    """Hears of files as they are scored. Called from several threads."""

    def started(self, file: str, duration_s: float | None) -> None:
        """A file is open; `duration_s` is its declared length."""

    def advanced(self, file: str, media_time_s: float) -> None:
        """A file is read up to this media time."""

    def finished(self, file: str, result: "FileResult") -> None:
        """A file is done."""


@dataclass(frozen=True)
class FileResult:
    """What came out of one file, before it is summed up.

    Attributes:
        outcome: Its coverage and the number of its alerts.
        end: How it ended.
        duration_s: Media time that it has, 0 for a still picture, None where it could not be read.
        work_s: Wall-clock seconds from its opening to its last event.
    """

    outcome: Outcome
    end: StreamEnd
    duration_s: float | None
    work_s: float

    @property
    def complete(self) -> bool:
        """Whether all of it was looked at as the sampling promises."""
        return self.end.code is None and self.outcome.coverage.blind_s <= BLIND_TOLERANCE_S


def warm(models: Sequence[Model], threads: int) -> None:
    """Runs every model from as many threads at once as will score.

    What memory that takes is then taken at the start, and not by chance in the middle of a long run.
    """
    with ThreadPoolExecutor(threads) as pool:
        for model in models:
            for done in [pool.submit(model.warm) for _ in range(threads)]:
                done.result()


def scoring_threads(config: Config, models: Sequence[Model]) -> int:
    """Returns how many threads score: one a core on CPUs, one on a GPU."""
    on_gpu = any(model.provider == "cuda" for model in models)
    return config.scoring.threads or (1 if on_gpu else cores())


def decoders_per_file(config: Config, files: int) -> int:
    """Returns how many decoders work on one file: all cores on a single file, one each on many."""
    at_once = min(config.decode.files_at_once or cores(), max(1, files))
    return config.decode.threads_per_file or max(1, round(cores() / at_once))


def allow_descriptors() -> None:
    """Lets this process open as many files as it is allowed to: each file has one open for every decoder."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        wanted = 65_536 if hard == resource.RLIM_INFINITY else hard
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))


def cores() -> int:
    """Returns the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class FileService:
    """Scores files. `run` may be called once.

    Args:
        config: How.
        models: The models, loaded and warm.
        sinks: Where events go.
        clock: Stamps them.
        pool: Reads the files.

    Raises:
        ConfigError: A rule watches a label that no model gives a score for.
    """

    def __init__(
        self, config: Config, models: Sequence[Model], sinks: Sequence[Sink], clock: Clock, pool: WorkerPool
    ) -> None:
        require_signals(config.policy, {model.name: model.labels for model in models})
        self._config = config
        self._clock = clock
        self._pool = pool
        self._views = _distinct_views(models)
        versions = {model.name: model.version for model in models}
        self._publisher = Publisher(sinks, clock, versions, config.policy.version)
        self._pipeline = _pipeline(config, models, clock)
        self._stopping = threading.Event()
        self._failure: BaseException | None = None
        self._has_ended = threading.Semaphore(0)
        self._ended = 0

    def run(self, items: Sequence[FileItem], listener: Listener) -> None:
        """Scores the files, several at a time, and returns when all are done or `stop` was called.

        Raises:
            FramewardenError: Scoring or publishing failed; what was published before stays.
        """
        allow_descriptors()
        todo = iter(items)
        lock = threading.Lock()
        at_once = min(self._config.decode.files_at_once or cores(), max(1, len(items)))
        threads = [
            threading.Thread(target=self._work, args=(todo, lock, listener), daemon=True)
            for _ in range(at_once)
        ]
        for thread in threads:
            thread.start()
        try:
            self._wait_for(threads)
        except KeyboardInterrupt:
            self.stop()
            self._wait_for(threads)
            raise
        finally:
            self._pipeline.close()
        if self._failure is not None:
            raise self._failure

    def _wait_for(self, threads: Sequence[threading.Thread]) -> None:
        """Waits until every thread has ended; a `join` that was interrupted cannot be repeated."""
        while self._ended < len(threads):
            self._has_ended.acquire()
            self._ended += 1

    def stop(self) -> None:
        """Ends the reading of files; what was sampled is still scored and published."""
        self._stopping.set()
        self._pool.interrupt()

    def _work(self, todo: Iterator[FileItem], lock: threading.Lock, listener: Listener) -> None:
        try:
            while not self._stopping.is_set():
                with lock:
                    item = next(todo, None)
                if item is None:
                    return
                listener.finished(item.name, self._score(item, listener))
        except BaseException as error:  # noqa: BLE001 - a thread ends here; `run` raises it
            self._failure = self._failure or error
            self._stopping.set()
        finally:
            self._has_ended.release()

    def _score(self, item: FileItem, listener: Listener) -> FileResult:
        started_s = time.perf_counter()
        sampling = self._config.sampling
        moderation = StreamModeration(
            item.name,
            PolicyEngine(self._config.policy, item.name, sampling.stands_for_s),
            Ledger(item.name, sampling.stands_for_s),
            self._publisher,
            self._config.output.coverage_interval_s,
        )
        lane = self._pipeline.lane(item.name, moderation)
        end = self._read(item, lane, listener)
        outcome = lane.finish(end)
        known = end.frames_seen > 0 or end.declared_end_s > 0
        return FileResult(
            outcome, end, end.declared_end_s if known else None, time.perf_counter() - started_s
        )

    def _read(self, item: FileItem, lane: Lane, listener: Listener) -> StreamEnd:
        if item.problem is not None:
            listener.started(item.name, None)
            return StreamEnd(0.0, 0.0, 0, 0, item.problem, item.code)
        last_s = 0.0
        reading = self._pool.read(item.path, item.name, self._views, self._config.sampling)
        with contextlib.closing(reading):
            for message in reading:
                match message:
                    case StreamEnd() if not self._stopping.is_set() or message.code is None:
                        return message
                    case StreamEnd():
                        break
                    case StreamFacts():
                        listener.started(item.name, message.declared_duration_s)
                        continue
                    case Sample():
                        last_s = message.ref.media_time_s
                        lane.sample(message)
                    case Missed():
                        last_s = message.ref.media_time_s
                        lane.missed(message)
                    case _:
                        last_s = message
                listener.advanced(item.name, last_s)
                if self._stopping.is_set():
                    break
        return StreamEnd(last_s, last_s, 0, 0, "stopped before its end", "interrupted")


def summarise(
    file: str,
    result: FileResult,
    peaks: dict[str, float],
    models: Sequence[Model],
    policy: str,
    startup_s: float,
) -> FileSummary:
    """Returns the summary of one file; `peaks` holds the highest score of each label."""
    coverage = result.outcome.coverage
    return FileSummary(
        file=file,
        verdict=verdict(result.outcome.alerts, coverage.samples, complete=result.complete),
        duration_s=result.duration_s,
        samples=coverage.samples,
        scored_s=coverage.scored_s,
        blind_s=coverage.blind_s,
        max_scores=peaks,
        alerts=result.outcome.alerts,
        models={model.name: model.version for model in models},
        policy=policy,
        startup_s=startup_s,
        work_s=result.work_s,
        reason=result.end.reason or _first_blind_reason(result),
        skipped_s=coverage.skipped_s,
        provider=models[0].provider if coverage.samples else None,
    )


def require_signals(policy: Policy, labels: Mapping[str, Sequence[str]]) -> None:
    """Refuses a rule that could never open an alert, as what it watches is never scored.

    Args:
        policy: The rules.
        labels: Model name to the labels that it gives a score for.

    Raises:
        ConfigError: A rule watches something else.
    """
    signals = [f"{name}.{label}" for name, of_model in labels.items() for label in of_model]
    for rule in policy.rules:
        if rule.signal not in signals:
            raise ConfigError(
                f"rule {rule.name!r} watches {rule.signal!r}, which is never scored; "
                f"expected one of: {', '.join(signals)}"
            )


def _first_blind_reason(result: FileResult) -> str | None:
    spans = result.outcome.coverage.spans
    return next((span.reason for span in spans if span.cause != "skipped" and span.reason), None)


def _distinct_views(models: Sequence[Model]) -> list[ViewSpec]:
    return list({model.view.key: model.view for model in models}.values())


def _pipeline(config: Config, models: Sequence[Model], clock: Clock) -> Pipeline:
    on_gpu = any(model.provider == "cuda" for model in models)
    scoring = config.scoring
    queue: FrameQueue[Job] = FrameQueue(
        max(QUEUED_PER_STREAM, 2 * scoring.max_batch_size),
        max(QUEUED_IN_ALL, 4 * scoring.max_batch_size),
        clock,
    )
    return Pipeline(
        models,
        queue,
        clock,
        threads=scoring_threads(config, models),
        max_batch_size=scoring.max_batch_size if on_gpu else min(scoring.max_batch_size, 4),
        # A batch that waits gains a GPU much and a CPU a twentieth, which waiting would lose again.
        max_queue_delay_s=scoring.max_queue_delay_ms / 1000 if on_gpu else 0.0,
    )
