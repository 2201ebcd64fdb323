"""Real actions of each kind in the runner, with the forge: node, composite, Docker, git."""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Callable, Mapping
from pathlib import Path

import docker.errors
import pytest

from containers import images
from containers.engine import LABEL_OWNER, LABEL_RUN, Engine, Run, sweep
from containers.forge import Forge, ForgeContents
from containers.network import closed_network
from containers.runner.environment import forge_environment
from containers.runner.git_repository import GitRepository
from containers.runner.runs import Runner, WorkflowFile
from tests.helpers import small_actions
from verification.models.forge import Repository, WorkflowRun
from verification.models.pipeline import PipelineRun
from verification.pipeline.triggers import decide

WORKFLOW = ".github/workflows/publish.yml"

RunWorkflow = Callable[..., PipelineRun]


@pytest.fixture(scope="module")
def image(container_engine: Engine) -> str:
    """Return an image of the engine that Docker actions can use."""
    return images.ensure(container_engine, "runner").tag


@pytest.fixture
def run_workflow(container_engine: Engine, run: Run, image: str, tmp_path: Path) -> RunWorkflow:
    """Return a function that runs the jobs of a workflow with the small actions.

    ``files`` are further files of the repository, and ``actions`` of the folder of actions.
    """

    def run_jobs(
        jobs: str,
        *,
        visibility: str = "public",
        files: Mapping[str, str] | None = None,
        actions: Mapping[str, str] | None = None,
    ) -> PipelineRun:
        folder = small_actions.write(tmp_path / "actions", image)
        root = tmp_path / "repository"
        text = f'on: {{push: {{tags: ["v*"]}}}}\npermissions: {{}}\njobs:\n{jobs}'
        written = {WORKFLOW: text, "data.txt": "the data\n", **(files or {})}
        small_actions.write_files(root, written, image)
        small_actions.write_files(folder, actions or {}, image)
        with contextlib.ExitStack() as stack:
            repository = stack.enter_context(GitRepository(root, owner="someone", name="quiver2"))
            push = repository.tag("v1.2.3")
            network = stack.enter_context(closed_network(container_engine, run))
            forge = stack.enter_context(
                Forge(
                    images.ensure(container_engine, "forge"),
                    network,
                    Repository(
                        owner="someone", name="quiver2", id=1, owner_id=2, visibility=visibility
                    ),
                    WorkflowRun(workflow="W", path=WORKFLOW, ref=push.ref, sha=push.sha),
                    ForgeContents(bare=repository.bare),
                )
            )
            environment = forge_environment(
                forge, network=network.name, ca_certificate=network.ca_certificate.decode()
            )
            file = WorkflowFile(path=WORKFLOW, actions_from=folder, seconds=180)
            runner = Runner(container_engine, run, repository, environment, file, decide)
            (pipeline_run,) = runner.start([push])
            return pipeline_run

    return run_jobs


def logs(pipeline_run: PipelineRun) -> list[str]:
    """Return the log of each job."""
    return ["\n".join(line for step in job.steps for line in step.log) for job in pipeline_run.jobs]


SHORT = """\
  short:
    runs-on: ubuntu-latest
    permissions: {contents: read, id-token: write}
    steps:
      - uses: own/checkout@v1
      - uses: own/docker@v1
        with: {greeting: hello}
"""


def test_checkout_by_git_and_a_docker_action_run(run_workflow: RunWorkflow) -> None:
    pipeline_run = run_workflow(SHORT)
    (log,) = logs(pipeline_run)
    assert pipeline_run.result == "success", (log, pipeline_run.failures)
    assert f"checked out {pipeline_run.event.sha}" in log
    assert "docker got hello in /github/workspace" in log
    assert "the data" in log
    assert "identity from https://" in log


EACH_KIND = """\
  scripts:
    runs-on: ubuntu-latest
    permissions: {contents: read}
    steps:
      - uses: own/checkout@v1
      - run: cat data.txt
      - uses: own/node@v1
        with: {greeting: hello}
      - uses: own/composite@v1
        id: composite
      - run: cat by-stand-in/data.txt; echo "got ${{ steps.composite.outputs.reply }}"
      - uses: ./local/composite
  docker:
    runs-on: ubuntu-latest
    permissions: {contents: read, id-token: write}
    steps:
      - uses: docker://IMAGE
        with: {entrypoint: /bin/sh, args: "-c 'echo identity from $ACTIONS_ID_TOKEN_REQUEST_URL'"}
      - uses: own/checkout@v1
      - uses: own/docker@v1
        id: image
        with: {greeting: image}
      - uses: own/dockerfile@v1
        with: {greeting: file}
      - uses: own/generated@v1
      - uses: ./local/docker
        with: {greeting: local}
      - uses: own/docker@v1
        if: "steps.image.outputs.reply == 'from docker image'"
        with: {greeting: last}
"""


LOCAL = {
    "local/composite/action.yml": (
        "runs:\n  using: composite\n  steps: [{uses: own/node@v1, with: {greeting: local}}]\n"
    ),
    "local/docker/action.yml": small_actions.docker_action("Dockerfile"),
    "local/docker/Dockerfile": "FROM IMAGE\n",
}


@pytest.mark.long
def test_each_kind_of_action_runs(run_workflow: RunWorkflow) -> None:
    pipeline_run = run_workflow(EACH_KIND, files=LOCAL)
    scripts, docker = logs(pipeline_run)
    assert pipeline_run.result == "success", (scripts, docker, pipeline_run.failures)
    assert pipeline_run.failures == ()
    assert f"checked out {pipeline_run.event.sha}" in scripts
    assert "node got hello" in scripts
    assert "node got local" in scripts
    assert "got to nested" in scripts
    assert scripts.count("the data") == 2
    for greeting in ("image", "file", "generated", "local", "last"):
        assert f"docker got {greeting} in /github/workspace" in docker
    identities = re.findall(r"identity from (\S*)", docker)
    assert len([name for name in identities if name.startswith("https://")]) == 6
    addresses = set(re.findall(r"artifacts at http://\S+:(\d+)/", docker))
    assert addresses == {"8080"}, "the artifact service is the conductor's"
    kinds = {(use.uses, use.used_by): use.kind for use in pipeline_run.actions}
    assert kinds["own/node@v1", ("own/composite@v1",)] == "real"
    assert kinds["actions/checkout@v7", ("own/composite@v1",)] == "stand-in"


FAILING = """\
  docker:
    runs-on: ubuntu-latest
    steps:
      - run: "true"
      - uses: own/dockerfile@v1
        with: {greeting: fail}
"""


@pytest.mark.long
def test_exit_code_of_a_docker_action_is_that_of_its_step(
    run_workflow: RunWorkflow, container_engine: Engine, run: Run
) -> None:
    pipeline_run = run_workflow(FAILING)
    (job,) = pipeline_run.jobs
    assert job.failed_step is not None
    assert (job.failed_step.uses, job.failed_step.exit_code) == ("own/dockerfile@v1", 7)
    assert pipeline_run.failures == ()
    assert images_of(container_engine, run) == []


UNAVAILABLE = {
    "an image that is made known by a step": (
        "own/generated@v1",
        {"own/generated/inner.yml": small_actions.docker_action("docker://none.example/x:1")},
        "none.example/x:1",
    ),
    "an image that needs another one": (
        "own/dockerfile@v1",
        {"own/dockerfile/Dockerfile": "FROM none.example/x:2\n"},
        "none.example/x:2",
    ),
    "an image that downloads": (
        "own/dockerfile@v1",
        {"own/dockerfile/Dockerfile": "FROM IMAGE\nADD https://none.example/file /file\n"},
        "https://none.example/file",
    ),
    "an image that needs a network": (
        "own/dockerfile@v1",
        {"own/dockerfile/Dockerfile": "FROM IMAGE\nRUN curl --fail http://none.example/\n"},
        "without a network",
    ),
    "an action of a local action of a step": (
        "own/generated@v1",
        {"own/generated/inner.yml": "runs: {using: composite, steps: [{uses: other/none@v3}]}\n"},
        "other/none@v3",
    ),
}


@pytest.mark.long
@pytest.mark.parametrize("case", UNAVAILABLE)
def test_what_cannot_be_had_is_a_failure_of_the_testbed(
    run_workflow: RunWorkflow, case: str, container_engine: Engine, run: Run
) -> None:
    uses, actions, fact = UNAVAILABLE[case]
    steps = f"    steps: [{{run: 'true'}}, {{uses: {uses}}}]\n"
    pipeline_run = run_workflow(f"  a:\n    runs-on: ubuntu-latest\n{steps}", actions=actions)
    failures = [*pipeline_run.failures, *(f for job in pipeline_run.jobs for f in job.failures)]
    assert {failure.cause for failure in failures} == {"action-unavailable"}
    assert any(fact in f"{failure.where} {failure.observed}" for failure in failures), failures
    assert images_of(container_engine, run) == []


PRIVATE = """\
  without:
    runs-on: ubuntu-latest
    permissions: {id-token: write}
    steps: [{uses: own/checkout@v1}]
  with:
    runs-on: ubuntu-latest
    permissions: {contents: read}
    steps: [{uses: own/checkout@v1}]
"""


@pytest.mark.long
def test_private_repository_needs_the_permission(run_workflow: RunWorkflow) -> None:
    pipeline_run = run_workflow(PRIVATE, visibility="private")
    assert [job.result for job in pipeline_run.jobs] == ["failure", "success"]
    assert "Repository not found" in logs(pipeline_run)[0]


@pytest.mark.long
def test_image_of_a_killed_run_is_removed(container_engine: Engine, image: str) -> None:
    labels = {LABEL_RUN: "killed", LABEL_OWNER: "nobody"}
    with contextlib.closing(container_engine.client()) as client:
        file = io.BytesIO(f"FROM {image}\nENV A=b\n".encode())
        built, _ = client.images.build(
            fileobj=file, labels=labels, tag="quiverdb-e2e-killed:1", rm=True
        )
        sweep(client)
        with pytest.raises(docker.errors.ImageNotFound):
            client.images.get(str(built.id))
        assert client.images.get(image).id, "the image that it was built from stays"


def images_of(container_engine: Engine, run: Run) -> list[str]:
    """Return the ids of the images that the actions of a run built."""
    with contextlib.closing(container_engine.client()) as client:
        found = client.api.images(filters={"label": f"{LABEL_RUN}={run.id}"}, all=True)
    return [str(image["Id"]) for image in found]
