from pathlib import Path
from typing import Annotated, Literal

import jsonschema
import msgspec
import pytest
from msgspec import Meta

from stream import docs
from stream.config import Config, Section, parse_config

ROOT = Path(__file__).resolve().parents[2]
SECTIONS = dict(docs.sections(Config))
KEYS = [
    (heading, field.name)
    for heading, section in SECTIONS.items()
    for field in msgspec.structs.fields(section)
]


def table_of(heading: str) -> str:
    """Returns the part of the page that describes one table."""
    page = docs.configuration("")
    return page.partition(f"## `{heading}`\n")[2].partition("\n## ")[0]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    (tmp_path / docs.EXAMPLE).parent.mkdir(parents=True)
    (tmp_path / docs.EXAMPLE).write_text("[output]\n")
    return tmp_path


def test_every_table_is_in_the_page() -> None:
    assert list(SECTIONS) == [
        "[sampling]",
        "[decode]",
        "[scoring]",
        "[policy]",
        "[[policy.rules]]",
        "[[policy.rules.escalate]]",
        "[output]",
    ]


@pytest.mark.parametrize(("heading", "key"), KEYS)
def test_every_key_has_a_row_with_a_meaning(heading: str, key: str) -> None:
    (row,) = [line for line in table_of(heading).splitlines() if line.startswith(f"| `{key}` |")]
    cells = [cell.strip() for cell in row.strip("|").split(" | ")]
    assert len(cells) == 6
    assert cells[-1] == docs.attributes(SECTIONS[heading])[key]


class Step(Section, frozen=True, kw_only=True):
    """One step.

    Attributes:
        after_s: When.
    """

    after_s: float | None = None


class Example(Section, frozen=True, kw_only=True):
    """A table with a key of every kind.

    Attributes:
        mode: One of three.
        wait_ms: A wait
            over two lines.
        threads: How many.
        name: What it is called.
        models: Which.
        steps: What comes after.
    """

    mode: Literal["slow", "fast", "auto"] = "fast"
    wait_ms: Annotated[float, Meta(gt=0, le=1e7)] = 20.0
    threads: Annotated[int, Meta(ge=0, le=256)] = 0
    name: Annotated[str, Meta(min_length=1, max_length=64)]
    models: Annotated[tuple[str, ...], Meta(min_length=1)] = ("a", "b")
    steps: tuple[Step, ...] = ()


@pytest.mark.parametrize(
    ("section", "row"),
    [
        (Example, '| `mode` | text |  | `"fast"` | `slow`, `fast`, `auto` | One of three. |'),
        (
            Example,
            "| `wait_ms` | number | milliseconds | `20.0` | above 0 to 10000000 | A wait over two lines. |",
        ),
        (Example, "| `threads` | integer | threads | `0` | 0 to 256 | How many. |"),
        (Example, "| `name` | text |  | required | 1 to 64 characters | What it is called. |"),
        (Example, '| `models` | list of text |  | `["a", "b"]` | at least 1 | Which. |'),
        (Example, "| `steps` | tables |  | none |  | What comes after. |"),
        (Step, "| `after_s` | number | seconds | none |  | When. |"),
    ],
)
def test_a_row_says_type_unit_default_and_range(section: type[Section], row: str) -> None:
    assert row in docs.table("[example]", section).splitlines()


class Unclear(Section, frozen=True, kw_only=True):
    """A table whose key does not tell its unit."""

    speed: float


def test_a_number_without_a_unit_is_refused() -> None:
    (field,) = msgspec.inspect.type_info(Unclear).fields  # type: ignore[attr-defined]
    with pytest.raises(KeyError, match="speed"):
        docs.unit(field.name, field.type)


def test_the_default_policy_in_the_page_is_the_one_in_force() -> None:
    assert parse_config(docs.default_policy()) == Config()


def test_the_pages_in_the_checkout_are_as_the_code_says() -> None:
    assert docs.drift(ROOT) == []


def test_what_was_written_does_not_drift(checkout: Path) -> None:
    docs.write(checkout)
    assert docs.drift(checkout) == []


def test_a_changed_page_and_a_missing_one_are_found(checkout: Path) -> None:
    docs.write(checkout)
    (checkout / docs.PAGE).write_text("# Configuration\n")
    (checkout / "docs/schema/alert.json").unlink()
    assert docs.drift(checkout) == [docs.PAGE, Path("docs/schema/alert.json")]


def test_a_changed_example_is_drift(checkout: Path) -> None:
    docs.write(checkout)
    (checkout / docs.EXAMPLE).write_text("[sampling]\n")
    assert docs.drift(checkout) == [docs.PAGE]


def test_the_check_says_what_differs_and_what_to_do(
    checkout: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(docs, "ROOT", checkout)
    assert docs.main([]) == 0
    assert docs.main(["--check"]) == 0
    (checkout / "docs/schema/frame.json").write_text("{}")
    assert docs.main(["--check"]) == 1
    said = capsys.readouterr().err
    assert said.startswith("error: not as the code says: docs/schema/frame.json; run `python -m stream.docs`")


def test_an_installation_without_the_pages_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(docs, "ROOT", tmp_path)
    assert docs.main([]) == 1
    assert "work in a whole checkout" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_other_arguments_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert docs.main(["--chekc"]) == 2
    assert "--chekc" in capsys.readouterr().err


@pytest.mark.parametrize("kind", ["frame", "alert", "coverage"])
def test_a_written_schema_is_one(checkout: Path, kind: str) -> None:
    docs.write(checkout)
    schema = msgspec.json.decode((checkout / f"docs/schema/{kind}.json").read_bytes())
    jsonschema.Draft202012Validator.check_schema(schema)
