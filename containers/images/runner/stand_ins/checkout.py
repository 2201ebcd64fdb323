"""Stand-in for actions/checkout: real git, from the bare clone that plays the repository's host."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from .toolkit import Failure, boolean, fail, inputs, output, unsupported

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
    asked = inputs()
    if asked["repository"] != os.environ["GITHUB_REPOSITORY"]:
        unsupported(f"checking out another repository, {asked['repository']}")
    for name in ("ssh-key", "filter", "sparse-checkout"):
        if asked[name]:
            unsupported(f"the input {name}")
    if boolean("lfs", asked["lfs"]) or asked["submodules"] not in ("", "false"):
        unsupported("large files and submodules")
    workspace = Path(os.environ["GITHUB_WORKSPACE"])
    folder = (workspace / asked["path"]).resolve()
    if not folder.is_relative_to(workspace.resolve()):
        raise Failure(f"Repository path '{folder}' is not under '{workspace}'")
    folder.mkdir(parents=True, exist_ok=True)
    wanted = asked["ref"] or os.environ["GITHUB_REF"]
    commit = "" if asked["ref"] else os.environ["GITHUB_SHA"]
    git("init", "--quiet", str(folder), folder=folder)
    server = os.environ["GITHUB_SERVER_URL"]
    git("remote", "add", "origin", f"{server}/{os.environ['GITHUB_REPOSITORY']}", folder=folder)
    depth = [] if asked["fetch-depth"] == "0" else [f"--depth={asked['fetch-depth'] or 1}"]
    every = ["--tags"] if boolean("fetch-tags", asked["fetch-tags"]) or not depth else ["--no-tags"]
    specs = _specs(wanted, commit, full=not depth)
    git("fetch", "--quiet", *every, *depth, ORIGIN, *specs, folder=folder)
    if wanted.startswith("refs/heads/"):
        branch = wanted.removeprefix("refs/heads/")
        git("checkout", "--quiet", "--force", "-B", branch, f"origin/{branch}", folder=folder)
    elif wanted.startswith("refs/"):
        git("checkout", "--quiet", "--force", wanted, folder=folder)
    else:
        git("checkout", "--quiet", "--force", "FETCH_HEAD", folder=folder)
    found = git("log", "-1", "--format=%H", folder=folder)
    if commit and found != commit:
        raise Failure(f"{wanted} is commit {found}, and the event is of {commit}")
    output("ref", wanted)
    output("commit", found)


def _specs(wanted: str, commit: str, *, full: bool) -> list[str]:
    if full:
        return ["+refs/heads/*:refs/remotes/origin/*", "+refs/tags/*:refs/tags/*"]
    if wanted.startswith("refs/heads/"):
        return [f"+{commit or wanted}:refs/remotes/origin/{wanted.removeprefix('refs/heads/')}"]
    if wanted.startswith("refs/"):
        return [f"+{wanted}:{wanted}"]
    return [wanted]


if __name__ == "__main__":
    try:
        main()
    except Failure as error:
        fail(str(error))
    sys.exit(0)
