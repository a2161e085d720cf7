from pathlib import Path

import av
import numpy as np
import pytest

from stream.testcard import ALERT_SPANS, DURATION_S, alerts_at, draw_frame, write_test_card

SHAPES = [(640, 360), (480, 360), (360, 640)]


def test_spans_are_whole_seconds_in_order_with_quiet_before_between_and_after() -> None:
    edges = [0.0, *(edge for span in ALERT_SPANS for edge in span), DURATION_S]
    assert edges == sorted(set(edges))
    assert all(edge == int(edge) for edge in edges)


@pytest.mark.parametrize(
    ("t_s", "alerts"),
    [(0.0, False), (7.99, False), (8.0, True), (13.99, True), (14.0, False), (20.0, True), (25.0, False)],
)
def test_a_span_holds_its_start_and_not_its_end(t_s: float, alerts: bool) -> None:
    assert alerts_at(t_s) is alerts


@pytest.mark.parametrize(("width", "height"), SHAPES)
def test_a_frame_has_the_size_asked_for(width: int, height: int) -> None:
    frame = draw_frame(3.0, width, height)
    assert frame.shape == (height, width, 3)
    assert frame.dtype == np.uint8


def test_a_frame_is_the_same_each_time_it_is_drawn() -> None:
    assert np.array_equal(draw_frame(9.4, 320, 180), draw_frame(9.4, 320, 180))


@pytest.mark.parametrize("t_s", [3.0, 9.0])
def test_the_pattern_moves(t_s: float) -> None:
    middle = slice(60, 120)
    now, later = draw_frame(t_s, 320, 180)[middle], draw_frame(t_s + 1, 320, 180)[middle]
    assert not np.array_equal(now, later)


@pytest.mark.parametrize(("width", "height"), SHAPES)
def test_the_seconds_are_written_in_the_picture(width: int, height: int) -> None:
    """The band at the top changes with every tenth of a second, and only then."""
    band = slice(0, 36)
    first, same, next_tenth = (draw_frame(t_s, width, height)[band] for t_s in (9.30, 9.36, 9.40))
    assert np.array_equal(first, same)
    assert not np.array_equal(first, next_tenth)


@pytest.mark.parametrize(("width", "height"), SHAPES)
def test_the_expectation_is_written_in_the_picture(width: int, height: int) -> None:
    """The line above the timeline differs between the spans and stays the same within one."""
    line = slice(height - 38, height - 9)
    quiet, still_quiet, alert = (draw_frame(t_s, width, height)[line] for t_s in (3.0, 5.5, 9.0))
    assert np.array_equal(quiet, still_quiet)
    assert not np.array_equal(quiet, alert)


def test_patterns_look_alike_at_every_aspect_ratio() -> None:
    """Stretched to one square, the middle of a wide and of a tall card are the same picture."""
    wide, tall = draw_frame(9.0, 640, 360), draw_frame(9.0, 360, 640)
    wide_square, tall_square = wide[90:270:18, 160:480:32], tall[160:480:32, 90:270:18]
    assert np.abs(wide_square.astype(int) - tall_square).max() <= 6


@pytest.mark.parametrize(("width", "height"), [(320, 180), (180, 320)])
def test_the_written_card_has_its_size_rate_and_duration(tmp_path: Path, width: int, height: int) -> None:
    path = tmp_path / "card.mp4"
    spans = write_test_card(path, width=width, height=height, rate=5)
    with av.open(str(path)) as container:
        frames = [(frame.time, frame.width, frame.height) for frame in container.decode(video=0)]
        assert container.duration == pytest.approx(DURATION_S * av.time_base)
    assert spans == ALERT_SPANS
    assert frames == [(pytest.approx(index / 5), width, height) for index in range(150)]


def test_the_written_card_shows_its_pattern_at_the_times_of_its_spans(tmp_path: Path) -> None:
    path = tmp_path / "card.mp4"
    write_test_card(path, width=320, height=180, rate=5)
    with av.open(str(path)) as container:
        frames = [(frame.time, frame.to_ndarray(format="rgb24")) for frame in container.decode(video=0)]
    for t_s, decoded in frames:
        drawn = draw_frame(t_s, 320, 180)
        assert np.abs(decoded[30:150].astype(int) - drawn[30:150]).mean() < 4, t_s


def test_a_card_that_cannot_be_written_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="libnone"):
        write_test_card(tmp_path / "card.mp4", width=320, height=180, rate=5, codec="libnone")
    assert list(tmp_path.iterdir()) == []
