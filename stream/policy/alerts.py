"""The policy engine: a pure function of policy and scores, the same one live, offline and in a backtest."""

from collections.abc import Iterator

import msgspec

from stream.config import Policy
from stream.errors import ConfigError
from stream.frames import FrameScores
from stream.policy.lifecycle import RuleState, Tracker, Transition
from stream.policy.rules import Recent

TOLERANCE_S = 0.01
"""Half a frame at 50 frames a second: samples do not fall on the grid."""

__all__ = ["EngineState", "PolicyEngine", "Transition"]


class EngineState(msgspec.Struct, frozen=True):
    """A snapshot of an engine; as JSON it comes back equal.

    Attributes:
        stream_id: Name of the stream.
        stands_for_s: Seconds that one scored frame stands for at most.
        policy: Version of the policy in force.
        rules: Name of each rule to its state.
        last: The sample observed last.
    """

    stream_id: str
    stands_for_s: float
    policy: str
    rules: dict[str, RuleState]
    last: FrameScores | None = None


class PolicyEngine:
    """Turns the scores of one stream into steps of alerts. Not thread-safe; never blocks."""

    def __init__(self, policy: Policy, stream_id: str, stands_for_s: float) -> None:
        self._policy = policy
        self._stream_id = stream_id
        self._stands_for_s = stands_for_s
        self._last: FrameScores | None = None
        self._trackers = [
            Tracker(rule, stream_id, stands_for_s, RuleState(Recent())) for rule in policy.rules
        ]

    @classmethod
    def restore(cls, policy: Policy, state: EngineState) -> "PolicyEngine":
        """Returns an engine that goes on where the snapshot was taken.

        Raises:
            ConfigError: The snapshot was taken under another policy.
        """
        if state.policy != policy.version:
            raise ConfigError(
                f"the snapshot of {state.stream_id} was taken under policy {state.policy}, expected "
                f"{policy.version}: start the stream anew or put the policy back"
            )
        engine = cls(policy, state.stream_id, state.stands_for_s)
        for tracker in engine._trackers:
            tracker.state = _copied(state.rules[tracker.rule.name])
        engine._last = state.last
        return engine

    def observe(self, scores: FrameScores) -> list[Transition]:
        """Returns the steps that the next sample leads to, rule by rule.

        Samples come in stream order, and all of them: one without scores opens and closes nothing, but ends
        what the one before it stands for and may start a blind stretch. A media time that goes back counts
        as no time passed.

        A picture that stayed on display until this sample counts again each time that a sample stands for, as
        it would if frames that repeat it had been sent.
        """
        seen = [*self._held_until(scores), scores]
        self._last = scores
        return [step for each in seen for tracker in self._trackers for step in tracker.observe(each)]

    def _held_until(self, scores: FrameScores) -> Iterator[FrameScores]:
        last = self._last
        if (
            last is None
            or last.state != "scored"
            or scores.frames_between
            or last.ref.epoch != scores.ref.epoch
        ):
            return
        for count in range(1, max((rule.n for rule in self._policy.rules), default=0)):
            at_s = last.ref.media_time_s + count * self._stands_for_s
            if at_s >= scores.ref.media_time_s - TOLERANCE_S:
                return
            ref = msgspec.structs.replace(last.ref, media_time_s=at_s)
            yield msgspec.structs.replace(last, ref=ref, frames_between=0)

    def finish(self, end_s: float) -> list[Transition]:
        """Returns the steps that the end of the stream at media time `end_s` leads to; no sample follows."""
        return [step for tracker in self._trackers for step in tracker.finish(end_s)]

    def snapshot(self) -> EngineState:
        """Returns a copy of all that the engine knows."""
        rules = {tracker.rule.name: _copied(tracker.state) for tracker in self._trackers}
        return EngineState(self._stream_id, self._stands_for_s, self._policy.version, rules, self._last)


def _copied(state: RuleState) -> RuleState:
    return msgspec.json.decode(msgspec.json.encode(state), type=RuleState)
