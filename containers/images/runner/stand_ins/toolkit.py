"""What the stand-in actions share: their inputs, their outputs, and how they fail."""

from __future__ import annotations

import json
import os
import sys
import traceback
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NoReturn


class Failure(Exception):
    """The action fails as the real one would; the message is its error."""


def inputs() -> dict[str, str]:
    """Return the action's inputs, by name; one that is not given is empty."""
    return {
        str(name): "" if value is None else str(value)
        for name, value in json.loads(os.environ["INPUTS"] or "{}").items()
    }


def boolean(name: str, value: str) -> bool:
    """Return a yes-or-no input, which has the words of YAML's core schema.

    Raises:
        Failure: it is another word.
    """
    if value in ("true", "True", "TRUE"):
        return True
    if value in ("false", "False", "FALSE", ""):
        return False
    raise Failure(f"the input {name} is {value!r}; it must be true or false")


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
