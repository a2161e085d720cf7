"""What Framewarden publishes. The JSON Schemas of these types are the contract with readers."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeAlias

import msgspec

from stream.frames import ClockQuality, FrameState

Severity: TypeAlias = Literal["info", "low", "medium", "high", "critical"]
SEVERITIES: tuple[Severity, ...] = ("info", "low", "medium", "high", "critical")

AlertTransition: TypeAlias = Literal["opened", "escalated", "updated", "closed"]
CoverageCause: TypeAlias = Literal["skipped", "dropped", "undecodable", "down"]
BLIND_CAUSES: tuple[CoverageCause, ...] = ("dropped", "undecodable", "down")

Score: TypeAlias = Annotated[float, msgspec.Meta(ge=0.0, le=1.0)]
Seconds: TypeAlias = Annotated[float, msgspec.Meta(ge=0.0)]


class FrameEvent(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="framewarden.frame.v1"):
    """One sampled frame.

    Attributes:
        event_id: `stream_id/epoch/pts`; the same however often the frame is published.
        stream_id: Name of the stream.
        epoch: Counts the stretches of one continuous timeline.
        pts: Presentation timestamp in `time_base` units.
        time_base: Seconds per pts unit, as `numerator/denominator`.
        media_time_s: Seconds since the stream's first frame, continuous over epochs.
        captured_at: UTC time of capture, ISO 8601; null where nothing tells it.
        clock: Where `captured_at` comes from.
        ingested_at: UTC time at which the frame reached the scorer.
        published_at: UTC time at which this event was written.
        is_keyframe: Whether the frame was coded as a keyframe.
        width: Width of the upright picture in pixels.
        height: Height of the upright picture in pixels.
        state: What became of the frame. A frame that was not scored has no scores, never 0.0.
        scores: `model.label` to score in [0, 1].
        reason: Why there is no score; null where there is one.
        models: Model name to version.
        policy: Version of the policy in force.
        position: The record that the frame counts against; null for files.
    """

    event_id: str
    stream_id: str
    epoch: int
    pts: int
    time_base: str
    media_time_s: Seconds
    captured_at: str | None
    clock: ClockQuality
    ingested_at: str
    published_at: str
    is_keyframe: bool
    width: int
    height: int
    state: FrameState
    scores: Mapping[str, Score]
    reason: str | None
    models: Mapping[str, str]
    policy: str
    position: str | None = None


class AlertEvent(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="framewarden.alert.v1"):
    """One step in the life of an alert.

    Attributes:
        alert_id: Identity of the alert, equal in all its steps and in every replay.
        transition: What happened to it.
        stream_id: Name of the stream.
        rule: Name of the policy rule.
        category: What the rule looks for, such as `nsfw`.
        severity: Severity after this step.
        signal: The score that the rule watches.
        start_s: Media time of the first sample of the span.
        end_s: Media time up to which the span is known to reach; final once closed.
        peak_score: Highest score in the span so far.
        peak_s: Media time of that score.
        samples: Scored samples in the span so far.
        at_s: Media time at which this step was decided.
        event_id: The frame event that led to this step; null when the stream's end did.
        reason: Why it closed (`calm`, `end_of_stream`); null before.
        published_at: UTC time at which this event was written.
        models: Model name to version.
        policy: Version of the policy in force.
    """

    alert_id: str
    transition: AlertTransition
    stream_id: str
    rule: str
    category: str
    severity: Severity
    signal: str
    start_s: Seconds
    end_s: Seconds
    peak_score: Score
    peak_s: Seconds
    samples: int
    at_s: Seconds
    event_id: str | None
    reason: Literal["calm", "end_of_stream"] | None
    published_at: str
    models: Mapping[str, str]
    policy: str


class CoverageSpan(msgspec.Struct, frozen=True):
    """A stretch of media time that was not scored.

    Attributes:
        start_s: Media time of its start.
        end_s: Media time of its end.
        cause: Why it was not scored.
        reason: The first reason seen, in words; null when skipped on purpose.
    """

    start_s: Seconds
    end_s: Seconds
    cause: CoverageCause
    reason: str | None = None


class CoverageEvent(
    msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="framewarden.coverage.v1"
):
    """What was and was not looked at from `start_s` to `end_s`.

    `scored_s + skipped_s + dropped_s + undecodable_s + down_s = end_s - start_s`.

    Attributes:
        stream_id: Name of the stream.
        start_s: Media time at which this stretch starts.
        end_s: Media time at which it ends.
        scored_s: Seconds that a scored frame stands for.
        skipped_s: Seconds that sampling left out on purpose.
        dropped_s: Seconds whose sample was chosen and thrown away under load.
        undecodable_s: Seconds whose sample could not be decoded.
        down_s: Seconds in which there was no decoder or no source.
        samples: Samples scored in this stretch.
        spans: What was not scored and why, at most the first 1,000.
        final: Whether the stream has ended with this stretch.
        published_at: UTC time at which this event was written.
    """

    stream_id: str
    start_s: Seconds
    end_s: Seconds
    scored_s: Seconds
    skipped_s: Seconds
    dropped_s: Seconds
    undecodable_s: Seconds
    down_s: Seconds
    samples: int
    spans: tuple[CoverageSpan, ...]
    final: bool
    published_at: str


Event: TypeAlias = FrameEvent | AlertEvent | CoverageEvent

EVENT_TYPES: Mapping[str, type[Event]] = {"frame": FrameEvent, "alert": AlertEvent, "coverage": CoverageEvent}


def json_schema(kind: str) -> dict[str, Any]:
    """Returns the JSON Schema (2020-12) of the event kind `frame`, `alert` or `coverage`."""
    event_type = EVENT_TYPES[kind]
    (schema,), components = msgspec.json.schema_components((event_type,), ref_template="#/$defs/{name}")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": event_type.__name__,
        **schema,
        "$defs": components,
    }
