"""Virtual environments of the peers: each has its own, so that none has to fit the product's dependencies."""

import hashlib
import subprocess
import sys
from pathlib import Path
from typing import Final

from tests.bench.process import BenchError, last_line

_REQUIREMENTS: Final = Path(__file__).parent
_LIMIT_S: Final = 900


def environment(peer: str, folder: Path) -> Path:
    """Returns the Python of the peer's environment, which is made where it is missing or out of date.

    Raises:
        BenchError: It cannot be made on this machine; the next call tries again.
    """
    requirements = _REQUIREMENTS / f"requirements-{peer}.txt"
    home = folder / peer
    stamp, wanted = home / ".made-from", _fingerprint(requirements)
    if not stamp.exists() or stamp.read_text() != wanted:
        print(f"Making the environment of {peer}", file=sys.stderr, flush=True)
        _run([sys.executable, "-m", "venv", "--clear", str(home)])
        _run([str(home / "bin/python"), *_PIP, "--requirement", str(requirements)])
        stamp.write_text(wanted)
    return home / "bin/python"


_PIP: Final = [
    "-m",
    "pip",
    "--disable-pip-version-check",
    "install",
    "--quiet",
    "--require-hashes",
    "--no-deps",
]


def _fingerprint(requirements: Path) -> str:
    return hashlib.sha256(sys.version.encode() + requirements.read_bytes()).hexdigest()


def _run(command: list[str]) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_LIMIT_S, check=False)
    except subprocess.TimeoutExpired as error:
        raise BenchError(f"not installed within {_LIMIT_S} s") from error
    if done.returncode:
        raise BenchError(f"not installed: {last_line(done.stderr)}")
