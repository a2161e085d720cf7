"""The preprocessing in the graph: equal to NumPy's to the bit, and only where the graph fits its manifest."""

from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto

from stream.errors import ModelGraphMismatch
from stream.scoring.graph import VIEWS_INPUT, embed_preprocessing
from stream.scoring.manifest import Manifest
from tests.support.models import SIZE_PX, toy_graph, toy_manifest

WIDTH, HEIGHT = SIZE_PX
VIEWS = np.random.default_rng(5).integers(0, 256, (3, HEIGHT, WIDTH, 3), dtype=np.uint8)


def tensor_in_graph(manifest: Manifest, layout: str) -> Any:
    """Returns what reaches the original graph."""
    model = onnx.load_model_from_string(embed_preprocessing(toy_graph(layout=layout), manifest))
    model.graph.output.append(onnx.helper.make_tensor_value_info("x", TensorProto.FLOAT, None))
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(["x"], {VIEWS_INPUT: VIEWS})[0]


def run(manifest: Manifest) -> Any:
    model = embed_preprocessing(toy_graph(), manifest)
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    return session.run(None, {VIEWS_INPUT: VIEWS})


@pytest.mark.parametrize("layout", ["nchw", "nhwc"])
@pytest.mark.parametrize("order", ["rgb", "bgr"])
def test_the_tensor_equals_numpys_to_the_bit(layout: str, order: str) -> None:
    mean, std = (103.939, 116.779, 123.68), (57.375, 57.12, 58.395)
    manifest = toy_manifest(input={"layout": layout, "channel_order": order, "mean": mean, "std": std})

    channels = VIEWS if order == "rgb" else VIEWS[..., ::-1]
    expected = (channels.astype(np.float32) - np.float32(mean)) / np.float32(std)
    expected = expected if layout == "nhwc" else expected.transpose(0, 3, 1, 2)
    np.testing.assert_array_equal(tensor_in_graph(manifest, layout), expected)


def test_only_the_named_output_is_left() -> None:
    assert len(run(toy_manifest())) == 1


def test_softmax_makes_rows_that_sum_to_one() -> None:
    (scores,) = run(toy_manifest(outputs={"activation": "softmax"}))

    np.testing.assert_allclose(scores.sum(axis=1), 1.0, rtol=1e-6)


def test_sigmoid_scores_each_class_by_itself() -> None:
    (logits,) = run(toy_manifest())
    (scores,) = run(toy_manifest(outputs={"activation": "sigmoid"}))

    np.testing.assert_allclose(scores, 1 / (1 + np.exp(-logits)), rtol=1e-6)


def test_dimensions_that_the_graph_leaves_open_fit() -> None:
    model = onnx.load_model_from_string(toy_graph())
    for dimension in model.graph.input[0].type.tensor_type.shape.dim[2:]:
        dimension.dim_param = "any"

    assert embed_preprocessing(model.SerializeToString(), toy_manifest())


@pytest.mark.parametrize(
    ("graph", "message"),
    [
        (toy_graph(layout="nhwc"), "shape of 'x'.* manifest says .0, 3, 2, 4."),
        (toy_graph(batch=1), "shape of 'x'"),
        (toy_graph(classes=3), "shape of 'y'.* manifest says .0, 2."),
        (toy_graph(element_type=TensorProto.FLOAT16), "type of 'x'.*FLOAT16"),
        (toy_graph(input_name="z"), r"inputs: the graph has \['z'\], its manifest says \['x'\]"),
        (b"this is no ONNX file at all", "not a valid ONNX model"),
        (b"", "not a valid ONNX model"),
        (toy_graph()[:-20], "not a valid ONNX model"),
    ],
)
def test_a_graph_that_does_not_fit_is_refused_and_says_why(graph: bytes, message: str) -> None:
    with pytest.raises(ModelGraphMismatch, match=message):
        embed_preprocessing(graph, toy_manifest())


def test_an_output_that_is_not_there_is_named() -> None:
    with pytest.raises(ModelGraphMismatch, match="outputs"):
        embed_preprocessing(toy_graph(), toy_manifest(outputs={"name": "probabilities"}))
