"""Check the release workflow, run it for an event, and judge the results."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import itertools
from collections.abc import Iterable, Mapping
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
from verification.models.workflow import BadWorkflow, Combination, Event, RunningJob, Workflow
from verification.models.workflow_call import load_with_called
from verification.pipeline import dispatches, policy, publishers, repository_files
from verification.pipeline import plan as plans
from verification.pipeline.contexts import known_text
from verification.pipeline.evaluated_jobs import evaluate_jobs
from verification.pipeline.execution import diagnose_pipeline
from verification.pipeline.failures import is_tag_of
from verification.pipeline.plan import Plan
from verification.pipeline.replacements import replace_builds
from verification.pipeline.report_parts import workflow_causes
from verification.pipeline.repository_files import RepositoryFiles
from verification.pipeline.tasks import job_key
from verification.pipeline.trials import Trials, trial_releases, version_check_job
from verification.pipeline.triggers import decide
from verification.pipeline.upload_secrets import upload_secrets
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
    tag: str = ""
    """The tag of the release, if the event has none."""


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


def registrations_of(checkout: Checkout | None, subject: Subject) -> tuple[TrustedPublisher, ...]:
    """Return the registrations of a checkout, or those of the subject; none if there are none.

    Raises:
        WrongUse: the registration of the subject is not valid.
    """
    if checkout:
        return checkout.publishers if checkout.registered else ()
    return publishers.load(subject.publishers) if subject.publishers else ()


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
    started = started_workflows(root, plan, to_event(request.event), registered, request.tag)
    workflow = started[0].files.workflow
    if workflow is None:  # the static causes have the reason
        static = _examine_files(root, started, subject, registered).causes
        return PublishedRelease(PipelineFailure(static=static), {})
    secrets = upload_secrets(filter(None, (of.files.workflow for of in started)))
    setup = IndexSetup(
        publishers=request.publishers,
        files=request.index_files,
        token_secrets=secrets.tokens,
        user_secrets=secrets.users,
    )
    with ThreadPoolExecutor(2) as pool:
        live = pool.submit(_live_check, request)
        examined = pool.submit(_examine_files, root, started, subject, registered)
        try:
            needed = IMAGES if request.existing is None else WITHOUT_BUILDS
            with ThreadPoolExecutor(len(needed)) as images_pool:
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
            static = examined.result().causes
            if not any(cause.severity is Severity.BROKEN for cause in static):
                raise
            return PublishedRelease(PipelineFailure(static=static), {})
        except TestbedFailure as failure:
            record = TestbedFailureRecord.of(failure)
            static = examined.result().causes
            return PublishedRelease(PipelineFailure(static=static, testbed=record), {})
        result = PipelineResult(
            static=examined.result().causes,
            evidence=evidence,
            dynamic=dynamic,
            live=live.result(),
            linters=examined.result().linters,
            workflow=workflow,
        )
    return PublishedRelease(result, files)


def _examine_files(
    root: Path,
    started: Iterable[StartedWorkflow],
    subject: Subject,
    registered: tuple[TrustedPublisher, ...],
) -> workflow_linters.Linted:
    """Return the causes of the rules and of the linters. This takes seconds of a processor."""
    causes = examine(started, subject, registered)
    linted = lint(root, started)
    return linted._replace(causes=sorted_causes((*causes, *linted.causes)))


def _diagnose(
    evidence: PipelineEvidence, workflow: Workflow | None, request: ReleaseRequest
) -> tuple[Cause, ...]:
    """Return the causes of all runs: of the event and of what their jobs dispatched."""
    root = request.event.root
    workflows = {evidence.run.workflow: workflow} | {
        run.workflow: load_with_called(root / run.workflow, root) for run in evidence.dispatched
    }
    causes = diagnose_pipeline(evidence, workflows, request.plan, version=request.version)
    return causes if request.registered else workflow_causes(causes)


def _live_check(request: ReleaseRequest) -> LivePublisherCheck:
    if not request.registered:
        reason = "there is no registration to compare with the live index"
        return LivePublisherCheck(verdict=Verdict.UNVERIFIED, reason=reason)
    return check_live_publisher(request.publishers[0])


def _workflow_file(request: ReleaseRequest) -> WorkflowFile:
    """Return the options of the runner, with the build steps replaced if files exist."""
    root = request.event.root
    path = str(repository_files.WORKFLOW_FOLDER / request.plan.workflow)
    file = WorkflowFile(
        path=path,
        actions_from=request.actions_from,
        evaluate=_evaluator(request.publishers[0].slug),
    )
    if request.existing is None:
        return file
    texts, steps = dict[str, str](), dict[str, ReplacedStep]()
    paths = {path, *(target.path for target in dispatch_targets(root) if target.dispatchable)}
    for started in sorted(paths):
        with contextlib.suppress(BadWorkflow):  # the run reports the file if it starts it
            replacements = replace_builds(load_with_called(root / started, root), root)
            texts |= replacements.texts
            steps |= {step.where: step for step in replacements.steps}
    return file.model_copy(
        update={
            "existing": request.existing,
            "texts": texts,
            "replaced": tuple(steps.values()),
        }
    )


def _evaluator(repository: str) -> Evaluate:
    """Return a function that fills in the expressions of a job. A text with an unknown one stays.

    ``repository`` is OWNER/NAME.
    """

    def evaluate(
        text: str,
        workflow: Workflow,
        running: RunningJob,
        event: Event,
        matrix: Combination | None,
    ) -> str:
        try:
            jobs = evaluate_jobs(workflow, event, repository)
        except BadWorkflow:
            return text
        context = next(job.context for job in jobs if job.key == job_key(running))
        if matrix is not None:
            context = context.extended(matrix={**matrix})
        value = known_text(text, context)
        return text if value is None else value

    return evaluate


def _is_unusable(causes: Iterable[Cause]) -> bool:
    """Return True if the published files may differ from the release."""
    severities = {cause.severity for cause in workflow_causes(causes)}
    return not severities.isdisjoint({Severity.BROKEN, Severity.TESTBED})


class StartedWorkflow(NamedTuple):
    """A workflow that the event or a job of the release starts."""

    plan: Plan
    event: Event
    files: RepositoryFiles


def started_workflows(
    root: Path,
    plan: Plan,
    event: Event,
    registered: tuple[TrustedPublisher, ...],
    tag: str = "",
) -> tuple[StartedWorkflow, ...]:
    """Return the workflow that the event starts, and each that a job dispatches with `gh`.

    ``root`` is the checkout. ``registered`` are the registrations of the publisher. ``tag`` is the
    tag of the release if neither the event nor a workflow names it.

    Raises:
        WrongUse: the pyproject.toml of the package cannot be read.
    """
    files = dict[str, RepositoryFiles]()

    def read(name: str) -> Workflow | None:
        files[name] = repository_files.load(root, plan.model_copy(update={"workflow": name}))
        return files[name].workflow

    if event.ref.startswith("refs/tags/"):
        tag = event.ref.removeprefix("refs/tags/")
    chain = dispatches.workflow_chain(
        plan.workflow,
        event,
        read,
        repository=registered[0].slug if registered else "",
        tag=tag or f"v{repository_files.load(root, plan).project.version}",
    )
    return tuple(
        StartedWorkflow(plan.model_copy(update={"workflow": of.name}), of.event, files[of.name])
        for of in chain
    )


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
