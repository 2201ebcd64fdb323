"""Stand-in for actions/checkout: real git, from the bare clone that plays the repository's host."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from .toolkit import Failure, boolean, inputs, output, run, unsupported

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
    given = inputs()
    if given["repository"] != os.environ["GITHUB_REPOSITORY"]:
        unsupported(f"checking out another repository, {given['repository']}")
    for name in ("ssh-key", "filter", "sparse-checkout"):
        if given[name]:
            unsupported(f"the input {name}")
    if boolean("lfs", given["lfs"]) or given["submodules"] not in ("", "false"):
        unsupported("large files and submodules")
    workspace = Path(os.environ["GITHUB_WORKSPACE"])
    folder = (workspace / given["path"]).resolve()
    if not folder.is_relative_to(workspace.resolve()):
        raise Failure(f"Repository path '{folder}' is not under '{workspace}'")
    folder.mkdir(parents=True, exist_ok=True)
    ref = given["ref"] or os.environ["GITHUB_REF"]
    commit = "" if given["ref"] else os.environ["GITHUB_SHA"]
    git("init", "--quiet", str(folder), folder=folder)
    server = os.environ["GITHUB_SERVER_URL"]
    git("remote", "add", "origin", f"{server}/{os.environ['GITHUB_REPOSITORY']}", folder=folder)
    depth = [] if given["fetch-depth"] == "0" else [f"--depth={given['fetch-depth'] or 1}"]
    every = ["--tags"] if boolean("fetch-tags", given["fetch-tags"]) or not depth else ["--no-tags"]
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
