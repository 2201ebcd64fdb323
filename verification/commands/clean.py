"""``./e2e clean``: remove everything that this project created."""

from __future__ import annotations

import argparse
import shutil

from containers import engine
from containers.state import state_folder
from verification.models.errors import ExitCode, TestbedFailure


def run(options: argparse.Namespace) -> int:
    """Remove everything, or what was kept.

    Raises:
        TestbedFailure: ``engine-unreachable``, with ``--kept`` only.
    """
    return _clean_kept() if options.kept else _clean()


def _clean_kept() -> int:
    """Remove the machines that `--keep-failed` left, with their index and network."""
    found, misses = engine.find()
    if not found:
        raise TestbedFailure("engine-unreachable", "engine", "; ".join(misses))
    client = found.client()
    print(f"removed {engine.remove_kept(client)} containers and networks that were kept")
    client.close()
    return ExitCode.VERIFIED


def _clean() -> int:
    """Remove every container, network, volume, image and file that this project made."""
    found, _ = engine.find()
    if found:
        client = found.client()
        swept = engine.sweep(client, everything=True)
        images = engine.remove_images(client)
        client.close()
        print(f"removed {swept} containers, networks and volumes, and {images} images")
        if engine.stop_provided():
            print("stopped the engine that this project had started")
    else:
        print("no engine answers: nothing to remove there")
    folder = state_folder()
    for path in folder.iterdir():
        # This command runs in the launcher's own environment.
        if path.name.startswith("tox"):
            continue
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    print(f"emptied {folder} (tox stays; remove the folder to be rid of it too)")
    return ExitCode.VERIFIED
