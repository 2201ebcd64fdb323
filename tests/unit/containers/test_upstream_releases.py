from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.tags import parse_tag
from packaging.version import Version

from containers import upstream_releases, wheelhouse
from containers.upstream_releases import (
    IndexFile,
    NoSuchProject,
    UpstreamUnavailable,
    eligible,
)
from tests.helpers.upstream_index import FakeUpstream
from verification.models.errors import TestbedFailure
from verification.models.release import Release, ReleaseFile
from verification.models.subject import Platform

LINUX = "cp313-cp313-manylinux_2_28_x86_64"


@pytest.fixture
def index() -> Iterator[FakeUpstream]:
    """Return a running fake index."""
    with FakeUpstream.running() as server:
        yield server


UNREACHABLE = "http://127.0.0.1:9/simple"


def _wheel(version: str, tag: str = LINUX) -> str:
    return f"quiverdb-{version}-{tag}.whl"


def _file(version: str, *fits: str, yanked: str | None = None) -> IndexFile:
    name = f"quiverdb-{version}-{fits[0]}"
    return IndexFile(name=name, version=version, url="", sha256="", fits=fits, yanked=yanked)


@pytest.mark.parametrize(
    ("files", "names"),
    [
        (
            [_file("0.1", "any"), _file("0.2", "linux"), _file("0.3", "linux")],
            ["0.1-any", "0.3-linux"],
        ),
        ([_file("0.3", "linux"), _file("0.4", "linux"), _file("0.5", "linux")], ["0.3-linux"]),
        ([_file("0.3", "linux"), _file("0.4rc1", "linux")], ["0.3-linux"]),
        (
            [_file("0.2", "linux"), _file("0.3", "linux", yanked="broken")],
            ["0.2-linux", "0.3-linux"],
        ),
        (
            [_file("0.1", "sdist"), _file("0.3", "linux"), _file("0.3", "windows")],
            ["0.1-sdist", "0.3-linux", "0.3-windows"],
        ),
    ],
    ids=[
        "the newest release for the same machines",
        "only earlier releases",
        "no prereleases",
        "a yanked release replaces no other release",
        "all files of a selected release",
    ],
)
def test_eligible_files_are_those_that_an_installer_could_select(
    files: list[IndexFile], names: list[str]
) -> None:
    selected = eligible(files, Version("0.4"))
    assert [file.name.removeprefix("quiverdb-") for file in selected] == names


def test_files_of_earlier_releases_are_downloaded_once(index: FakeUpstream) -> None:
    index.add(_wheel("0.1.0", "py3-none-any"))
    index.add("quiverdb-0.1.0.tar.gz", b"source")
    index.add(_wheel("0.4.0"))
    index.add(_wheel("0.5.0"))
    index.add(_wheel("0.4.0", "cp313-cp313-macosx_11_0_arm64"))
    first, second = (
        upstream_releases.earlier_releases("quiverdb", "0.5.0", url=index.url) for _ in range(2)
    )
    assert [path.name for path in first.files] == [
        "quiverdb-0.1.0-py3-none-any.whl",
        "quiverdb-0.1.0.tar.gz",
        _wheel("0.4.0"),
    ]
    assert first == second
    assert first.versions == ("0.1.0", "0.4.0")
    assert sum(path.startswith("/files/") for path in index.requests) == 3


def test_listing_has_wheels_without_a_machine_and_is_cached(index: FakeUpstream) -> None:
    index.add(_wheel("0.4.0", "cp313-cp313-macosx_11_0_arm64"), **{"requires-python": ">=3.13"})  # type: ignore[arg-type]
    index.add(_wheel("0.4.0"))
    files = upstream_releases.listing("quiverdb", url=index.url)
    assert [(file.has_machine, file.requires_python) for file in files] == [
        (False, ">=3.13"), (True, ""),
    ]  # fmt: skip
    index.content_type = "text/plain"
    assert upstream_releases.listing("quiverdb", url=index.url) == files, "the cached list"


def test_yanked_file_has_the_reason(index: FakeUpstream) -> None:
    index.add(_wheel("0.3.0"), yanked="it deletes data")
    index.add(_wheel("0.4.0"), yanked=True)
    index.add(_wheel("0.4.0", "cp312-cp312-win_amd64"), yanked="it deletes data")
    earlier = upstream_releases.earlier_releases("quiverdb", "0.5.0", url=index.url)
    assert earlier.yanked == {
        _wheel("0.4.0"): "",
        _wheel("0.4.0", "cp312-cp312-win_amd64"): "it deletes data",
    }


def test_file_with_another_sha256_is_refused(index: FakeUpstream) -> None:
    index.add(_wheel("0.4.0"))
    index.files[_wheel("0.4.0")] = b"other bytes"
    digest = hashlib.sha256(b"other bytes").hexdigest()[:16]
    with pytest.raises(UpstreamUnavailable, match=rf"(?=.*0\.4\.0-cp313)(?=.*{digest})"):
        upstream_releases.earlier_releases("quiverdb", "0.5.0", url=index.url)


def test_cached_list_and_files_are_used_without_the_index(index: FakeUpstream) -> None:
    index.add(_wheel("0.4.0"))
    first = upstream_releases.earlier_releases("quiverdb", "0.5.0", url=index.url)
    assert upstream_releases.earlier_releases("quiverdb", "0.5.0", url=UNREACHABLE) == first


def test_unreachable_index_without_a_cached_list_is_unavailable(isolated: Path) -> None:
    with pytest.raises(UpstreamUnavailable, match="quiverdb"):
        upstream_releases.earlier_releases("quiverdb", "0.5.0", url=UNREACHABLE)
    assert not list(isolated.rglob("*.whl"))


def _declare_release(monkeypatch: pytest.MonkeyPatch, folder: Path) -> Release:
    """Make `from_release` return the release 0.5.0 with one declared wheel. Return this release."""
    path = folder / _wheel("0.5.0")
    path.write_bytes(b"wheel")
    declared = Release(
        origin="release",
        location="0.5.0",
        version="0.5.0",
        wheels=(ReleaseFile.read(path),),
    )
    monkeypatch.setattr(wheelhouse, "from_release", lambda *_: declared)
    return declared


def test_release_has_its_wheels_for_other_pythons_and_for_musl(
    index: FakeUpstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    declared = _declare_release(monkeypatch, tmp_path)
    additional = [
        _wheel("0.5.0", "cp313-cp313-musllinux_1_2_x86_64"),
        _wheel("0.5.0", "cp314-cp314-manylinux_2_28_x86_64"),
    ]
    for name in (*additional, _wheel("0.5.0"), _wheel("0.4.0", "cp312-cp312-win_amd64")):
        index.add(name)
    index.add("quiverdb-0.5.0.tar.gz", b"source")
    index.add(_wheel("0.5.0", "cp313-cp313-macosx_11_0_arm64"))
    for _ in range(2):
        release = upstream_releases.release("0.5.0", "quiverdb", (), url=index.url)
        assert [path.name for path in release.wheels] == [_wheel("0.5.0"), *additional]
        assert all(path.read_bytes() == b"wheel" for path in release.wheel_paths)
    assert declared.wheels[0] in release.wheels
    assert [path.name for path in release.additional] == ["quiverdb-0.5.0.tar.gz"]
    assert sum(path.startswith("/files/") for path in index.requests) == 2


def test_release_has_its_wheels_for_declared_platforms_without_a_machine(
    index: FakeUpstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _declare_release(monkeypatch, tmp_path)
    arm, mac = (
        _wheel("0.5.0", f"cp313-cp313-{tag}")
        for tag in ("manylinux_2_28_aarch64", "macosx_11_0_arm64")
    )
    for name in (_wheel("0.5.0"), arm, mac):
        index.add(name)
    platform = Platform(tag="manylinux_2_17_aarch64", libraries=())
    release = upstream_releases.release("0.5.0", "quiverdb", (platform,), url=index.url)
    assert {path.name for path in release.wheels} == {_wheel("0.5.0"), arm}
    assert release.undeclared == (mac,)


@pytest.mark.parametrize("tag", ["cp312-cp312", "cp38-abi3", "py3-none"])
def test_release_has_the_wheel_of_the_described_python_without_a_machine(
    index: FakeUpstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tag: str
) -> None:
    _declare_release(monkeypatch, tmp_path)
    arm, other = (
        _wheel("0.5.0", f"{python}-manylinux_2_28_aarch64") for python in (tag, "cp313-cp313")
    )
    for name in (arm, other):
        index.add(name)
    platform = Platform(tag="manylinux_2_28_aarch64", libraries=())
    release = upstream_releases.release(
        "0.5.0", "quiverdb", (platform,), python="cp312", url=index.url
    )
    assert {path.name for path in release.wheels} == {_wheel("0.5.0"), arm}
    assert release.undeclared == (other,)


def test_project_that_the_index_does_not_have_is_known(index: FakeUpstream) -> None:
    index.absent = ("/simple/quiverdb/",)
    with pytest.raises(NoSuchProject):
        upstream_releases.listing("quiverdb", url=index.url)
    with pytest.raises(UpstreamUnavailable) as raised:
        upstream_releases.listing("quiverdb", url=UNREACHABLE)
    assert not isinstance(raised.value, NoSuchProject)


def test_release_without_a_list_of_its_files_has_the_declared_wheels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    declared = _declare_release(monkeypatch, tmp_path)
    release = upstream_releases.release("0.5.0", "quiverdb", (), url=UNREACHABLE)
    assert release.wheels == declared.wheels
    (reason,) = release.not_fetched.values()
    assert "quiverdb" in reason


def test_release_has_the_reason_of_each_wheel_that_cannot_be_downloaded(
    index: FakeUpstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _declare_release(monkeypatch, tmp_path)
    tags = ("cp313-cp313-manylinux_2_34_x86_64", "cp314-cp314-win_amd64", "cp315-cp315-win_amd64")
    changed, without_hash, correct = (_wheel("0.5.0", tag) for tag in tags)
    for name in (changed, without_hash, correct):
        index.add(name)
    index.files[changed] = b"other bytes"
    index.entries[without_hash]["hashes"] = {}
    release = upstream_releases.release("0.5.0", "quiverdb", (), url=index.url)
    assert [path.name for path in release.wheels] == [_wheel("0.5.0"), correct]
    assert set(release.not_fetched) == {changed, without_hash}
    digest = hashlib.sha256(b"other bytes").hexdigest()[:16]
    assert digest in release.not_fetched[changed]
    assert without_hash in release.not_fetched[without_hash]


@pytest.mark.parametrize("content_type", ["application/vnd.pypi.simple.v1+json", "text/html"])
@pytest.mark.parametrize("page", [b"[]", b'{"message": "no"}', b'{"files": null}', b"<html>"])
def test_invalid_response_of_the_index_counts_as_no_answer(
    index: FakeUpstream, monkeypatch: pytest.MonkeyPatch, page: bytes, content_type: str
) -> None:
    index.add(_wheel("0.4.0"))
    first = upstream_releases.earlier_releases("quiverdb", "0.5.0", url=index.url)
    monkeypatch.setattr(index, "page", lambda: page)
    monkeypatch.setattr(index, "content_type", content_type)
    assert upstream_releases.earlier_releases("quiverdb", "0.5.0", url=index.url) == first
    with pytest.raises(UpstreamUnavailable, match=r"\bother\b"):
        upstream_releases.earlier_releases("other", "0.5.0", url=index.url)


def test_source_of_a_dependency_has_its_version_and_is_downloaded_once(index: FakeUpstream) -> None:
    index.add("cffi-2.1.0.tar.gz", b"older")
    index.add("cffi-2.1.1.tar.gz", b"source")
    index.add(f"cffi-2.1.1-{LINUX}.whl")
    (path,) = upstream_releases.sources([("cffi", "2.1.1")], url=index.url)
    assert (path.name, path.read_bytes()) == ("cffi-2.1.1.tar.gz", b"source")
    request_count = len(index.requests)
    assert upstream_releases.sources([("cffi", "2.1.1")], url=index.url) == (path,)
    assert len(index.requests) == request_count


def test_dependency_without_a_source_distribution_is_omitted(index: FakeUpstream) -> None:
    index.add(f"cffi-2.1.1-{LINUX}.whl")
    assert upstream_releases.sources([("cffi", "2.1.1")], url=index.url) == ()


@pytest.mark.parametrize(
    ("requirement", "kinds"),
    [
        ("cffi", {"wheel", "source"}),
        ("cffi>=2", {"wheel", "source"}),
        ("cffi==3.0", set()),  # only for another Python
        ("cffi>=4,<5", {"source"}),
        ("cffi==5.0", set()),  # for a newer Python
        ("cffi==6.0", set()),  # yanked
        ("cffi==7.0", {"wheel"}),  # an invalid Requires-Python does not count
        ("cffi>=99", set()),
        ("numpy", set()),
    ],
)
def test_kinds_of_files_are_those_that_an_installer_on_the_machine_can_use(
    index: FakeUpstream, requirement: str, kinds: set[str]
) -> None:
    for version, tag in (("2.1.1", LINUX), ("3.0", "cp314-cp314-win_amd64")):
        index.add(f"cffi-{version}-{tag}.whl")
    index.add("cffi-4.0.tar.gz")
    index.add("cffi-no-version.whl")
    for version, entry in (
        ("5.0", {"requires-python": ">=3.14"}),
        ("6.0", {"yanked": True}),
        ("7.0", {"requires-python": "three"}),
    ):
        index.add(f"cffi-{version}-py3-none-any.whl", b"wheel", **entry)
    index.absent = ("/simple/numpy/",)
    tags = parse_tag(LINUX) | parse_tag("py3-none-any")
    found = upstream_releases.file_kinds(Requirement(requirement), tags, "3.13", url=index.url)
    assert found == kinds


def test_kinds_of_files_are_unknown_without_an_answer() -> None:
    with pytest.raises(UpstreamUnavailable, match="cffi"):
        upstream_releases.file_kinds(Requirement("cffi"), parse_tag(LINUX), "3.13", url=UNREACHABLE)


# ---- damage in the cache ----


def test_damaged_file_is_downloaded_again_and_reported(
    index: FakeUpstream, capsys: pytest.CaptureFixture[str]
) -> None:
    index.add(_wheel("0.4.0"))
    (path,) = upstream_releases.earlier_releases("quiverdb", "0.5.0", url=index.url).files
    path.write_bytes(b"whee1")
    assert upstream_releases.earlier_releases("quiverdb", "0.5.0", url=index.url).files == (path,)
    assert path.read_bytes() == b"wheel"
    assert capsys.readouterr().out.count(f"{path.name}: ") == 1


def test_damaged_file_that_cannot_be_downloaded_again_is_a_testbed_failure(
    index: FakeUpstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _declare_release(monkeypatch, tmp_path)
    additional = _wheel("0.5.0", "cp314-cp314-win_amd64")
    for name in (additional, _wheel("0.4.0")):
        index.add(name)
    (earlier,) = upstream_releases.earlier_releases("quiverdb", "0.5.0", url=index.url).files
    release = upstream_releases.release("0.5.0", "quiverdb", (), url=index.url)
    (path,) = (path for path in release.wheel_paths if path.name == additional)
    index.files.clear()
    for damaged in (earlier, path):
        damaged.write_bytes(b"")
    with pytest.raises(TestbedFailure) as raised:
        upstream_releases.earlier_releases("quiverdb", "0.5.0", url=index.url)
    assert (raised.value.cause, raised.value.where) == ("cache-damaged", earlier.name)
    with pytest.raises(TestbedFailure) as raised:
        upstream_releases.release("0.5.0", "quiverdb", (), url=index.url)
    assert (raised.value.cause, raised.value.where) == ("cache-damaged", additional)


def test_damaged_source_distribution_is_downloaded_again(index: FakeUpstream) -> None:
    index.add("cffi-2.1.1.tar.gz", b"source")
    (path,) = upstream_releases.sources([("cffi", "2.1.1")], url=index.url)
    path.unlink()
    assert upstream_releases.sources([("cffi", "2.1.1")], url=index.url) == (path,)
    assert path.read_bytes() == b"source"


@pytest.mark.parametrize("content", [b"", b'{"files": []}'])
def test_damaged_cached_list_is_not_used(
    index: FakeUpstream, isolated: Path, content: bytes
) -> None:
    index.add(_wheel("0.4.0"))
    upstream_releases.earlier_releases("quiverdb", "0.5.0", url=index.url)
    (listing,) = (isolated / "releases" / "listings").rglob("files.json")
    listing.write_bytes(content)
    with pytest.raises(UpstreamUnavailable, match="quiverdb"):
        upstream_releases.earlier_releases("quiverdb", "0.5.0", url=UNREACHABLE)


def test_upstream_index_is_the_configured_index_of_pip(
    index: FakeUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    upstream_releases._pip_settings.cache_clear()
    monkeypatch.setenv("PIP_INDEX_URL", index.url)
    index.add(_wheel("0.4.0"))
    assert upstream_releases.earlier_releases("quiverdb", "0.5.0").versions == ("0.4.0",)
    assert index.requests[0] == "/simple/quiverdb/"
    upstream_releases._pip_settings.cache_clear()


def test_page_in_html_can_be_read(index: FakeUpstream, monkeypatch: pytest.MonkeyPatch) -> None:
    index.add(_wheel("0.4.0"))
    digest = index.entries[_wheel("0.4.0")]["hashes"]["sha256"]
    link = f'<a href="../../files/{_wheel("0.4.0")}#sha256={digest}">{_wheel("0.4.0")}</a>'
    monkeypatch.setattr(index, "page", link.encode)
    monkeypatch.setattr(index, "content_type", "text/html")
    assert upstream_releases.earlier_releases("quiverdb", "0.5.0", url=index.url).versions == (
        "0.4.0",
    )


def test_only_a_newer_minor_version_of_the_api_is_accepted(
    index: FakeUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    index.add(_wheel("0.4.0"))
    page = index.page()
    monkeypatch.setattr(index, "page", lambda: page.replace(b'"1.1"', b'"1.99"'))
    assert upstream_releases.earlier_releases("quiverdb", "0.5.0", url=index.url).versions == (
        "0.4.0",
    )
    monkeypatch.setattr(index, "page", lambda: page.replace(b'"1.1"', b'"2.0"'))
    with pytest.raises(UpstreamUnavailable, match=r"\bother\b"):
        upstream_releases.earlier_releases("other", "0.5.0", url=index.url)
