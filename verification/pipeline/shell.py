"""Split a script of a workflow into its commands, without running it."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Sequence

_TOKEN = re.compile(
    r"""
    (?P<space>[ \t\r]+|\\\n|`\n)
    |(?P<comment>\#[^\n]*)
    |(?P<heredoc><<-?\s*(?P<quote>['"]?)(?P<end>\w+)(?P=quote))
    |(?P<redirect>\d*[<>]{1,2}&?\s*)
    |(?P<separator>\n|;;?|&&|\|\|?|&|\(|\)|\{(?=\s)|\}(?=\s|;|$))
    |(?P<word>(?:\$\{\{.*?\}\}|\$\{[^}]*\}|'[^']*'|"(?:\\.|[^"\\])*"|\\.|[^\s;&|()<>'"\\])+)
    |(?P<other>.)
    """,
    re.VERBOSE | re.DOTALL,
)
_SUBSTITUTION = re.compile(r"\$\(([^()]*(?:\([^()]*\)[^()]*)*)\)")
_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*\+?=.*", re.DOTALL)
_KEYWORDS = {"if", "then", "else", "elif", "while", "until", "do", "!", "time"}
_WRAPPERS = {"sudo", "env", "exec", "command", "nohup", "xvfb-run", "nice", "arch", "caffeinate"}
_PYTHON = re.compile(r"(?:python|pypy)[\d.]*w?|py")
_PYTHON_VALUES = {"-X", "-W"}
_SHELLS = {"bash", "sh", "dash", "zsh", "pwsh"}
_RUNNERS: dict[str, tuple[str, ...]] = {
    "uvx": (),
    "pipx": ("run",),
    "uv": ("run",),
    "hatch": ("run",),
    "poetry": ("run",),
    "pdm": ("run",),
    "rye": ("run",),
    "pipenv": ("run",),
    "coverage": ("run",),
}
"""Programs that start another program, with the sub-command that does so."""
_RUNNER_VALUES = {
    "--from",
    "--spec",
    "--with",
    "--with-editable",
    "--with-requirements",
    "--extra",
    "--group",
    "--only-group",
    "--python",
    "-p",
    "--project",
    "--directory",
    "--index",
    "--index-url",
    "--env-file",
    "--pip-args",
    "--refresh-package",
    "-C",
}
"""Options of these programs that have a value."""
_MAX_DEPTH = 5


def commands(script: str, shell: str | None = None) -> Iterator[tuple[str, ...]]:
    """Yield the commands of a script as words. The first word is the program without its folder.

    A program that starts another one is left out: `python -m build` is `build`. A Python script has
    no commands.
    """
    if shell and shell.split()[0].startswith("python"):
        return
    yield from _commands(script, 0)


def without_comments(script: str) -> str:
    """Return a script without the lines that are only a comment."""
    return "\n".join(line for line in script.splitlines() if not line.lstrip().startswith("#"))


def _commands(script: str, depth: int) -> Iterator[tuple[str, ...]]:
    if depth > _MAX_DEPTH:
        return
    for words in _split(script):
        for word in words:
            if not word.startswith("'"):
                for inner in _SUBSTITUTION.findall(word):
                    yield from _commands(inner, depth + 1)
        plain = _program([_unquoted(word) for word in words])
        if len(plain) > 2 and plain[0] in _SHELLS and plain[1].startswith("-") and "c" in plain[1]:
            yield from _commands(plain[2], depth + 1)
        elif plain:
            yield tuple(plain)


def _split(script: str) -> Iterator[list[str]]:
    """Yield the words of each command, with their quotes."""
    words: list[str] = []
    ends: list[str] = []
    position, skip = 0, False
    while position < len(script):
        match = _TOKEN.match(script, position)
        assert match is not None  # the last alternative matches every character
        position = match.end()
        match match.lastgroup:
            case "word" | "other":
                text = match["word"] or match["other"]
                if text.endswith("$") and script.startswith("(", position):
                    end = _end_of_substitution(script, position)
                    text, position = text + script[position:end], end
                if not skip:
                    words.append(text)
                skip = False
            case "end" | "heredoc" | "quote":
                ends.append(match["end"])
            case "redirect":
                skip = True
            case "separator":
                yield words
                words, skip = [], False
                if match[0] == "\n":
                    for word in ends:
                        position = _after_document(script, position, word)
                    ends = []
            case "comment" if script[match.start() - 1 : match.start()].strip():
                words.append(match[0].split()[0])
                position = match.start() + len(match[0].split()[0])
            case _:
                pass
    yield words


def _end_of_substitution(script: str, start: int) -> int:
    depth = 0
    for position in range(start, len(script)):
        depth += {"(": 1, ")": -1}.get(script[position], 0)
        if depth == 0:
            return position + 1
    return len(script)


def _after_document(script: str, start: int, end: str) -> int:
    """Return the position after a here-document that begins at ``start``."""
    match = re.compile(rf"^\s*{re.escape(end)}[ \t]*$\n?", re.MULTILINE).search(script, start)
    return match.end() if match else len(script)


def _unquoted(word: str) -> str:
    return re.sub(
        r"'([^']*)'|\"((?:\\.|[^\"\\])*)\"", lambda match: match[1] or match[2] or "", word
    )


def _program(words: Sequence[str]) -> list[str]:
    """Return a command without assignments, keywords, and programs that start another one."""
    rest = list(words)
    while rest:
        name = posixpath.basename(rest[0].replace("\\", "/")).removesuffix(".exe")
        if _ASSIGNMENT.fullmatch(rest[0]) or name in _KEYWORDS:
            rest = rest[1:]
        elif name in _WRAPPERS:
            rest = rest[1:]
            while rest and rest[0].startswith("-"):
                rest = rest[1:]
        elif name == "&":
            rest = rest[1:]
        elif _PYTHON.fullmatch(name):
            after = _after_python(rest[1:])
            if after is None:
                return [name, *rest[1:]]
            rest = after
        elif (started := _started_program(name, rest[1:])) is not None:
            rest = started
        else:
            return [name, *rest[1:]]
    return []


def _after_python(arguments: list[str]) -> list[str] | None:
    """Return the module or script that Python runs, with its arguments; None if there is none."""
    rest = arguments
    while rest:
        if rest[0] == "-m":
            return rest[1:] or None
        if rest[0] in _PYTHON_VALUES:
            rest = rest[2:]
        elif rest[0] in ("-", "-c"):
            return None
        elif rest[0].startswith("-"):
            rest = rest[1:]
        else:
            return rest
    return None


def _started_program(name: str, arguments: list[str]) -> list[str] | None:
    """Return the program that a runner such as `uvx` starts; None if this is no such command."""
    if name not in _RUNNERS:
        return None
    rest = arguments
    subcommands = _RUNNERS[name]
    if name == "uv" and [word for word in rest if not word.startswith("-")][:2] == ["tool", "run"]:
        subcommands = ("tool", "run")
    for subcommand in subcommands:
        rest = _without_options(rest)
        if rest[:1] != [subcommand]:
            return None
        rest = rest[1:]
    rest = _without_options(rest)
    if rest[:1] == ["-m"]:
        rest = rest[1:]
    if rest:
        # `uvx build@1.2` and `pipx run build==1.2` name a version; a prefix of hatch an environment
        rest = [re.split(r"@|==|\[", rest[0])[0].rpartition(":")[2], *rest[1:]]
    return rest


def _without_options(words: list[str]) -> list[str]:
    rest = words
    while rest and rest[0].startswith("-") and rest[0] != "-m":
        rest = rest[2:] if rest[0] in _RUNNER_VALUES else rest[1:]
    return rest


def option(words: Sequence[str], *names: str) -> str:
    """Return the value of an option of a command; empty if it is not set."""
    for number, word in enumerate(words):
        name, separator, value = word.partition("=")
        if name in names:
            return value if separator else next(iter(words[number + 1 :]), "")
    return ""
