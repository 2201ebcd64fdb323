"""``./e2e clean``: remove everything that this project made on this host."""

from __future__ import annotations

import argparse
import shutil

from containers import engine as engines
from containers.state import state_folder
from verification.models.errors import ExitCode, TestbedFailure


def run(options: argparse.Namespace) -> int:
    """Remove everything, or with ``--kept`` only the kept machines; return the exit code.

    Raises:
        TestbedFailure: ``engine-unreachable``, with ``--kept`` only.
    """
    return _clean_kept() if options.kept else _clean()


def _clean_kept() -> int:
    """Remove the machines that `--keep-failed` kept, with their index and network."""
    engine, problems = engines.find()
    if not engine:
        raise TestbedFailure("engine-unreachable", "engine", "; ".join(problems))
    client = engine.client()
    print(f"removed {engines.remove_kept(client)} kept containers and networks")
    client.close()
    return ExitCode.VERIFIED


def _clean() -> int:
    """Remove every container, network, volume, image and file that this project made."""
    engine, _ = engines.find()
    if engine:
        client = engine.client()
        removed = engines.sweep(client, everything=True)
        images = engines.remove_images(client)
        client.close()
        print(f"removed {removed} containers, networks and volumes, and {images} images")
        if engines.stop_provided():
            print("stopped the engine that this project started")
    else:
        print("no engine answers, so no container and no image is removed")
    folder = state_folder()
    for path in folder.iterdir():
        # This process was started with the tox of the launcher.
        if path.name.startswith("tox"):
            continue
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    print(f"emptied {folder}, except the launcher's tox; to remove tox too, delete the folder")
    return ExitCode.VERIFIED
