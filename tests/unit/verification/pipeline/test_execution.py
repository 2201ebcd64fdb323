from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.helpers.release_workflow import PLANNED
from tests.helpers.sample_pipeline import (
    BUILT,
    KILLED,
    LINUX,
    PUBLISH,
    changed,
    evidence,
    job,
    release,
    with_artifact,
    with_event,
    with_failed,
    with_index,
    with_job,
    with_release,
    with_run,
    with_server,
    with_upload,
)
from verification.models.cause import Cause
from verification.models.pipeline import ActionUse, PipelineEvidence
from verification.models.verdict import Verdict
from verification.models.workflow_file import parse
from verification.pipeline.execution import diagnose_pipeline, ran_side_by_side
from verification.verdict import verdict_of_causes

Change = Callable[[PipelineEvidence], PipelineEvidence]
WITHOUT_LINUX = {name: digest for name, digest in BUILT.items() if name != LINUX}


def causes(run: PipelineEvidence) -> tuple[Cause, ...]:
    return diagnose_pipeline(run, {run.run.workflow: PUBLISH}, PLANNED, version="1.2.0")


def names(run: PipelineEvidence) -> list[str]:
    return [cause.name for cause in causes(run)]


def test_good_release_has_no_cause() -> None:
    assert names(evidence()) == []


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda e: with_run(e, triggered=False), ["workflow-not-triggered"]),
        (lambda e: with_run(e, unsupported=("no",)), ["stand-in-limited"]),
        (lambda e: with_event(e, annotated=False), ["lightweight-tag"]),
        (lambda e: with_job(e, "release", result="hung"), ["hang"]),
        (lambda e: with_job(e, "release", result="skipped"), ["job-skipped"]),
        (lambda e: with_job(e, "release", result="not run"), ["job-skipped"]),
        (lambda e: with_job(e, "publish", started=13.5), ["job-order"]),
        (lambda e: with_job(e, "merge", started=9.0), ["job-order"]),
        (lambda e: with_event(e, tag="v1.2.1"), ["release-missing", "version-mismatch"]),
        (lambda e: with_run(e, artifacts=()), []),
        (
            lambda e: with_index(with_artifact(e, WITHOUT_LINUX), files=WITHOUT_LINUX),
            ["artifact-lost", "incomplete-release"],
        ),
        (
            lambda e: with_index(with_run(e, artifacts=(), wheels=()), files={}),
            ["incomplete-release"],
        ),
        (lambda e: with_index(e, files=BUILT | {"quiverdb-1.2.0.tar.gz": "c"}), []),
        (lambda e: with_release(e, assets=()), ["release-without-files"]),
        (lambda e: with_artifact(e, BUILT | {LINUX: "c"}), ["hash-mismatch"]),
        (lambda e: with_artifact(e, BUILT | {"x.whl": "c"}), ["hash-mismatch"]),
        (lambda e: changed(e, releases=()), ["release-missing"]),
        (lambda e: changed(e, releases=(release(), release())), ["release-missing"]),
        (lambda e: with_release(e, draft=True), ["release-missing"]),
        (lambda e: with_release(e, prerelease=True), ["release-missing"]),
        (lambda e: with_release(e, body=" "), ["release-missing"]),
        (lambda e: with_release(e, assets=release().assets[:-1]), ["release-missing"]),
        (
            lambda e: with_release(
                e, assets=(changed(release().assets[0], sha256="c"), release().assets[1])
            ),
            ["hash-mismatch"],
        ),
        (lambda e: with_index(e, files=WITHOUT_LINUX), ["incomplete-release"]),
        (lambda e: with_index(e, files=BUILT | {LINUX: "c"}), ["hash-mismatch"]),
        (lambda e: with_index(e, files=BUILT | {"third.whl": "c"}), ["hash-mismatch"]),
        (lambda e: with_upload(e, identity=None), ["publisher-unused"]),
        (lambda e: with_upload(e, refused="no"), ["upload-refused"]),
        (lambda e: with_upload(e, identity={"ref": "refs/heads/main"}), ["publisher-mismatch"]),
        (lambda e: with_upload(e, identity={"sha": "d" * 40}), ["publisher-mismatch"]),
        (lambda e: with_upload(e, identity={"run_id": "6"}), ["publisher-mismatch"]),
        (lambda e: with_upload(e, identity={"run_id": "5"}), []),
    ],
)
def test_each_fault_of_a_run_has_its_cause(change: Change, expected: list[str]) -> None:
    assert names(change(evidence())) == expected


def test_limit_of_a_stand_in_is_a_testbed_failure() -> None:
    run = with_failed(with_run(evidence(), unsupported=("publish: no",)), "publish")
    run = with_job(run, "release", result="not run", started=None, ended=None)
    (cause,) = causes(run)

    assert cause.name == "stand-in-limited"
    assert verdict_of_causes([cause], strict=True) is Verdict.TESTBED


def test_unknown_input_of_a_real_action_is_reported() -> None:
    use = ActionUse(
        uses="a/b@v1", where="a.yml:1", kind="real", version="v1", folder="x", unknown=("depth",)
    )
    (cause,) = causes(with_run(evidence(), actions=(use,)))

    assert (cause.name, cause.where, cause.facts["input"]) == ("unknown-input", "a.yml:1", "depth")


def test_refused_upload_has_the_reason_of_the_index_and_the_file() -> None:
    (cause,) = causes(with_upload(evidence(), refused="400 File already exists"))

    assert "400 File already exists" in cause.message
    assert cause.facts == {"file": LINUX}


def test_consequence_of_a_failure_has_no_cause() -> None:
    run = with_failed(evidence(), "validate")
    for name in ("release", "publish"):
        run = with_job(run, name, result="not run", started=None, ended=None)
    run = with_index(changed(run, releases=()), files={}, uploads=(), exchanges=())

    assert names(run) == ["job-failed"]


def test_each_failed_job_has_a_cause() -> None:
    assert names(with_failed(with_failed(evidence(), "release"), "publish")) == [
        "job-failed",
        "release-missing",
    ]


def test_testbed_failure_hides_all_causes_except_a_refused_upload() -> None:
    run = with_failed(changed(evidence(), releases=()), "release")
    run = with_run(with_server(run, "forge", state=KILLED), artifacts=())

    assert names(run) == ["forge-unreachable"]
    assert names(with_upload(run, refused="400 no")) == ["forge-unreachable", "upload-refused"]


def test_wheel_of_another_version_is_a_version_mismatch() -> None:
    other = LINUX.replace("1.2.0", "1.3.0")
    files = {other if name == LINUX else name: digest for name, digest in BUILT.items()}
    run = evidence()
    wheels = (changed(run.run.wheels[0], name=other), run.run.wheels[1])
    assets = (changed(release().assets[0], name=other), release().assets[1])
    run = with_artifact(with_run(run, wheels=wheels), files)
    run = with_index(with_release(run, assets=assets), files=files)

    assert [(cause.name, cause.where) for cause in causes(run)] == [("version-mismatch", other)]


@pytest.mark.parametrize(
    ("release_span", "publish_span", "overlap"),
    [
        ((15.0, 17.0), (15.5, 18.0), True),
        ((15.0, 17.0), (17.0, 18.0), False),
        ((18.0, 19.0), (15.0, 17.0), False),
    ],
)
def test_jobs_run_side_by_side_if_their_times_overlap(
    release_span: tuple[float, float], publish_span: tuple[float, float], overlap: bool
) -> None:
    run = with_run(evidence(), jobs=(job("release", release_span), job("publish", publish_span)))

    assert ran_side_by_side(run.run, ["release"], ["publish"]) is overlap
    assert not ran_side_by_side(run.run, ["release"], ["none"])


def test_combinations_of_a_matrix_are_one_job() -> None:
    run = with_run(evidence(), jobs=(job("build", (0.0, 14.0)), *evidence().run.jobs))

    facts = [(cause.facts["job"], cause.facts["other"]) for cause in causes(run)]
    assert facts == [("merge", "build"), ("validate", "build")]


@pytest.mark.parametrize(
    ("change", "severity"),
    [
        (lambda e: with_release(e, draft=True), "flawed"),
        (lambda e: with_release(e, body=" "), "flawed"),
        (lambda e: with_release(e, prerelease=True), "flawed"),
        (lambda e: with_release(e, assets=release().assets[:-1]), "flawed"),
        (lambda e: with_release(e, assets=()), "note"),
        (lambda e: changed(e, releases=()), "broken"),
    ],
)
def test_release_page_is_broken_only_if_it_is_missing(change: Change, severity: str) -> None:
    assert [cause.severity for cause in causes(change(evidence()))] == [severity]


# ---- another workflow: several builds, a job that the event skips, no release page ----

OTHER = parse(
    """
on: {release: {types: [published]}}
jobs:
  wheels:
    runs-on: ubuntu-latest
    steps: [{run: cibuildwheel}]
  sdist:
    runs-on: ubuntu-latest
    steps: [{run: python -m build --sdist}]
  try:
    needs: [wheels, sdist]
    if: github.event_name == 'push'
    runs-on: ubuntu-latest
    steps: [{run: twine upload -r test dist/*}]
  upload:
    needs: [wheels, sdist]
    runs-on: ubuntu-latest
    steps: [{uses: pypa/gh-action-pypi-publish@v1}]
""",
    Path("release.yml"),
)
SPANS = {"wheels": (0.0, 9.0), "sdist": (0.0, 2.0), "upload": (10.0, 12.0)}


def other_run(**values: object) -> PipelineEvidence:
    """Return the evidence of a release by the other workflow. The forge has no release page."""
    skipped = changed(job("try"), result="skipped", started=None, ended=None)
    jobs = (*(job(name, span) for name, span in SPANS.items()), skipped)
    files = {**BUILT, "quiverdb-1.2.0.tar.gz": "c" * 64}
    run = changed(with_run(evidence(), jobs=jobs, wheels=(), artifacts=(), **values), releases=())
    return with_index(run, files=files)


def other_names(run: PipelineEvidence) -> list[str]:
    return [
        cause.name
        for cause in diagnose_pipeline(run, {run.run.workflow: OTHER}, PLANNED, version="1.2.0")
    ]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda e: e, []),
        (lambda e: with_event(e, tag="1.2.0"), []),
        (lambda e: with_event(e, tag="v11.2.0"), ["version-mismatch"]),
        (lambda e: with_index(e, files={}), ["incomplete-release"]),
        (lambda e: with_job(e, "upload", result="skipped"), ["job-skipped", "job-skipped"]),
        (lambda e: with_job(e, "sdist", result="not run"), ["job-skipped"]),
        (lambda e: with_job(e, "upload", started=5.0), ["job-order"]),
    ],
)
def test_run_of_another_workflow_is_judged_by_tasks(change: Change, expected: list[str]) -> None:
    assert other_names(change(other_run())) == expected


# ---- a chain of runs ----

DISPATCHER = parse(
    """
on: workflow_dispatch
jobs:
  start:
    runs-on: ubuntu-latest
    permissions: {actions: write}
    steps: [{run: gh workflow run publish.yml}]
""",
    Path("dispatch.yml"),
)


def chain(published: PipelineEvidence, **first: object) -> list[str]:
    """Return the causes of a run that dispatches the run of ``published``."""
    publishing = changed(published.run, workflow="publish.yml", run_id=2)
    start = changed(
        published.run, workflow="dispatch.yml", run_id=1, jobs=(), wheels=(), artifacts=(), **first
    )
    uploads = tuple(
        changed(line, upload=changed(line.upload, identity={**line.upload.identity, "run_id": "2"}))
        for line in published.index.uploads
        if line.upload and line.upload.identity
    )
    both = changed(with_index(published, uploads=uploads), run=start, dispatched=(publishing,))
    workflows = {"dispatch.yml": DISPATCHER, "publish.yml": PUBLISH}
    return [cause.name for cause in diagnose_pipeline(both, workflows, PLANNED, version="1.2.0")]


def test_dispatched_run_that_publishes_is_no_fault_of_the_run_that_dispatches_it() -> None:
    assert chain(evidence()) == []


def test_lost_file_of_a_dispatched_run_has_its_cause_once() -> None:
    assert chain(with_index(evidence(), files=WITHOUT_LINUX)) == ["incomplete-release"]


def test_chain_in_which_no_run_publishes_has_a_cause() -> None:
    workflows = {"dispatch.yml": DISPATCHER}
    run = with_index(with_run(evidence(), workflow="dispatch.yml", wheels=(), jobs=()), files={})
    found = diagnose_pipeline(run, workflows, PLANNED, version="1.2.0")
    assert [cause.name for cause in found] == ["incomplete-release"]


def test_upload_by_another_run_has_a_cause_in_a_chain() -> None:
    first, *others = evidence().index.uploads
    assert first.upload
    foreign = changed(first, upload=changed(first.upload, identity={"run_id": "7"}))
    both = changed(
        with_index(evidence(), uploads=(foreign, *others)),
        run=with_run(evidence(), workflow="publish.yml", run_id=1).run,
        dispatched=(with_run(evidence(), workflow="publish.yml", run_id=2).run,),
    )
    found = diagnose_pipeline(both, {"publish.yml": PUBLISH}, PLANNED, version="1.2.0")
    assert "publisher-mismatch" in [cause.name for cause in found]
