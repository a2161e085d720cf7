"""The last step of every view."""

import numpy as np

from stream.frames import ViewArray, ViewSpec


def cropped(pixels: ViewArray, spec: ViewSpec) -> ViewArray:
    """Returns the centre of `pixels` in the view's own size, contiguous in memory."""
    top = (spec.resize_height_px - spec.crop_height_px) // 2
    left = (spec.resize_width_px - spec.crop_width_px) // 2
    return np.ascontiguousarray(pixels[top : top + spec.crop_height_px, left : left + spec.crop_width_px])
