import pytest

from stream.timeline import Timeline


def test_every_sample_of_a_short_video_is_kept_by_time() -> None:
    timeline = Timeline()
    for point in [(2.0, 0.3), (0.0, 0.1), (1.0, 0.2)]:
        timeline.add(*point)
    assert timeline.points == [(0.0, 0.1), (1.0, 0.2), (2.0, 0.3)]


@pytest.mark.parametrize("samples", [2000, 2001, 100_000])
def test_points_never_exceed_the_buckets(samples: int) -> None:
    timeline = Timeline(max_buckets=2000)
    for number in range(samples):
        timeline.add(number / 30, 0.1)
    assert 1000 <= len(timeline.points) <= 2000


def test_a_single_high_sample_survives_with_its_own_time() -> None:
    timeline = Timeline(max_buckets=10)
    for second in range(1000):
        timeline.add(float(second), 0.9 if second == 777 else 0.1)
    assert (777.0, 0.9) in timeline.points
    assert timeline.peak == (777.0, 0.9)


def test_the_width_doubles_only_as_far_as_needed() -> None:
    timeline = Timeline(max_buckets=10)
    for second in range(11):
        timeline.add(float(second), 0.1)
    assert timeline.width_s == 2.0


def test_of_equal_scores_the_first_is_the_peak() -> None:
    timeline = Timeline()
    timeline.add(1.0, 0.5)
    timeline.add(2.0, 0.5)
    assert timeline.peak == (1.0, 0.5)


def test_without_samples_there_is_no_peak() -> None:
    assert Timeline().peak is None
