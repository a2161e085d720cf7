"""Still pictures, decoded by Pillow, as the models' reference implementations do.

FFmpeg's JPEG decoder rounds differently from libjpeg-turbo, and JPEG preprocessing amplifies that; with the
same library a still picture's view is the reference's to the bit. Animations (GIF, APNG, animated WebP) come
this way too: one picture after another with the durations that the file gives.
"""

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from PIL import Image, ImageOps, ImageSequence, UnidentifiedImageError

from stream.errors import SourceError

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF", "AVIF")
MAGIC = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"BM", b"II*\x00", b"MM\x00*", b"GIF87a", b"GIF89a")
DEFAULT_FRAME_MS = {"GIF": 100, "PNG": 100, "WEBP": 100, "AVIF": 100, "TIFF": 1000}
"""Formats of several pictures, and how long one is shown that gives no duration: as browsers do; a page of a
TIFF is taken to be read for a second."""

Image.MAX_IMAGE_PIXELS = None  # the size is checked here, before anything is decoded, with a clear message


@dataclass(frozen=True)
class Picture:
    """One upright RGB picture and when it is shown, in milliseconds."""

    image: Image.Image
    shown_at_ms: int
    lasts_ms: int


def is_picture(head: bytes) -> bool:
    """Returns whether the first bytes of a file are those of a picture that Pillow reads here."""
    if head.startswith(MAGIC):
        return True
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return True
    return head[4:12] in (b"ftypavif", b"ftypavis")


def open_picture(file: BinaryIO, max_pixels: int) -> Image.Image:
    """Opens a picture without decoding it.

    Raises:
        SourceError: It is no picture, is damaged, or is larger than `max_pixels`.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image = Image.open(file, formats=FORMATS)
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError) as error:
        raise SourceError("not_media", "a picture's first bytes, but not a readable picture") from error
    if image.width * image.height > max_pixels:
        raise SourceError(
            "too_large",
            f"a picture of {image.width}x{image.height} pixels, at most {max_pixels} are decoded "
            "(decode.max_pixels)",
        )
    return image


def pictures(image: Image.Image) -> Iterator[Picture]:
    """Yields the picture, or the pictures of an animation, upright and in RGB.

    Raises:
        SourceError: A picture cannot be decoded.
    """
    animated = getattr(image, "is_animated", False) and image.format in DEFAULT_FRAME_MS
    shown_at_ms = 0
    try:
        for frame in ImageSequence.Iterator(image) if animated else [image]:
            frame.load()  # only then is a frame's duration known (WebP)
            lasts_ms = (
                int(frame.info.get("duration") or DEFAULT_FRAME_MS[image.format or "GIF"]) if animated else 0
            )
            yield Picture(_upright_rgb(frame), shown_at_ms, lasts_ms)
            shown_at_ms += lasts_ms
    except (OSError, ValueError, SyntaxError, EOFError, IndexError) as error:
        raise SourceError("undecodable", f"the picture cannot be decoded: {error}") from error


def _upright_rgb(image: Image.Image) -> Image.Image:
    upright = ImageOps.exif_transpose(image)
    return upright if upright.mode == "RGB" else upright.convert("RGB")
