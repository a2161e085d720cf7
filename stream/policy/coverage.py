"""The coverage ledger: what every second of a stream counts as. "No alert" must not hide "not looked at".

Each mark says what the time from it on counts as, until the next mark settles it. All times are media times.
"""

from collections import deque
from typing import Literal, TypeAlias

import msgspec

from stream.events import CoverageCause, CoverageSpan
from stream.frames import StreamEnd

TOLERANCE_S = 0.01
"""Half a frame at 50 frames a second: a sample that comes this much later than due leaves no gap. Pictures do
not fall on the sampling grid: at 30000/1001 frames a second, a sample is due every second and comes every
1.001 seconds."""

MAX_SPANS = 1000
"""Spans in a slice, as `CoverageEvent.spans` promises, and pieces held for the next slice."""

_WORKER_DEATH = "worker_"
_NOTHING_BEFORE = "nothing was read before the first sample"

_State: TypeAlias = Literal["scored"] | CoverageCause


class CoverageSlice(msgspec.Struct, frozen=True, kw_only=True):
    """What was and was not looked at from `start_s` to `end_s`; the seconds sum to `end_s - start_s`.

    Attributes:
        start_s: Media time at which it starts.
        end_s: Media time at which it ends.
        scored_s: Seconds that a scored frame stands for.
        skipped_s: Seconds that sampling left out on purpose.
        dropped_s: Seconds whose sample was thrown away under load.
        undecodable_s: Seconds whose sample could not be decoded.
        down_s: Seconds in which there was no decoder or no source.
        samples: Samples scored in it.
        spans: What was not scored and why, the first `MAX_SPANS`.
    """

    start_s: float
    end_s: float
    scored_s: float
    skipped_s: float
    dropped_s: float
    undecodable_s: float
    down_s: float
    samples: int
    spans: tuple[CoverageSpan, ...]

    @property
    def blind_s(self) -> float:
        """Seconds that should have been looked at and were not."""
        return self.dropped_s + self.undecodable_s + self.down_s


class _Mark(msgspec.Struct, frozen=True):
    at_s: float
    state: _State
    reason: str | None = None


class _Piece(msgspec.Struct, frozen=True):
    start_s: float
    end_s: float
    state: _State
    reason: str | None = None
    samples: int = 0


class _Tally:
    """Adds up adjoining pieces, in order."""

    def __init__(self, start_s: float) -> None:
        self.start_s = self.end_s = start_s
        self._seconds: dict[_State, float] = dict.fromkeys(
            ("scored", "skipped", "dropped", "undecodable", "down"), 0.0
        )
        self._samples = 0
        self._spans: list[CoverageSpan] = []

    def add(self, piece: _Piece) -> None:
        self._seconds[piece.state] += piece.end_s - piece.start_s
        self._samples += piece.samples
        self.end_s = piece.end_s
        if piece.state == "scored" or piece.end_s <= piece.start_s:
            return
        last = self._spans[-1] if self._spans else None
        if last is not None and last.cause == piece.state and last.end_s == piece.start_s:
            self._spans[-1] = msgspec.structs.replace(last, end_s=piece.end_s)
        elif len(self._spans) < MAX_SPANS:
            self._spans.append(CoverageSpan(piece.start_s, piece.end_s, piece.state, piece.reason))

    def slice(self) -> CoverageSlice:
        return CoverageSlice(
            start_s=self.start_s,
            end_s=self.end_s,
            scored_s=self._seconds["scored"],
            skipped_s=self._seconds["skipped"],
            dropped_s=self._seconds["dropped"],
            undecodable_s=self._seconds["undecodable"],
            down_s=self._seconds["down"],
            samples=self._samples,
            spans=tuple(self._spans),
        )


class Ledger:
    """Accounts for one stream from media time 0. Not thread-safe; memory is bounded.

    Marks come in order of media time; one that goes back counts as no time passed.
    """

    def __init__(self, stream_id: str, stands_for_s: float) -> None:
        self.stream_id = stream_id
        self._stands_for_s = stands_for_s
        self._mark: _Mark | None = None
        self._pending: deque[_Piece] = deque()
        self._slice = _Tally(0.0)
        self._totals = _Tally(0.0)

    @property
    def settled_s(self) -> float:
        """Media time up to which every second is accounted for."""
        return self._totals.end_s

    @property
    def totals(self) -> CoverageSlice:
        """What is settled since media time 0, taken or not."""
        return self._totals.slice()

    def scored(self, at_s: float, frames_between: int) -> None:
        """Marks a scored sample. It stands for the time up to the next mark.

        If the next mark has `frames_between` above 0, other pictures were on display in between: then it
        stands for `stands_for_s` at most, and the rest was skipped.
        """
        self._next(_Mark(at_s, "scored"), frames_between)

    def missed(
        self, at_s: float, cause: Literal["dropped", "undecodable"], reason: str, frames_between: int
    ) -> None:
        """Marks a sample that has no score. All the time up to the next mark was missed."""
        self._next(_Mark(at_s, cause, reason), frames_between)

    def down(self, at_s: float, reason: str) -> None:
        """Marks that from here to the next mark there is no decoder or no source.

        While it lasts, it may be marked again and again, so that its time is settled.
        """
        self._next(_Mark(at_s, "down", reason), None)

    def finish(self, end: StreamEnd) -> None:
        """Settles everything up to the declared end; no mark comes after it.

        What was declared and could not be read is `undecodable`, or `down` where the worker died.
        """
        cause: CoverageCause = "down" if (end.code or "").startswith(_WORKER_DEATH) else "undecodable"
        lost = _Mark(end.end_s, cause, end.reason)
        self._next(lost, None)
        self._next(msgspec.structs.replace(lost, at_s=end.declared_end_s), None)

    def take(self, up_to_s: float | None = None) -> CoverageSlice:
        """Returns what is settled since the last take, but nothing after `up_to_s` if that is given.

        It ends later than `up_to_s` only where more than `MAX_SPANS` pieces had piled up after that time.
        """
        while self._pending and (up_to_s is None or self._pending[0].end_s <= up_to_s):
            self._slice.add(self._pending.popleft())
        if self._pending and up_to_s is not None and self._pending[0].start_s < up_to_s:
            piece = self._pending.popleft()
            self._slice.add(msgspec.structs.replace(piece, end_s=up_to_s))
            self._pending.appendleft(msgspec.structs.replace(piece, start_s=up_to_s, samples=0))
        taken, self._slice = self._slice.slice(), _Tally(self._slice.end_s)
        return taken

    def _next(self, mark: _Mark, frames_between: int | None) -> None:
        """Settles the time up to `mark`; `frames_between` is None where it is unknown."""
        end_s = max(mark.at_s, self.settled_s)
        if self._mark is None:
            self._settle_start(mark, end_s, frames_between)
        elif self._mark.state == "scored":
            self._settle_scored(end_s, frames_between)
        else:
            self._settle(end_s, self._mark.state, self._mark.reason)
        self._mark = mark

    def _settle_start(self, first: _Mark, end_s: float, frames_between: int | None) -> None:
        """Settles the time before the first mark, of which there is none when the first frame was chosen."""
        if end_s <= 0.0:
            return
        if frames_between:
            self._settle(end_s, "skipped")
        elif first.state == "scored":
            self._settle(end_s, "undecodable", _NOTHING_BEFORE)
        else:
            self._settle(end_s, first.state, first.reason)

    def _settle_scored(self, end_s: float, frames_between: int | None) -> None:
        stands_to_s = self.settled_s + self._stands_for_s
        if frames_between == 0 or end_s <= stands_to_s + TOLERANCE_S:
            stands_to_s = end_s
        self._settle(stands_to_s, "scored", samples=1)
        if stands_to_s < end_s:
            self._settle(end_s, "skipped")

    def _settle(self, end_s: float, state: _State, reason: str | None = None, samples: int = 0) -> None:
        piece = _Piece(self.settled_s, end_s, state, reason, samples)
        self._totals.add(piece)
        self._pending.append(piece)
        if len(self._pending) > MAX_SPANS:
            self._slice.add(self._pending.popleft())
