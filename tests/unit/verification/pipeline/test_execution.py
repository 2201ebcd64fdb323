from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from verification.pipeline import execution
from verification.pipeline.plan import plan
from verification.pipeline.result import Piped

LINUX = "quiverdb-1.2.0-cp313-cp313-manylinux_2_28_x86_64.whl"
WINDOWS = "quiverdb-1.2.0-cp313-cp313-win_amd64.whl"
BUILT = {LINUX: "a" * 64, WINDOWS: "b" * 64}
SPANS = {
    "build": (0.0, 10.0),
    "merge": (11.0, 12.0),
    "validate": (13.0, 14.0),
    "release": (15.0, 17.0),
    "publish": (15.5, 18.0),
}
Evidence = dict[str, Any]
Change = Callable[[Evidence], object]


def _job(name: str, span: tuple[float, float]) -> Evidence:
    return {
        "id": name,
        "name": name.capitalize(),
        "matrix": {},
        "label": "ubuntu-latest",
        "needs": (),
        "result": "success",
        "reason": "",
        "started": span[0],
        "ended": span[1],
        "steps": [{"name": "Work", "line": 7, "result": "success", "log": ["done"]}],
        "log": [],
    }


def good() -> Evidence:
    """Return the evidence of a release in which all went well."""
    identity = {"ref": "refs/tags/v1.2.0", "sha": "c" * 40, "publisher": "publish.yml"}
    push = {"tag": "v1.2.0", "ref": "refs/tags/v1.2.0", "sha": "c" * 40, "annotated": True}
    return {
        "run": {
            "push": push | {"source": "commit"},
            "run_id": 5,
            "triggered": True,
            "decision": "v1.2.0 matches v*.*.*",
            "result": "success",
            "unsupported": [],
            "jobs": [_job(name, span) for name, span in SPANS.items()],
            "wheels": [{"name": name, "sha256": digest} for name, digest in BUILT.items()],
            "artifacts": [{"name": "dist", "files": dict(BUILT)}],
            "actions": [],
            "stand_ins": [],
            "act": "act 1",
            "seconds": 18.0,
        },
        "releases": [
            {
                "tag": "v1.2.0",
                "draft": False,
                "prerelease": False,
                "body": "What's changed",
                "assets": [{"name": name, "sha256": digest} for name, digest in BUILT.items()],
            }
        ],
        "index": {
            "files": dict(BUILT),
            "uploads": [{"upload": {"file": name, "identity": identity}} for name in BUILT],
            "exchanges": [{"oidc": {"identity": identity, "projects": ["quiverdb"]}}],
        },
    }


def _names(change: Change) -> list[str]:
    evidence = copy.deepcopy(good())
    change(evidence)
    return [c.name for c in execution.diagnose(evidence, plan(), version="1.2.0")]


def _of(evidence: Evidence, name: str) -> Evidence:
    found: Evidence = next(job for job in evidence["run"]["jobs"] if job["id"] == name)
    return found


def _fail(name: str, log: str = "::error::no") -> Change:
    def change(evidence: Evidence) -> None:
        job = _of(evidence, name)
        job["result"] = "failure"
        job["steps"][0] |= {"result": "failure", "log": [log]}

    return change


def test_a_good_release_has_no_cause() -> None:
    assert _names(lambda _: None) == []


@pytest.mark.parametrize(
    ("name", "cause"),
    [
        ("build", "build-failed"),
        ("merge", "artifact-lost"),
        ("validate", "version-mismatch"),
        ("release", "release-missing"),
        ("publish", "upload-refused"),
        ("other", "job-failed"),
    ],
)
def test_a_job_that_fails_is_told_with_its_step_and_its_error(name: str, cause: str) -> None:
    evidence = good()
    if name == "other":
        evidence["run"]["jobs"].append(_job("other", (0, 1)))
    _fail(name)(evidence)
    (found,) = execution.diagnose(evidence, plan(), version="1.2.0")

    assert found.name == cause
    assert found.where == f"job {name.capitalize()}: step Work (line 7)"
    assert "::error::no" in found.message


def test_a_publish_that_the_index_gave_no_token_is_told_in_the_indexs_words() -> None:
    def change(evidence: Evidence) -> None:
        _fail("publish")(evidence)
        refused = {"code": "invalid-publisher", "description": "valid token, but no"}
        evidence["index"]["exchanges"] = [{"oidc": refused}]

    assert _names(change) == ["publisher-mismatch"]


@pytest.mark.parametrize(
    ("change", "causes"),
    [
        (lambda e: e["run"].update(triggered=False), ["workflow-not-triggered"]),
        (lambda e: e["run"].update(unsupported=["no"]), ["stand-in-limited"]),
        (lambda e: e["run"]["push"].update(annotated=False), ["lightweight-tag"]),
        (lambda e: _of(e, "release").update(result="hung"), ["hang"]),
        (lambda e: _of(e, "release").update(result="skipped"), ["job-skipped"]),
        (lambda e: e["run"]["jobs"].pop(), ["job-missing"]),
        (lambda e: _of(e, "publish").update(started=13.5), ["job-order"]),
        (lambda e: _of(e, "merge").update(started=9.0), ["job-order"]),
        (lambda e: _of(e, "release").update(needs=("validate", "publish")), ["job-order"]),
        (lambda e: e["run"]["artifacts"].clear(), ["artifact-lost"]),
        (lambda e: e["run"]["artifacts"][0]["files"].pop(LINUX), ["artifact-lost"]),
        (lambda e: e["run"]["artifacts"][0]["files"].update({LINUX: "c"}), ["hash-mismatch"]),
        (lambda e: e["run"]["artifacts"][0]["files"].update({"x.whl": "c"}), ["hash-mismatch"]),
        (lambda e: e["releases"].clear(), ["release-missing"]),
        (lambda e: e["releases"].append(e["releases"][0]), ["release-missing"]),
        (lambda e: e["releases"][0].update(draft=True), ["release-missing"]),
        (lambda e: e["releases"][0].update(prerelease=True), ["release-missing"]),
        (lambda e: e["releases"][0].update(body=" "), ["release-missing"]),
        (lambda e: e["releases"][0]["assets"].pop(), ["release-missing"]),
        (lambda e: e["releases"][0]["assets"][0].update(sha256="c"), ["hash-mismatch"]),
        (lambda e: e["index"]["files"].pop(LINUX), ["incomplete-release"]),
        (lambda e: e["index"]["files"].update({LINUX: "c"}), ["hash-mismatch"]),
        (lambda e: e["index"]["files"].update({"third.whl": "c"}), ["hash-mismatch"]),
        (lambda e: e["index"]["uploads"][0]["upload"].pop("identity"), ["publisher-mismatch"]),
        (lambda e: e["index"]["uploads"][0]["upload"].update(refused="no"), ["upload-refused"]),
    ],
)  # fmt: skip
def test_what_went_wrong_has_a_name(change: Change, causes: list[str]) -> None:
    assert _names(change) == causes


def test_an_upload_by_another_run_is_no_upload_of_this_one() -> None:
    def change(evidence: Evidence) -> None:
        evidence["index"]["uploads"][0]["upload"]["identity"] = {"ref": "refs/heads/main"}

    assert _names(change) == ["publisher-mismatch"]


def test_a_wheel_of_another_version_is_named() -> None:
    other = LINUX.replace("1.2.0", "1.3.0")

    def change(evidence: Evidence) -> None:
        evidence["run"]["wheels"][0]["name"] = other
        for files in (evidence["run"]["artifacts"][0]["files"], evidence["index"]["files"]):
            files[other] = files.pop(LINUX)
        evidence["releases"][0]["assets"][0]["name"] = other

    assert _names(change) == ["version-mismatch"]


def _truths(change: Change) -> dict[str, str]:
    evidence = copy.deepcopy(good())
    change(evidence)
    causes = execution.diagnose(evidence, plan(), version="1.2.0")
    truths = Piped(evidence, (), causes).truths(strict=False)
    return {number: told["verdict"] for number, told in truths.items()}


def test_the_six_truths_hold_for_a_good_release() -> None:
    assert _truths(lambda _: None) == dict.fromkeys("123456", "verified")


def test_what_the_run_did_not_reach_is_unverified() -> None:
    def change(evidence: Evidence) -> None:
        _fail("build")(evidence)
        for name in ("merge", "validate", "release", "publish"):
            _of(evidence, name).update(result="not run", started=None, ended=None)
        evidence["run"]["wheels"] = []
        evidence["releases"] = []
        evidence["index"] = {"files": {}, "uploads": [], "exchanges": []}

    told = _truths(change)
    assert told["1"] == "verified"
    assert told["2"] == "failed"
    assert {told[number] for number in "3456"} == {"unverified"}


def test_the_publisher_is_proved_by_what_the_index_took() -> None:
    told = Piped(good(), (), ()).publisher()

    assert any("took the identity publish.yml" in line for line in told["proved"])
    assert any(LINUX in line for line in told["proved"])
    assert told["not_provable"]
