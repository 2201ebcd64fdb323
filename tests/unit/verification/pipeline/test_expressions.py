"""Tests of the evaluation of expressions, with the rules in the documentation of GitHub."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import JsonValue

from verification.models.workflow import Event
from verification.models.workflow_file import parse
from verification.pipeline.expressions import (
    BadExpression,
    Context,
    UnknownValue,
    evaluate,
    event_context,
    fill,
    holds,
    is_true,
)

CONTEXT = Context(
    values={
        "github": {
            "ref": "refs/tags/v1.2",
            "event": {"issue": {"labels": [{"name": "bug"}, {"name": "docs"}, {"id": 3}]}},
        },
        "matrix": {"os": "Linux", "n": 3, "list": [10, 20], "flag": False, "my-key": "dash"},
        "needs": {
            "a": {"result": "success", "outputs": {}},
            "b": {"result": "skipped", "outputs": {}},
        },
        "inputs": {},
    },
    unknown=frozenset({"needs.a.outputs", "github"}),
)


def value(text: str) -> JsonValue:
    return evaluate(text, CONTEXT)


# Documentation, "Literals" and "Operators": the coercion of operands of different types.
VALUES: list[tuple[str, JsonValue]] = [
    ("null", None),
    ("true", True),
    ("false", False),
    ("711", 711),
    ("-9.2", -9.2),
    ("0xff", 255),
    ("0o17", 15),
    ("-2.99e-2", -0.0299),
    (".5", 0.5),
    ("'It''s'", "It's"),
    ("''", ""),
    ("${{ 1 }}", 1),
    ("  ${{ 'a' }}  ", "a"),
    # equality
    ("'ABC' == 'abc'", True),
    ("'a' != 'b'", True),
    ("1 == '1'", True),
    ("'0x10' == 16", True),
    ("true == 1", True),
    ("true == 'true'", False),
    ("true == '1'", True),
    ("null == 0", True),
    ("null == ''", True),
    ("null == false", True),
    ("'' == 0", True),
    ("'x' == 0", False),
    ("NaN == NaN", False),
    ("NaN != NaN", True),
    ("' 5 ' == 5", True),
    ("matrix == matrix", True),
    ("matrix == 'Object'", False),
    ("matrix.list == github.event.issue.labels", False),
    # order
    ("1 < 2", True),
    ("'b' > 'A'", True),
    ("'10' < '9'", True),
    ("10 < '9'", False),
    ("null < 1", True),
    ("null < null", False),
    ("null <= null", True),
    ("false <= 0", True),
    ("'x' < 1", False),
    ("'x' >= 1", False),
    ("matrix < 1", False),
    # precedence
    ("1 < 2 == true", True),
    ("true || false && false", True),
    ("(true || false) && false", False),
    ("!true || true", True),
    ("!'a' == false", True),
    ("1 == 1 && 2 == 2", True),
    # && and || return an operand
    ("'a' && 'b'", "b"),
    ("'' && 'b'", ""),
    ("'' || 'b'", "b"),
    ("0 || null", None),
    ("false || 0", 0),
    ("true && 5", 5),
    ("matrix.flag && 'x' || 'y'", "y"),
    ("!null", True),
    ("!'0'", False),
    ("!NaN", True),
    ("!matrix", False),
    # access
    ("matrix.os", "Linux"),
    ("MATRIX.OS", "Linux"),
    ("matrix['os']", "Linux"),
    ("matrix['O' || 'x']", None),
    ("matrix.my-key", "dash"),
    ("matrix.missing", None),
    ("matrix.missing.deeper", None),
    ("matrix.os.deeper", None),
    ("matrix.list[1]", 20),
    ("matrix.list['1']", 20),
    ("matrix.list[2]", None),
    ("matrix.list[-1]", None),
    ("matrix.list[0.9]", 10),
    ("fromJSON('[1,2]')[0]", 1),
    ("github.event.issue.labels.*.name", ["bug", "docs"]),
    ("github.event.issue.labels[*].name", ["bug", "docs"]),
    ("needs.*.result", ["success", "skipped"]),
    ("matrix.list.*", [10, 20]),
    ("matrix.os.*", []),
    ("'\u0131' == 'I'", False),
    ("'_' > 'a'", True),
    ("format('{0}', -0)", "0"),
    ("join(matrix.list, matrix)", "10,20"),
    ("inputs.*", []),
    # functions
    ("contains('Hello world', 'LLO')", True),
    ("contains('abc', '')", True),
    ("contains(matrix.list, '20')", True),
    ("contains(matrix.list, 5)", False),
    ("contains(matrix, 'os')", False),
    ("contains(github.event.issue.labels.*.name, 'BUG')", True),
    ("contains(needs.*.result, 'failure')", False),
    ("contains(123, 2)", True),
    ("startsWith('Hello', 'he')", True),
    ("startsWith(matrix.list, '1')", False),
    ("startsWith(github.ref, 'refs/tags/')", True),
    ("endsWith('Hello', 'LO')", True),
    ("endsWith('Hello', 'x')", False),
    ("format('{0} {1} {0}', 'a', 1.0)", "a 1 a"),
    ("format('{{{0}}} {{x}}', true)", "{true} {x}"),
    ("format('{0}', null)", ""),
    ("format('{0}', matrix)", "Object"),
    ("join(matrix.list)", "10,20"),
    ("join(matrix.list, ' - ')", "10 - 20"),
    ("join('abc', '-')", "abc"),
    ("join(fromJSON('[null, true, [1]]'))", ",true,Array"),
    ("toJSON('a')", '"a"'),
    ("toJSON(3)", "3"),
    ("toJSON(null)", "null"),
    ("toJSON(matrix.list)", "[\n  10,\n  20\n]"),
    ("fromJSON('{\"a\": [true]}').A[0]", True),
    ("fromJSON(toJSON(matrix)).n", 3),
    ("FROMJSON('5')", 5),
    ("case(false, 'a', true, 'b', 'c')", "b"),
    ("case(false, 'a', 'c')", "c"),
    ("success() && always()", True),
    ("failure() || cancelled()", False),
    # texts of numbers
    ("format('{0}', 1e20)", "1E+20"),
    ("format('{0}', 0.1)", "0.1"),
    ("format('{0}', 12345678901234)", "12345678901234"),
    ("format('{0}', 1e-5)", "1E-05"),
    # a text with an expression inside is formatted, so that it is a text
    ("${{ false }} && true", "false && true"),
    ("x${{ matrix.n }}", "x3"),
]


@pytest.mark.parametrize(("text", "result"), VALUES)
def test_expression_has_the_documented_value(text: str, result: JsonValue) -> None:
    found = value(text)

    assert found == result
    assert type(found) is type(result)


@pytest.mark.parametrize(
    "text",
    [
        "1 +",
        "1 2",
        "(1",
        "1)",
        '"a"',
        "'a",
        "a",
        "refs/tags",
        "matrix.",
        "matrix[0",
        "matrix.'a'",
        "== 1",
        "1 ==",
        "!",
        "foo()",
        "contains('a')",
        "always(1)",
        "format()",
        "TRUE",
        "0xg",
        "1.2.3",
        "1 & 2",
        "1 = 2",
        "case(true, 'a')",
        "case(1 == 1, 'a', true, 'b')",
        "${{ 1 ",
        "${{ }}",
        "(" * 60 + "1" + ")" * 60,
        "format('{1}', 1)",
        "format('{', 1)",
        "fromJSON('x')",
        "case('true', 1, 2)",
        f"matrix{'.a' * 50}",
    ],
)
def test_wrong_expression_is_refused_in_one_line(text: str) -> None:
    with pytest.raises(BadExpression) as error:
        value(text)

    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("secrets.TOKEN", "secrets.TOKEN"),
        ("secrets['TOKEN'] == ''", "secrets.TOKEN"),
        ("steps.one.outputs.x", "steps.one.outputs.x"),
        ("vars.A || 'x'", "vars.A"),
        ("runner.os == 'Linux'", "runner.os"),
        ("github.actor", "github.actor"),
        ("needs.a.outputs.version", "needs.a.outputs.version"),
        ("needs.*.outputs.version", "needs.a.outputs.version"),
        ("steps.*.outcome", "steps.*.outcome"),
        ("toJSON(github)", "github"),
        ("toJSON(needs)", "needs.a.outputs"),
        ("hashFiles('**/x')", "hashFiles()"),
        ("fromJSON(vars.A).b", "vars.A"),
        ("matrix[vars.A]", "vars.A"),
        ("case(vars.A, 1, 2)", "vars.A"),
        # The value of the operator is the unknown operand or the other one.
        ("secrets.A && ''", "secrets.A"),
    ],
)
def test_unknown_value_is_named(text: str, name: str) -> None:
    with pytest.raises(UnknownValue) as error:
        value(text)

    assert error.value.name == name


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("secrets.A && false", False),
        ("false && secrets.A", False),
        ("secrets.A || true", True),
        ("true || secrets.A", True),
        ("!(secrets.A || true)", False),
        ("!(secrets.A && false)", True),
        ("(secrets.A == 'x' || vars.B) && github.ref == 'refs/heads/main'", False),
        ("github.ref == 'refs/tags/v1.2' || vars.B", True),
        ("needs.a.outputs", True),
    ],
)
def test_one_operand_can_decide_without_an_unknown_one(text: str, *, result: bool) -> None:
    assert is_true(text, CONTEXT) is result


@pytest.mark.parametrize("text", ["secrets.A && true", "secrets.A || false", "!secrets.A"])
def test_unknown_operand_that_decides_is_unknown(text: str) -> None:
    with pytest.raises(UnknownValue):
        is_true(text, CONTEXT)


def test_known_operand_of_a_short_circuit_is_a_value() -> None:
    assert value("false && secrets.A") is False
    assert value("'x' || secrets.A") == "x"


@pytest.mark.parametrize(
    ("condition", "success", "failure", "cancelled"),
    [
        ("true", True, False, False),
        ("success()", True, False, False),
        ("always()", True, True, True),
        ("failure()", False, True, False),
        ("cancelled()", False, False, True),
        ("!cancelled()", True, True, False),
        ("failure() || cancelled()", False, True, True),
        ("${{ !failure() }}", True, False, True),
        ("false", False, False, False),
        ("", False, False, False),
        # GitHub formats a text with an expression inside, and a text is true.
        ("${{ false }} == true", True, False, False),
    ],
)
def test_condition_without_a_status_function_implies_success(
    condition: str, *, success: bool, failure: bool, cancelled: bool
) -> None:
    results = [
        holds(condition, CONTEXT.model_copy(update={"status": status}))
        for status in ("success", "failure", "cancelled")
    ]

    assert results == [success, failure, cancelled]


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("plain {{ x }} $y", "plain {{ x }} $y"),
        ("", ""),
        ("a-${{ matrix.os }}-${{matrix.n}}", "a-Linux-3"),
        ("${{ matrix.missing }}|${{ matrix.flag }}|${{ null }}", "|false|"),
        ("${{ '}}' }}${{ format('{0}}}', 1) }}", "}}1}"),
        ("${{ toJSON(matrix.list) }}", "[\n  10,\n  20\n]"),
        ("{0} ${{ 'x' }}", "{0} x"),
    ],
)
def test_text_is_filled(text: str, result: str) -> None:
    assert fill(text, CONTEXT) == result


def test_text_with_an_unknown_value_is_not_filled() -> None:
    with pytest.raises(UnknownValue):
        fill("a-${{ secrets.A }}", CONTEXT)


# -- the context of an event ----------------------------------------------------------------------

WORKFLOW = parse(
    """
name: Release
on:
  push: {tags: ['v*']}
  release:
  pull_request:
  schedule: [{cron: '0 0 * * *'}]
  repository_dispatch:
  workflow_dispatch:
    inputs:
      ref: {required: true}
      dry: {type: boolean}
      wet: {type: boolean, default: true}
      n: {type: number, default: 3}
      where: {type: choice, default: test, options: [test, live]}
env: {A: '${{ github.ref_name }}', B: '${{ secrets.X }}'}
jobs: {one: {runs-on: x, steps: [{run: a}]}}
""",
    Path("publish.yml"),
)
PUSH = Event(ref="refs/tags/v1.0", sha="abc", message="Release")


@pytest.mark.parametrize(
    ("event", "text", "result"),
    [
        (PUSH, "github.event_name", "push"),
        (PUSH, "github.ref", "refs/tags/v1.0"),
        (PUSH, "github.ref_name", "v1.0"),
        (PUSH, "github.ref_type", "tag"),
        (PUSH, "github.sha", "abc"),
        (PUSH, "github.repository", "me/demo"),
        (PUSH, "github.repository_owner", "me"),
        (PUSH, "github.workflow", "Release"),
        (PUSH, "github.workflow_ref", "me/demo/.github/workflows/publish.yml@refs/tags/v1.0"),
        (PUSH, "github.base_ref", ""),
        (PUSH, "github.event.ref", "refs/tags/v1.0"),
        (PUSH, "github.event.head_commit.message", "Release"),
        (PUSH, "github.event.release.tag_name", None),
        (PUSH, "github.event.inputs.ref", None),
        (PUSH, "github.event.pull_request.head.repo.fork", None),
        (PUSH, "github.event.repository.full_name", "me/demo"),
        (PUSH, "inputs.ref", None),
        (PUSH, "env.A", "v1.0"),
        (Event(ref="refs/heads/a/b"), "github.ref_name", "a/b"),
        (Event(ref="refs/heads/a/b"), "github.ref_type", "branch"),
        (
            Event(name="release", type="published", ref="refs/tags/v1"),
            "github.event.action == 'published' && !github.event.release.draft",
            True,
        ),
        (
            Event(name="release", type="published", ref="refs/tags/v1"),
            "github.event.release.tag_name",
            "v1",
        ),
        (
            Event(name="release", type="released", ref="refs/tags/v1"),
            "github.event.release.prerelease",
            False,
        ),
        (Event(name="pull_request", base="main"), "github.base_ref", "main"),
        (Event(name="pull_request", base="main"), "github.event.pull_request.base.ref", "main"),
        (Event(name="pull_request", ref="refs/pull/1/merge"), "github.ref_name", "1/merge"),
        (Event(name="workflow_dispatch", inputs={"ref": "v1"}), "inputs.ref", "v1"),
        (Event(name="workflow_dispatch", inputs={"ref": "v1"}), "github.event.inputs.ref", "v1"),
        (Event(name="workflow_dispatch", inputs={"dry": "true"}), "inputs.dry", True),
        (Event(name="workflow_dispatch", inputs={"dry": "true"}), "inputs.dry == 'true'", False),
        (
            Event(name="workflow_dispatch", inputs={"dry": "true"}),
            "github.event.inputs.dry == 'true'",
            True,
        ),
        (Event(name="workflow_dispatch"), "inputs.dry", False),
        (Event(name="workflow_dispatch"), "inputs.wet", True),
        (Event(name="workflow_dispatch"), "inputs.n", 3),
        (Event(name="workflow_dispatch"), "inputs.where", "test"),
        (Event(name="workflow_dispatch"), "inputs.missing", None),
        (Event(name="workflow_dispatch", ref="refs/heads/a"), "github.event.ref", "refs/heads/a"),
    ],
)
def test_event_gives_its_contexts(event: Event, text: str, result: JsonValue) -> None:
    assert evaluate(text, event_context(event, WORKFLOW, "me/demo")) == result


@pytest.mark.parametrize(
    ("event", "text"),
    [
        (PUSH, "github.actor"),
        (PUSH, "github.token"),
        (PUSH, "github.event.sender.login"),
        (PUSH, "github.event.head_commit.id"),
        (PUSH, "github.event.repository.default_branch"),
        (PUSH, "env.B"),
        (PUSH, "env.SET_BY_A_STEP"),
        (Event(), "github.ref"),
        (Event(), "github.sha"),
        (Event(name="release", type="published", ref="x"), "github.event.release.prerelease"),
        (Event(name="release", type="published", ref="x"), "github.event.release.body"),
        (Event(name="pull_request"), "github.head_ref"),
        (Event(name="pull_request"), "github.event.pull_request.merged"),
        (Event(name="repository_dispatch"), "github.event.client_payload.version"),
        (Event(name="schedule"), "github.event.schedule"),
        (Event(name="fork"), "github.event.forkee.name"),
    ],
)
def test_what_only_the_run_gives_is_unknown(event: Event, text: str) -> None:
    with pytest.raises(UnknownValue):
        evaluate(text, event_context(event, WORKFLOW, "me/demo"))


def test_an_unknown_repository_is_unknown() -> None:
    with pytest.raises(UnknownValue):
        evaluate("github.repository", event_context(PUSH, WORKFLOW, ""))
