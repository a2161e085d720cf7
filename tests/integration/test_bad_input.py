"""Files that are damaged, lie or attack: each ends with a stable code, and the next file is read as ever."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from stream.config import Decode, Sampling
from stream.decoding.supervisor import WorkerPool
from stream.frames import Missed, Sample, StreamEnd, ViewSpec
from stream.sources.file import find_files
from tests.support import bombs, damage, stills
from tests.support.media import write_clip
from tests.support.picture import CENTRE_224_OF_256, read_number

VIEW = ViewSpec(256, 256, 224, 224)
EVERY_FRAME = Sampling(mode="all")
EVERY_SECOND = Sampling(every=1.0)


class Reading:
    """What came out of one file."""

    def __init__(self, pool: WorkerPool, path: Path, sampling: Sampling = EVERY_SECOND) -> None:
        messages = list(pool.read(path, "file", [VIEW], sampling))
        self.samples = [message for message in messages if isinstance(message, Sample)]
        self.missed = [message for message in messages if isinstance(message, Missed)]
        end = messages[-1]
        assert isinstance(end, StreamEnd)
        self.end = end

    @property
    def numbers(self) -> list[int | None]:
        """The number in each sample."""
        return [read_number(sample.views[VIEW.key], shown=(CENTRE_224_OF_256,)) for sample in self.samples]

    @property
    def times_s(self) -> list[float]:
        """Media time of all that was chosen, scored or not."""
        return sorted(item.ref.media_time_s for item in [*self.samples, *self.missed])


@pytest.fixture(scope="module")
def pool() -> Iterator[WorkerPool]:
    with WorkerPool(Decode(progress_timeout_s=20.0), threads_per_file=2) as pool:
        yield pool


@pytest.fixture
def good(tmp_path: Path) -> Path:
    """A file that can be read: 50 frames in 2 s."""
    return write_clip(tmp_path / "good.mp4").path


def assert_works(pool: WorkerPool, good: Path) -> None:
    reading = Reading(pool, good)
    assert (reading.numbers, reading.end.code) == ([0, 25], None)


# No file, or none that holds a picture.


NO_VIDEO: dict[str, tuple[Callable[[Path], Path], str, str]] = {
    "empty": (damage.empty, "clip.mp4", "empty_file"),
    "text": (damage.text, "clip.mp4", "not_media"),
    "text_named_png": (damage.text, "still.png", "not_media"),
    "audio_only": (damage.audio_only, "tone.mp4", "no_video"),
    "audio_only_mkv": (damage.audio_only, "tone.mkv", "no_video"),
    "no_samples": (damage.without_samples, "clip.mp4", "no_frames"),
    "no_moov": (damage.without_moov, "clip.mp4", "not_media"),
}


@pytest.mark.parametrize("name", NO_VIDEO)
def test_a_file_without_video_is_told_as_such(
    pool: WorkerPool, tmp_path: Path, good: Path, name: str
) -> None:
    write, file_name, code = NO_VIDEO[name]
    reading = Reading(pool, write(tmp_path / file_name))

    assert (reading.samples, reading.end.code, reading.end.frames_seen) == ([], code, 0)
    assert reading.end.reason
    assert_works(pool, good)


@pytest.mark.parametrize("write", [damage.hls_playlist, damage.concat_list])
@pytest.mark.parametrize("file_name", ["list.mp4", "list.m3u8", "list.ffconcat"])
def test_a_playlist_does_not_lead_to_another_file(
    pool: WorkerPool, tmp_path: Path, good: Path, write: Callable[[Path, Path], Path], file_name: str
) -> None:
    reading = Reading(pool, write(tmp_path / file_name, good))
    assert (reading.samples, reading.end.code) == ([], "not_media")


def test_a_file_that_is_not_there_is_unreadable(pool: WorkerPool, tmp_path: Path) -> None:
    reading = Reading(pool, tmp_path / "missing.mp4")
    assert (reading.end.code, reading.end.reason) == (
        "unreadable",
        "cannot be opened: No such file or directory",
    )


# Cut files.


@pytest.mark.parametrize("share", [0.3, 0.5, 0.8])
@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("clip.mp4", {"container_options": damage.FAST_START, "bframes": 2}),
        ("clip.mkv", {"bframes": 2}),
        ("clip.flv", {"bframes": 2}),
    ],
)
def test_a_cut_file_gives_what_it_still_holds_and_owns_up_to_the_rest(
    pool: WorkerPool, tmp_path: Path, name: str, settings: dict[str, Any], share: float
) -> None:
    facts = write_clip(tmp_path / name, frames=250, gop=25, **settings)
    reading = Reading(pool, damage.cut(facts.path, tmp_path / f"cut-{name}", share), Sampling(every=0.2))

    read_s = reading.end.end_s
    assert reading.end.code in {"truncated", "demux_error"}
    assert reading.end.declared_end_s == pytest.approx(10.0, abs=0.1)
    assert read_s == pytest.approx(10.0 * share, abs=1.5)
    assert reading.numbers[:-1] == [5 * index for index in range(len(reading.samples) - 1)]
    assert reading.times_s[:-1] == pytest.approx(
        [0.2 * index for index in range(len(reading.times_s) - 1)], abs=0.0011
    )
    assert read_s - reading.samples[-1].ref.media_time_s < 0.5


def test_a_cut_ts_gives_what_it_still_holds(pool: WorkerPool, tmp_path: Path) -> None:
    facts = write_clip(tmp_path / "clip.ts", frames=250, gop=25, bframes=2)
    reading = Reading(pool, damage.cut(facts.path, tmp_path / "cut.ts"), Sampling(every=0.2))

    assert len(reading.samples) > 20
    assert reading.numbers == [5 * index for index in range(len(reading.samples))]
    assert reading.end.end_s - reading.samples[-1].ref.media_time_s < 0.5


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".bmp", ".tiff"])
def test_a_cut_still_is_not_scored(pool: WorkerPool, tmp_path: Path, good: Path, suffix: str) -> None:
    whole = stills.still(tmp_path / f"still{suffix}")
    reading = Reading(pool, damage.cut(whole, tmp_path / f"cut{suffix}"))

    assert reading.samples == []
    assert reading.end.code in {"undecodable", "not_media"}
    assert_works(pool, good)


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".png"])
def test_a_cut_animation_is_incomplete(pool: WorkerPool, tmp_path: Path, good: Path, suffix: str) -> None:
    whole = stills.animation(tmp_path / f"animation{suffix}")
    reading = Reading(pool, damage.cut(whole, tmp_path / f"cut{suffix}", 0.6), EVERY_FRAME)

    assert reading.numbers == list(range(len(reading.samples)))
    assert reading.end.code is not None
    assert_works(pool, good)


# Flipped bits.


FLIPPED: dict[str, dict[str, Any]] = {
    "clip.mp4": {"bframes": 2},
    "clip.mkv": {"bframes": 2, "open_gop": True},
    "clip.ts": {"bframes": 2},
    "mpeg4.mkv": {"codec": "mpeg4"},
    "mpeg4.avi": {"codec": "mpeg4"},
    "av1.mkv": {"codec": "libsvtav1"},
    "mjpeg.mkv": {"codec": "mjpeg", "pix_fmt": "yuvj420p"},
    "mjpeg.avi": {"codec": "mjpeg", "pix_fmt": "yuvj420p"},
    "mpeg2.ts": {"codec": "mpeg2video"},
}


@pytest.mark.parametrize("share", [damage.LIGHT, damage.HEAVY])
@pytest.mark.parametrize("name", FLIPPED)
def test_what_damage_spoils_is_missed_where_it_is(
    pool: WorkerPool, tmp_path: Path, name: str, share: float
) -> None:
    facts = write_clip(tmp_path / name, frames=150, gop=25, **FLIPPED[name])
    damaged = damage.flip_bits(facts.path, tmp_path / f"bad-{name}", start_s=2.2, end_s=2.6, share=share)

    reading = Reading(pool, damaged, EVERY_FRAME)

    in_other_gops = [
        number
        for number, sample in zip(reading.numbers, reading.samples, strict=True)
        if not 1.99 < sample.ref.media_time_s < 2.99
    ]
    assert in_other_gops == [*range(50), *range(75, 150)]
    assert reading.missed
    assert all(1.99 < missed.ref.media_time_s < 2.99 for missed in reading.missed)
    assert reading.times_s == pytest.approx([index / 25 for index in range(150)], abs=0.0011)


@pytest.mark.parametrize("share", [damage.LIGHT, damage.HEAVY])
@pytest.mark.parametrize("name", FLIPPED)
def test_a_frame_that_passes_for_sound_after_damage_is_sound(
    pool: WorkerPool, tmp_path: Path, name: str, share: float
) -> None:
    facts = write_clip(tmp_path / name, frames=150, gop=25, **FLIPPED[name])
    damaged = damage.flip_bits(facts.path, tmp_path / f"bad-{name}", start_s=2.2, end_s=2.6, share=share)

    sound = {sample.ref.pts: sample for sample in Reading(pool, facts.path, EVERY_FRAME).samples}
    seen = Reading(pool, damaged, EVERY_FRAME).samples

    spoilt = [
        sample.ref.media_time_s
        for sample in seen
        if abs(sample.views[VIEW.key].astype(int) - sound[sample.ref.pts].views[VIEW.key].astype(int)).mean()
        > 2
    ]
    assert spoilt == []


def test_a_lost_ts_packet_is_not_silent(pool: WorkerPool, tmp_path: Path) -> None:
    path = write_clip(tmp_path / "clip.ts", frames=150, gop=25).path
    content = path.read_bytes()
    middle = len(content) // 2 // 188 * 188
    path.write_bytes(content[:middle] + content[middle + 5 * 188 :])

    reading = Reading(pool, path, EVERY_FRAME)

    assert reading.missed
    assert all(missed.state == "undecodable" for missed in reading.missed)


# Bombs.


BOMBS: dict[str, Callable[[Path], Path]] = {
    "huge.png": bombs.huge_png,
    "huge.jpg": bombs.huge_jpeg,
    "huge-mjpeg.avi": bombs.huge_mjpeg,
    "huge-mjpeg.mkv": bombs.huge_mjpeg,
    "huge-vp9.webm": bombs.huge_vp9,
    "huge.h264": bombs.huge_h264,
    "flat.png": bombs.flat_still,
    "flat.jpg": bombs.flat_still,
}


@pytest.mark.timeout(20)
@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_refused_and_does_no_harm(pool: WorkerPool, tmp_path: Path, good: Path, name: str) -> None:
    reading = Reading(pool, BOMBS[name](tmp_path / name))

    assert reading.samples == []
    assert reading.end.code is not None or reading.missed
    assert_works(pool, good)


@pytest.mark.parametrize("name", ["huge.png", "huge.jpg", "flat.png", "flat.jpg", "huge.h264"])
def test_a_picture_beyond_max_pixels_is_refused_before_it_is_decoded(
    pool: WorkerPool, tmp_path: Path, name: str
) -> None:
    reading = Reading(pool, BOMBS[name](tmp_path / name))
    assert (reading.end.code, reading.end.frames_decoded) == ("too_large", 0)


@pytest.mark.parametrize("name", ["1x1.png", "1x1.jpg", "1x1.webp", "1x1.gif"])
def test_a_picture_of_one_pixel_is_scored(pool: WorkerPool, tmp_path: Path, name: str) -> None:
    reading = Reading(pool, bombs.pixel(tmp_path / name))
    assert [(sample.ref.width, sample.ref.height) for sample in reading.samples] == [(1, 1)]
    assert reading.end.code is None


@pytest.mark.parametrize(("name", "size"), [("tiny.webm", (1, 1)), ("tiny.mp4", (2, 2))])
def test_a_video_of_hardly_a_pixel_is_scored(
    pool: WorkerPool, tmp_path: Path, name: str, size: tuple[int, int]
) -> None:
    reading = Reading(pool, bombs.pixel_clip(tmp_path / name), EVERY_FRAME)
    assert [(sample.ref.width, sample.ref.height) for sample in reading.samples] == [size] * 3
    assert reading.end.code is None


# Workers that hang or die.


def worker_pids(pool: WorkerPool) -> list[int]:
    return [worker.pid for worker in pool._busy]


@pytest.fixture
def long_clip(tmp_path: Path) -> Path:
    """More than the pipe holds: its worker is in the middle of it when the first sample is here."""
    return write_clip(tmp_path / "long.mp4", frames=300, gop=25).path


def test_a_worker_that_hangs_is_ended(long_clip: Path, good: Path) -> None:
    with WorkerPool(Decode(progress_timeout_s=1.0), threads_per_file=2) as pool:
        messages: list[Any] = []
        for message in pool.read(long_clip, "file", [VIEW], EVERY_FRAME):
            if isinstance(message, Sample) and not any(isinstance(m, Sample) for m in messages):
                os.kill(worker_pids(pool)[0], signal.SIGSTOP)
            messages.append(message)

        end = messages[-1]
        assert (end.code, end.declared_end_s) == ("worker_hung", 12.0)
        assert 0.0 <= end.end_s < 12.0
        assert_works(pool, good)


def test_a_worker_that_is_killed_is_replaced(long_clip: Path, good: Path) -> None:
    with WorkerPool(Decode(), threads_per_file=2) as pool:
        messages: list[Any] = []
        for message in pool.read(long_clip, "file", [VIEW], EVERY_FRAME):
            if isinstance(message, Sample) and not any(isinstance(m, Sample) for m in messages):
                os.kill(worker_pids(pool)[0], signal.SIGKILL)
            messages.append(message)

        end = messages[-1]
        assert (end.code, end.declared_end_s) == ("worker_died", 12.0)
        assert "signal 9" in end.reason
        assert_works(pool, good)


def test_a_fork_server_that_is_killed_is_told_of(long_clip: Path) -> None:
    with WorkerPool(Decode(), threads_per_file=2) as pool:
        pool._server._process.kill()
        pool._server._process.wait()
        reading = Reading(pool, long_clip)
    assert reading.end.code == "forkserver_died"


def test_an_interrupt_ends_a_reading_at_once(long_clip: Path) -> None:
    with WorkerPool(Decode(), threads_per_file=2) as pool:
        reading = pool.read(long_clip, "file", [VIEW], EVERY_FRAME)
        next(iter(reading))
        pool.interrupt()
        end = list(reading)[-1]
    assert isinstance(end, StreamEnd)
    assert end.code == "worker_died"


def test_closing_a_pool_leaves_no_process(long_clip: Path) -> None:
    with WorkerPool(Decode(), threads_per_file=2) as pool:
        server = pool._server._process.pid
        reading = pool.read(long_clip, "file", [VIEW], EVERY_FRAME)
        next(iter(reading))
        pids = [server, *worker_pids(pool)]
    reading.close()
    assert len(pids) == 2
    assert [pid for pid in pids if Path(f"/proc/{pid}").exists()] == []


@pytest.mark.parametrize("name", ["clip.mp4", "clip.h264"])
@pytest.mark.parametrize("threads", [1, 16, 64])
def test_any_number_of_threads_that_the_configuration_allows_works(
    tmp_path: Path, name: str, threads: int
) -> None:
    clip = write_clip(tmp_path / name).path
    with WorkerPool(Decode(), threads_per_file=threads) as pool:
        assert_works(pool, clip)


def test_a_worker_stays_below_its_memory_limit(tmp_path: Path, good: Path) -> None:
    picture = bombs.flat_still(tmp_path / "flat.png")
    with WorkerPool(Decode(memory_mib=256, max_pixels=300_000_000), threads_per_file=1) as pool:
        reading = Reading(pool, picture)
        assert reading.samples == []
        assert reading.end.code in {"out_of_memory", "worker_died", "undecodable"}
        assert_works(pool, good)


# What names lead to.


def test_what_is_no_regular_file_is_never_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.mp4")
    items = find_files([str(tmp_path / "pipe.mp4"), "/dev/zero"])
    assert [(item.code, item.problem) for item in items] == [
        ("not_a_file", "expected a file, found a named pipe"),
        ("not_a_file", "expected a file, found a device"),
    ]


def test_a_file_named_twice_is_there_once(good: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(good.parent)
    names = [str(good), "good.mp4", "./good.mp4", str(good.parent), "*.mp4"]
    assert [item.name for item in find_files(names)] == [str(good)]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give up being who may read everything")
def test_a_file_that_may_not_be_read_is_unreadable(tmp_path: Path, good: Path) -> None:
    good.chmod(0o000)
    read_as_nobody = (
        "import os, sys; from pathlib import Path\n"
        "from stream.config import Decode, Sampling\n"
        "from stream.decoding.supervisor import WorkerPool\n"
        "with WorkerPool(Decode(), 1) as pool:\n"
        "    os.setresuid(65534, 65534, 65534)\n"
        "    end = list(pool.read(Path(sys.argv[1]), 'file', [], Sampling()))[-1]\n"
        "    print(end.code, '|', end.reason)\n"
    )
    os.chmod(tmp_path, 0o755)  # noqa: PTH101 - the folders above are the test runner's
    done = subprocess.run(
        [sys.executable, "-c", read_as_nobody, str(good)], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("unreadable | cannot be opened: Permission denied")


def test_two_readings_at_once_do_not_mix(tmp_path: Path) -> None:
    clips = [write_clip(tmp_path / f"{first}.mp4", first_number=first).path for first in (0, 100, 200)]
    readings: dict[Path, Reading] = {}
    with WorkerPool(Decode(), threads_per_file=1) as pool:
        threads = [
            threading.Thread(target=lambda clip=clip: readings.update({clip: Reading(pool, clip)}))
            for clip in clips
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert [readings[clip].numbers for clip in clips] == [[0, 25], [100, 125], [200, 225]]


def test_a_break_within_a_long_gop_hides_nothing(pool: WorkerPool, tmp_path: Path) -> None:
    """600 frames of one GOP, and then a recording that lacks its beginning: its pts go back, no keyframe."""
    tick = Fraction(1, 90_000)
    parts = [
        write_clip(
            tmp_path / f"{start_s}.ts",
            gop=10_000,
            size=(160, 120),
            pts=[90_000 * start_s + 3600 * index for index in range(frames)],
            time_base=tick,
        ).path.read_bytes()
        for start_s, frames in ((100, 600), (10, 100))
    ]
    path = tmp_path / "joined.ts"
    path.write_bytes(parts[0] + parts[1][len(parts[1]) // 4 // 188 * 188 :])

    reading = Reading(pool, path)

    assert reading.end.end_s >= 24.0
    assert reading.times_s[:24] == pytest.approx(range(24), abs=0.0011)
    assert reading.numbers[:24] == list(range(0, 600, 25))
