"""The documents are followed word for word, in a project of a reader's own.

Each command runs as it stands, and must end and print as its document says. What cannot run so is
in docs.toml, with the reason.
"""

from __future__ import annotations

import dataclasses
import os
import re
import shutil
import signal
import subprocess
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from containers import engine
from containers.engine import Engine
from containers.recipe import REPOSITORY
from tests.helpers import documents
from tests.helpers.documents import Block, Command
from verification.models import evidence

ROOT = Path(__file__).parents[2]
ADDRESS = "https://github.com/OWNER/quiverdb-e2e"  # as the tutorial has it
PAGES = [path for path in documents.documents(ROOT) if documents.commands(path.read_text("utf-8"))]
SECONDS = 900
pytestmark = pytest.mark.xdist_group("documents")  # one reader reads them all, in order


@dataclasses.dataclass(frozen=True)
class Instead:
    """What is run in place of a command; nothing, if ``run`` is empty."""

    command: str
    because: str
    run: str = ""


def _instead() -> dict[str, Instead]:
    told = tomllib.loads(Path(__file__).with_name("docs.toml").read_text("utf-8"))
    found = [Instead(**one) for one in told["instead"]]
    return {one.command: one for one in found}


class Reader:
    """Does what the documents say, in a clone of this project as it lies here."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.origin = home / "origin"
        self.clone = home / "quiverdb-e2e"
        self.instead = _instead()
        self.known: dict[str, tuple[int, str]] = {}
        """How the commands ended that ran in the unchanged project."""
        self._publish()

    def follow(self, text: str, name: str) -> list[str]:
        """Follow a document; return in what it is wrong, up to the first command that is."""
        where, changed = self.clone, False
        if ADDRESS in text or not self.clone.exists():
            shutil.rmtree(self.clone, ignore_errors=True)
            self._run(f"git clone {ADDRESS}", self.home)
            (self.clone / ".tox").symlink_to(os.environ.get("TOX_WORK_DIR") or ROOT / ".tox")
            (self.clone / ".git" / "info" / "exclude").write_text(".tox\n")
        self._git(self.clone, "reset", "--quiet", "--hard")
        self._git(self.clone, "clean", "--quiet", "--force", "-d")
        for block in documents.blocks(text):
            if "file" in block.settings or block.language == "diff":
                changed = True
                if wrong := self._change(block):
                    return [f"{name}:{block.line}: {wrong}"]
            for command in documents.commands_of(block):
                if command.text.startswith("cd "):
                    continue  # into the clone, where we are
                if wrong := self._do(command, where, changed=changed):
                    return [f"{name}:{command.line}: {command.text}: {wrong}"]
        return []

    def _do(self, command: Command, where: Path, *, changed: bool) -> str:
        other = self.instead.get(command.text)
        text = other.run if other else command.text
        if not text or ADDRESS in text:
            return ""
        if changed or text not in self.known:
            ended = self._run(text, where)
            if not changed:
                self.known[text] = ended
        else:
            ended = self.known[text]
        code, printed = ended
        if code not in command.codes:
            allowed = " or ".join(map(str, command.codes))
            return f"it ended with {code}, and the page says {allowed}\n{printed[-3000:]}"
        if not other and (missing := documents.missing_output(command.output, printed)):
            return f"it did not print {missing[0]!r}\n{printed[-3000:]}"
        return ""

    def _change(self, block: Block) -> str:
        if block.language == "diff":
            done = subprocess.run(
                ["git", "apply", "--recount", "--unidiff-zero", "-C1", "-"],
                cwd=self.clone,
                input=block.text,
                capture_output=True,
                text=True,
                check=False,
            )
            return f"the change does not fit: {done.stderr.strip()}" if done.returncode else ""
        path = self.clone / block.settings["file"]
        path.parent.mkdir(parents=True, exist_ok=True)
        before = f"{path.read_text('utf-8')}\n" if path.exists() else ""
        path.write_text(before + block.text, "utf-8")
        return ""

    def _run(self, text: str, where: Path) -> tuple[int, str]:
        printed = ""
        process = subprocess.Popen(
            ["bash", "-c", text],
            cwd=where,
            env=self._environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,
        )
        try:
            printed, _ = process.communicate(timeout=SECONDS)
        except subprocess.TimeoutExpired:
            printed = f"\nit was ended after {SECONDS} s"
        finally:
            if process.poll() is None:  # it takes down what it started, and is given the time
                os.killpg(process.pid, signal.SIGINT)
                printed = process.communicate()[0] + printed
        return process.returncode, re.sub(r"\x1b\[[0-9;]*m", "", printed)

    def _environment(self) -> dict[str, str]:
        """Return a reader's environment: this one without what belongs to the run we are in."""
        foreign = ("PYTEST_", "TOX_", "VIRTUAL_ENV", "PYTHON", "GITHUB_", "CI", "QUIVERDB_E2E_F")
        kept = {key: value for key, value in os.environ.items() if not key.startswith(foreign)}
        inside = os.environ.get("VIRTUAL_ENV", "") + "/bin"
        kept["PATH"] = ":".join(one for one in kept["PATH"].split(":") if one != inside)
        address = f"url.{self.origin}.insteadOf"
        return kept | {
            "QUIVERDB_E2E_HISTORY": str(self.home / "history.sqlite3"),
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": address,
            "GIT_CONFIG_VALUE_0": ADDRESS,
            **{
                f"GIT_{who}_{what}": value
                for who in ("AUTHOR", "COMMITTER")
                for what, value in (("NAME", "A reader"), ("EMAIL", "reader@example.org"))
            },
            "COLUMNS": "200",
        }

    def _publish(self) -> None:
        """Make a repository of this project as it lies here, uncommitted changes included."""
        self._git(self.home, "clone", "--quiet", "--no-local", "--no-tags", str(ROOT), "origin")
        listed = ("ls-files", "-z", "--modified", "--others", "--exclude-standard")
        for name in filter(None, self._git(ROOT, *listed).split("\0")):
            here, there = ROOT / name, self.origin / name
            if here.is_file():
                there.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(here, there)
            elif there.exists():
                there.unlink()
        self._git(self.origin, "add", "--all")
        self._git(self.origin, "commit", "--quiet", "--allow-empty", "--message", "As it lies here")
        self._git(self.origin, "checkout", "--quiet", "-B", "published")

    def _git(self, folder: Path, *words: str) -> str:
        done = subprocess.run(
            ["git", *words],
            cwd=folder,
            env=self._environment(),
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout


@pytest.fixture(scope="module")
def found() -> Engine:
    return engine.ensure()


@pytest.fixture(scope="module")
def reader(container_engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    client = container_engine.client()
    before = {tag for image in client.images.list(f"{REPOSITORY}/*") for tag in image.tags}
    yield Reader(tmp_path_factory.mktemp("reader"))
    mine = {block.settings["file"] for page in PAGES for block in documents.blocks(page.read_text())
            if "file" in block.settings}  # fmt: skip
    names = {Path(name).parent.name for name in mine if name.endswith("recipe.toml")}
    for image in client.images.list(f"{REPOSITORY}/*"):
        for tag in set(image.tags) - before:
            if tag.removeprefix(f"{REPOSITORY}/").partition(":")[0] in names:
                client.images.remove(tag, force=True)
    client.close()


FIRST = PAGES[0]
"""The tutorial. It is followed in every run of the tests; the others in the night, after it again,
since a reader of theirs has been there: `./e2e compare` needs a run to compare with."""


@pytest.mark.parametrize(
    "page",
    [
        pytest.param(FIRST, id=str(FIRST.relative_to(ROOT))),
        *(
            pytest.param(
                page,
                id=f"{page.relative_to(ROOT)}{' first' if page == FIRST else ''}",
                marks=pytest.mark.long,
            )
            for page in PAGES
        ),
    ],
)
def test_every_command_does_what_its_document_says(reader: Reader, page: Path) -> None:
    wrong = reader.follow(page.read_text("utf-8"), str(page.relative_to(ROOT)))

    assert not wrong, "\n".join(wrong)


def test_the_evidence_of_a_cell_is_what_the_reference_tells(reader: Reader) -> None:
    files = sorted((reader.clone / "report" / "evidence").glob("*.json"))

    assert files, "following the documents left a report"
    for file in files:
        assert evidence.read_evidence(file).cell.id


def test_no_exception_is_made_for_a_command_that_no_document_has() -> None:
    every = {
        command.text for page in PAGES for command in documents.commands(page.read_text("utf-8"))
    }

    assert _instead().keys() - every == set()
    assert all(one.because for one in _instead().values())


# ---- what a document may have wrong ----

WRONG = {
    "an exit code": (("console", "$ ./e2e gate --machine debian-99"), "it ended with 4"),
    "an exit code that is stated": (
        ("console exit=1", "$ ./e2e gate --machine debian-99"),
        "it ended with 4, and the page says 1",
    ),
    "output": (
        ("console exit=4", "$ ./e2e gate --machine debian-99", "verified"),
        "it did not print 'verified'",
    ),
    "an option": (("console", "$ ./e2e gate --machines debian-13"), "it ended with 4"),
    "a command": (("console", "$ ./e2e verify"), "there is no command 'verify'"),
    "a change": (
        ("diff", "--- a/README.md", "+++ b/README.md", "@@ -1,1 +1,1 @@", "-# Other", "+# New"),
        "the change does not fit",
    ),
}


@pytest.mark.parametrize("planted", WRONG)
def test_a_document_that_is_wrong_is_caught(reader: Reader, planted: str) -> None:
    (info, *lines), said = WRONG[planted]
    (told,) = reader.follow(_page(info, lines), "planted.md")

    assert told.startswith("planted.md:4: ")
    assert said in told


def _page(info: str, lines: Sequence[str]) -> str:
    return "\n".join(("# Planted", "", f"```{info}", *lines, "```", ""))
