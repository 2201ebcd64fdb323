"""What can be checked in the documents: commands, output, snippets, links.

A fenced block of ``console`` holds commands, each after ``$``, and lines of their output, where
``...`` stands for anything. Its info string may say how they end: ``console exit=1``. A block
whose info string has ``file=PATH`` is what a file holds, or what is added to it if it is there. A
block of ``diff`` changes files.
"""

from __future__ import annotations

import dataclasses
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from tests.helpers import reference
from tests.helpers.reference import Option
from verification.commands import parser

_FENCE = re.compile(r"^(?P<indent> *)(?P<fence>`{3,})(?P<info>[^`]*)$")
_INLINE = re.compile(r"(?<!`)`(\./e2e(?: [^`]*)?)`(?!`)")
_LINK = re.compile(r"(?<!\\)\[[^\]]*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#{1,6} +(.*?) *#*$")
_PLACEHOLDER = re.compile(r"<.*>|[A-Z][A-Z0-9_-]*|\.\.\.|…")
_SHELLS = ("console", "sh", "bash", "shell")


@dataclasses.dataclass(frozen=True)
class Block:
    """A fenced block: its language, what else its info string says, and its lines."""

    line: int
    """The number of its first line in the document."""
    language: str
    settings: Mapping[str, str] = dataclasses.field(hash=False)
    lines: tuple[str, ...]

    @property
    def text(self) -> str:
        """The whole of it."""
        return "".join(f"{line}\n" for line in self.lines)


@dataclasses.dataclass(frozen=True)
class Command:
    """A command that a reader types, how it ends and lines of what it prints."""

    line: int
    text: str
    codes: tuple[int, ...] = (0,)
    """The exit codes that the document allows."""
    output: tuple[str, ...] = ()


def documents(root: Path) -> list[Path]:
    """Return the documents in the order in which they are read: the tutorial first."""
    folder = root / "docs"
    first = [folder / "tutorial.md", root / "README.md", *sorted((folder / "how-to").glob("*.md"))]
    every = [path for path in first if path.exists()]
    return every + [path for path in sorted(folder.rglob("*.md")) if path not in first]


def blocks(text: str) -> list[Block]:
    """Return the fenced blocks of a document.

    Raises:
        ValueError: one is not closed, or its info string says something without a value.
    """
    closed: list[Block] = []
    opened: tuple[int, str, str, list[str], str] | None = None
    for number, line in enumerate(text.splitlines(), 1):
        fence = _FENCE.match(line)
        if opened is None:
            if fence:
                opened = (number + 1, fence["fence"], fence["indent"], [], fence["info"].strip())
            continue
        first, mark, indent, lines, info = opened
        if fence and fence["fence"].startswith(mark) and not fence["info"].strip():
            language, *more = info.split() or [""]
            if wrong := [word for word in more if "=" not in word]:
                raise ValueError(f"line {first - 1}: {wrong[0]!r} says nothing: write name=value")
            settings = dict(word.split("=", 1) for word in more)
            closed.append(Block(first, language, settings, tuple(lines)))
            opened = None
        else:
            lines.append(line.removeprefix(indent))
    if opened:
        raise ValueError(f"line {opened[0] - 1}: the block is not closed")
    return closed


def commands(text: str) -> list[Command]:
    """Return the commands of a document's blocks, in order."""
    return [command for block in blocks(text) for command in commands_of(block)]


def commands_of(block: Block) -> Iterator[Command]:
    """Yield the commands of one block; none if it is not for a shell."""
    if block.language not in _SHELLS:
        return
    codes = tuple(int(code) for code in block.settings.get("exit", "0").split(","))
    typed: tuple[int, str] | None = None
    output: list[str] = []
    for number, line in enumerate(block.lines, block.line):
        if typed and typed[1].endswith("\\"):
            typed = (typed[0], typed[1][:-1].rstrip() + " " + line.strip())
        elif line.startswith("$ "):
            if typed:
                yield Command(*typed, codes, tuple(output))
            typed, output = (number, _without_remark(line[2:])), []
        elif line.strip():
            output.append(line)
    if typed:
        yield Command(*typed, codes, tuple(output))


def _without_remark(line: str) -> str:
    for remark in re.finditer(r"\s{2,}# ", line):
        before = line[: remark.start()]
        if before.count("'") % 2 == before.count('"') % 2 == 0:
            return before.strip()
    return line.strip()


def inline_commands(text: str) -> list[Command]:
    """Return the commands of this project that the running text names."""
    prose = _prose(text)
    return [Command(number, words) for number, line in prose for words in _INLINE.findall(line)]


def _prose(text: str) -> Iterator[tuple[int, str]]:
    """Yield the lines outside of fenced blocks, with their numbers."""
    inside = ""
    for number, line in enumerate(text.splitlines(), 1):
        fence = _FENCE.match(line)
        if inside:
            if fence and fence["fence"].startswith(inside) and not fence["info"].strip():
                inside = ""
        elif fence:
            inside = fence["fence"]
        else:
            yield number, line


def missing_output(expected: Sequence[str], printed: str) -> list[str]:
    """Return the lines that a command was to print and did not; blanks do not count."""
    there = " ".join(printed.split())
    missing = []
    for line in expected:
        parts = [" ".join(part.split()) for part in line.split("...")]
        pattern = ".*?".join(re.escape(part) for part in parts if part)
        if not re.search(pattern, there):
            missing.append(line.strip())
    return missing


# ---- words ----


def accepted_options(pytest_help: str) -> dict[str, list[Option]]:
    """Return the options of each command of this project, those in pytest's help included."""
    own = {name: reference.command_options(name) for name in parser.COMMANDS}
    of_pytest = list(pytest_options(pytest_help))
    return own | {name: [*of_pytest, *own[name]] for name in parser.PYTEST_COMMANDS}


def pytest_options(text: str) -> Iterator[Option]:
    """Yield the options in ``pytest --help``."""
    for line in text.splitlines():
        if not (head := re.match(r"  (-.+?)(?:\s{2,}|$)", line)):
            continue
        parts = [re.split(r"[ =]", part, maxsplit=1) for part in head[1].split(", -")]
        names = tuple(part[0] if part[0].startswith("-") else f"-{part[0]}" for part in parts)
        value = parts[-1][1] if len(parts[-1]) > 1 else ""
        choices = tuple(value[1:-1].split(",")) if value.startswith("{") else ()
        yield Option(names, value, choices)


def usage_error(text: str, takes: Mapping[str, Sequence[Option]], free: Sequence[str] = ()) -> str:
    """Return what is wrong with a command of this project; empty if it can be typed so.

    ``takes`` are the commands with what each takes; those in ``free`` take any other word as well,
    such as a path. A word in capitals stands for another.
    """
    try:
        words = shlex.split(text, comments=True)
    except ValueError as error:
        return str(error)
    words = [word.strip("[]") for word in words[1:] if word not in ("|", "&&")]
    if not words or words[0] in ("--help", "-h", "help"):
        return ""
    command, *rest = words
    if command not in takes:
        return f"there is no command {command!r}; there are: {', '.join(takes)}"
    return _wrong(rest, takes[command], command in free)


def _wrong(words: Sequence[str], options: Sequence[Option], free: bool) -> str:
    named = {name: option for option in options for name in option.names}
    positions = [option for option in options if not option.names]
    waiting = list(words)
    while waiting:
        word = waiting.pop(0)
        if word in ("--", "--help"):
            return ""
        if word.startswith("-") and not _PLACEHOLDER.fullmatch(word):
            wrong = _wrong_option(word, waiting, named)
        else:
            wrong = _wrong_position(word, positions, free)
        if wrong:
            return wrong
    return ""


def _wrong_position(word: str, positions: list[Option], free: bool) -> str:
    """Take a word from the positions that are left; return what is wrong with it."""
    if not positions:
        extra = not free and not _PLACEHOLDER.fullmatch(word)
        return f"the word {word!r} is one too many" if extra else ""
    position = positions[0]
    if not position.many:
        positions.pop(0)
    return _no_choice(word, position)


def _wrong_option(word: str, waiting: list[str], named: Mapping[str, Option]) -> str:
    """Take the value of an option from the words after it; return what is wrong with it."""
    name, separator, value = word.partition("=")
    if name not in named and not name.startswith("--") and name[:2] in named:
        name, separator, value = name[:2], "=", name[2:]
    if name not in named:
        return f"there is no option {name!r}"
    option = named[name]
    if not option.value:
        return f"the option {name!r} takes no value" if separator else ""
    if not separator:
        if not waiting:
            return f"the option {name!r} lacks its value"
        value = waiting.pop(0)
    return _no_choice(value, option)


def _no_choice(value: str, option: Option) -> str:
    if not option.choices or value in option.choices or _PLACEHOLDER.fullmatch(value):
        return ""
    told = ", ".join(option.names) or option.value
    return f"{told}: there is no {value!r}; there are: {', '.join(option.choices)}"


# ---- links ----


def links(text: str) -> list[str]:
    """Return where the links of a document lead that stay in this project."""
    return [target for _, target in _links(text)]


def _links(text: str) -> Iterator[tuple[int, str]]:
    for number, line in _prose(text):
        for target in _LINK.findall(re.sub(r"`[^`]*`", "", line)):
            if not re.match(r"[a-z]+:", target):
                yield number, target


def dead_links(path: Path, root: Path) -> list[str]:
    """Return what is wrong with the links of a document to files of this project."""
    found = []
    for number, target in _links(path.read_text("utf-8")):
        name, _, anchor = target.partition("#")
        place = (path.parent / name).resolve() if name else path
        if not place.is_relative_to(root.resolve()) or not place.exists():
            found.append(f"line {number}: {target}: there is no such file")
        elif anchor and anchor not in anchors(place.read_text("utf-8")):
            found.append(f"line {number}: {target}: there is no such heading")
    return found


def anchors(text: str) -> set[str]:
    """Return what GitHub calls the headings of a document (as of its rendering in 2026)."""
    found: set[str] = set()
    for _, line in _prose(text):
        if heading := _HEADING.match(line):
            plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading[1]).lower()
            name = re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")
            unused = name
            count = 0
            while unused in found:
                count += 1
                unused = f"{name}-{count}"
            found.add(unused)
    return found
