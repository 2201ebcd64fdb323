"""Mutants of the release workflow and of the repository, executed: each is caught by its name.

Those that can be seen in the file alone are in tests/unit/test_pipeline_policy.py.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest

from containers import workflow_testbed as pipeline
from containers.engine import Engine, Run
from containers.runner.runs import WorkflowFile
from containers.workflow_testbed import IndexSetup, TagPush
from tests.helpers import wheel_builder as wheels
from tests.helpers.release_workflow import PLANNED, PUBLISHERS, calling
from verification.models.cause import Cause
from verification.models.pipeline import PipelineEvidence
from verification.models.publisher import TrustedPublisher
from verification.models.verdict import Verdict
from verification.pipeline import execution, publishers
from verification.pipeline.triggers import decide
from verification.verdict import of_causes

ROOT = Path(__file__).parents[2]
WORKFLOW = ".github/workflows/publish.yml"
SOURCE = "bindings/python"
REGISTERED = publishers.load(PUBLISHERS)

Ran = tuple[tuple[Cause, ...], PipelineEvidence]
Push = Callable[..., Ran]


@pytest.fixture
def push(found: Engine, run: Run, tmp_path: Path) -> Push:
    """Return the way to push a tag to a repository with a mutant of its workflow or source."""

    def pushed(
        *edits: tuple[str, str],
        tag: str = "v0.5.0",
        version: str = "0.5.0",
        workflow: str = WORKFLOW,
        source: Path | None = None,
        annotated: bool = True,
        store: Sequence[Path] = (),
        called: Mapping[str, str] | None = None,
        registered: Sequence[TrustedPublisher] = REGISTERED,
    ) -> Ran:
        text = (ROOT / WORKFLOW).read_text("utf-8")
        for old, new in edits:
            assert old in text, f"the workflow has no {old!r} to change"
            text = text.replace(old, new)
        mutant = tmp_path / "mutant.yml"
        mutant.write_text(text, "utf-8")
        overlays = {workflow: mutant} | ({SOURCE: source} if source else {})
        for name, text in (called or {}).items():
            overlays[f".github/workflows/{name}"] = tmp_path / name
            (tmp_path / name).write_text(text, "utf-8")
        pushed = TagPush(root=ROOT, tags=(tag,), annotated=annotated, overlays=overlays)
        setup = IndexSetup(publishers=tuple(registered), files=tuple(store))
        with pipeline.start(found, run, pushed, WorkflowFile(path=workflow), setup, decide) as pipe:
            (shown,) = pipe.start()
            evidence = pipe.evidence(shown, "quiverdb")
        return execution.diagnose_pipeline(evidence, PLANNED, version=version), evidence

    return pushed


def _names(causes: Sequence[Cause]) -> list[str]:
    return [cause.name for cause in causes]


def _log(evidence: PipelineEvidence, job: str) -> str:
    failing = [run.failing for run in evidence.run.job(job)]
    return "\n".join(line for step in failing if step for line in step.log)


def test_a_tag_of_another_version_stops_at_validate(push: Push) -> None:
    causes, evidence = push(tag="v9.9.9")

    assert _names(causes) == ["version-mismatch"]
    assert "step Compare tag, version and wheels" in causes[0].where
    assert "the tag is v9.9.9, and bindings/python/pyproject.toml has 0.5.0" in causes[0].message
    assert "v9.9.9" in _log(evidence, "validate"), "the log of the failed step is kept"
    assert evidence.index.files == {}, "nothing was published"
    assert evidence.releases == ()


@pytest.mark.long
def test_another_environment_than_the_registered_one_is_refused_by_the_index(push: Push) -> None:
    causes, evidence = push(("environment: pypi", "environment: production"))

    assert _names(causes) == ["publisher-mismatch"]
    assert "invalid-publisher" in causes[0].message
    assert evidence.index.files == {}


def test_a_job_without_the_permission_gets_no_identity(push: Push) -> None:
    causes, evidence = push(("id-token: write", "contents: read"))

    assert _names(causes) == ["permission-missing"]
    assert causes[0].where.startswith("job Publish to the package index: step Publish")
    assert evidence.index.files == {}


@pytest.mark.long
def test_a_renamed_workflow_is_another_publisher(push: Push) -> None:
    causes, evidence = push(workflow=".github/workflows/release.yml")

    assert _names(causes) == ["publisher-mismatch"]
    assert evidence.index.files == {}


def test_a_release_job_without_write_permission_makes_no_release(push: Push) -> None:
    causes, evidence = push(("contents: write # to create", "contents: read # to create"))

    assert _names(causes) == ["release-missing"]
    assert "Resource not accessible by integration" in causes[0].message
    assert evidence.releases == ()
    assert len(evidence.index.files) == 2, "publish does not wait for the release"


def test_artifacts_of_one_name_collide(push: Push) -> None:
    causes, evidence = push(("name: wheel-${{ matrix.os }}", "name: wheel"))

    assert _names(causes) == ["artifact-lost"]
    assert "step Keep the wheel" in " ".join(cause.where for cause in causes)
    assert evidence.index.files == {}


def test_a_job_that_does_not_wait_begins_too_early(push: Push) -> None:
    causes, _ = push(("    needs: validate\n    runs-on: ubuntu-latest\n    timeout-minutes: 10\n"
                      "    environment", "    runs-on: ubuntu-latest\n    timeout-minutes: 10\n"
                      "    environment"))  # fmt: skip

    assert set(_names(causes)) <= {"job-order", "artifact-lost"}
    assert "job publish" in {cause.where for cause in causes if cause.name == "job-order"}


def test_a_release_that_waits_for_publishing_is_out_of_order(push: Push) -> None:
    old = "    name: Create the GitHub release\n    needs: validate\n"
    causes, _ = push((old, old.replace("needs: validate", "needs: [validate, publish]")))

    assert _names(causes) == ["job-order"]
    assert (causes[0].where, "it waited for publish" in causes[0].message) == ("job release", True)


def test_a_tag_that_the_filter_does_not_know_starts_nothing(push: Push) -> None:
    causes, evidence = push(('tags: ["v*.*.*"]', 'tags: ["V*.*.*"]'))

    assert _names(causes) == ["workflow-not-triggered"]
    assert all(job.result == "not run" for job in evidence.run.jobs)


def test_a_condition_that_is_never_true_leaves_its_job_out(push: Push) -> None:
    old = "    name: Create the GitHub release\n"
    causes, evidence = push((old, f"{old}    if: github.ref == 'refs/heads/main'\n"))

    assert "job-skipped" in _names(causes)
    assert "release-missing" in _names(causes)
    assert evidence.releases == ()


@pytest.mark.long
def test_a_lightweight_tag_is_told(push: Push) -> None:
    causes, evidence = push(annotated=False)

    assert _names(causes) == ["lightweight-tag"]
    assert len(evidence.index.files) == 2


def test_a_file_of_that_name_with_other_bytes_is_not_replaced(
    push: Push, good_wheel: Path, tmp_path: Path
) -> None:
    """A release that went wrong midway: one wheel was published, and then built anew."""
    other = wheels.mutate(good_wheel, tmp_path, add={"quiverdb/late.py": "LATE = True\n"})
    causes, evidence = push(store=[other], registered=_active())

    assert _names(causes) == ["upload-refused"]
    assert "File already exists" in " ".join(map(str, causes)) + _log(evidence, "publish")


@pytest.mark.long
def test_a_file_that_is_there_already_is_no_fault(push: Push, good_wheel: Path) -> None:
    """A release that was interrupted midway, and run again."""
    causes, evidence = push(store=[good_wheel], registered=_active())

    assert _names(causes) == []
    assert len(evidence.index.files) == 2


def _active() -> tuple[TrustedPublisher, ...]:
    return tuple(one.model_copy(update={"pending": False}) for one in REGISTERED)


TO_PUBLISH = "packages-dir: dist"


@pytest.mark.long
@pytest.mark.parametrize("name", ["packages_dir", "Packages-Dir"])
def test_a_folder_that_is_not_there_is_not_published(push: Push, name: str) -> None:
    """The older name of the input, and another case: static siblings in test_action_inputs.py."""
    causes, evidence = push((TO_PUBLISH, f"{name}: wheels"))

    assert _names(causes) == ["upload-refused"]
    assert "wheels/*" in _log(evidence, "publish")
    assert evidence.index.files == {}


@pytest.mark.long
def test_the_older_name_of_an_input_is_no_fault(push: Push) -> None:
    causes, evidence = push((TO_PUBLISH, "packages_dir: dist"))

    assert _names(causes) == []
    assert len(evidence.index.files) == 2


@pytest.mark.long
@pytest.mark.parametrize(
    ("old", "more"),
    [
        ("generate_release_notes: true", "previous_tag: v0.4.0"),
        # The rule for it is static: see test_action_inputs.py.
        (TO_PUBLISH, "skip_existing: true"),
    ],
)
def test_what_a_stand_in_cannot_do_is_the_testbed_s_failure(
    push: Push, old: str, more: str
) -> None:
    causes, _ = push((old, f"{old}\n          {more}"))

    assert _names(causes) == ["stand-in-limited"]
    assert of_causes(causes, strict=True) is Verdict.TESTBED


@pytest.mark.long
def test_a_called_workflow_that_is_not_registered_may_not_publish(push: Push) -> None:
    any_environment = [one.model_copy(update={"environment": ""}) for one in REGISTERED]
    causes, evidence = push(called=calling(), registered=any_environment)

    assert _names(causes) == ["publisher-mismatch"]
    assert "invalid-publisher" in causes[0].message
    (claims,) = (token.claims for token in evidence.tokens if token.claims)
    assert ".github/workflows/upload.yml@refs/tags/v0.5.0" in str(claims["job_workflow_ref"])
    assert ".github/workflows/publish.yml@refs/tags/v0.5.0" in str(claims["workflow_ref"])
    assert evidence.index.files == {}


@pytest.mark.long
@pytest.mark.parametrize(("attests", "expected"), [("false", []), ("true", ["upload-refused"])])
def test_a_called_workflow_that_is_registered_publishes_without_attestations(
    push: Push, attests: str, expected: list[str]
) -> None:
    files = calling(job="upload")
    files["upload.yml"] = files["upload.yml"].replace(
        TO_PUBLISH, f"{TO_PUBLISH}\n          attestations: {attests}"
    )
    registered = [one.model_copy(update={"workflow": "upload.yml"}) for one in REGISTERED]
    causes, evidence = push(called=files, registered=registered)

    assert _names(causes) == expected
    assert len(evidence.index.files) == (0 if expected else 2)


@pytest.mark.long
def test_a_pre_release_is_marked_as_one_and_says_its_whole_version(
    push: Push, tmp_path: Path
) -> None:
    source = tmp_path / "python"
    shutil.copytree(ROOT / SOURCE, source)
    project = source / "pyproject.toml"
    project.write_text(project.read_text("utf-8").replace('"0.5.0"', '"0.5.0rc1"', 1), "utf-8")
    causes, evidence = push(tag="v0.5.0rc1", version="0.5.0rc1", source=source)

    assert _names(causes) == []
    (release,) = evidence.releases
    assert release.prerelease
    assert all("-0.5.0rc1-" in name for name in evidence.index.files)
