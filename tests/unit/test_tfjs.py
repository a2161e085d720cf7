"""Layers models of TensorFlow.js: what is read out of JavaScript, how weights come back, what is refused."""

import base64
import re
from typing import Any

import numpy as np
import onnxruntime
import pytest

from stream.errors import ModelGraphMismatch
from stream.scoring.tfjs import (
    Quantization,
    WeightGroup,
    WeightSpec,
    onnx_from_tfjs,
    read_module,
    read_weights,
)
from tests.support.keras import dense_topology, js_literal, js_module

UINT8 = Quantization(dtype="uint8", scale=0.25, minimum=-1.0)
UINT16 = Quantization(dtype="uint16", scale=0.001, minimum=-3.5)


def group(*specs: WeightSpec) -> list[WeightGroup]:
    return [WeightGroup(paths=("shard",), weights=specs)]


def spec(name: str, shape: tuple[int, ...], quantization: Quantization | None = None) -> WeightSpec:
    return WeightSpec(name=name, shape=shape, dtype="float32", quantization=quantization)


@pytest.mark.parametrize(
    ("literal", "value"),
    [
        ("{a:1,b_2:[2,3]}", {"a": 1, "b_2": [2, 3]}),
        ('{"a":"b"}', {"a": "b"}),
        ("[!0,!1,null,true,false]", [True, False, None, True, False]),
        ("[.5,-.25,1.5,-2]", [0.5, -0.25, 1.5, -2]),
        ("[1e-5,1963169733975448e-20,.5e3]", [1e-5, 1963169733975448e-20, 500.0]),
        (r'["a:!0,.5 {b:1}","\"quoted\"",""]', ["a:!0,.5 {b:1}", '"quoted"', ""]),
        ('"QUJD"', "QUJD"),
        ("{}", {}),
    ],
)
def test_a_module_gives_what_it_exports(literal: str, value: Any) -> None:
    assert read_module(js_module(literal)) == value


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (b"", "nothing is exported"),
        (b"alert(1)", "nothing is exported"),
        (b"a.exports=require(1)", "nothing is exported"),
        (js_module("{a:b()}"), "plain value"),
        (js_module("[1"), "plain value"),
        (js_module('"unfinished'), "plain value"),
        (b"\xff\xfe", "plain value"),
    ],
)
def test_a_module_that_exports_no_plain_value_is_refused(module: bytes, message: str) -> None:
    with pytest.raises(ModelGraphMismatch, match=message):
        read_module(module)


def test_weights_follow_each_other_across_shards() -> None:
    values = np.arange(6, dtype="<f4")
    stored = values.tobytes()
    groups = [WeightGroup(paths=("a", "b"), weights=(spec("x", (2, 2)), spec("y", (2,))))]
    weights = read_weights(groups, [stored[:7], stored[7:]])

    np.testing.assert_array_equal(weights["x"], [[0, 1], [2, 3]])
    np.testing.assert_array_equal(weights["y"], [4, 5])


def test_bytes_are_dequantized_with_scale_and_minimum() -> None:
    weights = read_weights(group(spec("x", (3,), UINT8)), [bytes([0, 1, 255])])

    assert weights["x"].dtype == np.float32
    np.testing.assert_array_equal(weights["x"], np.float32([-1.0, -0.75, 62.75]))


def test_sixteen_bits_are_dequantized_little_endian() -> None:
    weights = read_weights(group(spec("x", (2,), UINT16)), [bytes([1, 0, 0, 1])])

    np.testing.assert_array_equal(weights["x"], np.float32([1 * 0.001 - 3.5, 256 * 0.001 - 3.5]))


def test_dequantizing_rounds_once() -> None:
    """JavaScript multiplies and adds in double precision; in single, a third of these would differ."""
    scale, minimum = 0.006666756611244351, -0.87334511607301
    quantization = Quantization(dtype="uint8", scale=scale, minimum=minimum)
    weights = read_weights(group(spec("x", (256,), quantization)), [bytes(range(256))])

    assert weights["x"].tolist() == [float(np.float32(value * scale + minimum)) for value in range(256)]


def test_quantized_and_plain_weights_mix() -> None:
    stored = bytes([4]) + np.float32(7).tobytes() + bytes([8])
    weights = read_weights(group(spec("x", (1,), UINT8), spec("y", (1,)), spec("z", (1,), UINT8)), [stored])

    assert [weights[name].item() for name in "xyz"] == [0.0, 7.0, 1.0]


@pytest.mark.parametrize(
    ("shards", "message"),
    [
        ([bytes(3)], "3 bytes of weights, but the model's JSON describes 4"),
        ([bytes(5)], "5 bytes of weights"),
        ([bytes(2), bytes(2)], "2 shards, but the model's JSON describes 1"),
        ([], "0 shards"),
    ],
)
def test_shards_that_do_not_fit_are_refused(shards: list[bytes], message: str) -> None:
    with pytest.raises(ModelGraphMismatch, match=re.escape(message)):
        read_weights(group(spec("x", (4,), UINT8)), shards)


def model(**changes: Any) -> dict[str, Any]:
    quantization = {"min": -1.0, "scale": 0.25, "dtype": "uint8"}
    weights = [
        {"name": "last/kernel", "shape": [3, 2], "dtype": "float32", "quantization": quantization},
        {"name": "last/bias", "shape": [2], "dtype": "float32", "quantization": quantization},
    ]
    manifest = [{"paths": ["group1-shard1of1"], "weights": weights}]
    return {"modelTopology": dense_topology(units=2), "weightsManifest": manifest, **changes}


SHARD = js_module(js_literal(base64.b64encode(bytes([4, 8, 0, 4, 4, 4, 6, 4])).decode()))


def test_a_whole_model_computes() -> None:
    converted = onnx_from_tfjs([js_module(js_literal(model())), SHARD])
    session = onnxruntime.InferenceSession(converted, providers=["CPUExecutionProvider"])
    picture = np.broadcast_to(np.float32([1, 2, 3]).reshape(1, 3, 1, 1), (1, 3, 2, 4))

    (scores,) = session.run(None, {"first": picture})
    np.testing.assert_allclose(scores, [[1 * 0 + 2 * -1 + 3 * 0 + 0.5, 1 * 1 + 2 * 0 + 3 * 0 + 0]], rtol=1e-6)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ([js_module(js_literal(model())), js_module('"not base64!"')], "not a layers model"),
        ([js_module(js_literal(model())), js_module("[1]")], "not a layers model"),
        ([js_module(js_literal(model(modelTopology={}))), SHARD], "model_config"),
        ([js_module('"text"'), SHARD], "not a layers model"),
        ([js_module(js_literal(model()))], "0 shards"),
        (
            [js_module(js_literal(model()).replace('"uint8"', '"float16"')), SHARD],
            "not a layers model",
        ),
    ],
)
def test_what_is_no_layers_model_is_refused(files: list[bytes], message: str) -> None:
    with pytest.raises(ModelGraphMismatch, match=message):
        onnx_from_tfjs(files)
