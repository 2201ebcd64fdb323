"""Stand-in for actions/setup-python. It provides the only Python of the runner, Debian's."""

from __future__ import annotations

import os
import platform
from pathlib import Path

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import Version

from .toolkit import Failure, Inputs, inputs, lines, output, run, unsupported

HOME = Path("/opt/python/3.13")


def main() -> None:
    """Add the Python to PATH if it is the requested one."""
    values = inputs("actions-setup-python")
    for name in ("check-latest", "allow-prereleases"):
        values.switch(name)  # fails for an invalid value
    requested_versions = _requested_versions(values)
    if not requested_versions:
        print("::warning::The `python-version` input is not set.")
        return
    available = Version(platform.python_version())
    for requested in requested_versions:
        if not _matches(requested, available):
            unsupported(f"Python {requested}: this runner only has {available}")
    if values.switch("update-environment"):
        with Path(os.environ["GITHUB_PATH"]).open("a", encoding="utf-8") as file:
            file.write(f"{HOME / 'bin'}\n")
        with Path(os.environ["GITHUB_ENV"]).open("a", encoding="utf-8") as file:
            names = ("pythonLocation", "Python_ROOT_DIR", "Python3_ROOT_DIR")
            file.writelines(f"{name}={HOME}\n" for name in names)
    output("python-version", str(available))
    output("python-path", str(HOME / "bin" / "python"))
    output("cache-hit", "false")
    print(f"Successfully set up CPython ({available})")


def _requested_versions(values: Inputs) -> list[str]:
    """Return the versions in the input python-version, or else in the version file.

    Raises:
        Failure: the file of the input python-version-file does not exist.
    """
    if versions := lines(values["python-version"]):
        return versions
    file = Path(values["python-version-file"] or ".python-version")
    if not file.is_file():
        if not values["python-version-file"]:
            return []
        raise Failure(f"The specified python version file at: {file} doesn't exist.")
    if file.suffix == ".toml" or file.name in ("Pipfile", ".tool-versions"):
        unsupported(f"the input python-version-file: {file}")
    return [line for line in lines(file.read_text("utf-8")) if not line.startswith("#")]


def _matches(requested: str, available: Version) -> bool:
    """Return True if ``available`` fits the request: a version, a prefix (3.13, 3.x) or a range.

    Raises:
        Failure: the request is not a version.
    """
    prefix = requested.removesuffix("-dev").removesuffix(".x").removesuffix(".*").split(".")
    if all(part.isdigit() for part in prefix):
        return available.public.split(".")[: len(prefix)] == prefix
    try:
        return SpecifierSet(requested.replace(" ", ",")).contains(available)
    except InvalidSpecifier:
        raise Failure(f"{requested} is not a version of Python") from None


if __name__ == "__main__":
    run(main)
