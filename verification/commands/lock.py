"""``./e2e lock``: resolve the dependencies of a release, and write their lock file."""

from __future__ import annotations

import argparse

from verification.commands import common
from verification.models.errors import ExitCode, WrongUse
from verification.session import lock, origin
from verification.session.selection import Options, select
from verification.subjects import subject as subjects


def run(options: argparse.Namespace) -> int:
    """Write the lock file next to the description of the subject, and return the exit code.

    Raises:
        WrongUse: the description or the wheels cannot be used, or no machine can install the
            dependencies.
        TestbedFailure: the upstream index does not answer.
    """
    file = common.path_of(options.subject) or subjects.DEFAULT_SUBJECT
    subject = subjects.load(file, locked=False)
    path, is_named = subjects.lock_path(file)
    selection = select(
        Options(wheels=common.path_of(options.wheels), release=options.release),
        common.ROOT,
        subject.platforms,
    )
    release = origin.existing_wheels(selection, subject)
    if release is None:
        raise WrongUse("lock: name the release with --release VERSION or --wheels DIR")
    resolution = lock.resolve(release, subject)
    for reason, names in resolution.refusals.items():
        print(f"no dependencies for {', '.join(names)}: {reason}")
    if not resolution.releases:
        print(f"{subject.name} {release.version} declares no dependencies; it needs no lock file")
        return ExitCode.VERIFIED
    lock.write(path, resolution, subject, release.version)
    for entry in resolution.releases:
        print(entry.requirement)
    print(f"{path}: {len(resolution.releases)} versions for {len(resolution.machines)} machines")
    if not is_named:
        print(f'add this line to {file}, before its first table: dependencies = "{path.name}"')
    return ExitCode.VERIFIED
