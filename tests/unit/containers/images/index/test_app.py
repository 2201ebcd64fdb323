"""The index as a whole: its host names and its health report."""

from __future__ import annotations

from tests.helpers.index_front import (
    INDEX_HOST,
    UPLOAD_HOST,
    Front,
)


def test_each_host_name_has_only_its_role(front: Front) -> None:
    with front.session() as session:
        assert session.post(f"{front.index}/legacy/", timeout=20).status_code == 404
        action = {":action": "file_upload"}
        assert session.post(f"{front.upload}/legacy/", action, timeout=20).status_code == 403
        assert session.get(f"{front.upload}/legacy/", timeout=20).status_code == 405
    unknown = front.get("/simple/", headers={"Host": "elsewhere.invalid"})
    assert unknown.status_code == 421
    for host in (INDEX_HOST, UPLOAD_HOST, "elsewhere.invalid"):
        assert host in unknown.text


def test_health_report_has_the_versions(front: Front) -> None:
    report = front.get("/_/health").json()
    assert report["status"] == "ok"
    assert report["versions"].keys() == {
        "python",
        "pypiserver",
        "cheroot",
        "werkzeug",
        "packaging",
        "joserfc",
        "pypi-attestations",
    }
