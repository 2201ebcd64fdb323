"""The command line: one tree of parsers, with a subparser for each command.

It needs only the standard library, so that every ``--help`` works before an environment exists.
"""

from __future__ import annotations

import argparse
import os
import tomllib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NoReturn

from verification.models.errors import WrongUse

_ROOT = Path(__file__).parents[2]
_MACHINES = _ROOT / "containers" / "machines.toml"
_PROFILES = _ROOT / "verification" / "scenarios" / "profiles.toml"
EXIT_CODES = """\
exit codes: 0 verified, 1 the package failed, 3 the testbed failed, 4 wrong use,
5 something required stayed unverified
"""
_PYTEST_NAMES = {"strict": "strict-verdict"}
"""The options that pytest knows under another name: ``--strict`` is one of its own."""


class Parser(argparse.ArgumentParser):
    """A parser that raises `WrongUse` in place of ending the program."""

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
        help="only this machine; may be repeated",
    )
    _add_origin(parser)
    add("--subject", metavar="FILE", help="verify another package, described in FILE (TOML)")
    add(
        "--tests",
        metavar="DIR",
        help="the package's own tests, run on machines (default: the source's tests)",
    )
    add("--strict", action="store_true", help="let what works and is flawed fail as well")
    add("--no-pipeline", action="store_true", help="do not run the release workflow")
    add(
        "--actions-from",
        metavar="DIR",
        help="run the workflow's real actions, from checkouts DIR/owner/name[@ref]",
    )
    add("--keep-failed", action="store_true", help="leave the machines of failed cells up")
    add("--report", metavar="DIR", help="where the report goes (default: report)")


def _add_origin(parser: argparse.ArgumentParser) -> None:
    """Add the options that say where the wheels come from."""
    add = parser.add_argument
    add("--source", metavar="DIR", help="build the wheels from DIR (default: bindings/python)")
    add("--wheels", metavar="DIR", help="take the wheels in DIR")
    add("--release", metavar="VERSION", help="take the wheels of a published release")
    add("--history", choices=("none", "all"), help="the earlier releases that are on the index")
    _add_no_provision(parser)


def _add_no_provision(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--no-provision", action="store_true", help="never install or start an engine"
    )


def _add_from(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--from", dest="report", metavar="DIR", default="", help="its report (default: report)"
    )


def _add_nothing(_parser: argparse.ArgumentParser) -> None:
    pass


def _add_compare(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", nargs="*", help="a number that --list prints, or a results.json")
    parser.add_argument("--list", action="store_true", help="list the runs that are kept")


def _add_shell(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "machine",
        metavar="machine",
        choices=_names(_MACHINES),
        help="a machine of containers/machines.toml",
    )
    _add_origin(parser)
    add("--installer", metavar="NAME", help="the installer that is set up (default: the first)")
    add("--scenario", metavar="NAME", help="the folder and environment (default: the first)")


def _add_replay(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("cell", nargs="*", help="the cell's id, as in the report")
    add("--all", action="store_true", help="every cell of the report")
    _add_from(parser)
    default = min(os.cpu_count() or 1, 4)
    add(
        "-n",
        dest="workers",
        metavar="N",
        type=int,
        default=default,
        help="how many cells run at once (default: one for each processor, at most 4)",
    )
    _add_no_provision(parser)


def _add_reproduce(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--python", metavar="X.Y", default="", help="its Python, such as 3.13")
    add("--os", metavar="NAME", default="", help="such as debian-11, windows-11")
    add("--arch", metavar="NAME", default="", help="its processor, such as x86_64, arm64")
    add("--glibc", metavar="X.Y", default="", help="its C library, such as 2.31")
    add("--pip", metavar="VERSION", default="", help="its pip, such as 24.3")
    add("--installer", metavar="NAME", default="", help="pip, uv, pip-oldest ...")
    add("--scenario", metavar="NAME", default="", help="the way of installing and using")
    _add_origin(parser)
    add("--report", metavar="DIR", default="", help="where the report goes (default: reproduction)")


def _add_bundle(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("cell", nargs="*", help="whose evidence is packed (default: every cell's)")
    _add_from(parser)
    parser.add_argument("-o", dest="output", metavar="FILE.tar.zst", help="the file to write")


def _add_clean(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--kept", action="store_true", help="only the machines that --keep-failed left"
    )


class _Command:
    """One command: its operands in the usage, what it does in one line and in full."""

    def __init__(
        self,
        operands: str,
        line: str,
        description: str = "",
        add: Callable[[argparse.ArgumentParser], None] = _add_nothing,
    ) -> None:
        self.operands = operands
        self.line = line
        self.description = description or f"{line[0].upper()}{line[1:]}."
        self.add = add


_PYTEST = "Options of pytest, such as -k WORD, -n NUMBER and -v, are accepted as well."
COMMANDS: Mapping[str, _Command] = {
    "gate": _Command(
        "[OPTIONS]",
        "verify a release and give a verdict",
        "Build a release, publish it to an index of this run, install and use it on clean "
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
        "print what is new in a run against an earlier one",
        "Print what is new in a run: without names the last run against the one before it; with "
        "one name that run against the one before it; with two the second against the first. "
        "The exit code is 1 if something is new and bad.",
        _add_compare,
    ),
    "shell": _Command(
        "MACHINE",
        "open a shell in a clean machine, with the index up",
        "Open a shell in a clean machine, as its user, with the index up and nothing else in "
        "reach. Without a terminal the commands come from the input. The exit code is that of the "
        "shell; everything is removed.",
        _add_shell,
    ),
    "replay": _Command(
        "CELL",
        "run a cell of a report again and compare the verdicts",
        "Run cells of a report again, with the files and images that they had, and print whether "
        "the verdict and its causes are the same. Exit codes: 0 yes, 1 no, 3 the testbed failed, "
        "5 a cell cannot be replayed.",
        _add_replay,
    ),
    "reproduce": _Command(
        "[OPTIONS]",
        "answer whether the release works on the machine of a bug report",
        "Take what a bug report says, run it on the most similar machine with that Python, and "
        "print what differs and the answer. Exit codes: 0 a machine with that Python, processor "
        "and C library ran the release, and it works; 1 such a machine or the files of the release "
        "show that it does not work; 5 neither is proven.",
        _add_reproduce,
    ),
    "bundle": _Command(
        "[CELL ...]",
        "pack a report, without secrets, for a public issue",
        "Pack a report into one .tar.zst that can be attached to a public issue: results.json, "
        "the evidence of the cells, the readable forms and the versions, without secrets, host "
        "names and paths of this machine. Read it before you publish it.",
        _add_bundle,
    ),
    "doctor": _Command("", "check prerequisites and print how to fix what is missing"),
    "clean": _Command(
        "",
        "remove every container, image and file this project made",
        "Remove, without asking, every container, network, volume and image that this project "
        "made, and its state folder with wheels, downloads and the history of runs.",
        _add_clean,
    ),
}
ENVIRONMENTS = ("test", "lint")
"""The commands that tox.ini defines; each other one is a module of this package."""
PYTEST_COMMANDS = ("gate", "test")
"""The commands whose other words are pytest's."""


def build_parsers() -> tuple[Parser, Mapping[str, argparse.ArgumentParser]]:
    """Return the tree: its root, and the parser of each command."""
    width = max(len(f"{name} {one.operands}") for name, one in COMMANDS.items()) + 2
    lines = (
        f"./e2e {f'{name} {one.operands}':<{width}}{one.line}" for name, one in COMMANDS.items()
    )
    top = Parser(
        prog="./e2e",
        usage="\n       ".join(lines),
        epilog=EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    subparsers = top.add_subparsers(dest="command", required=True, help=argparse.SUPPRESS)
    for name, one in COMMANDS.items():
        one.add(
            subparsers.add_parser(
                name,
                prog=f"./e2e {name}",
                description=one.description,
                epilog=EXIT_CODES if name in PYTEST_COMMANDS else None,
                allow_abbrev=False,
            )
        )
    return top, subparsers.choices


def parse(words: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
    """Return the options of a command, and the words that are pytest's.

    ``--help`` prints the help and ends the program with 0.

    Raises:
        WrongUse: the words are no command of this project.
    """
    command = words[0] if words else "--help"
    if command in ("help", "-h"):
        command = "--help"
    if command not in (*COMMANDS, "--help"):
        raise WrongUse(f"there is no command {command!r}; there are: {', '.join(COMMANDS)}")
    root, _ = build_parsers()
    options, rest = root.parse_known_args([command, *words[1:]])
    if rest and command not in PYTEST_COMMANDS:
        raise WrongUse(f"{command}: unrecognized arguments: {' '.join(rest)}")
    return options, rest


def pytest_arguments(options: argparse.Namespace, rest: Sequence[str]) -> list[str]:
    """Return the options of a command and the rest as pytest takes them.

    A value is joined to its option by ``=``. pytest takes a path that stands alone for one with
    tests to collect, and imports the conftest.py that is there before it knows of our options.
    """
    words = []
    for key, value in vars(options).items():
        name = f"--{_PYTEST_NAMES.get(key, key).replace('_', '-')}"
        if key == "command" or value is None or value is False:
            continue
        values = value if isinstance(value, list) else [value]
        words += [name if one is True else f"{name}={one}" for one in values]
    return [*words, *rest]
