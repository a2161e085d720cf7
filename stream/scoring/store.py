"""The cache of models: one folder for each digest of a manifest, complete or not there.

    <cache>/models/open_nsfw/1f0c9a52b7d3/
        model.onnx       the graph with its preprocessing: views in, scores out
        original.onnx    the file that the manifest pins, as its author gave it out; where it is in several,
                         or in another format, original-<name> for each
        record.json      the digest of model.onnx

A folder is written beside its place and renamed into it, so that a reader never sees half of one, and two
processes that pull the same model end with the same one.
"""

import contextlib
import errno
import hashlib
import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Final

import msgspec

from stream.errors import ModelHashMismatch, ModelNotPulled
from stream.scoring.manifest import Manifest

_MODEL: Final = "model.onnx"
_ORIGINAL: Final = "original"
_RECORD: Final = "record.json"


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """What a folder of the cache holds.

    Attributes:
        version: Full version of the model.
        model_sha256: Digest of `model.onnx`.
    """

    version: str
    model_sha256: str


def cache_folder(environ: Mapping[str, str] = os.environ) -> Path:
    """Returns Framewarden's cache: `FRAMEWARDEN_CACHE`, else below `XDG_CACHE_HOME`, else below `~/.cache`.

    A relative `XDG_CACHE_HOME` is passed over, as the XDG Base Directory Specification wants it.
    """
    if own := environ.get("FRAMEWARDEN_CACHE"):
        return Path(own).expanduser().absolute()
    xdg = Path(environ.get("XDG_CACHE_HOME", ""))
    return (xdg if xdg.is_absolute() else Path.home() / ".cache") / "framewarden"


def model_path(manifest: Manifest, cache: Path) -> Path:
    """Returns the file of a pulled model, its digest verified (0.1 s for 100 MB).

    Raises:
        ModelNotPulled: It is not in the cache.
        ModelHashMismatch: It is not what was written there.
    """
    path = _folder(manifest, cache) / _MODEL
    _require(path, _read_record(manifest, cache).model_sha256, manifest)
    return path


def original_path(manifest: Manifest, cache: Path) -> Path:
    """Returns the first file as its author gave it out; the digests of all are verified.

    Raises:
        ModelNotPulled: One is not in the cache.
        ModelHashMismatch: One is not what the manifest pins.
    """
    paths = [_folder(manifest, cache) / name for name in _original_names(manifest)]
    for path, member in zip(paths, manifest.source.members, strict=True):
        _require(path, member.sha256, manifest)
    return paths[0]


def is_pulled(manifest: Manifest, cache: Path) -> bool:
    """Returns whether the model is in the cache; its digest is not verified."""
    return (_folder(manifest, cache) / _RECORD).is_file()


def keep(manifest: Manifest, cache: Path, *, originals: Sequence[bytes], model: bytes) -> Path:
    """Writes a model into the cache, in place of what is there, and returns the file to load.

    Args:
        manifest: Its manifest.
        cache: Folder of the cache.
        originals: Its original files, as many and in the order that the manifest pins.
        model: The built model.

    Raises:
        OSError: The cache cannot be written.
    """
    folder = _folder(manifest, cache)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".pull-", dir=folder.parent) as temporary:
        fresh = Path(temporary) / "fresh"
        _write(fresh, manifest, originals, model)
        if not _place(fresh, folder) and not _is_whole(manifest, cache):
            with contextlib.suppress(FileNotFoundError):
                folder.rename(Path(temporary) / "damaged")
            _place(fresh, folder)
    return folder / _MODEL


def _write(folder: Path, manifest: Manifest, originals: Sequence[bytes], model: bytes) -> None:
    folder.mkdir()
    record = Record(version=manifest.full_version, model_sha256=hashlib.sha256(model).hexdigest())
    for name, original in zip(_original_names(manifest), originals, strict=True):
        (folder / name).write_bytes(original)
    (folder / _MODEL).write_bytes(model)
    (folder / _RECORD).write_bytes(msgspec.json.encode(record))


def _original_names(manifest: Manifest) -> list[str]:
    """Returns the names of the original files in the cache, in the order of the manifest."""
    source = manifest.source
    if source.format == "onnx":
        return [f"{_ORIGINAL}.onnx"]
    return [f"{_ORIGINAL}-{PurePosixPath(member.path).name}" for member in source.members]


def _place(fresh: Path, folder: Path) -> bool:
    """Renames `fresh` to `folder` and returns True, or returns False where there is one already."""
    try:
        fresh.rename(folder)
    except OSError as error:
        if error.errno not in {errno.ENOTEMPTY, errno.EEXIST}:
            raise
        return False
    return True


def _is_whole(manifest: Manifest, cache: Path) -> bool:
    try:
        model_path(manifest, cache)
        original_path(manifest, cache)
    except (ModelNotPulled, ModelHashMismatch):
        return False
    return True


def _require(path: Path, sha256: str, manifest: Manifest) -> None:
    try:
        with path.open("rb") as file:
            seen = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise _not_pulled(manifest, path) from error
    if seen != sha256:
        raise _damaged(manifest, path, f"its sha256 is {seen}, expected {sha256}")


def _read_record(manifest: Manifest, cache: Path) -> Record:
    path = _folder(manifest, cache) / _RECORD
    try:
        return msgspec.json.decode(path.read_bytes(), type=Record)
    except OSError as error:
        raise _not_pulled(manifest, path) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise _damaged(manifest, path, str(error)) from error


def _not_pulled(manifest: Manifest, path: Path) -> ModelNotPulled:
    return ModelNotPulled(
        f"model {manifest.name!r} is not here: {path} cannot be read; "
        f"run: framewarden models pull {manifest.name}"
    )


def _damaged(manifest: Manifest, path: Path, seen: str) -> ModelHashMismatch:
    return ModelHashMismatch(f"{path}: damaged, {seen}; run: framewarden models pull {manifest.name}")


def _folder(manifest: Manifest, cache: Path) -> Path:
    return cache / "models" / manifest.name / manifest.digest[:12]
