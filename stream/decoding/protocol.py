"""What a decode worker and its parent say to each other, and how it is framed.

One message is a little-endian header of two lengths, then a msgpack body, then raw view bytes:

    uint32 body_bytes | uint32 views_bytes | body | views

Nothing is ever unpickled. The parent checks each message against the types below and against the views
that it asked for, since a worker that parsed hostile bytes may send anything.
"""

import math
import socket
import struct
from collections.abc import Mapping, Sequence
from typing import TypeAlias, TypeVar

import msgspec
import numpy as np

from stream.config import Sampling
from stream.decoding.cage import Layer
from stream.errors import WorkerError
from stream.frames import FrameRef, Missed, Sample, StreamEnd, StreamFacts, ViewArray, ViewSpec

HEADER = struct.Struct("<II")
MAX_BODY_BYTES = 1 << 20
T = TypeVar("T")


class OpenFile(msgspec.Struct, frozen=True, tag=True):
    """Asks a worker to read the file whose descriptors come with this message.

    Attributes:
        stream_id: Name that the frames carry.
        views: What the models want to see.
        sampling: Which frames to send.
        max_pixels: Largest picture that is decoded, in pixels.
        probe_bytes: Bytes that may be read to find out what the file is.
    """

    stream_id: str
    views: tuple[ViewSpec, ...]
    sampling: Sampling
    max_pixels: int
    probe_bytes: int


class Ready(msgspec.Struct, frozen=True, tag=True):
    """A new worker's first message: it is in its cage.

    Attributes:
        missing: Layers of the cage that could not be put on, and why.
    """

    missing: dict[Layer, str]


class Opened(msgspec.Struct, frozen=True, tag=True):
    """The worker knows what the file is."""

    facts: StreamFacts


class SampleSent(msgspec.Struct, frozen=True, tag=True):
    """A sampled frame; its views follow the body, in the order asked for."""

    ref: FrameRef
    frames_between: int


class MissedSent(msgspec.Struct, frozen=True, tag=True):
    """A frame that was to be sampled and could not be decoded."""

    missed: Missed


class Progress(msgspec.Struct, frozen=True, tag=True):
    """The worker has read on to this media time without finding a sample."""

    media_time_s: float


class Ended(msgspec.Struct, frozen=True, tag=True):
    """The worker is done with the file and ready for another."""

    end: StreamEnd


Reply: TypeAlias = Opened | SampleSent | MissedSent | Progress | Ended
Message: TypeAlias = StreamFacts | Sample | Missed | Progress | StreamEnd
"""What the parent makes of a reply."""

_encoder = msgspec.msgpack.Encoder()
_reply_decoder: msgspec.msgpack.Decoder[Reply] = msgspec.msgpack.Decoder(Reply)
_ready_decoder = msgspec.msgpack.Decoder(Ready)
_open_decoder = msgspec.msgpack.Decoder(OpenFile)


def send_ready(channel: socket.socket, ready: Ready) -> None:
    """Sends a worker's first message."""
    body = _encoder.encode(ready)
    channel.sendall(HEADER.pack(len(body), 0) + body)


def receive_ready(channel: socket.socket) -> Ready:
    """Returns a worker's first message.

    Raises:
        WorkerError: The worker is gone, or said something else.
        TimeoutError: Nothing came within the channel's time-out.
    """
    body_bytes, _ = HEADER.unpack(_receive_exactly(channel, HEADER.size))
    return _decode(_ready_decoder, channel, body_bytes)


def send_open(channel: socket.socket, request: OpenFile, descriptors: Sequence[int]) -> None:
    """Sends `request` with open file descriptors."""
    body = _encoder.encode(request)
    socket.send_fds(channel, [HEADER.pack(len(body), 0)], list(descriptors))
    channel.sendall(body)


def receive_open(channel: socket.socket, max_descriptors: int = 64) -> tuple[OpenFile, list[int]] | None:
    """Returns the next request and its descriptors, None once the parent has closed the channel."""
    header, descriptors, _, _ = socket.recv_fds(channel, HEADER.size, max_descriptors)
    if not header:
        return None
    body_bytes, _ = HEADER.unpack(header)
    return _open_decoder.decode(_receive_exactly(channel, body_bytes)), descriptors


def send_reply(channel: socket.socket, reply: Reply, views: Sequence[ViewArray] = ()) -> None:
    """Sends `reply` and the bytes of `views`; blocks while the parent is busy (back-pressure)."""
    body = _encoder.encode(reply)
    channel.sendall(HEADER.pack(len(body), sum(view.nbytes for view in views)) + body)
    for view in views:
        channel.sendall(view.data.cast("B"))


def receive_message(channel: socket.socket, views: Sequence[ViewSpec]) -> Message:
    """Returns the worker's next message, checked.

    Raises:
        WorkerError: The worker is gone, or said something that this protocol does not allow.
        TimeoutError: Nothing came within the channel's time-out.
    """
    body_bytes, views_bytes = HEADER.unpack(_receive_exactly(channel, HEADER.size))
    reply = _decode(_reply_decoder, channel, body_bytes)
    expected = sum(math.prod(view.shape) for view in views) if isinstance(reply, SampleSent) else 0
    if views_bytes != expected:
        raise WorkerError(
            "worker_protocol", f"the decode worker sent {views_bytes} bytes of views, expected {expected}"
        )
    return _message(channel, reply, views)


def _decode(decoder: msgspec.msgpack.Decoder[T], channel: socket.socket, body_bytes: int) -> T:
    if body_bytes > MAX_BODY_BYTES:
        raise WorkerError("worker_protocol", f"the decode worker announced a body of {body_bytes} bytes")
    try:
        return decoder.decode(_receive_exactly(channel, body_bytes))
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise WorkerError(
            "worker_protocol", f"the decode worker sent a malformed message: {error}"
        ) from error


def _message(channel: socket.socket, reply: Reply, views: Sequence[ViewSpec]) -> Message:
    match reply:
        case Opened(facts):
            _require_finite(facts.declared_duration_s or 0.0)
            return facts
        case SampleSent(ref, frames_between):
            _require_possible(ref, frames_between)
            return Sample(ref, _receive_views(channel, views), frames_between)
        case MissedSent(missed):
            _require_possible(missed.ref, missed.frames_between)
            return missed
        case Progress():
            _require_finite(reply.media_time_s)
            return reply
        case Ended(end):
            _require_finite(end.end_s)
            _require_finite(end.declared_end_s)
            return end


def _require_possible(ref: FrameRef, frames_between: int) -> None:
    _require_finite(ref.media_time_s)
    counts = (ref.epoch, ref.width, ref.height, frames_between, ref.time_base[0] - 1, ref.time_base[1] - 1)
    if min(counts) < 0:
        raise WorkerError("worker_protocol", f"the decode worker sent an impossible frame: {ref}")


def _require_finite(seconds: float) -> None:
    if not 0.0 <= seconds < 1e9:
        raise WorkerError("worker_protocol", f"the decode worker sent an impossible time: {seconds} s")


def _receive_views(channel: socket.socket, views: Sequence[ViewSpec]) -> Mapping[str, ViewArray]:
    arrays: dict[str, ViewArray] = {}
    for view in views:
        array = np.empty(view.shape, np.uint8)
        _receive_into(channel, array.data.cast("B"))
        arrays[view.key] = array
    return arrays


def _receive_exactly(channel: socket.socket, count: int) -> bytearray:
    buffer = bytearray(count)
    _receive_into(channel, memoryview(buffer))
    return buffer


def _receive_into(channel: socket.socket, buffer: memoryview) -> None:
    while buffer:
        try:
            received = channel.recv_into(buffer)
        except ConnectionError as error:
            raise WorkerError("worker_died", "the decode worker died") from error
        if received == 0:
            raise WorkerError("worker_died", "the decode worker died")
        buffer = buffer[received:]
