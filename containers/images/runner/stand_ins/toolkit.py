"""Functions of all stand-in actions: inputs, outputs and failures."""

from __future__ import annotations

import json
import os
import sys
import tomllib
import traceback
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NoReturn, TypedDict

ACTIONS = Path(__file__).resolve().parents[1] / "actions"
_NEWEST = str(sys.maxsize)


class Failure(Exception):
    """The action fails, as the real action does. The message is the error of the step."""


class InputRule(TypedDict, total=False):
    """The treatment of an input (`inputs.toml`), with the keys that are read here."""

    default: str
    aliases: list[str]
    switch: str
    only: list[str]


class Replaced(TypedDict):
    """What the host states about the action that a step names."""

    version: str
    """The version that the stand-in replaces, such as v4.2.1."""
    absent: dict[str, str]
    """The inputs that this version lacks, with the value as which it behaves."""
    defaults: dict[str, str]
    """The defaults of this version that differ from those in `inputs.toml`."""


class Inputs:
    """The inputs of the running action, by their names in its `inputs.toml`."""

    def __init__(self, action: str) -> None:
        """Read the rules of a stand-in. ``action`` is the name of its folder in ``actions``."""
        text = (ACTIONS / action / "inputs.toml").read_text("utf-8")
        self._rules: dict[str, InputRule] = tomllib.loads(text)
        self._replaced = _replaced()
        self.version = _numbers(self._replaced["version"])
        """The numbers of the version that the stand-in replaces; larger than all if unknown."""

    def since(self, version: str) -> bool:
        """Return whether the stand-in replaces this version or a later one, such as 4.2.1."""
        return self.version >= _numbers(version)

    def __getitem__(self, name: str) -> str:
        """Return the stripped value of an input, or else its default.

        If the input has several names, return the first value that is not empty.
        """
        if name in self._replaced["absent"]:
            return self._replaced["absent"][name]
        *_, last = names = (name, *self._rules[name].get("aliases", ()))
        values = [os.environ.get(f"INPUT_{key.upper()}", "").strip() for key in names]
        if f"INPUT_{last.upper()}" not in os.environ:
            default = self._rules[name].get("default", "")
            # act evaluates a default that is an expression.
            values.append("" if "${{" in default else default)
            values[-1] = self._replaced["defaults"].get(name, values[-1])
        return next((value for value in values if value), "")

    def raw(self, name: str) -> str:
        """Return the value of an input with its spaces and line ends, or else its default."""
        value = os.environ.get(f"INPUT_{name.upper()}", "")
        return value if value.strip() else self[name]

    def values(self) -> dict[str, str]:
        """Return the values of all inputs."""
        return {name: self[name] for name in self._rules}

    def switch(self, name: str) -> bool:
        """Return the boolean value of an input, converted in the same way as by the real action.

        Raises:
            Failure: the real action refuses the value.
        """
        value = self[name]
        match self._rules[name]["switch"]:
            case "any-case":
                return value.lower() == "true"
            case "exact":
                return value == "true"
            case "unless-false":
                return value.lower() != "false"
            case _ if value in ("true", "True", "TRUE"):
                return True
            case _ if value in ("false", "False", "FALSE"):
                return False
            case _:
                raise Failure(f"the input {name} must be true or false, not {value!r}")

    def check(self) -> None:
        """End the action as unsupported if an input has a value that the stand-in cannot do."""
        for name, rule in self._rules.items():
            value = self[name]
            if not value or "only" not in rule or name in self._replaced["absent"]:
                continue
            if "switch" in rule:
                value = str(self.switch(name)).lower()
            if value not in rule["only"]:
                unsupported(f"the input {name}: {self[name].splitlines()[0]}")


def _replaced() -> Replaced:
    """Return what the host states about the running action; the newest version if nothing."""
    actions: dict[str, Replaced] = json.loads(os.environ.get("E2E_ACTIONS", "{}"))
    used = f"{os.environ.get('GITHUB_ACTION_REPOSITORY')}@{os.environ.get('GITHUB_ACTION_REF')}"
    return actions.get(used, Replaced(version=_NEWEST, absent={}, defaults={}))


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.removeprefix("v").split("."))


def inputs(action: str) -> Inputs:
    """Return the inputs of a stand-in after `Inputs.check`."""
    checked_inputs = Inputs(action)
    checked_inputs.check()
    return checked_inputs


def lines(value: str) -> list[str]:
    """Return the non-empty lines of an input with several lines."""
    return [line.strip() for line in value.splitlines() if line.strip()]


def output(name: str, value: str) -> None:
    """Set an output of the step. The value can have several lines."""
    delimiter = uuid.uuid4().hex
    with Path(os.environ["GITHUB_OUTPUT"]).open("a", encoding="utf-8") as file:
        file.write(f"{name}<<{delimiter}\n{value}\n{delimiter}\n")


def run(
    action: Callable[[], None],
    *step_errors: type[Exception],
    testbed_errors: Mapping[type[Exception], str] = {},
) -> NoReturn:
    """Call ``action``, the program of a stand-in, and exit with code 0 or 1.

    - `Failure` and ``step_errors`` fail the step, as in the real action.
    - ``testbed_errors`` maps exceptions to causes. They are reported as a failure of the testbed.
    - All other errors are defects of the stand-in, also reported as a failure of the testbed.
    """
    failures: tuple[type[Exception], ...] = (Failure, *step_errors)
    try:
        action()
    except tuple(testbed_errors) as error:
        cause = next(cause for kind, cause in testbed_errors.items() if isinstance(error, kind))
        testbed_failure(cause, str(error))
    except failures as error:
        print(f"::error::{_escaped(str(error))}", flush=True)
        sys.exit(1)
    except Exception as error:  # noqa: BLE001 - a defect must not count against the workflow
        traceback.print_exc(file=sys.stdout)
        testbed_failure("testbed-defect", f"{type(error).__name__}: {error}")
    sys.exit(0)


def testbed_failure(cause: str, message: str) -> NoReturn:
    """Report a failure of the testbed, with the name of its cause, and exit with code 1."""
    print(f"e2e-failure {json.dumps({'cause': cause, 'why': message})}", flush=True)
    print(f"::error::the testbed failed: {_escaped(message)}", flush=True)
    sys.exit(1)


def unsupported(feature: str) -> NoReturn:
    """Report a feature of the real action that the stand-in does not have. Exit with code 1."""
    if (replaced := _replaced())["version"] != _NEWEST:
        feature = f"{feature} ({os.environ['GITHUB_ACTION_REPOSITORY']} {replaced['version']})"
    print(f"e2e-unsupported {json.dumps({'why': feature})}", flush=True)
    print(f"::error::the stand-in does not support this: {_escaped(feature)}", flush=True)
    sys.exit(1)


def _escaped(message: str) -> str:
    return message.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
