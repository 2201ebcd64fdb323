"""Stand-in for actions/setup-python: the runner has one Python, Debian's, and offers that."""

from __future__ import annotations

import os
import platform
import sys
from pathlib import Path

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import Version

from .toolkit import Failure, boolean, fail, inputs, lines, output, unsupported

HOME = Path("/opt/python/3.13")


def main() -> None:
    """Put it on PATH."""
    asked = inputs()
    for name in ("pip-version", "pip-install"):
        if asked.get(name):
            unsupported(f"the input {name}: a runner here has no package index beside ours")
    if boolean("freethreaded", asked["freethreaded"]):
        unsupported("a free-threaded Python")
    wanted = lines(asked["python-version"])
    if not wanted and asked["python-version-file"]:
        wanted = lines(Path(asked["python-version-file"]).read_text("utf-8"))
    have = Version(platform.python_version())
    for version in wanted:
        if not _fits(version, have):
            unsupported(f"Python {version}: this runner has {have} only")
    with Path(os.environ["GITHUB_PATH"]).open("a", encoding="utf-8") as file:
        file.write(f"{HOME / 'bin'}\n")
    with Path(os.environ["GITHUB_ENV"]).open("a", encoding="utf-8") as file:
        file.write(f"pythonLocation={HOME}\nPython_ROOT_DIR={HOME}\nPython3_ROOT_DIR={HOME}\n")
    output("python-version", str(have))
    output("python-path", str(HOME / "bin" / "python"))
    output("cache-hit", "false")
    print(f"Successfully set up CPython ({have})")


def _fits(wanted: str, have: Version) -> bool:
    plain = wanted.removesuffix("-dev").removesuffix(".x").removesuffix(".*")
    if plain and plain[0].isdigit() and all(part.isdigit() for part in plain.split(".")):
        return have.public.split(".")[: plain.count(".") + 1] == plain.split(".")
    try:
        return SpecifierSet(wanted.replace(" ", ",")).contains(have)
    except InvalidSpecifier:
        raise Failure(f"Version {wanted} is none") from None


if __name__ == "__main__":
    try:
        main()
    except Failure as error:
        fail(str(error))
    sys.exit(0)
