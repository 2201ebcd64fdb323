"""A recipe: how an image is built, and the hash of all inputs that decide the image's content.

A recipe is a folder ``images/<name>/`` with a ``recipe.toml``. Most recipes also have a
``Dockerfile`` and the files that it copies.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from verification.models.base import DataError, Model, load_toml, validate
from verification.models.errors import WrongUse

RECIPES = Path(__file__).parent / "images"
REPOSITORY = "quiverdb-e2e"
_FORMAT = b"1"
"""Raised when `images` makes another image of the same recipe."""
# What a recipe never takes from the one that it is like.
_OWN = ("recipe.toml", "requirements.in", "requirements.txt")
# What pip may install on our Debian images: any wheel for a glibc not newer than theirs.
LINUX_PLATFORMS = (
    *(f"manylinux_2_{minor}_x86_64" for minor in (28, 27, 26, 24, 17, 12, 5)),
    "manylinux2014_x86_64",
    "manylinux2010_x86_64",
    "manylinux1_x86_64",
)
# And on Alpine and the like, whose C library is musl.
MUSL_PLATFORMS = ("musllinux_1_2_x86_64", "musllinux_1_1_x86_64")


class Recipe(Model):
    """How an image is made: from Debian packages, from a registry or upon another recipe."""

    name: str
    suite: str | None = None
    """The Debian suite whose packages make it."""
    packages: tuple[str, ...] = ()
    registry: str | None = None
    """An image of a registry, with its digest (name@sha256:...)."""
    base: str | None = None
    """Another recipe to build upon."""
    python: str = "3.13"
    """The version of Python for which the wheels of ``requirements.txt`` are downloaded."""
    platforms: tuple[str, ...] = LINUX_PLATFORMS
    """The platform tags for which these wheels are downloaded."""
    copies: tuple[str, ...] = ()
    """Folders or files, relative to the repository's root, that the Dockerfile copies as well."""
    os: Literal["linux", "windows"] = "linux"
    """The kind of containers that the engine must run."""
    lock: str | None = None
    """A file, relative to the repository's root, in place of ``requirements.txt``."""
    source: tuple[str, ...] = ()
    """A Debian suite and source packages of it. Their files are in ``source/`` of the context."""
    source_else: tuple[str, ...] = ()
    """Suites to take a source package from where the archive does not hold that suite's."""
    uses: Mapping[str, str] = Field(default_factory=dict)
    """The recipes whose images the Dockerfile copies from, by the build argument with their tag."""
    like: str | None = None
    """A recipe whose Dockerfile and files are used, each unless this one has one of that name."""
    arguments: Mapping[str, str] = Field(default_factory=dict)
    """Further build arguments."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not (self.suite or self.registry or self.base):
            raise ValueError("one of suite, registry and base is needed")
        if self.registry and "@sha256:" not in self.registry:
            raise ValueError("registry must pin a digest (name@sha256:...)")
        if len(self.source) == 1:
            raise ValueError("source must be a suite and packages: ['trixie', 'python3.13']")
        if self.like and not (RECIPES / self.like / "Dockerfile").is_file():
            raise ValueError(f"like names {self.like}, which has no Dockerfile")
        if self.lock and not self.requirements.is_file():
            raise ValueError(f"lock names {self.lock}, and there is no such file")
        return self

    @property
    def folder(self) -> Path:
        """The folder that holds the recipe, its Dockerfile and the files it copies."""
        return RECIPES / self.name

    @property
    def requirements(self) -> Path:
        """The file that lists the wheels to download; it need not exist."""
        return RECIPES.parent.parent / self.lock if self.lock else self.folder / "requirements.txt"

    @property
    def has_dockerfile(self) -> bool:
        """True if anything is done to the image that it is made from."""
        return any(name == "Dockerfile" for name, _ in self.files())

    def files(self) -> Iterator[tuple[str, Path]]:
        """Yield the name within the build context and the path of each file of the context."""
        found: dict[str, Path] = {}
        if self.like:
            other = RECIPES / self.like
            found = {str(p.relative_to(other)): p for p in _walk(other) if p.name not in _OWN}
        found |= {str(path.relative_to(self.folder)): path for path in _walk(self.folder)}
        yield from sorted(found.items(), key=lambda file: Path(file[0]))
        root = RECIPES.parent.parent
        for name in self.copies:
            for path in _walk(root / name):
                yield f"copies/{path.relative_to(root)}", path

    def needs(self) -> list[str]:
        """Return the names of the recipes whose images must exist first."""
        return [*filter(None, (self.base,)), *self.uses.values()]

    def content_hash(self) -> str:
        """Return the hash of all that decides what the image contains, 12 hexadecimal digits."""
        digest = hashlib.sha256(_FORMAT)
        for name in self.needs():
            digest.update(load(name).content_hash().encode())
        if self.lock:
            digest.update(self.requirements.read_bytes())
        for name, path in self.files():
            digest.update(f"\0{name}\0{path.stat().st_mode & 0o111:o}\0".encode())
            digest.update(path.read_bytes())
        return digest.hexdigest()[:12]

    def tag(self) -> str:
        """Return the name under which the engine keeps the image of this recipe as it is now."""
        return f"{REPOSITORY}/{self.name}:{self.content_hash()}"


def names() -> list[str]:
    """Return the names of all recipes."""
    return sorted(path.parent.name for path in RECIPES.glob("*/recipe.toml"))


def load(name: str) -> Recipe:
    """Read one recipe.

    Raises:
        WrongUse: there is none of that name, or its file does not fit the model.
    """
    path = RECIPES / name / "recipe.toml"
    if not path.is_file():
        raise WrongUse(f"no image is named {name!r}; there are: {', '.join(names())}")
    try:
        return validate(
            Recipe, {"name": name, **load_toml(path)}, f"{name}/{path.name}", supplied="name"
        )
    except DataError as error:
        raise WrongUse(str(error)) from None


def _walk(top: Path) -> list[Path]:
    if top.is_file():
        return [top]
    return sorted(
        path for path in top.rglob("*") if path.is_file() and "__pycache__" not in path.parts
    )
