"""The life of one rule's alerts on one stream.

All times are media times, and a step is decided at the sample that leads to it.

- An alert opens as `Recent.opening` says. An escalation that holds already is a step of its own after it.
- A sample reaches the span of an open alert if it is at or above `enter`, or at or above `exit` while the
  window is not calm. One that flickers above `exit` alone among calm ones does not.
- The span ends where the last sample that reached it stops standing for the picture: at the next sample, but
  `stands_for_s` later at most if frames were left out before that one or a new epoch starts with it. Where
  closing was decided does not matter.
- The alert closes at the first sample that finds the window calm and `cooldown_s` past the end of the span.
  Cool-down joins: what reaches the span before then goes on with the same alert. It never holds one back.
- After a blind stretch that makes the window forget, an alert whose cool-down has passed closes at the next
  observation, whatever its score; a hit may open the next alert in the same call.
"""

import math
from collections.abc import Sequence
from typing import Literal, TypeAlias

import msgspec

from stream.config import Rule
from stream.events import SEVERITIES, AlertTransition, Severity
from stream.frames import FrameScores, FrameState
from stream.policy.rules import TOLERANCE_S, Observation, Recent, Span

CloseReason: TypeAlias = Literal["calm", "end_of_stream"]

_OBSERVED: Sequence[FrameState] = ("scored", "no_face")
"""States with scores to look at: a frame without a face still has those of whole-frame models."""


class Transition(msgspec.Struct, frozen=True):
    """One step in the life of an alert.

    Attributes:
        alert_id: `stream_id/rule/epoch/pts` of the span's first sample; equal in all steps and every replay.
        transition: What happened to it.
        rule: The rule that it belongs to.
        severity: Severity after this step.
        start_s: Media time of the first sample of the span.
        end_s: Media time up to which the span is known to reach; final once closed.
        peak_score: Highest score in the span so far.
        peak_s: Media time of that score.
        samples: Observations in the span so far.
        at_s: Media time at which this step was decided.
        event_id: The frame event that led to this step, None when the stream's end did.
        reason: Why it closed, None before.
    """

    alert_id: str
    transition: AlertTransition
    rule: Rule
    severity: Severity
    start_s: float
    end_s: float
    peak_score: float
    peak_s: float
    samples: int
    at_s: float
    event_id: str | None
    reason: CloseReason | None


class OpenAlert(msgspec.Struct):
    """An alert that has opened and not closed.

    Attributes:
        alert_id: Its identity.
        severity: Its severity now.
        span: The observations from the first to the last that reached it.
        end_s: Media time at which the span ends as things stand; None while its last sample is the latest.
        stepped_s: Media time of its latest step.
    """

    alert_id: str
    severity: Severity
    span: Span
    end_s: float | None
    stepped_s: float

    @property
    def reach_s(self) -> float:
        """Media time up to which the span is known to reach."""
        return self.span.last.at_s if self.end_s is None else self.end_s


class RuleState(msgspec.Struct):
    """All that one rule knows of its stream.

    Attributes:
        recent: Its last observations.
        alert: Its open alert.
        latest_s: Media time of the latest sample, observed or not.
    """

    recent: Recent
    alert: OpenAlert | None = None
    latest_s: float = 0.0


class Tracker:
    """Turns the scores of one stream into the steps of one rule's alerts."""

    def __init__(self, rule: Rule, stream_id: str, stands_for_s: float, state: RuleState) -> None:
        self.rule = rule
        self.state = state
        self._stream_id = stream_id
        self._stands_for_s = stands_for_s

    def observe(self, scores: FrameScores) -> list[Transition]:
        """Returns the steps that the next sample leads to."""
        recent, ref = self.state.recent, scores.ref
        at_s = max(ref.media_time_s, self.state.latest_s)
        self.state.latest_s = at_s
        self._end_latest(at_s, capped=scores.frames_between > 0 or recent.is_older_than(ref.epoch))
        score = scores.scores.get(self.rule.signal) if scores.state in _OBSERVED else None
        if score is None or math.isnan(score):
            recent.unseen(at_s)
            return []
        recent.forget_if_blind(self.rule, at_s, ref.epoch, self._stands_for_s)
        steps = self._close(at_s, ref.event_id, "calm") if self._is_over(at_s) else []
        observation = Observation(at_s, ref.epoch, ref.pts, score)
        recent.add(self.rule, observation)
        if self.state.alert is not None:
            return steps + self._go_on(self.state.alert, observation, ref.event_id)
        span = recent.opening(self.rule)
        return steps + self._open(span, None, at_s, ref.event_id) if span else steps

    def finish(self, end_s: float) -> list[Transition]:
        """Returns the steps that the end of the stream leads to."""
        recent = self.state.recent
        at_s = max(end_s, self.state.latest_s)
        self._end_latest(at_s, capped=True)
        steps = []
        if self.state.alert is None and (span := recent.opening_at_end(self.rule)):
            steps = self._open(span, recent.window[-1 - span.tail].end_s, at_s, None)
        return steps + self._close(at_s, None, "end_of_stream")

    def _end_latest(self, at_s: float, *, capped: bool) -> None:
        """Ends the latest observation, and the span that it is the last of, because of a sample at `at_s`."""
        recent, alert = self.state.recent, self.state.alert
        if not recent.window:
            return
        cap_s = recent.window[-1].at_s + self._stands_for_s if capped else at_s
        recent.end_latest(min(at_s, cap_s))
        if alert is not None and alert.end_s is None:
            alert.end_s = recent.window[-1].end_s

    def _is_over(self, at_s: float) -> bool:
        alert = self.state.alert
        if alert is None or alert.end_s is None:
            return False
        cooled = at_s - alert.end_s >= self.rule.cooldown_s - TOLERANCE_S
        return cooled and self.state.recent.is_calm(self.rule)

    def _open(self, span: Span, end_s: float | None, at_s: float, event_id: str | None) -> list[Transition]:
        alert_id = f"{self._stream_id}/{self.rule.name}/{span.first.epoch}/{span.first.pts}"
        alert = self.state.alert = OpenAlert(alert_id, self.rule.severity, span, end_s, at_s)
        return [self._step(alert, "opened", at_s, event_id), *self._escalate(alert, at_s, event_id)]

    def _go_on(self, alert: OpenAlert, observation: Observation, event_id: str) -> list[Transition]:
        rule, at_s = self.rule, observation.at_s
        kept = observation.score >= rule.exit and not self.state.recent.is_calm(rule)
        reaches = kept or observation.score >= rule.enter
        alert.span = alert.span.grown(observation, counts=reaches)
        if reaches:
            alert.end_s = None
        if self._is_over(at_s):
            return self._close(at_s, event_id, "calm")
        if steps := self._escalate(alert, at_s, event_id):
            return steps
        if at_s - alert.stepped_s >= rule.update_every_s - TOLERANCE_S:
            return [self._step(alert, "updated", at_s, event_id)]
        return []

    def _escalate(self, alert: OpenAlert, at_s: float, event_id: str | None) -> list[Transition]:
        """Returns a step for each escalation that holds and raises the severity, in the order of the rule."""
        lasted_s = alert.reach_s - alert.span.first.at_s
        steps = []
        for escalation in self.rule.escalate:
            held = escalation.after_s is None or lasted_s >= escalation.after_s - TOLERANCE_S
            reached = escalation.score is None or alert.span.peak.score >= escalation.score
            raises = SEVERITIES.index(escalation.severity) > SEVERITIES.index(alert.severity)
            if held and reached and raises:
                alert.severity = escalation.severity
                steps.append(self._step(alert, "escalated", at_s, event_id))
        return steps

    def _close(self, at_s: float, event_id: str | None, reason: CloseReason) -> list[Transition]:
        """Closes the alert, if one is open; an escalation that its final end brings about comes first."""
        alert = self.state.alert
        if alert is None:
            return []
        steps = self._escalate(alert, at_s, event_id)
        self.state.alert = None
        self.state.recent.use_up()
        return [*steps, self._step(alert, "closed", at_s, event_id, reason)]

    def _step(
        self,
        alert: OpenAlert,
        transition: AlertTransition,
        at_s: float,
        event_id: str | None,
        reason: CloseReason | None = None,
    ) -> Transition:
        alert.stepped_s = at_s
        return Transition(
            alert_id=alert.alert_id,
            transition=transition,
            rule=self.rule,
            severity=alert.severity,
            start_s=alert.span.first.at_s,
            end_s=alert.reach_s,
            peak_score=alert.span.peak.score,
            peak_s=alert.span.peak.at_s,
            samples=alert.span.samples,
            at_s=at_s,
            event_id=event_id,
            reason=reason,
        )
