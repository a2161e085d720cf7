"""What a frame is on its way from the decoder to an event: small frozen values, no behaviour."""

from collections.abc import Mapping
from typing import Literal, TypeAlias

import msgspec
import numpy as np
import numpy.typing as npt

ViewArray: TypeAlias = npt.NDArray[np.uint8]
"""A view: `uint8 [H, W, 3]`, RGB."""

Interpolation: TypeAlias = Literal["bilinear", "bicubic", "area", "corners"]
"""Filter of a resize; `corners` is bilinear between the nearest four pixels with the corners aligned, without
antialiasing, as TensorFlow.js does it, and for the resizer `pillow` only."""

Resizer: TypeAlias = Literal["pillow", "swscale"]
"""Which code resizes video frames. Still pictures are always resized by Pillow."""

ClockQuality: TypeAlias = Literal["none", "container", "arrival", "sender_report"]
"""Where `captured_at` comes from: nowhere (a file), the container, the time of arrival, or RTCP."""

FrameState: TypeAlias = Literal["scored", "no_face", "unscored", "undecodable", "dropped"]
"""What became of a sampled frame. Only `scored` carries a score for every model; `no_face` and `unscored` are
for models that find nothing to score in it, and `dropped` for live streams under load."""


class ViewSpec(msgspec.Struct, frozen=True):
    """How a model wants to see a frame: stretched to one size, then cropped at the centre.

    Attributes:
        resize_width_px: Width that the upright frame is stretched to.
        resize_height_px: Height that the upright frame is stretched to.
        crop_width_px: Width of the centre crop, the view's own width.
        crop_height_px: Height of the centre crop, the view's own height.
        interpolation: Filter of the resize.
        resizer: `pillow` resizes the full RGB frame, equal to the bit to references that do; `swscale`
            makes the view straight from YUV, which is cheaper and not the same.
    """

    resize_width_px: int
    resize_height_px: int
    crop_width_px: int
    crop_height_px: int
    interpolation: Interpolation = "bilinear"
    resizer: Resizer = "swscale"

    @property
    def key(self) -> str:
        """Name under which the view travels; equal for models that want the same view."""
        return (
            f"{self.resize_width_px}x{self.resize_height_px}-{self.interpolation}-{self.resizer}"
            f"-{self.crop_width_px}x{self.crop_height_px}"
        )

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape of the view's array, `[H, W, 3]`."""
        return (self.crop_height_px, self.crop_width_px, 3)


class FrameRef(msgspec.Struct, frozen=True):
    """Which frame of which stream, and when.

    Attributes:
        stream_id: Name of the stream.
        epoch: Counts the stretches of one continuous timeline; a discontinuity starts a new one.
        pts: Presentation timestamp in `time_base` units, as the container gave it.
        time_base: Seconds per pts unit as (numerator, denominator).
        media_time_s: Seconds since the stream's first frame, continuous over epochs.
        is_keyframe: Whether the frame was coded as a keyframe.
        width: Width of the upright picture in pixels.
        height: Height of the upright picture in pixels.
        captured_at: UTC time of capture, ISO 8601, or None where nothing tells it.
        clock: Where `captured_at` comes from.
        position: The record that the frame counts against, such as `topic/partition/offset`.
    """

    stream_id: str
    epoch: int
    pts: int
    time_base: tuple[int, int]
    media_time_s: float
    is_keyframe: bool
    width: int
    height: int
    captured_at: str | None = None
    clock: ClockQuality = "none"
    position: str | None = None

    @property
    def event_id(self) -> str:
        """Identity of the frame's event, the same however often the frame is published."""
        return f"{self.stream_id}/{self.epoch}/{self.pts}"


class Sample(msgspec.Struct, frozen=True):
    """A frame that sampling chose, decoded.

    Attributes:
        ref: Which frame.
        views: One array per `ViewSpec.key`.
        frames_between: Frames since the previous sample that sampling left out; at least so many where the
            reader leapt over some.
    """

    ref: FrameRef
    views: Mapping[str, ViewArray]
    frames_between: int


class Missed(msgspec.Struct, frozen=True):
    """A frame that sampling chose and that no score will ever be known for.

    Attributes:
        ref: Which frame; size 0 where it is unknown.
        state: Why.
        reason: What was seen, in words.
        frames_between: Frames since the previous sample that sampling left out; at least so many where the
            reader leapt over some.
    """

    ref: FrameRef
    state: Literal["undecodable", "dropped"]
    reason: str
    frames_between: int


class FrameScores(msgspec.Struct, frozen=True):
    """What the models said of one frame.

    Attributes:
        ref: Which frame.
        state: What became of it.
        scores: `model.label` to score in [0, 1]; empty where nothing was scored.
        frames_between: Frames since the previous sample that sampling left out; at least so many where the
            reader leapt over some.
        reason: Why there is no score, in words.
    """

    ref: FrameRef
    state: FrameState
    scores: Mapping[str, float]
    frames_between: int
    reason: str | None = None


class StreamFacts(msgspec.Struct, frozen=True):
    """What a container says of its video before any frame is decoded.

    Attributes:
        container: FFmpeg's name of the container format, or of the picture format.
        codec: FFmpeg's name of the codec.
        width: Coded width in pixels.
        height: Coded height in pixels.
        declared_duration_s: Length of the video as declared, None where nothing declares it.
    """

    container: str
    codec: str
    width: int
    height: int
    declared_duration_s: float | None


class StreamEnd(msgspec.Struct, frozen=True):
    """How the reading of a stream ended.

    Attributes:
        end_s: Media time of the end of what could be read.
        declared_end_s: Media time of the end as declared, never before `end_s`.
        frames_decoded: Frames that the decoder gave out.
        frames_seen: Frames that the container held, decoded or not; at least so many where the reader leapt.
        reason: Why the reading stopped early, None at a regular end.
        code: A short, stable word for that reason.
    """

    end_s: float
    declared_end_s: float
    frames_decoded: int
    frames_seen: int
    reason: str | None = None
    code: str | None = None
