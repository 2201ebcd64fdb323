from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.helpers.sample_evidence import (
    Change,
    Fields,
    evidence,
    failed_step,
    healthy,
    own_tests,
    request,
    step,
)
from verification.models.base import DataError
from verification.models.evidence import CellEvidence, parse_evidence, read_evidence


def _parsed(fields: Fields) -> CellEvidence:
    return parse_evidence(json.dumps(fields), "cell.json")


def test_evidence_is_written_as_it_was_read() -> None:
    fields = healthy() | {"tests": own_tests()}
    assert json.loads(_parsed(fields).to_json()) == fields


def test_what_a_cell_did_not_reach_has_no_field() -> None:
    kept = ("schema", "cell", "image", "started", "wall_seconds")
    fields = {name: healthy()[name] for name in kept}
    fields["testbed"] = {"cause": "machine-lost", "where": "debian", "observed": "it stopped"}
    found = _parsed(fields)
    assert (found.install, found.exercise, found.requests) == (None, None, ())
    assert json.loads(found.to_json()) == fields


def test_a_step_that_is_not_known_is_a_use_of_the_scenario() -> None:
    def change(fields: Fields) -> None:
        fields["exercise"]["steps"]["in_forked_child"] = step("in_forked_child", 0)

    found = evidence(change)
    assert list(found.steps.uses) == ["in_forked_child"]
    assert found.steps.uses["in_forked_child"].value == 0


def test_a_step_that_never_ended_has_only_begun() -> None:
    def change(fields: Fields) -> None:
        fields["exercise"]["steps"] = {"import": {"step": "import", "begun": True}}

    (told,) = [evidence(change).steps.import_package]
    assert told is not None
    assert told.begun
    assert not told.ok


def test_a_failed_step_has_its_error() -> None:
    def change(fields: Fields) -> None:
        fields["exercise"]["steps"]["native-call"] = failed_step("native-call", "gone")

    found = evidence(change).steps.native_call
    assert found is not None
    assert found.error is not None
    assert found.error.message == "gone"


def test_evidence_without_an_exercise_has_no_steps() -> None:
    found = evidence(lambda fields: fields.pop("exercise"))
    assert found.steps.import_package is None
    assert not found.steps.uses


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (lambda fields: fields.update(more=1), "more: unknown key; there are: "),
        (lambda fields: fields.pop("cell"), "cell: Field required"),
        (lambda fields: fields.update(schema=9), "schema: "),
        (lambda fields: fields["install"].update(code="x"), "install.code: "),
        (lambda fields: fields["import"].pop("made"), "import.made: Field required"),
        (lambda fields: fields["requests"][1].update(status="x"), "requests.1.status: "),
        (
            lambda fields: fields["exercise"]["steps"]["mapped"].update(value=1),
            "exercise.steps.mapped.value: ",
        ),
        (
            lambda fields: fields["exercise"]["steps"].update(other={"ok": True}),
            "exercise.steps.other.step: Field required",
        ),
    ],
)
def test_malformed_evidence_names_the_field_in_one_line(change: Change, field: str) -> None:
    with pytest.raises(DataError) as caught:
        evidence(change)
    message = str(caught.value)
    assert message.startswith(f"debian-13-pip-venv: {field}")
    assert "\n" not in message


def test_text_that_is_no_json_is_malformed_evidence() -> None:
    with pytest.raises(DataError, match=r"^cell\.json: it is not JSON: "):
        parse_evidence("{", "cell.json")


def test_bytes_that_are_no_utf_8_become_question_marks() -> None:
    found = evidence(lambda fields: fields["left"]["added"].append("/home/\udcff-\U0001f600"))
    assert found.left.added[-1] == "/home/?-\U0001f600"


def test_a_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "cell.json"
    path.write_text(json.dumps(healthy()))
    assert read_evidence(path) == evidence()
    with pytest.raises(DataError, match="it cannot be read: No such file"):
        read_evidence(tmp_path / "none.json")


def test_the_output_of_a_command_is_both_its_streams() -> None:
    found = evidence(lambda fields: fields["install"].update(stdout="one\n", stderr="two\n"))
    assert found.install is not None
    assert found.install.output == "one\ntwo\n"


def test_only_a_whole_answer_is_served() -> None:
    found = evidence(
        lambda fields: fields.update(requests=[request("/a"), request("/b", status=304)])
    )
    assert [line.is_served for line in found.requests] == [True, False]
