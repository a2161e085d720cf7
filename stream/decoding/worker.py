"""The decode worker: a child process that parses bytes from outside, and nothing else.

It is forked by the fork server with its channel to the parent, enters its cage, and then serves one file
after another until the parent closes the channel or kills it.
"""

import os
import socket

from stream.decoding.cage import enter
from stream.decoding.protocol import (
    Ended,
    MissedSent,
    Opened,
    OpenFile,
    Ready,
    Reply,
    SampleSent,
    receive_open,
    send_ready,
    send_reply,
)
from stream.decoding.reader import FileReader, Send
from stream.decoding.resizing import pillow_view
from stream.decoding.sampling import Sampler
from stream.decoding.still import Picture, is_picture, open_picture, pictures
from stream.errors import SourceError
from stream.frames import FrameRef, Missed, StreamEnd, StreamFacts, ViewArray

HEAD_BYTES = 16
MILLISECONDS = (1, 1000)


def run(channel: socket.socket, memory_bytes: int, parent_pid: int) -> None:
    """Enters the cage, tells which of its layers are missing, and serves requests on `channel`."""
    send_ready(channel, Ready(enter(memory_bytes, parent_pid)))
    serve(channel)


def serve(channel: socket.socket) -> None:
    """Serves requests on `channel` until the parent closes it."""
    while (received := receive_open(channel)) is not None:
        request, descriptors = received

        def send(reply: Reply, views: list[ViewArray]) -> None:
            send_reply(channel, reply, views)

        try:
            end = _read(request, descriptors, send)
        except SourceError as error:
            end = StreamEnd(0.0, 0.0, 0, 0, str(error), error.code)
        except MemoryError:
            end = StreamEnd(
                0.0, 0.0, 0, 0, "more memory is needed than decode.memory_mib allows", "out_of_memory"
            )
        except Exception as error:  # noqa: BLE001 - hostile bytes led here, and the parent is to know the cause
            reason = f"decoding failed: {type(error).__name__}: {error}"[:500]
            end = StreamEnd(0.0, 0.0, 0, 0, reason, "worker_failed")
        finally:
            for descriptor in descriptors:
                os.close(descriptor)
        send_reply(channel, Ended(end))


def _read(request: OpenFile, descriptors: list[int], send: Send) -> StreamEnd:
    head = os.pread(descriptors[0], HEAD_BYTES, 0)
    if not head:
        raise SourceError("empty_file", "the file is empty")
    if is_picture(head):
        return _read_pictures(request, descriptors[0], send)
    return FileReader(request, descriptors, send).read()


def _read_pictures(request: OpenFile, descriptor: int, send: Send) -> StreamEnd:
    with os.fdopen(os.dup(descriptor), "rb") as file:
        image = open_picture(file, request.max_pixels)
        name = (image.format or "picture").lower()
        send(Opened(StreamFacts(name, name, image.width, image.height, None)), [])
        sampler = Sampler(request.sampling)
        seen = left_out = end_ms = 0
        damage: SourceError | None = None
        try:
            for picture in pictures(image):
                seen += 1
                end_ms = picture.shown_at_ms + picture.lasts_ms
                shown_at_s, lasts_s = picture.shown_at_ms / 1000, picture.lasts_ms / 1000
                if sampler.keep(shown_at_s, is_keyframe=True, lasts_s=lasts_s):
                    _send_picture(request, picture, left_out, send)
                    left_out = 0
                else:
                    left_out += 1
        except SourceError as error:
            damage = error
    if damage is not None:
        ref = _picture_ref(request.stream_id, end_ms, 0, 0)
        send(MissedSent(Missed(ref, "undecodable", str(damage), left_out)), [])
        return StreamEnd(end_ms / 1000, end_ms / 1000, seen, seen, str(damage), damage.code)
    return StreamEnd(end_ms / 1000, end_ms / 1000, seen, seen)


def _send_picture(request: OpenFile, picture: Picture, left_out: int, send: Send) -> None:
    ref = _picture_ref(request.stream_id, picture.shown_at_ms, picture.image.width, picture.image.height)
    send(SampleSent(ref, left_out), [pillow_view(picture.image, spec) for spec in request.views])


def _picture_ref(stream_id: str, at_ms: int, width: int, height: int) -> FrameRef:
    return FrameRef(stream_id, 0, at_ms, MILLISECONDS, at_ms / 1000, True, width, height)
