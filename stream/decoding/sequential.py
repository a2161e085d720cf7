"""Decodes every frame, in order, where packets do not tell the time of their frames."""

import time
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import av
from av.video.codeccontext import VideoCodecContext

from stream.decoding.decoder import ALIVE_EVERY_S, Alive, AnyPacket, Kept, Lost, decode_packet, set_up
from stream.decoding.planning import Wanted
from stream.decoding.sampling import Sampler, Timeline
from stream.decoding.views import Viewer, upright_size


@dataclass(frozen=True)
class Start:
    """How the packets begin, and how to tell the time.

    Attributes:
        counts_frames: Whether the frames' own pts are worthless and frames are counted instead, from 0.
        frame_pts: Duration of a frame in pts units, also for a single frame without a pts.
        damage: Why decoding cannot start with the first packet; None where it can.
    """

    counts_frames: bool
    frame_pts: int
    damage: str | None = None


class SequentialDecoder:
    """Decodes everything and lets sampling choose among the frames. Not thread-safe.

    After damage no frame is trusted until the next keyframe, and frames that never come out are counted: as
    many as there were packets, whatever the decoder swallows.

    Args:
        context: A codec context of the stream that no other decoder uses.
        viewer: Makes the views.
        timeline: Gives frames their media time.
        sampler: Chooses the frames.
        max_pixels: Largest picture that is decoded, in pixels.
        start: How the packets begin.
    """

    def __init__(
        self,
        context: VideoCodecContext,
        viewer: Viewer,
        timeline: Timeline,
        sampler: Sampler,
        max_pixels: int,
        start: Start,
    ) -> None:
        set_up(context, max_pixels)
        self._context = context
        self._viewer = viewer
        self._timeline = timeline
        self._sampler = sampler
        self._counts = start.counts_frames
        self._frame_pts = start.frame_pts
        self._next_pts = 0
        self._last_pts: int | None = None
        self._left_out = 0
        self._held: tuple[av.VideoFrame, Wanted, str | None] | None = None
        self._damage = start.damage
        self._first_damage = start.damage
        self._packets = 0
        self._keyframes: deque[int] = deque()
        self._frames_lost = 0
        self._frames_repeated = 0
        self.frames_decoded = 0

    @property
    def frames_seen(self) -> int:
        """Frames that came out, those that should have, and those that repeat another."""
        return self.frames_decoded + self._frames_lost + self._frames_repeated

    def decode(self, packets: Iterable[AnyPacket]) -> Iterator[Kept | Lost | Alive]:
        """Yields the frames that sampling takes, in order of presentation."""
        self._context.flush_buffers()
        self._context.skip_frame = "DEFAULT"
        told_s = time.monotonic()
        for packet in packets:
            if time.monotonic() - told_s > ALIVE_EVERY_S:
                told_s = time.monotonic()
                yield Alive()
            if packet.size == 0:
                self._repeat()
                continue
            frames = self._frames(packet)
            self._packets += 1
            for frame in frames:
                yield from self._take(frame)
        for frame in self._drain():
            yield from self._take(frame)
        yield from self._take_held(self._timeline.end_s)
        if self._first_damage is not None:
            yield from self._lose_up_to(self._packets)

    def _repeat(self) -> None:
        """Counts a frame that repeats the one before."""
        self._packets += 1
        self._frames_repeated += 1
        self._timeline.show(self._next_pts, self._frame_pts)
        self._next_pts += self._frame_pts

    def _frames(self, packet: AnyPacket) -> list[av.VideoFrame]:
        if packet.is_keyframe:
            self._keyframes.append(self._packets)
        try:
            return decode_packet(self._context, packet)
        except av.FFmpegError as error:
            if packet.is_keyframe:
                self._keyframes.pop()
            self._damage = f"packet at pts {packet.pts}: {error.strerror}"
            self._first_damage = self._first_damage or self._damage
            return []

    def _lose_before(self, frame: av.VideoFrame) -> Iterator[Lost]:
        """Gives up the frames that should have come before `frame`; only once damage was seen.

        A frame's pts tells how many, and where there is none to trust, a keyframe's place among the packets.
        """
        keyframe = self._keyframes.popleft() if frame.key_frame and self._keyframes else None
        if self._first_damage is None:
            return
        if not self._counts and frame.pts is not None:
            while self._last_pts is not None and frame.pts > self._last_pts + 1.5 * self._frame_pts:
                self._frames_lost += 1
                yield from self._lose(self._damage or self._first_damage)
        elif keyframe is not None:
            yield from self._lose_up_to(keyframe)

    def _lose_up_to(self, frames: int) -> Iterator[Lost]:
        while self.frames_seen < frames and self._first_damage is not None:
            self._frames_lost += 1
            yield from self._lose(self._damage or self._first_damage)

    def _lose(self, reason: str) -> Iterator[Lost]:
        pts, media_time_s = self._next_time(None)
        self._held = None
        if self._sampler.keep(media_time_s, is_keyframe=False):
            wanted = Wanted(pts, self._timeline.epoch, media_time_s, False, self._left_out)
            self._left_out = 0
            yield Lost(wanted, reason)
        else:
            self._left_out += 1

    def _drain(self) -> list[av.VideoFrame]:
        try:
            return self._context.decode(None)
        except av.FFmpegError:
            return []

    def _take(self, frame: av.VideoFrame) -> Iterator[Kept | Lost]:
        yield from self._lose_before(frame)
        self.frames_decoded += 1
        is_keyframe = bool(frame.key_frame)
        pts, media_time_s = self._next_time(frame)
        if frame.is_corrupt:
            self._damage = self._damage or f"frame at pts {pts}: the decoder marks it as damaged"
            self._first_damage = self._first_damage or self._damage
        elif is_keyframe:
            self._damage = None
        yield from self._take_held(media_time_s)
        wanted = Wanted(pts, self._timeline.epoch, media_time_s, is_keyframe, self._left_out)
        if self._sampler.keep(media_time_s, is_keyframe=is_keyframe):
            self._left_out = 0
            yield self._result(frame, wanted, self._damage)
        else:
            self._left_out += 1
            self._held = (frame, wanted, self._damage)

    def _take_held(self, until_s: float) -> Iterator[Kept | Lost]:
        """Takes the frame before, which was left out, if it was on display long enough until `until_s`."""
        if self._held is not None and self._sampler.holds(until_s - self._held[1].media_time_s):
            self._left_out = 0
            yield self._result(*self._held)
        self._held = None

    def _result(self, frame: av.VideoFrame, wanted: Wanted, damage: str | None) -> Kept | Lost:
        if damage is not None:
            return Lost(wanted, damage)
        return Kept(wanted, self._viewer.views(frame), *upright_size(frame))

    def _next_time(self, frame: av.VideoFrame | None) -> tuple[int, float]:
        pts = self._next_pts if self._counts or frame is None or frame.pts is None else frame.pts
        if self._last_pts is not None and pts <= self._last_pts:
            self._timeline.start_epoch()
        lasts_pts = self._frame_pts if self._counts or frame is None else frame.duration or self._frame_pts
        self._last_pts, self._next_pts = pts, pts + lasts_pts
        return pts, self._timeline.show(pts, lasts_pts)
