"""``doctor`` and ``clean``: what is here, and how to be rid of it."""

from __future__ import annotations

import shutil
import subprocess
import sys

from containers import engine, images
from containers.state import state_dir
from verification.models.errors import ExitCode, Parser, TestbedFailure, WrongUse
from verification.scenarios import machines


def doctor() -> int:
    """Print what was found, what is missing and the command that mends it.

    Returns 0 if a gate can run here, else 3.
    """
    found, misses = engine.find()
    good = True
    if found:
        print(f"ok       engine {found.version} ({found.os}) at {found.url} ({found.origin})")
    else:
        for miss in misses:
            print(f"missing  {miss}")
        obstacle = engine.why_none_is_started()
        good = obstacle is None
        print(
            f"         mend: {obstacle}; as root on Debian: apt-get install docker.io && dockerd"
            if obstacle
            else "         mend: nothing to do, ./e2e gate installs and starts one"
        )
    for program, package, why in (
        ("docker", "docker.io", "cibuildwheel starts its containers with it"),
        ("mmdebstrap", "mmdebstrap", "base images are made with it"),
    ):
        if path := shutil.which(program):
            print(f"ok       {program}: {path}")
        elif engine.provision_obstacle() is None:
            print(f"missing  {program} ({why}); ./e2e gate installs it")
        else:
            good = False
            print(f"missing  {program} ({why})\n         mend: apt-get install {package}")
    free = shutil.disk_usage(state_dir()).free / 1e9
    good = good and free > 5
    print(f"{'ok      ' if free > 5 else 'missing '} disk: {free:.0f} GB free (5 GB are needed)")
    print(f"ok       state folder: {state_dir()}")
    if found:
        client = found.client()
        for spec in machines.load().values():
            wanted = images.tag(images.recipe(spec.image))
            have = client.images.list(filters={"reference": wanted})
            print(f"{'ok      ' if have else 'to make '} machine {spec.name}: {wanted}")
        client.close()
    return ExitCode.VERIFIED if good else ExitCode.TESTBED_FAILED


def clean_kept() -> int:
    """Remove the machines that `--keep-failed` left, with their index and network."""
    found, misses = engine.find()
    if not found:
        raise TestbedFailure("engine-unreachable", "engine", "; ".join(misses))
    client = found.client()
    print(f"removed {engine.remove_kept(client)} containers and networks that were kept")
    client.close()
    return ExitCode.VERIFIED


def clean() -> int:
    """Remove every container, network, volume, image and file that this project made."""
    found, _ = engine.find()
    if found:
        client = found.client()
        things = engine.sweep(client, everything=True)
        gone = engine.remove_images(client)
        client.close()
        print(f"removed {things} containers, networks and volumes, and {gone} images")
        if engine.stop_provided():
            print("stopped the engine that this project had started")
    else:
        print("no engine answers: nothing to remove there")
    folder = state_dir()
    for path in folder.iterdir():
        # The launcher's own environment runs this very command.
        if path.name.startswith("tox"):
            continue
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    print(f"emptied {folder} (tox stays; remove the folder to be rid of it too)")
    return ExitCode.VERIFIED


def main() -> int:
    """Run the asked command."""
    parser = Parser(prog="./e2e", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    says = "Say what is there, what is missing and what mends it; change nothing."
    commands.add_parser("doctor", description=says, help=says)
    says = (
        "Remove, without asking, every container, network, volume and image that this project "
        "made, and its state folder with wheels, downloads and the history of runs."
    )
    cleaning = commands.add_parser("clean", description=says, help=says)
    cleaning.add_argument(
        "--kept", action="store_true", help="only the machines that --keep-failed left"
    )
    try:
        asked = parser.parse_args()
        if asked.command == "clean" and asked.kept:
            return clean_kept()
        return doctor() if asked.command == "doctor" else clean()
    except (WrongUse, TestbedFailure) as error:
        print(f"e2e: {error}", file=sys.stderr)
        return int(error.exit_code)
    except subprocess.SubprocessError as error:
        print(f"e2e: {error}", file=sys.stderr)
        return ExitCode.TESTBED_FAILED


if __name__ == "__main__":
    sys.exit(main())
