"""Makes the pages that say what the code says: `docs/configuration.md` and the JSON Schemas of events.

    python -m stream.docs            writes them
    python -m stream.docs --check    exits with 1 if what is there differs

They are made from the types and their docstrings, so that no key goes without a description.
"""

import inspect
import json
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final, Literal, get_args, get_origin, get_type_hints

import msgspec
from msgspec import inspect as types

from stream.config import Config, Policy, Section
from stream.events import EVENT_TYPES, json_schema

ROOT: Final = Path(__file__).resolve().parent.parent
EXAMPLE: Final = Path("docs/examples/framewarden.toml")
PAGE: Final = Path("docs/configuration.md")
SCHEMAS: Final = Path("docs/schema")

SUFFIX_UNITS: Final = {"_s": "seconds", "_ms": "milliseconds", "_mib": "MiB", "_pixels": "pixels"}
UNITS: Final = {
    "every": "seconds or frames",
    "files_at_once": "files",
    "threads_per_file": "threads",
    "threads": "threads",
    "max_batch_size": "samples",
    "enter": "score",
    "exit": "score",
    "score": "score",
    "k": "samples",
    "n": "samples",
}
"""Units of the keys whose name does not end with one."""

_HEAD: Final = """\
<!-- Made by `python -m stream.docs` from stream/config.py. Change the docstrings there, not this page. -->

# Configuration

One TOML file, given with `--config`. Every table and key may be left out; without a file, the defaults below
hold. A key that is not listed here is refused with the nearest one that is; so is a value out of range. On
the command line, `--sampling`, `--every`, `--model` and `--gpu` win over the file.

```console
$ framewarden check framewarden.toml
```

[`framewarden.toml`](examples/framewarden.toml), an example:

```toml
{example}```

## What is refused beyond single values

- `every` that is not a whole number, in mode `nth`;
- a rule whose `exit` is above its `enter`, or whose `k` is above its `n`;
- two rules of one name;
- an escalation without `after_s` and `score`;
- a `signal` of a model that is not in `scoring.models`, or of a label that this model does not report.

## Environment

`FRAMEWARDEN_CACHE` names the folder that keeps the models; without it, `framewarden` below `XDG_CACHE_HOME`,
else below `~/.cache`.
"""

_POLICY: Final = """\
Without any `[[policy.rules]]`, this policy is in force. Rules of your own replace it.

```toml
{policy}```
"""


def main(arguments: Sequence[str]) -> int:
    """Writes the pages, or with `--check` compares them; returns the exit code."""
    if list(arguments) not in ([], ["--check"]):
        return _say(f"error: expected --check or nothing, got: {' '.join(arguments)}", 2)
    if not (ROOT / EXAMPLE).is_file():
        return _say(f"error: {ROOT / EXAMPLE} is not there: work in a whole checkout", 1)
    if not arguments:
        write(ROOT)
        return 0
    differing = drift(ROOT)
    if not differing:
        return 0
    names = ", ".join(path.as_posix() for path in differing)
    return _say(f"error: not as the code says: {names}; run `python -m stream.docs` and commit the result", 1)


def write(root: Path) -> None:
    """Writes every page below the checkout `root`."""
    for path, text in pages(root).items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text, encoding="utf-8")


def drift(root: Path) -> list[Path]:
    """Returns the pages below `root` that are missing or differ from what the code says."""
    return [path for path, text in pages(root).items() if _text(root / path) != text]


def pages(root: Path) -> dict[Path, str]:
    """Returns the text of every page by its path below the checkout `root`, which holds the example."""
    example = (root / EXAMPLE).read_text(encoding="utf-8")
    schemas = {
        SCHEMAS / f"{kind}.json": json.dumps(json_schema(kind), indent=2) + "\n" for kind in EVENT_TYPES
    }
    return {PAGE: configuration(example), **schemas}


def configuration(example: str) -> str:
    """Returns the page on the configuration file, with the text of an example in it."""
    tables = [table(heading, section) for heading, section in sections(Config)]
    return "\n".join([_HEAD.format(example=example), *tables])


def sections(section: type[Section], path: str = "") -> Iterator[tuple[str, type[Section]]]:
    """Yields the header of every TOML table below `section`, and what it holds, in the order of the file."""
    for field in _fields(section):
        inner, is_array = _section_of(field.type)
        if inner is not None:
            name = f"{path}.{field.name}".lstrip(".")
            yield (f"[[{name}]]" if is_array else f"[{name}]", inner)
            yield from sections(inner, name)


def table(heading: str, section: type[Section]) -> str:
    """Returns the part of the page on one TOML table."""
    summary = (inspect.getdoc(section) or "").partition("\n\nAttributes:")[0]
    meanings = attributes(section)
    rows = [_row(section, field, meanings[field.name]) for field in _fields(section)]
    lines = [f"## `{heading}`", "", summary, ""]
    if section is Policy:
        lines += [_POLICY.format(policy=default_policy())]
    lines += ["| Key | Type | Unit | Default | Range | Meaning |", "|---|---|---|---|---|---|", *rows, ""]
    return "\n".join(lines)


def unit(name: str, kind: types.Type) -> str:
    """Returns the unit of a key's number, empty where it holds none.

    Raises:
        KeyError: It holds a number whose unit nothing tells.
    """
    if not isinstance(_bare(kind), types.IntType | types.FloatType):
        return ""
    return next((text for suffix, text in SUFFIX_UNITS.items() if name.endswith(suffix)), None) or UNITS[name]


def attributes(section: type[Any]) -> dict[str, str]:
    """Returns the `Attributes:` section of a class's docstring: name to description, on one line each."""
    _, _, listed = (inspect.getdoc(section) or "").partition("Attributes:\n")
    entries = re.findall(r"^    (\w+): (.+(?:\n {8}.+)*)", listed, re.MULTILINE)
    return {name: " ".join(text.split()) for name, text in entries}


def _row(section: type[Section], field: types.Field, meaning: str) -> str:
    hint = get_type_hints(section)[field.name]
    inner, _ = _section_of(field.type)
    default = "as above" if inner is not None and field.default else _default(field)
    cells = (f"`{field.name}`", _kind(field.type), unit(field.name, field.type), default)
    row = (*cells, _range(_bare(field.type), hint), meaning)
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |"


def default_policy() -> str:
    """Returns the policy that holds without a configuration, as TOML."""
    lines = []
    for rule in Policy().rules:
        lines += ["[[policy.rules]]", *_assignments(rule)]
        for escalation in rule.escalate:
            lines += ["", "[[policy.rules.escalate]]", *_assignments(escalation)]
    return "\n".join(lines) + "\n"


def _assignments(section: Section) -> list[str]:
    values = {name: getattr(section, name) for name in section.__struct_fields__ if name != "escalate"}
    return [f"{name} = {json.dumps(value)}" for name, value in values.items() if value is not None]


def _fields(section: type[Section]) -> Sequence[types.Field]:
    described = types.type_info(section)
    assert isinstance(described, types.StructType)
    return described.fields


def _section_of(kind: types.Type) -> tuple[type[Section] | None, bool]:
    """Returns the table that a key holds, if it holds one, and whether there may be several."""
    is_array = isinstance(kind, types.VarTupleType)
    item = kind.item_type if isinstance(kind, types.VarTupleType) else kind
    if isinstance(item, types.StructType) and issubclass(item.cls, Section):
        return item.cls, is_array
    return None, False


def _bare(kind: types.Type) -> types.Type:
    """Returns the type of a key that is there; a key that may be absent is a union with None."""
    if isinstance(kind, types.UnionType):
        return next(member for member in kind.types if not isinstance(member, types.NoneType))
    return kind


def _kind(kind: types.Type) -> str:
    match _bare(kind):
        case types.IntType():
            return "integer"
        case types.FloatType():
            return "number"
        case types.StrType() | types.LiteralType():
            return "text"
        case types.StructType():
            return "table"
        case types.VarTupleType(item_type=item):
            return "tables" if isinstance(item, types.StructType) else f"list of {_kind(item)}"
    raise TypeError(f"no words for {kind}: teach stream.docs this type")


def _default(field: types.Field) -> str:
    if field.default is msgspec.NODEFAULT and field.default_factory is msgspec.NODEFAULT:
        return "required"
    default = field.default
    if default in (None, ()):
        return "none"
    return f"`{json.dumps(list(default) if isinstance(default, tuple) else default)}`"


def _range(kind: types.Type, hint: Any) -> str:
    match kind:
        case types.LiteralType():
            return ", ".join(f"`{value}`" for value in _literals(hint))
        case types.IntType() | types.FloatType():
            return _limits(kind)
        case types.StrType(pattern=str() as pattern):
            return f"`{pattern}`"
        case types.StrType(min_length=int() as least, max_length=int() as most):
            return f"{least} to {most} characters"
        case types.VarTupleType(min_length=int() as least):
            return f"at least {least}"
    return ""


def _limits(kind: types.IntType | types.FloatType) -> str:
    least = f"above {kind.gt:.10g}" if kind.gt is not None else None
    if kind.ge is not None:
        least = f"{kind.ge:.10g}" if kind.le is not None else f"at least {kind.ge:.10g}"
    most = f"{kind.le:.10g}" if kind.le is not None else None
    return " to ".join(limit for limit in (least, most) if limit is not None)


def _literals(hint: Any) -> tuple[str, ...]:
    """Returns the values of a `Literal` in the order in which the code lists them."""
    return get_args(hint) if get_origin(hint) is Literal else ()


def _text(path: Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.is_file() else None


def _say(message: str, code: int) -> int:
    sys.stderr.write(message + "\n")
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
