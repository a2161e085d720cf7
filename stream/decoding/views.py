"""Views: a decoded frame as the models want to see it."""

from collections.abc import Sequence
from typing import cast

import av
import numpy as np
from av.video.reformatter import Interpolation, VideoReformatter
from PIL import Image

from stream.decoding.resizing import cropped, pillow_view
from stream.frames import ViewArray, ViewSpec

EXACT = Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT | Interpolation.FULL_CHR_H_INP
"""swscale's exact arithmetic and full chroma."""

SWSCALE = {
    "bilinear": Interpolation.BILINEAR,
    "bicubic": Interpolation.BICUBIC,
    "area": Interpolation.AREA,
}


class Viewer:
    """Makes the views of one stream's frames. Not thread-safe: one for each decoder.

    A `swscale` view is made straight from the decoded YUV: 1.2 ms a 720p frame on one core. A `pillow` view
    is made from the full-size RGB frame that FFmpeg, OpenCV and PyAV give by default: 2.9 ms, and equal to
    the bit to a reference implementation that starts there. Both were measured on 33 frames of a 720p film,
    where swscale's view moved open_nsfw by 0.030 in the mean and 0.12 at most.

    Args:
        specs: What the models want to see.
    """

    def __init__(self, specs: Sequence[ViewSpec]) -> None:
        # A reformatter that is kept reuses its swscale context: 0.66 ms a frame instead of 1.6.
        self._scalers = [(spec, VideoReformatter()) for spec in specs]
        self._converter = VideoReformatter()

    def views(self, frame: av.VideoFrame) -> list[ViewArray]:
        """Returns the upright views of `frame`, in the order of the specs."""
        picture: Image.Image | None = None
        views = []
        for spec, scaler in self._scalers:
            if spec.resizer == "pillow":
                picture = picture or self._picture(frame)
                views.append(pillow_view(picture, spec))
            else:
                views.append(_swscale_view(frame, spec, scaler))
        return views

    def _picture(self, frame: av.VideoFrame) -> Image.Image:
        """Returns the upright frame in RGB at its full size, converted with swscale's defaults."""
        converted = self._converter.reformat(frame, frame.width, frame.height, "rgb24", threads=1)
        plane = converted.planes[0]
        size = (converted.width, converted.height)
        picture = Image.frombuffer("RGB", size, cast(bytes, plane), "raw", "RGB", plane.line_size, 1)
        turns = _quarter_turns(frame)
        return (
            Image.fromarray(np.ascontiguousarray(np.rot90(np.asarray(picture), turns))) if turns else picture
        )


def upright_size(frame: av.VideoFrame) -> tuple[int, int]:
    """Returns width and height in pixels after the frame's rotation."""
    return (frame.height, frame.width) if _quarter_turns(frame) % 2 else (frame.width, frame.height)


def _swscale_view(frame: av.VideoFrame, spec: ViewSpec, scaler: VideoReformatter) -> ViewArray:
    turns = _quarter_turns(frame)
    width, height = spec.resize_width_px, spec.resize_height_px
    if turns % 2:
        width, height = height, width
    flags = SWSCALE[spec.interpolation] | EXACT
    scaled = scaler.reformat(frame, width, height, "rgb24", interpolation=flags, threads=1)
    pixels = cast(ViewArray, scaled.to_ndarray())
    return cropped(np.rot90(pixels, turns) if turns else pixels, spec)


def _quarter_turns(frame: av.VideoFrame) -> int:
    """Counter-clockwise quarter turns that bring the frame upright (FFmpeg's display matrix)."""
    return round(frame.rotation / 90) % 4
