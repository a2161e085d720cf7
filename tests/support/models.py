"""Models small enough to be made by a test: a graph of one operator, a wheel around it, and its manifest."""

import hashlib
import io
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from onnx import TensorProto, helper, numpy_helper

from stream.frames import ViewArray
from stream.scoring.manifest import (
    Golden,
    GoldenPicture,
    Input,
    Manifest,
    Member,
    NpmPackage,
    Outputs,
    PypiWheel,
    View,
)
from stream.scoring.session import Provider, ScoreArray

MEMBER = "toy/model.onnx"
SIZE_PX = (4, 2)
"""Width and height of a toy model's input."""


def toy_graph(
    *,
    layout: str = "nchw",
    batch: str | int = "n",
    classes: int = 2,
    element_type: int = TensorProto.FLOAT,
    opset: int = 13,
    input_name: str = "x",
) -> bytes:
    """Returns a model that gives the mean of the first `classes` channels of what reaches it."""
    width, height = SIZE_PX
    size = [3, height, width] if layout == "nchw" else [height, width, 3]
    axes = [2, 3] if layout == "nchw" else [1, 2]
    pick = numpy_helper.from_array(np.arange(classes), "pick")
    nodes = [
        helper.make_node("ReduceMean", [input_name], ["mean"], axes=axes, keepdims=0),
        helper.make_node("Gather", ["mean", "pick"], ["y"], axis=1),
    ]
    inputs = [helper.make_tensor_value_info(input_name, element_type, [batch, *size])]
    outputs = [helper.make_tensor_value_info("y", element_type, [batch, classes])]
    graph = helper.make_graph(nodes, "toy", inputs, outputs, [pick])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    return bytes(model.SerializeToString())


def toy_wheel(folder: Path, model: bytes, *, member: str = MEMBER) -> Path:
    """Writes a wheel with `model` in it, and returns its path."""
    path = folder / "toy-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(member, model)
    return path


def toy_tarball(folder: Path, files: Mapping[str, bytes]) -> Path:
    """Writes a package of npm with `files` in it by their paths, and returns its path."""
    path = folder / "toy-1.0.0.tgz"
    with tarfile.open(path, "w:gz") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return path


def toy_npm_package(files: Mapping[str, bytes], tarball: Path) -> NpmPackage:
    """Returns a source of the files of a layers model in a tarball."""
    return NpmPackage(
        requirement="toy@1.0.0",
        package_sha256=hashlib.sha256(tarball.read_bytes()).hexdigest(),
        format="tfjs-layers",
        members=tuple(
            Member(path=path, sha256=hashlib.sha256(content).hexdigest(), size_bytes=len(content))
            for path, content in files.items()
        ),
    )


def toy_manifest(
    model: bytes = b"", wheel: Path | None = None, *, name: str = "toy", **changes: dict[str, Any]
) -> Manifest:
    """Returns a manifest that fits `toy_graph()`; `changes` go to its tables by their names."""
    manifest = Manifest(
        name=name,
        version="1.0",
        task="test",
        licence="MIT",
        source=PypiWheel(
            requirement="toy==1.0",
            wheel_sha256=hashlib.sha256(wheel.read_bytes() if wheel else b"").hexdigest(),
            member=MEMBER,
            model_sha256=hashlib.sha256(model).hexdigest(),
            model_bytes=max(1, len(model)),
        ),
        input=Input(
            name="x",
            view=View(resize_px=(6, 4), crop_px=SIZE_PX),
            layout="nchw",
            std=(255.0, 255.0, 255.0),
        ),
        outputs=Outputs(name="y", classes=("low", "high"), report=("high",)),
        golden=Golden(
            command="none: tests only",
            tolerance=1e-4,
            pictures=(GoldenPicture(picture="noise-1", scores={"high": 0.5}),),
        ),
    )
    tables = {table: msgspec.structs.replace(getattr(manifest, table), **to) for table, to in changes.items()}
    return msgspec.structs.replace(manifest, **tables)


class FakeSession:
    """A `ModelSession` whose scores are the mean of red (`low`) and of green (`high`) over 255."""

    def __init__(self, provider: Provider = "cpu", fallback_reason: str | None = None) -> None:
        self.provider: Provider = provider
        self.fallback_reason = fallback_reason
        self.batches: list[int] = []
        """Sizes of the batches that were run."""
        self.answer: ScoreArray | None = None
        """What to answer instead."""

    def run(self, views: ViewArray) -> ScoreArray:
        """Returns the means, `float32 [N, 2]`."""
        self.batches.append(len(views))
        if self.answer is not None:
            return self.answer
        means: ScoreArray = (views.mean(axis=(1, 2))[:, :2] / 255).astype(np.float32)
        return means
