"""The release workflow of a checkout: its workflow, event, package, version and publisher."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.helpers.release_workflow import PUBLISHERS
from verification.models.errors import WrongUse
from verification.session.checkout import (
    CheckoutOptions,
    fields_to_register,
    minimal_subject,
    read_checkout,
    to_event,
)

PUBLISH = "- uses: pypa/gh-action-pypi-publish@release/v1"
PROJECT = '[project]\nname = "My.Package"\nversion = "1.2.0"\n'
DYNAMIC = '[project]\nname = "my-package"\ndynamic = ["version"]\n'


def workflow(on: str, steps: str = PUBLISH, keys: str = "") -> str:
    head = f"on: {on}\njobs:\n  publish:\n    runs-on: ubuntu-latest\n"
    return f"{head}{keys}    steps:\n      {steps}\n"


TAGS = workflow('{push: {tags: ["v*"]}}')


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return a checkout with one package and one workflow that a tag starts."""
    root = tmp_path / "checkout"
    write(root, "publish.yml", TAGS)
    (root / "pyproject.toml").write_text(PROJECT)
    return root


def write(root: Path, name: str, text: str) -> None:
    path = root / ".github" / "workflows" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def git(root: Path, *arguments: str) -> None:
    identity = ("-c", "user.name=a", "-c", "user.email=a@example.invalid")
    subprocess.run(("git", *identity, "-C", str(root), *arguments), check=True, capture_output=True)


def wheel_folder(folder: Path, *names: str) -> Path:
    folder.mkdir()
    for name in names:
        (folder / name).touch()
    return folder


def test_checkout_has_its_only_release_workflow_and_its_package(root: Path) -> None:
    write(root, "test.yml", "on: push\njobs: {a: {runs-on: x, steps: [{run: pytest}]}}\n")
    checkout = read_checkout(CheckoutOptions(root=root))
    assert (checkout.plan.workflow, checkout.plan.package_dir) == ("publish.yml", ".")
    assert (checkout.project, checkout.version) == ("my-package", "1.2.0")
    assert (checkout.event.kind, checkout.event.tags) == ("tag", ("v1.2.0",))
    assert to_event(checkout.event).ref == "refs/tags/v1.2.0"


@pytest.mark.parametrize(
    ("on", "kind", "tags"),
    [
        ('{push: {tags: ["*"]}}', "tag", ("v1.2.0",)),
        ('{push: {tags: ["[0-9]+.*"]}}', "tag", ("1.2.0",)),
        ('{push: {tags: ["release-*"]}}', "tag", ("release-1.2.0",)),
        ("{release: {types: [published]}, workflow_dispatch: }", "release", ("v1.2.0",)),
        ("{push: {branches: [main]}, workflow_dispatch: }", "workflow_dispatch", ()),
        ("{push: {branches: [main]}}", "branch", ()),
    ],
)
def test_event_is_the_first_that_starts_the_workflow(
    root: Path, on: str, kind: str, tags: tuple[str, ...]
) -> None:
    write(root, "publish.yml", workflow(on))
    checkout = read_checkout(CheckoutOptions(root=root))
    assert (checkout.event.kind, checkout.event.tags) == (kind, tags)


def test_option_names_the_event_and_the_tag(root: Path) -> None:
    write(root, "publish.yml", workflow("{push: , workflow_dispatch: , release: }"))
    options = CheckoutOptions(root=root, event="workflow_dispatch", tag="v1.2.0")
    event = read_checkout(options).event
    assert (event.kind, event.tags) == ("workflow_dispatch", ("v1.2.0",))


@pytest.mark.parametrize(
    ("types", "version", "event_type"),
    [
        ("[released, prereleased]", "1.2.0", "released"),
        ("[released, prereleased]", "1.2.0rc1", "prereleased"),
        ("[created]", "1.2.0", "created"),
        ("[released, published]", "1.2.0", "published"),
    ],
)
def test_release_has_a_type_that_starts_the_workflow(
    root: Path, types: str, version: str, event_type: str
) -> None:
    write(
        root,
        "publish.yml",
        workflow(f"{{push: {{branches: [main]}}, release: {{types: {types}}}}}"),
    )
    (root / "pyproject.toml").write_text(PROJECT.replace("1.2.0", version))
    event = to_event(read_checkout(CheckoutOptions(root=root)).event)
    assert (event.name, event.type) == ("release", event_type)


def test_workflow_that_no_event_of_a_release_starts_is_wrong_use(root: Path) -> None:
    write(root, "publish.yml", workflow("{pull_request: {types: [closed]}}"))
    check_refused(CheckoutOptions(root=root), ["publish.yml", "pull_request", "--event"])


def test_default_inputs_that_do_not_publish_are_wrong_use(root: Path) -> None:
    on = "{workflow_dispatch: {inputs: {publish: {type: boolean}}}}"
    write(root, "publish.yml", workflow(on, keys="    if: inputs.publish\n"))
    check_refused(CheckoutOptions(root=root), ["publish.yml", "inputs.publish", "--input"])
    event = read_checkout(CheckoutOptions(root=root, inputs=("publish=true",))).event
    assert dict(event.inputs) == {"publish": "true"}


def test_tag_has_the_style_of_the_newest_tag(root: Path) -> None:
    write(root, "publish.yml", workflow("{push: {tags: ['*']}}"))
    git(root, "init", "--quiet")
    git(root, "commit", "--quiet", "--allow-empty", "--message=a")
    git(root, "tag", "python-0.9.0")
    assert read_checkout(CheckoutOptions(root=root)).event.tags == ("python-1.2.0",)
    (root / "pyproject.toml").write_text(DYNAMIC)
    checkout = read_checkout(CheckoutOptions(root=root))
    assert (checkout.version, checkout.event.tags) == ("0.9.0", ("python-0.9.0",))


def test_dynamic_version_is_that_of_the_option_or_of_the_wheels(root: Path, tmp_path: Path) -> None:
    (root / "pyproject.toml").write_text(DYNAMIC)
    assert read_checkout(CheckoutOptions(root=root, tag="v3.1rc1")).version == "3.1rc1"
    wheels = wheel_folder(tmp_path / "wheels", "my_package-4.0-py3-none-any.whl")
    checkout = read_checkout(CheckoutOptions(root=root, wheels=wheels))
    assert (checkout.version, checkout.event.tags) == ("4.0", ("v4.0",))


def test_inputs_of_a_dispatch_have_the_defaults_of_the_workflow(root: Path) -> None:
    on = "{workflow_dispatch: {inputs: {a: {required: true}, b: {default: x}}}}"
    write(root, "publish.yml", workflow(on))
    event = read_checkout(CheckoutOptions(root=root, inputs=("a=1=2",))).event
    assert dict(event.inputs) == {"a": "1=2", "b": "x"}


def test_registration_is_that_of_the_option_the_checkout_or_the_subject(
    root: Path, tmp_path: Path
) -> None:
    text = PUBLISHERS.read_text("utf-8").replace('"quiverdb"', '"my-package"')
    option, own = tmp_path / "option.toml", tmp_path / "own.toml"
    option.write_text(text)
    own.write_text(text)
    named = read_checkout(CheckoutOptions(root=root, publisher=option))
    assert (named.registered, named.publishers_file) == (True, "option.toml")
    of_subject = read_checkout(CheckoutOptions(root=root), own)
    assert of_subject.publishers == named.publishers
    (root / "publishers.toml").write_text(text.replace("pypi", "other"))
    (publisher,) = read_checkout(CheckoutOptions(root=root), own).publishers
    assert publisher.environment == "other"


def test_registration_of_another_project_is_wrong_use(root: Path) -> None:
    check_refused(CheckoutOptions(root=root, publisher=PUBLISHERS), ["quiverdb", "my-package"])
    check_refused(CheckoutOptions(root=root, publisher=root / "none"), ["--publisher", "none"])


def test_workflow_without_a_registration_names_the_fields_to_register(root: Path) -> None:
    write(root, "publish.yml", workflow("push", keys="    environment: pypi\n"))
    git(root, "init", "--quiet")
    git(root, "remote", "add", "origin", "git@github.com:Some-Owner/some.repo.git")
    checkout = read_checkout(CheckoutOptions(root=root))
    (publisher,) = checkout.publishers
    assert not checkout.registered
    assert publisher.form() | {"owner_id": ""} == {
        "project": "my-package",
        "owner": "Some-Owner",
        "owner_id": "",
        "repository": "some.repo",
        "workflow": "publish.yml",
        "environment": "pypi",
    }
    fields = fields_to_register(publisher)
    assert all(text in fields for text in ("Some-Owner", "some.repo", "publish.yml", "pypi"))


def test_publisher_of_a_called_workflow_is_the_called_file(root: Path) -> None:
    call = "on: push\njobs: {publish: {uses: ./.github/workflows/upload.yml}}\n"
    write(root, "publish.yml", call)
    write(root, "upload.yml", workflow("workflow_call"))
    checkout = read_checkout(CheckoutOptions(root=root))
    assert checkout.plan.workflow == "publish.yml"
    assert checkout.publishers[0].workflow == "upload.yml"
    with pytest.raises(WrongUse, match=r"upload\.yml"):
        read_checkout(CheckoutOptions(root=root, workflow="upload.yml"))


def test_minimal_subject_has_the_platforms_of_the_wheels(root: Path, tmp_path: Path) -> None:
    checkout = read_checkout(CheckoutOptions(root=root))
    wheels = wheel_folder(
        tmp_path / "wheels",
        "my_package-1.2.0-cp313-cp313-win_amd64.whl",
        "my_package-1.2.0-cp313-cp313-macosx_11_0_arm64.whl",
        "my_package-1.2.0-py3-none-any.whl",
    )
    subject = minimal_subject(checkout, wheels)
    assert (subject.name, subject.import_package) == ("my-package", "my_package")
    assert [platform.tag for platform in subject.platforms] == ["macosx_11_0_arm64", "win_amd64"]
    assert not any(platform.execute or platform.required for platform in subject.platforms)
    assert minimal_subject(checkout, None).platforms


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"workflow": "none.yml"}, ["--workflow", "none.yml", "publish.yml"]),
        ({"package_dir": "other"}, ["--package-dir", "other"]),
        ({"inputs": ("a",)}, ["--input", "a", "NAME=VALUE"]),
        ({"inputs": ("a=1",)}, ["--input", "tag"]),
    ],
)
def test_wrong_option_is_one_line(root: Path, values: dict[str, object], words: list[str]) -> None:
    check_refused(CheckoutOptions.model_validate({"root": root, **values}), words)


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"other.yml": TAGS}, ["--workflow", "other.yml", "publish.yml"]),
        ({"publish.yml": workflow("push", "- run: echo")}, ["--workflow", "publish.yml"]),
        (
            {"publish.yml": workflow("{workflow_dispatch: {inputs: {a: {required: true}}}}")},
            ["publish.yml", "'a'", "--input"],
        ),
    ],
    ids=["several workflows", "no workflow", "missing input"],
)
def test_ambiguous_workflow_or_missing_input_names_the_option(
    root: Path, files: dict[str, str], words: list[str]
) -> None:
    for name, text in files.items():
        write(root, name, text)
    check_refused(CheckoutOptions(root=root), words)


def test_package_is_the_only_folder_with_a_project(root: Path) -> None:
    (root / "pyproject.toml").write_text("[tool.x]\n")
    for name in ("python", "tests"):
        (root / "bindings" / name).mkdir(parents=True)
        (root / "bindings" / name / "pyproject.toml").write_text(PROJECT)
    assert read_checkout(CheckoutOptions(root=root)).plan.package_dir == "bindings/python"
    (root / "second").mkdir()
    (root / "second" / "pyproject.toml").write_text(PROJECT)
    check_refused(CheckoutOptions(root=root), ["--package-dir", "bindings/python", "second"])
    options = CheckoutOptions(root=root, package_dir="second")
    assert read_checkout(options).plan.package_dir == "second"


def test_package_is_the_folder_that_the_workflow_builds(root: Path) -> None:
    (root / "python").mkdir()
    (root / "python" / "pyproject.toml").write_text(PROJECT.replace("My.Package", "other"))
    step = "{uses: pypa/cibuildwheel@v3.3.1, with: {package-dir: FOLDER}}"
    build = f"build: {{runs-on: ubuntu-latest, steps: [{step}]}}"
    path = next((root / ".github" / "workflows").iterdir())
    text = path.read_text()
    path.write_text(text.replace("jobs:\n", f"jobs:\n  {build.replace('FOLDER', 'python')}\n"))
    found = read_checkout(CheckoutOptions(root=root))
    assert (found.plan.package_dir, found.project) == ("python", "other")
    path.write_text(text)
    other = f"on: workflow_dispatch\njobs:\n  {build.replace('FOLDER', 'python')}\n"
    path.with_name("dispatched.yml").write_text(other)
    assert read_checkout(CheckoutOptions(root=root)).project == "other"
    path.write_text(text.replace("jobs:\n", f"jobs:\n  {build.replace('FOLDER', './')}\n"))
    assert read_checkout(CheckoutOptions(root=root)).plan.package_dir == "."


def test_package_of_the_subject_is_preferred(root: Path) -> None:
    (root / "python").mkdir()
    (root / "python" / "pyproject.toml").write_text(PROJECT.replace("My.Package", "other"))
    assert read_checkout(CheckoutOptions(root=root)).plan.package_dir == "."
    assert read_checkout(CheckoutOptions(root=root, project="other")).plan.package_dir == "python"
    assert read_checkout(CheckoutOptions(root=root, project="third")).plan.package_dir == "."


def test_index_files_are_wheels_of_other_packages(root: Path, tmp_path: Path) -> None:
    folder = wheel_folder(tmp_path / "index", "twine-7.0.0-py3-none-any.whl")
    found = read_checkout(CheckoutOptions(root=root, index_files=folder))
    assert [path.name for path in found.index_files] == ["twine-7.0.0-py3-none-any.whl"]
    assert read_checkout(CheckoutOptions(root=root)).index_files == ()
    check_refused(CheckoutOptions(root=root, index_files=tmp_path / "none"), ["--index-files"])
    own = wheel_folder(tmp_path / "own", "my_package-1.2.0-py3-none-any.whl")
    check_refused(CheckoutOptions(root=root, index_files=own), ["--index-files", "my_package"])


def test_wheels_must_be_those_of_the_checkout(root: Path, tmp_path: Path) -> None:
    wheels = wheel_folder(tmp_path / "wheels", "my_package-9.0-py3-none-any.whl")
    check_refused(CheckoutOptions(root=root, wheels=wheels), ["--wheels", "9.0", "1.2.0"])
    check_refused(CheckoutOptions(root=root, wheels=tmp_path / "none"), ["--wheels", "none"])
    other = wheel_folder(tmp_path / "other", "another-1.2.0-py3-none-any.whl")
    check_refused(CheckoutOptions(root=root, wheels=other), ["another"])


def test_checkout_without_a_package_a_version_or_workflows_is_wrong_use(
    root: Path, tmp_path: Path
) -> None:
    (root / "pyproject.toml").write_text(DYNAMIC)
    check_refused(CheckoutOptions(root=root), ["--tag"])
    (root / "pyproject.toml").unlink()
    check_refused(CheckoutOptions(root=root), ["--package-dir", "--wheels"])
    check_refused(CheckoutOptions(root=tmp_path), ["--repository", ".github/workflows"])
    (root / "pyproject.toml").write_text('[project]\nname = "x"\nversion = "new"\n')
    check_refused(CheckoutOptions(root=root), ["'new'"])


def check_refused(options: CheckoutOptions, words: list[str]) -> None:
    with pytest.raises(WrongUse) as error:
        read_checkout(options)
    message = str(error.value)
    assert "\n" not in message
    assert [word for word in words if word not in message] == []


DISPATCHES = (
    "on: {workflow_dispatch: }\n"
    "jobs: {start: {runs-on: x, steps: [{run: gh workflow run python.yml -f index=pypi}]}}\n"
)
DISPATCHED = """
on: {workflow_dispatch: {inputs: {index: }}}
jobs:
  other:
    if: inputs.index != 'pypi'
    runs-on: x
    environment: test
    steps: [{uses: pypa/gh-action-pypi-publish@v1}]
  publish:
    uses: ./.github/workflows/upload.yml
    with: {index: "${{ inputs.index }}"}
"""
CALLED = """
on: {workflow_call: {inputs: {index: {type: string}}}}
jobs:
  upload:
    runs-on: x
    environment: "${{ inputs.index }}"
    steps: [{uses: pypa/gh-action-pypi-publish@v1}]
"""


def test_fields_to_register_are_those_of_the_run_that_publishes(root: Path) -> None:
    write(root, "publish.yml", DISPATCHES)
    write(root, "python.yml", DISPATCHED)
    write(root, "upload.yml", CALLED)
    checkout = read_checkout(CheckoutOptions(root=root, workflow="publish.yml"))
    (publisher,) = checkout.publishers
    assert (publisher.workflow, publisher.environment) == ("upload.yml", "pypi")
    assert set(checkout.plan.files) == {
        ".github/workflows/publish.yml",
        ".github/workflows/python.yml",
    }
    assert "upload" in {claim.shown_by for claim in checkout.plan.claims}


@pytest.mark.parametrize(("option", "tag"), [("", "py-v1.2.0"), ("release-1.2.0", "release-1.2.0")])
def test_release_without_a_tag_event_has_the_tag_of_the_option_or_of_the_newest_form(
    root: Path, option: str, tag: str
) -> None:
    git(root, "init")
    git(root, "add", ".")
    git(root, "commit", "-m", "x")
    git(root, "tag", "py-v1.1.0")
    write(root, "publish.yml", DISPATCHES)
    write(root, "python.yml", DISPATCHED)
    write(root, "upload.yml", CALLED)
    options = CheckoutOptions(root=root, workflow="publish.yml", tag=option)
    assert read_checkout(options).tag == tag
