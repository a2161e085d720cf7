"""Manifests: what is accepted, what is refused, and what the version covers."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from stream.errors import ConfigError
from stream.frames import ViewSpec
from stream.resources import models_folder
from stream.scoring.manifest import Manifest, choose, load_manifest, load_manifests, read_card
from tests.support.models import toy_manifest

TOML = """
name = "toy"
version = "1.0"
task = "test"
licence = "MIT"

[source]
kind = "pypi-wheel"
requirement = "toy==1.0"
wheel_sha256 = "{digest}"
member = "toy/model.onnx"
model_sha256 = "{digest}"
model_bytes = 10

[input]
name = "x"
layout = "nchw"
view = {{ resize_px = [8, 6], crop_px = [4, 2] }}

[outputs]
name = "y"
classes = ["low", "high"]
report = ["high"]

[golden]
command = "true"
tolerance = 1e-4
pictures = [{{ picture = "noise-1", scores = {{ high = 0.5 }} }}]
""".format(digest="0" * 64)


def write(folder: Path, text: str = TOML, name: str = "toy") -> Path:
    model = folder / name
    model.mkdir()
    (model / "model.toml").write_text(text)
    return model


def test_the_minimal_manifest_gets_the_documented_defaults(tmp_path: Path) -> None:
    manifest = load_manifest(write(tmp_path))

    assert manifest.input.view_spec == ViewSpec(8, 6, 4, 2, "bilinear")
    assert manifest.input.mean == (0.0, 0.0, 0.0)
    assert manifest.input.std == (1.0, 1.0, 1.0)
    assert manifest.input.channel_order == "rgb"
    assert manifest.input.jpeg_quality is None
    assert manifest.outputs.activation == "none"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('task = "test"', 'tusk = "test"', "tusk"),
        ("crop_px = [4, 2]", "crop_px = [4, 2], pad_px = [1, 1]", "pad_px"),
        ("crop_px = [4, 2]", "crop_px = [4, 7]", "does not fit"),
        ('"toy==1.0"', '"toy>=1.0"', "requirement"),
        ('"toy==1.0"', '"--index-url=x==1"', "requirement"),
        ('kind = "pypi-wheel"', 'kind = "torrent"', "torrent"),
        ('wheel_sha256 = "0', 'wheel_sha256 = "', "wheel_sha256"),
        ('layout = "nchw"', 'layout = "nchw"\nstd = [1, 0, 1]', "std"),
        ('layout = "nchw"', 'layout = "nchw"\njpeg_quality = 101', "jpeg_quality"),
        ('classes = ["low", "high"]', 'classes = ["high", "high"]', "twice"),
        ('report = ["high"]', 'report = ["middle"]', "middle"),
        ("{ high = 0.5 }", "{ low = 0.5 }", "low"),
        ("{ high = 0.5 }", "{ high = 1.5 }", "scores"),
        ('name = "toy"', 'name = "Toy!"', "name"),
        ('name = "toy"', 'name = "other"', "its folder"),
        ("[golden]", "[golden", "TOML"),
    ],
)
def test_a_manifest_that_is_wrong_is_refused_and_names_the_place(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    assert old in TOML
    with pytest.raises(ConfigError, match=message):
        load_manifest(write(tmp_path, TOML.replace(old, new)))


NPM = """
[source]
kind = "npm-package"
requirement = "@scope/toy@1.0.0"
package_sha256 = "{digest}"
format = "tfjs-layers"
members = [
    {{ path = "package/model.js", sha256 = "{digest}", size_bytes = 10 }},
    {{ path = "package/shard.js", sha256 = "{digest}", size_bytes = 7 }},
]
""".format(digest="0" * 64)
NPM_TOML = TOML[: TOML.index("[source]")] + NPM + TOML[TOML.index("[input]") :]


def test_a_model_may_be_several_files_of_an_npm_package(tmp_path: Path) -> None:
    source = load_manifest(write(tmp_path, NPM_TOML)).source

    assert [member.path for member in source.members] == ["package/model.js", "package/shard.js"]
    assert source.model_bytes == 17


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("@scope/toy@1.0.0", "toy@latest", "requirement"),
        ("@scope/toy@1.0.0", "toy@^1.0.0", "requirement"),
        ("@scope/toy@1.0.0", "toy", "requirement"),
        ("@scope/toy@1.0.0", "--global toy@1.0.0", "requirement"),
        ("@scope/toy@1.0.0", "toy@https://x/toy.tgz", "requirement"),
        ("tfjs-layers", "pickle", "format"),
        ("size_bytes = 7", "size_bytes = 0", "size_bytes"),
        ("size_bytes = 7", "bytes = 7", "bytes"),
        ('package_sha256 = "0', 'package_sha256 = "', "package_sha256"),
    ],
)
def test_an_npm_package_that_is_not_pinned_is_refused(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    assert old in NPM_TOML
    with pytest.raises(ConfigError, match=message):
        load_manifest(write(tmp_path, NPM_TOML.replace(old, new)))


def test_a_folder_without_a_manifest_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        load_manifest(tmp_path)


def test_manifests_are_found_by_folder_and_other_folders_passed_over(tmp_path: Path) -> None:
    write(tmp_path)
    write(tmp_path, TOML.replace('"toy"', '"another"', 1), "another")
    (tmp_path / "train").mkdir()

    assert list(load_manifests(tmp_path)) == ["another", "toy"]


@pytest.mark.parametrize(
    "changed",
    [
        {"input": {"mean": (1.0, 0.0, 0.0)}},
        {"input": {"channel_order": "bgr"}},
        {"input": {"jpeg_quality": 75}},
        {"outputs": {"activation": "softmax"}},
        {"source": {"model_sha256": "1" * 64}},
    ],
)
def test_the_version_changes_with_everything_that_decides_a_score(changed: dict[str, Any]) -> None:
    manifest = toy_manifest()
    parts = {name: msgspec.structs.replace(getattr(manifest, name), **to) for name, to in changed.items()}

    assert msgspec.structs.replace(manifest, **parts).full_version != manifest.full_version


def test_the_version_does_not_change_with_words() -> None:
    manifest = toy_manifest()

    assert msgspec.structs.replace(manifest, task="other").full_version == manifest.full_version


def test_choosing_keeps_the_order_and_offers_the_nearest_name() -> None:
    manifests: dict[str, Manifest] = {name: toy_manifest(name=name) for name in ("open_nsfw", "deepfake")}

    assert [each.name for each in choose(manifests, ["deepfake", "open_nsfw"])] == ["deepfake", "open_nsfw"]
    with pytest.raises(ConfigError, match="did you mean 'open_nsfw'"):
        choose(manifests, ["opennsfw"])
    with pytest.raises(ConfigError, match="expected one of: open_nsfw, deepfake"):
        choose(manifests, ["zzz"])


def test_every_shipped_model_has_a_manifest_and_a_card() -> None:
    manifests = load_manifests(models_folder())

    assert set(manifests) >= {"nsfw_mobilenet", "open_nsfw"}
    for name in manifests:
        assert read_card(models_folder(), name).startswith(f"# {name}\n")


def test_a_missing_card_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"toy.README\.md: cannot be read"):
        read_card(tmp_path, "toy")
