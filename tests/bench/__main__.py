"""Measures the product, what users would take instead, and the floors: same clip, same run.

    .venv/bin/python -m tests.bench            all of it, three rounds
    .venv/bin/python -m tests.bench --quick    a clip of 20 s, one round: tries the bench, measures nothing

The rounds are interleaved, so that what else the machine does hits all runners alike.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tests.bench import machine, report
from tests.bench.clips import ClipSpec, make_clip
from tests.bench.downloads import OPEN_NSFW, fetch
from tests.bench.environments import environment
from tests.bench.process import BenchError, Measurement, measure
from tests.bench.runners import CASES, OWN_PYTHON, RUNNERS, Case, Inputs, Runner

Key = tuple[str, str]
"""Case and runner, by name."""

BUILD: Final = Path("build/bench")


class Session:
    """Runs the runners, and keeps what they measured and why some cannot be."""

    def __init__(self, inputs: Inputs, runners: Sequence[Runner]) -> None:
        self.runs: dict[Key, list[Measurement]] = {}
        self.reasons: dict[Key, str] = {}
        self._inputs = inputs
        self._pythons = {runner.name: self._python(runner) for runner in runners}

    def run(self, case: Case, runner: Runner) -> None:
        """Runs the runner once in the case, unless it has failed there before."""
        key = (case.name, runner.name)
        python = self._pythons[runner.name]
        if isinstance(python, BenchError):
            self.reasons[key] = str(python)
        elif key not in self.reasons:
            self._measure(key, runner.command(python, case, self._inputs))

    def row(self, case: Case, runner: Runner, length_s: float) -> report.Row:
        """Returns the runner's row in the case."""
        key = (case.name, runner.name)
        if key in self.reasons:
            return report.Row(*key, note=f"unavailable: {self.reasons[key]}")
        return report.summarize(*key, self.runs[key], length_s)

    def _measure(self, key: Key, command: list[str]) -> None:
        try:
            run = measure(command)
        except BenchError as error:
            self.reasons[key] = str(error)
            print(f"  {', '.join(key)}: {error}", file=sys.stderr, flush=True)
        else:
            self.runs.setdefault(key, []).append(run)
            print(f"  {', '.join(key)}: {run.work_s:.2f} s", file=sys.stderr, flush=True)

    @staticmethod
    def _python(runner: Runner) -> Path | BenchError:
        try:
            return environment(runner.environment, BUILD / "envs") if runner.environment else OWN_PYTHON
        except BenchError as error:
            return error


def main() -> None:
    """Measures, prints the table, writes `cpu.json` and adds a line to the history."""
    options = _options()
    clip = ClipSpec(length_s=20) if options.quick else ClipSpec()
    runners = [runner for runner in RUNNERS if options.only in runner.name]
    description = machine.describe()
    rows = _measured_rows(clip, runners, options.runs or (1 if options.quick else 3))
    settings = {"clip": clip.file_name, "runs": options.runs or (1 if options.quick else 3)}
    written = report.document(description, settings, rows)
    print(report.table(rows), "", *report.targets(CASES, rows), "", sep="\n")
    print("Against the run before:", *report.changes(written, _history()), sep="\n")
    _write(written)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--quick", action="store_true", help="a clip of 20 s and one round, to try the bench")
    parser.add_argument(
        "--runs", type=int, default=0, help="rounds to take the median of [3; 1 with --quick]"
    )
    parser.add_argument("--only", default="", help="only the runners with this in their name")
    return parser.parse_args()


def _measured_rows(clip: ClipSpec, runners: Sequence[Runner], rounds: int) -> list[report.Row]:
    with tempfile.TemporaryDirectory() as scratch:
        path = make_clip(clip, BUILD / "clips")
        session = Session(Inputs(path, fetch(OPEN_NSFW, BUILD / "clips"), Path(scratch)), runners)
        for number in range(rounds):
            print(f"Round {number + 1} of {rounds}", file=sys.stderr, flush=True)
            for case in CASES:
                for runner in runners:
                    session.run(case, runner)
    rows = [session.row(case, runner, clip.length_s) for case in CASES for runner in runners]
    return report.compare(rows, {case.name: case.expected_samples(clip.frames, clip.rate) for case in CASES})


def _history() -> list[dict[str, object]]:
    path = BUILD / "history.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def _write(written: dict[str, object]) -> None:
    (BUILD / "cpu.json").write_text(json.dumps(written, indent=2) + "\n")
    with (BUILD / "history.jsonl").open("a") as history:
        history.write(json.dumps(written) + "\n")
    print(f"\nWritten to {BUILD / 'cpu.json'}, and a line added to {BUILD / 'history.jsonl'}")


if __name__ == "__main__":
    main()
