"""Which provider runs a model: decided from facts, and never silently another one."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

from stream.errors import ModelGraphMismatch, ProviderError
from stream.scoring import session
from stream.scoring.graph import embed_preprocessing
from stream.scoring.session import Decision, GpuProbe, decide_provider, open_session, probe_gpu
from tests.support.models import SIZE_PX, toy_graph, toy_manifest

READY = GpuProbe(devices=1, driver_error=None, runtime_has_cuda=True)
NO_DRIVER = GpuProbe(devices=0, driver_error="no NVIDIA driver: libcuda.so.1", runtime_has_cuda=True)
NO_DEVICE = GpuProbe(devices=0, driver_error=None, runtime_has_cuda=True)
NO_RUNTIME = GpuProbe(devices=1, driver_error=None, runtime_has_cuda=False)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "model.onnx"
    path.write_bytes(embed_preprocessing(toy_graph(), toy_manifest()))
    return path


class FakeOrt:
    """ONNX Runtime's InferenceSession, on a machine where the CUDA provider does as `cuda` says."""

    def __init__(self, cuda: str) -> None:
        self.cuda = cuda
        self.calls: list[list[Any]] = []

    def __call__(self, _path: str, _options: Any, *, providers: list[Any], **_: Any) -> "FakeOrt":
        self.calls.append(providers)
        if self.cuda == "raises" and len(providers) > 1:
            raise RuntimeError("CUDA failure 100\nmore")
        self.given = providers
        return self

    def get_providers(self) -> list[str]:
        names = [each if isinstance(each, str) else each[0] for each in self.given]
        return names if self.cuda == "works" else names[-1:]

    def get_inputs(self) -> list[Any]:
        return [type("Input", (), {"name": "views"})]


def fake_ort(monkeypatch: pytest.MonkeyPatch, cuda: str, *, printed: str = "") -> FakeOrt:
    fake = FakeOrt(cuda)
    monkeypatch.setattr(session.onnxruntime, "InferenceSession", fake)
    monkeypatch.setattr(session.onnxruntime, "preload_dlls", lambda: print(printed))
    return fake


@pytest.mark.parametrize("probe", [READY, NO_DRIVER, NO_DEVICE, NO_RUNTIME])
def test_off_is_the_cpu_and_no_fallback(probe: GpuProbe) -> None:
    assert decide_provider("off", probe) == Decision("cpu", None)


@pytest.mark.parametrize("gpu", ["prefer", "require"])
def test_a_gpu_that_is_ready_is_taken(gpu: Any) -> None:
    assert decide_provider(gpu, READY) == Decision("cuda", None)


@pytest.mark.parametrize(
    ("probe", "reason"),
    [
        (NO_DRIVER, "no NVIDIA driver: libcuda.so.1"),
        (NO_DEVICE, "offers no device"),
        (NO_RUNTIME, "install `onnxruntime-gpu`"),
    ],
)
def test_what_is_missing_is_said_and_where_required_refused(probe: GpuProbe, reason: str) -> None:
    decision = decide_provider("prefer", probe)

    assert decision.provider == "cpu"
    assert reason in (decision.fallback_reason or "")
    with pytest.raises(ProviderError, match=reason):
        decide_provider("require", probe)


def test_off_does_not_look_for_a_gpu(model: Path) -> None:
    def look() -> GpuProbe:
        raise AssertionError

    assert open_session(model, "off", probe=look).provider == "cpu"


def test_a_session_on_the_cpu_scores_and_prints_nothing(
    model: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    opened = open_session(model, "prefer", probe=lambda: NO_DRIVER)
    views = np.zeros((3, SIZE_PX[1], SIZE_PX[0], 3), np.uint8)

    assert opened.run(views).shape == (3, 2)
    assert opened.provider == "cpu"
    assert opened.fallback_reason is not None
    assert capfd.readouterr() == ("", "")


def test_a_file_that_is_no_model_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(b"not a model")

    with pytest.raises(ModelGraphMismatch, match="refuses"):
        open_session(path, "off")


@pytest.mark.parametrize("printed", ["", "Failed to load libcufft.so.12: no such file"])
def test_cuda_that_starts_is_used_with_full_float32(
    model: Path, monkeypatch: pytest.MonkeyPatch, printed: str
) -> None:
    fake = fake_ort(monkeypatch, "works", printed=printed)
    opened = open_session(model, "require", probe=lambda: READY)

    assert (opened.provider, opened.fallback_reason) == ("cuda", None)
    assert fake.calls[0][0][1]["use_tf32"] == "0"


@pytest.mark.parametrize(
    ("cuda", "printed", "reason"),
    [
        ("silent", "Failed to load libcublasLt.so.13: no such file", r"libcublasLt\.so\.13"),
        ("silent", "", "could not load its CUDA provider"),
        ("raises", "", "CUDA failure 100"),
    ],
)
def test_cuda_that_does_not_start_is_said_and_where_required_refused(
    model: Path, monkeypatch: pytest.MonkeyPatch, cuda: str, printed: str, reason: str
) -> None:
    fake_ort(monkeypatch, cuda, printed=printed)
    with pytest.raises(ProviderError, match=reason):
        open_session(model, "require", probe=lambda: READY)

    opened = open_session(model, "prefer", probe=lambda: READY)
    assert opened.provider == "cpu"
    assert re.search(reason, opened.fallback_reason or "")


def test_a_run_that_fails_names_the_provider() -> None:
    class Failing:
        def get_inputs(self) -> list[Any]:
            return [type("Input", (), {"name": "views"})]

        def run(self, *_: Any) -> Any:
            raise session.ort_errors.RuntimeException("out of memory")

    failing = session.OrtSession(Failing(), "cuda", None)
    with pytest.raises(ProviderError, match="scoring failed on cuda: out of memory"):
        failing.run(np.zeros((1, SIZE_PX[1], SIZE_PX[0], 3), np.uint8))


def test_the_probe_answers_on_any_machine() -> None:
    probe = probe_gpu()

    assert probe.runtime_has_cuda == ("CUDAExecutionProvider" in onnxruntime.get_available_providers())
    assert (probe.devices > 0) or (probe.driver_error is not None)


@pytest.mark.gpu
def test_a_real_gpu_gives_the_cpus_scores(model: Path) -> None:
    if probe_gpu().devices == 0:
        pytest.skip("no CUDA device")
    views = np.random.default_rng(0).integers(0, 256, (4, SIZE_PX[1], SIZE_PX[0], 3), dtype=np.uint8)
    on_gpu = open_session(model, "require")

    assert on_gpu.provider == "cuda"
    np.testing.assert_allclose(on_gpu.run(views), open_session(model, "off").run(views), atol=1e-5)
