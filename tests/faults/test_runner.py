"""The runner with a small workflow: runs that pass, fail, hang or are repeated."""

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
from containers.workflow_testbed import IndexSetup, StartingEvent
from tests.helpers.release_workflow import PUBLISHERS
from tests.helpers.sample_pipeline import evidence, with_run
from verification.models.pipeline import JobRun, PipelineRun
from verification.models.workflow import RunningJob
from verification.pipeline import publishers
from verification.pipeline.failures import job_failure
from verification.pipeline.triggers import decide

SMALL = Path(__file__).with_name("small.yml")
ROOT = Path(__file__).parents[2]
IDENTITY_URL, IDENTITY_TOKEN = "https://token.example/?a=b", "the-request-token"
WORKFLOW = ".github/workflows/publish.yml"
SETUP = IndexSetup(publishers=publishers.load(PUBLISHERS))

StartRunner = Callable[..., contextlib.AbstractContextManager[Runner]]


@pytest.fixture
def network(container_engine: Engine, run: Run) -> Iterator[str]:
    with contextlib.closing(container_engine.client()) as client:
        created = client.networks.create(
            f"quiverdb-e2e-{run.id}-runner", internal=True, labels=run.labels()
        )
        yield str(created.name)
        created.remove()


@pytest.fixture
def registered() -> list[tuple[str, str]]:
    return []


@pytest.fixture
def files_of_jobs() -> dict[str, str]:
    """Return the workflow file of each registered job, by the job's address."""
    return {}


@pytest.fixture
def start_runner(
    container_engine: Engine,
    run: Run,
    network: str,
    tmp_path: Path,
    registered: list[tuple[str, str]],
    files_of_jobs: dict[str, str],
) -> StartRunner:
    """Return a function that starts a runner in a repository with these files."""

    def register(address: str, running: RunningJob, *_: object) -> None:
        registered.append((running.id, address))
        files_of_jobs[address] = running.workflow.path.name

    @contextlib.contextmanager
    def start(
        *files: str, workflow: Path | str = SMALL, seconds: int = 180, called: str = ""
    ) -> Iterator[Runner]:
        root = tmp_path / "repository"
        path = root / ".github" / "workflows" / "publish.yml"
        path.parent.mkdir(parents=True)
        text = workflow if isinstance(workflow, str) else workflow.read_text("utf-8")
        path.write_text(text, "utf-8")
        if called:
            path.with_name("called.yml").write_text(called, "utf-8")
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
            yield Runner(container_engine, run, origin, environment, file, decide)

    return start


def results(pipeline_run: PipelineRun) -> dict[str, str]:
    jobs = pipeline_run.jobs
    return {f"{job.id} {job.matrix.get('os', '')}".strip(): job.result for job in jobs}


def log_of(job: JobRun) -> str:
    return "\n".join(line for step in job.steps for line in step.log)


def remaining_objects(container_engine: Engine, run: str) -> list[str]:
    """Return the names of the containers and volumes of a run's pipelines."""
    with contextlib.closing(container_engine.client()) as client:
        filters: dict[str, str | list[str] | bool] = {"label": LABEL_PIPELINE}
        containers = client.containers.list(all=True, filters=filters, ignore_removed=True)
        volumes = client.volumes.list(filters=filters)
        names = [str(c.name) for c in containers] + [str(v.name) for v in volumes]
    return [name for name in names if f"-{run}-" in name]


def test_passing_run_has_a_result_for_each_job(
    start_runner: StartRunner, container_engine: Engine, run: Run, registered: list[tuple[str, str]]
) -> None:
    with start_runner() as runner:
        (pipeline_run,) = runner.push(["v1.2.3"])
    assert pipeline_run.result == "success", log_of(pipeline_run.jobs[-1])
    assert results(pipeline_run) == {
        "make ubuntu-latest": "success",
        "make windows-latest": "success",
        "collect": "success",
        "after": "success",
    }
    assert pipeline_run.event.annotated
    assert pipeline_run.event.object != pipeline_run.event.sha
    make, _, collect, after = pipeline_run.jobs
    assert pipeline_run.event.sha in log_of(make), "the tagged commit was not checked out"
    assert make.name == "Make on ubuntu-latest"
    # Only the job with the permission for a token gets the variables of the identity.
    assert "no identity" in log_of(make)
    assert f"identity from {IDENTITY_URL}" in log_of(collect)
    assert {step.name: step.result for step in collect.steps}["Never"] == "skipped"
    assert {artifact.name: sorted(artifact.files) for artifact in pipeline_run.artifacts} == {
        "all": ["ubuntu-latest.txt", "windows-latest.txt"],
        "part-ubuntu-latest": ["ubuntu-latest.txt"],
        "part-windows-latest": ["windows-latest.txt"],
    }
    times = [(job.started or 0, job.ended or 0) for job in pipeline_run.jobs]
    assert max(times[0][1], times[1][1]) <= times[2][0] <= times[2][1] <= times[3][0]
    assert {use.kind for use in pipeline_run.actions} == {"stand-in"}
    assert dict(registered)["collect"] == collect.address != ""
    assert after.container
    assert remaining_objects(container_engine, run.id) == []


def test_failed_run_names_the_step_and_can_be_repeated(start_runner: StartRunner) -> None:
    with start_runner("fail") as runner:
        (pipeline_run,) = runner.push(["v1.2.3"], annotated=False)
        second = runner.rerun(pipeline_run)
    assert not pipeline_run.event.annotated
    assert pipeline_run.event.object == pipeline_run.event.sha
    for attempt in (pipeline_run, second):
        assert attempt.result == "failure"
        collect, after = attempt.jobs[2:]
        assert collect.failed_step is not None
        assert collect.failed_step.name == "Fail"
        assert collect.errors == ("planted",)
        assert [step.result for step in collect.steps[-2:]] == ["failure", "not run"]
        assert after.result == "not run"
        assert "collect" in after.reason
    assert (second.run_id, second.attempt) == (pipeline_run.run_id, 2)
    # The second attempt can use the names of the artifacts again.
    assert [artifact.name for artifact in second.artifacts] == [
        artifact.name for artifact in pipeline_run.artifacts
    ]


def test_tags_that_are_pushed_together_run_in_parallel(
    start_runner: StartRunner, container_engine: Engine, run: Run
) -> None:
    with start_runner() as runner:
        pipeline_runs = runner.push(["v1.2.3", "v1.2.4rc1", "other"])
    assert [pipeline_run.result for pipeline_run in pipeline_runs] == [
        "success",
        "success",
        "not triggered",
    ]
    first, second, other = pipeline_runs
    assert "other" in other.decision
    assert all(job.result == "not run" for job in other.jobs)
    containers = [{job.container for job in pipeline_run.jobs} for pipeline_run in (first, second)]
    assert [len(names) for names in containers] == [4, 4]
    assert containers[0].isdisjoint(containers[1])
    assert first.run_id != second.run_id
    assert remaining_objects(container_engine, run.id) == []


SYSTEMS = """\
name: Systems
on: {push: {tags: ["v*"]}}
permissions: {}
jobs:
  make:
    strategy:
      matrix:
        include: [{os: ubuntu-latest}, {os: ubuntu-24.04-arm}, {os: windows-latest}, {os: macos-15}]
    runs-on: ${{ matrix.os }}
    steps:
      - name: Make
        shell: bash
        run: |
          mkdir out
          echo "$RUNNER_OS $RUNNER_ARCH, ${{ runner.os }} ${{ runner.arch }}" | tee out/a
      - name: Source
        if: runner.os == 'Linux' && runner.arch == 'X64'
        run: echo 'runner.os is ${{ 'runner.os' }}'
      - name: Upload
        if: runner.os == 'Windows'
        uses: actions/upload-artifact@bbbca2ddaa5d8feaa63e36b76fdaad77386f024f # v7.0.0
        with: { name: "${{ runner.os }}", path: out }
  guarded:
    runs-on: windows-latest
    steps:
      - name: Make
        shell: bash
        run: |
          mkdir out
          echo "$RUNNER_OS $RUNNER_ARCH, ${{ runner.os }} ${{ runner.arch }}" | tee out/a
      - name: Upload
        if: runner.os == 'Linux'
        uses: actions/upload-artifact@bbbca2ddaa5d8feaa63e36b76fdaad77386f024f # v7.0.0
        with: { name: guarded, path: out }
  shell:
    runs-on: windows-latest
    steps:
      - name: Make
        shell: pwsh
        run: choco install make
  call:
    uses: ./.github/workflows/called.yml
    with: { os: windows-latest }
"""
CALLED_SYSTEM = """\
name: Called
on: {workflow_call: {inputs: {os: {type: string}}}}
permissions: {}
jobs:
  inner:
    runs-on: ${{ inputs.os }}
    steps:
      - name: Make
        shell: bash
        run: echo "$RUNNER_OS $RUNNER_ARCH, ${{ runner.os }} ${{ runner.arch }}"
"""


@pytest.mark.long
def test_each_job_has_the_system_and_the_processor_of_its_label(start_runner: StartRunner) -> None:
    with start_runner(workflow=SYSTEMS, called=CALLED_SYSTEM) as runner:
        (pipeline_run,) = runner.push(["v1"])
        workflow = runner.workflow
    *jobs, shell, called = pipeline_run.jobs
    logs = {job.label: job.steps[0].log for job in (*jobs, called)}
    lines = {label: line for label, log in logs.items() for line in log if ", " in line}
    assert lines == {
        "ubuntu-latest": "Linux X64, Linux X64",
        "ubuntu-24.04-arm": "Linux ARM64, Linux ARM64",
        "windows-latest": "Windows X64, Windows X64",
        "macos-15": "macOS ARM64, macOS ARM64",
        "${{ inputs.os }}": "Windows X64, Windows X64",
    }
    passed = [[step.name for step in job.steps if step.result == "success"] for job in jobs]
    assert passed == [["Make", "Source"], ["Make"], ["Make", "Upload"], ["Make"], ["Make"]]
    # The condition of the guarded upload is false on Windows, so its file is missing.
    assert [artifact.name for artifact in pipeline_run.artifacts] == ["Windows"]
    assert "runner.os is runner.os" in jobs[0].steps[1].log
    cause = job_failure(shell, with_run(evidence(), jobs=pipeline_run.jobs), "1", workflow)
    assert cause.name == "stand-in-limited"
    assert "pwsh" in cause.message


HANGING = """\
on: {push: {tags: ["v*"]}}
jobs:
  hanging:
    runs-on: ubuntu-latest
    steps: [{name: Hang, run: sleep 600}]
  after:
    needs: hanging
    runs-on: ubuntu-latest
    steps: [{run: echo after}]
"""


def test_hanging_run_is_ended(
    start_runner: StartRunner, container_engine: Engine, run: Run
) -> None:
    with start_runner(workflow=HANGING, seconds=25) as runner:
        (pipeline_run,) = runner.push(["v1.2.3"])
    assert pipeline_run.result == "hung"
    hanging, after = pipeline_run.jobs
    assert hanging.result == "hung"
    assert {step.name: step.result for step in hanging.steps}["Hang"] == "hung"
    assert after.result == "not run"
    assert pipeline_run.seconds < 80
    assert remaining_objects(container_engine, run.id) == []


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


def test_artifact_actions_fail_where_those_of_github_fail(start_runner: StartRunner) -> None:
    with start_runner(workflow=COLLISION) as runner:
        (pipeline_run,) = runner.push(["v1.2.3"])
    conflict, upload, download = pipeline_run.jobs
    assert [step.result for step in conflict.steps] == ["success", "success", "success", "failure"]
    assert "(409) Conflict" in conflict.errors[0]
    assert [step.result for step in upload.steps] == ["success", "failure"]
    assert "No files were found with the provided path" in upload.errors[0]
    assert "Artifact not found for name: absent" in download.errors[0]


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
        with: {CACHE: "${{ 'poetry' }}"}
  four:
    runs-on: ubuntu-latest
    steps:
      - uses: actions/download-artifact@v8
        with: {GitHub-Token: x}
"""


def test_names_of_inputs_have_aliases_and_ignore_case(start_runner: StartRunner) -> None:
    with start_runner(workflow=INPUTS) as runner:
        (pipeline_run,) = runner.push(["v1.2.3"])
    first, second, third, fourth = pipeline_run.jobs
    assert first.result == "success", log_of(first)
    (artifact,) = pipeline_run.artifacts
    assert artifact.name == "Mine"
    assert {"data.txt", ".git/HEAD"} <= artifact.files.keys()
    assert second.result == "failure"
    assert "twine check older/*" in log_of(second)
    assert (third.result, fourth.result) == ("failure", "failure")
    fourth_unsupported, third_unsupported = sorted(pipeline_run.unsupported)
    assert fourth_unsupported.startswith("four: ")
    assert "github-token" in fourth_unsupported
    assert third_unsupported.startswith("three: ")
    assert "cache" in third_unsupported


VERSIONS = """\
on: {push: {tags: ["v*"]}}
jobs:
  one:
    runs-on: ubuntu-latest
    steps:
      - uses: actions/checkout@v4
      - run: echo "v4 $(git cat-file -t $GITHUB_REF)"
      - uses: actions/checkout@v7
        with: {path: newer}
      - run: cd newer && echo "v7 $(git cat-file -t $GITHUB_REF)"
      - uses: actions/upload-artifact@v4.3.6
        with: {name: data, path: data.txt}
      - uses: actions/download-artifact@v4
        with: {pattern: "d*", path: older-download}
      - uses: actions/download-artifact@v5
        with: {pattern: "d*", path: newer-download}
      - run: ls older-download/data/data.txt newer-download/data.txt
"""


def test_versions_of_an_action_behave_differently_in_one_run(start_runner: StartRunner) -> None:
    with start_runner(workflow=VERSIONS) as runner:
        (pipeline_run,) = runner.push(["v1.2.3"])
    (job,) = pipeline_run.jobs
    assert job.result == "success", log_of(job)
    assert "v4 commit" in log_of(job)
    assert "v7 tag" in log_of(job)
    assert [use.version for use in pipeline_run.actions] == [
        "v4.4.0",
        "v7.0.1",
        "v4.3.6",
        "v4.3.0",
        "v5.0.0",
    ]


CALLING = """\
on: {push: {tags: ["v*"]}}
jobs:
  first:
    runs-on: ubuntu-latest
    permissions: {}
    steps: [{run: 'echo "calling <$ACTIONS_ID_TOKEN_REQUEST_URL>"'}]
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


def test_job_of_a_called_workflow_is_registered_with_its_file(
    start_runner: StartRunner, files_of_jobs: dict[str, str]
) -> None:
    with start_runner(workflow=CALLING, called=CALLED) as runner:
        (pipeline_run,) = runner.push(["v1.2.3"])
    jobs = pipeline_run.jobs
    assert pipeline_run.result == "success", [log_of(job) for job in jobs]
    calling, first, publish = jobs
    assert [job.id for job in jobs] == ["first", "publish", "publish"]
    assert [job.name for job in jobs] == ["first", "publish / first", "publish / publish"]
    # Addresses are reused. The last job with an address counts.
    assert files_of_jobs[publish.address] == "called.yml"
    assert "calling <>" in log_of(calling)
    assert f"from {IDENTITY_URL}" in log_of(first)
    assert "from <>" in log_of(publish), (
        "only the job of this name in the calling file has the permission"
    )
    assert {use.uses for use in pipeline_run.actions} == {"actions/checkout@v7"}


def test_release_workflow_publishes_and_can_be_repeated(container_engine: Engine, run: Run) -> None:
    push = StartingEvent(root=ROOT, tags=("v0.5.0",))
    file = WorkflowFile(path=WORKFLOW)
    with pipeline.start(container_engine, run, push, file, SETUP, decide) as started:
        (pipeline_run,) = started.start()
        second = started.runner.rerun(pipeline_run)
        releases = started.forge.releases()
        log = started.index_log()
    failing = {job.id: log_of(job)[-2000:] for job in pipeline_run.jobs if job.result != "success"}
    assert pipeline_run.result == "success", failing
    assert not pipeline_run.unsupported
    assert [job.id for job in pipeline_run.jobs] == [
        "build",
        "build",
        "merge",
        "validate",
        "release",
        "publish",
    ]
    wheels = {wheel.name: wheel.sha256 for wheel in pipeline_run.wheels}
    assert sorted(wheel.platform for wheel in pipeline_run.wheels) == ["linux", "windows"]
    (dist,) = (artifact for artifact in pipeline_run.artifacts if artifact.name == "dist")
    assert dist.files == wheels
    (release,) = releases
    assert {asset.name: asset.sha256 for asset in release.assets} == wheels
    assert (release.tag, release.draft, release.prerelease) == ("v0.5.0", False, False)
    uploads = [line for line in log if line.path == "/legacy/" and line.status == 200]
    assert len(uploads) == 2 * len(wheels), "the index accepts the same bytes again"
    assert second.result == "success", [log_of(job)[-1000:] for job in second.jobs]


def test_failing_build_fails_its_job(container_engine: Engine, run: Run, tmp_path: Path) -> None:
    broken = tmp_path / "python"
    subprocess.run(("cp", "-r", str(ROOT / "bindings" / "python"), str(broken)), check=True)
    config = broken / "pyproject.toml"
    config.write_text(config.read_text("utf-8").replace('"cp313-win_amd64", ', ""), "utf-8")
    push = StartingEvent(root=ROOT, tags=("v0.5.0",), overlays={"bindings/python": broken})
    file = WorkflowFile(path=WORKFLOW)
    with pipeline.start(container_engine, run, push, file, SETUP, decide) as started:
        (pipeline_run,) = started.start()
        releases = started.forge.releases()
    assert pipeline_run.result == "failure"
    assert "bindings/python/pyproject.toml" in pipeline_run.event.differs
    linux, windows = pipeline_run.job_runs("build")
    assert (linux.result, windows.result) == ("success", "failure")
    assert "No build identifiers selected" in windows.errors[0]
    assert {job.result for job in pipeline_run.jobs[2:]} == {"not run"}
    assert releases == ()


def test_objects_of_a_killed_run_are_removed(container_engine: Engine, tmp_path: Path) -> None:
    root = tmp_path / "repository"
    workflow = root / ".github" / "workflows" / "publish.yml"
    workflow.parent.mkdir(parents=True)
    workflow.write_text(
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
        "answering, run = engine.ensure(), engine.Run.new()\n"
        "print(run.id, flush=True)\n"
        "networks = answering.client().networks\n"
        "net = networks.create(f'e2e-{run.id}', internal=True, labels=run.labels())\n"
        "environment = RunnerEnvironment(network=net.name, ca_certificate='')\n"
        "file = WorkflowFile(path='.github/workflows/publish.yml')\n"
        "with GitRepository(Path(sys.argv[1]), owner='o', name='n') as origin:\n"
        "    runner = Runner(answering, run, origin, environment, file, decide)\n"
        "    runner.push(['v1'])\n"
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
            not any("-act-" in name for name in remaining_objects(container_engine, run_id))
            and time.monotonic() < deadline
        ):
            time.sleep(0.5)
        before = remaining_objects(container_engine, run_id)
    finally:
        killed.kill()
        killed.wait()
        killed.stdout.close()
    assert any("-act-" in name for name in before), "no job started in time"
    with contextlib.closing(container_engine.client()) as client:
        deadline = time.monotonic() + 30
        while remaining_objects(container_engine, run_id) and time.monotonic() < deadline:
            engine.sweep(client)
    assert remaining_objects(container_engine, run_id) == []
