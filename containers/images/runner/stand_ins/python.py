"""Stand-in for actions/setup-python. It provides the only Python of the runner, Debian's."""

from __future__ import annotations

import os
import platform
import re
import tomllib
from pathlib import Path

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import Version

from .toolkit import Failure, Inputs, inputs, lines, output, run, unsupported

HOME = Path("/opt/python/3.13")
_FREE_THREADED = re.compile(r"[\d.]+t(-dev)?")
_HYPHEN_RANGE = re.compile(r"([\d.]+) +- +([\d.]+)")
_COMMA = re.compile(r"[ ,]+(?=[<>=!~])")


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
    if values["cache"]:
        _check_cache(values)
    if values.switch("update-environment"):
        with Path(os.environ["GITHUB_PATH"]).open("a", encoding="utf-8") as file:
            file.write(f"{HOME / 'bin'}\n")
        with Path(os.environ["GITHUB_ENV"]).open("a", encoding="utf-8") as file:
            names = ("pythonLocation", "Python_ROOT_DIR", "Python2_ROOT_DIR", "Python3_ROOT_DIR")
            file.writelines(f"{name}={HOME}\n" for name in names)
            file.write(f"PKG_CONFIG_PATH={HOME / 'lib' / 'pkgconfig'}\n")
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
    if file.name in ("Pipfile", ".tool-versions"):
        unsupported(f"the input python-version-file: {file}")
    text = file.read_text("utf-8")
    if file.suffix == ".toml":
        return _required_version(file, text)
    if not values.since("6.0.0"):
        return [text.strip()]  # the whole file is one version
    return [line.partition("/")[0] for line in lines(text) if not line.startswith("#")]


def _required_version(file: Path, text: str) -> list[str]:
    """Return the value of requires-python in a pyproject.toml."""
    project = tomllib.loads(text).get("project")
    if project is None:
        unsupported(f"the input python-version-file: {file} without the table project")
    requires = project.get("requires-python")
    return [requires] if requires else []


def _check_cache(values: Inputs) -> None:
    """Check that the action would find files for the key of its cache. Nothing is cached.

    Raises:
        Failure: it would find none.
    """
    patterns = lines(values["cache-dependency-path"]) or ["**/requirements.txt"]
    if not any(any(Path().glob(pattern)) for pattern in (*patterns, "**/pyproject.toml")):
        raise Failure(
            f"No file in {Path.cwd()} matched to [{','.join(patterns)} or **/pyproject.toml], "
            "make sure you have checked out the target repository"
        )


def _matches(requested: str, available: Version) -> bool:
    """Return True if ``available`` fits the request: a version, a prefix (3.13, 3.x) or a range.

    Raises:
        Failure: the request is not a version.
    """
    if requested.startswith(("pypy", "graalpy")) or _FREE_THREADED.fullmatch(requested):
        return False
    prefix = requested.removesuffix("-dev").removesuffix(".x").removesuffix(".*").split(".")
    if all(part.isdigit() for part in prefix):
        return available.public.split(".")[: len(prefix)] == prefix
    if match := _HYPHEN_RANGE.fullmatch(requested):
        last = Version(match[2]).release
        return Version(match[1]) <= available and available.release[: len(last)] <= last
    try:
        return SpecifierSet(_COMMA.sub(",", requested)).contains(available)
    except InvalidSpecifier:
        raise Failure(f"{requested} is not a version of Python") from None


if __name__ == "__main__":
    run(main)
