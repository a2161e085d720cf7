"""The fork server: a small process with av and numpy loaded that forks decode workers on request.

A fork from it costs a few milliseconds and shares its memory; starting Python and importing av costs a
quarter of a second. It has one thread, opens nothing from outside, and alone waits for its children, so
that a process id is never signalled after it was reused. (multiprocessing's own fork server runs the caller's
`__main__` again in each child, which breaks three-line scripts that use the library.)

Each request is one datagram on a SOCK_SEQPACKET socket, each reply another:

    spawn <memory_bytes>  + the worker's channel   ->  <pid>
    reap <pid>                                     ->  <exit code, or minus the signal>
"""

import os
import signal
import socket
import sys

from stream.decoding.cage import prepare
from stream.decoding.worker import run

REQUEST_BYTES = 256


def main(control: socket.socket) -> None:
    """Serves requests until the parent is gone, then kills every child."""
    children: set[int] = set()
    prepare()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which then ends its workers
    while True:
        request, descriptors, _, _ = socket.recv_fds(control, REQUEST_BYTES, 1)
        if not request:
            break
        command, argument = request.decode().split()
        if command == "spawn":
            pid = _spawn(control, descriptors[0], int(argument))
            children.add(pid)
            control.send(str(pid).encode())
        else:
            control.send(str(_reap(int(argument), children)).encode())
    for pid in children:
        os.kill(pid, signal.SIGKILL)


def _spawn(control: socket.socket, descriptor: int, memory_bytes: int) -> int:
    server_pid = os.getpid()
    pid = os.fork()
    if pid:
        os.close(descriptor)
        return pid
    status = 1
    try:
        control.close()
        run(socket.socket(fileno=descriptor), memory_bytes, server_pid)
        status = 0
    except (BrokenPipeError, ConnectionResetError):
        status = 0  # the parent gave up on this file
    except BaseException as error:  # noqa: BLE001 - a process ends here; the parent sees it die
        os.write(2, f"decode worker: {type(error).__name__}: {error}\n".encode())
    finally:
        os._exit(status)


def _reap(pid: int, children: set[int]) -> int:
    """Kills the child if it still lives and returns how it ended."""
    if pid not in children:
        return 0
    os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    children.discard(pid)
    return os.waitstatus_to_exitcode(status)


if __name__ == "__main__":
    main(socket.socket(fileno=int(sys.argv[1])))
