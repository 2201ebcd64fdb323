"""Tests of the rules for `on`, with the examples in the documentation of GitHub."""

from __future__ import annotations

from pathlib import Path

import pytest

from verification.models.workflow import BadWorkflow, Event, Workflow
from verification.models.workflow_file import load, parse
from verification.pipeline.triggers import compile_pattern, decide

JOBS = "jobs: {one: {runs-on: x, steps: [{run: a}]}}\n"
REAL = Path(__file__).resolve().parents[4] / ".github" / "workflows" / "publish.yml"


def on(text: str) -> Workflow:
    return parse(f"on:\n{text}\n{JOBS}", Path("demo.yml"))


def matches(pattern: str, name: str) -> bool:
    return bool(compile_pattern(pattern).fullmatch(name))


# Workflow syntax for GitHub Actions, "Patterns to match branches and tags".
REFS = {
    "feature/*": ["feature/my-branch", "feature/your-branch"],
    "feature/**": ["feature/beta-a/my-branch", "feature/your-branch", "feature/mona/the/octocat"],
    "main": ["main"],
    "releases/mona-the-octocat": ["releases/mona-the-octocat"],
    "*": ["main", "releases"],
    "**": ["all/the/branches", "every/tag"],
    "*feature": ["mona-feature", "feature", "ver-10-feature"],
    "v2*": ["v2", "v2.0", "v2.9"],
    "v[12].[0-9]+.[0-9]+": ["v1.10.1", "v2.0.0"],
    "Octo*": ["Octocat"],
    "[CB]at": ["Cat", "Bat"],
    "[1-2]00": ["100", "200"],
}
# "Patterns to match file paths".
PATHS = {
    "*": ["README.md", "server.rb"],
    "*.jsx?": ["page.js", "page.jsx"],
    "**": ["all/the/files.md"],
    "*.js": ["app.js", "index.js"],
    "**.js": ["index.js", "js/index.js", "src/js/app.js"],
    "docs/*": ["docs/README.md", "docs/file.txt"],
    "docs/**": ["docs/README.md", "docs/mona/octocat.txt"],
    "docs/**/*.md": ["docs/README.md", "docs/mona/hello-world.md", "docs/a/markdown/file.md"],
    "**/docs/**": ["docs/hello.md", "dir/docs/my-file.txt", "space/docs/plan/space.doc"],
    "**/README.md": ["README.md", "js/README.md"],
    "**/*src/**": ["a/src/app.js", "my-src/code/js/app.js"],
    "**/*-post.md": ["my-post.md", "path/their-post.md"],
    "**/migrate-*.sql": ["migrate-10909.sql", "db/migrate-v1.0.sql", "db/sept/migrate-v1.sql"],
}


@pytest.mark.parametrize("examples", [REFS, PATHS], ids=["refs", "paths"])
def test_documented_examples_match(examples: dict[str, list[str]]) -> None:
    not_matching = [
        (pattern, name)
        for pattern, names in examples.items()
        for name in names
        if not matches(pattern, name)
    ]
    assert not_matching == []


def test_names_that_differ_from_the_pattern_do_not_match() -> None:
    others = [
        ("feature/*", "feature/a/b"),
        ("*", "a/b"),
        ("v2*", "v2/x"),
        ("v[12].[0-9]+.[0-9]+", "v3.0.0"),
        ("v[12].[0-9]+.[0-9]+", "v1.10.1-rc1"),
        ("v[12].[0-9]+.[0-9]+", "v1..1"),
        ("*.jsx?", "page.jsxx"),
        ("*.js", "js/index.js"),
        ("docs/*", "docs/mona/octocat.txt"),
        ("**/README.md", "xREADME.md"),
        ("main", "maine"),
        ("v1.0", "v1x0"),
        ("v*.*.*", "v1.2"),
        ("v*.*.*", "release/v1.2.3"),
        ("v*.*.*", "v1.2.3/x"),
        ("v*.*.*", "V1.2.3"),
        ("[0-9]", "10"),
    ]
    assert [(pattern, name) for pattern, name in others if matches(pattern, name)] == []


def test_backslash_makes_a_special_character_literal() -> None:
    assert matches(r"c\+\+", "c++")
    assert not matches(r"c\+\+", "ccc")
    assert matches(r"a\*", "a*")
    assert not matches(r"a\*", "ab")


@pytest.mark.parametrize(
    "pattern",
    ["", "+a", "?", "a*+", "a**?", "a+?", "[", "[]", "[a", "[a_]", "[z-a]", "[A-z]", "a\\"],
)
def test_invalid_pattern_is_refused(pattern: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        compile_pattern(pattern)


def test_invalid_pattern_is_reported_with_its_line() -> None:
    workflow = on("  push:\n    tags:\n      - v1\n      - '[v'")

    with pytest.raises(BadWorkflow, match=r"^demo\.yml:5: .*'\[v'"):
        decide(workflow, Event(ref="refs/tags/v1"))


def test_last_matching_pattern_decides() -> None:
    for patterns, path, started in (
        ("'*.md', '!README.md'", "hello.md", True),
        ("'*.md', '!README.md'", "README.md", False),
        ("'*.md', '!README.md'", "docs/hello.md", False),
        ("'*.md', '!README.md', README*", "hello.md", True),
        ("'*.md', '!README.md', README*", "README.md", True),
        ("'*.md', '!README.md', README*", "README.doc", True),
        ("'sub-project/**', '!sub-project/docs/**'", "sub-project/src/index.js", True),
        ("'sub-project/**', '!sub-project/docs/**'", "sub-project/docs/readme.md", False),
    ):
        workflow = on(f"  push:\n    paths: [{patterns}]")
        event = Event(ref="refs/heads/main", changed=(path,))
        assert decide(workflow, event).triggered is started, (patterns, path)


def test_documented_example_of_excluded_branches() -> None:
    workflow = on("  push:\n    branches: ['releases/**', '!releases/**-alpha']")
    started = {
        "releases/10": True,
        "releases/beta/mona": True,
        "releases/10-alpha": False,
        "releases/beta/3-alpha": False,
        "main": False,
    }
    assert {
        branch: decide(workflow, Event(ref=f"refs/heads/{branch}")).triggered for branch in started
    } == started


MAIN, TAG = "refs/heads/main", "refs/tags/v1"


@pytest.mark.parametrize(
    ("filters", "branch", "tag"),
    [
        ("", True, True),
        ("tags: [v1]", False, True),
        ("branches: [main]", True, False),
        ("tags-ignore: [v2]", False, True),
        ("tags-ignore: ['v*']", False, False),
        ("branches-ignore: [dev]", True, False),
        ("branches-ignore: ['**']", False, False),
        ("{branches: [main], tags: [v2]}", True, False),
        ("{branches: [dev], tags: ['v*']}", False, True),
        ("{branches: [main], tags-ignore: [v1]}", True, False),
        # GitHub ignores the path filters for tags.
        ("paths: [docs/**]", False, True),
        ("{branches: [main], paths: [src/**]}", True, False),
        ("{branches: [main], paths: [docs/**]}", False, False),
        ("{tags: [v1], paths: [docs/**]}", False, True),
        ("paths-ignore: [src/**]", False, True),
        ("paths-ignore: [docs/**]", True, True),
    ],
)
def test_filters_decide_for_branches_and_tags(filters: str, branch: bool, tag: bool) -> None:
    text = f"  push: {filters}" if filters.startswith("{") else f"  push:\n    {filters}"
    workflow = on(text if filters else "  push:")

    decisions = [decide(workflow, Event(ref=ref, changed=("src/a.py",))) for ref in (MAIN, TAG)]

    assert [decision.triggered for decision in decisions] == [branch, tag]
    assert all(decision.reason for decision in decisions)


def test_ignored_paths_exclude_an_event_only_if_all_changed_files_match() -> None:
    workflow = on("  push:\n    paths-ignore: ['docs/**']")

    assert decide(workflow, Event(ref=MAIN, changed=("docs/a.md", "src/a.py")))
    assert not decide(workflow, Event(ref=MAIN, changed=("docs/a.md", "docs/b.md")))


@pytest.mark.parametrize("text", ["on: push", "on: [push, pull_request]", "on: {push: }"])
def test_events_may_be_a_string_a_list_or_a_table(text: str) -> None:
    workflow = parse(f"{text}\n{JOBS}", Path("demo.yml"))

    assert decide(workflow, Event(ref=TAG))
    assert not decide(workflow, Event(name="schedule"))


@pytest.mark.parametrize(
    "event",
    [
        Event(ref=TAG, tags=4),
        Event(ref=TAG, message="Release [skip ci]"),
        Event(ref=TAG, message="Release\n\n\nskip-checks: true"),
        Event(ref=TAG, by_workflow=True),
        Event(ref="v1"),
    ],
)
def test_push_without_an_event_starts_nothing(event: Event) -> None:
    assert not decide(on("  push:"), event)


def test_three_tags_in_one_push_are_events() -> None:
    assert decide(on("  push:"), Event(ref=TAG, tags=3))


@pytest.mark.parametrize(
    ("filters", "event", "started"),
    [
        ("", Event(name="pull_request", base="main", type="opened"), True),
        ("", Event(name="pull_request", base="main", type="closed"), False),
        ("types: [closed]", Event(name="pull_request", base="main", type="closed"), True),
        ("branches: [main]", Event(name="pull_request", base="main", type="opened"), True),
        ("branches: [main]", Event(name="pull_request", base="dev", type="opened"), False),
        ("branches-ignore: [dev]", Event(name="pull_request", base="dev"), False),
        ("paths: ['*.md']", Event(name="pull_request", base="main", changed=("a.md",)), True),
        ("paths: ['*.md']", Event(name="pull_request", base="main", changed=("a.py",)), False),
        ("", Event(name="pull_request", base="main", message="[no ci]"), False),
    ],
)
def test_pull_requests_are_filtered_by_type_base_and_paths(
    filters: str, event: Event, started: bool
) -> None:
    workflow = on(f"  pull_request:\n    {filters}")

    assert decide(workflow, event).triggered is started


@pytest.mark.parametrize(
    ("trigger", "event", "started"),
    [
        ("release:", Event(name="release", type="created"), True),
        ("release:\n    types: [published]", Event(name="release", type="published"), True),
        ("release:\n    types: published", Event(name="release", type="published"), True),
        ("release:\n    types: [published]", Event(name="release", type="created"), False),
        ("release:\n    types: [published]", Event(name="release"), True),
        ("release:", Event(name="release", type="published", by_workflow=True), False),
        (
            "repository_dispatch:\n    types: [go]",
            Event(name="repository_dispatch", type="go"),
            True,
        ),
        (
            "repository_dispatch:\n    types: [go]",
            Event(name="repository_dispatch", type="x"),
            False,
        ),
        ("repository_dispatch:", Event(name="repository_dispatch", type="x"), True),
        (
            "repository_dispatch:",
            Event(name="repository_dispatch", type="x", by_workflow=True),
            True,
        ),
        (
            "repository_dispatch:",
            Event(name="repository_dispatch", on_default_branch=False),
            False,
        ),
        ("workflow_call:", Event(name="workflow_call"), False),
        ("schedule: [{cron: 0 0 * * *}]", Event(name="schedule"), True),
        ("schedule: [{cron: 0 0 * * *}]", Event(name="schedule", by_workflow=True), False),
        ("issue_comment:\n    types: [created]", Event(name="issue_comment", type="edited"), False),
        ("fork:", Event(name="fork"), True),
    ],
)
def test_other_events_are_filtered_by_type(trigger: str, event: Event, *, started: bool) -> None:
    decision = decide(on(f"  {trigger}"), event)

    assert decision.triggered is started
    assert decision.reason


@pytest.mark.parametrize(
    ("event", "started"),
    [
        (Event(name="workflow_run", workflow="Build", base="main", type="completed"), True),
        (Event(name="workflow_run", workflow="Lint", base="main", type="completed"), False),
        (Event(name="workflow_run", workflow="Build", base="dev", type="completed"), False),
        (Event(name="workflow_run", workflow="Build", base="main", type="requested"), False),
    ],
)
def test_workflow_run_is_filtered_by_workflow_branch_and_type(
    event: Event, *, started: bool
) -> None:
    filters = "    workflows: [Build]\n    branches: [main]\n    types: [completed]"

    assert decide(on(f"  workflow_run:\n{filters}"), event).triggered is started


@pytest.mark.parametrize(
    ("inputs", "ref", "started"),
    [
        ({"version": "1.0"}, "refs/heads/main", True),
        ({"version": "1.0"}, "refs/tags/v1", True),
        ({"version": "1.0"}, "", True),
        ({"version": "1.0"}, "0123abc", False),
        ({}, "refs/heads/main", False),
        ({"version": ""}, "refs/heads/main", False),
        ({"version": "1.0", "other": "x"}, "refs/heads/main", False),
        ({"version": "1.0", "index": "live"}, "refs/heads/main", True),
        ({"version": "1.0", "index": "other"}, "refs/heads/main", False),
        ({"version": "1.0", "dry": "true"}, "refs/heads/main", True),
        ({"version": "1.0", "dry": "maybe"}, "refs/heads/main", False),
    ],
)
def test_dispatch_is_decided_by_ref_and_inputs(
    inputs: dict[str, str], ref: str, *, started: bool
) -> None:
    workflow = on(
        "  workflow_dispatch:\n    inputs:\n      version: {required: true}\n"
        "      dry: {type: boolean}\n      with_default: {required: true, default: x}\n"
        "      index: {type: choice, options: [test, live]}"
    )
    event = Event(name="workflow_dispatch", ref=ref, inputs=inputs)

    assert decide(workflow, event).triggered is started
    assert decide(workflow, event.model_copy(update={"by_workflow": True})).triggered is started
    assert not decide(workflow, event.model_copy(update={"on_default_branch": False}))


def test_only_version_tags_start_the_real_workflow() -> None:
    started = {
        "refs/tags/v0.5.0": True,
        "refs/tags/v0.5.0rc1": True,
        "refs/tags/v10.20.30": True,
        "refs/tags/v0.5": False,
        "refs/tags/0.5.0": False,
        "refs/heads/main": False,
        "refs/heads/v0.5.0": False,
    }
    workflow = load(REAL)
    assert {ref: decide(workflow, Event(ref=ref)).triggered for ref in started} == started
