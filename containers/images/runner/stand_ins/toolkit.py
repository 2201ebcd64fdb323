"""What the stand-in actions share: their inputs, their outputs, and how they fail."""

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


class Failure(Exception):
    """The action fails as the real one would; the message is its error."""


class InputRule(TypedDict, total=False):
    """What the stand-in does with an input, as far as it is read here (`inputs.toml`)."""

    aliases: list[str]
    switch: str
    only: list[str]


class Inputs:
    """The inputs of the action that runs, by the names in its `inputs.toml`."""

    def __init__(self, action: str) -> None:
        """Read the inputs of a stand-in, named by its folder in ``actions``."""
        text = (ACTIONS / action / "inputs.toml").read_text("utf-8")
        self._rules: dict[str, InputRule] = tomllib.loads(text)

    def __getitem__(self, name: str) -> str:
        """Return an input without the space around it; empty if it is not given.

        Of an input with several names, the first one that is given and not empty counts.
        """
        names = (name, *self._rules[name].get("aliases", ()))
        values = (os.environ.get(f"INPUT_{key.upper()}", "").strip() for key in names)
        return next((value for value in values if value), "")

    def switch(self, name: str) -> bool:
        """Return whether an input is on, by the reading of the real action.

        Raises:
            Failure: it is a word that the real action refuses.
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
                raise Failure(f"the input {name} is {value!r}; it must be true or false")

    def check(self) -> None:
        """End the action as one that the stand-in cannot do if an input asks for more."""
        for name, rule in self._rules.items():
            value = self[name]
            if not value or "only" not in rule:
                continue
            if "switch" in rule:
                value = str(self.switch(name)).lower()
            if value not in rule["only"]:
                unsupported(f"the input {name}: {self[name].splitlines()[0]}")


def inputs(action: str) -> Inputs:
    """Return the inputs of a stand-in; end the action if it cannot do what they ask."""
    given = Inputs(action)
    given.check()
    return given


def lines(value: str) -> list[str]:
    """Return the lines of a multi-line input that are not empty."""
    return [line.strip() for line in value.splitlines() if line.strip()]


def output(name: str, value: str) -> None:
    """Set an output."""
    mark = uuid.uuid4().hex  # a value may have several lines
    with Path(os.environ["GITHUB_OUTPUT"]).open("a", encoding="utf-8") as file:
        file.write(f"{name}<<{mark}\n{value}\n{mark}\n")


def run(
    action: Callable[[], None], *errors: type[Exception], lost: Mapping[type[Exception], str] = {}
) -> NoReturn:
    """Run an action and end; its failure, or one of these errors, is its error.

    ``lost`` are the errors of which the testbed is the cause, with the name of that cause. Any
    error that is not expected is the stand-in's own.
    """
    reported: tuple[type[Exception], ...] = (Failure, *errors)
    try:
        action()
    except tuple(lost) as error:
        cause = next(cause for kind, cause in lost.items() if isinstance(error, kind))
        testbed_failure(cause, str(error))
    except reported as error:
        print(f"::error::{_escaped(str(error))}", flush=True)
        sys.exit(1)
    except Exception as error:  # noqa: BLE001 - the workflow is not blamed for it
        traceback.print_exc(file=sys.stdout)
        testbed_failure("testbed-defect", f"{type(error).__name__}: {error}")
    sys.exit(0)


def testbed_failure(cause: str, why: str) -> NoReturn:
    """Report that the testbed failed, and not the workflow; end. ``cause`` is its name."""
    print(f"e2e-failure {json.dumps({'cause': cause, 'why': why})}", flush=True)
    print(f"::error::the testbed failed: {_escaped(why)}", flush=True)
    sys.exit(1)


def unsupported(message: str) -> NoReturn:
    """Report that the real action can do this and the stand-in cannot, and end."""
    print(f"e2e-unsupported {json.dumps({'why': message})}", flush=True)
    print(f"::error::the stand-in cannot do this: {_escaped(message)}", flush=True)
    sys.exit(1)


def _escaped(message: str) -> str:
    return message.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
