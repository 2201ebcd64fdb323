"""What a Dockerfile needs from outside, and the labels of its build."""

from __future__ import annotations

import importlib
import io
import tarfile
from collections.abc import Mapping

import pytest

dockerfiles = importlib.import_module("conductor.dockerfile")


@pytest.mark.parametrize(
    ("text", "images", "downloads"),
    [
        ("FROM a:1\nCOPY x /x\nADD y /y", ("a:1",), ()),
        ("# FROM b\nFROM --platform=linux/amd64 a AS build\nFROM build\n", ("a",), ()),
        ('ARG V=3 W\nARG BASE="a:$V"\nFROM ${BASE:-c}${W}', ("a:3",), ()),
        ("FROM ${NONE:-a}", ("a",), ()),
        ("from a\ncopy --from=b /x /x\ncopy --from=0 /x /x", ("a", "b"), ()),
        ("FROM scratch\nCOPY --from=build /x /x", ("build",), ()),
        ("FROM a \\\n  AS b\nFROM b", ("a",), ()),
        ("FROM a\nADD --chown=1 https://x/y /y", ("a",), ("https://x/y",)),
        ('FROM a\nADD ["git@x:y.git", "/y"]', ("a",), ("git@x:y.git",)),
        ("FROM a\nRUN curl https://x/y", ("a",), ()),
        ("", (), ()),
    ],
)
def test_images_and_downloads_are_read(
    text: str, images: tuple[str, ...], downloads: tuple[str, ...]
) -> None:
    sources = dockerfiles.outside_sources(text)
    assert (sources.images, sources.downloads) == (images, downloads)


def archive(files: Mapping[str, str]) -> bytes:
    output = io.BytesIO()
    with tarfile.open(fileobj=output, mode="w") as tar:
        folder = tarfile.TarInfo("./folder")
        folder.type = tarfile.DIRTYPE
        tar.addfile(folder)
        for name, text in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(text)
            tar.addfile(info, io.BytesIO(text.encode()))
    return output.getvalue()


def test_each_stage_of_a_build_gets_the_labels() -> None:
    text = "ARG A\nFROM a AS b\nRUN x\nfrom \\\n b\nCOPY y /y"
    context = archive({"./Dockerfile": text, "y": "content"})
    dockerfile, changed = dockerfiles.labelled_context(context, "Dockerfile", {"k": "v:1", "l": ""})
    assert dockerfile == text
    with tarfile.open(fileobj=io.BytesIO(changed)) as tar:
        texts = {member.name: tar.extractfile(member) for member in tar if member.isfile()}
        contents = {name: file.read().decode() for name, file in texts.items() if file}
    label = 'LABEL "k"="v:1" "l"=""'
    assert contents["./Dockerfile"].splitlines() == [
        *("ARG A", "FROM a AS b", label, "RUN x", "from \\", " b", label, "COPY y /y")
    ]
    assert contents["y"] == "content"


def test_build_without_a_dockerfile_has_no_text() -> None:
    assert dockerfiles.labelled_context(archive({"x": "y"}), "Dockerfile", {})[0] == ""
