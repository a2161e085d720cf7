"""One line for each scored file: what `framewarden score --json` prints."""

import json
from collections.abc import Iterable, Mapping

import msgspec

from stream.events import Score
from stream.output import json_line
from stream.policy.verdict import Verdict

VERDICTS: tuple[Verdict, ...] = ("flagged_incomplete", "flagged", "incomplete", "unreadable", "clean")
"""The verdicts, the one that most needs a person first."""

_SCORE_DIGITS = 6
_MEDIA_TIME_DIGITS = 6
_WALL_TIME_DIGITS = 3


class FileSummary(msgspec.Struct, frozen=True, kw_only=True):
    """What came out of one file.

    Attributes:
        file: The file, as it was named.
        verdict: `flagged` with at least one alert, `incomplete` where a part could not be looked at,
            `flagged_incomplete` for both, `unreadable` where nothing could be, and else `clean`.
        duration_s: Seconds of media time; 0 for a picture, null where it is unknown.
        samples: Frames scored.
        scored_s: Seconds that a scored frame stands for.
        blind_s: Seconds that should have been looked at and were not.
        max_scores: Label to its highest score in the file; a label without any score is not there.
        alerts: Alerts opened.
        models: Model name to version.
        policy: Version of the policy in force.
        startup_s: Wall-clock seconds from the start of the command to its first file.
        work_s: Wall-clock seconds from the opening of the file to its verdict.
        reason: Why the file is incomplete or unreadable, in words; null otherwise.
        skipped_s: Seconds that sampling left out on purpose.
        provider: The ONNX Runtime provider that scored it; null where nothing was scored.
    """

    file: str
    verdict: Verdict
    duration_s: float | None
    samples: int
    scored_s: float
    blind_s: float
    max_scores: Mapping[str, Score]
    alerts: int
    models: Mapping[str, str]
    policy: str
    startup_s: float
    work_s: float
    reason: str | None = None
    skipped_s: float = 0.0
    provider: str | None = None


def max_scores(peaks: Mapping[str, float], signals: Iterable[str]) -> dict[str, float]:
    """Returns the highest score for each label that is watched, by the label's short name.

    Args:
        peaks: `model.label` to the highest score of that label.
        signals: The `model.label`s that rules watch. The others are left out: a 0.99 for `neutral` beside
            a 0.30 for `porn` would mislead.

    Returns:
        Label to score, the highest where several models share a label.
    """
    highest: dict[str, float] = {}
    for signal in signals:
        label = signal.rpartition(".")[2]
        if signal in peaks:
            highest[label] = max(peaks[signal], highest.get(label, 0.0))
    return highest


def verdict_text(verdict: Verdict) -> str:
    """Returns a verdict as people read it: `flagged, incomplete` for `flagged_incomplete`."""
    return verdict.replace("_", ", ")


def summary_line(summary: FileSummary) -> str:
    """Returns `summary` as one line of JSON, without a line feed.

    Scores and media times are rounded to 6 digits, wall-clock times to 3. Characters of a file name that a
    terminal would act on are written as JSON escapes.
    """
    line = json_line(_rounded(summary)).decode("utf-8").rstrip("\n")
    return "".join(letter if letter.isprintable() else json.dumps(letter)[1:-1] for letter in line)


def _rounded(summary: FileSummary) -> FileSummary:
    duration_s = summary.duration_s
    return msgspec.structs.replace(
        summary,
        duration_s=None if duration_s is None else round(duration_s, _MEDIA_TIME_DIGITS),
        scored_s=round(summary.scored_s, _MEDIA_TIME_DIGITS),
        skipped_s=round(summary.skipped_s, _MEDIA_TIME_DIGITS),
        blind_s=round(summary.blind_s, _MEDIA_TIME_DIGITS),
        startup_s=round(summary.startup_s, _WALL_TIME_DIGITS),
        work_s=round(summary.work_s, _WALL_TIME_DIGITS),
        max_scores={label: round(score, _SCORE_DIGITS) for label, score in summary.max_scores.items()},
    )
