"""The pipeline's part of the verification: its causes, and what they say of each claim."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

from verification.models.cause import Cause
from verification.pipeline.execution import TRUTHS, side_by_side
from verification.verdict import Verdict, judge

# Causes that are about who publishes; they decide the item of the registered publisher.
PUBLISHER = frozenset(
    {
        "publisher-mismatch",
        "permission-missing",
        "permissions-widened",
        "token-in-workflow",
        "upload-refused",
    }
)
_OF_THE_FILE = frozenset(
    {"workflow-invalid", "workflow-not-triggered", "job-missing", "job-skipped", "step-missing"}
)
_OF_THE_SETTINGS = frozenset({"build-failed", "settings-bypassed", "wheel-untested"})


@dataclasses.dataclass(frozen=True)
class Piped:
    """A run of the release workflow: its evidence, and all causes, of the file and of the run."""

    evidence: Mapping[str, Any]
    static: tuple[Cause, ...]
    dynamic: tuple[Cause, ...]
    live: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """What the live index tells of the last release's publisher (`provenance.check`)."""

    @property
    def causes(self) -> tuple[Cause, ...]:
        """All of them, of the file first."""
        return (*self.static, *self.dynamic)

    def truths(self, *, strict: bool) -> dict[str, dict[str, str]]:
        """Return each observable truth of the seed report with its verdict and its evidence."""
        found = {}
        for number, title, against in TRUTHS:
            speak = [cause for cause in self.causes if cause.name in against]
            reached = self._reached(number)
            verdict = judge(speak, strict=strict)
            if verdict is Verdict.VERIFIED and not reached:
                verdict = Verdict.UNVERIFIED
            told = (
                "; ".join(str(cause) for cause in speak) or reached or "the run did not get there"
            )
            found[number] = {"title": title, "verdict": str(verdict), "evidence": told}
        return found

    def _reached(self, number: str) -> str:
        """Return what the run itself showed of a truth; empty if it did not get that far."""
        run = self.evidence["run"]
        passed = {job["id"] for job in run["jobs"] if job["result"] == "success"}
        files = ", ".join(sorted(wheel["name"] for wheel in run["wheels"]))
        tag = run["push"]["tag"]
        match number:
            case "1":
                return f"{tag} was pushed: {run['decision']}" if run["triggered"] else ""
            case "2":
                return f"built: {files}" if len(run["wheels"]) > 1 and "build" in passed else ""
            case "3":
                return f"validate passed {tag}" if "validate" in passed else ""
            case "4":
                return f"validate passed with {files}" if "validate" in passed else ""
            case "5":
                assets = [a["name"] for r in self.evidence["releases"] for a in r["assets"]]
                return f"the release has {', '.join(sorted(assets))}" if assets else ""
            case _:
                names = self.evidence["index"]["files"]
                return f"by identity: {', '.join(sorted(names))}" if names else ""

    def to_dict(self, *, strict: bool) -> dict[str, Any]:
        """Return what the report tells of the pipeline; the logs are in a file of their own."""
        run = self.evidence["run"]
        return {
            "tag": run["push"]["tag"],
            "annotated": run["push"]["annotated"],
            "commit": run["push"]["sha"],
            "source": run["push"]["source"],
            "result": run["result"],
            "seconds": round(run["seconds"], 1),
            "truths": self.truths(strict=strict),
            "jobs": [_job(job) for job in run["jobs"]],
            "side_by_side": side_by_side(run, "release", "publish"),
            "wheels": run["wheels"],
            "merged": run["artifacts"],
            "artifacts": self._artifacts(strict=strict),
            "links": self._links(strict=strict),
            "releases": [
                {key: release[key] for key in ("tag", "prerelease", "draft", "assets")}
                for release in self.evidence["releases"]
            ],
            "index": self.evidence["index"]["files"],
            "actions": run["actions"],
            "stand_ins": run["stand_ins"],
            "act": run["act"],
        }

    def _row(self, against: frozenset[str], evidence: str, *, strict: bool) -> dict[str, str]:
        speak = [cause for cause in self.causes if cause.name in against]
        verdict = judge(speak, strict=strict)
        if verdict is Verdict.VERIFIED and not evidence:
            verdict = Verdict.UNVERIFIED
        told = "; ".join(map(str, speak)) or evidence or "the run did not get there"
        return {"verdict": str(verdict), "evidence": told}

    def _artifacts(self, *, strict: bool) -> list[dict[str, str]]:
        """Return the rows of the seed report's artifacts."""
        run = self.evidence["run"]
        jobs = ", ".join(dict.fromkeys(job["id"] for job in run["jobs"]))
        fresh = ", ".join(sorted(wheel["name"] for wheel in run["wheels"]))
        return [
            {"artifact": ".github/workflows/publish.yml"}
            | self._row(_OF_THE_FILE, f"executed: {jobs}" if jobs else "", strict=strict),
            {"artifact": "bindings/python/pyproject.toml"}
            | self._row(
                _OF_THE_SETTINGS, f"by its settings: {fresh}" if fresh else "", strict=strict
            ),
        ]

    def _links(self, *, strict: bool) -> list[dict[str, str]]:
        """Return the rows of the seed report's key links; each goes with one of the truths."""
        truths = self.truths(strict=strict)
        return [
            {"from": f"publish.yml {job} job", "to": to, "via": via}
            | {key: truths[number][key] for key in ("verdict", "evidence")}
            for job, to, via, number in (
                ("validate", "bindings/python/pyproject.toml", "tomllib version extraction", "3"),
                ("publish", "PyPI", "OIDC trusted publishing", "6"),
                ("release", "GitHub Releases", "softprops/action-gh-release", "5"),
            )
        ]

    def publisher(self) -> dict[str, Any]:
        """Return what was proved of the registered publisher, and what cannot be proved here."""
        exchanges = [line["oidc"] for line in self.evidence["index"]["exchanges"]]
        accepted = [told for told in exchanges if "code" not in told and "identity" in told]
        proved = [
            f"the index took the identity {told['identity'].get('publisher')} for "
            f"{', '.join(told['projects'])}"
            for told in accepted
        ]
        uploads = [line["upload"] for line in self.evidence["index"]["uploads"]]
        proved += [
            f"{told['file']} was uploaded by that identity and by nothing else"
            for told in uploads
            if told.get("identity") and not told.get("refused")
        ]
        return {
            "registered": "verification/subjects/quiverdb/publishers.toml",
            "refused": [f"{t['code']}: {t['description']}" for t in exchanges if "code" in t],
            "proved": proved,
            "live": dict(self.live),
            "not_provable": [
                "that the live index has this registration: nobody but its owner can see it; the "
                "provenance of a published release tells which one was used",
                "who owns the repository: the registration here has a stand-in for the owner",
            ],
        }


def _job(job: Mapping[str, Any]) -> dict[str, Any]:
    told = {key: job[key] for key in ("id", "name", "label", "needs", "result", "reason")}
    failing = next((step for step in job["steps"] if step["result"] == "failure"), None)
    return told | {
        "start": job["started"],
        "end": job["ended"],
        "failing_step": failing["name"] if failing else None,
        "log": list(failing["log"][-40:]) if failing else [],
    }


def of_publisher(causes: Iterable[Cause]) -> list[Cause]:
    """Return those of the pipeline's causes that decide the publisher's item as well."""
    return [c for c in causes if c.name in PUBLISHER or c.severity == "testbed"]
