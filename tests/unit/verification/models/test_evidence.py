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


def test_a_step_that_a_cell_did_not_reach_has_no_key() -> None:
    required = ("schema", "cell", "image", "started", "wall_seconds")
    fields = {name: healthy()[name] for name in required}
    fields["testbed"] = {"cause": "machine-lost", "where": "debian", "observed": "it stopped"}
    parsed = _parsed(fields)
    assert (parsed.install, parsed.exercise, parsed.requests) == (None, None, ())
    assert json.loads(parsed.to_json()) == fields


def test_an_unknown_step_is_a_use_of_the_scenario() -> None:
    def change(fields: Fields) -> None:
        fields["exercise"]["steps"]["in_forked_child"] = step("in_forked_child", 0)

    uses = evidence(change).steps.uses
    assert list(uses) == ["in_forked_child"]
    assert uses["in_forked_child"].value == 0


def test_a_step_that_did_not_end_has_only_begun() -> None:
    def change(fields: Fields) -> None:
        fields["exercise"]["steps"] = {"import": {"step": "import", "begun": True}}

    import_step = evidence(change).steps.import_package
    assert import_step is not None
    assert import_step.begun
    assert not import_step.ok


def test_a_failed_step_has_its_error() -> None:
    def change(fields: Fields) -> None:
        fields["exercise"]["steps"]["native-call"] = failed_step("native-call", "gone")

    native_call = evidence(change).steps.native_call
    assert native_call is not None
    assert native_call.error is not None
    assert native_call.error.message == "gone"


def test_evidence_without_an_exercise_has_no_steps() -> None:
    steps = evidence(lambda fields: fields.pop("exercise")).steps
    assert steps.import_package is None
    assert not steps.uses


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (lambda fields: fields.update(more=1), "more"),
        (lambda fields: fields.pop("cell"), "cell"),
        (lambda fields: fields.update(schema=9), "schema"),
        (lambda fields: fields["install"].update(code="x"), "install.code"),
        (lambda fields: fields["import"].pop("made"), "import.made"),
        (lambda fields: fields["requests"][1].update(status="x"), "requests.1.status"),
        (
            lambda fields: fields["exercise"]["steps"]["mapped"].update(value=1),
            "exercise.steps.mapped.value",
        ),
        (
            lambda fields: fields["exercise"]["steps"].update(other={"ok": True}),
            "exercise.steps.other.step",
        ),
    ],
)
def test_malformed_evidence_names_the_field_in_one_line(change: Change, field: str) -> None:
    with pytest.raises(DataError) as error:
        evidence(change)
    message = str(error.value)
    assert message.startswith(f"debian-13-pip-venv: {field}: ")
    assert "\n" not in message


def test_text_that_is_not_json_is_a_data_error() -> None:
    with pytest.raises(DataError, match=r"^cell\.json: "):
        parse_evidence("{", "cell.json")


def test_bytes_that_are_not_utf_8_become_question_marks() -> None:
    left = evidence(lambda fields: fields["left"]["added"].append("/home/\udcff-\U0001f600")).left
    assert left.added[-1] == "/home/?-\U0001f600"


def test_a_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "cell.json"
    path.write_text(json.dumps(healthy()))
    assert read_evidence(path) == evidence()
    with pytest.raises(DataError, match=r"none\.json: .*No such file"):
        read_evidence(tmp_path / "none.json")


def test_the_output_of_a_command_has_both_streams() -> None:
    install = evidence(
        lambda fields: fields["install"].update(stdout="one\n", stderr="two\n")
    ).install
    assert install is not None
    assert install.output == "one\ntwo\n"


def test_only_a_response_with_a_body_is_served() -> None:
    changed = evidence(
        lambda fields: fields.update(requests=[request("/a"), request("/b", status=304)])
    )
    assert [line.is_served for line in changed.requests] == [True, False]
