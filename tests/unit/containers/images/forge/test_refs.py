"""Branches and tags."""

from __future__ import annotations

import pytest
from forge.config import Repository
from forge.refs import Refs, RefTarget, is_well_formed, version_key

MAIN, OLD, NEW, TAG_OBJECT = "a" * 40, "b" * 40, "c" * 40, "d" * 40


@pytest.fixture
def refs() -> Refs:
    return Refs(
        Repository(
            owner="o",
            name="n",
            id=1,
            owner_id=2,
            visibility="public",
            default_branch="main",
            branches={"main": MAIN, "fix": OLD},
            tags={"v1.0": OLD, "v1.10": NEW, "v1.2": OLD},
            annotated={"v1.10": TAG_OBJECT},
        )
    )


@pytest.mark.parametrize("name", ["v1.0", "python/v1.0", "a@b", "1", "v1.0.locked", "ä"])
def test_name_that_git_accepts_is_well_formed(name: str) -> None:
    assert is_well_formed(name)


@pytest.mark.parametrize(
    "name",
    [
        *("", "@", "a b", "a\tb", "a\x7f", "a~1", "a^", "a:b", "a?", "a*", "a[", "a\\b"),
        *("a..b", "a@{1}", "a//b", "a/.b", ".a", "/a", "-a", "a.", "a/", "a.lock", "a.lock/b"),
        "\ud800",
    ],
)
def test_name_that_git_refuses_is_not_well_formed(name: str) -> None:
    assert not is_well_formed(name)


def test_tags_are_sorted_with_the_highest_version_first(refs: Refs) -> None:
    assert list(refs.tags().items()) == [("v1.10", NEW), ("v1.2", OLD), ("v1.0", OLD)]


def test_branches_are_sorted_by_name(refs: Refs) -> None:
    assert list(refs.branches().items()) == [("fix", OLD), ("main", MAIN)]


@pytest.mark.parametrize(
    ("commitish", "commit"),
    [
        ("main", MAIN),
        ("refs/heads/fix", OLD),
        ("v1.10", NEW),
        ("refs/tags/v1.10", NEW),
        (NEW, NEW),
        (TAG_OBJECT, None),
        (NEW.upper(), None),
        ("refs/tags/main", None),
        ("v9", None),
        ("", None),
    ],
)
def test_commit_is_found_by_its_hash_branch_or_tag(
    refs: Refs, commitish: str, commit: str | None
) -> None:
    assert refs.commit(commitish) == commit


@pytest.mark.parametrize(
    ("name", "target"),
    [
        ("refs/heads/main", RefTarget("commit", MAIN)),
        ("refs/tags/v1.0", RefTarget("commit", OLD)),
        ("refs/tags/v1.10", RefTarget("tag", TAG_OBJECT)),
        ("refs/heads/v1.0", None),
        ("refs/tags/main", None),
        ("refs/notes/v1.0", None),
    ],
)
def test_ref_points_to_a_commit_or_a_tag_object(
    refs: Refs, name: str, target: RefTarget | None
) -> None:
    assert refs.find(name) == target


def test_names_with_a_prefix_are_full_and_sorted(refs: Refs) -> None:
    assert refs.names("tags/v1.1") == ["refs/tags/v1.10"]
    assert refs.names("") == [
        *("refs/heads/fix", "refs/heads/main"),
        *("refs/tags/v1.0", "refs/tags/v1.10", "refs/tags/v1.2"),
    ]
    assert refs.names("tags/v9") == []


def test_annotated_tag_is_found_by_its_tag_object(refs: Refs) -> None:
    assert refs.tag_of(TAG_OBJECT) == ("v1.10", NEW)
    assert refs.tag_of(NEW) is None


def test_new_tag_points_to_its_target_or_the_default_branch(refs: Refs) -> None:
    refs.create_tag("v2.0", "fix")
    refs.create_tag("v2.1", "")
    refs.create_tag("v2.2", "nowhere")
    tags = refs.tags()
    assert (tags["v2.0"], tags["v2.1"]) == (OLD, MAIN)
    assert "v2.2" not in tags


def test_existing_tag_is_not_moved(refs: Refs) -> None:
    refs.create_tag("v1.0", "main")
    assert refs.tags()["v1.0"] == OLD


def test_deleting_a_tag_removes_its_tag_object(refs: Refs) -> None:
    assert refs.delete("refs/tags/v1.10")
    assert refs.find("refs/tags/v1.10") is None
    assert refs.tag_of(TAG_OBJECT) is None
    assert not refs.delete("refs/tags/v1.10")


@pytest.mark.parametrize("name", ["refs/heads/main", "v1.0", "refs/tags/", "refs/tags/main"])
def test_only_full_names_of_tags_are_deleted(refs: Refs, name: str) -> None:
    names = refs.names("")
    assert not refs.delete(name)
    assert refs.names("") == names


def test_returned_mappings_are_copies(refs: Refs) -> None:
    refs.tags().clear()
    refs.branches().clear()
    assert len(refs.tags()) == 3
    assert len(refs.branches()) == 2


def test_versions_are_sorted_by_number_and_candidates_before_releases() -> None:
    tags = ["v1.10", "v1.9", "v1.10rc1", "nightly", "1.10.1", "v1.9-extra", "v٣"]
    assert sorted(tags, key=version_key) == [
        *("nightly", "v٣", "v1.9-extra", "v1.9", "v1.10rc1", "v1.10", "1.10.1"),
    ]
