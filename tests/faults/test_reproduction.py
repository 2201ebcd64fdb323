"""Going back to a run for real: a shell, a replay, a reproduction, a kept machine and a bundle."""

from __future__ import annotations

import io
import json
import shlex
import signal
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker
import pytest
import zstandard

from containers.engine import KEPT_PREFIX, Engine
from tests.faults import edits
from tests.faults.commands import ROOT, Ended, check_form, environment, gate, run_to_end
from tests.faults.things import left, runs_of
from tests.helpers import wheel_builder as wheels
from verification.models.errors import ExitCode
from verification.models.evidence import read_evidence

pytestmark = pytest.mark.xdist_group("reproduction")  # one gate, gone back to in several ways
CELL = "debian-13-pip-venv"


@pytest.fixture(scope="module")
def client(found: Engine) -> Iterator[docker.DockerClient]:
    connected = found.client()
    yield connected
    connected.close()


def _command(name: str, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "verification.commands", name, *arguments]


def _run(name: str, *arguments: str, typed: str = "") -> Ended:
    return run_to_end(_command(name, *arguments), typed)


def _results(report: Path) -> dict[str, Any]:
    told: dict[str, Any] = json.loads((report / "results.json").read_text("utf-8"))
    return told


@pytest.fixture(scope="module")
def failed(
    good_wheel: Path, client: docker.DockerClient, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Path]:
    """Return the report of a gate whose wheel lacks its library; the machine was kept."""
    folder = tmp_path_factory.mktemp("failed")
    planted = wheels.mutate(good_wheel, folder, remove=["quiverdb/_libs/libquiver.so"])
    options = ("--machine=debian-13", "--history=none", "--keep-failed", "-k", CELL)
    ended = gate(folder / "report", f"--wheels={planted.parent}", *options)
    assert ended.code == ExitCode.PACKAGE_FAILED, ended.output
    yield folder / "report"
    for container in client.containers.list(filters={"name": KEPT_PREFIX}):
        if any(word in str(container.name) for word in _kept_run(folder / "report")):
            container.remove(force=True, v=True)


def _kept_run(report: Path) -> list[str]:
    return [kept["container"].rpartition("-")[2] for kept in _results(report)["kept"]]


def test_the_machine_of_a_failed_cell_is_up_with_its_index_as_it_failed(
    failed: Path, client: docker.DockerClient
) -> None:
    (kept,) = _results(failed)["kept"]
    assert kept["cell"] == CELL
    assert kept["installed_again"]
    machine = client.containers.get(kept["container"])
    assert machine.status == "running"
    # The command as it is told, but for the terminal that a test has not.
    entered = subprocess.run(
        shlex.split(kept["enter"].replace(" -it ", " -i ")),
        input="pwd; which pip; pip download --no-deps pycparser; python -c "
        "'import quiverdb; quiverdb.version()'",
        capture_output=True,
        text=True,
        check=False,
    )
    assert "/home/user/project\n/home/user/venv/bin/pip\n" in entered.stdout
    assert "Successfully downloaded pycparser" in entered.stdout, "its index is up"
    assert "libquiver" in entered.stderr
    assert entered.returncode == 1
    for form in ("index.html", "results.json"):
        assert kept["container"] in (failed / form).read_text("utf-8")


def test_a_bundle_of_a_failed_run_is_replayed_to_the_same_verdict(
    failed: Path, tmp_path: Path
) -> None:
    made = _run("bundle", "--from", str(failed), "-o", str(tmp_path / "x.tar.zst"))
    assert made.code == ExitCode.VERIFIED, made.output
    raw = zstandard.ZstdDecompressor().decompress((tmp_path / "x.tar.zst").read_bytes())
    with tarfile.open(fileobj=io.BytesIO(raw)) as tar:
        tar.extractall(tmp_path, filter="data")
        texts = [file.read() for one in tar.getmembers() if (file := tar.extractfile(one))]
    assert [text for text in texts if str(ROOT).encode() in text] == []
    (report,) = [path.parent for path in tmp_path.rglob("results.json")]

    replayed = _run("replay", "--all", "--from", str(report))

    assert replayed.code == ExitCode.VERIFIED, replayed.output
    assert f"{CELL}: fails (missing-bundled-library), as recorded" in replayed.output
    assert "1 of 1 cells have the verdict that was recorded" in replayed.output
    assert "differs:" not in replayed.output
    (path,) = (report / "replay" / "evidence").glob("*.json")
    chosen = read_evidence(path).chosen
    assert chosen is not None
    assert chosen.seed == _results(report)["inputs"]["seed"]


def test_a_verdict_that_is_another_is_told_with_both(failed: Path, tmp_path: Path) -> None:
    told = _results(failed)
    told["cells"][0] |= {"verdict": "verified", "outcome": "works", "causes": []}
    # An image that is there no more is made again, and told.
    told["images"]["index"] |= {"id": f"sha256:{'0' * 64}"}
    (tmp_path / "results.json").write_text(json.dumps(told), "utf-8")

    replayed = _run("replay", CELL, "--from", str(tmp_path))

    assert replayed.code == ExitCode.PACKAGE_FAILED, replayed.output
    line = f"{CELL}: recorded works; now fails (missing-bundled-library)"
    assert line in replayed.output
    assert "differs: image index: " in replayed.output
    assert "they prove nothing of the recorded run" in replayed.output


def test_without_the_wheel_there_is_no_replay(failed: Path, tmp_path: Path) -> None:
    told = _results(failed)
    told["inputs"]["wheels"][0]["sha256"] = "0" * 64
    (tmp_path / "results.json").write_text(json.dumps(told), "utf-8")
    replayed = _run("replay", CELL, "--from", str(tmp_path))
    assert replayed.code == ExitCode.UNVERIFIED, replayed.output
    assert "(sha256 0000000000000000...) is no longer kept" in replayed.output


def test_a_bug_report_is_reproduced_and_the_reproduction_replayed(tmp_path: Path) -> None:
    report = str(tmp_path / "report")
    asked = ("--python", "3.13", "--os", "ubuntu-26.10", "--release", "0.13.5")
    wrong = _run("reproduce", *asked)
    assert (wrong.code, len(wrong.output.splitlines())) == (ExitCode.WRONG_USE, 1)

    told_of = ("--python", "3.13.1", "--glibc", "2.41", "--pip", "24.3", "--release", "0.13.5")
    ended = _run("reproduce", *told_of, "--history", "none", "--report", report)

    assert ended.code == ExitCode.VERIFIED, ended.output
    check_form(Path(report))
    told = _results(Path(report))
    assert told["reproduction"]["used"]["machine"] == "debian-13"
    assert told["cells"][0]["id"] == "debian-13-pip-24.3-venv"
    evidence = Path(report) / "evidence" / f"{told['cells'][0]['evidence']}.json"
    (setup,) = json.loads(evidence.read_text("utf-8"))["setup"]
    assert (setup["command"][-1], setup["code"]) == ("pip==24.3", 0)
    differs = " | ".join(told["reproduction"]["differs"])
    assert "for 3.13.1" in differs

    replayed = _run("replay", "debian-13-pip-24.3-venv", "--from", report)

    assert replayed.code == ExitCode.VERIFIED, replayed.output
    assert "as recorded" in replayed.output


def _no_wheel(wheel: Path, folder: Path) -> Path:
    """Return the release with a Requires-Python that allows more than its wheels fit."""
    change = edits.metadata(wheel, b"Requires-Python: >=3.13", b"Requires-Python: >=3.12")
    return wheels.mutate(wheel, folder, **change)


@pytest.mark.parametrize(
    ("asked", "code", "kind"),
    [
        (("--os", "Ubuntu 24.04", "--python", "3.12"), ExitCode.PACKAGE_FAILED, "files"),
        (("--os", "windows-11", "--python", "3.14"), ExitCode.PACKAGE_FAILED, "files"),
        (("--os", "macos", "--python", "3.13"), ExitCode.PACKAGE_FAILED, "files"),
        (("--os", "ubuntu-24.04", "--arch", "arm64"), ExitCode.UNVERIFIED, "files"),
    ],
    ids=["linux", "windows", "macos", "arm64"],
)
def test_no_other_python_system_or_processor_stands_in_for_the_one_asked_for(
    good_wheel: Path, tmp_path: Path, asked: tuple[str, ...], code: ExitCode, kind: str
) -> None:
    planted = _no_wheel(good_wheel, tmp_path)
    if "arm64" in asked:
        tag = "manylinux_2_28_x86_64"
        edits.retagged(planted, tmp_path, tag, tag.replace("x86_64", "aarch64"))
    report = tmp_path / "report"
    ended = _run("reproduce", *asked, f"--wheels={tmp_path}", "--report", str(report))

    assert ended.code == code, ended.output
    reproduction = check_form(report).reproduction
    assert reproduction
    assert (reproduction.kind, reproduction.used) == (kind, None)
    assert ended.output.splitlines()[-1].startswith("answer ")


@pytest.mark.long
def test_a_pass_on_a_similar_machine_is_no_proof_and_a_failure_that_the_files_show_is(
    good_wheel: Path, tmp_path: Path
) -> None:
    asked = ("--python", "3.13", "--glibc", "2.40", "--history", "none")
    (tmp_path / "bad").mkdir()
    bad = wheels.mutate(good_wheel, tmp_path / "bad", remove=["quiverdb/_libs/libquiver.so"])
    for wheel, code, kind in (
        (good_wheel, ExitCode.UNVERIFIED, "similar-machine"),
        (bad, ExitCode.PACKAGE_FAILED, "files"),
    ):
        report = tmp_path / kind
        options = (f"--wheels={wheel.parent}", "--report", str(report))
        ended = _run("reproduce", *asked, *options)
        assert ended.code == code, ended.output
        reproduction = check_form(report).reproduction
        assert reproduction
        assert reproduction.kind == kind
        assert any("glibc 2.41 for 2.40" in line for line in reproduction.differs)


SHELL = ("debian-13", "--release", "0.13.5", "--history", "none")


def test_a_shell_reads_its_input_where_there_is_no_terminal() -> None:
    typed = "pip install quiverdb >/dev/null || exit 1\n"
    typed += "python -c 'import quiverdb; print(quiverdb.version())'\n"
    typed += "pwd; id -un; echo $VIRTUAL_ENV\nexit 7\n"
    ended = _run("shell", *SHELL, typed=typed)
    assert ended.code == 7, ended.output
    assert "type      pip install quiverdb" in ended.output
    assert "0.13.5\n/home/user/project\nuser\n/home/user/venv\n" in ended.output


def test_a_shell_whose_terminal_is_closed_leaves_nothing(client: docker.DockerClient) -> None:
    process = subprocess.Popen(
        _command("shell", *SHELL),
        cwd=ROOT,
        env=environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert process.stdin
    assert process.stdout
    process.stdin.write(b"echo here\n")
    process.stdin.flush()
    assert process.stdout.readline() == b"here\n"
    runs = set(runs_of(client, process.pid))
    assert runs

    process.send_signal(signal.SIGHUP)

    assert process.wait(timeout=60) == ExitCode.UNVERIFIED
    assert left(client, runs) == []
    process.stdin.close()
    process.stdout.close()
