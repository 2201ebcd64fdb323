"""Generated release notes."""

from __future__ import annotations

import pytest

from tests.helpers.forge_server import Forge, refused_fields

WEB = "https://github.com/quiver-owner/quiver2"


@pytest.mark.parametrize(
    ("body", "link"),
    [
        ({"tag_name": "v0.5.0"}, "compare/v0.4.0...v0.5.0"),
        ({"tag_name": "v0.10.0"}, "compare/v0.6.0...v0.10.0"),
        ({"tag_name": "v0.4.0"}, "compare/nightly...v0.4.0"),
        ({"tag_name": "v0.6.0", "previous_tag_name": "v0.4.0"}, "compare/v0.4.0...v0.6.0"),
        ({"tag_name": "v9", "target_commitish": "main"}, "compare/v0.10.0...v9"),
        ({"tag_name": "nightly"}, "commits/nightly"),
    ],
)
def test_notes_contain_a_link_to_the_changes_and_are_not_stored(
    forge: Forge, body: dict[str, str], link: str
) -> None:
    response = forge.api("POST", "/releases/generate-notes", json=body)
    assert response.status_code == 200
    assert response.json() == {
        "name": body["tag_name"],
        "body": f"**Full Changelog**: {WEB}/{link}",
    }
    assert forge.stored_releases() == []


def test_notes_are_added_after_the_body_of_a_release(forge: Forge) -> None:
    notes = f"**Full Changelog**: {WEB}/compare/v0.4.0...v0.5.0"
    release = forge.create("v0.5.0", body="Mine", generate_release_notes=True)
    assert (release["name"], release["body"]) == ("v0.5.0", f"Mine\n\n{notes}")
    plain = forge.create("v0.6.0", name="Six", draft=True)
    changed = forge.api(
        "PATCH", f"/releases/{plain['id']}", json={"generate_release_notes": True}
    ).json()
    assert changed["name"] == "Six"
    assert changed["body"] == f"**Full Changelog**: {WEB}/compare/v0.5.0...v0.6.0"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"tag_name": "a b"}, "tag_name"),
        ({"tag_name": "v9", "target_commitish": "nowhere"}, "target_commitish"),
        ({"tag_name": "v0.5.0", "previous_tag_name": "v0.0.1"}, "previous_tag_name"),
    ],
)
def test_notes_for_an_unknown_tag_or_target_are_refused(
    forge: Forge, body: dict[str, str], field: str
) -> None:
    response = forge.api("POST", "/releases/generate-notes", json=body)
    assert refused_fields(response) == [("Release", field, "invalid")]
    assert forge.api("POST", "/releases/generate-notes", json={}).status_code == 422
