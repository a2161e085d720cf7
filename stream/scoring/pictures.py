"""Pictures that golden scores are kept for: made from a name alone, equal to the bit on every machine.

They are abstract (gradients, ellipses, noise), so that nothing has to be shipped, licensed or looked at. Only
integer arithmetic and the raw output of PCG64 are used: NumPy promises to keep that stream but not those of
its distributions, and no mathematics library rounds differently.
"""

from collections.abc import Callable, Mapping
from typing import Final

import numpy as np
import numpy.typing as npt

from stream.frames import ViewArray

_ELLIPSES: Final = 14


def golden_picture(name: str, width_px: int, height_px: int) -> ViewArray:
    """Returns the picture `kind-seed`, such as `ellipses-7`, as `uint8 [H, W, 3]` RGB.

    Raises:
        ValueError: The name is not of that form, or its kind is unknown.
    """
    kind, _, seed = name.rpartition("-")
    if kind not in _KINDS or not seed.isdecimal():
        raise ValueError(f"no golden picture {name!r}: expected {', '.join(_KINDS)}, a hyphen and a number")
    return _KINDS[kind](np.random.PCG64(int(seed)), width_px, height_px)


def _colours(bits: np.random.PCG64, count: int) -> npt.NDArray[np.int64]:
    return (bits.random_raw((count, 3)) >> np.uint64(40) & np.uint64(255)).astype(np.int64)


def _below(bits: np.random.PCG64, limit: int) -> int:
    """Returns a number from 0 to `limit - 1`; the bias of the modulo is of no consequence here."""
    return int(bits.random_raw()) % limit


def _gradient(bits: np.random.PCG64, width: int, height: int) -> ViewArray:
    """Returns a blend of four colours, one in each corner."""
    corners = _colours(bits, 4).reshape(2, 2, 1, 1, 3)
    y, x = np.mgrid[0:height, 0:width][..., None]
    far_y, far_x = height - 1 - y, width - 1 - x
    mixed = (corners[0, 0] * far_x + corners[0, 1] * x) * far_y + (
        corners[1, 0] * far_x + corners[1, 1] * x
    ) * y
    picture: ViewArray = (mixed // ((width - 1) * (height - 1))).astype(np.uint8)
    return picture


def _ellipses(bits: np.random.PCG64, width: int, height: int) -> ViewArray:
    """Returns filled ellipses of one colour each over a gradient."""
    picture = _gradient(bits, width, height)
    y, x = np.mgrid[0:height, 0:width]
    for colour in _colours(bits, _ELLIPSES):
        centre_x, centre_y = _below(bits, width), _below(bits, height)
        radius_x, radius_y = 4 + _below(bits, width // 3), 4 + _below(bits, height // 3)
        inside = ((x - centre_x) * radius_y) ** 2 + ((y - centre_y) * radius_x) ** 2 < (
            radius_x * radius_y
        ) ** 2
        picture[inside] = colour
    return picture


def _noise(bits: np.random.PCG64, width: int, height: int) -> ViewArray:
    """Returns a colour of its own for every pixel: the hardest case for a JPEG step."""
    return _colours(bits, width * height).reshape(height, width, 3).astype(np.uint8)


_KINDS: Final[Mapping[str, Callable[[np.random.PCG64, int, int], ViewArray]]] = {
    "gradient": _gradient,
    "ellipses": _ellipses,
    "noise": _noise,
}
