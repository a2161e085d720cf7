"""The parent's side of decoding: starts workers, hands them files, and ends those that die or hang."""

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Generator, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import stream
from stream.config import Decode, Sampling
from stream.decoding.protocol import Message, OpenFile, receive_message, send_open
from stream.errors import WorkerError
from stream.frames import Missed, Sample, StreamEnd, StreamFacts, ViewSpec

MEBIBYTE = 1 << 20
REPLY_BYTES = 64


class ForkServer:
    """Starts and ends decode workers. Thread-safe.

    Args:
        memory_bytes: Address space that a worker may use.
    """

    def __init__(self, memory_bytes: int) -> None:
        self._memory_bytes = memory_bytes
        self._lock = threading.Lock()
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        package_parent = str(Path(stream.__file__).resolve().parent.parent)
        path = os.pathsep.join([package_parent, *filter(None, sys.path)])
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "stream.decoding.forkserver", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                env={**os.environ, "PYTHONPATH": path, "OPENBLAS_NUM_THREADS": "1"},
                stdin=subprocess.DEVNULL,
            )

    def spawn(self) -> "Worker":
        """Starts a worker.

        Raises:
            WorkerError: The fork server is gone.
        """
        ours, theirs = socket.socketpair()
        with theirs, self._lock:
            try:
                socket.send_fds(self._control, [b"spawn %d" % self._memory_bytes], [theirs.fileno()])
                pid = int(self._control.recv(REPLY_BYTES) or 0)
            except (OSError, ValueError) as error:
                raise WorkerError("forkserver_died", f"no decode worker can be started: {error}") from error
        if not pid:
            raise WorkerError("forkserver_died", "no decode worker can be started: the fork server is gone")
        return Worker(self, ours, pid)

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


class Worker:
    """One decode worker. Used by one thread at a time; `kill` may come from any."""

    def __init__(self, server: ForkServer, channel: socket.socket, pid: int) -> None:
        self._server = server
        self._channel = channel
        self._ended = threading.Lock()
        self.pid = pid

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

    def kill(self) -> int:
        """Ends the worker at once; returns its exit code, or minus the signal that ended it."""
        if not self._ended.acquire(blocking=False):
            return 0
        with suppress(OSError):
            self._channel.shutdown(socket.SHUT_RDWR)
        return self._server.reap(self.pid)


class WorkerPool:
    """Workers for reading files, started when needed and used again. Thread-safe.

    Args:
        decode: Limits and time-outs.
        threads_per_file: Decoders for one file.
    """

    def __init__(self, decode: Decode, threads_per_file: int) -> None:
        self._decode = decode
        self._threads_per_file = threads_per_file
        self._server = ForkServer(decode.memory_mib * MEBIBYTE)
        self._lock = threading.Lock()
        self._idle: list[Worker] = []
        self._busy: set[Worker] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

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
            stream_id, tuple(views), sampling, self._decode.max_pixels, self._decode.probe_mib * MEBIBYTE
        )
        try:
            yield from self._read(request, descriptors)
        finally:
            for descriptor in descriptors:
                os.close(descriptor)

    def _read(
        self, request: OpenFile, descriptors: list[int]
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
                        last_s = max(last_s, message.ref.media_time_s)
                        yield message
                    case StreamEnd():
                        done = True
                        reusable = message.code is None  # threads may hang on after an error
                        yield message
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
            if reusable:
                self._idle.append(worker)
                return
        worker.kill()

    def interrupt(self) -> None:
        """Kills the workers that are reading; their readings end at once."""
        with self._lock:
            busy = list(self._busy)
        for worker in busy:
            worker.kill()

    def close(self) -> None:
        """Kills every worker and ends the fork server."""
        with self._lock:
            workers = [*self._idle, *self._busy]
            self._idle.clear()
        for worker in workers:
            worker.kill()
        self._server.close()
