"""A score over time in bounded memory, however long the video."""

from typing import TypeAlias

Point: TypeAlias = tuple[float, float]
"""Media time in seconds, score in [0, 1]."""

_FINEST_WIDTH_S = 1 / 1024


class Timeline:
    """The highest score of each stretch of media time.

    Stretches (buckets) start at 1/1024 s, so that every sample of an ordinary video keeps its own. When more
    of them are filled than `max_buckets`, their width doubles, as often as need be. Of each only its highest
    score survives, with that score's own time: a peak is never lost, a dip may be. Not thread-safe.

    Args:
        max_buckets: Points kept at most.
    """

    def __init__(self, max_buckets: int = 2000) -> None:
        self._max_buckets = max_buckets
        self._width_s = _FINEST_WIDTH_S
        self._buckets: dict[int, Point] = {}

    def add(self, time_s: float, score: float) -> None:
        """Takes the score in [0, 1] of the sample at media time `time_s`, in any order."""
        self._keep((time_s, score))
        while len(self._buckets) > self._max_buckets:
            self._double_width()

    @property
    def width_s(self) -> float:
        """Seconds of media time of which one point is kept."""
        return self._width_s

    @property
    def points(self) -> list[Point]:
        """What was kept, by media time."""
        return sorted(self._buckets.values())

    @property
    def peak(self) -> Point | None:
        """The highest of all scores and the first time it was reached; None before the first sample."""
        return max(self._buckets.values(), key=lambda point: (point[1], -point[0]), default=None)

    def _keep(self, point: Point) -> None:
        bucket = int(point[0] // self._width_s)
        held = self._buckets.get(bucket)
        if held is None or point[1] > held[1]:
            self._buckets[bucket] = point

    def _double_width(self) -> None:
        points = self.points
        self._width_s *= 2
        self._buckets = {}
        for point in points:
            self._keep(point)
