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
                    arguments.setdefault(name, value.strip("\"'"))
            case "FROM":
                image, *rest = [word for word in words if not word.startswith("--")] or [""]
                image = _expand(image, arguments)
                if image.lower() not in {*stages, "scratch"}:
                    images[image] = None
                if len(rest) == 2:
                    stages.add(rest[1].lower())
            case "COPY" | "ADD":
                for word in words:
                    name = _expand(word.removeprefix("--from="), arguments)
                    is_source = word.startswith("--from=")
                    if is_source and name.lower() not in stages and not name.isdigit():
                        images[name] = None
                    if instruction == "ADD" and _DOWNLOAD.match(name.strip("[\"',")):
                        downloads[name] = None
    return OutsideSources(tuple(images), tuple(downloads))


def dockerfile_of(context: bytes, name: str) -> str:
    """Return the text of the Dockerfile in the archive of a build. Empty if it has none."""
    with tarfile.open(fileobj=io.BytesIO(context)) as tar:
        for member in tar:
            if posixpath.normpath(member.name) == posixpath.normpath(name):
                file = tar.extractfile(member)
                return file.read().decode("utf-8", "replace") if file else ""
    return ""


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
