from __future__ import annotations

from pathlib import Path

import pytest

from containers import upstream_releases, wheelhouse
from containers.upstream_releases import IndexFile
from tests.helpers.sample_wheels import linux_wheel
from verification.models.errors import WrongUse
from verification.models.release import Release, ReleaseFile
from verification.session import lock, new_subject
from verification.session.new_subject import OfferedWheels

TAG = "manylinux_2_28_x86_64"


def file(tag: str, version: str, *, yanked: str | None = None) -> IndexFile:
    name = f"quiverdb-{version}.tar.gz" if tag == "sdist" else f"quiverdb-{version}-{tag}.whl"
    return IndexFile(name=name, version=version, url="", sha256="", fits=(tag, ""), yanked=yanked)


def offered(*tags: str) -> OfferedWheels:
    return OfferedWheels("x", {f"quiverdb-1.0-{tag}-{tag}-{TAG}.whl": "" for tag in tags})


def test_newest_stable_release_with_wheels_is_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    files = [
        *(file(f"cp313-cp313-{TAG}", version) for version in ("0.9", "1.7", "2.0rc1")),
        file(f"cp313-cp313-{TAG}", "1.9", yanked=""),
        file("sdist", "1.8"),
    ]
    monkeypatch.setattr(upstream_releases, "listing", lambda _: files)
    assert new_subject.choose_release("quiverdb", None)[0] == "1.7"
    assert new_subject.choose_release("quiverdb", "v2.0rc1")[0] == "2.0rc1"
    with pytest.raises(WrongUse):
        new_subject.choose_release("quiverdb", "1.8")


@pytest.mark.parametrize(
    ("tags", "python"),
    [(["cp313", "cp314"], "cp313"), (["cp311", "cp314"], "cp314"), (["cp312", "cp311"], "cp312")],
)
def test_python_is_the_default_or_else_the_newest(tags: list[str], python: str) -> None:
    assert new_subject.choose_python(offered(*tags)) == python


def test_python_without_a_machine_is_wrong_use() -> None:
    with pytest.raises(WrongUse):
        new_subject.choose_python(offered("cp38"))


def test_published_release_is_described_and_locked(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    wheel = ReleaseFile.read(linux_wheel(tmp_path))
    release = Release(origin="release", location="1.0.0", version="1.0.0", wheels=(wheel,))
    files = [file(f"cp313-cp313-{TAG}", "1.0.0")]
    monkeypatch.setattr(upstream_releases, "listing", lambda _: files)
    monkeypatch.setattr(wheelhouse, "from_release", lambda *_: release)
    monkeypatch.setattr(lock, "resolve", lambda *_: lock.Resolution((), ("debian-13",), {}))
    subject, version = new_subject.of_release("quiverdb", None, tmp_path / "subject")
    assert (subject.name, version) == ("quiverdb", "1.0.0")
    assert {path.name for path in subject.file.parent.iterdir()} == {"subject.toml", "smoke.py"}
