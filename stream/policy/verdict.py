"""The one word that a scored file gets, and the exit code of a run: what was not seen is never clean."""

from collections.abc import Iterable
from typing import Literal, TypeAlias

Verdict: TypeAlias = Literal["clean", "flagged", "incomplete", "flagged_incomplete", "unreadable"]

EXIT_CLEAN = 0
EXIT_FLAGGED = 1
EXIT_INCOMPLETE = 3
EXIT_FLAGGED_INCOMPLETE = 4

_FLAGGED: frozenset[Verdict] = frozenset({"flagged", "flagged_incomplete"})
_INCOMPLETE: frozenset[Verdict] = frozenset({"incomplete", "flagged_incomplete", "unreadable"})


def verdict(alerts: int, samples: int, *, complete: bool) -> Verdict:
    """Returns the verdict on one file.

    Args:
        alerts: Alerts that opened.
        samples: Samples that were scored.
        complete: Whether all of it was looked at as the sampling promises.
    """
    if samples == 0:
        return "unreadable"
    if not complete:
        return "flagged_incomplete" if alerts else "incomplete"
    return "flagged" if alerts else "clean"


def exit_code(verdicts: Iterable[Verdict]) -> int:
    """Returns 0 if all are clean, 1 with findings, 3 with something unread or incomplete, 4 with both."""
    seen = set(verdicts)
    if seen & _FLAGGED:
        return EXIT_FLAGGED_INCOMPLETE if seen & _INCOMPLETE else EXIT_FLAGGED
    return EXIT_INCOMPLETE if seen & _INCOMPLETE else EXIT_CLEAN
