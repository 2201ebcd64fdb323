"""Read the documents: their commands, output, snippets and links.

A fenced block of ``console`` has commands, each after ``$``, and lines of their output, in which
``...`` stands for any text. Its info string can name the expected exit codes: ``console exit=1``.
A block whose info string has ``file=PATH`` is the content of a file, or is added to it if the file
exists. A block of ``diff`` changes files.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import itertools
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from verification.commands import parser
from verification.models.errors import WrongUse

_BLOCK = re.compile(
    r"^(?P<indent> *)(?P<fence>`{3,})(?P<info>[^`\n]*)\n(?P<text>.*?)^ *(?P=fence)`* *$",
    re.MULTILINE | re.DOTALL,
)
_INLINE = re.compile(r"(?<!`)`(\./e2e(?: [^`]*)?)`(?!`)")
_LINK = re.compile(r"(?<!\\)\[[^\]]*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#{1,6} +(.*?) *#*$", re.MULTILINE)
_PLACEHOLDER = re.compile(r"<.*>|[A-Z][A-Z0-9_-]*|\.\.\.|…")
_VALUE = re.compile(rf"(?:^|(?<==))(?:{_PLACEHOLDER.pattern})$")
"""A placeholder as a word, or as the value after an equals sign."""
_REMARK = re.compile(r"\s{2,}# ")
_SHELLS = ("console", "sh", "bash", "shell")


@dataclasses.dataclass(frozen=True)
class Block:
    """A fenced block: its language, the settings of its info string, and its lines."""

    line: int
    """The number of its first line in the document."""
    language: str
    settings: Mapping[str, str] = dataclasses.field(hash=False)
    lines: tuple[str, ...]

    @property
    def text(self) -> str:
        """The lines of the block as one text."""
        return "".join(f"{line}\n" for line in self.lines)


@dataclasses.dataclass(frozen=True)
class Command:
    """A command that a reader types, with its expected exit codes and lines of its output."""

    line: int
    text: str
    codes: tuple[int, ...] = (0,)
    output: tuple[str, ...] = ()


def documents(root: Path) -> list[Path]:
    """Return the documents in reading order: the tutorial, the README, the how-tos, the others."""
    folder = root / "docs"
    first = [folder / "tutorial.md", root / "README.md", *sorted((folder / "how-to").glob("*.md"))]
    paths = dict.fromkeys([*first, *sorted(folder.rglob("*.md"))])
    return [path for path in paths if path.exists()]


# ---- blocks and commands ----


def blocks(text: str) -> list[Block]:
    """Return the fenced blocks of a document.

    Raises:
        ValueError: a block is not closed, or a setting in its info string has no value.
    """
    if "```" in _prose(text):
        raise ValueError("a block is not closed")
    parsed = []
    for match in _BLOCK.finditer(text):
        language, *settings = match["info"].split() or [""]
        pairs = dict(setting.split("=", 1) for setting in settings)
        lines = (line.removeprefix(match["indent"]) for line in match["text"].splitlines())
        line = text.count("\n", 0, match.start("text")) + 1
        parsed.append(Block(line, language, pairs, tuple(lines)))
    return parsed


def _prose(text: str) -> str:
    """Return a document with empty lines instead of its blocks."""
    return _BLOCK.sub(lambda match: "\n" * match[0].count("\n"), text)


def commands(text: str) -> list[Command]:
    """Return the commands of all blocks of a document, in order."""
    return [command for block in blocks(text) for command in commands_of(block)]


def commands_of(block: Block) -> Iterator[Command]:
    """Yield the commands of a block; none if its language is not a shell."""
    if block.language not in _SHELLS:
        return
    codes = tuple(int(code) for code in block.settings.get("exit", "0").split(","))
    parts = re.split(r"^\$ (.*)\n", block.text, flags=re.MULTILINE)  # text, command, output, ...
    line = block.line + parts[0].count("\n")
    for command, output in zip(parts[1::2], parts[2::2], strict=True):
        printed = tuple(filter(str.strip, output.splitlines()))
        yield Command(line, _without_remark(command), codes, printed)
        line += 1 + output.count("\n")


def _without_remark(line: str) -> str:
    for remark in _REMARK.finditer(line):
        before = line[: remark.start()]
        if before.count("'") % 2 == before.count('"') % 2 == 0:
            return before.strip()
    return line.strip()


def inline_commands(text: str) -> list[Command]:
    """Return the commands of this project in the text outside of blocks."""
    lines = enumerate(_prose(text).splitlines(), 1)
    return [Command(number, words) for number, line in lines for words in _INLINE.findall(line)]


def missing_output(expected: Sequence[str], printed: str) -> list[str]:
    """Return the expected lines that a command did not print. White space does not count."""
    text = " ".join(printed.split())
    missing = []
    for line in expected:
        parts = [" ".join(part.split()) for part in line.split("...")]
        if not re.search(".*?".join(re.escape(part) for part in parts if part), text):
            missing.append(line.strip())
    return missing


# ---- the use of commands ----


class _Choices(list[str]):
    """The valid values of an option. A placeholder such as ``NAME`` counts as valid too."""

    def __contains__(self, word: object) -> bool:
        return super().__contains__(word) or bool(_PLACEHOLDER.fullmatch(str(word)))


@functools.cache
def _lenient_parsers(machines: tuple[str, ...]) -> Mapping[str, argparse.ArgumentParser]:
    """Return the parser of each command, by the name of the command.

    The parsers also accept placeholders and these machines.
    """
    parsers = parser.build_parsers()[1]
    for action in [action for command in parsers.values() for action in command._actions]:
        action.type = None
        if action.choices is not None:
            action.choices = _Choices([*action.choices, *machines])
        if not action.option_strings and action.nargs is None:
            action.nargs = "?"  # a text can name a command without its arguments
            action.required = False
    return parsers


def usage_error(
    text: str, pytest_parser: argparse.ArgumentParser, machines: Sequence[str] = ()
) -> str:
    """Return the error in a command of this project; empty if there is none.

    ``machines`` are names of machines that a document defines. A word in capitals is a placeholder
    for any value.
    """
    try:
        words = shlex.split(text, comments=True)
    except ValueError as error:
        return str(error)
    words = [word.strip("[]") for word in words[1:] if word not in ("|", "&&")]
    if not words or words[0] in ("--help", "-h", "help"):
        return ""
    name, *arguments = itertools.takewhile(lambda word: word not in ("--", "--help"), words)
    command = _lenient_parsers(tuple(machines)).get(name)
    if command is None:
        return f"unknown command {name}"
    try:
        _, remaining = command.parse_known_args(arguments)
        if name in parser.PYTEST_COMMANDS:
            values = [_VALUE.sub("0", word) for word in remaining]  # a number is valid everywhere
            options, remaining = pytest_parser.parse_known_intermixed_args(values)
            remaining += [] if name == "test" else options.file_or_dir
    except (WrongUse, pytest.UsageError) as error:
        return str(error)
    return f"unknown arguments: {' '.join(remaining)}" if remaining else ""


# ---- links ----


def links(text: str) -> list[tuple[int, str]]:
    """Return the line and the target of each link to a file of this project."""
    return [
        (number, target)
        for number, line in enumerate(_prose(text).splitlines(), 1)
        for target in _LINK.findall(re.sub(r"`[^`]*`", "", line))
        if not re.match(r"[a-z]+:", target)
    ]


def dead_links(path: Path, root: Path) -> list[tuple[int, str]]:
    """Return the line and the target of each link whose file or heading does not exist."""
    dead = []
    for number, target in links(path.read_text("utf-8")):
        name, _, anchor = target.partition("#")
        file = (path.parent / name).resolve() if name else path
        exists = file.is_relative_to(root.resolve()) and file.exists()
        if not exists or (anchor and anchor not in anchors(file.read_text("utf-8"))):
            dead.append((number, target))
    return dead


def anchors(text: str) -> set[str]:
    """Return the anchors that GitHub gives to the headings of a document (as of 2026)."""
    names: set[str] = set()
    for heading in _HEADING.findall(_prose(text)):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
        name = re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")
        numbered = (f"{name}-{number}" for number in itertools.count(1))
        names.add(name if name not in names else next(n for n in numbered if n not in names))
    return names
