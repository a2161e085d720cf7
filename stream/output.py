"""What all that writes files shares: one form of error, one form of line, one way to replace a file."""

import contextlib
import errno
import json
import os
from collections.abc import Iterator
from pathlib import Path

import msgspec

from stream.errors import OutputError

_ADVICE = {
    errno.ENOSPC: "free some space, or choose another folder",
    errno.EDQUOT: "the disk quota is used up: free some space, or choose another folder",
    errno.EFBIG: "raise the limit on the size of files, or choose another folder",
    errno.EROFS: "choose a folder that can be written to",
    errno.EACCES: "choose a folder that you may write to",
    errno.EPERM: "choose a folder that you may write to",
    errno.ENOTDIR: "a folder was expected: choose another name, or move the file away",
    errno.EEXIST: "a folder was expected: choose another name, or move the file away",
    errno.EISDIR: "a file was expected: move the folder away, or choose another folder",
    errno.EIO: "check the disk, or choose another folder",
}


@contextlib.contextmanager
def errors_of(path: Path) -> Iterator[None]:
    """Maps an `OSError` in the block to an `OutputError` that names the file, the cause and what to do."""
    try:
        yield
    except OSError as error:
        cause = error.strerror or str(error)
        advice = _ADVICE.get(error.errno or 0, "choose another folder")
        mapped = OutputError(f"{path}: cannot be written: {cause}; {advice}")
        mapped.errno = error.errno
        raise mapped from error


def json_line(struct: msgspec.Struct) -> bytes:
    r"""Returns `struct` as one line of JSON with its line feed.

    A text that is no Unicode, such as a file name with a stray byte, is written with `\udcXX` escapes, from
    which `json.loads` and `os.fsencode` make the same name again.
    """
    try:
        return msgspec.json.encode(struct) + b"\n"
    except UnicodeEncodeError:
        return json.dumps(msgspec.to_builtins(struct), separators=(",", ":")).encode("ascii") + b"\n"


def replace_file(path: Path, content: bytes) -> None:
    """Writes `content` to `path` so that a reader sees the old file or the new one, never a part.

    Raises:
        OutputError: The folder cannot be made or the file cannot be written; what was there is still there.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    with errors_of(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            _write_durably(part, content)
            part.replace(path)
        except OSError:
            with contextlib.suppress(OSError):
                part.unlink(missing_ok=True)
            raise


def remove_file(path: Path) -> None:
    """Removes `path` if it is there, so that no result of an earlier run can pass for one of this run.

    Raises:
        OutputError: It is there and cannot be removed.
    """
    with errors_of(path):
        path.unlink(missing_ok=True)


def _write_durably(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
