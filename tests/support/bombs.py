"""Small files that ask for much: headers that promise enormous pictures, and pictures too small to be any.

FFmpeg refuses 16384x16384 and more by the header (`av_image_check_size2`), and decodes 16000x16000.
"""

import struct
import zlib
from pathlib import Path
from typing import Final

import av
from PIL import Image

from tests.support.media import write_clip

_START_CODE: Final = b"\x00\x00\x00\x01"
_SPS: Final = 7
_LEVEL_6_2: Final = 62
_VP9_SIZE_BIT: Final = 36
"""Where a key frame of profile 0 says its size: after flags (8), sync code (24), colour (4); VP9, 6.2."""


def pixel(path: Path) -> Path:
    """Writes a still of 1x1."""
    Image.new("RGB", (1, 1), (200, 40, 40)).save(path)
    return path


def pixel_clip(path: Path) -> Path:
    """Writes 3 frames of 1x1 in VP9 (.webm, .mkv), or of 2x2 in H.264 (.mp4)."""
    if path.suffix == ".mp4":
        return write_clip(path, frames=3, size=(2, 2)).path
    return write_clip(path, frames=3, size=(1, 1), codec="libvpx-vp9").path


def flat_still(path: Path, side_px: int = 16_000) -> Path:
    """Writes a whole black PNG (31 kB for 16000x16000, 1 bit a pixel) or JPEG (grey)."""
    Image.new("1" if path.suffix == ".png" else "L", (side_px, side_px)).save(path)
    return path


def huge_png(path: Path, side_px: int = 65_535) -> Path:
    """Writes a PNG of under 100 bytes whose header says `side_px` squared, with hardly a pixel behind it."""
    header = struct.pack(">IIBBBBB", side_px, side_px, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(bytes(64))), (b"IEND", b"")]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(_png_chunk(*chunk) for chunk in chunks))
    return path


def huge_jpeg(path: Path, side_px: int = 16_384) -> Path:
    """Writes a JPEG of under 1 kB whose header says `side_px` squared, at most 65535."""
    pixel(path)
    path.write_bytes(_jpeg_resized(path.read_bytes(), side_px))
    return path


def huge_mjpeg(path: Path, side_px: int = 16_384) -> Path:
    """Writes a video (.avi or .mkv) of one JPEG whose header says `side_px` squared."""
    write_clip(path, frames=1, size=(16, 16), codec="mjpeg", pix_fmt="yuvj420p")
    path.write_bytes(_jpeg_resized(path.read_bytes(), side_px))
    return path


def huge_vp9(path: Path, side_px: int = 16_000) -> Path:
    """Writes a WebM whose only frame's header says `side_px` squared; the container says 64x64."""
    write_clip(path, frames=1, size=(64, 64), codec="libvpx-vp9")
    with av.open(str(path)) as container:
        frame = bytes(next(container.demux(video=0)))
    bits = _bits(frame)
    size = f"{side_px - 1:016b}" * 2
    resized = _packed(bits[:_VP9_SIZE_BIT] + size + bits[_VP9_SIZE_BIT + len(size) :])
    path.write_bytes(path.read_bytes().replace(frame, resized))
    return path


def huge_h264(path: Path, side_px: int = 16_000, frames: int = 2) -> Path:
    """Writes a raw H.264 stream of 16x16 whose parameter set says `side_px` squared, a multiple of 16.

    FFmpeg returns frames of that size from its 800 bytes, and reports no error.
    """
    profile = {"profile": "baseline"}
    write_clip(path, frames=frames, size=(16, 16), options=profile)
    units = path.read_bytes().replace(_START_CODE, _START_CODE[1:]).split(_START_CODE[1:])[1:]
    resized = [_sps_resized(unit, side_px) if unit[0] & 31 == _SPS else unit for unit in units]
    path.write_bytes(b"".join(_START_CODE + unit for unit in resized))
    return path


def _png_chunk(kind: bytes, payload: bytes) -> bytes:
    return struct.pack(">I", len(payload)) + kind + payload + struct.pack(">I", zlib.crc32(kind + payload))


def _jpeg_resized(content: bytes, side_px: int) -> bytes:
    """Rewrites the size in the first baseline frame header (SOF0: length, precision, height, width)."""
    start = content.index(b"\xff\xc0") + 5
    return content[:start] + struct.pack(">HH", side_px, side_px) + content[start + 4 :]


def _sps_resized(unit: bytes, side_px: int) -> bytes:
    """Rewrites the size in a Baseline sequence parameter set (H.264, 7.3.2.1.1); drops cropping and VUI."""
    bits = _bits(unit.replace(b"\x00\x00\x03", b"\x00\x00"))
    position = 32
    for _ in range(4):  # seq_parameter_set_id, log2_max_frame_num, pic_order_cnt_type 2, max_num_ref_frames
        position = _after_exp_golomb(bits, position)
    before = bits[:24] + f"{_LEVEL_6_2:08b}" + bits[32 : position + 1]
    in_macroblocks = _exp_golomb(side_px // 16 - 1)
    frames_only, direct_8x8, no_cropping, no_vui, stop = "1", "1", "0", "0", "1"
    rewritten = _packed(before + in_macroblocks * 2 + frames_only + direct_8x8 + no_cropping + no_vui + stop)
    return _escaped(rewritten)


def _escaped(payload: bytes) -> bytes:
    """Inserts emulation prevention bytes (H.264, 7.4.1)."""
    escaped = bytearray()
    for byte in payload:
        if escaped[-2:] == b"\x00\x00" and byte <= 3:
            escaped.append(3)
        escaped.append(byte)
    return bytes(escaped)


def _after_exp_golomb(bits: str, position: int) -> int:
    zeros = bits.index("1", position) - position
    return position + 2 * zeros + 1


def _exp_golomb(number: int) -> str:
    code = f"{number + 1:b}"
    return "0" * (len(code) - 1) + code


def _bits(content: bytes) -> str:
    return "".join(f"{byte:08b}" for byte in content)


def _packed(bits: str) -> bytes:
    padded = bits + "0" * (-len(bits) % 8)
    return bytes(int(padded[start : start + 8], 2) for start in range(0, len(padded), 8))
