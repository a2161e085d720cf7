"""What a decode worker can do that was taken over by the bytes it parses: nothing but decode.

The deeds are done by `tests.support.misbehaviour`, in the cage that workers enter and by the same function.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, TypeAlias

import av
import pytest
from PIL import Image

from stream.config import Decode, Sampling
from stream.decoding.cage import LAYERS, uncovered
from stream.decoding.supervisor import WorkerPool
from stream.frames import Sample, StreamEnd, ViewSpec
from tests.support.media import write_clip

VIEW = ViewSpec(64, 64, 64, 64)
ROOT = Path(__file__).resolve().parents[2]
WITHOUT = {"landlock": "landlock_create_ruleset", "seccomp": "seccomp", "network": "unshare"}
"""Each layer's system call: a kernel that lacks it cannot put the layer on."""

REFUSED = {
    "take_memory": "MemoryError",
    "raise_limit": "ValueError",
    "grow_file": "EFBIG",
    "fork": "EPERM",
    "execute": "EPERM",
    "open_socket": "EPERM",
    "connect": "EPERM",
    "reach_out": "EPERM",
    "read_file": "EACCES",
    "make_file": "EACCES",
    "make_memory_file": "EACCES",
    "remove_file": "EPERM",
    "change_mode": "EPERM",
    "make_shared_memory": "EPERM",
    "signal_parent": "EPERM",
    "trace_parent": "EPERM",
    "slow_parent": "EPERM",
    "starve_parent": "EPERM",
    "outlive_parent": "EPERM",
    "make_ring": "EPERM",
    "make_namespace": "EPERM",
    "type_into_terminal": "ENOTTY",
}
ALLOWED = {"start_threads": "done", "decode": "50 frames", "abort": "exit -6"}


@dataclass(frozen=True)
class Misbehaviour:
    """What became of every deed, and the layers that were missing while it was tried."""

    missing: dict[str, str]
    outcomes: dict[str, str]


Misbehave: TypeAlias = Callable[..., Misbehaviour]


@pytest.fixture(scope="module")
def misbehave(tmp_path_factory: pytest.TempPathFactory) -> Misbehave:
    """Tries everything, as `who` and without the layers named; once each."""
    clip = write_clip(tmp_path_factory.mktemp("media") / "clip.mp4", frames=50).path
    clip.chmod(0o600)

    @cache
    def run(who: str, *lost: str) -> Misbehaviour:
        calls = [WITHOUT[layer] for layer in lost]
        command = [sys.executable, "-m", "tests.support.misbehaviour", who, str(clip), *calls]
        done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True)
        return Misbehaviour(**json.loads(done.stdout))

    return run


@pytest.fixture(params=["root", "user"])
def who(request: pytest.FixtureRequest) -> str:
    if request.param == "root" and os.geteuid() != 0:
        pytest.skip("these tests do not run as root")
    return str(request.param)


@pytest.mark.parametrize("deed", REFUSED)
def test_a_worker_that_misbehaves_is_stopped(misbehave: Misbehave, who: str, deed: str) -> None:
    assert misbehave(who).outcomes[deed] == REFUSED[deed]


@pytest.mark.parametrize("deed", ALLOWED)
def test_what_decoding_needs_works(misbehave: Misbehave, who: str, deed: str) -> None:
    assert misbehave(who).outcomes[deed] == ALLOWED[deed]


def test_every_deed_has_its_test(misbehave: Misbehave) -> None:
    assert misbehave("user").outcomes.keys() == REFUSED.keys() | ALLOWED.keys()


def test_every_layer_that_leaves_something_open_is_on_here(misbehave: Misbehave, who: str) -> None:
    missing: Any = misbehave(who).missing
    assert uncovered(missing) == {}


@pytest.mark.parametrize("layer", WITHOUT)
def test_a_layer_that_cannot_be_put_on_is_named(misbehave: Misbehave, layer: str) -> None:
    assert "Function not implemented" in misbehave("user", layer).missing[layer]


@pytest.mark.parametrize("layer", ["landlock", "network"])
def test_without_one_layer_the_others_still_refuse_everything(misbehave: Misbehave, layer: str) -> None:
    assert misbehave("user", layer).outcomes == REFUSED | ALLOWED


@pytest.mark.parametrize(
    ("deed", "outcome"),
    [
        ("read_file", "EACCES"),
        ("make_file", "EACCES"),
        ("execute", "EACCES"),
        ("connect", "EACCES"),
        ("signal_parent", "EPERM"),
        ("trace_parent", "EPERM"),
    ],
)
def test_landlock_alone_keeps_files_and_processes_safe(misbehave: Misbehave, deed: str, outcome: str) -> None:
    assert misbehave("user", "seccomp").outcomes[deed] == outcome


def test_without_an_interface_nothing_is_reached(misbehave: Misbehave) -> None:
    found = misbehave("user", "seccomp", "landlock")
    if "network" in found.missing:
        pytest.skip(f"no user namespaces here: {found.missing['network']}")
    assert found.outcomes["reach_out"] == "ENETUNREACH"


# What the parent makes of it.


def in_a_process(code: str, *arguments: str, path: Sequence[Path] = (), lost: Sequence[str] = ()) -> str:
    """Returns what `code` prints in a process whose kernel lacks the layers `lost`."""
    lose = f"from tests.support.misbehaviour import lose\nlose({[WITHOUT[layer] for layer in lost]})\n"
    done = subprocess.run(
        [sys.executable, "-c", (lose if lost else "") + code, *arguments],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, path))},
    )
    return done.stdout.strip()


REQUIRE = (
    "from stream.config import Decode\n"
    "from stream.decoding.supervisor import WorkerPool\n"
    "from stream.errors import WorkerError\n"
    "try:\n"
    "    WorkerPool(Decode(containment='require'), 1).close()\n"
    "except WorkerError as error:\n"
    "    print(error.code, '|', error)\n"
)
READ = (
    "import sys; from pathlib import Path\n"
    "from stream.config import Decode, Sampling\n"
    "from stream.decoding.supervisor import WorkerPool\n"
    "with WorkerPool(Decode(), 1) as pool:\n"
    "    end = list(pool.read(Path(sys.argv[1]), 'clip', [], Sampling()))[-1]\n"
    "    print(list(pool.missing_layers()), end.code)\n"
)


def test_a_pool_that_requires_containment_starts_where_all_layers_are() -> None:
    assert in_a_process(REQUIRE) == ""


@pytest.mark.parametrize("layer", ["landlock", "seccomp"])
def test_a_pool_that_requires_containment_names_the_layer_that_is_missing(layer: str) -> None:
    said = in_a_process(REQUIRE, lost=[layer])
    assert said.startswith("not_contained | ")
    assert f"{layer} (Function not implemented)" in said


def test_a_network_namespace_is_not_required_where_seccomp_refuses_sockets() -> None:
    assert in_a_process(REQUIRE, lost=["network"]) == ""


def test_without_seccomp_a_network_namespace_is_required() -> None:
    said = in_a_process(REQUIRE, lost=["network", "seccomp"])
    assert "network (unshare: Function not implemented); seccomp (" in said


@pytest.mark.parametrize("package", ["landlockpy", "seccompy"])
def test_a_package_that_is_not_installed_is_named(tmp_path: Path, package: str) -> None:
    (tmp_path / f"{package}.py").write_text("raise ImportError\n")
    assert f"(the package {package} is not installed)" in in_a_process(REQUIRE, path=[tmp_path])


@pytest.mark.parametrize("layer", WITHOUT)
def test_a_pool_that_prefers_containment_reads_without_a_layer(tmp_path: Path, layer: str) -> None:
    clip = write_clip(tmp_path / "clip.mp4", frames=25).path
    assert in_a_process(READ, str(clip), lost=[layer]) == f"['{layer}'] None"


def test_a_refusing_pool_leaves_no_process() -> None:
    look = "import os\ntry:\n    os.waitpid(-1, os.WNOHANG)\nexcept ChildProcessError:\n    print('none')\n"
    left = in_a_process(REQUIRE + look, lost=["landlock"])
    assert left.splitlines()[-1] == "none"


def test_layers_are_known_by_their_names() -> None:
    assert list(LAYERS) == ["limits", "network", "privileges", "parent", "landlock", "seccomp"]


def test_no_credential_of_the_environment_reaches_a_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FRAMEWARDEN_TEST_PASSWORD", "hunter2")
    with WorkerPool(Decode(), 1) as pool:
        pool.missing_layers()
        seen = Path(f"/proc/{pool._server._process.pid}/environ").read_bytes()
    assert b"PATH=" in seen
    assert b"hunter2" not in seen


# Inside, nothing can be imported: what decoding imports when a file first needs it must be there before.


def read(path: Path) -> tuple[int, str | None]:
    """Returns the number of samples and why the file was not read to its end."""
    with WorkerPool(Decode(), 1) as pool:
        messages = list(pool.read(path, "file", [VIEW], Sampling()))
    end = messages[-1]
    assert isinstance(end, StreamEnd)
    return sum(isinstance(message, Sample) for message in messages), end.reason


def test_a_picture_in_cielab_is_read(tmp_path: Path) -> None:
    Image.new("LAB", (64, 64), (100, 20, 30)).save(tmp_path / "lab.tiff")
    assert read(tmp_path / "lab.tiff") == (1, None)


def test_a_file_with_subtitles_is_read(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4", frames=25).path
    titles = tmp_path / "titles.srt"
    titles.write_text("1\n00:00:00,000 --> 00:00:01,000\nTitle\n")
    with ExitStack() as stack:
        output = stack.enter_context(av.open(str(tmp_path / "titled.mkv"), "w"))
        inputs = [stack.enter_context(av.open(str(path))) for path in (clip, titles)]
        tracks = [output.add_stream_from_template(source.streams[0]) for source in inputs]
        for source, track in zip(inputs, tracks, strict=True):
            for packet in source.demux():
                if packet.dts is not None:
                    packet.stream = track
                    output.mux(packet)
    assert read(tmp_path / "titled.mkv") == (1, None)
