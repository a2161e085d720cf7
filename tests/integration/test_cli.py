"""The `framewarden` command: what it prints, what it leaves behind and its exit status."""

from pathlib import Path

import jsonschema
import pytest

from stream.events import EVENT_TYPES, json_schema
from stream.scoring.session import decide_provider, probe_gpu
from stream.testcard import ALERT_SPANS, write_test_card
from tests.support import damage
from tests.support.command import Ran, framewarden, json_lines
from tests.support.media import write_clip

SUMMARY_KEYS = [
    "file",
    "verdict",
    "duration_s",
    "samples",
    "scored_s",
    "blind_s",
    "max_scores",
    "alerts",
    "models",
    "policy",
    "startup_s",
    "work_s",
    "reason",
    "skipped_s",
    "provider",
]
KINDS = {"frame": "events.jsonl", "alert": "alerts.jsonl", "coverage": "coverage.jsonl"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a clean clip of 3 s, a cut one, and a small test card."""
    made = tmp_path_factory.mktemp("clips")
    write_clip(made / "clean.mp4", frames=75, gop=25)
    whole = write_clip(made / "whole.mp4", frames=250, gop=25, container_options=damage.FAST_START).path
    damage.cut(whole, made / "cut.mp4", 0.6)
    write_test_card(made / "card.mp4", width=320, height=180, rate=5)
    return made


@pytest.fixture(scope="module")
def scored(folder: Path) -> Ran:
    """A run over the clean clip and the test card, with everything written."""
    return framewarden("score", "clean.mp4", "card.mp4", "--out", "out", "--json", folder=folder)


def samples(folder: Path, *options: str) -> int:
    """Returns how many samples of the clean clip are scored with these options."""
    (line,) = framewarden("score", "clean.mp4", "--json", *options, folder=folder).lines
    return int(line["samples"])


def test_json_is_one_line_a_file_with_the_documented_keys(scored: Ran) -> None:
    assert [list(line) for line in scored.lines] == [SUMMARY_KEYS, SUMMARY_KEYS]


def test_json_lines_come_in_the_order_of_the_files(scored: Ran) -> None:
    assert [(line["file"], line["verdict"]) for line in scored.lines] == [
        ("clean.mp4", "clean"),
        ("card.mp4", "flagged"),
    ]


def test_a_summary_accounts_for_the_whole_clip(scored: Ran) -> None:
    for line, duration_s in zip(scored.lines, (3.0, 30.0), strict=True):
        assert line["duration_s"] == duration_s
        assert line["scored_s"] + line["skipped_s"] + line["blind_s"] == pytest.approx(duration_s)


def test_findings_end_with_status_1(scored: Ran) -> None:
    assert scored.status == 1


def test_out_holds_the_events_and_the_report(scored: Ran, folder: Path) -> None:
    assert scored.status == 1
    names = sorted(path.name for path in (folder / "out").iterdir())
    assert names == ["alerts.jsonl", "coverage.jsonl", "events.jsonl", "report.html"]


@pytest.mark.usefixtures("scored")
@pytest.mark.parametrize(("kind", "name"), KINDS.items())
def test_what_is_written_fits_the_schemas(folder: Path, kind: str, name: str) -> None:
    validator = jsonschema.Draft202012Validator(json_schema(kind))
    lines = json_lines(folder / "out" / name)
    assert lines
    for line in lines:
        validator.validate(line)


@pytest.mark.usefixtures("scored")
def test_every_sample_is_written_once(folder: Path) -> None:
    ids = [event["event_id"] for event in json_lines(folder / "out/events.jsonl")]
    assert len(ids) == len(set(ids)) == 3 + 30


@pytest.mark.usefixtures("scored")
def test_the_test_card_raises_its_alerts(folder: Path) -> None:
    closed = [step for step in json_lines(folder / "out/alerts.jsonl") if step["transition"] == "closed"]
    assert [(step["start_s"], step["end_s"]) for step in closed] == list(ALERT_SPANS)
    assert {step["stream_id"] for step in closed} == {"card.mp4"}


@pytest.mark.usefixtures("scored")
def test_the_written_coverage_adds_up(folder: Path) -> None:
    parts = ("scored_s", "skipped_s", "dropped_s", "undecodable_s", "down_s")
    for event in json_lines(folder / "out/coverage.jsonl"):
        assert sum(event[part] for part in parts) == pytest.approx(event["end_s"] - event["start_s"])


def test_a_clean_file_ends_with_status_0(folder: Path) -> None:
    assert framewarden("score", "clean.mp4", "--json", folder=folder).status == 0


def test_a_cut_file_is_incomplete_and_ends_with_status_3(folder: Path) -> None:
    ran = framewarden("score", "cut.mp4", "--json", folder=folder)
    (line,) = ran.lines
    assert (ran.status, line["verdict"]) == (3, "incomplete")
    assert line["blind_s"] == pytest.approx(4.0, abs=1.0)
    assert line["reason"]


def test_a_file_that_is_not_there_is_reported_and_the_others_scored(folder: Path) -> None:
    ran = framewarden("score", "gone.mp4", "clean.mp4", "--json", folder=folder)
    assert ran.status == 3
    assert [line["verdict"] for line in ran.lines] == ["unreadable", "clean"]
    assert ran.lines[0]["reason"] == "cannot be opened: No such file or directory"


def test_findings_and_something_incomplete_end_with_status_4(folder: Path) -> None:
    assert framewarden("score", "card.mp4", "gone.mp4", "--quiet", folder=folder).status == 4


def test_without_options_a_table_is_printed(folder: Path) -> None:
    ran = framewarden("score", "clean.mp4", folder=folder)
    assert "clean.mp4" in ran.stdout
    assert "1 file: 1 clean" in ran.stdout


def test_quiet_prints_nothing(folder: Path) -> None:
    ran = framewarden("score", "clean.mp4", "--quiet", folder=folder)
    assert (ran.status, ran.stdout, ran.stderr) == (0, "", "")


def test_no_gpu_is_one_short_note(folder: Path) -> None:
    if decide_provider("prefer", probe_gpu()).provider == "cuda":
        pytest.skip("there is a GPU")
    ran = framewarden("score", "clean.mp4", "--json", folder=folder)
    assert ran.stderr == "note: no usable GPU, scored on the CPU (framewarden doctor says why)\n"


def test_the_cpu_when_asked_for_needs_no_note(folder: Path) -> None:
    ran = framewarden("score", "clean.mp4", "--json", "--gpu", "off", folder=folder)
    assert (ran.status, ran.stderr) == (0, "")


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--every", "0.5"], 6),
        (["--sampling", "all"], 75),
        (["--sampling", "nth", "--every", "15"], 5),
        (["--sampling", "keyframe"], 3),
    ],
)
def test_sampling_chooses_the_frames(folder: Path, options: list[str], expected: int) -> None:
    assert samples(folder, *options) == expected


def test_a_configuration_file_is_taken_and_the_command_line_wins(folder: Path) -> None:
    (folder / "cfg.toml").write_text('[sampling]\nmode = "all"\n', encoding="utf-8")
    assert samples(folder, "--config", "cfg.toml") == 75
    assert samples(folder, "--config", "cfg.toml", "--sampling", "keyframe") == 3


@pytest.mark.parametrize(
    "arguments",
    [
        ["score"],
        ["score", "clean.mp4", "--no-such-option"],
        ["score", "clean.mp4", "--sampling", "some"],
        ["score", "clean.mp4", "--sampling", "nth", "--every", "2.5"],
        ["score", "clean.mp4", "--every", "0"],
        ["score", "clean.mp4", "--every", "-1"],
        ["score", "clean.mp4", "--model", "no_such_model"],
        ["score", "clean.mp4", "--config", "gone.toml"],
        ["schema", "frames"],
        ["nonsense"],
    ],
    ids=" ".join,
)
def test_a_usage_error_ends_with_status_2_and_says_what(folder: Path, arguments: list[str]) -> None:
    ran = framewarden(*arguments, folder=folder)
    assert (ran.status, ran.stdout) == (2, "")
    assert "rror" in ran.stderr
    assert "Traceback" not in ran.stderr


def test_a_rule_on_a_label_that_is_never_scored_is_refused(folder: Path) -> None:
    """It could never raise an alert, and every file would pass for clean."""
    (folder / "typo.toml").write_text(
        '[[policy.rules]]\nname = "r"\ncategory = "c"\nsignal = "open_nsfw.nswf"\nenter = 0.5\nexit = 0.4\n',
        encoding="utf-8",
    )
    for ran in (
        framewarden("check", "typo.toml", folder=folder),
        framewarden("score", "clean.mp4", "--config", "typo.toml", folder=folder),
    ):
        assert ran.status == 2
        assert "'open_nsfw.nswf', which is never scored; expected one of: open_nsfw.nsfw" in ran.stderr


def test_out_that_cannot_be_written_ends_with_status_3(folder: Path) -> None:
    ran = framewarden("score", "clean.mp4", "--out", "clean.mp4", folder=folder)
    assert ran.status == 3
    assert ran.stderr.startswith("error: clean.mp4/")
    assert "cannot be written" in ran.stderr
    assert ran.stderr.count("\n") == 1


def test_check_says_what_a_configuration_comes_to(tmp_path: Path) -> None:
    (tmp_path / "cfg.toml").write_text("[sampling]\nevery = 2\n", encoding="utf-8")
    ran = framewarden("check", "cfg.toml", folder=tmp_path)
    assert ran.status == 0
    assert ran.stdout.startswith("cfg.toml: valid\n")
    assert "interval, every 2" in ran.stdout


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[sampling]\nevry = 2\n", "did you mean `every`?"),
        ("[sampling\n", "not valid TOML"),
        ('[scoring]\nmodels = ["open_nsfw", "open_nsfq"]\n', "unknown model 'open_nsfq'"),
    ],
)
def test_check_refuses_a_bad_configuration(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "cfg.toml").write_text(text, encoding="utf-8")
    ran = framewarden("check", "cfg.toml", folder=tmp_path)
    assert (ran.status, ran.stdout) == (2, "")
    assert said in ran.stderr
    assert ran.stderr.count("\n") == 1


@pytest.mark.parametrize("kind", EVENT_TYPES)
def test_schema_prints_the_schema(kind: str) -> None:
    ran = framewarden("schema", kind)
    assert ran.status == 0
    assert ran.stdout.startswith('{\n  "$schema": "https://json-schema.org/draft/2020-12/schema"')


def test_doctor_finds_nothing_bad_here() -> None:
    ran = framewarden("doctor")
    assert ran.status == 0, ran.stdout
    assert "decode worker" in ran.stdout


def test_version_is_printed() -> None:
    ran = framewarden("--version")
    assert (ran.status, ran.stdout) == (0, "framewarden 0.1.0\n")


def test_help_names_the_commands() -> None:
    ran = framewarden("--help")
    assert ran.status == 0
    for command in ("score", "demo", "check", "doctor", "schema", "testcard", "models"):
        assert command in ran.stdout


def test_testcard_writes_a_clip_and_says_what_to_expect(tmp_path: Path) -> None:
    ran = framewarden("testcard", "card.mp4", "--width", "128", "--height", "72", folder=tmp_path)
    assert ran.status == 0
    assert "must raise alerts from 8 to 14 s and 20 to 25 s" in ran.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["card.mp4"]


@pytest.mark.slow
def test_demo_finds_the_alerts_of_the_test_card(folder: Path) -> None:
    ran = framewarden("demo", "clean.mp4", "--out", "demo", folder=folder)
    assert ran.status == 0
    assert "As expected" in ran.stdout
    assert (folder / "demo/results/report.html").is_file()
