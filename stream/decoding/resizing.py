"""Resizing and cropping that needs no FFmpeg."""

import numpy as np
from PIL import Image

from stream.frames import ViewArray, ViewSpec

PILLOW = {
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "area": Image.Resampling.BOX,
}


def pillow_view(picture: Image.Image, spec: ViewSpec) -> ViewArray:
    """Returns the view of an upright RGB picture."""
    if spec.interpolation == "corners":
        return cropped(np.asarray(_corner_aligned(picture, spec), dtype=np.uint8), spec)
    return _centre_resized(picture, spec)


def _corner_aligned(picture: Image.Image, spec: ViewSpec) -> Image.Image:
    """Maps the view's corner pixels to the picture's; to Pillow, a pixel's centre is at a half."""
    size = (spec.resize_width_px, spec.resize_height_px)
    across = (picture.width - 1) / max(1, size[0] - 1)
    down = (picture.height - 1) / max(1, size[1] - 1)
    matrix = (across, 0.0, 0.5 - 0.5 * across, 0.0, down, 0.5 - 0.5 * down)
    return picture.transform(size, Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR)


def _centre_resized(picture: Image.Image, spec: ViewSpec) -> ViewArray:
    """Returns the view of an upright RGB picture: what Pillow's resize of all of it has at the centre."""
    across = picture.width / spec.resize_width_px
    down = picture.height / spec.resize_height_px
    left = (spec.resize_width_px - spec.crop_width_px) // 2
    top = (spec.resize_height_px - spec.crop_height_px) // 2
    box = (
        left * across,
        top * down,
        (left + spec.crop_width_px) * across,
        (top + spec.crop_height_px) * down,
    )
    size = (spec.crop_width_px, spec.crop_height_px)
    return np.asarray(picture.resize(size, PILLOW[spec.interpolation], box), dtype=np.uint8)


def cropped(pixels: ViewArray, spec: ViewSpec) -> ViewArray:
    """Returns the centre of `pixels` in the view's own size, contiguous in memory."""
    top = (spec.resize_height_px - spec.crop_height_px) // 2
    left = (spec.resize_width_px - spec.crop_width_px) // 2
    return np.ascontiguousarray(pixels[top : top + spec.crop_height_px, left : left + spec.crop_width_px])
