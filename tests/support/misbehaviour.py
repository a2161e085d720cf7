"""A process of its own that puts children into the decode workers' cage and lets each of them misbehave.

    python -m tests.support.misbehaviour <root|user> <clip> [<system call that this machine is to lack>...]

Prints as JSON which layers are missing, and what became of each deed: `done`, what it returned, the name of
the error, or how the child ended.
"""

import ctypes
import errno
import fcntl
import json
import os
import resource
import signal
import socket
import sys
import tempfile
import termios
import threading
from collections.abc import Callable
from typing import IO, NoReturn

import av
import numpy as np
import seccompy

from stream.decoding.cage import NOBODY, enter, prepare

MEMORY_BYTES = 1 << 30
PTRACE_ATTACH = 16
PR_SET_PDEATHSIG = 1


class Deeds:
    """What a decoder that was taken over may try; everything it can have was opened before."""

    def __init__(self, clip: str) -> None:
        self.clip = os.open(clip, os.O_RDONLY)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.caller = socket.socket()
        self.own: IO[bytes] | None = None

    def take_memory(self) -> None:
        """Allocates without end."""
        taken = []
        while True:
            taken.append(bytearray(1 << 26))

    def fork(self) -> None:
        """Makes a process."""
        if os.fork() == 0:
            os._exit(0)

    def execute(self) -> NoReturn:
        """Becomes another program."""
        os.execv("/bin/sh", ["sh", "-c", "exit 99"])

    def open_socket(self) -> None:
        """Makes a socket."""
        socket.socket().close()

    def connect(self) -> None:
        """Connects a socket that it was given to a port of this machine."""
        self.caller.connect(self.listener.getsockname())

    def reach_out(self) -> None:
        """Connects a new socket to a port of this machine."""
        with socket.socket() as caller:
            caller.connect(self.listener.getsockname())

    def read_file(self) -> None:
        """Reads a file that everybody may read."""
        os.close(os.open("/etc/passwd", os.O_RDONLY))

    def make_file(self) -> None:
        """Makes a file where everybody may."""
        path = f"/tmp/framewarden-{os.getpid()}"
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY))
        os.unlink(path)  # noqa: PTH108 - nothing is imported here

    def remove_file(self) -> None:
        """Removes a file."""
        os.unlink("/tmp/framewarden-none")  # noqa: PTH108 - nothing is imported here

    def grow_file(self) -> None:
        """Writes to an open file."""
        assert self.own is not None
        os.write(self.own.fileno(), b"grown")

    def change_mode(self) -> None:
        """Changes the mode of an open file of its own."""
        assert self.own is not None
        os.fchmod(self.own.fileno(), 0o777)

    def make_memory_file(self) -> None:
        """Makes a file in memory, beyond the limit on address space."""
        os.memfd_create("hidden")

    def make_shared_memory(self) -> None:
        """Makes shared memory that outlives it."""
        segment = self._call("shmget", 0, 1 << 20, 0o600)
        self._call("shmctl", segment, 0, 0)  # IPC_RMID

    def signal_parent(self) -> None:
        """Sends a signal that would do nothing."""
        os.kill(os.getppid(), signal.SIGCONT)

    def trace_parent(self) -> None:
        """Attaches to its parent as a debugger."""
        self._call("ptrace", PTRACE_ATTACH, os.getppid(), 0, 0)

    def slow_parent(self) -> None:
        """Takes processor time from its parent."""
        os.setpriority(os.PRIO_PROCESS, os.getppid(), 19)

    def starve_parent(self) -> None:
        """Takes descriptors from its parent."""
        resource.prlimit(os.getppid(), resource.RLIMIT_NOFILE, resource.getrlimit(resource.RLIMIT_NOFILE))

    def outlive_parent(self) -> None:
        """Refuses to die with its parent."""
        self._call("prctl", PR_SET_PDEATHSIG, 0, 0, 0, 0)

    def raise_limit(self) -> None:
        """Raises the limit on its memory."""
        resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))

    def type_into_terminal(self) -> None:
        """Controls a device; any request will do."""
        fcntl.ioctl(self.clip, termios.FIONREAD, b"\0" * 4)

    def make_ring(self) -> None:
        """Makes an io_uring, whose work no filter sees."""
        self._call("syscall", seccompy.syscall_nr("io_uring_setup"), 1, 0)

    def make_namespace(self) -> None:
        """Becomes root of a namespace."""
        self._call("unshare", 0x10000000)

    def abort(self) -> None:
        """Ends as the C library does on damaged memory."""
        os.abort()

    def start_threads(self) -> None:
        """Starts threads, as decoders do."""
        met = threading.Barrier(8)
        threads = [threading.Thread(target=met.wait) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def decode(self) -> str:
        """Decodes the clip from its descriptor, with threads of FFmpeg's own."""
        with av.open("fd:", options={"fd": str(self.clip)}) as container:
            container.streams.video[0].thread_type = "AUTO"
            frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
        return f"{len(np.stack(frames))} frames"

    @staticmethod
    def _call(function: str, *arguments: int) -> int:
        result = int(getattr(ctypes.CDLL(None, use_errno=True), function)(*arguments))
        if result == -1:
            raise OSError(ctypes.get_errno(), function)
        return result


def become_user() -> None:
    """Gives up root."""
    os.setgroups([])
    os.setresgid(NOBODY, NOBODY, NOBODY)
    os.setresuid(NOBODY, NOBODY, NOBODY)


def lose(calls: list[str]) -> None:
    """Makes this machine one whose kernel lacks `calls`."""
    kernel = seccompy.Filter()
    for call in calls:
        kernel.errno(call, errno.ENOSYS)
    kernel.load()


def attempt(deed: Callable[[], str | None], parent_pid: int) -> tuple[dict[str, str], str]:
    """Returns in the caged child which layers are missing, and what became of `deed`."""
    missing: dict[str, str] = dict(enter(MEMORY_BYTES, parent_pid).items())
    try:
        return missing, deed() or "done"
    except OSError as error:
        return missing, errno.errorcode[error.errno or 0]
    except Exception as error:  # noqa: BLE001 - what it raises is the outcome
        return missing, type(error).__name__


def in_child(deed: Callable[[], str | None]) -> tuple[dict[str, str], str]:
    """Returns what `attempt` returns in a child of its own."""
    parent_pid = os.getpid()
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.write(writing, json.dumps(attempt(deed, parent_pid)).encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as said:
        text = said.read()
    _, status = os.waitpid(pid, 0)
    if text:
        missing, outcome = json.loads(text)
        return missing, outcome
    return {}, f"exit {os.waitstatus_to_exitcode(status)}"


def main() -> None:
    """Tries everything."""
    who, clip, *lost = sys.argv[1:]
    deeds = Deeds(clip)
    prepare()  # the interpreter and its modules may be out of the user's reach
    if who == "user" and os.geteuid() == 0:
        become_user()
    with tempfile.TemporaryFile() as own:
        deeds.own = own
        if lost:
            lose(lost)
        names = [name for name in vars(Deeds) if not name.startswith("_")]
        tried = {name: in_child(getattr(deeds, name)) for name in names}
    missing = tried["start_threads"][0]
    print(
        json.dumps({"missing": missing, "outcomes": {name: outcome for name, (_, outcome) in tried.items()}})
    )


if __name__ == "__main__":
    main()
