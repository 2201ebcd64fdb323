"""The stand-ins that are node actions, as each major version, with a running artifact service."""

from __future__ import annotations

import base64
import dataclasses
import io
import json
import os
import re
import select
import subprocess
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from containers.engine import Engine, Run
from tests.faults.act_on_host import artifact_module, copy_programs
from tests.helpers.stand_ins import version_variables

UPLOAD, MERGE = "actions-upload-artifact", "actions-upload-artifact/merge"
DOWNLOAD = "actions-download-artifact"
RELEASE = "softprops-action-gh-release"
_SERVER = Path(__file__).with_name("action_server.mjs")
Files = Mapping[str, str]
"""The text of each file, by its path."""


@pytest.fixture(scope="module")
def programs(container_engine: Engine, run: Run) -> Iterator[Path]:
    """Return a folder with the stand-ins, node and its packages."""
    with tempfile.TemporaryDirectory(prefix="quiverdb-e2e-actions-") as name:
        copy_programs(container_engine, run, Path(name))
        yield Path(name)


class Actions:
    """Runs node actions in one process, which loads their libraries once.

    ``seconds`` is the time limit of an action. An action that takes longer ends with the process.
    """

    def __init__(self, programs: Path, folder: Path, seconds: float = 60) -> None:
        self._programs = programs
        self._log = folder / "log"
        self._seconds = seconds
        self._start()

    def _start(self) -> None:
        answers, in_server = os.pipe()
        self._answers = os.fdopen(answers)
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                (self._node, _SERVER, str(in_server)),
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                pass_fds=(in_server,),
                text=True,
            )
        os.close(in_server)

    @property
    def _node(self) -> str:
        return str(self._programs / "bin" / "node")

    def run(
        self, action: str, folder: Path, environment: Mapping[str, str], *, alone: bool
    ) -> tuple[int, str]:
        """Run an action in ``folder``. Return its exit code and its log.

        Raises:
            TimeoutExpired: it does not end within the time limit.
        """
        main = str(self._programs / "actions" / action / "main.mjs")
        if alone:
            process = subprocess.run(
                (self._node, main),
                cwd=folder,
                env=environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=self._seconds,
                check=False,
            )
            return process.returncode, process.stdout
        assert self._process.stdin is not None
        start = self._log.stat().st_size
        request = {"main": main, "cwd": str(folder), "env": dict(environment)}
        print(json.dumps(request), file=self._process.stdin, flush=True)
        if not select.select([self._answers], [], [], self._seconds)[0]:
            self._process.kill()
            self._process.communicate()
            self._answers.close()
            self._start()
            raise subprocess.TimeoutExpired(main, self._seconds)
        code = int(self._answers.readline())
        return code, self._log.read_bytes()[start:].decode()

    def close(self) -> None:
        """End the process. It fails if an action has left work behind."""
        self._process.communicate(timeout=60)
        self._answers.close()
        assert self._process.returncode == 0, self._log.read_text("utf-8")


@pytest.mark.parametrize("alone", [False, True])
def test_action_that_hangs_ends_at_its_time_limit(
    programs: Path, tmp_path: Path, *, alone: bool
) -> None:
    scripts = {"hangs": "setInterval(() => {}, 1000); await new Promise(() => {})"}
    for name, script in (scripts | {"ends": "console.log('x')"}).items():
        folder = programs / "actions" / name
        folder.mkdir(exist_ok=True)
        (folder / "main.mjs").write_text(script, "utf-8")
    actions = Actions(programs, tmp_path, seconds=2)
    with pytest.raises(subprocess.TimeoutExpired):
        actions.run("hangs", tmp_path, {}, alone=alone)
    assert actions.run("ends", tmp_path, {}, alone=False) == (0, "x\n")
    actions.close()


@pytest.fixture(scope="module")
def actions(programs: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Actions]:
    server = Actions(programs, tmp_path_factory.mktemp("actions"))
    yield server
    server.close()


@dataclasses.dataclass(frozen=True)
class Ended:
    """An action that has ended."""

    code: int
    log: str
    outputs: Mapping[str, str]

    @property
    def errors(self) -> list[str]:
        """The messages of its errors."""
        return re.findall(r"^::error::(.*)", self.log, re.MULTILINE)

    @property
    def unsupported(self) -> list[str]:
        """The features that the stand-in does not have."""
        return re.findall(r'^e2e-unsupported \{"why": ?"(.*)"\}$', self.log, re.MULTILINE)


class Job:
    """A folder in which actions run, and the artifacts of its run."""

    def __init__(self, actions: Actions, folder: Path, store: Any, port: int) -> None:
        self.workspace = folder / "workspace"
        self.workspace.mkdir()
        self._actions = actions
        self._folder = folder
        self._store = store
        scope = {"scp": "Actions.Results:11111111-1111:22222222-2222"}
        payload = base64.urlsafe_b64encode(json.dumps(scope).encode()).decode().rstrip("=")
        self._environment = {
            name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ
        } | {
            "ACTIONS_RESULTS_URL": f"http://127.0.0.1:{port}/",
            "ACTIONS_RUNTIME_TOKEN": f"x.{payload}.x",
            "GITHUB_WORKSPACE": str(self.workspace),
            "GITHUB_SERVER_URL": "https://github.com",
            "GITHUB_REPOSITORY": "owner/name",
            "GITHUB_RUN_ID": "7",
            "GITHUB_RETENTION_DAYS": "90",
            "RUNNER_TEMP": str(folder),
        }

    def write(self, files: Files) -> None:
        for name, text in files.items():
            path = self.workspace / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, "utf-8")

    def tree(self, folder: str = ".") -> set[str]:
        """Return the paths of the files in a folder of the workspace."""
        top = self.workspace / folder
        return {str(path.relative_to(top)) for path in top.rglob("*") if path.is_file()}

    def run(
        self, action: str, version: str, inputs: Mapping[str, str], *, alone: bool = False
    ) -> Ended:
        """Run an action. ``alone`` runs it in a process of its own, as act does."""
        output = self._folder / "output"
        output.write_text("", "utf-8")
        variables = {f"INPUT_{name.upper()}": text for name, text in inputs.items()}
        variables |= version_variables(action.partition("/")[0], version)
        environment = self._environment | variables | {"GITHUB_OUTPUT": str(output)}
        code, log = self._actions.run(action, self.workspace, environment, alone=alone)
        lines = iter(output.read_text("utf-8").splitlines())
        outputs = {
            line.partition("<<")[0]: "\n".join(iter(lines.__next__, line.partition("<<")[2]))
            for line in lines
        }
        return Ended(code, log, outputs)

    def upload(self, name: str, files: Files) -> str:
        """Store an artifact. Return its id."""
        archive = io.BytesIO()
        with zipfile.ZipFile(archive, "w") as packed:
            for path, text in files.items():
                packed.writestr(path, text)
        url = self._store.call("CreateArtifact", {"name": name}, "")["signed_upload_url"]
        self._store.put(url.rpartition("/")[2], {}, archive.getvalue())
        artifact: str = self._store.call("FinalizeArtifact", {"name": name}, "")["artifact_id"]
        return artifact

    @property
    def artifacts(self) -> dict[str, set[str] | bytes]:
        """The names of the files of each artifact, or its content if it is not an archive."""
        return {
            artifact["name"]: _content(self._store.blob(artifact["database_id"]).read_bytes())
            for artifact in self._store.call("ListArtifacts", {}, "")["artifacts"]
        }


def _content(blob: bytes) -> set[str] | bytes:
    try:
        return set(zipfile.ZipFile(io.BytesIO(blob)).namelist())
    except zipfile.BadZipFile:
        return blob


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    module = artifact_module()
    store = module.Store(tmp_path_factory.mktemp("artifacts"), 1)
    server = module.Service(("127.0.0.1", 0), store)
    server.start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def job(actions: Actions, service: Any, tmp_path: Path) -> Job:
    service.store = artifact_module().Store(tmp_path / "artifacts", 1)
    return Job(actions, tmp_path, service.store, service.server_address[1])


UPLOADED = {"dist/a.whl": "a", "dist/b.whl": "b", "dist/.hidden": "h", "other/c.txt": "c"}


@pytest.mark.parametrize(
    ("version", "inputs", "code", "artifacts"),
    [
        ("v7.0.0", {"path": "dist"}, 0, {"artifact": {"a.whl", "b.whl"}}),
        ("v4.6.2", {"path": "dist"}, 0, {"artifact": {"a.whl", "b.whl"}}),
        ("v4.3.6", {"path": "dist"}, 0, {"artifact": {"a.whl", "b.whl", ".hidden"}}),
        ("v4.3.6", {"path": "dist", "include-hidden-files": "false"}, 0, {"artifact": 3}),
        ("v7.0.0", {"path": "dist/a.whl"}, 0, {"artifact": {"a.whl"}}),
        ("v7.0.0", {"path": "dist/a.whl\nother/*"}, 0, {"artifact": {"dist/a.whl", "other/c.txt"}}),
        ("v7.0.0", {"path": "none"}, 0, {}),
        ("v7.0.0", {"path": "none", "if-no-files-found": "error"}, 1, {}),
        ("v7.0.0", {"path": "none", "if-no-files-found": "fail"}, 1, {}),
        ("v7.0.0", {"path": "dist/a.whl", "if-no-files-found": "fail"}, 1, {"artifact": {"a.whl"}}),
        ("v4.6.2", {"path": "dist/a.whl", "retention-days": "x"}, 1, {"artifact": {"a.whl"}}),
        ("v7.0.0", {"path": "none", "retention-days": "x"}, 1, {}),
        ("v7.0.0", {"path": "dist/a.whl", "retention-days": "400"}, 0, {"artifact": {"a.whl"}}),
        ("v7.0.0", {"path": "dist/a.whl", "compression-level": "x"}, 1, {"artifact": {"a.whl"}}),
        ("v7.0.0", {"path": "dist/a.whl", "archive": "false"}, 0, {"a.whl": b"a"}),
        ("v7.0.0", {"path": "dist", "archive": "false"}, 1, {}),
        ("v6.0.0", {"path": "dist", "archive": "false"}, 0, {"artifact": {"a.whl", "b.whl"}}),
        ("v7.0.0", {"path": "dist", "archive": "no"}, 1, {}),
        ("v7.0.0", {"path": "dist", "name": "a/b"}, 1, {}),
    ],
)
def test_upload(
    job: Job,
    version: str,
    inputs: Mapping[str, str],
    code: int,
    artifacts: Mapping[str, set[str] | bytes | int],
) -> None:
    job.write(UPLOADED)
    ended = job.run(UPLOAD, version, inputs)
    assert ended.code == code, ended.log
    assert bool(ended.errors) is bool(code)
    found = job.artifacts
    numbers = {name for name, files in artifacts.items() if isinstance(files, int)}
    assert {name: len(files) if name in numbers else files for name, files in found.items()} == (
        artifacts
    )


@pytest.mark.parametrize(
    ("version", "names"),
    [
        ("v4.0.0", {"artifact-id"}),
        ("v4.4.3", {"artifact-id", "artifact-url"}),
        ("v5.0.0", {"artifact-id", "artifact-url", "artifact-digest"}),
    ],
)
def test_outputs_of_an_upload_are_those_of_the_version(
    job: Job, version: str, names: set[str]
) -> None:
    job.write(UPLOADED)
    assert set(job.run(UPLOAD, version, {"path": "dist"}).outputs) == names


@pytest.mark.parametrize(
    ("version", "overwrite", "code"),
    [("v7.0.0", "true", 0), ("v7.0.0", "", 1), ("v4.1.0", "true", 1)],
)
def test_second_upload_of_a_name_needs_overwrite(
    job: Job, version: str, overwrite: str, code: int
) -> None:
    job.write(UPLOADED)
    job.upload("wheels", {"old.whl": "old"})
    inputs = {"name": "wheels", "path": "dist/a.whl", "overwrite": overwrite or "false"}
    ended = job.run(UPLOAD, version, inputs)
    assert ended.code == code, ended.log
    assert job.artifacts["wheels"] == ({"old.whl"} if code else {"a.whl"})


ONE = {"wheel-linux": {"l.whl": "l"}, "notes": {"n.md": "n"}}
TWO = {"wheel-linux": {"l.whl": "l"}, "wheel-windows": {"w.whl": "w"}, "notes": {"n.md": "n"}}


@pytest.mark.parametrize(
    ("version", "artifacts", "inputs", "code", "tree"),
    [
        ("v8.0.1", ONE, {"name": "notes"}, 0, {"n.md"}),
        ("v4.0.0", ONE, {"name": "notes"}, 0, {"n.md"}),
        ("v8.0.1", ONE, {"name": "none"}, 1, set()),
        ("v8.0.1", ONE, {"pattern": "wheel-*"}, 0, {"l.whl"}),
        ("v5.0.0", ONE, {"pattern": "wheel-*"}, 0, {"l.whl"}),
        ("v4.3.0", ONE, {"pattern": "wheel-*"}, 0, {"wheel-linux/l.whl"}),
        ("v4.0.0", ONE, {"pattern": "wheel-*"}, 0, {"wheel-linux/l.whl", "notes/n.md"}),
        ("v8.0.1", TWO, {"pattern": "wheel-*"}, 0, {"wheel-linux/l.whl", "wheel-windows/w.whl"}),
        ("v8.0.1", TWO, {"pattern": "wheel-{linux,mac}"}, 0, {"l.whl"}),
        ("v8.0.1", TWO, {"pattern": "!notes"}, 0, {"wheel-linux/l.whl", "wheel-windows/w.whl"}),
        ("v8.0.1", TWO, {"pattern": "+(wheel-l|x)*"}, 0, {"l.whl"}),
        ("v4.3.0", TWO, {"pattern": "wheel-*", "merge-multiple": "true"}, 0, {"l.whl", "w.whl"}),
        ("v8.0.1", TWO, {"pattern": "none-*"}, 0, set()),
        ("v8.0.1", {}, {}, 0, set()),
        ("v4.1.0", {}, {}, 0, set()),
        ("v4.0.0", {}, {}, 1, set()),
        ("v8.0.1", ONE, {}, 0, {"wheel-linux/l.whl", "notes/n.md"}),
        ("v8.0.1", TWO, {"artifact-ids": "ID"}, 0, {"l.whl"}),
        ("v4.3.0", TWO, {"artifact-ids": "ID"}, 0, {"wheel-linux/l.whl"}),
        ("v8.0.1", TWO, {"artifact-ids": "ID, 99"}, 0, {"l.whl"}),
        ("v8.0.1", TWO, {"artifact-ids": "99"}, 1, set()),
        ("v8.0.1", TWO, {"artifact-ids": "x"}, 1, set()),
        ("v8.0.1", TWO, {"artifact-ids": ","}, 1, set()),
        ("v8.0.1", TWO, {"artifact-ids": "ID", "name": "notes"}, 1, set()),
        ("v8.0.1", ONE, {"name": "notes", "skip-decompress": "true"}, 0, {"notes.zip"}),
        ("v7.0.0", ONE, {"name": "notes", "skip-decompress": "true"}, 0, {"n.md"}),
        ("v8.0.1", ONE, {"name": "notes", "digest-mismatch": "x"}, 1, set()),
        ("v7.0.0", ONE, {"name": "notes", "digest-mismatch": "x"}, 0, {"n.md"}),
    ],
)
def test_download(
    job: Job,
    version: str,
    artifacts: Mapping[str, Files],
    inputs: Mapping[str, str],
    code: int,
    tree: set[str],
) -> None:
    ids = {name: job.upload(name, files) for name, files in artifacts.items()}
    texts = {name: text.replace("ID", ids.get("wheel-linux", "")) for name, text in inputs.items()}
    ended = job.run(DOWNLOAD, version, {"path": "in", **texts})
    assert ended.code == code, ended.log
    assert bool(ended.errors) is bool(code)
    assert job.tree("in") == tree
    if not code:
        assert ended.outputs["download-path"] == str(job.workspace / "in")


def test_actions_end_in_processes_of_their_own_too(job: Job) -> None:
    job.write(UPLOADED)
    uploaded = job.run(UPLOAD, "v7.0.0", {"path": "dist"}, alone=True)
    refused = job.run(UPLOAD, "v7.0.0", {"path": "dist"}, alone=True)
    merged = job.run(MERGE, "v7.0.0", {"pattern": "*", "delete-merged": "true"}, alone=True)
    downloaded = job.run(DOWNLOAD, "v8.0.1", {"path": "in"}, alone=True)

    assert [ended.code for ended in (uploaded, refused, merged, downloaded)] == [0, 1, 0, 0]
    assert refused.errors
    assert job.artifacts == {"merged-artifacts": {"a.whl", "b.whl"}}
    assert job.tree("in") == {"a.whl", "b.whl"}
    assert downloaded.outputs["download-path"] == str(job.workspace / "in")


def test_file_without_an_archive_keeps_its_name(job: Job) -> None:
    job.write(UPLOADED)
    assert job.run(UPLOAD, "v7.0.0", {"path": "dist/a.whl", "archive": "false"}).code == 0

    assert job.run(DOWNLOAD, "v8.0.1", {"name": "a.whl", "path": "in"}).code == 0
    older = job.run(DOWNLOAD, "v7.0.0", {"name": "a.whl", "path": "older"})

    assert job.tree("in") == {"a.whl"}
    assert older.code == 1
    assert len(older.unsupported) == 1
    assert "v7.0.0" in older.unsupported[0]


@pytest.mark.parametrize(
    ("version", "inputs", "code", "artifacts"),
    [
        ("v7.0.0", {"pattern": "wheel-*"}, 0, {"merged-artifacts": {"l.whl", "w.whl"}}),
        ("v4.3.0", {"pattern": "wheel-{linux,mac}", "name": "all"}, 0, {"all": {"l.whl"}}),
        (
            "v5.0.0",
            {"pattern": "wheel-*", "separate-directories": "true", "name": "all"},
            0,
            {"all": {"wheel-linux/l.whl", "wheel-windows/w.whl"}},
        ),
        ("v6.0.0", {"pattern": "none"}, 1, {}),
        ("v7.0.0", {"name": "notes"}, 1, {}),
    ],
)
def test_merge(
    job: Job, version: str, inputs: Mapping[str, str], code: int, artifacts: Mapping[str, set[str]]
) -> None:
    for name, files in TWO.items():
        job.upload(name, files)
    before = job.artifacts
    ended = job.run(MERGE, version, inputs)
    assert ended.code == code, ended.log
    assert job.artifacts == {**before, **artifacts}


def test_merged_artifacts_are_deleted_and_hidden_files_depend_on_the_version(job: Job) -> None:
    job.upload("one", {"a": "a", ".b": "b"})
    job.upload("two", {"c": "c"})
    older = job.run(MERGE, "v4.3.6", {"pattern": "one", "name": "older"})
    newer = job.run(MERGE, "v4.4.0", {"pattern": "{one,two}", "delete-merged": "true"})
    assert (older.code, newer.code) == (0, 0)
    assert job.artifacts == {"older": {"a", ".b"}, "merged-artifacts": {"a", "c"}}


@pytest.mark.parametrize("name", ["github-token"])
def test_unsupported_input_names_the_action_and_the_version(job: Job, name: str) -> None:
    ended = job.run(DOWNLOAD, "v5.0.0", {name: "x"})
    assert ended.code == 1
    (feature,) = ended.unsupported
    assert name in feature
    assert "v5.0.0" in feature


@pytest.mark.parametrize(
    ("version", "inputs", "uploads"),
    [
        ("v3.0.0", {"files": "dist/*.whl"}, ["dist/a.whl", "dist/b.whl"]),
        (
            "v3.0.0",
            {"files": "dist/{a,b}.whl, other/c.txt"},
            ["dist/a.whl", "dist/b.whl", "other/c.txt"],
        ),
        ("v2.4.0", {"files": "dist/{a,b}.whl"}, []),
        ("v3.0.0", {"files": "dist\ndist/!(a).whl"}, ["dist/b.whl"]),
        ("v3.0.0", {"files": "**/*.txt"}, ["other/c.txt"]),
        ("v3.0.0", {"files": "dist/*"}, ["dist/.hidden", "dist/a.whl", "dist/b.whl"]),
        ("v2.3.4", {"files": "dist/*"}, ["dist/a.whl", "dist/b.whl"]),
        ("v3.0.0", {"files": "*.whl", "working_directory": "dist"}, ["dist/a.whl", "dist/b.whl"]),
        ("v2.3.4", {"files": "*.whl", "working_directory": "dist"}, []),
    ],
)
def test_files_of_a_release(
    job: Job, programs: Path, version: str, inputs: Mapping[str, str], uploads: list[str]
) -> None:
    job.write(UPLOADED)
    release = programs / "stand_ins" / "release.py"
    text = release.read_text("utf-8")
    release.write_text("import sys\nprint('files', sys.argv[1])\n", "utf-8")
    try:
        ended = job.run(RELEASE, version, inputs)
    finally:
        release.write_text(text, "utf-8")
    (line,) = [line for line in ended.log.splitlines() if line.startswith("files ")]
    found = json.loads(line.removeprefix("files "))
    assert sorted(name for _, names in found for name in names) == uploads
