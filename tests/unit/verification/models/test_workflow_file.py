from __future__ import annotations

import re
from pathlib import Path

import pytest

from verification.models.errors import WrongUse
from verification.models.workflow import SCOPES, BadWorkflow, Workflow, WorkflowInput
from verification.models.workflow_file import expand, load, parse

PATH = Path(".github/workflows/demo.yml")
REAL = Path(__file__).resolve().parents[4] / ".github" / "workflows" / "publish.yml"


def read(text: str) -> Workflow:
    return parse(text, PATH)


def job(body: str, *, head: str = "") -> str:
    """Return the text of a workflow with the job `one`. The body begins at line 4."""
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
    assert workflow.jobs_before("publish") == {"build", "merge", "validate"}
    lines = REAL.read_text("utf-8").splitlines()
    assert lines[workflow.jobs["merge"].line - 1] == "  merge:"
    step = workflow.jobs["build"].steps[1]
    assert step.action == "pypa/cibuildwheel"
    assert step.comment == "v4.2.0"
    assert lines[step.line - 1].endswith(f"name: {step.name}")


# -- YAML -----------------------------------------------------------------------------------------


def test_on_is_a_string_and_not_a_boolean() -> None:
    # YAML 1.1 reads on, off, yes and no as booleans, and many parsers lose the trigger.
    text = (
        "on: push\njobs: {one: {runs-on: x, env: {A: yes, B: off, C: 1.10}, steps: [{run: a}]}}\n"
    )

    workflow = read(text)

    assert list(workflow.on) == ["push"]
    assert workflow.jobs["one"].env == {"A": "yes", "B": "off", "C": "1.1"}


def test_values_become_strings_as_on_github() -> None:
    # A number loses its form: the version 3.10 becomes 3.1.
    values = "a: True, b: 0x10, c: ~, d: 'x', e: 3.10, f: '3.10', g: 1e3, h: 007, i: -.INF, j: .NaN"
    steps = f"steps: [{{uses: a/b@c, with: {{{values}}}}}]\n"

    (step,) = read(job(f"runs-on: x\n{steps}")).jobs["one"].steps

    assert step.with_ == {
        "a": "true",
        "b": "16",
        "c": "",
        "d": "x",
        "e": "3.1",
        "f": "3.10",
        "g": "1000",
        "h": "7",
        "i": "-Infinity",
        "j": "NaN",
    }


def test_anchors_are_resolved() -> None:
    text = "on: push\njobs:\n  one: &it {runs-on: x, steps: [{run: a}]}\n  two: *it\n"

    assert read(text).jobs["two"].steps[0].run == "a"


@pytest.mark.parametrize(
    ("text", "line", "data"),
    [
        ("", 0, "`jobs`"),
        ("on: push\njobs: [", 2, "YAML"),
        ("on: {push: {tags: [*x]}}\njobs: {}\n", 1, "* ! &"),
        ("on:\n  push:\n    tags:\n      - !x\njobs: {}\n", 4, "`on.push.tags`"),
        ("on: {push: {tags: [~]}}\njobs: {}\n", 1, "`on.push.tags`"),
        ("on: {release: {types: [publish]}}\njobs: {}\n", 1, "'publish'"),
        ("on: {release: {type: [x]}}\njobs: {}\n", 1, "'type'"),
        ("on: {schedule: [{con: x}]}\njobs: {}\n", 1, "`cron`"),
        ("on: {workflow_call: {inputs: {a: {default: x}}}}\njobs: {}\n", 1, "`type`"),
        ("on: {workflow_call: {inputs: {a: {type: choice}}}}\njobs: {}\n", 1, "'choice'"),
        ("on: {workflow_dispatch: {inputs: {a: {type: text}}}}\njobs: {}\n", 1, "'text'"),
        ("on: push\n", 1, "`jobs`"),
        ("jobs: {}\n", 1, "`on`"),
        ("on: push\njobs: {}\n", 2, "`jobs`"),
        ("on: push\non: push\njobs: {}\n", 2, "'on'"),
        ("on: push\njob: {}\n", 2, "'job'"),
        ("- a\n", 1, ""),
        ("on: push\njobs: {one: &a [*a]}\n", 2, "'one'"),
        ("on: {push: {tags: [a], tags-ignore: [b]}}\njobs: {}\n", 1, "`tags-ignore`"),
        ("on: {push: {paths: [a], paths-ignore: [b]}}\njobs: {}\n", 1, "`paths-ignore`"),
        (
            "on: {pull_request: {branches: [a], branches-ignore: [b]}}\njobs: {}\n",
            1,
            "`branches-ignore`",
        ),
        ("on: {push: {tags: ['!a']}}\njobs: {}\n", 1, "`tags-ignore`"),
        ("on: {push: {tags: []}}\njobs: {}\n", 1, "`on.push.tags`"),
        ("on: {push: {tag: [a]}}\njobs: {}\n", 1, "'tag'"),
        ("on: {pull_request: {tags: [a]}}\njobs: {}\n", 1, "'tags'"),
        (job("steps: [{run: a}]"), 4, "`runs-on`"),
        (job("runs-on: x"), 4, "`steps`"),
        (job("runs-on: x\nsteps: []"), 5, "`steps`"),
        (job("runs-on: x\nsteps: [{name: a}]"), 5, "`uses` and `run`"),
        (job("runs-on: x\nsteps: [{uses: a/b@c, run: d}]"), 5, "`uses` and `run`"),
        (job("runs-on: x\nsteps: [{parallel: [{name: a}]}]"), 5, "`uses` and `run`"),
        (job("runs-on: x\nuses: ./a\nsteps: [{run: a}]"), 4, "`uses`"),
        ("on: push\njobs: {__a: {runs-on: x, steps: [{run: a}]}}\n", 2, "'__a'"),
        ("on: push\njobs: {a: {uses: ./b}, A: {uses: ./b}}\n", 2, "'a'"),
        # expressions
        (job("runs-on: x\nsteps:\n- run: echo ${{ github.ref"), 6, "}}"),
        (job("runs-on: x\nsteps:\n- run: echo ${{ }}"), 6, "''"),
        (job("runs-on: x\nsteps: [{run: a}]\nif: github.ref = 'x'"), 6, "'='"),
        (job("runs-on: x\nsteps: [{run: a}]\nif: startswith(ref, 'x')"), 6, "'ref'"),
        (job("runs-on: x\nsteps: [{run: a}]\nif: secrets.A != ''"), 6, "`secrets`"),
        (job("runs-on: x\nsteps: [{run: a}]\nif: env.A"), 6, "`env`"),
        (job("runs-on: x\nsteps: [{run: a, if: secrets.A}]"), 5, "`secrets`"),
        (job("runs-on: '${{ env.A }}'\nsteps: [{run: a}]"), 4, "`env`"),
        (job("runs-on: x\nsteps: [{run: 'a ${{ always() }}'}]"), 5, "`always()`"),
        (job("runs-on: x\nsteps: [{uses: 'a/b@${{ github.sha }}'}]"), 5, "`github`"),
        (job("uses: './${{ github.sha }}'"), 4, "`github`"),
        (job("runs-on: x\nsteps:\n- {run: a, id: b}\n- {run: a, id: b}"), 6, "'b'"),
        (job(RUNS + "needs: two"), 3, "'two'"),
        (job(RUNS + "needs: one"), 3, ": one"),
        (job(RUNS + "permissions: write"), 6, "`permissions: write`"),
        (job(RUNS + "permissions: {id-token: read}"), 6, "`permissions.id-token`"),
        (job(RUNS + "permissions: {models: write}"), 6, "`permissions.models`"),
        (job(RUNS + "permissions: {content: read}"), 6, "'content'"),
        (job(RUNS + "environment: {url: x}"), 6, "`name`"),
        (job(RUNS + "concurrency: {cancel-in-progress: true}"), 6, "`group`"),
        (job(RUNS + "strategy: {matrix: {a: 1}}"), 6, "`matrix.a`"),
        (job(RUNS + "strategy: {matrix: {a: [1], exclude: [{a: 1}]}}"), 6, "`matrix`"),
        ("on: push\njobs: {'1a': {runs-on: x, steps: [{run: a}]}}\n", 2, "'1a'"),
    ],
)
def test_a_bad_workflow_is_refused_with_its_line(text: str, line: int, data: str) -> None:
    with pytest.raises(BadWorkflow) as error:
        read(text)

    message = str(error.value)
    location, _, reason = message.partition(": ")
    assert location == (f"{PATH}:{line}" if line else str(PATH))
    assert data in reason
    assert "\n" not in message


def test_all_jobs_of_a_circle_are_named() -> None:
    body = "runs-on: x, steps: [{run: a}]"
    a, b, c = f"{{{body}, needs: b}}", f"{{{body}, needs: [a]}}", f"{{{body}}}"
    text = f"on: push\njobs:\n  a: {a}\n  b: {b}\n  c: {c}\n"

    with pytest.raises(BadWorkflow, match=r"demo\.yml:3: .*: a, b$"):
        read(text)


def test_a_small_file_that_expands_to_a_huge_workflow_is_refused() -> None:
    layers = "".join(f"  a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 9))
    body = "runs-on: x\nsteps: [{run: a}]\nstrategy:\n  matrix:\n    a0: &a0 [1]\n"
    body += "".join(f"  {line}\n" for line in layers.splitlines())

    with pytest.raises(BadWorkflow, match="100000"):
        read(job(body))


def test_deep_nesting_is_refused() -> None:
    with pytest.raises(BadWorkflow, match=f"^{re.escape(str(PATH))}: "):
        read("on: " + "[" * 1000)


def test_a_missing_file_is_wrong_use(tmp_path: Path) -> None:
    with pytest.raises(WrongUse, match=r"publish\.yml: "):
        load(tmp_path / "publish.yml")


def test_a_file_that_is_not_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "publish.yml"
    path.write_bytes(b"\xff\xfe\x00")

    with pytest.raises(BadWorkflow, match=r"publish\.yml: .*utf-8"):
        load(path)


# -- permissions, environment ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("head", "body", "origin", "effective"),
    [
        ("", "", "default", {"contents": "read", "packages": "read"}),
        ("permissions: {contents: write}\n", "", "workflow", {"contents": "write"}),
        ("permissions: {}\n", "", "workflow", {}),
        # The permissions of the job replace those of the workflow completely.
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
def test_the_permissions_of_a_job_come_from_the_job_the_workflow_or_the_default(
    head: str, body: str, origin: str, effective: dict[str, str]
) -> None:
    parsed_job = read(job(RUNS + body, head=head)).jobs["one"]

    assert parsed_job.permissions_from == origin
    assert parsed_job.permissions == effective


def test_all_permissions_are_limited_to_the_valid_level_of_each_scope() -> None:
    write_all = read(job(RUNS + "permissions: write-all")).jobs["one"].permissions
    read_all = read(job(RUNS + "permissions: read-all")).jobs["one"].permissions

    assert write_all.keys() == set(SCOPES)
    assert write_all["id-token"] == "write"
    assert write_all["models"] == "read"
    assert "id-token" not in read_all
    assert set(read_all.values()) == {"read"}


@pytest.mark.parametrize(
    ("body", "name"),
    [
        ("", None),
        ("environment: pypi", "pypi"),
        ("environment: {name: pypi, url: 'https://x'}", "pypi"),
    ],
)
def test_an_environment_is_a_name_or_a_table(body: str, name: str | None) -> None:
    assert read(job(RUNS + body)).jobs["one"].environment == name


@pytest.mark.parametrize(
    ("concurrency", "cancel"),
    [
        ("concurrency: a", "false"),
        ("concurrency: {group: a}", "false"),
        ("concurrency: {group: a, cancel-in-progress: true}", "true"),
        ("concurrency: {group: a, cancel-in-progress: '${{ vars.x }}'}", "${{ vars.x }}"),
    ],
)
def test_concurrency_is_a_group_or_a_table(concurrency: str, cancel: str) -> None:
    text = f"on: push\n{concurrency}\njobs: {{one: {{runs-on: x, steps: [{{run: a}}]}}}}\n"
    setting = read(text).concurrency

    assert setting is not None
    assert setting.group == "a"
    assert setting.cancel_in_progress == cancel


# -- the matrix -----------------------------------------------------------------------------------


def test_a_matrix_has_all_combinations_in_order() -> None:
    assert expand({"os": ["a", "b"], "n": [1, 2]}) == [
        {"os": "a", "n": 1},
        {"os": "a", "n": 2},
        {"os": "b", "n": 1},
        {"os": "b", "n": 2},
    ]


def test_exclude_removes_combinations_that_match_in_part() -> None:
    assert expand({"os": ["a", "b"], "n": [1, 2]}, exclude=[{"os": "a"}, {"n": 2}]) == [
        {"os": "b", "n": 1}
    ]


def test_include_extends_a_matching_combination() -> None:
    # GitHub's example of an added variable.
    combinations = expand(
        {"os": ["windows-latest", "ubuntu-latest"], "node": [14, 16]},
        include=[{"os": "windows-latest", "node": 16, "npm": 6}],
    )

    assert [combination for combination in combinations if "npm" in combination] == [
        {"os": "windows-latest", "node": 16, "npm": 6}
    ]
    assert len(combinations) == 4


def test_include_changes_added_values_but_not_original_values() -> None:
    combinations = expand(
        {"fruit": ["apple", "pear"], "animal": ["cat", "dog"]},
        include=[
            {"color": "green"},
            {"color": "pink", "animal": "cat"},
            {"fruit": "apple", "shape": "circle"},
            {"fruit": "banana"},
            {"fruit": "banana", "animal": "cat"},
        ],
    )

    assert combinations == [
        {"fruit": "apple", "animal": "cat", "color": "pink", "shape": "circle"},
        {"fruit": "apple", "animal": "dog", "color": "green", "shape": "circle"},
        {"fruit": "pear", "animal": "cat", "color": "pink"},
        {"fruit": "pear", "animal": "dog", "color": "green"},
        {"fruit": "banana"},
        {"fruit": "banana", "animal": "cat"},
    ]


def test_a_matrix_can_have_only_include() -> None:
    assert expand({}, include=[{"os": "a"}, {"os": "b"}]) == [{"os": "a"}, {"os": "b"}]


@pytest.mark.parametrize(
    ("body", "labels"),
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
        # An expression that only a run can evaluate is not replaced.
        (
            "runs-on: '${{ matrix.os }}'\nstrategy: {matrix: '${{ fromJSON(vars.x) }}'}",
            ("${{ matrix.os }}",),
        ),
        (
            "runs-on: '${{ matrix.a.b }}'\nstrategy: {matrix: {a: [{b: x}, {b: [y, z]}]}}",
            ("x", "y, z"),
        ),
        ("runs-on: {group: big}", ("big",)),
        ("runs-on: '${{ fromJSON(inputs.x) }}'", ("${{ fromJSON(inputs.x) }}",)),
    ],
)
def test_each_combination_has_the_labels_of_its_runner(body: str, labels: tuple[str, ...]) -> None:
    assert read(job(f"{body}\nsteps: [{{run: a}}]")).jobs["one"].runs_on == labels


@pytest.mark.parametrize(
    "strategy",
    [
        "'${{ fromJSON(vars.x) }}'",
        "{matrix: '${{ fromJSON(vars.x) }}'}",
        "{matrix: {os: '${{ fromJSON(vars.x) }}'}}",
        "{matrix: {os: ['${{ vars.x }}']}}",
        "{matrix: {os: [a], include: '${{ fromJSON(vars.x) }}'}, fail-fast: '${{ vars.y }}'}",
    ],
)
def test_a_matrix_with_an_expression_is_kept_without_combinations(strategy: str) -> None:
    parsed_job = read(job(f"{RUNS}strategy: {strategy}")).jobs["one"]

    assert parsed_job.matrix is not None
    assert parsed_job.combinations == ({},)


@pytest.mark.parametrize(
    "text",
    [
        job(RUNS + "timeout-minutes: ${{ fromJSON(vars.x) }}\ncancel-timeout-minutes: 3"),
        job(RUNS + "strategy: {max-parallel: 2, fail-fast: false, matrix: {a: [1]}}"),
        job(RUNS + "env: ${{ fromJSON(vars.x) }}\nservices: ${{ fromJSON(vars.y) }}"),
        job(RUNS + "environment: ''\ncontinue-on-error: ${{ matrix.x }}"),
        job(RUNS + "environment: ${{ inputs.x }}\nconcurrency: ${{ github.ref }}"),
        job(RUNS + "environment: {name: a, url: '${{ steps.a.outputs.b }}'}"),
        job(RUNS + "container: ${{ fromJSON(vars.x) }}\nsnapshot: image"),
        job(RUNS + "defaults: {run: '${{ fromJSON(vars.x) }}'}\noutputs: {a: '${{ steps.b }}'}"),
        job(RUNS + "if: ${{ always() && !failure() }}\npermissions: {vulnerability-alerts: read}"),
        job("runs-on: x\nsteps: [{uses: a/b@c, with: '${{ fromJSON(vars.x) }}', env: }]"),
        job("runs-on: x\nsteps: [{run: a, id: b, background: true}, {wait: b}, {wait-all: }]"),
        job("uses: a/b/.github/workflows/c.yml@d\nwith: {e: 1}\nsecrets: inherit"),
        job(RUNS, head="env: ${{ fromJSON(vars.x) }}\nrun-name: ${{ github.actor }}\n"),
        job(RUNS, head="concurrency: {group: a, queue: max, cancel-in-progress: false}\n"),
        "on: {registry_package: {types: [published]}, fork: }\n" + job(RUNS).partition("\n")[2],
        "on: {repository_dispatch: {types: [a, b]}}\n" + job(RUNS).partition("\n")[2],
        "on: {push: {branches: [4.0]}}\n" + job(RUNS).partition("\n")[2],
        "on: {merge_group: {branches: [a]}}\n" + job(RUNS).partition("\n")[2],
        "on: {workflow_run: {workflows: [A, B], types: completed}}\n"
        + job(RUNS).partition("\n")[2],
        "on: {workflow_call: {secrets: {A: }, outputs: {b: {value: '${{ jobs.one }}'}}}}\n"
        + job(RUNS).partition("\n")[2],
        "on: push\njobs: {one: {runs-on: &x a, steps: [{run: &x b}, {run: *x}]}}\n",
    ],
)
def test_what_github_accepts_is_accepted(text: str) -> None:
    assert read(text).jobs


def test_steps_of_parallel_are_steps_of_the_job() -> None:
    (first, second, third) = (
        read(job("runs-on: x\nsteps: [{run: a}, {parallel: [{run: b}, {run: c}]}]"))
        .jobs["one"]
        .steps
    )

    assert [first.run, second.run, third.run] == ["a", "b", "c"]


def test_inputs_and_schedules_are_read() -> None:
    text = """
on:
  schedule: [{cron: '0 1 * * *', timezone: UTC}, {cron: '0 2 * * *'}]
  workflow_dispatch:
    inputs:
      version: {description: The version, required: true}
      dry: {type: boolean, default: true}
      index: {type: choice, options: [test, live], default: test}
      plain:
  workflow_call:
    inputs: {n: {type: number, default: 3}}
jobs: {one: {runs-on: x, steps: [{run: a}]}, two: {uses: ./b, with: {c: 1}}}
"""
    workflow = read(text)
    inputs = workflow.on["workflow_dispatch"].inputs

    assert workflow.on["schedule"].schedules == ("0 1 * * *", "0 2 * * *")
    assert inputs["version"] == WorkflowInput(required=True)
    assert inputs["dry"] == WorkflowInput(type="boolean", default="true")
    assert inputs["index"] == WorkflowInput(type="choice", default="test", options=("test", "live"))
    assert inputs["plain"] == WorkflowInput()
    assert workflow.on["workflow_call"].inputs == {"n": WorkflowInput(type="number", default="3")}
    assert workflow.jobs["two"].with_ == {"c": "1"}


def test_the_defaults_of_a_job_override_those_of_the_workflow() -> None:
    head = "defaults: {run: {shell: bash, working-directory: a}}\n"

    workflow = read(job(RUNS + "defaults: {run: {working-directory: b}}", head=head))

    assert workflow.jobs["one"].defaults == {"shell": "bash", "working-directory": "b"}


def test_the_images_of_a_job_are_its_container_and_its_services() -> None:
    body = "container: debian\nservices: {a: {image: redis}, b: {image: nginx}}"

    assert read(job(RUNS + body)).jobs["one"].containers == ("debian", "redis", "nginx")
    assert read(job(RUNS + "container: {image: alpine}")).jobs["one"].containers == ("alpine",)
