"""``./e2e completion``: print the completion script of a shell.

The script is made from the tree of parsers. The module needs only the standard library.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import NamedTuple

from verification.commands import parser
from verification.models.errors import ExitCode

_CHOICE = """\
    else
        case "$command $previous" in
{values}
            *)
                case "$command" in
{options}
                esac
        esac
    fi
"""
"""The end of both scripts: choose the names after a command or an option."""
_BASH = """\
# Completion of ./e2e for bash. Read it with: source <(./e2e completion bash)
_e2e() {{
    local current=${{COMP_WORDS[COMP_CWORD]}} previous=${{COMP_WORDS[COMP_CWORD-1]}}
    local command=${{COMP_WORDS[1]}} names=""
    # bash separates --option=value into three words.
    if [ "$current" = "=" ]; then
        current=""
    elif [ "$previous" = "=" ]; then
        previous=${{COMP_WORDS[COMP_CWORD-2]}}
    fi
    if [ "$COMP_CWORD" -eq 1 ]; then
        names="{commands}"
{choice}    COMPREPLY=($(compgen -W "$names" -- "$current"))
}}
complete -o default -F _e2e e2e
"""
_ZSH = """\
#compdef e2e
# Completion of ./e2e for zsh. Read it with: source <(./e2e completion zsh)
_e2e() {{
    local previous=${{words[CURRENT-1]}} command=${{words[2]}} names=""
    if [[ ${{words[CURRENT]}} == --*=* ]]; then
        previous=${{words[CURRENT]%%=*}}
        compset -P '*='
    fi
    if (( CURRENT == 2 )); then
        names="{commands}"
{choice}    compadd -- ${{=names}} || _files
}}
(( $+functions[compdef] )) || {{ autoload -Uz compinit; compinit; }}
compdef _e2e e2e
"""


class _Names(NamedTuple):
    """What can follow a command, or an option of a command."""

    pattern: str
    """The command, or the command and the option."""
    names: list[str]
    """The names to complete; none for a file, a folder or any text."""


def run(options: argparse.Namespace) -> int:
    """Print the script of a shell."""
    print(script(options.shell), end="")
    return ExitCode.VERIFIED


def script(shell: str) -> str:
    """Return the completion script for bash or zsh."""
    _, commands = parser.build_parsers()
    options = [_Names(name, _words(name, tree)) for name, tree in commands.items()]
    values = [entry for name, tree in commands.items() for entry in _values(name, tree)]
    choice = _CHOICE.format(
        values="\n".join(_case(entry, " " * 12) for entry in values),
        options="\n".join(_case(entry, " " * 20) for entry in options),
    )
    template = _BASH if shell == "bash" else _ZSH
    return template.format(commands=" ".join([*commands, "--help", "--version"]), choice=choice)


def _words(command: str, tree: argparse.ArgumentParser) -> list[str]:
    """Return the options of a command, and the values of its operands."""
    words = parser.option_names(tree)
    if command in parser.PYTEST_COMMANDS:
        words += [option.partition(" ")[0] for option in parser.PYTEST_OPTIONS]
    operands = (action for action in tree._actions if not action.option_strings)
    return [*words, *(str(choice) for action in operands for choice in action.choices or ())]


def _values(command: str, tree: argparse.ArgumentParser) -> Iterator[_Names]:
    """Yield the names that can follow each option with a value."""
    for action in tree._actions:
        if action.option_strings and action.nargs != 0:
            pattern = "|".join(f'"{command} {name}"' for name in action.option_strings)
            yield _Names(pattern, [str(choice) for choice in action.choices or ()])


def _case(entry: _Names, indent: str) -> str:
    return f'{indent}{entry.pattern}) names="{" ".join(entry.names)}" ;;'
