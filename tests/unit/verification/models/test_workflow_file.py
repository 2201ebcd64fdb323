from __future__ import annotations

from pathlib import Path

import pytest

from verification.models.errors import WrongUse
from verification.models.workflow import SCOPES, BadWorkflow, Workflow
from verification.models.workflow_file import expand, load, parse

PATH = Path(".github/workflows/demo.yml")
REAL = Path(__file__).resolve().parents[4] / ".github" / "workflows" / "publish.yml"


def read(text: str) -> Workflow:
    return parse(text, PATH)


def job(body: str, *, head: str = "") -> str:
    lines = "\n".join(f"    {line}" for line in body.splitlines())
    return f"on: push\n{head}jobs:\n  one:\n{lines}\n"


RUNS = "runs-on: ubuntu-latest\nsteps: [{run: 'true'}]\n"


def test_the_real_workflow_is_read() -> None:
    workflow = load(REAL)

    assert workflow.name == "Publish"
    assert [pattern.text for pattern in workflow.on["push"].filters["tags"]] == ["v*.*.*"]
    assert list(workflow.jobs) == ["build", "merge", "validate", "release", "publish"]
    assert workflow.jobs["build"].runs_on == ("ubuntu-latest", "windows-latest")
    assert workflow.jobs["publish"].permissions == {"id-token": "write"}
    assert workflow.jobs["publish"].environment == "pypi"
    assert workflow.before("publish") == {"build", "merge", "validate"}
    lines = REAL.read_text("utf-8").splitlines()
    assert lines[workflow.jobs["merge"].line - 1] == "  merge:"
    step = workflow.jobs["build"].steps[1]
    assert step.action == "pypa/cibuildwheel"
    assert step.comment == "v4.2.0"
    assert lines[step.line - 1].endswith(f"name: {step.name}")


# -- YAML -----------------------------------------------------------------------------------------


def test_on_is_a_word_and_no_boolean() -> None:
    # YAML 1.1 reads on, off, yes and no as booleans: most parsers lose the trigger.
    text = (
        "on: push\njobs: {one: {runs-on: x, env: {A: yes, B: off, C: 1.10}, steps: [{run: a}]}}\n"
    )

    workflow = read(text)

    assert list(workflow.on) == ["push"]
    assert workflow.jobs["one"].env == {"A": "yes", "B": "off", "C": "1.10"}


def test_values_become_text_as_github_writes_them() -> None:
    step = "steps: [{uses: a/b@c, with: {a: True, b: 0x10, c: ~, d: 'x'}}]\n"

    (found,) = read(job(f"runs-on: x\n{step}")).jobs["one"].steps

    assert found.with_ == {"a": "true", "b": "0x10", "c": "", "d": "x"}


def test_anchors_are_followed() -> None:
    text = "on: push\njobs:\n  one: &it {runs-on: x, steps: [{run: a}]}\n  two: *it\n"

    assert read(text).jobs["two"].steps[0].run == "a"


@pytest.mark.parametrize(
    ("text", "line", "told"),
    [
        ("", 0, "is empty"),
        ("on: push\njobs: [", 2, "is not YAML"),
        ("on: {push: {tags: [*x]}}\njobs: {}\n", 1, "quote a pattern"),
        ("on:\n  push:\n    tags:\n      - !x\njobs: {}\n", 4, "write it in quotes"),
        ("on:\n  push:\n    tags:\n      - 1.10\njobs: {}\n", 4, "write it in quotes"),
        ("on: push\n", 1, "no `jobs`"),
        ("jobs: {}\n", 1, "no `on`"),
        ("on: push\njobs: {}\n", 2, "names no job"),
        ("on: push\non: push\njobs: {}\n", 2, "the key 'on' twice"),
        ("on: push\njob: {}\n", 2, "unknown key 'job'"),
        ("- a\n", 1, "not a table"),
        ("on: push\njobs: {one: &a [*a]}\n", 2, "not a table"),
        ("on: {push: {tags: [a], tags-ignore: [b]}}\njobs: {}\n", 1, "both `tags` and"),
        ("on: {push: {paths: [a], paths-ignore: [b]}}\njobs: {}\n", 1, "both `paths` and"),
        (
            "on: {pull_request: {branches: [a], branches-ignore: [b]}}\njobs: {}\n",
            1,
            "both `branches` and",
        ),
        ("on: {push: {tags: ['!a']}}\njobs: {}\n", 1, "`tags-ignore`"),
        ("on: {push: {tags: []}}\njobs: {}\n", 1, "is empty"),
        ("on: {push: {tag: [a]}}\njobs: {}\n", 1, "unknown key 'tag'"),
        ("on: {pull_request: {tags: [a]}}\njobs: {}\n", 1, "unknown key 'tags'"),
        (job("steps: [{run: a}]"), 4, "no `runs-on`"),
        (job("runs-on: x"), 4, "no `steps`"),
        (job("runs-on: x\nsteps: []"), 5, "not a list of steps"),
        (job("runs-on: x\nsteps: [{name: a}]"), 5, "exactly one of `uses` and `run`"),
        (job("runs-on: x\nsteps: [{uses: a/b@c, run: d}]"), 5, "exactly one of"),
        (job("runs-on: x\nsteps: [{parallel: [{run: a}]}]"), 5, "unknown key 'parallel'"),
        (job("runs-on: x\nsteps:\n- {run: a, id: b}\n- {run: a, id: b}"), 6, "the id 'b' twice"),
        (job(RUNS + "needs: two"), 3, "needs 'two', and the jobs are: one"),
        (job(RUNS + "needs: one"), 3, "wait for one another: one"),
        (job(RUNS + "permissions: write"), 6, "read-all, write-all or a table"),
        (job(RUNS + "permissions: {id-token: read}"), 6, "cannot be 'read'"),
        (job(RUNS + "permissions: {models: write}"), 6, "cannot be 'write'"),
        (job(RUNS + "permissions: {content: read}"), 6, "unknown key 'content'"),
        (job(RUNS + "environment: {url: x}"), 6, "no `name`"),
        (job(RUNS + "concurrency: {cancel-in-progress: true}"), 6, "no `group`"),
        (job(RUNS + "strategy: {matrix: {a: 1}}"), 6, "not a list of values"),
        (job(RUNS + "strategy: {matrix: {a: [1], exclude: [{a: 1}]}}"), 6, "no combination"),
        ("on: push\njobs: {'1a': {runs-on: x, steps: [{run: a}]}}\n", 2, "no name for a job"),
    ],
)
def test_a_bad_workflow_is_refused_with_its_line(text: str, line: int, told: str) -> None:
    with pytest.raises(BadWorkflow) as caught:
        read(text)

    message = str(caught.value)
    assert message.startswith(f"{PATH}:{line}: " if line else f"{PATH}: ")
    assert told in message
    assert "\n" not in message


def test_jobs_that_wait_for_one_another_are_all_named() -> None:
    body = "runs-on: x, steps: [{run: a}]"
    a, b, c = f"{{{body}, needs: b}}", f"{{{body}, needs: [a]}}", f"{{{body}}}"
    text = f"on: push\njobs:\n  a: {a}\n  b: {b}\n  c: {c}\n"

    with pytest.raises(BadWorkflow, match=r"demo\.yml:3: jobs wait for one another: a, b$"):
        read(text)


def test_a_workflow_that_repeats_itself_without_end_is_refused() -> None:
    layers = "".join(f"  a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 9))
    body = "runs-on: x\nsteps: [{run: a}]\nstrategy:\n  matrix:\n    a0: &a0 [1]\n"
    body += "".join(f"  {line}\n" for line in layers.splitlines())

    with pytest.raises(BadWorkflow, match="too large"):
        read(job(body))


def test_deep_nesting_is_refused() -> None:
    with pytest.raises(BadWorkflow, match="nested too deeply"):
        read("on: " + "[" * 5000)


def test_a_missing_file_is_wrong_use(tmp_path: Path) -> None:
    with pytest.raises(WrongUse, match="no such workflow file"):
        load(tmp_path / "publish.yml")


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "publish.yml"
    path.write_bytes(b"\xff\xfe\x00")

    with pytest.raises(BadWorkflow, match="cannot be read"):
        load(path)


# -- permissions, environment ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("head", "own", "origin", "effective"),
    [
        ("", "", "default", {"contents": "read", "packages": "read"}),
        ("permissions: {contents: write}\n", "", "workflow", {"contents": "write"}),
        ("permissions: {}\n", "", "workflow", {}),
        # The job's block replaces the workflow's; nothing of that one is left.
        (
            "permissions: {contents: write}\n",
            "permissions: {issues: read}",
            "job",
            {"issues": "read"},
        ),
        ("permissions: write-all\n", "permissions: {}", "job", {}),
        ("", "permissions: {contents: none, issues: write}", "job", {"issues": "write"}),
    ],
)
def test_the_permissions_of_a_job_are_its_own_or_the_workflows_or_the_default(
    head: str, own: str, origin: str, effective: dict[str, str]
) -> None:
    found = read(job(RUNS + own, head=head)).jobs["one"]

    assert found.permissions_from == origin
    assert found.permissions == effective


def test_all_means_every_scope_at_the_most_it_can_have() -> None:
    written = read(job(RUNS + "permissions: write-all")).jobs["one"].permissions
    read_ = read(job(RUNS + "permissions: read-all")).jobs["one"].permissions

    assert written.keys() == set(SCOPES)
    assert written["id-token"] == "write"
    assert written["models"] == "read"
    assert "id-token" not in read_
    assert set(read_.values()) == {"read"}


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("", None),
        ("environment: pypi", "pypi"),
        ("environment: {name: pypi, url: 'https://x'}", "pypi"),
    ],
)
def test_an_environment_is_a_name_or_a_table(written: str, name: str | None) -> None:
    assert read(job(RUNS + written)).jobs["one"].environment == name


@pytest.mark.parametrize(
    ("written", "cancel"),
    [
        ("concurrency: a", "false"),
        ("concurrency: {group: a}", "false"),
        ("concurrency: {group: a, cancel-in-progress: true}", "true"),
        ("concurrency: {group: a, cancel-in-progress: '${{ x }}'}", "${{ x }}"),
    ],
)
def test_concurrency_is_a_group_or_a_table(written: str, cancel: str) -> None:
    found = read(f"on: push\n{written}\njobs: {{one: {{runs-on: x, steps: [{{run: a}}]}}}}\n")

    assert found.concurrency is not None
    assert found.concurrency.group == "a"
    assert found.concurrency.cancel_in_progress == cancel


# -- the matrix -----------------------------------------------------------------------------------


def test_a_matrix_is_every_combination_in_order() -> None:
    assert expand({"os": ["a", "b"], "n": [1, 2]}) == [
        {"os": "a", "n": 1},
        {"os": "a", "n": 2},
        {"os": "b", "n": 1},
        {"os": "b", "n": 2},
    ]


def test_exclude_takes_away_what_it_matches_in_part() -> None:
    assert expand({"os": ["a", "b"], "n": [1, 2]}, exclude=[{"os": "a"}, {"n": 2}]) == [
        {"os": "b", "n": 1}
    ]


def test_include_adds_to_the_combination_it_names() -> None:
    # GitHub's example of an added variable.
    found = expand(
        {"os": ["windows-latest", "ubuntu-latest"], "node": [14, 16]},
        include=[{"os": "windows-latest", "node": 16, "npm": 6}],
    )

    assert [line for line in found if "npm" in line] == [
        {"os": "windows-latest", "node": 16, "npm": 6}
    ]
    assert len(found) == 4


def test_include_never_changes_an_original_value_but_its_own_additions() -> None:
    found = expand(
        {"fruit": ["apple", "pear"], "animal": ["cat", "dog"]},
        include=[
            {"color": "green"},
            {"color": "pink", "animal": "cat"},
            {"fruit": "apple", "shape": "circle"},
            {"fruit": "banana"},
            {"fruit": "banana", "animal": "cat"},
        ],
    )

    assert found == [
        {"fruit": "apple", "animal": "cat", "color": "pink", "shape": "circle"},
        {"fruit": "apple", "animal": "dog", "color": "green", "shape": "circle"},
        {"fruit": "pear", "animal": "cat", "color": "pink"},
        {"fruit": "pear", "animal": "dog", "color": "green"},
        {"fruit": "banana"},
        {"fruit": "banana", "animal": "cat"},
    ]


def test_include_alone_is_a_matrix() -> None:
    assert expand({}, include=[{"os": "a"}, {"os": "b"}]) == [{"os": "a"}, {"os": "b"}]


@pytest.mark.parametrize(
    ("written", "labels"),
    [
        ("runs-on: x", ("x",)),
        ("runs-on: [self-hosted, linux]", ("self-hosted, linux",)),
        ("runs-on: {group: big, labels: [linux]}", ("linux",)),
        ("runs-on: '${{ matrix.os }}'\nstrategy: {matrix: {os: [a, b]}}", ("a", "b")),
        (
            "runs-on: '${{matrix.os}}-${{ matrix.v }}'\n"
            "strategy: {matrix: {os: [a], v: [1, 2], exclude: [{v: 1}], include: [{os: b, v: 3}]}}",
            ("a-2", "b-3"),
        ),
        # What only a run knows stays as it is.
        (
            "runs-on: '${{ matrix.os }}'\nstrategy: {matrix: '${{ fromJSON(x) }}'}",
            ("${{ matrix.os }}",),
        ),
    ],
)
def test_runners_are_told_for_each_combination(written: str, labels: tuple[str, ...]) -> None:
    assert read(job(f"{written}\nsteps: [{{run: a}}]")).jobs["one"].runs_on == labels


def test_what_scripts_have_by_default_is_the_workflows_and_then_the_jobs() -> None:
    head = "defaults: {run: {shell: bash, working-directory: a}}\n"

    found = read(job(RUNS + "defaults: {run: {working-directory: b}}", head=head)).jobs["one"]

    assert found.defaults == {"shell": "bash", "working-directory": "b"}


def test_the_images_of_a_job_are_its_container_and_its_services() -> None:
    written = "container: debian\nservices: {a: {image: redis}, b: {image: nginx}}"

    assert read(job(RUNS + written)).jobs["one"].containers == ("debian", "redis", "nginx")
    assert read(job(RUNS + "container: {image: alpine}")).jobs["one"].containers == ("alpine",)
