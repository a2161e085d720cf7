from pathlib import Path

import av
import numpy as np
import pytest

from stream.decoding.writer import Picture, write_video
from stream.errors import OutputError

COLOURS = [(200, 30, 40), (30, 180, 60), (20, 40, 220), (255, 255, 255)]


def _bars() -> Picture:
    picture = np.zeros((64, 256, 3), np.uint8)
    for index, colour in enumerate(COLOURS):
        picture[:, 64 * index : 64 * (index + 1)] = colour
    return picture


@pytest.mark.parametrize("codec", ["libx264", "libx265"])
def test_colours_survive_and_are_tagged(tmp_path: Path, codec: str) -> None:
    path = tmp_path / "bars.mp4"
    assert write_video(path, [_bars()] * 3, rate=25, codec=codec) == 3
    with av.open(str(path)) as container:
        frame = next(container.decode(video=0))
    decoded = frame.to_ndarray(format="rgb24")[32, 32::64]
    assert np.abs(decoded.astype(int) - COLOURS).max() <= 6
    assert (frame.colorspace, frame.color_range) == (1, 1)


def test_keyframes_come_at_least_every_gop(tmp_path: Path) -> None:
    path = tmp_path / "bars.mp4"
    write_video(path, [_bars()] * 20, rate=10, gop_s=0.5)
    with av.open(str(path)) as container:
        keyframes = [frame.time for frame in container.decode(video=0) if frame.key_frame]
    assert keyframes == pytest.approx([0.0, 0.5, 1.0, 1.5])


def test_the_index_of_an_mp4_comes_first(tmp_path: Path) -> None:
    path = tmp_path / "bars.mp4"
    write_video(path, [_bars()] * 3, rate=25)
    written = path.read_bytes()
    assert written.index(b"moov") < written.index(b"mdat")


def test_a_file_is_replaced_only_by_a_whole_one(tmp_path: Path) -> None:
    path = tmp_path / "bars.mp4"
    path.write_bytes(b"before")
    with pytest.raises(ValueError, match=r"frame 2 has shape \(32, 256, 3\)"):
        write_video(path, [_bars(), _bars()[:32]], rate=25)
    assert [file.name for file in tmp_path.iterdir()] == ["bars.mp4"]
    assert path.read_bytes() == b"before"


def test_no_frames_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no frames"):
        write_video(tmp_path / "empty.mp4", [], rate=25)


def test_a_folder_that_is_not_there_is_an_output_error(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="absent"):
        write_video(tmp_path / "absent" / "bars.mp4", [_bars()], rate=25)


def test_an_odd_side_is_an_output_error(tmp_path: Path) -> None:
    with pytest.raises(OutputError):
        write_video(tmp_path / "odd.mp4", [_bars()[:, :255]], rate=25)
