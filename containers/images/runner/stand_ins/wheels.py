"""Stand-in for pypa/cibuildwheel. The builder of the suite builds the wheels.

The real cibuildwheel lists the build identifiers. The builder runs on the host, because it starts
containers and a job has no engine. The request is one line of output, which the host reads. The
host then puts the wheels and the log into this container.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import uuid
from pathlib import Path

from .toolkit import Failure, inputs, run, testbed_failure, unsupported

PLATFORMS = {"linux": ("x86_64",), "windows": ("AMD64", "x86")}
"""The default architectures of cibuildwheel on GitHub's runners."""
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
        "selected": {platform: _identifiers(source, platform) for platform in PLATFORMS},
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


def _identifiers(source: Path, platform: str) -> list[str]:
    """Return the build identifiers that cibuildwheel selects for a platform.

    Raises:
        Failure: cibuildwheel refuses its settings.
    """
    command = (sys.executable, "-m", "cibuildwheel", "--print-build-identifiers")
    process = subprocess.run(
        (*command, "--platform", platform, "--archs", ",".join(PLATFORMS[platform]), str(source)),
        capture_output=True,
        text=True,
        check=False,
    )
    if process.returncode:
        print(process.stdout + process.stderr, flush=True)
        raise Failure(f"cibuildwheel: Process completed with exit code {process.returncode}.")
    return process.stdout.split()


if __name__ == "__main__":
    run(main)
