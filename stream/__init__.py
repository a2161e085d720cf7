"""Framewarden: moderates video, and says what it did not see.

    import stream

    for event in stream.score("clip.mp4"):
        print(event.media_time_s, event.scores)

The names below are loaded when first used, so that child processes, which import this package too, start
without the models' runtime.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stream.config import Config, load_config
    from stream.errors import FramewardenError, SourceError
    from stream.events import AlertEvent, CoverageEvent, FrameEvent
    from stream.library import Moderator, score, score_frame

__all__ = [
    "AlertEvent",
    "Config",
    "CoverageEvent",
    "FrameEvent",
    "FramewardenError",
    "Moderator",
    "SourceError",
    "load_config",
    "score",
    "score_frame",
]

_HOMES = {
    "stream.config": ("Config", "load_config"),
    "stream.errors": ("FramewardenError", "SourceError"),
    "stream.events": ("AlertEvent", "CoverageEvent", "FrameEvent"),
    "stream.library": ("Moderator", "score", "score_frame"),
}


def __getattr__(name: str) -> Any:
    for home, names in _HOMES.items():
        if name in names:
            return getattr(importlib.import_module(home), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
