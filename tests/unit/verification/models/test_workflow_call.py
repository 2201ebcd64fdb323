from __future__ import annotations

from pathlib import Path

import pytest

from verification.models.workflow import BadWorkflow, Workflow
from verification.models.workflow_call import with_called_workflows
from verification.models.workflow_file import load

WORKFLOWS = ".github/workflows"
CALLER = """\
on: push
jobs:
  build: {runs-on: a, permissions: {contents: read}, steps: [{run: a}]}
  publish:
    needs: build
    permissions: {id-token: write, contents: read}
    uses: USES
"""
CALLED = """\
on: workflow_call
jobs:
  publish: {runs-on: a, permissions: {id-token: write}, steps: [{run: a}]}
  report: {runs-on: a, steps: [{run: a}]}
"""
LOCAL = f"./{WORKFLOWS}/upload.yml"
REMOTE = f"x/y/{WORKFLOWS}/upload.yml"


def write(root: Path, name: str, text: str) -> Path:
    path = root / WORKFLOWS / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")
    return path


def loaded(root: Path, uses: str = LOCAL, caller: str = CALLER, **called: str) -> Workflow:
    path = write(root, "publish.yml", caller.replace("USES", uses))
    for name, text in called.items():
        write(root, f"{name}.yml", text)
    return with_called_workflows(
        load(path), root, lambda repository, _: root / "checkouts" / repository
    )


def test_the_jobs_of_a_called_workflow_replace_its_call(tmp_path: Path) -> None:
    workflow = loaded(tmp_path, upload=CALLED)

    running = workflow.running_jobs
    assert [(run.id, run.job.id) for run in running] == [
        ("build", "build"),
        ("publish", "publish"),
        ("publish", "report"),
    ]
    assert [run.workflow.path.name for run in running] == [
        "publish.yml",
        "upload.yml",
        "upload.yml",
    ]
    assert [caller.id for caller in running[1].callers] == ["publish"]
    assert tuple(run for run in running if run.id == "publish") == running[1:]
    assert [file.path.name for file in workflow.files] == ["publish.yml", "upload.yml"]


def test_a_job_without_permissions_has_those_of_its_caller(tmp_path: Path) -> None:
    _, publish, report = loaded(tmp_path, upload=CALLED).running_jobs

    assert publish.job.permissions == {"id-token": "write"}
    assert report.job.permissions == {"id-token": "write", "contents": "read"}
    assert report.job.permissions_from == "job"


def test_calls_can_be_nested(tmp_path: Path) -> None:
    outer = CALLED.replace("{runs-on: a, steps: [{run: a}]}", f"{{uses: ./{WORKFLOWS}/deep.yml}}")
    inner = "on: workflow_call\njobs: {last: {runs-on: a, steps: [{run: a}]}}"
    workflow = loaded(tmp_path, upload=outer, deep=inner)

    last = workflow.running_jobs[-1]
    assert (last.id, last.job.id) == ("publish", "last")
    assert [caller.id for caller in last.callers] == ["publish", "report"]
    assert [file.path.name for file in workflow.files] == [
        "publish.yml",
        "upload.yml",
        "deep.yml",
    ]


@pytest.mark.parametrize(
    ("ref", "full"),
    [
        ("main", "refs/heads/main"),
        ("v1", "refs/tags/v1"),
        ("1.0", "refs/tags/1.0"),
        ("refs/heads/v1", "refs/heads/v1"),
        ("a" * 40, "a" * 40),
    ],
)
def test_a_workflow_of_another_repository_has_its_origin(
    tmp_path: Path, ref: str, full: str
) -> None:
    write(tmp_path / "checkouts" / "x" / "y", "upload.yml", CALLED)
    workflow = loaded(tmp_path, f"{REMOTE}@{ref}")

    assert workflow.running_jobs[1].workflow.origin == f"{REMOTE}@{full}"
    assert [file.path.name for file in workflow.files] == ["publish.yml"]


def test_a_local_call_in_another_repository_belongs_to_that_repository(tmp_path: Path) -> None:
    checkout = tmp_path / "checkouts" / "x" / "y"
    outer = f"on: workflow_call\njobs: {{one: {{uses: ./{WORKFLOWS}/deep.yml}}}}"
    inner = "on: workflow_call\njobs: {two: {runs-on: a, steps: [{run: a}]}}"
    write(checkout, "upload.yml", outer)
    write(checkout, "deep.yml", inner)
    workflow = loaded(tmp_path, f"{REMOTE}@v1")

    deep = workflow.running_jobs[-1].workflow
    assert deep.origin == f"x/y/{WORKFLOWS}/deep.yml@refs/tags/v1"


def test_a_call_of_an_unavailable_workflow_stays_in_the_list(tmp_path: Path) -> None:
    path = write(tmp_path, "publish.yml", CALLER.replace("USES", f"{REMOTE}@v1"))
    workflow = with_called_workflows(load(path), tmp_path)

    last = workflow.running_jobs[-1]
    assert (last.id, last.job.uses, last.callers) == ("publish", f"{REMOTE}@v1", ())


@pytest.mark.parametrize(
    ("uses", "called", "data"),
    [
        (LOCAL, {}, r"/upload\.yml: "),
        ("upload.yml", {}, r"/publish\.yml:4: `uses: upload\.yml`"),
        (
            LOCAL,
            {"upload": CALLED.replace("workflow_call", "push")},
            r"/publish\.yml:4: .*'publish'.*upload\.yml.*`workflow_call`",
        ),
        (
            LOCAL,
            {"upload": CALLED.replace("id-token: write", "contents: write")},
            r"/upload\.yml:3: .*'publish'.*contents: write.*'publish'",
        ),
        (
            LOCAL,
            {"upload": f"on: workflow_call\njobs: {{a: {{uses: {LOCAL}}}}}"},
            r"/upload\.yml:2: .*'a'.*upload\.yml",
        ),
    ],
    ids=["missing", "not a workflow", "not callable", "more permissions", "circle"],
)
def test_a_call_that_github_refuses_is_refused(
    tmp_path: Path, uses: str, called: dict[str, str], data: str
) -> None:
    with pytest.raises(BadWorkflow, match=data):
        loaded(tmp_path, uses, **called)


INPUTS = """\
on: {workflow_call: {inputs: {Version: {type: string, required: true}, n: {type: number}}}}
jobs: {publish: {runs-on: a, steps: [{run: a}]}}
"""


@pytest.mark.parametrize(
    ("call", "data"),
    [
        ("", "version"),
        ("    with: {n: 1}\n", "version"),
        ("    with: {version: 1, other: 2}\n", "other"),
    ],
)
def test_a_call_with_missing_or_unknown_inputs_is_refused(
    call: str, data: str, tmp_path: Path
) -> None:
    with pytest.raises(BadWorkflow, match=rf"publish\.yml:4: .*upload\.yml, .*{data}"):
        loaded(tmp_path, caller=CALLER + call, upload=INPUTS)


def test_a_call_with_the_required_inputs_is_accepted(tmp_path: Path) -> None:
    assert loaded(tmp_path, caller=f"{CALLER}    with: {{version: 1}}\n", upload=INPUTS).called


def test_a_workflow_of_the_same_repository_can_be_named_in_two_ways(tmp_path: Path) -> None:
    (called,) = loaded(tmp_path, f"$/{WORKFLOWS}/upload.yml", upload=CALLED).called.values()

    assert called.path == tmp_path / WORKFLOWS / "upload.yml"
    assert called.origin == ""
