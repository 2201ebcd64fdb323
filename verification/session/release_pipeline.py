"""Check the release workflow, run it for an event, and judge the results."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import itertools
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from containers import images, workflow_testbed
from containers.engine import Engine, Run
from containers.runner.runs import Evaluate, WorkflowFile
from containers.workflow_testbed import IndexSetup, StartingEvent
from verification.models.base import Model
from verification.models.cause import Cause, Severity, sorted_causes
from verification.models.dispatch import dispatch_targets
from verification.models.errors import TestbedFailure, WrongUse
from verification.models.pipeline import (
    LivePublisherCheck,
    PipelineEvidence,
    PipelineFailure,
    PipelineOutcome,
    PipelineResult,
    ReplacedStep,
)
from verification.models.publisher import TrustedPublisher
from verification.models.subject import Subject
from verification.models.testbed import TestbedFailureRecord
from verification.models.verdict import Verdict
from verification.models.workflow import BadWorkflow, Combination, Event, Workflow
from verification.models.workflow_call import load_with_called
from verification.pipeline import plan as plans
from verification.pipeline import policy, publishers, repository_files
from verification.pipeline.dispatches import dispatched_events
from verification.pipeline.execution import diagnose_pipeline
from verification.pipeline.expressions import UnknownValue, event_context, fill
from verification.pipeline.failures import is_tag_of
from verification.pipeline.plan import Plan
from verification.pipeline.replacements import replace_builds
from verification.pipeline.repository_files import RepositoryFiles
from verification.pipeline.trials import Trials, trial_releases, version_check_job
from verification.pipeline.triggers import decide
from verification.session import workflow_linters
from verification.session.checkout import Checkout, to_event
from verification.session.live_index import check_live_publisher
from verification.session.version_trials import try_releases

WITHOUT_BUILDS = ("runner", "forge")
"""The images of a run with existing wheels."""
IMAGES = (*WITHOUT_BUILDS, "builder", "builder-windows")


class ReleaseRequest(Model):
    """What a run of the release workflow needs."""

    event: StartingEvent
    plan: Plan
    publishers: tuple[TrustedPublisher, ...]
    """The registrations; without one, a registration that fits the workflow."""
    registered: bool = True
    """False if there is no registration. The publisher is then not verified."""
    version: str
    """The version of the package."""
    actions_from: Path | None = None
    """A folder of checkouts of the workflow's real actions; None for stand-in actions."""
    existing: tuple[Path, ...] | None = None
    """The wheels and the sdist that replace the builds; None if the jobs build."""
    index_files: tuple[Path, ...] = ()
    """The wheels of other packages on the index."""


@dataclasses.dataclass(frozen=True)
class PublishedRelease:
    """The outcome of a run of the release workflow."""

    outcome: PipelineOutcome
    files: Mapping[str, bytes]
    """The files on the index, by name; none if the run or the testbed failed."""


def plan_of(checkout: Checkout | None, subject: Subject) -> Plan | None:
    """Return the plan of a checkout, or that of the subject; None if there is none.

    Raises:
        DataError: the plan is not valid.
    """
    if checkout:
        return checkout.plan
    return plans.load(subject.pipeline) if subject.pipeline else None


def default_request(subject: Subject, event: StartingEvent) -> ReleaseRequest:
    """Return the request for a subject that names its plan and its registration.

    Raises:
        WrongUse: the subject names none, or the registration is not valid.
        DataError: the plan is not valid.
    """
    if subject.pipeline is None or subject.publishers is None:
        raise WrongUse(f"{subject.name}: the description names no `pipeline` or no `publishers`")
    return ReleaseRequest(
        event=event,
        plan=plans.load(subject.pipeline),
        publishers=publishers.load(subject.publishers),
        version=event.tags[0].removeprefix("v"),
    )


def run(engine: Engine, owner: Run, subject: Subject, request: ReleaseRequest) -> PublishedRelease:
    """Cause the event, and return the outcome of the release workflow and its files.

    ``owner`` is the run whose label the containers have.

    Raises:
        WrongUse: the files of the release cannot be used.
    """
    root, plan = request.event.root, request.plan
    registered = request.publishers if request.registered else ()
    started = started_workflows(root, plan, to_event(request.event), registered)
    workflow = started[0].files.workflow
    rule_causes = examine(started, subject, registered)
    linted = lint(root, started)
    static = sorted_causes((*rule_causes, *linted.causes))
    setup = IndexSetup(publishers=request.publishers, files=request.index_files)
    with ThreadPoolExecutor(1) as pool:
        live = pool.submit(_live_check, request)
        try:
            with ThreadPoolExecutor(2) as images_pool:
                needed = IMAGES if request.existing is None else WITHOUT_BUILDS
                list(images_pool.map(functools.partial(images.ensure, engine), needed))
            file = _workflow_file(request)
            with workflow_testbed.start(
                engine, owner, request.event, file, setup, decide
            ) as pipeline:
                first, *dispatched = pipeline.start()
                project = request.publishers[0].project
                evidence = pipeline.evidence(first, project, dispatched)
                dynamic = _diagnose(evidence, workflow, request)
                files = {} if _is_unusable(dynamic) else pipeline.files(project)
        except BadWorkflow:
            if not any(cause.severity is Severity.BROKEN for cause in static):
                raise
            return PublishedRelease(PipelineFailure(static=static), {})
        except TestbedFailure as failure:
            record = TestbedFailureRecord.of(failure)
            return PublishedRelease(PipelineFailure(static=static, testbed=record), {})
        result = PipelineResult(
            static=static,
            evidence=evidence,
            dynamic=dynamic,
            live=live.result(),
            linters=linted.linters,
            workflow=workflow,
        )
    return PublishedRelease(result, files)


def _diagnose(
    evidence: PipelineEvidence, workflow: Workflow | None, request: ReleaseRequest
) -> tuple[Cause, ...]:
    """Return the causes of all runs: of the event and of what their jobs dispatched."""
    root = request.event.root
    workflows = {evidence.run.workflow: workflow} | {
        run.workflow: load_with_called(root / run.workflow, root) for run in evidence.dispatched
    }
    return diagnose_pipeline(evidence, workflows, request.plan, version=request.version)


def _live_check(request: ReleaseRequest) -> LivePublisherCheck:
    if not request.registered:
        reason = "there is no registration to compare with the live index"
        return LivePublisherCheck(verdict=Verdict.UNVERIFIED, reason=reason)
    return check_live_publisher(request.publishers[0])


def _workflow_file(request: ReleaseRequest) -> WorkflowFile:
    """Return the options of the runner, with the build steps replaced if files exist."""
    root = request.event.root
    path = repository_files.WORKFLOW_FOLDER / request.plan.workflow
    workflow = load_with_called(root / path, root)
    file = WorkflowFile(
        path=str(path),
        actions_from=request.actions_from,
        evaluate=_evaluator(workflow, request.publishers[0].slug),
    )
    if request.existing is None:
        return file
    texts, steps = dict[str, str](), dict[str, ReplacedStep]()
    for started in (workflow, *_dispatchable(root, path)):
        replacements = replace_builds(started, root)
        texts |= replacements.texts
        steps |= {step.where: step for step in replacements.steps}
    return file.model_copy(
        update={
            "existing": request.existing,
            "texts": texts,
            "replaced": tuple(steps.values()),
        }
    )


def _dispatchable(root: Path, first: Path) -> Iterator[Workflow]:
    """Yield the workflows that a job of the workflow ``first`` could dispatch."""
    for target in dispatch_targets(root):
        if target.dispatchable and target.path != str(first):
            with contextlib.suppress(BadWorkflow):
                yield load_with_called(root / target.path, root)


def _evaluator(workflow: Workflow, repository: str) -> Evaluate:
    """Return a function that fills in labels of runners. A label with an unknown value stays."""

    def evaluate(text: str, event: Event, matrix: Combination) -> str:
        context = event_context(event, workflow, repository).extended(matrix={**matrix})
        try:
            return fill(text, context)
        except UnknownValue:
            return text

    return evaluate


def _is_unusable(causes: Iterable[Cause]) -> bool:
    """Return True if the published files may differ from the release."""
    return any(cause.severity in (Severity.BROKEN, Severity.TESTBED) for cause in causes)


class StartedWorkflow(NamedTuple):
    """A workflow that the event or a job of the release starts."""

    plan: Plan
    event: Event
    files: RepositoryFiles


def started_workflows(
    root: Path, plan: Plan, event: Event, registered: tuple[TrustedPublisher, ...]
) -> tuple[StartedWorkflow, ...]:
    """Return the workflow that the event starts, and each that a job dispatches with `gh`.

    ``root`` is the checkout. ``registered`` are the registrations of the publisher.

    Raises:
        WrongUse: the pyproject.toml of the package cannot be read.
    """
    repository = registered[0].slug if registered else ""
    pending, started = [(plan.workflow, event)], dict[str, StartedWorkflow]()
    while pending:
        name, start = pending.pop(0)
        if name in started:
            continue
        plan_of_file = plan.model_copy(update={"workflow": name})
        files = repository_files.load(root, plan_of_file)
        started[name] = StartedWorkflow(plan_of_file, start, files)
        if files.workflow:
            tag = f"v{files.project.version}"
            with contextlib.suppress(BadWorkflow):  # the examination of the file reports it
                pending += dispatched_events(files.workflow, start, repository, tag)
    return tuple(started.values())


def examine(
    started: Iterable[StartedWorkflow], subject: Subject, registered: tuple[TrustedPublisher, ...]
) -> tuple[Cause, ...]:
    """Return the causes that the files of the release pipeline show, without a run of it.

    ``registered`` are the registrations of the publisher. The scripts of the job that checks the
    version run on trial releases.
    """
    causes = itertools.chain.from_iterable(
        policy.check_files(
            files,
            plan,
            subject,
            _trials(files, plan, subject, event),
            event=event,
            publishers=registered,
        )
        for plan, event, files in started
    )
    return sorted_causes(dict.fromkeys(causes))


def lint(root: Path, started: Iterable[StartedWorkflow]) -> workflow_linters.Linted:
    """Return the linters' findings in the files of started workflows."""
    return workflow_linters.lint(root, *(workflow.plan.workflow for workflow in started))


def _trials(files: RepositoryFiles, plan: Plan, subject: Subject, event: Event) -> Trials:
    """Return the trials of the job that checks the version; none without such a job."""
    job, version = version_check_job(files.workflow), files.project.written_version
    if not job or not version:
        return Trials()
    tag = event.ref.removeprefix("refs/tags/")
    prefix = tag.removesuffix(version) if is_tag_of(tag, version) else "v"
    releases = trial_releases(subject, version, prefix=prefix)
    return try_releases(job, releases, files.project, plan.package_dir)
