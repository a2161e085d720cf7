import pytest

from stream.policy.verdict import Verdict, exit_code, verdict


@pytest.mark.parametrize(
    ("alerts", "samples", "blind_s", "expected"),
    [
        (0, 10, 0.0, "clean"),
        (2, 10, 0.0, "flagged"),
        (0, 10, 0.5, "incomplete"),
        (1, 10, 0.5, "flagged_incomplete"),
        (0, 0, 0.0, "unreadable"),
        (0, 0, 9.0, "unreadable"),
    ],
)
def test_verdict(alerts: int, samples: int, blind_s: float, expected: Verdict) -> None:
    assert verdict(alerts, samples, blind_s) == expected


def test_rounding_is_not_blindness() -> None:
    assert verdict(0, 10, 0.001) == "clean"
    assert verdict(0, 10, 0.0011) == "incomplete"


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
