"""Which frames are looked at: by time, never by the order in which bytes arrive. Pure."""

import math

from stream.config import Sampling


class Sampler:
    """Chooses frames, given in order of presentation.

    In mode `interval` the grid is anchored at media time 0: the first frame at or after each multiple of
    `every` is taken, and a frame that passes several multiples is taken once. A frame that stays on display
    for `every` or longer is taken wherever it begins.
    """

    def __init__(self, sampling: Sampling) -> None:
        self._mode = sampling.mode
        self._every = sampling.every
        self._tolerance_s = min(1e-3, sampling.every / 100)  # containers round times to 1 ms (Matroska)
        self._next = 0.0
        self._index = 0

    @property
    def next_time_s(self) -> float:
        """Media time before which no frame will be taken; 0 where the mode does not go by time."""
        return self._next if self._mode == "interval" else 0.0

    def keep(self, media_time_s: float, *, is_keyframe: bool, lasts_s: float = 0.0) -> bool:
        """Returns whether the next frame, shown at `media_time_s` for `lasts_s`, is taken."""
        match self._mode:
            case "interval":
                return self._keep_by_time(media_time_s) or self.holds(lasts_s)
            case "nth":
                self._index += 1
                return (self._index - 1) % int(self._every) == 0
            case "keyframe":
                return is_keyframe
            case "all":
                return True

    def holds(self, lasts_s: float) -> bool:
        """Returns whether a frame is taken for no other reason than that it stays on display so long."""
        return self._mode == "interval" and lasts_s >= self._every - self._tolerance_s

    def _keep_by_time(self, media_time_s: float) -> bool:
        reached = media_time_s + self._tolerance_s
        if reached < self._next:
            return False
        self._next = (math.floor(reached / self._every) + 1) * self._every
        return True


class Timeline:
    """Turns pts into media time, continuous over epochs.

    Args:
        time_base_s: Seconds per pts unit.
        frame_s: Seconds that a frame is taken to last where nothing says so.
    """

    def __init__(self, time_base_s: float, frame_s: float) -> None:
        self._time_base_s = time_base_s
        self._frame_s = frame_s
        self._origin_pts: int | None = None
        self._origin_s = 0.0
        self._end_s = 0.0
        self.epoch = 0

    @property
    def end_s(self) -> float:
        """Media time of the end of the last frame shown."""
        return self._end_s

    def show(self, pts: int, duration: int | None) -> float:
        """Returns the media time in seconds of the frame shown next."""
        if self._origin_pts is None:
            self._origin_pts = pts
        media_time_s = max(self._origin_s, self._origin_s + (pts - self._origin_pts) * self._time_base_s)
        lasts_s = duration * self._time_base_s if duration else self._frame_s
        self._end_s = media_time_s + lasts_s  # MP4 gives durations in decode order: only the last one counts
        return media_time_s

    def seconds(self, pts_units: int) -> float:
        """Returns a difference of pts in seconds."""
        return pts_units * self._time_base_s

    def pts_at(self, media_time_s: float) -> int | None:
        """Returns the pts of a media time in the current epoch, None before its first frame."""
        if self._origin_pts is None:
            return None
        return self._origin_pts + round((media_time_s - self._origin_s) / self._time_base_s)

    def start_epoch(self) -> None:
        """Lets the next frame shown follow on the last one, whatever its pts is."""
        self.epoch += 1
        self._origin_pts = None
        self._origin_s = self._end_s


class Unwrapper:
    """Undoes the wrap of timestamps that are kept in a few bits. Pure.

    FFmpeg's own correction takes a step back of more than a minute for a wrap, and puts the rest of the file
    a day later. The nearest value to the timestamp before is right for every step below half the range.

    Args:
        bits: Bits of the raw timestamps, 33 in MPEG-TS.
    """

    def __init__(self, bits: int) -> None:
        self._range = 1 << bits
        self._last: int | None = None

    def unwrap(self, raw: int) -> int:
        """Returns `raw` plus the multiple of the range that brings it nearest to the one before."""
        if self._last is None:
            self._last = raw
        turns = round((self._last - raw) / self._range)
        self._last = raw + turns * self._range
        return self._last
