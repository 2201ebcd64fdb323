from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from containers import images, workflow_testbed
from containers.engine import Engine, Run
from containers.runner.runs import WorkflowFile
from containers.workflow_testbed import IndexSetup, StartingEvent
from tests.helpers.release_workflow import (
    CHECKOUT,
    PLANNED,
    REGISTERED,
    ROOT,
    SUBJECT,
    WORKFLOW,
    edited,
    repository,
)
from tests.helpers.sample_pipeline import changed, evidence, with_failed, with_run
from verification.models.cause import Cause, Severity
from verification.models.errors import TestbedFailure
from verification.models.pipeline import (
    LivePublisherCheck,
    PipelineEvidence,
    PipelineFailure,
    PipelineResult,
)
from verification.models.verdict import Verdict
from verification.models.workflow import Event, WorkflowJob
from verification.models.workflow_call import load_with_called
from verification.pipeline import repository_files
from verification.pipeline.trials import Trials
from verification.pipeline.triggers import decide
from verification.rules.catalogue import catalogue
from verification.session import release_pipeline
from verification.session.release_pipeline import PublishedRelease
from verification.session.version_trials import try_releases

ENGINE = Engine(url="unix:///none", version="1", os="linux", origin="a test")
RUN = Run(id="1", owner="a:b:c:d")
LIVE = LivePublisherCheck(verdict=Verdict.UNVERIFIED, reason="none")
FILES = {"a.whl": b"a"}
EVENT = Event(ref="refs/tags/v1.2.0")


@pytest.fixture(scope="module")
def trials() -> dict[str, Trials]:
    """Return the trials that the tests of this module share. The key is the job as JSON."""
    return {}


@pytest.fixture(autouse=True)
def no_containers(monkeypatch: pytest.MonkeyPatch, trials: dict[str, Trials]) -> None:
    """Replace images and requests to the live index. Try each validate job only once."""

    def try_once(job: WorkflowJob, *arguments: Any) -> Trials:
        key = job.model_dump_json()
        if key not in trials:
            trials[key] = try_releases(job, *arguments)
        return trials[key]

    monkeypatch.setattr(images, "ensure", lambda *_: None)
    monkeypatch.setattr(release_pipeline, "check_live_publisher", lambda _: LIVE)
    monkeypatch.setattr(release_pipeline, "try_releases", try_once)


def run_workflow(
    monkeypatch: pytest.MonkeyPatch,
    root: Path,
    outcome: PipelineEvidence | TestbedFailure,
    **values: object,
) -> PublishedRelease:
    """Run a fake workflow that gives this evidence or fails. Return the published release."""

    @contextlib.contextmanager
    def start(
        engine: Engine,
        run: Run,
        event: StartingEvent,
        file: WorkflowFile,
        setup: IndexSetup,
        decision: object,
    ) -> Iterator[SimpleNamespace]:
        assert (engine, run, decision) == (ENGINE, RUN, decide)
        assert event.tags == ("v1.2.0",)
        assert file.path == ".github/workflows/publish.yml"
        assert file.actions_from == root
        assert [publisher.project for publisher in setup.publishers] == ["quiverdb"]
        assert setup.files == values.get("index_files", ())
        if isinstance(outcome, TestbedFailure):
            raise outcome
        yield SimpleNamespace(
            start=lambda: [outcome.run], evidence=lambda *_: outcome, files=lambda _: FILES
        )

    monkeypatch.setattr(workflow_testbed, "start", start)
    event = StartingEvent(root=root, tags=("v1.2.0",))
    request = release_pipeline.default_request(SUBJECT, event)
    request = request.model_copy(update={"actions_from": root, **values})
    return release_pipeline.run(ENGINE, RUN, SUBJECT, request)


def test_successful_run_publishes_its_files(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    root = repository(tmp_path)
    release = run_workflow(monkeypatch, root, evidence())
    read = repository_files.load(root, PLANNED)

    assert release.files == FILES
    assert isinstance(release.outcome, PipelineResult)
    linters = release.outcome.linters
    assert [(linter.name, linter.files) for linter in linters] == [
        ("zizmor", ("publish.yml",)),
        ("actionlint", ("publish.yml",)),
    ]
    assert release.outcome == PipelineResult(
        static=(),
        evidence=evidence(),
        dynamic=(),
        live=LIVE,
        workflow=read.workflow,
        linters=linters,
    )


def test_findings_of_the_linters_are_static_causes(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    root = repository(tmp_path, edited(CHECKOUT, "actions/checkout@v7"))
    release = run_workflow(monkeypatch, root, evidence())

    assert release.files == FILES
    assert [cause.name for cause in release.outcome.static] == ["zizmor-finding"]


def test_index_of_the_workflow_has_the_wheels_of_other_packages(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    wheel = tmp_path / "twine-7.0.0-py3-none-any.whl"
    release = run_workflow(monkeypatch, repository(tmp_path), evidence(), index_files=(wheel,))
    assert release.files == FILES


def test_failed_run_has_its_cause_and_publishes_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    failed = with_failed(evidence(), "release")
    release = run_workflow(monkeypatch, repository(tmp_path), failed)

    assert release.files == {}
    assert isinstance(release.outcome, PipelineResult)
    assert [cause.name for cause in release.outcome.dynamic] == ["release-missing"]


def test_testbed_failure_is_the_outcome_with_the_causes_of_the_files(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    root = repository(tmp_path, edited("contents: write", "contents: read"))
    release = run_workflow(monkeypatch, root, TestbedFailure("machine-lost", "act", "no job"))

    assert release.files == {}
    assert isinstance(release.outcome, PipelineFailure)
    assert [cause.name for cause in release.outcome.static] == ["permission-missing"]
    assert release.outcome.testbed is not None
    assert release.outcome.testbed.model_dump() == {
        "cause": "machine-lost",
        "where": "act",
        "observed": "no job",
        "facts": {},
    }


def examined(root: Path) -> tuple[Cause, ...]:
    """Return the causes of the files of the workflow, and of the workflows that it dispatches."""
    started = release_pipeline.started_workflows(root, PLANNED, EVENT, REGISTERED)
    return release_pipeline.examine(started, SUBJECT, REGISTERED)


def test_files_of_this_repository_have_no_cause() -> None:
    assert examined(ROOT) == ()


def test_version_check_is_tried(tmp_path: Path) -> None:
    root = repository(tmp_path, edited("sys.exit(1)", "sys.exit(0)"))

    assert {cause.name for cause in examined(root)} == {"validation-wrong"}


def test_invalid_workflow_has_its_cause_and_no_failure_of_the_testbed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    root = repository(tmp_path, "on: push\njobs: [\n")
    release = run_workflow(monkeypatch, root, evidence())

    assert release.outcome == PipelineFailure(static=release.outcome.static)
    broken = [c.name for c in release.outcome.static if c.severity is Severity.BROKEN]
    assert broken == ["workflow-invalid"]


def test_unregistered_publisher_is_not_compared_with_the_live_index(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def check(_: object) -> LivePublisherCheck:
        raise AssertionError("unexpected comparison")

    monkeypatch.setattr(release_pipeline, "check_live_publisher", check)
    release = run_workflow(monkeypatch, repository(tmp_path), evidence(), registered=False)

    assert isinstance(release.outcome, PipelineResult)
    assert release.outcome.live.verdict is Verdict.UNVERIFIED


def test_builds_of_dispatchable_workflows_are_replaced_too(tmp_path: Path) -> None:
    root = repository(tmp_path)
    step = "jobs: {build: {runs-on: ubuntu-latest, steps: [{run: python -m build}]}}\n"
    for name, event in (("dispatched.yml", "workflow_dispatch"), ("other.yml", "push")):
        path = root / ".github" / "workflows" / name
        path.write_text(f"on: {event}\n{step}")
    request = release_pipeline.default_request(SUBJECT, StartingEvent(root=root, tags=("v1.2.0",)))
    file = release_pipeline._workflow_file(request.model_copy(update={"existing": ()}))
    assert list(file.texts) == [".github/workflows/dispatched.yml"]
    assert [step.where for step in file.replaced] == ["dispatched.yml:2"]


def test_failure_of_a_dispatched_run_has_its_cause(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = ".github/workflows/publish.yml"
    passed = with_run(evidence(), workflow=file)
    failed = with_run(with_failed(evidence(), "release"), workflow=file)
    both = changed(passed, dispatched=(failed.run,))
    release = run_workflow(monkeypatch, repository(tmp_path), both)

    assert release.files == {}
    assert isinstance(release.outcome, PipelineResult)
    assert [cause.name for cause in release.outcome.dynamic] == ["release-missing"]


DISPATCH = """
on: push
permissions: {}
jobs:
  one:
    permissions: {actions: write}
    runs-on: ubuntu-latest
    steps: [{run: gh workflow run second.yml COMMAND}]
"""
DISPATCHED = """
on: workflow_dispatch
permissions: {}
jobs: {one: {runs-on: ubuntu-latest, steps: [{uses: pypa/gh-action-pypi-publish@v1}]}}
"""


@pytest.mark.parametrize(
    ("command", "is_read"),
    [("", True), ("--repo quiverdb/other", False)],
)
def test_dispatched_workflow_is_examined_and_linted(
    command: str, tmp_path: Path, *, is_read: bool
) -> None:
    root = repository(tmp_path, DISPATCH.replace("COMMAND", command))
    (root / ".github" / "workflows" / "second.yml").write_text(DISPATCHED, "utf-8")

    started = release_pipeline.started_workflows(root, PLANNED, EVENT, REGISTERED)
    causes, linters = release_pipeline.lint(root, started)

    files = {cause.where.partition(":")[0] for cause in examined(root)}
    assert ("second.yml" in files) == is_read
    assert [("second.yml" in linter.files) for linter in linters] == [is_read] * 2
    rules = {c.facts["rule"] for c in causes if c.where.startswith("second.yml")}
    assert ("unpinned-uses" in rules) == is_read


def test_condition_that_fails_makes_the_workflow_invalid(tmp_path: Path) -> None:
    text = DISPATCH.replace("COMMAND", "").replace("  one:", "  one:\n    if: fromJSON('x')")

    causes = examined(repository(tmp_path, text))

    assert [cause.name for cause in causes] == ["workflow-invalid"]


def test_environment_of_a_called_job_has_the_inputs_of_its_call(tmp_path: Path) -> None:
    folder = tmp_path / ".github" / "workflows"
    folder.mkdir(parents=True)
    (folder / "start.yml").write_text(
        "on: {workflow_dispatch: {inputs: {index: }}}\n"
        "jobs: {call: {uses: ./.github/workflows/called.yml, "
        'with: {index: "${{ inputs.index }}"}}}\n'
    )
    (folder / "called.yml").write_text(
        "on: {workflow_call: {inputs: {index: {type: string}}}}\n"
        'jobs: {upload: {runs-on: x, environment: "${{ inputs.index }}", steps: [{run: a}]}}\n'
    )
    workflow = load_with_called(folder / "start.yml", tmp_path)
    (running,) = workflow.running_jobs
    event = Event(name="workflow_dispatch", ref="refs/heads/main", inputs={"index": "pypi"})
    evaluate = release_pipeline._evaluator("o/r")
    assert evaluate("${{ inputs.index }}", workflow, running, event, {}) == "pypi"
    assert evaluate("${{ matrix.os }}-arm", workflow, running, event, {"os": "x"}) == "x-arm"
    for unknown in ("${{ matrix.os }}", "${{ vars.A }}", "${{ fromJSON('x') }}"):
        assert evaluate(unknown, workflow, running, event, None) == unknown


def test_stored_token_without_a_registration_is_no_cause(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    unused = catalogue().cause("publisher-unused", "index", "x")
    monkeypatch.setattr(release_pipeline, "diagnose_pipeline", lambda *_, **__: (unused,))
    root = repository(tmp_path)
    registered = run_workflow(monkeypatch, root, evidence())
    other = run_workflow(monkeypatch, root, evidence(), registered=False)
    for release, names in ((registered, ["publisher-unused"]), (other, [])):
        assert isinstance(release.outcome, PipelineResult)
        assert [cause.name for cause in release.outcome.dynamic] == names
        assert release.files == FILES  # the files are those of the release


def test_secrets_of_the_uploads_get_a_token(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    text = WORKFLOW.read_text("utf-8")
    old = "packages-dir: dist\n"
    assert text.count(old) == 1
    new = f"{old}          password: ${{{{ secrets.UPLOAD }}}}\n"
    setups: list[IndexSetup] = []

    def start(*arguments: Any) -> Any:
        setups.append(arguments[4])
        raise TestbedFailure("machine-lost", "x", "y")

    monkeypatch.setattr(workflow_testbed, "start", start)
    root = repository(tmp_path, text.replace(old, new))
    event = StartingEvent(root=root, tags=("v1.2.0",))
    request = release_pipeline.default_request(SUBJECT, event)
    release_pipeline.run(ENGINE, RUN, SUBJECT, request)
    (setup,) = setups
    assert (setup.token_secrets, setup.user_secrets) == (frozenset({"UPLOAD"}), frozenset())
