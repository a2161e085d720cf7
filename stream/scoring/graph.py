"""Puts a model's preprocessing into its graph, so that bytes and not floats cross the pipe and the PCIe bus.

Only operators of opset 7 are added, so that graphs as old as that are taken as they are.
"""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from onnx import TensorProto, helper, numpy_helper

from stream.errors import ModelGraphMismatch
from stream.scoring.manifest import Input, Manifest, Outputs

VIEWS_INPUT: Final = "framewarden/views"
"""Name of the built graph's input, `uint8 [N, H, W, 3]` RGB."""

_SCORES_OUTPUT: Final = "framewarden/scores"
_OLDEST_OPSET: Final = 7
_ACTIVATIONS: Final[Mapping[str, tuple[str, dict[str, Any]]]] = {
    "softmax": ("Softmax", {"axis": 1}),
    "sigmoid": ("Sigmoid", {}),
}
_OPEN: Final = 0


def embed_preprocessing(original: bytes, manifest: Manifest) -> bytes:
    """Returns the model that takes views and gives scores, `float32 [N, classes]`, serialised.

    The tensor that reaches the original graph equals NumPy's `(float32(view) - mean) / std` to the bit.

    Raises:
        ModelGraphMismatch: The file is no ONNX model, or does not fit its manifest.
    """
    try:
        model = onnx.load_model_from_string(original)
        onnx.checker.check_model(model)
    except (DecodeError, onnx.checker.ValidationError) as error:
        raise ModelGraphMismatch(f"{manifest.name}: not a valid ONNX model: {error}") from error
    _check_fit(model, manifest)
    _prepend(model.graph, manifest.input)
    _append(model.graph, manifest.outputs)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def _check_fit(model: onnx.ModelProto, manifest: Manifest) -> None:
    """Raises for the first thing that the graph and its manifest do not agree on."""
    spec, graph = manifest.input, model.graph
    weights = {weight.name for weight in graph.initializer}
    inputs = [value for value in graph.input if value.name not in weights]
    outputs = {value.name: value for value in graph.output}
    width, height = spec.view.crop_px
    size = [height, width, 3] if spec.layout == "nhwc" else [3, height, width]
    opset = max((entry.version for entry in model.opset_import if entry.domain in {"", "ai.onnx"}), default=0)
    _expect(manifest, "opset", opset, opset if opset >= _OLDEST_OPSET else f"{_OLDEST_OPSET} or newer")
    _expect(manifest, "inputs", [value.name for value in inputs], [spec.name])
    _expect_tensor(manifest, inputs[0], size)
    _expect(manifest, "outputs", sorted(outputs), sorted({*outputs, manifest.outputs.name}))
    _expect_tensor(manifest, outputs[manifest.outputs.name], [len(manifest.outputs.classes)])


def _expect_tensor(manifest: Manifest, value: onnx.ValueInfoProto, shape: list[int]) -> None:
    """Raises where `value` is not a float tensor `[N, *shape]`; the graph may leave any dimension open."""
    tensor = value.type.tensor_type
    seen = [dimension.dim_value for dimension in tensor.shape.dim]
    fits = len(seen) == 1 + len(shape) and seen[0] == _OPEN
    fits = fits and all(size in {_OPEN, expected} for size, expected in zip(seen[1:], shape, strict=True))
    expected_shape = seen if fits else [_OPEN, *shape]
    _expect(manifest, f"shape of {value.name!r} ({_OPEN} is an open dimension)", seen, expected_shape)
    _expect(manifest, f"type of {value.name!r}", TensorProto.DataType.Name(tensor.elem_type), "FLOAT")


def _expect(manifest: Manifest, what: str, seen: object, expected: object) -> None:
    if seen != expected:
        raise ModelGraphMismatch(
            f"{manifest.name}: {what}: the graph has {seen}, its manifest says {expected}; "
            f"correct the manifest, or take the file that it describes"
        )


def _prepend(graph: onnx.GraphProto, spec: Input) -> None:
    """Puts the steps from views to its own tensor in front of `graph`."""
    nodes, value, steps = [], VIEWS_INPUT, _steps(graph, spec)
    for index, (operator, constants, attributes) in enumerate(steps):
        result = spec.name if index == len(steps) - 1 else f"framewarden/{index}"
        nodes.append(helper.make_node(operator, [value, *constants], [result], **attributes))
        value = result
    _replace(graph.node, [*nodes, *graph.node])
    width, height = spec.view.crop_px
    views = helper.make_tensor_value_info(VIEWS_INPUT, TensorProto.UINT8, ["batch", height, width, 3])
    _replace(graph.input, [views, *(other for other in graph.input if other.name != spec.name)])


def _steps(graph: onnx.GraphProto, spec: Input) -> list[tuple[str, list[str], dict[str, Any]]]:
    """Returns operator, constants and attributes of each step; the constants are put into `graph`.

    Channels are reversed as whole planes and while they are bytes. A graph of layout NHWC gets its axes back
    at the end; where it turns them itself, as converters from TensorFlow make it, ONNX Runtime cancels the
    two. Measured on open_nsfw, one core: as fast as the original graph; a reversal along the last axis costs
    0.8 ms an image.
    """
    steps: list[tuple[str, list[str], dict[str, Any]]] = [("Transpose", [], {"perm": [0, 3, 1, 2]})]
    if spec.channel_order == "bgr":
        steps.append(("Gather", [_constant(graph, "reversed", np.array([2, 1, 0]))], {"axis": 1}))
    steps.append(("Cast", [], {"to": TensorProto.FLOAT}))
    if any(spec.mean):
        steps.append(("Sub", [_constant(graph, "mean", _per_channel(spec.mean))], {}))
    if any(value != 1.0 for value in spec.std):
        steps.append(("Div", [_constant(graph, "std", _per_channel(spec.std))], {}))
    if spec.layout == "nhwc":
        steps.append(("Transpose", [], {"perm": [0, 2, 3, 1]}))
    return steps


def _append(graph: onnx.GraphProto, spec: Outputs) -> None:
    """Puts the activation behind `graph`, and leaves the scores as its only output."""
    (output,) = [value for value in graph.output if value.name == spec.name]
    if spec.activation != "none":
        operator, attributes = _ACTIVATIONS[spec.activation]
        graph.node.append(helper.make_node(operator, [spec.name], [_SCORES_OUTPUT], **attributes))
        shape: list[str | int | None] = ["batch", len(spec.classes)]
        output = helper.make_tensor_value_info(_SCORES_OUTPUT, TensorProto.FLOAT, shape)
    _replace(graph.output, [output])


def _per_channel(values: tuple[float, float, float]) -> Any:
    return np.array(values, dtype=np.float32).reshape(3, 1, 1)


def _constant(graph: onnx.GraphProto, name: str, array: Any) -> str:
    full = f"framewarden/{name}"
    graph.initializer.append(numpy_helper.from_array(array, full))
    return full


def _replace(field: Any, items: list[Any]) -> None:
    """Sets a repeated protobuf field, which cannot be assigned."""
    copies = [type(item).FromString(item.SerializeToString()) for item in items]
    del field[:]
    field.extend(copies)
