"""The command line: one tree of parsers, with a subparser for each command.

The module needs only the standard library, so that ``--help`` works without an environment.
"""

from __future__ import annotations

import argparse
import os
import tomllib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NoReturn

from verification import suite
from verification.models.errors import WrongUse

_ROOT = Path(__file__).parents[2]
_MACHINES = _ROOT / "containers" / "machines.toml"
_PROFILES = _ROOT / "verification" / "scenarios" / "profiles.toml"
EXIT_CODES = """\
exit codes: 0 verified, 1 the package failed, 3 the testbed failed, 4 wrong use,
5 something required stayed unverified
"""
_PYTEST_NAMES = {"strict": "strict-verdict"}
"""Options that have another name for pytest, which has an option ``--strict`` of its own."""


class Parser(argparse.ArgumentParser):
    """A parser that raises `WrongUse` instead of ending the program."""

    def error(self, message: str) -> NoReturn:
        """Report wrong use in one line, with the name of the command.

        Raises:
            WrongUse: always.
        """
        raise WrongUse(": ".join(filter(None, (self.prog.partition(" ")[2], message))))


def _names(path: Path) -> list[str]:
    return list(tomllib.loads(path.read_text("utf-8")))


def _add_gate(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "--profile",
        metavar="NAME",
        choices=_names(_PROFILES),
        help="the profile whose cells run: quick, gate, full or everywhere (default: gate)",
    )
    add(
        "--machine",
        metavar="NAME",
        choices=_names(_MACHINES),
        action="append",
        help="use only this machine; may be repeated",
    )
    _add_origin(parser)
    add("--subject", metavar="FILE", help="verify the package that FILE (TOML) describes")
    add(
        "--tests",
        metavar="DIR",
        help="the package's own tests, to run on machines (default: tests in the source)",
    )
    add("--strict", action="store_true", help="fail for flaws and fallbacks as well")
    add("--no-pipeline", action="store_true", help="do not run the release workflow")
    add(
        "--actions-from",
        metavar="DIR",
        help="run the real actions of the workflow, from checkouts DIR/owner/name[@ref]",
    )
    add("--keep-failed", action="store_true", help="keep the machines of failed cells running")
    add("--report", metavar="DIR", help="the folder of the report (default: report)")


def _add_origin(parser: argparse.ArgumentParser) -> None:
    """Add the options for the origin of the wheels."""
    add = parser.add_argument
    add("--source", metavar="DIR", help="build the wheels from DIR (default: bindings/python)")
    add("--wheels", metavar="DIR", help="use the wheels in DIR")
    add("--release", metavar="VERSION", help="use the wheels of a published release")
    add("--history", choices=("none", "all"), help="which earlier releases the index has")
    _add_no_provision(parser)


def _add_no_provision(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--no-provision", action="store_true", help="never install or start an engine"
    )


def _add_from(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--from",
        dest="report",
        metavar="DIR",
        default="",
        help="the folder of the report (default: report)",
    )


def _add_nothing(_parser: argparse.ArgumentParser) -> None:
    pass


def _add_compare(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", nargs="*", help="a number that --list prints, or a results.json")
    parser.add_argument("--list", action="store_true", help="list the runs of the history")


def _add_shell(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "machine",
        metavar="machine",
        choices=_names(_MACHINES),
        help="a machine of containers/machines.toml",
    )
    _add_origin(parser)
    add(
        "--installer",
        metavar="NAME",
        help="the installer to set up (default: the first of the machine)",
    )
    add(
        "--scenario",
        metavar="NAME",
        help="the scenario to set up (default: the first of the machine)",
    )


def _add_replay(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("cell", nargs="*", help="the id of a cell of the report")
    add("--all", action="store_true", help="every cell of the report")
    _add_from(parser)
    default = min(os.cpu_count() or 1, 4)
    add(
        "-n",
        dest="workers",
        metavar="N",
        type=int,
        default=default,
        help="the number of cells that run at once (default: one per processor, at most 4)",
    )
    _add_no_provision(parser)


def _add_reproduce(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--python", metavar="X.Y", default="", help="the version of Python, such as 3.13")
    add(
        "--os",
        metavar="NAME",
        default="",
        help="the system as the user writes it, such as 'Debian 12.5', win11, python:3.13-alpine",
    )
    add("--arch", metavar="NAME", default="", help="the processor, such as x86_64, arm64, armv7l")
    add("--glibc", metavar="X.Y", default="", help="the version of glibc, such as 2.31")
    add("--pip", metavar="VERSION", default="", help="the version of pip, such as 24.3")
    add("--uv", metavar="VERSION", default="", help="the version of uv, such as 0.5.0")
    add(
        "--installer",
        metavar="NAME",
        default="",
        help="the installer: pip, uv, pip-oldest ...; for poetry, pdm, pipx and so on the nearest",
    )
    add(
        "--scenario",
        metavar="NAME",
        default="",
        help="the way to install and use the package; for store-python, conda-environment "
        "and tls-proxy the nearest",
    )
    _add_origin(parser)
    add(
        "--report",
        metavar="DIR",
        default="",
        help="the folder of the report (default: reproduction)",
    )


def _add_bundle(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("cell", nargs="*", help="the cells with evidence (default: all cells)")
    _add_from(parser)
    parser.add_argument("-o", dest="output", metavar="FILE.tar.zst", help="the file to write")


def _add_card(parser: argparse.ArgumentParser) -> None:
    _add_from(parser)
    parser.add_argument(
        "--output",
        metavar="FILE",
        help="the file to write: FILE.md or FILE.png (default: print Markdown)",
    )
    _add_no_provision(parser)


def _add_clean(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--kept", action="store_true", help="remove only the machines that --keep-failed kept"
    )


class _Command:
    """One command: its operands, a summary of one line, a description, and its options."""

    def __init__(
        self,
        operands: str,
        summary: str,
        description: str = "",
        add_options: Callable[[argparse.ArgumentParser], None] = _add_nothing,
    ) -> None:
        self.operands = operands
        self.summary = summary
        self.description = description or f"{summary[0].upper()}{summary[1:]}."
        self.add_options = add_options


_PYTEST = "Options of pytest, such as -k WORD, -n NUMBER and -v, work as well."
COMMANDS: Mapping[str, _Command] = {
    "gate": _Command(
        "[OPTIONS]",
        "verify a release and give a verdict",
        "Build a release, publish it on the index of this run, install and use it on clean "
        f"machines, and give a verdict. {_PYTEST}",
        _add_gate,
    ),
    "test": _Command(
        "[OPTIONS]",
        "test the suite itself",
        f"Run the unit tests and the planted faults of the suite. {_PYTEST}",
    ),
    "lint": _Command("", "check style, types and workflows"),
    "compare": _Command(
        "[RUN ...]",
        "print what is new in a run, compared with an earlier run",
        "Print what is new in a run, compared with an earlier run. Without RUN, compare the last "
        "run with the one before it. With one RUN, compare it with the one before it. With two, "
        "compare the second with the first. The exit code is 1 if there is a regression.",
        _add_compare,
    ),
    "shell": _Command(
        "MACHINE",
        "open a shell in a clean machine that reaches the index",
        "Open a shell in a clean machine, as its user. The machine reaches the index of the run "
        "and nothing else. Without a terminal, the shell reads commands from the input. The exit "
        "code is that of the shell. At the end everything is removed.",
        _add_shell,
    ),
    "replay": _Command(
        "CELL",
        "run a cell of a report again; compare outcome and causes",
        "Run cells of a report again, with the same files and images, and print whether the "
        "outcome and the causes are the same. Exit codes: 0 the same, 1 different, 3 the testbed "
        "failed, 5 a cell cannot be replayed.",
        _add_replay,
    ),
    "reproduce": _Command(
        "[OPTIONS]",
        "answer whether the release works on the machine of a bug report",
        "Run the release on the machine that is most similar to that of a bug report and has the "
        "same Python, and print the differences and the answer. Options describe the report, or "
        "standard input has its text (reproduce < report.txt); an option replaces the value of the "
        "text. Exit codes: 0 a machine with this "
        "Python, processor and C library ran the release, and it works; 1 such a machine or the "
        "files of the release show that it does not work; 5 neither is proven.",
        _add_reproduce,
    ),
    "bundle": _Command(
        "[CELL ...]",
        "pack a report, without secrets, for a public issue",
        "Pack a report into one .tar.zst that can be attached to a public issue. It contains "
        "results.json, the evidence of the cells, the other formats of the report and the "
        "versions. Known secrets, host names and paths of this host are removed. Read it before "
        "you publish it.",
        _add_bundle,
    ),
    "card": _Command(
        "[OPTIONS]",
        "print a report on one screen, for a pull request",
        "Print the release card of a report: the verdict, one entry for each platform and Python, "
        "and what the verdict is based on. Without --output, print it as Markdown. A picture is "
        "rendered by Chromium in a container.",
        _add_card,
    ),
    "doctor": _Command("", "check prerequisites and print how to fix what is missing"),
    "clean": _Command(
        "",
        "remove every container, image and file this project made",
        "Remove every container, network, volume and image that this project made, and its state "
        "folder with wheels, downloads and the history of runs. It does not ask for confirmation.",
        _add_clean,
    ),
}
ENVIRONMENTS = ("test", "lint")
"""The commands that tox.ini defines. Each other command is a module of this package."""
PYTEST_COMMANDS = ("gate", "test")
"""The commands that accept options of pytest."""


def build_parsers() -> tuple[Parser, Mapping[str, argparse.ArgumentParser]]:
    """Return the root of the tree, and the parser of each command."""
    usages = {f"{name} {command.operands}": command.summary for name, command in COMMANDS.items()}
    usages["--version"] = "print the version and the commit of the suite"
    width = max(map(len, usages)) + 2
    lines = (f"./e2e {usage:<{width}}{summary}" for usage, summary in usages.items())
    root = Parser(
        prog="./e2e",
        usage="\n       ".join(lines),
        epilog=EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    subparsers = root.add_subparsers(dest="command", required=True, help=argparse.SUPPRESS)
    for name, command in COMMANDS.items():
        command.add_options(
            subparsers.add_parser(
                name,
                prog=f"./e2e {name}",
                description=command.description,
                epilog=EXIT_CODES if name in PYTEST_COMMANDS else None,
                allow_abbrev=False,
            )
        )
    return root, subparsers.choices


def parse(words: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
    """Return the options of a command, and the words for pytest.

    ``--help`` and ``--version`` print their text and end the program with 0.

    Raises:
        WrongUse: there is no such command, or its options are wrong.
    """
    command = words[0] if words else "--help"
    if command in ("help", "-h"):
        command = "--help"
    if command == "--version":
        print(suite.title(suite.version(), suite.commit()))
        raise SystemExit(0)
    if command not in (*COMMANDS, "--help"):
        raise WrongUse(f"unknown command {command!r}; the commands are {', '.join(COMMANDS)}")
    root, _ = build_parsers()
    options, pytest_words = root.parse_known_args([command, *words[1:]])
    if pytest_words and command not in PYTEST_COMMANDS:
        raise WrongUse(f"{command}: unrecognized arguments: {' '.join(pytest_words)}")
    return options, pytest_words


def pytest_arguments(options: argparse.Namespace, pytest_words: Sequence[str]) -> list[str]:
    """Return the options of a command in the form that pytest needs, and the words for pytest.

    Each value is joined to its option by ``=``. As a separate word, a path looks to pytest like a
    folder of tests, whose conftest.py it imports before it knows the options of this project.
    """
    words = []
    for key, value in vars(options).items():
        name = f"--{_PYTEST_NAMES.get(key, key).replace('_', '-')}"
        if key == "command" or value is None or value is False:
            continue
        values = value if isinstance(value, list) else [value]
        words += [name if item is True else f"{name}={item}" for item in values]
    return [*words, *pytest_words]
