"""What `framewarden demo` takes, and what it says of the outcome."""

from pathlib import Path
from typing import Any

import pytest

from stream import demo
from stream.errors import ModelNotPulled, OutputError
from stream.output import json_line
from stream.testcard import ALERT_SPANS
from tests.support.records import alert_event

FILM = b"a film"


class Told(list[str]):
    """The lines that were told."""

    @property
    def text(self) -> str:
        return "\n".join(self)


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture(autouse=True)
def making(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Quick stand-ins for encoder and download; returns what was made, as it is made."""
    made: list[str] = []

    def write_card(path: Path) -> None:
        made.append("card")
        path.write_bytes(b"a card")

    def fetch(_: Any) -> bytes:
        made.append("film")
        return FILM

    monkeypatch.setattr(demo, "write_test_card", write_card)
    monkeypatch.setattr(demo, "fetch", fetch)
    monkeypatch.setattr(demo, "_is_film", lambda path: path.is_file() and path.read_bytes() == FILM)
    return made


def alerts(folder: Path, *spans: tuple[float, float], file: str = "card.mp4") -> Path:
    """Writes alerts.jsonl as a run leaves it, with the spans' alerts, and returns its folder."""
    steps = [
        alert_event(*span, stream_id=file, transition=transition)
        for span in spans
        for transition in ("opened", "closed")
    ]
    with (folder / "alerts.jsonl").open("ab") as lines:
        lines.writelines(json_line(step) for step in steps)
    return folder


def test_the_clips_are_the_card_and_a_film(tmp_path: Path, told: Told) -> None:
    card, film = demo.clips(tmp_path / "new/out", None, told.append)
    assert (card.read_bytes(), film.read_bytes()) == (b"a card", FILM)
    assert film.name == "bigbuckbunny.mp4"


def test_the_clips_of_an_earlier_run_are_taken_again(tmp_path: Path, told: Told, making: list[str]) -> None:
    first = demo.clips(tmp_path, None, told.append)
    assert demo.clips(tmp_path, None, told.append) == first
    assert making == ["card", "film"]


def test_a_card_of_another_version_is_made_again(
    tmp_path: Path, told: Told, making: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    demo.clips(tmp_path, tmp_path / "own.mp4", told.append)
    monkeypatch.setattr(demo, "version", lambda _: "9.9")
    demo.clips(tmp_path, tmp_path / "own.mp4", told.append)
    assert making == ["card", "card"]


def test_a_damaged_film_is_fetched_again(tmp_path: Path, told: Told, making: list[str]) -> None:
    (tmp_path / "bigbuckbunny.mp4").write_bytes(b"half a fi")
    _, film = demo.clips(tmp_path, None, told.append)
    assert film.read_bytes() == FILM
    assert making == ["card", "film"]


def test_a_video_of_ones_own_replaces_the_film(tmp_path: Path, told: Told, making: list[str]) -> None:
    assert demo.clips(tmp_path, Path("own.mp4"), told.append)[1:] == [Path("own.mp4")]
    assert making == ["card"]


def test_without_a_network_the_card_is_scored_alone(
    tmp_path: Path, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: Any) -> bytes:
        raise ModelNotPulled("could not be downloaded; pip says: no route\x1b[2J. Check the network")

    monkeypatch.setattr(demo, "fetch", fail)
    assert len(demo.clips(tmp_path, None, told.append)) == 1
    assert told[-1] == (
        "note: the test card alone is scored; could not be downloaded; pip says: no route\\x1b[2J. "
        "`framewarden demo VIDEO` takes a film of yours"
    )


def test_a_folder_that_cannot_be_made_is_an_output_error(tmp_path: Path, told: Told) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OutputError):
        demo.clips(tmp_path / "file", None, told.append)


def test_alerts_as_expected_are_told_so(tmp_path: Path, told: Told) -> None:
    assert demo.explain(Path("card.mp4"), alerts(tmp_path, *ALERT_SPANS), told.append)
    assert "must raise alerts at  0:08.0 - 0:14.0 and 0:20.0 - 0:25.0" in told.text
    assert "found alerts at         0:08.0 - 0:14.0 and 0:20.0 - 0:25.0" in told.text
    assert "As expected" in told.text


def test_what_to_look_at_and_to_do_next_is_told(tmp_path: Path, told: Told) -> None:
    demo.explain(Path("card.mp4"), alerts(tmp_path, *ALERT_SPANS), told.append)
    assert str(tmp_path / "report.html") in told[-2]
    assert told[-1].startswith("Next: framewarden score")


def test_no_alert_is_told_as_such(tmp_path: Path, told: Told) -> None:
    assert not demo.explain(Path("card.mp4"), alerts(tmp_path), told.append)
    assert "found alerts at         no time" in told.text
    assert "NOT as expected" in told.text


def test_alerts_of_another_clip_do_not_count(tmp_path: Path, told: Told) -> None:
    folder = alerts(tmp_path, *ALERT_SPANS)
    alerts(folder, (1.0, 3.0), file="film.mp4")
    assert demo.explain(Path("card.mp4"), folder, told.append)


def test_spans_come_in_order_of_their_start(tmp_path: Path) -> None:
    folder = alerts(tmp_path, (20.0, 25.0), (8.0, 14.0))
    assert demo.alert_spans(folder / "alerts.jsonl", "card.mp4") == [(8.0, 14.0), (20.0, 25.0)]


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ([(8.0, 14.0), (20.0, 25.0)], True),
        ([(9.0, 13.0), (19.0, 26.0)], True),
        ([(9.1, 14.0), (20.0, 25.0)], False),
        ([(8.0, 14.0), (20.0, 26.1)], False),
        ([(8.0, 14.0)], False),
        ([(8.0, 14.0), (20.0, 25.0), (27.0, 28.0)], False),
        ([], False),
    ],
)
def test_spans_agree_within_a_sampling_interval(found: list[tuple[float, float]], expected: bool) -> None:
    assert demo.agree(found, ALERT_SPANS, 1.0) is expected


def test_the_film_is_known_by_its_digest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    (tmp_path / "film.mp4").write_bytes(b"another film")
    assert not demo._is_film(tmp_path / "film.mp4")
