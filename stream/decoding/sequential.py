"""Decodes every frame, in order, where packets do not tell the time of their frames."""

from collections.abc import Iterable, Iterator

import av
from av.video.codeccontext import VideoCodecContext

from stream.decoding.decoder import AnyPacket, Kept, Lost, decode_packet, set_up
from stream.decoding.planning import Wanted
from stream.decoding.sampling import Sampler, Timeline
from stream.decoding.views import Viewer, upright_size


class SequentialDecoder:
    """Decodes everything and lets sampling choose among the frames. Not thread-safe.

    After damage no frame is trusted until the next keyframe.

    Args:
        context: A codec context of the stream that no other decoder uses.
        viewer: Makes the views.
        timeline: Gives frames their media time.
        sampler: Chooses the frames.
        max_pixels: Largest picture that is decoded, in pixels.
        count_from: Where the frames' own pts are worthless, the pts of the first frame; the others follow at
            `frame_pts` each. A single frame without a pts is given the next one in any case.
        frame_pts: Duration of a frame in pts units.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - what it decodes with, and how it tells the time
        self,
        context: VideoCodecContext,
        viewer: Viewer,
        timeline: Timeline,
        sampler: Sampler,
        max_pixels: int,
        count_from: int | None,
        frame_pts: int,
    ) -> None:
        set_up(context, max_pixels)
        self._context = context
        self._viewer = viewer
        self._timeline = timeline
        self._sampler = sampler
        self._counts = count_from is not None
        self._frame_pts = frame_pts
        self._next_pts = count_from or 0
        self._last_pts: int | None = None
        self._left_out = 0
        self._damage: str | None = None
        self.frames_decoded = 0

    def decode(self, packets: Iterable[AnyPacket]) -> Iterator[Kept | Lost]:
        """Yields the frames that sampling takes, in order of presentation."""
        self._context.flush_buffers()
        self._context.skip_frame = "DEFAULT"
        for packet in packets:
            try:
                frames = decode_packet(self._context, packet)
            except av.FFmpegError as error:
                self._damage = f"packet at pts {packet.pts}: {error.strerror}"
                continue
            for frame in frames:
                yield from self._take(frame)
        for frame in self._drain():
            yield from self._take(frame)

    def _drain(self) -> list[av.VideoFrame]:
        try:
            return self._context.decode(None)
        except av.FFmpegError:
            return []

    def _take(self, frame: av.VideoFrame) -> Iterator[Kept | Lost]:
        self.frames_decoded += 1
        is_keyframe = bool(frame.key_frame)
        pts, media_time_s = self._time(frame)
        if frame.is_corrupt:
            self._damage = self._damage or f"frame at pts {pts}: the decoder marks it as damaged"
        elif is_keyframe:
            self._damage = None
        if not self._sampler.keep(media_time_s, is_keyframe):
            self._left_out += 1
            return
        wanted = Wanted(pts, self._timeline.epoch, media_time_s, is_keyframe, self._left_out)
        self._left_out = 0
        if self._damage is not None:
            yield Lost(wanted, self._damage)
        else:
            yield Kept(wanted, self._viewer.views(frame), *upright_size(frame))

    def _time(self, frame: av.VideoFrame) -> tuple[int, float]:
        pts = self._next_pts if self._counts or frame.pts is None else frame.pts
        if self._last_pts is not None and pts <= self._last_pts:
            self._timeline.start_epoch()
        lasts_pts = self._frame_pts if self._counts else frame.duration or self._frame_pts
        self._last_pts, self._next_pts = pts, pts + lasts_pts
        return pts, self._timeline.show(pts, lasts_pts)
