"""Replace the steps that build a release by steps that copy existing files into their folders.

The text keeps its lines, so that the lines of all other steps stay the same.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import yaml

from verification.models.pipeline import ReplacedStep
from verification.models.workflow import Workflow, WorkflowJob, WorkflowStep
from verification.pipeline.shell import commands
from verification.pipeline.tasks import command_task, step_tasks

_PROGRAM = "env PYTHONPATH=/opt/runner /opt/runner/venv/bin/python -P -m stand_ins.builds"
"""The program of the runner that requests the files (``images/runner/stand_ins/builds.py``)."""
_MATURIN = re.compile(r".*/maturin-action", re.IGNORECASE)
_FOLDERS = {
    "pip": ".",
    "cibuildwheel": "wheelhouse",
    "maturin": "target/wheels",
}
"""The folder for the files of each program; `dist` for the others."""
_FOLDER_OPTIONS = (
    "--outdir",
    "--out-dir",
    "--output-dir",
    "--wheel-dir",
    "--dist-dir",
    "--output",
    "--out",
    "-o",
    "-d",
    "-w",
)
_BUILD_TOOLS = re.compile(
    r"(?:pip|build|wheel|setuptools|setuptools[-_]scm|hatch|hatchling|maturin|cibuildwheel|"
    r"poetry|flit|flit[-_]core|uv|pdm|meson-python|scikit-build-core|pybind11|nanobind|cython|"
    r"ninja|cmake|meson|auditwheel|delvewheel|delocate)(?:\[[\w,]+\])?(?:[<>=!~]=?[\w.*,<>=!~]+)?"
)
"""A requirement that only a build needs."""


_SET_UP_ACTIONS = frozenset(
    {
        *("actions/cache", "swatinem/rust-cache", "mozilla-actions/sccache-action"),
        *("docker/setup-qemu-action", "docker/setup-buildx-action"),
        *(
            "actions-rs/toolchain",
            "dtolnay/rust-toolchain",
            "actions-rust-lang/setup-rust-toolchain",
        ),
        *("ilammy/msvc-dev-cmd", "microsoft/setup-msbuild", "maxim-lobanov/setup-xcode"),
    }
)
"""The actions that only prepare a build on a runner."""


class Replacements(NamedTuple):
    """The workflow files with replaced steps, and these steps."""

    texts: Mapping[str, str]
    """The new text of each changed file, by its path in the repository."""
    steps: tuple[ReplacedStep, ...]


class _Build(NamedTuple):
    folder: str
    kinds: tuple[str, ...]


def replace_builds(workflow: Workflow, root: Path) -> Replacements:
    """Replace the build steps of a workflow and of the local workflows that it calls.

    A step that only prepares the build, in a job that builds, is left out too.
    """
    texts: dict[str, str] = {}
    replaced: list[ReplacedStep] = []
    for file in workflow.files:
        text = file.path.read_text("utf-8")
        changes: dict[int, str] = {}
        for job in file.jobs.values():
            for step, build in _replaced_steps(job):
                command = "true"
                if build:
                    command = " ".join((_PROGRAM, shlex.quote(build.folder), *build.kinds))
                changes[step.line] = _step_text(step, command)
                replaced.append(
                    ReplacedStep(
                        where=file.location(step.line),
                        command=_title(step),
                        output=build.folder if build else "",
                    )
                )
        if changes:
            texts[str(file.path.relative_to(root))] = _with_steps(text, changes)
    return Replacements(texts, tuple(replaced))


def _replaced_steps(job: WorkflowJob) -> Iterator[tuple[WorkflowStep, _Build | None]]:
    yield from ((step, build) for step in job.steps if (build := _build(step, job.env)))
    if any("build" in step_tasks(step, job.env) for step in job.steps):
        yield from ((step, None) for step in job.steps if _prepares_build(step))


def _build(step: WorkflowStep, env: Mapping[str, str]) -> _Build | None:
    """Return what a step builds; None if it builds nothing, or its stand-in requests the files."""
    tasks = step_tasks(step, env)
    if "build" not in tasks or tasks - {"build", "check-version"}:
        return None  # the rest of the step must run
    action = (step.action or "").lower()
    if _MATURIN.fullmatch(action):
        words = (
            "maturin",
            step.with_.get("command", "build"),
            *shlex.split(step.with_.get("args", "")),
        )
        return _of_words([words])
    if action:
        return None
    builds = [
        words for words in commands(step.run or "", step.shell) if command_task(words) == "build"
    ]
    return _of_words(builds) if builds else None


def _of_words(builds: list[tuple[str, ...]]) -> _Build:
    folder = next(filter(None, map(_folder, builds)), "dist")
    kinds = [kind for words in builds for kind in _kinds(words)]
    return _Build(folder, tuple(dict.fromkeys(kinds)))


def _folder(words: tuple[str, ...]) -> str:
    for position, word in enumerate(words):
        name, is_assigned, value = word.partition("=")
        if name in _FOLDER_OPTIONS:
            if is_assigned:
                return value.strip("'\"")
            if position + 1 < len(words):
                return words[position + 1].strip("'\"")
    program = words[0].rpartition("/")[2]
    default = _FOLDERS.get(program, "dist")
    if program in ("build", "pyproject-build"):
        sources = [word for word in words[1:] if not word.startswith("-")]
        return f"{sources[0].rstrip('/')}/{default}" if sources else default
    return default


def _kinds(words: tuple[str, ...]) -> tuple[str, ...]:
    text = " ".join(words)
    program = words[0].rpartition("/")[2]
    has_sdist = bool(re.search(r"(?:^|[\s=-])sdist\b|\s-s\b", text))
    has_wheel = bool(re.search(r"(?:^|[\s=-])(?:bdist_)?wheel\b|\s-w\b", text))
    if program in ("pip", "cibuildwheel"):
        return ("wheel",)
    if program == "maturin":
        return ("sdist",) if "sdist" in words else ("wheel", *(["sdist"] if has_sdist else []))
    if has_sdist != has_wheel:
        return ("sdist",) if has_sdist else ("wheel",)
    return ("wheel", "sdist")


def _prepares_build(step: WorkflowStep) -> bool:
    """Return True if a step only prepares a build. With an id, other steps can use its outputs."""
    if step.run is None:
        return (step.action or "").lower() in _SET_UP_ACTIONS and not step.id
    all_commands = list(commands(step.run, step.shell))
    return bool(all_commands) and all(map(_is_install, all_commands))


def _is_install(words: tuple[str, ...]) -> bool:
    program, *rest = words
    if program in ("uv", "pipx"):
        rest = rest[1:] if rest[:1] in (["pip"], ["tool"]) else rest
    elif program not in ("pip", "pip3"):
        return False
    names = [word.strip("'\"") for word in rest[1:] if not word.startswith("-")]
    return rest[:1] == ["install"] and bool(names) and all(map(_BUILD_TOOLS.fullmatch, names))


def _title(step: WorkflowStep) -> str:
    return step.name or step.uses or next(iter((step.run or "").strip().splitlines()), "")


def _step_text(step: WorkflowStep, command: str) -> str:
    """Return a step with another command, as one line."""
    folder = step.working_directory or step.with_.get("working-directory")
    keys: dict[str, object] = {
        "id": step.id,
        "name": _title(step),
        "if": step.condition,
        "continue-on-error": step.continue_on_error,
        "working-directory": folder,
        "shell": "bash",
        "run": command,
    }
    known = {key: value for key, value in keys.items() if value is not None}
    return json.dumps(known, ensure_ascii=False)  # YAML has no surrogate pairs


def _with_steps(text: str, changes: Mapping[int, str]) -> str:
    """Return the text with other steps, by the line of each step. The number of lines is kept."""
    spans = [(node, changes[line]) for line, node in _steps(text) if line in changes]
    for node, new in sorted(spans, key=lambda span: span[0].start_mark.index, reverse=True):
        start, end = node.start_mark.index, node.end_mark.index
        old = text[start:end]
        tail = "" if node.flow_style else old.rpartition("\n")[2] if "\n" in old else ""
        if not node.flow_style and not tail.isspace():
            tail = ""
        text = text[:start] + new + "\n" * old.count("\n") + tail + text[end:]
    return text


def _steps(text: str) -> Iterator[tuple[int, yaml.MappingNode]]:
    """Yield each step in a workflow file with its line."""
    document = yaml.compose(text, yaml.SafeLoader)
    for jobs in _values(document, "jobs"):
        for _, job in jobs.value if isinstance(jobs, yaml.MappingNode) else ():
            for steps in _values(job, "steps"):
                for step in steps.value if isinstance(steps, yaml.SequenceNode) else ():
                    if isinstance(step, yaml.MappingNode):
                        yield step.start_mark.line + 1, step


def _values(node: yaml.Node | None, key: str) -> Iterable[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        yield from (value for name, value in node.value if name.value == key)
