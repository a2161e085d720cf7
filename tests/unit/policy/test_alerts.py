"""The engine as its callers see it: literal scores in, literal steps out."""

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
import pytest

from stream.config import Escalation, Policy, Rule
from stream.errors import ConfigError
from stream.frames import FrameRef, FrameScores, FrameState
from stream.policy.alerts import EngineState, PolicyEngine, Transition

SCORE = {"H": 0.9, "K": 0.7, ".": 0.1}
"""A hit, a sample that only keeps an alert open, and a calm one; for `rule()`'s thresholds."""


def rule(**changes: Any) -> Rule:
    base = Rule(
        name="nsfw", category="nsfw", signal="m.nsfw", enter=0.8, exit=0.6, k=2, n=3, update_every_s=1000.0
    )
    return msgspec.structs.replace(base, **changes)


def sample(
    at_s: float,
    score: float | None,
    *,
    epoch: int = 0,
    frames_between: int = 24,
    state: FrameState = "scored",
    signal: str = "m.nsfw",
) -> FrameScores:
    ref = FrameRef("cam", epoch, round(at_s * 1000), (1, 1000), at_s, is_keyframe=False, width=64, height=48)
    return FrameScores(ref, state, {} if score is None else {signal: score}, frames_between)


def missed(at_s: float, state: FrameState = "undecodable") -> FrameScores:
    return sample(at_s, None, state=state)


def each_second(pattern: str) -> list[FrameScores]:
    """One sample a second from 0; `x` is one that could not be decoded."""
    return [
        missed(float(at_s)) if mark == "x" else sample(float(at_s), SCORE[mark])
        for at_s, mark in enumerate(pattern)
    ]


def engine(*rules: Rule, stands_for_s: float = 1.0) -> PolicyEngine:
    return PolicyEngine(Policy(rules=rules or (rule(),)), "cam", stands_for_s)


def run(
    samples: Iterable[FrameScores], *rules: Rule, end_s: float | None = None, stands_for_s: float = 1.0
) -> list[Transition]:
    judge = engine(*rules, stands_for_s=stands_for_s)
    steps = [step for scores in samples for step in judge.observe(scores)]
    return steps if end_s is None else steps + judge.finish(end_s)


def brief(steps: Sequence[Transition]) -> list[tuple[str, float, float, float]]:
    """(transition, at, start, end) of each step."""
    return [(step.transition, step.at_s, step.start_s, step.end_s) for step in steps]


# fmt: off
PATTERNS: list[tuple[str, dict[str, Any], list[tuple[str, float, float, float]]]] = [
    # Opening: k of the last n.
    ("...........", {}, []),
    ("..H..H..H..", {}, []),
    (".HH", {}, [("opened", 2, 1, 2)]),
    (".H.H", {}, [("opened", 3, 1, 3)]),
    (".HKK", {}, []),
    ("H..HH", {}, [("opened", 4, 3, 4)]),
    ("H", {"k": 1, "n": 1}, [("opened", 0, 0, 0)]),
    ("H.H.H", {"k": 3, "n": 5}, [("opened", 4, 0, 4)]),
    # Opening: the run must have lasted.
    ("HHHH", {"min_duration_s": 3.0}, [("opened", 3, 0, 3)]),
    ("HHH.", {"min_duration_s": 3.0}, []),
    ("HH..HHHH", {"min_duration_s": 4.0}, [("opened", 5, 0, 5)]),
    ("HH...HHHH", {"min_duration_s": 4.0}, []),
    # Calm: fewer than k of the last n at or above exit; the span ended earlier than that.
    ("HH.", {}, [("opened", 1, 0, 1)]),
    ("HH..", {}, [("opened", 1, 0, 1), ("closed", 3, 0, 2)]),
    ("HHKKK..", {}, [("opened", 1, 0, 1), ("closed", 6, 0, 5)]),
    ("HH.K..", {}, [("opened", 1, 0, 1), ("closed", 4, 0, 4)]),
    ("HH...", {"k": 1, "n": 3}, [("opened", 0, 0, 0), ("closed", 4, 0, 2)]),
    # A new alert needs hits of its own, and its span starts after that of the one before.
    ("H.HH..HHH", {"k": 3, "n": 5}, [("opened", 3, 0, 3), ("closed", 5, 0, 4), ("opened", 8, 6, 8)]),
    ("HH..HH..", {}, [("opened", 1, 0, 1), ("closed", 3, 0, 2), ("opened", 5, 4, 5), ("closed", 7, 4, 6)]),
    # Cool-down: counted from the end of the span; a relapse goes on with the same alert.
    ("HH......", {"cooldown_s": 3.0}, [("opened", 1, 0, 1), ("closed", 5, 0, 2)]),
    ("HH..H.....", {"cooldown_s": 3.0}, [("opened", 1, 0, 1), ("closed", 8, 0, 5)]),
    ("HH...HH..", {"cooldown_s": 3.0}, [
        ("opened", 1, 0, 1), ("closed", 5, 0, 2), ("opened", 6, 5, 6),
    ]),
    ("HH..KK....", {"cooldown_s": 4.0}, [("opened", 1, 0, 1)]),
    ("HH..KK.....", {"cooldown_s": 4.0}, [("opened", 1, 0, 1), ("closed", 10, 0, 6)]),
    # Lone flickers above exit among calm samples neither move the end nor put the closing off.
    ("HH..K..K..K", {"cooldown_s": 6.0}, [("opened", 1, 0, 1), ("closed", 8, 0, 2)]),
]
# fmt: on


@pytest.mark.parametrize(("pattern", "changes", "expected"), PATTERNS)
def test_pattern_of_scores_leads_to_these_steps(
    pattern: str, changes: dict[str, Any], expected: list[tuple[str, float, float, float]]
) -> None:
    assert brief(run(each_second(pattern), rule(**changes))) == expected


def test_opening_step_says_everything_about_the_span_so_far() -> None:
    watched = rule()

    steps = run([sample(4.0, 0.1), sample(5.0, 0.95), sample(6.0, 0.85)], watched)

    assert steps == [
        Transition(
            alert_id="cam/nsfw/0/5000",
            transition="opened",
            rule=watched,
            severity="medium",
            start_s=5.0,
            end_s=6.0,
            peak_score=0.95,
            peak_s=5.0,
            samples=2,
            at_s=6.0,
            event_id="cam/0/6000",
            reason=None,
        )
    ]


def test_closing_step_keeps_identity_and_counts_only_the_samples_of_the_span() -> None:
    steps = run(each_second("HHKH.."))

    closed = steps[-1]
    assert (closed.alert_id, closed.samples, closed.reason) == ("cam/nsfw/0/0", 4, "calm")
    assert closed.event_id == "cam/0/5000"


def test_samples_between_two_parts_of_a_span_belong_to_it() -> None:
    closed = run(each_second("HH..H.."), rule(cooldown_s=3.0), end_s=7.0)[-1]

    assert (closed.end_s, closed.samples) == (5.0, 5)


def test_peak_is_the_first_of_the_highest_scores() -> None:
    samples = [sample(float(at_s), score) for at_s, score in enumerate([0.8, 0.9, 0.99, 0.7, 0.99, 0.1, 0.1])]

    closed = run(samples)[-1]

    assert (closed.peak_score, closed.peak_s) == (0.99, 2.0)


def test_scores_at_the_thresholds_count() -> None:
    samples = [sample(0.0, 0.8), sample(1.0, 0.8), sample(2.0, 0.6), sample(3.0, 0.59), sample(4.0, 0.59)]

    assert brief(run(samples)) == [("opened", 1, 0, 1), ("closed", 4, 0, 3)]


def test_durations_are_met_in_spite_of_binary_fractions() -> None:
    samples = [sample(at_s, 0.9) for at_s in (0.1, 0.2, 0.3, 0.4)]  # 0.4 - 0.1 is 0.30000000000000004
    shifted = [sample(at_s, 0.9) for at_s in (0.7, 0.8, 0.9, 1.0)]  # 1.0 - 0.7 is 0.30000000000000004
    late = [sample(at_s, 0.9) for at_s in (1.1, 1.2, 1.3, 1.4)]  # 1.4 - 1.1 is 0.2999999999999998

    for each in (samples, shifted, late):
        assert len(run(each, rule(min_duration_s=0.3))) == 1
    after = (Escalation(severity="high", after_s=0.3),)
    assert brief(run(late, rule(escalate=after)))[-1] == ("escalated", 1.4, 1.1, 1.4)


class TestEndOfSpan:
    def test_is_the_next_sample_when_that_comes_early(self) -> None:
        samples = [sample(0.0, 0.9), sample(0.5, 0.9), sample(0.6, 0.1), sample(2.0, 0.1)]

        assert brief(run(samples))[-1] == ("closed", 2.0, 0.0, 0.6)

    def test_is_capped_where_frames_were_left_out_before_a_late_sample(self) -> None:
        samples = [sample(0.0, 0.9), sample(1.0, 0.9), sample(30.0, 0.1), sample(31.0, 0.1)]

        assert brief(run(samples))[-1] == ("closed", 31.0, 0.0, 2.0)

    def test_is_the_next_picture_when_none_was_left_out(self) -> None:
        slides = [(0.0, 0.9), (20.0, 0.9), (50.0, 0.1), (70.0, 0.1)]
        samples = [sample(at_s, score, frames_between=0) for at_s, score in slides]

        assert brief(run(samples))[-1] == ("closed", 51, 0, 50)

    def test_a_picture_held_on_display_counts_again_and_again(self) -> None:
        held = [sample(0.0, 0.1), sample(1.0, 0.9), sample(30.0, 0.1, frames_between=0), sample(31.0, 0.1)]

        assert brief(run(held)) == [("opened", 2.0, 1.0, 2.0), ("closed", 31.0, 1.0, 30.0)]

    def test_a_picture_that_others_followed_counts_once(self) -> None:
        samples = [sample(0.0, 0.1), sample(1.0, 0.9), sample(30.0, 0.1, frames_between=9), sample(31.0, 0.1)]

        assert run(samples) == []

    def test_is_a_sample_that_could_not_be_decoded(self) -> None:
        samples = [sample(0.0, 0.9), sample(1.0, 0.9), missed(1.4), sample(2.0, 0.1), sample(3.0, 0.1)]

        assert brief(run(samples))[-1] == ("closed", 3.0, 0.0, 1.4)

    def test_is_capped_where_a_new_epoch_starts(self) -> None:
        samples = [
            sample(0.0, 0.9),
            sample(1.0, 0.9),
            sample(4.0, 0.1, epoch=1, frames_between=0),
            sample(5.0, 0.1, epoch=1),
        ]

        assert brief(run(samples))[-1] == ("closed", 5.0, 0.0, 2.0)

    def test_at_the_end_of_the_stream_is_that_end(self) -> None:
        assert brief(run(each_second("HHH"), end_s=2.4))[-1] == ("closed", 2.4, 0.0, 2.4)

    def test_at_the_end_of_the_stream_is_capped(self) -> None:
        assert brief(run(each_second("HHH"), end_s=60.0))[-1] == ("closed", 60.0, 0.0, 3.0)

    def test_is_never_before_the_last_sample(self) -> None:
        assert brief(run(each_second("HHH"), end_s=1.9))[-1] == ("closed", 2.0, 0.0, 2.0)

    def test_stays_where_it_was_when_the_stream_ends_during_cooldown(self) -> None:
        steps = run(each_second("HH..."), rule(cooldown_s=60.0), end_s=5.0)

        assert brief(steps)[-1] == ("closed", 5.0, 0.0, 2.0)
        assert steps[-1].reason == "end_of_stream"
        assert steps[-1].event_id is None


class TestEscalation:
    def test_that_holds_at_opening_is_a_step_of_its_own(self) -> None:
        steps = run(each_second("HH"), rule(escalate=(Escalation(severity="critical", score=0.9),)))

        assert [(step.transition, step.severity) for step in steps] == [
            ("opened", "medium"),
            ("escalated", "critical"),
        ]

    def test_by_length_comes_when_the_span_has_lasted(self) -> None:
        steps = run(each_second("HHHHHH"), rule(escalate=(Escalation(severity="high", after_s=4.0),)))

        assert brief(steps) == [("opened", 1, 0, 1), ("escalated", 4, 0, 4)]

    def test_by_length_does_not_count_calm_time(self) -> None:
        steps = run(
            each_second("HH........"),
            rule(cooldown_s=60.0, escalate=(Escalation(severity="high", after_s=4.0),)),
        )

        assert brief(steps) == [("opened", 1, 0, 1)]

    def test_by_length_counts_what_the_last_sample_stands_for(self) -> None:
        after = (Escalation(severity="high", after_s=4.0),)

        steps = run(each_second("HHHH"), rule(escalate=after), end_s=4.0)

        assert [(step.transition, step.severity) for step in steps] == [
            ("opened", "medium"),
            ("escalated", "high"),
            ("closed", "high"),
        ]

    def test_needs_all_its_conditions(self) -> None:
        both = (Escalation(severity="high", after_s=2.0, score=0.95),)
        samples = [sample(float(at_s), score) for at_s, score in enumerate([0.9, 0.9, 0.9, 0.96])]

        assert brief(run(samples, rule(escalate=both)))[1:] == [("escalated", 3, 0, 3)]

    def test_steps_come_in_order_and_once(self) -> None:
        climb = (Escalation(severity="high", after_s=1.0), Escalation(severity="critical", after_s=1.0))

        steps = run(each_second("HHHHH"), rule(escalate=climb))

        assert [(step.transition, step.severity, step.at_s) for step in steps] == [
            ("opened", "medium", 1.0),
            ("escalated", "high", 1.0),
            ("escalated", "critical", 1.0),
        ]

    def test_never_lowers_the_severity(self) -> None:
        both = (Escalation(severity="critical", score=0.9), Escalation(severity="high", after_s=2.0))

        steps = run(each_second("HHHH.."), rule(escalate=both))

        assert [step.severity for step in steps] == ["medium", "critical", "critical"]


class TestUpdates:
    def test_come_at_the_interval_with_the_span_so_far(self) -> None:
        steps = run(each_second("HHHHHHH"), rule(update_every_s=2.0))

        assert brief(steps) == [("opened", 1, 0, 1), ("updated", 3, 0, 3), ("updated", 5, 0, 5)]
        assert [step.samples for step in steps] == [2, 4, 6]

    def test_give_way_to_an_escalation(self) -> None:
        steps = run(
            each_second("HHHHHH"),
            rule(update_every_s=2.0, escalate=(Escalation(severity="high", after_s=3.0),)),
        )

        assert brief(steps) == [("opened", 1, 0, 1), ("escalated", 3, 0, 3), ("updated", 5, 0, 5)]

    def test_give_way_to_closing(self) -> None:
        assert brief(run(each_second("HH.."), rule(update_every_s=2.0)))[1:] == [("closed", 3, 0, 2)]

    def test_go_on_during_cooldown(self) -> None:
        steps = run(each_second("HH...."), rule(update_every_s=2.0, cooldown_s=60.0))

        assert brief(steps)[1:] == [("updated", 3, 0, 2), ("updated", 5, 0, 2)]


class TestShortStreams:
    def test_still_picture_that_is_a_hit_opens_and_closes(self) -> None:
        steps = run([sample(0.0, 0.9)], rule(min_duration_s=5.0), end_s=0.0)

        assert brief(steps) == [("opened", 0, 0, 0), ("closed", 0, 0, 0)]
        assert [(step.event_id, step.reason) for step in steps] == [(None, None), (None, "end_of_stream")]

    def test_still_picture_that_only_keeps_alerts_open_gives_nothing(self) -> None:
        assert run([sample(0.0, 0.7)], end_s=0.0) == []

    def test_stream_without_samples_gives_nothing(self) -> None:
        assert run([missed(0.0)], end_s=4.0) == []

    @pytest.mark.parametrize(
        ("pattern", "k", "n", "opens"),
        [
            ("H.", 2, 3, False),
            ("H..", 2, 3, False),
            ("H.", 3, 5, False),
            ("HH", 3, 5, True),
            ("H...", 1, 5, True),
            ("HHH", 4, 5, True),
            ("HHH.", 4, 5, False),
        ],
    )
    def test_rule_is_scaled_to_fewer_samples_than_it_looks_back_on(
        self, pattern: str, k: int, n: int, opens: bool
    ) -> None:
        assert bool(run(each_second(pattern), rule(k=k, n=n), end_s=float(len(pattern)))) == opens

    def test_span_ends_at_the_last_sample_that_counts(self) -> None:
        steps = run(each_second("HK."), rule(k=2, n=6), end_s=3.0)

        assert brief(steps) == [("opened", 3, 0, 2), ("closed", 3, 0, 2)]
        assert steps[-1].samples == 2

    def test_shorter_than_min_duration_waives_it(self) -> None:
        steps = run(each_second("HHHH"), rule(min_duration_s=10.0), end_s=4.0)

        assert brief(steps) == [("opened", 4, 0, 4), ("closed", 4, 0, 4)]

    def test_longer_than_min_duration_does_not_waive_it(self) -> None:
        assert run(each_second("........HHHH"), rule(min_duration_s=10.0), end_s=12.0) == []

    def test_open_alert_is_closed_once(self) -> None:
        assert brief(run(each_second("HH"), end_s=2.0)) == [("opened", 1, 0, 1), ("closed", 2, 0, 2)]

    def test_closed_alert_is_not_opened_again_by_the_end(self) -> None:
        assert len(run(each_second("HH.."), end_s=4.0)) == 2

    def test_long_stream_that_ends_with_one_hit_gives_nothing(self) -> None:
        assert run(each_second(".....H"), end_s=6.0) == []


class TestBlindStretches:
    def test_samples_without_scores_are_not_observations(self) -> None:
        assert brief(run(each_second("HxHxx..x"))) == [("opened", 2, 0, 2), ("closed", 6, 0, 3)]

    @pytest.mark.parametrize("state", ["undecodable", "dropped", "unscored"])
    def test_scores_of_other_states_are_ignored(self, state: FrameState) -> None:
        assert run([sample(0.0, 0.9, state=state), sample(1.0, 0.9, state=state)], end_s=2.0) == []

    def test_frame_without_a_face_still_counts_for_rules_that_need_none(self) -> None:
        assert len(run([sample(0.0, 0.9, state="no_face"), sample(1.0, 0.9, state="no_face")])) == 1

    def test_missing_signal_is_no_observation(self) -> None:
        other = [sample(float(at_s), 0.1, signal="m.other") for at_s in (1, 2, 3)]

        assert brief(run([sample(0.0, 0.9), *other, sample(4.0, 0.9)])) == [("opened", 4, 0, 4)]

    def test_score_that_is_not_a_number_is_no_observation(self) -> None:
        samples = [*each_second("HH"), *[sample(float(at_s), float("nan")) for at_s in (2, 3, 4)]]

        assert brief(run(samples)) == [("opened", 1, 0, 1)]

    def test_hits_around_one_as_long_as_the_window_are_neighbours(self) -> None:
        assert brief(run([sample(0.0, 0.9), missed(1.0), sample(4.0, 0.9)])) == [("opened", 4, 0, 4)]

    def test_hits_around_a_longer_one_are_not_neighbours(self) -> None:
        assert run([sample(0.0, 0.9), missed(1.0), sample(4.1, 0.9)]) == []

    def test_run_ends_with_a_longer_one(self) -> None:
        samples = [*each_second("HHx"), *[sample(float(at_s), 0.9) for at_s in range(60, 71)]]

        assert brief(run(samples, rule(min_duration_s=10.0))) == [("opened", 70, 60, 70)]

    def test_many_samples_without_a_score_are_one(self) -> None:
        assert run(each_second("HxxxxH")) == []

    def test_sparse_samples_are_neighbours_across_one_that_is_missing(self) -> None:
        samples = [sample(0.0, 0.9), missed(15.0), sample(30.0, 0.9)]

        assert brief(run(samples, stands_for_s=2.0)) == [("opened", 30, 0, 30)]

    def test_sparse_samples_on_purpose_are_neighbours(self) -> None:
        assert brief(run([sample(0.0, 0.9), sample(60.0, 0.9)])) == [("opened", 60, 0, 60)]

    def test_outage_before_a_new_epoch_is_one(self) -> None:
        assert run([sample(0.0, 0.9), sample(60.0, 0.9, epoch=1)]) == []

    def test_new_epoch_without_an_outage_is_none(self) -> None:
        steps = run([sample(0.0, 0.9), sample(1.0, 0.9, epoch=1)])

        assert [step.alert_id for step in steps] == ["cam/nsfw/0/0"]

    def test_open_alert_stays_open_while_it_lasts(self) -> None:
        assert brief(run(each_second("HHxxxxxxxx"))) == [("opened", 1, 0, 1)]

    def test_open_alert_closes_after_it_and_the_next_can_open_at_once(self) -> None:
        samples = [*each_second("HHx"), sample(60.0, 0.9)]

        steps = run(samples, rule(k=1))

        assert brief(steps) == [("opened", 0, 0, 0), ("closed", 60, 0, 2), ("opened", 60, 60, 60)]

    def test_alert_in_cooldown_goes_on_after_it(self) -> None:
        samples = [*each_second("HHx"), sample(60.0, 0.9)]

        assert brief(run(samples, rule(cooldown_s=100.0), end_s=61.0)) == [
            ("opened", 1, 0, 1),
            ("closed", 61, 0, 61),
        ]

    def test_what_follows_it_is_judged_as_a_short_stream_at_the_end(self) -> None:
        samples = [*each_second(".....x"), sample(60.0, 0.9)]

        assert brief(run(samples, end_s=61.0)) == [("opened", 61, 60, 61), ("closed", 61, 60, 61)]


def test_media_time_that_goes_back_counts_as_no_time_passed() -> None:
    samples = [sample(5.0, 0.9), sample(4.9, 0.9), sample(6.0, 0.1), sample(7.0, 0.1)]

    assert brief(run(samples)) == [("opened", 5, 5, 5), ("closed", 7, 5, 6)]


def test_rules_are_judged_on_their_own() -> None:
    gore = rule(name="gore", signal="m.gore", k=1, n=1)
    both = sample(0.0, 0.9)
    both = msgspec.structs.replace(both, scores={"m.nsfw": 0.1, "m.gore": 0.9})

    steps = run([both], rule(k=1, n=1), gore)

    assert [(step.alert_id, step.rule) for step in steps] == [("cam/gore/0/0", gore)]


def test_snapshot_survives_json() -> None:
    judge = engine()
    for scores in each_second(".HH.x"):
        judge.observe(scores)

    state = judge.snapshot()

    assert msgspec.json.decode(msgspec.json.encode(state), type=EngineState) == state


def test_snapshot_does_not_change_with_the_engine() -> None:
    judge = engine()
    judge.observe(sample(0.0, 0.9))
    state = judge.snapshot()
    judge.observe(sample(1.0, 0.9))

    assert len(PolicyEngine.restore(Policy(rules=(rule(),)), state).observe(sample(1.0, 0.9))) == 1


def test_snapshot_of_another_policy_is_refused() -> None:
    with pytest.raises(ConfigError, match="taken under policy default@"):
        PolicyEngine.restore(Policy(rules=(rule(k=1),)), engine().snapshot())
