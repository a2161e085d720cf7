"""Files, folders and patterns on a command line to the files that are to be scored."""

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from stream.sources.file import SUFFIXES, FileItem, find_files


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of some files, which is the working folder."""
    for name in ["b.mp4", "a.MKV", "notes.txt", "inner/c.jpg", "inner/deep/d.webm", "x[1].mp4"]:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def names(*given: str) -> list[str]:
    return [item.name for item in find_files(given)]


def problem(name: str) -> tuple[str | None, str | None]:
    (item,) = find_files([name])
    return item.code, item.problem


@pytest.mark.usefixtures("here")
class TestNames:
    def test_a_file_keeps_the_name_that_it_was_given(self) -> None:
        assert find_files(["./b.mp4"]) == [FileItem("./b.mp4", Path("b.mp4"))]

    def test_files_come_in_the_order_given(self) -> None:
        assert names("b.mp4", "a.MKV") == ["b.mp4", "a.MKV"]

    def test_a_file_that_is_named_is_taken_whatever_its_suffix(self) -> None:
        assert names("notes.txt") == ["notes.txt"]
        assert problem("notes.txt") == (None, None)

    def test_a_folder_gives_its_videos_and_pictures_sorted_with_those_in_inner_folders(self) -> None:
        assert names(".") == ["a.MKV", "b.mp4", "x[1].mp4", "inner/c.jpg", "inner/deep/d.webm"]

    def test_a_pattern_gives_what_matches_sorted(self) -> None:
        assert names("*.[mM]*") == ["a.MKV", "b.mp4", "x[1].mp4"]

    def test_a_pattern_with_two_stars_looks_into_folders(self) -> None:
        assert names("**/*.webm") == ["inner/deep/d.webm"]

    def test_a_pattern_that_matches_a_folder_gives_what_is_in_it(self) -> None:
        assert names("inn*") == ["inner/c.jpg", "inner/deep/d.webm"]

    def test_a_file_whose_name_looks_like_a_pattern_is_that_file(self) -> None:
        assert names("x[1].mp4") == ["x[1].mp4"]

    def test_a_file_is_taken_once_however_often_it_is_named(self, here: Path) -> None:
        assert names("b.mp4", "./b.mp4", str(here / "b.mp4"), "*.mp4", "inner/../b.mp4") == [
            "b.mp4",
            "x[1].mp4",
        ]

    def test_nothing_given_is_nothing_found(self) -> None:
        assert find_files([]) == []


@pytest.mark.usefixtures("here")
class TestProblems:
    def test_a_name_that_leads_nowhere_is_reported(self) -> None:
        assert problem("gone.mp4") == ("missing", "cannot be opened: No such file or directory")

    def test_a_pattern_that_matches_nothing_is_reported(self) -> None:
        assert problem("*.nope") == ("missing", "cannot be opened: no file matches this pattern")

    def test_a_folder_without_videos_is_reported(self, here: Path) -> None:
        (here / "empty").mkdir()
        assert problem("empty") == ("empty_folder", "the folder holds no video or picture file")

    def test_a_named_pipe_is_reported_and_not_waited_for(self) -> None:
        os.mkfifo("pipe.mp4")
        assert problem("pipe.mp4") == ("not_a_file", "expected a file, found a named pipe")

    def test_a_socket_is_reported(self) -> None:
        with socket.socket(socket.AF_UNIX) as server:
            server.bind("s.mp4")
            assert problem("s.mp4") == ("not_a_file", "expected a file, found a socket")

    def test_a_device_is_reported(self) -> None:
        assert problem("/dev/zero") == ("not_a_file", "expected a file, found a device")

    def test_a_link_to_nothing_is_reported(self) -> None:
        Path("link.mp4").symlink_to("gone.mp4")
        assert problem("link.mp4")[0] == "missing"

    def test_a_link_to_nothing_in_a_folder_is_reported(self) -> None:
        Path("inner/link.mp4").symlink_to("gone.mp4")
        assert [item.code for item in find_files(["inner"])] == [None, "missing", None]

    def test_links_in_a_circle_end(self) -> None:
        Path("inner/again").symlink_to(Path("inner").absolute())
        Path("inner/loop.mp4").symlink_to("loop.mp4")
        assert [item.code for item in find_files(["inner"])] == [None, "missing", None]

    def test_a_name_that_is_too_long_is_reported(self) -> None:
        assert problem("x" * 300 + ".mp4")[0] == "missing"

    def test_an_empty_name_is_reported(self) -> None:
        """It comes of a variable that is not set, not of the wish to score the working folder."""
        assert [item.code for item in find_files([""])] == ["missing"]

    def test_what_was_found_beside_a_problem_is_kept(self) -> None:
        assert names("gone.mp4", "b.mp4") == ["gone.mp4", "b.mp4"]


def test_a_name_of_stray_bytes_is_kept(here: Path) -> None:
    name = os.fsdecode(b"caf\xe9.mp4")
    (here / name).write_bytes(b"x")
    assert names(name) == [name]


@pytest.mark.parametrize("change", [str.lower, str.upper], ids=["lower", "upper"])
def test_suffixes_count_in_either_case(tmp_path: Path, change: Callable[[str], str]) -> None:
    for suffix in SUFFIXES:
        (tmp_path / f"clip{change(suffix)}").write_bytes(b"x")
    assert len(find_files([str(tmp_path)])) == len(SUFFIXES)
