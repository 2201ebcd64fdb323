from __future__ import annotations

import dataclasses
import subprocess
import sys
import tomllib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest

from containers import recipe as recipes
from tests.helpers import documents
from tests.helpers.documents import Command
from tests.helpers.reference import Option
from verification.rules import catalogue as causes
from verification.scenarios import machines, profiles
from verification.subjects import subject

ROOT = Path(__file__).parents[2]
PAGES = documents.documents(ROOT)
IDS = [str(path.relative_to(ROOT)) for path in PAGES]
LOADERS: Mapping[str, Callable[[Path], object]] = {
    "machines.toml": machines.load,
    "profiles.toml": profiles.load,
    "subject.toml": subject.load,
    "causes.toml": causes.load,
}


@pytest.fixture(scope="module")
def takes() -> dict[str, list[Option]]:
    """Return what each command takes; pytest tells its own."""
    told = subprocess.run(
        [sys.executable, "-m", "pytest", "--help", "-p", "no:cacheprovider"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return documents.accepted_options(told.stdout)


# ---- the documents of this project ----


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_every_command_can_be_typed(page: Path, takes: dict[str, list[Option]]) -> None:
    text = page.read_text("utf-8")
    takes = {name: [_and_new(one, text) for one in options] for name, options in takes.items()}
    every = [*documents.commands(text), *documents.inline_commands(text)]
    wrong = [
        f"{page.relative_to(ROOT)}:{one.line}: {one.text}: {said}"
        for one in every
        if one.text.split()[0] == "./e2e"
        and (said := documents.usage_error(one.text, takes, free=("test",)))
    ]

    assert wrong == []


def _and_new(option: Option, text: str) -> Option:
    """Return ``option`` with the machines that a document has its reader write down."""
    if "--machine" not in option.names:
        return option
    blocks = [
        one for one in documents.blocks(text) if "machines.toml" in one.settings.get("file", "")
    ]
    new = [name for block in blocks for name in tomllib.loads(block.text)]
    return dataclasses.replace(option, choices=(*option.choices, *new))


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_every_link_leads_somewhere(page: Path) -> None:
    assert documents.dead_links(page, ROOT) == []


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_every_snippet_is_one(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocks = documents.blocks(page.read_text("utf-8"))
    files = {
        block: tmp_path / block.settings["file"] for block in blocks if "file" in block.settings
    }
    for block, path in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(block.text, "utf-8")
    for block in blocks:
        path = files.get(block, Path())
        if block.language == "python":
            compile(block.text, f"{page}:{block.line}", "exec")
        if block.language == "toml":
            tomllib.loads(block.text)
        if path.name in LOADERS:
            assert LOADERS[path.name](path)
        if path.name == "recipe.toml":
            monkeypatch.setattr(recipes, "RECIPES", path.parent.parent)
            assert recipes.load(path.parent.name).name == path.parent.name


def test_every_document_is_reached_from_the_first() -> None:
    reached, waiting = set[Path](), [ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        reached.add(page)
        for target in documents.links(page.read_text("utf-8")):
            place = (page.parent / target.partition("#")[0]).resolve()
            if place.suffix == ".md" and place.is_file() and place not in reached:
                waiting.append(place)

    assert [name for name, page in zip(IDS, PAGES, strict=True) if page not in reached] == []


# ---- what is read ----

PAGE = """\
# A page

Say `./e2e doctor` or `./e2e gate --profile full`; not `pip`.

```console exit=1,5
$ ./e2e gate --release 1.0   # a remark
it ... fails
$ echo 'one  # no remark' \\
    two
```

   ```toml file=a/b.toml
   key = "$ no command"
   ```

````text
```console
$ ./e2e clean
```
````
"""


def test_commands_have_their_line_their_codes_and_their_output() -> None:
    assert documents.commands(PAGE) == [
        Command(6, "./e2e gate --release 1.0", (1, 5), ("it ... fails",)),
        Command(8, "echo 'one  # no remark' two", (1, 5)),
    ]


def test_a_block_has_its_file_and_loses_its_indent() -> None:
    (block,) = (one for one in documents.blocks(PAGE) if one.language == "toml")

    assert block.settings == {"file": "a/b.toml"}
    assert block.text == 'key = "$ no command"\n'


def test_commands_of_the_running_text_are_found_and_those_of_blocks_are_not() -> None:
    found = [(one.line, one.text) for one in documents.inline_commands(PAGE)]

    assert found == [(3, "./e2e doctor"), (3, "./e2e gate --profile full")]


@pytest.mark.parametrize(
    ("text", "said"),
    [("```console\n$ x\n", "line 1: the block is not closed"), ("\n```sh exit\n```\n", "'exit'")],
)
def test_a_block_that_is_wrong_is_refused(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        documents.blocks(text)


@pytest.mark.parametrize(
    ("expected", "missing"),
    [
        (("a b",), []),
        (("a ... d",), []),
        (("b  c",), []),
        (("d ... a", "e"), ["d ... a", "e"]),
        (("a.c",), ["a.c"]),
    ],
)
def test_output_is_compared_but_for_blanks(expected: Sequence[str], missing: list[str]) -> None:
    assert documents.missing_output(expected, "a  b\nc d\n") == missing


# ---- what is wrong is caught, by name ----


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("./e2e gate --machine debian-13 -k 'pip and venv' -n0 --strict", ""),
        ("./e2e gate --profile=full --release VERSION", ""),
        ("./e2e test tests/unit -q --collect-only", ""),
        ("./e2e compare --list", ""),
        ("./e2e compare 3 report/results.json", ""),
        ("./e2e clean", ""),
        ("./e2e --help", ""),
        ("./e2e gate [--release V | --wheels DIR]", ""),
        ("./e2e verify", "there is no command 'verify'"),
        ("./e2e gate --machines debian-13", "there is no option '--machines'"),
        ("./e2e gate --machine debian-99", "there is no 'debian-99'"),
        ("./e2e gate --profile=nightly", "there is no 'nightly'"),
        ("./e2e gate --release", "lacks its value"),
        ("./e2e gate --no-pipeline=yes", "takes no value"),
        ("./e2e gate debian-13", "one too many"),
        ("./e2e compare --lists", "there is no option '--lists'"),
        ("./e2e clean all", "one too many"),
        ("./e2e gate -k 'pip", "No closing quotation"),
    ],
)
def test_words_that_no_command_takes_are_named(
    takes: dict[str, list[Option]], text: str, said: str
) -> None:
    found = documents.usage_error(text, takes, free=("test",))

    assert said in found
    assert bool(said) == bool(found), found


def test_a_dead_link_is_named(tmp_path: Path) -> None:
    (tmp_path / "other.md").write_text("# One `thing`\n\n## Two, three\n\n## Two, three\n")
    page = tmp_path / "page.md"
    page.write_text(
        "[a](other.md) [b](other.md#one-thing) [c](other.md#two-three-1) [d](#here)\n"
        "[e](absent.md)\n[f](other.md#four)\n[g](../outside.md) [h](https://example.org/x)\n"
        "`[i](absent.md)`\n\n# Here\n"
    )

    assert documents.dead_links(page, tmp_path) == [
        "line 2: absent.md: there is no such file",
        "line 3: other.md#four: there is no such heading",
        "line 4: ../outside.md: there is no such file",
    ]
