"""The cage of a decode worker: what a worker that was taken over by the bytes it parses can still reach.

The fork server calls `prepare` once, each worker calls `enter` before it reads its first request. Layers are
put on one by one; one that this machine cannot put on is reported and leaves the others in place.

    layer        stops                                                         a violation shows as
    limits       memory beyond decode.memory_mib; files that grow, core        MemoryError, EFBIG, EMFILE
                 dumps; more than 256 descriptors
    network      every address: a network namespace without any interface      ENETUNREACH
    privileges   being root: user 65534, no groups, no capabilities; set-uid   EPERM
                 programs (no_new_privs)
    parent       outliving the service: it is killed when the fork server      (the worker is gone)
                 ends
    landlock     opening any path, for reading or writing; TCP; signals and    EACCES, EPERM
                 ptrace to any other process
    seccomp      new programs, processes, sockets and files; signals,          EPERM, EACCES, ENOTTY,
                 scheduling and memory of other processes; changes of a        ENOSYS
                 file's mode, owner and times; kernel interfaces that no
                 decoder needs; ioctl, with which a terminal can be typed into

What a worker keeps: the open files that it was asked to read, the channel to its parent (which trusts nothing
that comes from it, see `protocol`), the service's stderr where that is no regular file, threads, memory up to
its limit, clocks and random numbers.

Not covered: which files there are, their sizes and times (stat needs no open); processor time, as long as
it pretends to progress; timing and other side channels; faults of the kernel in calls that decoding needs.
Threads are not counted, since RLIMIT_NPROC counts those of all of a user's processes; the memory limit
bounds them.

Landlock holds for the thread that calls it and for threads that it starts later, so `enter` comes before any
other thread. From then on nothing can be imported: what decoding imports on first use, `prepare` imports.
"""

import contextlib
import ctypes
import errno
import importlib
import os
import platform
import resource
import signal
from collections.abc import Callable, Iterator, Mapping
from functools import cache, partial
from typing import Final, Literal, TypeAlias

from PIL import Image

try:
    import landlockpy
except ImportError:
    landlockpy = None  # type: ignore[assignment]
try:
    import seccompy
except ImportError:
    seccompy = None  # type: ignore[assignment]

Layer: TypeAlias = Literal["limits", "network", "privileges", "parent", "landlock", "seccomp"]

LAYERS: Final[Mapping[Layer, str]] = {
    "limits": "memory, descriptors and files that grow are limited",
    "network": "a network namespace of its own, without interfaces",
    "privileges": "an ordinary user without capabilities",
    "parent": "ends with the service",
    "landlock": "no path can be opened",
    "seccomp": "no program, process or socket can be made",
}
"""What each layer means to an operator, in the order in which they are put on."""

NOBODY: Final = 65534
MAX_DESCRIPTORS: Final = 256
"""For each decoder of a file one descriptor that comes with the request and one that FFmpeg duplicates, and
at most 64 decoders (`decode.threads_per_file`)."""

_USED_LATE: Final = ("PIL.ImageCms", "av.subtitles.codeccontext", "av.subtitles.stream")
"""What Pillow and PyAV import when a file first needs it: a picture in CIELAB, a subtitle track."""

_CLONE_NEWUSER: Final = 0x10000000
_CLONE_NEWNET: Final = 0x40000000
_CLONE_THREAD: Final = 0x00010000
_PR_SET_PDEATHSIG: Final = 1
_PR_SET_NO_NEW_PRIVS: Final = 38
_CAPABILITY_VERSION_3: Final = 0x20080522
_X32: Final = 0x40000000

_OPENING: Final = (
    "open openat openat2 creat open_by_handle_at name_to_handle_at truncate memfd_create memfd_secret"
)
"""Refused with EACCES, as Landlock does: the only lock on files where the kernel has no Landlock."""

_FORBIDDEN: Final = """
    execve execveat fork vfork unshare setns
    socket bind listen accept accept4 connect
    kill tkill rt_sigqueueinfo rt_tgsigqueueinfo pidfd_open pidfd_getfd pidfd_send_signal
    ptrace process_vm_readv process_vm_writev process_madvise process_mrelease kcmp
    setpriority ioprio_set sched_setscheduler sched_setparam sched_setattr sched_setaffinity
    migrate_pages move_pages
    chmod fchmod fchmodat fchmodat2 chown fchown lchown fchownat utime utimes futimesat utimensat
    setxattr lsetxattr fsetxattr setxattrat removexattr lremovexattr fremovexattr removexattrat file_setattr
    link linkat symlink symlinkat rename renameat renameat2 unlink unlinkat mkdir mkdirat rmdir mknod mknodat
    chroot pivot_root mount umount2 move_mount open_tree fsopen fsconfig fsmount fspick mount_setattr
    quotactl quotactl_fd fanotify_init inotify_init inotify_init1 swapon swapoff acct
    io_uring_setup io_uring_enter io_uring_register io_setup bpf perf_event_open userfaultfd
    keyctl add_key request_key shmget msgget semget mq_open lookup_dcookie nfsservctl uselib
    init_module finit_module delete_module kexec_load kexec_file_load reboot syslog vhangup iopl ioperm
    modify_ldt settimeofday clock_settime clock_adjtime adjtimex sethostname setdomainname personality
"""
"""Refused with EPERM. Names that this architecture or version of seccompy does not know are left out."""


def prepare() -> None:
    """Does what can no longer be done inside: once, in the fork server, before any worker.

    Landlock's and seccomp's packages find the C library when first called, for which they start a program.
    """
    Image.init()  # imports every format that Pillow has
    for module in _USED_LATE:
        importlib.import_module(module)
    for first_call in (_probe_landlock, _probe_seccomp):
        with contextlib.suppress(Exception):  # `enter` says what is missing, and why
            first_call()


def _probe_landlock() -> None:
    if landlockpy is not None:
        landlockpy.abi_version()


def _probe_seccomp() -> None:
    if seccompy is not None:
        seccompy.supported()
        assert _forbidden_calls().program  # compiled here, and not by each worker


def enter(memory_bytes: int, parent_pid: int) -> dict[Layer, str]:
    """Confines the calling process for good. It must have one thread.

    Args:
        memory_bytes: Address space that it may use.
        parent_pid: The process without which it must not live.

    Returns:
        The layers that could not be put on, and why.
    """
    layers: Mapping[Layer, Callable[[], None]] = {
        "limits": partial(_limit, memory_bytes),
        "network": _leave_network,
        "privileges": _give_up_privileges,  # after what may need them
        "parent": partial(_die_with, parent_pid),  # a change of user clears it
        "landlock": _close_paths,
        "seccomp": _close_calls,
    }
    missing: dict[Layer, str] = {}
    for layer, put_on in layers.items():
        try:
            put_on()
        except Exception as error:  # noqa: BLE001 - the packages are young; a layer that fails is reported, whatever failed
            missing[layer] = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return missing


def uncovered(missing: Mapping[Layer, str]) -> dict[Layer, str]:
    """Returns the missing layers that leave something open.

    Where namespaces are forbidden, as in most containers, seccomp alone keeps the worker off the network:
    it refuses every new socket.
    """
    return {layer: why for layer, why in missing.items() if layer != "network" or "seccomp" in missing}


def _limit(memory_bytes: int) -> None:
    limits = {
        resource.RLIMIT_AS: memory_bytes,
        resource.RLIMIT_FSIZE: 0,
        resource.RLIMIT_NOFILE: MAX_DESCRIPTORS,
        resource.RLIMIT_CORE: 0,
    }
    for limit, value in limits.items():
        _, hard = resource.getrlimit(limit)
        lowered = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(limit, (lowered, lowered))


def _leave_network() -> None:
    _libc("unshare", _CLONE_NEWNET if os.geteuid() == 0 else _CLONE_NEWUSER | _CLONE_NEWNET)


def _give_up_privileges() -> None:
    """Becomes nobody if root, and drops every capability, those over a namespace of its own included."""
    _libc("prctl", _PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    if 0 in os.getresuid():
        os.setgroups([])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    _libc("capset", header, (ctypes.c_uint32 * 6)())


def _die_with(parent_pid: int) -> None:
    _libc("prctl", _PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent_pid:
        os._exit(1)  # it was gone before the line above


def _close_paths() -> None:
    if landlockpy is None:
        raise ImportError("the package landlockpy is not installed")
    scopes = landlockpy.Scope.ABSTRACT_UNIX_SOCKET | landlockpy.Scope.SIGNAL
    with landlockpy.Ruleset(scoped=scopes) as everything:
        everything.restrict()


def _close_calls() -> None:
    if seccompy is None:
        raise ImportError("the package seccompy is not installed")
    own = seccompy.Filter(flags=seccompy.FilterFlag.TSYNC)
    own.errno("tgkill", errno.EPERM, args=[(0, seccompy.CmpOp.NE, os.getpid())])  # abort() sends to itself
    own.load()
    _forbidden_calls().load()


@cache
def _forbidden_calls() -> "seccompy.Filter":
    """Returns the filter, which holds for every worker."""
    calls = seccompy.Filter(flags=seccompy.FilterFlag.TSYNC)
    for number in _numbers(_OPENING):
        calls.errno(number, errno.EACCES)
    for number in _numbers(_FORBIDDEN):
        calls.errno(number, errno.EPERM)
    for number in _x32_numbers():
        calls.errno(number, errno.ENOSYS)
    calls.errno("ioctl", errno.ENOTTY)
    # The flags of clone3 are out of a filter's sight; told that there is none, the C library takes clone.
    calls.errno("clone3", errno.ENOSYS)
    calls.errno("clone", errno.EPERM, args=[(0, seccompy.CmpOp.MASKED_EQ, 0, _CLONE_THREAD)])
    calls.errno("prlimit64", errno.EPERM, args=[(0, seccompy.CmpOp.NE, 0)])
    calls.errno("prctl", errno.EPERM, args={0: _PR_SET_PDEATHSIG})
    len(calls.program)
    return calls


def _numbers(names: str) -> Iterator[int]:
    for name in names.split():
        try:
            yield seccompy.syscall_nr(name)
        except ValueError:
            continue


def _x32_numbers() -> Iterator[int]:
    """Yields the same calls under the numbers of the x32 ABI, a second door to the kernel on x86-64."""
    if platform.machine() == "x86_64":
        for number in _numbers(f"{_OPENING} {_FORBIDDEN} ioctl clone clone3 tgkill prlimit64 prctl"):
            yield _X32 | number
        for number in range(512, 548):
            yield _X32 | number


def _libc(function: str, *arguments: object) -> None:
    """Calls a function of the C library that returns 0, or -1 and sets errno."""
    if getattr(ctypes.CDLL(None, use_errno=True), function)(*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{function}: {os.strerror(number)}")
