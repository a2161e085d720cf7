"""Clips written for tests: any codec, container and timing, with the frame number readable from the pixels.

`write_clip` is the one encoder of the test suite. `odd_clips` builds the unusual but valid files with it, and
`stills` the pictures; `damage` and `bombs` break them.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Final, Literal

import av
import numpy as np
from av.container import OutputContainer
from av.packet import Packet
from av.video.stream import VideoStream

from tests.support.picture import Picture, frame_picture, read_number

__all__ = ["ClipFacts", "Picture", "frame_picture", "numbers_in", "read_number", "rgb", "write_clip"]

Rotation = Literal[0, 90, 180, 270]

_AUDIO_RATE_HZ: Final = 48_000
_TONE_HZ: Final = 440
_AAC_FRAME_SAMPLES: Final = 1024

_MUXER_OPTIONS: Final[Mapping[str, dict[str, str]]] = {".ts": {"mpegts_copyts": "1"}}
"""By suffix. Without `mpegts_copyts` the MPEG-TS muxer moves every pts by 1.4 s."""

_WITHOUT_NEGATIVE_DTS: Final = {".ts", ".flv"}


@dataclass(frozen=True)
class ClipFacts:
    """What a written clip holds, in presentation order."""

    path: Path
    numbers: tuple[int, ...]
    """The number in each shown frame."""
    times_s: tuple[float, ...]
    """When each frame is shown, on the stream's own clock; MKV, WebM and FLV round it to 1 ms.

    MPEG-TS and FLV hold no negative dts: with B-frames they start one or two frames late, as this says.
    """
    duration_s: float
    """From the first frame to the end of the last one."""
    keyframes: tuple[int, ...]
    """The numbers of the frames that a decoder can start at."""


def write_clip(
    path: Path,
    *,
    frames: int = 50,
    first_number: int = 0,
    rate: Fraction | int = 25,
    size: tuple[int, int] = (320, 180),
    codec: str = "libx264",
    gop: int = 50,
    bframes: int = 0,
    open_gop: bool = False,
    crf: int = 23,
    pts: Sequence[int] | None = None,
    time_base: Fraction | None = None,
    rotation: Rotation = 0,
    interlaced: bool = False,
    pix_fmt: str = "yuv420p",
    audio_s: float = 0.0,
    options: Mapping[str, str] | None = None,
    container_options: Mapping[str, str] | None = None,
) -> ClipFacts:
    """Writes a clip whose frame i shows the number `first_number + i`, and returns what it holds.

    Args:
        path: Where to; the suffix chooses the container: .mp4 .mkv .webm .ts .avi .flv .gif .h264 .hevc ...
        frames: How many frames, when `pts` does not say.
        first_number: The number in the first frame.
        rate: Frames a second.
        size: Coded width and height in pixels.
        codec: The name of an FFmpeg encoder.
        gop: Frames from one keyframe to the next, exactly (scene cuts add none).
        bframes: The most B-frames in a row.
        open_gop: Whether B-frames before a keyframe may refer to the GOP before it (x264 and x265).
        crf: Constant quality of x264, x265, SVT-AV1 and VP9.
        pts: One rising integer a frame, in `time_base` units; without it, 0, 1, 2... at `rate`.
        time_base: Seconds a unit of pts; `1 / rate` without it.
        rotation: Degrees clockwise that a player must turn the coded picture to show it (MP4 and MOV).
        interlaced: Whether frames are coded as two fields, top first (x264: MBAFF).
        pix_fmt: FFmpeg's name of the pixel format.
        audio_s: Seconds of a 440 Hz AAC tone to add.
        options: Further encoder options; they win over the ones chosen here.
        container_options: Further muxer options.
    """
    time_base = time_base or 1 / Fraction(rate)
    coded_pts = tuple(pts) if pts is not None else tuple(range(frames))
    muxer_options = {**_MUXER_OPTIONS.get(path.suffix, {}), **(container_options or {})}
    with av.open(str(path), "w", options=muxer_options) as container:
        chosen = _encoder_options(codec, gop, bframes, open_gop, crf, interlaced)
        stream = container.add_stream(codec, rate=Fraction(rate), options={**chosen, **(options or {})})
        assert isinstance(stream, VideoStream)
        stream.width, stream.height, stream.pix_fmt = *size, pix_fmt
        stream.gop_size, stream.max_b_frames = gop, bframes
        stream.codec_context.time_base = time_base
        if rotation:
            stream.set_display_rotation(-rotation)
        tone = _tone(container, audio_s) if audio_s else []
        packets = list(_video_packets(stream, coded_pts, first_number, rotation))
        # Read before muxing, which rescales the packets in place.
        shift = _shift(path, packets)
        keyframe_pts = {packet.pts for packet in packets if packet.is_keyframe}
        every: list[Packet[Any]] = [*packets, *tone]
        for packet in sorted(every, key=_decode_time):
            container.mux(packet)
    return ClipFacts(
        path,
        numbers=tuple(range(first_number, first_number + len(coded_pts))),
        times_s=tuple(float(pts * time_base + shift) for pts in coded_pts),
        duration_s=float((coded_pts[-1] - coded_pts[0]) * time_base + 1 / Fraction(rate)),
        keyframes=tuple(first_number + index for index, pts in enumerate(coded_pts) if pts in keyframe_pts),
    )


def numbers_in(path: Path) -> list[int | None]:
    """Returns the number in every frame that FFmpeg decodes by default, in the order it returns them."""
    with av.open(str(path)) as container:
        return [read_number(rgb(frame)) for frame in container.decode(video=0)]


def rgb(frame: av.VideoFrame) -> Picture:
    """Returns the decoded frame as uint8 [H, W, 3] RGB, as coded: neither turned nor cropped."""
    return frame.to_ndarray(format="rgb24").astype(np.uint8, copy=False)


def _video_packets(
    stream: VideoStream, coded_pts: Sequence[int], first_number: int, rotation: Rotation
) -> Iterator["Packet[VideoStream]"]:
    sideways = rotation in (90, 270)
    shown_size = (stream.height, stream.width) if sideways else (stream.width, stream.height)
    for index, pts in enumerate(coded_pts):
        upright = frame_picture(first_number + index, *shown_size)
        coded = np.ascontiguousarray(np.rot90(upright, k=rotation // 90))
        frame = av.VideoFrame.from_ndarray(coded, format="rgb24")
        frame = frame.reformat(format=stream.pix_fmt, interpolation="AREA")
        frame.pts, frame.time_base = pts, stream.codec_context.time_base
        yield from stream.encode(frame)
    yield from stream.encode(None)


def _tone(container: OutputContainer, length_s: float) -> list["Packet[av.AudioStream]"]:
    """Returns the packets of a sine tone, in a new AAC stream of `container`."""
    stream = container.add_stream("aac", rate=_AUDIO_RATE_HZ, layout="mono")
    assert isinstance(stream, av.AudioStream)
    packets = []
    for index in range(math.ceil(length_s * _AUDIO_RATE_HZ / _AAC_FRAME_SAMPLES)):
        at = np.arange(index * _AAC_FRAME_SAMPLES, (index + 1) * _AAC_FRAME_SAMPLES)
        wave = 0.3 * np.sin(2 * np.pi * _TONE_HZ * at / _AUDIO_RATE_HZ)
        frame = av.AudioFrame.from_ndarray(wave.astype(np.float32)[None], format="fltp", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = (
            _AUDIO_RATE_HZ,
            int(at[0]),
            Fraction(1, _AUDIO_RATE_HZ),
        )
        packets += stream.encode(frame)
    return [*packets, *stream.encode(None)]


def _decode_time(packet: "Packet[Any]") -> Fraction:
    assert packet.dts is not None
    return packet.dts * packet.time_base


def _shift(path: Path, packets: Sequence["Packet[VideoStream]"]) -> Fraction:
    """Returns the seconds by which the muxer moves a stream to make its first dts 0."""
    first = min(_decode_time(packet) for packet in packets)
    return -first if path.suffix in _WITHOUT_NEGATIVE_DTS and first < 0 else Fraction(0)


def _encoder_options(
    codec: str, gop: int, bframes: int, open_gop: bool, crf: int, interlaced: bool
) -> dict[str, str]:
    """Returns options that give exactly the asked GOP, quickly."""
    x26x = f"keyint={gop}:min-keyint={gop}:scenecut=0:bframes={bframes}:b-adapt=0:open-gop={int(open_gop)}"
    if codec == "libx264":
        fields = {"flags": "+ildct+ilme"} if interlaced else {}
        tff = ":tff=1" if interlaced else ""
        return {"preset": "veryfast", "crf": str(crf), "x264-params": x26x + tff, **fields}
    if codec == "libx265":
        return {"preset": "ultrafast", "crf": str(crf), "x265-params": f"{x26x}:log-level=none"}
    if codec == "libsvtav1":
        return {"preset": "8", "crf": str(crf), "svtav1-params": f"keyint={gop}:scd=0"}
    if codec == "libvpx-vp9":
        return {"deadline": "realtime", "cpu-used": "8", "crf": str(crf), "b": "0", "lag-in-frames": "0"}
    if codec in ("mjpeg", "mpeg4", "mpeg2video"):
        return {"qmin": "3", "qmax": "6", "sc_threshold": "1000000000"}
    return {}
