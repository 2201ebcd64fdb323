"""The stand-in for actions/checkout, with git and a bare repository."""

from __future__ import annotations

import base64
import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.helpers.stand_ins import Action

SERVER, NAME = "https://github.example", "owner/name"


class CheckoutAction(Action):
    """The stand-in, and the repository that it checks out.

    The branch main has two commits and the branch other one. The annotated tag v1.0.0 is the second
    commit, which the event names. The tag v0.9.0 is the first commit.
    """

    def __init__(self, template: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        workspace = folder / "workspace"
        workspace.mkdir()
        super().__init__("checkout", "actions-checkout", workspace, monkeypatch)
        self.source = folder / "source"
        shutil.copytree(template, self.source)
        self.head = self.git("rev-parse", "HEAD", folder=self.source)
        self.first = self.git("rev-parse", "v0.9.0", folder=self.source)
        monkeypatch.setattr(self.module, "ORIGIN", self.source.as_uri())
        for name, text in (
            ("GITHUB_WORKSPACE", str(workspace)),
            ("GITHUB_OUTPUT", str(folder / "github_output")),
            ("GITHUB_SERVER_URL", SERVER),
            ("GITHUB_REPOSITORY", NAME),
            ("GITHUB_REF", "refs/tags/v1.0.0"),
            ("GITHUB_SHA", self.head),
            ("RUNNER_TEMP", str(folder)),
        ):
            monkeypatch.setenv(name, text)
        self.folder = workspace
        self.outputs_folder = folder

    def git(self, *arguments: str, folder: Path | None = None) -> str:
        """Run git and return its output, or an empty string if it fails."""
        return git(folder or self.folder, *arguments)

    def commit(self, files: Mapping[str, str]) -> None:
        """Add a commit with these files to the repository."""
        commit(self.source, files)

    @property
    def tree(self) -> set[str]:
        """The files of the checkout."""
        files = {path for path in self.folder.rglob("*") if path.is_file()}
        names = {path.relative_to(self.folder) for path in files}
        return {str(name) for name in names if ".git" not in name.parts}


def git(folder: Path, *arguments: str) -> str:
    """Run git in a folder. Return its output, or an empty string if it fails."""
    values = {"user.name": "a", "user.email": "a@example.org", "commit.gpgsign": "false"}
    settings = [part for name, text in values.items() for part in ("-c", f"{name}={text}")]
    process = subprocess.run(
        ("git", *settings, *arguments), cwd=folder, capture_output=True, text=True, check=False
    )
    return process.stdout.strip()


def commit(folder: Path, files: Mapping[str, str]) -> None:
    """Add a commit with these files to a repository."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, "utf-8")
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message=x")


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the repository that each test gets a copy of."""
    folder = tmp_path_factory.mktemp("template")
    with pytest.MonkeyPatch.context() as patch:
        without_settings_of_the_host(patch, tmp_path_factory.mktemp("settings"))
        git(folder, "init", "--quiet", "--initial-branch=main", "--template=")
        commit(folder, {"a/one.txt": "1", "b/two.txt": "2"})
        git(folder, "tag", "v0.9.0")
        git(folder, "branch", "other")
        commit(folder, {"a/one.txt": "new"})
        git(folder, "tag", "--annotate", "--message=x", "v1.0.0")
    return folder


def without_settings_of_the_host(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Let git use an empty file of settings in ``folder``."""
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)
    settings = folder / "git-settings"
    settings.touch()
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(settings))


@pytest.fixture
def action(template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CheckoutAction:
    without_settings_of_the_host(monkeypatch, tmp_path)
    return CheckoutAction(template, tmp_path, monkeypatch)


ALL = {"a/one.txt", "b/two.txt"}


@pytest.mark.parametrize("version", ["v4.0.0", "v6.0.1", "v7.0.1"])
@pytest.mark.parametrize(
    ("inputs", "head", "commits", "tree"),
    [
        ({}, "head", 1, ALL),
        ({"fetch__depth": "2"}, "head", 2, ALL),
        ({"fetch__depth": "0"}, "head", 2, ALL),
        ({"fetch__depth": "all"}, "head", 2, ALL),
        ({"ref": "v0.9.0"}, "first", 1, ALL),
        ({"ref": "refs/tags/v0.9.0"}, "first", 1, ALL),
        ({"ref": "other"}, "first", 1, ALL),
        ({"ref": "refs/heads/other"}, "first", 1, ALL),
        ({"ref": "SHA"}, "first", 1, ALL),
        ({"sparse-checkout": "a"}, "head", 1, {"a/one.txt"}),
        (
            {"sparse-checkout": "b/two.txt", "sparse-checkout-cone-mode": "false"},
            "head",
            1,
            {"b/two.txt"},
        ),
    ],
)
def test_checkout(
    action: CheckoutAction,
    version: str,
    inputs: Mapping[str, str],
    head: str,
    commits: int,
    tree: set[str],
) -> None:
    values = {name: text.replace("SHA", action.first) for name, text in inputs.items()}
    action.run(version, **{name.replace("-", "__"): text for name, text in values.items()})
    assert action.git("rev-parse", "HEAD") == (action.head if head == "head" else action.first)
    assert len(action.git("rev-list", "HEAD").splitlines()) == commits
    assert action.tree == tree


def test_checkout_of_a_branch_is_on_the_branch(action: CheckoutAction) -> None:
    action.run(ref="other")
    assert action.git("rev-parse", "--abbrev-ref", "HEAD") == "other"


@pytest.mark.parametrize(
    ("version", "depth", "kind"),
    [
        ("v4.4.0", "1", "commit"),
        ("v5.1.0", "0", "commit"),
        ("v6.0.1", "1", "commit"),
        ("v6.0.2", "1", "tag"),
        ("v7.0.1", "0", "tag"),
    ],
)
def test_annotated_tag_is_kept_since_6_0_2(
    action: CheckoutAction, version: str, depth: str, kind: str
) -> None:
    action.run(version, fetch__depth=depth)
    assert action.git("cat-file", "-t", "refs/tags/v1.0.0") == kind


@pytest.mark.parametrize("version", ["v6.0.2", "v7.0.1"])
def test_fetch_tags_fetches_all_tags(action: CheckoutAction, version: str) -> None:
    action.run(version, fetch__tags="true")
    assert action.git("tag").split() == ["v0.9.0", "v1.0.0"]


def test_fetch_tags_of_an_annotated_tag_fails_before_6_0_2(action: CheckoutAction) -> None:
    with pytest.raises(Exception, match="exit code"):
        action.run("v4.4.0", fetch__tags="true")


@pytest.mark.parametrize(("version", "refused"), [("v7.0.1", True), ("v4.4.0", False)])
def test_moved_tag_is_refused_since_6_0_2(
    action: CheckoutAction, version: str, refused: bool
) -> None:
    action.git("tag", "--force", "v1.0.0", action.first, folder=action.source)
    if refused:
        with pytest.raises(Exception, match="does not point to the expected commit"):
            action.run(version)
    else:
        action.run(version)
        assert action.git("rev-parse", "HEAD") == action.head


@pytest.mark.parametrize("ref", ["none", "0" * 40])
def test_unknown_ref_fails(action: CheckoutAction, ref: str) -> None:
    with pytest.raises(action.module.Failure):
        action.run(ref=ref)


@pytest.mark.parametrize(
    ("version", "outputs"), [("v4.1.7", False), ("v4.2.0", True), ("v7.0.1", True)]
)
def test_outputs_exist_since_4_2_0(action: CheckoutAction, version: str, outputs: bool) -> None:
    action.run(version)
    file = action.outputs_folder / "github_output"
    assert file.exists() is outputs
    if outputs:
        assert action.head in file.read_text("utf-8")
        assert "refs/tags/v1.0.0" in file.read_text("utf-8")


def credentials(folder: Path) -> bool:
    """Return whether a file of a folder has the credentials of the token `secret`."""
    encoded = base64.b64encode(b"x-access-token:secret")
    return any(encoded in path.read_bytes() for path in folder.glob("*") if path.is_file())


@pytest.mark.parametrize("version", ["v4.4.0", "v5.1.0", "v6.1.0", "v7.0.1"])
@pytest.mark.parametrize("persist", ["true", "false"])
def test_credentials_are_in_the_checkout_before_version_6(
    action: CheckoutAction, version: str, persist: str
) -> None:
    action.run(version, token="secret", persist__credentials=persist)  # noqa: S106
    in_checkout = version < "v6"
    assert credentials(action.folder / ".git") is (persist == "true" and in_checkout)
    assert credentials(action.outputs_folder) is (persist == "true" and not in_checkout)
    header = action.git("config", "--get", f"http.{SERVER}/.extraheader")
    assert bool(header) is (persist == "true")


def test_second_checkout_cleans_the_folder_only_if_it_should(action: CheckoutAction) -> None:
    for clean in ("true", "false"):
        action.run(ref="main")
        (action.folder / "untracked").touch()
        action.run(clean=clean)
        assert ("untracked" in action.tree) is (clean == "false")
        assert action.git("branch", "--format=%(refname:short)").splitlines()[1:] == []


def test_folder_of_another_repository_is_emptied(action: CheckoutAction) -> None:
    action.git("init", "--quiet")
    (action.folder / "file").touch()
    (action.folder / "link").symlink_to(action.source)
    action.run()
    assert action.tree == ALL
    assert (action.source / "a").is_dir()


def test_path_is_a_folder_of_the_workspace(action: CheckoutAction) -> None:
    action.run(path="sub")
    assert action.tree == {f"sub/{name}" for name in ALL}
    with pytest.raises(Exception, match="is not under"):
        action.run(path="..")


MODULES = '[submodule "m"]\n\tpath = m\n\turl = https://github.example/x/m\n'


@pytest.mark.parametrize(
    ("inputs", "files", "feature"),
    [
        ({"repository": "other/name"}, {}, "other/name"),
        ({"github__server__url": "https://else.example"}, {}, "else.example"),
        ({"submodules": "recursive"}, {".gitmodules": MODULES}, "github.example/x/m"),
        ({"lfs": "true"}, {".gitattributes": "*.bin filter=lfs\n", "x.bin": "x"}, "x.bin"),
        ({"ssh__key": "x"}, {}, "ssh-key"),
    ],
)
def test_unsupported_feature_is_named(
    action: CheckoutAction,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    inputs: Mapping[str, str],
    files: Mapping[str, str],
    feature: str,
) -> None:
    if files:
        action.commit(files)
    monkeypatch.setenv("GITHUB_REF", "refs/heads/main")
    monkeypatch.setenv("GITHUB_SHA", action.git("rev-parse", "main", folder=action.source))
    with pytest.raises(SystemExit):
        action.run("v4.4.0", **inputs)
    (report,) = [
        line for line in capsys.readouterr().out.splitlines() if line.startswith("e2e-unsupported")
    ]
    assert feature in report
    assert "v4.4.0" in report


@pytest.mark.parametrize("inputs", [{"submodules": "true"}, {"lfs": "true"}])
def test_input_without_an_effect_on_this_repository_is_supported(
    action: CheckoutAction, inputs: Mapping[str, str]
) -> None:
    action.run("v4.4.0", **inputs)
    assert action.tree == ALL
