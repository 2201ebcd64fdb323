"""Read what a Dockerfile needs from outside: images, and files that the engine would download.

The syntax is that of the engine's builder (Docker's "Dockerfile reference").
"""

from __future__ import annotations

import io
import posixpath
import re
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import IO

_CONTINUED = re.compile(r"\\[ \t]*\n")
_COMMENT = re.compile(r"^[ \t]*#.*\n?", re.MULTILINE)
_VARIABLE = re.compile(r"\$(?:\{(\w+)(?::[-+]([^}]*))?\}|(\w+))")
_DOWNLOAD = re.compile(r"(?:https?|git|ssh)://|git@")


@dataclass(frozen=True)
class OutsideSources:
    """The images that a Dockerfile names, and the addresses of its ADD instructions."""

    images: tuple[str, ...]
    downloads: tuple[str, ...]


def outside_sources(text: str) -> OutsideSources:
    """Return what a Dockerfile needs from outside of its folder."""
    arguments: dict[str, str] = {}
    stages: set[str] = set()
    images: dict[str, None] = {}
    downloads: dict[str, None] = {}
    for instruction, words in _instructions(text):
        match instruction:
            case "ARG":
                # Arguments of the build come only from act, which sets none.
                for word in words:
                    name, _, value = word.partition("=")
                    arguments.setdefault(name, _expand(value, arguments))
            case "FROM":
                image, *rest = [word for word in words if not word.startswith("--")] or [""]
                image = _expand(image, arguments)
                if image.lower() not in {*stages, "scratch"}:
                    images[image] = None
                if len(rest) == 2:
                    stages.add(rest[1].lower())
            case "COPY" | "ADD":
                for word in words:
                    name = _expand(word.removeprefix("--from=").strip("[],"), arguments)
                    is_source = word.startswith("--from=")
                    if is_source and name.lower() not in stages and not name.isdigit():
                        images[name] = None
                    if instruction == "ADD" and _DOWNLOAD.match(name):
                        downloads[name] = None
    return OutsideSources(tuple(images), tuple(downloads))


def labelled_context(context: bytes, name: str, labels: Mapping[str, str]) -> tuple[str, bytes]:
    """Return the Dockerfile of a build and the archive in which it sets ``labels``.

    ``context`` is the archive, and ``name`` the name of the Dockerfile in it. The labels are set at
    the start of each stage, so that all images of a build that ends early have them.
    """
    text, output = "", io.BytesIO()
    with (
        tarfile.open(fileobj=io.BytesIO(context)) as tar,
        tarfile.open(fileobj=output, mode="w") as changed,
    ):
        for member in tar:
            file: IO[bytes] | None = tar.extractfile(member) if member.isfile() else None
            if file and posixpath.normpath(member.name) == posixpath.normpath(name):
                text = file.read().decode("utf-8", "replace")
                content = _with_labels(text, labels).encode()
                member.size = len(content)
                file = io.BytesIO(content)
            changed.addfile(member, file)
    return text, output.getvalue()


def _with_labels(text: str, labels: Mapping[str, str]) -> str:
    label = "LABEL " + " ".join(f'"{name}"="{value}"' for name, value in labels.items())
    lines = []
    in_from = False
    for line in text.splitlines():
        lines.append(line)
        in_from = in_from or line.upper().split(maxsplit=1)[:1] == ["FROM"]
        if in_from and not line.rstrip().endswith("\\"):
            lines.append(label)
            in_from = False
    return "\n".join([*lines, ""])


def _instructions(text: str) -> Iterator[tuple[str, list[str]]]:
    lines = _CONTINUED.sub(" ", _COMMENT.sub("", text.replace("\r\n", "\n")))
    for line in lines.splitlines():
        if words := line.split():
            yield words[0].upper(), words[1:]


def _expand(word: str, arguments: Mapping[str, str]) -> str:
    """Return a word with the values of its arguments."""
    return _VARIABLE.sub(
        lambda match: arguments.get(match[1] or match[3]) or match[2] or "", word
    ).strip("\"'")
