"""One stream from scores to events: the policy engine and the ledger, fed in stream order."""

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from stream.clock import Clock
from stream.events import AlertEvent, CoverageEvent, Event, FrameEvent
from stream.frames import FrameScores, StreamEnd
from stream.policy.alerts import PolicyEngine, Transition
from stream.policy.coverage import CoverageSlice, Ledger
from stream.sinks.base import Sink


def utc_text(clock: Clock) -> str:
    """Returns the time as ISO 8601 in UTC, to the millisecond."""
    return clock.utc().isoformat(timespec="milliseconds").replace("+00:00", "Z")


class Publisher:
    """Stamps events and hands them to the sinks, one at a time. Thread-safe.

    Args:
        sinks: Where events go.
        clock: Stamps them.
        models: Model name to version.
        policy: Version of the policy in force.
    """

    def __init__(self, sinks: Sequence[Sink], clock: Clock, models: Mapping[str, str], policy: str) -> None:
        self._sinks = sinks
        self._clock = clock
        self._models = models
        self._policy = policy
        self._lock = threading.Lock()

    def frame(self, scores: FrameScores, ingested_at: str) -> None:
        """Publishes what became of one frame."""
        ref = scores.ref
        numerator, denominator = ref.time_base
        self._publish(
            FrameEvent(
                event_id=ref.event_id,
                stream_id=ref.stream_id,
                epoch=ref.epoch,
                pts=ref.pts,
                time_base=f"{numerator}/{denominator}",
                media_time_s=round(ref.media_time_s, 6),
                captured_at=ref.captured_at,
                clock=ref.clock,
                ingested_at=ingested_at,
                published_at=utc_text(self._clock),
                is_keyframe=ref.is_keyframe,
                width=ref.width,
                height=ref.height,
                state=scores.state,
                scores=scores.scores,
                reason=scores.reason,
                models=self._models,
                policy=self._policy,
                position=ref.position,
            )
        )

    def alert(self, stream_id: str, step: Transition) -> None:
        """Publishes one step in the life of an alert."""
        self._publish(
            AlertEvent(
                alert_id=step.alert_id,
                transition=step.transition,
                stream_id=stream_id,
                rule=step.rule.name,
                category=step.rule.category,
                severity=step.severity,
                signal=step.rule.signal,
                start_s=round(step.start_s, 6),
                end_s=round(step.end_s, 6),
                peak_score=step.peak_score,
                peak_s=round(step.peak_s, 6),
                samples=step.samples,
                at_s=round(step.at_s, 6),
                event_id=step.event_id,
                reason=step.reason,
                published_at=utc_text(self._clock),
                models=self._models,
                policy=self._policy,
            )
        )

    def coverage(self, stream_id: str, part: CoverageSlice, *, final: bool) -> None:
        """Publishes what was and was not looked at in one stretch."""
        self._publish(
            CoverageEvent(
                stream_id=stream_id,
                start_s=part.start_s,
                end_s=part.end_s,
                scored_s=part.scored_s,
                skipped_s=part.skipped_s,
                dropped_s=part.dropped_s,
                undecodable_s=part.undecodable_s,
                down_s=part.down_s,
                samples=part.samples,
                spans=part.spans,
                final=final,
                published_at=utc_text(self._clock),
            )
        )

    def _publish(self, event: Event) -> None:
        with self._lock:
            for sink in self._sinks:
                sink.publish(event)


@dataclass(frozen=True)
class Outcome:
    """What came out of one stream.

    Attributes:
        coverage: Everything from its first frame to its end.
        alerts: Alerts opened.
    """

    coverage: CoverageSlice
    alerts: int


class StreamModeration:
    """Feeds one stream's scores to its policy engine and its ledger. Not thread-safe.

    Args:
        stream_id: Name of the stream.
        engine: Opens and closes its alerts.
        ledger: Accounts for its time.
        publisher: Takes its events.
        coverage_interval_s: Seconds of media time that one coverage event accounts for, or a multiple of
            them where no sample came for longer.
    """

    def __init__(
        self,
        stream_id: str,
        engine: PolicyEngine,
        ledger: Ledger,
        publisher: Publisher,
        coverage_interval_s: float,
    ) -> None:
        self._stream_id = stream_id
        self._engine = engine
        self._ledger = ledger
        self._publisher = publisher
        self._interval_s = coverage_interval_s
        self._next_coverage_s = coverage_interval_s
        self._alerts = 0

    def handle(self, scores: FrameScores, ingested_at: str) -> None:
        """Takes the next sample, in stream order."""
        at_s = scores.ref.media_time_s
        if scores.state in {"undecodable", "dropped"}:
            self._ledger.missed(at_s, scores.state, scores.reason or scores.state, scores.frames_between)
        else:
            self._ledger.scored(at_s, scores.frames_between)
        self._publisher.frame(scores, ingested_at)
        self._publish_steps(self._engine.observe(scores))
        self._publish_settled()

    def finish(self, end: StreamEnd) -> Outcome:
        """Closes what is open and accounts for the whole stream."""
        self._ledger.finish(end)
        self._publish_steps(self._engine.finish(end.end_s))
        self._publish_settled()
        self._publisher.coverage(self._stream_id, self._ledger.take(), final=True)
        return Outcome(self._ledger.totals, self._alerts)

    def _publish_steps(self, steps: Sequence[Transition]) -> None:
        for step in steps:
            self._alerts += step.transition == "opened"
            self._publisher.alert(self._stream_id, step)

    def _publish_settled(self) -> None:
        """Publishes the whole intervals that are settled, as one event: a pts may jump over a million."""
        behind_s = self._ledger.settled_s - self._next_coverage_s
        if behind_s < 0.0:
            return
        up_to_s = self._next_coverage_s + behind_s // self._interval_s * self._interval_s
        part = self._ledger.take(up_to_s)
        self._publisher.coverage(self._stream_id, part, final=False)
        self._next_coverage_s = max(part.end_s, up_to_s) + self._interval_s
