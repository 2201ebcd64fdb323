"""Read a GitHub workflow file.

The reader follows GitHub's documentation ("Workflow syntax for GitHub Actions") and the published
schema of workflow files (actions/languageservices, `workflow-v1.0.json`). The format is YAML 1.2,
in which `on` is a string and not a boolean. Unknown and duplicate keys are errors.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Literal

import yaml
from pydantic import JsonValue

from verification.models.expression_syntax import number_text
from verification.models.workflow import (
    SCOPES,
    BadWorkflow,
    Combination,
    Concurrency,
    Pattern,
    Trigger,
    Workflow,
    WorkflowInput,
    WorkflowJob,
    WorkflowStep,
)
from verification.models.workflow_expressions import wrong_expressions

RESTRICTED_DEFAULT = {"contents": "read", "packages": "read"}
"""The permissions of a job's token if the workflow does not set any. This is the restricted default
of GitHub. A repository can have the permissive default, but the file does not show it."""

_LEVELS = ("none", "read", "write")
_NO_READ = {"copilot-requests", "id-token"}
_NO_WRITE = {"models"}
_WORKFLOW_KEYS = {
    "description",
    "name",
    "run-name",
    "on",
    "permissions",
    "env",
    "defaults",
    "concurrency",
    "jobs",
}
_JOB_KEYS = {
    "cancel-timeout-minutes",
    "concurrency",
    "container",
    "continue-on-error",
    "defaults",
    "env",
    "environment",
    "if",
    "name",
    "needs",
    "outputs",
    "permissions",
    "runs-on",
    "secrets",
    "services",
    "snapshot",
    "steps",
    "strategy",
    "timeout-minutes",
    "uses",
    "with",
}
_STEP_KEYS = {
    "background",
    "cancel",
    "continue-on-error",
    "env",
    "id",
    "if",
    "name",
    "parallel",
    "run",
    "shell",
    "timeout-minutes",
    "uses",
    "wait",
    "wait-all",
    "with",
    "working-directory",
}
_KINDS_OF_STEP = {"cancel", "parallel", "run", "uses", "wait", "wait-all"}
_REFS = {"branches", "branches-ignore"}
_PATHS = {"paths", "paths-ignore"}
_FILTERS = {
    "merge_group": _REFS | {"types"},
    "push": _REFS | _PATHS | {"tags", "tags-ignore"},
    "pull_request": _REFS | _PATHS | {"types"},
    "pull_request_target": _REFS | _PATHS | {"types"},
    "release": {"types"},
    "repository_dispatch": {"types"},
    "workflow_run": _REFS | {"types", "workflows"},
}
"""The filters of the events that matter for a release. Other events can have any filter."""
_TYPES = {
    "release": {
        "created",
        "deleted",
        "edited",
        "prereleased",
        "published",
        "released",
        "unpublished",
    },
    "workflow_run": {"completed", "in_progress", "requested"},
}
"""The activity types of the events that matter for a release."""
_INPUT_TYPES = {
    "workflow_call": {"boolean", "number", "string"},
    "workflow_dispatch": {"boolean", "choice", "environment", "number", "string"},
}
_ID = re.compile(r"[A-Za-z_][\w-]*", re.ASCII)
_MATRIX_VALUE = re.compile(r"\$\{\{\s*matrix\.([\w.-]+)\s*\}\}")
_MAX_NODES = 100_000  # a small file with nested aliases can expand to any size


def load(path: Path) -> Workflow:
    """Read a workflow file.

    Raises:
        BadWorkflow: the file cannot be read, is not YAML, or is not a workflow that GitHub would
            run.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise BadWorkflow(f"{path}: no such workflow file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise BadWorkflow(f"{path}: cannot be read: {error}") from None
    return parse(text, path)


def parse(text: str, path: Path) -> Workflow:
    """Read the text of a workflow file; errors name `path`.

    Raises:
        BadWorkflow: the text is not YAML, or is not a workflow that GitHub would run.
    """
    try:
        return _Reader(path, text).workflow(compose(text))
    except yaml.MarkedYAMLError as error:
        line = (error.problem_mark.line + 1) if error.problem_mark else 1
        reason = " ".join((error.problem or error.context or "").split())
        raise BadWorkflow(f"{path}:{line}: is not YAML: {reason}{_hint(text, line)}") from None
    except yaml.YAMLError as error:
        raise BadWorkflow(f"{path}: is not YAML: {' '.join(str(error).split())}") from None
    except RecursionError:
        raise BadWorkflow(f"{path}: is nested too deeply to be a workflow") from None


def compose(text: str) -> yaml.Node | None:
    """Return the nodes of the text of a workflow file; None if it is empty.

    Raises:
        yaml.YAMLError: the text is not YAML.
    """
    return yaml.compose(text, Loader=_Loader)


def composite_steps(folder: Path) -> tuple[WorkflowStep, ...]:
    """Return the steps of the composite action in a folder.

    There are none if the folder has no action, an invalid one, or one of another kind.
    """
    for path in (folder / "action.yml", folder / "action.yaml"):
        try:
            text = path.read_text(encoding="utf-8")
            return _Reader(path, text).composite_steps(compose(text))
        except (OSError, UnicodeDecodeError, yaml.YAMLError, BadWorkflow):
            continue
    return ()


def _hint(text: str, line: int) -> str:
    lines = text.splitlines()
    source_line = lines[line - 1] if line <= len(lines) else ""
    if re.search(r"[-:\[,]\s*[*!&]", source_line):
        return "; quote a pattern that begins with one of * ! &"
    return ""


class _Loader(yaml.SafeLoader):
    """A loader for the core schema of YAML 1.2, in which on, off, yes and no are strings.

    https://yaml.org/spec/1.2.2/#103-core-schema
    """

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if not self.check_event(yaml.AliasEvent):  # YAML allows a new node with a known anchor
            self.anchors.pop(self.peek_event().anchor, None)  # type: ignore[no-untyped-call]
        return super().compose_node(parent, index)


_TAG = "tag:yaml.org,2002:"
for _tag, _pattern, _first in (
    ("null", r"(?:~|null|Null|NULL|)\Z", ["~", "n", "N", ""]),
    ("bool", r"(?:true|True|TRUE|false|False|FALSE)\Z", list("tTfF")),
    ("int", r"(?:[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+)\Z", list("-+0123456789")),
    (
        "float",
        r"(?:[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))\Z",
        list("-+.0123456789"),
    ),
):
    _Loader.add_implicit_resolver(f"{_TAG}{_tag}", re.compile(_pattern), _first)


class _Reader:
    """Converts the nodes of a YAML document to a workflow. It refuses what GitHub would refuse."""

    def __init__(self, path: Path, text: str) -> None:
        self._path = path
        self._lines = text.splitlines()
        self._nodes = 0

    def workflow(self, document: yaml.Node | None) -> Workflow:
        if document is None:
            raise BadWorkflow(f"{self._path}: is empty; a workflow needs `on` and `jobs`")
        table = self._table(document, "the workflow", _WORKFLOW_KEYS)
        for key in ("on", "jobs"):
            if key not in table:
                raise self._bad(document, f"the workflow has no `{key}`")
        on = self._on(table["on"])
        declared = table.get("permissions")
        permissions = None if declared is None else self._permissions(declared)
        ids = self._table(table["jobs"], "`jobs`")
        if not ids:
            raise self._bad(table["jobs"], "`jobs` is empty; write at least one job")
        lines = _key_lines(table["jobs"])
        folded = [id_.lower() for id_ in ids]
        for id_, node in ids.items():
            if folded.count(id_.lower()) > 1:
                raise self._bad(node, f"`jobs` has the id {id_!r} twice; GitHub ignores its case")
        defaults = self._defaults(table.get("defaults"))
        jobs = {
            id_: self._job(id_, node, permissions, defaults, lines[id_])
            for id_, node in ids.items()
        }
        self._check_needs(jobs)
        for node, fault in wrong_expressions(document):
            raise self._bad(node, fault)
        name = self._optional(table, "name")
        return Workflow(
            path=self._path,
            name=name if name is not None else self._path.name,
            on=on,
            permissions=permissions,
            concurrency=self._concurrency(table.get("concurrency")),
            env=self._texts(table.get("env"), "`env`"),
            jobs=jobs,
            lines=_key_lines(document),
        )

    def composite_steps(self, document: yaml.Node | None) -> tuple[WorkflowStep, ...]:
        if document is None:
            return ()
        runs = self._table(document, "the action").get("runs")
        table = {} if runs is None else self._table(runs, "`runs`")
        return self._steps(table.get("steps"), "the action")

    # -- triggers ---------------------------------------------------------------------------------

    def _on(self, node: yaml.Node) -> dict[str, Trigger]:
        match node:
            case yaml.ScalarNode():
                name = self._word(node, "`on`")
                return {name: Trigger(event=name, filters={}, line=_line(node))}
            case yaml.SequenceNode():
                names = [(self._word(item, "an event of `on`"), _line(item)) for item in node.value]
                return {name: Trigger(event=name, filters={}, line=line) for name, line in names}
            case _:
                table = self._table(node, "`on`")
                return {event: self._trigger(event, value) for event, value in table.items()}

    def _trigger(self, event: str, node: yaml.Node) -> Trigger:
        if _empty(node):
            return Trigger(event=event, filters={}, line=_line(node))
        if event == "schedule":
            return Trigger(
                event=event, filters={}, schedules=self._schedules(node), line=_line(node)
            )
        if event in _INPUT_TYPES:
            table = self._table(node, f"`on.{event}`")
            inputs = self._declared_inputs(event, table.get("inputs"))
            return Trigger(event=event, filters={}, inputs=inputs, line=_line(node))
        table = self._table(node, f"`on.{event}`", _FILTERS.get(event))
        for kind in ("branches", "tags", "paths"):
            if kind in table and f"{kind}-ignore" in table:
                raise self._bad(
                    table[f"{kind}-ignore"],
                    f"`on.{event}` has both `{kind}` and `{kind}-ignore`, and GitHub accepts only "
                    f"one; write the excluded patterns as `!pattern` under `{kind}`",
                )
        filters = {
            key: self._patterns(event, key, value)
            for key, value in table.items()
            if not _empty(value)
        }
        known_types = _TYPES.get(event)
        for type_ in filters.get("types", ()):
            if known_types and type_.text not in known_types:
                raise BadWorkflow(
                    f"{self._path}:{type_.line}: `on.{event}.types` has the unknown type "
                    f"{type_.text!r}; the known types are: {', '.join(sorted(known_types))}"
                )
        return Trigger(event=event, filters=filters, line=_line(node))

    def _schedules(self, node: yaml.Node) -> tuple[str, ...]:
        if not isinstance(node, yaml.SequenceNode):
            raise self._bad(node, "`on.schedule` is not a list")
        entries = [self._table(item, "an entry of `on.schedule`") for item in node.value]
        for entry, item in zip(entries, node.value, strict=True):
            if "cron" not in entry:
                raise self._bad(item, "an entry of `on.schedule` has no `cron`")
        return tuple(self._word(entry["cron"], "`cron`") for entry in entries)

    def _declared_inputs(self, event: str, node: yaml.Node | None) -> dict[str, WorkflowInput]:
        if node is None or _empty(node):
            return {}
        where = f"`on.{event}.inputs`"
        return {
            name: self._declared_input(event, f"{where} has the input {name!r}, which", item)
            for name, item in self._table(node, where).items()
        }

    def _declared_input(self, event: str, what: str, node: yaml.Node) -> WorkflowInput:
        table = {} if _empty(node) else self._table(node, what)
        kind = self._optional(table, "type")
        if kind is None and event == "workflow_call":
            raise self._bad(node, f"{what} has no `type`")
        if kind is not None and kind not in _INPUT_TYPES[event]:
            types = ", ".join(sorted(_INPUT_TYPES[event]))
            raise self._bad(node, f"{what} has the unknown type {kind!r}; the types are: {types}")
        return WorkflowInput(
            type=kind or "string",
            default=self._optional(table, "default"),
            required=self._optional(table, "required") == "true",
            options=self._words(table.get("options"), f"`options` of {what}"),
        )

    def _patterns(self, event: str, key: str, node: yaml.Node) -> tuple[Pattern, ...]:
        what = f"`on.{event}.{key}`"
        items = node.value if isinstance(node, yaml.SequenceNode) else [node]
        patterns = tuple(Pattern(text=self._word(item, what), line=_line(item)) for item in items)
        if not patterns:
            raise self._bad(node, f"{what} is empty")
        if all(pattern.text.startswith("!") for pattern in patterns):
            raise self._bad(
                node,
                f"{what} has only excluded patterns; add a pattern without `!`, or write "
                f"`{key}-ignore`",
            )
        return patterns

    # -- jobs -------------------------------------------------------------------------------------

    def _job(
        self,
        id_: str,
        node: yaml.Node,
        workflow: dict[str, str] | None,
        defaults: dict[str, str],
        line: int,
    ) -> WorkflowJob:
        if not _ID.fullmatch(id_) or id_.startswith("__"):
            raise self._bad(
                node,
                f"the job id {id_!r} is invalid; use only letters, digits, - and _, and begin with "
                "a letter or one _",
            )
        where = f"the job {id_!r}"
        table = self._table(node, where, _JOB_KEYS)
        uses = self._optional(table, "uses")
        if uses is None and not {"runs-on", "steps"} <= table.keys():
            missing = "runs-on" if "runs-on" not in table else "steps"
            raise self._bad(node, f"{where} has no `{missing}`")
        if uses is not None and (both := {"runs-on", "steps"} & table.keys()):
            raise self._bad(node, f"{where} has both `uses` and `{min(both)}`")
        declared = table.get("permissions")
        origin: Literal["job", "workflow", "default"]
        if declared is not None:
            origin, permissions = "job", self._permissions(declared)
        elif workflow is not None:
            origin, permissions = "workflow", workflow
        else:
            origin, permissions = "default", dict(RESTRICTED_DEFAULT)
        matrix = self._matrix(table.get("strategy"), where)
        known = not _has_expression(matrix)
        combinations = self._combinations(matrix, table["strategy"]) if known and matrix else ({},)
        name = self._optional(table, "name")
        return WorkflowJob(
            id=id_,
            name=name if name is not None else id_,
            needs=self._words(table.get("needs"), f"`needs` of {where}"),
            permissions=permissions,
            permissions_from=origin,
            environment=self._environment(table.get("environment"), where),
            runs_on=self._runs_on(table.get("runs-on"), where, combinations),
            combinations=combinations,
            matrix=None if known else matrix,
            condition=self._optional(table, "if"),
            continue_on_error=self._optional(table, "continue-on-error"),
            concurrency=self._concurrency(table.get("concurrency")),
            outputs=self._texts(table.get("outputs"), f"`outputs` of {where}"),
            env=self._texts(table.get("env"), f"`env` of {where}"),
            defaults=defaults | self._defaults(table.get("defaults")),
            containers=self._images(table, where),
            uses=uses,
            with_=self._inputs(table.get("with"), f"`with` of {where}"),
            secrets=self._secrets(table.get("secrets"), where),
            steps=self._steps(table.get("steps"), where),
            line=line,
        )

    def _secrets(self, node: yaml.Node | None, where: str) -> dict[str, str] | None:
        if isinstance(node, yaml.ScalarNode) and node.value == "inherit":
            return None
        return self._texts(node, f"`secrets` of {where}")

    def _permissions(self, node: yaml.Node) -> dict[str, str]:
        if isinstance(node, yaml.ScalarNode):
            word = self._word(node, "`permissions`")
            if word not in ("read-all", "write-all"):
                raise self._bad(
                    node, f"`permissions: {word}` is not read-all, write-all or a table"
                )
            level = word.removesuffix("-all")
            levels = ((scope, _valid_level(scope, level)) for scope in SCOPES)
            return {scope: valid for scope, valid in levels if valid}
        table = self._table(node, "`permissions`", set(SCOPES))
        permissions = {}
        for scope, value in table.items():
            level = self._word(value, f"`permissions.{scope}`")
            if level not in _LEVELS or (level != "none" and _valid_level(scope, level) != level):
                raise self._bad(value, f"`permissions.{scope}` cannot be {level!r}")
            if level != "none":
                permissions[scope] = level
        return permissions

    def _environment(self, node: yaml.Node | None, where: str) -> str | None:
        if node is None:
            return None
        if isinstance(node, yaml.ScalarNode):
            return self._text(node, f"`environment` of {where}") or None
        table = self._table(node, f"`environment` of {where}", {"name", "url", "deployment"})
        if "name" not in table:
            raise self._bad(node, f"`environment` of {where} has no `name`")
        return self._word(table["name"], f"`environment.name` of {where}")

    def _concurrency(self, node: yaml.Node | None) -> Concurrency | None:
        if node is None:
            return None
        if isinstance(node, yaml.ScalarNode):
            group = self._word(node, "`concurrency`")
            return Concurrency(group=group, cancel_in_progress="false", line=_line(node))
        keys = {"group", "cancel-in-progress", "queue"}
        table = self._table(node, "`concurrency`", keys)
        if "group" not in table:
            raise self._bad(node, "`concurrency` has no `group`")
        cancel = self._optional(table, "cancel-in-progress")
        group = self._word(table["group"], "`concurrency.group`")
        return Concurrency(
            group=group,
            cancel_in_progress=cancel if cancel is not None else "false",
            queue=self._optional(table, "queue") or "single",
            line=_line(node),
        )

    def _defaults(self, node: yaml.Node | None) -> dict[str, str]:
        if node is None:
            return {}
        table = self._table(node, "`defaults`", {"run"})
        if "run" not in table:
            return {}
        if _is_expression(table["run"]):
            return {}
        run = self._table(table["run"], "`defaults.run`", {"shell", "working-directory"})
        return {key: self._text(value, f"`defaults.run.{key}`") for key, value in run.items()}

    def _images(self, table: dict[str, yaml.Node], where: str) -> tuple[str, ...]:
        nodes = [table["container"]] if "container" in table else []
        if "services" in table and not _is_expression(table["services"]):
            nodes += self._table(table["services"], f"`services` of {where}").values()
        return tuple(
            self._text(node, "`container`")
            if isinstance(node, yaml.ScalarNode)
            else self._optional(self._table(node, "`container`"), "image") or ""
            for node in nodes
        )

    def _steps(self, node: yaml.Node | None, where: str) -> tuple[WorkflowStep, ...]:
        if node is None:
            return ()
        if not isinstance(node, yaml.SequenceNode) or not node.value:
            raise self._bad(node, f"`steps` of {where} is not a list of steps")
        steps = tuple(step for item in node.value for step in self._step(item, where))
        ids = [step.id for step in steps if step.id]
        for step in steps:
            if step.id and ids.count(step.id) > 1:
                raise BadWorkflow(f"{self._path}:{step.line}: {where} has the id {step.id!r} twice")
        return steps

    def _step(self, node: yaml.Node, where: str) -> tuple[WorkflowStep, ...]:
        """Return a step, or the steps of `parallel`."""
        table = self._table(node, f"a step of {where}", _STEP_KEYS)
        if len(_KINDS_OF_STEP & table.keys()) != 1:
            raise self._bad(node, f"a step of {where} needs exactly one of `uses` and `run`")
        if "parallel" in table:
            return self._steps(table["parallel"], where)
        uses = self._optional(table, "uses")
        comment = ""
        if "uses" in table:
            source_line = self._lines[_line(table["uses"]) - 1]
            _, _, comment = source_line.partition(" #")
        step = WorkflowStep(
            id=self._optional(table, "id"),
            name=self._optional(table, "name"),
            uses=uses,
            with_=self._inputs(table.get("with"), f"`with` of a step of {where}"),
            run=self._optional(table, "run"),
            shell=self._optional(table, "shell"),
            env=self._texts(table.get("env"), f"`env` of a step of {where}"),
            condition=self._optional(table, "if"),
            continue_on_error=self._optional(table, "continue-on-error"),
            working_directory=self._optional(table, "working-directory"),
            line=_line(node),
            comment=comment.strip(),
        )
        return (step,)

    def _check_needs(self, jobs: dict[str, WorkflowJob]) -> None:
        for job in jobs.values():
            for name in job.needs:
                if name not in jobs:
                    raise BadWorkflow(
                        f"{self._path}:{job.line}: the job {job.id!r} needs the unknown job "
                        f"{name!r}; the jobs are: {', '.join(jobs)}"
                    )
        waiting = {name: set(job.needs) for name, job in jobs.items()}
        while ready := {name for name, needs in waiting.items() if not needs}:
            waiting = {name: needs - ready for name, needs in waiting.items() if name not in ready}
        if waiting:
            line = min(jobs[name].line for name in waiting)
            raise BadWorkflow(
                f"{self._path}:{line}: these jobs need each other in a circle: "
                f"{', '.join(sorted(waiting))}"
            )

    # -- the matrix -------------------------------------------------------------------------------

    def _matrix(self, node: yaml.Node | None, where: str) -> JsonValue:
        if node is None:
            return None
        if _is_expression(node):
            return self._text(node, f"`strategy` of {where}")
        keys = {"matrix", "fail-fast", "max-parallel"}
        strategy = self._table(node, f"`strategy` of {where}", keys)
        return self._value(strategy["matrix"]) if "matrix" in strategy else None

    def _combinations(self, matrix: JsonValue, node: yaml.Node) -> tuple[Combination, ...]:
        try:
            return combinations_of(matrix)
        except ValueError as error:
            raise self._bad(node, str(error)) from None

    def _runs_on(
        self, node: yaml.Node | None, where: str, combinations: tuple[Combination, ...]
    ) -> tuple[str, ...]:
        if node is None:
            return ()
        if isinstance(node, yaml.MappingNode):
            table = self._table(node, f"`runs-on` of {where}", {"group", "labels"})
            node = table.get("labels", table.get("group", node))
        labels = ", ".join(self._words(node, f"`runs-on` of {where}"))
        return tuple(_with_matrix_values(labels, combination) for combination in combinations)

    # -- nodes ------------------------------------------------------------------------------------

    def _table(
        self, node: yaml.Node, what: str, known: set[str] | None = None
    ) -> dict[str, yaml.Node]:
        if not isinstance(node, yaml.MappingNode):
            raise self._bad(node, f"{what} is not a table of keys and values")
        nodes: dict[str, yaml.Node] = {}
        for key_node, value in node.value:
            key = self._word(key_node, f"a key of {what}")
            if key in nodes:
                raise self._bad(key_node, f"{what} has the key {key!r} twice")
            if known is not None and key not in known:
                keys = ", ".join(sorted(known))
                raise self._bad(
                    key_node, f"{what} has the unknown key {key!r}; the known keys are: {keys}"
                )
            nodes[key] = value
        return nodes

    def _texts(self, node: yaml.Node | None, what: str) -> dict[str, str]:
        if node is None or _empty(node) or _is_expression(node):
            return {}
        return {key: self._text(value, what) for key, value in self._table(node, what).items()}

    def _inputs(self, node: yaml.Node | None, what: str) -> dict[str, str]:
        """Return the inputs of an action.

        Raises:
            BadWorkflow: two names differ only by case.
        """
        inputs = self._texts(node, what)
        names = [name.lower() for name in inputs]
        for name in inputs:
            if node is not None and names.count(name.lower()) > 1:
                raise self._bad(node, f"{what} has the input {name.lower()!r} twice")
        return inputs

    def _words(self, node: yaml.Node | None, what: str) -> tuple[str, ...]:
        if node is None:
            return ()
        items = node.value if isinstance(node, yaml.SequenceNode) else [node]
        return tuple(self._word(item, what) for item in items)

    def _optional(self, table: Mapping[str, yaml.Node], key: str) -> str | None:
        return self._text(table[key], f"`{key}`") if key in table else None

    def _word(self, node: yaml.Node, what: str) -> str:
        """Return a text that is not empty."""
        text = self._text(node, what)
        if not text:
            raise self._bad(node, f"{what} is empty")
        return text

    def _text(self, node: yaml.Node, what: str) -> str:
        if not isinstance(node, yaml.ScalarNode):
            raise self._bad(node, f"{what} is not a single value")
        if not node.tag.startswith(_TAG):
            raise self._bad(node, f"{what} begins with `!`, a tag in YAML; write it in quotes")
        match self._scalar(node):
            case None:
                return ""
            case bool() as switch:
                return str(switch).lower()
            case int() | float() as quantity:
                return number_text(quantity)
            case text:
                return str(text)

    def _scalar(self, node: yaml.Node) -> JsonValue:
        word = str(node.value)
        match node.tag.removeprefix(_TAG):
            case "null":
                return None
            case "bool":
                return word.lower() == "true"
            case "int":
                return int(word, 0 if word[:2] in ("0x", "0o") else 10)
            case "float":
                lower = word.lower()
                return float(lower.replace(".inf", "inf").replace(".nan", "nan"))
            case _:
                return word

    def _value(self, node: yaml.Node) -> JsonValue:
        self._nodes += 1
        if self._nodes > _MAX_NODES:
            raise self._bad(node, f"the workflow has more than {_MAX_NODES} values")
        match node:
            case yaml.MappingNode():
                return {key: self._value(v) for key, v in self._table(node, "a table").items()}
            case yaml.SequenceNode():
                return [self._value(item) for item in node.value]
            case _:
                self._text(node, "a value")
                return self._scalar(node)

    def _bad(self, node: yaml.Node, what: str) -> BadWorkflow:
        return BadWorkflow(f"{self._path}:{_line(node)}: {what}")


def combinations_of(matrix: JsonValue) -> tuple[Combination, ...]:
    """Return the combinations of a matrix without expressions, in GitHub's order.

    Raises:
        ValueError: GitHub refuses the matrix.
    """
    if not isinstance(matrix, dict):
        raise ValueError("`matrix` is not a table")  # noqa: TRY004  (the data is wrong)
    axes: dict[str, list[JsonValue]] = {}
    changes: dict[str, list[Combination]] = {"include": [], "exclude": []}
    for key, values in matrix.items():
        if not isinstance(values, list) or not (values or key in changes):
            raise ValueError(f"`matrix.{key}` is not a list of values")
        if key in changes:
            changes[key] = [entry for entry in values if isinstance(entry, dict)]
            if len(changes[key]) != len(values):
                raise ValueError(f"`matrix.{key}` is not a list of tables")
        else:
            axes[key] = values
    combinations = expand(axes, changes["include"], changes["exclude"])
    if not combinations:
        raise ValueError("`matrix` has no combination")
    return tuple(combinations)


def expand(
    axes: Mapping[str, list[JsonValue]],
    include: Iterable[Combination] = (),
    exclude: Iterable[Combination] = (),
) -> list[Combination]:
    """Return the combinations of a matrix, in GitHub's order.

    A combination that contains all values of an entry of `exclude` is removed. Then each entry of
    `include` extends every combination whose axis values it does not change. If there is no such
    combination, the entry is a combination itself.
    """
    excluded = list(exclude)
    products = itertools.product(*axes.values()) if axes else ()
    originals = [dict(zip(axes, values, strict=True)) for values in products]
    originals = [
        original
        for original in originals
        if not any(entry.items() <= original.items() for entry in excluded)
    ]
    combinations = [dict(original) for original in originals]
    added: list[Combination] = []
    for entry in include:
        matching = [
            combination
            for combination, original in zip(combinations, originals, strict=True)
            if all(original[key] == value for key, value in entry.items() if key in original)
        ]
        for combination in matching:
            combination.update(entry)
        if not matching:
            added.append(dict(entry))
    return [*combinations, *added]


def _with_matrix_values(text: str, combination: Combination) -> str:
    def replacement(match: re.Match[str]) -> str:
        value: JsonValue = dict(combination)
        for key in match[1].split("."):
            value = value.get(key) if isinstance(value, dict) else None
        match value:
            case list():
                return ", ".join(map(str, value))
            case int() | float() if not isinstance(value, bool):
                return number_text(value)
            case None | dict():
                return match[0]
            case _:
                return str(value)

    return _MATRIX_VALUE.sub(replacement, text)


def _has_expression(value: JsonValue) -> bool:
    match value:
        case dict():
            return any(map(_has_expression, (*value, *value.values())))
        case list():
            return any(map(_has_expression, value))
        case str():
            return "${{" in value
        case _:
            return False


def _is_expression(node: yaml.Node) -> bool:
    """Return whether an expression is in the place of a table or list."""
    return isinstance(node, yaml.ScalarNode) and str(node.value).strip().startswith("${{")


def _valid_level(scope: str, level: str) -> str | None:
    """Return the highest level of a scope up to ``level``, which is read or write; None if none."""
    if level == "read" and scope in _NO_READ:
        return None
    return "read" if scope in _NO_WRITE else level


def _empty(node: yaml.Node) -> bool:
    return node.tag == f"{_TAG}null"


def _key_lines(node: yaml.Node) -> dict[str, int]:
    return {key.value: _line(key) for key, _ in node.value}


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1
