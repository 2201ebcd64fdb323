"""Stand-in for pypa/cibuildwheel. The builder of the suite builds the wheels.

The real cibuildwheel lists the build identifiers. The builder runs on the host, because it starts
containers and a job has no engine. The request is one line of output, which the host reads. The
host then puts the wheels and the log into this container.
"""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import tomllib
import uuid
from pathlib import Path

from cibuildwheel.options import CommandLineArguments, compute_options
from cibuildwheel.selector import EnableGroup
from cibuildwheel.typing import PlatformName

from .toolkit import ACTIONS, Failure, Inputs, inputs, run, testbed_failure, unsupported

PLATFORMS: tuple[PlatformName, ...] = ("linux", "windows")
_SUFFIXES = {"AMD64": "win_amd64", "x86": "win32"}
"""The end of the identifiers of an architecture of cibuildwheel, if it is not its name."""
_SECONDS = 2400


def main() -> None:
    """Request the wheels and wait for them."""
    values = inputs("pypa-cibuildwheel")
    if settings := sorted(key for key in os.environ if key.startswith("CIBW_")):
        unsupported(f"settings in the environment: {', '.join(settings)}")
    source = Path(values["package-dir"]).resolve()
    if not any((source / name).is_file() for name in ("pyproject.toml", "setup.py", "setup.cfg")):
        names = "{setup.py, setup.cfg, pyproject.toml}"
        raise Failure(f"cibuildwheel: Could not find any of {names} at root of package {source}")
    results = Path(os.environ["RUNNER_TEMP"]) / f"e2e-build-{uuid.uuid4().hex}"
    results.mkdir(parents=True)
    request = {
        "container": socket.gethostname(),
        "source": str(source),
        # The host selects the platform by the label of the runner.
        "selected": {
            platform: _of_version(_identifiers(source, platform), source, platform, values)
            for platform in PLATFORMS
        },
        "results_folder": str(results),
    }
    print(f"e2e-build {json.dumps(request)}", flush=True)
    deadline = time.monotonic() + _SECONDS
    while not (results / "done.json").exists():
        if time.monotonic() > deadline:
            testbed_failure("machine-lost", f"the builder did not answer in {_SECONDS} s")
        time.sleep(0.1)
    build = json.loads((results / "done.json").read_text("utf-8"))
    print((results / "build.log").read_text("utf-8", "replace"), end="", flush=True)
    if build["unsupported"]:
        unsupported(build["unsupported"])
    if build["error"]:
        raise Failure(build["error"])
    output = Path(values["output-dir"])
    output.mkdir(parents=True, exist_ok=True)
    for wheel in sorted(results.glob("*.whl")):
        shutil.copyfile(wheel, output / wheel.name)
        origin = "reused from an earlier build of the same files" if build["reused"] else "built"
        print(f"{wheel.name}: {origin}, in {build['seconds']:.1f} s")


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
