"""The `framewarden` command as a user runs it: another process, its output and its exit status."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

_TIMEOUT_S: Final = 100.0


@dataclass(frozen=True)
class Ran:
    """What a command left behind."""

    status: int
    stdout: str
    stderr: str

    @property
    def lines(self) -> list[dict[str, Any]]:
        """The lines of stdout, each an object in JSON."""
        return [json.loads(line) for line in self.stdout.splitlines()]


def framewarden(*arguments: str | Path, folder: Path | None = None) -> Ran:
    """Runs `framewarden` with `arguments`, in `folder` if that is given."""
    return run([sys.executable, "-m", "stream", *map(str, arguments)], folder)


def run(command: list[str], folder: Path | None = None) -> Ran:
    """Runs a command that is not in a terminal."""
    done = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, "COLUMNS": "120", "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=_TIMEOUT_S,
    )
    return Ran(done.returncode, done.stdout, done.stderr)


def json_lines(path: Path) -> list[dict[str, Any]]:
    """Returns the objects in a file of JSON lines."""
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def running_below(pid: int) -> set[int]:
    """Returns the processes that descend from `pid` and have not ended."""
    numbers = [int(path.name) for path in Path("/proc").iterdir() if path.name.isdecimal()]
    parents = dict(filter(None, map(_running, numbers)))
    found, generation = set[int](), {pid}
    while generation:
        generation = {child for child, parent in parents.items() if parent in generation}
        found |= generation
    return found


def _running(pid: int) -> tuple[int, int] | None:
    """Returns a process and its parent, None where it has ended."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    state, parent = text.rpartition(")")[2].split()[:2]
    return None if state == "Z" else (pid, int(parent))
