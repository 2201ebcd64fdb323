"""``./e2e doctor``: check prerequisites and print how to fix what is missing.

The module needs only the standard library, because the launcher also imports it. The functions
import what needs the environment of the suite.
"""

from __future__ import annotations

import argparse
import shutil
from typing import TYPE_CHECKING

from verification.models.errors import ExitCode

if TYPE_CHECKING:
    from containers.engine import Engine

_PROGRAMS = {
    "docker": "cibuildwheel needs it to start containers",
    "mmdebstrap": "the suite makes base images with it",
}
"""Why each program is needed."""
_PACKAGES = {"docker": "docker.io"}
"""The Debian package of a program, where the name differs."""
_FREE_GIGABYTES = 5


def run(_options: argparse.Namespace) -> int:
    """Print each prerequisite, and for a missing one the command that fixes it.

    Nothing is changed. Return 0 if a gate can run on this host, else 3.
    """
    from containers import engine as engines

    engine, problems = engines.find()
    can_install = engines.provision_obstacle() is None
    checks = (_check_engine(engine, problems), _check_programs(can_install), _check_disk())
    if engine:
        _print_images(engine)
    return ExitCode.VERIFIED if all(checks) else ExitCode.TESTBED_FAILED


def run_without_environment() -> int:
    """Print the checks that need only the standard library, and return 3."""
    print("missing  the environment of the suite; the line above has the reason")
    _check_programs(can_install=False)
    return ExitCode.TESTBED_FAILED


def _check_engine(engine: Engine | None, problems: list[str]) -> bool:
    from containers import engine as engines

    if engine:
        print(f"ok       engine {engine.version} ({engine.os}) at {engine.url} ({engine.origin})")
        return True
    for problem in problems:
        print(f"missing  {problem}")
    obstacle = engines.start_obstacle()
    if obstacle is None:
        print("         fix: ./e2e gate installs and starts an engine")
        return True
    print(f"         cannot start: {obstacle.reason}")
    print(f"         fix: {obstacle.fix}")
    return False


def _check_programs(can_install: bool) -> bool:
    is_ok = True
    for program, reason in _PROGRAMS.items():
        if path := shutil.which(program):
            print(f"ok       {program}: {path}")
        elif can_install:
            print(f"missing  {program} ({reason}); ./e2e gate installs it")
        else:
            is_ok = False
            print(f"missing  {program} ({reason})\n         fix: {_program_fix(program)}")
    return is_ok


def _program_fix(program: str) -> str:
    try:
        from containers import engine as engines
    except ImportError:  # the environment of the suite is missing
        return f"as root on Debian run: apt-get install {_PACKAGES.get(program, program)}"
    return engines.package_fix(engines.client_package() if program == "docker" else program)


def _check_disk() -> bool:
    from containers.state import state_folder

    free = shutil.disk_usage(state_folder()).free / 1e9
    is_ok = free > _FREE_GIGABYTES
    word = "ok" if is_ok else "missing"
    print(f"{word:<8} disk: {free:.0f} GB free ({_FREE_GIGABYTES} GB are needed)")
    if not is_ok:
        print("         fix: free disk space, or run ./e2e clean")
    print(f"ok       state folder: {state_folder()}")
    return is_ok


def _print_images(engine: Engine) -> None:
    """Print for each machine whether the engine has its image."""
    from containers import recipe
    from verification.scenarios import machines

    client = engine.client()
    for machine in machines.load().values():
        tag = recipe.load(machine.image).tag()
        images = client.images.list(filters={"reference": tag})
        print(f"{'ok' if images else 'to make':<8} machine {machine.name}: {tag}")
    client.close()
