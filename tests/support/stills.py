"""Still and animated pictures as people send them, each carrying a frame number."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
from PIL import Image

from tests.support.media import Picture, frame_picture

_ORIENTATION_TAG: Final = 0x0112
_STORED_AS: Final[dict[int, Callable[[Picture], Picture]]] = {
    1: lambda upright: upright,
    2: np.fliplr,
    3: lambda upright: np.rot90(upright, 2),
    4: np.flipud,
    5: lambda upright: np.transpose(upright, (1, 0, 2)),
    6: lambda upright: np.rot90(upright, 1),
    7: lambda upright: np.rot90(np.transpose(upright, (1, 0, 2)), 2),
    8: lambda upright: np.rot90(upright, -1),
}
"""By EXIF orientation: how a camera stores a picture that is shown upright (EXIF 2.32, 4.6.4, tag 274)."""

MODES: Final = ("RGB", "L", "P", "RGBA", "LA", "1", "I;16", "CMYK")
"""Pillow's names of the pixel layouts that `still` writes."""


def still(path: Path, number: int = 7, size: tuple[int, int] = (320, 180), mode: str = "RGB") -> Path:
    """Writes a picture; the suffix chooses PNG, JPEG, BMP, WebP or TIFF, `mode` one of `MODES`.

    A picture with alpha is transparent in its left half; its colours carry the number all the same.

    Raises:
        OSError: the format has no such mode (PNG and BMP no CMYK, JPEG no alpha and no palette, ...).
    """
    kept_below_alpha: dict[str, Any] = {"exact": True} if path.suffix == ".webp" else {}
    _in_mode(Image.fromarray(frame_picture(number, *size)), mode).save(path, **kept_below_alpha)
    return path


def jpeg_turned(path: Path, orientation: int, number: int = 7) -> Path:
    """Writes a JPEG that is upright, 320x180 and readable once its EXIF `orientation` (1 to 8) is applied."""
    picture = Image.fromarray(np.ascontiguousarray(_STORED_AS[orientation](frame_picture(number, 320, 180))))
    exif = picture.getexif()
    exif[_ORIENTATION_TAG] = orientation
    picture.save(path, exif=exif)
    return path


def animation(path: Path, numbers: tuple[int, ...] = tuple(range(10)), frame_ms: int = 100) -> Path:
    """Writes an animated WebP, GIF or PNG (APNG) of 160x120, each frame `frame_ms` long."""
    pictures = [Image.fromarray(frame_picture(number, 160, 120)) for number in numbers]
    settings: dict[str, Any] = {"lossless": True} if path.suffix == ".webp" else {}
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=frame_ms, loop=0, **settings)
    return path


def _in_mode(picture: Image.Image, mode: str) -> Image.Image:
    if mode in {"RGBA", "LA"}:
        alpha = np.full((picture.height, picture.width), 255, np.uint8)
        alpha[:, : picture.width // 2] = 0
        layered = picture.convert(mode)
        layered.putalpha(Image.fromarray(alpha))
        return layered
    if mode == "I;16":
        return Image.fromarray(np.asarray(picture.convert("L")).astype(np.uint16) * 257)
    if mode == "P":
        return picture.quantize(16)
    return picture.convert(mode)
