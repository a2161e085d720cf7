"""Encodes pictures to a video file: the one place that does."""

import secrets
from collections.abc import Iterable, Iterator
from fractions import Fraction
from itertools import chain
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
from av.container import OutputContainer
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc
from av.video.stream import VideoStream

from stream.errors import OutputError

Picture = npt.NDArray[np.uint8]
"""RGB, uint8 [H, W, 3]."""


def write_video(
    path: Path,
    frames: Iterable[Picture],
    *,
    rate: int | Fraction,
    codec: str = "libx264",
    crf: int = 23,
    gop_s: float = 2.0,
    pix_fmt: str = "yuv420p",
) -> int:
    """Encodes frames of one size to `path`, which appears whole or not at all.

    The container follows the suffix of the name. The video is converted and tagged as BT.709, limited range,
    so that no player has to guess. Blocks until the file is written.

    Args:
        path: Where the file goes; a file that is there is replaced.
        frames: RGB, uint8 [H, W, 3], with even sides where `pix_fmt` halves its chroma.
        rate: Frames per second.
        codec: FFmpeg's name of an encoder that knows `crf`: libx264 or libx265.
        crf: Constant rate factor, 0 (best) to 51.
        gop_s: At most so many seconds from keyframe to keyframe.
        pix_fmt: FFmpeg's name of the encoded pixel format.

    Returns:
        How many frames were written.

    Raises:
        ValueError: There is no frame, one differs in size from the first, or FFmpeg has no such codec.
        OutputError: The file cannot be written, or the encoder refuses the frames.
    """
    unfinished = path.with_name(f".{path.stem}-{secrets.token_hex(4)}{path.suffix}")
    try:
        count = _write(
            unfinished, iter(frames), Fraction(rate), codec, _options(codec, crf, rate, gop_s), pix_fmt
        )
        unfinished.replace(path)
    except (av.FFmpegError, OSError) as error:
        raise OutputError(f"cannot write {path}: {error}") from error
    finally:
        unfinished.unlink(missing_ok=True)
    return count


def _options(codec: str, crf: int, rate: int | Fraction, gop_s: float) -> dict[str, str]:
    options = {"crf": str(crf), "g": str(max(1, round(gop_s * rate)))}
    if codec == "libx265":
        options["x265-params"] = "log-level=error"
    return options


def _write(
    path: Path, frames: Iterator[Picture], rate: Fraction, codec: str, options: dict[str, str], pix_fmt: str
) -> int:
    first = next(frames, None)
    if first is None:
        raise ValueError(f"no frames to write to {path.name}: expected at least one")
    container_options = {"movflags": "+faststart"} if path.suffix in {".mp4", ".mov", ".m4v"} else {}
    with av.open(str(path), "w", options=container_options) as container:
        stream = _add_stream(container, first.shape, rate, codec, options, pix_fmt)
        for count, picture in enumerate(chain([first], frames), start=1):
            if picture.shape != first.shape:
                raise ValueError(
                    f"frame {count} has shape {picture.shape}: expected {first.shape}, as the first has"
                )
            container.mux(_encode(stream, picture, pts=count - 1, time_base=1 / rate))
        container.mux(stream.encode(None))
    return count


def _add_stream(
    container: OutputContainer,
    shape: tuple[int, ...],
    rate: Fraction,
    codec: str,
    options: dict[str, str],
    pix_fmt: str,
) -> VideoStream:
    stream = container.add_stream(codec, rate=rate, options=options)
    assert isinstance(stream, VideoStream)
    stream.height, stream.width = shape[:2]
    stream.pix_fmt = pix_fmt
    context = stream.codec_context
    context.colorspace = Colorspace.ITU709
    context.color_primaries = ColorPrimaries.BT709
    context.color_trc = ColorTrc.BT709
    context.color_range = ColorRange.MPEG
    if codec == "libx265":
        context.codec_tag = "hvc1"
    return stream


def _encode(
    stream: VideoStream, picture: Picture, pts: int, time_base: Fraction
) -> "list[Packet[VideoStream]]":
    frame = VideoFrame.from_ndarray(picture, format="rgb24").reformat(
        format=stream.pix_fmt,
        dst_colorspace=Colorspace.ITU709,
        dst_color_range=ColorRange.MPEG,
        dst_color_primaries=ColorPrimaries.BT709,
        dst_color_trc=ColorTrc.BT709,
    )
    frame.pts = pts
    frame.time_base = time_base
    return stream.encode(frame)
