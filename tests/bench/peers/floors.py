"""What cannot be avoided: decoding, converting and inferring, each by itself and on all cores."""

import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Final

import av
import numpy as np
import onnxruntime as ort
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.reformatter import VideoReformatter
from contract import arguments, frame_step, report

CORES: Final = len(os.sched_getaffinity(0))
"""How many threads share the work. FFmpeg, swscale and ONNX Runtime all let go of Python's lock."""

Job = Callable[[], int]


def decode_all(clip: Path, step: int, _: Path) -> list[Job]:
    """Decodes every frame: a decoder of one thread for each stretch of the clip."""
    return [partial(_decode, clip, part, step, needed=False) for part in range(CORES)]


def decode_needed(clip: Path, step: int, _: Path) -> list[Job]:
    """Decodes a GOP up to its last wanted frame, and of those before it only what others refer to."""
    return [partial(_decode, clip, part, step, needed=True) for part in range(CORES)]


def convert(clip: Path, step: int, _: Path) -> list[Job]:
    """Converts as many frames as are wanted to 256x256 RGB; they are decoded beforehand."""
    with av.open(str(clip)) as container:
        frames = [frame for _, frame in zip(range(16), container.decode(video=0), strict=False)]
    return [partial(_convert, frames, count) for count in _shares(clip, step)]


def infer(clip: Path, step: int, model: Path) -> list[Job]:
    """Infers as many pictures as are wanted: one session of one thread, called by a thread a core."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
    _infer(session, 1)
    return [partial(_infer, session, count) for count in _shares(clip, step)]


FLOORS: Final = {"decode_all": decode_all, "decode_needed": decode_needed, "convert": convert, "infer": infer}


def _decode(clip: Path, part: int, step: int, *, needed: bool) -> int:
    wanted_frames = 0
    with av.open(str(clip)) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        ticks = round(1 / (stream.average_rate * stream.time_base))  # of pts, a frame
        gops = list(_gops(container.demux(stream)))
        for gop in gops[part * len(gops) // CORES : (part + 1) * len(gops) // CORES]:
            wanted = {packet.pts for packet in gop if packet.pts // ticks % step == 0}
            frames = _decode_gop(stream.codec_context, gop, wanted if needed else None)
            wanted_frames += sum(pts in wanted for pts in frames)
    return wanted_frames


def _gops(packets: Iterator[Packet]) -> Iterator[list[Packet]]:
    gop: list[Packet] = []
    for packet in packets:
        if packet.is_keyframe and gop:
            yield gop
            gop = []
        if packet.pts is not None:  # the last one, which is empty, says only that nothing follows
            gop.append(packet)
    yield gop


def _decode_gop(decoder: VideoCodecContext, gop: list[Packet], wanted: set[int] | None) -> list[int]:
    """Returns the pts of the frames that came out; with `wanted`, no more than these need is decoded."""
    last = max((index for index, packet in enumerate(gop) if wanted and packet.pts in wanted), default=-1)
    frames = []
    for packet in gop if wanted is None else gop[: last + 1]:
        decoder.skip_frame = "DEFAULT" if wanted is None or packet.pts in wanted else "NONREF"
        frames += decoder.decode(packet)
    decoder.skip_frame = "DEFAULT"
    frames += decoder.decode(None)
    decoder.flush_buffers()
    return [frame.pts for frame in frames]


def _convert(frames: list[av.VideoFrame], count: int) -> int:
    reformatter = VideoReformatter()
    for index in range(count):
        frame = frames[index % len(frames)]
        reformatter.reformat(frame, 256, 256, format="rgb24", interpolation="BILINEAR")
    return count


def _infer(session: ort.InferenceSession, count: int) -> int:
    name = session.get_inputs()[0].name
    picture = np.random.default_rng(1).normal(0, 60, (1, 224, 224, 3)).astype(np.float32)
    for _ in range(count):
        session.run(None, {name: picture})
    return count


def _shares(clip: Path, step: int) -> list[int]:
    """Returns how many of the wanted frames fall to each core."""
    with av.open(str(clip)) as container:
        wanted = -(-container.streams.video[0].frames // step)
    return [len(range(core, wanted, CORES)) for core in range(CORES)]


def _rate(clip: Path) -> float:
    with av.open(str(clip)) as container:
        return float(container.streams.video[0].average_rate)


def main() -> None:
    wanted = arguments()
    step = frame_step(wanted.sampling, wanted.every, _rate(wanted.clip))
    jobs = FLOORS[wanted.variant](wanted.clip, step, wanted.model)
    with ThreadPoolExecutor(CORES) as pool:
        started = time.perf_counter()
        samples = sum(pool.map(lambda job: job(), jobs))
        report(time.perf_counter() - started, samples)


if __name__ == "__main__":
    main()
