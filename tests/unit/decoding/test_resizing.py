"""Pillow's views: equal to what the models' references do with the whole picture."""

import numpy as np
import pytest
from PIL import Image

from stream.decoding.resizing import pillow_view
from stream.frames import ViewArray, ViewSpec
from tests.support.picture import frame_picture

SIZES = [(1280, 720), (333, 517), (64, 64), (1, 1), (1919, 3)]


@pytest.mark.parametrize("size", SIZES)
def test_a_crop_equals_the_crop_of_the_whole_resize(size: tuple[int, int]) -> None:
    picture = Image.fromarray(np.random.default_rng(7).integers(0, 256, (*size[::-1], 3), dtype=np.uint8))
    whole = np.asarray(picture.resize((256, 256), Image.Resampling.BILINEAR))

    view = pillow_view(picture, ViewSpec(256, 256, 224, 224, resizer="pillow"))
    np.testing.assert_array_equal(view, whole[16:240, 16:240])


def corner_aligned(picture: ViewArray, width: int, height: int) -> np.ndarray:
    """`resizeBilinear` with `alignCorners`, as TensorFlow.js computes it, in double precision."""
    rows = np.linspace(0, picture.shape[0] - 1, height)
    columns = np.linspace(0, picture.shape[1] - 1, width)
    top, left = np.floor(rows).astype(int), np.floor(columns).astype(int)
    bottom = np.minimum(top + 1, picture.shape[0] - 1)
    right = np.minimum(left + 1, picture.shape[1] - 1)
    down, across = (rows - top)[:, None, None], (columns - left)[None, :, None]
    pixels = picture.astype(float)
    upper = pixels[top][:, left] * (1 - across) + pixels[top][:, right] * across
    lower = pixels[bottom][:, left] * (1 - across) + pixels[bottom][:, right] * across
    return upper * (1 - down) + lower * down


@pytest.mark.parametrize("size", [(1280, 720), (333, 517), (224, 224), (100, 60)])
def test_corners_are_aligned_as_tensorflow_js_aligns_them(size: tuple[int, int]) -> None:
    picture = frame_picture(4321, *size)
    spec = ViewSpec(224, 224, 224, 224, "corners", "pillow")

    seen = pillow_view(Image.fromarray(picture), spec).astype(float)
    differences = np.abs(seen - corner_aligned(picture, 224, 224))
    assert differences.max() <= 1.0, "a grey level is lost to rounding, and no more"
