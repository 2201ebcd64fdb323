"""Give each job the values of `runner.os` and `runner.arch` that belong to its label.

act has the values of the container of the jobs, Linux and X64, for every label. Expressions over
the label replace both properties in the workflow files that act reads. They also set the variables
RUNNER_OS and RUNNER_ARCH of the job.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import yaml

from verification.models.expression_syntax import BadExpression, sources
from verification.models.hosted_runners import context_expressions, hosted_runner
from verification.models.workflow import RunningJob, Workflow, WorkflowStep
from verification.models.workflow_call import with_local_actions
from verification.models.workflow_file import compose

_CONTAINER = {"os": "Linux", "arch": "X64"}
"""The values in act."""
_RUNNER = re.compile(
    r"'(?:[^']|'')*'"  # a string
    r"|(?<![\w.-])runner(?![\w-])"
    r"(?:\s*\.\s*(?P<name>[a-z_][\w-]*)|\s*\[\s*'(?P<key>[^']*)'\s*\]|(?P<all>))",
    re.IGNORECASE | re.ASCII,
)
"""A string, or a use of `runner`: of one property, or of all."""
_PLAIN = re.compile(r"\w[\w./-]*", re.ASCII)
"""A text of YAML that means the same without quotes inside braces."""
_UNPRINTABLE = re.compile("[\x7f-\x9f\u2028\u2029\ufeff]")
_TAG = "tag:yaml.org,2002:"

Replace = Callable[[re.Match[str]], str]


class RunnerValues(NamedTuple):
    """The workflow files with the values of each job."""

    texts: Mapping[str, str]
    """The new text of each changed file, by its path in the repository. Each key and each step has
    its old line."""
    limits: tuple[str, ...]
    """What has the values of the container although its label has others."""


def with_runner_values(workflow: Workflow, root: Path) -> RunnerValues:
    """Return a started workflow file and the files of the repository that it calls, with values.

    ``root`` is the folder of the repository. A file stays if all its jobs have the values of the
    container.
    """
    texts: dict[str, str] = {}
    limits: list[str] = []
    for file in workflow.files:
        document = compose(file.path.read_text("utf-8"))
        expressions: dict[str, dict[str, str]] = {}
        for id_, job in _table(_table(document).get("jobs")).items():
            label = _label(_table(job).get("runs-on"))
            if label is None:
                continue  # it calls a workflow
            if values := _values(label):
                expressions[id_] = values
            else:
                limits.append(
                    f"{file.location(file.jobs[id_].line)}: the runner of job {id_} is not known, "
                    "so `runner.os` is Linux and `runner.arch` is X64"
                )
        is_changed = any(values != _literals(_CONTAINER) for values in expressions.values())
        if is_changed and isinstance(document, yaml.MappingNode):
            new = _with_values(document, expressions)
            texts[str(file.path.relative_to(root))] = _Writer().text(new)
    return RunnerValues(texts, (*limits, *_limits(workflow, root)))


def _label(node: yaml.Node | None) -> str | None:
    """Return the text of the label in `runs-on`; "" if it is not a single label, None without."""
    match node:
        case None:
            return None
        case yaml.ScalarNode():
            return str(node.value)
        case yaml.SequenceNode(value=[yaml.ScalarNode() as only]):
            return str(only.value)
        case yaml.MappingNode():
            return _label(_table(node).get("labels")) or ""
        case _:
            return ""


def _values(label: str) -> dict[str, str]:
    """Return the expressions of `os` and `arch` for the text of a label; none if unknown."""
    if "${{" not in label:
        runner = hosted_runner(label)
        return _literals(runner.context) if runner else {}
    parts = sources(label.strip())
    if len(parts) == 1:
        return context_expressions(parts[0][0].strip())
    texts = (text.strip() if is_expression else _quoted(text) for text, is_expression in parts)
    template = "".join(f"{{{number}}}" for number in range(len(parts)))
    return context_expressions(f"format('{template}', {', '.join(texts)})")


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _literals(values: Mapping[str, str]) -> dict[str, str]:
    return {name: f"({_quoted(value)})" for name, value in values.items()}


# ---- expressions ----


def _replaced(text: str, replace: Replace, *, is_condition: bool) -> str:
    """Return a text with changed uses of `runner` and strings in its expressions."""
    if is_condition and "${{" not in text:
        return _RUNNER.sub(replace, text)
    return "".join(
        f"${{{{{_RUNNER.sub(replace, part)}}}}}" if is_expression else part
        for part, is_expression in sources(text)
    )


def _with_expressions(text: str, values: Mapping[str, str], *, is_condition: bool) -> str:
    """Return a text in which the expressions of the values replace the properties of `runner`."""

    def replace(match: re.Match[str]) -> str:
        return values.get((match["name"] or match["key"] or "").lower(), match[0])

    return _replaced(text, replace, is_condition=is_condition)


def _limits(workflow: Workflow, root: Path) -> Iterator[str]:
    """Yield a line for each step whose uses of `runner` keep the values of the container."""
    for running in workflow.running_jobs:
        runners = map(hosted_runner, running.job.runs_on)
        if all(runner and runner.context == _CONTAINER for runner in runners):
            continue
        for step in running.job.steps:
            uses = _uses(step)
            if not running.workflow.origin:
                uses = uses & {"runner"} | _inner_uses(running, step, root)
            if uses:
                yield (
                    f"{running.workflow.location(step.line)}: in job {running.job.id}, "
                    f"{', '.join(sorted(uses))} has the value of the container (Linux, X64)"
                )


def _inner_uses(running: RunningJob, step: WorkflowStep, root: Path) -> frozenset[str]:
    """Return what the steps of a composite action of the repository use of `runner`."""
    plain = step.model_copy(update={"with_": {}})  # an input has the value of the job
    job = running.job.model_copy(update={"steps": (plain,)})
    file = running.workflow.model_copy(update={"jobs": {job.id: job}, "called": {}})
    ((complete,),) = (job.steps for job in with_local_actions(file, root).jobs.values())
    return frozenset[str]().union(*map(_uses_with_inner, complete.steps))


def _uses_with_inner(step: WorkflowStep) -> frozenset[str]:
    return _uses(step).union(*map(_uses_with_inner, step.steps))


def _uses(step: WorkflowStep) -> frozenset[str]:
    """Return what a step uses: `runner.os`, `runner.arch`, and `runner` for all properties."""
    found: set[str] = set()

    def note(match: re.Match[str]) -> str:
        if not match[0].startswith("'"):
            name = (match["name"] or match["key"] or "").lower()
            found.add(f"runner.{name}" if name else "runner")
        return match[0]

    texts = (step.name, step.run, step.working_directory, *step.with_.values(), *step.env.values())
    with contextlib.suppress(BadExpression):  # of an action, which nothing has checked
        _replaced(step.condition or "", note, is_condition=True)
        for text in texts:
            _replaced(text or "", note, is_condition=False)
    return frozenset(found & {"runner", *(f"runner.{name}" for name in _CONTAINER)})


# ---- nodes ----


def _with_values(
    document: yaml.MappingNode, expressions: Mapping[str, Mapping[str, str]]
) -> yaml.MappingNode:
    """Return a document with changed jobs. ``expressions`` has the values of each job."""
    jobs = [
        (key, _job(job, expressions[key.value]) if key.value in expressions else job)
        for key, job in _table(document)["jobs"].value
    ]
    pairs = [
        (key, _like(value, jobs) if key.value == "jobs" else value) for key, value in document.value
    ]
    return _like(document, pairs)


def _job(job: yaml.MappingNode, values: Mapping[str, str]) -> yaml.MappingNode:
    """Return a job with the values in its expressions and in its variables."""
    pairs = {key.value: (key, _edited(value, (key.value,), values)) for key, value in job.value}
    key, env = pairs.get("env", (_text("env", job), None))
    if env is None or isinstance(env, yaml.MappingNode) or env.tag == f"{_TAG}null":
        variables = {
            f"RUNNER_{name.upper()}": f"${{{{ {text} }}}}" for name, text in values.items()
        }
        added = [
            (_text(name, job), _text(text, job))
            for name, text in variables.items()
            if name not in _table(env)
        ]
        own = env.value if isinstance(env, yaml.MappingNode) else []
        pairs["env"] = key, yaml.MappingNode(f"{_TAG}map", [*own, *added], job.start_mark)
    return _like(job, [*pairs.values()])


def _edited(node: yaml.Node, path: tuple[str, ...], values: Mapping[str, str]) -> yaml.Node:
    """Return a part of a job with the values in its expressions. ``path`` has its keys."""
    match node:
        case yaml.MappingNode():
            pairs = [(key, _edited(value, (*path, key.value), values)) for key, value in node.value]
            return _like(node, pairs)
        case yaml.SequenceNode():
            items = [_edited(item, (*path, ""), values) for item in node.value]
            return yaml.SequenceNode(node.tag, items, node.start_mark)
        case _:
            # An input or a variable can have the name `if` too.
            is_condition = path[-2:] == ("", "if")
            text = _with_expressions(str(node.value), values, is_condition=is_condition)
            return node if text == node.value else _text(text, node)


def _text(text: str, origin: yaml.Node) -> yaml.ScalarNode:
    return yaml.ScalarNode(f"{_TAG}str", text, origin.start_mark, style='"')


def _like(node: yaml.MappingNode, pairs: list[tuple[yaml.Node, yaml.Node]]) -> yaml.MappingNode:
    return yaml.MappingNode(node.tag, pairs, node.start_mark)


def _table(node: yaml.Node | None) -> dict[str, yaml.Node]:
    if not isinstance(node, yaml.MappingNode):
        return {}
    return {str(key.value): value for key, value in node.value}


class _Writer:
    """Writes nodes in braces. Each node is on its old line, and comments are left out."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._line = 0

    def text(self, node: yaml.Node) -> str:
        self._write(node)
        return "".join(self._parts) + "\n"

    def _write(self, node: yaml.Node) -> None:
        missing = node.start_mark.line - self._line
        if missing > 0:  # the node of an alias is above
            self._parts.append("\n" * missing + " ")
            self._line += missing
        match node:
            case yaml.MappingNode():
                self._parts.append("{")
                for key, value in node.value:
                    self._write(key)
                    self._parts.append(": ")
                    self._write(value)
                    self._parts.append(", ")
                self._parts.append("}")
            case yaml.SequenceNode():
                self._parts.append("[")
                for item in node.value:
                    self._write(item)
                    self._parts.append(", ")
                self._parts.append("]")
            case _:
                self._parts.append(_scalar(node))


def _scalar(node: yaml.Node) -> str:
    """Return a value on one line."""
    text = str(node.value)
    if node.tag == f"{_TAG}null":
        return "null"
    is_plain = isinstance(node, yaml.ScalarNode) and not node.style
    if node.tag != f"{_TAG}str" or (is_plain and _PLAIN.fullmatch(text)):
        return text
    quoted = json.dumps(text, ensure_ascii=False)
    return _UNPRINTABLE.sub(lambda match: f"\\u{ord(match[0]):04x}", quoted)
