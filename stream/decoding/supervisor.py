"""The parent's side of decoding: starts workers, hands them files, and ends those that die or hang."""

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Generator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from msgspec import structs

import stream
from stream.config import ContainmentMode, Decode, Sampling
from stream.decoding.cage import Layer, uncovered
from stream.decoding.protocol import Message, OpenFile, receive_message, receive_ready, send_open
from stream.errors import WorkerError
from stream.frames import Missed, Sample, StreamEnd, StreamFacts, ViewSpec

MEBIBYTE = 1 << 20
REPLY_BYTES = 64
START_TIMEOUT_S = 30.0
WIRE_STREAM_ID = "file"
"""What a worker calls its file: it need not know the name, which may be no Unicode either."""
KEPT_ENVIRONMENT = ("PATH", "HOME", "TMPDIR", "LANG", "LC_ALL", "TZ", "LD_LIBRARY_PATH", "PYTHONHOME")
"""What the fork server sees of the environment: no credentials belong where hostile bytes are parsed."""


class ForkServer:
    """Starts and ends decode workers. Thread-safe.

    Args:
        memory_bytes: Address space that a worker may use.
        containment: Whether a worker may do without a layer of its cage.
    """

    def __init__(self, memory_bytes: int, containment: ContainmentMode) -> None:
        self._memory_bytes = memory_bytes
        self._containment = containment
        self._lock = threading.Lock()
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        package_parent = str(Path(stream.__file__).resolve().parent.parent)
        path = os.pathsep.join([package_parent, *filter(None, sys.path)])
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "stream.decoding.forkserver", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                env={**_kept_environment(), "PYTHONPATH": path, "OPENBLAS_NUM_THREADS": "1"},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,  # results go there, and no worker may add to them
            )

    def spawn(self) -> "Worker":
        """Starts a worker and waits until it is in its cage.

        Raises:
            WorkerError: The fork server is gone, the worker does not start, or its cage lacks a layer and
                containment is required.
        """
        try:
            ours, theirs = socket.socketpair()
        except OSError as error:
            raise WorkerError("no_descriptor", f"no decode worker can be started: {error}") from error
        with theirs:
            try:
                pid = self._fork(theirs.fileno())
            except WorkerError:
                ours.close()
                raise
        return self._contained(Worker(self, ours, pid))

    def _fork(self, channel: int) -> int:
        with self._lock:
            try:
                socket.send_fds(self._control, [b"spawn %d" % self._memory_bytes], [channel])
                pid = int(self._control.recv(REPLY_BYTES) or 0)
            except (OSError, ValueError) as error:
                raise WorkerError("forkserver_died", f"no decode worker can be started: {error}") from error
        if not pid:
            raise WorkerError("forkserver_died", "no decode worker can be started: the fork server is gone")
        return pid

    def _contained(self, worker: "Worker") -> "Worker":
        try:
            worker.wait_until_ready(START_TIMEOUT_S)
            if self._containment == "require":
                _require_all(worker.missing_layers)
        except WorkerError:
            worker.close()
            raise
        return worker

    def reap(self, pid: int) -> int:
        """Kills worker `pid` if it lives; returns its exit code, or minus the signal that ended it."""
        with self._lock, suppress(OSError, ValueError):
            self._control.send(b"reap %d" % pid)
            return int(self._control.recv(REPLY_BYTES))
        return 0

    def close(self) -> None:
        """Ends the fork server and with it every worker."""
        self._control.close()
        try:
            self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def _kept_environment() -> dict[str, str]:
    return {name: os.environ[name] for name in KEPT_ENVIRONMENT if name in os.environ}


def _require_stream(message: Sample | Missed, stream_id: str) -> None:
    if message.ref.stream_id != stream_id:
        raise WorkerError("worker_protocol", "the decode worker spoke of another stream")


def _not_before(end: StreamEnd, last_s: float, declared_s: float) -> StreamEnd:
    """The end of a file is not before what was read of it, also where the worker lost count by an error."""
    end_s = max(end.end_s, last_s)
    declared_end_s = max(end.declared_end_s, end_s, declared_s if end.frames_seen == 0 else 0.0)
    return structs.replace(end, end_s=end_s, declared_end_s=declared_end_s)


def _require_all(missing: Mapping[Layer, str]) -> None:
    if lacking := uncovered(missing):
        layers = "; ".join(f"{layer} ({why})" for layer, why in lacking.items())
        raise WorkerError(
            "not_contained",
            f'decode.containment is "require", and decode workers cannot be confined here: {layers}. Run '
            'framewarden doctor, and provide what is missing or set decode.containment = "prefer"',
        )


class Worker:
    """One decode worker. Used by one thread at a time; `kill` may come from any.

    Attributes:
        pid: Its process id.
        missing_layers: Layers of its cage that it does without, and why; known once it is ready.
    """

    def __init__(self, server: ForkServer, channel: socket.socket, pid: int) -> None:
        self._server = server
        self._channel = channel
        self._ended = threading.Lock()
        self.pid = pid
        self.missing_layers: Mapping[Layer, str] = {}

    def wait_until_ready(self, timeout_s: float) -> None:
        """Waits for the first message.

        Raises:
            WorkerError: The worker died, took longer than `timeout_s`, or broke the protocol.
        """
        self._channel.settimeout(timeout_s)
        try:
            self.missing_layers = receive_ready(self._channel).missing
        except OSError as error:
            raise WorkerError("worker_died", f"a decode worker did not start: {error}") from error

    def ask(self, request: OpenFile, descriptors: Sequence[int]) -> None:
        """Sends a request.

        Raises:
            WorkerError: The worker is gone.
        """
        try:
            send_open(self._channel, request, descriptors)
        except OSError as error:
            raise WorkerError("worker_died", "the decode worker died") from error

    def receive(self, views: Sequence[ViewSpec], timeout_s: float) -> Message:
        """Waits for the next message.

        Raises:
            WorkerError: The worker died, hung for `timeout_s`, or broke the protocol.
        """
        self._channel.settimeout(timeout_s)
        try:
            return receive_message(self._channel, views)
        except TimeoutError as error:
            raise WorkerError(
                "worker_hung", f"the decode worker gave no sign of life for {timeout_s:g} s"
            ) from error
        except OSError as error:
            raise WorkerError("worker_died", f"the channel to the decode worker broke: {error}") from error

    @property
    def was_killed(self) -> bool:
        """Whether `kill` was called, even if the worker had answered before."""
        return self._ended.locked()

    def kill(self) -> int:
        """Ends the worker at once; returns its exit code, or minus the signal that ended it."""
        if not self._ended.acquire(blocking=False):
            return 0
        with suppress(OSError):
            self._channel.shutdown(socket.SHUT_RDWR)
        return self._server.reap(self.pid)

    def close(self) -> None:
        """Ends the worker and closes its channel; for the thread that uses it."""
        self.kill()
        self._channel.close()


class WorkerPool:
    """Workers for reading files, started when needed and used again. Thread-safe.

    Args:
        decode: Limits and time-outs.
        threads_per_file: Decoders for one file.

    Raises:
        WorkerError: Containment is required, and this machine lacks a layer.
    """

    def __init__(self, decode: Decode, threads_per_file: int) -> None:
        self._decode = decode
        self._threads_per_file = threads_per_file
        self._server = ForkServer(decode.memory_mib * MEBIBYTE, decode.containment)
        self._lock = threading.Lock()
        self._idle: list[Worker] = []
        self._busy: set[Worker] = set()
        if decode.containment == "require":
            try:
                self.missing_layers()
            except WorkerError:
                self.close()
                raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def missing_layers(self) -> Mapping[Layer, str]:
        """Returns the layers of the cage that workers do without here, and why; may start a worker.

        Raises:
            WorkerError: No worker can be started.
        """
        worker = self._take()
        self._give_back(worker, reusable=True)
        return worker.missing_layers

    def read(
        self, path: Path, stream_id: str, views: Sequence[ViewSpec], sampling: Sampling
    ) -> Generator[StreamFacts | Sample | Missed | float | StreamEnd, None, None]:
        """Reads a file: yields its facts, samples, missed frames and progress (media time), and last its end.

        Whatever goes wrong with the file or with the worker that reads it is told by the last item.
        """
        try:
            descriptors = [
                os.open(path, os.O_RDONLY | os.O_CLOEXEC) for _ in range(self._threads_per_file + 1)
            ]
        except OSError as error:
            yield StreamEnd(0.0, 0.0, 0, 0, f"cannot be opened: {error.strerror}", "unreadable")
            return
        request = OpenFile(
            WIRE_STREAM_ID, tuple(views), sampling, self._decode.max_pixels, self._decode.probe_mib * MEBIBYTE
        )
        try:
            yield from self._read(request, descriptors, stream_id)
        finally:
            for descriptor in descriptors:
                os.close(descriptor)

    def _read(
        self, request: OpenFile, descriptors: list[int], stream_id: str
    ) -> Generator[StreamFacts | Sample | Missed | float | StreamEnd, None, None]:
        try:
            worker = self._take()
        except WorkerError as error:
            yield StreamEnd(0.0, 0.0, 0, 0, str(error), error.code)
            return
        last_s, declared_s, done, reusable = 0.0, 0.0, False, False
        try:
            worker.ask(request, descriptors)
            while not done:
                message = worker.receive(request.views, self._decode.progress_timeout_s)
                match message:
                    case StreamFacts():
                        declared_s = message.declared_duration_s or 0.0
                        yield message
                    case Sample() | Missed():
                        _require_stream(message, WIRE_STREAM_ID)
                        last_s = max(last_s, message.ref.media_time_s)
                        yield structs.replace(message, ref=structs.replace(message.ref, stream_id=stream_id))
                    case StreamEnd():
                        done = True
                        reusable = message.code is None  # threads may hang on after an error
                        yield _not_before(message, last_s, declared_s)
                    case _:
                        last_s = max(last_s, message.media_time_s)
                        yield message.media_time_s
        except WorkerError as error:
            code = worker.kill()
            how = f" (signal {-code})" if error.code == "worker_died" and code < 0 else ""
            yield StreamEnd(last_s, max(last_s, declared_s), 0, 0, f"{error}{how}", error.code)
        finally:
            self._give_back(worker, reusable=reusable)

    def _take(self) -> Worker:
        with self._lock:
            worker = self._idle.pop() if self._idle else self._server.spawn()
            self._busy.add(worker)
            return worker

    def _give_back(self, worker: Worker, *, reusable: bool) -> None:
        with self._lock:
            self._busy.discard(worker)
            if reusable and not worker.was_killed:
                self._idle.append(worker)
                return
        worker.close()

    def interrupt(self) -> None:
        """Kills the workers that are reading; their readings end at once."""
        with self._lock:
            busy = list(self._busy)
        for worker in busy:
            worker.kill()

    def close(self) -> None:
        """Kills every worker and ends the fork server."""
        with self._lock:
            idle, busy = list(self._idle), list(self._busy)
            self._idle.clear()
        for worker in idle:
            worker.close()
        for worker in busy:
            worker.kill()  # its reading closes it
        self._server.close()
