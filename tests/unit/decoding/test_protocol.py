"""What crosses the channel comes out as it went in, and what breaks the rules is refused."""

import os
import socket
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import numpy as np
import pytest

from stream.config import Sampling
from stream.decoding.protocol import (
    HEADER,
    MAX_BODY_BYTES,
    Ended,
    MissedSent,
    Opened,
    OpenFile,
    Progress,
    Reply,
    SampleSent,
    receive_message,
    receive_open,
    send_open,
    send_reply,
)
from stream.errors import WorkerError
from stream.frames import FrameRef, Missed, Sample, StreamEnd, StreamFacts, ViewSpec

SMALL = ViewSpec(4, 4, 3, 2)
WIDE = ViewSpec(8, 8, 8, 4, "area")
REF = FrameRef("cam", 1, 90_000, (1, 90_000), 1.5, is_keyframe=True, width=320, height=180)
REQUEST = OpenFile("cam", (SMALL, WIDE), Sampling(every=0.5), max_pixels=1000, probe_bytes=2000)


@pytest.fixture
def channel() -> Iterator[tuple[socket.socket, socket.socket]]:
    """The worker's end and the parent's."""
    worker, parent = socket.socketpair()
    with worker, parent:
        yield worker, parent


def refusal(
    channel: tuple[socket.socket, socket.socket], content: bytes, views: tuple[ViewSpec, ...] = ()
) -> str:
    """Returns the code with which the parent refuses `content`."""
    worker, parent = channel
    worker.sendall(content)
    with pytest.raises(WorkerError) as refused:
        receive_message(parent, views)
    return refused.value.code


def framed(body: bytes, views_bytes: int = 0) -> bytes:
    return HEADER.pack(len(body), views_bytes) + body


def test_a_sample_arrives_with_its_views(channel: tuple[socket.socket, socket.socket]) -> None:
    worker, parent = channel
    small = np.arange(18, dtype=np.uint8).reshape(SMALL.shape)
    wide = np.full(WIDE.shape, 7, np.uint8)
    send_reply(worker, SampleSent(REF, 24), [small, wide])

    sample = receive_message(parent, [SMALL, WIDE])

    assert isinstance(sample, Sample)
    assert (sample.ref, sample.frames_between) == (REF, 24)
    assert list(sample.views) == [SMALL.key, WIDE.key]
    np.testing.assert_array_equal(sample.views[SMALL.key], small)
    np.testing.assert_array_equal(sample.views[WIDE.key], wide)


@pytest.mark.parametrize(
    ("reply", "message"),
    [
        (
            Opened(StreamFacts("mpegts", "h264", 320, 180, None)),
            StreamFacts("mpegts", "h264", 320, 180, None),
        ),
        (
            MissedSent(Missed(REF, "undecodable", "broken", 3)),
            Missed(REF, "undecodable", "broken", 3),
        ),
        (Progress(2.5), Progress(2.5)),
        (Ended(StreamEnd(1.0, 2.0, 3, 4, "why", "code")), StreamEnd(1.0, 2.0, 3, 4, "why", "code")),
    ],
)
def test_other_replies_arrive_as_sent(
    channel: tuple[socket.socket, socket.socket], reply: Reply, message: object
) -> None:
    worker, parent = channel
    send_reply(worker, reply)
    assert receive_message(parent, [SMALL]) == message


def test_messages_that_come_together_are_told_apart(channel: tuple[socket.socket, socket.socket]) -> None:
    worker, parent = channel
    send_reply(worker, Progress(1.0))
    send_reply(worker, Progress(2.0))
    assert [receive_message(parent, []), receive_message(parent, [])] == [Progress(1.0), Progress(2.0)]


def test_a_request_arrives_with_open_files(
    channel: tuple[socket.socket, socket.socket], tmp_path: Path
) -> None:
    worker, parent = channel
    path = tmp_path / "file"
    path.write_bytes(b"content")
    with path.open("rb") as first, path.open("rb") as second:
        send_open(parent, REQUEST, [first.fileno(), second.fileno()])

    received = receive_open(worker)

    assert received is not None
    request, descriptors = received
    assert request == REQUEST
    assert [os.pread(descriptor, 7, 0) for descriptor in descriptors] == [b"content", b"content"]
    for descriptor in descriptors:
        os.close(descriptor)


def test_a_closed_channel_ends_the_requests(channel: tuple[socket.socket, socket.socket]) -> None:
    worker, parent = channel
    parent.close()
    assert receive_open(worker) is None


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xc1",
        b"no msgpack at all",
        msgspec.msgpack.encode({"type": "Unknown"}),
        msgspec.msgpack.encode({"type": "Progress"}),
        msgspec.msgpack.encode({"type": "Progress", "media_time_s": "soon"}),
        msgspec.msgpack.encode(["Progress", 1.0]),
        msgspec.msgpack.encode({"type": "Opened", "facts": {"container": b"\xff"}}),
        b"\x82\xa4type\xa8Progress\xacmedia_time_s\xa1\xff",
    ],
)
def test_a_malformed_message_is_refused(channel: tuple[socket.socket, socket.socket], body: bytes) -> None:
    assert refusal(channel, framed(body)) == "worker_protocol"


def test_a_body_that_is_too_long_is_refused_before_it_comes(
    channel: tuple[socket.socket, socket.socket],
) -> None:
    assert refusal(channel, HEADER.pack(MAX_BODY_BYTES + 1, 0)) == "worker_protocol"


@pytest.mark.parametrize("views_bytes", [0, 17, 19, 2**32 - 1])
def test_views_of_another_size_than_asked_for_are_refused(
    channel: tuple[socket.socket, socket.socket], views_bytes: int
) -> None:
    body = msgspec.msgpack.encode(SampleSent(REF, 0))
    assert refusal(channel, framed(body, views_bytes), (SMALL,)) == "worker_protocol"


def test_views_where_there_are_none_are_refused(channel: tuple[socket.socket, socket.socket]) -> None:
    body = msgspec.msgpack.encode(Progress(1.0))
    assert refusal(channel, framed(body, 18), (SMALL,)) == "worker_protocol"


@pytest.mark.parametrize("seconds", [float("nan"), float("inf"), float("-inf"), -0.5, 1e9])
@pytest.mark.parametrize(
    "reply",
    [
        Progress,
        lambda seconds: SampleSent(msgspec.structs.replace(REF, media_time_s=seconds), 0),
        lambda seconds: MissedSent(
            Missed(msgspec.structs.replace(REF, media_time_s=seconds), "undecodable", "broken", 0)
        ),
        lambda seconds: Ended(StreamEnd(seconds, 1.0, 0, 0)),
        lambda seconds: Ended(StreamEnd(0.0, seconds, 0, 0)),
        lambda seconds: Opened(StreamFacts("mpegts", "h264", 320, 180, seconds)),
    ],
    ids=["progress", "sample", "missed", "end", "declared_end", "duration"],
)
def test_a_time_that_cannot_be_is_refused(
    channel: tuple[socket.socket, socket.socket], reply: Callable[[float], Reply], seconds: float
) -> None:
    assert refusal(channel, framed(msgspec.msgpack.encode(reply(seconds)))) == "worker_protocol"


@pytest.mark.parametrize(
    "sample",
    [
        SampleSent(REF, -1),
        SampleSent(msgspec.structs.replace(REF, time_base=(1, 0)), 0),
        SampleSent(msgspec.structs.replace(REF, width=-1), 0),
        SampleSent(msgspec.structs.replace(REF, epoch=-1), 0),
    ],
    ids=["frames_between", "time_base", "width", "epoch"],
)
def test_a_sample_that_cannot_be_is_refused(
    channel: tuple[socket.socket, socket.socket], sample: SampleSent
) -> None:
    content = framed(msgspec.msgpack.encode(sample), 18) + bytes(18)
    assert refusal(channel, content, (SMALL,)) == "worker_protocol"


@pytest.mark.parametrize("sent", [b"", b"\x01\x00", struct.pack("<II", 100, 0) + b"half"])
def test_a_channel_that_closes_in_between_means_that_the_worker_died(
    channel: tuple[socket.socket, socket.socket], sent: bytes
) -> None:
    worker, parent = channel
    worker.sendall(sent)
    worker.close()
    with pytest.raises(WorkerError) as died:
        receive_message(parent, [])
    assert died.value.code == "worker_died"


def test_silence_is_told_as_such(channel: tuple[socket.socket, socket.socket]) -> None:
    _, parent = channel
    parent.settimeout(0.01)
    with pytest.raises(TimeoutError):
        receive_message(parent, [])
