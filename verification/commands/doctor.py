"""``./e2e doctor``: check prerequisites and print how to fix what is missing.

The module needs only the standard library. It imports the code that contacts the engine at run
time.
"""

from __future__ import annotations

import argparse
import shutil
from typing import TYPE_CHECKING

from verification.models.errors import ExitCode

if TYPE_CHECKING:
    from containers.engine import Engine

_PROGRAMS = (
    ("docker", "docker.io", "cibuildwheel starts its containers with it"),
    ("mmdebstrap", "mmdebstrap", "base images are made with it"),
)
"""Program, Debian package, and what needs it."""
_FREE_GIGABYTES = 5


def run(_options: argparse.Namespace) -> int:
    """Print what was found, what is missing and the command that fixes it; change nothing.

    Returns 0 if a gate can run here, else 3.
    """
    from containers import engine

    found, misses = engine.find()
    checks = (_check_engine(found, misses), _check_programs(), _check_disk())
    if found:
        _print_images(found)
    return ExitCode.VERIFIED if all(checks) else ExitCode.TESTBED_FAILED


def run_without_environment() -> int:
    """Print what can be checked with the standard library alone; return 3."""
    print("missing  the environment of the suite: the line above says why; nothing can run")
    for program, package, reason in _PROGRAMS:
        if path := shutil.which(program):
            print(f"ok       {program}: {path}")
        else:
            print(f"missing  {program} ({reason})\n         fix: apt-get install {package}")
    return ExitCode.TESTBED_FAILED


def _check_engine(found: Engine | None, misses: list[str]) -> bool:
    from containers import engine

    if found:
        print(f"ok       engine {found.version} ({found.os}) at {found.url} ({found.origin})")
        return True
    for miss in misses:
        print(f"missing  {miss}")
    obstacle = engine.start_obstacle()
    fix = f"{obstacle}; as root on Debian: apt-get install docker.io && dockerd"
    print(
        f"         fix: {fix if obstacle else 'nothing to do, ./e2e gate installs and starts one'}"
    )
    return obstacle is None


def _check_programs() -> bool:
    from containers import engine

    good = True
    for program, package, reason in _PROGRAMS:
        if path := shutil.which(program):
            print(f"ok       {program}: {path}")
        elif engine.provision_obstacle() is None:
            print(f"missing  {program} ({reason}); ./e2e gate installs it")
        else:
            good = False
            print(f"missing  {program} ({reason})\n         fix: apt-get install {package}")
    return good


def _check_disk() -> bool:
    from containers.state import state_folder

    free = shutil.disk_usage(state_folder()).free / 1e9
    good = free > _FREE_GIGABYTES
    word = "ok" if good else "missing"
    print(f"{word:<8} disk: {free:.0f} GB free ({_FREE_GIGABYTES} GB are needed)")
    print(f"ok       state folder: {state_folder()}")
    return good


def _print_images(found: Engine) -> None:
    """Print which images of machines the engine has."""
    from containers import recipe
    from verification.scenarios import machines

    client = found.client()
    for machine in machines.load().values():
        tag = recipe.load(machine.image).tag()
        there = client.images.list(filters={"reference": tag})
        print(f"{'ok' if there else 'to make':<8} machine {machine.name}: {tag}")
    client.close()
