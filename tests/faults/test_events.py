"""The events that start a workflow: a release, a dispatch with inputs, a dispatch by a job."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

from containers import workflow_testbed
from containers.engine import Engine, Run
from containers.runner.runs import WorkflowFile
from containers.workflow_testbed import IndexSetup, StartingEvent
from tests.helpers import wheel_builder
from tests.helpers.release_workflow import PUBLISHERS
from verification.models.pipeline import JobRun, PipelineEvidence, PipelineResult
from verification.pipeline import publishers
from verification.pipeline.triggers import decide
from verification.session import release_pipeline
from verification.session.checkout import CheckoutOptions, minimal_subject, read_checkout
from verification.session.origin import existing_files
from verification.session.release_pipeline import ReleaseRequest

SETUP = IndexSetup(publishers=publishers.load(PUBLISHERS))
FOLDER = ".github/workflows"
PRINT = 'echo "event $GITHUB_EVENT_NAME $GITHUB_REF $GITHUB_REF_NAME $GITHUB_REF_TYPE $GITHUB_SHA"'
IDENTITY = (
    'curl --silent --fail --header "Authorization: bearer $ACTIONS_ID_TOKEN_REQUEST_TOKEN" '
    '"$ACTIONS_ID_TOKEN_REQUEST_URL&audience=pypi" > /dev/null'
)


def log_of(job: JobRun) -> str:
    return "\n".join(line for step in job.steps for line in step.log)


def run_event(
    container_engine: Engine, run: Run, root: Path, files: dict[str, str], **event: object
) -> PipelineEvidence:
    """Run the first of the workflow files for an event, and return the evidence."""
    for name, text in files.items():
        path = root / FOLDER / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text), "utf-8")
    starting = StartingEvent.model_validate({"root": root, **event})
    file = WorkflowFile(path=f"{FOLDER}/{next(iter(files))}", seconds=180)
    with workflow_testbed.start(container_engine, run, starting, file, SETUP, decide) as testbed:
        first, *dispatched = testbed.start()
        return testbed.evidence(first, "quiverdb", dispatched)


def claims(evidence: PipelineEvidence) -> list[dict[str, object]]:
    return [dict(line.claims) for line in evidence.tokens if line.claims]


RELEASE = f"""\
    on: {{release: {{types: [published]}}}}
    jobs:
      upload:
        runs-on: ubuntu-24.04
        permissions: {{contents: write, id-token: write}}
        env: {{GH_TOKEN: "${{{{ github.token }}}}", GH_REPO: "${{{{ github.repository }}}}"}}
        steps:
          - run: {PRINT}
          - run: echo "${{{{ github.event.action }}}} ${{{{ github.event.release.tag_name }}}}"
          - uses: actions/checkout@v7
          - run: gh release view v1.2.3 --json tagName --jq .tagName
          - run: gh release upload v1.2.3 data.txt
          - run: |
              {IDENTITY}
"""


@pytest.mark.long
def test_release_starts_the_workflow_with_its_tag_and_its_page(
    container_engine: Engine, run: Run, tmp_path: Path
) -> None:
    (tmp_path / "data.txt").write_text("data\n", "utf-8")
    evidence = run_event(
        container_engine, run, tmp_path, {"publish.yml": RELEASE}, kind="release", tags=("v1.2.3",)
    )
    (job,) = evidence.run.jobs
    assert evidence.run.result == "success", log_of(job)
    event = evidence.run.event
    assert (event.name, event.type, event.tag) == ("release", "published", "v1.2.3")
    log = log_of(job)
    assert f"event release refs/tags/v1.2.3 v1.2.3 tag {event.sha}" in log
    assert "published v1.2.3" in log
    (page,) = evidence.releases
    assert (page.tag, [asset.name for asset in page.assets]) == ("v1.2.3", ["data.txt"])
    (claim,) = claims(evidence)
    assert (claim["event_name"], claim["ref"], claim["ref_type"]) == (
        "release",
        "refs/tags/v1.2.3",
        "tag",
    )
    assert str(claim["sub"]).endswith(":ref:refs/tags/v1.2.3")


FIRST = f"""\
    name: Release
    on:
      workflow_dispatch:
        inputs:
          version: {{required: true}}
          kind: {{type: choice, options: [final, candidate], default: final}}
          dry: {{type: boolean, default: false}}
    jobs:
      dispatch:
        runs-on: ubuntu-latest
        permissions: {{contents: write, actions: write}}
        env: {{GH_TOKEN: "${{{{ github.token }}}}", GH_REPO: "${{{{ github.repository }}}}"}}
        steps:
          - run: {PRINT}
          - run: >-
              echo "inputs ${{{{ inputs.version }}}} ${{{{ inputs.kind }}}} ${{{{ !inputs.dry }}}}
              ${{{{ github.event.inputs.kind }}}} ${{{{ github.event.inputs.dry }}}}"
          - run: gh release create "v${{{{ inputs.version }}}}" --notes "The notes"
          - run: gh workflow run publish.yml --ref "v${{{{ inputs.version }}}}" -f tag="v1.2.3"
          - run: "! gh workflow run missing.yml"
          - run: "! gh workflow run other.yml"
          - run: "! gh workflow run publish.yml"
          - run: "! gh workflow run publish.yml -f tag=x -f more=y"
          - run: "! gh api repos/$GH_REPO/actions/workflows/publish.yml/dispatches -f ref=none"
"""
SECOND = f"""\
    name: Publish
    on: {{workflow_dispatch: {{inputs: {{tag: {{required: true}}}}}}}}
    permissions: {{id-token: write, contents: read}}
    jobs:
      publish:
        runs-on: ubuntu-latest
        steps:
          - uses: actions/checkout@v7
          - run: {PRINT}
          - run: echo "tag ${{{{ inputs.tag }}}}"
          - run: |
              {IDENTITY}
"""
OTHER = "on: push\njobs: {a: {runs-on: ubuntu-latest, steps: [{run: 'true'}]}}\n"


@pytest.mark.long
def test_dispatch_has_inputs_and_starts_another_workflow(
    container_engine: Engine, run: Run, tmp_path: Path
) -> None:
    files = {"release.yml": FIRST, "publish.yml": SECOND, "other.yml": OTHER}
    evidence = run_event(
        container_engine,
        run,
        tmp_path,
        files,
        kind="workflow_dispatch",
        inputs={"version": "1.2.3"},
    )
    first, second = evidence.runs
    log = log_of(first.jobs[0])
    assert first.result == "success", log
    assert dict(first.event.inputs) == {"version": "1.2.3", "kind": "final", "dry": "false"}
    assert f"event workflow_dispatch refs/heads/main main branch {first.event.sha}" in log
    assert "inputs 1.2.3 final true final false" in log
    for message in (
        "Workflow does not have 'workflow_dispatch' trigger",
        "Required input 'tag' not provided",
        'Unexpected inputs provided: ["more"]',
        "No ref found for: none",
    ):
        assert message in log
    assert second.result == "success", log_of(second.jobs[0])
    assert second.workflow == f"{FOLDER}/publish.yml"
    assert (second.event.ref, second.event.by_workflow) == ("refs/tags/v1.2.3", True)
    assert "tag v1.2.3" in log_of(second.jobs[0])
    (claim,) = claims(evidence)
    assert str(claim["workflow_ref"]).endswith("/publish.yml@refs/tags/v1.2.3")
    assert str(claim["job_workflow_ref"]).endswith("/publish.yml@refs/tags/v1.2.3")
    assert (claim["event_name"], claim["actor"]) == ("workflow_dispatch", "github-actions[bot]")
    assert claim["run_id"] == str(second.run_id)


WITHOUT_PERMISSION = """\
    on: {push: {branches: [main]}}
    permissions: {contents: read}
    jobs:
      dispatch:
        runs-on: macos-15
        env: {GH_TOKEN: "${{ github.token }}", GH_REPO: "${{ github.repository }}"}
        steps:
          - run: echo "event $GITHUB_EVENT_NAME $GITHUB_REF $GITHUB_REF_TYPE"
          - run: gh workflow run publish.yml -f tag=v1
"""


def test_dispatch_needs_the_permission_for_actions(
    container_engine: Engine, run: Run, tmp_path: Path
) -> None:
    files = {"release.yml": WITHOUT_PERMISSION, "publish.yml": SECOND}
    evidence = run_event(container_engine, run, tmp_path, files, kind="branch")
    (only,) = evidence.runs
    (job,) = only.jobs
    assert (only.result, job.label) == ("failure", "macos-15")
    assert "event push refs/heads/main branch" in log_of(job)
    assert "Resource not accessible by integration" in log_of(job)
    assert [line.refused for line in evidence.tokens if line.refused] == [
        "the job has no permission actions: write"
    ]


WHEELS = """\
    on: {release: {types: [published]}}
    jobs:
      build:
        strategy: {matrix: {os: [ubuntu-latest, macos-15]}}
        runs-on: ${{ matrix.os }}
        steps:
          - uses: actions/checkout@v7
          - run: python -m pip install build
          - name: Build
            run: python -m build --outdir out
          - uses: actions/upload-artifact@v7
            with: {name: "dist-${{ matrix.os }}", path: out}
      publish:
        needs: build
        runs-on: ubuntu-latest
        permissions: {id-token: write}
        environment: pypi
        steps:
          - uses: actions/download-artifact@v8
            with: {pattern: dist-*, merge-multiple: true, path: dist}
          - uses: pypa/gh-action-pypi-publish@release/v1
"""
LINUX_WHEEL = "cp313-cp313-manylinux_2_28_x86_64"
MACOS_WHEEL = "cp313-cp313-macosx_11_0_arm64"


@pytest.mark.long
def test_existing_wheels_replace_the_build_of_a_checkout(
    container_engine: Engine, run: Run, tmp_path: Path
) -> None:
    root, folder = tmp_path / "repository", tmp_path / "wheels"
    (root / FOLDER).mkdir(parents=True)
    folder.mkdir()
    (root / FOLDER / "publish.yml").write_text(textwrap.dedent(WHEELS), "utf-8")
    (root / "pyproject.toml").write_text('[project]\nname = "quiverdb"\nversion = "1.0.0"\n')
    (root / "publishers.toml").write_text(PUBLISHERS.read_text("utf-8"), "utf-8")
    for tag in (LINUX_WHEEL, MACOS_WHEEL):
        wheel_builder.build(folder, {"quiverdb/__init__.py": ""}, tag=tag)
    checkout = read_checkout(CheckoutOptions(root=root, wheels=folder))
    assert (checkout.event.kind, checkout.event.tags) == ("release", ("v1.0.0",))
    request = ReleaseRequest(
        event=checkout.event,
        plan=checkout.plan,
        publishers=checkout.publishers,
        version=checkout.version,
        existing=existing_files(folder),
    )
    subject = minimal_subject(checkout, folder)
    outcome = release_pipeline.run(container_engine, run, subject, request).outcome
    assert isinstance(outcome, PipelineResult), outcome
    evidence = outcome.evidence
    logs = "\n".join(log_of(job)[-3000:] for job in evidence.run.jobs)
    assert evidence.run.result == "success", logs
    wheels = {path.name for path in folder.glob("*.whl")}
    assert set(evidence.index.files) == wheels
    assert {wheel.name: wheel.platform for wheel in evidence.run.wheels} == {
        name: "macos" if "macosx" in name else "linux" for name in wheels
    }
    assert [(step.where, step.output) for step in evidence.run.replaced] == [
        ("publish.yml:9", "out"),
        ("publish.yml:8", ""),
    ]
    assert [artifact.name for artifact in evidence.run.artifacts] == [
        "dist-macos-15",
        "dist-ubuntu-latest",
    ]
    assert evidence.run.event.differs == (), "the commit has the files of the checkout"


NETWORK = """\
    on: {push: {tags: ["v*"]}}
    jobs:
      check:
        runs-on: ubuntu-22.04
        steps:
          - {name: Install, run: pip install --quiet twine}
          - run: twine check dist/*
"""


@pytest.mark.long
def test_step_that_needs_a_registry_is_a_limit_of_the_testbed(
    container_engine: Engine, run: Run, tmp_path: Path
) -> None:
    evidence = run_event(
        container_engine, run, tmp_path, {"publish.yml": NETWORK}, tags=("v1.0.0",)
    )
    assert evidence.run.unsupported, log_of(evidence.run.jobs[0])
    (limit,) = evidence.run.unsupported
    assert "'Install'" in limit, log_of(evidence.run.jobs[0])
