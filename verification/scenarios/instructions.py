"""The instructions of a cell for the probe, with the commands exactly as a user types them."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath
from typing import NamedTuple

from verification.models.base import Model
from verification.models.cell import Cell
from verification.models.chosen_values import ChosenValues, TableRows
from verification.models.machine import DATA_FOLDER, PLUGIN, SCRIPTS, RunsOn
from verification.models.scenario import Command
from verification.models.subject import Subject
from verification.subjects.subject import older_dependency

TIME_LIMITS: Mapping[str, int] = {"install": 120, "import": 30, "exercise": 60, "tests": 300}
"""The time limit of each kind of work, in seconds. Work that takes longer counts as a hang."""
_LOADER_LOG: Mapping[RunsOn, Mapping[str, str]] = {
    "linux": {},
    # If no library exports a symbol, Windows does not load the library that needs it. Wine loads it
    # with a stub for the symbol, and logs a warning.
    "wine": {"WINEDEBUG": "-all,err+module,warn+module"},
    "windows": {},
}
"""The variables that make the machine's loader log more while the package is exercised."""
_TEST_EVENTS, _TRACE = "events.jsonl", "events-trace.txt"
_ACTIONS_FILE = f"r'{{suite}}/{SCRIPTS['uses.py']}'"
_ACTIONS = f"exec(compile(open({_ACTIONS_FILE}, 'rb').read(), {_ACTIONS_FILE}, 'exec'))"


class OwnTestsInstructions(Model):
    """The part of the instructions for the package's own tests.

    Tests, pytest with its dependencies, and the files that the tests write are in the user's
    project. Snapshots leave it out, and nothing is added to the folder of the installed package.
    """

    source: str
    """The folder with the root of the tests, below the suite's folder."""
    root: str
    """The copy of ``source`` in the user's project."""
    folder: str
    """The folder in which pytest starts, below the copy."""
    tests: str
    """The folder of the tests, below the copy."""
    scratch: str
    test_events: str
    trace: str
    tool: Command
    """The command that installs pytest."""
    command: Command
    env: Mapping[str, str]


class OwnTestsLocation(NamedTuple):
    """Where the package's own tests are, below the root of their checkout or project."""

    project: PurePosixPath
    """The folder in which pytest starts, below the root."""
    tests: PurePosixPath
    """The folder of the tests, below ``project``."""


class ProbeInstructions(Model):
    """What the probe does on a machine. Its JSON is the file that the probe reads."""

    folder: str
    """The folder with the files of the suite."""
    account: str
    """The account that runs the commands; empty for the account of the probe."""
    cwd: str
    env: Mapping[str, str]
    exercise_env: Mapping[str, str]
    """Variables in addition to ``env`` while the package is exercised."""
    python: Command
    setup: tuple[Command, ...]
    first: tuple[Command, ...]
    """The commands between the first snapshot and the installation."""
    install: Command
    reinstall: bool
    """True if the installation is repeated."""
    umask: int
    after_install: tuple[Command, ...]
    before_uninstall: tuple[Command, ...]
    prelude: str
    """Code that runs before the package is imported."""
    in_thread: bool
    """True if the package is used in a thread that is not the main thread."""
    tables: Mapping[str, TableRows] | None
    """The tables that the smoke test writes; None if it chooses its values itself."""
    uses: tuple[str, ...]
    """The names of the scenario's actions, which run after the exercise."""
    deviation: str
    """How the command differs from the literal one."""
    subject: str
    """The name of the package on the index."""
    package: str
    """The name of the import package."""
    import_statement: str
    uninstall: Command
    roots: tuple[str, ...]
    skipped: tuple[str, ...]
    """The folders that snapshots leave out."""
    skipped_keys: tuple[str, ...]
    """The registry keys that snapshots leave out."""
    seconds: Mapping[str, int]
    tests: OwnTestsInstructions | None = None

    def to_json(self) -> bytes:
        """Return the file that the probe reads."""
        return self.model_dump_json(by_alias=True, exclude_none=True).encode()


def instructions(
    cell: Cell,
    subject: Subject,
    *,
    version: str = "",
    previous: str = "",
    chosen: ChosenValues | None = None,
    seconds: Mapping[str, int] = TIME_LIMITS,
) -> ProbeInstructions:
    """Return the instructions of a cell.

    ``version`` is the version under test, and ``previous`` the version of the newest earlier
    release. ``chosen`` has the values that the smoke test writes. ``seconds`` are the time limits.
    """
    layout, scenario, installer = cell.machine.layout, cell.scenario, cell.installer
    values = {**_values(cell, subject), "version": version, "previous": previous}
    options = scenario.options(installer)
    before_install = tuple(
        (*installer.install, *command[1:]) if command[0] == "install" else command
        for command in scenario.before_install
    )
    default_uninstall = (*installer.uninstall, *options, "{subject}")
    return ProbeInstructions(
        folder=layout.user_folder,
        account=layout.users[scenario.user] if cell.has_own_account else "",
        cwd=scenario.cwd,
        env={**scenario.environment, **installer.environment(layout.path("ca.pem"))},
        exercise_env=_LOADER_LOG[cell.machine.runs_on],
        python=_expand(installer.python or scenario.python, values),
        setup=_expand_all((*scenario.setup, *installer.setup), values),
        first=_expand_all(before_install, values),
        install=_expand(
            (*installer.install, *options, *scenario.requirement, *installer.trailing), values
        ),
        reinstall=scenario.reinstall,
        umask=scenario.umask,
        after_install=_expand_all(scenario.after_install, values),
        before_uninstall=_expand_all(scenario.before_uninstall, values),
        prelude=scenario.code_before_import,
        in_thread=scenario.in_thread,
        tables=chosen.tables if chosen else None,
        uses=scenario.actions,
        deviation="; ".join(filter(None, (installer.deviation, scenario.deviation))),
        subject=subject.name,
        package=subject.import_package,
        import_statement=f"import {subject.import_package}",
        uninstall=_expand(
            scenario.uninstall or installer.uninstall_all or default_uninstall, values
        ),
        roots=scenario.snapshot_roots,
        skipped=(*scenario.ignored_paths, layout.user_folder),
        skipped_keys=scenario.ignored_keys,
        seconds=seconds,
    )


def own_tests_instructions(cell: Cell, location: OwnTestsLocation) -> OwnTestsInstructions:
    """Return the instructions for the package's own tests."""
    layout, scenario, installer = cell.machine.layout, cell.scenario, cell.installer
    root, tools, scratch = (
        f"{scenario.cwd}{layout.separator}{name}" for name in ("own-tests", "tools", "scratch")
    )
    folder = layout.separator.join((root, *location.project.parts))
    data = layout.path(DATA_FOLDER)
    path = (";" if cell.machine.os == "windows" else ":").join((layout.path("plugin"), tools))
    options = ("-p", "no:cacheprovider", "-p", "no:faulthandler", "-p", PLUGIN)
    settings = ("-o", "required_plugins=")  # a machine has no plugin of pytest
    folders = ("--rootdir=.", f"--basetemp={scratch}{layout.separator}pytest")
    return OwnTestsInstructions(
        source=layout.path("tests"),
        root=root,
        folder=folder,
        tests=layout.separator.join((folder, *location.tests.parts)),
        scratch=scratch,
        test_events=layout.separator.join((data, _TEST_EVENTS)),
        trace=layout.separator.join((data, _TRACE)),
        tool=(*installer.install, *scenario.options(installer), "--target", tools, "pytest"),
        command=(
            *scenario.python,
            "-m",
            "pytest",
            *options,
            *settings,
            *folders,
            str(location.tests),
        ),
        env={"PYTHONPATH": path, **dict.fromkeys(("TMPDIR", "TEMP", "TMP"), scratch)},
    )


def root_commands(
    cell: Cell, subject: Subject, libraries: Iterable[str] = ()
) -> tuple[Command, ...]:
    """Return the commands of a cell that run as root before the first command of the user.

    ``libraries`` are the native libraries for the machine that are no extension modules.
    """
    values = {**_values(cell, subject), "libraries": shlex.join(libraries)}
    return _expand_all(cell.scenario.as_root, values)


def _values(cell: Cell, subject: Subject) -> dict[str, str]:
    """Return the values of the placeholders in commands, by name."""
    return {
        "actions": _ACTIONS,
        "subject": subject.name,
        "older_dependency": older_dependency(subject),
        "suite": cell.machine.layout.user_folder,
    }


def _expand(command: Command, values: Mapping[str, str]) -> Command:
    """Fill in the placeholders of a command. A value can contain later placeholders."""
    words = command
    for name, value in values.items():
        words = tuple(word.replace(f"{{{name}}}", value) for word in words)
    return words


def _expand_all(commands: tuple[Command, ...], values: Mapping[str, str]) -> tuple[Command, ...]:
    return tuple(_expand(command, values) for command in commands)
