"""What one rule remembers of a stream: its last observations and the run of hits that may become an alert.

An observation is a sample that has a score for the rule's signal. All other samples say nothing about the
signal: they neither count as a hit nor as a miss, and only end the time that the observation before them
stands for.
"""

import msgspec

from stream.config import Rule

TOLERANCE_S = 1e-6
"""Slack when media times are compared with configured seconds: pts times time_base is not exact in binary."""


class Observation(msgspec.Struct, frozen=True):
    """A sample that has a score for the rule's signal.

    Attributes:
        at_s: Media time.
        epoch: Epoch of its pts.
        pts: Presentation timestamp in the stream's `time_base`.
        score: Its score in [0, 1].
        end_s: Media time up to which it stands, None until that is known.
    """

    at_s: float
    epoch: int
    pts: int
    score: float
    end_s: float | None = None


class Span(msgspec.Struct, frozen=True):
    """A stretch of observations, from one that counts to another.

    Attributes:
        first: The first observation.
        peak: The first of those with the highest score.
        last: The last observation that counts.
        samples: Observations from `first` to `last`.
        tail: Observations after `last`, which belong to the span only if another one counts after them.
    """

    first: Observation
    peak: Observation
    last: Observation
    samples: int = 1
    tail: int = 0

    @classmethod
    def of(cls, first: Observation) -> "Span":
        """Returns the span of one observation."""
        return cls(first=first, peak=first, last=first)

    def grown(self, observation: Observation, *, counts: bool) -> "Span":
        """Returns the span with the next observation, which reaches it only if it counts."""
        if not counts:
            return msgspec.structs.replace(self, tail=self.tail + 1)
        peak = observation if observation.score > self.peak.score else self.peak
        return Span(self.first, peak, observation, self.samples + self.tail + 1)


class Recent(msgspec.Struct):
    """The last `n` observations and the pending run.

    A run starts at a hit (a score at or above `enter`) and survives while the window of `n` holds a hit. It
    has lasted for the seconds from its first to its latest hit. The hits of an alert that has closed count
    for that alert only.

    After a blind stretch longer than `n` observations last, what was seen before it is forgotten, so that
    hits on both sides of it never count as neighbours. The stretch starts at the first sample without a
    score, or, where a new epoch starts, where the last observation stops standing for what follows. An
    observation lasts `stands_for_s`, or as long as the last one before the stretch did, if that is longer:
    streams whose samples are sparse are not forgotten between two samples.

    Attributes:
        window: The last observations, at most `n`.
        unused: How many of them, counted from the latest, no closed alert has used.
        run: The pending run; its observations at or above `exit` count.
        unseen_from_s: Media time of the first sample since the latest observation that has no score.
    """

    window: list[Observation] = []
    unused: int = 0
    run: Span | None = None
    unseen_from_s: float | None = None

    def end_latest(self, end_s: float) -> None:
        """Sets the end of the latest observation, unless it is known."""
        if self.window and self.window[-1].end_s is None:
            self.window[-1] = msgspec.structs.replace(self.window[-1], end_s=end_s)

    def is_older_than(self, epoch: int) -> bool:
        """Whether there is a latest observation and it is of another epoch."""
        return bool(self.window) and self.window[-1].epoch != epoch

    def unseen(self, at_s: float) -> None:
        """Notes a sample without a score."""
        if self.unseen_from_s is None:
            self.unseen_from_s = at_s

    def forget_if_blind(self, rule: Rule, at_s: float, epoch: int, stands_for_s: float) -> None:
        """Forgets all observations if the stretch that the next one ends was blind for too long."""
        blind_from_s, self.unseen_from_s = self.unseen_from_s, None
        if not self.window:
            return
        latest = self.window[-1]
        if blind_from_s is None and self.is_older_than(epoch):
            blind_from_s = latest.at_s + stands_for_s
        if blind_from_s is None:
            return
        lasts_s = max(stands_for_s, blind_from_s - latest.at_s)
        if at_s - blind_from_s > rule.n * lasts_s + TOLERANCE_S:
            self.window = []
            self.use_up()

    def add(self, rule: Rule, observation: Observation) -> None:
        """Takes the next observation into the window and the run."""
        self.window.append(observation)
        del self.window[: -rule.n]
        self.unused = min(self.unused + 1, rule.n)
        if not self._hits(rule):
            self.run = None
        elif self.run is None:
            self.run = Span.of(observation)
        else:
            self.run = self.run.grown(observation, counts=observation.score >= rule.exit)

    def use_up(self) -> None:
        """Ends the run, and keeps the hits in the window from counting towards another alert."""
        self.unused = 0
        self.run = None

    def is_calm(self, rule: Rule) -> bool:
        """Whether fewer than `k` of the last `n` observations are at or above `exit`."""
        return sum(observation.score >= rule.exit for observation in self.window) < rule.k

    def opening(self, rule: Rule) -> Span | None:
        """Returns the span that an alert opens with now, None if it does not open.

        It opens when `k` of the last `n` observations are hits and these, or else the whole run, have lasted
        `min_duration_s`. The span starts at the first hit of the window or of the run accordingly.
        """
        return self._opening(rule, rule.k)

    def opening_at_end(self, rule: Rule) -> Span | None:
        """Returns the span that an alert opens with because the stream has ended, None if it does not.

        Where the stream was too short for the rule, the rule is scaled down to it: with `m < n` observations,
        `ceil(k * m / n)` of them must be hits, and `min_duration_s` is waived if the last observation came
        earlier than that. So a still picture is a stream of one sample. `m` counts from the last blind
        stretch.
        """
        if not self.window:
            return None
        needed = -(-rule.k * len(self.window) // rule.n)
        too_short = self.window[-1].at_s < rule.min_duration_s - TOLERANCE_S
        return self._opening(rule, needed, any_run=too_short)

    def _opening(self, rule: Rule, needed: int, *, any_run: bool = False) -> Span | None:
        hits = self._hits(rule)
        if self.run is None or len(hits) < needed:
            return None
        least_s = rule.min_duration_s - TOLERANCE_S
        if hits[-1].at_s - hits[0].at_s >= least_s:
            return self._span_from(rule, hits[0])
        return self.run if any_run or hits[-1].at_s - self.run.first.at_s >= least_s else None

    def _span_from(self, rule: Rule, first: Observation) -> Span:
        span = Span.of(first)
        for observation in self.window[self.window.index(first) + 1 :]:
            span = span.grown(observation, counts=observation.score >= rule.exit)
        return span

    def _hits(self, rule: Rule) -> list[Observation]:
        own = self.window[len(self.window) - self.unused :]
        return [observation for observation in own if observation.score >= rule.enter]
