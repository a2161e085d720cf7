"""Text for people's eyes: names from outside made harmless, and media times as a player shows them."""

import unicodedata


def visible(text: str, encoding: str = "utf-8") -> str:
    r"""Returns `text` with every character that a reader could not see written as its escape.

    File names come from outside. Escape sequences, control characters, the marks that reverse the order of
    writing, and bytes that are no Unicode become `\x1b`, `\u202e` and the like, so that a name can neither
    drive a terminal nor look like another name.

    Args:
        text: Any text, also with the surrogates that stand for undecodable bytes in paths.
        encoding: What the text will be written in; characters that it cannot hold are escaped as well.
    """
    shown = "".join(character if _is_visible(character) else _escape(character) for character in text)
    return shown.encode(encoding, "backslashreplace").decode(encoding)


def _is_visible(character: str) -> bool:
    return character.isprintable() or unicodedata.category(character) == "Zs"


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


def timecode(seconds: float, decimals: int = 0) -> str:
    """Returns a media time as `m:ss`, from an hour on as `h:mm:ss`, rounded to `decimals` digits."""
    units = 10**decimals
    total = round(seconds * units)
    whole, fraction = divmod(total, units)
    minutes, second = divmod(whole, 60)
    hours, minute = divmod(minutes, 60)
    head = f"{hours}:{minute:02d}:{second:02d}" if hours else f"{minute}:{second:02d}"
    return f"{head}.{fraction:0{decimals}d}" if decimals else head


def span_text(start_s: float, end_s: float) -> str:
    """Returns a stretch of media time as `m:ss.s - m:ss.s`."""
    return f"{timecode(start_s, 1)} - {timecode(end_s, 1)}"
