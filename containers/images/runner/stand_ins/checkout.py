"""Stand-in for actions/checkout. It runs git and fetches from a bare repository in the runner.

The steps and their order are those of the action's `src/git-source-provider.ts`, the refspecs those
of `src/ref-helper.ts`.
"""

from __future__ import annotations

import base64
import os
import re
import shutil
import subprocess
import uuid
from pathlib import Path
from typing import NamedTuple

from .toolkit import Failure, Inputs, inputs, output, run, unsupported

ORIGIN = "file:///e2e/repository.git"
_ALL_TAGS = "+refs/tags/*:refs/tags/*"
_COMMIT = re.compile(r"[0-9a-fA-F]{40}")


class Repository(NamedTuple):
    """A checkout, and the URL of the repository on GitHub."""

    folder: Path
    url: str

    def git(self, *arguments: str) -> str:
        """Print a git command, run it and return its output.

        Raises:
            Failure: git failed.
        """
        print(f"[command]git {' '.join(arguments)}", flush=True)
        process = self._run(arguments)
        print(process.stdout, end="", flush=True)
        if process.returncode:
            raise Failure(f"The process 'git' failed with exit code {process.returncode}")
        return process.stdout.strip()

    def resolve(self, ref: str) -> str:
        """Return the object of a ref, or an empty string."""
        return self._run(("rev-parse", "--quiet", "--verify", ref)).stdout.strip()

    def _run(self, arguments: tuple[str, ...]) -> subprocess.CompletedProcess[str]:
        options = ("safe.directory=*", "advice.detachedHead=false", "protocol.version=2")
        settings = (*options, f"url.{ORIGIN}.insteadOf={self.url}")
        return subprocess.run(
            ("git", *(part for setting in settings for part in ("-c", setting)), *arguments),
            cwd=self.folder,
            stdout=subprocess.PIPE,
            text=True,
            check=False,
        )


class Target(NamedTuple):
    """What is checked out. One of the two can be empty."""

    ref: str
    commit: str

    @property
    def branch(self) -> str:
        """The branch that the full name of the ref names, or an empty string."""
        prefix = "refs/heads/"
        return self.ref[len(prefix) :] if self.ref.lower().startswith(prefix) else ""

    @property
    def is_tag(self) -> bool:
        """Whether the ref is the full name of a tag."""
        return self.ref.lower().startswith("refs/tags/")


def main() -> None:
    """Check out the repository of the workflow."""
    values = inputs("actions-checkout")
    server, name = os.environ["GITHUB_SERVER_URL"], os.environ["GITHUB_REPOSITORY"]
    if (values["repository"] or name).lower() != name.lower():
        unsupported(f"checkout of another repository, {values['repository']}")
    if values["github-server-url"].rstrip("/") not in ("", server):
        unsupported(f"checkout from another server, {values['github-server-url']}")
    workspace = Path(os.environ["GITHUB_WORKSPACE"])
    folder = (workspace / values["path"]).resolve()
    if not folder.is_relative_to(workspace.resolve()):
        raise Failure(f"Repository path '{folder}' is not under '{workspace}'")
    repository = Repository(folder, f"{server}/{name}")
    _prepare(repository, clean=not values["clean"] or values.switch("clean"))
    if not (folder / ".git").is_dir():
        repository.git("init", "--quiet", str(folder))
        repository.git("remote", "add", "origin", repository.url)
    target = _target(values["ref"])
    depth = _depth(values["fetch-depth"])
    tags = values.switch("fetch-tags")
    _Fetch(repository, target, depth, tags=tags, keeps_tags=values.since("6.0.2")).run()
    _checkout(repository, target, values)
    if values.switch("persist-credentials"):
        _persist(repository, server, values)
    head = repository.git("log", "-1", "--format=%H")
    _check_contents(repository, values)
    if values.since("4.2.0"):
        output("ref", target.ref)
        output("commit", head)


def _target(ref: str) -> Target:
    """Return what the input `ref` names, or else what the event names."""
    if _COMMIT.fullmatch(ref):
        return Target("", ref)
    if ref:
        return Target(ref, "")
    ref = os.environ["GITHUB_REF"]
    return Target(ref if ref.startswith("refs/") else f"refs/heads/{ref}", os.environ["GITHUB_SHA"])


def _prepare(repository: Repository, *, clean: bool) -> None:
    """Prepare the folder for a checkout.

    Keep an earlier checkout of the repository, without its branches. With ``clean``, remove its
    untracked files and its changes. Empty any other folder.
    """
    repository.folder.mkdir(parents=True, exist_ok=True)
    if (repository.folder / ".git").is_dir():
        try:
            if repository.git("config", "--get", "remote.origin.url") == repository.url:
                repository.git("checkout", "--quiet", "--detach")
                listed = repository.git("for-each-ref", "--format=%(refname:short)", "refs/heads")
                for branch in listed.splitlines():
                    repository.git("branch", "--quiet", "--delete", "--force", branch)
                if clean:
                    repository.git("clean", "-ffdx")
                    repository.git("reset", "--quiet", "--hard", "HEAD")
                return
        except Failure:
            print("::warning::Unable to prepare the existing repository.")
    for path in repository.folder.iterdir():
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


class _Fetch(NamedTuple):
    """Fetches the target."""

    repository: Repository
    target: Target
    depth: int
    tags: bool
    """The input `fetch-tags`."""
    keeps_tags: bool
    """Whether the version fetches a tag as it is (since 6.0.2). Earlier ones fetch the commit of
    the event and set the tag to it. An annotated tag is then not annotated here."""

    def run(self) -> None:
        """Fetch the target.

        Raises:
            Failure: git failed, or the ref is another commit than that of the event.
        """
        if self.depth:
            self._fetch(self._refspecs())
        else:
            self._fetch(["+refs/heads/*:refs/remotes/origin/*", _ALL_TAGS])
            if not self._is_commit_of_event():
                self._fetch(self._refspecs())
        if self.keeps_tags and not self._is_commit_of_event():
            raise Failure(
                f"The ref '{self.target.ref}' does not point to the expected commit "
                f"'{self.target.commit}'. The ref may have been updated after the workflow was "
                "triggered."
            )

    def _fetch(self, refspecs: list[str]) -> None:
        options = ["--prune", "--no-recurse-submodules"]
        if self.keeps_tags or (_ALL_TAGS not in refspecs and not (self.tags and self.depth)):
            options.append("--no-tags")
        if self.depth:
            options.append(f"--depth={self.depth}")
        elif (self.repository.folder / ".git" / "shallow").exists():
            options.append("--unshallow")
        self.repository.git("fetch", "--quiet", *options, "origin", *refspecs)

    def _refspecs(self) -> list[str]:
        ref, commit = self.target
        all_tags = [_ALL_TAGS] if self.keeps_tags and self.tags else []
        if branch := self.target.branch:
            return [*all_tags, f"+{commit or ref}:refs/remotes/origin/{branch}"]
        if self.target.is_tag and commit and not self.keeps_tags:
            return [f"+{commit}:{ref}"]
        if self.target.is_tag:
            return all_tags or [f"+{ref}:{ref}"]
        if commit:
            return [*all_tags, commit]
        if ref.lower().startswith("refs/"):
            return [*all_tags, f"+{ref}:{ref}"]
        tags = all_tags or [f"+refs/tags/{ref}*:refs/tags/{ref}*"]
        return [*tags, f"+refs/heads/{ref}*:refs/remotes/origin/{ref}*"]

    def _is_commit_of_event(self) -> bool:
        if not self.target.commit:
            return True
        ref = self.target.ref
        if self.target.branch:
            ref = f"refs/remotes/origin/{self.target.branch}"
        elif self.target.is_tag and self.keeps_tags:
            ref = f"{ref}^{{commit}}"
        elif not self.target.is_tag:
            return True
        return self.repository.resolve(ref) == self.target.commit


def _checkout(repository: Repository, target: Target, values: Inputs) -> None:
    """Check out the fetched target.

    Raises:
        Failure: git failed, or there is no such branch or tag.
    """
    patterns = [line.strip() for line in values["sparse-checkout"].splitlines() if line.strip()]
    if not patterns:
        repository.git("sparse-checkout", "disable")
    elif values.switch("sparse-checkout-cone-mode"):
        repository.git("sparse-checkout", "set", *patterns)
    else:
        repository.git("config", "core.sparseCheckout", "true")
        path = repository.folder / repository.git("rev-parse", "--git-path", "info/sparse-checkout")
        path.parent.mkdir(exist_ok=True)
        with path.open("a", encoding="utf-8") as file:
            file.write("\n" + "\n".join(patterns) + "\n")
    repository.git("checkout", "--quiet", "--force", *_names(repository, target))


def _names(repository: Repository, target: Target) -> list[str]:
    """Return the arguments of `git checkout` that name the target."""
    if branch := target.branch:
        return ["-B", branch, f"refs/remotes/origin/{branch}"]
    if not target.ref:
        return [target.commit]
    if target.is_tag:
        return [target.ref]
    if target.ref.lower().startswith("refs/"):
        return [target.commit or target.ref]
    if repository.resolve(f"refs/remotes/origin/{target.ref}"):
        return ["-B", target.ref, f"refs/remotes/origin/{target.ref}"]
    if repository.resolve(f"refs/tags/{target.ref}"):
        return [f"refs/tags/{target.ref}"]
    raise Failure(f"A branch or tag with the name '{target.ref}' could not be found")


def _persist(repository: Repository, server: str, values: Inputs) -> None:
    """Store the token in the configuration of the checkout, or since version 6 in another file."""
    credentials = base64.b64encode(f"x-access-token:{values['token']}".encode()).decode()
    print(f"::add-mask::{credentials}", flush=True)
    path = repository.folder / ".git" / "config"
    if values.since("6.0.0"):
        name = f"git-credentials-{uuid.uuid4()}.config"
        path = Path(os.environ["RUNNER_TEMP"]) / name
        folder = repository.folder / ".git"
        repository.git("config", "--local", f"includeIf.gitdir:{folder}.path", str(path))
    with path.open("a", encoding="utf-8") as file:
        header = f"AUTHORIZATION: basic {credentials}"
        file.write(f'[http "{server}/"]\n\textraheader = {header}\n')


def _check_contents(repository: Repository, values: Inputs) -> None:
    """End the action as unsupported if it would also fetch submodules or files of Git LFS."""
    if values["submodules"].lower() in ("true", "recursive"):
        modules = repository.folder / ".gitmodules"
        if modules.is_file():
            key = r"submodule\..*\.url"
            urls = repository.git("config", "--file", str(modules), "--get-regexp", key)
            names = ", ".join(line.partition(" ")[2] for line in urls.splitlines())
            unsupported(f"the input submodules: {values['submodules']}, for {names}")
    if values.switch("lfs"):
        files = repository.git("ls-files", ":(attr:filter=lfs)").splitlines()
        if files:
            unsupported(f"the input lfs: true, for {files[0]}")


if __name__ == "__main__":
    run(main)
