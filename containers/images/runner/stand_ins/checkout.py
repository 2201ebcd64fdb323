"""Stand-in for actions/checkout: real git, from the bare clone that plays the repository's host."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from .toolkit import Failure, inputs, output, run, unsupported

ORIGIN = "file:///e2e/repository.git"


def git(*arguments: str, folder: Path) -> str:
    """Run git, show the command and return its output.

    Raises:
        Failure: it failed.
    """
    print(f"[command]git {' '.join(arguments)}", flush=True)
    done = subprocess.run(
        ("git", "-c", "safe.directory=*", "-c", "advice.detachedHead=false", *arguments),
        cwd=folder,
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    print(done.stdout, end="", flush=True)
    if done.returncode:
        raise Failure(f"The process 'git' failed with exit code {done.returncode}")
    return done.stdout.strip()


def main() -> None:
    """Check out."""
    given = inputs("actions-checkout")
    repository = os.environ["GITHUB_REPOSITORY"]
    if (given["repository"] or repository).lower() != repository.lower():
        unsupported(f"checking out another repository, {given['repository']}")
    workspace = Path(os.environ["GITHUB_WORKSPACE"])
    folder = (workspace / given["path"]).resolve()
    if not folder.is_relative_to(workspace.resolve()):
        raise Failure(f"Repository path '{folder}' is not under '{workspace}'")
    _prepare(folder, clean=not given["clean"] or given.switch("clean"))
    ref = given["ref"] or os.environ["GITHUB_REF"]
    commit = "" if given["ref"] else os.environ["GITHUB_SHA"]
    git("init", "--quiet", str(folder), folder=folder)
    server = os.environ["GITHUB_SERVER_URL"]
    git("remote", "add", "origin", f"{server}/{os.environ['GITHUB_REPOSITORY']}", folder=folder)
    number = _depth(given["fetch-depth"])
    depth = [f"--depth={number}"] if number else []
    every = ["--tags"] if given.switch("fetch-tags") or not depth else ["--no-tags"]
    specs = _specs(ref, commit, full=not depth)
    git("fetch", "--quiet", *every, *depth, ORIGIN, *specs, folder=folder)
    if ref.startswith("refs/heads/"):
        branch = ref.removeprefix("refs/heads/")
        git("checkout", "--quiet", "--force", "-B", branch, f"origin/{branch}", folder=folder)
    elif ref.startswith("refs/"):
        git("checkout", "--quiet", "--force", ref, folder=folder)
    else:
        git("checkout", "--quiet", "--force", "FETCH_HEAD", folder=folder)
    head = git("log", "-1", "--format=%H", folder=folder)
    if commit and head != commit:
        raise Failure(f"{ref} is commit {head}, and the event is of {commit}")
    output("ref", ref)
    output("commit", head)


def _prepare(folder: Path, *, clean: bool) -> None:
    """Leave of an earlier checkout only what git keeps; leave nothing that is no repository."""
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
    """Return how many commits are fetched; 0 for all, also for what is no such number."""
    try:
        return max(int(float(value or "1")), 0)
    except ValueError:
        return 0


def _specs(ref: str, commit: str, *, full: bool) -> list[str]:
    if full:
        return ["+refs/heads/*:refs/remotes/origin/*", "+refs/tags/*:refs/tags/*"]
    if ref.startswith("refs/heads/"):
        return [f"+{commit or ref}:refs/remotes/origin/{ref.removeprefix('refs/heads/')}"]
    if ref.startswith("refs/"):
        return [f"+{ref}:{ref}"]
    return [ref]


if __name__ == "__main__":
    run(main)
