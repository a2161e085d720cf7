import pytest

from stream.policy.verdict import Verdict, exit_code, verdict


@pytest.mark.parametrize(
    ("alerts", "samples", "complete", "expected"),
    [
        (0, 10, True, "clean"),
        (2, 10, True, "flagged"),
        (0, 10, False, "incomplete"),
        (1, 10, False, "flagged_incomplete"),
        (0, 0, True, "unreadable"),
        (0, 0, False, "unreadable"),
    ],
)
def test_verdict(alerts: int, samples: int, complete: bool, expected: Verdict) -> None:
    assert verdict(alerts, samples, complete=complete) == expected


@pytest.mark.parametrize(
    ("verdicts", "expected"),
    [
        ([], 0),
        (["clean", "clean"], 0),
        (["clean", "flagged"], 1),
        (["clean", "incomplete"], 3),
        (["unreadable"], 3),
        (["flagged_incomplete"], 4),
        (["flagged", "unreadable"], 4),
        (["flagged", "clean", "incomplete"], 4),
    ],
)
def test_exit_code(verdicts: list[Verdict], expected: int) -> None:
    assert exit_code(verdicts) == expected
