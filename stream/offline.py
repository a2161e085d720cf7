"""Scores files from start to finish: models, workers, sinks and the report around one `FileService`."""

import contextlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Protocol

from stream.clock import SystemClock
from stream.config import Config
from stream.decoding.supervisor import WorkerPool
from stream.events import Event
from stream.output import remove_file
from stream.record import FileRecord
from stream.report import RunFacts, write_report
from stream.scoring.classifier import Classifier, load_classifiers
from stream.service import (
    FileResult,
    FileService,
    decoders_per_file,
    require_signals,
    scoring_threads,
    summarise,
    warm,
)
from stream.sinks.base import Sink
from stream.sinks.jsonl import JsonlSink
from stream.sources.file import FileItem
from stream.summary import FileSummary, max_scores

REPORT_NAME = "report.html"


class Display(Protocol):
    """Shows how far a run is."""

    def started(self, file: str, duration_s: float | None) -> None:
        """A file is open; `duration_s` is its declared length."""

    def advanced(self, file: str, media_time_s: float) -> None:
        """A file is read up to this media time."""

    def finished(self, summary: FileSummary) -> None:
        """A file is done."""


class RecordSink:
    """Collects events by file, for the report and the final table."""

    def __init__(self, files: Sequence[str]) -> None:
        self.records = {file: FileRecord(file) for file in files}

    def publish(self, event: Event) -> None:
        """Adds the event to its file's record."""
        self.records[event.stream_id].add(event)

    def flush(self) -> None:
        """Does nothing: records are in memory."""

    def close(self) -> None:
        """Does nothing: records are in memory."""


@dataclass
class Run:
    """What a run came to.

    Attributes:
        records: One for each file that was dealt with, in the order given.
        left: Files that were not begun or not finished.
        report: Where the report is, None where none was asked for.
        models: Model name to version.
        provider: What the models ran on.
        fallback_reason: Why they did not run on the GPU that was preferred.
    """

    models: Mapping[str, str]
    provider: str
    fallback_reason: str | None
    records: list[FileRecord] = field(default_factory=list)
    left: int = 0
    report: Path | None = None


class OfflineScoring:
    """One run over a list of files.

    Args:
        config: How to score.
        items: What to score.
        out: Folder for events and the report, None for neither.
        display: Shows how far the run is.
        began_s: `time.perf_counter()` at the start of the command; start-up is counted from there.
        command: The command's words, for the report.

    Raises:
        FramewardenError: A model cannot be loaded, or `out` cannot be written to.
    """

    def __init__(
        self,
        config: Config,
        items: Sequence[FileItem],
        out: Path | None,
        display: Display,
        *,
        began_s: float,
        command: Sequence[str] = (),
    ) -> None:
        self._config = config
        self._items = items
        self._out = out
        self._display = display
        self._began_s = began_s
        self._command = tuple(command)
        self._clock = SystemClock()
        self._records = RecordSink([item.name for item in items])
        self._models: list[Classifier] = []
        self._startup_s = 0.0
        self.partial: Run | None = None

    # The listener of the service: called from its threads.

    def started(self, file: str, duration_s: float | None) -> None:
        """A file is open."""
        self._display.started(file, duration_s)

    def advanced(self, file: str, media_time_s: float) -> None:
        """A file is read up to this media time."""
        self._display.advanced(file, media_time_s)

    def finished(self, file: str, result: FileResult) -> None:
        """A file is done."""
        record = self._records.records[file]
        peaks = max_scores(record.peaks, [rule.signal for rule in self._config.policy.rules])
        policy = self._config.policy.version
        summary = summarise(file, result, peaks, self._models, policy, self._startup_s)
        record.finish(summary)
        self._display.finished(summary)

    def run(self) -> Run:
        """Scores everything; an interrupt ends it early, with what was scored so far.

        Raises:
            FramewardenError: Results cannot be written, or a model failed.
            KeyboardInterrupt: After what was scored is written; `partial` then holds it.
        """
        started_at = self._clock.utc()
        with contextlib.ExitStack() as stack:
            decode = self._config.decode
            pool = stack.enter_context(WorkerPool(decode, decoders_per_file(self._config, len(self._items))))
            self._models = load_classifiers(self._config.scoring.models, self._config.scoring)
            warm(self._models, scoring_threads(self._config, self._models))
            require_signals(self._config.policy, {model.name: model.labels for model in self._models})
            sinks: list[Sink] = [self._records]
            if self._out is not None:  # only now: what stops a run at its start leaves earlier results alone
                remove_file(self._out / REPORT_NAME)
                sinks.append(stack.enter_context(contextlib.closing(JsonlSink(self._out))))
            service = FileService(self._config, self._models, sinks, self._clock, pool)
            self._startup_s = time.perf_counter() - self._began_s
            try:
                service.run(self._items, self)
            except KeyboardInterrupt:
                self.partial = self._finish(started_at)
                raise
            return self._finish(started_at)

    def _finish(self, started_at: datetime) -> Run:
        records = [record for record in self._records.records.values() if record.is_finished]
        first = self._models[0]
        run = Run(
            {model.name: model.version for model in self._models},
            first.provider,
            first.fallback_reason,
            records,
            len(self._records.records) - len(records),
        )
        if self._out is not None:
            run.report = self._out / REPORT_NAME
            write_report(run.report, records, self._facts(started_at, run))
        return run

    def _facts(self, started_at: datetime, run: Run) -> RunFacts:
        return RunFacts(
            version=version("framewarden"),
            policy=self._config.policy,
            sampling=self._config.sampling,
            models=run.models,
            provider=run.provider,
            started_at=started_at,
            command=self._command,
        )
