"""What has to be decoded to get the wanted frames, decided from packets alone, before any is decoded.

A demuxer knows the pts of each packet, so which frames sampling takes is known one GOP ahead. A GOP is then
decoded only up to the last packet that a wanted frame needs, not at all if it holds none, and frames that
nothing refers to are skipped on the way. Frames and times are the same as those of full decoding.

Display order and decode order differ: the frames shown before a keyframe may follow it in the stream (the
leading pictures of an open GOP). They are counted with the GOP before it, which they refer to.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

from stream.decoding.sampling import Sampler, Timeline

MAX_REORDER = 16
"""Frames that may be decoded before a frame that is shown earlier (H.264 and HEVC: max_num_reorder)."""

MAX_HELD_PACKETS = 512
"""Packets of one GOP held before the plan goes on without having seen its end."""

MAX_HELD_BYTES = 16 << 20


class CodedPacket(Protocol):
    """What the plan looks at; `av.Packet` has all of it. Times are in the stream's time base."""

    @property
    def pts(self) -> int | None:
        """When its frame is shown."""

    @property
    def duration(self) -> int | None:
        """How long its frame is shown; 0 or None where the container does not say."""

    @property
    def is_keyframe(self) -> bool:
        """Whether decoding can start with it."""

    @property
    def is_discard(self) -> bool:
        """Whether it is decoded and not shown."""

    @property
    def size(self) -> int:
        """Its size in bytes."""

    @property
    def opaque(self) -> object:
        """`REFRESH`, or anything else."""


REFRESH = "refresh"
"""Marks a packet at which the picture is whole although decoding cannot start there (intra refresh). Sampling
counts it as a keyframe."""

P = TypeVar("P", bound=CodedPacket)


@dataclass(frozen=True)
class Wanted:
    """A frame that sampling took.

    Attributes:
        pts: Its pts.
        epoch: Its epoch.
        media_time_s: Its media time in seconds.
        is_keyframe: Whether its packet is a keyframe.
        frames_between: Frames left out since the one taken before.
    """

    pts: int
    epoch: int
    media_time_s: float
    is_keyframe: bool
    frames_between: int


@dataclass(frozen=True)
class Part(Generic[P]):
    """Packets for one decoder, in decode order.

    Attributes:
        packets: What to feed.
        wanted: The frames to keep, by pts.
        first: Whether a decoder starts afresh with it; otherwise it goes on from the part before.
        last: Whether the decoder is to give out what it holds after it.
        leading: How many packets after the first belong to the GOP before; they may fail to decode.
    """

    packets: Sequence[P]
    wanted: Mapping[int, Wanted]
    first: bool
    last: bool
    leading: int


class UnusableTimes(Exception):
    """The packets' pts do not allow planning; every frame has to be decoded to know its time."""


@dataclass
class _Gop(Generic[P]):
    packets: list[P] = field(default_factory=list)
    size_bytes: int = 0
    began: bool = False  # whether a part of it is out already

    def add(self, packet: P) -> None:
        self.packets.append(packet)
        self.size_bytes += packet.size


class GopPlanner(Generic[P]):
    """Plans the decoding of one stream. Feed it packets in decode order.

    Args:
        sampler: Chooses the frames.
        timeline: Gives them their media time.
    """

    def __init__(self, sampler: Sampler, timeline: Timeline) -> None:
        self._sampler = sampler
        self._timeline = timeline
        self._gop: _Gop[P] = _Gop()
        self._next: _Gop[P] | None = None  # a keyframe and its leading pictures so far
        self._left_out = 0
        self.frames_seen = 0

    def pending(self) -> list[P]:
        """Returns the packets that no part holds yet."""
        return self._gop.packets + (self._next.packets if self._next else [])

    def push(self, packet: P) -> list[Part[P]]:
        """Takes the next packet; returns what is ready to be decoded.

        Raises:
            UnusableTimes: Its pts is missing or impossible. `pending` does not hold it.
        """
        pts = _pts(packet)
        if packet.is_keyframe:
            return self._push_keyframe(packet)
        if self._next is not None and pts < _pts(self._next.packets[0]):
            self._next.add(packet)
            return []
        parts = self._close() if self._next is not None else []
        if not parts:
            self._refuse_jump(packet)
        self._gop.add(packet)
        if self._is_long():
            parts += self._cut()
        return parts

    def finish(self) -> list[Part[P]]:
        """Returns what is left at the end of the stream."""
        parts = self._close() if self._next is not None else []
        return parts + self._close()

    def _push_keyframe(self, packet: P) -> list[Part[P]]:
        parts = self._close() if self._next is not None else []
        if not self._gop.packets and not self._gop.began:
            self._gop.add(packet)
            return parts
        self._next = _Gop()
        self._next.add(packet)
        return parts

    def _refuse_jump(self, packet: P) -> None:
        """Within a GOP, a pts far below those already seen is a break without a keyframe."""
        if len(self._gop.packets) > MAX_REORDER:
            oldest = min(_pts(held) for held in self._gop.packets[-MAX_REORDER:])
            if _pts(packet) < oldest:
                raise UnusableTimes

    def _close(self) -> list[Part[P]]:
        """Plans the GOP whose end is known and moves on to the next."""
        following = self._next or _Gop()
        leading = following.packets[1:]
        broken_off = bool(following.packets) and self._breaks_off(following.packets[0])
        shown = _shown(self._gop)
        fed = list(self._gop.packets)
        if not broken_off and leading:
            shown += [packet for packet in leading if not packet.is_discard]
            fed += following.packets
        wanted = self._select(shown, None if broken_off else _first_pts(following.packets))
        if broken_off:
            self._timeline.start_epoch()
        part = self._part(fed, wanted)
        self._gop, self._next = following, None
        return part

    def _breaks_off(self, keyframe: P) -> bool:
        return any(_pts(packet) >= _pts(keyframe) for packet in self._gop.packets)

    def _part(self, fed: list[P], wanted: dict[int, Wanted]) -> list[Part[P]]:
        needed = max((index + 1 for index, packet in enumerate(fed) if packet.pts in wanted), default=0)
        if not needed and not self._gop.began:
            return []
        first = not self._gop.began
        return [Part(fed[:needed], wanted, first, last=True, leading=_leading(self._gop) if first else 0)]

    def _is_long(self) -> bool:
        held = len(self._gop.packets)
        return held > MAX_HELD_PACKETS or (self._gop.size_bytes > MAX_HELD_BYTES and held > 2 * MAX_REORDER)

    def _cut(self) -> list[Part[P]]:
        """Plans the head of a long GOP: the packets before the first whose place in time is not settled."""
        packets = self._gop.packets
        settled_below = sorted(_pts(packet) for packet in packets)[-(MAX_REORDER + 1)]
        cut = next(index for index, packet in enumerate(packets) if _pts(packet) >= settled_below)
        if cut == 0:
            raise UnusableTimes
        head = _Gop(packets[:cut], 0, self._gop.began)
        wanted = self._select(_shown(head), _first_pts(packets[cut:]))
        leading = 0 if head.began else _leading(head)
        self._gop = _Gop(packets[cut:], sum(packet.size for packet in packets[cut:]), began=True)
        return [Part(head.packets, wanted, not head.began, last=False, leading=leading)]

    def _select(self, shown: list[P], next_pts: int | None) -> dict[int, Wanted]:
        """Lets sampling choose; `next_pts` is that of the frame shown after these, if one is known."""
        if len({packet.pts for packet in shown}) < len(shown):
            raise UnusableTimes
        wanted: dict[int, Wanted] = {}
        stand_in = self._stand_in(shown)
        ordered = sorted(shown, key=_pts)
        ends: list[int | None] = [*(_pts(packet) for packet in ordered[1:]), next_pts]
        for packet, end_pts in zip(ordered, ends, strict=False):
            pts = _pts(packet)
            is_keyframe = packet.is_keyframe or packet is stand_in or packet.opaque == REFRESH
            media_time_s = self._timeline.show(pts, packet.duration)
            self.frames_seen += 1
            lasts_s = self._timeline.end_s - media_time_s
            if end_pts is not None:
                lasts_s = self._timeline.seconds(end_pts - pts)
            if self._sampler.keep(media_time_s, is_keyframe=is_keyframe, lasts_s=lasts_s):
                wanted[pts] = Wanted(pts, self._timeline.epoch, media_time_s, is_keyframe, self._left_out)
                self._left_out = 0
            else:
                self._left_out += 1
        return wanted

    def _stand_in(self, shown: list[P]) -> P | None:
        """The frame that stands for a keyframe that an edit list hides: the first one shown after it."""
        hidden = not self._gop.began and self._gop.packets and self._gop.packets[0].is_discard
        return min(shown, key=_pts) if hidden and shown else None


def _first_pts(packets: Sequence[CodedPacket]) -> int | None:
    return min((_pts(packet) for packet in packets), default=None)


def _pts(packet: CodedPacket) -> int:
    if packet.pts is None:
        raise UnusableTimes
    return packet.pts


def _shown(gop: _Gop[P]) -> list[P]:
    """The frames that count with the GOP: not its leading pictures, which count with the GOP before it."""
    own = gop.packets[:1] + gop.packets[1 + _leading(gop) :]
    return [packet for packet in own if not packet.is_discard]


def _leading(gop: _Gop[P]) -> int:
    """Counts the packets right after the keyframe that are shown before it."""
    if gop.began or not gop.packets or not gop.packets[0].is_keyframe:
        return 0
    keyframe_pts = _pts(gop.packets[0])
    count = 0
    for packet in gop.packets[1:]:
        if _pts(packet) >= keyframe_pts:
            break
        count += 1
    return count
