"""gate.yml and nightly.yml are executed: by act, with their steps on this host.

What needs GitHub itself is not shown here: another machine than this, the download of an earlier
run's artifacts, the runner of Windows containers.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from containers.engine import Engine, Run
from tests.faults.acted import ROOT, Acted, Ended, acted
from tests.helpers import wheel_builder as wheels
from verification.models.base import read_json
from verification.models.report import Report
from verification.session.user_files import history

pytestmark = [pytest.mark.xdist_group("workflows"), pytest.mark.long]

CORE = "quiverdb/_libs/libquiver.so"
OPTIONS = "--machine debian-13 -k uv-venv"
UPLOAD = re.compile(r"actions/upload-artifact@\S+")


def caller() -> str:
    """Return a workflow that builds wheels and has each judged by gate.yml."""
    uses = UPLOAD.search((ROOT / ".github" / "workflows" / "gate.yml").read_text("utf-8"))
    assert uses
    jobs = "".join(
        f"""
  {name}:
    needs: {needs}
    permissions: {{contents: read}}
    uses: ./.github/workflows/gate.yml
    with: {{artifact: wheels-{name}, options: {OPTIONS}, report: report-{name}}}
"""
        for name, needs in (("good", "build"), ("broken", "tell"))
    )
    return f"""
name: Caller
on: push
permissions: {{}}
jobs:
  build:
    runs-on: ubuntu-latest
    steps:
      - run: mkdir good broken; cp "$GOOD" good; cp "$BROKEN" broken
      - uses: {uses[0]}
        with: {{name: wheels-good, path: good}}
      - uses: {uses[0]}
        with: {{name: wheels-broken, path: broken}}
{jobs}
  tell:
    needs: good
    runs-on: ubuntu-latest
    steps:
      - run: echo "told ${{{{ needs.good.outputs.verdict }}}} ${{{{ needs.good.outputs.code }}}}"
"""


@pytest.fixture(scope="module")
def broken_wheel(good_wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return wheels.mutate(good_wheel, tmp_path_factory.mktemp("broken"), remove=[CORE])


@pytest.fixture(scope="module")
def host(found: Engine, run: Run) -> Iterator[Acted]:
    with acted(found, run, caller=caller()) as made:
        yield made


@pytest.fixture(scope="module")
def called(host: Acted, good_wheel: Path, broken_wheel: Path) -> Ended:
    """Return what came of the workflow that calls gate.yml for a good wheel and a broken one."""
    return host.run("push", "caller.yml", GOOD=str(good_wheel), BROKEN=str(broken_wheel))


def verdict(ended: Ended, report: str) -> str:
    told = json.loads((ended.artifacts[report] / "results.json").read_text("utf-8"))
    return str(told["verdict"])


def test_a_called_gate_judges_the_callers_wheels_and_fails_for_a_broken_one(called: Ended) -> None:
    assert called.code == 1
    results = {name.partition("/")[0]: result for name, result in called.results().items()}
    assert (results["good"], results["broken"]) == ("success", "failure"), called.log
    assert verdict(called, "report-good") == "verified"
    assert verdict(called, "report-broken") == "failed"
    assert "told verified 0" in called.log.splitlines()
    # act starts no job after a failed call: what would be told there is told by the call itself.
    outputs = called.outputs("broken/")
    assert (outputs["verdict"], outputs["code"]) == ("failed", "1")


def test_the_cause_is_in_the_log_the_summary_the_annotations_and_the_report(called: Ended) -> None:
    cause = "missing-bundled-library"
    assert f"{cause} (broken)" in called.log
    (first, *_) = called.annotations("error")
    assert first.startswith(f"{cause} (broken): ")
    assert CORE in first
    assert "## ✅ quiverdb" in called.summary
    failed = called.summary.partition("## ❌ quiverdb")[2]
    assert cause in failed
    assert {"index.html", "junit.xml", "VERIFICATION.md"} <= {
        path.name for path in called.artifacts["report-broken"].iterdir()
    }


def test_the_log_is_plain_and_says_what_is_done_when_and_how_far_it_is(called: Ended) -> None:
    lines = called.log.splitlines()
    opened, closed = (
        next(at for at, line in enumerate(lines) if line.endswith(command))
        for command in ("::group::Set-up: engine, images, wheels and index", "::endgroup::")
    )
    assert any("index: starting it" in line for line in lines[opened:closed])
    pattern = r"\d\d:\d\d:\d\d \[ *\d+\.\d s\] cell 1/1 debian-13-uv-venv (\w+)( \(.*\))? \d+\.\d s"
    ended = [found[1] for line in lines if (found := re.fullmatch(pattern, line))]
    assert ended == ["works", "fails"]
    assert "\x1b7" not in called.log, "nothing is shown in place where nobody sees it"


def test_a_night_fails_for_what_is_new_and_not_for_what_is_known(
    called: Ended,
    host: Acted,
    broken_wheel: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # The night before, all was well: a run of the same kind, as gate.yml's was.
    kept = host.gh / "1" / "history-source"
    kept.mkdir(parents=True)
    monkeypatch.setenv("QUIVERDB_E2E_HISTORY", str(kept / "history.sqlite3"))
    results = called.artifacts["report-good"] / "results.json"
    history().record(read_json(Report, results))

    payload = {"inputs": {"options": f"--wheels {broken_wheel.parent} {OPTIONS}"}}
    # The other jobs are the long tests, of which this is one, and that of a Windows engine.
    options = ("--job", "linux-engine", "--matrix", "what:source")
    first = host.run("workflow_dispatch", "nightly.yml", payload, *options)
    shutil.copytree(first.artifacts["history-source"], host.gh / "2" / "history-source")
    second = host.run("workflow_dispatch", "nightly.yml", payload, *options)

    name = "Nightly/Verify source"
    assert first.results() == {name: "failure"}, first.log
    assert second.results() == {name: "success"}, second.log
    (new,) = [a for a in first.annotations("error") if a.startswith("New tonight: new-failure")]
    assert "debian-13-uv-venv: failed (missing-bundled-library), verified in 1" in new
    assert "first bad run 2, last good run 1; between them changed: wheel quiverdb-" in new
    assert new.removeprefix("New tonight: ") in first.summary
    (known,) = [a for a in second.annotations("warning") if a.startswith("Known: ")]
    assert "ends with 1, and nothing bad in it is new" in known
    for night in (first, second):
        assert verdict(night, "report-source") == "failed"
    # The engine here runs no Windows containers: that job is left out, and nothing plays it.
    windows = host.run("workflow_dispatch", "nightly.yml", payload, "--job", "windows-engine")
    assert "windows-2022" in windows.log
    assert "Skipping unsupported platform" in windows.log
    assert not windows.results()
