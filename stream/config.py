"""One TOML file to frozen, typed configuration. Unknown keys are refused, with the nearest known one."""

import difflib
import hashlib
import os
import re
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

import msgspec
from msgspec import Meta

from stream.errors import ConfigError
from stream.events import Score, Severity

SamplingMode: TypeAlias = Literal["interval", "keyframe", "nth", "all"]
GpuMode: TypeAlias = Literal["require", "prefer", "off"]
ContainmentMode: TypeAlias = Literal["require", "prefer"]
Positive: TypeAlias = Annotated[float, Meta(gt=0, le=1e7)]
Count: TypeAlias = Annotated[int, Meta(ge=1)]
NotNegative: TypeAlias = Annotated[float, Meta(ge=0, le=1e7)]


class Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table of the configuration file."""


class Sampling(Section, frozen=True, kw_only=True):
    """Which frames are looked at.

    Attributes:
        mode: `interval` takes the first frame at or after each multiple of `every` seconds, `nth` every
            `every`-th frame, `keyframe` the keyframes, `all` every frame.
        every: Seconds between samples in mode `interval`, frames in mode `nth`; unused otherwise.
        max_gap_s: Seconds that one scored frame may stand for at most; time beyond it counts as skipped.
            Default: one and a half times `every` in mode `interval`, since a sample is late by up to one
            frame, else 2 seconds.
    """

    mode: SamplingMode = "interval"
    every: Annotated[float, Meta(ge=0.001, le=1e7)] = 1.0
    max_gap_s: Positive | None = None

    @property
    def stands_for_s(self) -> float:
        """Seconds that one scored frame stands for at most."""
        if self.max_gap_s is not None:
            return self.max_gap_s
        return 1.5 * self.every if self.mode == "interval" else 2.0

    def __post_init__(self) -> None:
        if self.mode == "nth" and self.every != int(self.every):
            raise ValueError(f"`every` counts frames in mode nth: expected a whole number, got {self.every}")


class Decode(Section, frozen=True, kw_only=True):
    """The child processes that parse and decode what comes from outside.

    Attributes:
        files_at_once: Files decoded at the same time, each by a child process of its own.
            0 means one per core.
        threads_per_file: Decoders that work on alternate GOPs of one file. 0 means the cores divided by the
            files decoded at once.
        memory_mib: Address space of a child in MiB; beyond it the child fails, the service does not.
        max_pixels: Largest picture that is decoded, in pixels.
        progress_timeout_s: Seconds without a sign of life after which a child is killed.
        probe_mib: MiB of a file that may be read to find out what it is.
        containment: What to do where this machine lacks a layer of the children's sandbox: `prefer` does
            without it, and `framewarden doctor` says so; `require` refuses to start. A network namespace
            may be missing where seccomp refuses every socket.
    """

    files_at_once: Annotated[int, Meta(ge=0, le=256)] = 0
    threads_per_file: Annotated[int, Meta(ge=0, le=64)] = 0
    memory_mib: Annotated[int, Meta(ge=256)] = 2048
    max_pixels: Annotated[int, Meta(ge=1)] = 64_000_000
    progress_timeout_s: Positive = 30.0
    probe_mib: Annotated[int, Meta(ge=1, le=1024)] = 8
    containment: ContainmentMode = "prefer"


class Scoring(Section, frozen=True, kw_only=True):
    """The models and how they run.

    Attributes:
        models: Names of the models to run on every sample.
        gpu: `require` refuses to start without a working GPU, `prefer` uses one if it works and says
            so if it does not, `off` uses the CPU.
        max_batch_size: Samples scored in one call at most; on a CPU never more than 4.
        max_queue_delay_ms: Milliseconds that a sample waits for others to fill its batch; on a CPU
            none waits.
        threads: Scoring threads. 0 means one per core on CPUs and one on a GPU.
    """

    models: Annotated[tuple[str, ...], Meta(min_length=1)] = ("open_nsfw",)
    gpu: GpuMode = "prefer"
    max_batch_size: Annotated[int, Meta(ge=1, le=256)] = 8
    max_queue_delay_ms: NotNegative = 20.0
    threads: Annotated[int, Meta(ge=0, le=256)] = 0


class Escalation(Section, frozen=True, kw_only=True):
    """When an open alert becomes more severe. At least one condition is given; all given must hold.

    Attributes:
        severity: Severity that the alert is raised to.
        after_s: Seconds that the span must have lasted.
        score: Score that the highest sample of the span must have reached.
    """

    severity: Severity
    after_s: NotNegative | None = None
    score: Score | None = None

    def __post_init__(self) -> None:
        if self.after_s is None and self.score is None:
            raise ValueError("an escalation needs `after_s`, `score` or both")


class Rule(Section, frozen=True, kw_only=True):
    """When an alert opens and closes.

    Attributes:
        name: Name of the rule, unique in its policy.
        category: What it looks for; readers of alerts filter by it.
        signal: The score that it watches, as `model.label`.
        enter: A sample at or above it counts towards opening.
        exit: Samples at or above it keep an open alert open, as long as `k` of the last `n` are.
        k: Samples that must count, of the last `n` scored ones.
        n: Samples looked back on.
        min_duration_s: Seconds from the first to the last counting sample before an alert opens.
        cooldown_s: Seconds of calm after which an open alert closes; a relapse within them goes on
            with the same alert.
        update_every_s: Seconds of media time between `updated` steps of an open alert.
        severity: Severity at which it opens.
        escalate: Steps to higher severities.
    """

    name: Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]{1,64}\Z")]
    category: Annotated[str, Meta(min_length=1, max_length=64)]
    signal: Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\Z")]
    enter: Score
    exit: Score
    k: Count = 2
    n: Count = 3
    min_duration_s: NotNegative = 0.0
    cooldown_s: NotNegative = 0.0
    update_every_s: Positive = 10.0
    severity: Severity = "medium"
    escalate: tuple[Escalation, ...] = ()

    def __post_init__(self) -> None:
        if self.exit > self.enter:
            raise ValueError(f"`exit` ({self.exit}) must not be above `enter` ({self.enter})")
        if self.k > self.n:
            raise ValueError(f"`k` ({self.k}) must not be above `n` ({self.n})")


class Policy(Section, frozen=True, kw_only=True):
    """The rules in force.

    Attributes:
        name: Name of the policy.
        rules: Its rules.
    """

    name: Annotated[str, Meta(pattern=r"^[\w .-]{1,64}\Z")] = "default"
    rules: tuple[Rule, ...] = (
        Rule(
            name="nsfw",
            category="nsfw",
            signal="open_nsfw.nsfw",
            enter=0.8,
            exit=0.6,
            severity="high",
            escalate=(Escalation(severity="critical", after_s=10.0),),
        ),
    )

    def __post_init__(self) -> None:
        names = [rule.name for rule in self.rules]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"rule names must be unique: {', '.join(twice)} is there more than once")

    @property
    def version(self) -> str:
        """Name and digest of the policy's content, such as `default@1f0c9a52b7d3`."""
        digest = hashlib.sha256(msgspec.json.encode(self, order="sorted")).hexdigest()
        return f"{self.name}@{digest[:12]}"


class Output(Section, frozen=True, kw_only=True):
    """What is written.

    Attributes:
        coverage_interval_s: Seconds of media time that one coverage event accounts for.
    """

    coverage_interval_s: Annotated[float, Meta(ge=1.0, le=86_400.0)] = 60.0


class Config(Section, frozen=True, kw_only=True):
    """The whole configuration.

    Attributes:
        sampling: Which frames are looked at.
        decode: The child processes that parse what comes from outside.
        scoring: The models and how they run.
        policy: The rules in force.
        output: What is written.
    """

    sampling: Sampling = Sampling()
    decode: Decode = Decode()
    scoring: Scoring = Scoring()
    policy: Policy = Policy()
    output: Output = Output()

    def __post_init__(self) -> None:
        known = set(self.scoring.models)
        for rule in self.policy.rules:
            model = rule.signal.partition(".")[0]
            if model not in known:
                raise ValueError(
                    f"rule {rule.name!r} watches {rule.signal!r}, but model {model!r} is not in "
                    f"scoring.models ({', '.join(self.scoring.models)}); add the model, or give a "
                    "policy whose rules watch the models that run"
                )


def load_config(path: str | os.PathLike[str]) -> Config:
    """Reads and validates a configuration file.

    Raises:
        ConfigError: The file cannot be read, is not TOML, or holds a key or value that is refused.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from error
    return parse_config(text, name=str(path))


def parse_config(text: str, *, name: str = "configuration") -> Config:
    """Validates the text of a configuration file; `name` stands in messages.

    Raises:
        ConfigError: The text is not TOML, or holds a key or value that is refused.
    """
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{name}: not valid TOML: {error}") from error
    _refuse_unknown(tables, Config, "", name)
    try:
        return msgspec.convert(tables, Config)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{name}: {error}") from error


def _refuse_unknown(value: Any, expected: Any, path: str, name: str) -> None:
    """Raises for the first key that no section declares, naming its path and the nearest known key."""
    section, is_array = _section_of(expected)
    if section is None:
        return
    for index, table in enumerate(value if is_array and isinstance(value, list) else [value]):
        where = f"{path}[{index}]" if is_array else path
        if not isinstance(table, dict):
            return
        fields = {field.name: field.type for field in msgspec.structs.fields(section)}
        for key, inner in table.items():
            full = f"{where}.{key}".lstrip(".")
            if key not in fields:
                raise ConfigError(f"{name}: unknown key `{full}`; {_suggestion(key, sorted(fields))}")
            _refuse_unknown(inner, fields[key], full, name)


def _section_of(expected: Any) -> tuple[type[Section] | None, bool]:
    if isinstance(expected, type) and issubclass(expected, Section):
        return expected, False
    item = getattr(expected, "__args__", (None,))[0]
    if isinstance(item, type) and issubclass(item, Section):
        return item, True
    return None, False


def _suggestion(key: str, known: list[str]) -> str:
    normal = re.sub(r"[^a-z0-9]", "_", key.lower())
    near = difflib.get_close_matches(normal, known, n=1, cutoff=0.5)
    return f"did you mean `{near[0]}`?" if near else f"expected one of: {', '.join(known)}"
