"""Clips that are valid and unusual: odd timing, sizes that change, open GOPs, every codec."""

import dataclasses
from fractions import Fraction
from pathlib import Path
from typing import Final

import av

from tests.support.boxes import full_box, parse_boxes, serialise, table, walk
from tests.support.media import ClipFacts, Rotation, write_clip

TS_CLOCK_HZ: Final = 90_000
TS_WRAP: Final = 2**33
"""MPEG-TS counts pts in 33 bits of a 90 kHz clock: it starts again after 26.5 hours."""

_TS_TICK: Final = Fraction(1, TS_CLOCK_HZ)
_MILLISECOND: Final = Fraction(1, 1000)
_IRREGULAR_MS: Final = (0, 40, 80, 81, 120, 620, 640, 1640, 1673, 1707, 1740, 4740, 4780, 4800)

CODEC_CLIPS: Final[dict[str, tuple[str, dict[str, str]]]] = {
    "h264": ("h264.mp4", {"codec": "libx264"}),
    "hevc": ("hevc.mp4", {"codec": "libx265"}),
    "hevc_10bit": ("hevc10.mkv", {"codec": "libx265", "pix_fmt": "yuv420p10le"}),
    "vp9": ("vp9.webm", {"codec": "libvpx-vp9"}),
    "av1_mp4": ("av1.mp4", {"codec": "libsvtav1"}),
    "av1_mkv": ("av1.mkv", {"codec": "libsvtav1"}),
    "mjpeg": ("mjpeg.avi", {"codec": "mjpeg", "pix_fmt": "yuvj420p"}),
    "mpeg2": ("mpeg2.ts", {"codec": "mpeg2video"}),
    "mpeg4": ("mpeg4.avi", {"codec": "mpeg4"}),
    "flv": ("h264.flv", {"codec": "libx264"}),
}
"""By name: the file's name and what to pass to `write_clip`; one for each codec and container people send."""


def codec_clip(folder: Path, name: str, frames: int = 50) -> ClipFacts:
    """Writes the clip that `CODEC_CLIPS` lists under `name`: `frames` frames at 25 a second, 320x180."""
    file_name, settings = CODEC_CLIPS[name]
    return write_clip(
        folder / file_name,
        frames=frames,
        codec=settings["codec"],
        pix_fmt=settings.get("pix_fmt", "yuv420p"),
    )


def variable_rate(path: Path) -> ClipFacts:
    """14 frames in 4.8 s with gaps of 1 ms to 3 s; MP4 or MKV."""
    return write_clip(
        path, frames=len(_IRREGULAR_MS), pts=_IRREGULAR_MS, time_base=_MILLISECOND, gop=5, bframes=1
    )


def single_keyframe(path: Path, frames: int = 500) -> ClipFacts:
    """One GOP as long as the clip: nothing can be sought to, and nothing skipped."""
    return write_clip(path, frames=frames, gop=100_000, bframes=2)


def open_gop(path: Path, codec: str = "libx264") -> ClipFacts:
    """60 frames in GOPs of 12: the two B-frames shown before a keyframe need the GOP before it."""
    return write_clip(path, frames=60, gop=12, bframes=2, open_gop=True, codec=codec)


def interlaced(path: Path) -> ClipFacts:
    """50 frames of MBAFF H.264, top field first; the two fields of a frame show the same number."""
    return write_clip(path, size=(320, 192), interlaced=True, bframes=2)


def rotated(path: Path, rotation: Rotation) -> ClipFacts:
    """10 frames, coded as 320x180, to be shown `rotation` degrees clockwise; unreadable until turned."""
    return write_clip(path, frames=10, rotation=rotation)


def odd_size(path: Path) -> ClipFacts:
    """50 frames of 321x241: VP9 in 4:2:0 when `path` is a .webm, else H.264 in 4:4:4."""
    if path.suffix == ".webm":
        return write_clip(path, size=(321, 241), codec="libvpx-vp9")
    return write_clip(path, size=(321, 241), pix_fmt="yuv444p")


def late_start(path: Path, start_s: int = 3600) -> ClipFacts:
    """50 frames whose first pts is `start_s` and not 0, as in a recording cut out of a broadcast."""
    return write_clip(path, pts=[start_s * 1000 + 40 * index for index in range(50)], time_base=_MILLISECOND)


def negative_start_mkv(path: Path) -> ClipFacts:
    """50 frames of MKV from -0.4 s on: ten frames have a negative pts and are shown."""
    return write_clip(
        path,
        pts=[40 * index - 400 for index in range(50)],
        time_base=_MILLISECOND,
        container_options={"avoid_negative_ts": "disabled"},
    )


def edit_list_mp4(path: Path) -> ClipFacts:
    """50 frames of MP4 whose edit list starts at frame 10: the first ten are decoded, never shown."""
    facts = write_clip(
        path,
        pts=[512 * (index - 10) for index in range(50)],
        time_base=Fraction(1, 12_800),
        container_options={"avoid_negative_ts": "disabled", "use_editlist": "1"},
    )
    return dataclasses.replace(
        facts, numbers=facts.numbers[10:], times_s=facts.times_s[10:], duration_s=40 / 25
    )


def ts_pts_wrap(path: Path) -> ClipFacts:
    """100 frames of MPEG-TS; frame 50 is the first one after the 33-bit pts has wrapped.

    The facts' times go on rising over the wrap.
    """
    first = TS_WRAP - 50 * 3600
    return write_clip(
        path, frames=100, gop=25, pts=[first + 3600 * index for index in range(100)], time_base=_TS_TICK
    )


def ts_going_back(path: Path) -> list[ClipFacts]:
    """Two MPEG-TS recordings in one file: 50 frames from 100 s, then 50 (numbers 50 to 99) from 10 s."""
    parts = [
        write_clip(
            path.with_suffix(f".{number}.ts"),
            first_number=number,
            pts=[start_s * TS_CLOCK_HZ + 3600 * index for index in range(50)],
            time_base=_TS_TICK,
        )
        for number, start_s in ((0, 100), (50, 10))
    ]
    return _joined(path, parts)


def size_change(path: Path) -> list[ClipFacts]:
    """25 frames of 320x180, then 25 (numbers 25 to 49) of 480x272, one after the other in the file.

    In MPEG-TS (.ts) the clock goes on over the change; a raw stream (.h264, .hevc) has no clock.
    """
    codec = "libx265" if path.suffix == ".hevc" else "libx264"
    parts = [
        write_clip(
            path.with_suffix(f".{number}{path.suffix}"),
            frames=25,
            first_number=number,
            size=size,
            codec=codec,
            pts=[3600 * (number + index) for index in range(25)],
            time_base=_TS_TICK,
        )
        for number, size in ((0, (320, 180)), (25, (480, 272)))
    ]
    return _joined(path, parts)


def size_change_mp4(path: Path) -> list[ClipFacts]:
    """The same as `size_change` in one MP4 track with two sample descriptions."""
    parts = [
        write_clip(path.with_suffix(".0.mp4"), frames=25),
        write_clip(path.with_suffix(".25.mp4"), frames=25, first_number=25, size=(480, 272)),
    ]
    _mux_one_after_other(path, [part.path for part in parts])
    _add_sample_description(path, parts[1].path, first_samples=25)
    later = dataclasses.replace(parts[1], times_s=tuple(time_s + 1.0 for time_s in parts[1].times_s))
    return _moved(path, [parts[0], later])


def without_pts(path: Path) -> ClipFacts:
    """50 frames with B-frames in a container that stores no pts: .h264, .hevc or .avi.

    FFmpeg leaves a raw stream's pts empty, and makes up wrong ones for AVI.
    """
    codec = "libx265" if path.suffix == ".hevc" else "libx264"
    return write_clip(path, gop=10, bframes=2, codec=codec)


def gif(path: Path, frames: int = 10) -> ClipFacts:
    """An animated GIF of 160x120 at 10 frames a second."""
    return write_clip(path, frames=frames, rate=10, size=(160, 120), codec="gif", pix_fmt="rgb8")


def _joined(path: Path, parts: list[ClipFacts]) -> list[ClipFacts]:
    path.write_bytes(b"".join(part.path.read_bytes() for part in parts))
    return _moved(path, parts)


def _moved(path: Path, parts: list[ClipFacts]) -> list[ClipFacts]:
    """Removes the parts' own files and returns their facts as those of `path`."""
    for part in parts:
        part.path.unlink()
    return [dataclasses.replace(part, path=path) for part in parts]


def _mux_one_after_other(path: Path, parts: list[Path]) -> None:
    """Copies the packets of MP4 `parts` into one track, each part after the end of the one before."""
    with av.open(str(path), "w") as target:
        stream = None
        offset = 0
        for part in parts:
            with av.open(str(part)) as source:
                stream = stream or target.add_stream_from_template(source.streams.video[0])
                packets = [packet for packet in source.demux(video=0) if packet.size]
                for packet in packets:
                    assert packet.pts is not None
                    assert packet.dts is not None
                    packet.pts, packet.dts = packet.pts + offset, packet.dts + offset
                offset += sum(packet.duration or 0 for packet in packets)
                for packet in packets:
                    packet.stream = stream
                    target.mux(packet)


def _add_sample_description(path: Path, described_by: Path, first_samples: int) -> None:
    """Gives all but the `first_samples` of the MP4 at `path` the sample description of `described_by`."""
    second = next(walk(parse_boxes(described_by.read_bytes()), "stsd")).payload[8:]
    boxes = parse_boxes(path.read_bytes())
    descriptions = next(walk(boxes, "stsd"))
    descriptions.payload = full_box(2) + descriptions.payload[8:] + second
    sizes = table(next(walk(boxes, "stsz")).payload, start=12)
    offsets = next(walk(boxes, "stco"))
    first = table(offsets.payload, start=8)[0]
    offsets.payload = full_box(2, first, first + sum(sizes[:first_samples]))
    chunks = next(walk(boxes, "stsc"))
    chunks.payload = full_box(2, 1, first_samples, 1, 2, len(sizes) - first_samples, 2)
    path.write_bytes(serialise(boxes))
