"""Views of decoded frames: upright, of the asked size, with the right colours."""

import av
import numpy as np
import pytest

from stream.decoding.views import Viewer, upright_size
from stream.frames import ViewSpec
from tests.support.media import Picture, Rotation, frame_picture, write_clip
from tests.support.picture import CENTRE_224_OF_256, WHOLE, read_number

WHOLE_256 = ViewSpec(256, 256, 256, 256)
CENTRE = ViewSpec(256, 256, 224, 224)


def frame_of(picture: Picture, pix_fmt: str = "yuv420p") -> av.VideoFrame:
    return av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format=pix_fmt)


@pytest.mark.parametrize(
    "pix_fmt", ["yuv420p", "yuvj420p", "yuv422p", "yuv444p", "yuv420p10le", "nv12", "gray"]
)
def test_the_number_is_readable_whatever_the_pixel_format(pix_fmt: str) -> None:
    (view,) = Viewer([CENTRE]).views(frame_of(frame_picture(4321, 320, 180), pix_fmt))
    assert read_number(view, shown=(CENTRE_224_OF_256,)) == 4321


def test_a_view_has_the_shape_of_its_spec_and_is_contiguous() -> None:
    views = Viewer([CENTRE, ViewSpec(64, 48, 32, 16)]).views(frame_of(frame_picture(7, 320, 180)))
    assert [(view.shape, view.dtype, view.flags.c_contiguous) for view in views] == [
        ((224, 224, 3), np.uint8, True),
        ((16, 32, 3), np.uint8, True),
    ]


def test_the_crop_is_the_middle_of_the_stretched_frame() -> None:
    frame = frame_of(frame_picture(7, 320, 180))
    whole, centre = Viewer([WHOLE_256, CENTRE]).views(frame)
    np.testing.assert_array_equal(centre, whole[16:240, 16:240])


def test_red_is_above_and_blue_below() -> None:
    (view,) = Viewer([WHOLE_256]).views(frame_of(frame_picture(7, 320, 180), "yuv444p"))
    assert view[10, 128].tolist() == pytest.approx([200, 40, 40], abs=6)
    assert view[-10, 128].tolist() == pytest.approx([40, 40, 200], abs=6)


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic", "area"])
def test_every_interpolation_is_there(interpolation: str) -> None:
    spec = ViewSpec(128, 128, 128, 128, interpolation)  # type: ignore[arg-type]
    (view,) = Viewer([spec]).views(frame_of(frame_picture(99, 640, 360)))
    assert read_number(view, shown=(WHOLE,)) == 99


def test_a_viewer_follows_frames_whose_size_changes() -> None:
    viewer = Viewer([WHOLE_256])
    views = [
        viewer.views(frame_of(frame_picture(number, *size)))[0]
        for number, size in ((1, (320, 180)), (2, (480, 272)), (3, (64, 320)))
    ]
    assert [read_number(view, shown=(WHOLE,)) for view in views] == [1, 2, 3]


@pytest.mark.parametrize(
    ("rotation", "size"), [(0, (320, 180)), (90, (180, 320)), (180, (320, 180)), (270, (180, 320))]
)
def test_a_turned_frame_is_upright(
    tmp_path_factory: pytest.TempPathFactory, rotation: Rotation, size: tuple[int, int]
) -> None:
    facts = write_clip(tmp_path_factory.mktemp("clip") / "turned.mp4", frames=1, rotation=rotation)
    with av.open(str(facts.path)) as container:
        frame = next(container.decode(video=0))
    (view,) = Viewer([WHOLE_256]).views(frame)
    assert read_number(view, shown=(WHOLE,)) == 0
    assert upright_size(frame) == size


def test_a_turned_frame_is_stretched_to_the_size_of_the_upright_view(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    facts = write_clip(tmp_path_factory.mktemp("clip") / "turned.mp4", frames=1, rotation=90)
    with av.open(str(facts.path)) as container:
        frame = next(container.decode(video=0))
    (view,) = Viewer([ViewSpec(96, 192, 96, 192)]).views(frame)
    assert view.shape == (192, 96, 3)
    assert read_number(view, shown=(WHOLE,)) == 0
