"""The pipeline as it ran: from the evidence of a run to its causes.

The first failure is told by its own name; what only follows from it is not.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from packaging.utils import parse_wheel_filename
from packaging.version import Version

from verification.models.cause import Cause, in_order
from verification.pipeline.plan import Plan
from verification.rules.catalogue import catalogue

Evidence = Mapping[str, Any]
_FAILED_AT = {
    "build": "build-failed",
    "merge": "artifact-lost",
    "validate": "version-mismatch",
    "release": "release-missing",
    "publish": "upload-refused",
}
"""What it is called when a job of this name fails and no more is known."""
_SHOWN = 400


def diagnose(evidence: Evidence, plan: Plan, *, version: str) -> tuple[Cause, ...]:
    """Return the causes that the run shows; none if it released ``version`` as planned.

    ``evidence`` is that of `containers.pipeline.Pipeline.evidence`.
    """
    return in_order(_causes(evidence, plan, version))


def _cause(name: str, where: str, seen: str) -> Cause:
    return catalogue().cause(name, where=where, seen=" ".join(seen.split())[:_SHOWN])


def _causes(evidence: Evidence, plan: Plan, version: str) -> Iterator[Cause]:
    run = evidence["run"]
    tag = run["push"]["tag"]
    if not run["triggered"]:
        yield _cause("workflow-not-triggered", f"push of the tag {tag}", run["decision"])
        return
    if not run["push"]["annotated"]:
        seen = "it has no author, no date and no message: it is a name for a commit and no more"
        yield _cause("lightweight-tag", f"tag {tag}", seen)
    if run["unsupported"]:
        yield _cause("stand-in-limited", "pipeline", "; ".join(run["unsupported"]))
    if failed := list(_failed(evidence)):
        yield from failed
    else:
        yield from _left_out(run, plan)
    yield from _order(run, plan)
    if failed:
        return
    yield from _versions(run, version)
    yield from _merged(run)
    yield from _released(evidence, version)
    yield from _published(evidence)


def _failed(evidence: Evidence) -> Iterator[Cause]:
    """Yield each job that failed by itself, and not because one before it did."""
    for job in evidence["run"]["jobs"]:
        if job["result"] not in ("failure", "hung"):
            continue
        step = next((s for s in job["steps"] if s["result"] == "failure"), None)
        where = f"job {job['name'] or job['id']}"
        if step:
            where += f": step {step['name']} (line {step['line']})"
        if job["result"] == "hung":
            yield _cause("hang", where, job["reason"] or "it was ended: it took too long")
            continue
        name = _FAILED_AT.get(job["id"], "job-failed")
        seen = _why(step, job)
        if job["id"] == "publish" and (refused := _refusal(evidence)):
            name, seen = "publisher-mismatch", refused
        yield _cause(name, where, seen)


def _why(step: Evidence | None, job: Evidence) -> str:
    lines = [line for line in (step or job)["log"] if line.strip()]
    told = [line for line in lines if "::error" in line or line.lower().startswith("error")]
    said = " | ".join(told[:3] or lines[-3:]) or job["reason"] or "it gave no reason"
    return f"it failed: {said}"


def _refusal(evidence: Evidence) -> str:
    """Return why the index gave no token, if it gave none."""
    for line in evidence["index"]["exchanges"]:
        if code := line["oidc"].get("code"):
            return f"the index refused the identity: {code}: {line['oidc']['description']}"
    return ""


def _left_out(run: Evidence, plan: Plan) -> Iterator[Cause]:
    for job in run["jobs"]:
        if job["result"] in ("skipped", "not run"):
            seen = f"it was {job['result']} ({job['reason'] or 'no reason is told'})"
            yield _cause("job-skipped", f"job {job['name'] or job['id']}", seen)
    ran = {job["id"] for job in run["jobs"]}
    for missing in [name for name in plan.jobs if name not in ran]:
        yield _cause("job-missing", f"job {missing}", "no such job ran")


def _order(run: Evidence, plan: Plan) -> Iterator[Cause]:
    """Yield the jobs that began before what they stand on had ended, by the clock."""
    spans = _spans(run)
    for name, planned in plan.jobs.items():
        for before in planned.after:
            if name in spans and before in spans and spans[name][0] < spans[before][1]:
                early = spans[before][1] - spans[name][0]
                seen = f"it began {early:.1f} s before {before} had ended"
                yield _cause("job-order", f"job {name}", seen)
        for beside in planned.apart:
            needs = {need for job in run["jobs"] if job["id"] == name for need in job["needs"]}
            if beside in needs:
                yield _cause("job-order", f"job {name}", f"it waited for {beside}")


def _spans(run: Evidence) -> dict[str, tuple[float, float]]:
    """Return when each job that ran began and ended; one of a matrix as a whole."""
    found: dict[str, tuple[float, float]] = {}
    for job in run["jobs"]:
        if job["started"] is None or job["ended"] is None:
            continue
        began, ended = found.get(job["id"], (job["started"], job["ended"]))
        found[job["id"]] = (min(began, job["started"]), max(ended, job["ended"]))
    return found


def side_by_side(run: Evidence, one: str, other: str) -> bool:
    """Return whether two jobs ran at the same time, by the clock."""
    spans = _spans(run)
    if one not in spans or other not in spans:
        return False
    return spans[one][0] < spans[other][1] and spans[other][0] < spans[one][1]


def _versions(run: Evidence, version: str) -> Iterator[Cause]:
    tag = run["push"]["tag"]
    if tag != f"v{version}":
        seen = f"the run passed, and bindings/python has {version}"
        yield _cause("version-mismatch", f"tag {tag}", seen)
    for wheel in run["wheels"]:
        if parse_wheel_filename(wheel["name"])[1] != Version(version):
            yield _cause("version-mismatch", wheel["name"], f"the tag is {tag}")


def _built(run: Evidence) -> dict[str, str]:
    return {wheel["name"]: wheel["sha256"] for wheel in run["wheels"]}


def _merged(run: Evidence) -> Iterator[Cause]:
    """Compare the artifact that the later jobs fetched with what was built."""
    built = _built(run)
    whole = [artifact for artifact in run["artifacts"] if set(artifact["files"]) >= set(built)]
    if not whole:
        names = ", ".join(artifact["name"] for artifact in run["artifacts"]) or "none"
        seen = f"no artifact holds all of {', '.join(sorted(built))}; there are: {names}"
        yield _cause("artifact-lost", "artifacts", seen)
    for artifact in whole:
        yield from _same(f"artifact {artifact['name']}", artifact["files"], built, "artifact-lost")


def _same(
    where: str, seen: Mapping[str, str], built: Mapping[str, str], missing: str
) -> Iterator[Cause]:
    for name in sorted(set(built) - set(seen)):
        yield _cause(missing, where, f"{name} is not there")
    for name in sorted(set(seen) - set(built)):
        yield _cause("hash-mismatch", f"{where}: {name}", "no job built such a file")
    for name in sorted(set(seen) & set(built)):
        if seen[name] != built[name]:
            told = f"it has sha256 {seen[name][:16]}..., built was {built[name][:16]}..."
            yield _cause("hash-mismatch", f"{where}: {name}", told)


def _released(evidence: Evidence, version: str) -> Iterator[Cause]:
    run = evidence["run"]
    tag = run["push"]["tag"]
    mine = [release for release in evidence["releases"] if release["tag"] == tag]
    where = f"release {tag}"
    if len(mine) != 1:
        others = ", ".join(release["tag"] for release in evidence["releases"]) or "none"
        yield _cause("release-missing", where, f"there are {len(mine)} of it; there are: {others}")
        return
    release = mine[0]
    if release["draft"]:
        yield _cause("release-missing", where, "it is a draft, which only maintainers see")
    if release["prerelease"] != Version(version).is_prerelease:
        yield _cause("release-missing", where, f"prerelease is {release['prerelease']}")
    if not (release["body"] or "").strip():
        yield _cause("release-missing", where, "it has no notes")
    assets = {asset["name"]: asset["sha256"] for asset in release["assets"]}
    yield from _same(where, assets, _built(run), "release-missing")


def _published(evidence: Evidence) -> Iterator[Cause]:
    run, index = evidence["run"], evidence["index"]
    yield from _same("index", index["files"], _built(run), "incomplete-release")
    for line in index["uploads"]:
        told = line["upload"]
        where = f"upload of {told.get('file', 'a file')}"
        if told.get("refused"):
            yield _cause("upload-refused", where, told["refused"])
        elif not told.get("identity"):
            seen = "it was no identity of the workflow that uploaded it"
            yield _cause("publisher-mismatch", where, seen)
        elif wrong := _other_run(told["identity"], run):
            yield _cause("publisher-mismatch", where, wrong)


def _other_run(identity: Evidence, run: Evidence) -> str:
    wanted = {"ref": run["push"]["ref"], "sha": run["push"]["sha"], "run_id": str(run["run_id"])}
    for claim, value in wanted.items():
        if claim in identity and identity[claim] != value:
            return f"the uploader's {claim} is {identity[claim]}, the run's is {value}"
    return ""


TRUTHS: Sequence[tuple[str, str, frozenset[str]]] = (
    (
        "1",
        "Pushing a v*.*.* tag triggers the publish workflow",
        frozenset({"workflow-not-triggered", "workflow-invalid", "untrusted-trigger"}),
    ),
    (
        "2",
        "The workflow builds fresh wheels with cibuildwheel for Windows and Linux",
        frozenset(
            {"build-failed", "wrong-source", "settings-bypassed", "wheel-untested", "job-missing"}
        ),
    ),
    (
        "3",
        "The tag's version is validated against pyproject.toml before publishing",
        frozenset({"version-mismatch", "validation-wrong", "job-order", "failure-ignored"}),
    ),
    (
        "4",
        "Exactly two wheels are validated before publishing",
        frozenset({"incomplete-release", "validation-wrong", "artifact-lost", "job-order"}),
    ),
    (
        "5",
        "A GitHub release is made with notes and the wheels attached",
        frozenset({"release-missing", "release-replaced", "hash-mismatch"}),
    ),
    (
        "6",
        "The wheels are published by trusted publishing, without API tokens",
        frozenset(
            {
                "publisher-mismatch",
                "permission-missing",
                "permissions-widened",
                "token-in-workflow",
                "upload-refused",
            }
        ),
    ),
)
"""The observable truths of the seed report, and the causes that speak against each."""
