"""The release page: what the release job puts there, for a release that validate let pass."""

from __future__ import annotations

import fnmatch
import posixpath
from collections.abc import Iterator, Mapping

from verification.models.cause import Cause
from verification.models.workflow import Step, Workflow
from verification.pipeline import wheel_transfer as wheels
from verification.pipeline.expressions import fill
from verification.pipeline.validate_script import Rehearsal, Release
from verification.rules.catalogue import catalogue

_RELEASE = "softprops/action-gh-release"


def faults(workflow: Workflow, rehearsal: Rehearsal) -> Iterator[Cause]:
    """Yield what the release page would lack: itself, its notes, a wheel."""
    job = workflow.jobs.get("release")
    step = next((s for s in job.steps if s.action == _RELEASE), None) if job else None
    if job is None or step is None:
        return  # told elsewhere: the job, or its step, is missing
    where = f"{workflow.at(step.line)} (release)"
    if step.with_.get("generate_release_notes", "false") != "true":
        seen = "makes a release without notes (generate_release_notes)"
        yield catalogue().cause("release-missing", where=where, seen=seen)
    if step.with_.get("fail_on_unmatched_files", "false") != "true":
        seen = "passes where a wheel is not there to attach (fail_on_unmatched_files)"
        yield catalogue().cause("release-missing", where=where, seen=seen)
    if step.with_.get("draft", "false") != "false":
        seen = "leaves the release a draft, which only maintainers see"
        yield catalogue().cause("release-missing", where=where, seen=seen)
    if step.with_.get("overwrite_files", "true") != "false":
        seen = "replaces files of a release that users may have (overwrite_files)"
        yield catalogue().cause("release-replaced", where=where, seen=seen)
    folder = wheels.folder(job) or "."
    for release, ended in rehearsal.ended:
        if not release.right or ended.code:
            continue
        known = {f"needs.validate.outputs.{key}": value for key, value in ended.outputs.items()}
        known |= {"github.ref_name": release.tag, "github.ref": f"refs/tags/{release.tag}"}
        yield from _page(step, where, release, folder, known)


def _page(
    step: Step, where: str, release: Release, folder: str, known: Mapping[str, str]
) -> Iterator[Cause]:
    tag = fill(step.with_.get("tag_name", release.tag), known).removeprefix("refs/tags/")
    if tag != release.tag:
        seen = f"makes the release of the tag {tag}, not of {release.tag}"
        yield catalogue().cause("release-missing", where=where, seen=seen)
    early = release.version.endswith("rc1")
    told = fill(step.with_.get("prerelease", "false"), known)
    if told != str(early).lower():
        seen = f"marks {release.tag} with `prerelease: {told}`"
        yield catalogue().cause("release-missing", where=where, seen=seen)
    lines = [fill(line.strip(), known) for line in step.with_.get("files", "").split("\n")]
    patterns = [posixpath.normpath(line) for line in lines if line]
    files = [posixpath.normpath(f"{folder}/{name}") for name in release.files]
    for file in files:
        if not any(fnmatch.fnmatchcase(file, pattern) for pattern in patterns):
            seen = f"does not attach {file} ({', '.join(patterns) or 'no files'})"
            yield catalogue().cause("release-missing", where=where, seen=seen)
    for pattern in patterns:
        if not any(fnmatch.fnmatchcase(file, pattern) for file in files):
            seen = f"attaches {pattern}, which is not there"
            yield catalogue().cause("release-missing", where=where, seen=seen)
