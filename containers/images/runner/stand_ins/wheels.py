"""Stand-in for pypa/cibuildwheel. The builder of the suite builds the wheels.

The real cibuildwheel lists the build identifiers. The builder runs on the host, because it starts
containers and a job has no engine.
"""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
import tomllib
from pathlib import Path

from cibuildwheel.options import CommandLineArguments, compute_options
from cibuildwheel.selector import EnableGroup
from cibuildwheel.typing import PlatformName

from .builds import request_files
from .toolkit import ACTIONS, Failure, Inputs, inputs, run, unsupported

PLATFORMS: tuple[PlatformName, ...] = ("linux", "windows")
_SUFFIXES = {"AMD64": "win_amd64", "x86": "win32"}
"""The end of the identifiers of an architecture of cibuildwheel, if it is not its name."""


def main() -> None:
    """Request the wheels and wait for them."""
    values = inputs("pypa-cibuildwheel")
    if os.environ.get("E2E_EXISTING_FILES"):  # existing wheels replace the build
        request_files(Path(values["output-dir"]))
        return
    if settings := sorted(key for key in os.environ if key.startswith("CIBW_")):
        unsupported(f"settings in the environment: {', '.join(settings)}")
    source = Path(values["package-dir"]).resolve()
    if not any((source / name).is_file() for name in ("pyproject.toml", "setup.py", "setup.cfg")):
        names = "{setup.py, setup.cfg, pyproject.toml}"
        raise Failure(f"cibuildwheel: Could not find any of {names} at root of package {source}")
    request_files(
        Path(values["output-dir"]),
        source=str(source),
        # The host selects the platform by the label of the runner.
        selected={
            platform: _of_version(_identifiers(source, platform), source, platform, values)
            for platform in PLATFORMS
        },
    )


def _identifiers(source: Path, platform: PlatformName) -> list[str]:
    """Return the build identifiers that cibuildwheel selects for a platform.

    Raises:
        Failure: cibuildwheel refuses its settings.
    """
    command = (sys.executable, "-m", "cibuildwheel", "--print-build-identifiers")
    process = subprocess.run(
        (*command, "--platform", platform, str(source)),
        capture_output=True,
        text=True,
        check=False,
    )
    if process.returncode:
        print(process.stdout + process.stderr, flush=True)
        raise Failure(f"cibuildwheel: Process completed with exit code {process.returncode}.")
    return process.stdout.split()


def _of_version(
    names: list[str], source: Path, platform: PlatformName, values: Inputs
) -> list[str]:
    """Return the identifiers that the replaced major version of cibuildwheel selects.

    ``names`` are those of the installed version. The other identifiers that the replaced version
    knows are compared with the settings of the project.
    """
    tables = tomllib.loads((ACTIONS / "pypa-cibuildwheel" / "identifiers.toml").read_text("utf-8"))
    known = tables.get(str(values.version[0]))
    if known is None:
        return names
    arguments = CommandLineArguments.defaults()
    arguments.package_dir = source
    project = compute_options(platform, arguments, {}).globals
    selector = project.build_selector
    machines = {machine.value for machine in project.architectures}
    if not values.since("3.0.0"):  # PyPy and 32-bit Linux are then in the default
        enable = selector.enable | {EnableGroup.PyPy, EnableGroup.PyPyEoL}
        selector = dataclasses.replace(selector, enable=enable)
        if platform == "linux" and not _sets_architectures(source):
            machines.add("i686")
    suffixes = {_SUFFIXES.get(machine, machine) for machine in machines}
    return [
        name
        for name in known[platform]
        if name in names
        or (
            name.endswith(tuple(suffixes))
            and not name.startswith("cp313t-")  # never selected by default
            and name not in names
            and selector(name)
        )
    ]


def _sets_architectures(source: Path) -> bool:
    """Return whether the project sets the architectures of its Linux wheels."""
    path = source / "pyproject.toml"
    project = tomllib.loads(path.read_text("utf-8")) if path.is_file() else {}
    settings = project.get("tool", {}).get("cibuildwheel", {})
    return "archs" in settings or "archs" in settings.get("linux", {})


if __name__ == "__main__":
    run(main)
