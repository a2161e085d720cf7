"""The geometry of a score chart; `templates/report.html.j2` draws it.

The picture is SVG by hand. Its places along the time axis are percentages and its text has a fixed size, so
one drawing is right at the width of a phone and of a screen, and its colours are the page's, light or dark.
A charting library would draw for one width and one background.
"""

from collections.abc import Iterable, Sequence
from itertools import pairwise

import msgspec

from stream.config import Rule
from stream.events import AlertEvent, CoverageSpan
from stream.record import FileRecord
from stream.text import span_text, timecode
from stream.timeline import Point

PLOT_TOP_PX = 22
PLOT_HEIGHT_PX = 150
PATH_WIDTH = 10_000
PATH_HEIGHT = 1_000

_TICK_STEPS_S = (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14_400, 21_600)
_MAX_TICKS = 9
_MAX_DOTS = 120
_LABEL_ROOM_PERCENT = 8.0
_LABEL_ROOM_PX = 16.0


class Band(msgspec.Struct, frozen=True):
    """A stretch of the time axis: `x` and `width` in percent of the plot, and a label where there is room."""

    x: float
    width: float
    label: str | None


class Tick(msgspec.Struct, frozen=True):
    """A label of the time axis: `x` in percent of the plot; narrow screens leave out the minor ones."""

    x: float
    text: str
    minor: bool


class Threshold(msgspec.Struct, frozen=True):
    """A score at which a rule's samples count: `y_px` from the top of the chart."""

    y_px: float
    text: str
    has_label: bool


class Chart(msgspec.Struct, frozen=True):
    """What the template needs to draw one signal of one file.

    Attributes:
        signal: The score drawn, as `model.label`.
        description: The chart in words.
        path: The score line as SVG path, 10,000 wide and 1,000 high.
        dots: The path of the single samples, empty where there are too many to tell apart.
        alerts: Spans of alerts on this signal.
        blind: Blind spans.
        ticks: Labels of the time axis.
        thresholds: Scores at which the rules' samples count.
        legend: What the thresholds belong to, in words.
    """

    signal: str
    description: str
    path: str
    dots: str
    alerts: Sequence[Band]
    blind: Sequence[Band]
    ticks: Sequence[Tick]
    thresholds: Sequence[Threshold]
    legend: str


def is_video(record: FileRecord) -> bool:
    """Returns whether there is a time axis to draw on; a picture has none."""
    return bool(record.summary.duration_s)


def charts_of(record: FileRecord, rules: Sequence[Rule]) -> list[Chart]:
    """Returns one chart for each signal that a rule watches, for a record that `is_video`."""
    watching: dict[str, list[Rule]] = {}
    for rule in rules:
        watching.setdefault(rule.signal, []).append(rule)
    return [_chart(record, signal, own, _end_s(record)) for signal, own in watching.items()]


def _chart(record: FileRecord, signal: str, rules: Sequence[Rule], end_s: float) -> Chart:
    points = record.timelines[signal].points if signal in record.timelines else []
    alerts = [
        (f"A{number}", alert) for number, alert in enumerate(record.alerts, 1) if alert.signal == signal
    ]
    pieces = _pieces(points, record.blind_spans)
    return Chart(
        signal=signal,
        description=_description(signal, points, [alert for _, alert in alerts], record.blind_spans, end_s),
        path=" ".join(_line(piece, end_s) for piece in pieces),
        dots=" ".join(_dot(point, end_s) for point in points) if len(points) <= _MAX_DOTS else "",
        alerts=_bands(((label, alert.start_s, alert.end_s) for label, alert in alerts), end_s),
        blind=_bands((("", span.start_s, span.end_s) for span in record.blind_spans), end_s),
        ticks=ticks(end_s),
        thresholds=_thresholds(rules),
        legend=", ".join(f"{rule.name} from {rule.enter:g}" for rule in rules),
    )


def _end_s(record: FileRecord) -> float:
    last_points = [line.points[-1][0] for line in record.timelines.values()]
    spans = [alert.end_s for alert in record.alerts] + [span.end_s for span in record.blind_spans]
    return max([record.summary.duration_s or 0.0, *last_points, *spans])


def ticks(end_s: float) -> list[Tick]:
    """Returns at most nine labels at round times for an axis from 0 to `end_s`; every second one is minor."""
    step_s = next(
        (step for step in _TICK_STEPS_S if end_s / step <= _MAX_TICKS - 1), end_s / (_MAX_TICKS - 1)
    )
    decimals = 1 if step_s < 1 else 0
    times_s = [number * step_s for number in range(int(end_s / step_s + 1e-9) + 1)]
    return [
        Tick(_percent(time_s, end_s), timecode(time_s, decimals), minor=number % 2 == 1)
        for number, time_s in enumerate(times_s)
    ]


def _percent(time_s: float, end_s: float) -> float:
    return round(100 * min(max(time_s / end_s, 0.0), 1.0), 3)


def _pieces(points: Sequence[Point], blind: Sequence[CoverageSpan]) -> list[list[Point]]:
    """Returns the points, cut where a blind span lies between two: no line crosses what was not seen."""
    if not points:
        return []
    starts = iter(sorted(span.start_s for span in blind))
    cut_s = next(starts, None)
    pieces = [[points[0]]]
    for before, after in pairwise(points):
        while cut_s is not None and cut_s < before[0]:
            cut_s = next(starts, None)
        if cut_s is not None and cut_s < after[0]:
            pieces.append([])
        pieces[-1].append(after)
    return pieces


def _line(points: Sequence[Point], end_s: float) -> str:
    if len(points) == 1:
        return _dot(points[0], end_s)
    return "M" + "L".join(_place(point, end_s) for point in points)


def _dot(point: Point, end_s: float) -> str:
    return f"M{_place(point, end_s)}h0"


def _place(point: Point, end_s: float) -> str:
    x = round(PATH_WIDTH * min(point[0] / end_s, 1.0))
    return f"{x} {round(PATH_HEIGHT * (1 - point[1]))}"


def _bands(spans: Iterable[tuple[str, float, float]], end_s: float) -> list[Band]:
    bands: list[Band] = []
    free_from = 0.0
    for label, span_start_s, span_end_s in sorted(spans, key=lambda span: span[1]):
        x = _percent(span_start_s, end_s)
        has_room = x >= free_from and bool(label)
        free_from = x + _LABEL_ROOM_PERCENT if has_room else free_from
        bands.append(Band(x, round(_percent(span_end_s, end_s) - x, 3), label if has_room else None))
    return bands


def _thresholds(rules: Sequence[Rule]) -> list[Threshold]:
    found: list[Threshold] = []
    for enter in sorted({rule.enter for rule in rules}, reverse=True):
        y_px = PLOT_TOP_PX + (1 - enter) * PLOT_HEIGHT_PX
        has_label = not found or y_px - found[-1].y_px >= _LABEL_ROOM_PX
        found.append(Threshold(round(y_px, 1), f"{enter:g}", has_label))
    return found


def _description(
    signal: str,
    points: Sequence[Point],
    alerts: Sequence[AlertEvent],
    blind: Sequence[CoverageSpan],
    end_s: float,
) -> str:
    peak = max(points, key=lambda point: point[1], default=None)
    parts = [
        f"Score of {signal} from 0:00 to {timecode(end_s)}.",
        f"Highest {peak[1]:.3f} at {timecode(peak[0], 1)}." if peak else "Nothing was scored.",
        _counted("alert", [span_text(alert.start_s, alert.end_s) for alert in alerts]),
        _counted("blind span", [span_text(span.start_s, span.end_s) for span in blind]),
    ]
    return " ".join(parts)


def _counted(what: str, spans: Sequence[str]) -> str:
    if not spans:
        return f"No {what}s."
    shown = "; ".join(spans[:10]) + ("; and more, see the table" if len(spans) > 10 else "")
    return f"{len(spans)} {what}{'s' if len(spans) > 1 else ''}: {shown}."
