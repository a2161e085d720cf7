"""What `framewarden doctor` looks at: what is installed, what works here, and what to do where it does not.

Every check stands alone, and none is trusted to work: where it raises, that is what it found.
"""

import importlib
import os
import platform
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

import msgspec
import numpy as np

from stream.config import Decode, Sampling, Scoring
from stream.decoding.cage import LAYERS, Layer
from stream.decoding.supervisor import WorkerPool
from stream.errors import FramewardenError
from stream.frames import Sample, StreamEnd, StreamFacts, ViewSpec
from stream.resources import models_folder
from stream.scoring import store
from stream.scoring.manifest import Manifest, load_manifests
from stream.service import cores

State: TypeAlias = Literal["ok", "note", "bad"]

REINSTALL: Final = "install framewarden again: pip install --force-reinstall framewarden"
PULL: Final = "framewarden models pull"

PACKAGES: Final = {
    "av": "av",
    "numpy": "numpy",
    "opencv-python-headless": "cv2",
    "pillow": "PIL",
    "kafka-python": "kafka",
    "prometheus-client": "prometheus_client",
}
"""Distribution to the module that it brings; ONNX Runtime comes in two and has a check of its own."""

RUNTIMES: Final = ("onnxruntime", "onnxruntime-gpu")
DECODERS: Final = ("h264", "hevc", "vp9", "av1", "mpeg2video", "mjpeg")

_CLIP_FRAMES: Final = 3
_CLIP_SIZE_PX: Final = 64
_LIMIT_BYTES: Final = 1 << 30
_LIMIT_PROBE: Final = """
import os, sys
from stream.decoding.cage import enter, prepare
prepare()
enter(int(sys.argv[1]), os.getppid())
try:
    bytearray(int(sys.argv[1]))
except MemoryError:
    sys.exit(0)
sys.exit(1)
"""

_CAGE_ADVICE: Final[Mapping[Layer, str]] = {
    "limits": "run on a Linux kernel, or a sandbox, that has setrlimit",
    "network": "allow user namespaces, or leave it: this is a second lock",
    "privileges": "run as an ordinary user, or as root that may change its user (CAP_SETUID, CAP_SETGID)",
    "parent": "run on a Linux kernel, or a sandbox, that has prctl",
    "landlock": "run on Linux 5.13 or newer with landlock among its security modules, and install landlockpy",
    "seccomp": "run on Linux on x86-64 or aarch64, with seccomp filters in the kernel, and install seccompy",
}


class Finding(msgspec.Struct, frozen=True):
    """What one check found.

    Attributes:
        subject: What was looked at.
        state: `ok`, `note` (works, but worth knowing) or `bad` (something will not work).
        seen: What was seen, in words.
        advice: What to do; there for everything that is bad.
    """

    subject: str
    state: State
    seen: str
    advice: str | None = None


Check: TypeAlias = Callable[[], Iterable[Finding]]


def diagnose() -> list[Finding]:
    """Returns what every check found. Blocks for some seconds; never raises."""
    return [finding for subject, check in CHECKS for finding in guarded(subject, check)]


def guarded(subject: str, check: Check) -> list[Finding]:
    """Returns what `check` finds; one that raises has found something bad about `subject`."""
    found: list[Finding] = []
    try:
        found.extend(check())
    except Exception as error:  # noqa: BLE001 - a broken installation may raise anything, and is what is looked for
        found.append(Finding(subject, "bad", f"the check failed: {type(error).__name__}: {error}", REINSTALL))
    return found


def _check_machine() -> Iterator[Finding]:
    yield Finding("python", "ok", f"{platform.python_version()} ({platform.python_implementation()})")
    is_linux = sys.platform == "linux"
    yield Finding(
        "platform",
        "ok" if is_linux else "bad",
        f"{platform.system()} {platform.release()}, {platform.machine()}",
        None if is_linux else "use Linux: decode workers need its limits on processes",
    )
    yield Finding("cores", "ok", f"{cores()} usable of {os.cpu_count()}")


def _check_packages() -> Iterator[Finding]:
    for distribution, module in PACKAGES.items():
        yield package_finding(distribution, module)


def package_finding(distribution: str, module: str) -> Finding:
    """Returns whether a package is installed, in which version, and whether it can be imported."""
    try:
        installed = version(distribution)
    except PackageNotFoundError:
        return Finding(distribution, "bad", "not installed", REINSTALL)
    try:
        with warnings.catch_warnings(action="ignore"):  # the package's own affair
            importlib.import_module(module)
    except Exception as error:  # noqa: BLE001 - native code may raise anything while it loads
        seen = f"{installed}, cannot be imported: {error}"
        return Finding(
            distribution, "bad", seen, f"pip install --force-reinstall {distribution}=={installed}"
        )
    return Finding(distribution, "ok", installed)


def _check_ffmpeg() -> Iterator[Finding]:
    av = importlib.import_module("av")
    yield Finding("ffmpeg", "ok", str(av.ffmpeg_version_info))
    yield decoder_finding([name for name in DECODERS if not _has_decoder(av, name)])


def decoder_finding(missing: list[str]) -> Finding:
    """Returns the finding for an FFmpeg that lacks the decoders `missing`."""
    if missing:
        advice = (
            "use PyAV's own wheels, which bring FFmpeg: pip install --force-reinstall --only-binary=av av"
        )
        return Finding("decoders", "bad", f"missing: {', '.join(missing)}", advice)
    return Finding("decoders", "ok", " ".join(DECODERS))


def _has_decoder(av: Any, name: str) -> bool:
    try:
        av.Codec(name, "r")
    except ValueError:  # `UnknownCodecError` is one
        return False
    return True


def _check_onnxruntime() -> Iterator[Finding]:
    installed = [name for name in RUNTIMES if _is_installed(name)]
    if not installed:
        yield Finding("onnxruntime", "bad", "not installed", REINSTALL)
        return
    for name in installed:
        yield package_finding(name, "onnxruntime")
    yield from both_runtimes(installed)
    providers = importlib.import_module("onnxruntime").get_available_providers()
    yield Finding("providers", "ok", " ".join(name.removesuffix("ExecutionProvider") for name in providers))


def both_runtimes(installed: list[str]) -> Iterator[Finding]:
    """Yields a note if both builds of ONNX Runtime are there: they overwrite each other's files."""
    if len(installed) > 1:
        yield Finding(
            "onnxruntime",
            "note",
            f"{' and '.join(installed)} are both installed, and whichever came last wins",
            f"pip uninstall -y {' '.join(installed)}, then install framewarden again",
        )


def _is_installed(distribution: str) -> bool:
    try:
        version(distribution)
    except PackageNotFoundError:
        return False
    return True


def _check_gpu() -> Iterator[Finding]:
    from stream.scoring.session import decide_provider, open_session, probe_gpu  # noqa: PLC0415 - may not load

    probe = probe_gpu()
    reason = decide_provider("prefer", probe).fallback_reason
    model = None if reason else _pulled_model()
    if model is not None:
        reason = open_session(model, "prefer").fallback_reason
    yield gpu_finding(probe.devices, reason, tried=model is not None)


def gpu_finding(devices: int, reason: str | None, *, tried: bool) -> Finding:
    """Returns the finding for `devices` of which none can be used because of `reason`, if there is one.

    Args:
        devices: CUDA devices that the driver offers.
        reason: Why none can be used; after a semicolon, what to do.
        tried: Whether a model was loaded onto one.
    """
    if reason is not None:
        seen, _, advice = reason.partition("; ")
        return Finding("gpu", "note", f"none usable, models run on the CPU: {seen}", advice or None)
    if not tried:
        return Finding("gpu", "note", f"{devices} CUDA device(s), not tried: no model is here", PULL)
    return Finding("gpu", "ok", f"{devices} CUDA device(s), a model runs on it")


def _pulled_model() -> Path | None:
    cache = store.cache_folder()
    for manifest in load_manifests(models_folder()).values():
        try:
            return store.model_path(manifest, cache)
        except FramewardenError:
            continue
    return None


def _check_models() -> Iterator[Finding]:
    cache = store.cache_folder()
    for manifest in load_manifests(models_folder()).values():
        yield model_finding(manifest, cache, is_default=manifest.name in Scoring().models)


def model_finding(manifest: Manifest, cache: Path, *, is_default: bool) -> Finding:
    """Returns whether a model is in the cache, whole; without one that no default needs, much still works."""
    subject, advice = f"model {manifest.name}", f"{PULL} {manifest.name}"
    if not store.is_pulled(manifest, cache):
        return Finding(subject, "bad" if is_default else "note", "not pulled", advice)
    try:
        store.original_path(manifest, cache)
        store.model_path(manifest, cache)
    except FramewardenError as error:
        return Finding(subject, "bad", str(error), advice)
    return Finding(subject, "ok", f"{manifest.full_version}, verified")


def _check_cache() -> Iterator[Finding]:
    yield cache_finding(store.cache_folder())


def cache_finding(folder: Path) -> Finding:
    """Returns whether files can be written to the cache `folder`, which is made if need be."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        advice = "make it writable, or set FRAMEWARDEN_CACHE to a folder that is"
        return Finding("cache", "bad", f"{folder} cannot be written: {error.strerror or error}", advice)
    return Finding("cache", "ok", f"{folder}, writable")


def _check_worker() -> Iterator[Finding]:
    with tempfile.TemporaryDirectory(prefix="framewarden-") as folder:
        clip = Path(folder) / "clip.mp4"
        _write_clip(clip)
        started_s = time.perf_counter()
        with WorkerPool(Decode(), 1) as pool:
            yield worker_finding(pool, clip, started_s)
            yield from cage_findings(pool.missing_layers())


def _write_clip(path: Path) -> None:
    from stream.decoding.writer import write_video  # noqa: PLC0415 - imports av, which may not load

    picture = np.full((_CLIP_SIZE_PX, _CLIP_SIZE_PX, 3), 128, np.uint8)
    write_video(path, [picture] * _CLIP_FRAMES, rate=10)


def worker_finding(pool: WorkerPool, clip: Path, started_s: float) -> Finding:
    """Returns whether a decode worker of `pool` reads the three frames of `clip`, and how soon it was ready.

    Args:
        pool: Reads the clip.
        clip: A clip of three frames.
        started_s: `time.perf_counter()` before the pool was made.
    """
    view = ViewSpec(_CLIP_SIZE_PX, _CLIP_SIZE_PX, _CLIP_SIZE_PX, _CLIP_SIZE_PX)
    samples, ready_s, reason = 0, 0.0, None
    for message in pool.read(clip, "clip", [view], Sampling(mode="all")):
        match message:
            case StreamFacts():
                ready_s = time.perf_counter() - started_s
            case Sample():
                samples += 1
            case StreamEnd():
                reason = message.reason
    if samples == _CLIP_FRAMES and reason is None:
        return Finding("decode worker", "ok", f"started and opened a clip in {ready_s:.2f} s")
    seen = f"decoded {samples} of {_CLIP_FRAMES} frames: {reason or 'no reason given'}"
    return Finding(
        "decode worker", "bad", seen, "see the findings on av and ffmpeg; a sandbox may forbid fork"
    )


def cage_findings(missing: Mapping[Layer, str]) -> Iterator[Finding]:
    """Yields for each layer around a decode worker whether it is on.

    Args:
        missing: The layers that are not, and why.
    """
    for layer, meaning in LAYERS.items():
        if layer not in missing:
            yield Finding(f"cage: {layer}", "ok", meaning)
        elif layer == "network" and "seccomp" not in missing:
            seen = f"no namespace of its own ({missing[layer]}); seccomp refuses every socket"
            yield Finding(f"cage: {layer}", "note", seen, _CAGE_ADVICE[layer])
        else:
            seen = f"missing ({missing[layer]}): decode workers run without it"
            yield Finding(f"cage: {layer}", "note", seen, _CAGE_ADVICE[layer])


def _check_memory_limit() -> Iterator[Finding]:
    package_parent = str(Path(__file__).resolve().parent.parent)
    probe = subprocess.run(
        [sys.executable, "-P", "-c", _LIMIT_PROBE, str(_LIMIT_BYTES)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([package_parent, *filter(None, sys.path)])},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    yield memory_limit_finding(probe.returncode, probe.stderr)


def memory_limit_finding(status: int, said: str) -> Finding:
    """Returns the finding for a limited process that took too much memory and exited with `status`.

    Args:
        status: 0 if the memory was refused, 1 if it was granted, else something went wrong.
        said: What the process wrote to stderr.
    """
    subject, advice = "memory limit", "run on a Linux kernel, or a sandbox, that enforces RLIMIT_AS"
    if status == 0:
        return Finding(subject, "ok", "a worker that takes more than it may is stopped")
    if status == 1:
        return Finding(subject, "bad", "a worker may take more memory than decode.memory_mib allows", advice)
    last = (said.strip().splitlines() or [f"exit status {status}"])[-1]
    return Finding(subject, "bad", f"it cannot be set: {last}", advice)


CHECKS: Final[tuple[tuple[str, Check], ...]] = (
    ("machine", _check_machine),
    ("packages", _check_packages),
    ("ffmpeg", _check_ffmpeg),
    ("onnxruntime", _check_onnxruntime),
    ("gpu", _check_gpu),
    ("models", _check_models),
    ("cache", _check_cache),
    ("decode worker", _check_worker),
    ("memory limit", _check_memory_limit),
)
