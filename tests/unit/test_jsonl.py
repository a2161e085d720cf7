import errno
import json
import subprocess
import sys
import textwrap
from pathlib import Path

import jsonschema
import pytest

from stream.errors import OutputError
from stream.events import CoverageSpan, json_schema
from stream.sinks.jsonl import JsonlSink
from tests.support.records import alert_event, coverage_event, frame_event


def lines_of(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_each_kind_of_event_goes_to_its_own_file(tmp_path: Path) -> None:
    sink = JsonlSink(tmp_path / "new" / "out")
    sink.publish(frame_event(1.0, 0.5))
    sink.publish(alert_event(1.0, 2.0))
    sink.publish(coverage_event())
    sink.close()
    names = sorted(path.name for path in (tmp_path / "new" / "out").iterdir())
    assert names == ["alerts.jsonl", "coverage.jsonl", "events.jsonl"]
    assert [line["type"] for line in lines_of(tmp_path / "new/out/alerts.jsonl")] == ["framewarden.alert.v1"]


@pytest.mark.parametrize(
    ("kind", "name", "event"),
    [
        ("frame", "events.jsonl", frame_event(1.0, 0.5)),
        ("alert", "alerts.jsonl", alert_event(1.0, 2.0)),
        ("coverage", "coverage.jsonl", coverage_event(CoverageSpan(1.0, 2.0, "undecodable", "bad data"))),
    ],
)
def test_a_line_fits_the_published_schema(tmp_path: Path, kind: str, name: str, event: object) -> None:
    sink = JsonlSink(tmp_path)
    sink.publish(event)  # type: ignore[arg-type]
    sink.close()
    (line,) = lines_of(tmp_path / name)
    jsonschema.validate(line, json_schema(kind))


def test_a_line_can_be_read_before_the_sink_is_flushed(tmp_path: Path) -> None:
    sink = JsonlSink(tmp_path)
    sink.publish(frame_event(1.0, 0.5))
    assert (tmp_path / "events.jsonl").read_bytes().endswith(b"}\n")
    sink.close()


def test_an_earlier_run_is_replaced_at_the_beginning(tmp_path: Path) -> None:
    (tmp_path / "events.jsonl").write_text("old\n")
    sink = JsonlSink(tmp_path)
    assert (tmp_path / "events.jsonl").read_text() == ""
    sink.publish(frame_event(1.0, 0.5))
    sink.publish(frame_event(2.0, 0.5))
    sink.close()
    assert [line["media_time_s"] for line in lines_of(tmp_path / "events.jsonl")] == [1.0, 2.0]


def test_other_files_in_the_folder_stay(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    JsonlSink(tmp_path).close()
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_closing_twice_is_harmless(tmp_path: Path) -> None:
    sink = JsonlSink(tmp_path)
    sink.close()
    sink.close()


def test_a_file_in_place_of_the_folder_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file")
    with pytest.raises(OutputError, match=r"out: cannot be written: File exists; a folder was expected"):
        JsonlSink(tmp_path / "out")


def test_a_folder_in_place_of_a_file_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "alerts.jsonl").mkdir()
    with pytest.raises(OutputError, match=r"alerts\.jsonl: cannot be written: Is a directory"):
        JsonlSink(tmp_path)


def test_a_full_disk_is_told_with_the_file_and_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "events.jsonl").symlink_to("/dev/full")
    sink = JsonlSink(tmp_path)
    with pytest.raises(
        OutputError, match=r"events\.jsonl: .*No space left on device; free some space"
    ) as caught:
        sink.publish(frame_event(1.0, 0.5))
    assert caught.value.errno == errno.ENOSPC
    sink.close()


def test_a_line_without_room_is_taken_back_whole(tmp_path: Path) -> None:
    script = """
        import resource, sys
        from pathlib import Path
        from stream.errors import OutputError
        from stream.sinks.jsonl import JsonlSink
        from tests.support.records import frame_event

        sink = JsonlSink(Path(sys.argv[1]))
        resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))
        try:
            for second in range(100):
                sink.publish(frame_event(float(second), 0.5))
        except OutputError as error:
            print(error)
    """
    command = [sys.executable, "-c", textwrap.dedent(script), str(tmp_path)]
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, timeout=60, cwd=Path(__file__).parents[2]
    )
    assert "events.jsonl: cannot be written: File too large; raise the limit" in done.stdout
    times = [line["media_time_s"] for line in lines_of(tmp_path / "events.jsonl")]
    assert times == [float(second) for second in range(len(times))]
    assert times


def test_a_name_that_is_no_unicode_is_written_and_comes_back(tmp_path: Path) -> None:
    sink = JsonlSink(tmp_path)
    sink.publish(frame_event(1.0, 0.5, stream_id="a\udcff.mp4"))
    sink.close()
    (line,) = lines_of(tmp_path / "events.jsonl")
    assert line["stream_id"] == "a\udcff.mp4"
