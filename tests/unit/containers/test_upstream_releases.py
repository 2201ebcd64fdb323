from __future__ import annotations

import hashlib
import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.tags import parse_tag
from packaging.version import Version

from containers import upstream_releases, wheelhouse
from containers.images import ImageUnavailable
from containers.upstream_releases import IndexFile, eligible
from verification.models.errors import TestbedFailure
from verification.models.release import Release, ReleaseFile
from verification.models.subject import Platform

LINUX = "cp313-cp313-manylinux_2_28_x86_64"


class _Index(http.server.ThreadingHTTPServer):
    """A small index of one project; ``files`` are its bytes by name, ``page`` what it tells."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files: dict[str, bytes] = {}
        self.told: dict[str, dict[str, Any]] = {}
        self.asked: list[str] = []
        self.absent: tuple[str, ...] = ()
        self.content_type = "application/vnd.pypi.simple.v1+json"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/simple"

    def add(self, name: str, content: bytes = b"wheel", **told: Any) -> None:
        self.files[name] = content
        digest = hashlib.sha256(content).hexdigest()
        self.told[name] = {"hashes": {"sha256": digest}, **told}

    def page(self) -> bytes:
        files = [
            {"filename": name, "url": f"../../files/{name}", **told}
            for name, told in self.told.items()
        ]
        meta = {"api-version": "1.1"}
        return json.dumps({"meta": meta, "name": "any", "files": files}).encode()


class _Handler(http.server.BaseHTTPRequestHandler):
    server: _Index

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        name = self.path.rpartition("/")[2]
        body = self.server.page() if not name else self.server.files.get(name)
        if self.path in self.server.absent:
            body = None
        self.send_response(200 if body is not None else 404)
        if not name:
            self.send_header("Content-Type", self.server.content_type)
        self.end_headers()
        self.wfile.write(body or b"")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Say nothing."""


@pytest.fixture
def index() -> Iterator[_Index]:
    """Return a running index."""
    with _Index() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def _wheel(version: str, tag: str = LINUX) -> str:
    return f"quiverdb-{version}-{tag}.whl"


def _file(version: str, *fits: str, yanked: str | None = None) -> IndexFile:
    name = f"quiverdb-{version}-{fits[0]}"
    return IndexFile(name=name, version=version, url="", sha256="", fits=fits, yanked=yanked)


def _names(found: list[IndexFile]) -> list[str]:
    return [file.name.removeprefix("quiverdb-") for file in found]


def test_of_releases_that_fit_the_same_machines_the_newest_is_kept() -> None:
    files = [_file("0.1", "any"), _file("0.2", "linux"), _file("0.3", "linux")]
    assert _names(eligible(files, Version("0.4"))) == ["0.1-any", "0.3-linux"]


def test_the_release_under_test_and_later_ones_are_left_out() -> None:
    files = [_file("0.3", "linux"), _file("0.4", "linux"), _file("0.5", "linux")]
    assert _names(eligible(files, Version("0.4"))) == ["0.3-linux"]


def test_prereleases_are_left_out_as_no_installer_takes_them_unasked() -> None:
    files = [_file("0.3", "linux"), _file("0.4rc1", "linux")]
    assert _names(eligible(files, Version("0.4"))) == ["0.3-linux"]


def test_a_yanked_release_hides_no_other() -> None:
    files = [_file("0.2", "linux"), _file("0.3", "linux", yanked="broken")]
    assert _names(eligible(files, Version("0.4"))) == ["0.2-linux", "0.3-linux"]


def test_all_files_of_a_kept_release_are_kept() -> None:
    files = [_file("0.1", "sdist"), _file("0.3", "linux"), _file("0.3", "windows")]
    assert _names(eligible(files, Version("0.4"))) == ["0.1-sdist", "0.3-linux", "0.3-windows"]


def test_the_files_are_fetched_once(index: _Index) -> None:
    index.add(_wheel("0.1.0", "py3-none-any"))
    index.add("quiverdb-0.1.0.tar.gz", b"source")
    index.add(_wheel("0.4.0"))
    index.add(_wheel("0.5.0"))
    index.add(_wheel("0.4.0", "cp313-cp313-macosx_11_0_arm64"))
    first = upstream_releases.earlier("quiverdb", "0.5.0", url=index.url)
    again = upstream_releases.earlier("quiverdb", "0.5.0", url=index.url)
    assert [path.name for path in first.files] == [
        "quiverdb-0.1.0-py3-none-any.whl",
        "quiverdb-0.1.0.tar.gz",
        _wheel("0.4.0"),
    ]
    assert first == again
    assert first.versions == ("0.1.0", "0.4.0")
    assert sum(path.startswith("/files/") for path in index.asked) == 3


def test_the_listing_has_the_wheels_for_machines_that_do_not_exist_here(index: _Index) -> None:
    index.add(_wheel("0.4.0", "cp313-cp313-macosx_11_0_arm64"), **{"requires-python": ">=3.13"})  # type: ignore[arg-type]
    index.add(_wheel("0.4.0"))
    found = upstream_releases.listing("quiverdb", url=index.url)
    assert [(file.has_machine, file.requires_python) for file in found] == [
        (False, ">=3.13"), (True, ""),
    ]  # fmt: skip
    index.content_type = "text/plain"
    assert upstream_releases.listing("quiverdb", url=index.url) == found, "its last answer"


def test_a_withdrawn_file_is_told_with_its_reason(index: _Index) -> None:
    index.add(_wheel("0.3.0"), yanked="it deletes data")
    index.add(_wheel("0.4.0"), yanked=True)
    found = upstream_releases.earlier("quiverdb", "0.5.0", url=index.url)
    assert found.yanked == {_wheel("0.4.0"): ""}


def test_a_file_with_another_digest_is_refused(index: _Index) -> None:
    index.add(_wheel("0.4.0"))
    index.files[_wheel("0.4.0")] = b"other bytes"
    with pytest.raises(ImageUnavailable, match=r"0\.4\.0-cp313.* has sha256 .*, its page says"):
        upstream_releases.earlier("quiverdb", "0.5.0", url=index.url)


def test_without_the_index_what_was_fetched_before_is_used(index: _Index) -> None:
    index.add(_wheel("0.4.0"))
    first = upstream_releases.earlier("quiverdb", "0.5.0", url=index.url)
    assert upstream_releases.earlier("quiverdb", "0.5.0", url="http://127.0.0.1:9/simple") == first


def test_an_index_that_never_answered_is_told(isolated: Path) -> None:
    with pytest.raises(
        ImageUnavailable, match="the upstream index does not list the files of quiverdb"
    ):
        upstream_releases.earlier("quiverdb", "0.5.0", url="http://127.0.0.1:9/simple")
    assert not list(isolated.rglob("*.whl"))


def _declared(monkeypatch: pytest.MonkeyPatch, folder: Path) -> Release:
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


def test_a_release_has_its_wheels_for_other_pythons_and_for_musl(
    index: _Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    declared = _declared(monkeypatch, tmp_path)
    others = [
        _wheel("0.5.0", "cp313-cp313-musllinux_1_2_x86_64"),
        _wheel("0.5.0", "cp314-cp314-manylinux_2_28_x86_64"),
    ]
    for name in (*others, _wheel("0.5.0"), _wheel("0.4.0", "cp312-cp312-win_amd64")):
        index.add(name)
    index.add("quiverdb-0.5.0.tar.gz", b"source")
    index.add(_wheel("0.5.0", "cp313-cp313-macosx_11_0_arm64"))
    for _ in range(2):
        whole = upstream_releases.release("0.5.0", "quiverdb", (), (), url=index.url)
        assert [path.name for path in whole.wheels] == [_wheel("0.5.0"), *others]
        assert all(path.read_bytes() == b"wheel" for path in whole.wheel_paths)
    assert declared.wheels[0] in whole.wheels
    assert [path.name for path in whole.additional] == ["quiverdb-0.5.0.tar.gz"]
    assert sum(path.startswith("/files/") for path in index.asked) == 2


def test_a_release_has_its_wheels_for_the_declared_platforms_without_a_machine(
    index: _Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _declared(monkeypatch, tmp_path)
    arm, mac = (
        _wheel("0.5.0", f"cp313-cp313-{tag}")
        for tag in ("manylinux_2_28_aarch64", "macosx_11_0_arm64")
    )
    for name in (_wheel("0.5.0"), arm, mac):
        index.add(name)
    platform = Platform(tag="manylinux_2_17_aarch64", libraries=())
    whole = upstream_releases.release("0.5.0", "quiverdb", (), (platform,), url=index.url)
    assert {path.name for path in whole.wheels} == {_wheel("0.5.0"), arm}
    assert whole.undeclared == (mac,)


def test_a_release_without_a_list_of_its_files_is_what_was_declared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    declared = _declared(monkeypatch, tmp_path)
    whole = upstream_releases.release("0.5.0", "quiverdb", (), (), url="http://127.0.0.1:9/simple")
    assert whole.wheels == declared.wheels
    assert "the upstream index does not list" in whole.not_fetched["its other wheels"]


def test_a_wheel_of_a_release_that_cannot_be_had_is_told_and_the_others_are_had(
    index: _Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _declared(monkeypatch, tmp_path)
    tags = ("cp313-cp313-manylinux_2_34_x86_64", "cp314-cp314-win_amd64", "cp315-cp315-win_amd64")
    other, unsigned, good = (_wheel("0.5.0", tag) for tag in tags)
    for name in (other, unsigned, good):
        index.add(name)
    index.files[other] = b"other bytes"
    index.told[unsigned]["hashes"] = {}
    whole = upstream_releases.release("0.5.0", "quiverdb", (), (), url=index.url)
    assert [path.name for path in whole.wheels] == [_wheel("0.5.0"), good]
    assert set(whole.not_fetched) == {other, unsigned}
    assert "has sha256" in whole.not_fetched[other]
    assert "its page has no sha256 of it" in whole.not_fetched[unsigned]


@pytest.mark.parametrize("content_type", ["application/vnd.pypi.simple.v1+json", "text/html"])
@pytest.mark.parametrize("page", [b"[]", b'{"message": "no"}', b'{"files": null}', b"<html>"])
def test_an_answer_that_is_no_list_of_files_is_none(
    index: _Index, monkeypatch: pytest.MonkeyPatch, page: bytes, content_type: str
) -> None:
    index.add(_wheel("0.4.0"))
    first = upstream_releases.earlier("quiverdb", "0.5.0", url=index.url)
    monkeypatch.setattr(index, "page", lambda: page)
    monkeypatch.setattr(index, "content_type", content_type)
    assert upstream_releases.earlier("quiverdb", "0.5.0", url=index.url) == first
    with pytest.raises(ImageUnavailable, match="does not list the files of other"):
        upstream_releases.earlier("other", "0.5.0", url=index.url)


def test_the_source_of_a_dependency_is_that_of_its_version(index: _Index) -> None:
    index.add("cffi-2.1.0.tar.gz", b"older")
    index.add("cffi-2.1.1.tar.gz", b"source")
    index.add(f"cffi-2.1.1-{LINUX}.whl")
    (path,) = upstream_releases.sources({"cffi": "2.1.1"}, url=index.url)
    assert (path.name, path.read_bytes()) == ("cffi-2.1.1.tar.gz", b"source")
    asked = len(index.asked)
    assert upstream_releases.sources({"cffi": "2.1.1"}, url=index.url) == (path,)
    assert len(index.asked) == asked, "what is published does not change"


def test_a_dependency_without_a_source_is_left_out(index: _Index) -> None:
    index.add(f"cffi-2.1.1-{LINUX}.whl")
    assert upstream_releases.sources({"cffi": "2.1.1"}, url=index.url) == ()


@pytest.mark.parametrize(
    ("requirement", "is_published"),
    [
        ("cffi", True),
        ("cffi>=2", True),
        ("cffi==3.0", False),  # for another Python only
        ("cffi>=4", True),  # a source distribution is for all
        ("cffi>=99", False),
        ("numpy", False),
    ],
)
def test_a_requirement_is_published_if_a_file_satisfies_it(
    index: _Index, requirement: str, *, is_published: bool
) -> None:
    for version, tag in (("2.1.1", LINUX), ("3.0", "cp314-cp314-win_amd64")):
        index.add(f"cffi-{version}-{tag}.whl")
    index.add("cffi-4.0.tar.gz")
    index.add("cffi-no-version.whl")
    index.absent = ("/simple/numpy/",)
    tags = parse_tag(LINUX)
    found = upstream_releases.has_file(Requirement(requirement), tags, url=index.url)
    assert found == is_published


def test_an_index_that_does_not_answer_does_not_say_what_is_published() -> None:
    with pytest.raises(ImageUnavailable, match="does not list the files of cffi"):
        upstream_releases.has_file(
            Requirement("cffi"), parse_tag(LINUX), url="http://127.0.0.1:9/simple"
        )


# ---- damage in the cache ----


def test_a_damaged_file_is_fetched_again(index: _Index, capsys: pytest.CaptureFixture[str]) -> None:
    index.add(_wheel("0.4.0"))
    (path,) = upstream_releases.earlier("quiverdb", "0.5.0", url=index.url).files
    path.write_bytes(b"whee1")
    assert upstream_releases.earlier("quiverdb", "0.5.0", url=index.url).files == (path,)
    assert path.read_bytes() == b"wheel"
    assert capsys.readouterr().err.count(f"{path.name}: the cached copy is damaged") == 1


def test_a_damaged_file_that_the_index_no_longer_gives_is_the_testbeds_failure(
    index: _Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _declared(monkeypatch, tmp_path)
    other = _wheel("0.5.0", "cp314-cp314-win_amd64")
    for name in (other, _wheel("0.4.0")):
        index.add(name)
    (earlier,) = upstream_releases.earlier("quiverdb", "0.5.0", url=index.url).files
    whole = upstream_releases.release("0.5.0", "quiverdb", (), (), url=index.url)
    (path,) = (path for path in whole.wheel_paths if path.name == other)
    index.files.clear()
    for damaged in (earlier, path):
        damaged.write_bytes(b"")
    with pytest.raises(TestbedFailure) as raised:
        upstream_releases.earlier("quiverdb", "0.5.0", url=index.url)
    assert (raised.value.cause, raised.value.where) == ("cache-damaged", earlier.name)
    with pytest.raises(TestbedFailure) as raised:
        upstream_releases.release("0.5.0", "quiverdb", (), (), url=index.url)
    assert (raised.value.cause, raised.value.where) == ("cache-damaged", other)


def test_a_damaged_source_distribution_is_fetched_again(index: _Index) -> None:
    index.add("cffi-2.1.1.tar.gz", b"source")
    (path,) = upstream_releases.sources({"cffi": "2.1.1"}, url=index.url)
    path.unlink()
    assert upstream_releases.sources({"cffi": "2.1.1"}, url=index.url) == (path,)
    assert path.read_bytes() == b"source"


@pytest.mark.parametrize("content", [b"", b'{"files": []}'])
def test_a_damaged_last_answer_of_the_index_is_not_used(
    index: _Index, isolated: Path, content: bytes
) -> None:
    index.add(_wheel("0.4.0"))
    upstream_releases.earlier("quiverdb", "0.5.0", url=index.url)
    (listing,) = (isolated / "releases" / "listings").rglob("files.json")
    listing.write_bytes(content)
    with pytest.raises(ImageUnavailable, match="does not list the files of quiverdb"):
        upstream_releases.earlier("quiverdb", "0.5.0", url="http://127.0.0.1:9/simple")


def test_the_index_that_pip_is_configured_with_is_asked(
    index: _Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    upstream_releases._index_url.cache_clear()
    monkeypatch.setenv("PIP_INDEX_URL", index.url)
    index.add(_wheel("0.4.0"))
    assert upstream_releases.earlier("quiverdb", "0.5.0").versions == ("0.4.0",)
    assert index.asked[0] == "/simple/quiverdb/"
    upstream_releases._index_url.cache_clear()


def test_a_page_in_html_is_read_as_well(index: _Index, monkeypatch: pytest.MonkeyPatch) -> None:
    index.add(_wheel("0.4.0"))
    digest = index.told[_wheel("0.4.0")]["hashes"]["sha256"]
    link = f'<a href="../../files/{_wheel("0.4.0")}#sha256={digest}">{_wheel("0.4.0")}</a>'
    monkeypatch.setattr(index, "page", link.encode)
    monkeypatch.setattr(index, "content_type", "text/html")
    assert upstream_releases.earlier("quiverdb", "0.5.0", url=index.url).versions == ("0.4.0",)


def test_a_newer_minor_version_of_the_form_is_no_reason_to_stop(
    index: _Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    index.add(_wheel("0.4.0"))
    page = index.page().replace(b'"1.1"', b'"1.99"')
    monkeypatch.setattr(index, "page", lambda: page)
    assert upstream_releases.earlier("quiverdb", "0.5.0", url=index.url).versions == ("0.4.0",)
    older = index.page().replace(b'"1.99"', b'"2.0"')
    monkeypatch.setattr(index, "page", lambda: older)
    with pytest.raises(ImageUnavailable, match="does not list the files of other"):
        upstream_releases.earlier("other", "0.5.0", url=index.url)
