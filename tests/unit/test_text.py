import pytest

from stream.text import span_text, timecode, visible


@pytest.mark.parametrize(
    ("seconds", "decimals", "text"),
    [
        (0.0, 0, "0:00"),
        (61.0, 0, "1:01"),
        (59.96, 1, "1:00.0"),
        (3599.99, 1, "1:00:00.0"),
        (36_061.5, 1, "10:01:01.5"),
    ],
)
def test_times_read_as_in_a_player(seconds: float, decimals: int, text: str) -> None:
    assert timecode(seconds, decimals) == text


def test_a_span_has_tenths() -> None:
    assert span_text(1.04, 62.0) == "0:01.0 - 1:02.0"


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("plain name.mp4", "plain name.mp4"),
        ("映画.mp4", "映画.mp4"),
        ("\x1b[31m", "\\x1b[31m"),
        ("a\nb", "a\\nb"),
        ("a\u202egpj.exe", "a\\u202egpj.exe"),
        ("a\udcff", "a\\udcff"),
        ("Screenshot 3.14\u202fPM", "Screenshot 3.14\u202fPM"),
    ],
)
def test_what_cannot_be_seen_is_written_as_its_escape(name: str, shown: str) -> None:
    assert visible(name) == shown


def test_what_an_encoding_cannot_hold_is_escaped() -> None:
    assert visible("映", "ascii") == "\\u6620"
