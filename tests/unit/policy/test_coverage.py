"""The ledger: literal marks in, literal seconds out."""

from typing import Any, Literal, TypeAlias

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.events import CoverageSpan
from stream.frames import StreamEnd
from stream.policy.coverage import MAX_SPANS, CoverageSlice, Ledger

Missed: TypeAlias = Literal["dropped", "undecodable"]


def ledger(stands_for_s: float = 1.0) -> Ledger:
    return Ledger("cam", stands_for_s)


def ended(
    end_s: float, declared_end_s: float | None = None, reason: str | None = None, code: str | None = None
) -> StreamEnd:
    return StreamEnd(end_s, end_s if declared_end_s is None else declared_end_s, 1, 1, reason, code)


def seconds(part: CoverageSlice) -> dict[str, Any]:
    """Seconds by cause, without the causes that have none."""
    causes = ("scored", "skipped", "dropped", "undecodable", "down")
    by_cause = {cause: getattr(part, f"{cause}_s") for cause in causes}
    return {cause: pytest.approx(spent_s, abs=1e-9) for cause, spent_s in by_cause.items() if spent_s}


def spans(part: CoverageSlice) -> list[tuple[float, float, str, str | None]]:
    return [(span.start_s, span.end_s, span.cause, span.reason) for span in part.spans]


def test_regular_samples_leave_nothing_out() -> None:
    book = ledger()
    for at_s in (0.0, 1.0, 2.0):
        book.scored(at_s, 24)
    book.finish(ended(3.0))

    whole = book.take()

    assert (whole.start_s, whole.end_s, whole.samples) == (0.0, 3.0, 3)
    assert seconds(whole) == {"scored": 3.0}
    assert whole.spans == ()


def test_late_sample_leaves_skipped_time_where_frames_were_left_out() -> None:
    book = ledger()
    book.scored(0.0, 0)
    book.scored(4.0, 99)

    assert seconds(book.totals) == {"scored": 1.0, "skipped": 3.0}
    assert spans(book.totals) == [(1.0, 4.0, "skipped", None)]


def test_picture_that_stays_on_display_is_scored_all_along() -> None:
    book = ledger()
    book.scored(0.0, 0)
    book.scored(30.0, 0)

    assert seconds(book.totals) == {"scored": 30.0}


def test_sample_less_than_half_a_frame_late_leaves_no_gap() -> None:
    book = ledger()
    book.scored(0.0, 0)
    book.scored(1.001, 29)

    assert seconds(book.totals) == {"scored": 1.001}


@pytest.mark.parametrize("cause", ["dropped", "undecodable"])
def test_missed_sample_counts_until_the_next_mark(cause: Missed) -> None:
    book = ledger()
    book.scored(0.0, 0)
    book.missed(1.0, cause, "seen", 24)
    book.scored(6.0, 120)

    assert seconds(book.totals) == {"scored": 1.0, cause: 5.0}
    assert spans(book.totals) == [(1.0, 6.0, cause, "seen")]
    assert book.totals.blind_s == 5.0


def test_sample_before_a_late_missed_one_stands_for_its_time_only() -> None:
    book = ledger()
    book.scored(0.0, 0)
    book.missed(3.0, "dropped", "queue full", 71)
    book.scored(4.0, 24)

    assert seconds(book.totals) == {"scored": 1.0, "skipped": 2.0, "dropped": 1.0}


def test_down_counts_until_the_next_mark() -> None:
    book = ledger()
    book.scored(0.0, 0)
    book.down(0.5, "connection lost")
    book.scored(9.0, 0)

    assert seconds(book.totals) == {"scored": 0.5, "down": 8.5}


def test_down_marked_again_settles_its_time() -> None:
    book = ledger()
    book.down(0.0, "connection refused")
    book.down(5.0, "connection timed out")
    book.down(10.0, "connection timed out")

    assert book.settled_s == 10.0
    assert spans(book.totals) == [(0.0, 10.0, "down", "connection refused")]


class TestBeforeTheFirstMark:
    def test_frames_left_out_are_skipped(self) -> None:
        book = ledger()
        book.scored(2.0, 48)

        assert spans(book.totals) == [(0.0, 2.0, "skipped", None)]

    def test_time_without_frames_is_undecodable(self) -> None:
        book = ledger()
        book.scored(2.0, 0)

        assert spans(book.totals) == [(0.0, 2.0, "undecodable", "nothing was read before the first sample")]

    def test_time_before_a_missed_sample_was_missed_with_it(self) -> None:
        book = ledger()
        book.missed(2.0, "undecodable", "no keyframe yet", 0)
        book.scored(3.0, 0)

        assert spans(book.totals) == [(0.0, 3.0, "undecodable", "no keyframe yet")]


class TestFinish:
    def test_last_sample_stands_for_its_time_only(self) -> None:
        book = ledger()
        book.scored(0.0, 0)
        book.finish(ended(3.0))

        assert seconds(book.totals) == {"scored": 1.0, "skipped": 2.0}

    def test_missed_sample_counts_to_the_end(self) -> None:
        book = ledger()
        book.scored(0.0, 0)
        book.missed(1.0, "undecodable", "bad data", 24)
        book.finish(ended(3.0))

        assert seconds(book.totals) == {"scored": 1.0, "undecodable": 2.0}

    def test_declared_time_that_was_not_there_is_undecodable(self) -> None:
        book = ledger()
        book.scored(0.0, 0)
        book.finish(ended(1.0, 10.0, "file ends early", "truncated"))

        assert seconds(book.totals) == {"scored": 1.0, "undecodable": 9.0}
        assert spans(book.totals) == [(1.0, 10.0, "undecodable", "file ends early")]

    def test_declared_time_lost_with_the_worker_is_down(self) -> None:
        book = ledger()
        book.scored(0.0, 0)
        book.finish(ended(1.0, 10.0, "no sign of life for 30 s", "worker_hung"))

        assert spans(book.totals) == [(1.0, 10.0, "down", "no sign of life for 30 s")]

    def test_stream_of_which_nothing_was_read_is_undecodable(self) -> None:
        book = ledger()
        book.finish(ended(0.0, 10.0, "no keyframe", "no_keyframe"))

        assert (seconds(book.totals), book.totals.samples) == ({"undecodable": 10.0}, 0)

    def test_still_picture_is_one_sample_of_no_length(self) -> None:
        book = ledger()
        book.scored(0.0, 0)
        book.finish(ended(0.0))

        whole = book.take()

        assert (whole.end_s, whole.samples, seconds(whole)) == (0.0, 1, {})

    def test_end_before_the_last_sample_takes_nothing_back(self) -> None:
        book = ledger()
        book.scored(0.0, 0)
        book.scored(1.0, 24)
        book.finish(ended(0.9))

        assert (book.settled_s, book.totals.samples) == (1.0, 2)


class TestTake:
    def test_cuts_at_the_time_asked_for(self) -> None:
        book = ledger()
        book.scored(0.0, 0)
        book.missed(1.0, "dropped", "queue full", 24)
        book.scored(5.0, 99)
        book.scored(6.0, 24)

        first, second = book.take(3.0), book.take()

        assert (first.start_s, first.end_s, spans(first)) == (0.0, 3.0, [(1.0, 3.0, "dropped", "queue full")])
        assert (second.start_s, second.end_s, spans(second)) == (
            3.0,
            6.0,
            [(3.0, 5.0, "dropped", "queue full")],
        )

    def test_counts_a_sample_where_it_was_taken(self) -> None:
        book = ledger()
        for at_s in (0.0, 0.8, 1.6, 2.4):
            book.scored(at_s, 24)

        assert [book.take(1.0).samples, book.take(2.0).samples, book.take().samples] == [2, 1, 0]

    def test_ends_at_what_is_settled(self) -> None:
        book = ledger()
        book.scored(0.0, 0)
        book.scored(1.0, 24)

        assert book.take(60.0).end_s == 1.0

    def test_gives_nothing_twice(self) -> None:
        book = ledger()
        book.scored(0.0, 0)
        book.scored(1.0, 24)
        book.take()

        again = book.take()

        assert (again.start_s, again.end_s, again.samples, seconds(again)) == (1.0, 1.0, 0, {})

    def test_leaves_the_totals_alone(self) -> None:
        book = ledger()
        book.scored(0.0, 0)
        book.scored(1.0, 24)
        book.take()
        book.scored(2.0, 24)

        assert (seconds(book.totals), book.totals.samples) == ({"scored": 2.0}, 2)


def test_mark_that_goes_back_counts_as_no_time_passed() -> None:
    book = ledger()
    book.scored(0.0, 0)
    book.scored(1.0, 24)
    book.scored(0.9, 0)
    book.scored(1.5, 12)

    assert (seconds(book.totals), book.totals.samples) == ({"scored": 1.5}, 3)


def test_neighbouring_spans_of_one_cause_are_one_with_the_first_reason() -> None:
    book = ledger()
    book.missed(0.0, "undecodable", "first", 0)
    book.missed(1.0, "undecodable", "second", 24)
    book.missed(2.0, "dropped", "third", 24)
    book.scored(3.0, 24)

    assert book.totals.spans == (
        CoverageSpan(0.0, 2.0, "undecodable", "first"),
        CoverageSpan(2.0, 3.0, "dropped", "third"),
    )


def test_memory_is_bounded_and_every_second_counted() -> None:
    book = ledger()
    for at_s in range(0, 4 * MAX_SPANS, 2):
        book.scored(float(at_s), 24)
        book.missed(at_s + 1.0, "dropped", "queue full", 24)
    book.finish(ended(4.0 * MAX_SPANS))
    held = len(book._pending)

    whole = book.take()

    assert seconds(whole) == {"scored": 2.0 * MAX_SPANS, "dropped": 2.0 * MAX_SPANS}
    assert (len(whole.spans), whole.spans[-1].end_s) == (MAX_SPANS, 2.0 * MAX_SPANS)
    assert held <= MAX_SPANS


_MARKS = st.lists(
    st.tuples(
        st.sampled_from(["scored", "dropped", "undecodable", "down"]),
        st.floats(-0.1, 1e4, allow_nan=False),
        st.sampled_from([0, 1, 24]),
        st.booleans(),
    ),
    max_size=60,
)


def write(book: Ledger, cause: str, at_s: float, frames_between: int) -> None:
    if cause == "scored":
        book.scored(at_s, frames_between)
    elif cause == "down":
        book.down(at_s, "lost")
    else:
        book.missed(at_s, "dropped" if cause == "dropped" else "undecodable", "seen", frames_between)


def total_s(part: CoverageSlice) -> float:
    return part.scored_s + part.skipped_s + part.blind_s


@given(_MARKS, st.floats(0.0, 1e4), st.floats(0.0, 100.0), st.floats(0.04, 10.0))
def test_parts_always_sum_to_the_whole(
    marks: list[tuple[str, float, int, bool]], end_s: float, missing_s: float, stands_for_s: float
) -> None:
    book = ledger(stands_for_s)
    slices = []
    for cause, step_s, frames_between, take in marks:
        write(book, cause, book.settled_s + step_s, frames_between)
        if take:
            slices.append(book.take(book.settled_s * 0.9))
    book.finish(ended(end_s, end_s + missing_s))
    slices.append(book.take())

    assert total_s(book.totals) == pytest.approx(book.settled_s, abs=1e-6)
    assert [part.start_s for part in slices] == [0.0, *[part.end_s for part in slices[:-1]]]
    assert slices[-1].end_s == book.settled_s
    for part in slices:
        assert total_s(part) == pytest.approx(part.end_s - part.start_s, abs=1e-6)
        assert min(part.scored_s, part.skipped_s, part.dropped_s, part.undecodable_s, part.down_s) >= 0.0
    assert sum(part.samples for part in slices) == sum(cause == "scored" for cause, *_ in marks)
