"""Events as files of JSON lines, one file for each kind: what `framewarden score --out` leaves behind."""

import contextlib
import errno
import fcntl
import io
import os
from pathlib import Path

from stream.errors import OutputError
from stream.events import AlertEvent, CoverageEvent, Event, FrameEvent
from stream.output import errors_of, json_line

FILE_NAMES: dict[type[Event], str] = {
    FrameEvent: "events.jsonl",
    AlertEvent: "alerts.jsonl",
    CoverageEvent: "coverage.jsonl",
}


class JsonlSink:
    """Writes `events.jsonl`, `alerts.jsonl` and `coverage.jsonl` into a folder.

    The folder is made if need be. What an earlier run left in the three files is replaced when the sink is
    made, and only then; every other file in the folder stays. Each event goes to the operating system as one
    whole line, so who reads along sees no halves, and a line that the disk had no room for is taken back.

    Not thread-safe: one publishing thread. `publish` blocks for as long as the disk does.

    Args:
        folder: Where the files go.

    Raises:
        OutputError: The folder or a file in it cannot be made.
    """

    def __init__(self, folder: Path) -> None:
        with errors_of(folder):
            folder.mkdir(parents=True, exist_ok=True)
        self._files: dict[type[Event], _LineFile] = {}
        self._lock = _locked(folder)
        try:
            for kind, name in FILE_NAMES.items():
                self._files[kind] = _LineFile(folder / name)
        except OSError:
            self._let_go()
            raise

    def publish(self, event: Event) -> None:
        """Appends the event to the file of its kind.

        Raises:
            OutputError: The disk is full, or the file cannot be written for another reason.
        """
        self._files[type(event)].write(json_line(event))

    def flush(self) -> None:
        """Returns once everything published is on the disk.

        Raises:
            OutputError: The disk reports that it is not.
        """
        for file in self._files.values():
            file.sync()

    def close(self) -> None:
        """Flushes and closes the files. A second call does nothing.

        Raises:
            OutputError: The disk reports that something is not written; the files are closed nevertheless.
        """
        try:
            self.flush()
        finally:
            self._let_go()

    def _let_go(self) -> None:
        for file in self._files.values():
            file.close()
        self._files.clear()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def _locked(folder: Path) -> int | None:
    """Returns a descriptor that keeps other runs out of `folder`, None where there are no such locks.

    Raises:
        OutputError: Another run is writing there.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        raise OutputError(
            f"{folder}: another run is writing its results there; choose another folder"
        ) from error
    except OSError:  # a network file system without locks
        os.close(descriptor)
        return None
    return descriptor


class _LineFile:
    """A file that holds whole lines, whatever goes wrong. The operating system is its only buffer."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._size_bytes = 0
        with errors_of(path):
            self._file = io.FileIO(path, "w")

    def write(self, line: bytes) -> None:
        """Appends `line` whole, or raises `OutputError` and leaves the file as it was."""
        with errors_of(self._path):
            try:
                self._write_all(line)
            except OSError:
                self._take_back()
                raise
        self._size_bytes += len(line)

    def sync(self) -> None:
        """Returns once what was written is on the disk."""
        with errors_of(self._path):
            try:
                os.fsync(self._file.fileno())
            except OSError as error:
                if error.errno != errno.EINVAL:  # a pipe or a device: there is nothing to sync
                    raise

    def close(self) -> None:
        """Lets go of the file; what must be known of errors, `sync` has told."""
        with contextlib.suppress(OSError):
            self._file.close()

    def _write_all(self, line: bytes) -> None:
        rest = memoryview(line)
        while rest:
            rest = rest[self._file.write(rest) :]

    def _take_back(self) -> None:
        with contextlib.suppress(OSError):
            self._file.truncate(self._size_bytes)
            self._file.seek(self._size_bytes)
