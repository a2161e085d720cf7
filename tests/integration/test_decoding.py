"""The frames that leave a decode worker are those that sampling chooses of all frames, and no others."""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import av
import pytest

from stream.config import Decode, Sampling
from stream.decoding.sampling import Sampler
from stream.decoding.supervisor import WorkerPool
from stream.decoding.views import Viewer
from stream.frames import FrameRef, Missed, Sample, StreamEnd, StreamFacts, ViewSpec
from tests.support import odd_clips, stills
from tests.support.media import ClipFacts, read_number, write_clip
from tests.support.picture import CENTRE_224_OF_256

VIEW = ViewSpec(256, 256, 224, 224)
SAMPLINGS = {
    "every_second": Sampling(every=1.0),
    "every_300_ms": Sampling(every=0.3),
    "every_7th": Sampling(mode="nth", every=7),
    "keyframes": Sampling(mode="keyframe"),
    "all": Sampling(mode="all"),
}
Stretches: TypeAlias = Sequence[ClipFacts]
"""What a file holds, one stretch for each continuous timeline."""


@dataclass(frozen=True)
class Reading:
    """What came out of one file."""

    facts: StreamFacts | None
    samples: list[Sample]
    missed: list[Missed]
    end: StreamEnd

    @property
    def frames(self) -> list[tuple[int | None, float, int, int]]:
        """Number, media time, frames left out before it and epoch of each sample."""
        return [
            (number_in(sample), sample.ref.media_time_s, sample.frames_between, sample.ref.epoch)
            for sample in self.samples
        ]


def number_in(sample: Sample) -> int | None:
    return read_number(sample.views[VIEW.key], shown=(CENTRE_224_OF_256,))


def seen_bytes(sample: Sample) -> bytes:
    return sample.views[VIEW.key].tobytes()


def read(pool: WorkerPool, path: Path, sampling: Sampling) -> Reading:
    messages = list(pool.read(path, "clip", [VIEW], sampling))
    end = messages[-1]
    assert isinstance(end, StreamEnd)
    return Reading(
        next((message for message in messages if isinstance(message, StreamFacts)), None),
        [message for message in messages if isinstance(message, Sample)],
        [message for message in messages if isinstance(message, Missed)],
        end,
    )


def chosen(stretches: Stretches, sampling: Sampling) -> list[tuple[int, float, int, int]]:
    """Returns number, media time, frames left out and epoch of what a sampler takes of every frame."""
    sampler = Sampler(sampling)
    taken, left_out, origin_s = [], 0, 0.0
    for epoch, stretch in enumerate(stretches):
        ends_s = [*stretch.times_s[1:], stretch.times_s[0] + stretch.duration_s]
        for number, time_s, end_s in zip(stretch.numbers, stretch.times_s, ends_s, strict=True):
            media_time_s = origin_s + time_s - stretch.times_s[0]
            is_keyframe = number in stretch.keyframes
            if sampler.keep(media_time_s, is_keyframe=is_keyframe, lasts_s=end_s - time_s):
                taken.append((number, pytest.approx(media_time_s, abs=0.0011), left_out, epoch))
                left_out = 0
            else:
                left_out += 1
        origin_s += stretch.duration_s
    return taken


def assert_whole(reading: Reading, stretches: Stretches, sampling: Sampling) -> None:
    assert reading.frames == chosen(stretches, sampling)
    assert reading.missed == []
    assert (reading.end.code, reading.end.reason) == (None, None)
    assert reading.end.frames_seen == sum(len(stretch.numbers) for stretch in stretches)
    assert reading.end.end_s == pytest.approx(sum(stretch.duration_s for stretch in stretches), abs=0.05)


@pytest.fixture(scope="module")
def pool() -> Iterator[WorkerPool]:
    with WorkerPool(Decode(), threads_per_file=2) as pool:
        yield pool


@pytest.fixture(scope="module")
def media(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Stretches]:
    """Writes each clip once."""
    folder = tmp_path_factory.mktemp("media")
    written: dict[str, Stretches] = {}

    def write(name: str) -> Stretches:
        if name not in written:
            written[name] = CLIPS[name](folder)
        return written[name]

    return write


def continued(stretches: Stretches) -> Stretches:
    """Parts whose clock goes on from one to the next are one stretch."""
    first = stretches[0]
    return [
        ClipFacts(
            first.path,
            sum((stretch.numbers for stretch in stretches), ()),
            sum((stretch.times_s for stretch in stretches), ()),
            sum(stretch.duration_s for stretch in stretches),
            sum((stretch.keyframes for stretch in stretches), ()),
        )
    ]


def animation(path: Path) -> Stretches:
    stills.animation(path)
    numbers = tuple(range(10))
    return [ClipFacts(path, numbers, tuple(number / 10 for number in numbers), 1.0, numbers)]


def gif_clip(path: Path) -> Stretches:
    """Every picture of an animation counts as a keyframe: sampling by keyframe takes them all."""
    facts = odd_clips.gif(path)
    return [ClipFacts(path, facts.numbers, facts.times_s, facts.duration_s, facts.numbers)]


def raw_joined(path: Path) -> Stretches:
    """A raw stream has no clock: its frames are counted."""
    parts = continued(odd_clips.size_change(path))[0]
    times_s = tuple(number / 25 for number in parts.numbers)
    return [dataclasses.replace(parts, times_s=times_s, duration_s=2.0)]


def negative_start(path: Path) -> Stretches:
    """FFmpeg gives no pts below 0 in Matroska: those frames are counted, and the clock begins after them."""
    facts = odd_clips.negative_start_mkv(path)
    before = ClipFacts(path, facts.numbers[:10], facts.times_s[:10], 0.4, facts.keyframes)
    return [before, ClipFacts(path, facts.numbers[10:], facts.times_s[10:], 1.6, ())]


def edit_list(path: Path) -> Stretches:
    """The first frame that is shown stands for the keyframe that the edit list hides."""
    return [dataclasses.replace(odd_clips.edit_list_mp4(path), keyframes=(10,))]


CLIPS: dict[str, Callable[[Path], Stretches]] = {
    **{
        name: lambda folder, name=name: [odd_clips.codec_clip(folder, name)]  # type: ignore[misc]
        for name in odd_clips.CODEC_CLIPS
    },
    "b_frames_mkv": lambda folder: [write_clip(folder / "b.mkv", gop=15, bframes=3)],
    "b_frames_ts": lambda folder: [write_clip(folder / "b.ts", gop=15, bframes=3)],
    "b_frames_flv": lambda folder: [write_clip(folder / "b.flv", gop=15, bframes=3)],
    "b_frames_mpeg4": lambda folder: [write_clip(folder / "b-mpeg4.mkv", gop=15, bframes=2, codec="mpeg4")],
    "b_frames_mpeg2": lambda folder: [
        write_clip(folder / "b-mpeg2.ts", gop=15, bframes=2, codec="mpeg2video")
    ],
    "fragmented_mp4": lambda folder: [
        write_clip(
            folder / "fragmented.mp4",
            gop=10,
            bframes=2,
            container_options={"movflags": "+frag_keyframe+empty_moov"},
        )
    ],
    "with_sound": lambda folder: [write_clip(folder / "sound.mp4", gop=25, bframes=2, audio_s=2.0)],
    "variable_rate_mp4": lambda folder: [odd_clips.variable_rate(folder / "vfr.mp4")],
    "variable_rate_mkv": lambda folder: [odd_clips.variable_rate(folder / "vfr.mkv")],
    "open_gop_h264_mp4": lambda folder: [odd_clips.open_gop(folder / "open.mp4")],
    "open_gop_h264_ts": lambda folder: [odd_clips.open_gop(folder / "open.ts")],
    "open_gop_hevc_mp4": lambda folder: [odd_clips.open_gop(folder / "open-hevc.mp4", "libx265")],
    "open_gop_hevc_mkv": lambda folder: [odd_clips.open_gop(folder / "open-hevc.mkv", "libx265")],
    "open_gop_of_uneven_length": lambda folder: [
        write_clip(folder / "uneven.mp4", frames=100, gop=10, bframes=2, open_gop=True)
    ],
    "open_gop_pyramid": lambda folder: [
        write_clip(
            folder / "pyramid.mkv",
            options={
                "x264-params": "keyint=20:scenecut=0:open-gop=1:bframes=5:b-pyramid=normal:ref=6:b-adapt=0"
            },
        )
    ],
    "intra_refresh": lambda folder: [
        write_clip(
            folder / "refresh.mp4",
            gop=1000,
            options={"x264-params": "keyint=20:intra-refresh=1:scenecut=0:bframes=0"},
        )
    ],
    "slices": lambda folder: [
        write_clip(folder / "slices.ts", options={"x264-params": "keyint=20:scenecut=0:slices=4:bframes=2"})
    ],
    "single_keyframe": lambda folder: [odd_clips.single_keyframe(folder / "single.mp4", 700)],
    "interlaced": lambda folder: [odd_clips.interlaced(folder / "interlaced.mp4")],
    "rotated_90": lambda folder: [odd_clips.rotated(folder / "90.mp4", 90)],
    "rotated_180": lambda folder: [odd_clips.rotated(folder / "180.mp4", 180)],
    "rotated_270": lambda folder: [odd_clips.rotated(folder / "270.mp4", 270)],
    "odd_size_webm": lambda folder: [odd_clips.odd_size(folder / "odd.webm")],
    "odd_size_mp4": lambda folder: [odd_clips.odd_size(folder / "odd.mp4")],
    "late_start_mp4": lambda folder: [odd_clips.late_start(folder / "late.mp4")],
    "late_start_mkv": lambda folder: [odd_clips.late_start(folder / "late.mkv")],
    "late_start_ts": lambda folder: [odd_clips.late_start(folder / "late.ts")],
    "negative_start": lambda folder: negative_start(folder / "negative.mkv"),
    "edit_list": lambda folder: edit_list(folder / "edited.mp4"),
    "pts_wrap": lambda folder: [odd_clips.ts_pts_wrap(folder / "wrap.ts")],
    "going_back": lambda folder: odd_clips.ts_going_back(folder / "back.ts"),
    "without_pts_h264": lambda folder: [odd_clips.without_pts(folder / "raw.h264")],
    "without_pts_hevc": lambda folder: [odd_clips.without_pts(folder / "raw.hevc")],
    "without_pts_avi": lambda folder: [odd_clips.without_pts(folder / "raw.avi")],
    "size_change_ts": lambda folder: continued(odd_clips.size_change(folder / "size.ts")),
    "size_change_h264": lambda folder: raw_joined(folder / "size.h264"),
    "size_change_hevc": lambda folder: raw_joined(folder / "size.hevc"),
    "size_change_mp4": lambda folder: continued(odd_clips.size_change_mp4(folder / "size.mp4")),
    "gif": lambda folder: gif_clip(folder / "animation.gif"),
    "gif_by_pillow": lambda folder: animation(folder / "pillow.gif"),
    "webp": lambda folder: animation(folder / "animation.webp"),
    "apng": lambda folder: animation(folder / "animation.png"),
}


@pytest.mark.parametrize("sampling", SAMPLINGS.values(), ids=SAMPLINGS.keys())
@pytest.mark.parametrize("name", CLIPS)
def test_exactly_the_frames_that_sampling_chooses_arrive(
    pool: WorkerPool, media: Callable[[str], Stretches], name: str, sampling: Sampling
) -> None:
    stretches = media(name)
    assert_whole(read(pool, stretches[0].path, sampling), stretches, sampling)


WITH_CLOCK = [
    "h264",
    "hevc",
    "hevc_10bit",
    "vp9",
    "av1_mkv",
    "mpeg2",
    "mpeg4",
    "mjpeg",
    "b_frames_mkv",
    "b_frames_mpeg4",
    "b_frames_mpeg2",
    "open_gop_h264_mp4",
    "open_gop_hevc_mkv",
    "interlaced",
    "single_keyframe",
    "rotated_90",
]


@pytest.mark.parametrize("name", WITH_CLOCK)
def test_a_view_is_the_same_to_the_bit_as_that_of_full_decoding(
    pool: WorkerPool, media: Callable[[str], Stretches], name: str
) -> None:
    path = media(name)[0].path
    viewer = Viewer([VIEW])
    with av.open(str(path)) as container:
        container.streams.video[0].thread_count = 1
        full = {frame.pts: viewer.views(frame)[0].tobytes() for frame in container.decode(video=0)}

    samples = read(pool, path, Sampling(mode="nth", every=7)).samples

    assert len(samples) > 1
    assert [sample.ref.pts for sample in samples] == sorted(full)[::7]
    assert [sample.ref.pts for sample in samples if full[sample.ref.pts] != seen_bytes(sample)] == []


@pytest.mark.parametrize("name", ["b_frames_mkv", "open_gop_hevc_mp4", "going_back", "without_pts_h264"])
def test_the_number_of_threads_changes_nothing(media: Callable[[str], Stretches], name: str) -> None:
    path = media(name)[0].path
    readings = []
    for threads in (1, 2, 3):
        with WorkerPool(Decode(), threads_per_file=threads) as pool:
            readings.append(read(pool, path, Sampling(every=0.3)))

    assert readings[0].frames == readings[1].frames == readings[2].frames
    views = [[seen_bytes(sample) for sample in reading.samples] for reading in readings]
    assert views[0] == views[1] == views[2]
    assert readings[0].end == readings[1].end == readings[2].end


LONG: dict[str, tuple[str, dict[str, Any]]] = {
    "mp4": ("long.mp4", {}),
    "mp4_b_frames": ("long-b.mp4", {"bframes": 2, "open_gop": True}),
    "mp4_sound": ("long-sound.mp4", {"audio_s": 100.0}),
    "mp4_fragmented": ("long-f.mp4", {"container_options": {"movflags": "+frag_keyframe+empty_moov"}}),
    "mkv": ("long.mkv", {"bframes": 2}),
    "mkv_without_index": ("long-live.mkv", {"container_options": {"live": "1"}}),
    "ts": ("long.ts", {"bframes": 2}),
    "mp4_hevc_open": ("long-hevc.mp4", {"codec": "libx265", "bframes": 2, "open_gop": True}),
    "mp4_few_keyframes": ("long-few.mp4", {"gop": 160}),
    "mkv_few_keyframes": ("long-few.mkv", {"gop": 160}),
    "mp4_one_keyframe": ("long-one.mp4", {"gop": 500}),
}
"""100 seconds at 5 frames a second: by name, the file's name and what to pass to `write_clip`."""


@pytest.fixture(scope="module")
def long_clip(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], ClipFacts]:
    folder = tmp_path_factory.mktemp("long")
    written: dict[str, ClipFacts] = {}

    def write(name: str) -> ClipFacts:
        if name not in written:
            file_name, settings = LONG[name]
            settings = {"gop": 10, "size": (160, 120), **settings}
            written[name] = write_clip(folder / file_name, frames=500, rate=5, **settings)
        return written[name]

    return write


@pytest.mark.parametrize("every_s", [15.0, 20.0, 33.0])
@pytest.mark.parametrize("name", LONG)
def test_leaping_over_what_nobody_wants_changes_no_frame(
    pool: WorkerPool, long_clip: Callable[[str], ClipFacts], name: str, every_s: float
) -> None:
    facts, sampling = long_clip(name), Sampling(every=every_s)

    reading = read(pool, facts.path, sampling)

    assert [frame[:2] for frame in reading.frames] == [frame[:2] for frame in chosen([facts], sampling)]
    assert [frame[3] for frame in reading.frames] == [0] * len(reading.frames)
    assert all(frame[2] > 0 for frame in reading.frames[1:])
    assert reading.missed == []
    assert (reading.end.code, reading.end.reason) == (None, None)
    assert reading.end.end_s == pytest.approx(facts.duration_s, abs=0.21)


def test_a_sample_carries_where_and_when_it_is_from(pool: WorkerPool, tmp_path: Path) -> None:
    facts = odd_clips.late_start(tmp_path / "late.mkv", start_s=10)

    ref = read(pool, facts.path, Sampling(every=1.0)).samples[1].ref

    assert ref == FrameRef("clip", 0, 11_000, (1, 1000), 1.0, is_keyframe=False, width=320, height=180)


@pytest.mark.parametrize(
    ("name", "size"), [("rotated_90", (180, 320)), ("rotated_180", (320, 180)), ("odd_size_webm", (321, 241))]
)
def test_a_sample_tells_the_size_of_the_upright_picture(
    pool: WorkerPool, media: Callable[[str], Stretches], name: str, size: tuple[int, int]
) -> None:
    ref = read(pool, media(name)[0].path, SAMPLINGS["every_second"]).samples[0].ref
    assert (ref.width, ref.height) == size


def test_the_size_is_that_of_the_frame_and_not_of_the_first_one(
    pool: WorkerPool, media: Callable[[str], Stretches]
) -> None:
    samples = read(pool, media("size_change_mp4")[0].path, SAMPLINGS["every_second"]).samples
    assert [(sample.ref.width, sample.ref.height) for sample in samples] == [(320, 180), (480, 272)]


def test_a_file_is_told_about_before_its_first_frame(pool: WorkerPool, tmp_path: Path) -> None:
    facts = write_clip(tmp_path / "clip.mkv", frames=50)
    first = next(iter(pool.read(facts.path, "clip", [VIEW], Sampling())))
    assert first == StreamFacts("matroska,webm", "h264", 320, 180, 2.0)


def test_sound_that_is_longer_than_the_video_does_not_make_it_a_cut_one(
    pool: WorkerPool, tmp_path: Path
) -> None:
    facts = write_clip(tmp_path / "clip.mp4", frames=50, audio_s=4.0)
    assert_whole(read(pool, facts.path, SAMPLINGS["every_second"]), [facts], SAMPLINGS["every_second"])


def test_a_reading_that_is_given_up_leaves_the_pool_usable(pool: WorkerPool, tmp_path: Path) -> None:
    facts = write_clip(tmp_path / "clip.mp4", frames=500, gop=10)
    given_up = pool.read(facts.path, "clip", [VIEW], SAMPLINGS["all"])
    next(iter(given_up))
    given_up.close()

    assert_whole(read(pool, facts.path, SAMPLINGS["every_second"]), [facts], SAMPLINGS["every_second"])


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp", ".webp", ".tiff"])
def test_a_still_is_one_sample_at_time_0(pool: WorkerPool, tmp_path: Path, suffix: str) -> None:
    reading = read(pool, stills.still(tmp_path / f"still{suffix}"), SAMPLINGS["every_second"])
    assert reading.frames == [(7, 0.0, 0, 0)]
    assert (reading.end.end_s, reading.end.code, reading.end.frames_seen) == (0.0, None, 1)


@pytest.mark.parametrize(
    ("suffix", "mode"),
    [
        *((".png", mode) for mode in stills.MODES if mode != "CMYK"),
        *((".tiff", mode) for mode in stills.MODES),
        (".jpg", "L"),
        (".jpg", "CMYK"),
        (".webp", "RGBA"),
    ],
)
def test_a_still_of_any_mode_is_read(pool: WorkerPool, tmp_path: Path, suffix: str, mode: str) -> None:
    path = stills.still(tmp_path / f"still{suffix}", mode=mode)
    assert read(pool, path, SAMPLINGS["every_second"]).frames == [(7, 0.0, 0, 0)]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_still_is_turned_as_its_exif_says(pool: WorkerPool, tmp_path: Path, orientation: int) -> None:
    path = stills.jpeg_turned(tmp_path / "turned.jpg", orientation)
    reading = read(pool, path, SAMPLINGS["every_second"])
    assert reading.frames == [(7, 0.0, 0, 0)]
    assert (reading.samples[0].ref.width, reading.samples[0].ref.height) == (320, 180)
