"""Events, summaries and records as a scored file leaves them, for tests of what is written and shown."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import msgspec

from stream.config import Policy, Sampling
from stream.events import AlertEvent, CoverageEvent, CoverageSpan, FrameEvent
from stream.record import FileRecord
from stream.report import RunFacts
from stream.summary import FileSummary

POLICY = Policy()
MODELS = {"open_nsfw": "1.0.0"}
SIGNAL = "open_nsfw.nsfw"
PUBLISHED_AT = "2026-01-01T12:00:00Z"

RUN = RunFacts(
    version="0.1.0",
    policy=POLICY,
    sampling=Sampling(),
    models=MODELS,
    provider="CPUExecutionProvider",
    started_at=datetime(2026, 1, 1, 12, tzinfo=UTC),
    command=("framewarden", "score", "clip.mp4"),
)


def frame_event(time_s: float, score: float, stream_id: str = "clip.mp4") -> FrameEvent:
    """Returns the event of a frame that was scored `score` at `time_s`."""
    pts = round(time_s * 1000)
    return FrameEvent(
        event_id=f"{stream_id}/0/{pts}",
        stream_id=stream_id,
        epoch=0,
        pts=pts,
        time_base="1/1000",
        media_time_s=time_s,
        captured_at=None,
        clock="none",
        ingested_at=PUBLISHED_AT,
        published_at=PUBLISHED_AT,
        is_keyframe=True,
        width=640,
        height=360,
        state="scored",
        scores={SIGNAL: score},
        reason=None,
        models=MODELS,
        policy=POLICY.version,
    )


def alert_event(start_s: float, end_s: float, **changes: Any) -> AlertEvent:
    """Returns the closing event of an alert from `start_s` to `end_s`, with `changes` of its fields."""
    event = AlertEvent(
        alert_id=f"alert-{start_s:g}",
        transition="closed",
        stream_id="clip.mp4",
        rule="nsfw",
        category="nsfw",
        severity="high",
        signal=SIGNAL,
        start_s=start_s,
        end_s=end_s,
        peak_score=0.95,
        peak_s=start_s,
        samples=3,
        at_s=end_s,
        event_id=None,
        reason="calm",
        published_at=PUBLISHED_AT,
        models=MODELS,
        policy=POLICY.version,
    )
    return msgspec.structs.replace(event, **changes)


def coverage_event(*spans: CoverageSpan) -> CoverageEvent:
    """Returns a coverage event over 60 s with these spans."""
    undecodable_s = sum(span.end_s - span.start_s for span in spans if span.cause == "undecodable")
    return CoverageEvent(
        stream_id="clip.mp4",
        start_s=0.0,
        end_s=60.0,
        scored_s=60.0 - undecodable_s,
        skipped_s=0.0,
        dropped_s=0.0,
        undecodable_s=undecodable_s,
        down_s=0.0,
        samples=3,
        spans=spans,
        final=True,
        published_at=PUBLISHED_AT,
    )


def file_summary(file: str = "clip.mp4", **changes: Any) -> FileSummary:
    """Returns the summary of a clean video of 60 s, with `changes` of its fields."""
    summary = FileSummary(
        file=file,
        verdict="clean",
        duration_s=60.0,
        samples=60,
        scored_s=60.0,
        blind_s=0.0,
        max_scores={"nsfw": 0.25},
        alerts=0,
        models=MODELS,
        policy=POLICY.version,
        startup_s=1.0,
        work_s=2.0,
        provider="CPUExecutionProvider",
    )
    return msgspec.structs.replace(summary, **changes)


def file_record(
    file: str = "clip.mp4", events: Iterable[FrameEvent | AlertEvent | CoverageEvent] = (), **changes: Any
) -> FileRecord:
    """Returns a finished record of `events`, with `changes` of its summary's fields."""
    record = FileRecord(file)
    for event in events:
        record.add(event)
    record.finish(file_summary(file, **changes))
    return record
