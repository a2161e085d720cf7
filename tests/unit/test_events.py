"""What is published and its JSON Schemas, which are the contract with readers."""

import hashlib
import json
from typing import Any

import jsonschema
import msgspec
import pytest

from stream.events import EVENT_TYPES, AlertEvent, CoverageSpan, Event, FrameEvent, json_schema
from stream.output import json_line
from tests.support.records import alert_event, coverage_event, frame_event

OPENED: dict[str, Any] = {"transition": "opened", "reason": None, "event_id": "clip.mp4/0/0"}
MISSED: dict[str, Any] = {"state": "undecodable", "scores": {}, "reason": "damaged", "is_keyframe": False}

EVENTS: list[tuple[str, Event]] = [
    ("frame", frame_event(1.5, 0.25)),
    ("frame", msgspec.structs.replace(frame_event(1.5, 0.25), **MISSED)),
    (
        "frame",
        msgspec.structs.replace(frame_event(1.5, 0.25), captured_at="2026-01-01T00:00:00Z", position="t/0/1"),
    ),
    ("alert", alert_event(1.0, 5.0)),
    ("alert", alert_event(1.0, 5.0, **OPENED)),
    ("coverage", coverage_event()),
    ("coverage", coverage_event(CoverageSpan(1.0, 2.0, "undecodable", "damaged"))),
    ("coverage", coverage_event(CoverageSpan(1.0, 2.0, "skipped"))),
]

SCHEMA_DIGESTS = {"frame": "663c7ce26632a932", "alert": "2624692659009ecb", "coverage": "b796d5e86ee7953d"}
"""First 16 digits of the sha256 of each schema as sorted JSON.

`python -c "import hashlib, json; from stream.events import *; [print(kind, hashlib.sha256(json.dumps(
json_schema(kind), sort_keys=True).encode()).hexdigest()[:16]) for kind in EVENT_TYPES]"`
"""


def validator(kind: str) -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator(json_schema(kind))


def changed(event: Event, **changes: Any) -> dict[str, Any]:
    """Returns the event as read from its line, with `changes`; `...` takes a key away."""
    fields = {**json.loads(json_line(event)), **changes}
    return {key: value for key, value in fields.items() if value is not ...}


@pytest.mark.parametrize("kind", EVENT_TYPES)
def test_a_schema_is_a_valid_schema(kind: str) -> None:
    jsonschema.Draft202012Validator.check_schema(json_schema(kind))


@pytest.mark.parametrize(("kind", "event"), EVENTS)
def test_an_event_as_written_fits_its_schema(kind: str, event: Event) -> None:
    validator(kind).validate(json.loads(json_line(event)))


@pytest.mark.parametrize(("kind", "event"), EVENTS)
def test_an_event_comes_back_equal_from_its_line(kind: str, event: Event) -> None:
    assert msgspec.json.decode(json_line(event), type=EVENT_TYPES[kind]) == event


@pytest.mark.parametrize(("kind", "event"), EVENTS)
def test_an_event_fits_no_other_kinds_schema(kind: str, event: Event) -> None:
    others = [other for other in EVENT_TYPES if other != kind]
    assert not any(validator(other).is_valid(json.loads(json_line(event))) for other in others)


@pytest.mark.parametrize(
    "changes",
    [
        {"scores": {"open_nsfw.nsfw": 1.01}},
        {"scores": {"open_nsfw.nsfw": -0.01}},
        {"scores": {"open_nsfw.nsfw": None}},
        {"state": "seen"},
        {"media_time_s": -1.0},
        {"event_id": ...},
        {"pts": 1.5},
        {"type": "framewarden.frame.v2"},
    ],
    ids=str,
)
def test_a_frame_event_that_breaks_the_contract_is_refused(changes: dict[str, Any]) -> None:
    assert not validator("frame").is_valid(changed(frame_event(1.5, 0.25), **changes))


@pytest.mark.parametrize(
    "changes",
    [{"transition": "ended"}, {"severity": "worst"}, {"reason": "tired"}, {"peak_score": 2}],
    ids=str,
)
def test_an_alert_event_that_breaks_the_contract_is_refused(changes: dict[str, Any]) -> None:
    assert not validator("alert").is_valid(changed(alert_event(1.0, 5.0), **changes))


@pytest.mark.parametrize("kind", EVENT_TYPES)
def test_a_schema_changes_on_purpose_only(kind: str) -> None:
    """Readers hold on to it: a change that is not an addition needs a new version in the event's type."""
    content = json.dumps(json_schema(kind), sort_keys=True).encode()
    assert hashlib.sha256(content).hexdigest()[:16] == SCHEMA_DIGESTS[kind]


def test_events_name_their_kind_and_version() -> None:
    tags = {kind: event_type.__struct_config__.tag for kind, event_type in EVENT_TYPES.items()}
    assert tags == {
        "frame": "framewarden.frame.v1",
        "alert": "framewarden.alert.v1",
        "coverage": "framewarden.coverage.v1",
    }


@pytest.mark.parametrize("event_type", EVENT_TYPES.values(), ids=lambda each: each.__name__)
def test_every_field_of_an_event_is_described(event_type: type[Event]) -> None:
    documented = event_type.__doc__ or ""
    assert [name for name in event_type.__struct_fields__ if f"\n        {name}: " not in documented] == []


def test_an_event_cannot_be_changed() -> None:
    assert FrameEvent.__struct_config__.frozen
    assert AlertEvent.__struct_config__.frozen
