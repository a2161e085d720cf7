"""Whatever README.md and docs/ tell a reader to type is typed here, and must do what stands below it.

The blocks of a page run in order, in a folder of its own that holds `framewarden.toml`, `clip.mp4` and
`photo.jpg`. In a `console` block, lines that begin with `$ ` are commands, and the lines below are what they
print on stdout: as in doctest, `...` stands for anything, and white space does not count. `$ echo $?` shows
an exit code. Of scores the first decimal counts: what x264 makes of a clip depends on the number of cores.
"""

import doctest
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest

from stream.config import parse_config
from stream.scoring.manifest import Manifest
from tests.support.media import write_clip
from tests.support.stills import still

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
LANGUAGES = {"console", "python", "toml", "json", "text"}
LIKE = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


@dataclass(frozen=True)
class Block:
    page: str
    line: int
    language: str
    text: str
    not_run: str | None

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def blocks(page: Path) -> Iterator[Block]:
    """Yields the fenced blocks of a page, each with the comment right before it if that says `not run`."""
    lines = page.read_text(encoding="utf-8").splitlines()
    opened: int | None = None
    for index, line in enumerate(lines):
        if not line.startswith("```"):
            continue
        if opened is None:
            opened = index
            continue
        comment = re.fullmatch(r"<!-- not run: *(.*?) *-->", lines[opened - 1])
        yield Block(
            page.relative_to(ROOT).as_posix(),
            opened + 1,
            lines[opened].removeprefix("```"),
            "\n".join(lines[opened + 1 : index]) + "\n",
            comment[1] if comment else None,
        )
        opened = None
    assert opened is None, f"{page.name}:{(opened or 0) + 1}: the block does not end"


BLOCKS = [block for page in PAGES for block in blocks(page)]


@pytest.fixture(scope="session")
def given(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files that the pages speak of and that no command of theirs makes."""
    folder = tmp_path_factory.mktemp("given")
    write_clip(folder / "clip.mp4", frames=75)
    still(folder / "photo.jpg")
    shutil.copy(ROOT / "docs/examples/framewarden.toml", folder)
    return folder


def run(command: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environ = {**os.environ, "PATH": path, "COLUMNS": "100"}
    return subprocess.run(
        command, cwd=folder, env=environ, capture_output=True, text=True, timeout=100, check=False
    )


def commands(text: str) -> Iterator[tuple[str, str]]:
    """Yields each command of a console block and what it is to print."""
    for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
        command, _, printed = part.partition("\n")
        yield command, printed


def prints_like(expected: str, seen: str) -> bool:
    expected, seen = (re.sub(r"\b([01]\.\d)\d\d\b", r"\1", text) for text in (expected, seen))
    return doctest.OutputChecker().check_output(expected, seen, LIKE)


def assert_console(block: Block, folder: Path) -> None:
    code = 0
    for command, printed in commands(block.text):
        script = command.replace("echo $?", f"echo {code}")
        done = run(["bash", "-c", script], folder)
        code = done.returncode
        what = f"{block}: {command}\nprinted:\n{done.stdout}{done.stderr}"
        assert "Traceback" not in done.stderr, what
        assert printed == "" or prints_like(printed, done.stdout), what
        assert code == 0 or "$ echo $?" in block.text, (
            f"{block}: {command} exits with {code}, and no line says so"
        )


def assert_python(block: Block, folder: Path) -> None:
    done = run([sys.executable, "-c", block.text], folder)
    assert (done.returncode, done.stderr) == (0, ""), f"{block}\n{done.stdout}{done.stderr}"


def assert_toml(block: Block) -> None:
    if block.text.startswith("# models/"):
        msgspec.toml.decode(block.text.encode(), type=Manifest)
    else:
        parse_config(block.text, name=str(block))


@pytest.mark.slow
@pytest.mark.timeout(300)  # a page is a dozen processes in a row
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_a_page_shows_works(page: Path, given: Path, tmp_path: Path) -> None:
    folder = tmp_path / "reader"
    shutil.copytree(given, folder)
    for block in blocks(page):
        if block.not_run is not None:
            continue
        match block.language:
            case "console":
                assert_console(block, folder)
            case "python":
                assert_python(block, folder)
            case "toml":
                assert_toml(block)
            case "json":
                msgspec.json.decode(block.text)


@pytest.mark.parametrize("block", BLOCKS, ids=str)
def test_a_block_names_its_language_and_what_is_not_run_its_reason(block: Block) -> None:
    assert block.language in LANGUAGES
    assert block.not_run != "", "say why it is not run"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_files_and_headings_that_are_there(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\((?!https?://)([^)\s]+)\)", text):
        path, _, heading = target.partition("#")
        linked = (page.parent / path).resolve() if path else page
        assert linked.exists(), f"{page.name}: {target}"
        assert not heading or heading in anchors(linked), f"{page.name}: {target}"


def anchors(page: Path) -> set[str]:
    """Returns the fragments of a page's headings, as the forges make them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_of_the_project_that_a_page_names_are_there(page: Path) -> None:
    named = set(re.findall(r"`((?:stream|tests|models|docs)/[\w./-]+)`", page.read_text(encoding="utf-8")))
    assert sorted(name for name in named if not (ROOT / name).exists()) == []


def test_every_page_is_linked_from_the_readme() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    pages = [page.relative_to(ROOT).as_posix() for page in PAGES[1:]]
    assert [page for page in pages if f"]({page})" not in readme] == []


def test_the_example_is_a_valid_configuration() -> None:
    example = (ROOT / "docs/examples/framewarden.toml").read_text(encoding="utf-8")
    assert parse_config(example).policy.name == "two-levels"
