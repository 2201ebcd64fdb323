"""Machines whose images come from a container registry, by digest.

The registry is Debian's package of the reference implementation. It listens on the loopback address
of the engine. Its images stand in for the distributions' images, because not every host can reach
the registries of the distributions.
"""

from __future__ import annotations

import contextlib
import io
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import docker
import docker.errors
import pytest

from containers import image_registry, images
from containers import recipe as recipes
from containers.engine import Engine, Run
from containers.images import ImageUnavailable
from tests.faults.cell_runs import (
    StartTestbed,
    cell_request,
    diagnose_cell,
    planted_release,
)
from verification.models.errors import TestbedFailure
from verification.scenarios import cells as plan
from verification.scenarios import machines
from verification.subjects.subject import load as load_subject

# As on Red Hat, the CA certificates are in another folder, and openssl is missing. As on Ubuntu,
# another user has the number 1000.
LIKE_RED_HAT = """
RUN mkdir -p /etc/pki/tls/certs \\
 && mv /etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt \\
 && rm -r /etc/ssl /usr/lib/ssl /usr/bin/openssl && useradd --create-home --uid 1000 ubuntu
"""
# For each machine: the image that stands in for the distribution's, and its changes.
STAND_INS = {"almalinux-8": ("registry", LIKE_RED_HAT), "alpine": ("debian-13-musl", "")}
MISSING_DIGEST = "sha256:" + "0" * 64

Push = Callable[[str], str]
UseImage = Callable[[str, str], None]


@pytest.fixture(scope="module")
def client(container_engine: Engine) -> Iterator[docker.DockerClient]:
    """Return a client with a time limit that is long enough for a build."""
    connected = container_engine.client(timeout_seconds=600)
    yield connected
    connected.close()


@pytest.fixture(scope="module")
def registry(container_engine: Engine, client: docker.DockerClient, run: Run) -> Iterator[str]:
    """Return the host and the port at which the engine reaches a running registry."""
    container = client.containers.run(
        images.ensure(container_engine, "registry").tag,
        detach=True,
        labels=run.labels(),
        ports={"5000/tcp": ("127.0.0.1", 0)},
    )
    try:
        container.reload()
        published = container.ports["5000/tcp"]
        assert published
        host = f"127.0.0.1:{published[0]['HostPort']}"
        for _ in range(50):
            with contextlib.suppress(urllib.error.URLError, ConnectionError):
                urllib.request.urlopen(f"http://{host}/v2/", timeout=5).close()
                break
            time.sleep(0.2)
        else:
            pytest.fail(f"the registry does not answer: {container.logs().decode()[-500:]}")
        yield host
    finally:
        container.remove(force=True, v=True)


@pytest.fixture
def push(container_engine: Engine, client: docker.DockerClient, registry: str) -> Iterator[Push]:
    """Return a function that builds and pushes the stand-in for a machine's image.

    The function gets the name of the machine, and returns the reference of the image with digest.
    """
    references: list[str] = []

    def push_stand_in(name: str) -> str:
        base, changes = STAND_INS[name]
        text = f"FROM {images.ensure(container_engine, base).tag}\nUSER root{changes}\n"
        tag = f"{registry}/{name}:latest"
        built, _ = client.images.build(
            fileobj=io.BytesIO(text.encode()), tag=tag, rm=True, network_mode="none"
        )
        lines = list(client.images.push(tag, stream=True, decode=True))
        # The engine must pull the image again.
        client.images.remove(str(built.id), force=True)
        digests = [line["aux"]["Digest"] for line in lines if "aux" in line]
        assert digests, lines[-1]
        references.append(f"{registry}/{name}@{digests[0]}")
        return references[-1]

    yield push_stand_in
    for reference in references:
        with contextlib.suppress(docker.errors.ImageNotFound):
            client.images.remove(reference, force=True)


@pytest.fixture
def use_image(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, client: docker.DockerClient
) -> Iterator[UseImage]:
    """Return a function that changes the image in the recipe of a machine."""
    copy = tmp_path / "containers" / "images"
    shutil.copytree(recipes.RECIPES, copy)
    shutil.copytree(recipes.RECIPES.parent / "locks", copy.parent / "locks")
    monkeypatch.setattr(recipes, "RECIPES", copy)
    changed: list[str] = []

    def change_recipe(machine: str, reference: str) -> None:
        path = copy / machine / "recipe.toml"
        lines = path.read_text("utf-8").splitlines()
        others = [line for line in lines if not line.startswith("registry = ")]
        assert len(others) == len(lines) - 1
        path.write_text("\n".join([f'registry = "{reference}"', *others]), "utf-8")
        changed.append(machine)

    yield change_recipe
    for machine in changed:
        with contextlib.suppress(docker.errors.ImageNotFound):
            client.images.remove(recipes.load(machine).tag(), force=True)


@pytest.mark.long  # Python is compiled for both machines
@pytest.mark.parametrize(
    ("machine", "scenarios"),
    [
        ("almalinux-8", ("venv",)),
        ("alpine", ("venv", "pinned")),
    ],
)
def test_machine_from_a_registry_is_pulled_by_digest_and_judged(
    container_engine: Engine,
    start_testbed: StartTestbed,
    push: Push,
    use_image: UseImage,
    good_wheel: Path,
    machine: str,
    scenarios: tuple[str, ...],
) -> None:
    reference = push(machine)
    use_image(machine, reference)
    spec = machines.load()[machine]
    release = planted_release(good_wheel)
    for installer in spec.installers:
        with start_testbed([good_wheel]) as testbed:
            for scenario in scenarios:
                cell = plan.cell(spec, load_subject(), installer, scenario)
                result = diagnose_cell(cell_request(container_engine, testbed, cell, release))
                causes = result.diagnosis.causes
                assert {cause.name for cause in causes if cause.severity != "note"} == set()
                assert result.evidence.install
                assert bool(result.evidence.install.code) == bool(cell.refusal)


def test_images_of_a_list_are_the_same_on_each_engine(
    container_engine: Engine, client: docker.DockerClient, registry: str, tmp_path: Path
) -> None:
    name, location = "publisher", f"{registry}/team"
    built = images.ensure(container_engine, name)
    digest = image_registry.push(client, location, built.tag)
    path = tmp_path / "images.toml"
    key = built.tag.rpartition("/")[2]
    image_registry.write(path, {key: digest})
    listed = image_registry.load(location, path)
    engine = container_engine.model_copy(update={"registry": listed})
    reference = f"{location}/{name}@{digest}"
    try:
        # Another image has the tag, as on an engine that built the recipe itself.
        other = images.ensure(container_engine, "index")
        client.images.get(other.id).tag(built.tag)
        assert images.ensure(engine, name).id == built.id
        unlisted = listed.model_copy(update={"digests": {key: MISSING_DIGEST}})
        with pytest.raises(TestbedFailure) as raised:
            images.ensure(container_engine.model_copy(update={"registry": unlisted}), name)
        assert MISSING_DIGEST in raised.value.message
    finally:
        client.images.get(built.id).tag(built.tag)
        for leftover in (reference, f"{location}/{name}:{key.rpartition(':')[2]}"):
            with contextlib.suppress(docker.errors.ImageNotFound):
                client.images.remove(leftover)


def test_missing_digest_is_named(
    container_engine: Engine, registry: str, use_image: UseImage
) -> None:
    reference = f"{registry}/almalinux@{MISSING_DIGEST}"
    use_image("almalinux-8", reference)
    with pytest.raises(ImageUnavailable) as raised:
        images.ensure(container_engine, "almalinux-8")
    assert reference in str(raised.value)
    assert "manifest unknown" in str(raised.value)


def test_unreachable_registry_is_named(container_engine: Engine, use_image: UseImage) -> None:
    reference = f"127.0.0.1:9/almalinux@{MISSING_DIGEST}"  # nothing listens on port 9 (discard)
    use_image("almalinux-8", reference)
    with pytest.raises(ImageUnavailable) as raised:
        images.ensure(container_engine, "almalinux-8")
    assert reference in str(raised.value)
    assert "refused" in str(raised.value)
