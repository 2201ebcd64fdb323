"""Stand-in for pypa/cibuildwheel. The builder of the suite builds the wheels.

The real cibuildwheel lists the build identifiers. The builder runs on the host, because it starts
containers and a job has no engine.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from .builds import request_files
from .toolkit import Failure, inputs, run, unsupported

PLATFORMS = {"linux": ("x86_64",), "windows": ("AMD64", "x86")}
"""The default architectures of cibuildwheel on GitHub's runners."""


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
        selected={platform: _identifiers(source, platform) for platform in PLATFORMS},
    )


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
