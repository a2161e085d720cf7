"""The configuration file: what is refused and how it is said, and that its documentation is true."""

import inspect
import re
from pathlib import Path

import msgspec
import pytest

from stream import config as config_module
from stream.config import Config, Escalation, Policy, Rule, Sampling, Section, load_config, parse_config
from stream.errors import ConfigError, FramewardenError

RULE = 'name = "r"\ncategory = "c"\nsignal = "open_nsfw.nsfw"\nenter = 0.5\nexit = 0.4\n'

DOCUMENTED_DEFAULTS = {
    "sampling": {"mode": "interval", "every": 1.0, "max_gap_s": None},
    "decode": {
        "files_at_once": 0,
        "threads_per_file": 0,
        "memory_mib": 2048,
        "max_pixels": 64_000_000,
        "progress_timeout_s": 30.0,
        "probe_mib": 8,
        "containment": "prefer",
    },
    "scoring": {
        "models": ["open_nsfw"],
        "gpu": "prefer",
        "max_batch_size": 8,
        "max_queue_delay_ms": 20.0,
        "threads": 0,
    },
    "policy": {
        "name": "default",
        "rules": [
            {
                "name": "nsfw",
                "category": "nsfw",
                "signal": "open_nsfw.nsfw",
                "enter": 0.8,
                "exit": 0.6,
                "k": 2,
                "n": 3,
                "min_duration_s": 0.0,
                "cooldown_s": 0.0,
                "update_every_s": 10.0,
                "severity": "high",
                "escalate": [{"severity": "critical", "after_s": 10.0, "score": None}],
            }
        ],
    },
    "output": {"coverage_interval_s": 60.0},
}
"""What users are told happens without a configuration file. A change here is a change for them."""

SECTIONS = [
    each for _, each in inspect.getmembers(config_module, inspect.isclass) if issubclass(each, Section)
]


def rule(changes: str) -> str:
    """Returns the text of a rule whose lines of the same keys are replaced by those of `changes`."""
    keys = {line.partition(" ")[0] for line in changes.splitlines()}
    kept = [line for line in RULE.splitlines() if line.partition(" ")[0] not in keys]
    return "\n".join(["[[policy.rules]]", *kept, changes])


def test_no_configuration_is_the_default() -> None:
    assert parse_config("") == Config()


def test_the_defaults_are_those_that_users_were_told() -> None:
    assert msgspec.json.decode(msgspec.json.encode(Config())) == DOCUMENTED_DEFAULTS


@pytest.mark.parametrize("section", SECTIONS, ids=lambda section: section.__name__)
def test_every_field_is_documented_and_every_documented_field_is_there(section: type[Section]) -> None:
    documented = re.findall(r"^    (\w+): ", inspect.getdoc(section) or "", re.MULTILINE)
    assert documented == [field.name for field in msgspec.structs.fields(section)]


@pytest.mark.parametrize("section", SECTIONS, ids=lambda section: section.__name__)
def test_sections_are_frozen_and_refuse_unknown_keys(section: type[Section]) -> None:
    assert section.__struct_config__.frozen
    assert section.__struct_config__.forbid_unknown_fields


def test_values_are_read() -> None:
    config = parse_config('[sampling]\nmode = "nth"\nevery = 25\n[scoring]\ngpu = "off"')
    assert (config.sampling, config.scoring.gpu) == (Sampling(mode="nth", every=25.0), "off")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[samplng]", "unknown key `samplng`; did you mean `sampling`?"),
        ("[sampling]\nevry = 1", "unknown key `sampling.evry`; did you mean `every`?"),
        ("[sampling]\nmax-gap-s = 1", "unknown key `sampling.max-gap-s`; did you mean `max_gap_s`?"),
        ("[output]\nzzz = 1", "unknown key `output.zzz`; expected one of: coverage_interval_s"),
        (rule("entr = 0.5"), "unknown key `policy.rules[0].entr`; did you mean `enter`?"),
        (
            rule('escalate = [{ severity = "high", aftr_s = 1 }]'),
            "unknown key `policy.rules[0].escalate[0].aftr_s`; did you mean `after_s`?",
        ),
    ],
)
def test_an_unknown_key_is_refused_with_its_path_and_the_nearest(text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(f"cfg.toml: {said}")):
        parse_config(text, name="cfg.toml")


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("[sampling]\nevery = 0", "$.sampling.every"),
        ("[sampling]\nevery = -1.0", "$.sampling.every"),
        ("[sampling]\nevery = nan", "$.sampling.every"),
        ("[sampling]\nmax_gap_s = 0.0", "$.sampling.max_gap_s"),
        ('[sampling]\nmode = "some"', "$.sampling.mode"),
        ("[decode]\nfiles_at_once = -1", "$.decode.files_at_once"),
        ("[decode]\nfiles_at_once = 257", "$.decode.files_at_once"),
        ("[decode]\nthreads_per_file = 65", "$.decode.threads_per_file"),
        ("[decode]\nmemory_mib = 255", "$.decode.memory_mib"),
        ("[decode]\nmax_pixels = 0", "$.decode.max_pixels"),
        ("[decode]\nprogress_timeout_s = 0", "$.decode.progress_timeout_s"),
        ("[decode]\nprobe_mib = 1025", "$.decode.probe_mib"),
        ('[decode]\ncontainment = "off"', "$.decode.containment"),
        ("[scoring]\nmodels = []", "$.scoring.models"),
        ('[scoring]\ngpu = "yes"', "$.scoring.gpu"),
        ("[scoring]\nmax_batch_size = 0", "$.scoring.max_batch_size"),
        ("[scoring]\nmax_batch_size = 257", "$.scoring.max_batch_size"),
        ("[scoring]\nmax_batch_size = 1.5", "$.scoring.max_batch_size"),
        ("[scoring]\nmax_queue_delay_ms = -1", "$.scoring.max_queue_delay_ms"),
        ("[scoring]\nthreads = 257", "$.scoring.threads"),
        ('[policy]\nname = ""', "$.policy.name"),
        (rule("enter = 1.5"), "$.policy.rules[0].enter"),
        (rule("exit = -0.1"), "$.policy.rules[0].exit"),
        (rule("k = 0"), "$.policy.rules[0].k"),
        (rule("min_duration_s = -1"), "$.policy.rules[0].min_duration_s"),
        (rule("update_every_s = 0"), "$.policy.rules[0].update_every_s"),
        (rule('name = "a b"'), "$.policy.rules[0].name"),
        (rule('signal = "nsfw"'), "$.policy.rules[0].signal"),
        (rule('severity = "worst"'), "$.policy.rules[0].severity"),
        ("[output]\ncoverage_interval_s = 0", "$.output.coverage_interval_s"),
        ("sampling = 3", "$.sampling"),
        ("[policy]\nrules = [3]", "$.policy.rules[0]"),
    ],
)
def test_a_value_out_of_range_is_refused_with_its_path(text: str, where: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(f"`{where}`")):
        parse_config(text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (rule("exit = 0.6"), "`exit` (0.6) must not be above `enter` (0.5)"),
        (rule("k = 4"), "`k` (4) must not be above `n` (3)"),
        (rule('escalate = [{ severity = "high" }]'), "an escalation needs `after_s`, `score` or both"),
        (f"{rule('')}\n{rule('')}", "rule names must be unique: r is there more than once"),
        (rule('signal = "other.nsfw"'), "model 'other' is not in scoring.models (open_nsfw)"),
        ('[scoring]\nmodels = ["other"]', "rule 'nsfw' watches 'open_nsfw.nsfw'"),
        ('[sampling]\nmode = "nth"\nevery = 2.5', "expected a whole number, got 2.5"),
    ],
)
def test_values_that_contradict_each_other_are_refused(text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(said)):
        parse_config(text)


def test_every_inf_frames_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"sampling\.every"):
        parse_config('[sampling]\nmode = "nth"\nevery = inf')


@pytest.mark.parametrize("every", ["1", "25", "2.0"])
def test_nth_takes_whole_numbers(every: str) -> None:
    assert parse_config(f'[sampling]\nmode = "nth"\nevery = {every}').sampling.every == float(every)


@pytest.mark.parametrize(
    ("sampling", "stands_for_s"),
    [
        (Sampling(), 1.5),
        (Sampling(every=5.0), 7.5),
        (Sampling(mode="nth", every=25.0), 2.0),
        (Sampling(mode="keyframe"), 2.0),
        (Sampling(mode="all"), 2.0),
        (Sampling(mode="all", max_gap_s=0.5), 0.5),
    ],
)
def test_a_frame_stands_for_the_interval_or_two_seconds(sampling: Sampling, stands_for_s: float) -> None:
    assert sampling.stands_for_s == stands_for_s


def test_a_policys_version_depends_on_nothing_but_its_content() -> None:
    """Pinned: it stands in every event, and must be the same on every machine and in every process."""
    policy = Policy(rules=(Rule(name="r", category="c", signal="m.l", enter=0.5, exit=0.4),))
    assert policy.version == Policy(rules=policy.rules).version
    assert policy.version == "default@5d75fdb4b4d5"


@pytest.mark.parametrize(
    "changes",
    [
        {"enter": 0.6},
        {"exit": 0.3},
        {"k": 1},
        {"n": 4},
        {"min_duration_s": 1.0},
        {"cooldown_s": 1.0},
        {"update_every_s": 5.0},
        {"severity": "low"},
        {"category": "d"},
        {"escalate": (Escalation(severity="high", after_s=1.0),)},
    ],
    ids=str,
)
def test_a_policys_version_changes_with_its_content(changes: dict[str, object]) -> None:
    one = Rule(name="r", category="c", signal="m.l", enter=0.5, exit=0.4)
    other = msgspec.structs.replace(one, **changes)
    assert Policy(rules=(one,)).version != Policy(rules=(other,)).version


def test_a_file_is_read_and_named_in_messages(tmp_path: Path) -> None:
    path = tmp_path / "cfg.toml"
    path.write_text("[sampling]\nevery = 0", encoding="utf-8")
    with pytest.raises(ConfigError, match=re.escape(str(path))):
        load_config(path)


@pytest.mark.parametrize(
    ("content", "said"),
    [(None, "cannot be read"), (b"\xff", "cannot be read"), (b"[sampling", "not valid TOML")],
)
def test_a_file_that_is_no_configuration_says_so(tmp_path: Path, content: bytes | None, said: str) -> None:
    path = tmp_path / "cfg.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match=said):
        load_config(path)


def test_a_refused_configuration_is_a_framewarden_error_and_a_value_error() -> None:
    assert issubclass(ConfigError, FramewardenError)
    assert issubclass(ConfigError, ValueError)
