"""Opens a container from a file descriptor, and knows what it declares and where it really ends."""

from dataclasses import dataclass
from typing import Any

import av
from av.container import InputContainer
from av.video.stream import VideoStream

from stream.errors import SourceError
from stream.frames import StreamFacts

FORMATS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,mpegts,mpeg,mpegvideo,avi,flv,live_flv,asf,ogg,mxf,gxf,nut,ivf,obu,av1,"
    "h264,hevc,vvc,m4v,h263,h261,mjpeg,mjpeg_2000,dv,rm,wtv,amv,swf,yuv4mpegpipe,vc1,vc1test"
)
"""Demuxers of moving pictures. What is not here (playlists, text art, raw devices) is no video file."""

MISSING_TAIL_S = 0.25
"""A declared end this far after the last frame is taken for a cut file, not for rounding."""

MP4_MISSING_TAIL_S = 0.05
"""MP4 declares the sum of its samples' durations, which is exact."""


def open_container(descriptor: int, probe_bytes: int) -> InputContainer:
    """Opens the container in an open file; nothing but that file can be read through it.

    Raises:
        SourceError: FFmpeg finds no container of moving pictures in it.
    """
    options = {
        "fd": str(descriptor),
        "protocol_whitelist": "fd",
        "format_whitelist": FORMATS,
        "probesize": str(probe_bytes),
        "correct_ts_overflow": "0",  # see sampling.Unwrapper
    }
    try:
        return av.open("fd:", options=options)
    except (av.FFmpegError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise SourceError("not_media", f"no video container was recognised: {reason}") from error


def video_stream(container: InputContainer, max_pixels: int) -> VideoStream:
    """Returns the stream to be looked at: the one that a player shows.

    Raises:
        SourceError: There is none, FFmpeg has no decoder for it, or its pictures are too large.
    """
    moving = moving_streams(container)
    if not moving:
        others = ", ".join(sorted({stream.type for stream in container.streams})) or "no stream at all"
        raise SourceError("no_video", f"no video stream: saw {others} in a {container.format.name} container")
    best = container.streams.best("video")
    stream = best if isinstance(best, VideoStream) and best in moving else moving[0]
    if stream.codec_context is None:
        raise SourceError("unsupported_codec", "FFmpeg has no decoder for the video stream")
    width, height = stream.codec_context.width, stream.codec_context.height
    if width * height > max_pixels:
        raise SourceError(
            "too_large",
            f"a video of {width}x{height} pixels, at most {max_pixels} are decoded (decode.max_pixels)",
        )
    return stream


def moving_streams(container: InputContainer) -> list[VideoStream]:
    """Returns the video streams that are no cover pictures."""
    return [stream for stream in container.streams.video if not _is_cover(stream)]


def _is_cover(stream: VideoStream) -> bool:
    return bool(stream.disposition & av.stream.Disposition.attached_pic)


def facts(container: InputContainer, stream: VideoStream) -> StreamFacts:
    """Returns what the container says of its video."""
    context = stream.codec_context
    return StreamFacts(
        container.format.name,
        context.name,
        context.width,
        context.height,
        _declared_duration_s(container, stream),
    )


def _declared_duration_s(container: InputContainer, stream: VideoStream) -> float | None:
    durations = []
    if stream.duration is not None and stream.time_base is not None:
        durations.append(float(stream.duration * stream.time_base))
    if container.duration is not None:
        # Matroska declares the end, not the length: a file that starts at one hour is no hour longer.
        start = max(0, container.start_time or 0) if container.format.name.startswith("matroska") else 0
        durations.append((container.duration - start) / av.time_base)
    return max(0.0, min(durations)) if durations else None


@dataclass
class Extent:
    """How far all streams of a container reach, in seconds of the container's own clock.

    A container declares one length for all its streams. Audio that is longer than the video does not make
    the video a cut one; a file in which every stream stops short of the declared end was cut.
    """

    start_s: float | None = None
    reached_s: float = 0.0

    def add(self, packet: "av.Packet[Any]") -> None:
        """Counts a packet of any stream."""
        if packet.pts is None or packet.time_base is None:
            return
        time_base_s = float(packet.time_base)
        at_s = packet.pts * time_base_s
        self.start_s = at_s if self.start_s is None else min(self.start_s, at_s)
        self.reached_s = max(self.reached_s, at_s + (packet.duration or 0) * time_base_s)

    def falls_short_of(self, declared_duration_s: float, frame_s: float, tail_s: float) -> bool:
        """Returns whether every stream ends well before the declared length: two frames, and `tail_s`."""
        if self.start_s is None:
            return declared_duration_s > 0
        missing_s = declared_duration_s - (self.reached_s - self.start_s)
        return missing_s > max(tail_s, 2 * frame_s)
