"""What `framewarden score` shows in a terminal: how far it is, and what came out.

File names and reasons come from outside. They are shown as plain text, never as rich markup, and what a
terminal would act on is escaped.
"""

from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from rich.box import SIMPLE_HEAD
from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskID
from rich.table import Column, Table
from rich.text import Text

from stream.policy.verdict import Verdict
from stream.record import FileRecord
from stream.summary import VERDICTS, FileSummary, verdict_text
from stream.text import span_text, timecode, visible

MAX_ROWS = 100
"""Rows of the final tables at most; files that need a person stand first."""

_STYLES: dict[Verdict, str] = {
    "flagged_incomplete": "bold red",
    "flagged": "bold red",
    "incomplete": "yellow",
    "unreadable": "magenta",
    "clean": "green",
}
_NAME_CELLS = 28


class ScoreDisplay:
    """Shows progress while files are scored: a line for all of them and one for each that is running.

    It draws on stderr and stays silent where that is no terminal. Its methods may be called from any thread.

    Args:
        files: Number of files to score.
        enabled: False for `--quiet` and `--json`.
        console: Where to draw; only tests pass another than stderr.
    """

    def __init__(self, files: int, *, enabled: bool = True, console: Console | None = None) -> None:
        console = console or Console(stderr=True)
        self._encoding = console.encoding
        is_shown = enabled and console.file.isatty() and not console.is_dumb_terminal
        self._progress = Progress(
            _NameColumn(Column(no_wrap=True, min_width=_NAME_CELLS)),
            BarColumn(bar_width=None, table_column=Column(ratio=1)),
            _SpeedColumn(Column(no_wrap=True, min_width=18)),
            _LeftColumn(Column(no_wrap=True, min_width=9)),
            console=console,
            transient=True,
            expand=True,
            redirect_stdout=False,  # results go to stdout, which need not be the terminal
            disable=not is_shown,
        )
        self._total = self._progress.add_task("files", total=files, is_total=True)
        self._running: dict[str, TaskID] = {}

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def started(self, file: str, duration_s: float | None) -> None:
        """Adds a line for `file`, with a bar as long as `duration_s` of media time where that is known."""
        name = visible(file, self._encoding)
        self._running[file] = self._progress.add_task(name, total=duration_s or None, is_total=False)

    def advanced(self, file: str, media_time_s: float) -> None:
        """Moves the bar of `file` to `media_time_s`; does nothing for a file that is not running."""
        if file in self._running:
            self._progress.update(self._running[file], completed=media_time_s)

    def finished(self, summary: FileSummary) -> None:
        """Takes the file's line away and counts it."""
        task = self._running.pop(summary.file, None)
        if task is not None:
            self._progress.remove_task(task)
        self._progress.advance(self._total)


class _NameColumn(ProgressColumn):
    """The name of the file, or how many files are done."""

    def render(self, task: Task) -> Text:
        if task.fields["is_total"]:
            return Text(f"{task.completed:.0f} of {task.total:.0f} files".ljust(_NAME_CELLS))
        # The end of a path tells more than its beginning.
        name = task.description
        while cell_len(name) > _NAME_CELLS:
            name = "..." + name[4 if name.startswith("...") else 3 :]
        return Text(set_cell_size(name, _NAME_CELLS))


class _SpeedColumn(ProgressColumn):
    """Seconds of media time for each second on the wall."""

    def render(self, task: Task) -> Text:
        is_known = task.speed is not None and not task.fields["is_total"]
        return Text(f"{task.speed:6.1f} x real time" if is_known else "", style="cyan")


class _LeftColumn(ProgressColumn):
    """Time left."""

    def render(self, task: Task) -> Text:
        left_s = task.time_remaining
        is_known = left_s is not None and not task.fields["is_total"]
        return Text(f"{timecode(left_s or 0.0)} left" if is_known else "", style="dim")


def print_table(records: Sequence[FileRecord], console: Console, report: Path | None = None) -> None:
    """Prints what came out of the finished `records`: files, alerts, blind spans, and where the report is.

    Raises:
        ValueError: A record is not finished.
    """
    ordered = sorted(records, key=lambda record: VERDICTS.index(record.summary.verdict))
    shown = list(records) if len(records) <= MAX_ROWS else ordered[:MAX_ROWS]
    console.print(_files_table(shown, console.encoding))
    _print_left_out(len(records) - len(shown), "files", console)
    _print_alerts(ordered, console)
    _print_blind_spans(ordered, console)
    _print_totals(records, console)
    if report is not None:
        _print_line(Text(f"Report: {visible(str(report), console.encoding)}"), console)


def _table(*columns: str) -> Table:
    """Returns a table with columns of these names; one that ends in `>` is aligned to the right."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    for column in columns:
        is_file = column == "File"
        table.add_column(
            column.rstrip(">"),
            justify="right" if column.endswith(">") else "left",
            overflow="fold",
            no_wrap=not is_file,
            min_width=14 if is_file else None,
        )
    return table


def _files_table(records: Sequence[FileRecord], encoding: str) -> Table:
    skips = any(record.summary.skipped_s >= 0.05 for record in records)
    skipped = ["Skipped>"] if skips else []
    table = _table("File", "Verdict", "Duration>", "Samples>", "Max score>", "Alerts>", *skipped, "Blind>")
    for record in records:
        summary = record.summary
        table.add_row(
            Text(visible(summary.file, encoding)),
            Text(verdict_text(summary.verdict).replace(", ", ",\n"), style=_STYLES[summary.verdict]),
            _duration_text(summary.duration_s),
            str(summary.samples),
            _highest_text(summary),
            Text(str(summary.alerts), style="bold" if summary.alerts else ""),
            *([f"{summary.skipped_s:.1f} s"] if skips else []),
            f"{summary.blind_s:.1f} s",
        )
    return table


def _duration_text(duration_s: float | None) -> str:
    if duration_s is None:
        return "unknown"
    return timecode(duration_s, 1) if duration_s else "picture"


def _highest_text(summary: FileSummary) -> Text:
    label, score = max(summary.max_scores.items(), key=lambda item: item[1], default=("", None))
    return Text("none" if score is None else f"{label} {score:.3f}")


def _print_alerts(records: Sequence[FileRecord], console: Console) -> None:
    found = [(record, alert) for record in records for alert in record.alerts]
    left_out = sum(record.alerts_left_out for record in records)
    if not found:
        return
    table = _table("File", "Rule", "Severity", "Span", "Peak>")
    for record, alert in found[:MAX_ROWS]:
        table.add_row(
            Text(visible(record.summary.file, console.encoding)),
            Text(alert.rule),
            Text(alert.severity, style="bold red" if alert.severity in {"high", "critical"} else "yellow"),
            span_text(alert.start_s, alert.end_s) if record.summary.duration_s else "picture",
            f"{alert.peak_score:.3f}",
        )
    console.print(Text("Alerts", style="bold"))
    console.print(table)
    _print_left_out(len(found) - min(len(found), MAX_ROWS) + left_out, "alerts", console)


def _print_blind_spans(records: Sequence[FileRecord], console: Console) -> None:
    found = [(record, span) for record in records for span in record.blind_spans]
    left_out = sum(record.blind_spans_left_out for record in records)
    for record, span in found[:MAX_ROWS]:
        what = f"{record.summary.file}: blind {span_text(span.start_s, span.end_s)}, {span.cause}"
        reason = f": {span.reason}" if span.reason else ""
        _print_line(Text(visible(what + reason, console.encoding), style="yellow"), console)
    _print_left_out(len(found) - min(len(found), MAX_ROWS) + left_out, "blind spans", console)
    for record in records:
        summary = record.summary
        if summary.reason and not record.blind_spans:
            text = f"{summary.file}: {verdict_text(summary.verdict)}: {summary.reason}"
            _print_line(Text(visible(text, console.encoding), style=_STYLES[summary.verdict]), console)


def _print_totals(records: Sequence[FileRecord], console: Console) -> None:
    verdicts = [record.summary.verdict for record in records]
    counts = "; ".join(
        f"{verdicts.count(verdict)} {verdict_text(verdict)}" for verdict in VERDICTS if verdict in verdicts
    )
    _print_line(
        Text(f"{len(records)} {'file' if len(records) == 1 else 'files'}: {counts or 'none'}"), console
    )


def _print_left_out(count: int, what: str, console: Console) -> None:
    if count:
        _print_line(
            Text(f"{count} more {what} are not shown here; the report and the events have them."), console
        )


def _print_line(text: Text, console: Console) -> None:
    """Prints one line as one line, also where it is wider than the terminal: paths stay whole for copying."""
    console.print(text, soft_wrap=True)
