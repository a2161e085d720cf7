"""The `framewarden` command."""

import contextlib
import signal
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, NoReturn

import msgspec
import typer

from stream import cli_models, cli_tools
from stream.began import BEGAN_S
from stream.config import Config, GpuMode, SamplingMode, load_config
from stream.errors import ConfigError, FramewardenError, ModelError, OutputError, ProviderError
from stream.output import errors_of
from stream.policy.verdict import exit_code
from stream.text import visible

EXIT_USAGE = 2
EXIT_FAILED = 3
EXIT_INTERRUPTED = 130

app = typer.Typer(
    name="framewarden",
    help="Scores video for what a moderator must see, and says what it did not see.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(cli_models.app, name="models")
cli_tools.register(app)

Paths = Annotated[
    list[str], typer.Argument(metavar="PATH...", help="Files, folders and patterns: videos and pictures.")
]
ConfigFile = Annotated[Path | None, typer.Option("--config", metavar="FILE", help="Configuration in TOML.")]
Out = Annotated[
    Path | None,
    typer.Option(metavar="DIR", help="Folder for events, alerts, coverage (JSON lines) and report.html."),
]
Json = Annotated[bool, typer.Option("--json", help="One line of JSON a file on stdout, no table.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress and no table.")]
Mode = Annotated[SamplingMode | None, typer.Option("--sampling", help="Which frames are looked at.")]
Every = Annotated[
    float | None, typer.Option(help="Seconds between samples (interval) or frames (nth).", min=0.0)
]
Models = Annotated[
    list[str] | None, typer.Option("--model", metavar="NAME", help="A model to run; repeatable.")
]
Gpu = Annotated[GpuMode | None, typer.Option("--gpu", help="Whether to use a GPU.")]


@app.command()
def score(  # noqa: PLR0913 - each is an option of the command
    paths: Paths,
    *,
    config_file: ConfigFile = None,
    out: Out = None,
    as_json: Json = False,
    quiet: Quiet = False,
    sampling: Mode = None,
    every: Every = None,
    models: Models = None,
    gpu: Gpu = None,
) -> None:
    """Score files: verdict, alerts and what could not be seen.

    Exit codes: 0 clean, 1 findings, 2 usage or configuration, 3 something unread or incomplete,
    4 findings and something incomplete, 130 interrupted.
    """
    with errors():
        config = load_config(config_file) if config_file else Config()
        config = overridden(config, sampling=sampling, every=every, models=models, gpu=gpu)
        run_score(config, paths, out, as_json=as_json, quiet=quiet)


@app.command()
def demo(
    video: Annotated[Path | None, typer.Argument(help="A video of your own beside the test card.")] = None,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder for the clips and the results.")] = Path(
        "framewarden-demo"
    ),
) -> None:
    """Make the test card, take a real clip, score both and show what was found.

    Exit codes: 0 the test card raised its alerts, 2 usage or configuration, 3 it did not, 130 interrupted.
    """
    from stream import demo as demonstration  # noqa: PLC0415 - loads the encoder, which only this needs

    with errors():
        clips = demonstration.clips(out, video, lambda line: typer.echo(line, err=True))
        try:
            run_score(Config(), [str(clip) for clip in clips], out / "results", as_json=False, quiet=False)
        except typer.Exit as ended:
            if ended.exit_code == EXIT_INTERRUPTED:
                raise
        if not demonstration.explain(clips[0], out / "results", typer.echo):
            raise typer.Exit(EXIT_FAILED)


@app.callback(invoke_without_command=True)
def root(
    *, show_version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False
) -> None:
    """Scores video for what a moderator must see, and says what it did not see."""
    if show_version:
        typer.echo(f"framewarden {version('framewarden')}")
        raise typer.Exit


def run_score(config: Config, paths: list[str], out: Path | None, *, as_json: bool, quiet: bool) -> NoReturn:
    """Scores `paths`, shows what came out and exits with the code that says it."""
    from rich.console import Console  # noqa: PLC0415 - `--help` and `--version` do without all of this

    from stream.offline import OfflineScoring  # noqa: PLC0415
    from stream.sources.file import find_files  # noqa: PLC0415
    from stream.summary import summary_line  # noqa: PLC0415
    from stream.terminal import ScoreDisplay, print_table  # noqa: PLC0415

    items = find_files(paths)
    interrupted = False
    with ScoreDisplay(len(items), enabled=not (quiet or as_json)) as display:
        scoring = OfflineScoring(
            config, items, out, display, began_s=BEGAN_S, command=["framewarden", *sys.argv[1:]]
        )
        try:
            with interruptible():
                run = scoring.run()
        except KeyboardInterrupt:
            if scoring.partial is None:
                raise
            run, interrupted = scoring.partial, True
    if run.fallback_reason and not quiet:
        typer.echo("note: no usable GPU, scored on the CPU (framewarden doctor says why)", err=True)
    if as_json:
        with errors_of(Path("standard output")):
            for record in run.records:
                typer.echo(summary_line(record.summary))
    elif not quiet:
        print_table(run.records, Console(), run.report)
    if interrupted:
        typer.echo(f"interrupted: {run.left} of {len(items)} files were not scored", err=True)
        raise typer.Exit(EXIT_INTERRUPTED)
    raise typer.Exit(exit_code(record.summary.verdict for record in run.records))


def overridden(
    config: Config,
    *,
    sampling: str | None,
    every: float | None,
    models: list[str] | None,
    gpu: str | None,
) -> Config:
    """Returns `config` with what the command line sets, validated again.

    Raises:
        ConfigError: The result is not valid.
    """
    tables: dict[str, Any] = msgspec.to_builtins(config)
    changes = {("sampling", "mode"): sampling, ("sampling", "every"): every, ("scoring", "gpu"): gpu}
    for (table, key), value in changes.items():
        if value is not None:
            tables[table][key] = value
    if models:
        tables["scoring"]["models"] = models
    try:
        return msgspec.convert(tables, Config)
    except msgspec.ValidationError as error:
        raise ConfigError(f"command line: {error}") from error


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """Lets SIGTERM and the first SIGINT end the run in good order; a second one ends it at once."""

    def interrupt(_number: int, _frame: object) -> None:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        raise KeyboardInterrupt

    before = [signal.signal(number, interrupt) for number in (signal.SIGINT, signal.SIGTERM)]
    try:
        yield
    finally:
        for number, handler in zip((signal.SIGINT, signal.SIGTERM), before, strict=True):
            signal.signal(number, handler)


@contextlib.contextmanager
def errors() -> Iterator[None]:
    """Shows an error that Framewarden raises as one line, and exits with its code."""
    try:
        yield
    except (ConfigError, ProviderError, ModelError) as error:
        typer.echo(f"error: {visible(str(error))}", err=True)
        raise typer.Exit(EXIT_USAGE) from error
    except (OutputError, FramewardenError) as error:
        typer.echo(f"error: {visible(str(error))}", err=True)
        raise typer.Exit(EXIT_FAILED) from error
    except KeyboardInterrupt as error:
        raise typer.Exit(EXIT_INTERRUPTED) from error
