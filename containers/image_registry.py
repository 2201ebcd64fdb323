"""Images in a registry, so that engines have the same images and a first run need not build them.

A list in the repository has the digest of each image. An engine pulls by this digest only, so the
registry cannot replace an image (OCI image specification, "Digests").
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import docker
from docker.models.images import Image as EngineImage
from pydantic import JsonValue

from containers.engine_client import ENGINE_ERRORS, reason_of
from containers.recipe import REPOSITORY
from verification.models.base import DataError, Model, load_toml, validate
from verification.models.errors import TestbedFailure, WrongUse

DIGESTS = Path(__file__).parent / "locks" / "images.toml"
"""The list of the repository."""
_LOCATION = re.compile(r"[a-zA-Z0-9][\w.-]*(?::\d+)?(?:/[a-z0-9][a-z0-9._-]*)+")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


class ImageRegistry(Model):
    """A registry, and the digests of the images that are used from it."""

    location: str
    """The host, with its port, and the namespace of the images."""
    digests: Mapping[str, str]
    """The digest of each image, by its name and the hash of its recipe (``index:2804a48a6829``)."""

    def reference(self, tag: str) -> str | None:
        """Return the reference of an image with its digest; None if the list does not have it."""
        name = tag.removeprefix(f"{REPOSITORY}/")
        digest = self.digests.get(name)
        return f"{self.location}/{name.partition(':')[0]}@{digest}" if digest else None


def load(location: str, path: Path) -> ImageRegistry:
    """Return the registry with the list in a file.

    Raises:
        WrongUse: the location is not HOST/NAMESPACE, or the list is missing or not valid.
    """
    check_location(location)
    if not path.is_file():
        raise WrongUse(
            f"--registry {location}: {path} does not exist; make it with ./e2e images --registry"
        )
    try:
        registry = validate(
            ImageRegistry,
            {"location": location, "digests": load_toml(path)},
            path.name,
            supplied="location",
        )
    except DataError as error:
        raise WrongUse(str(error)) from None
    for name, digest in registry.digests.items():
        if not _DIGEST.fullmatch(digest):
            raise WrongUse(f"{path.name}: {name}: {digest}: not a digest (sha256:...)")
    return registry


def check_location(location: str) -> None:
    """Check that a location has a host and a namespace.

    Raises:
        WrongUse: it does not.
    """
    if not _LOCATION.fullmatch(location):
        raise WrongUse(
            f"--registry {location}: write HOST/NAMESPACE, such as registry.example.com/team"
        )


def has_digest(image: EngineImage, reference: str) -> bool:
    """Return True if the engine got an image with this reference from the registry."""
    return reference in image.attrs.get("RepoDigests", ())


def pull(client: docker.DockerClient, reference: str, tag: str) -> None:
    """Pull an image by its digest, and give it the tag of its recipe.

    Raises:
        TestbedFailure: ``image-build-failed``: the registry does not answer or lacks the image.
    """
    try:
        client.images.pull(reference).tag(tag)
    except ENGINE_ERRORS as error:
        message = f"{reference} cannot be pulled: {reason_of(error)[:300]}"
        raise TestbedFailure("image-build-failed", f"image {tag}", message) from error


def push(client: docker.DockerClient, location: str, tag: str) -> str:
    """Push the image with this tag to the registry, and return its digest.

    Raises:
        TestbedFailure: ``image-build-failed``: the registry refuses it or does not answer.
    """
    name, _, version = tag.removeprefix(f"{REPOSITORY}/").partition(":")
    repository = f"{location}/{name}"
    try:
        client.images.get(tag).tag(repository, version)
        output = client.images.push(repository, version, stream=True, decode=True)
        lines: list[Mapping[str, JsonValue]] = list(output)
    except ENGINE_ERRORS as error:
        raise _not_pushed(tag, str(error)) from error
    errors = [str(line["error"]) for line in lines if "error" in line]
    digests = [
        str(aux["Digest"])
        for line in lines
        if isinstance(aux := line.get("aux"), dict) and "Digest" in aux
    ]
    if errors or not digests:
        raise _not_pushed(tag, *errors)
    return digests[-1]


def _not_pushed(tag: str, reason: str = "the registry named no digest") -> TestbedFailure:
    message = f"it cannot be pushed: {' '.join(reason.split())[:300]}"
    return TestbedFailure("image-build-failed", f"image {tag}", message)


def write(path: Path, digests: Mapping[str, str]) -> None:
    """Write the list of digests.

    Raises:
        OSError: the file cannot be written.
    """
    lines = [f'"{name}" = "{digest}"' for name, digest in sorted(digests.items())]
    head = "# The digest of each image in the registry. Written by ./e2e images"
    path.write_text("\n".join((head, *lines, "")), "utf-8")
