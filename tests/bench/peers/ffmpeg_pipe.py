"""What a good user writes: ffmpeg selects and shrinks, a pipe carries frames, ONNX Runtime takes batches."""

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import imageio_ffmpeg
import numpy as np
import numpy.typing as npt
import onnxruntime as ort
from contract import arguments, report

SIDE: Final = 256
FRAME_BYTES: Final = SIDE * SIDE * 3
CROP: Final = slice(16, 240)
MEAN_BGR: Final = np.array([104, 117, 123], dtype=np.float32)
BATCH: Final = 16


def read_batches(clip: Path, sampling: str, every: int) -> Iterator[npt.NDArray[np.uint8]]:
    """Yields uint8 RGB [N, 256, 256, 3] with at most `BATCH` pictures."""
    select = f"fps=1/{every}" if sampling == "interval" else f"select='not(mod(n\\,{every}))'"
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-nostdin", "-i", str(clip)]
    command += ["-vf", f"{select},scale={SIDE}:{SIDE}", "-fps_mode", "passthrough"]
    command += ["-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        while raw := process.stdout.read(BATCH * FRAME_BYTES):
            yield np.frombuffer(raw, np.uint8).reshape(-1, SIDE, SIDE, 3)
    if process.returncode:
        raise SystemExit(f"ffmpeg ended with status {process.returncode}")


def prepare(pictures: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """Returns float32 BGR [N, 224, 224, 3] less the mean."""
    return pictures[:, CROP, CROP, ::-1] - MEAN_BGR


def main() -> None:
    wanted = arguments()
    session = ort.InferenceSession(str(wanted.model), providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    session.run(None, {name: np.zeros((BATCH, 224, 224, 3), np.float32)})
    started = time.perf_counter()
    scores: list[float] = []
    for pictures in read_batches(wanted.clip, wanted.sampling, wanted.every):
        (rows,) = session.run(None, {name: prepare(pictures)})
        scores += rows[:, 1].tolist()
    report(time.perf_counter() - started, len(scores), scores)


if __name__ == "__main__":
    main()
