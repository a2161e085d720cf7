"""What a model is, read from its `model.toml`: where it comes from, what it takes, what its outputs mean.

A whole-frame ONNX classifier is such a file and no code. Everything that decides a score is in here, and a
digest of it is part of the model's version, so that two events of one version were scored alike.
"""

import difflib
import hashlib
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, ClassVar, Literal, TypeAlias

import msgspec
from msgspec import Meta

from stream.errors import ConfigError
from stream.events import Score
from stream.frames import Interpolation, Resizer, ViewSpec

MANIFEST_FILE = "model.toml"
CARD_FILE = "README.md"

PREPROCESSING_VERSION = 1
"""Counts changes to the nodes that `stream.scoring.graph` adds, and to what `stream.scoring.convert` makes of
files; a new number has every model built again."""

Layout: TypeAlias = Literal["nhwc", "nchw"]
ChannelOrder: TypeAlias = Literal["rgb", "bgr"]
Activation: TypeAlias = Literal["none", "softmax", "sigmoid"]
Format: TypeAlias = Literal["onnx", "tfjs-layers"]
Name: TypeAlias = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9_]{0,63}$")]
Sha256: TypeAlias = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}$")]
Pixels: TypeAlias = Annotated[int, Meta(ge=1, le=4096)]
Deviation: TypeAlias = Annotated[float, Meta(gt=0)]


class Table(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table of a manifest."""


class Member(Table, frozen=True, kw_only=True):
    """A file inside a package.

    Attributes:
        path: Its path inside the package.
        sha256: Its digest.
        size_bytes: Its size in bytes.
    """

    path: Annotated[str, Meta(min_length=1)]
    sha256: Sha256
    size_bytes: Annotated[int, Meta(ge=1)]


class PypiWheel(Table, frozen=True, kw_only=True, tag_field="kind", tag="pypi-wheel"):
    """A file inside a wheel of a Python package, which is read and never installed.

    Attributes:
        format: What the file is.
        requirement: The package and its exact version, as pip takes it.
        wheel_sha256: Digest of the wheel.
        member: Path of the ONNX file inside the wheel.
        model_sha256: Digest of the ONNX file.
        model_bytes: Size of the ONNX file in bytes.
    """

    format: ClassVar[Format] = "onnx"

    requirement: Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*==[0-9][A-Za-z0-9.+!]*$")]
    wheel_sha256: Sha256
    member: str
    model_sha256: Sha256
    model_bytes: Annotated[int, Meta(ge=1)]

    @property
    def package_sha256(self) -> str:
        """Digest of the wheel."""
        return self.wheel_sha256

    @property
    def members(self) -> tuple[Member, ...]:
        """The one file."""
        return (Member(path=self.member, sha256=self.model_sha256, size_bytes=self.model_bytes),)


class NpmPackage(Table, frozen=True, kw_only=True, tag_field="kind", tag="npm-package"):
    """Files inside a package of npm, which is read and never installed.

    Attributes:
        requirement: The package and its exact version, as npm takes it.
        package_sha256: Digest of the tarball.
        format: What the files are together.
        members: The files, in the order that the format wants.
    """

    requirement: Annotated[
        str, Meta(pattern=r"^(@[a-z0-9-][a-z0-9._-]*/)?[a-z0-9][a-z0-9._-]*@\d+(\.\d+){2}$")
    ]
    package_sha256: Sha256
    format: Format
    members: Annotated[tuple[Member, ...], Meta(min_length=1)]

    @property
    def model_bytes(self) -> int:
        """Size of the files in bytes, all together."""
        return sum(member.size_bytes for member in self.members)


Source: TypeAlias = PypiWheel | NpmPackage
"""Every kind of source. A further one is a table above, joined here with `|`, and its line in `fetch`."""


class View(Table, frozen=True, kw_only=True):
    """The view that the model wants; sizes are (width, height) in pixels.

    Attributes:
        resize_px: Size that the upright frame is stretched to.
        crop_px: Size of the centre crop, and of the model's input.
        interpolation: Filter of the resize.
        resizer: Which code resizes video frames: `pillow` where the reference implementation uses Pillow
            and the scores are sensitive to every bit, `swscale` otherwise.
    """

    resize_px: tuple[Pixels, Pixels]
    crop_px: tuple[Pixels, Pixels]
    interpolation: Interpolation = "bilinear"
    resizer: Resizer = "swscale"

    def __post_init__(self) -> None:
        if self.crop_px[0] > self.resize_px[0] or self.crop_px[1] > self.resize_px[1]:
            raise ValueError(f"`crop_px` {self.crop_px} does not fit into `resize_px` {self.resize_px}")
        if self.interpolation == "corners" and self.resizer != "pillow":
            raise ValueError('`interpolation = "corners"` needs `resizer = "pillow"`')


class Input(Table, frozen=True, kw_only=True):
    """From a view to the tensor that the original graph takes: `(pixel - mean) / std`, float32.

    Attributes:
        name: Name of the graph's input.
        view: The view.
        layout: Order of the tensor's axes.
        channel_order: Order of the tensor's channels; `mean` and `std` are in this order too.
        mean: Subtracted from the pixels, 0 to 255.
        std: Divides what is left, in the same unit.
        jpeg_quality: Quality of a JPEG round trip (4:2:0) that the cropped view takes first, for models
            whose reference implementation has one.
    """

    name: str
    view: View
    layout: Layout
    channel_order: ChannelOrder = "rgb"
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    std: tuple[Deviation, Deviation, Deviation] = (1.0, 1.0, 1.0)
    jpeg_quality: Annotated[int, Meta(ge=1, le=100)] | None = None

    @property
    def view_spec(self) -> ViewSpec:
        """The view as decode workers are asked for it."""
        (resize_width, resize_height), (crop_width, crop_height) = self.view.resize_px, self.view.crop_px
        return ViewSpec(
            resize_width, resize_height, crop_width, crop_height, self.view.interpolation, self.view.resizer
        )


class Outputs(Table, frozen=True, kw_only=True):
    """What the graph's output means.

    Attributes:
        name: Name of the graph's output, `float32 [N, classes]`.
        classes: Name of each column.
        report: The classes whose scores are reported.
        activation: What turns the output into scores; `none` where the graph ends with it already.
    """

    name: str
    classes: Annotated[tuple[Name, ...], Meta(min_length=1)]
    report: Annotated[tuple[Name, ...], Meta(min_length=1)]
    activation: Activation = "none"

    def __post_init__(self) -> None:
        if len(set(self.classes)) < len(self.classes) or len(set(self.report)) < len(self.report):
            raise ValueError("`classes` and `report` must not name a class twice")
        unknown = sorted(set(self.report) - set(self.classes))
        if unknown:
            raise ValueError(f"`report` names {', '.join(unknown)}, which is not in `classes`")


class GoldenPicture(Table, frozen=True, kw_only=True):
    """A picture and what the reference implementation makes of it.

    Attributes:
        picture: Name of the picture, see `stream.scoring.pictures`.
        scores: Class name to score.
    """

    picture: str
    scores: Annotated[Mapping[str, Score], Meta(min_length=1)]


class Golden(Table, frozen=True, kw_only=True):
    """Scores of the reference implementation, to be met on every runtime.

    Attributes:
        command: The command that made them.
        tolerance: Largest difference that is accepted.
        pictures: The pictures.
    """

    command: str
    tolerance: Annotated[float, Meta(gt=0, le=0.1)]
    pictures: Annotated[tuple[GoldenPicture, ...], Meta(min_length=1)]


class Manifest(Table, frozen=True, kw_only=True):
    """A model.

    Attributes:
        name: Its name, equal to its folder's.
        version: Its author's version.
        task: What it looks for.
        licence: SPDX expression of the licences of weights and wrapper.
        source: Where its file comes from.
        input: What it takes.
        outputs: What it gives.
        golden: Reference scores.
    """

    name: Name
    version: Annotated[str, Meta(pattern=r"^[A-Za-z0-9.]{1,32}$")]
    task: str
    licence: str
    source: Source
    input: Input
    outputs: Outputs
    golden: Golden

    def __post_init__(self) -> None:
        for golden in self.golden.pictures:
            unknown = sorted(set(golden.scores) - set(self.outputs.report))
            if unknown:
                raise ValueError(f"golden {golden.picture!r} scores {', '.join(unknown)}, not in `report`")

    @property
    def digest(self) -> str:
        """SHA-256 of all that decides a score: source, input, outputs and the preprocessing's version."""
        parts = [self.source, self.input, self.outputs, PREPROCESSING_VERSION]
        return hashlib.sha256(msgspec.json.encode(parts, order="sorted")).hexdigest()

    @property
    def full_version(self) -> str:
        """Name, version and digest, such as `open_nsfw@0.0.6+1f0c9a52`."""
        return f"{self.name}@{self.version}+{self.digest[:8]}"


def load_manifest(folder: Path) -> Manifest:
    """Reads and validates the manifest in a model's folder.

    Raises:
        ConfigError: The manifest cannot be read, is not TOML, or holds a key or value that is refused.
    """
    path = folder / MANIFEST_FILE
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
        manifest = msgspec.convert(tables, Manifest)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: not valid TOML: {error}") from error
    except msgspec.ValidationError as error:
        raise ConfigError(f"{path}: {error}") from error
    if manifest.name != folder.name:
        raise ConfigError(f"{path}: the model is named {manifest.name!r}, its folder {folder.name!r}")
    return manifest


def load_manifests(models: Path) -> dict[str, Manifest]:
    """Returns the manifests below a models folder by name, in the order of their names.

    Raises:
        ConfigError: One of them is refused.
    """
    folders = sorted(path.parent for path in models.glob(f"*/{MANIFEST_FILE}"))
    return {folder.name: load_manifest(folder) for folder in folders}


def read_card(models: Path, name: str) -> str:
    """Returns a model's card as Markdown.

    Raises:
        ConfigError: There is none, or it cannot be read.
    """
    path = models / name / CARD_FILE
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from error


def choose(manifests: Mapping[str, Manifest], names: Sequence[str]) -> list[Manifest]:
    """Returns the manifests of `names`, in that order.

    Raises:
        ConfigError: A name is unknown; the message has the nearest known one.
    """
    for name in names:
        if name not in manifests:
            near = difflib.get_close_matches(name, manifests, n=1, cutoff=0.5)
            hint = f"did you mean {near[0]!r}?" if near else f"expected one of: {', '.join(manifests)}"
            raise ConfigError(f"unknown model {name!r}; {hint}")
    return [manifests[name] for name in names]
