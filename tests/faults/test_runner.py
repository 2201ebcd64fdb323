"""The runner, with a small workflow: what it tells of runs that pass, fail, hang, are repeated."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from containers import engine
from containers import workflow_testbed as pipeline
from containers.engine import Engine, Run
from containers.runner.environment import RunnerEnvironment
from containers.runner.git_repository import GitRepository
from containers.runner.runs import LABEL_PIPELINE, Runner, WorkflowFile
from containers.workflow_testbed import IndexSetup, TagPush
from tests.helpers.release_workflow import PUBLISHERS
from verification.models.pipeline import JobRun, PipelineRun
from verification.models.workflow import RunningJob
from verification.pipeline import publishers
from verification.pipeline.triggers import decide

SMALL = Path(__file__).with_name("small.yml")
ROOT = Path(__file__).parents[2]
IDENTITY_URL, IDENTITY_TOKEN = "https://token.example/?a=b", "the-request-token"
WORKFLOW = ".github/workflows/publish.yml"
SETUP = IndexSetup(publishers=publishers.load(PUBLISHERS))
pytestmark = pytest.mark.xdist_group("runner")

Start = Callable[..., contextlib.AbstractContextManager[Runner]]


@pytest.fixture
def network(found: Engine, run: Run) -> Iterator[str]:
    with contextlib.closing(found.client()) as client:
        made = client.networks.create(
            f"quiverdb-e2e-{run.id}-runner", internal=True, labels=run.labels()
        )
        yield str(made.name)
        made.remove()


@pytest.fixture
def registered() -> list[tuple[str, str]]:
    return []


@pytest.fixture
def files_of_jobs() -> dict[str, str]:
    """Return the workflow file that each registered job is in, by its address."""
    return {}


@pytest.fixture
def small(
    found: Engine,
    run: Run,
    network: str,
    tmp_path: Path,
    registered: list[tuple[str, str]],
    files_of_jobs: dict[str, str],
) -> Start:
    """Return the way to a runner of the small workflow, in a repository with these files."""

    def register(address: str, running: RunningJob, *_: object) -> None:
        registered.append((running.id, address))
        files_of_jobs[address] = running.workflow.path.name

    @contextlib.contextmanager
    def started(
        *files: str, workflow: Path | str = SMALL, seconds: int = 180, called: str = ""
    ) -> Iterator[Runner]:
        root = tmp_path / "repository"
        place = root / ".github" / "workflows" / "publish.yml"
        place.parent.mkdir(parents=True)
        text = workflow if isinstance(workflow, str) else workflow.read_text("utf-8")
        place.write_text(text, "utf-8")
        if called:
            place.with_name("called.yml").write_text(called, "utf-8")
        for name in ("data.txt", *files):
            (root / name).write_text("data\n", "utf-8")
        environment = RunnerEnvironment(
            network=network,
            ca_certificate="",
            register=register,
            identity_url=IDENTITY_URL,
            identity_token=IDENTITY_TOKEN,
        )
        file = WorkflowFile(path=WORKFLOW, seconds=seconds)
        with GitRepository(root, owner="someone", name="quiver2") as origin:
            yield Runner(found, run, origin, environment, file, decide)

    return started


def results(told: PipelineRun) -> dict[str, str]:
    return {f"{job.id} {job.matrix.get('os', '')}".strip(): job.result for job in told.jobs}


def said(job: JobRun) -> str:
    return "\n".join(line for step in job.steps for line in step.log)


def left(found: Engine, run: str) -> list[str]:
    """Return what of a run's pipelines is still on the engine."""
    with contextlib.closing(found.client()) as client:
        asked: dict[str, str | list[str] | bool] = {"label": LABEL_PIPELINE}
        containers = client.containers.list(all=True, filters=asked, ignore_removed=True)
        volumes = client.volumes.list(filters=asked)
        names = [str(c.name) for c in containers] + [str(v.name) for v in volumes]
    return [name for name in names if f"-{run}-" in name]


def test_a_run_that_passes_is_told_job_by_job(
    small: Start, found: Engine, run: Run, registered: list[tuple[str, str]]
) -> None:
    with small() as runner:
        (told,) = runner.push(["v1.2.3"])
    assert told.result == "success", said(told.jobs[-1])
    assert results(told) == {
        "make ubuntu-latest": "success",
        "make windows-latest": "success",
        "collect": "success",
        "after": "success",
    }
    assert told.push.annotated
    assert told.push.object != told.push.sha
    made, _, collected, after = told.jobs
    assert told.push.sha in said(made), "the commit that was tagged was not checked out"
    assert made.name == "Make on ubuntu-latest"
    # The variables of the identity go to the job that may have a token, and to no other.
    assert "no identity" in said(made)
    assert f"identity from {IDENTITY_URL}" in said(collected)
    assert {step.name: step.result for step in collected.steps}["Never"] == "skipped"
    assert {artifact.name: sorted(artifact.files) for artifact in told.artifacts} == {
        "all": ["ubuntu-latest.txt", "windows-latest.txt"],
        "part-ubuntu-latest": ["ubuntu-latest.txt"],
        "part-windows-latest": ["windows-latest.txt"],
    }
    times = [(job.started or 0, job.ended or 0) for job in told.jobs]
    assert max(times[0][1], times[1][1]) <= times[2][0] <= times[2][1] <= times[3][0]
    assert {use.kind for use in told.actions} == {"stand-in"}
    assert dict(registered)["collect"] == collected.address != ""
    assert after.container
    assert left(found, run.id) == []


def test_a_failed_run_names_the_step_and_can_be_repeated(small: Start) -> None:
    with small("fail") as runner:
        (told,) = runner.push(["v1.2.3"], annotated=False)
        again = runner.rerun(told)
    assert not told.push.annotated
    assert told.push.object == told.push.sha
    for one in (told, again):
        assert one.result == "failure"
        collected, after = one.jobs[2:]
        assert collected.failing is not None
        assert collected.failing.name == "Fail"
        assert collected.errors == ("planted",)
        assert [step.result for step in collected.steps[-2:]] == ["failure", "not run"]
        assert (after.result, after.reason) == ("not run", "needs collect, which did not succeed")
    assert (again.run_id, again.attempt) == (told.run_id, 2)
    # The second attempt makes the artifacts of the first anew; their names are not taken.
    assert [artifact.name for artifact in again.artifacts] == [
        artifact.name for artifact in told.artifacts
    ]


def test_tags_pushed_at_once_run_beside_each_other(small: Start, found: Engine, run: Run) -> None:
    with small() as runner:
        told = runner.push(["v1.2.3", "v1.2.4rc1", "other"])
    assert [one.result for one in told] == ["success", "success", "not triggered"]
    assert "other" in told[2].decision
    assert all(job.result == "not run" for job in told[2].jobs)
    first, second = ({job.container for job in one.jobs} for one in told[:2])
    assert len(first) == len(second) == 4
    assert not first & second
    assert told[0].run_id != told[1].run_id
    assert left(found, run.id) == []


def test_a_run_that_hangs_is_ended_and_told(small: Start, found: Engine, run: Run) -> None:
    with small("hang", seconds=45) as runner:  # the jobs before it need some of it
        (told,) = runner.push(["v1.2.3"])
    assert told.result == "hung"
    collected, after = told.jobs[2:]
    assert collected.result == "hung"
    assert {step.name: step.result for step in collected.steps}["Fail"] == "hung"
    assert after.result == "not run"
    assert told.seconds < 100
    assert left(found, run.id) == []


COLLISION = """\
on: {push: {tags: ["v*"]}}
jobs:
  one:
    runs-on: ubuntu-latest
    steps:
      - uses: actions/checkout@v7
      - uses: actions/upload-artifact@v7
        with: {name: same, path: data.txt}
      - uses: actions/upload-artifact@v7
        with: {name: same, path: data.txt, overwrite: true}
      - uses: actions/upload-artifact@v7
        with: {name: same, path: data.txt}
  two:
    runs-on: ubuntu-latest
    steps:
      - uses: actions/upload-artifact@v7
        with: {name: none, path: "*.none"}
      - uses: actions/upload-artifact@v7
        with: {name: none, path: "*.none", if-no-files-found: error}
  three:
    runs-on: ubuntu-latest
    steps:
      - uses: actions/download-artifact@v8
        with: {name: absent}
"""


def test_artifacts_fail_where_those_of_github_fail(small: Start) -> None:
    with small(workflow=COLLISION) as runner:
        (told,) = runner.push(["v1.2.3"])
    one, two, three = told.jobs
    assert [step.result for step in one.steps] == ["success", "success", "success", "failure"]
    assert "(409) Conflict" in one.errors[0]
    assert [step.result for step in two.steps] == ["success", "failure"]
    assert "No files were found with the provided path" in two.errors[0]
    assert "Artifact not found for name: absent" in three.errors[0]


INPUTS = """\
on: {push: {tags: ["v*"]}}
jobs:
  one:
    runs-on: ubuntu-latest
    steps:
      - uses: actions/checkout@v7
        with: {PATH: deep, Persist-Credentials: false}
      - run: cat deep/data.txt
      - uses: actions/upload-artifact@v7
        with: {Name: Mine, path: deep, Include-Hidden-Files: "True"}
  two:
    runs-on: ubuntu-latest
    steps:
      - uses: pypa/gh-action-pypi-publish@release/v1
        with: {password: pypi-x, Packages_Dir: older, verify-metadata: true}
  three:
    runs-on: ubuntu-latest
    steps:
      - uses: actions/setup-python@v7
        with: {CACHE: "${{ 'pip' }}"}
  four:
    runs-on: ubuntu-latest
    steps:
      - uses: actions/upload-artifact@v7
        with: {path: "*", archive: False}
"""


def test_inputs_are_read_by_any_of_their_names_in_any_case(small: Start) -> None:
    with small(workflow=INPUTS) as runner:
        (run,) = runner.push(["v1.2.3"])
    one, two, three, four = run.jobs
    assert one.result == "success", said(one)
    (artifact,) = run.artifacts
    assert artifact.name == "Mine"
    assert {"data.txt", ".git/HEAD"} <= artifact.files.keys()
    assert two.result == "failure"
    assert "twine check older/*" in said(two)
    assert (three.result, four.result) == ("failure", "failure")
    assert sorted(run.unsupported) == [
        "four: the input archive: False",
        "three: the input cache: pip",
    ]


CALLING = """\
on: {push: {tags: ["v*"]}}
jobs:
  first:
    runs-on: ubuntu-latest
    permissions: {}
    steps: [{run: 'echo "own <$ACTIONS_ID_TOKEN_REQUEST_URL>"'}]
  publish:
    needs: first
    permissions: {id-token: write}
    uses: ./.github/workflows/called.yml
"""
CALLED = """\
on: workflow_call
jobs:
  first:
    runs-on: ubuntu-latest
    permissions: {id-token: write}
    steps:
      - uses: actions/checkout@v7
      - run: cat data.txt; echo "from $ACTIONS_ID_TOKEN_REQUEST_URL"
  publish:
    needs: first
    runs-on: ubuntu-latest
    permissions: {}
    steps: [{run: 'echo "from <$ACTIONS_ID_TOKEN_REQUEST_URL>"'}]
"""


def test_a_job_of_a_called_workflow_is_known_by_its_file(
    small: Start, files_of_jobs: dict[str, str]
) -> None:
    with small(workflow=CALLING, called=CALLED) as runner:
        (run,) = runner.push(["v1.2.3"])
    assert run.result == "success", [said(job) for job in run.jobs]
    own, first, publish = run.jobs
    assert [job.id for job in run.jobs] == ["first", "publish", "publish"]
    assert [job.name for job in run.jobs] == ["first", "publish / first", "publish / publish"]
    # Addresses are used again: the last job of each address counts.
    assert files_of_jobs[publish.address] == "called.yml"
    assert "own <>" in said(own)
    assert f"from {IDENTITY_URL}" in said(first)
    assert "from <>" in said(publish), "the job of that name in the file itself has the permission"
    assert {use.uses for use in run.actions} == {"actions/checkout@v7"}


def test_the_release_workflow_runs_to_its_end(found: Engine, run: Run) -> None:
    push = TagPush(root=ROOT, tags=("v0.5.0",))
    file = WorkflowFile(path=WORKFLOW)
    with pipeline.start(found, run, push, file, SETUP, decide) as started:
        (told,) = started.start()
        again = started.runner.rerun(told)
        releases = started.forge.releases()
        log = started.index_log()
    failing = {job.id: said(job)[-2000:] for job in told.jobs if job.result != "success"}
    assert told.result == "success", failing
    assert not told.unsupported
    assert [job.id for job in told.jobs] == [
        "build",
        "build",
        "merge",
        "validate",
        "release",
        "publish",
    ]
    wheels = {wheel.name: wheel.sha256 for wheel in told.wheels}
    assert sorted(wheel.platform for wheel in told.wheels) == ["linux", "windows"]
    (dist,) = (artifact for artifact in told.artifacts if artifact.name == "dist")
    assert dist.files == wheels
    (release,) = releases
    assert {asset.name: asset.sha256 for asset in release.assets} == wheels
    assert (release.tag, release.draft, release.prerelease) == ("v0.5.0", False, False)
    uploads = [line for line in log if line.path == "/legacy/" and line.status == 200]
    assert len(uploads) == 2 * len(wheels), "the same bytes once more are accepted"
    assert again.result == "success", [said(job)[-1000:] for job in again.jobs]


def test_a_source_that_does_not_build_fails_its_job(
    found: Engine, run: Run, tmp_path: Path
) -> None:
    broken = tmp_path / "python"
    subprocess.run(("cp", "-r", str(ROOT / "bindings" / "python"), str(broken)), check=True)
    config = broken / "pyproject.toml"
    config.write_text(config.read_text("utf-8").replace('"cp313-win_amd64", ', ""), "utf-8")
    push = TagPush(root=ROOT, tags=("v0.5.0",), overlays={"bindings/python": broken})
    file = WorkflowFile(path=WORKFLOW)
    with pipeline.start(found, run, push, file, SETUP, decide) as started:
        (told,) = started.start()
        releases = started.forge.releases()
    assert told.result == "failure"
    assert "bindings/python/pyproject.toml" in told.push.differs
    linux, windows = told.job("build")
    assert (linux.result, windows.result) == ("success", "failure")
    assert "No build identifiers selected" in windows.errors[0]
    assert {job.result for job in told.jobs[2:]} == {"not run"}
    assert releases == ()


def test_what_a_killed_run_left_is_swept(found: Engine, tmp_path: Path) -> None:
    root = tmp_path / "repository"
    place = root / ".github" / "workflows" / "publish.yml"
    place.parent.mkdir(parents=True)
    place.write_text(
        'on: {push: {tags: ["v*"]}}\n'
        "jobs: {a: {runs-on: ubuntu-latest, steps: [{run: sleep 300}]}}",
        "utf-8",
    )
    script = (
        "import sys\n"
        "from pathlib import Path\n"
        "from containers import engine\n"
        "from containers.runner.environment import RunnerEnvironment\n"
        "from containers.runner.git_repository import GitRepository\n"
        "from containers.runner.runs import Runner, WorkflowFile\n"
        "from verification.pipeline.triggers import decide\n"
        "found, run = engine.ensure(), engine.Run.new()\n"
        "print(run.id, flush=True)\n"
        "networks = found.client().networks\n"
        "net = networks.create(f'e2e-{run.id}', internal=True, labels=run.labels())\n"
        "around = RunnerEnvironment(network=net.name, ca_certificate='')\n"
        "file = WorkflowFile(path='.github/workflows/publish.yml')\n"
        "with GitRepository(Path(sys.argv[1]), owner='o', name='n') as origin:\n"
        "    Runner(found, run, origin, around, file, decide).push(['v1'])\n"
    )
    killed = subprocess.Popen(
        (sys.executable, "-c", script, str(root)),
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert killed.stdout is not None
    try:
        run_id = killed.stdout.readline().strip()
        deadline = time.monotonic() + 60
        while (
            not any("-act-" in name for name in left(found, run_id)) and time.monotonic() < deadline
        ):
            time.sleep(0.5)
        before = left(found, run_id)
    finally:
        killed.kill()
        killed.wait()
        killed.stdout.close()
    assert any("-act-" in name for name in before), "no job was started in time"
    with contextlib.closing(found.client()) as client:
        deadline = time.monotonic() + 30
        while left(found, run_id) and time.monotonic() < deadline:
            engine.sweep(client)
    assert left(found, run_id) == []
