"""The simple API: pages, links and files, also with real installers."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from html.parser import HTMLParser
from pathlib import Path

import pytest

from tests.helpers.index_front import (
    INDEX_HOST,
    UPLOAD_HOST,
    Front,
    pip,
    run,
    running,
    sdist,
    sha256,
    wheel,
)

UV = Path(sys.executable).with_name("uv")

needs_uv = pytest.mark.skipif(not UV.exists(), reason="this environment has no uv: pip install uv")

JSON = "application/vnd.pypi.simple.v1+json"

HTML = "application/vnd.pypi.simple.v1+html"


def compile_with_uv(front: Front, home: Path, requirement: str) -> subprocess.CompletedProcess[str]:
    (home / "requirements.in").write_text(requirement)
    return run(
        [UV, "pip", "compile", "requirements.in", "--index-url", front.simple, "--no-header"],
        home,
        SSL_CERT_FILE=str(front.ca),
    )


class Anchors(HTMLParser):
    """Reads a page. ``attributes`` has the attributes of each anchor, by the anchor's text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.attributes: dict[str, dict[str, str | None]] = {}
        self._current: dict[str, str | None] | None = None
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._current = dict(attrs) if tag == "a" else None

    def handle_data(self, data: str) -> None:
        if self._current is not None:
            self.attributes[data] = self._current
            self._current = None


def test_pip_downloads_dependencies_and_skips_unsuitable_files(
    front: Front, tmp_path: Path
) -> None:
    filename, content = wheel("Top_Level.Name", "1.0", requires_dist="base", payload=b"x" * 300_000)
    front.put((filename, content))
    for file in (
        wheel("base", "1.0"),
        wheel("aged", "1.0", requires_python=">=3.8,<4"),
        wheel("aged", "2.0", requires_python=">=99"),
        wheel("withdrawn", "1.0"),
        wheel("withdrawn", "2.0"),
    ):
        front.put(file)
    projects = ["top-level-name", "aged", "withdrawn"]
    process = pip(front, tmp_path, "download", *projects, "--dest", tmp_path / "files")
    assert process.returncode == 0, process.stdout
    downloaded = {path.name for path in (tmp_path / "files").iterdir()}
    assert downloaded == {
        filename,
        "base-1.0-py3-none-any.whl",
        "aged-1.0-py3-none-any.whl",
        "withdrawn-1.0-py3-none-any.whl",
    }
    assert (tmp_path / "files" / filename).read_bytes() == content
    (line,) = front.lines(file=filename)
    assert line["sha256"] == sha256(content)
    assert (line["status"], line["bytes"], line["complete"]) == (200, len(content), True)
    assert line["client"] == "127.0.0.1"
    assert line["host"] == f"{INDEX_HOST}:{front.port}"
    assert (line["method"], line["path"]) == ("GET", f"/packages/{filename}")
    assert line["user_agent"].startswith("pip/")


@needs_uv
def test_uv_resolves_with_the_metadata_file_of_the_wheel(front: Front, tmp_path: Path) -> None:
    front.put(wheel("leaf", "1.0"))
    filename = front.put(wheel("stem", "1.0", requires_dist="leaf>=1"))
    process = compile_with_uv(front, tmp_path, "stem")
    assert "stem==1.0" in process.stdout, process.stdout
    assert "leaf==1.0" in process.stdout
    assert front.lines(file=f"{filename}.metadata", status=200)
    assert not front.lines(file=filename)


def test_pip_refuses_a_project_for_another_python(front: Front, tmp_path: Path) -> None:
    front.put(wheel("futuristic", "2.0", requires_python=">=99"))
    process = pip(front, tmp_path, "download", "futuristic")
    assert process.returncode != 0
    assert "require a different" in process.stdout


@needs_uv
def test_uv_skips_releases_for_another_python(front: Front, tmp_path: Path) -> None:
    front.put(wheel("older", "1.0", requires_python=">=3.8,<4"))
    front.put(wheel("older", "2.0", requires_python=">=99"))
    process = compile_with_uv(front, tmp_path, "older")
    assert "older==1.0" in process.stdout, process.stdout


def test_pip_warns_about_a_pinned_yanked_file(front: Front, tmp_path: Path) -> None:
    front.put(wheel("withdrawn", "2.0"))
    process = pip(front, tmp_path, "download", "withdrawn==2.0", "--dest", tmp_path)
    assert 'broken "badly"' in process.stdout


def test_pip_reports_an_unknown_project(front: Front, tmp_path: Path) -> None:
    process = pip(front, tmp_path, "download", "nowhere")
    assert "No matching distribution found for nowhere" in process.stdout
    assert front.get("/simple/nowhere/").status_code == 404
    assert front.lines(path="/simple/nowhere/", status=404)


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        (None, "text/html"),
        ("*/*", "text/html"),
        ("text/html", "text/html"),
        (HTML, HTML),
        (JSON, JSON),
        ("application/vnd.pypi.simple.latest+json", JSON),
        (f"{JSON}, {HTML}; q=0.1, text/html; q=0.01", JSON),
        (f"{JSON}, {HTML};q=0.2, text/html;q=0.01", JSON),
        (f"{JSON};q=0.1, {HTML};q=0.9", HTML),
        (f"{JSON};q=0, text/html", "text/html"),
        ("application/vnd.pypi.simple.v2+json", "text/html"),
    ],
)
def test_accept_header_selects_the_content_type(
    front: Front, accept: str | None, kind: str
) -> None:
    front.put(wheel("negotiated", "1.0"))
    for path in ("/simple/", "/simple/negotiated/"):
        response = front.get(path, headers={"Accept": accept})
        assert response.headers["Content-Type"].partition(";")[0] == kind
        assert response.headers["Vary"] == "Accept"
        assert response.text.startswith("{" if kind == JSON else "<!DOCTYPE html>")


def test_json_page_has_the_fields_of_pep_691_and_700(front: Front) -> None:
    wheel_file = wheel("described", "1.10", requires_python=">=3.9")
    source = sdist("described", "1.9")
    front.put(wheel_file)
    front.put(source)
    page = front.get("/simple/described/", headers={"Accept": JSON}).json()
    assert page["meta"] == {"api-version": "1.4"}
    assert page["project-status"] == {"status": "active"}
    assert page["name"] == "described"
    assert page["versions"] == ["1.9", "1.10"]
    files = {file["filename"]: file for file in page["files"]}
    assert files.keys() == {wheel_file[0], source[0]}
    for name, content in (wheel_file, source):
        assert files[name]["hashes"] == {"sha256": sha256(content)}
        assert files[name]["size"] == len(content)
        assert files[name]["yanked"] is False
        assert time.strptime(files[name]["upload-time"], "%Y-%m-%dT%H:%M:%S.%fZ")
    assert files[wheel_file[0]]["requires-python"] == ">=3.9"
    assert "requires-python" not in files[source[0]]
    metadata = front.get(files[wheel_file[0]]["url"] + ".metadata").content
    assert b"Name: described" in metadata
    assert files[wheel_file[0]]["core-metadata"] == {"sha256": sha256(metadata)}
    assert "core-metadata" not in files[source[0]]
    assert front.get(files[source[0]]["url"] + ".metadata").status_code == 404


def test_root_page_has_the_normalised_names_of_projects(front: Front) -> None:
    front.put(wheel("Listed_Here", "1.0"))
    page = front.get("/simple/", headers={"Accept": JSON}).json()
    assert {"name": "listed-here"} in page["projects"]
    assert Anchors(front.get("/simple/").text).attributes["listed-here"]["href"]


def test_anchors_have_the_attributes_of_the_default_index(front: Front) -> None:
    filename, content = wheel("anchored", "1.0", requires_python=">=3.8,<4")
    front.put((filename, content))
    text = front.get("/simple/anchored/").text
    assert 'data-requires-python="&gt;=3.8,&lt;4"' in text
    anchor = Anchors(text).attributes[filename]
    metadata = front.get(f"/packages/{filename}.metadata").content
    assert anchor == {
        "href": f"/packages/{filename}#sha256={sha256(content)}",
        "data-requires-python": ">=3.8,<4",
        "data-core-metadata": f"sha256={sha256(metadata)}",
        "data-dist-info-metadata": f"sha256={sha256(metadata)}",
    }


def test_yanked_file_is_marked_on_both_pages(front: Front) -> None:
    front.put(wheel("withdrawn", "1.0"))
    filename = front.put(wheel("withdrawn", "2.0"))
    anchors = Anchors(front.get("/simple/withdrawn/").text).attributes
    assert anchors[filename]["data-yanked"] == 'broken "badly"'
    assert "data-yanked" not in anchors["withdrawn-1.0-py3-none-any.whl"]
    assert front.listed_files("withdrawn")[filename]["yanked"] == 'broken "badly"'


@pytest.mark.parametrize(
    ("path", "location"),
    [
        ("/simple", "/simple/"),
        ("/simple/Some_Thing", "/simple/some-thing/"),
        ("/simple/Some_Thing/", "/simple/some-thing/"),
    ],
)
def test_request_without_the_normalised_name_is_redirected(
    front: Front, path: str, location: str
) -> None:
    response = front.get(path, allow_redirects=False)
    assert (response.status_code, response.headers["Location"]) == (301, location)


def test_json_document_of_a_project_names_its_latest_release(front: Front) -> None:
    for version in ("1.9", "1.10", "2.0rc1"):
        front.put(wheel("documented", version, summary="Words", requires_python=">=3.9"))
    document = front.get("/pypi/documented/json").json()
    assert document["info"]["version"] == "1.10"
    assert document["info"]["requires_python"] == ">=3.9"
    assert document["releases"].keys() == {"1.9", "1.10", "2.0rc1"}
    assert [file["packagetype"] for file in document["urls"]] == ["bdist_wheel"]
    assert front.get("/pypi/undocumented/json").status_code == 404


def test_range_is_served_and_logged(front: Front) -> None:
    filename, content = wheel("ranged", "1.0", payload=os.urandom(5000))
    front.put((filename, content))
    response = front.get(f"/packages/{filename}", headers={"Range": "bytes=100-199"})
    assert response.status_code == 206
    assert response.content == content[100:200]
    (line,) = front.lines(file=filename)
    assert line["range"] == f"bytes 100-199/{len(content)}"
    assert line["sha256"] == sha256(content[100:200])


def test_files_can_have_a_separate_host_name(tmp_path: Path) -> None:
    hosts = {"index": INDEX_HOST, "upload": UPLOAD_HOST, "files": UPLOAD_HOST}
    with running(tmp_path, hosts=hosts) as front:
        filename, content = wheel("apart", "1.0")
        front.put((filename, content))
        url = front.listed_files("apart")[filename]["url"]
        assert url == f"https://{UPLOAD_HOST}:{front.port}/packages/{filename}"
        assert front.get(url).content == content
        assert front.get(f"/packages/{filename}").status_code == 404
        assert front.get(f"{front.upload}/simple/apart/").status_code == 404
