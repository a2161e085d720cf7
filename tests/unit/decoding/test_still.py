"""Stills and animations as Pillow reads them."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from stream.decoding.resizing import pillow_view
from stream.decoding.still import is_picture, open_picture, pictures
from stream.errors import SourceError
from stream.frames import ViewSpec
from tests.support import bombs, damage, stills
from tests.support.picture import CENTRE_224_OF_256, read_number

VIEW = ViewSpec(256, 256, 224, 224)


def shown(path: Path) -> list[tuple[int | None, int, int]]:
    """Number, time in ms and duration in ms of each picture."""
    with path.open("rb") as file:
        return [
            (read_number(np.asarray(picture.image)), picture.shown_at_ms, picture.lasts_ms)
            for picture in pictures(open_picture(file, 10**8))
        ]


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".bmp", ".tiff", ".gif", ".avif"])
def test_a_picture_is_known_by_its_first_bytes(tmp_path: Path, suffix: str) -> None:
    path = bombs.pixel(tmp_path / f"pixel{suffix}")
    assert is_picture(path.read_bytes()[:16])


@pytest.mark.parametrize(
    "head", [b"", b"RIFF\x00\x00\x00\x00AVI LIST", b"\x00\x00\x00\x20ftypisom", b"\x1a\x45\xdf\xa3", b"GIF"]
)
def test_what_is_no_picture_is_left_to_ffmpeg(head: bytes) -> None:
    assert not is_picture(head)


@pytest.mark.parametrize("mode", ["RGB", "L", "P", "RGBA", "LA", "1", "I;16"])
def test_a_picture_of_any_mode_comes_out_in_rgb(tmp_path: Path, mode: str) -> None:
    path = stills.still(tmp_path / "still.png", mode=mode)
    with path.open("rb") as file:
        (picture,) = pictures(open_picture(file, 10**8))
    assert picture.image.mode == "RGB"
    assert read_number(np.asarray(picture.image)) == 7


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_picture_is_turned_as_its_exif_says(tmp_path: Path, orientation: int) -> None:
    assert shown(stills.jpeg_turned(tmp_path / "turned.jpg", orientation)) == [(7, 0, 0)]


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".png"])
def test_an_animation_is_shown_picture_by_picture(tmp_path: Path, suffix: str) -> None:
    path = stills.animation(tmp_path / f"animation{suffix}", numbers=(3, 5, 8), frame_ms=120)
    assert shown(path) == [(3, 0, 120), (5, 120, 120), (8, 240, 120)]


def test_a_picture_that_gives_no_duration_lasts_as_in_browsers(tmp_path: Path) -> None:
    path = stills.animation(tmp_path / "animation.gif", numbers=(3, 5), frame_ms=0)
    assert shown(path) == [(3, 0, 100), (5, 100, 100)]


def test_a_picture_that_is_too_large_is_refused_by_its_header(tmp_path: Path) -> None:
    path = bombs.huge_png(tmp_path / "huge.png")
    with path.open("rb") as file, pytest.raises(SourceError, match="65535x65535") as refused:
        open_picture(file, 64_000_000)
    assert refused.value.code == "too_large"


def test_a_picture_that_is_none_is_refused() -> None:
    with pytest.raises(SourceError) as refused:
        open_picture(io.BytesIO(b"\xff\xd8\xff" + bytes(100)), 10**8)
    assert refused.value.code == "not_media"


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".bmp", ".webp", ".tiff"])
def test_a_cut_picture_is_not_filled_up(tmp_path: Path, suffix: str) -> None:
    path = damage.cut(stills.still(tmp_path / f"whole{suffix}"), tmp_path / f"cut{suffix}")
    with pytest.raises(SourceError) as refused:
        shown(path)
    assert refused.value.code in {"undecodable", "not_media"}


def test_a_view_is_stretched_and_cut_out_at_the_centre(tmp_path: Path) -> None:
    with Image.open(stills.still(tmp_path / "still.png", number=4321, size=(640, 360))) as image:
        view = pillow_view(image, VIEW)
    assert (view.shape, view.dtype, view.flags.c_contiguous) == ((224, 224, 3), np.uint8, True)
    assert read_number(view, shown=(CENTRE_224_OF_256,)) == 4321


def test_a_view_is_red_above_and_blue_below(tmp_path: Path) -> None:
    with Image.open(stills.still(tmp_path / "still.png")) as image:
        view = pillow_view(image, VIEW)
    assert view[4, 112].tolist() == [200, 40, 40]
    assert view[-4, 112].tolist() == [40, 40, 200]


def test_views_come_in_the_order_asked_for() -> None:
    specs = [ViewSpec(8, 8, 4, 2), ViewSpec(8, 8, 8, 8, "area"), ViewSpec(8, 8, 6, 6, "bicubic")]
    views = [pillow_view(Image.new("RGB", (16, 16)), spec) for spec in specs]
    assert [view.shape for view in views] == [(2, 4, 3), (8, 8, 3), (6, 6, 3)]
