"""Faults of the release workflow and of its repository. Only a run of the workflow shows them.

The unit tests of verification/pipeline have the faults that the workflow file alone shows.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest

from containers import workflow_testbed as pipeline
from containers.engine import Engine, Run
from containers.runner.runs import WorkflowFile
from containers.workflow_testbed import IndexSetup, StartingEvent
from tests.faults.recording import FOLDER, SOURCES, path_of, read_pipeline, write_pipeline
from tests.helpers import wheel_builder as wheels
from tests.helpers.release_workflow import PLANNED, PUBLISHERS, calling
from verification.models.cause import Cause
from verification.models.pipeline import PipelineEvidence
from verification.models.publisher import TrustedPublisher
from verification.models.verdict import Verdict
from verification.models.workflow_call import with_called_workflows
from verification.models.workflow_file import load
from verification.pipeline import execution, publishers
from verification.pipeline.triggers import decide
from verification.verdict import verdict_of_causes

ROOT = Path(__file__).parents[2]
WORKFLOW = ".github/workflows/publish.yml"
SOURCE = "bindings/python"
REGISTERED = publishers.load(PUBLISHERS)

JudgedRun = tuple[tuple[Cause, ...], PipelineEvidence]
PushTag = Callable[..., JudgedRun]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Let a test that is marked `recorded` judge its recording, if there is one.

    `./e2e test --record-evidence tests/faults/test_pipeline_faults.py` writes missing recordings.
    A test without a recording runs the workflow.
    """
    recorded, on_machines = SOURCES
    path = FOLDER / Path(__file__).stem / f"{metafunc.function.__name__}.json.gz"
    if metafunc.definition.get_closest_marker("recorded") and path.is_file():
        sources = [recorded, pytest.param(on_machines, marks=pytest.mark.long)]
        metafunc.parametrize("push_tag", sources, indirect=True)


@pytest.fixture
def push_tag(request: pytest.FixtureRequest, tmp_path: Path) -> PushTag:
    """Return a function that runs a changed workflow or source by pushing a tag to its repository.

    The function returns the causes and the evidence of the run.
    """

    def push(
        *edits: tuple[str, str],
        tag: str = "v0.5.0",
        version: str = "0.5.0",
        workflow: str = WORKFLOW,
        source: Path | None = None,
        annotated: bool = True,
        store: Sequence[Path] = (),
        called: Mapping[str, str] | None = None,
        registered: Sequence[TrustedPublisher] = REGISTERED,
    ) -> JudgedRun:
        text = (ROOT / WORKFLOW).read_text("utf-8")
        for old, new in edits:
            assert old in text, f"the workflow does not contain {old!r}"
            text = text.replace(old, new)
        files = {workflow: text} | {
            f".github/workflows/{name}": inner for name, inner in (called or {}).items()
        }
        (tmp_path / workflow).parent.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            (tmp_path / name).write_text(content, "utf-8")
        overlays = {name: tmp_path / name for name in files}
        overlays |= {SOURCE: source} if source else {}
        parsed = with_called_workflows(load(tmp_path / workflow), tmp_path)
        tag_push = StartingEvent(root=ROOT, tags=(tag,), annotated=annotated, overlays=overlays)
        setup = IndexSetup(publishers=tuple(registered), files=tuple(store))

        def diagnose(observed: PipelineEvidence) -> tuple[Cause, ...]:
            return execution.diagnose_pipeline(
                observed, {observed.run.workflow: parsed}, PLANNED, version=version
            )

        if getattr(request, "param", "") == SOURCES[0]:
            evidence = read_pipeline(path_of(request.node))
        else:
            evidence = _run(request, tag_push, WorkflowFile(path=workflow), setup, diagnose)
        return diagnose(evidence), evidence

    return push


def _run(
    request: pytest.FixtureRequest,
    tag_push: StartingEvent,
    file: WorkflowFile,
    setup: IndexSetup,
    diagnose: Callable[[PipelineEvidence], Sequence[Cause]],
) -> PipelineEvidence:
    """Run the workflow, and write a recording if the test has one."""
    engine: Engine = request.getfixturevalue("container_engine")
    run: Run = request.getfixturevalue("run")
    with pipeline.start(engine, run, tag_push, file, setup, decide) as testbed:
        (result,) = testbed.start()
        evidence = testbed.evidence(result, "quiverdb")
        hosts = testbed.hosts
    record = request.config.getoption("--record-evidence")
    if record and request.node.get_closest_marker("recorded"):
        path = path_of(request.node)
        write_pipeline(path, evidence, hosts)
        names = [_names(diagnose(observed)) for observed in (evidence, read_pipeline(path))]
        assert names[0] == names[1], "the recording has another diagnosis than the run"
    return evidence


def _names(causes: Sequence[Cause]) -> list[str]:
    return [cause.name for cause in causes]


def _log(evidence: PipelineEvidence, job: str) -> str:
    failing = [run.failed_step for run in evidence.run.job_runs(job)]
    return "\n".join(line for step in failing if step for line in step.log)


@pytest.mark.recorded
def test_tag_of_another_version_stops_at_validate(push_tag: PushTag) -> None:
    causes, evidence = push_tag(tag="v9.9.9")

    assert _names(causes) == ["version-mismatch"]
    assert causes[0].facts["job"] == "validate"
    assert "v9.9.9" in causes[0].message
    assert "0.5.0" in causes[0].message
    assert "v9.9.9" in _log(evidence, "validate"), "the log of the failed step is in the evidence"
    assert evidence.index.files == {}
    assert evidence.releases == ()


@pytest.mark.long
def test_unregistered_environment_is_refused_by_the_index(push_tag: PushTag) -> None:
    causes, evidence = push_tag(("environment: pypi", "environment: production"))

    assert _names(causes) == ["publisher-mismatch"]
    assert "invalid-publisher" in causes[0].message
    assert evidence.index.files == {}


@pytest.mark.recorded
def test_job_without_the_permission_gets_no_identity(push_tag: PushTag) -> None:
    causes, evidence = push_tag(("id-token: write", "contents: read"))

    assert _names(causes) == ["permission-missing"]
    assert causes[0].facts["job"] == "publish"
    assert evidence.index.files == {}


@pytest.mark.long
def test_renamed_workflow_is_another_publisher(push_tag: PushTag) -> None:
    causes, evidence = push_tag(workflow=".github/workflows/release.yml")

    assert _names(causes) == ["publisher-mismatch"]
    assert evidence.index.files == {}


@pytest.mark.recorded
def test_release_job_without_write_permission_makes_no_release(push_tag: PushTag) -> None:
    causes, evidence = push_tag(("contents: write # to create", "contents: read # to create"))

    assert _names(causes) == ["release-missing"]
    assert "Resource not accessible by integration" in causes[0].message
    assert evidence.releases == ()
    assert len(evidence.index.files) == 2, "the job publish does not wait for the release"


@pytest.mark.recorded
def test_artifacts_with_the_same_name_collide(push_tag: PushTag) -> None:
    causes, evidence = push_tag(("name: wheel-${{ matrix.os }}", "name: wheel"))

    assert _names(causes) == ["artifact-lost"]
    assert {cause.facts["job"] for cause in causes} == {"build"}
    assert evidence.index.files == {}


KEEP = "      - name: Keep the wheel\n"


@pytest.mark.recorded
def test_upload_of_each_system_is_no_fault(push_tag: PushTag) -> None:
    name = "name: wheel-${{ matrix.os }}\n          path: wheelhouse/*.whl\n"
    upload = "uses: actions/upload-artifact@bbbca2ddaa5d8feaa63e36b76fdaad77386f024f"
    windows = f"{KEEP}        if: runner.os == 'Windows'\n        {upload}\n"
    causes, evidence = push_tag(
        (KEEP, f"{windows}        with: {{name: windows, path: wheelhouse/*}}\n{KEEP}"),
        (f"{KEEP}        uses", f"{KEEP}        if: runner.os == 'Linux'\n        uses"),
        (name, name.replace("matrix.os", "runner.os")),
        ("pattern: wheel-*", "pattern: w*"),
    )

    assert _names(causes) == []
    names = [artifact.name for artifact in evidence.run.artifacts]
    assert sorted(names) == ["dist", "wheel-Linux", "windows"]


@pytest.mark.recorded
def test_upload_on_linux_alone_loses_the_wheel_for_windows(push_tag: PushTag) -> None:
    causes, evidence = push_tag((KEEP, f"{KEEP}        if: runner.os == 'Linux'\n"))

    assert _names(causes) == ["job-failed"]
    assert causes[0].facts["job"] == "validate"
    names = [artifact.name for artifact in evidence.run.artifacts]
    assert sorted(names) == ["dist", "wheel-ubuntu-latest"]
    assert evidence.index.files == {}


@pytest.mark.recorded
def test_job_that_does_not_wait_starts_too_early(push_tag: PushTag) -> None:
    rest = "    runs-on: ubuntu-latest\n    timeout-minutes: 10\n    environment"
    causes, _ = push_tag((f"    needs: validate\n{rest}", rest))

    assert set(_names(causes)) <= {"job-order", "artifact-lost"}
    assert "publish" in {cause.facts["job"] for cause in causes if cause.name == "job-order"}


@pytest.mark.recorded
def test_release_that_waits_for_publishing_is_no_fault(push_tag: PushTag) -> None:
    old = "    name: Create the GitHub release\n    needs: validate\n"
    causes, _ = push_tag((old, old.replace("needs: validate", "needs: [validate, publish]")))

    assert _names(causes) == []


def test_tag_that_does_not_match_the_filter_starts_nothing(push_tag: PushTag) -> None:
    causes, evidence = push_tag(('tags: ["v*.*.*"]', 'tags: ["V*.*.*"]'))

    assert _names(causes) == ["workflow-not-triggered"]
    assert all(job.result == "not run" for job in evidence.run.jobs)


@pytest.mark.recorded
def test_condition_that_is_never_true_skips_its_job(push_tag: PushTag) -> None:
    old = "    name: Create the GitHub release\n"
    causes, evidence = push_tag((old, f"{old}    if: github.ref == 'refs/heads/main'\n"))

    assert [(cause.name, cause.severity) for cause in causes] == [("release-missing", "flawed")]
    assert evidence.releases == ()


@pytest.mark.long
def test_lightweight_tag_is_reported(push_tag: PushTag) -> None:
    causes, evidence = push_tag(annotated=False)

    assert _names(causes) == ["lightweight-tag"]
    assert len(evidence.index.files) == 2


@pytest.mark.recorded
def test_published_file_with_other_bytes_is_not_replaced(
    push_tag: PushTag, good_wheel: Path, tmp_path: Path
) -> None:
    """An earlier run published one wheel and failed. The wheel was built again."""
    other = wheels.mutate(good_wheel, tmp_path, add={"quiverdb/late.py": "LATE = True\n"})
    causes, evidence = push_tag(store=[other], registered=_active())

    assert _names(causes) == ["upload-refused"]
    messages = " ".join(cause.message for cause in causes)
    assert "File already exists" in messages + _log(evidence, "publish")


@pytest.mark.long
def test_published_file_with_the_same_bytes_is_no_fault(
    push_tag: PushTag, good_wheel: Path
) -> None:
    """An earlier run was interrupted and is repeated."""
    causes, evidence = push_tag(store=[good_wheel], registered=_active())

    assert _names(causes) == []
    assert len(evidence.index.files) == 2


@pytest.mark.long
def test_published_file_with_other_bytes_is_skipped_with_skip_existing(
    push_tag: PushTag, good_wheel: Path, tmp_path: Path
) -> None:
    """test_action_inputs.py has the rule for this input."""
    other = wheels.mutate(good_wheel, tmp_path, add={"quiverdb/late.py": "LATE = True\n"})
    skip = (TO_PUBLISH, f"{TO_PUBLISH}\n          skip_existing: true")
    _, evidence = push_tag(skip, store=[other], registered=_active())

    assert [run.result for run in evidence.run.job_runs("publish")] == ["success"]
    assert len(evidence.index.files) == 2
    assert not evidence.run.unsupported


def _active() -> tuple[TrustedPublisher, ...]:
    return tuple(publisher.model_copy(update={"pending": False}) for publisher in REGISTERED)


TO_PUBLISH = "packages-dir: dist"


@pytest.mark.long
@pytest.mark.parametrize("name", ["packages_dir", "Packages-Dir"])
def test_missing_folder_is_not_published(push_tag: PushTag, name: str) -> None:
    """The input packages-dir is written in an older form, or in upper case."""
    causes, evidence = push_tag((TO_PUBLISH, f"{name}: wheels"))

    assert _names(causes) == ["upload-refused"]
    assert "wheels/*" in _log(evidence, "publish")
    assert evidence.index.files == {}


@pytest.mark.long
def test_older_name_of_an_input_is_no_fault(push_tag: PushTag) -> None:
    causes, evidence = push_tag((TO_PUBLISH, "packages_dir: dist"))

    assert _names(causes) == []
    assert len(evidence.index.files) == 2


@pytest.mark.long
@pytest.mark.parametrize(
    ("old", "added"),
    [
        ("generate_release_notes: true", "discussion_category_name: News"),
        ("persist-credentials: false", "ssh-key: x"),
    ],
)
def test_input_that_a_stand_in_lacks_is_a_testbed_failure(
    push_tag: PushTag, old: str, added: str
) -> None:
    causes, _ = push_tag((old, f"{old}\n          {added}"))

    assert _names(causes) == ["stand-in-limited"]
    assert verdict_of_causes(causes, strict=True) is Verdict.TESTBED


@pytest.mark.long
def test_unregistered_called_workflow_is_refused_by_the_index(push_tag: PushTag) -> None:
    any_environment = [publisher.model_copy(update={"environment": ""}) for publisher in REGISTERED]
    causes, evidence = push_tag(called=calling(), registered=any_environment)

    assert _names(causes) == ["publisher-mismatch"]
    assert "invalid-publisher" in causes[0].message
    (claims,) = (token.claims for token in evidence.tokens if token.claims)
    assert ".github/workflows/upload.yml@refs/tags/v0.5.0" in str(claims["job_workflow_ref"])
    assert ".github/workflows/publish.yml@refs/tags/v0.5.0" in str(claims["workflow_ref"])
    assert evidence.index.files == {}


@pytest.mark.long
@pytest.mark.parametrize(("attests", "expected"), [("false", []), ("true", ["upload-refused"])])
def test_registered_called_workflow_publishes_only_without_attestations(
    push_tag: PushTag, attests: str, expected: list[str]
) -> None:
    files = calling(job="upload")
    files["upload.yml"] = files["upload.yml"].replace(
        TO_PUBLISH, f"{TO_PUBLISH}\n          attestations: {attests}"
    )
    registered = [
        publisher.model_copy(update={"workflow": "upload.yml"}) for publisher in REGISTERED
    ]
    causes, evidence = push_tag(called=files, registered=registered)

    assert _names(causes) == expected
    assert len(evidence.index.files) == (0 if expected else 2)


@pytest.mark.long
def test_pre_release_has_its_mark_and_its_complete_version(
    push_tag: PushTag, tmp_path: Path
) -> None:
    source = tmp_path / "python"
    shutil.copytree(ROOT / SOURCE, source)
    project = source / "pyproject.toml"
    project.write_text(project.read_text("utf-8").replace('"0.5.0"', '"0.5.0rc1"', 1), "utf-8")
    causes, evidence = push_tag(tag="v0.5.0rc1", version="0.5.0rc1", source=source)

    assert _names(causes) == []
    (release,) = evidence.releases
    assert release.prerelease
    assert all("-0.5.0rc1-" in name for name in evidence.index.files)
