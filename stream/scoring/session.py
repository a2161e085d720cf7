"""ONNX Runtime with the provider that is really there, chosen from facts and never silently another one."""

import contextlib
import ctypes
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, Literal, Protocol, TypeAlias

import msgspec
import numpy as np
import numpy.typing as npt
import onnxruntime
from onnxruntime.capi import onnxruntime_pybind11_state as ort_errors

from stream.config import GpuMode
from stream.errors import ModelGraphMismatch, ProviderError
from stream.frames import ViewArray

Provider: TypeAlias = Literal["cpu", "cuda"]

ScoreArray: TypeAlias = npt.NDArray[np.float32]
"""Scores: `float32 [N, classes]`."""

_CUDA: Final = "CUDAExecutionProvider"
_CPU: Final = "CPUExecutionProvider"
_ERRORS_ONLY: Final = 3
_FATAL_ONLY: Final = 4
_ORT_ERRORS: Final = (
    ort_errors.EPFail,
    ort_errors.EngineError,
    ort_errors.Fail,
    ort_errors.InvalidGraph,
    ort_errors.InvalidProtobuf,
    ort_errors.NotImplemented,
    ort_errors.RuntimeException,
)
"""ONNX Runtime's own errors; they have no common base but `Exception`."""

_INSTALL: Final = 'install the NVIDIA driver, and its libraries with `pip install "framewarden[cuda]"`'


class ModelSession(Protocol):
    """A loaded model; `run` may be called from several threads at once."""

    provider: Provider
    fallback_reason: str | None

    def run(self, views: ViewArray) -> ScoreArray:
        """Returns the scores `[N, classes]` of views `uint8 [N, H, W, 3]` RGB."""


class GpuProbe(msgspec.Struct, frozen=True):
    """What a look at the machine found.

    Attributes:
        devices: CUDA devices that the driver offers.
        driver_error: Why the driver offers none, in words.
        runtime_has_cuda: Whether the installed ONNX Runtime was built with CUDA.
    """

    devices: int
    driver_error: str | None
    runtime_has_cuda: bool


class Decision(msgspec.Struct, frozen=True):
    """Which provider to use.

    Attributes:
        provider: The provider.
        fallback_reason: Why it is not the GPU that was preferred; None where it is what was asked for.
    """

    provider: Provider
    fallback_reason: str | None = None


def probe_gpu() -> GpuProbe:
    """Asks the CUDA driver for its devices (20 us where there is no driver)."""
    devices, error = _count_devices()
    return GpuProbe(devices, error, _CUDA in onnxruntime.get_available_providers())


def decide_provider(gpu: GpuMode, probe: GpuProbe) -> Decision:
    """Returns the provider for what was asked and what is there.

    Raises:
        ProviderError: A GPU is required and cannot be used.
    """
    if gpu == "off":
        return Decision("cpu")
    if not probe.runtime_has_cuda:
        return _without_gpu(gpu, "the installed ONNX Runtime has no CUDA provider; install `onnxruntime-gpu`")
    if probe.devices == 0:
        return _without_gpu(gpu, f"{probe.driver_error or 'the CUDA driver offers no device'}; {_INSTALL}")
    return Decision("cuda")


class OrtSession:
    """A model loaded into ONNX Runtime.

    Attributes:
        provider: What it runs on.
        fallback_reason: Why not on the GPU that was preferred.
    """

    def __init__(self, session: Any, provider: Provider, fallback_reason: str | None) -> None:
        self.provider = provider
        self.fallback_reason = fallback_reason
        self._session = session
        self._input = session.get_inputs()[0].name

    def run(self, views: ViewArray) -> ScoreArray:
        """Returns the scores `[N, classes]` of views `uint8 [N, H, W, 3]` RGB. Thread-safe; releases the GIL.

        Raises:
            ProviderError: The provider failed, for example for want of GPU memory.
        """
        try:
            scores: ScoreArray = self._session.run(None, {self._input: views})[0]
        except _ORT_ERRORS as error:
            raise ProviderError(f"scoring failed on {self.provider}: {error}") from error
        return scores


def open_session(model: Path, gpu: GpuMode, *, probe: Callable[[], GpuProbe] = probe_gpu) -> OrtSession:
    """Loads a built model (50 ms for open_nsfw on a CPU).

    Args:
        model: The file, as `store.model_path` returns it.
        gpu: Whether a GPU is to be used.
        probe: Looks at the machine; not called where `gpu` is `off`.

    Raises:
        ProviderError: A GPU is required and cannot be used.
        ModelGraphMismatch: ONNX Runtime refuses the model.
    """
    decision = Decision("cpu") if gpu == "off" else decide_provider(gpu, probe())
    if decision.provider == "cuda":
        session, reason = _open_cuda(model)
        if session is not None:
            return OrtSession(session, "cuda", None)
        decision = _without_gpu(gpu, reason)
    try:
        session = _open(model, [_CPU], _ERRORS_ONLY)
    except _ORT_ERRORS as error:
        raise ModelGraphMismatch(f"{model}: ONNX Runtime refuses it: {error}") from error
    return OrtSession(session, "cpu", decision.fallback_reason)


def _without_gpu(gpu: GpuMode, reason: str) -> Decision:
    if gpu == "require":
        raise ProviderError(f'scoring.gpu is "require", but no GPU can be used: {reason}')
    return Decision("cpu", reason)


def _open_cuda(model: Path) -> tuple[Any | None, str]:
    """Returns a session on the GPU, or None and the reason; ONNX Runtime itself would fall to the CPU."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said):  # it prints the libraries that it cannot load
        onnxruntime.preload_dlls()
    missing = [line for line in said.getvalue().splitlines() if line.startswith("Failed to load")]
    options = {"use_tf32": "0", "cudnn_conv_algo_search": "HEURISTIC"}
    try:
        session = _open(model, [(_CUDA, options), _CPU], _FATAL_ONLY)
    except (RuntimeError, ValueError, *_ORT_ERRORS) as error:
        return None, f"CUDA could not be started: {str(error).splitlines()[0]}"
    if session.get_providers()[0] != _CUDA:
        reason = missing[0] if missing else "ONNX Runtime could not load its CUDA provider"
        return None, f"{reason}; {_INSTALL}"
    return session, ""


def _open(model: Path, providers: list[Any], log_severity: int) -> Any:
    """Opens a session that keeps to the thread that calls it.

    One intra-op thread, called from one thread a core, was measured best on CPUs: open_nsfw in fours makes
    106 images a second from one thread and 208 from two, on two cores of an AMD EPYC. Without memory patterns
    it takes 40 MB less after batches of several sizes, at the same speed; without the arena, batches are
    slower by a tenth.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.enable_mem_pattern = False
    options.log_severity_level = log_severity
    return onnxruntime.InferenceSession(str(model), options, providers=providers, enable_fallback=False)


def _count_devices() -> tuple[int, str | None]:
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError as error:
        return 0, f"no NVIDIA driver: {error}"
    if status := driver.cuInit(0):
        return 0, f"the CUDA driver does not start: cuInit returned {status}"
    count = ctypes.c_int(0)
    if status := driver.cuDeviceGetCount(ctypes.byref(count)):
        return 0, f"the CUDA driver counts no devices: cuDeviceGetCount returned {status}"
    return count.value, None
