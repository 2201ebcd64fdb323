"""Stand-in for pypa/cibuildwheel. The builder of the suite builds the wheels.

The real cibuildwheel lists the build identifiers. The builder runs on the host, because it starts
containers and a job has no engine.
"""

from __future__ import annotations

import dataclasses
import os
import re
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
_SELECTION = re.compile(
    r"CIBW_(?:BUILD|SKIP|ARCHS|ENABLE|PROJECT_REQUIRES_PYTHON)(?:_(?:LINUX|WINDOWS))?"
)
"""Variables that only select builds. cibuildwheel lists the build identifiers with them."""
_WITHOUT_EFFECT = re.compile(
    r"CIBW_BUILD_VERBOSITY(?:_[A-Z]+)?|CIBW_[A-Z_]+_(?:MACOS|IOS|ANDROID|PYODIDE)"
)
"""Variables that change only the log, or the builds of other platforms."""
_SUFFIXES = {"AMD64": "win_amd64", "x86": "win32"}
"""The end of the identifiers of an architecture of cibuildwheel, if it is not its name."""


def main() -> None:
    """Request the wheels and wait for them."""
    values = inputs("pypa-cibuildwheel")
    if os.environ.get("E2E_EXISTING_FILES"):  # existing wheels replace the build
        request_files(Path(values["output-dir"]))
        return
    settings = [name for name in sorted(os.environ) if name.startswith("CIBW_")]
    if others := [name for name in settings if not _is_supported(name)]:
        unsupported(f"settings in the environment: {', '.join(others)}")
    source = Path(values["package-dir"]).resolve()
    if not any((source / name).is_file() for name in ("pyproject.toml", "setup.py", "setup.cfg")):
        names = "{setup.py, setup.cfg, pyproject.toml}"
        raise Failure(f"cibuildwheel: Could not find any of {names} at root of package {source}")
    selected: dict[str, list[str]] = {}
    refused: dict[str, str] = {}
    # The host selects the platform by the label of the runner. A setting for one platform, such as
    # an architecture, can be wrong for the other one.
    for platform in PLATFORMS:
        try:
            selected[platform] = _selected(source, platform, values)
        except Failure as failure:
            refused[platform] = str(failure)
    if not selected:
        raise Failure(next(iter(refused.values())))
    request_files(
        Path(values["output-dir"]), source=str(source), selected=selected, refused=refused
    )


def _is_supported(name: str) -> bool:
    return bool(_SELECTION.fullmatch(name) or _WITHOUT_EFFECT.fullmatch(name))


def _selected(source: Path, platform: PlatformName, values: Inputs) -> list[str]:
    """Return the build identifiers of a platform. The input `only` replaces all settings.

    Raises:
        Failure: cibuildwheel refuses its settings.
    """
    if only := values["only"]:
        return [only] if ("win" if platform == "windows" else "linux_") in only else []
    return _of_version(_identifiers(source, platform), source, platform, values)


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
    selection = {name: text for name, text in os.environ.items() if _SELECTION.fullmatch(name)}
    project = compute_options(platform, arguments, selection).globals
    selector = project.build_selector
    machines = {machine.value for machine in project.architectures}
    if not values.since("3.0.0"):  # PyPy and 32-bit Linux are then in the default
        enable = selector.enable | {EnableGroup.PyPy, EnableGroup.PyPyEoL}
        selector = dataclasses.replace(selector, enable=enable)
        if platform == "linux" and not _sets_architectures(source):
            machines.add("i686")
    suffixes = {_SUFFIXES.get(machine, machine) for machine in machines}
    listed = {name.partition("-")[2] for name in known[platform]}
    # The tables have the architectures of the runners only.
    others = [name for name in names if name.partition("-")[2] not in listed]
    return others + [
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
    """Return whether the project or a variable sets the architectures of its Linux wheels."""
    if {"CIBW_ARCHS", "CIBW_ARCHS_LINUX"} & os.environ.keys():
        return True
    path = source / "pyproject.toml"
    project = tomllib.loads(path.read_text("utf-8")) if path.is_file() else {}
    settings = project.get("tool", {}).get("cibuildwheel", {})
    return "archs" in settings or "archs" in settings.get("linux", {})


if __name__ == "__main__":
    run(main)
