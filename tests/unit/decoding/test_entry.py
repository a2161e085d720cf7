import pytest

from stream.decoding.entry import entry_of

AVCC = bytes([1, 100, 0, 31, 0xFF])
"""The head of an `avcC` box: lengths of four bytes."""

IDR = b"\x65\x88\x84"
SLICE = b"\x41\x9a\x00"
RECOVERY_NOW = b"\x06\x06\x01\xc4\x80"
RECOVERY_IN_19 = b"\x06\x06\x02\x0a\x20\x80"
OTHER_SEI = b"\x06\x05\x02\x01\x02\x80"


def by_length(*nals: bytes) -> bytes:
    return b"".join(len(nal).to_bytes(4, "big") + nal for nal in nals)


def by_start_code(*nals: bytes) -> bytes:
    return b"".join(b"\x00\x00\x00\x01" + nal for nal in nals)


CASES = [
    ((IDR,), "idr"),
    ((OTHER_SEI, IDR), "idr"),
    ((RECOVERY_NOW, SLICE), "recovery"),
    ((OTHER_SEI, RECOVERY_NOW, SLICE), "recovery"),
    ((RECOVERY_IN_19, SLICE), None),
    ((OTHER_SEI, SLICE), None),
    ((SLICE,), None),
]


@pytest.mark.parametrize(("nals", "expected"), CASES)
def test_an_entry_point_is_told_from_its_nal_units_with_lengths(
    nals: tuple[bytes, ...], expected: str | None
) -> None:
    assert entry_of(by_length(*nals), AVCC) == expected


@pytest.mark.parametrize(("nals", "expected"), CASES)
def test_an_entry_point_is_told_from_its_nal_units_with_start_codes(
    nals: tuple[bytes, ...], expected: str | None
) -> None:
    assert entry_of(by_start_code(*nals), None) == expected


@pytest.mark.parametrize("packet", [b"", b"\x00", b"\xff" * 9, b"\x00\x00\x01", by_length(b"\x06\xff\xff")])
@pytest.mark.parametrize("extradata", [None, b"", AVCC])
def test_rubbish_is_no_entry_point(packet: bytes, extradata: bytes | None) -> None:
    assert entry_of(packet, extradata) is None
