"""Whether a pulled model gives the scores of its reference implementation on this machine and runtime."""

from pathlib import Path
from typing import Final

import msgspec

from stream.config import GpuMode
from stream.frames import ViewArray, ViewSpec
from stream.scoring import store
from stream.scoring.classifier import Classifier, load_classifier
from stream.scoring.manifest import Manifest
from stream.scoring.pictures import golden_picture

_BATCH: Final = 1


class GoldenCheck(msgspec.Struct, frozen=True):
    """A golden score and what was made of it here.

    Attributes:
        picture: Name of the picture.
        label: Name of the class.
        expected: The reference implementation's score.
        seen: The score here.
        tolerance: Largest difference that is accepted.
    """

    picture: str
    label: str
    expected: float
    seen: float
    tolerance: float

    @property
    def passed(self) -> bool:
        """Whether the two agree."""
        return abs(self.seen - self.expected) <= self.tolerance


def verify(manifest: Manifest, cache: Path, gpu: GpuMode = "off") -> list[GoldenCheck]:
    """Verifies the digests of a pulled model and scores its golden pictures again.

    Raises:
        ModelNotPulled: The model is not in the cache.
        ModelHashMismatch: The model is damaged there.
        ModelGraphMismatch: ONNX Runtime refuses it, or it gives something else than scores.
        ProviderError: A GPU is required and cannot be used.
    """
    store.original_path(manifest, cache)
    return check(manifest, load_classifier(manifest, gpu, max_batch_size=_BATCH, cache=cache))


def check(manifest: Manifest, classifier: Classifier) -> list[GoldenCheck]:
    """Scores the golden pictures of `manifest` with a loaded model."""
    return [
        GoldenCheck(golden.picture, label, expected, scores[label], manifest.golden.tolerance)
        for golden in manifest.golden.pictures
        for scores in classifier.score([golden_view(golden.picture, classifier.view)])
        for label, expected in golden.scores.items()
    ]


def golden_view(picture: str, view: ViewSpec) -> ViewArray:
    """Returns a golden picture, made at the size that `view` resizes to, cropped at its centre."""
    left = (view.resize_width_px - view.crop_width_px) // 2
    top = (view.resize_height_px - view.crop_height_px) // 2
    whole = golden_picture(picture, view.resize_width_px, view.resize_height_px)
    return whole[top : top + view.crop_height_px, left : left + view.crop_width_px]
