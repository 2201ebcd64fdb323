from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.helpers.release_workflow import PLANNED
from tests.helpers.sample_pipeline import (
    BUILT,
    KILLED,
    LINUX,
    changed,
    evidence,
    job,
    release,
    with_artifact,
    with_failed,
    with_index,
    with_job,
    with_push,
    with_release,
    with_run,
    with_server,
    with_upload,
)
from verification.models.cause import Cause
from verification.models.pipeline import ActionUse, PipelineEvidence
from verification.models.verdict import Verdict
from verification.pipeline.execution import diagnose_pipeline, ran_side_by_side
from verification.verdict import of_causes

Change = Callable[[PipelineEvidence], PipelineEvidence]
OTHERS = {name: digest for name, digest in BUILT.items() if name != LINUX}


def causes(whole: PipelineEvidence) -> tuple[Cause, ...]:
    return diagnose_pipeline(whole, PLANNED, version="1.2.0")


def names(whole: PipelineEvidence) -> list[str]:
    return [cause.name for cause in causes(whole)]


def test_a_good_release_has_no_cause() -> None:
    assert names(evidence()) == []


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda e: with_run(e, triggered=False), ["workflow-not-triggered"]),
        (lambda e: with_run(e, unsupported=("no",)), ["stand-in-limited"]),
        (lambda e: with_push(e, annotated=False), ["lightweight-tag"]),
        (lambda e: with_job(e, "release", result="hung"), ["hang"]),
        (lambda e: with_job(e, "release", result="skipped"), ["job-skipped"]),
        (lambda e: with_job(e, "release", result="not run"), ["job-skipped"]),
        (lambda e: with_run(e, jobs=e.run.jobs[:-1]), ["job-missing"]),
        (lambda e: with_job(e, "publish", started=13.5), ["job-order"]),
        (lambda e: with_job(e, "merge", started=9.0), ["job-order"]),
        (lambda e: with_job(e, "release", needs=("validate", "publish")), ["job-order"]),
        (lambda e: with_push(e, tag="v1.2.1"), ["release-missing", "version-mismatch"]),
        (lambda e: with_run(e, artifacts=()), ["artifact-lost"]),
        (lambda e: with_artifact(e, OTHERS), ["artifact-lost"]),
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
        (lambda e: with_index(e, files=OTHERS), ["incomplete-release"]),
        (lambda e: with_index(e, files=BUILT | {LINUX: "c"}), ["hash-mismatch"]),
        (lambda e: with_index(e, files=BUILT | {"third.whl": "c"}), ["hash-mismatch"]),
        (lambda e: with_upload(e, identity=None), ["publisher-mismatch"]),
        (lambda e: with_upload(e, refused="no"), ["upload-refused"]),
        (lambda e: with_upload(e, identity={"ref": "refs/heads/main"}), ["publisher-mismatch"]),
        (lambda e: with_upload(e, identity={"sha": "d" * 40}), ["publisher-mismatch"]),
        (lambda e: with_upload(e, identity={"run_id": "6"}), ["publisher-mismatch"]),
        (lambda e: with_upload(e, identity={"run_id": "5"}), []),
    ],
)
def test_what_went_wrong_has_a_name(change: Change, expected: list[str]) -> None:
    assert names(change(evidence())) == expected


def test_what_a_stand_in_cannot_do_is_no_failure_of_the_job() -> None:
    whole = with_failed(with_run(evidence(), unsupported=("publish: no",)), "publish")
    whole = with_job(whole, "release", result="not run", started=None, ended=None)
    (found,) = causes(whole)

    assert found.name == "stand-in-limited"
    assert of_causes([found], strict=True) is Verdict.TESTBED


def test_an_input_that_a_real_action_does_not_have_is_named() -> None:
    use = ActionUse(
        uses="a/b@v1", where="a.yml:1", kind="real", version="v1", folder="x", unknown=("depth",)
    )
    (found,) = causes(with_run(evidence(), actions=(use,)))

    assert (found.name, found.where, found.facts["input"]) == ("unknown-input", "a.yml:1", "depth")


def test_a_refused_upload_has_the_index_s_reason_and_its_file() -> None:
    (found,) = causes(with_upload(evidence(), refused="400 File already exists"))

    assert found.where == f"upload of {LINUX}"
    assert "400 File already exists" in found.message
    assert found.facts == {"file": LINUX}


def test_what_only_follows_from_a_failure_has_no_cause() -> None:
    whole = with_failed(evidence(), "validate")
    for name in ("release", "publish"):
        whole = with_job(whole, name, result="not run", started=None, ended=None)
    whole = with_index(changed(whole, releases=()), files={}, uploads=(), exchanges=())

    assert names(whole) == ["job-failed"]


def test_each_job_that_failed_by_itself_has_a_cause() -> None:
    assert names(with_failed(with_failed(evidence(), "release"), "publish")) == [
        "job-failed",
        "release-missing",
    ]


def test_after_a_failure_of_the_testbed_only_that_and_a_logged_refusal_count() -> None:
    whole = with_failed(changed(evidence(), releases=()), "release")
    whole = with_run(with_server(whole, "forge", state=KILLED), artifacts=())

    assert names(whole) == ["forge-unreachable"]
    assert names(with_upload(whole, refused="400 no")) == ["forge-unreachable", "upload-refused"]


def test_a_wheel_of_another_version_is_named() -> None:
    other = LINUX.replace("1.2.0", "1.3.0")
    files = {other if name == LINUX else name: digest for name, digest in BUILT.items()}
    whole = evidence()
    wheels = (changed(whole.run.wheels[0], name=other), whole.run.wheels[1])
    assets = (changed(release().assets[0], name=other), release().assets[1])
    whole = with_artifact(with_run(whole, wheels=wheels), files)
    whole = with_index(with_release(whole, assets=assets), files=files)

    assert [(cause.name, cause.where) for cause in causes(whole)] == [("version-mismatch", other)]


@pytest.mark.parametrize(
    ("release_span", "publish_span", "together"),
    [
        ((15.0, 17.0), (15.5, 18.0), True),
        ((15.0, 17.0), (17.0, 18.0), False),
        ((18.0, 19.0), (15.0, 17.0), False),
    ],
)
def test_jobs_run_side_by_side_if_their_times_overlap(
    release_span: tuple[float, float], publish_span: tuple[float, float], together: bool
) -> None:
    whole = with_run(evidence(), jobs=(job("release", release_span), job("publish", publish_span)))

    assert ran_side_by_side(whole.run, "release", "publish") is together
    assert not ran_side_by_side(whole.run, "release", "none")


def test_the_combinations_of_a_matrix_count_as_one_job() -> None:
    whole = with_run(evidence(), jobs=(job("build", (0.0, 14.0)), *evidence().run.jobs))

    assert {cause.where for cause in causes(whole)} == {"job merge", "job validate"}
