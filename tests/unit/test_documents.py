"""The documents: each command can be typed, each link has a target, each snippet is valid."""

from __future__ import annotations

import argparse
import re
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from containers import recipe as recipes
from tests.helpers import documents
from tests.helpers.documents import Block, Command
from verification.rules import catalogue as causes
from verification.scenarios import machines, profiles
from verification.subjects import subject

ROOT = Path(__file__).parents[2]
PAGES = documents.documents(ROOT)
LOADERS: Mapping[str, Callable[[Path], object]] = {
    "machines.toml": machines.load,
    "profiles.toml": profiles.load,
    "subject.toml": subject.load,
    "causes.toml": causes.load,
    "recipe.toml": lambda path: recipes.load(path.parent.name),
}


@pytest.fixture
def pytest_parser(pytestconfig: pytest.Config) -> argparse.ArgumentParser:
    """Return the parser of pytest's options, with the options that `tests/faults` adds."""
    parser = pytestconfig._parser.optparser
    conftest = (ROOT / "tests" / "faults" / "conftest.py").read_text("utf-8")
    for option in re.findall(r'addoption\(\s*"(--[\w-]+)"', conftest):
        if option not in parser._option_string_actions:
            parser.add_argument(option, action="store_true")
    return parser


# ---- the documents of this project ----


def test_all_commands_can_be_typed(pytest_parser: argparse.ArgumentParser) -> None:
    errors = []
    for page in PAGES:
        text = page.read_text("utf-8")
        new_machines = [
            name
            for block in documents.blocks(text)
            if "machines.toml" in block.settings.get("file", "")
            for name in tomllib.loads(block.text)
        ]
        for command in [*documents.commands(text), *documents.inline_commands(text)]:
            if command.text.split()[0] == "./e2e":
                error = documents.usage_error(command.text, pytest_parser, new_machines)
                errors += [f"{page}:{command.line}: {command.text}: {error}"] if error else []
    assert errors == []


def test_all_links_have_a_target() -> None:
    dead = {page: documents.dead_links(page, ROOT) for page in PAGES}
    assert {page: targets for page, targets in dead.items() if targets} == {}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_all_snippets_are_valid(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files: dict[Path, Block] = {}
    for block in documents.blocks(page.read_text("utf-8")):
        if block.language == "python":
            compile(block.text, f"{page}:{block.line}", "exec")
        if block.language == "toml":
            tomllib.loads(block.text)
        if "file" in block.settings:
            files[tmp_path / block.settings["file"]] = block
    for path, block in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(block.text, "utf-8")
    for path in files:
        monkeypatch.setattr(recipes, "RECIPES", path.parent.parent)
        assert LOADERS.get(path.name, bool)(path)


def test_all_documents_are_linked_from_the_readme() -> None:
    linked, waiting = set[Path](), [ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        linked.add(page)
        for _, target in documents.links(page.read_text("utf-8")):
            path = (page.parent / target.partition("#")[0]).resolve()
            if path.suffix == ".md" and path.is_file() and path not in linked:
                waiting.append(path)

    assert set(PAGES) - linked == set()


# ---- the reader of documents ----

PAGE = """\
# A page

Run `./e2e doctor` or `./e2e gate --profile full`; not `pip`.

```console exit=1,5
$ ./e2e gate --release 1.0   # a remark
it ... fails
$ echo 'one  # no remark'
```

   ```toml file=a/b.toml
   key = "$ no command"
   ```

````text
```console
$ ./e2e clean
```
````
`./e2e lint`
"""


def test_blocks_and_commands_are_read() -> None:
    assert documents.commands(PAGE) == [
        Command(6, "./e2e gate --release 1.0", (1, 5), ("it ... fails",)),
        Command(8, "echo 'one  # no remark'", (1, 5)),
    ]
    assert [(command.line, command.text) for command in documents.inline_commands(PAGE)] == [
        (3, "./e2e doctor"),
        (3, "./e2e gate --profile full"),
        (20, "./e2e lint"),
    ]
    (block,) = (item for item in documents.blocks(PAGE) if item.language == "toml")
    assert block.settings == {"file": "a/b.toml"}
    assert block.text == 'key = "$ no command"\n'


@pytest.mark.parametrize("text", ["```console\n$ x\n", "\n```sh exit\n```\n"])
def test_an_invalid_block_is_an_error(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  (a document of this project, not user input)
        documents.blocks(text)


@pytest.mark.parametrize("line", ["d ... a", "e", "a.c"])
def test_output_is_compared_without_white_space(line: str) -> None:
    expected = ("a b", "a ... d", "b  c", line)
    assert documents.missing_output(expected, "a  b\nc d\n") == [line]


VALID = (
    "./e2e gate --machine debian-13 -k 'pip and venv' -n0 --strict",
    "./e2e gate --machine NAME --release VERSION -W error --numprocesses=N",
    "./e2e gate [--release V | --wheels DIR]",
    "./e2e shell",
    "./e2e test -q tests/unit --collect-only",
    "./e2e compare 3 report/results.json",
    "./e2e --help",
)
"""Correct commands, also with placeholders or without their arguments."""


def test_a_correct_command_has_no_error(pytest_parser: argparse.ArgumentParser) -> None:
    errors = [documents.usage_error(text, pytest_parser) for text in VALID]
    assert errors == [""] * len(VALID)


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("./e2e verify", "verify"),
        ("./e2e gate --machines debian-13", "--machines"),
        ("./e2e gate --machine debian-99", "debian-99"),
        ("./e2e gate --release", "--release"),
        ("./e2e gate --no-pipeline=yes", "--no-pipeline"),
        ("./e2e gate debian-13", "debian-13"),
        ("./e2e compare --lists", "--lists"),
        ("./e2e clean all", "all"),
        ("./e2e gate -k 'pip", "quotation"),
    ],
)
def test_a_wrong_word_in_a_command_is_named(
    pytest_parser: argparse.ArgumentParser, text: str, word: str
) -> None:
    assert word in documents.usage_error(text, pytest_parser)


def test_a_dead_link_is_reported_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "other.md").write_text("# One `thing`\n\n## Two, three\n\n## Two, three\n")
    page = tmp_path / "page.md"
    page.write_text(
        "[a](other.md) [b](other.md#one-thing) [c](other.md#two-three-1) [d](#here)\n"
        "[e](absent.md)\n[f](other.md#four)\n[g](../outside.md) [h](https://example.org/x)\n"
        "`[i](absent.md)`\n\n# Here\n"
    )

    assert documents.dead_links(page, tmp_path) == [
        (2, "absent.md"),
        (3, "other.md#four"),
        (4, "../outside.md"),
    ]
