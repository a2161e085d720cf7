"""How much memory a process and everything it started held at most."""

import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Final, Self

_PROC: Final = Path("/proc")
_INTERVAL_S: Final = 0.05
_MOST_OF_A_CORE: Final = 0.02
"""Reading a large process's page tables takes milliseconds, which a runner on few cores would feel."""


class PeakMemory:
    """Samples a tree of processes from a thread, from entering to leaving the `with` block.

    A page that processes share counts once (PSS), so that forked workers are not charged for their parent.
    """

    def __init__(self, pid: int) -> None:
        self.peak_mb = 0.0
        self._pid = pid
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="peak-memory", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        pause_s = 0.0
        while not self._stop.wait(pause_s):
            started = time.thread_time()
            self.peak_mb = max(self.peak_mb, tree_mb(self._pid))
            pause_s = max(_INTERVAL_S, (time.thread_time() - started) / _MOST_OF_A_CORE)


def tree_mb(root: int) -> float:
    """Returns what the process, its session and its descendants hold now, in MB of 10^6 bytes."""
    return sum(_memory_kib(pid) for pid in tree(root)) * 1024 / 1e6


def tree(root: int) -> set[int]:
    """Returns the ids of the process, of those in the session it leads, and of all descendants of these."""
    parents = {pid: stat for pid in _processes() if (stat := _parent_and_session(pid))}
    members = {pid for pid, (_, session) in parents.items() if root in (pid, session)}
    while more := {pid for pid, (parent, _) in parents.items() if parent in members} - members:
        members |= more
    return members


def _processes() -> list[int]:
    return [int(entry.name) for entry in _PROC.iterdir() if entry.name.isdecimal()]


def _parent_and_session(pid: int) -> tuple[int, int] | None:
    text = _read(pid, "stat")
    fields = text[text.rfind(")") + 1 :].split()  # the name before it may hold spaces and brackets
    return (int(fields[1]), int(fields[3])) if len(fields) > 3 else None


def _memory_kib(pid: int) -> int:
    """Returns the proportional set size, or the resident one where the kernel does not show the former."""
    return _field_kib(_read(pid, "smaps_rollup"), "Pss:") or _field_kib(_read(pid, "status"), "VmRSS:")


def _field_kib(text: str, name: str) -> int:
    return next((int(line.split()[1]) for line in text.splitlines() if line.startswith(name)), 0)


def _read(pid: int, name: str) -> str:
    try:
        return (_PROC / str(pid) / name).read_text()
    except OSError:  # it ended meanwhile, or hides from us
        return ""
