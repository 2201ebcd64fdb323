from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from containers import recipe as recipes
from containers.recipe import Recipe
from verification.models.errors import WrongUse

DEBIAN = 'suite = "trixie"\npackages = ["python3", "python3-pip"]\n'


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a repository without any recipe."""
    folder = tmp_path / "repository"
    (folder / "containers" / "images").mkdir(parents=True)
    monkeypatch.setattr(recipes, "RECIPES", folder / "containers" / "images")
    return folder


def _write(root: Path, name: str, text: str = DEBIAN, **files: str) -> Recipe:
    folder = root / "containers" / "images" / name
    folder.mkdir(exist_ok=True)
    (folder / "recipe.toml").write_text(text)
    for file, content in files.items():
        (folder / file).write_text(content)
    return recipes.load(name)


def test_a_recipe_is_read_with_its_defaults(root: Path) -> None:
    assert _write(root, "debian") == Recipe(
        name="debian", suite="trixie", packages=("python3", "python3-pip"), python="3.13"
    )


def test_every_key_of_a_recipe_is_read(root: Path) -> None:
    text = 'base = "debian"\npython = "3.12"\ncopies = ["docs"]\nregistry = "a@sha256:0"\n'
    text += 'platforms = ["win_amd64"]\nos = "windows"\n'
    assert _write(root, "mine", text) == Recipe(
        name="mine",
        base="debian",
        python="3.12",
        copies=("docs",),
        registry="a@sha256:0",
        platforms=("win_amd64",),
        os="windows",
    )


def test_an_unknown_key_is_refused_with_the_keys_there_are(root: Path) -> None:
    with pytest.raises(
        WrongUse, match=r"debian/recipe.toml: pakages: unknown key; there are: arg.*, packages"
    ):
        _write(root, "debian", 'suite = "trixie"\npakages = []')


def test_an_unknown_name_is_answered_with_the_names_there_are(root: Path) -> None:
    _write(root, "two")
    _write(root, "one")
    with pytest.raises(WrongUse, match="no image is named 'three'; there are: one, two"):
        recipes.load("three")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("not toml", "recipe.toml is not TOML: "),
        ('python = "3.13"', "one of suite, registry and base is needed"),
        ('registry = "docker.example.invalid/debian:13"', "registry must pin a digest"),
        (
            'base = "debian"\nos = "macos"',
            "wrong/recipe.toml: os: Input should be 'linux' or 'windows'",
        ),
        ('base = "debian"\nsource = ["trixie"]', "source must be a suite and packages"),
        (
            'base = "debian"\nuses = ["debian"]',
            "wrong/recipe.toml: uses: Input should be a valid dictionary",
        ),
        (
            'base = "debian"\narguments = { A = 1 }',
            "wrong/recipe.toml: arguments.A: Input should be a valid string",
        ),
        ('base = "debian"\nlike = "other"', "like names other, which has no Dockerfile"),
    ],
)
def test_a_wrong_recipe_is_refused(root: Path, text: str, message: str) -> None:
    with pytest.raises(WrongUse, match=message):
        _write(root, "wrong", text)


@pytest.mark.parametrize("name", recipes.names())
def test_every_recipe_of_the_repository_can_be_read(name: str) -> None:
    found = recipes.load(name)
    assert found.name == name
    assert len(found.content_hash()) == 12


def test_what_a_recipe_copies_exists() -> None:
    root = recipes.RECIPES.parent.parent
    copied = [root / path for name in recipes.names() for path in recipes.load(name).copies]
    assert [path for path in copied if not path.exists()] == []


# ---- the content's hash ----

Change = Callable[[Path], object]


def _hashes(root: Path, change: Change) -> tuple[str, str]:
    """Return the hash of a recipe with a base, a copied folder and files, before and after."""
    _write(root, "base", Dockerfile="ARG BASE\n")
    (root / "shared").mkdir()
    (root / "shared" / "one.py").write_text("1")
    mine = _write(root, "mine", 'base = "base"\ncopies = ["shared"]\n', Dockerfile="FROM base\n")
    before = mine.content_hash()
    change(root)
    return before, recipes.load("mine").content_hash()


@pytest.mark.parametrize(
    "change",
    [
        lambda r: (r / "containers/images/mine/Dockerfile").write_text("FROM other\n"),
        lambda r: (r / "containers/images/mine/Dockerfile").chmod(0o755),
        lambda r: (r / "containers/images/mine/new").touch(),
        lambda r: (r / "containers/images/mine/recipe.toml").write_text('base = "base"\n'),
        lambda r: (r / "containers/images/base/Dockerfile").write_text("other"),
        lambda r: (r / "containers/images/base/recipe.toml").write_text(f"{DEBIAN}# more"),
        lambda r: (r / "shared/one.py").write_text("2"),
        lambda r: (r / "shared/one.py").rename(r / "shared/two.py"),
    ],
    ids=["file", "mode", "new-file", "recipe", "base", "bases-recipe", "copied", "renamed"],
)
def test_the_hash_changes_with_each_input(root: Path, change: Change) -> None:
    before, after = _hashes(root, change)
    assert before != after


def _add_bytecode(root: Path) -> None:
    for folder in (root / "shared", root / "containers" / "images" / "mine"):
        (folder / "__pycache__").mkdir()
        (folder / "__pycache__" / "one.pyc").write_text("x")


@pytest.mark.parametrize(
    "change", [_add_bytecode, lambda r: (r / "README.md").touch()], ids=["bytecode", "elsewhere"]
)
def test_the_hash_does_not_change_with_anything_else(root: Path, change: Change) -> None:
    before, after = _hashes(root, change)
    assert before == after


def test_the_hash_changes_with_the_form_of_images(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = _write(root, "mine")
    before = mine.content_hash()
    monkeypatch.setattr(recipes, "_FORMAT", b"another")
    assert mine.content_hash() != before


def test_the_tag_tells_the_recipe_and_its_hash(root: Path) -> None:
    mine = _write(root, "mine")
    assert mine.tag() == f"quiverdb-e2e/mine:{mine.content_hash()}"


def test_the_build_context_holds_own_and_copied_files_apart(root: Path) -> None:
    _hashes(root, lambda _: None)
    assert [name for name, _ in recipes.load("mine").files()] == [
        "Dockerfile",
        "recipe.toml",
        "copies/shared/one.py",
    ]


def test_a_single_file_can_be_copied(root: Path) -> None:
    (root / "lock.txt").write_text("x")
    mine = _write(root, "mine", f'{DEBIAN}copies = ["lock.txt"]\n')
    assert [name for name, _ in mine.files()] == ["recipe.toml", "copies/lock.txt"]


def test_a_recipe_that_is_like_another_has_its_dockerfile_and_its_own_files(root: Path) -> None:
    theirs = {"Dockerfile": "ARG BASE", "setup.sh": "one", "requirements.txt": "x==1"}
    _write(root, "first", **theirs)
    mine = _write(root, "second", f'{DEBIAN}like = "first"\n', **{"setup.sh": "two"})
    found = dict(mine.files())
    assert sorted(found) == ["Dockerfile", "recipe.toml", "setup.sh"]
    assert mine.has_dockerfile
    assert found["setup.sh"].read_text() == "two"
    assert found["recipe.toml"].parent.name == "second"
    before = mine.content_hash()
    _write(root, "first", Dockerfile="ARG OTHER")
    assert mine.content_hash() != before


def test_the_hash_changes_with_what_is_used_and_with_a_shared_lock(root: Path) -> None:
    (root / "lock.txt").write_text("x==1")
    _write(root, "used")
    text = 'base = "used"\nuses = { USED = "used" }\nlock = "lock.txt"\n'
    first = _write(root, "mine", text).content_hash()
    (root / "lock.txt").write_text("x==2")
    second = recipes.load("mine").content_hash()
    _write(root, "used", DEBIAN.replace("trixie", "sid"))
    assert len({first, second, recipes.load("mine").content_hash()}) == 3
