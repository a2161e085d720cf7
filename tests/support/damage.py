"""Files that are not what they should be: empty, cut, with flipped bits, without a picture, no media."""

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import av

from tests.support.boxes import Box, full_box, parse_boxes, serialise, walk
from tests.support.media import write_clip

LIGHT: Final = 0.002
"""Share of bytes to flip a bit in: about one in a packet of these clips."""
HEAVY: Final = 0.1
"""Share of bytes to flip a bit in: hardly a macroblock is left."""

FAST_START: Final = {"movflags": "+faststart"}
"""Container options that put the MP4's index first, so that a cut file still has it."""

_TS_PACKET_BYTES: Final = 188
_TS_HEADERS_BYTES: Final = 32
_SAMPLE_TABLES: Final = {"stts": 1, "stsc": 1, "stsz": 2, "stco": 1, "stss": 1, "ctts": 1}
"""By box: how many zeros say that it is empty."""


def empty(path: Path) -> Path:
    """Writes a file of no bytes."""
    path.write_bytes(b"")
    return path


def text(path: Path) -> Path:
    """Writes prose, whatever the suffix says."""
    path.write_text("This is not a video. It only says so in its name.\n" * 40, encoding="utf-8")
    return path


def hls_playlist(path: Path, target: Path) -> Path:
    """Writes an HLS playlist that names the local file `target`, whatever the suffix says."""
    lines = ["#EXTM3U", "#EXT-X-TARGETDURATION:10", "#EXTINF:10,", target.as_uri(), "#EXT-X-ENDLIST", ""]
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def concat_list(path: Path, target: Path) -> Path:
    """Writes a list for FFmpeg's concat demuxer that names the local file `target`."""
    path.write_text(f"ffconcat version 1.0\nfile '{target}'\n", encoding="utf-8")
    return path


def audio_only(path: Path) -> Path:
    """Writes 2 s of a tone and no video: an .m4a, .mp4 or .mkv."""
    with_video = write_clip(path.with_suffix(".video.mp4"), frames=1, audio_s=2.0).path
    with av.open(str(path), "w") as target, av.open(str(with_video)) as source:
        stream = target.add_stream_from_template(source.streams.audio[0])
        for packet in source.demux(audio=0):
            if packet.size:
                packet.stream = stream
                target.mux(packet)
    with_video.unlink()
    return path


def without_samples(path: Path) -> Path:
    """Writes an MP4 with a video track that has a description and no frame."""
    write_clip(path, frames=2)
    boxes = [box for box in parse_boxes(path.read_bytes()) if box.kind in {"ftyp", "moov"}]
    for kind, zeros in _SAMPLE_TABLES.items():
        for box in walk(boxes, kind):
            box.payload = full_box(*[0] * zeros)
    for table in walk(boxes, "stbl"):
        table.children = [box for box in table.children if box.kind != "stss"]
    path.write_bytes(serialise(boxes))
    return path


def without_moov(path: Path) -> Path:
    """Writes an MP4 that stops where the index (moov) would start, as a killed recorder leaves it."""
    write_clip(path)
    boxes: list[Box] = parse_boxes(path.read_bytes())
    path.write_bytes(serialise([box for box in boxes if box.kind != "moov"]))
    return path


def cut(source: Path, path: Path, share: float = 0.5) -> Path:
    """Writes the first `share` of the bytes of `source`. An MP4 should be written with `FAST_START`."""
    content = source.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    return path


def flip_bits(
    source: Path, path: Path, *, start_s: float, end_s: float, share: float = LIGHT, seed: int = 1
) -> Path:
    """Writes `source` with bits flipped inside the coded video that is shown from `start_s` to `end_s`.

    No container header and no packet's first 16 bytes are touched: it is the decoder that sees the damage.

    Args:
        source: A clip with pts.
        path: Where to write the damaged copy.
        start_s: Stream time of the first packet to damage.
        end_s: Stream time of the first packet after it to leave alone.
        share: Share of the bytes in which one bit is flipped: `LIGHT`, `HEAVY`, or another.
        seed: Chooses the bytes and bits.
    """
    content = bytearray(source.read_bytes())
    offsets = list(_coded_bytes(source, content, start_s, end_s))
    chance = random.Random(seed)
    for offset in chance.sample(offsets, max(1, int(len(offsets) * share))):
        content[offset] ^= 1 << chance.randrange(8)
    path.write_bytes(content)
    return path


def _coded_bytes(source: Path, content: bytearray, start_s: float, end_s: float) -> Iterator[int]:
    """Yields the offsets in the file of the coded bytes shown between two times."""
    with av.open(str(source)) as container:
        in_ts = container.format.name == "mpegts"
        for packet in container.demux(video=0):
            if packet.pts is None or not start_s <= packet.pts * packet.time_base < end_s:
                continue
            assert packet.pos is not None
            if in_ts:
                yield from _ts_payload(packet.pos, packet.size)
            else:
                start = content.find(bytes(packet), packet.pos)
                yield from range(start + 16, start + packet.size)


def _ts_payload(start: int, size: int) -> Iterator[int]:
    """Yields the bytes of the 188-byte packets from `start` on that hold nothing but coded video."""
    for offset in range(start, start + size):
        if (offset - start) % _TS_PACKET_BYTES >= _TS_HEADERS_BYTES:
            yield offset
