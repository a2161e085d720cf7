"""What the bench and a peer agree on: arguments in, one line of figures out.

A peer runs as a script in an environment of its own, so neither it nor this module knows the product.
"""

import argparse
import json
from collections.abc import Iterable
from pathlib import Path


def arguments() -> argparse.Namespace:
    """Returns `clip`, `model`, `sampling` (`interval` or `nth`), and `every` in seconds or frames."""
    parser = argparse.ArgumentParser()
    parser.add_argument("clip", type=Path)
    parser.add_argument("--model", type=Path, required=True, help="open-nsfw.onnx, float32 [N, 224, 224, 3]")
    parser.add_argument("--sampling", choices=["interval", "nth"], required=True)
    parser.add_argument("--every", type=int, required=True)
    parser.add_argument("--variant", default="")
    return parser.parse_args()


def frame_step(sampling: str, every: int, rate: float) -> int:
    """Returns how many frames lie between two wanted ones in a clip of constant frame rate."""
    return round(every * rate) if sampling == "interval" else every


def report(work_s: float, samples: int, scores: Iterable[float] = (), note: str = "") -> None:
    """Prints the figures of this run."""
    highest = max(scores, default=None)
    print(json.dumps({"work_s": work_s, "samples": samples, "max_score": highest, "note": note}))
