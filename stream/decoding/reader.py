"""Reads one file in the worker: one thread demuxes and plans, others decode GOPs side by side, one sends.

    demux + plan --> Series of Parts --> decoders (one thread each) --> results, sent in order of the Series

A Series is what one decoder decodes alone: a GOP, or the parts of a long one. Series are handed out in order
and their results are sent in order, so that frames leave in order of presentation however the decoders race.
All queues are bounded: when the parent is busy, sending blocks, and so does everything before it.
"""

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from queue import Queue
from typing import TypeAlias

from av.container import InputContainer
from av.video.codeccontext import VideoCodecContext
from av.video.stream import VideoStream

from stream.decoding import container as containers
from stream.decoding.decoder import Alive, AnyPacket, Kept, Lost, PartDecoder
from stream.decoding.demuxing import Demuxer
from stream.decoding.planning import GopPlanner, Part, UnusableTimes
from stream.decoding.protocol import MissedSent, Opened, OpenFile, Progress, Reply, SampleSent
from stream.decoding.sampling import Sampler, Timeline
from stream.decoding.sequential import SequentialDecoder, Start
from stream.decoding.views import Viewer
from stream.errors import SourceError
from stream.frames import FrameRef, Missed, StreamEnd, ViewArray

PROGRESS_EVERY_S = 0.5
Send: TypeAlias = Callable[[Reply, list[ViewArray]], None]


@dataclass(frozen=True)
class Series:
    """A run of parts for one decoder, and what became of them. None ends either queue."""

    parts: "Queue[Part[AnyPacket] | None]" = field(default_factory=lambda: Queue(2))
    results: "Queue[Kept | Lost | Alive | BaseException | None]" = field(default_factory=lambda: Queue(32))


class FileReader:
    """Reads one video file and sends its samples.

    Args:
        request: What to read and how.
        descriptors: Open files of the same bytes, each with an offset of its own: one for the demuxer, and
            one for each decoder.
        send: Takes each reply with its views; may block.
    """

    def __init__(self, request: OpenFile, descriptors: list[int], send: Send) -> None:
        self._request = request
        self._descriptors = descriptors
        self._decoder_count = len(descriptors) - 1
        self._send = send
        self._todo: Queue[Series | None] = Queue(self._decoder_count)
        self._order: Queue[Series | Progress | BaseException | None] = Queue(2 * self._decoder_count + 2)
        self._opened: list[InputContainer] = []
        self._decoders: list[PartDecoder | SequentialDecoder] = []
        self._last_progress_s = time.monotonic()
        self._frames_seen = 0
        self._sent_s = 0.0

    def read(self) -> StreamEnd:
        """Sends everything; returns how the file ended.

        Raises:
            SourceError: The file holds no video that can be read.
        """
        opened = containers.open_container(self._descriptors[0], self._request.probe_bytes)
        self._opened.append(opened)
        stream = containers.video_stream(opened, self._request.max_pixels)
        self._time_base = stream.time_base or Fraction(1, 1000)
        facts = containers.facts(opened, stream)
        self._send(Opened(facts), [])
        frame_s = 1 / float(stream.average_rate or stream.guessed_rate or 25)
        self._frame_pts = max(1, round(frame_s / self._time_base))
        self._timeline = Timeline(float(self._time_base), frame_s)
        self._sampler = Sampler(self._request.sampling)
        # AVI has no pts; what FFmpeg makes up for B-frames is out of order.
        self._counts_frames = opened.format.name == "avi" and stream.codec_context.has_b_frames
        self._demuxer = Demuxer(
            opened,
            stream,
            self._sampler,
            self._timeline,
            self._progress,
            with_repeats=self._counts_frames,
        )
        self._start_threads(stream)
        self._send_in_order()
        is_mp4 = opened.format.name.startswith("mov")
        self._tail_s = containers.MP4_MISSING_TAIL_S if is_mp4 else containers.MISSING_TAIL_S
        self._others = len(containers.moving_streams(opened)) - 1
        for container in self._opened:
            container.close()
        return self._end(facts.declared_duration_s, frame_s)

    def _start_threads(self, stream: VideoStream) -> None:
        threading.Thread(target=self._demux, args=(stream,), daemon=True).start()
        for index in range(self._decoder_count):
            threading.Thread(target=self._work, args=(index,), daemon=True).start()

    # The demuxing thread.

    def _demux(self, stream: VideoStream) -> None:
        try:
            self._plan(stream)
            self._order.put(None)
        except BaseException as error:  # noqa: BLE001 - a thread ends here; the sending thread raises it
            self._order.put(error)
        finally:
            for _ in range(self._decoder_count):
                self._todo.put(None)

    def _progress(self) -> None:
        now_s = time.monotonic()
        if now_s - self._last_progress_s > PROGRESS_EVERY_S:
            self._last_progress_s = now_s
            self._order.put(Progress(self._timeline.end_s))

    def _plan(self, stream: VideoStream) -> None:
        sampler, packets = self._sampler, self._demuxer.packets()
        planner: GopPlanner[AnyPacket] = GopPlanner(sampler, self._timeline)
        series: Series | None = None
        packet: AnyPacket | None = None
        if self._counts_frames:
            self._decode_everything(packets, sampler, stream, None)
            return
        try:
            for packet in packets:
                for part in planner.push(packet):
                    series = self._hand_out(part, series)
            packet = None
            for part in planner.finish():
                series = self._hand_out(part, series)
        except UnusableTimes:
            held = [] if packet is None or packet in planner.pending() else [packet]
            damage = self._break_off(planner, series) if series is not None else None
            if planner.frames_seen:
                self._timeline.start_epoch()
            if damage is None:
                held = planner.pending() + held
            self._decode_everything(_chain(held, packets), sampler, stream, damage)
        self._frames_seen += planner.frames_seen

    def _break_off(self, planner: GopPlanner[AnyPacket], series: Series) -> str:
        """Ends a GOP of which a decoder has a part already, as far as its packets' times can be used."""
        try:
            for part in planner.finish():
                series.parts.put(part)
        except UnusableTimes:
            series.parts.put(Part((), {}, first=False, last=True, leading=0))
        series.parts.put(None)
        return "the timestamps break off within a GOP"

    def _hand_out(self, part: Part[AnyPacket], series: Series | None) -> Series | None:
        """Passes a part on; returns the series that the next part may belong to."""
        if part.first or series is None:
            series = Series()
            self._todo.put(series)
            self._order.put(series)
        series.parts.put(part)
        if not part.last:
            return series
        series.parts.put(None)
        return None

    def _decode_everything(
        self, packets: Iterable[AnyPacket], sampler: Sampler, stream: VideoStream, damage: str | None
    ) -> None:
        series = Series()
        self._order.put(series)
        viewer = Viewer(self._request.views)
        decoder = SequentialDecoder(
            stream.codec_context,
            viewer,
            self._timeline,
            sampler,
            self._request.max_pixels,
            Start(self._counts_frames, self._frame_pts, damage),
        )
        self._decoders.append(decoder)
        for result in decoder.decode(packets):
            series.results.put(result)
        self._frames_seen += decoder.frames_seen
        series.results.put(None)

    # The decoding threads.

    def _work(self, index: int) -> None:
        decoder: PartDecoder | None = None
        while (series := self._todo.get()) is not None:
            try:
                if decoder is None:
                    viewer = Viewer(self._request.views)
                    decoder = PartDecoder(self._own_context(index), viewer, self._request.max_pixels)
                    self._decoders.append(decoder)
                while (part := series.parts.get()) is not None:
                    for result in decoder.decode(part):
                        series.results.put(result)
                series.results.put(None)
            except BaseException as error:  # noqa: BLE001 - a thread ends here; the sending thread raises it
                series.results.put(error)
                return

    def _own_context(self, index: int) -> VideoCodecContext:
        """Returns a codec context that belongs to one decoding thread: that of the file opened anew.

        Opening anew gives every parameter of the codec. The demuxing container's own context is no choice: a
        seek flushes it.
        """
        again = containers.open_container(self._descriptors[index + 1], self._request.probe_bytes)
        self._opened.append(again)
        return containers.video_stream(again, self._request.max_pixels).codec_context

    # The sending thread.

    def _send_in_order(self) -> None:
        while (item := self._order.get()) is not None:
            match item:
                case BaseException():
                    raise item
                case Progress():
                    self._send(item, [])
                case Series():
                    self._send_series(item)

    def _send_series(self, series: Series) -> None:
        while (result := series.results.get()) is not None:
            if isinstance(result, BaseException):
                raise result
            if isinstance(result, Alive):
                self._send(Progress(self._sent_s), [])
            else:
                self._send_result(result)

    def _send_result(self, result: Kept | Lost) -> None:
        wanted = result.wanted
        self._sent_s = wanted.media_time_s
        ref = FrameRef(
            self._request.stream_id,
            wanted.epoch,
            wanted.pts,
            (self._time_base.numerator, self._time_base.denominator),
            wanted.media_time_s,
            wanted.is_keyframe,
            result.width if isinstance(result, Kept) else 0,
            result.height if isinstance(result, Kept) else 0,
        )
        if isinstance(result, Kept):
            self._send(SampleSent(ref, wanted.frames_between), result.views)
        else:
            self._send(MissedSent(Missed(ref, "undecodable", result.reason, wanted.frames_between)), [])

    def _end(self, declared_duration_s: float | None, frame_s: float) -> StreamEnd:
        end_s = declared_end_s = self._timeline.end_s
        damage = self._demuxer.damage
        reason, code = damage, "demux_error" if damage else None
        if self._frames_seen == 0:
            raise SourceError("no_frames", damage or "the video stream holds no frame")
        short = declared_duration_s is not None and self._demuxer.extent.falls_short_of(
            declared_duration_s, frame_s, self._tail_s
        )
        if declared_duration_s is not None and (short or damage):
            declared_end_s = max(end_s, declared_duration_s)
        if declared_duration_s is not None and short:
            code = "truncated"
            reason = f"the file declares {declared_duration_s:.2f} s and ends at {end_s:.2f} s"
        if code is None and self._others:
            code, reason = "other_streams", f"{self._others} more video streams in it were not looked at"
        frames_decoded = sum(decoder.frames_decoded for decoder in self._decoders)
        return StreamEnd(end_s, declared_end_s, frames_decoded, self._frames_seen, reason, code)


def _chain(held: list[AnyPacket], packets: Iterator[AnyPacket]) -> Iterator[AnyPacket]:
    yield from held
    yield from packets
