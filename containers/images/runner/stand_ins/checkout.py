"""Stand-in for actions/checkout. It runs git and clones a bare repository in the runner."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from .toolkit import Failure, inputs, output, run, unsupported

ORIGIN = "file:///e2e/repository.git"


def git(*arguments: str, folder: Path) -> str:
    """Print a git command, run it and return its output.

    Raises:
        Failure: git failed.
    """
    print(f"[command]git {' '.join(arguments)}", flush=True)
    process = subprocess.run(
        ("git", "-c", "safe.directory=*", "-c", "advice.detachedHead=false", *arguments),
        cwd=folder,
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    print(process.stdout, end="", flush=True)
    if process.returncode:
        raise Failure(f"The process 'git' failed with exit code {process.returncode}")
    return process.stdout.strip()


def main() -> None:
    """Check out the repository of the workflow."""
    values = inputs("actions-checkout")
    repository = os.environ["GITHUB_REPOSITORY"]
    if (values["repository"] or repository).lower() != repository.lower():
        unsupported(f"checkout of another repository, {values['repository']}")
    workspace = Path(os.environ["GITHUB_WORKSPACE"])
    folder = (workspace / values["path"]).resolve()
    if not folder.is_relative_to(workspace.resolve()):
        raise Failure(f"Repository path '{folder}' is not under '{workspace}'")
    _prepare(folder, clean=not values["clean"] or values.switch("clean"))
    ref = values["ref"] or os.environ["GITHUB_REF"]
    commit = "" if values["ref"] else os.environ["GITHUB_SHA"]
    git("init", "--quiet", str(folder), folder=folder)
    server = os.environ["GITHUB_SERVER_URL"]
    git("remote", "add", "origin", f"{server}/{os.environ['GITHUB_REPOSITORY']}", folder=folder)
    number = _depth(values["fetch-depth"])
    depth = [f"--depth={number}"] if number else []
    tags = "--tags" if values.switch("fetch-tags") or not depth else "--no-tags"
    refspecs = _refspecs(ref, commit, full=not depth)
    git("fetch", "--quiet", tags, *depth, ORIGIN, *refspecs, folder=folder)
    if ref.startswith("refs/heads/"):
        branch = ref.removeprefix("refs/heads/")
        git("checkout", "--quiet", "--force", "-B", branch, f"origin/{branch}", folder=folder)
    elif ref.startswith("refs/"):
        git("checkout", "--quiet", "--force", ref, folder=folder)
    else:
        git("checkout", "--quiet", "--force", "FETCH_HEAD", folder=folder)
    head = git("log", "-1", "--format=%H", folder=folder)
    if commit and head != commit:
        raise Failure(f"{ref} is commit {head}, but the event has commit {commit}")
    output("ref", ref)
    output("commit", head)


def _prepare(folder: Path, *, clean: bool) -> None:
    """Prepare the folder for a checkout.

    Keep an earlier checkout. With ``clean``, remove its untracked files and its changes. Empty a
    folder that is not a repository.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if (folder / ".git").is_dir():
        git("remote", "remove", "origin", folder=folder)
        if clean:
            git("clean", "-ffdx", folder=folder)
            git("reset", "--quiet", "--hard", "HEAD", folder=folder)
        return
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def _depth(value: str) -> int:
    """Return the number of commits to fetch. 0 means all, also for an invalid number."""
    try:
        return max(int(float(value or "1")), 0)
    except ValueError:
        return 0


def _refspecs(ref: str, commit: str, *, full: bool) -> list[str]:
    if full:
        return ["+refs/heads/*:refs/remotes/origin/*", "+refs/tags/*:refs/tags/*"]
    if ref.startswith("refs/heads/"):
        return [f"+{commit or ref}:refs/remotes/origin/{ref.removeprefix('refs/heads/')}"]
    if ref.startswith("refs/"):
        return [f"+{ref}:{ref}"]
    return [ref]


if __name__ == "__main__":
    run(main)
