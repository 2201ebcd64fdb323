"""Check the release workflow, run it for a version of the source, and judge the results."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from containers import images, workflow_testbed
from containers.engine import Engine, Run
from containers.runner.runs import WorkflowFile
from containers.workflow_testbed import IndexSetup, TagPush
from verification.models.cause import Cause, Severity
from verification.models.errors import TestbedFailure, WrongUse
from verification.models.pipeline import (
    PipelineFailure,
    PipelineOutcome,
    PipelineResult,
)
from verification.models.publisher import TrustedPublisher
from verification.models.subject import Subject
from verification.models.testbed import TestbedFailureRecord
from verification.models.workflow import Event
from verification.pipeline import plan as plans
from verification.pipeline import policy, publishers, repository_files
from verification.pipeline.execution import diagnose_pipeline
from verification.pipeline.plan import Plan
from verification.pipeline.trials import Trials, trial_releases, validate_job
from verification.pipeline.triggers import decide
from verification.session.live_index import check_live_publisher
from verification.session.validate_job import try_releases

IMAGES = ("runner", "forge", "builder", "builder-windows")


@dataclasses.dataclass(frozen=True)
class PublishedRelease:
    """The outcome of a run of the release workflow."""

    outcome: PipelineOutcome
    files: Mapping[str, bytes]
    """The files on the index, by name; none if the run or the testbed failed."""


def run(
    engine: Engine, owner: Run, subject: Subject, push: TagPush, actions_from: Path | None
) -> PublishedRelease:
    """Push a version tag, and return the outcome of the release workflow and its files.

    ``owner`` is the run whose label the containers have. ``actions_from`` is a folder of checkouts
    of the workflow's real actions; without it the workflow uses stand-in actions.

    Raises:
        WrongUse: the subject names no plan or no registration, or the files of the release cannot
            be used.
        DataError: the plan is not valid.
    """
    if subject.pipeline is None or subject.publishers is None:
        raise WrongUse(f"{subject.name}: the description names no `pipeline` or no `publishers`")
    plan = plans.load(subject.pipeline)
    registered = publishers.load(subject.publishers)
    workflow = repository_files.load(push.root, plan).workflow
    event = Event(ref=f"refs/tags/{push.tags[0]}")
    static = examine(push.root, plan, subject, event, registered)
    file = WorkflowFile(
        path=str(repository_files.WORKFLOW_FOLDER / plan.workflow), actions_from=actions_from
    )
    setup = IndexSetup(publishers=registered)
    with ThreadPoolExecutor(1) as pool:
        live = pool.submit(check_live_publisher, registered[0])
        try:
            with ThreadPoolExecutor(2) as images_pool:
                list(images_pool.map(functools.partial(images.ensure, engine), IMAGES))
            with workflow_testbed.start(engine, owner, push, file, setup, decide) as pipeline:
                (workflow_run,) = pipeline.start()
                evidence = pipeline.evidence(workflow_run, subject.name)
                version = push.tags[0].removeprefix("v")
                dynamic = diagnose_pipeline(evidence, workflow, plan, version=version)
                files = {} if _is_unusable(dynamic) else pipeline.files(subject.name)
        except TestbedFailure as failure:
            record = TestbedFailureRecord.of(failure)
            return PublishedRelease(PipelineFailure(static=static, testbed=record), {})
        result = PipelineResult(
            static=static,
            evidence=evidence,
            dynamic=dynamic,
            live=live.result(),
            workflow=workflow,
        )
    return PublishedRelease(result, files)


def _is_unusable(causes: Iterable[Cause]) -> bool:
    """Return True if the published files may differ from the release."""
    return any(cause.severity in (Severity.BROKEN, Severity.TESTBED) for cause in causes)


def examine(
    root: Path,
    plan: Plan,
    subject: Subject,
    event: Event,
    registered: tuple[TrustedPublisher, ...],
) -> tuple[Cause, ...]:
    """Return the causes that the files of the release pipeline show, without a run of it.

    ``root`` is the checkout. ``event`` starts the workflow. The scripts of the job that checks the
    version run on trial releases.

    Raises:
        WrongUse: the pyproject.toml of the package cannot be read.
    """
    files = repository_files.load(root, plan)
    job, version = validate_job(files.workflow), files.project.written_version
    trials = Trials()
    if job and version:
        tag = event.ref.removeprefix("refs/tags/")
        prefix = tag.removesuffix(version) if tag.endswith(version) else "v"
        releases = trial_releases(subject, version, prefix=prefix)
        trials = try_releases(job, releases, files.project, plan.package_dir)
    return policy.check_files(files, plan, subject, trials, event=event, publishers=registered)
