"""The test card's scores, by open_nsfw with the preprocessing of its reference code, after lossy coding."""

from collections.abc import Callable
from pathlib import Path

import av
import pytest

from stream.testcard import ALERT_SPANS, Picture, write_test_card

RATE = 4
SAMPLE_EVERY_S = 0.5


def _scores(path: Path, classify: Callable[[Picture], float]) -> tuple[list[float], list[float]]:
    """Returns the scores of every half second in the alert spans, and of those outside."""
    alert, quiet = [], []
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            if frame.time % SAMPLE_EVERY_S > 1e-6:
                continue
            inside = any(start_s <= frame.time < end_s for start_s, end_s in ALERT_SPANS)
            (alert if inside else quiet).append(classify(frame.to_ndarray(format="rgb24")))
    return alert, quiet


@pytest.mark.slow
@pytest.mark.parametrize("codec", ["libx264", "libx265"])
@pytest.mark.parametrize(
    ("width", "height"), [(640, 360), (1280, 720), (1920, 1080), (960, 720), (720, 1280)]
)
def test_scores_hold_at_crf_28(
    tmp_path: Path, codec: str, width: int, height: int, reference_open_nsfw: Callable[[Picture], float]
) -> None:
    path = tmp_path / "card.mp4"
    write_test_card(path, width=width, height=height, rate=RATE, codec=codec, crf=28)
    alert, quiet = _scores(path, reference_open_nsfw)
    assert (len(alert), len(quiet)) == (22, 38)
    assert min(alert) > 0.9
    assert max(quiet) < 0.1
