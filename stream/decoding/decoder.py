"""Decodes planned parts: feeds what is needed, keeps what is wanted, says what never came."""

import errno
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import av
from av.video.codeccontext import VideoCodecContext

from stream.decoding.entry import entry_of
from stream.decoding.planning import Part, Wanted
from stream.decoding.views import Viewer, upright_size
from stream.frames import ViewArray

if TYPE_CHECKING:
    AnyPacket: TypeAlias = av.Packet[Any]  # generic only in PyAV's stubs
else:
    AnyPacket = av.Packet

SkipFrame: TypeAlias = Literal["DEFAULT", "NONREF"]

NEVER_CAME = "the decoder gave out no frame with this pts"

SKIPS_NONREF = frozenset({"h264", "hevc", "mpeg1video", "mpeg2video", "mpeg4"})
"""Codecs whose FFmpeg decoders know from the packet alone that nothing refers to a frame."""


@dataclass(frozen=True)
class Kept:
    """A wanted frame, decoded.

    Attributes:
        wanted: What was wanted.
        views: Its views, in the order of the specs.
        width: Width of the upright frame in pixels.
        height: Height of the upright frame in pixels.
    """

    wanted: Wanted
    views: list[ViewArray]
    width: int
    height: int


@dataclass(frozen=True)
class Lost:
    """A wanted frame that could not be decoded, and why."""

    wanted: Wanted
    reason: str


@dataclass(frozen=True)
class Alive:
    """Decoding goes on, without a wanted frame for a while."""


ALIVE_EVERY_S = 0.5


class PartDecoder:
    """One FFmpeg decoder of one thread. Not thread-safe.

    After damage nothing is trusted until the next GOP: what refers to a damaged frame is damaged too, and not
    every decoder says so.

    Args:
        context: A codec context of the stream that no other decoder uses.
        viewer: Makes the views.
        max_pixels: Largest picture that is decoded, in pixels.
    """

    def __init__(self, context: VideoCodecContext, viewer: Viewer, max_pixels: int) -> None:
        set_up(context, max_pixels)
        self._context = context
        self._viewer = viewer
        self._skip: SkipFrame = "NONREF" if context.name in SKIPS_NONREF else "DEFAULT"
        self._outstanding: dict[int, Wanted] = {}
        self._is_h264 = context.name == "h264"
        self._start_pts = 0
        self._forgiven = False
        self._damage: str | None = None
        self.frames_decoded = 0

    def decode(self, part: Part[AnyPacket]) -> Iterator[Kept | Lost | Alive]:
        """Yields the wanted frames in order of presentation."""
        if part.first:
            self._context.flush_buffers()
            self._outstanding, self._damage = {}, None
            self._start_pts = part.packets[0].pts or 0
            self._forgiven = self._may_complain_at(part.packets[0])
        self._outstanding.update(part.wanted)
        if self._damage is None:
            yield from self._feed(part)
        if part.last and self._damage is None:
            yield from self._keep(self._drain())
        if part.last or self._damage is not None:
            yield from self._give_up(self._damage or NEVER_CAME)

    def _feed(self, part: Part[AnyPacket]) -> Iterator[Kept | Lost | Alive]:
        told_s = time.monotonic()
        for index, packet in enumerate(part.packets):
            if time.monotonic() - told_s > ALIVE_EVERY_S:
                told_s = time.monotonic()
                yield Alive()
            self._context.skip_frame = "DEFAULT" if packet.pts in part.wanted else self._skip
            try:
                frames = decode_packet(self._context, packet)
            except av.FFmpegError as error:
                if 1 <= index <= part.leading or self._forgives():
                    continue
                spoiled = self._outstanding.pop(packet.pts or 0, None)
                yield from self._keep(self._drain())  # what was fed before the damage is sound
                self._damage = self._damage or f"packet at pts {packet.pts}: {error.strerror}"
                if spoiled is not None:
                    self._outstanding[spoiled.pts] = spoiled
            else:
                yield from self._keep(frames)
            if self._damage is not None:
                return

    def _may_complain_at(self, packet: AnyPacket) -> bool:
        """Whether the H.264 decoder is bound to complain once although nothing is damaged.

        After an I picture that is no IDR picture comes one that drops references from before it; with
        `explode` the decoder raises for those, once, and decodes all the same (bit-exact in 500 frames).
        """
        return self._is_h264 and entry_of(bytes(packet), self._context.extradata) != "idr"

    def _forgives(self) -> bool:
        forgiven, self._forgiven = self._forgiven, False
        return forgiven

    def _drain(self) -> list[av.VideoFrame]:
        try:
            return self._context.decode(None)
        except av.FFmpegError as error:
            self._damage = self._damage or f"at the end of the GOP: {error.strerror}"
            return []

    def _keep(self, frames: Iterable[av.VideoFrame]) -> Iterator[Kept | Lost]:
        for frame in frames:
            self.frames_decoded += 1
            if frame.is_corrupt and frame.pts is not None and frame.pts >= self._start_pts:
                self._damage = self._damage or f"frame at pts {frame.pts}: the decoder marks it as damaged"
            if frame.pts not in self._outstanding or self._damage is not None:
                continue
            yield from self._give_up(NEVER_CAME, before=frame.pts)
            wanted = self._outstanding.pop(frame.pts)
            yield Kept(wanted, self._viewer.views(frame), *upright_size(frame))

    def _give_up(self, reason: str, before: int | None = None) -> Iterator[Lost]:
        for pts in sorted(self._outstanding):
            if before is None or pts < before:
                yield Lost(self._outstanding.pop(pts), reason)


def set_up(context: VideoCodecContext, max_pixels: int) -> None:
    """Prepares a codec context: one thread, errors told rather than concealed, no picture too large."""
    context.thread_count = 1
    # Without `explode` the H.264 decoder paints over damage and says nothing: of eleven damaged frames it
    # marked five, and raised for none.
    context.options = {"max_pixels": str(max_pixels), "err_detect": "explode"}


def decode_packet(context: VideoCodecContext, packet: AnyPacket) -> list[av.VideoFrame]:
    """Returns the frames that `packet` brings out.

    Raises:
        av.FFmpegError: The packet is damaged.
    """
    if packet.is_corrupt and packet.stream.container.format.name != "mpegts":
        # MPEG-TS marks every packet where two recordings were joined; there the decoder decides.
        raise av.InvalidDataError(errno.EINVAL, "the container marks it as damaged")
    return context.decode(packet)
