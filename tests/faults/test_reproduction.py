"""The commands shell, replay, reproduce and bundle, and machines that --keep-failed keeps."""

from __future__ import annotations

import io
import json
import re
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
from tests.faults.commands import ROOT, FinishedCommand, environment, gate, read_report, run_to_end
from tests.faults.engine_objects import remaining_objects, runs_of_process
from tests.helpers import wheel_builder as wheels
from verification.models.errors import ExitCode
from verification.models.evidence import read_evidence
from verification.models.report import AnswerKind, Conclusion

CELL = "debian-13-pip-venv"


@pytest.fixture(scope="module")
def client(container_engine: Engine) -> Iterator[docker.DockerClient]:
    connected = container_engine.client()
    yield connected
    connected.close()


def _command(name: str, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "verification.commands", name, *arguments]


def _run(name: str, *arguments: str, input_text: str = "") -> FinishedCommand:
    return run_to_end(_command(name, *arguments), input_text)


def _line_about(cell: str, finished: FinishedCommand) -> str:
    """Return the last line of the output about a cell."""
    return [line for line in finished.output.splitlines() if f" {cell}: " in line][-1]


def _results(report: Path) -> dict[str, Any]:
    results: dict[str, Any] = json.loads((report / "results.json").read_text("utf-8"))
    return results


@pytest.fixture(scope="module")
def failed(
    good_wheel: Path, client: docker.DockerClient, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Path]:
    """Return the report of a gate that kept its machine. Its wheel has no core library."""
    folder = tmp_path_factory.mktemp("failed")
    planted = wheels.mutate(good_wheel, folder, remove=["quiverdb/_libs/libquiver.so"])
    options = ("--machine=debian-13", "--history=none", "--keep-failed", "-k", CELL)
    finished = gate(folder / "report", f"--wheels={planted.parent}", *options)
    assert finished.code == ExitCode.PACKAGE_FAILED, finished.output
    yield folder / "report"
    for container in client.containers.list(filters={"name": KEPT_PREFIX}):
        if any(run in str(container.name) for run in _runs_of_kept_machines(folder / "report")):
            container.remove(force=True, v=True)


def _runs_of_kept_machines(report: Path) -> list[str]:
    return [kept["container"].rpartition("-")[2] for kept in _results(report)["kept"]]


def test_kept_machine_of_a_failed_cell_runs_with_its_index(
    failed: Path, client: docker.DockerClient
) -> None:
    (kept,) = _results(failed)["kept"]
    assert kept["cell"] == CELL
    assert kept["installed_again"]
    machine = client.containers.get(kept["container"])
    assert machine.status == "running"
    # The command of the report, without a terminal.
    shell = subprocess.run(
        shlex.split(kept["enter"].replace(" -it ", " -i ")),
        input="pwd; which pip; pip download --no-deps pycparser; python -c "
        "'import quiverdb; quiverdb.version()'",
        capture_output=True,
        text=True,
        check=False,
    )
    assert "/home/user/project\n/home/user/venv/bin/pip\n" in shell.stdout
    assert "Successfully downloaded pycparser" in shell.stdout, "its index runs"
    assert "libquiver" in shell.stderr
    assert shell.returncode == 1
    for name in ("index.html", "results.json"):
        assert kept["container"] in (failed / name).read_text("utf-8")


def test_replay_of_a_bundle_has_the_same_verdict(failed: Path, tmp_path: Path) -> None:
    bundle = _run("bundle", "--from", str(failed), "-o", str(tmp_path / "x.tar.zst"))
    assert bundle.code == ExitCode.VERIFIED, bundle.output
    raw = zstandard.ZstdDecompressor().decompress((tmp_path / "x.tar.zst").read_bytes())
    with tarfile.open(fileobj=io.BytesIO(raw)) as tar:
        tar.extractall(tmp_path, filter="data")
        texts = [file.read() for member in tar if (file := tar.extractfile(member))]
    assert [text for text in texts if str(ROOT).encode() in text] == []
    (report,) = [path.parent for path in tmp_path.rglob("results.json")]

    replayed = _run("replay", "--all", "--from", str(report))

    assert replayed.code == ExitCode.VERIFIED, replayed.output
    assert "missing-bundled-library" in _line_about(CELL, replayed)
    assert "sha256:" not in replayed.output, "every recorded image exists"
    (path,) = (report / "replay" / "evidence").glob("*.json")
    chosen = read_evidence(path).chosen
    assert chosen is not None
    assert chosen.seed == _results(report)["inputs"]["seed"]


def test_replay_with_another_verdict_prints_both(failed: Path, tmp_path: Path) -> None:
    results = _results(failed)
    results["cells"][0] |= {"verdict": "verified", "outcome": "works", "causes": []}
    # An image that no longer exists is built again, and the replay reports it.
    results["images"]["index"] |= {"id": f"sha256:{'0' * 64}"}
    (tmp_path / "results.json").write_text(json.dumps(results), "utf-8")

    replayed = _run("replay", CELL, "--from", str(tmp_path))

    assert replayed.code == ExitCode.PACKAGE_FAILED, replayed.output
    line = _line_about(CELL, replayed)
    assert {"works", "fails"} <= set(re.findall(r"\w+", line))
    assert "missing-bundled-library" in line
    assert f"sha256:{'0' * 12}" in replayed.output


def test_replay_without_the_recorded_wheel_is_unverified(failed: Path, tmp_path: Path) -> None:
    results = _results(failed)
    results["inputs"]["wheels"][0]["sha256"] = "0" * 64
    (tmp_path / "results.json").write_text(json.dumps(results), "utf-8")
    replayed = _run("replay", CELL, "--from", str(tmp_path))
    assert replayed.code == ExitCode.UNVERIFIED, replayed.output
    assert "0000000000000000" in replayed.output.splitlines()[-1]


def test_reproduction_of_a_bug_report_can_be_replayed(tmp_path: Path) -> None:
    report = str(tmp_path / "report")
    unknown = ("--python", "3.13", "--os", "beos", "--release", "0.13.5")
    wrong = _run("reproduce", *unknown)
    assert (wrong.code, len(wrong.output.splitlines())) == (ExitCode.WRONG_USE, 1)

    options = ("--python", "3.13.1", "--glibc", "2.41", "--pip", "24.3", "--release", "0.13.5")
    finished = _run("reproduce", *options, "--history", "none", "--report", report)

    assert finished.code == ExitCode.VERIFIED, finished.output
    read_report(Path(report))
    results = _results(Path(report))
    assert results["reproduction"]["used"]["machine"] == "debian-13"
    assert results["cells"][0]["id"] == "debian-13-pip-24.3-venv"
    evidence = Path(report) / "evidence" / f"{results['cells'][0]['evidence']}.json"
    (setup,) = json.loads(evidence.read_text("utf-8"))["setup"]
    assert (setup["command"][-1], setup["code"]) == ("pip==24.3", 0)
    assert any("3.13.1" in difference for difference in results["reproduction"]["differs"])

    replayed = _run("replay", "debian-13-pip-24.3-venv", "--from", report)

    assert replayed.code == ExitCode.VERIFIED, replayed.output


def _for_older_python(wheel: Path, folder: Path) -> Path:
    """Return the wheel with a Requires-Python that also allows Python 3.8."""
    change = edits.metadata(wheel, b"Requires-Python: >=3.13", b"Requires-Python: >=3.8")
    return wheels.mutate(wheel, folder, **change)


@pytest.mark.parametrize(
    ("options", "code"),
    [
        (("--os", "Ubuntu 20.04", "--python", "3.8"), ExitCode.PACKAGE_FAILED),
        (("--os", "windows-11", "--python", "3.14"), ExitCode.PACKAGE_FAILED),
        (("--os", "macos", "--python", "3.13"), ExitCode.PACKAGE_FAILED),
        (("--os", "ubuntu-24.04", "--arch", "arm64"), ExitCode.UNVERIFIED),
    ],
    ids=["linux", "windows", "macos", "arm64"],
)
def test_reproduction_does_not_replace_python_system_or_processor(
    good_wheel: Path, tmp_path: Path, options: tuple[str, ...], code: ExitCode
) -> None:
    planted = _for_older_python(good_wheel, tmp_path)
    if "arm64" in options:
        tag = "manylinux_2_28_x86_64"
        edits.retagged(planted, tmp_path, tag, tag.replace("x86_64", "aarch64"))
    report = tmp_path / "report"
    finished = _run("reproduce", *options, f"--wheels={tmp_path}", "--report", str(report))

    assert finished.code == code, finished.output
    reproduction = read_report(report).reproduction
    assert reproduction
    assert (reproduction.kind, reproduction.used) == (AnswerKind.FILES, None)
    assert reproduction.answer in finished.output.splitlines()[-1]


@pytest.mark.long
def test_similar_machine_proves_only_a_failure_that_the_files_show(
    good_wheel: Path, tmp_path: Path
) -> None:
    question = ("--python", "3.13", "--glibc", "2.40", "--history", "none")
    (tmp_path / "bad").mkdir()
    bad = wheels.mutate(good_wheel, tmp_path / "bad", remove=["quiverdb/_libs/libquiver.so"])
    for wheel, code, kind in (
        (good_wheel, ExitCode.UNVERIFIED, AnswerKind.SIMILAR_MACHINE),
        (bad, ExitCode.PACKAGE_FAILED, AnswerKind.FILES),
    ):
        report = tmp_path / kind
        options = (f"--wheels={wheel.parent}", "--report", str(report))
        finished = _run("reproduce", *question, *options)
        assert finished.code == code, finished.output
        reproduction = read_report(report).reproduction
        assert reproduction
        assert reproduction.kind == kind
        assert any("2.41" in text and "2.40" in text for text in reproduction.differs)


PASTED = """\
### Operating system
Debian GNU/Linux 13.1 (trixie)
### Python version
3.13.5
### Error
OSError: libquiver.so: cannot open shared object file: No such file or directory
"""


@pytest.mark.long
def test_pasted_report_is_reproduced_if_the_machine_fails_in_the_same_way(
    good_wheel: Path, tmp_path: Path
) -> None:
    (tmp_path / "bad").mkdir()
    bad = wheels.mutate(good_wheel, tmp_path / "bad", remove=["quiverdb/_libs/libquiver.so"])
    other = PASTED.replace("libquiver.so: cannot open shared object file", "the disk is full")
    for wheel, text, conclusion in (
        (bad, PASTED, Conclusion.REPRODUCED),
        (bad, other, Conclusion.NOT_REPRODUCED),
        (good_wheel, PASTED, Conclusion.NOT_REPRODUCED),
    ):
        report = tmp_path / "report"
        options = (f"--wheels={wheel.parent}", "--history=none", "--report", str(report))
        finished = _run("reproduce", *options, input_text=text)
        reproduction = read_report(report).reproduction
        assert reproduction, finished.output
        assert reproduction.conclusion is conclusion, finished.output
        assert reproduction.asked == {"python": "3.13.5", "os": "Debian GNU/Linux 13.1 (trixie)"}
        assert finished.output.splitlines()[-1].split(maxsplit=1) == ["conclusion", conclusion]
        assert (report / "reply.md").read_text("utf-8").strip() in finished.output


@pytest.mark.long
def test_version_of_uv_runs_on_the_machine(good_wheel: Path, tmp_path: Path) -> None:
    report = tmp_path / "report"
    options = (f"--wheels={good_wheel.parent}", "--history=none", "--report", str(report))
    finished = _run("reproduce", "--os", "debian-13", "--uv", "0.5.11", *options)
    assert finished.code == ExitCode.VERIFIED, finished.output
    results = _results(report)
    assert results["cells"][0]["id"] == "debian-13-uv-0.5.11-venv"
    evidence = report / "evidence" / f"{results['cells'][0]['evidence']}.json"
    (setup,) = json.loads(evidence.read_text("utf-8"))["setup"]
    assert (setup["command"][-1], setup["code"]) == ("uv==0.5.11", 0)


SHELL = ("debian-13", "--release", "0.13.5", "--history", "none")


def test_shell_without_a_terminal_reads_its_input() -> None:
    commands = "pip install quiverdb >/dev/null || exit 1\n"
    commands += "python -c 'import quiverdb; print(quiverdb.version())'\n"
    commands += "pwd; id -un; echo $VIRTUAL_ENV\nexit 7\n"
    finished = _run("shell", *SHELL, input_text=commands)
    assert finished.code == 7, finished.output
    assert "pip install quiverdb" in finished.output, "the literal command is printed"
    assert "0.13.5\n/home/user/project\nuser\n/home/user/venv\n" in finished.output


def test_shell_with_a_closed_terminal_leaves_no_objects(client: docker.DockerClient) -> None:
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
    process.stdin.write(b"echo started\n")
    process.stdin.flush()
    assert process.stdout.readline() == b"started\n"
    runs = set(runs_of_process(client, process.pid))
    assert runs

    process.send_signal(signal.SIGHUP)

    assert process.wait(timeout=60) == ExitCode.UNVERIFIED
    assert remaining_objects(client, runs) == []
    process.stdin.close()
    process.stdout.close()
