"""Servers that the tests of one module share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.helpers.forge_server import PUBLISH, Forge
from tests.helpers.forge_server import running as running_forge
from tests.helpers.index_front import Front
from tests.helpers.index_front import running as running_index
from tests.helpers.oidc import PublishingIndex, publishing_index

YANKED = {"withdrawn-2.0-py3-none-any.whl": 'broken "badly"'}


@pytest.fixture(scope="module")
def front(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    """An index that one file is yanked from."""
    with running_index(tmp_path_factory.mktemp("index"), yanked=YANKED) as front:
        yield front


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PublishingIndex]:
    """An index with registered publishers, and their issuer."""
    with publishing_index(tmp_path_factory.mktemp("publishing")) as index:
        yield index


@pytest.fixture(scope="module")
def started_forge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forge]:
    """A forge that keeps what earlier tests left."""
    with running_forge(tmp_path_factory.mktemp("forge")) as forge:
        yield forge


@pytest.fixture
def forge(started_forge: Forge) -> Forge:
    """A forge without releases; the test is its release job."""
    started_forge.clean()
    return started_forge


@pytest.fixture
def publish_job(forge: Forge) -> None:
    """The test is the forge's publish job, which may ask for identity tokens."""
    forge.register(PUBLISH)
