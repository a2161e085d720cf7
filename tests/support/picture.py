"""A picture that carries its frame number, so that a test knows exactly which frames arrived.

The number and a check of it are drawn as a grid of large black and white cells in the middle three quarters
of the frame. The cells survive lossy coding, chroma subsampling, scaling to 256x256 and a centre crop of 224
from 256. A picture that is mirrored, turned, torn or mixed from two frames fails the check and reads as None.
Above the grid the frame is red and below it blue, so that swapped channels show.
"""

from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

Picture: TypeAlias = NDArray[np.uint8]
"""uint8 [H, W, 3], RGB, 0 to 255."""

MAX_NUMBER: Final = 2**16 - 1
WHOLE: Final = 1.0
CENTRE_224_OF_256: Final = 224 / 256

_CELLS: Final = 6
_GRID: Final = 0.75
_NUMBER_BITS: Final = 16
_CHECK_BITS: Final = _CELLS * _CELLS - _NUMBER_BITS
_BLACK_BELOW: Final = 96.0
_WHITE_ABOVE: Final = 160.0
_RED: Final = (200, 40, 40)
_BLUE: Final = (40, 40, 200)


def frame_picture(number: int, width: int, height: int) -> Picture:
    """Returns the uint8 [height, width, 3] RGB picture that carries `number`.

    Readable from 48x48 pixels on; smaller pictures are drawn all the same.

    Raises:
        ValueError: `number` does not fit into 16 bits.
    """
    if not 0 <= number <= MAX_NUMBER:
        raise ValueError(f"frame number {number} is outside 0..{MAX_NUMBER}")
    picture = np.empty((height, width, 3), np.uint8)
    picture[: height // 2] = _RED
    picture[height // 2 :] = _BLUE
    rows, columns = _edges(height, WHOLE), _edges(width, WHOLE)
    for index, bit in enumerate(_word(number)):
        row, column = divmod(index, _CELLS)
        picture[rows[row] : rows[row + 1], columns[column] : columns[column + 1]] = 255 * bit
    return picture


def read_number(
    picture: NDArray[np.uint8], shown: tuple[float, ...] = (WHOLE, CENTRE_224_OF_256)
) -> int | None:
    """Returns the number that a uint8 [H, W, 3] (or grey [H, W]) picture of any size carries, or None.

    Args:
        picture: The picture, in any channel order.
        shown: The parts of the frame's width and height that `picture` may show, around its centre.
    """
    luma = picture.astype(np.float32)
    luma = luma.mean(axis=2) if luma.ndim == 3 else luma
    for part in shown:
        number = _read(luma, part)
        if number is not None:
            return number
    return None


def _read(luma: NDArray[np.float32], shown: float) -> int | None:
    rows, columns = _edges(luma.shape[0], shown), _edges(luma.shape[1], shown)
    if min(np.diff(rows).min(), np.diff(columns).min()) < 3:
        return None
    bits = []
    for index in range(_CELLS * _CELLS):
        row, column = divmod(index, _CELLS)
        level = _middle(luma[rows[row] : rows[row + 1], columns[column] : columns[column + 1]]).mean()
        if _BLACK_BELOW <= level <= _WHITE_ABOVE:
            return None
        bits.append(level > _WHITE_ABOVE)
    number = sum(int(bit) << place for place, bit in enumerate(bits[:_NUMBER_BITS]))
    return number if bits == _word(number) else None


def _middle(cell: NDArray[np.float32]) -> NDArray[np.float32]:
    """Returns the middle half of a cell, which ringing and scaling at its edges leave alone."""
    high, wide = (max(1, side // 4) for side in cell.shape)
    return cell[high : cell.shape[0] - high, wide : cell.shape[1] - wide]


def _edges(length_px: int, shown: float) -> NDArray[np.int64]:
    """Returns the 7 edges of the cells along a side of `length_px`, which shows this part of the frame's."""
    fractions = np.linspace(0.5 - _GRID / 2 / shown, 0.5 + _GRID / 2 / shown, _CELLS + 1)
    return np.rint(fractions * length_px).astype(np.int64)


def _word(number: int) -> list[bool]:
    """Returns the 36 cells: 16 bits of the number, lowest first, then 20 of a multiplicative hash of it."""
    check = ((number + 1) * 2654435761 % 2**32) >> (32 - _CHECK_BITS)
    word = number | check << _NUMBER_BITS
    return [bool(word >> place & 1) for place in range(_CELLS * _CELLS)]
