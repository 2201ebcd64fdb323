"""The command line: one tree of parsers, with a subparser for each command.

The module needs only the standard library, so that ``--help`` works without an environment.
"""

from __future__ import annotations

import argparse
import functools
import os
import shutil
import textwrap
import tomllib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NoReturn

from verification import suite
from verification.models.errors import WrongUse
from verification.suggestions import did_you_mean, unknown

_ROOT = Path(__file__).parents[2]
_MACHINES = _ROOT / "containers" / "machines.toml"
_LIMITS = _ROOT / "containers" / "limits.toml"
_PROFILES = _ROOT / "verification" / "scenarios" / "profiles.toml"
EVENTS = ("tag", "release", "workflow_dispatch", "branch")
"""The events that start a release workflow, in the order in which the default is searched."""
LIMIT_OPTIONS = (
    ("--memory", "MIB", "memory_mib", "the memory with swap, in MiB,"),
    ("--processes", "N", "processes", "the number of processes and threads"),
    ("--cpus", "N", "cpus", "the number of processors"),
    ("--disk", "MIB", "disk_mib", "the size of the written files, in MiB,"),
)
"""The options for the limits: the name, the metavar, the key in limits.toml and the meaning."""
SHELLS = ("bash", "zsh")
_REPORT = "report in the checkout, or in the state folder if the checkout is read-only"
PYTEST_OPTIONS: Mapping[str, str] = {
    "-k EXPRESSION": "run the tests whose names contain the words, such as -k 'uv and not venv' "
    "(default: all tests)",
    "-n NUMBER": "run NUMBER tests at once; 0 runs them in one process (default: three for two "
    "processors)",
    "-v": "show the output of pytest, and the steps of each build (default: the progress)",
    "-x": "stop at the first failure (default: run everything)",
}
"""The most useful options of pytest. `gate` and `test` accept all of them."""
EXIT_CODES = """\
exit codes:
  0 verified
  1 the package failed
  3 the testbed failed
  4 wrong use
  5 something required is not verified
"""
_NARROW = 90
"""On a terminal with fewer columns, the summary of a command is on separate lines."""
_MIN_WIDTH = 20
_PYTEST_NAMES = {"strict": "strict-verdict"}
"""Options with another name for pytest, which already has an option ``--strict``."""


class Parser(argparse.ArgumentParser):
    """A parser that raises `WrongUse` instead of ending the program."""

    def error(self, message: str) -> NoReturn:
        """Report wrong use in one line, with the name of the command.

        Raises:
            WrongUse: always.
        """
        raise WrongUse(": ".join(filter(None, (self.prog.partition(" ")[2], message))))


class _HelpFormatter(argparse.HelpFormatter):
    """Wraps each line of a description separately, with the indentation of the line."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        return "\n".join(_wrap(line, width, indent) for line in text.splitlines())


def _wrap(line: str, width: int, indent: str) -> str:
    """Wrap a line. The text after two spaces is a column, and its further lines begin there."""
    start = len(line) - len(line.lstrip())
    column = line.find("  ", start)
    further = len(line[: column + 1]) + len(line[column:]) - len(line[column:].lstrip()) - 1
    hanging = further if 0 < column < further < width // 2 else start
    return textwrap.fill(
        line,
        width,
        initial_indent=indent,
        subsequent_indent=indent + " " * hanging,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _one_of(kind: str, names: Sequence[str]) -> Callable[[str], str]:
    """Return the type of an option whose value is one of the names."""

    def check(name: str) -> str:
        if name not in names:
            raise argparse.ArgumentTypeError(unknown(kind, name, names))
        return name

    return check


@functools.cache
def _names(path: Path) -> tuple[str, ...]:
    return tuple(tomllib.loads(path.read_text("utf-8")))


def _add_gate(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    _add_machines(parser)
    _add_subject(parser)
    _add_origin(parser)
    add(
        "--tests",
        metavar="DIR",
        help="the package's own tests, to run on machines with the files around them "
        "(default: tests in the source)",
    )
    _add_strict(parser)
    add(
        "--no-pipeline",
        action="store_true",
        help="do not run the release workflow (default: run it, except with --profile quick, "
        "--machine, --wheels or --release)",
    )
    add(
        "--actions-from",
        metavar="DIR",
        help="run the real actions of the workflow, from checkouts DIR/owner/name[@ref] "
        "(default: stand-in actions)",
    )
    _add_repository(add)
    add(
        "--published-by",
        metavar="REPORT",
        help="with --release: compare the release with the files that an earlier gate verified, "
        "whose report is in the folder REPORT (default: no comparison)",
    )
    add(
        "--wait",
        metavar="MINUTES",
        help="with --published-by: wait at most this long until the index serves every file "
        "(default: 10)",
    )
    add(
        "--shard",
        metavar="K/N",
        help="run only part K of N of the cells, for ./e2e merge (default: run all cells)",
    )
    add(
        "--registry",
        metavar="HOST/NAMESPACE",
        help="pull the images from this registry, by the digests in the list (default: build them)",
    )
    _add_digests(parser)
    add(
        "--engine",
        action="append",
        metavar="CONTEXT",
        help="run cells on the engine of this Docker context; repeat it for several engines "
        "(default: the engine of docker)",
    )
    add(
        "--engines",
        metavar="FILE",
        help="run cells on the engines that this file lists, each with a number of workers "
        "(default: no file)",
    )
    add(
        "--keep-failed",
        action="store_true",
        help="keep the machines of failed cells running for 24 hours (default: remove them)",
    )
    _add_limits(parser)
    add("--report", metavar="DIR", help=f"the folder of the report (default: {_REPORT})")


def _add_repository(add: Callable[..., object]) -> None:
    """Add the options for the release workflow of any checkout."""
    add(
        "--repository",
        metavar="DIR",
        help="verify the release workflow of the checkout in DIR (default: that of quiverdb)",
    )
    add(
        "--workflow",
        metavar="FILE",
        help="the workflow file of --repository (default: the only one that publishes)",
    )
    add(
        "--event",
        metavar="EVENT",
        choices=EVENTS,
        type=_one_of("event", EVENTS),
        help="how to start the workflow (default: the first way that its `on` allows)",
    )
    add(
        "--input",
        metavar="NAME=VALUE",
        action="append",
        help="an input of the dispatch; may be repeated (default: the defaults of the workflow)",
    )
    add(
        "--tag",
        metavar="NAME",
        help="the tag of the release (default: from the version, in the style of the newest tag)",
    )
    add(
        "--package-dir",
        metavar="DIR",
        help="the folder of the package in --repository (default: the only one with [project])",
    )
    add(
        "--publisher",
        metavar="FILE",
        help="the registration of the trusted publisher (default: publishers.toml of the checkout "
        "or of the subject)",
    )
    add(
        "--index-files",
        metavar="DIR",
        help="other wheels on the index of the workflow, for jobs that install programs (default: "
        "none)",
    )


def _add_machines(parser: argparse.ArgumentParser) -> None:
    """Add the options that select the cells."""
    profiles, machines = _names(_PROFILES), _names(_MACHINES)
    parser.add_argument(
        "--profile",
        metavar="NAME",
        choices=profiles,
        type=_one_of("profile", profiles),
        help="the profile whose cells run (default: gate)",
    )
    parser.add_argument(
        "--machine",
        metavar="NAME",
        choices=machines,
        type=_one_of("machine", machines),
        action="append",
        help="use only this machine; may be repeated (default: all machines of the profile)",
    )


def _add_digests(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--digests",
        metavar="FILE",
        help="the list with the digest of each image (default: containers/locks/images.toml)",
    )


def _add_images(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--registry",
        metavar="HOST/NAMESPACE",
        required=True,
        help="the registry to push to (default: none, it must be named)",
    )
    _add_digests(parser)
    _add_machines(parser)
    _add_no_provision(parser)


def _add_merge(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "shards", metavar="REPORT", nargs="+", help="the folder of the report of a shard"
    )
    parser.add_argument(
        "--report", metavar="DIR", help=f"the folder of the merged report (default: {_REPORT})"
    )


def _add_limits(parser: argparse.ArgumentParser) -> None:
    """Add the options for the limits of the machines and of the jobs of the workflow."""
    limits = tomllib.loads(_LIMITS.read_text("utf-8"))
    for name, metavar, key, text in LIMIT_OPTIONS:
        default = f"{limits['machine'][key]:g}, jobs {limits['job'][key]:g}"
        parser.add_argument(
            name, metavar=metavar, help=f"{text} of a machine or job (default: {default})"
        )


def _add_strict(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--strict",
        action="store_true",
        help="fail for flaws and fallbacks as well (default: only show them)",
    )


def _add_survey(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("list", metavar="FILE", help="the list: one name==version on each line")
    _add_machines(parser)
    _add_strict(parser)
    _add_limits(parser)
    parser.add_argument(
        "--report",
        metavar="DIR",
        help="the folder of the table and the reports (default: survey in the checkout, or in the "
        "state folder if the checkout is read-only)",
    )
    _add_no_provision(parser)


def _add_subject(parser: argparse.ArgumentParser, default: str = "quiverdb") -> None:
    parser.add_argument(
        "--subject",
        metavar="FILE",
        help=f"the description of the package, a TOML file (default: {default})",
    )


def _add_origin(parser: argparse.ArgumentParser) -> None:
    """Add the options for the origin of the wheels."""
    add = parser.add_argument
    add(
        "--source",
        metavar="DIR",
        help="build the wheels from DIR with cibuildwheel (default: bindings/python; none with "
        "--subject)",
    )
    add("--wheels", metavar="DIR", help="use the wheels in DIR (default: build them)")
    add(
        "--release",
        metavar="VERSION",
        help="use the wheels of a published release (default: build them)",
    )
    add(
        "--history",
        choices=("none", "all"),
        help="which earlier releases the index has (default: that of the profile)",
    )
    _add_no_provision(parser)


def _add_init(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("package", metavar="PACKAGE", help="the name of the package on the index")
    add(
        "--release",
        metavar="VERSION",
        help="describe this published release (default: the newest stable one with wheels)",
    )
    add(
        "--wheels",
        metavar="DIR",
        help="describe the wheels in DIR, which need not be published (default: a release)",
    )
    add(
        "--output",
        metavar="DIR",
        help="the folder for the files, new or empty (default: the name of the package)",
    )


def _add_lock(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    _add_subject(parser)
    add(
        "--wheels",
        metavar="DIR",
        help="read the requirements of the wheels in DIR; needed without --release",
    )
    add(
        "--release",
        metavar="VERSION",
        help="read the requirements of a published release; needed without --wheels",
    )


def _add_no_provision(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--no-provision",
        action="store_true",
        help="never install or start an engine "
        "(default: on Debian as root, start one if none answers)",
    )


def _add_from(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--from",
        dest="report",
        metavar="DIR",
        default="",
        help=f"the folder of the report (default: {_REPORT})",
    )


def _add_nothing(_parser: argparse.ArgumentParser) -> None:
    pass


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text}: write a whole number above 0")
    return int(text)


def _add_compare(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "run",
        nargs="*",
        help="a number that --list prints, or a results.json (default: the last two runs)",
    )
    parser.add_argument(
        "--list",
        action="store_true",
        help="list the runs of the history (default: compare two of them)",
    )
    parser.add_argument(
        "--prune",
        metavar="N",
        type=_positive,
        help="remove all runs of the history except the newest N of each kind (default: remove "
        "none)",
    )
    _add_subject(parser, "runs of all packages")


def _add_shell(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    machines = _names(_MACHINES)
    add(
        "machine",
        metavar="machine",
        choices=machines,
        type=_one_of("machine", machines),
        help="the machine that runs the shell",
    )
    _add_subject(parser)
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
    _add_limits(parser)


def _add_replay(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("cell", nargs="*", help="the id of a cell of the report; one is needed without --all")
    add(
        "--all",
        action="store_true",
        help="every cell of the report (default: only the named cells)",
    )
    _add_from(parser)
    _add_subject(parser, "the file that the recorded run used")
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
    any_value = "(default: any)"
    for name, metavar, text in (
        ("--python", "X.Y", f"the version of Python, such as 3.13 {any_value}"),
        (
            "--os",
            "NAME",
            "the system as the user writes it, such as 'Debian 12.5', win11, python:3.13-alpine "
            + any_value,
        ),
        ("--arch", "NAME", f"the processor, such as x86_64, arm64, armv7l {any_value}"),
        ("--glibc", "X.Y", f"the version of glibc, such as 2.31 {any_value}"),
        ("--pip", "VERSION", f"the version of pip, such as 24.3 {any_value}"),
        ("--uv", "VERSION", f"the version of uv, such as 0.5.0 {any_value}"),
        (
            "--installer",
            "NAME",
            "the installer: pip, uv, pip-oldest ...; poetry, pdm, pipx and others are replaced by "
            "a similar installer (default: pip)",
        ),
        (
            "--scenario",
            "NAME",
            "the way to install and use the package; store-python, conda-environment and tls-proxy "
            "are replaced by a similar scenario (default: the first of the machine)",
        ),
    ):
        parser.add_argument(name, metavar=metavar, default="", help=text)
    _add_subject(parser)
    _add_origin(parser)
    _add_limits(parser)
    parser.add_argument(
        "--report",
        metavar="DIR",
        default="",
        help="the folder of the report (default: reproduction, in the checkout)",
    )


def _add_bundle(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("cell", nargs="*", help="the cells with evidence (default: all cells)")
    _add_from(parser)
    parser.add_argument(
        "-o",
        dest="output",
        metavar="FILE.tar.zst",
        help="the file to write (default: SUBJECT-VERSION-VERDICT.tar.zst)",
    )


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
        "--kept",
        action="store_true",
        help="remove only the machines that --keep-failed kept (default: everything)",
    )


def _add_completion(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "shell",
        metavar="bash|zsh",
        choices=SHELLS,
        type=_one_of("shell", SHELLS),
        help="the shell that reads the script",
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


_PYTEST = "All options of pytest work as well. The useful ones are below."
COMMANDS: Mapping[str, _Command] = {
    "gate": _Command(
        "[OPTIONS]",
        "verify a release and give a verdict",
        "Build a release, publish it on the index of this run, install and use it on clean "
        f"machines, and give a verdict. {_PYTEST}",
        _add_gate,
    ),
    "images": _Command(
        "--registry HOST/NAMESPACE",
        "push the images to a registry, and list their digests",
        "Build the images of a profile, push them to a registry, and write the list of their "
        "digests. With this list, ./e2e gate --registry pulls the same images by digest and builds "
        "none of them.",
        _add_images,
    ),
    "merge": _Command(
        "REPORT ...",
        "make one report from those of the shards of a run",
        "Merge the reports of all shards of one run into one report, with the verdict of the whole "
        "run. The shards must have the same suite, wheels, options and images, and each cell must "
        "belong to one of them. A report that was changed after its run is refused.",
        _add_merge,
    ),
    "survey": _Command(
        "FILE",
        "verify each release of a list and print one table",
        "Run one gate for each release of a list: FILE has one name==version on each line. The "
        "description of each package is made from its wheels. Print one line for each release, and "
        "write survey.md, survey.json and the reports. The line of a release without a result has "
        "the reason. An interrupt keeps the results of finished releases. The exit code is that of "
        "the worst release: failed, testbed failed, not verified, verified, in this order.",
        _add_survey,
    ),
    "test": _Command(
        "[OPTIONS]",
        "test the suite itself",
        f"Run the unit tests and the planted faults of the suite. {_PYTEST}",
    ),
    "lint": _Command("", "check style, types and workflows"),
    "init": _Command(
        "PACKAGE",
        "write the description of a package, for its first gate",
        "Read the wheels of a release. Write the description of the package (subject.toml), a "
        "smoke test that imports every extension module, and the lock of the dependencies. Print "
        "the gate to run next. A platform that no machine runs is only inspected; one line names "
        "it. Without --release and --wheels, the release is the newest stable one with wheels.",
        _add_init,
    ),
    "compare": _Command(
        "[RUN ...]",
        "print what is new in a run, compared with an earlier run",
        "Print what is new in a run, compared with an earlier run. Without RUN, compare the last "
        "run with the one before it. With one RUN, compare it with the one before it. With two, "
        "compare the second with the first. The exit code is 1 if there is a regression.",
        _add_compare,
    ),
    "lock": _Command(
        "[OPTIONS]",
        "lock the dependencies of a release for all machines",
        "Resolve what the wheels of a release require, with uv, for the Python and the platform of "
        "each machine. Write the newest versions with their hashes to a lock file next to the "
        "description of the package. The index of a run serves the locked files. uv uses the index "
        "that pip is set to use. A machine without a solution is named and left out.",
        _add_lock,
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
        "Run the release on the machine that is nearest to that of a bug report and has the same "
        "Python, and print the differences and the answer. Options describe the bug report, or "
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
    "completion": _Command(
        "bash|zsh",
        "print the completion script of a shell",
        "Print a script that completes commands, options, machines and profiles. In bash, run: "
        "source <(./e2e completion bash). In zsh, run: source <(./e2e completion zsh).",
        _add_completion,
    ),
}
ENVIRONMENTS = ("test", "lint")
"""The commands that tox.ini defines. Each other command is a module of this package."""
PYTEST_COMMANDS = ("gate", "test")
"""The commands that accept options of pytest."""


def build_parsers(columns: int = 102) -> tuple[Parser, Mapping[str, Parser]]:
    """Return the root of the tree, and the parser of each command. `columns`: of the terminal."""
    root = Parser(
        prog="./e2e",
        usage=_usage(columns),
        epilog=EXIT_CODES,
        formatter_class=_HelpFormatter,
    )
    subparsers = root.add_subparsers(dest="command", required=True, help=argparse.SUPPRESS)
    for name, command in COMMANDS.items():
        command.add_options(
            subparsers.add_parser(
                name,
                prog=f"./e2e {name}",
                description=command.description,
                epilog=_epilog(name),
                allow_abbrev=False,
                formatter_class=_HelpFormatter,
            )
        )
    return root, subparsers.choices


def _usage(columns: int) -> str:
    """Return one line for each command; on a narrow terminal, two."""
    usages = {f"{name} {command.operands}": command.summary for name, command in COMMANDS.items()}
    usages["--version"] = "print the version and the commit of the suite"
    indent = " " * len("usage: ")
    column = max(map(len, usages)) + 2
    is_narrow = columns < _NARROW
    lines = []
    for usage, summary in usages.items():
        hanging = len(indent) + len("./e2e ") + (0 if is_narrow else column)
        text = textwrap.wrap(summary, max(columns - hanging, _MIN_WIDTH))
        usage = usage.strip() if is_narrow else usage.ljust(column) + text.pop(0)
        lines.append(f"{indent}./e2e {usage}")
        lines += [" " * hanging + line for line in text]
    return "\n".join(lines).strip()


def _epilog(command: str) -> str | None:
    lines = []
    if command in PYTEST_COMMANDS:
        width = max(map(len, PYTEST_OPTIONS)) + 2
        options = [f"  {name:<{width}}{text}" for name, text in PYTEST_OPTIONS.items()]
        lines += ["useful options of pytest:", *options, ""]
    if command in ("gate", "survey", "shell"):
        lines += [f"machines: {', '.join(_names(_MACHINES))}", ""]
    if command in ("gate", "survey"):
        lines += [f"profiles: {', '.join(_names(_PROFILES))}", ""]
    if command in (*PYTEST_COMMANDS, "survey", "merge"):
        lines += EXIT_CODES.splitlines()
    return "\n".join(lines) or None


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
        raise WrongUse(unknown("command", command, COMMANDS))
    root, _ = build_parsers(shutil.get_terminal_size().columns)
    options, pytest_words = root.parse_known_args([command, *words[1:]])
    if pytest_words and command not in PYTEST_COMMANDS:
        raise WrongUse(unrecognized(command, pytest_words))
    return options, pytest_words


def unrecognized(command: str, words: Sequence[str]) -> str:
    """Return the line about words that a command does not know."""
    names = option_names(build_parsers()[1][command])
    questions = (did_you_mean(word.partition("=")[0], names) for word in words)
    question = next(filter(None, questions), "")
    return f"{command}: unrecognized arguments: {' '.join(words)}{question}"


def option_names(parser: argparse.ArgumentParser) -> list[str]:
    """Return the names of all options of a command."""
    # argparse has no public list of the options.
    return [name for action in parser._actions for name in action.option_strings]


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
