"""Every command of the documents runs in a clone of this project, as a reader types it.

Each command must have the exit code and the output of its document. docs.toml has the commands that
are replaced, with the reason.
"""

from __future__ import annotations

import dataclasses
import os
import re
import shutil
import signal
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, NamedTuple

import pytest

from containers.engine import Engine
from containers.recipe import REPOSITORY
from tests.helpers import documents
from tests.helpers.documents import Block, Command
from verification.models import evidence

ROOT = Path(__file__).parents[2]
ADDRESS = "https://github.com/OWNER/quiverdb-e2e"  # in the tutorial
PAGES = [path for path in documents.documents(ROOT) if documents.commands(path.read_text("utf-8"))]
SECONDS = 900


@dataclasses.dataclass(frozen=True)
class Replacement:
    """The command ``run`` runs in place of ``command``. If ``run`` is empty, nothing runs."""

    command: str
    reason: str
    run: str = ""


def _replacements() -> dict[str, Replacement]:
    data = tomllib.loads(Path(__file__).with_name("docs.toml").read_text("utf-8"))
    replacements = [Replacement(**table) for table in data["replacements"]]
    return {replacement.command: replacement for replacement in replacements}


class DocumentFault(NamedTuple):
    """A statement of a document that is not true."""

    document: str
    line: int
    kind: Literal["exit-code", "output", "change"]
    expected: str
    actual: str


class Reader:
    """Follows documents in a clone of this project, with its uncommitted changes."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.origin = home / "origin"
        self.clone = home / "quiverdb-e2e"
        self.replacements = _replacements()
        self.finished: dict[str, tuple[int, str]] = {}
        """Exit code and output of each command that ran in the unchanged project, by command."""
        self._publish()

    def follow(self, text: str, name: str) -> DocumentFault | None:
        """Follow a document up to its first fault, and return the fault."""
        changed = False
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
                if conflict := self._change(block):
                    return DocumentFault(name, block.line, "change", "applies", conflict)
            for command in documents.commands_of(block):
                if command.text.startswith("cd "):
                    continue  # the commands run in the clone
                if fault := self._check(command, name, changed=changed):
                    return fault
        return None

    def _check(self, command: Command, name: str, *, changed: bool) -> DocumentFault | None:
        """Run a command, or use the result of an earlier run in the unchanged project."""
        replacement = self.replacements.get(command.text)
        text = replacement.run if replacement else command.text
        if not text or ADDRESS in text:
            return None
        if changed:
            code, output = self._run(text, self.clone)
        else:
            if text not in self.finished:
                self.finished[text] = self._run(text, self.clone)
            code, output = self.finished[text]
        if code not in command.codes:
            codes = " or ".join(map(str, command.codes))
            actual = f"{code}\n{output[-3000:]}"
            return DocumentFault(name, command.line, "exit-code", codes, actual)
        missing = documents.missing_output(command.output, output)
        if missing and not replacement:
            return DocumentFault(name, command.line, "output", missing[0], output[-3000:])
        return None

    def _change(self, block: Block) -> str:
        """Apply a change of a file. Return the message of git if it does not apply."""
        if block.language == "diff":
            process = subprocess.run(
                ["git", "apply", "--recount", "--unidiff-zero", "-C1", "-"],
                cwd=self.clone,
                input=block.text,
                capture_output=True,
                text=True,
                check=False,
            )
            return process.stderr.strip() or "failed" if process.returncode else ""
        path = self.clone / block.settings["file"]
        path.parent.mkdir(parents=True, exist_ok=True)
        before = f"{path.read_text('utf-8')}\n" if path.exists() else ""
        path.write_text(before + block.text, "utf-8")
        return ""

    def _run(self, text: str, folder: Path) -> tuple[int, str]:
        output = ""
        process = subprocess.Popen(
            ["bash", "-c", text],
            cwd=folder,
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
            output, _ = process.communicate(timeout=SECONDS)
        except subprocess.TimeoutExpired:
            output = f"\nstopped after {SECONDS} s"
        finally:
            if process.poll() is None:  # it needs time to remove its objects
                os.killpg(process.pid, signal.SIGINT)
                output = process.communicate()[0] + output
        return process.returncode, re.sub(r"\x1b\[[0-9;]*m", "", output)

    def _environment(self) -> dict[str, str]:
        """Return the environment variables of this process without those of the test run."""
        foreign = ("PYTEST_", "TOX_", "VIRTUAL_ENV", "PYTHON", "GITHUB_", "CI", "QUIVERDB_E2E_F")
        kept = {key: value for key, value in os.environ.items() if not key.startswith(foreign)}
        programs = os.environ.get("VIRTUAL_ENV", "") + "/bin"
        kept["PATH"] = ":".join(path for path in kept["PATH"].split(":") if path != programs)
        address = f"url.{self.origin}.insteadOf"
        return kept | {
            "QUIVERDB_E2E_HISTORY": str(self.home / "history.sqlite3"),
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": address,
            "GIT_CONFIG_VALUE_0": ADDRESS,
            **{
                f"GIT_{role}_{key}": value
                for role in ("AUTHOR", "COMMITTER")
                for key, value in (("NAME", "A reader"), ("EMAIL", "reader@example.org"))
            },
            "COLUMNS": "200",
        }

    def _publish(self) -> None:
        """Make a repository of this project with its uncommitted changes."""
        self._git(self.home, "clone", "--quiet", "--no-local", "--no-tags", str(ROOT), "origin")
        changed = ("ls-files", "-z", "--modified", "--others", "--exclude-standard")
        for name in filter(None, self._git(ROOT, *changed).split("\0")):
            source, target = ROOT / name, self.origin / name
            if source.is_file():
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(source, target)
            elif target.exists():
                target.unlink()
        self._git(self.origin, "add", "--all")
        self._git(
            self.origin, "commit", "--quiet", "--allow-empty", "--message", "Uncommitted changes"
        )
        self._git(self.origin, "checkout", "--quiet", "-B", "published")

    def _git(self, folder: Path, *words: str) -> str:
        process = subprocess.run(
            ["git", *words],
            cwd=folder,
            env=self._environment(),
            capture_output=True,
            text=True,
            check=True,
        )
        return process.stdout


@pytest.fixture(scope="module")
def reader(container_engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    client = container_engine.client()
    before = {tag for image in client.images.list(f"{REPOSITORY}/*") for tag in image.tags}
    yield Reader(tmp_path_factory.mktemp("reader"))
    blocks = [block for page in PAGES for block in documents.blocks(page.read_text())]
    files = [block.settings["file"] for block in blocks if "file" in block.settings]
    names = {Path(name).parent.name for name in files if name.endswith("recipe.toml")}
    for image in client.images.list(f"{REPOSITORY}/*"):
        for tag in set(image.tags) - before:
            if tag.removeprefix(f"{REPOSITORY}/").partition(":")[0] in names:
                client.images.remove(tag, force=True)
    client.close()


FIRST = PAGES[0]
"""The tutorial. Every run of the tests follows it. The long tests follow it again before the other
documents, because `./e2e compare` needs an earlier run."""


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
def test_document_has_no_fault(reader: Reader, page: Path) -> None:
    fault = reader.follow(page.read_text("utf-8"), str(page.relative_to(ROOT)))

    assert not fault, "\n".join(map(str, fault))


def test_evidence_of_the_report_matches_the_reference(reader: Reader) -> None:
    files = sorted((reader.clone / "report" / "evidence").glob("*.json"))

    assert files, "the commands of the documents wrote a report"
    for file in files:
        assert evidence.read_evidence(file).cell.id


def test_every_replaced_command_is_in_a_document() -> None:
    commands = {
        command.text for page in PAGES for command in documents.commands(page.read_text("utf-8"))
    }

    replacements = _replacements()
    assert replacements.keys() - commands == set()
    assert all(replacement.reason for replacement in replacements.values())


# ---- planted faults of a document ----

FAULTS = {
    "exit-code-zero": (("console", "$ ./e2e gate --machine debian-99"), "exit-code", "0", "4\n"),
    "exit-code": (("console exit=1", "$ ./e2e gate --machine debian-99"), "exit-code", "1", "4\n"),
    "output": (
        ("console exit=4", "$ ./e2e gate --machine debian-99", "verified"),
        *("output", "verified", ""),
    ),
    "option": (("console", "$ ./e2e gate --machines debian-13"), "exit-code", "0", "4\n"),
    "command": (("console", "$ ./e2e verify"), "exit-code", "0", "4\n"),
    "change": (
        ("diff", "--- a/README.md", "+++ b/README.md", "@@ -1,1 +1,1 @@", "-# Other", "+# New"),
        *("change", "", "README.md"),
    ),
}


@pytest.mark.parametrize("planted", FAULTS)
def test_fault_of_a_document_is_reported(reader: Reader, planted: str) -> None:
    (info, *lines), kind, expected, actual = FAULTS[planted]
    text = "\n".join(("# Planted", "", f"```{info}", *lines, "```", ""))
    fault = reader.follow(text, "planted.md")

    assert fault
    assert (fault.document, fault.line, fault.kind) == ("planted.md", 4, kind)
    assert expected in fault.expected
    assert actual in fault.actual
