"""Builds an ONNX graph from the layers of a Keras model, for whole-frame classifiers.

Keras keeps channels last (NHWC), ONNX first (NCHW): the graph's input is NCHW, kernels are turned here, once,
and the axes where a layer flattens them. A layer or a setting that is not known is refused, never guessed.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeAlias

import msgspec
import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from stream.errors import ModelGraphMismatch

FloatArray: TypeAlias = npt.NDArray[np.float32]

_OPSET: Final = 13
_IR_VERSION: Final = 8
_NHWC: Final = [0, 2, 3, 1]
_PADDING: Final = {"valid": "VALID", "same": "SAME_UPPER"}
"""SAME_UPPER is TensorFlow's `same`: `ceil(size / stride)` outputs, the odd pixel of padding behind."""

_ACTIVATIONS: Final[Mapping[str, tuple[str, dict[str, Any]]]] = {
    "relu": ("Relu", {}),
    "sigmoid": ("Sigmoid", {}),
    "softmax": ("Softmax", {"axis": 1}),
}


class Layer(msgspec.Struct, frozen=True):
    """A layer as Keras writes it down.

    Attributes:
        name: Its name.
        class_name: What it is.
        config: Its settings.
        inbound_nodes: For each use of the layer its inputs: name, node, tensor and settings of each.
    """

    name: str
    class_name: str
    config: dict[str, Any]
    inbound_nodes: tuple[tuple[tuple[Any, ...], ...], ...]


class Network(msgspec.Struct, frozen=True):
    """The layers of a model, each behind those that it takes.

    Attributes:
        layers: The layers.
        input_layers: Name, node and tensor of each input.
        output_layers: The same of each output.
    """

    layers: tuple[Layer, ...]
    input_layers: tuple[tuple[str, int, int], ...]
    output_layers: tuple[tuple[str, int, int], ...]


class ModelConfig(msgspec.Struct, frozen=True):
    """A functional model.

    Attributes:
        config: Its layers.
    """

    config: Network


class Topology(msgspec.Struct, frozen=True):
    """What Keras writes down of a model.

    Attributes:
        model_config: The model.
    """

    model_config: ModelConfig


class _Builder:
    """Collects nodes and constants of one layer after another."""

    def __init__(self, weights: Mapping[str, FloatArray]) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self._weights = weights

    def node(self, layer: Layer, operator: str, inputs: Sequence[str], **attributes: Any) -> str:
        """Adds a node and returns the name of its output."""
        output = f"{layer.name}/{operator}"
        self.nodes.append(helper.make_node(operator, inputs, [output], name=output, **attributes))
        return output

    def constant(self, layer: Layer, name: str, array: npt.NDArray[Any]) -> str:
        """Adds a constant and returns its name."""
        full = f"{layer.name}/{name}"
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(array), full))
        return full

    def weight(self, layer: Layer, name: str) -> FloatArray:
        """Returns a weight of a layer, axes as Keras has them."""
        full = f"{layer.name}/{name}"
        if full not in self._weights:
            raise ModelGraphMismatch(f"layer {layer.name!r} has no weight {full!r}")
        return self._weights[full]

    def bias(self, layer: Layer) -> list[str]:
        """Returns the name of a layer's bias, or nothing where it has none."""
        return [self.constant(layer, "bias", self.weight(layer, "bias"))] if layer.config["use_bias"] else []


def build_onnx(topology: Topology, weights: Mapping[str, FloatArray]) -> onnx.ModelProto:
    """Returns the model of one picture in, `float32 [N, 3, H, W]`, and one row out for each.

    Input and output are named as the layers are.

    Raises:
        ModelGraphMismatch: It has a layer, or a setting of one, that is not known here, or a weight too few.
    """
    network = topology.model_config.config
    try:
        graph = _build_graph(network, weights)
        opset = helper.make_opsetid("", _OPSET)
        model = helper.make_model(graph, opset_imports=[opset], ir_version=_IR_VERSION)
        model = onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True)
        onnx.checker.check_model(model)
    except (KeyError, onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise ModelGraphMismatch(f"the layers make no ONNX graph: {error}") from error
    return model


def _build_graph(network: Network, weights: Mapping[str, FloatArray]) -> onnx.GraphProto:
    builder = _Builder(weights)
    outputs: dict[str, str] = {}
    for layer in network.layers:
        known = _LAYERS.get(layer.class_name)
        if known is None:
            raise ModelGraphMismatch(
                f"layer {layer.name!r} is a {layer.class_name}, expected one of {', '.join(_LAYERS)}"
            )
        outputs[layer.name] = known(builder, layer, [outputs[name] for name in _inputs(layer)])
    (first,) = _single(network.input_layers, "input")
    (last,) = _single(network.output_layers, "output")
    builder.nodes.append(helper.make_node("Identity", [outputs[last]], [last], name=last))
    (shape,) = [layer.config["batch_input_shape"] for layer in network.layers if layer.name == first]
    _, height, width, channels = shape
    pictures = helper.make_tensor_value_info(first, TensorProto.FLOAT, ["n", channels, height, width])
    scores = helper.make_tensor_value_info(last, TensorProto.FLOAT, None)
    return helper.make_graph(builder.nodes, "keras", [pictures], [scores], builder.constants)


def _inputs(layer: Layer) -> list[str]:
    """Returns the names of the layers that a layer takes."""
    if len(layer.inbound_nodes) > 1:
        raise ModelGraphMismatch(
            f"layer {layer.name!r} is used {len(layer.inbound_nodes)} times, expected once"
        )
    return [inbound[0] for node in layer.inbound_nodes for inbound in node]


def _single(ends: Sequence[tuple[str, int, int]], what: str) -> list[str]:
    if len(ends) != 1:
        raise ModelGraphMismatch(f"the model has {len(ends)} {what}s, expected one")
    return [ends[0][0]]


def _expect(layer: Layer, setting: str, *expected: object) -> None:
    """Raises where a setting is given and is none of those that are known."""
    seen = layer.config.get(setting, expected[0])
    if seen not in expected:
        raise ModelGraphMismatch(
            f"layer {layer.name!r}: {setting} is {seen!r}, expected {' or '.join(map(repr, expected))}"
        )


def _input(_builder: _Builder, layer: Layer, _inputs: list[str]) -> str:
    return layer.name


def _activated(builder: _Builder, layer: Layer, value: str) -> str:
    """Returns `value` behind the activation that the layer has of its own."""
    _expect(layer, "activation", "linear", *_ACTIVATIONS)
    activation = layer.config.get("activation", "linear")
    if activation == "linear":
        return value
    operator, attributes = _ACTIVATIONS[activation]
    return builder.node(layer, operator, [value], **attributes)


def _window(layer: Layer, size: str) -> dict[str, Any]:
    """Returns the attributes of a window that slides over the picture.

    A window of one pixel is never padded; where it has strides, ONNX Runtime would find its padding negative.
    """
    _expect(layer, "data_format", "channels_last")
    _expect(layer, "padding", *_PADDING)
    sides = list(layer.config[size])
    padding = "valid" if max(sides) == 1 else layer.config["padding"]
    return {
        "kernel_shape": sides,
        "strides": list(layer.config["strides"]),
        "auto_pad": _PADDING[padding],
    }


def _conv(builder: _Builder, layer: Layer, inputs: list[str]) -> str:
    kernel = builder.weight(layer, "kernel").transpose(3, 2, 0, 1)
    return _convolved(builder, layer, inputs, kernel, 1)


def _depthwise_conv(builder: _Builder, layer: Layer, inputs: list[str]) -> str:
    kernel = builder.weight(layer, "depthwise_kernel")
    height, width, channels, multiplier = kernel.shape
    turned = kernel.transpose(2, 3, 0, 1).reshape(channels * multiplier, 1, height, width)
    return _convolved(builder, layer, inputs, turned, channels)


def _convolved(builder: _Builder, layer: Layer, inputs: list[str], kernel: FloatArray, group: int) -> str:
    _expect(layer, "dilation_rate", [1, 1])
    _expect(layer, "groups", 1)
    constants = [builder.constant(layer, "kernel", kernel), *builder.bias(layer)]
    window = _window(layer, "kernel_size")
    return _activated(
        builder, layer, builder.node(layer, "Conv", [*inputs, *constants], group=group, **window)
    )


def _batch_normalization(builder: _Builder, layer: Layer, inputs: list[str]) -> str:
    _expect(layer, "axis", -1, 3, [3])
    mean = builder.weight(layer, "moving_mean")
    gamma = builder.weight(layer, "gamma") if layer.config["scale"] else np.ones_like(mean)
    beta = builder.weight(layer, "beta") if layer.config["center"] else np.zeros_like(mean)
    arrays = {
        "gamma": gamma,
        "beta": beta,
        "mean": mean,
        "variance": builder.weight(layer, "moving_variance"),
    }
    constants = [builder.constant(layer, name, array) for name, array in arrays.items()]
    epsilon = layer.config["epsilon"]
    return builder.node(layer, "BatchNormalization", [*inputs, *constants], epsilon=epsilon)


def _relu(builder: _Builder, layer: Layer, inputs: list[str]) -> str:
    _expect(layer, "negative_slope", 0, None)
    _expect(layer, "threshold", 0, None)
    most = layer.config.get("max_value")
    if most is None:
        return builder.node(layer, "Relu", inputs)
    limits = [
        builder.constant(layer, "min", np.array(0, np.float32)),
        builder.constant(layer, "max", np.array(most, np.float32)),
    ]
    return builder.node(layer, "Clip", [*inputs, *limits])


def _activation(builder: _Builder, layer: Layer, inputs: list[str]) -> str:
    return _activated(builder, layer, *inputs)


def _zero_padding(builder: _Builder, layer: Layer, inputs: list[str]) -> str:
    _expect(layer, "data_format", "channels_last")
    (top, bottom), (left, right) = layer.config["padding"]
    pads = builder.constant(layer, "pads", np.array([0, 0, top, left, 0, 0, bottom, right], np.int64))
    return builder.node(layer, "Pad", [*inputs, pads])


def _pool(builder: _Builder, layer: Layer, inputs: list[str], *, operator: str) -> str:
    return builder.node(layer, operator, inputs, **_window(layer, "pool_size"))


def _global_average_pool(builder: _Builder, layer: Layer, inputs: list[str]) -> str:
    _expect(layer, "data_format", "channels_last")
    _expect(layer, "keepdims", False)
    return builder.node(layer, "Flatten", [builder.node(layer, "GlobalAveragePool", inputs)])


def _flatten(builder: _Builder, layer: Layer, inputs: list[str]) -> str:
    _expect(layer, "data_format", "channels_last")
    return builder.node(layer, "Flatten", [builder.node(layer, "Transpose", inputs, perm=_NHWC)])


def _dense(builder: _Builder, layer: Layer, inputs: list[str]) -> str:
    constants = [builder.constant(layer, "kernel", builder.weight(layer, "kernel")), *builder.bias(layer)]
    return _activated(builder, layer, builder.node(layer, "Gemm", [*inputs, *constants]))


def _add(builder: _Builder, layer: Layer, inputs: list[str]) -> str:
    return builder.node(layer, "Add" if len(inputs) == 2 else "Sum", inputs)


def _nothing(builder: _Builder, layer: Layer, inputs: list[str]) -> str:
    """A layer that does something in training only."""
    return builder.node(layer, "Identity", inputs)


_LAYERS: Final[Mapping[str, Callable[[_Builder, Layer, list[str]], str]]] = {
    "InputLayer": _input,
    "Conv2D": _conv,
    "DepthwiseConv2D": _depthwise_conv,
    "BatchNormalization": _batch_normalization,
    "ReLU": _relu,
    "Activation": _activation,
    "ZeroPadding2D": _zero_padding,
    "AveragePooling2D": functools.partial(_pool, operator="AveragePool"),
    "MaxPooling2D": functools.partial(_pool, operator="MaxPool"),
    "GlobalAveragePooling2D": _global_average_pool,
    "Flatten": _flatten,
    "Dense": _dense,
    "Add": _add,
    "Dropout": _nothing,
}
