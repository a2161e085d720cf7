from pathlib import Path

import pytest

from stream.errors import ModelError
from stream.resources import models_folder


def test_a_wheel_carries_the_models_inside_the_package(tmp_path: Path) -> None:
    package = tmp_path / "stream"
    (package / "_models").mkdir(parents=True)
    (tmp_path / "models").mkdir()
    assert models_folder(package) == package / "_models"


def test_a_checkout_has_the_models_beside_the_package(tmp_path: Path) -> None:
    package = tmp_path / "stream"
    package.mkdir()
    (tmp_path / "models").mkdir()
    assert models_folder(package) == tmp_path / "models"


def test_an_installation_without_models_names_both_places(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"_models and .*models; install framewarden again"):
        models_folder(tmp_path / "stream")
