"""Infer what the jobs of a workflow do for a release from their actions and commands.

The steps of a composite action of the repository and the jobs of a called workflow count, if their
files can be read. A command counts at each place of a script. Comments, here-documents and the
arguments of `echo` do not count.
"""

from __future__ import annotations

import difflib
import posixpath
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path

from verification.models.workflow import (
    BadWorkflow,
    RunningJob,
    Task,
    Workflow,
    WorkflowJob,
    WorkflowStep,
)
from verification.models.workflow_call import load_with_called
from verification.pipeline.shell import commands, without_comments

_ACTIONS: Mapping[str, tuple[Task, ...]] = {
    "pypa/cibuildwheel": ("build",),
    "pyo3/maturin-action": ("build",),
    "messense/maturin-action": ("build",),
    "hynek/build-and-inspect-python-package": ("build",),
    "casperdcl/deploy-pypi": ("build", "publish"),
    "actions/upload-artifact/merge": ("merge",),
    "softprops/action-gh-release": ("create-release",),
    "ncipollo/release-action": ("create-release",),
    "actions/create-release": ("create-release",),
    "actions/upload-release-asset": ("create-release",),
    "svenstaro/upload-release-action": ("create-release",),
    "marvinpinto/action-automatic-releases": ("create-release",),
    "release-drafter/release-drafter": ("create-release",),
    "pypa/gh-action-pypi-publish": ("publish", "attest"),
    "actions/attest-build-provenance": ("attest",),
    "actions/attest": ("attest",),
    "sigstore/gh-action-sigstore-python": ("attest",),
    "samuelcolvin/check-python-version": ("check-version",),
    "peter-evans/repository-dispatch": ("dispatch",),
    "benc-uk/workflow-dispatch": ("dispatch",),
}
"""The tasks of each action, by its name in lower case."""
_COMMANDS: Mapping[tuple[str, ...], Task] = {
    ("build",): "build",
    ("pyproject-build",): "build",
    ("cibuildwheel",): "build",
    ("pip", "wheel"): "build",
    ("uv", "build"): "build",
    ("hatch", "build"): "build",
    ("hatchling", "build"): "build",
    ("poetry", "build"): "build",
    ("flit", "build"): "build",
    ("flit_core.wheel",): "build",
    ("pdm", "build"): "build",
    ("rye", "build"): "build",
    ("maturin", "build"): "build",
    ("maturin", "sdist"): "build",
    ("setup.py", "sdist"): "build",
    ("setup.py", "bdist_wheel"): "build",
    ("twine", "upload"): "publish",
    ("uv", "publish"): "publish",
    ("hatch", "publish"): "publish",
    ("poetry", "publish"): "publish",
    ("flit", "publish"): "publish",
    ("pdm", "publish"): "publish",
    ("rye", "publish"): "publish",
    ("maturin", "publish"): "publish",
    ("maturin", "upload"): "publish",
    ("gh", "release", "create"): "create-release",
    ("gh", "release", "upload"): "create-release",
    ("gh", "release", "edit"): "create-release",
    ("gh", "workflow", "run"): "dispatch",
    ("sigstore", "sign"): "attest",
}
"""The task of each command, by its program and sub-commands."""
_OTHER_ACTIONS = (
    *("actions/checkout", "actions/setup-", "actions/cache", "actions/upload-artifact"),
    *("actions/download-artifact", "astral-sh/setup-uv", "docker/setup-", "dtolnay/rust-toolchain"),
    *("codecov/", "step-security/harden-runner", "mxschmitt/action-tmate", "swatinem/rust-cache"),
    *("taiki-e/install-action", "docker/login-action", "re-actors/alls-green"),
    *("mozilla-actions/sccache-action", "hendrikmuhs/ccache-action", "ilammy/msvc-dev-cmd"),
    *("jwlawson/actions-setup-cmake", "mamba-org/setup-micromamba", "prefix-dev/setup-pixi"),
)
"""The first part of the names of actions that do nothing for a release."""
_SIMILARITY = 0.85
"""From this ratio (difflib) on, an unknown name is a misspelled one. No two actions of one known
owner have names with this ratio, except known ones."""
_OTHER_COMMANDS = frozenset(
    {
        *("echo", "printf", "ls", "cat", "pwd", "test", "[", "[[", "true", "false", "exit", "set"),
        *("export", "cd", "mkdir", "rm", "pip", "pip3", "pytest", "twine", "git", "sed", "grep"),
        *("awk", "cut", "tr", "sort", "head", "tail", "wc", "find", "diff", "cmp", "sha256sum"),
        *("tree", "date", "sleep", "apt-get", "choco", "brew", "ruff", "mypy", "unzip", "tar"),
        *("check-wheel-contents", "auditwheel", "fi", "done", "esac", "for", "uv", "abi3audit"),
    }
)
"""Programs that do nothing for a release, except by their sub-commands with a task."""
_OPTIONS_WITH_VALUE = frozenset(
    {
        *("-R", "--repo", "-X", "--method", "-f", "-F", "-H", "--header"),
        *("-C", "-P", "--directory", "--project", "--config-file", "--color", "--cache-dir"),
        *("-e", "--env", "--data-dir", "-p", "--python", "--log"),
    }
)
"""Options with a separate value that can be before a sub-command."""
_PASSING: frozenset[Task] = frozenset(("create-release", "publish"))
"""The tasks with which a job passes on the artifacts that it collects."""
_DISPATCH_PATH = re.compile(r"(?:^|/)dispatches$")
_MATURIN_BUILDS = frozenset({"", "build", "sdist"})

_TAG = re.compile(
    r"\bGITHUB_REF(?:_NAME)?\b|\bgithub\.(?:ref|ref_name|event\.release\.(?:tag_name|name))\b"
    r"|\b(?:github\.event\.)?inputs\.[\w-]*(?:tag|version|ref)[\w-]*"
    r"|\bgit\s+describe\b",
    re.IGNORECASE,
)
"""A text that reads the tag of the release."""
_VERSION = re.compile(
    r"pyproject\.toml|setup\.(?:py|cfg)|__version__|__init__\.py|\b_?version\.(?:py|txt)"
    r"|Cargo\.toml|CMakeLists|meson\.build|package\.json|importlib[._]metadata|metadata\.version"
    r"|\b(?:hatch|poetry|pdm|uv|cargo|bump2version|setuptools[_-]scm|git-cliff)\b[^\n]*\bversion\b"
    r"|\bcat\s+\S*VERSION|\bpip\s+show\b|\.(?:whl|tar\.gz)\b"
    r"|\b(?:needs|steps)\.[\w-]+\.outputs\.[\w-]*version",
)
"""A text that reads the version of the package."""
_FAILS = re.compile(
    r"\bexit\s+(?:[1-9]|\$)|\bsys\.exit\b|\bSystemExit\b|\bassert\b|\braise\s|\bthrow\s"
    r"|(?:^|;|&&)\s*(?:test\s|\[\[?\s|diff\s|cmp\s|grep\s)|\bprocess\.exit\b|\bsetFailed\b",
    re.MULTILINE,
)
"""A text that can end a script with a failure."""
_CHECK_SCRIPT = re.compile(
    r"(?:check|verify|validate|assert|match)\w*[-_.]?\w*(?:version|tag|release)"
    r"|(?:version|tag|release)\w*[-_.]?(?:check|verify|validate|match)",
    re.IGNORECASE,
)
"""The name of a script of the repository that checks a version."""


def step_tasks(step: WorkflowStep, env: Mapping[str, str] | None = None) -> frozenset[Task]:
    """Return the tasks of one step. ``env`` has the variables of its job and its workflow."""
    return frozenset(_step_tasks(step, {**(env or {}), **step.env}))


def action_tasks(action: str) -> frozenset[Task]:
    """Return the tasks of a GitHub action, which is named without a version."""
    return frozenset(_ACTIONS.get(action.lower(), ()))


def similar_action(action: str) -> str:
    """Return the known action of the same owner with a similar name; empty if there is none.

    A known action has none. Parts of a repository (`actions/cache/save`) count as the repository.
    """
    owner, _, rest = action.lower().partition("/")
    repository = rest.partition("/")[0]
    prefixes = [text for text in _OTHER_ACTIONS if not text.endswith(("-", "/"))]
    names = {tuple(name.split("/")[:2]) for name in (*_ACTIONS, *prefixes, "actions/setup-python")}
    of_owner = [name for known_owner, name in names if known_owner == owner]
    if repository in of_owner:
        return ""
    similar = difflib.get_close_matches(repository, of_owner, 1, _SIMILARITY)
    return f"{owner}/{similar[0]}" if similar else ""


def tasks_by_job(workflow: Workflow | None) -> dict[str, frozenset[Task]]:
    """Return the tasks of each job of the started file, with those of the workflow that it calls.

    The keys are the ids of the jobs. There is none without a workflow.
    """
    tasks: dict[str, frozenset[Task]] = {}
    for running in workflow.running_jobs if workflow else ():
        tasks[running.id] = tasks.get(running.id, frozenset()) | tasks_of(running.job)
    return tasks


def tasks_of(job: WorkflowJob) -> frozenset[Task]:
    """Return the tasks of a job. A job that calls a workflow has none; see `jobs_with`."""
    tasks = {task for step in job.steps for task in step_tasks(step, job.env)}
    if job.needs and _merges(job, tasks):
        tasks.add("merge")
    return frozenset(tasks)


def jobs_with(workflow: Workflow, task: Task) -> tuple[RunningJob, ...]:
    """Return the jobs that a run executes and that have a task, in the order of the file."""
    return tuple(running for running in workflow.running_jobs if task in tasks_of(running.job))


def steps_with(job: WorkflowJob, task: Task) -> tuple[WorkflowStep, ...]:
    """Return the steps of a job that have a task."""
    return tuple(step for step in job.steps if task in step_tasks(step, job.env))


def job_key(running: RunningJob) -> tuple[str, ...]:
    """Return the ids of a job and of the jobs that call its workflow. They identify the job."""
    return (*(caller.id for caller in running.callers), running.job.id)


def ends_before(workflow: Workflow, first: RunningJob, second: RunningJob) -> bool:
    """Return whether a job ends before another one starts, because of `needs`."""
    chains = zip((*first.callers, first.job), (*second.callers, second.job), strict=False)
    file = workflow
    for earlier, later in chains:
        if earlier.id != later.id:
            return earlier.id in file.jobs_before(later.id)
        if earlier.id not in file.called:
            return False
        file = file.called[earlier.id]
    return False


def builds_only_sdist(step: WorkflowStep) -> bool:
    """Return whether a step builds an sdist and no wheel."""
    if step.run is None:
        return step.with_.get("command", "") == "sdist"
    builds = [w for w in commands(step.run, step.shell) if command_task(w) == "build"]
    return bool(builds) and all(map(is_sdist_command, builds))


def is_sdist_command(words: tuple[str, ...]) -> bool:
    """Return whether a command that builds makes an sdist and no wheel."""
    return "sdist" in words[1:] or ("--sdist" in words and "--wheel" not in words)


def is_understood(step: WorkflowStep) -> bool:
    """Return whether it is known that a step does nothing except its tasks for the release."""
    if step.steps:
        return all(map(is_understood, step.steps))
    if step.run is None:
        action = (step.action or "").lower()
        return action in _ACTIONS or action.startswith(_OTHER_ACTIONS)
    if step_tasks(step):
        return True
    all_commands = list(commands(step.run, step.shell))
    return bool(all_commands) and all(words[0] in _OTHER_COMMANDS for words in all_commands)


def all_steps(steps: Iterable[WorkflowStep]) -> Iterator[WorkflowStep]:
    """Yield the steps in the order of their execution, with those of composite actions."""
    for step in steps:
        yield step
        yield from all_steps(step.steps)


def release_workflows(folder: Path) -> tuple[str, ...]:
    """Return the names of the workflow files that can publish and that an event can start.

    ``folder`` is the folder of the workflow files in a checkout, `.github/workflows`. A file that
    GitHub would refuse is left out.
    """
    root = folder.parents[1]
    names = []
    for path in sorted(folder.glob("*.y*ml")):
        try:
            workflow = load_with_called(path, root)
        except BadWorkflow:
            continue
        if set(workflow.on) - {"workflow_call"} and jobs_with(workflow, "publish"):
            names.append(path.name)
    return tuple(names)


def _step_tasks(step: WorkflowStep, env: Mapping[str, str]) -> Iterator[Task]:
    for inner in step.steps:
        yield from _step_tasks(inner, {**env, **inner.env})
    action = (step.action or "").lower()
    if action.endswith("/maturin-action"):
        yield _maturin_task(step)
    else:
        yield from _ACTIONS.get(action, ())
    if step.run is None:
        return
    for words in commands(step.run, step.shell):
        if task := command_task(words):
            yield task
    if _checks_version(step, env):
        yield "check-version"


def _maturin_task(step: WorkflowStep) -> Task:
    return "build" if step.with_.get("command", "") in _MATURIN_BUILDS else "publish"


def command_task(words: tuple[str, ...]) -> Task | None:
    """Return the task of a command, or None. ``words`` begin with the program."""
    program = posixpath.basename(words[0])
    program = "pip" if program == "pip3" else program
    if {"--version", "--help"} & set(words):
        return None
    names = tuple(_without_options(words[1:]))
    if program == "gh" and names[:1] == ("api",):
        return "dispatch" if any(map(_DISPATCH_PATH.search, names[1:3])) else None
    keys = ((program, *names[:count]) for count in range(3))
    return next((_COMMANDS[key] for key in keys if key in _COMMANDS), None)


def _without_options(words: Iterable[str]) -> Iterator[str]:
    """Yield the words that are neither an option nor its value."""
    is_value = False
    for word in words:
        if not is_value and not word.startswith("-"):
            yield word
        is_value = word in _OPTIONS_WITH_VALUE


def _merges(job: WorkflowJob, tasks: Collection[Task]) -> bool:
    """Return whether a job collects artifacts and passes them on. A job that tests them does not.

    A job that builds uses what it downloads.
    """
    if "build" in tasks or not any(map(_collects, all_steps(job.steps))):
        return False
    return not _PASSING.isdisjoint(tasks) or any(
        step.action == "actions/upload-artifact" for step in all_steps(job.steps)
    )


def _collects(step: WorkflowStep) -> bool:
    """Return whether a step downloads several artifacts into one folder."""
    if (step.action or "").lower() != "actions/download-artifact":
        return False
    merges = step.with_.get("merge-multiple", "").strip().lower() == "true"
    return merges or "pattern" in step.with_


def _checks_version(step: WorkflowStep, env: Mapping[str, str]) -> bool:
    """Return whether a script reads the tag and a version, and can fail."""
    script = without_comments(step.run or "")
    variables = {name for name, value in env.items() if _TAG.search(value)}
    has_tag = bool(_TAG.search(script)) or any(
        re.search(rf"\b{re.escape(name)}\b", script) for name in variables
    )
    if not has_tag:
        return False
    values = "\n".join([script, *(value for name, value in env.items() if name in script)])
    if _VERSION.search(values) and _FAILS.search(script):
        return True
    return any(
        _CHECK_SCRIPT.search(posixpath.basename(word))
        for words in commands(script, step.shell)
        for word in words[:3]
        if word.endswith((".py", ".sh"))
    )
