"""Stand-in for actions/setup-python: the runner has one Python, Debian's, and offers that."""

from __future__ import annotations

import os
import platform
from pathlib import Path

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import Version

from .toolkit import Failure, boolean, inputs, lines, output, run, unsupported

HOME = Path("/opt/python/3.13")


def main() -> None:
    """Put it on PATH."""
    given = inputs()
    for name in ("pip-version", "pip-install"):
        if given.get(name):
            unsupported(f"the input {name}: a runner here has no package index beside ours")
    if boolean("freethreaded", given["freethreaded"]):
        unsupported("a free-threaded Python")
    versions = lines(given["python-version"])
    if not versions and given["python-version-file"]:
        versions = lines(Path(given["python-version-file"]).read_text("utf-8"))
    own = Version(platform.python_version())
    for version in versions:
        if not _fits(version, own):
            unsupported(f"Python {version}: this runner has {own} only")
    with Path(os.environ["GITHUB_PATH"]).open("a", encoding="utf-8") as file:
        file.write(f"{HOME / 'bin'}\n")
    with Path(os.environ["GITHUB_ENV"]).open("a", encoding="utf-8") as file:
        file.write(f"pythonLocation={HOME}\nPython_ROOT_DIR={HOME}\nPython3_ROOT_DIR={HOME}\n")
    output("python-version", str(own))
    output("python-path", str(HOME / "bin" / "python"))
    output("cache-hit", "false")
    print(f"Successfully set up CPython ({own})")


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
