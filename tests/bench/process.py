"""Runs one runner as a process of its own and takes its figures from what it prints."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from tests.bench.memory import PeakMemory

_LIMIT_S: Final = 600.0

_ENVIRONMENT: Final = {
    "CUDA_VISIBLE_DEVICES": "",  # what is compared here is the CPU
    "KERAS_BACKEND": "tensorflow",
    "TF_CPP_MIN_LOG_LEVEL": "3",
}


class BenchError(Exception):
    """Something could not be measured; the message says why."""


@dataclass(frozen=True)
class Measurement:
    """One run of one runner."""

    work_s: float
    """From the first byte of the clip to the last score, without start-up and loading of models."""
    samples: int
    max_score: float | None
    """The highest NSFW score; None where nothing was scored."""
    peak_mb: float
    """Of the process and all it started, in 10^6 bytes."""
    wall_s: float
    """The whole process, start-up and loading included."""
    note: str = ""


def measure(command: Sequence[str], limit_s: float = _LIMIT_S) -> Measurement:
    """Runs the command to its end and returns its figures, which are the last JSON object it prints.

    Raises:
        BenchError: It cannot be started, fails, hangs, or prints no figures.
    """
    started = time.perf_counter()
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **_ENVIRONMENT},
            start_new_session=True,
        )
    except OSError as error:
        raise BenchError(f"cannot be started: {error.strerror}") from error
    with process, PeakMemory(process.pid) as memory:
        output, errors = _finish(process, limit_s)
    wall_s = time.perf_counter() - started
    return measurement(_figures(output, errors, process.returncode), memory.peak_mb, wall_s)


def measurement(figures: Mapping[str, Any], peak_mb: float, wall_s: float) -> Measurement:
    """Reads a runner's figures: `work_s`, `samples`, `max_scores` by label or `max_score`, and `note`."""
    return Measurement(
        work_s=float(figures["work_s"]),
        samples=int(figures["samples"]),
        max_score=_max_score(figures),
        peak_mb=peak_mb,
        wall_s=wall_s,
        note=str(figures.get("note", "")),
    )


def last_line(text: str) -> str:
    """Returns the last line with something in it, cut to a length that fits a table."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:160] if lines else "it said nothing"


def _finish(process: "subprocess.Popen[str]", limit_s: float) -> tuple[str, str]:
    try:
        return process.communicate(timeout=limit_s)
    except subprocess.TimeoutExpired as error:
        raise BenchError(f"took longer than {limit_s:.0f} s") from error
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)


def _figures(output: str, errors: str, status: int) -> dict[str, Any]:
    """Returns the last JSON object with figures; a status other than 0 may say that something was found."""
    for line in reversed(output.splitlines()):
        if line.startswith("{") and "work_s" in (figures := json.loads(line)):
            return dict(figures)
    raise BenchError(f"exit status {status}: {last_line(errors or output)}")


def _max_score(figures: Mapping[str, Any]) -> float | None:
    if "max_scores" not in figures:
        return figures.get("max_score")
    nsfw = [score for label, score in _labelled(figures["max_scores"]) if "nsfw" in label.rsplit("/")[-1]]
    return max(nsfw, default=None)


def _labelled(scores: Any, label: str = "") -> list[tuple[str, float]]:
    """Flattens scores that may be nested by model and label to pairs of the whole label and the score."""
    if isinstance(scores, Mapping):
        return [pair for key, inner in scores.items() for pair in _labelled(inner, f"{label}/{key}")]
    return [] if scores is None else [(label, float(scores))]
