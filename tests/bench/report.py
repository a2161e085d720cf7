"""From single runs to rows, and from rows to a table, to JSON and to a comparison with the run before."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from statistics import median
from typing import Any, Final

from tests.bench.process import Measurement
from tests.bench.runners import PRODUCT, Case

_SCORE_TOLERANCE: Final = 0.3
"""Between the highest scores of two runners. The JPEG round trip of open_nsfw's reference alone moves it
by 0.2 (0.38 without, 0.57 with it, every 8th frame of the clip of 20 s)."""


@dataclass(frozen=True)
class Row:
    """A runner in a case: medians of its runs, or the reason why there are none."""

    case: str
    runner: str
    work_s: float | None = None
    least_s: float | None = None
    most_s: float | None = None
    samples: int | None = None
    samples_per_s: float | None = None
    peak_mb: float | None = None
    wall_s: float | None = None
    max_score: float | None = None
    ratio: float | None = None
    """Its `work_s` by the product's: above 1 where the product is faster."""
    times_real_time: float | None = None
    note: str = ""


def summarize(case: str, runner: str, runs: Sequence[Measurement], length_s: float) -> Row:
    """Returns the row of a runner's runs, yet without a ratio."""
    work = [run.work_s for run in runs]
    work_s = median(work)
    return Row(
        case=case,
        runner=runner,
        work_s=work_s,
        least_s=min(work),
        most_s=max(work),
        samples=runs[-1].samples,
        samples_per_s=runs[-1].samples / work_s,
        peak_mb=median(run.peak_mb for run in runs),
        wall_s=median(run.wall_s for run in runs),
        max_score=runs[-1].max_score,
        times_real_time=length_s / work_s,
        note=runs[-1].note,
    )


def compare(rows: Sequence[Row], expected_samples: Mapping[str, int]) -> list[Row]:
    """Adds to each row its ratio, and a note where its samples or its scores are not those of the others."""
    product = {row.case: row for row in rows if row.runner == PRODUCT}
    return [_compared(row, product.get(row.case, row), expected_samples[row.case]) for row in rows]


def _compared(row: Row, product: Row, expected_samples: int) -> Row:
    if row.work_s is None:
        return row
    notes = [row.note] if row.note else []
    if row.samples is not None and abs(row.samples - expected_samples) > 1:
        notes.append(f"MISMATCH: {row.samples} samples, expected {expected_samples}")
    if row.max_score is not None and product.max_score is not None:
        difference = row.max_score - product.max_score
        if abs(difference) > _SCORE_TOLERANCE:
            notes.append(f"MISMATCH: highest score differs by {difference:+.2f}")
    ratio = row.work_s / product.work_s if product.work_s and product.runner == PRODUCT else None
    return replace(row, ratio=ratio, note="; ".join(notes))


_COLUMNS: Final = (
    ("work s", "work_s", ".2f"),
    ("min", "least_s", ".2f"),
    ("max", "most_s", ".2f"),
    ("samples", "samples", "d"),
    ("samples/s", "samples_per_s", ".1f"),
    ("peak MB", "peak_mb", ".0f"),
    ("x framewarden", "ratio", ".2f"),
    ("x real time", "times_real_time", ".1f"),
    ("max score", "max_score", ".2f"),
)


def table(rows: Sequence[Row]) -> str:
    """Returns the rows as text in columns."""
    cells = [["case", "runner", *(title for title, _, _ in _COLUMNS), "note"]]
    cells += [[row.case, row.runner, *_figures(row), row.note] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return "\n".join(_line(line, widths) for line in cells)


def _figures(row: Row) -> Iterable[str]:
    for _, field, form in _COLUMNS:
        value = getattr(row, field)
        yield "-" if value is None else format(value, form)


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    last = len(cells) - 1
    padded = [
        text.ljust(width) if index in {0, 1, last} else text.rjust(width)
        for index, (text, width) in enumerate(zip(cells, widths, strict=True))
    ]
    return "  ".join(padded).rstrip()


def targets(cases: Sequence[Case], rows: Sequence[Row]) -> list[str]:
    """Returns a line for each target: what was wanted, what was seen."""
    ratios = {(row.case, row.runner): row.ratio for row in rows}
    return [
        _target(case.name, runner, wanted, ratios.get((case.name, runner)))
        for case in cases
        for runner, wanted in case.targets.items()
    ]


def _target(case: str, runner: str, wanted: float, seen: float | None) -> str:
    verdict = "not measured" if seen is None else f"{seen:.2f}, {'met' if seen >= wanted else 'MISSED'}"
    return f"{case}: {wanted:.1f} times faster than {runner}: {verdict}"


def document(machine: Mapping[str, Any], settings: Mapping[str, Any], rows: Sequence[Row]) -> dict[str, Any]:
    """Returns what is written as JSON."""
    return {"machine": dict(machine), "settings": dict(settings), "rows": [asdict(row) for row in rows]}


def changes(now: Mapping[str, Any], history: Sequence[Mapping[str, Any]]) -> list[str]:
    """Returns a line for each runner's change against its last run on the same clip and such a machine."""
    earlier = [row for old in history if _same_conditions(now, old) for row in old["rows"]]
    past = {(row["case"], row["runner"]): row["work_s"] for row in earlier if row["work_s"]}
    found = [(row, past.get((row["case"], row["runner"]))) for row in now["rows"] if row["work_s"]]
    lines = [_change(row, old_s) for row, old_s in found if old_s]
    return lines or ["no earlier run on this clip and such a machine"]


def _change(row: Mapping[str, Any], old_s: float) -> str:
    new_s = row["work_s"]
    return f"{row['case']}, {row['runner']}: {old_s:.2f} s then, {new_s:.2f} s now ({new_s / old_s - 1:+.0%})"


def _same_conditions(now: Mapping[str, Any], old: Mapping[str, Any]) -> bool:
    hardware = ("cpu", "cores", "memory_gb")
    return all(now["machine"][name] == old["machine"].get(name) for name in hardware) and (
        now["settings"]["clip"] == old["settings"]["clip"]
    )
