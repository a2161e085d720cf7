"""What the report and the final table keep of one file's events, in bounded memory."""

from stream.events import BLIND_CAUSES, AlertEvent, CoverageEvent, CoverageSpan, Event, FrameEvent
from stream.summary import FileSummary
from stream.timeline import Timeline

MAX_SPANS = 200
"""Alerts, and blind spans, kept of one file at most; the rest is counted."""

_TOUCHING_S = 1e-6


class FileRecord:
    """One file's scores, alerts and blind spans. Not thread-safe.

    Attributes:
        file: The file, as it was named.
        timelines: `model.label` to its scores over time.
        alerts_left_out: Alerts opened beyond the first 200.
        blind_spans: Stretches that should have been looked at and were not, the first 200.
        blind_spans_left_out: Blind spans beyond those.
    """

    def __init__(self, file: str) -> None:
        self.file = file
        self.timelines: dict[str, Timeline] = {}
        self.alerts_left_out = 0
        self.blind_spans: list[CoverageSpan] = []
        self.blind_spans_left_out = 0
        self._alerts: dict[str, AlertEvent] = {}
        self._summary: FileSummary | None = None

    def add(self, event: Event) -> None:
        """Takes one of the file's events; of each kind in the order of publication."""
        match event:
            case FrameEvent():
                self._add_scores(event)
            case AlertEvent():
                self._add_alert(event)
            case CoverageEvent():
                self._add_coverage(event)

    def finish(self, summary: FileSummary) -> None:
        """Takes what came out of the file, once no event will follow."""
        self._summary = summary

    @property
    def is_finished(self) -> bool:
        """Whether the record has its summary."""
        return self._summary is not None

    @property
    def summary(self) -> FileSummary:
        """What came out of the file.

        Raises:
            ValueError: The record is not finished.
        """
        if self._summary is None:
            raise ValueError(f"{self.file}: the record has no summary yet; call `finish` first")
        return self._summary

    @property
    def alerts(self) -> list[AlertEvent]:
        """The last step of each alert, in the order of opening, the first 200."""
        return list(self._alerts.values())

    @property
    def peaks(self) -> dict[str, float]:
        """`model.label` to its highest score; a label without any score is not there."""
        return {signal: line.peak[1] for signal, line in self.timelines.items() if line.peak is not None}

    def _add_scores(self, event: FrameEvent) -> None:
        for signal, score in event.scores.items():
            self.timelines.setdefault(signal, Timeline()).add(event.media_time_s, score)

    def _add_alert(self, event: AlertEvent) -> None:
        if event.alert_id in self._alerts or len(self._alerts) < MAX_SPANS:
            self._alerts[event.alert_id] = event
        elif event.transition == "opened":
            self.alerts_left_out += 1

    def _add_coverage(self, event: CoverageEvent) -> None:
        for span in event.spans:
            if span.cause in BLIND_CAUSES:
                self._add_blind(span)

    def _add_blind(self, span: CoverageSpan) -> None:
        last = self.blind_spans[-1] if self.blind_spans else None
        if last is not None and last.cause == span.cause and span.start_s <= last.end_s + _TOUCHING_S:
            # A span that goes on over the end of a coverage event is one span.
            end_s = max(last.end_s, span.end_s)
            self.blind_spans[-1] = CoverageSpan(last.start_s, end_s, last.cause, last.reason or span.reason)
        elif len(self.blind_spans) < MAX_SPANS:
            self.blind_spans.append(span)
        else:
            self.blind_spans_left_out += 1
