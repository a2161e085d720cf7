"""Each Keras layer as ONNX against NumPy, channels last and written out plainly."""

import itertools
import math
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import onnxruntime
import pytest

from stream.errors import ModelGraphMismatch
from stream.scoring.keras import Topology, build_onnx
from tests.support.keras import layer, topology

Array = npt.NDArray[Any]

LAST = "channels_last"
PICTURES = np.random.default_rng(7).normal(size=(2, 7, 6, 3)).astype(np.float32)
"""NHWC: two pictures of 6x7."""


def weight(seed: int, *shape: int) -> Array:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def run(
    *layers: dict[str, Any], weights: dict[str, Array] | None = None, pictures: Array = PICTURES
) -> Array:
    """Returns the output of a model; a picture comes back channels last."""
    _, height, width, channels = pictures.shape
    described = msgspec.convert(topology(*layers, size_px=(width, height), channels=channels), Topology)
    model = build_onnx(described, weights or {}).SerializeToString()
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    result: Array = session.run(None, {"first": pictures.transpose(0, 3, 1, 2)})[0]
    return result.transpose(0, 2, 3, 1) if result.ndim == 4 else result


def windows(pictures: Array, size: tuple[int, int], strides: tuple[int, int], padding: str) -> Array:
    """Returns every window as [N, rows, columns, height, width, C], padded with NaN as TensorFlow does it."""
    pads, counts = [], []
    for length, window, stride in zip(pictures.shape[1:3], size, strides, strict=True):
        count = math.ceil(length / stride) if padding == "same" else (length - window) // stride + 1
        total = max((count - 1) * stride + window - length, 0) if padding == "same" else 0
        pads.append((total // 2, total - total // 2))
        counts.append(count)
    padded = np.pad(pictures, [(0, 0), *pads, (0, 0)], constant_values=np.nan)
    result = np.empty((len(pictures), *counts, *size, pictures.shape[3]), np.float32)
    for row, column in itertools.product(range(counts[0]), range(counts[1])):
        top, left = row * strides[0], column * strides[1]
        result[:, row, column] = padded[:, top : top + size[0], left : left + size[1]]
    return result


WINDOWS = list(itertools.product([(3, 3), (2, 3), (1, 1)], [(1, 1), (2, 2), (3, 2)], ["same", "valid"]))


def conv(name: str = "last", **config: Any) -> dict[str, Any]:
    defaults = {"kernel_size": [3, 3], "strides": [1, 1], "padding": "valid", "data_format": LAST}
    return layer(name, "Conv2D", ["first"], **{**defaults, "use_bias": False, **config})


@pytest.mark.parametrize(("size", "strides", "padding"), WINDOWS)
def test_a_convolution(size: tuple[int, int], strides: tuple[int, int], padding: str) -> None:
    kernel, bias = weight(1, *size, 3, 5), weight(2, 5)
    seen = run(
        conv(kernel_size=list(size), strides=list(strides), padding=padding, use_bias=True),
        weights={"last/kernel": kernel, "last/bias": bias},
    )

    taken = np.nan_to_num(windows(PICTURES, size, strides, padding))
    np.testing.assert_allclose(seen, np.einsum("nrchwi,hwio->nrco", taken, kernel) + bias, atol=1e-5)


@pytest.mark.parametrize(("size", "strides", "padding"), WINDOWS)
@pytest.mark.parametrize("multiplier", [1, 2])
def test_a_depthwise_convolution(
    size: tuple[int, int], strides: tuple[int, int], padding: str, multiplier: int
) -> None:
    kernel = weight(3, *size, 3, multiplier)
    config = {"kernel_size": list(size), "strides": list(strides), "padding": padding, "data_format": LAST}
    seen = run(
        layer("last", "DepthwiseConv2D", ["first"], use_bias=False, **config),
        weights={"last/depthwise_kernel": kernel},
    )

    taken = np.nan_to_num(windows(PICTURES, size, strides, padding))
    expected = np.einsum("nrchwi,hwim->nrcim", taken, kernel)
    np.testing.assert_allclose(seen, expected.reshape(*expected.shape[:3], -1), atol=1e-5)


@pytest.mark.parametrize(("size", "strides", "padding"), WINDOWS)
@pytest.mark.parametrize(("kind", "reduce"), [("Average", np.nanmean), ("Max", np.nanmax)])
def test_pooling_leaves_the_padding_out(
    size: tuple[int, int], strides: tuple[int, int], padding: str, kind: str, reduce: Any
) -> None:
    config = {"pool_size": list(size), "strides": list(strides), "padding": padding, "data_format": LAST}
    seen = run(layer("last", f"{kind}Pooling2D", ["first"], **config))

    np.testing.assert_allclose(
        seen, reduce(windows(PICTURES, size, strides, padding), axis=(3, 4)), atol=1e-6
    )


@pytest.mark.parametrize("scale", [True, False])
@pytest.mark.parametrize("center", [True, False])
def test_a_batch_normalization_uses_its_epsilon(scale: bool, center: bool) -> None:
    gamma, beta, mean = weight(4, 3), weight(5, 3), weight(6, 3)
    variance = np.float32([0.0, 0.001, 2.0])
    named = {"gamma": gamma, "beta": beta, "moving_mean": mean, "moving_variance": variance}
    seen = run(
        layer("last", "BatchNormalization", ["first"], axis=-1, epsilon=0.01, scale=scale, center=center),
        weights={f"last/{name}": array for name, array in named.items()},
    )

    expected = (PICTURES - mean) / np.sqrt(variance + 0.01)
    expected = expected * (gamma if scale else 1) + (beta if center else 0)
    np.testing.assert_allclose(seen, expected, atol=1e-4)


@pytest.mark.parametrize(("most", "limit"), [(None, np.inf), (1, 1.0), (0.5, 0.5)])
def test_a_relu_stops_at_its_maximum(most: float | None, limit: float) -> None:
    seen = run(layer("last", "ReLU", ["first"], max_value=most, negative_slope=0, threshold=0))

    np.testing.assert_array_equal(seen, PICTURES.clip(0, limit))


@pytest.mark.parametrize(
    ("activation", "function"),
    [
        ("linear", lambda x: x),
        ("relu", lambda x: x.clip(0)),
        ("sigmoid", lambda x: 1 / (1 + np.exp(-x))),
        ("softmax", lambda x: np.exp(x) / np.exp(x).sum(axis=-1, keepdims=True)),
    ],
)
def test_an_activation_works_on_channels(activation: str, function: Any) -> None:
    expected = function(PICTURES)
    kernel = np.eye(3, dtype=np.float32).reshape(1, 1, 3, 3)
    of_its_own = run(conv(kernel_size=[1, 1], activation=activation), weights={"last/kernel": kernel})

    np.testing.assert_allclose(of_its_own, expected, atol=1e-6)
    if activation != "linear":
        alone = run(layer("last", "Activation", ["first"], activation=activation))
        np.testing.assert_allclose(alone, expected, atol=1e-6)


def test_zero_padding_goes_where_it_is_asked_for() -> None:
    seen = run(layer("last", "ZeroPadding2D", ["first"], padding=[[0, 1], [2, 3]], data_format=LAST))

    np.testing.assert_array_equal(seen, np.pad(PICTURES, [(0, 0), (0, 1), (2, 3), (0, 0)]))


def test_a_global_average_is_one_row_a_picture() -> None:
    seen = run(layer("last", "GlobalAveragePooling2D", ["first"], data_format=LAST))

    np.testing.assert_allclose(seen, PICTURES.mean(axis=(1, 2)), atol=1e-6)


def test_flattening_keeps_keras_order() -> None:
    seen = run(layer("last", "Flatten", ["first"], data_format=LAST))

    np.testing.assert_array_equal(seen, PICTURES.reshape(2, -1))


def test_a_dense_layer_multiplies_and_adds() -> None:
    kernel, bias = weight(8, 126, 4), weight(9, 4)
    seen = run(
        layer("flat", "Flatten", ["first"], data_format=LAST),
        layer("last", "Dense", ["flat"], use_bias=True, activation="relu"),
        weights={"last/kernel": kernel, "last/bias": bias},
    )

    np.testing.assert_allclose(seen, (PICTURES.reshape(2, -1) @ kernel + bias).clip(0), atol=1e-4)


@pytest.mark.parametrize("count", [2, 3])
def test_adding_takes_any_number(count: int) -> None:
    relu = layer("relu", "ReLU", ["first"], max_value=None)
    seen = run(relu, layer("last", "Add", ["first", "relu", "relu"][:count]))

    np.testing.assert_allclose(seen, PICTURES + (count - 1) * PICTURES.clip(0), atol=1e-6)


def test_dropout_does_nothing() -> None:
    np.testing.assert_array_equal(run(layer("last", "Dropout", ["first"], rate=0.5)), PICTURES)


KERNEL = {"last/kernel": weight(1, 3, 3, 3, 5)}


@pytest.mark.parametrize(
    ("last", "message"),
    [
        (layer("last", "LSTM", ["first"]), "layer 'last' is a LSTM, expected one of InputLayer, Conv2D"),
        (conv(dilation_rate=[2, 2]), r"dilation_rate is \[2, 2\], expected \[1, 1\]"),
        (conv(data_format="channels_first"), "data_format is 'channels_first'"),
        (conv(padding="causal"), "padding is 'causal', expected 'valid' or 'same'"),
        (conv(activation="swish"), "activation is 'swish'"),
        (conv(groups=3), "groups is 3"),
        (conv(use_bias=True), "has no weight 'last/bias'"),
        (layer("last", "ReLU", ["first"], negative_slope=0.1), "negative_slope is 0.1"),
        (layer("last", "ReLU", ["first"], threshold=1), "threshold is 1"),
        (layer("last", "BatchNormalization", ["first"], axis=1), "axis is 1"),
        (layer("last", "GlobalAveragePooling2D", ["first"], keepdims=True), "keepdims is True"),
        (layer("last", "Flatten", ["gone"], data_format=LAST), "gone"),
        (conv() | {"inbound_nodes": [[["first", 0, 0, {}]]] * 2}, "is used 2 times"),
        (layer("last", "Conv2D", ["first"]), "the layers make no ONNX graph: 'use_bias'"),
    ],
)
def test_what_is_not_known_is_refused_and_named(last: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelGraphMismatch, match=message):
        run(last, weights=KERNEL)


def test_a_dense_layer_over_a_picture_is_refused() -> None:
    with pytest.raises(ModelGraphMismatch, match="the layers make no ONNX graph"):
        run(layer("last", "Dense", ["first"], use_bias=False), weights={"last/kernel": weight(1, 3, 5)})


def test_two_outputs_are_refused() -> None:
    tables = topology(layer("last", "Dropout", ["first"]))
    tables["model_config"]["config"]["output_layers"] *= 2

    with pytest.raises(ModelGraphMismatch, match="the model has 2 outputs, expected one"):
        build_onnx(msgspec.convert(tables, Topology), {})
