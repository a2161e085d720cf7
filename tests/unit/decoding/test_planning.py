"""What is decoded: no wanted frame is left out, and little else is fed."""

from collections.abc import Sequence
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.config import Sampling
from stream.decoding.planning import (
    MAX_HELD_BYTES,
    MAX_HELD_PACKETS,
    REFRESH,
    GopPlanner,
    Part,
    UnusableTimes,
)
from stream.decoding.sampling import Sampler, Timeline

ALL = Sampling(mode="all")


@dataclass(frozen=True, eq=False)
class Packet:
    """A coded frame; times are in seconds."""

    pts: int | None
    is_keyframe: bool = False
    duration: int | None = 1
    is_discard: bool = False
    size: int = 100
    opaque: object = None


def packets(text: str) -> list[Packet]:
    """Reads packets in decode order: `K0 2 1` is a keyframe at 0 and frames at 2 and 1; `!` is not shown."""
    return [
        Packet(int(word.strip("K!")), is_keyframe="K" in word, is_discard="!" in word)
        for word in text.split()
    ]


def planner(sampling: Sampling) -> GopPlanner[Packet]:
    return GopPlanner(Sampler(sampling), Timeline(1.0, frame_s=1.0))


def plan(stream: Sequence[Packet], sampling: Sampling) -> list[Part[Packet]]:
    plans = planner(sampling)
    parts = [part for packet in stream for part in plans.push(packet)]
    return parts + plans.finish()


def fed(parts: Sequence[Part[Packet]]) -> list[list[int | None]]:
    return [[packet.pts for packet in part.packets] for part in parts]


def wanted(parts: Sequence[Part[Packet]]) -> list[list[int]]:
    return [list(part.wanted) for part in parts]


def test_a_gop_is_one_part() -> None:
    parts = plan(packets("K0 1 2 K3 4 5"), ALL)
    assert fed(parts) == [[0, 1, 2], [3, 4, 5]]
    assert wanted(parts) == [[0, 1, 2], [3, 4, 5]]
    assert [(part.first, part.last, part.leading) for part in parts] == [(True, True, 0)] * 2


def test_a_gop_that_holds_nothing_wanted_is_not_decoded() -> None:
    assert fed(plan(packets("K0 1 K2 3 K4 5 K6 7"), Sampling(every=4.0))) == [[0], [4]]


def test_a_gop_is_decoded_up_to_the_last_wanted_frame_in_decode_order() -> None:
    parts = plan(packets("K0 3 1 2 6 4 5 K7"), Sampling(every=5.0))
    assert fed(parts) == [[0, 3, 1, 2, 6, 4, 5]]
    assert wanted(parts) == [[0, 5]]


def test_what_follows_the_last_wanted_frame_is_not_fed() -> None:
    assert fed(plan(packets("K0 3 1 2 6 4 5 K7 8"), Sampling(mode="nth", every=3))) == [[0, 3, 1, 2, 6]]


def test_wanted_frames_are_in_order_of_presentation() -> None:
    assert wanted(plan(packets("K0 4 2 1 3"), ALL)) == [[0, 1, 2, 3, 4]]


def test_frames_shown_before_a_keyframe_count_with_the_gop_before_it() -> None:
    parts = plan(packets("K0 1 2 K5 3 4 6 7"), ALL)
    assert wanted(parts) == [[0, 1, 2, 3, 4], [5, 6, 7]]
    assert fed(parts) == [[0, 1, 2, 5, 3, 4], [5, 3, 4, 6, 7]]
    assert [part.leading for part in parts] == [0, 2]


def test_the_next_keyframe_is_fed_only_to_get_at_a_wanted_leading_frame() -> None:
    parts = plan(packets("K0 1 2 K5 3 4 6 7"), Sampling(mode="nth", every=4))
    assert fed(parts) == [[0, 1, 2, 5, 3, 4]]
    assert wanted(parts) == [[0, 4]]


def test_the_next_keyframe_is_not_fed_where_no_leading_frame_is_wanted() -> None:
    assert fed(plan(packets("K0 1 2 K5 3 4 6 7"), Sampling(mode="nth", every=5))) == [[0], [5]]


def test_frames_that_lead_the_first_keyframe_are_not_shown() -> None:
    parts = plan(packets("K2 0 1 3"), ALL)
    assert wanted(parts) == [[2, 3]]
    assert parts[0].leading == 2


def test_frames_left_out_are_counted_over_gops() -> None:
    parts = plan(packets("K0 1 2 K3 4 5 K6 7 8"), Sampling(every=4.0))
    found = [want for part in parts for want in part.wanted.values()]
    assert [(want.pts, want.frames_between) for want in found] == [(0, 0), (4, 3), (8, 3)]


def test_every_frame_is_counted_whether_decoded_or_not() -> None:
    plans = planner(Sampling(every=100.0))
    for packet in packets("K0 1 2 K3 4 5 K6"):
        plans.push(packet)
    plans.finish()
    assert plans.frames_seen == 7


def test_a_frame_that_is_not_shown_is_fed_and_not_counted() -> None:
    parts = plan(packets("K0! 1! 2 3"), ALL)
    assert fed(parts) == [[0, 1, 2, 3]]
    assert [(want.pts, want.media_time_s) for want in parts[0].wanted.values()] == [(2, 0.0), (3, 1.0)]


def test_the_first_frame_shown_stands_for_a_keyframe_that_is_not() -> None:
    assert wanted(plan(packets("K0! 1! 2 3 K4 5"), Sampling(mode="keyframe"))) == [[2], [4]]


def test_a_timeline_that_breaks_off_starts_an_epoch_and_goes_on_in_media_time() -> None:
    parts = plan(packets("K100 101 102 K10 11 12"), ALL)
    found = [want for part in parts for want in part.wanted.values()]
    assert [(want.pts, want.epoch, want.media_time_s) for want in found] == [
        (100, 0, 0.0),
        (101, 0, 1.0),
        (102, 0, 2.0),
        (10, 1, 3.0),
        (11, 1, 4.0),
        (12, 1, 5.0),
    ]


def test_the_same_pts_in_two_epochs_is_two_frames() -> None:
    parts = plan(packets("K0 1 K0 1"), ALL)
    assert wanted(parts) == [[0, 1], [0, 1]]
    assert [want.epoch for part in parts for want in part.wanted.values()] == [0, 0, 1, 1]


def test_a_long_gop_is_cut_into_parts_that_go_on() -> None:
    length = 2 * MAX_HELD_PACKETS
    parts = plan(packets("K0 " + " ".join(map(str, range(1, length)))), ALL)

    assert [part.first for part in parts] == [True] + [False] * (len(parts) - 1)
    assert [part.last for part in parts] == [False] * (len(parts) - 1) + [True]
    assert [pts for part in fed(parts) for pts in part] == list(range(length))
    assert [pts for part in wanted(parts) for pts in part] == list(range(length))


def test_a_gop_of_many_bytes_is_cut() -> None:
    stream = [Packet(pts, is_keyframe=pts == 0, size=MAX_HELD_BYTES // 32) for pts in range(100)]
    parts = plan(stream, ALL)
    assert len(parts) > 1
    assert [pts for part in wanted(parts) for pts in part] == list(range(100))


def test_a_gop_of_few_and_very_large_frames_is_planned() -> None:
    stream = [Packet(pts, is_keyframe=pts == 0, size=MAX_HELD_BYTES // 2) for pts in range(6)]
    assert [pts for part in wanted(plan(stream, ALL)) for pts in part] == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    "stream",
    [
        [Packet(0, is_keyframe=True), Packet(1), Packet(None), Packet(3)],
        [Packet(0, is_keyframe=True), Packet(1), Packet(None, is_keyframe=True), Packet(3)],
        [Packet(0, is_keyframe=True), Packet(1), Packet(1), Packet(3, is_keyframe=True), Packet(4)],
        [Packet(None, is_keyframe=True), Packet(None)],
    ],
    ids=["without", "keyframe_without", "twice", "none_at_all"],
)
def test_nothing_is_lost_where_times_cannot_be_used(stream: list[Packet]) -> None:
    plans = planner(ALL)
    planned: list[Packet] = []
    left: list[Packet] = []
    for index, packet in enumerate(stream):
        try:
            planned += [one for part in plans.push(packet) for one in part.packets]
        except UnusableTimes:
            held = plans.pending()
            left = [*held, *([] if packet in held else [packet]), *stream[index + 1 :]]
            break
    else:
        pytest.fail("the times were used")
    assert planned + left == stream


def test_a_jump_far_back_without_a_keyframe_makes_times_unusable() -> None:
    plans = planner(ALL)
    for packet in packets("K100 " + " ".join(map(str, range(101, 140)))):
        plans.push(packet)
    with pytest.raises(UnusableTimes):
        plans.push(Packet(50))


@st.composite
def gop_structures(draw: st.DrawFn) -> list[Packet]:
    """Streams of GOPs with mini-GOPs of B-frames, nested (pyramids) or not, closed or open."""
    stream, shown = [Packet(0, is_keyframe=True)], 1
    for _ in range(draw(st.integers(1, 6))):
        for _ in range(draw(st.integers(0, 6))):
            mini = draw(st.integers(1, 8))
            stream.append(Packet(shown + mini - 1))
            stream += _between(draw, shown, shown + mini - 1)
            shown += mini
        led_by = draw(st.integers(0, 3))
        stream.append(Packet(shown + led_by, is_keyframe=True))
        stream += _between(draw, shown, shown + led_by)
        shown += led_by + 1
    return stream


def _between(draw: st.DrawFn, start: int, end: int) -> list[Packet]:
    if start >= end:
        return []
    middle = (start + end) // 2 if draw(st.booleans()) else start
    return [Packet(middle), *_between(draw, start, middle), *_between(draw, middle + 1, end)]


SAMPLINGS = st.one_of(
    st.builds(Sampling, every=st.sampled_from([0.5, 1.0, 1.7, 3.0, 10.0, 33.0])),
    st.builds(Sampling, mode=st.just("nth"), every=st.integers(1, 20)),
    st.sampled_from([ALL, Sampling(mode="keyframe")]),
)


@given(gop_structures(), SAMPLINGS)
def test_what_is_wanted_is_what_sampling_takes_of_all_frames(
    stream: list[Packet], sampling: Sampling
) -> None:
    sampler = Sampler(sampling)
    in_order = sorted(stream, key=lambda packet: packet.pts or 0)
    taken = [
        packet.pts
        for packet in in_order
        if sampler.keep(float(packet.pts or 0), is_keyframe=packet.is_keyframe)
    ]

    parts = plan(stream, sampling)

    assert [pts for part in parts for pts in part.wanted] == taken


@given(gop_structures(), SAMPLINGS)
def test_what_is_wanted_of_a_part_is_among_its_packets(stream: list[Packet], sampling: Sampling) -> None:
    for part in plan(stream, sampling):
        assert set(part.wanted) <= {packet.pts for packet in part.packets}
        assert part.packets[0].is_keyframe
        assert part.packets[-1].pts in part.wanted


@given(gop_structures(), SAMPLINGS)
def test_frames_left_out_and_taken_add_up(stream: list[Packet], sampling: Sampling) -> None:
    found = [want for part in plan(stream, sampling) for want in part.wanted.values()]
    positions = [
        sum(want.frames_between + 1 for want in found[: index + 1]) - 1 for index in range(len(found))
    ]
    assert positions == [want.pts for want in found]


def test_a_refreshed_picture_within_a_gop_counts_as_a_keyframe_to_sampling() -> None:
    planner: GopPlanner[Packet] = GopPlanner(Sampler(Sampling(mode="keyframe")), Timeline(1.0, 1.0))
    for packet in (Packet(0, is_keyframe=True), Packet(1), Packet(2, opaque=REFRESH), Packet(3)):
        planner.push(packet)
    (part,) = planner.finish()

    assert sorted(part.wanted) == [0, 2]
    assert len(part.packets) == 3
