"""``./e2e images``: push the images of a profile to a registry, and list their digests."""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Iterator

from containers import engine as engines
from containers import image_registry, images
from containers.progress import print_line
from containers.recipe import REPOSITORY
from verification.commands import common
from verification.models.errors import TestbedFailure, WrongUse
from verification.scenarios import machines
from verification.session import prepare, release_pipeline


def run(options: argparse.Namespace) -> int:
    """Make the images, push them, write the list of their digests, and return 0.

    Raises:
        WrongUse: the registry has no host or no namespace, or the list cannot be written.
        TestbedFailure: an image cannot be made or pushed. The list stays unchanged.
    """
    image_registry.check_location(options.registry)
    path = common.path_of(options.digests) or image_registry.DIGESTS
    engine = engines.ensure(provision=not options.no_provision)
    digests: dict[str, str] = {}
    with contextlib.closing(engine.client(timeout_seconds=1800)) as client:
        for name in dict.fromkeys(_names(options)):
            try:
                tag = images.ensure(engine, name).tag
            except images.ImageUnavailable as reason:
                print_line(f"image {name}: not pushed: {reason}")
                continue
            digests[tag.removeprefix(f"{REPOSITORY}/")] = image_registry.push(
                client, options.registry, tag
            )
            print_line(f"image {name}: pushed")
    if not digests:
        raise TestbedFailure("image-build-failed", "images", "no image can be made on this host")
    try:
        image_registry.write(path, digests)
    except OSError as error:
        raise WrongUse(f"--digests {path}: cannot be written: {error.strerror}") from None
    print(f"{len(digests)} images pushed to {options.registry}; their digests are in {path}")
    return 0


def _names(options: argparse.Namespace) -> Iterator[str]:
    """Yield the images of the selected machines, and those of the index and the workflow."""
    profile = options.profile or "gate"
    yield from prepare.INFRASTRUCTURE
    yield from release_pipeline.IMAGES
    for spec in machines.load().values():
        if spec.name in options.machine if options.machine else profile in spec.profiles:
            yield spec.image
