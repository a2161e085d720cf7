"""The pure parts of the bench: figures, rows, ratios, targets, history, and the memory sampler."""

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.bench import report
from tests.bench.memory import PeakMemory, tree, tree_mb
from tests.bench.peers.contract import frame_step
from tests.bench.process import BenchError, Measurement, measure, measurement
from tests.bench.runners import CASES, Case, Inputs, Runner

CASE = Case("one a second", "interval", 1, {"peer": 2.0, "absent": 3.0})


def run(work_s: float, samples: int = 120, max_score: float | None = 0.4) -> Measurement:
    return Measurement(work_s, samples, max_score, peak_mb=100.0, wall_s=work_s + 1)


def rows(product: Measurement, peer: Measurement) -> list[report.Row]:
    summaries = [
        report.summarize(CASE.name, name, [one], 120)
        for name, one in [("framewarden", product), ("peer", peer)]
    ]
    return report.compare(summaries, {CASE.name: 120})


def test_a_row_is_the_median_of_its_runs_with_their_range() -> None:
    row = report.summarize("case", "peer", [run(3.0), run(1.0), run(2.0)], length_s=120)
    assert (row.work_s, row.least_s, row.most_s, row.samples_per_s, row.times_real_time) == (
        2.0,
        1.0,
        3.0,
        60.0,
        60.0,
    )


def test_a_ratio_is_how_many_times_longer_a_peer_works() -> None:
    assert [row.ratio for row in rows(run(2.0), run(5.0))] == [1.0, 2.5]


def test_without_the_product_there_is_no_ratio() -> None:
    (row,) = report.compare([report.summarize("case", "peer", [run(5.0)], 120)], {"case": 120})
    assert row.ratio is None


def test_samples_may_differ_by_one_and_are_marked_beyond() -> None:
    product, peer = rows(run(2.0, samples=121), run(2.0, samples=118))
    assert (product.note, peer.note) == ("", "MISMATCH: 118 samples, expected 120")


def test_a_score_far_from_the_products_is_marked() -> None:
    assert rows(run(2.0, max_score=0.1), run(2.0, max_score=0.9))[1].note == (
        "MISMATCH: highest score differs by +0.80"
    )


def test_a_runner_that_is_missing_keeps_its_reason_in_the_table() -> None:
    text = report.table([report.Row("case", "peer", note="unavailable: not installed")])
    assert text.splitlines()[1].split("  ")[0] == "case"
    assert text.endswith("unavailable: not installed")


def test_the_columns_of_the_table_line_up() -> None:
    lines = report.table(rows(run(2.0), run(123.456))).splitlines()
    assert {
        line.find(figure) + len(figure)
        for line, figure in zip(lines, ["work s", "2.00", "123.46"], strict=True)
    } == {lines[0].find("work s") + 6}


def test_targets_say_whether_they_were_met() -> None:
    assert report.targets([CASE], rows(run(2.0), run(3.0))) == [
        "one a second: 2.0 times faster than peer: 1.50, MISSED",
        "one a second: 3.0 times faster than absent: not measured",
    ]


def document(work_s: float, cpu: str = "one") -> dict[str, object]:
    machine = {"cpu": cpu, "cores": 2, "memory_gb": 24}
    return report.document(machine, {"clip": "clip.mp4"}, rows(run(work_s), run(4.0)))


def test_a_change_is_told_against_the_last_run_on_such_a_machine() -> None:
    history = [document(1.0), document(2.0), document(9.0, cpu="another")]
    assert (
        report.changes(document(3.0), history)[0]
        == "one a second, framewarden: 2.00 s then, 3.00 s now (+50%)"
    )


def test_a_first_run_has_nothing_to_be_compared_with() -> None:
    assert report.changes(document(3.0), []) == ["no earlier run on this clip and such a machine"]


def test_the_document_survives_json() -> None:
    assert json.loads(json.dumps(document(2.0))) == document(2.0)


@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        ({"nsfw": 0.2, "fake": 0.9}, 0.2),
        ({"open_nsfw": {"nsfw": 0.3, "sfw": 0.7}}, 0.3),
        ({"open_nsfw/nsfw": 0.4, "open_nsfw/sfw": 0.6}, 0.4),
        ({"nsfw": None}, None),
    ],
)
def test_the_nsfw_score_is_found_whatever_its_nesting(
    scores: dict[str, object], expected: float | None
) -> None:
    figures = {"work_s": 1.0, "samples": 1, "max_scores": scores}
    assert measurement(figures, peak_mb=1.0, wall_s=1.0).max_score == expected


def test_a_command_that_prints_no_figures_is_refused_with_what_it_said() -> None:
    with pytest.raises(BenchError, match="exit status 3: no such clip"):
        measure([sys.executable, "-c", "raise SystemExit(print('no such clip') or 3)"])


def test_figures_count_even_when_the_status_tells_of_a_finding() -> None:
    program = 'print(\'{"work_s": 1.5, "samples": 2}\'); raise SystemExit(1)'
    assert measure([sys.executable, "-c", program]).work_s == 1.5


def test_a_command_that_hangs_is_killed_with_all_it_started() -> None:
    with pytest.raises(BenchError, match="longer than"):
        measure(["sh", "-c", "sleep 60 & wait"], limit_s=0.3)


def test_a_command_that_is_not_there_is_unavailable() -> None:
    with pytest.raises(BenchError, match="cannot be started"):
        measure(["/nonexistent/framewarden"])


GRANDCHILD = """
import sys
held = bytearray(b"x" * 60_000_000)
print("ready", flush=True)
sys.stdin.read()
"""


def test_memory_of_a_grandchild_counts() -> None:
    inner = [sys.executable, "-c", GRANDCHILD]
    outer = [sys.executable, "-c", f"import subprocess; subprocess.run({inner!r})"]
    with subprocess.Popen(outer, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        with PeakMemory(process.pid) as memory:
            while not memory.peak_mb:
                time.sleep(0.01)
        members = tree(process.pid)
        process.communicate()
    assert len(members) == 2
    assert 60 < memory.peak_mb < 160


def test_a_process_that_has_gone_holds_nothing() -> None:
    with subprocess.Popen(["true"]) as process:
        process.wait()
        assert tree_mb(process.pid) == 0


@pytest.mark.parametrize(("case", "samples"), list(zip(CASES, [120, 450], strict=True)))
def test_wanted_samples_of_two_minutes(case: Case, samples: int) -> None:
    assert case.expected_samples(frames=3600, rate=30) == samples


def test_an_interval_is_a_number_of_frames_for_a_peer() -> None:
    assert (frame_step("interval", 1, 29.97), frame_step("nth", 8, 29.97)) == (30, 8)


def test_the_product_and_a_peer_are_asked_the_same() -> None:
    inputs = Inputs(Path("clip.mp4"), Path("model.onnx"), Path("out"))
    product = Runner("framewarden").command(Path("bin/python"), CASE, inputs)
    peer = Runner("peer", "peer.py").command(Path("env/bin/python"), CASE, inputs)
    asked = ["clip.mp4", "--sampling", "interval", "--every", "1"]
    assert product[:2] == ["bin/framewarden", "score"]
    assert (product[2:7], peer[2:7]) == (asked, asked)
