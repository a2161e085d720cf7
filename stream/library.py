"""Framewarden as a library: the command's engine behind a few calls.

import stream

for event in stream.score("clip.mp4"):
    print(event.media_time_s, event.scores)
"""

import contextlib
import os
import threading
from collections.abc import Generator, Mapping
from queue import Queue
from types import TracebackType
from typing import Self, TypeAlias

from PIL import Image

from stream.clock import SystemClock
from stream.config import Config
from stream.decoding.resizing import pillow_view
from stream.decoding.supervisor import WorkerPool
from stream.errors import SourceError
from stream.events import AlertEvent, CoverageEvent, Event, FrameEvent
from stream.frames import ViewArray
from stream.scoring.classifier import load_classifiers
from stream.service import FileResult, FileService, decoders_per_file, scoring_threads, warm
from stream.sources.file import FileItem, find_files

PathLike: TypeAlias = str | os.PathLike[str]
_WAITING_EVENTS = 64


class Moderator:
    """Scores files and frames with models that stay loaded. Use it as a context manager.

    One call of `score` or `events` at a time; `score_frame` may be called from any thread.

    Args:
        config: How to score; default: what `framewarden score` does without a configuration file.

    Raises:
        ModelNotPulled: A model is not in the cache: run `framewarden models pull`.
        FramewardenError: A model cannot be loaded, or a GPU is required and there is none.
    """

    def __init__(self, config: Config | None = None) -> None:
        self._config = config or Config()
        decode = self._config.decode
        self._pool = WorkerPool(decode, decoders_per_file(self._config, 1))
        try:
            self._models = load_classifiers(self._config.scoring.models, self._config.scoring)
            warm(self._models, scoring_threads(self._config, self._models))
        except BaseException:
            self._pool.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends the child processes."""
        self._pool.close()

    def score(self, path: PathLike) -> Generator[FrameEvent, None, None]:
        """Yields one event a sampled frame, in order, while the file is being read.

        Raises:
            SourceError: After the last event, if the file could not be read to its end; what could not be
                looked at must not pass for clean.
        """
        with contextlib.closing(self.events(path)) as events:
            for event in events:
                if isinstance(event, FrameEvent):
                    yield event

    def events(self, path: PathLike) -> Generator[Event, None, None]:
        """Yields every event of a file: frames, steps of alerts and coverage. Otherwise like `score`."""
        waiting: Queue[Event | FileResult | BaseException] = Queue(_WAITING_EVENTS)
        sink = _QueueSink(waiting)
        service = FileService(self._config, self._models, [sink], SystemClock(), self._pool)
        thread = threading.Thread(target=self._run, args=(service, path, sink), daemon=True)
        thread.start()
        try:
            while isinstance(item := waiting.get(), FrameEvent | AlertEvent | CoverageEvent):
                yield item
            if isinstance(item, BaseException):
                raise item
            if not item.complete:
                code = item.end.code or "undecodable"
                reason = item.end.reason or f"{item.outcome.coverage.blind_s:.2f} s could not be looked at"
                raise SourceError(code, f"{os.fspath(path)}: {reason}")
        finally:
            sink.stop()
            service.stop()
            thread.join()

    def score_frame(self, frame: ViewArray) -> Mapping[str, float]:
        """Returns `model.label` to score in [0, 1] for one picture in memory.

        Args:
            frame: `uint8 [H, W, 3]`, RGB, upright.

        Raises:
            ValueError: The array has another shape or type.
        """
        if frame.ndim != 3 or frame.shape[2] != 3 or frame.dtype != "uint8" or not frame.size:
            raise ValueError(f"expected a frame uint8 [H, W, 3], got {frame.dtype} {list(frame.shape)}")
        picture = Image.fromarray(frame)
        found: dict[str, float] = {}
        for model in self._models:
            (scores,) = model.score([pillow_view(picture, model.view)])
            found.update({f"{model.name}.{label}": score for label, score in scores.items()})
        return found

    def _run(self, service: FileService, path: PathLike, sink: "_QueueSink") -> None:
        try:
            service.run([_only_file(os.fspath(path))], sink)
        except BaseException as error:  # noqa: BLE001 - a thread ends here; the reader of the events raises it
            sink.put(error)


def _only_file(name: str) -> FileItem:
    items = find_files([name])
    if len(items) != 1:
        raise SourceError("not_a_file", f"{name}: expected one file, found {len(items)}")
    return items[0]


class _QueueSink:
    """Hands events to the thread that iterates, and waits for it (back-pressure) until it stops."""

    def __init__(self, waiting: "Queue[Event | FileResult | BaseException]") -> None:
        self._waiting = waiting
        self._stopped = threading.Event()

    def publish(self, event: Event) -> None:
        self.put(event)

    def flush(self) -> None: ...

    def close(self) -> None: ...

    def started(self, file: str, duration_s: float | None) -> None: ...

    def advanced(self, file: str, media_time_s: float) -> None: ...

    def finished(self, file: str, result: FileResult) -> None:  # noqa: ARG002 - there is but one file
        self.put(result)

    def put(self, item: Event | FileResult | BaseException) -> None:
        if not self._stopped.is_set():
            self._waiting.put(item)

    def stop(self) -> None:
        """Drops what is waiting and whatever comes, so that nobody waits for a reader that is gone."""
        self._stopped.set()
        while not self._waiting.empty():
            self._waiting.get_nowait()


def score(path: PathLike, config: Config | None = None) -> Generator[FrameEvent, None, None]:
    """Scores one file and yields one event a sampled frame; see `Moderator.score`.

    Loads the models for this one file: keep a `Moderator` to score many.
    """
    with Moderator(config) as moderator:
        yield from moderator.score(path)


def score_frame(frame: ViewArray, config: Config | None = None) -> Mapping[str, float]:
    """Scores one picture in memory; see `Moderator.score_frame`. Keep a `Moderator` to score many."""
    with Moderator(config) as moderator:
        return moderator.score_frame(frame)
