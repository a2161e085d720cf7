"""Time as an argument, so that what depends on it can be tested without waiting."""

import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Where the time comes from."""

    def utc(self) -> datetime:
        """Returns the wall clock as an aware UTC time."""

    def monotonic_s(self) -> float:
        """Returns seconds that never go back, for waiting and measuring."""


class SystemClock:
    """The machine's own clocks."""

    def utc(self) -> datetime:
        """Returns the wall clock as an aware UTC time."""
        return datetime.now(UTC)

    def monotonic_s(self) -> float:
        """Returns seconds that never go back, for waiting and measuring."""
        return time.monotonic()


class ManualClock:
    """A clock that stands still until a test moves it."""

    def __init__(self, start: datetime = datetime(2026, 1, 1, tzinfo=UTC)) -> None:
        self._start = start
        self._elapsed_s = 0.0

    def utc(self) -> datetime:
        """Returns the start time plus what was advanced."""
        return datetime.fromtimestamp(self._start.timestamp() + self._elapsed_s, UTC)

    def monotonic_s(self) -> float:
        """Returns the seconds advanced so far."""
        return self._elapsed_s

    def advance(self, seconds: float) -> None:
        """Moves the clock on by `seconds`."""
        self._elapsed_s += seconds
