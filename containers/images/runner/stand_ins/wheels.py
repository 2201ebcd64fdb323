"""Stand-in for pypa/cibuildwheel: that says what it would build, the suite's builder builds.

The builder is outside: it starts containers, and a job here has no engine. What it is asked for is
one line of output, which the host reads; the wheel and the log come into this container.
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
"""The architectures that cibuildwheel builds for by default on GitHub's runners."""
_SECONDS = 2400


def main() -> None:
    """Ask for the wheel and wait for it."""
    given = inputs("pypa-cibuildwheel")
    if settings := sorted(key for key in os.environ if key.startswith("CIBW_")):
        unsupported(f"settings in the environment: {', '.join(settings)}")
    source = Path(given["package-dir"]).resolve()
    if not any((source / name).is_file() for name in ("pyproject.toml", "setup.py", "setup.cfg")):
        names = "{setup.py, setup.cfg, pyproject.toml}"
        raise Failure(f"cibuildwheel: Could not find any of {names} at root of package {source}")
    answer = Path(os.environ["RUNNER_TEMP"]) / f"e2e-build-{uuid.uuid4().hex}"
    answer.mkdir(parents=True)
    request = {
        "container": socket.gethostname(),
        "source": str(source),
        # Which of these it is to be, the host knows: by the label of the runner.
        "would": {platform: _identifiers(source, platform) for platform in PLATFORMS},
        "answer": str(answer),
    }
    print(f"e2e-build {json.dumps(request)}", flush=True)
    deadline = time.monotonic() + _SECONDS
    while not (answer / "done.json").exists():
        if time.monotonic() > deadline:
            testbed_failure("machine-lost", f"the builder did not answer in {_SECONDS} s")
        time.sleep(0.1)
    done = json.loads((answer / "done.json").read_text("utf-8"))
    print((answer / "build.log").read_text("utf-8", "replace"), end="", flush=True)
    if done["unsupported"]:
        unsupported(done["unsupported"])
    if done["error"]:
        raise Failure(done["error"])
    output = Path(given["output-dir"])
    output.mkdir(parents=True, exist_ok=True)
    for wheel in sorted(answer.glob("*.whl")):
        shutil.copyfile(wheel, output / wheel.name)
        how = "reused: built before from these very files" if done["reused"] else "built now"
        print(f"{wheel.name}: {how}, in {done['seconds']:.1f} s")


def _identifiers(source: Path, platform: str) -> list[str]:
    command = (sys.executable, "-m", "cibuildwheel", "--print-build-identifiers")
    done = subprocess.run(
        (*command, "--platform", platform, "--archs", ",".join(PLATFORMS[platform]), str(source)),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        print(done.stdout + done.stderr, flush=True)
        raise Failure(f"cibuildwheel: Process completed with exit code {done.returncode}.")
    return done.stdout.split()


if __name__ == "__main__":
    run(main)
