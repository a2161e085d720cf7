"""A whole-frame classifier: views in, scores by label out."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import cv2
import numpy as np

from stream.config import GpuMode, Scoring
from stream.errors import ModelGraphMismatch
from stream.frames import ViewArray, ViewSpec
from stream.resources import models_folder
from stream.scoring import store
from stream.scoring.manifest import Manifest, choose, load_manifests
from stream.scoring.session import ModelSession, Provider, ScoreArray, open_session

_CPU_BATCH: Final = 4
"""Largest batch on a CPU. Measured with open_nsfw, JPEG step included, on one core of an AMD EPYC: 10.1 ms an
image alone, 9.5 in fours, 9.6 in eights, which take 25 MB more."""

_ROUNDING: Final = 1e-5
"""How far float32 may carry a softmax beyond 0 or 1."""


class Classifier:
    """Scores views with one model. `score` may be called from several threads at once.

    Attributes:
        name: Name of the model.
        version: Its full version, such as `open_nsfw@0.0.6+1f0c9a52`.
        view: The view that it wants.
        labels: The labels that it gives a score for.
        provider: What it runs on.
        fallback_reason: Why it does not run on the GPU that was preferred; None where it runs as asked.
    """

    def __init__(self, manifest: Manifest, session: ModelSession, *, max_batch_size: int) -> None:
        self.name = manifest.name
        self.version = manifest.full_version
        self.view: ViewSpec = manifest.input.view_spec
        self.labels = manifest.outputs.report
        self.provider: Provider = session.provider
        self.fallback_reason = session.fallback_reason
        self._session = session
        self._classes = manifest.outputs.classes
        self._columns = [self._classes.index(label) for label in self.labels]
        self._jpeg_quality = manifest.input.jpeg_quality
        self._sizes = batch_sizes(session.provider, max_batch_size)

    def score(self, views: Sequence[ViewArray]) -> list[dict[str, float]]:
        """Returns one score in [0, 1] for each label, for each view. Blocks while the model runs.

        Raises:
            ValueError: A view is not as `view` says.
            ModelGraphMismatch: The model gave something else than scores.
            ProviderError: The provider failed.
        """
        return [scores for batch in self._batches(views) for scores in self._run(batch, views)]

    def warm(self) -> None:
        """Runs a batch of every size that there will be, so that no frame waits for preparations.

        Raises:
            ModelGraphMismatch: The model gave something else than scores.
            ProviderError: The provider failed.
        """
        for size in self._sizes:
            self.score([np.zeros(self.view.shape, np.uint8)] * size)

    def _batches(self, views: Sequence[ViewArray]) -> Iterator[range]:
        largest = self._sizes[-1]
        for start in range(0, len(views), largest):
            yield range(start, min(start + largest, len(views)))

    def _run(self, chosen: range, views: Sequence[ViewArray]) -> list[dict[str, float]]:
        batch = np.zeros((self._padded(len(chosen)), *self.view.shape), np.uint8)
        for row, index in enumerate(chosen):
            batch[row] = self._prepared(views[index])
        scores = self._checked(self._session.run(batch)[: len(chosen)], len(chosen))
        return [dict(zip(self.labels, row, strict=True)) for row in scores[:, self._columns].tolist()]

    def _padded(self, count: int) -> int:
        """Returns the batch size to run: a GPU is only given sizes that it was warmed with."""
        if self.provider == "cpu":
            return count
        return next(size for size in self._sizes if size >= count)

    def _prepared(self, view: ViewArray) -> ViewArray:
        if view.shape != self.view.shape or view.dtype != np.uint8:
            raise ValueError(
                f"{self.name}: expected a view uint8 {self.view.shape}, got {view.dtype} {view.shape}"
            )
        return view if self._jpeg_quality is None else jpeg_round_trip(view, self._jpeg_quality)

    def _checked(self, scores: ScoreArray, count: int) -> ScoreArray:
        """Returns `scores` within [0, 1]; NaN, which no limit catches, must not pass for a low score."""
        expected = (count, len(self._classes))
        if scores.shape != expected:
            raise ModelGraphMismatch(
                f"{self.name}: the model gave scores of shape {scores.shape}, expected {expected}"
            )
        if not np.all((scores >= -_ROUNDING) & (scores <= 1 + _ROUNDING)):
            raise ModelGraphMismatch(
                f"{self.name}: the model gave {scores.min()} to {scores.max()}, expected scores from 0 to 1; "
                f"is `activation` in its manifest right?"
            )
        return scores.clip(0.0, 1.0)


def batch_sizes(provider: Provider, max_batch_size: int) -> tuple[int, ...]:
    """Returns the batch sizes to prepare, rising: powers of two up to the largest, on a CPU up to 4."""
    largest = max_batch_size if provider == "cuda" else min(max_batch_size, _CPU_BATCH)
    powers = [1 << exponent for exponent in range(largest.bit_length())]
    return tuple(sorted({*powers, largest}))


def jpeg_round_trip(view: ViewArray, quality: int) -> ViewArray:
    """Returns `view` encoded as JPEG (4:2:0) and decoded again.

    Equal to the bit to Pillow's round trip, which reference implementations use, as both wheels carry
    libjpeg-turbo; and a fifth faster (0.25 to 0.4 ms for 224x224).
    """
    options = [
        *(cv2.IMWRITE_JPEG_QUALITY, quality),
        *(cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420),
    ]
    encoded = cv2.imencode(".jpg", cv2.cvtColor(view, cv2.COLOR_RGB2BGR), options)[1]
    decoded = cv2.imdecode(encoded, cv2.IMREAD_COLOR_RGB)
    assert decoded is not None, "a JPEG that was just encoded is decodable"
    return decoded.astype(np.uint8, copy=False)


def load_classifier(manifest: Manifest, gpu: GpuMode, *, max_batch_size: int, cache: Path) -> Classifier:
    """Returns a pulled model, verified and loaded.

    Raises:
        ModelNotPulled: The model is not in the cache.
        ModelHashMismatch: The model is damaged there.
        ModelGraphMismatch: ONNX Runtime refuses it.
        ProviderError: A GPU is required and cannot be used.
    """
    session = open_session(store.model_path(manifest, cache), gpu)
    return Classifier(manifest, session, max_batch_size=max_batch_size)


def load_classifiers(
    names: Sequence[str], scoring: Scoring, *, models: Path | None = None, cache: Path | None = None
) -> list[Classifier]:
    """Returns the named models in that order, verified and loaded; `warm` them before the first frame.

    Args:
        names: Names of models.
        scoring: How they are to run.
        models: Folder of the manifests; default: the installation's own.
        cache: Folder of the cache; default: the user's own.

    Raises:
        ConfigError: A name is unknown, or a manifest is refused.
        ModelNotPulled: A model is not in the cache.
        ModelHashMismatch: A model is damaged there.
        ModelGraphMismatch: ONNX Runtime refuses a model.
        ProviderError: A GPU is required and cannot be used.
    """
    manifests = choose(load_manifests(models or models_folder()), names)
    folder = cache or store.cache_folder()
    size = scoring.max_batch_size
    return [load_classifier(each, scoring.gpu, max_batch_size=size, cache=folder) for each in manifests]
