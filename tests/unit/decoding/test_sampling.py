"""Which frames are taken, and what media time a pts is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.config import Sampling
from stream.decoding.sampling import Sampler, Timeline, Unwrapper


def taken(sampling: Sampling, times_s: list[float], keyframes: frozenset[int] = frozenset()) -> list[int]:
    sampler = Sampler(sampling)
    return [
        index for index, time_s in enumerate(times_s) if sampler.keep(time_s, is_keyframe=index in keyframes)
    ]


def test_the_first_frame_at_or_after_each_multiple_is_taken() -> None:
    assert taken(Sampling(every=1.0), [0.0, 0.4, 0.8, 1.2, 1.6, 2.0, 2.4]) == [0, 3, 5]


def test_a_frame_that_passes_several_multiples_is_taken_once() -> None:
    assert taken(Sampling(every=1.0), [0.0, 3.5, 3.9, 4.0]) == [0, 1, 3]


def test_the_grid_does_not_move_with_late_frames() -> None:
    assert taken(Sampling(every=1.0), [0.0, 1.9, 2.0, 2.9, 3.0]) == [0, 1, 2, 4]


def test_a_time_that_was_rounded_down_to_a_millisecond_still_counts() -> None:
    assert taken(Sampling(every=1.0), [0.0, 0.9991, 1.1]) == [0, 1]


def test_a_stream_that_starts_late_has_its_first_frame_taken() -> None:
    assert taken(Sampling(every=1.0), [0.7, 0.9, 1.0]) == [0, 2]


def test_nth_counts_frames() -> None:
    assert taken(Sampling(mode="nth", every=3), [0.0, 0.1, 5.0, 5.1, 5.2, 9.0, 9.1]) == [0, 3, 6]


def test_keyframe_takes_keyframes() -> None:
    assert taken(Sampling(mode="keyframe"), [0.0, 0.1, 0.2, 0.3], frozenset({0, 2})) == [0, 2]


def test_all_takes_everything() -> None:
    assert taken(Sampling(mode="all"), [0.0, 0.0, 0.001]) == [0, 1, 2]


def test_the_next_time_is_known_where_sampling_goes_by_time() -> None:
    sampler = Sampler(Sampling(every=2.0))
    sampler.keep(4.5, is_keyframe=False)
    assert sampler.next_time_s == 6.0


def test_the_next_time_is_0_where_sampling_does_not_go_by_time() -> None:
    sampler = Sampler(Sampling(mode="nth", every=5))
    sampler.keep(4.5, is_keyframe=False)
    assert sampler.next_time_s == 0.0


@given(
    st.sampled_from([0.04, 0.1, 1 / 3, 1.0, 2.5]),
    st.lists(st.floats(0.0, 3.0), min_size=1, max_size=200),
)
def test_no_two_samples_share_a_multiple_and_none_is_passed_over(every: float, gaps_s: list[float]) -> None:
    times_s = [sum(gaps_s[: index + 1]) for index in range(len(gaps_s))]
    slots = [int((times_s[index] + min(1e-3, every / 100)) / every + 1e-9) for index in range(len(times_s))]
    chosen = taken(Sampling(every=every), times_s)
    assert chosen[0] == 0
    assert chosen == sorted(set(chosen))
    near_the_edge = any(abs(time_s / every - round(time_s / every)) < 0.02 for time_s in times_s)
    if not near_the_edge:
        firsts = [index for index in range(len(slots)) if index == 0 or slots[index] > slots[index - 1]]
        assert chosen == firsts


def test_media_time_counts_from_the_first_frame() -> None:
    timeline = Timeline(0.001, frame_s=0.04)
    assert [timeline.show(pts, 40) for pts in (3_600_000, 3_600_040, 3_601_000)] == [
        0.0,
        pytest.approx(0.04),
        pytest.approx(1.0),
    ]


def test_the_end_is_that_of_the_last_frame() -> None:
    timeline = Timeline(0.001, frame_s=0.04)
    timeline.show(0, 40)
    timeline.show(40, 500)
    assert timeline.end_s == pytest.approx(0.54)


def test_a_frame_that_says_no_duration_lasts_as_long_as_the_others() -> None:
    timeline = Timeline(0.001, frame_s=0.04)
    timeline.show(0, None)
    timeline.show(100, 0)
    assert timeline.end_s == pytest.approx(0.14)


def test_a_frame_is_over_when_the_next_one_is_shown() -> None:
    """MP4 gives the time to the next frame in decode order, which with B-frames is not the next one shown."""
    timeline = Timeline(0.001, frame_s=0.04)
    timeline.show(0, 3000)
    timeline.show(40, 40)
    assert timeline.end_s == pytest.approx(0.08)


def test_a_new_epoch_goes_on_where_the_last_one_ended() -> None:
    timeline = Timeline(0.001, frame_s=0.04)
    timeline.show(100_000, 40)
    timeline.start_epoch()
    assert timeline.show(10_000, 40) == pytest.approx(0.04)
    assert timeline.show(10_040, 40) == pytest.approx(0.08)
    assert timeline.epoch == 1


def test_a_pts_before_the_first_one_is_shown_at_the_start() -> None:
    timeline = Timeline(0.001, frame_s=0.04)
    timeline.show(1000, 40)
    assert timeline.show(900, 40) == 0.0


def test_the_pts_of_a_media_time_is_that_of_its_epoch() -> None:
    timeline = Timeline(0.001, frame_s=0.04)
    assert timeline.pts_at(1.0) is None
    timeline.show(5000, 1000)
    assert timeline.pts_at(2.0) == 7000
    timeline.start_epoch()
    timeline.show(0, 1000)
    assert timeline.pts_at(3.0) == 2000


def test_a_wrap_is_undone() -> None:
    unwrapper = Unwrapper(33)
    assert [unwrapper.unwrap(raw) for raw in (2**33 - 3600, 0, 3600)] == [2**33 - 3600, 2**33, 2**33 + 3600]


def test_a_step_back_is_not_taken_for_a_wrap() -> None:
    unwrapper = Unwrapper(33)
    assert [unwrapper.unwrap(raw) for raw in (9_000_000, 900_000, 903_600)] == [9_000_000, 900_000, 903_600]


def test_reordered_frames_around_a_wrap_stay_in_order() -> None:
    unwrapper = Unwrapper(33)
    assert [unwrapper.unwrap(raw) for raw in (2**33 - 1, 2, 2**33 - 2, 3)] == [
        2**33 - 1,
        2**33 + 2,
        2**33 - 2,
        2**33 + 3,
    ]


@pytest.mark.parametrize(("lasts_s", "taken"), [(0.04, False), (0.98, False), (1.0, True), (30.0, True)])
def test_a_frame_that_stays_on_display_for_an_interval_is_taken(lasts_s: float, taken: bool) -> None:
    sampler = Sampler(Sampling(every=1.0))
    sampler.keep(0.0, is_keyframe=True)

    assert sampler.keep(0.96, is_keyframe=False, lasts_s=lasts_s) is taken
    assert sampler.keep(0.96 + lasts_s, is_keyframe=False) is (0.96 + lasts_s >= 1.0)
