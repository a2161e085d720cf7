"""`framewarden score` as a process: exit codes, full disks, signals, and what it leaves behind."""

import json
import os
import resource
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from tests.support import bombs, damage
from tests.support.media import write_clip

EVERYTHING_ALERTS = """
[policy]
name = "everything"
[[policy.rules]]
name = "any"
category = "any"
signal = "open_nsfw.nsfw"
enter = 0.0
exit = 0.0
k = 1
n = 1
"""
SCORE = [sys.executable, "-m", "stream", "score"]


def score(*arguments: str | Path, **settings: Any) -> subprocess.CompletedProcess[str]:
    command = [*SCORE, *map(str, arguments)]
    return subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=60, cwd="/", **settings
    )


def lines_of(path: Path) -> list[dict[str, Any]]:
    """Parses every line; half a line fails."""
    content = path.read_bytes()
    assert content.endswith(b"\n") or not content
    return [json.loads(line) for line in content.splitlines()]


@pytest.fixture(scope="module")
def media(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a good clip, a cut one, and one that takes a while."""
    folder = tmp_path_factory.mktemp("media")
    good = write_clip(folder / "good.mp4", container_options=damage.FAST_START).path
    damage.cut(good, folder / "cut.mp4")
    write_clip(folder / "long.mp4", frames=1500, size=(160, 120))
    return folder


@pytest.fixture
def alerting(tmp_path: Path) -> Path:
    path = tmp_path / "everything.toml"
    path.write_text(EVERYTHING_ALERTS, encoding="utf-8")
    return path


# Exit codes.


def test_0_when_nothing_was_found(media: Path) -> None:
    done = score(media / "good.mp4", "--json")
    assert done.returncode == 0
    assert json.loads(done.stdout)["verdict"] == "clean"


def test_1_when_something_was_found(media: Path, alerting: Path) -> None:
    done = score(media / "good.mp4", "--json", "--config", alerting)
    assert done.returncode == 1
    assert json.loads(done.stdout)["verdict"] == "flagged"


@pytest.mark.parametrize(
    "arguments",
    [
        ["--no-such-option"],
        ["--every", "0"],
        ["--sampling", "nth", "--every", "1.5"],
        ["--model", "no_such_model"],
        ["--config", "/nonexistent.toml"],
    ],
)
def test_2_when_the_command_is_wrong(media: Path, arguments: list[str]) -> None:
    done = score(media / "good.mp4", *arguments)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


def test_2_when_the_configuration_holds_an_unknown_key(media: Path, tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    config.write_text("[sampling]\nevry = 1.0\n", encoding="utf-8")
    done = score(media / "good.mp4", "--config", config)
    assert done.returncode == 2
    assert "did you mean `every`?" in done.stderr


@pytest.mark.parametrize("name", ["missing.mp4", "cut.mp4", "*.nothing"])
def test_3_when_something_was_not_seen(media: Path, name: str) -> None:
    done = score(media / name, media / "good.mp4", "--json")
    assert done.returncode == 3
    assert [json.loads(line)["verdict"] for line in done.stdout.splitlines()][1:] == ["clean"]


def test_4_when_something_was_found_and_something_not_seen(media: Path, alerting: Path) -> None:
    done = score(media / "cut.mp4", "--json", "--config", alerting)
    assert done.returncode == 4
    assert json.loads(done.stdout)["verdict"] == "flagged_incomplete"


# What files come to.


@pytest.mark.parametrize(
    ("write", "name"),
    [
        (damage.empty, "empty.mp4"),
        (damage.text, "text.mp4"),
        (damage.audio_only, "tone.mp4"),
        (damage.without_samples, "no-frames.mp4"),
        (damage.without_moov, "no-moov.mp4"),
        (bombs.huge_png, "huge.png"),
    ],
)
def test_what_cannot_be_read_is_unreadable_and_says_why(
    tmp_path: Path, write: Callable[[Path], Path], name: str
) -> None:
    done = score(write(tmp_path / name), "--json")
    summary = json.loads(done.stdout)
    assert (done.returncode, summary["verdict"], summary["samples"]) == (3, "unreadable", 0)
    assert summary["reason"]


def test_what_a_playlist_names_is_not_read(media: Path, tmp_path: Path) -> None:
    done = score(damage.hls_playlist(tmp_path / "list.mp4", media / "good.mp4"), "--json")
    assert (done.returncode, json.loads(done.stdout)["samples"]) == (3, 0)


def test_an_empty_folder_is_not_clean(tmp_path: Path) -> None:
    assert score(tmp_path).returncode == 3


def test_a_folder_is_scored_file_by_file(media: Path, tmp_path: Path) -> None:
    for name in ("b.mp4", "a.mp4", "notes.txt"):
        (tmp_path / name).write_bytes((media / "good.mp4").read_bytes())
    done = score(tmp_path, "--json")
    assert [json.loads(line)["file"] for line in done.stdout.splitlines()] == [
        str(tmp_path / "a.mp4"),
        str(tmp_path / "b.mp4"),
    ]


def test_a_file_given_twice_is_scored_once(media: Path, tmp_path: Path) -> None:
    done = score(media / "good.mp4", media / "good.mp4", "--json", "--out", tmp_path)
    assert len(done.stdout.splitlines()) == 1
    assert len(lines_of(tmp_path / "events.jsonl")) == 2


def test_a_named_pipe_and_a_device_are_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.mp4")
    done = score(tmp_path / "pipe.mp4", "/dev/zero", "--json")
    assert done.returncode == 3
    assert [json.loads(line)["reason"] for line in done.stdout.splitlines()] == [
        "expected a file, found a named pipe",
        "expected a file, found a device",
    ]


def test_the_cut_part_of_a_file_is_accounted_for(media: Path, tmp_path: Path) -> None:
    done = score(media / "cut.mp4", "--json", "--every", "0.04", "--out", tmp_path)
    summary = json.loads(done.stdout)
    coverage = lines_of(tmp_path / "coverage.jsonl")[-1]

    assert summary["duration_s"] == pytest.approx(2.0, abs=0.05)
    assert summary["scored_s"] + summary["blind_s"] == pytest.approx(summary["duration_s"], abs=0.001)
    assert summary["blind_s"] == pytest.approx(1.0, abs=0.5)
    assert coverage["final"]
    assert coverage["undecodable_s"] == pytest.approx(summary["blind_s"], abs=0.001)


# A disk that is full.


def test_a_full_disk_ends_the_run_with_an_error(media: Path, tmp_path: Path) -> None:
    (tmp_path / "events.jsonl").symlink_to("/dev/full")
    done = score(media / "good.mp4", "--out", tmp_path)
    assert done.returncode == 3
    assert "events.jsonl: cannot be written: No space left on device" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_disk_that_fills_up_leaves_whole_lines(media: Path, tmp_path: Path) -> None:
    done = score(
        media / "long.mp4",
        *("--out", tmp_path, "--sampling", "all"),
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000)),
    )
    assert done.returncode == 3
    assert "File too large" in done.stderr
    events = lines_of(tmp_path / "events.jsonl")
    assert 0 < sum(len(json.dumps(event)) for event in events) < 12_000


# Signals.


class Running:
    """A run in the middle of a long clip: its first event has been read from a pipe in its place."""

    def __init__(self, clip: Path, out: Path) -> None:
        os.mkfifo(out / "events.jsonl")
        self.process = subprocess.Popen(
            [*SCORE, str(clip), "--sampling", "all", "--out", str(out), "--json"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        self.events: BinaryIO = (out / "events.jsonl").open("rb")
        self.first = self.events.readline()

    def descendants(self) -> list[int]:
        """Process ids of the children and of theirs."""
        found = [self.process.pid]
        for pid in found:
            for task in Path(f"/proc/{pid}/task").iterdir():
                found += map(int, (task / "children").read_text().split())
        return found[1:]

    def end(self) -> None:
        self.events.close()
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()


@pytest.fixture
def running(media: Path, tmp_path: Path) -> Iterator[Running]:
    running = Running(media / "long.mp4", tmp_path)
    yield running
    running.end()


def wait_for_end_of(pids: list[int], within_s: float) -> list[int]:
    """Returns those of `pids` that are still running after `within_s` seconds."""
    left = []
    for pid in pids:
        try:
            watched = os.pidfd_open(pid)
        except ProcessLookupError:
            continue
        if not select.select([watched], [], [], within_s)[0]:
            left.append(pid)
        os.close(watched)
    return left


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_keeps_what_was_scored(running: Running, tmp_path: Path, number: int) -> None:
    running.process.send_signal(number)
    events = [json.loads(line) for line in [running.first, *running.events]]
    stdout, stderr = running.process.communicate(timeout=20)

    assert running.process.returncode == 130
    assert b"Traceback" not in stderr
    assert 0 < len(events) < 1500
    assert [event["pts"] for event in events] == sorted(event["pts"] for event in events)
    coverage = lines_of(tmp_path / "coverage.jsonl")[-1]
    assert coverage["final"]
    assert coverage["samples"] == len(events)
    summary = json.loads(stdout)
    assert (summary["verdict"], summary["samples"]) == ("incomplete", len(events))


def test_an_interrupt_of_the_whole_group_leaves_no_process(running: Running) -> None:
    children = running.descendants()
    os.killpg(running.process.pid, signal.SIGINT)  # as Ctrl-C in a terminal does
    running.events.read()
    running.process.communicate(timeout=20)

    assert running.process.returncode == 130
    assert len(children) == 2
    assert wait_for_end_of(children, within_s=2.0) == []


def test_a_second_interrupt_is_immediate(running: Running) -> None:
    children = running.descendants()
    running.process.send_signal(signal.SIGINT)
    running.process.send_signal(signal.SIGINT)
    running.events.read()
    running.process.communicate(timeout=5)

    assert running.process.returncode in {130, -signal.SIGINT}
    assert wait_for_end_of(children, within_s=2.0) == []


def test_a_killed_run_leaves_no_process(running: Running) -> None:
    children = running.descendants()
    running.process.kill()

    assert len(children) == 2
    assert wait_for_end_of(children, within_s=2.0) == []


# Memory.


def peak_pss_kib(*arguments: str | Path) -> int:
    """Returns the largest sum of the processes' proportional set sizes seen during a run."""
    process = subprocess.Popen([*SCORE, *map(str, arguments)], stdout=subprocess.DEVNULL)
    peak = 0
    while True:
        try:
            process.wait(timeout=0.05)
        except subprocess.TimeoutExpired:
            peak = max(peak, _pss_kib(process.pid))
        else:
            assert process.returncode == 0
            return peak


def _pss_kib(pid: int) -> int:
    total, pids = 0, [pid]
    for each in pids:
        try:
            rollup = Path(f"/proc/{each}/smaps_rollup").read_text()
            pids += map(int, Path(f"/proc/{each}/task/{each}/children").read_text().split())
        except OSError:
            continue
        total += next(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:"))
    return total


@pytest.mark.slow
def test_memory_does_not_grow_with_the_length_of_a_clip(tmp_path: Path) -> None:
    short = write_clip(tmp_path / "short.mp4", frames=300, rate=5, gop=10, size=(160, 120)).path
    long = write_clip(tmp_path / "long.mp4", frames=3000, rate=5, gop=10, size=(160, 120)).path
    # How many samples wait at once is chance, and moves one run by a tenth; growth would show in every run.
    shorts = [peak_pss_kib(short, "--json") for _ in range(3)]
    longs = [peak_pss_kib(long, "--json") for _ in range(2)]
    assert min(longs) < 1.1 * max(shorts)
