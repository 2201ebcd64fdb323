"""``./e2e init``: write the description of a package from its wheels, for its first gate."""

from __future__ import annotations

import argparse
import contextlib
import shlex
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from packaging.utils import InvalidName, canonicalize_name

from verification.models.errors import ExitCode, WrongUse
from verification.models.subject import Subject
from verification.session import new_subject
from verification.session.user_files import user_path

_PROFILE = "quick"
"""The profile of the printed gate: the fastest verdict."""


def run(options: argparse.Namespace) -> int:
    """Write the description, the smoke test and the lock, and print the gate to run next.

    Raises:
        WrongUse: an argument or the folder cannot be used, the package has no wheel that a machine
            can install, or its dependencies have no solution.
        TestbedFailure: ``index-unreachable``: the upstream index does not answer.
    """
    project = _project(options.package)
    name = options.output or project
    folder = user_path(name)
    _check_folder(folder)
    if options.wheels and options.release:
        raise WrongUse("init: --wheels and --release cannot be combined; use one of them")
    with tempfile.TemporaryDirectory(prefix="quiverdb-e2e-init-") as scratch:
        if options.wheels:
            wheels = user_path(options.wheels)
            subject = new_subject.of_folder(wheels, project, Path(scratch))
            origin = ["--wheels", options.wheels]
        else:
            subject, version = new_subject.of_release(project, options.release, Path(scratch))
            origin = ["--release", version]
        _copy_files(Path(scratch), folder)
    description = str(Path(name) / subject.file.name)
    print("\n".join(_lines(subject, folder)))
    print(f"next: {shlex.join(gate_command(subject, description, origin))}")
    return ExitCode.VERIFIED


# ---- the files ----


def _project(name: str) -> str:
    """Return the normalised name of a project (PyPA: name normalization).

    Raises:
        WrongUse: it is not a valid name.
    """
    try:
        return canonicalize_name(name, validate=True)
    except InvalidName:
        raise WrongUse(
            f"init: {name} is not the name of a package; write a name such as xxhash, and its "
            "version with --release"
        ) from None


def _check_folder(folder: Path) -> None:
    """Check that the folder for the files does not exist or is empty.

    Raises:
        WrongUse: it is a file or has files.
    """
    if folder.is_dir():
        if any(folder.iterdir()):
            raise WrongUse(
                f"init: {folder}: this folder is not empty; name another folder with --output"
            )
    elif folder.exists() or folder.is_symlink():
        raise WrongUse(f"init: {folder}: this is not a folder; name a folder with --output")


def _copy_files(source: Path, folder: Path) -> None:
    """Copy the files to their folder: all of them or none.

    Raises:
        WrongUse: the folder cannot be written.
    """
    is_new = not folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for path in source.iterdir():
            shutil.copyfile(path, folder / path.name)
    except BaseException as error:
        for path in source.iterdir():
            with contextlib.suppress(OSError):
                (folder / path.name).unlink()
        if is_new:
            with contextlib.suppress(OSError):
                folder.rmdir()
        if isinstance(error, OSError):
            raise WrongUse(
                f"init: {folder} cannot be written ({error.strerror}); name another with --output"
            ) from None
        raise


# ---- the output ----


def _lines(subject: Subject, folder: Path) -> list[str]:
    """Return a line for each platform, and a line with the files."""
    lines = []
    for platform in subject.platforms:
        coverage = "machines run its wheel"
        if not platform.execute:
            coverage = "no machine runs it (execute = false); its wheel is only inspected"
        lines.append(f"{platform.tag}: {coverage}")
    names = ", ".join(sorted(path.name for path in folder.iterdir()))
    return [*lines, f"{folder}: {names}"]


def gate_command(subject: Subject, description: str, origin: Sequence[str]) -> list[str]:
    """Return the command of the first gate: the quick profile, on machines with this Python.

    If the profile has no such machine, the first one of each operating system is named.
    """
    command = ["./e2e", "gate", "--subject", description, *origin, "--profile", _PROFILE]
    systems = {platform.target.machine_system for platform in subject.platforms if platform.execute}
    fitting = [
        spec
        for spec in new_subject.usable_machines()
        if new_subject.python_of(spec) == subject.python
    ]
    if not any(_PROFILE in spec.profiles for spec in fitting):
        first_of_system = {spec.os: spec.name for spec in reversed(fitting) if spec.os in systems}
        for name in first_of_system.values():
            command += ["--machine", name]
    return command
