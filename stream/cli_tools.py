"""Commands that look at things rather than score them: check, doctor, schema, testcard."""

import json
from pathlib import Path
from typing import Annotated, Literal

import typer

from stream.config import load_config
from stream.errors import FramewardenError
from stream.events import EVENT_TYPES, json_schema
from stream.resources import models_folder
from stream.scoring.manifest import choose, load_manifests
from stream.text import visible

Codec = Annotated[Literal["libx264", "libx265"], typer.Option(help="Encoder.")]


def register(app: typer.Typer) -> None:
    """Adds the commands to `app`."""
    for command in (check, doctor, schema):
        app.command()(command)
    app.command("testcard")(write_card)


def check(config: Annotated[Path, typer.Argument(metavar="CONFIG", help="Configuration in TOML.")]) -> None:
    """Check a configuration file and say what it comes to."""
    from stream.service import require_signals  # noqa: PLC0415 - loads numpy and the decoders' supervisor

    try:
        loaded = load_config(config)
        models = choose(load_manifests(models_folder()), loaded.scoring.models)
        require_signals(loaded.policy, {model.name: model.outputs.report for model in models})
    except FramewardenError as error:
        typer.echo(f"error: {visible(str(error))}", err=True)
        raise typer.Exit(2) from error
    rules = ", ".join(rule.name for rule in loaded.policy.rules) or "none"
    typer.echo(f"{config}: valid")
    typer.echo(f"  policy    {loaded.policy.version}, rules: {rules}")
    typer.echo(f"  models    {', '.join(loaded.scoring.models)} (gpu: {loaded.scoring.gpu})")
    typer.echo(f"  sampling  {loaded.sampling.mode}, every {loaded.sampling.every:g}")


def doctor() -> None:
    """Say what is installed, what works, and what to do about what does not."""
    from stream.diagnosis import diagnose  # noqa: PLC0415 - loads everything there is

    findings = diagnose()
    for finding in findings:
        mark = {"ok": "ok  ", "note": "note", "bad": "BAD "}[finding.state]
        typer.echo(f"{mark}  {finding.subject:<22} {visible(finding.seen)}")
        if finding.advice:
            typer.echo(f"{'':28} -> {finding.advice}")
    if any(finding.state == "bad" for finding in findings):
        raise typer.Exit(3)


def schema(
    kind: Annotated[str, typer.Argument(help="frame, alert or coverage.")] = "frame",
) -> None:
    """Print the JSON Schema of an event."""
    if kind not in EVENT_TYPES:
        typer.echo(f"error: unknown event {visible(kind)!r}, expected {', '.join(EVENT_TYPES)}", err=True)
        raise typer.Exit(2)
    typer.echo(json.dumps(json_schema(kind), indent=2))


def write_card(
    out: Annotated[Path, typer.Argument(metavar="OUT.mp4", help="File to write.")],
    *,
    width: Annotated[int, typer.Option(min=64, max=7680)] = 1280,
    height: Annotated[int, typer.Option(min=64, max=4320)] = 720,
    codec: Codec = "libx264",
    crf: Annotated[int, typer.Option(min=0, max=51, help="Quality; higher is coarser.")] = 23,
) -> None:
    """Write the test card: a harmless clip that must raise alerts at known times."""
    from stream.testcard import ALERT_SPANS, write_test_card  # noqa: PLC0415 - loads the encoder

    try:
        write_test_card(out, width=width, height=height, codec=codec, crf=crf)
    except ValueError as error:
        typer.echo(
            f"error: {visible(str(out))}: expected the name of a video file, such as card.mp4", err=True
        )
        raise typer.Exit(2) from error
    except FramewardenError as error:
        typer.echo(f"error: {visible(str(error))}", err=True)
        raise typer.Exit(3) from error
    spans = " and ".join(f"{start:g} to {end:g} s" for start, end in ALERT_SPANS)
    typer.echo(f"{out}: must raise alerts from {spans}")
    typer.echo(f"Next: framewarden score {out}")
