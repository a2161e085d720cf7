"""Files, folders and patterns on a command line to the files that are to be scored."""

import glob
import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

VIDEO_SUFFIXES = (
    *(".3g2", ".3gp", ".asf", ".avi", ".flv", ".h264", ".h265", ".hevc", ".ivf", ".m2ts", ".m2v", ".m4v"),
    *(".mjpeg", ".mjpg", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".mxf", ".nut", ".obu", ".ogv"),
    *(".ts", ".vob", ".webm", ".wmv", ".y4m"),
)
PICTURE_SUFFIXES = (".apng", ".avif", ".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
SUFFIXES = frozenset(VIDEO_SUFFIXES + PICTURE_SUFFIXES)
"""What is taken from a folder. A file that is named itself is always taken."""


@dataclass(frozen=True)
class FileItem:
    """A file to score, or a name that leads to none.

    Attributes:
        name: How it is called in results, as it was given.
        path: Where it is.
        problem: Why it cannot be scored, in words; None where it can be tried.
        code: A short, stable word for that problem.
    """

    name: str
    path: Path
    problem: str | None = None
    code: str | None = None


def find_files(names: Sequence[str]) -> list[FileItem]:
    """Returns the files behind `names` (files, folders, patterns), in order, each once.

    A name that leads nowhere becomes an item with a problem, so that it is reported and not forgotten.
    """
    items: dict[Path, FileItem] = {}
    for name in names:
        for item in _items(name):
            where = Path(os.path.abspath(item.path))  # noqa: PTH100 - links are files of their own
            items.setdefault(where, item)
    return list(items.values())


def _items(name: str) -> Iterator[FileItem]:
    path = Path(name)
    if not name:
        yield FileItem(name, path, "cannot be opened: the name is empty", "missing")
        return
    try:
        mode = path.stat().st_mode
    except OSError as error:
        yield from _matches(name, error)
        return
    if stat.S_ISDIR(mode):
        yield from _folder(path)
    else:
        yield _file(name, mode)


def _matches(name: str, error: OSError) -> Iterator[FileItem]:
    matches = _expanded(name)
    if not matches:
        said = "no file matches this pattern" if glob.has_magic(name) else error.strerror or str(error)
        yield FileItem(name, Path(name), f"cannot be opened: {said}", "missing")
    for match in matches:
        yield from _items(match)


def _expanded(name: str) -> list[str]:
    if not glob.has_magic(name):
        return []
    return sorted(glob.glob(name, recursive=True))  # noqa: PTH207 - Path.glob takes no absolute patterns


def _folder(path: Path) -> Iterator[FileItem]:
    found = False
    for folder, folders, files in os.walk(path):
        folders.sort()
        for file in sorted(files):
            if Path(file).suffix.lower() in SUFFIXES:
                found = True
                yield from _items(str(Path(folder) / file))
    if not found:
        yield FileItem(str(path), path, "the folder holds no video or picture file", "empty_folder")


def _file(name: str, mode: int) -> FileItem:
    if stat.S_ISREG(mode):
        return FileItem(name, Path(name))
    kinds = {
        stat.S_IFIFO: "a named pipe",
        stat.S_IFSOCK: "a socket",
        stat.S_IFCHR: "a device",
        stat.S_IFBLK: "a device",
    }
    kind = kinds.get(stat.S_IFMT(mode), "something else")
    return FileItem(name, Path(name), f"expected a file, found {kind}", "not_a_file")
