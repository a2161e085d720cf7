"""The report of a run: one HTML page that opens from the disk, without network and without script."""

import shlex
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
from jinja2 import Environment, PackageLoader, StrictUndefined

from stream import charts
from stream.config import Policy, Rule, Sampling
from stream.events import SEVERITIES, AlertEvent
from stream.output import replace_file
from stream.record import FileRecord
from stream.summary import VERDICTS, FileSummary, verdict_text
from stream.text import span_text, timecode, visible

MAX_SECTIONS = 50
"""Videos with charts at most; the rest are rows of the table."""
MAX_ROWS = 5_000
"""Rows of the table of files at most."""
MAX_OPEN_CLEAN_ROWS = 50
"""Clean files beyond this number stand in a table of their own that has to be opened."""

_SYMBOLS = {"flagged_incomplete": "▲◐", "flagged": "▲", "incomplete": "◐", "unreadable": "✕", "clean": "✓"}


class RunFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What a report says of the run as a whole.

    Attributes:
        version: Version of Framewarden.
        policy: The rules in force.
        sampling: Which frames were looked at.
        models: Model name to version.
        provider: The ONNX Runtime provider; null where nothing was scored.
        started_at: When the run began, aware.
        command: The command's words, free of credentials; none where it was no command.
    """

    version: str
    policy: Policy
    sampling: Sampling
    models: Mapping[str, str]
    provider: str | None
    started_at: datetime
    command: tuple[str, ...] = ()


class Row(msgspec.Struct, frozen=True):
    """A file's row in the table: texts ready to be shown, and where its section is."""

    record: FileRecord
    summary: FileSummary
    name: str
    reason: str | None
    max_score: str
    alerts: str
    anchor: str | None


class Section(msgspec.Struct, frozen=True):
    """A video's part of the page."""

    row: Row
    charts: Sequence[charts.Chart]


def write_report(path: Path, records: Sequence[FileRecord], run: RunFacts) -> None:
    """Writes the report of finished `records` to `path`, replacing a file there in one step.

    Raises:
        OutputError: It cannot be written; a report that was there is still there.
        ValueError: A record is not finished.
    """
    replace_file(path, render_report(records, run).encode("utf-8"))


def render_report(records: Sequence[FileRecord], run: RunFacts) -> str:
    """Returns the report of finished `records` as HTML.

    Files that need a person stand first, otherwise the order is that of `records`.

    Raises:
        ValueError: A record is not finished.
    """
    ordered = sorted(records, key=lambda record: VERDICTS.index(record.summary.verdict))
    sections, sections_left_out = _sections(ordered, run.policy.rules)
    anchors = {id(section.row.record): section.row.anchor for section in sections}
    rows = [_row(record, anchors.get(id(record))) for record in ordered[:MAX_ROWS]]
    clean = [row for row in rows if row.summary.verdict == "clean"]
    folded = clean if len(clean) > MAX_OPEN_CLEAN_ROWS else []
    return (
        _environment()
        .get_template("report.html.j2")
        .render(
            run=run,
            totals=_totals(ordered),
            rows=rows[: len(rows) - len(folded)],
            folded=folded,
            rows_left_out=len(ordered) - len(rows),
            sections=sections,
            sections_left_out=sections_left_out,
            sampling=sampling_text(run.sampling),
            command=visible(shlex.join(run.command)),
        )
    )


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("stream"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        visible=visible,
        timecode=timecode,
        utc=_utc_text,
        symbol=_SYMBOLS.__getitem__,
        verdict_text=verdict_text,
        escalations=_escalations,
        span=lambda span: span_text(span.start_s, span.end_s),
    )
    environment.globals.update(plot=charts)
    return environment


def _sections(ordered: Sequence[FileRecord], rules: Sequence[Rule]) -> tuple[list[Section], int]:
    """Returns the first 50 videos with what there is to draw, and how many more there would be."""
    drawn = [record for record in ordered if charts.is_video(record)]
    shown = drawn[:MAX_SECTIONS]
    sections = [
        Section(_row(record, f"file-{number}"), charts.charts_of(record, rules))
        for number, record in enumerate(shown, 1)
    ]
    return sections, len(drawn) - len(shown)


def _row(record: FileRecord, anchor: str | None) -> Row:
    summary = record.summary
    label, score = max(summary.max_scores.items(), key=lambda item: item[1], default=("", None))
    return Row(
        record=record,
        summary=summary,
        name=visible(summary.file),
        reason=visible(summary.reason) if summary.reason else None,
        max_score="none" if score is None else f"{score:.3f} {label}",
        alerts=_alerts_text(summary, record.alerts),
        anchor=anchor,
    )


def _alerts_text(summary: FileSummary, alerts: Sequence[AlertEvent]) -> str:
    if not alerts:
        return str(summary.alerts)
    worst = max((alert.severity for alert in alerts), key=SEVERITIES.index)
    return f"{summary.alerts} ({worst})"


def _totals(records: Sequence[FileRecord]) -> dict[str, Any]:
    summaries = [record.summary for record in records]
    verdicts = [summary.verdict for summary in summaries]
    durations = [summary.duration_s for summary in summaries if summary.duration_s]
    return {
        "files": len(summaries),
        "verdicts": {verdict: verdicts.count(verdict) for verdict in VERDICTS},
        "duration_s": sum(durations),
        "unknown_durations": sum(summary.duration_s is None for summary in summaries),
        "samples": sum(summary.samples for summary in summaries),
        "scored_s": sum(summary.scored_s for summary in summaries),
        "skipped_s": sum(summary.skipped_s for summary in summaries),
        "blind_s": sum(summary.blind_s for summary in summaries),
        "alerts": sum(summary.alerts for summary in summaries),
    }


def sampling_text(sampling: Sampling) -> str:
    """Returns in words which frames were looked at."""
    match sampling.mode:
        case "interval":
            return f"one frame every {sampling.every:g} s"
        case "nth":
            return f"one frame in {sampling.every:g}"
        case "keyframe":
            return "keyframes only"
        case "all":
            return "every frame"


def _escalations(rule: Rule) -> str:
    """Returns the severities of a rule in words, such as `high, critical after 10 s`."""
    steps = [str(rule.severity)]
    for step in rule.escalate:
        after = f" after {step.after_s:g} s" if step.after_s is not None else ""
        score = f" at {step.score:g}" if step.score is not None else ""
        steps.append(f"{step.severity}{after}{score}")
    return ", ".join(steps)


def _utc_text(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
