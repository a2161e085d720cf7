"""Prints the golden scores of nsfw_mobilenet, made by nsfwjs itself.

    python models/convert/golden_nsfw_mobilenet.py [--resize]

It needs Node.js with npm. Nothing of the converted graph has a part in it: `golden.mjs` beside this file runs
nsfwjs on TensorFlow.js, both installed by npm as `package-lock.json` pins them, into a folder that is removed
again (335 MB). With `--resize` it prints instead how far the scores of larger pictures lie from nsfwjs' own,
for want of the same resize: of generated pictures, and of frames of the film that `framewarden demo` scores.
"""

import argparse
import io
import json
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

import av
import numpy as np
from PIL import Image

from stream.decoding.resizing import pillow_view
from stream.demo import FILM
from stream.frames import ViewArray
from stream.scoring import store
from stream.scoring.classifier import load_classifier
from stream.scoring.fetch import fetch
from stream.scoring.manifest import Manifest, load_manifest
from stream.scoring.pictures import golden_picture

MODEL = Path(__file__).resolve().parents[1] / "nsfw_mobilenet"
REFERENCE = Path(__file__).resolve().parent / "golden_nsfw_mobilenet"
LARGE_PX = ((256, 256), (640, 360), (1280, 720))
LARGE_KINDS = ("gradient", "ellipses", "noise")
SEEDS = range(4)
FILM_EVERY = 10

Scores = Mapping[str, Mapping[str, float]]


def reference_scores(pictures: Mapping[str, ViewArray], workplace: Path) -> Scores:
    """Returns what nsfwjs makes of pictures: name to label to score."""
    reference = workplace / "reference"
    shutil.copytree(REFERENCE, reference, ignore=shutil.ignore_patterns("node_modules"))
    npm, node = shutil.which("npm"), shutil.which("node")
    if npm is None or node is None:
        raise SystemExit("npm and node were not found; install Node.js")
    subprocess.run([npm, "ci", "--ignore-scripts", "--silent"], cwd=reference, check=True)
    for name, picture in pictures.items():
        (workplace / f"{name}.rgb").write_bytes(picture.tobytes())
    listed = [
        {"name": name, "width": each.shape[1], "height": each.shape[0]} for name, each in pictures.items()
    ]
    (workplace / "pictures.json").write_text(json.dumps(listed))
    command = [node, "golden.mjs", str(workplace)]
    said = subprocess.run(command, cwd=reference, check=True, stdout=subprocess.PIPE).stdout
    scores: Scores = json.loads(said)
    return scores


def print_golden(manifest: Manifest, workplace: Path) -> None:
    """Prints the `[[golden.pictures]]` tables of the manifest."""
    size = manifest.input.view.crop_px
    names = [golden.picture for golden in manifest.golden.pictures]
    scores = reference_scores({name: golden_picture(name, *size) for name in names}, workplace)
    for name in names:
        table = ", ".join(f"{label} = {scores[name][label]:.6f}" for label in manifest.outputs.classes)
        print(f'[[golden.pictures]]\npicture = "{name}"\nscores = {{ {table} }}\n')


def print_resize(manifest: Manifest, workplace: Path) -> None:
    """Prints how far the scores of larger pictures lie from nsfwjs' own, by size and kind of picture."""
    pictures = {
        f"{width}x{height}-{kind}-{seed}": golden_picture(f"{kind}-{seed}", width, height)
        for width, height in LARGE_PX
        for kind in LARGE_KINDS
        for seed in SEEDS
    }
    pictures |= film_frames()
    reference = reference_scores(pictures, workplace)
    model = load_classifier(manifest, "off", max_batch_size=1, cache=store.cache_folder())
    views = [pillow_view(Image.fromarray(picture), model.view) for picture in pictures.values()]
    far: dict[str, list[float]] = {}
    for name, seen in zip(pictures, model.score(views), strict=True):
        distance = max(abs(seen[label] - reference[name][label]) for label in model.labels)
        far.setdefault(name.rpartition("-")[0], []).append(distance)
    for group, distances in far.items():
        print(f"{group:20} median {np.median(distances):.4f}  largest {max(distances):.4f}")


def film_frames() -> dict[str, ViewArray]:
    """Returns every tenth frame of the demo's film, at its full size."""
    with av.open(io.BytesIO(fetch(FILM))) as film:
        frames = [frame.to_ndarray(format="rgb24") for frame in film.decode(video=0)]
    return {f"film-{number}": frame for number, frame in enumerate(frames) if number % FILM_EVERY == 0}


def main() -> None:
    """Prints what is asked for."""
    parser = argparse.ArgumentParser(description="Print the golden scores of nsfw_mobilenet.")
    parser.add_argument("--resize", action="store_true", help="print what the resize makes of the scores")
    act = print_resize if parser.parse_args().resize else print_golden
    with tempfile.TemporaryDirectory() as workplace:
        act(load_manifest(MODEL), Path(workplace))


if __name__ == "__main__":
    main()
