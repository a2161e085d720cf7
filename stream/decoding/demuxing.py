"""Packets of one video in decode order, with timestamps to be trusted, leaping over what nobody wants."""

from collections.abc import Callable, Generator, Iterator

import av
from av.container import InputContainer
from av.packet import PacketSideData
from av.video.stream import VideoStream

from stream.decoding.container import Extent
from stream.decoding.decoder import AnyPacket
from stream.decoding.entry import entry_of
from stream.decoding.planning import REFRESH
from stream.decoding.sampling import Sampler, Timeline, Unwrapper

MPEGTS_BITS = 33
INDEXED = ("mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm")
"""Formats that say where their keyframes are; in MPEG-TS, FFmpeg's search was seen to land a GOP too late."""

LEAP_S = 15.0
"""Seconds without a wanted frame that are worth a seek rather than reading on."""


class Demuxer:
    """Reads one container. Not thread-safe.

    Args:
        container: The container.
        stream: Its video stream.
        sampler: Tells when the next frame is wanted.
        timeline: Tells the media time of a pts.
        progress: Called for every packet, of any stream.
        with_repeats: Whether to yield the empty packets that stand for a repeated frame.

    Attributes:
        extent: How far the container's streams were seen to reach.
        damage: Why reading stopped early, None at a regular end.
    """

    def __init__(
        self,
        container: InputContainer,
        stream: VideoStream,
        sampler: Sampler,
        timeline: Timeline,
        progress: Callable[[], None],
        *,
        with_repeats: bool,
    ) -> None:
        self._container = container
        self._stream = stream
        self._sampler = sampler
        self._timeline = timeline
        self._progress = progress
        self._with_repeats = with_repeats
        self._unwrapper = Unwrapper(MPEGTS_BITS) if container.format.name == "mpegts" else None
        self._is_h264 = stream.codec_context.name == "h264"
        self._may_leap = container.format.name in INDEXED
        self._extradata: PacketSideData | None = None
        self.extent = Extent()
        self.damage: str | None = None

    def packets(self) -> Iterator[AnyPacket]:
        """Yields the video's packets up to the end, or to damage that the container cannot be read past."""
        try:
            leapt_from: AnyPacket | None = None
            while True:
                leapt_from = yield from self._read_on(leapt_from)
                if leapt_from is None:
                    return
        except av.FFmpegError as error:
            self.damage = f"the container cannot be read on: {error.strerror}"
        except IndexError:  # PyAV knows only the streams that were there when the file was opened
            self.damage = f"a new stream begins at {self._timeline.end_s:.1f} s, which is not looked at"

    def _read_on(self, leapt_from: AnyPacket | None) -> Generator[AnyPacket, None, AnyPacket | None]:
        """Yields packets until the end (returns None) or a leap (returns the packet it was made at)."""
        for packet in self._container.demux():
            if packet.size == 0 and not self._repeats(packet):  # the end of a stream
                continue
            self._progress()
            if packet.stream_index == self._stream.index:
                if leapt_from is not None and not _is_after(packet, leapt_from):
                    self._may_leap = False  # the next keyframe lies beyond the next sample
                    continue
                leapt_from = None
                self._mend(packet)
                self._note_damage(packet)
                yield packet
                if self._leaps_from(packet):
                    return packet
            self.extent.add(packet)
        return None

    def _note_damage(self, packet: AnyPacket) -> None:
        """A packet that is half there tells of a cut file; MPEG-TS marks packets where files were joined."""
        if packet.is_corrupt and self._unwrapper is None:
            self.damage = f"the container marks the packet at pts {packet.pts} as damaged"

    def _repeats(self, packet: AnyPacket) -> bool:
        """Whether an empty packet stands for a frame that repeats the one before; only AVI has those."""
        return self._with_repeats and packet.dts is not None and packet.stream_index == self._stream.index

    def _mend(self, packet: AnyPacket) -> None:
        """Makes the packet mean the same to every decoder, whichever packets that one has seen."""
        if self._unwrapper is not None and packet.pts is not None:
            packet.pts = self._unwrapper.unwrap(packet.pts)
        if self._is_h264 and packet.is_keyframe and not self._is_entry(packet):
            packet.is_keyframe, packet.opaque = False, REFRESH
        if packet.has_sidedata("new_extradata"):
            self._extradata = packet.get_sidedata("new_extradata")
        elif self._extradata is not None and packet.is_keyframe:
            packet.set_sidedata(self._extradata)

    def _is_entry(self, packet: AnyPacket) -> bool:
        return entry_of(bytes(packet), self._stream.codec_context.extradata) is not None

    def _leaps_from(self, packet: AnyPacket) -> bool:
        """Seeks to the keyframe before the next wanted frame, if that is far away."""
        if not self._may_leap or not packet.is_keyframe or packet.pts is None:
            return False
        target_pts = self._timeline.pts_at(self._sampler.next_time_s)
        time_base = self._stream.time_base
        if target_pts is None or time_base is None or (target_pts - packet.pts) * time_base < LEAP_S:
            return False
        self._container.seek(target_pts, stream=self._stream, backward=True)
        return True


def _is_after(packet: AnyPacket, other: AnyPacket) -> bool:
    if packet.dts is None or other.dts is None:
        return packet.pts is not None and other.pts is not None and packet.pts > other.pts
    return packet.dts > other.dts
