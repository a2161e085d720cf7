"""The test card: a harmless clip that a moderation pipeline must alert on, at known times.

A pipeline that stays quiet may work, or may be blind. EICAR's file settles that for virus scanners; this clip
settles it here. It shows soft ellipses and nobody: open_nsfw scores one arrangement of them above 0.9 and the
other below 0.1, also after H.264 and HEVC at CRF 28. The time, and what is expected then, stand in the
picture. `models/train/testcard_search.py` found the arrangements.

Arrangements lie on the unit square, u to the right and v down, and are stretched to the frame: the model
stretches every frame to one square, so it sees the same pattern at every aspect ratio.
"""

import functools
import math
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Final, TypeAlias

import cv2
import numpy as np
import numpy.typing as npt

from stream.decoding.writer import write_video

Picture: TypeAlias = npt.NDArray[np.uint8]
"""RGB, uint8 [H, W, 3]."""

Colour: TypeAlias = tuple[int, int, int]
"""Red, green and blue, 0 to 255."""

Plane: TypeAlias = npt.NDArray[np.float32]
"""float32 [H, W], or [H, W, 3] for colours of 0 to 255."""

Span: TypeAlias = tuple[float, float]
"""Start and end in seconds; the end is not part of it."""


@dataclass(frozen=True, slots=True)
class Ellipse:
    """An ellipse with a soft edge. Lengths are fractions of the unit square's side."""

    centre: tuple[float, float]
    semi_axes: tuple[float, float]
    angle_deg: float
    softness: float
    """Opacity is `logistic((1 - r) / softness)`, where r is 1 on the ellipse itself."""
    colour: Colour


@dataclass(frozen=True, slots=True)
class Arrangement:
    """Ellipses, the later over the earlier, on a linear gradient."""

    gradient: tuple[Colour, Colour]
    gradient_angle_deg: float
    ellipses: tuple[Ellipse, ...]


DURATION_S: Final = 30.0
ALERT_SPANS: Final[tuple[Span, ...]] = ((8.0, 14.0), (20.0, 25.0))
"""When the card must score above 0.9; at every other time it must score below 0.1."""

ALERT: Final = Arrangement(
    ((40, 19, 161), (74, 28, 166)),
    284.6,
    (
        Ellipse((0.191, 0.402), (0.05, 0.187), 125.9, 0.198, (120, 185, 168)),
        Ellipse((0.34, 0.425), (0.154, 0.05), 26.4, 0.205, (82, 209, 186)),
        Ellipse((0.38, 0.279), (0.25, 0.25), 54.7, 0.339, (142, 0, 126)),
        Ellipse((0.797, 0.219), (0.088, 0.25), 55.9, 0.12, (143, 163, 105)),
        Ellipse((0.925, 0.085), (0.25, 0.225), 103.5, 0.266, (23, 39, 0)),
        Ellipse((0.128, 0.925), (0.245, 0.134), 39.8, 0.347, (123, 255, 195)),
        Ellipse((0.194, 0.587), (0.125, 0.106), 118.7, 0.263, (171, 72, 187)),
        Ellipse((0.619, 0.767), (0.122, 0.25), 0.0, 0.34, (46, 69, 26)),
        Ellipse((0.708, 0.733), (0.228, 0.25), 34.3, 0.18, (179, 146, 225)),
        Ellipse((1.02, 0.844), (0.162, 0.197), 170.5, 0.285, (138, 216, 220)),
    ),
)
QUIET: Final = Arrangement(
    ((0, 61, 93), (78, 3, 78)),
    301.5,
    (
        Ellipse((0.22, 0.361), (0.05, 0.138), 170.5, 0.25, (37, 90, 81)),
        Ellipse((0.42, 0.425), (0.08, 0.082), 175.0, 0.211, (99, 231, 124)),
        Ellipse((0.41, 0.075), (0.25, 0.205), 0.0, 0.271, (0, 9, 143)),
        Ellipse((0.677, 0.245), (0.108, 0.136), 67.8, 0.304, (166, 206, 255)),
        Ellipse((0.978, 0.091), (0.241, 0.25), 176.4, 0.334, (69, 111, 0)),
        Ellipse((0.22, 0.746), (0.201, 0.175), 69.1, 0.282, (80, 255, 172)),
        Ellipse((0.218, 0.575), (0.09, 0.07), 180.0, 0.248, (66, 10, 69)),
        Ellipse((0.585, 0.808), (0.113, 0.201), 77.8, 0.35, (22, 104, 37)),
        Ellipse((0.772, 0.682), (0.231, 0.091), 23.8, 0.112, (64, 202, 255)),
        Ellipse((0.9, 0.912), (0.224, 0.138), 95.0, 0.255, (219, 30, 255)),
    ),
)

_RASTER_PX: Final = 192
_MARGIN: Final = 1 / 32
_DRIFT: Final = 0.008
"""Radius of the circle that a pattern drifts on, as a fraction of the side; less than the margin."""
_DRIFT_PERIOD_S: Final = 4.0

_BAND: Final = 0.11
"""Height of the bands that carry the text, as a fraction of the frame's shorter side."""
_BAND_COLOUR: Final[Colour] = (24, 24, 24)
_WHITE: Final[Colour] = (255, 255, 255)
_ALERT_COLOUR: Final[Colour] = (255, 176, 0)
_QUIET_COLOUR: Final[Colour] = (100, 170, 255)


def write_test_card(
    path: Path,
    *,
    width: int = 1280,
    height: int = 720,
    rate: int | Fraction = 25,
    codec: str = "libx264",
    crf: int = 23,
) -> tuple[Span, ...]:
    """Writes the card and returns the spans in which a pipeline must alert.

    Blocks while it draws and encodes, for seconds.

    Args:
        path: Where the clip goes; its suffix chooses the container.
        width: Width in pixels, even.
        height: Height in pixels, even.
        rate: Frames per second.
        codec: `libx264` or `libx265`.
        crf: Constant rate factor. The scores hold up to 28.

    Raises:
        OutputError: The file cannot be written.
    """
    frame_count = math.floor(DURATION_S * rate)
    frames = (draw_frame(float(index / Fraction(rate)), width, height) for index in range(frame_count))
    write_video(path, frames, rate=rate, codec=codec, crf=crf)
    return ALERT_SPANS


def alerts_at(t_s: float) -> bool:
    """Returns whether the frame at `t_s` lies in an alert span."""
    return any(start_s <= t_s < end_s for start_s, end_s in ALERT_SPANS)


def draw_frame(t_s: float, width: int, height: int) -> Picture:
    """Returns the card at `t_s` seconds, RGB uint8 [height, width, 3]."""
    return draw_card(ALERT if alerts_at(t_s) else QUIET, t_s, width, height)


def draw_card(arrangement: Arrangement, t_s: float, width: int, height: int) -> Picture:
    """Returns an arrangement with the text of `t_s` over it, RGB uint8 [height, width, 3]."""
    picture = _stretch(_rasterise(arrangement), t_s, width, height)
    _draw_text(picture, t_s)
    _draw_timeline(picture, t_s)
    return picture


@functools.lru_cache(maxsize=4)
def _rasterise(arrangement: Arrangement) -> Picture:
    """Returns the arrangement with a margin on all sides, to drift in."""
    side = np.linspace(-_MARGIN, 1 + _MARGIN, _RASTER_PX, dtype=np.float32)
    u, v = np.meshgrid(side, side)
    canvas = _gradient(arrangement, u, v)
    for ellipse in arrangement.ellipses:
        opacity = _opacity(ellipse, u, v)[..., None]
        canvas += opacity * (np.array(ellipse.colour, np.float32) - canvas)
    return np.rint(canvas).astype(np.uint8)


def _gradient(arrangement: Arrangement, u: Plane, v: Plane) -> Plane:
    """Returns the background, [H, W, 3]: one colour on one side of the square, the other opposite."""
    start, end = (np.array(colour, np.float32) for colour in arrangement.gradient)
    angle = math.radians(arrangement.gradient_angle_deg)
    along = (u - 0.5) * math.cos(angle) + (v - 0.5) * math.sin(angle) + 0.5
    mixed = start + (end - start) * np.clip(along, 0, 1)[..., None]
    return mixed.astype(np.float32, copy=False)


def _opacity(ellipse: Ellipse, u: Plane, v: Plane) -> Plane:
    """Returns how much of each point the ellipse covers, [H, W] in 0 to 1."""
    angle = math.radians(ellipse.angle_deg)
    du, dv = u - ellipse.centre[0], v - ellipse.centre[1]
    along = (du * math.cos(angle) + dv * math.sin(angle)) / ellipse.semi_axes[0]
    across = (dv * math.cos(angle) - du * math.sin(angle)) / ellipse.semi_axes[1]
    covered = 0.5 + 0.5 * np.tanh((1 - np.hypot(along, across)) / (2 * ellipse.softness))
    return covered.astype(np.float32, copy=False)


def _stretch(raster: Picture, t_s: float, width: int, height: int) -> Picture:
    """Returns the raster's inner square at the frame's size, moved along the circle of the drift."""
    turn = 2 * math.pi * t_s / _DRIFT_PERIOD_S
    per_unit = _RASTER_PX / (1 + 2 * _MARGIN)
    left = (_MARGIN + _DRIFT * math.cos(turn)) * per_unit
    top = (_MARGIN + _DRIFT * math.sin(turn)) * per_unit
    to_raster = np.array([[per_unit / width, 0, left], [0, per_unit / height, top]])
    frame = cv2.warpAffine(raster, to_raster, (width, height), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
    return frame.astype(np.uint8, copy=False)


def _draw_text(picture: Picture, t_s: float) -> None:
    height, width = picture.shape[:2]
    band = _band_px(picture)
    picture[:band] = _BAND_COLOUR
    picture[height - band :] = _BAND_COLOUR
    verdict, colour = (
        ("SHOULD ALERT", _ALERT_COLOUR) if alerts_at(t_s) else ("SHOULD STAY QUIET", _QUIET_COLOUR)
    )
    tenths = math.floor(t_s * 10 + 1e-6)
    half = width // 2
    _put_text(picture[:band, :half], "TEST CARD", _WHITE)
    _put_text(picture[:band, half:], f"t = {tenths / 10:04.1f} s", _WHITE)
    _put_text(picture[height - band : height - band // 5], f"SPAN: {verdict}", colour)


def _put_text(box: Picture, text: str, colour: Colour) -> None:
    """Draws a line of text in the middle of the box, within nine tenths of its width and half its height."""
    font = cv2.FONT_HERSHEY_DUPLEX
    (unit_width, unit_height), _ = cv2.getTextSize(text, font, 1.0, 1)
    scale = min(0.9 * box.shape[1] / unit_width, 0.5 * box.shape[0] / unit_height)
    left = round((box.shape[1] - unit_width * scale) / 2)
    bottom = round((box.shape[0] + unit_height * scale) / 2)
    cv2.putText(box, text, (left, bottom), font, scale, colour, max(1, round(scale)), cv2.LINE_AA)


def _draw_timeline(picture: Picture, t_s: float) -> None:
    """Draws the whole card's spans along the lower edge, and a marker where `t_s` lies."""
    height, width = picture.shape[:2]
    per_second = width / DURATION_S
    strip = picture[height - _band_px(picture) // 5 :]
    strip[:] = _QUIET_COLOUR
    for start_s, end_s in ALERT_SPANS:
        strip[:, round(start_s * per_second) : round(end_s * per_second)] = _ALERT_COLOUR
    half_marker = max(1, width // 320)
    marker = round(t_s * per_second)
    strip[:, max(0, marker - half_marker) : marker + half_marker] = _WHITE


def _band_px(picture: Picture) -> int:
    shorter_side: int = min(picture.shape[:2])
    return max(10, round(_BAND * shorter_side))
