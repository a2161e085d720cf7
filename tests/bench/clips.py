"""The clips that everything scores: a real film, encoded the way files usually are, made once."""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import cycle, islice
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
from av.container import OutputContainer
from av.video.stream import VideoStream

from tests.bench.downloads import SOURCE_CLIP, fetch

Planes = npt.NDArray[np.uint8]
"""A 4:2:0 picture as PyAV lays it out: uint8 [3/2 H, W], luma above both chroma planes."""


@dataclass(frozen=True)
class ClipSpec:
    """What decides every byte of a clip, but for the encoder's version."""

    length_s: int = 120
    rate: int = 30
    """Frames a second."""
    gop: int = 60
    """Frames from keyframe to keyframe, exactly."""
    preset: str = "medium"
    crf: int = 23

    @property
    def frames(self) -> int:
        """How many frames the clip has."""
        return self.length_s * self.rate

    @property
    def file_name(self) -> str:
        """Name of the file, different for different parameters."""
        return f"bigbuckbunny-720p{self.rate}-{self.length_s}s-{self.preset}-crf{self.crf}-gop{self.gop}.mp4"


def make_clip(spec: ClipSpec, folder: Path) -> Path:
    """Returns the path of the clip in `folder`, which is encoded first where it is not there yet.

    Raises:
        BenchError: The source clip cannot be had.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / spec.file_name
    if not path.exists():
        unfinished = path.with_name(f".{path.name}")
        _encode(spec, fetch(SOURCE_CLIP, folder), unfinished)
        unfinished.replace(path)
    return path


def _encode(spec: ClipSpec, source: Path, path: Path) -> None:
    options = {"preset": spec.preset, "crf": str(spec.crf), "g": str(spec.gop), "sc_threshold": "0"}
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=spec.rate, options=options)
        assert isinstance(stream, VideoStream)
        stream.width, stream.height, stream.pix_fmt = 1280, 720, "yuv420p"
        for number, planes in enumerate(islice(_endless(source), spec.frames)):
            _encode_frame(container, stream, planes, number, spec.rate)
        container.mux(stream.encode(None))


def _encode_frame(
    container: OutputContainer, stream: VideoStream, planes: Planes, number: int, rate: int
) -> None:
    frame = av.VideoFrame.from_ndarray(planes, format="yuv420p")
    frame.pts, frame.time_base = number, Fraction(1, rate)
    container.mux(stream.encode(frame))


def _endless(source: Path) -> Iterator[Planes]:
    """Yields the clip's pictures, then the same mirrored, and so on: no round is a copy of the one before."""
    with av.open(str(source)) as container:
        once = [
            frame.to_ndarray(format="yuv420p").astype(np.uint8, copy=False)
            for frame in container.decode(video=0)
        ]
    return cycle([*once, *map(_mirrored, once)])


def _mirrored(planes: Planes) -> Planes:
    rows, width = planes.shape
    height = rows * 2 // 3
    luma = planes[:height, ::-1]
    chroma = planes[height:].reshape(-1, width // 2)[:, ::-1].reshape(-1, width)
    return np.ascontiguousarray(np.concatenate([luma, chroma]))
