"""Just enough of ISO base media (MP4) boxes to rewrite a file's tables: what no muxer writes, a test must."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

_CONTAINERS: Final = {"moov", "trak", "mdia", "minf", "stbl"}


@dataclass
class Box:
    """One box: a container with `children`, or a leaf with a `payload`."""

    kind: str
    payload: bytes = b""
    children: list["Box"] = field(default_factory=list)


def parse_boxes(content: bytes) -> list[Box]:
    """Returns the boxes in `content`, a whole file or a container's payload. 64-bit sizes are not read."""
    boxes, position = [], 0
    while position < len(content):
        size, kind_bytes = struct.unpack_from(">I4s", content, position)
        kind, payload = kind_bytes.decode("latin-1"), content[position + 8 : position + size]
        if kind in _CONTAINERS:
            boxes.append(Box(kind, children=parse_boxes(payload)))
        else:
            boxes.append(Box(kind, payload))
        position += size
    return boxes


def serialise(boxes: list[Box]) -> bytes:
    """Returns the bytes of `boxes` with their sizes as they now are."""
    parts = []
    for box in boxes:
        payload = serialise(box.children) if box.children else box.payload
        parts.append(struct.pack(">I4s", 8 + len(payload), box.kind.encode("latin-1")) + payload)
    return b"".join(parts)


def walk(boxes: list[Box], kind: str) -> Iterator[Box]:
    """Yields every box of `kind`, at any depth, in file order."""
    for box in boxes:
        if box.kind == kind:
            yield box
        yield from walk(box.children, kind)


def full_box(*numbers: int) -> bytes:
    """Returns the payload of a box of version 0 without flags that holds 32-bit `numbers`."""
    return struct.pack(f">{1 + len(numbers)}I", 0, *numbers)


def table(payload: bytes, start: int) -> list[int]:
    """Returns the 32-bit numbers of `payload` from byte `start` on."""
    return list(struct.unpack(f">{(len(payload) - start) // 4}I", payload[start:]))
