"""What holds for every stream and every rule."""

import itertools
from collections.abc import Sequence

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from stream.config import Escalation, Policy, Rule
from stream.events import SEVERITIES
from stream.frames import FrameRef, FrameScores
from stream.policy.alerts import EngineState, PolicyEngine, Transition

STANDS_FOR_S = 1.0
_SCORES = st.one_of(st.none(), st.sampled_from([0.0, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0]))
_GAPS_S = st.sampled_from([0.0, 0.04, 0.5, 1.0, 1.001, 2.0, 7.0, 60.0])


@st.composite
def rules(draw: st.DrawFn) -> Rule:
    n = draw(st.integers(1, 5))
    escalations = st.builds(
        Escalation,
        severity=st.sampled_from(SEVERITIES),
        after_s=st.sampled_from([0.0, 2.0, 5.0]),
        score=st.sampled_from([None, 0.9, 1.0]),
    )
    return Rule(
        name="nsfw",
        category="nsfw",
        signal="m.nsfw",
        enter=0.8,
        exit=draw(st.sampled_from([0.6, 0.8])),
        k=draw(st.integers(1, n)),
        n=n,
        min_duration_s=draw(st.sampled_from([0.0, 1.0, 4.0])),
        cooldown_s=draw(st.sampled_from([0.0, 1.0, 5.0])),
        update_every_s=draw(st.sampled_from([1.0, 3.0])),
        escalate=tuple(draw(st.lists(escalations, max_size=3))),
    )


@st.composite
def streams(draw: st.DrawFn) -> list[FrameScores]:
    samples, at_s, epoch = [], 0.0, 0
    for pts, score in enumerate(draw(st.lists(_SCORES, max_size=40))):
        at_s += draw(_GAPS_S) if pts else 0.0
        epoch += draw(st.sampled_from([0, 0, 0, 1]))
        ref = FrameRef("cam", epoch, pts, (1, 25), at_s, is_keyframe=False, width=8, height=8)
        scores = {} if score is None else {"m.nsfw": score}
        samples.append(
            FrameScores(ref, "scored" if scores else "undecodable", scores, draw(st.sampled_from([0, 24])))
        )
    return samples


def end_of(samples: Sequence[FrameScores]) -> float:
    return samples[-1].ref.media_time_s + 0.5 if samples else 0.5


def observed(rule: Rule, samples: Sequence[FrameScores]) -> list[Transition]:
    judge = PolicyEngine(Policy(rules=(rule,)), "cam", STANDS_FOR_S)
    return [step for scores in samples for step in judge.observe(scores)]


def finished(rule: Rule, samples: Sequence[FrameScores]) -> list[Transition]:
    judge = PolicyEngine(Policy(rules=(rule,)), "cam", STANDS_FOR_S)
    steps = [step for scores in samples for step in judge.observe(scores)]
    return steps + judge.finish(end_of(samples))


def held_from(samples: Sequence[FrameScores]) -> set[float]:
    """When the pictures began that stayed on display until the next sample."""
    return {
        earlier.ref.media_time_s
        for earlier, later in itertools.pairwise(samples)
        if later.frames_between == 0 and earlier.ref.epoch == later.ref.epoch
    }


def lives(steps: Sequence[Transition]) -> list[list[Transition]]:
    """Steps grouped by alert, in order; a grouping by neighbours, so that two alerts never interleave."""
    return [list(group) for _, group in itertools.groupby(steps, key=lambda step: step.alert_id)]


@given(rules(), streams())
def test_every_alert_opens_first_and_closes_last(rule: Rule, samples: list[FrameScores]) -> None:
    for life in lives(finished(rule, samples)):
        transitions = [step.transition for step in life]
        assert (transitions[0], transitions[-1]) == ("opened", "closed")
        assert set(transitions[1:-1]) <= {"escalated", "updated"}


@given(rules(), streams())
def test_identities_are_unique(rule: Rule, samples: list[FrameScores]) -> None:
    identities = [life[0].alert_id for life in lives(finished(rule, samples))]

    assert len(identities) == len(set(identities))


@given(rules(), streams())
def test_spans_are_in_order_and_apart(rule: Rule, samples: list[FrameScores]) -> None:
    previous_end_s = 0.0
    for life in lives(finished(rule, samples)):
        assert previous_end_s <= life[0].start_s
        for step in life:
            assert step.start_s <= step.peak_s <= step.end_s <= step.at_s
        previous_end_s = life[-1].end_s


@given(rules(), streams())
def test_only_severity_end_and_peak_grow_during_a_life(rule: Rule, samples: list[FrameScores]) -> None:
    for life in lives(finished(rule, samples)):
        for earlier, later in itertools.pairwise(life):
            assert earlier.start_s == later.start_s
            assert earlier.end_s <= later.end_s
            assert earlier.at_s <= later.at_s
            assert earlier.samples <= later.samples
            assert earlier.peak_score <= later.peak_score
            raised = SEVERITIES.index(later.severity) - SEVERITIES.index(earlier.severity)
            assert raised > 0 if later.transition == "escalated" else raised == 0


@given(rules(), streams())
def test_span_starts_and_peaks_at_hits(rule: Rule, samples: list[FrameScores]) -> None:
    hits = {s.ref.media_time_s for s in samples if s.scores.get("m.nsfw", 0.0) >= rule.enter}
    hits |= {at_s + count * STANDS_FOR_S for at_s in held_from(samples) & hits for count in range(1, rule.n)}

    for step in finished(rule, samples):
        assert {step.start_s, step.peak_s} <= hits
        assert step.peak_score >= rule.enter


@given(rules(), streams())
def test_samples_below_enter_never_alert(rule: Rule, samples: list[FrameScores]) -> None:
    calm = [msgspec.structs.replace(s, scores=dict.fromkeys(s.scores, 0.79)) for s in samples]

    assert finished(rule, calm) == []


@given(rules(), st.integers(1, 30))
def test_stream_of_hits_alone_always_alerts(rule: Rule, count: int) -> None:
    refs = [
        FrameRef("cam", 0, i, (1, 1), float(i), is_keyframe=False, width=8, height=8) for i in range(count)
    ]
    steps = finished(rule, [FrameScores(ref, "scored", {"m.nsfw": 1.0}, 24) for ref in refs])

    assert [(life[0].start_s, life[-1].end_s) for life in lives(steps)] == [(0.0, count - 0.5)]


@given(rules(), streams(), st.data())
def test_later_samples_never_change_earlier_steps(
    rule: Rule, samples: list[FrameScores], data: st.DataObject
) -> None:
    cut = data.draw(st.integers(0, len(samples)))
    earlier = observed(rule, samples[:cut])

    assert observed(rule, samples)[: len(earlier)] == earlier


@given(rules(), streams(), st.data())
def test_restored_engine_goes_on_as_if_nothing_had_happened(
    rule: Rule, samples: list[FrameScores], data: st.DataObject
) -> None:
    cut = data.draw(st.integers(0, len(samples)))
    policy = Policy(rules=(rule,))
    first = PolicyEngine(policy, "cam", STANDS_FOR_S)
    steps = [step for scores in samples[:cut] for step in first.observe(scores)]
    stored = msgspec.json.encode(first.snapshot())

    second = PolicyEngine.restore(policy, msgspec.json.decode(stored, type=EngineState))
    steps += [step for scores in samples[cut:] for step in second.observe(scores)]
    steps += second.finish(end_of(samples))

    assert steps == finished(rule, samples)
