"""Stand-in for actions/setup-python: the runner has one Python, Debian's, and offers that."""

from __future__ import annotations

import os
import platform
from pathlib import Path

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import Version

from .toolkit import Failure, Inputs, inputs, lines, output, run, unsupported

HOME = Path("/opt/python/3.13")


def main() -> None:
    """Put it on PATH."""
    given = inputs("actions-setup-python")
    for name in ("check-latest", "allow-prereleases"):
        given.switch(name)  # another word than true or false fails
    versions = _versions(given)
    if not versions:
        print("::warning::The `python-version` input is not set.")
        return
    own = Version(platform.python_version())
    for version in versions:
        if not _fits(version, own):
            unsupported(f"Python {version}: this runner has {own} only")
    if given.switch("update-environment"):
        with Path(os.environ["GITHUB_PATH"]).open("a", encoding="utf-8") as file:
            file.write(f"{HOME / 'bin'}\n")
        with Path(os.environ["GITHUB_ENV"]).open("a", encoding="utf-8") as file:
            names = ("pythonLocation", "Python_ROOT_DIR", "Python3_ROOT_DIR")
            file.writelines(f"{name}={HOME}\n" for name in names)
    output("python-version", str(own))
    output("python-path", str(HOME / "bin" / "python"))
    output("cache-hit", "false")
    print(f"Successfully set up CPython ({own})")


def _versions(given: Inputs) -> list[str]:
    """Return the versions that are asked for: by the input, or by a file that has them.

    Raises:
        Failure: there is no such file.
    """
    if versions := lines(given["python-version"]):
        return versions
    file = Path(given["python-version-file"] or ".python-version")
    if not file.is_file():
        if not given["python-version-file"]:
            return []
        raise Failure(f"The specified python version file at: {file} doesn't exist.")
    if file.suffix == ".toml" or file.name in ("Pipfile", ".tool-versions"):
        unsupported(f"the input python-version-file: {file}")
    plain = lines(file.read_text("utf-8"))
    return [line for line in plain if not line.startswith("#")]


def _fits(version: str, own: Version) -> bool:
    """Return whether a version, a beginning of one or a range is what this Python is."""
    plain = version.removesuffix("-dev").removesuffix(".x").removesuffix(".*")
    if plain and plain[0].isdigit() and all(part.isdigit() for part in plain.split(".")):
        return own.public.split(".")[: plain.count(".") + 1] == plain.split(".")
    try:
        return SpecifierSet(version.replace(" ", ",")).contains(own)
    except InvalidSpecifier:
        raise Failure(f"Version {version} is none") from None


if __name__ == "__main__":
    run(main)
