"""A prepared testbed of which nothing runs, made up."""

from __future__ import annotations

from pathlib import Path

from containers.engine import Engine, Run
from containers.network import NetworkHandle
from containers.testbed import Testbed
from tests.helpers.sample_run import LINUX_WHEEL, WHEELS, WINDOWS_WHEEL, inspection
from verification.models.inspection import ReleaseInspection
from verification.models.release import Release, ReleaseFile
from verification.models.testbed import Image, IndexHosts, Upload
from verification.session.prepare import Prepared, SetUp

ENGINE = Engine(url="unix:///none", origin="a test", version="20.10", os="linux")
NETWORK = NetworkHandle(
    engine=ENGINE, run=Run(id="0123456789", owner="1"), name="none", ca_certificate=""
)
HOSTS = IndexHosts(index="i.example", files="f.example", upload="u.example")
TESTBED = Testbed(network=NETWORK, index="none", hosts=HOSTS)
REFUSED = Upload(command=("twine", "upload"), code=1, output="ERROR    HTTPError: 400 Bad Request")
"""An upload that the index refused."""


def image(name: str) -> Image:
    """Return an image of this name."""
    tag = f"quiverdb-e2e/{name}:0123456789ab"
    return Image(name=name, tag=tag, id=f"sha256:{name}", created="2026-01-01T00:00:00Z")


def release(*names: str, folder: Path = Path("/dist"), version: str = "0.5.0") -> Release:
    """Return a release with wheels of these names; without names, one for each system."""
    wheels = tuple(
        ReleaseFile(path=folder / name, sha256=WHEELS.get(name, "0" * 64))
        for name in names or (LINUX_WHEEL, WINDOWS_WHEEL)
    )
    return Release(origin="wheels", location=str(folder), version=version, wheels=wheels)


def prepared(
    of: Release | None = None,
    *machines: str,
    testbed: Testbed = TESTBED,
    no_history: str = "",
) -> Prepared:
    """Return a prepared testbed with this release, and with images of these machines."""
    return Prepared(
        testbed=testbed,
        release=of or release(),
        machines={name: image(name) for name in machines},
        unavailable={},
        infrastructure=(image("index"), image("publisher")),
        no_history=no_history,
    )


def set_up(of: Prepared | None = None) -> SetUp:
    """Return what a controller has of it: the wheels are inspected and without a fault."""
    ready = of or prepared()
    wheels = (inspection(file.name, file.sha256) for file in ready.release.wheels)
    return SetUp(ready, ReleaseInspection(wheels=tuple(wheels)))
