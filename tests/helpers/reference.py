"""The pages of docs/reference, made from the data and the code that they tell of.

``python3 -m tests.helpers.reference`` writes them and docs/reference/results.schema.json; a test compares
them with what it would write.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import re
import sys
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from tests.helpers import schemas
from tests.helpers.schemas import code, table
from verification.commands import parser
from verification.models.cause import Severity
from verification.models.errors import ExitCode
from verification.models.evidence import CellEvidence
from verification.models.report import RESULTS_SCHEMA, Report
from verification.rules.catalogue import catalogue
from verification.scenarios import installers, machines, profiles, scenarios
from verification.scenarios.expectation import declared_refusal
from verification.subjects.subject import load

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "docs" / "reference"
SCHEMA = ROOT / "docs" / "reference" / "results.schema.json"
_WORDS = Path(__file__).with_suffix(".toml")
_HEAD = "<!-- Written by `python3 -m tests.helpers.reference`: change what it reads. -->"
_VARIABLE = re.compile(r"QUIVERDB_E2E_[A-Z]+")


class MissingWords(ValueError):
    """A page must tell of something that reference.toml lacks words for, or the reverse."""


@dataclasses.dataclass(frozen=True)
class Option:
    """An option of a command, or a word without a dash that it takes."""

    names: tuple[str, ...]
    value: str = ""
    """What stands for its value; empty for a switch."""
    choices: tuple[str, ...] = ()
    help: str = ""
    many: bool = False
    """Whether it may be given more than once."""

    @property
    def usage(self) -> str:
        """It as one types it."""
        return ", ".join(f"{name} {self.value}".strip() for name in self.names) or self.value


# ---- what the commands take ----


def command_options(command: str) -> list[Option]:
    """Return the options of a command."""
    return list(_options_of(parser.build_parsers()[1][command]))


def _options_of(tree: argparse.ArgumentParser) -> Iterator[Option]:
    for action in tree._actions:  # argparse has no public way to them
        if "--help" in action.option_strings:
            continue
        choices = tuple(str(one) for one in action.choices or ())
        switch = action.nargs == 0
        metavar = action.metavar if isinstance(action.metavar, str) else None
        value = "" if switch else metavar or action.dest.upper()
        many = action.nargs in ("*", "+") or isinstance(action, argparse._AppendAction)
        yield Option(tuple(action.option_strings), value, choices, action.help or "", many)


# ---- the pages ----


def pages() -> dict[str, str]:
    """Return the pages of docs/reference, by name.

    Raises:
        MissingWords: words are missing in reference.toml, or belong to nothing.
    """
    words = tomllib.loads(_WORDS.read_text("utf-8"))
    makers: dict[str, tuple[str, Callable[[Mapping[str, Any]], str]]] = {
        "options": ("Commands and options", _options),
        "causes": ("Causes", _causes),
        "evidence": ("Evidence of a cell", _evidence),
        "results": ("results.json", _results),
        "exit_codes": ("Exit codes", _exit_codes),
        "matrix": ("Machines, installers, scenarios and profiles", _matrix),
    }
    _complete("intro", words["intro"], set(makers))
    return {
        f"{name.replace('_', '-')}.md": "\n".join(
            (_HEAD, f"# {title}", "", words["intro"][name], "", make(words).rstrip(), "")
        )
        for name, (title, make) in makers.items()
    }


def generated_files() -> dict[str, str]:
    """Return the generated pages that are in docs/reference, by name. Other pages are manual."""
    texts = {path.name: path.read_text("utf-8") for path in FOLDER.glob("*.md")}
    return {name: text for name, text in texts.items() if text.startswith(_HEAD)}


def _option_table(options: Iterable[Option]) -> str:
    rows = []
    for option in options:
        told = [option.help] if option.help else []
        told += [f"one of {code(*option.choices)}"] if option.choices else []
        told += ["may be repeated"] if option.many and "repeated" not in option.help else []
        rows.append((code(option.usage), "; ".join(told)))
    return table(("option", "meaning"), rows)


def _options(words: Mapping[str, Any]) -> str:
    text = f"```text\n{parser.build_parsers()[0].format_usage()}\n{parser.EXIT_CODES}```\n\n"
    for name in parser.COMMANDS:
        if options := command_options(name):
            text += f"## ./e2e {name}\n\n" + _option_table(options)
    text += "## Environment variables\n\n"
    named = {
        variable
        for folder in ("containers", "verification")
        for path in sorted((ROOT / folder).rglob("*.py"))
        for variable in _VARIABLE.findall(path.read_text("utf-8"))
    } | set(_VARIABLE.findall((ROOT / "e2e").read_text("utf-8")))
    _complete("environment", words["environment"], named)
    rows = [(code(name), meaning) for name, meaning in words["environment"].items()]
    return text + table(("variable", "meaning"), rows)


def _causes(words: Mapping[str, Any]) -> str:
    text = ""
    entries = list(catalogue().values())
    _complete("severities", words["severities"], set(Severity))
    for severity, told in words["severities"].items():
        text += f"## Severity: {severity}\n\n{told}\n\n"
        for entry in entries:
            if entry.severity != severity:
                continue
            text += f"### {entry.name}\n\n{entry.title}. {entry.doc}\n\n"
            text += f"- Expected: {_plain(entry.expected)}.\n- Remedy: {_plain(entry.remedy)}\n"
            if entry.risk:
                text += f"- Where it is only possible, or not this release's: *{entry.risk}*.\n"
            text += "\n"
    return text


def _plain(told: str) -> str:
    """Return a text of the catalogue with its fields as words."""
    return re.sub(r"(?<!\{)\{(\w+)\}(?!\})", r"*\1*", told).replace("{{", "{").replace("}}", "}")


def _evidence(_words: Mapping[str, Any]) -> str:
    return schemas.page(CellEvidence, "The file", every_field=False)


def _results(_words: Mapping[str, Any]) -> str:
    return schemas.page(Report, "The file")


def _exit_codes(words: Mapping[str, Any]) -> str:
    _complete("exit_codes", words["exit_codes"], {one.name for one in ExitCode})
    rows = [(str(int(one)), words["exit_codes"][one.name]) for one in ExitCode]
    return table(("code", "meaning"), rows)


def _matrix(_words: Mapping[str, Any]) -> str:
    text = "## Machines\n\n"
    rows = []
    for spec in machines.load().values():
        told = [spec.title]
        told += [f"Has more than a clean one: {', '.join(spec.has)}."] if spec.has else []
        told += (
            [f"Lacks what its platform promises: {', '.join(spec.lacks)}."] if spec.lacks else []
        )
        told += [f"Its processor: {spec.processor}."] if spec.processor else []
        refused = declared_refusal(load(), spec)
        told += [f"Must refuse: `{refused}`."] if refused else []
        rows.append(
            (
                code(spec.name),
                ". ".join(one.removesuffix(".") for one in told),
                spec.python,
                code(*spec.installers),
                code(*spec.scenarios),
                code(*spec.profiles),
            )
        )
    heads = ("machine", "what it is", "Python", "installers", "scenarios", "profiles")
    text += table(heads, rows) + "## Installers\n\n"
    told_of = (
        (code(one.name), code(" ".join(one.install)), one.deviation)
        for one in installers.load().values()
    )
    text += table(("installer", "command", "in what it is not the literal one"), told_of)
    text += "## Scenarios\n\n"
    every = scenarios.load()
    text += table(
        ("scenario", "what it asserts", "installers", "where", "cause if only it fails"),
        (
            (
                code(one.name),
                one.title,
                code(*one.installers) or "all",
                ", ".join(system for system in every if one.name in every[system]),
                code(one.refusal or one.cause),
            )
            for one in {**every["windows"], **every["linux"]}.values()
        ),
    )
    text += "## Profiles\n\n"
    return text + table(
        ("profile", "what it is for", "cells", "earlier releases"),
        (
            (code(one.name), one.title, code(*one.cells), code(one.history))
            for one in profiles.load().values()
        ),
    )


def _complete(key: str, told: Mapping[str, str], there: set[str]) -> None:
    if missing := sorted(there - told.keys()):
        raise MissingWords(f"reference.toml: [{key}] does not tell of {', '.join(missing)}")
    if more := sorted(told.keys() - there):
        raise MissingWords(f"reference.toml: [{key}] tells of {', '.join(more)}: there is none")


def results_schema() -> str:
    """Return docs/reference/results.schema.json."""
    made = schemas.schema(Report)
    title = f"The report of one run of quiverdb-e2e, results.json, form {RESULTS_SCHEMA}"
    return json.dumps({**made, "title": title}, indent=2, ensure_ascii=False) + "\n"


def main() -> int:
    """Write the pages and the schema."""
    try:
        made = pages()
    except MissingWords as error:
        print(f"reference: {error}", file=sys.stderr)
        return ExitCode.WRONG_USE
    FOLDER.mkdir(exist_ok=True)
    for name in generated_files().keys() - made.keys():
        (FOLDER / name).unlink()
    for name, text in made.items():
        (FOLDER / name).write_text(text, "utf-8")
    SCHEMA.write_text(results_schema(), "utf-8")
    return ExitCode.VERIFIED


if __name__ == "__main__":
    sys.exit(main())
