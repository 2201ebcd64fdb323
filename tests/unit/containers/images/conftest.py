"""Running servers that all tests share. Each test uses its own projects, tags and paths."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.helpers.forge_server import PUBLISH, Forge
from tests.helpers.forge_server import running as running_forge
from tests.helpers.index_front import INDEX_HOST, UPLOAD_HOST, Front
from tests.helpers.index_front import running as running_index
from tests.helpers.oidc import PublishingIndex, publisher, publishing_index

YANKED = {"withdrawn-2.0-py3-none-any.whl": 'broken "badly"'}


@pytest.fixture(scope="session")
def front(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    """A running index with one yanked file."""
    with running_index(tmp_path_factory.mktemp("index"), yanked=YANKED) as front:
        yield front


@pytest.fixture
def empty(front: Front) -> Iterator[Front]:
    """The shared index, without the files of the table of uploads afterwards."""
    yield front
    for path in front.store.glob("rows*"):
        path.unlink()


@pytest.fixture(scope="session")
def index(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PublishingIndex]:
    """A running index with registered publishers, and the issuer of their identity tokens."""
    with publishing_index(tmp_path_factory.mktemp("publishing")) as index:
        yield index


@pytest.fixture(scope="session")
def signing_index(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PublishingIndex]:
    """A running index with a registered publisher and with signing servers."""
    hosts = {"index": INDEX_HOST, "upload": UPLOAD_HOST, "signing": UPLOAD_HOST}
    with publishing_index(
        tmp_path_factory.mktemp("signing"),
        active=[publisher("strict", "strict")],
        pending=[],
        hosts=hosts,
    ) as index:
        yield index


@pytest.fixture(scope="session")
def started_forge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forge]:
    """A running forge. It keeps the state that earlier tests left."""
    with running_forge(tmp_path_factory.mktemp("forge")) as forge:
        yield forge


@pytest.fixture
def forge(started_forge: Forge) -> Forge:
    """A forge without releases. It treats the test's requests as those of the release job."""
    started_forge.clean()
    return started_forge


@pytest.fixture
def publish_job(forge: Forge) -> None:
    """Let the forge treat the test as the publish job, which can request identity tokens."""
    forge.register(PUBLISH)
