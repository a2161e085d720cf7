"""Framewarden as a library: the command's events, and nothing left behind."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
import pytest

import stream
from stream.config import Scoring
from stream.scoring.pictures import golden_picture
from tests.support import damage
from tests.support.command import framewarden, json_lines, run, running_below
from tests.support.media import write_clip

WALL_CLOCK = ("ingested_at", "published_at")


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clip of 6 s."""
    return write_clip(tmp_path_factory.mktemp("clip") / "clip.mp4", frames=150, gop=25).path


@pytest.fixture(scope="module")
def moderator() -> Iterator[stream.Moderator]:
    with stream.Moderator() as made:
        yield made


def timeless(event: dict[str, object]) -> dict[str, object]:
    """Returns the event's fields without those of the wall clock."""
    return {key: value for key, value in event.items() if key not in WALL_CLOCK}


def test_score_yields_the_events_that_the_command_writes(clip: Path) -> None:
    framewarden("score", clip.name, "--out", "out", "--quiet", folder=clip.parent)
    written = [timeless(event) for event in json_lines(clip.parent / "out/events.jsonl")]
    events = [timeless(msgspec.to_builtins(event)) for event in stream.score(clip)]
    assert len(events) == 6
    assert [{**event, "stream_id": "", "event_id": ""} for event in events] == [
        {**event, "stream_id": "", "event_id": ""} for event in written
    ]


def test_events_bear_the_name_that_the_file_was_given(
    moderator: stream.Moderator, clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(clip.parent)
    assert {event.stream_id for event in moderator.score("clip.mp4")} == {"clip.mp4"}
    assert {event.stream_id for event in moderator.score(clip)} == {str(clip)}


def test_events_come_in_order(moderator: stream.Moderator, clip: Path) -> None:
    times_s = [event.media_time_s for event in moderator.score(clip)]
    assert times_s == [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]


def test_events_has_alerts_and_coverage_too(moderator: stream.Moderator, clip: Path) -> None:
    events = list(moderator.events(clip))
    assert isinstance(events[-1], stream.CoverageEvent)
    assert events[-1].final
    assert len(events) == 7


def test_a_configuration_is_taken(clip: Path) -> None:
    config = stream.Config(sampling=msgspec.structs.replace(stream.Config().sampling, every=2.0))
    assert len(list(stream.score(clip, config))) == 3


@pytest.fixture(scope="module")
def cut_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first 60 % of the bytes of a clip of 6 s."""
    folder = tmp_path_factory.mktemp("cut")
    whole = write_clip(folder / "whole.mp4", frames=150, gop=25, container_options=damage.FAST_START).path
    return damage.cut(whole, folder / "cut.mp4", 0.6)


def read_until_error(events: Iterator[stream.FrameEvent], into: list[stream.FrameEvent]) -> None:
    for event in events:
        into.append(event)  # noqa: PERF402 - what came before an error must be kept


def test_a_cut_file_raises_after_its_last_event(moderator: stream.Moderator, cut_clip: Path) -> None:
    events: list[stream.FrameEvent] = []
    with pytest.raises(stream.SourceError):
        read_until_error(moderator.score(cut_clip), events)
    assert [event.media_time_s for event in events if event.state == "scored"][:3] == [0.0, 1.0, 2.0]


def test_the_error_names_the_file_and_has_a_code(moderator: stream.Moderator, cut_clip: Path) -> None:
    with pytest.raises(stream.SourceError) as raised:
        list(moderator.score(cut_clip))
    assert str(raised.value).startswith(f"{cut_clip}: ")
    assert raised.value.code


@pytest.mark.parametrize(
    ("name", "code"), [("gone.mp4", "missing"), ("", "missing"), ("*.mp4", "not_a_file")]
)
def test_a_name_of_not_one_file_raises(
    moderator: stream.Moderator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, code: str
) -> None:
    """Nothing of a folder or pattern may be left out unnoticed."""
    (tmp_path / "a.mp4").write_bytes(b"x")
    (tmp_path / "b.mp4").write_bytes(b"x")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(stream.SourceError) as raised:
        list(moderator.score(name))
    assert raised.value.code == code


def test_a_moderator_goes_on_after_a_file_that_failed(
    moderator: stream.Moderator, clip: Path, tmp_path: Path
) -> None:
    with pytest.raises(stream.SourceError):
        list(moderator.score(damage.text(tmp_path / "text.mp4")))
    assert len(list(moderator.score(clip))) == 6


def test_a_moderator_goes_on_after_a_loop_that_was_left(moderator: stream.Moderator, clip: Path) -> None:
    for _ in moderator.score(clip):
        break
    assert len(list(moderator.score(clip))) == 6


def test_leaving_the_loop_leaves_no_process(clip: Path) -> None:
    before = running_below(os.getpid())
    for _ in stream.score(clip):
        during = running_below(os.getpid()) - before
        break
    assert during, "there were decode workers"
    assert running_below(os.getpid()) - before == set()


def test_the_end_of_the_file_leaves_no_process(clip: Path) -> None:
    before = running_below(os.getpid())
    assert list(stream.score(clip))
    assert running_below(os.getpid()) - before == set()


def test_an_error_of_the_caller_comes_through_and_leaves_no_process(clip: Path) -> None:
    before = running_below(os.getpid())
    with pytest.raises(ZeroDivisionError):
        [1 // 0 for _ in stream.score(clip)]
    assert running_below(os.getpid()) - before == set()


def test_score_frame_scores_a_picture_in_memory(moderator: stream.Moderator) -> None:
    """The picture and its score are of the model's manifest; at 256x256 there is nothing to resize."""
    scores = moderator.score_frame(golden_picture("ellipses-226", 256, 256))
    assert scores == {"open_nsfw.nsfw": pytest.approx(0.710722, abs=1e-4)}


def test_score_frame_takes_any_size(moderator: stream.Moderator) -> None:
    for shape in [(1, 1, 3), (37, 1001, 3), (720, 1280, 3)]:
        assert 0.0 <= moderator.score_frame(np.zeros(shape, np.uint8))["open_nsfw.nsfw"] <= 1.0


@pytest.mark.parametrize(
    "frame",
    [
        np.zeros((4, 4), np.uint8),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((4, 4, 3), np.float32),
        np.zeros((0, 4, 3), np.uint8),
    ],
    ids=["grey", "with alpha", "floats", "empty"],
)
def test_score_frame_refuses_what_is_no_picture(moderator: stream.Moderator, frame: np.ndarray) -> None:
    with pytest.raises(ValueError, match="expected a frame uint8"):
        moderator.score_frame(frame)


def test_the_module_scores_a_frame_by_itself() -> None:
    scores = stream.score_frame(golden_picture("gradient-112", 256, 256))
    assert scores == {"open_nsfw.nsfw": pytest.approx(0.000037, abs=1e-4)}


def test_a_model_that_is_not_pulled_is_named_before_anything_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FRAMEWARDEN_CACHE", str(tmp_path))
    before = running_below(os.getpid())
    with pytest.raises(stream.FramewardenError, match="framewarden models pull open_nsfw"):
        stream.Moderator(stream.Config(scoring=Scoring(gpu="off")))
    assert running_below(os.getpid()) - before == set()


def test_a_script_without_a_main_guard_works(clip: Path, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import sys\nimport stream\nfor event in stream.score(sys.argv[1]):\n    print(event.media_time_s)\n",
        encoding="utf-8",
    )
    ran = run([sys.executable, str(script), str(clip)], tmp_path)
    assert (ran.status, ran.stdout.split()) == (0, ["0.0", "1.0", "2.0", "3.0", "4.0", "5.0"])


def test_a_script_on_standard_input_works(clip: Path) -> None:
    script = f"import stream\nprint(len(list(stream.score({str(clip)!r}))))\n"
    done = subprocess.run([sys.executable, "-"], input=script, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "6\n")


@pytest.mark.parametrize("module", ["onnxruntime", "cv2", "av", "numpy"])
def test_importing_the_package_does_not_import(module: str) -> None:
    ran = run([sys.executable, "-c", f"import stream, sys; print({module!r} in sys.modules)"])
    assert ran.stdout == "False\n"


@pytest.mark.parametrize("name", stream.__all__)
def test_what_the_package_offers_is_there(name: str) -> None:
    assert getattr(stream, name).__name__ == name


def test_a_name_that_the_package_does_not_have_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = stream.no_such_name
