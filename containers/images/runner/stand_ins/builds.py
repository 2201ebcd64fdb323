"""Request files from the host: the wheels of its builder, or existing files.

The request is one line of output, which the host reads (``containers/runner/build_queue.py``). The
host then puts the files, the log and the answer into this container.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import sys
import time
import uuid
from pathlib import Path

from .toolkit import Failure, run, testbed_failure, unsupported

_SECONDS = 2400


def request_files(output: Path, **request: object) -> None:
    """Request files and wait for them. Copy them into ``output`` and print their names.

    Raises:
        Failure: the build failed.
    """
    results = Path(os.environ["RUNNER_TEMP"]) / f"e2e-build-{uuid.uuid4().hex}"
    results.mkdir(parents=True)
    request |= {"container": socket.gethostname(), "results_folder": str(results)}
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
    output.mkdir(parents=True, exist_ok=True)
    for path in sorted(results.iterdir()):
        if path.name not in ("done.json", "build.log"):
            shutil.copyfile(path, output / path.name)
            origin = (
                "reused from an earlier build of the same files" if build["reused"] else "built"
            )
            print(f"{path.name}: {origin}, in {build['seconds']:.1f} s")


def main() -> None:
    """Copy existing files into a folder. This replaces a step that builds them.

    Usage: python -m stand_ins.builds FOLDER KIND... with the kinds wheel and sdist.
    """
    folder, *kinds = sys.argv[1:]
    request_files(Path(folder), kinds=kinds)


if __name__ == "__main__":
    run(main)
