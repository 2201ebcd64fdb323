"""Machines whose images come from a registry: pulled by digest, and judged as any other.

The registry is a real one, Debian's package of the reference implementation, on the engine's own
loopback. What it holds stands in for the distributions' images: they cannot be had everywhere.
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

from containers import images
from containers import recipe as recipes
from containers.engine import Engine, Run
from containers.images import ImageUnavailable
from tests.faults.place import Start, diagnosed, job_on, planted_release
from verification.scenarios import cells as plan
from verification.scenarios import machines
from verification.subjects.subject import load as load_subject

# As Red Hat's kin are, with the authorities elsewhere and no openssl; and as Ubuntu is, where the
# number 1000 is another's.
LIKE_RED_HAT = """
RUN mkdir -p /etc/pki/tls/certs \\
 && mv /etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt \\
 && rm -r /etc/ssl /usr/lib/ssl /usr/bin/openssl && useradd --create-home --uid 1000 ubuntu
"""
# What each machine's image is made from here in place of the distribution's own.
STAND_INS = {"almalinux-8": ("registry", LIKE_RED_HAT), "alpine": ("debian-13-musl", "")}
NOWHERE = "sha256:" + "0" * 64

Push = Callable[[str], str]
Recipe = Callable[[str, str], None]


@pytest.fixture(scope="module")
def client(found: Engine) -> Iterator[docker.DockerClient]:
    """Return a client that waits for a build."""
    answering = found.client(timeout_seconds=600)
    yield answering
    answering.close()


@pytest.fixture(scope="module")
def registry(found: Engine, client: docker.DockerClient, run: Run) -> Iterator[str]:
    """Return host and port of a running registry, as the engine reaches it."""
    container = client.containers.run(
        images.ensure(found, "registry").tag,
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
def push(found: Engine, client: docker.DockerClient, registry: str) -> Iterator[Push]:
    """Return the way from a machine's name to the digest of its stand-in in the registry."""
    made: list[str] = []

    def pushed(name: str) -> str:
        base, changes = STAND_INS[name]
        text = f"FROM {images.ensure(found, base).tag}\nUSER root{changes}\n"
        tag = f"{registry}/{name}:latest"
        built, _ = client.images.build(
            fileobj=io.BytesIO(text.encode()), tag=tag, rm=True, network_mode="none"
        )
        told = list(client.images.push(tag, stream=True, decode=True))
        # Else there would be nothing to pull.
        client.images.remove(str(built.id), force=True)
        digests = [line["aux"]["Digest"] for line in told if "aux" in line]
        assert digests, told[-1]
        made.append(f"{registry}/{name}@{digests[0]}")
        return made[-1]

    yield pushed
    for reference in made:
        with contextlib.suppress(docker.errors.ImageNotFound):
            client.images.remove(reference, force=True)


@pytest.fixture
def pinned(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, client: docker.DockerClient
) -> Iterator[Recipe]:
    """Return the way to let a machine's own recipe name another image."""
    ours = tmp_path / "containers" / "images"
    shutil.copytree(recipes.RECIPES, ours)
    shutil.copytree(recipes.RECIPES.parent / "locks", ours.parent / "locks")
    monkeypatch.setattr(recipes, "RECIPES", ours)
    changed: list[str] = []

    def named(machine: str, reference: str) -> None:
        path = ours / machine / "recipe.toml"
        lines = path.read_text("utf-8").splitlines()
        kept = [line for line in lines if not line.startswith("registry = ")]
        assert len(kept) == len(lines) - 1
        path.write_text("\n".join([f'registry = "{reference}"', *kept]), "utf-8")
        changed.append(machine)

    yield named
    for machine in changed:
        with contextlib.suppress(docker.errors.ImageNotFound):
            client.images.remove(recipes.load(machine).tag(), force=True)


@pytest.mark.long  # both have a Python that is compiled first
@pytest.mark.parametrize(
    ("machine", "scenarios", "told"),
    [
        ("almalinux-8", ("venv",), {"venv": set()}),
        ("alpine", ("venv", "pinned"), {"venv": set(), "pinned": set()}),
    ],
)
def test_a_machine_from_a_registry_is_pulled_by_digest_and_judged(
    found: Engine,
    start: Start,
    push: Push,
    pinned: Recipe,
    good_wheel: Path,
    machine: str,
    scenarios: tuple[str, ...],
    told: dict[str, set[str]],
) -> None:
    reference = push(machine)
    pinned(machine, reference)
    spec = machines.load()[machine]
    release = planted_release(good_wheel)
    for installer in spec.installers:
        seen = {}
        with start([good_wheel]) as bed:
            for scenario in scenarios:
                cell = plan.cell(spec, load_subject(), installer, scenario)
                shown = diagnosed(job_on(found, bed, cell, release))
                causes = shown.diagnosis.causes
                seen[scenario] = {cause.name for cause in causes if cause.severity != "note"}
                assert shown.evidence.install
                assert bool(shown.evidence.install.code) == bool(cell.refusal)
        assert seen == told


def test_a_digest_that_the_registry_has_not_is_refused_by_name(
    found: Engine, registry: str, pinned: Recipe
) -> None:
    reference = f"{registry}/almalinux@{NOWHERE}"
    pinned("almalinux-8", reference)
    with pytest.raises(ImageUnavailable) as raised:
        images.ensure(found, "almalinux-8")
    assert str(raised.value).startswith(f"{reference} cannot be pulled: ")
    assert "manifest unknown" in str(raised.value)


def test_without_a_registry_the_image_is_unavailable_with_the_reason(
    found: Engine, pinned: Recipe
) -> None:
    reference = f"127.0.0.1:9/almalinux@{NOWHERE}"  # the discard port: nothing listens there
    pinned("almalinux-8", reference)
    with pytest.raises(ImageUnavailable) as raised:
        images.ensure(found, "almalinux-8")
    assert str(raised.value).startswith(f"{reference} cannot be pulled: ")
    assert "refused" in str(raised.value)
