"""Where the decoding of H.264 can really start. Containers and FFmpeg call more packets keyframes than that.

A stream with intra refresh has recovery points from which the picture builds up over many frames; FFmpeg's
parser marks them as keyframes, and a decoder that starts there gives out nothing for a while.
(ITU-T H.264, 7.3.1 NAL unit, 7.3.2.3 SEI, D.1.8 recovery point.)
"""

from collections.abc import Iterator
from typing import Literal, TypeAlias

Entry: TypeAlias = Literal["idr", "recovery"]
"""An IDR picture, or an I picture from which all that is shown after it is right."""

START_CODE = b"\x00\x00\x01"
NAL_IDR = 5
NAL_SEI = 6
SEI_RECOVERY_POINT = 6


def entry_of(packet: bytes, extradata: bytes | None) -> Entry | None:
    """Returns what kind of entry point a packet of H.264 is, None if decoding cannot start there.

    Args:
        packet: The access unit, with start codes or with lengths as `extradata` says.
        extradata: The codec's extradata: `avcC`, or parameter sets with start codes, or None.
    """
    length_bytes = (extradata[4] & 3) + 1 if extradata and len(extradata) > 4 and extradata[0] == 1 else 0
    nals = _by_length(packet, length_bytes) if length_bytes else _by_start_code(packet)
    entry: Entry | None = None
    for nal in nals:
        kind = nal[0] & 31 if nal else 0
        if kind == NAL_IDR:
            return "idr"
        if kind == NAL_SEI and _recovers_at_once(nal[1:]):
            entry = "recovery"
    return entry


def _by_length(packet: bytes, length_bytes: int) -> Iterator[bytes]:
    at = 0
    while at + length_bytes <= len(packet):
        length = int.from_bytes(packet[at : at + length_bytes], "big")
        at += length_bytes
        yield packet[at : at + length]
        at += length


def _by_start_code(packet: bytes) -> Iterator[bytes]:
    yield from packet.split(START_CODE)[1:]


def _recovers_at_once(sei: bytes) -> bool:
    """Returns whether a SEI holds a recovery point whose `recovery_frame_cnt` is 0, a single set bit."""
    payload = sei.replace(b"\x00\x00\x03", b"\x00\x00")
    at = 0
    while at + 2 < len(payload):
        kind, at = _read_255(payload, at)
        size, at = _read_255(payload, at)
        if kind == SEI_RECOVERY_POINT:
            return at < len(payload) and bool(payload[at] & 0x80)
        at += size
    return False


def _read_255(payload: bytes, at: int) -> tuple[int, int]:
    """Returns a number coded as a row of 255s and a rest, and where the next one starts."""
    number = 0
    while at < len(payload):
        number += payload[at]
        at += 1
        if payload[at - 1] != 255:
            break
    return number, at
