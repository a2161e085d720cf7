"""The generated media have the properties that other tests rely on."""

from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image, ImageOps

from tests.support import bombs, damage, odd_clips, stills
from tests.support.media import (
    ClipFacts,
    Picture,
    Rotation,
    frame_picture,
    numbers_in,
    read_number,
    rgb,
    write_clip,
)


def frames_of(path: Path) -> list[av.VideoFrame]:
    with av.open(str(path)) as container:
        return list(container.decode(video=0))


def packets_of(path: Path) -> list[av.Packet]:
    with av.open(str(path)) as container:
        return [packet for packet in container.demux(video=0) if packet.size]


def assert_as_written(facts: ClipFacts) -> None:
    frames = frames_of(facts.path)
    assert tuple(read_number(rgb(frame)) for frame in frames) == facts.numbers
    assert [frame.time for frame in frames] == pytest.approx(facts.times_s, abs=0.001)


@pytest.mark.parametrize("number", [0, 1, 12_345, 65_535])
@pytest.mark.parametrize("size", [(48, 48), (321, 241), (1920, 1080)])
def test_a_number_is_read_back_from_its_picture(number: int, size: tuple[int, int]) -> None:
    assert read_number(frame_picture(number, *size)) == number


def test_a_number_outside_16_bits_is_refused() -> None:
    with pytest.raises(ValueError, match="65536"):
        frame_picture(65_536, 64, 64)


def test_a_number_survives_stretching_and_a_centre_crop() -> None:
    stretched = np.asarray(Image.fromarray(frame_picture(4321, 640, 360)).resize((256, 256)))
    assert read_number(stretched) == 4321
    assert read_number(stretched[16:240, 16:240]) == 4321


@pytest.mark.parametrize("change", [np.flipud, np.fliplr, np.rot90, lambda p: np.rot90(p, 2), np.invert])
def test_a_picture_that_is_turned_or_mirrored_is_unreadable(change: Callable[[Picture], Picture]) -> None:
    assert [read_number(change(frame_picture(number, 96, 96))) for number in range(100)] == [None] * 100


@pytest.mark.parametrize("level", [0, 128, 255])
def test_a_flat_picture_is_unreadable(level: int) -> None:
    assert read_number(np.full((256, 256, 3), level, np.uint8)) is None


def test_a_picture_torn_between_two_numbers_is_unreadable() -> None:
    torn = frame_picture(7, 320, 180)
    torn[90:] = frame_picture(8, 320, 180)[90:]
    assert read_number(torn) is None


@pytest.mark.parametrize("name", odd_clips.CODEC_CLIPS)
def test_every_codec_keeps_numbers_and_times(tmp_path: Path, name: str) -> None:
    assert_as_written(odd_clips.codec_clip(tmp_path, name))


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts", "flv"])
def test_b_frames_keep_numbers_and_times(tmp_path: Path, suffix: str) -> None:
    assert_as_written(write_clip(tmp_path / f"clip.{suffix}", gop=10, bframes=2, crf=28))


def test_keyframes_are_where_the_facts_say(tmp_path: Path) -> None:
    facts = write_clip(tmp_path / "clip.mp4", frames=40, gop=10, bframes=2)
    keyframes = [frame for frame in frames_of(facts.path) if frame.key_frame]
    assert facts.keyframes == (0, 10, 20, 30)
    assert tuple(read_number(rgb(frame)) for frame in keyframes) == facts.keyframes


def test_audio_is_as_long_as_asked(tmp_path: Path) -> None:
    facts = write_clip(tmp_path / "clip.mp4", audio_s=2.0)
    with av.open(str(facts.path)) as container:
        stream = container.streams.audio[0]
        assert float(stream.duration * stream.time_base) == pytest.approx(2.0, abs=0.05)


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_variable_rate_keeps_its_gaps(tmp_path: Path, suffix: str) -> None:
    assert_as_written(odd_clips.variable_rate(tmp_path / f"clip.{suffix}"))


@pytest.mark.parametrize("name", ["late.mp4", "late.mkv", "late.ts"])
def test_late_start_starts_at_an_hour(tmp_path: Path, name: str) -> None:
    facts = odd_clips.late_start(tmp_path / name)
    assert facts.times_s[0] == 3600
    assert_as_written(facts)


def test_single_keyframe_has_one(tmp_path: Path) -> None:
    path = odd_clips.single_keyframe(tmp_path / "clip.mp4").path
    assert sum(packet.is_keyframe for packet in packets_of(path)) == 1


@pytest.mark.parametrize("codec", ["libx264", "libx265"])
@pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts"])
def test_open_gop_shows_two_frames_before_the_keyframe_they_follow(
    tmp_path: Path, codec: str, suffix: str
) -> None:
    facts = odd_clips.open_gop(tmp_path / f"clip.{suffix}", codec)
    packets = packets_of(facts.path)
    second = [index for index, packet in enumerate(packets) if packet.is_keyframe][1]
    assert sum(packet.pts < packets[second].pts for packet in packets[second + 1 :]) == 2
    assert_as_written(facts)


def test_interlaced_frames_say_so(tmp_path: Path) -> None:
    facts = odd_clips.interlaced(tmp_path / "clip.ts")
    assert all(frame.interlaced_frame for frame in frames_of(facts.path))
    assert_as_written(facts)


@pytest.mark.parametrize(("rotation", "reported"), [(90, -90), (180, -180), (270, 90)])
def test_a_rotated_clip_is_readable_once_turned(tmp_path: Path, rotation: Rotation, reported: int) -> None:
    frame = frames_of(odd_clips.rotated(tmp_path / "clip.mp4", rotation).path)[3]
    assert frame.rotation == reported
    assert read_number(rgb(frame)) is None
    assert read_number(np.rot90(rgb(frame), reported // 90)) == 3


@pytest.mark.parametrize("suffix", ["mp4", "webm"])
def test_odd_sizes_are_odd(tmp_path: Path, suffix: str) -> None:
    facts = odd_clips.odd_size(tmp_path / f"clip.{suffix}")
    assert {(frame.width, frame.height) for frame in frames_of(facts.path)} == {(321, 241)}
    assert_as_written(facts)


def test_an_edit_list_hides_the_first_frames(tmp_path: Path) -> None:
    facts = odd_clips.edit_list_mp4(tmp_path / "clip.mp4")
    assert [packet.is_discard for packet in packets_of(facts.path)] == [True] * 10 + [False] * 40
    assert_as_written(facts)


def test_a_negative_start_in_mkv_leaves_packets_without_pts(tmp_path: Path) -> None:
    facts = odd_clips.negative_start_mkv(tmp_path / "clip.mkv")
    assert [packet.pts is None for packet in packets_of(facts.path)] == [True] * 10 + [False] * 40
    assert tuple(numbers_in(facts.path)) == facts.numbers


def test_ts_pts_wraps_in_the_file(tmp_path: Path) -> None:
    facts = odd_clips.ts_pts_wrap(tmp_path / "clip.ts")
    with av.open(str(facts.path), options={"correct_ts_overflow": "0"}) as container:
        pts = [packet.pts for packet in container.demux(video=0) if packet.size]
    assert (pts[49], pts[50]) == (odd_clips.TS_WRAP - 3600, 0)
    assert tuple(numbers_in(facts.path)) == facts.numbers


def test_ts_goes_back_in_the_file(tmp_path: Path) -> None:
    parts = odd_clips.ts_going_back(tmp_path / "clip.ts")
    with av.open(str(parts[0].path), options={"correct_ts_overflow": "0"}) as container:
        pts = [packet.pts for packet in container.demux(video=0) if packet.size]
    assert (pts[0], pts[50]) == (9_000_000, 900_000)
    assert numbers_in(parts[0].path) == list(range(100))


@pytest.mark.parametrize("name", ["clip.ts", "clip.h264", "clip.hevc"])
def test_the_size_changes_in_mid_stream(tmp_path: Path, name: str) -> None:
    parts = odd_clips.size_change(tmp_path / name)
    sizes = [(frame.width, frame.height) for frame in frames_of(parts[0].path)]
    assert sizes == [(320, 180)] * 25 + [(480, 272)] * 25
    assert numbers_in(parts[0].path) == list(range(50))


def test_an_mp4_with_two_sample_descriptions_announces_the_second(tmp_path: Path) -> None:
    parts = odd_clips.size_change_mp4(tmp_path / "clip.mp4")
    announced = [packet.has_sidedata("new_extradata") for packet in packets_of(parts[0].path)]
    assert announced.index(True) == 25
    assert numbers_in(parts[0].path) == list(range(50))


@pytest.mark.parametrize("name", ["clip.h264", "clip.hevc"])
def test_raw_streams_have_no_pts(tmp_path: Path, name: str) -> None:
    facts = odd_clips.without_pts(tmp_path / name)
    assert {packet.pts for packet in packets_of(facts.path)} == {None}
    assert tuple(numbers_in(facts.path)) == facts.numbers


def test_a_gif_is_readable(tmp_path: Path) -> None:
    assert_as_written(odd_clips.gif(tmp_path / "clip.gif"))


@pytest.mark.parametrize(
    ("suffix", "mode"),
    [("png", mode) for mode in stills.MODES if mode != "CMYK"]
    + [("jpg", "RGB"), ("jpg", "L"), ("jpg", "CMYK"), ("bmp", "P"), ("webp", "RGBA")]
    + [("tiff", mode) for mode in stills.MODES],
)
def test_stills_are_readable(tmp_path: Path, suffix: str, mode: str) -> None:
    path = stills.still(tmp_path / f"still.{suffix}", number=99, mode=mode)
    with Image.open(path) as picture:
        assert read_number(np.asarray(picture.convert("RGB"))) == 99


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_turned_jpeg_is_readable_once_upright(tmp_path: Path, orientation: int) -> None:
    with Image.open(stills.jpeg_turned(tmp_path / "still.jpg", orientation)) as stored:
        assert (read_number(np.asarray(stored)) == 7) == (orientation == 1)
        upright = ImageOps.exif_transpose(stored)
    assert upright.size == (320, 180)
    assert read_number(np.asarray(upright)) == 7


@pytest.mark.parametrize("suffix", ["webp", "gif", "png"])
def test_an_animation_holds_its_numbers(tmp_path: Path, suffix: str) -> None:
    numbers = []
    with Image.open(stills.animation(tmp_path / f"animation.{suffix}")) as picture:
        for index in range(picture.n_frames):
            picture.seek(index)
            numbers.append(read_number(np.asarray(picture.convert("RGB"))))
    assert numbers == list(range(10))


@pytest.mark.parametrize("build", [damage.empty, damage.text, damage.without_moov])
def test_what_is_no_media_does_not_open(tmp_path: Path, build: Callable[[Path], Path]) -> None:
    with pytest.raises(av.error.InvalidDataError):
        av.open(str(build(tmp_path / "clip.mp4")))


@pytest.mark.parametrize("build", [damage.hls_playlist, damage.concat_list])
def test_a_playlist_names_the_other_file(tmp_path: Path, build: Callable[[Path, Path], Path]) -> None:
    assert "/secret.mp4" in build(tmp_path / "clip.mp4", tmp_path / "secret.mp4").read_text()


@pytest.mark.parametrize("suffix", ["m4a", "mp4", "mkv"])
def test_audio_only_has_no_video(tmp_path: Path, suffix: str) -> None:
    with av.open(str(damage.audio_only(tmp_path / f"clip.{suffix}"))) as container:
        assert [stream.type for stream in container.streams] == ["audio"]


def test_a_track_without_samples_yields_nothing(tmp_path: Path) -> None:
    path = damage.without_samples(tmp_path / "clip.mp4")
    assert packets_of(path) == []


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts"])
def test_a_cut_clip_starts_and_does_not_end(tmp_path: Path, suffix: str) -> None:
    whole = write_clip(
        tmp_path / f"whole.{suffix}", container_options=damage.FAST_START if suffix == "mp4" else None
    )
    packets = packets_of(damage.cut(whole.path, tmp_path / f"cut.{suffix}"))
    assert 10 < len(packets) < 40


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts"])
@pytest.mark.parametrize("share", [damage.LIGHT, damage.HEAVY])
def test_flipped_bits_damage_one_gop_only(tmp_path: Path, suffix: str, share: float) -> None:
    whole = write_clip(tmp_path / f"whole.{suffix}", gop=10)
    path = damage.flip_bits(whole.path, tmp_path / f"flipped.{suffix}", start_s=0.8, end_s=1.2, share=share)
    assert path.stat().st_size == whole.path.stat().st_size
    assert len(packets_of(path)) == 50
    readable = set(numbers_in_spite_of_errors(path))
    assert {*range(20), *range(30, 50)} <= readable
    assert not set(range(20, 30)) <= readable


def test_the_same_seed_flips_the_same_bits(tmp_path: Path) -> None:
    whole = write_clip(tmp_path / "whole.mp4").path
    first, second = (
        damage.flip_bits(whole, tmp_path / name, start_s=0.8, end_s=1.2).read_bytes() for name in "ab"
    )
    assert first == second != whole.read_bytes()


@pytest.mark.parametrize("suffix", ["webm", "mp4"])
def test_pixel_clips_are_tiny(tmp_path: Path, suffix: str) -> None:
    frames = frames_of(bombs.pixel_clip(tmp_path / f"clip.{suffix}"))
    assert [frame.width <= 2 for frame in frames] == [True] * 3


@pytest.mark.parametrize("name", ["still.png", "still.jpg"])
def test_huge_stills_say_so_in_few_bytes(tmp_path: Path, name: str) -> None:
    build = bombs.huge_png if name.endswith("png") else bombs.huge_jpeg
    path = build(tmp_path / name, side_px=9000)
    assert path.stat().st_size < 1000
    with Image.open(path) as picture:
        assert picture.size == (9000, 9000)


def test_a_huge_h264_frame_is_decoded_from_few_bytes(tmp_path: Path) -> None:
    path = bombs.huge_h264(tmp_path / "clip.h264", side_px=2048)
    assert path.stat().st_size < 1000
    assert {(frame.width, frame.height) for frame in frames_of(path)} == {(2048, 2048)}


def test_a_huge_vp9_frame_overrules_its_container(tmp_path: Path) -> None:
    path = bombs.huge_vp9(tmp_path / "clip.webm", side_px=2048)
    with av.open(str(path)) as container:
        assert container.streams.video[0].codec_context.width == 2048


def test_huge_mjpeg_does_not_decode(tmp_path: Path) -> None:
    with pytest.raises(av.error.InvalidDataError):
        frames_of(bombs.huge_mjpeg(tmp_path / "clip.avi"))


def numbers_in_spite_of_errors(path: Path) -> list[int | None]:
    numbers = []
    with av.open(str(path)) as container:
        for packet in container.demux(video=0):
            try:
                numbers += [read_number(rgb(frame)) for frame in packet.decode()]
            except av.error.InvalidDataError:
                continue
    return numbers
