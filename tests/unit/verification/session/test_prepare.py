"""The set-up of a run: which cells can run, which wheel each received, what each must show."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from containers import engine as engines
from containers import testbed, wheelhouse
from containers.index import IndexContents
from containers.testbed import Testbed
from tests.helpers.sample_evidence import Change, Fields, evidence, request, step
from tests.helpers.sample_testbed import REFUSED, TESTBED, image, prepared, release
from tests.helpers.sample_wheels import SUBJECT, linux_wheel
from tests.helpers.wheel_builder import LINUX_TAG
from verification.models.cell import Cell
from verification.models.errors import BuildFailed, TestbedFailure, WrongUse
from verification.models.evidence import CellEvidence
from verification.models.release import Release, ReleaseFile
from verification.models.testbed import Upload
from verification.models.verdict import ExpectationKind
from verification.scenarios import cells, machines
from verification.session import origin, prepare
from verification.session.prepare import PreparedRun
from verification.session.selection import Options, Selection, select


def test_an_upload_is_refused_if_the_index_refused_it() -> None:
    refused = TESTBED.model_copy(update={"uploads": (REFUSED,)})
    accepted = refused.model_copy(
        update={"uploads": (REFUSED.model_copy(update={"code": 0, "output": "View at:"}),)}
    )
    assert "400 Bad Request" in prepared(testbed=refused).refused_upload()
    assert prepared(testbed=accepted).refused_upload() == ""
    assert prepared().refused_upload() == "", "nothing was uploaded"


# ---- what a machine was served ----

MUSL = "cp313-cp313-musllinux_1_2_x86_64"
NEWER_PYTHON = "cp314-cp314-manylinux_2_28_x86_64"
WHEELS = tuple(f"x-1.0-{tag}.whl" for tag in (LINUX_TAG, MUSL, NEWER_PYTHON))
READY = prepared(release(*WHEELS, version="1.0"))


def _asked(file: str, *, status: int = 200, end: str = "") -> Fields:
    return request(f"/packages/{file}{end}", f"{file}{end}", status=status)


def _evidence(*requests: Fields) -> CellEvidence:
    def change(fields: Fields) -> None:
        fields["requests"] = list(requests)

    return evidence(change)


def test_a_machine_was_served_the_wheel_that_it_got_whole() -> None:
    linux, musl, newer = WHEELS
    requests = [
        request("/simple/x/"),
        _asked(linux, end=".metadata"),
        _asked(musl, status=404),
        _asked("other-1.0-py3-none-any.whl"),
        _asked(newer),
    ]
    assert READY.served_wheel(_evidence(*requests)) == newer
    assert READY.served_wheel(_evidence(*requests[:-1])) == ""
    assert READY.served_wheel(_evidence()) == ""


def _installed(version: str, *tags: str) -> Change:
    def change(fields: Fields) -> None:
        record = {"checked": 1, "wrong": [], "files": [], "unreadable": [], "tags": list(tags)}
        found = {"x": {"version": version, "folder": "/"}}
        steps = fields["exercise"]["steps"]
        steps["record"] = step("record", record)
        steps["distributions"] = step("distributions", found)
        fields["requests"] = []

    return change


@pytest.mark.parametrize(("version", "known"), [("1.0", True), ("1.0.0", True), ("0.9", False)])
def test_without_an_index_the_tags_of_what_is_installed_show_the_wheel(
    version: str, *, known: bool
) -> None:
    served = READY.served_wheel(evidence(_installed(version, MUSL, "broken")))
    assert served == (WHEELS[1] if known else "")


def test_two_wheels_with_the_same_tags_are_not_told_apart() -> None:
    twice = prepared(release("x-1.0-1-py3-none-any.whl", "x-1.0-2-py3-none-any.whl"))
    assert twice.served_wheel(evidence(_installed("1.0", "py3-none-any"))) == ""


# ---- what a cell must show ----

CELL = cells.cell(machines.load()["debian-13"], SUBJECT, "pip", "venv")


def test_the_libraries_are_those_of_the_wheel_that_a_machine_was_served() -> None:
    linux = SUBJECT.platforms[0].model_copy(
        update={"libraries": ("_x.cpython-313-x86_64-linux-gnu.so",)}
    )
    subject = SUBJECT.model_copy(update={"platforms": (linux,)})
    found = [READY.expectation(subject, CELL, _evidence(_asked(name))).libraries for name in WHEELS]
    assert found == [
        ("_x.cpython-313-x86_64-linux-gnu.so",),
        ("_x.cpython-313-x86_64-linux-musl.so",),
        ("_x.cpython-314-x86_64-linux-gnu.so",),
    ]
    assert READY.expectation(subject, CELL, _evidence()).libraries == linux.libraries


def test_a_cell_must_show_the_release() -> None:
    files = release().with_dependencies(Path("cffi-2.0.0-py3-none-any.whl"))
    refused = TESTBED.model_copy(update={"uploads": (REFUSED,)})
    expected = prepared(files, testbed=refused).expectation(SUBJECT, CELL, evidence())
    assert (expected.project, expected.version, expected.package) == (
        "quiverdb",
        "0.5.0",
        SUBJECT.import_package,
    )
    assert (expected.kind, expected.refusal) == (ExpectationKind.WORKS, "")
    assert expected.digests == files.digests()
    assert expected.locked == {"cffi": "2.0.0"}
    assert "400" in expected.refused_upload
    assert expected.conditions.title == CELL.scenario.title


def test_a_cell_must_refuse_by_the_cause_of_its_machine() -> None:
    cell = cells.cell(machines.load()["debian-12-python-3.11"], SUBJECT, "pip", "venv")
    expected = READY.expectation(SUBJECT, cell, evidence())
    assert (expected.kind, expected.refusal) == (ExpectationKind.REFUSES, "unsupported-python")


def test_a_windows_cell_expects_the_libraries_of_windows() -> None:
    cell = cells.cell(machines.load()["windows-wine"], SUBJECT, "pip", "system")
    assert READY.expectation(SUBJECT, cell, _evidence()).libraries == (
        "libquiver.dll",
        "libquiver_c.dll",
    )


def test_a_cell_of_a_system_that_the_subject_does_not_declare_expects_no_library() -> None:
    cell = cells.cell(machines.load()["debian-13"], SUBJECT, "pip", "venv")
    windows = tuple(p for p in SUBJECT.platforms if p.target.system == "windows")
    subject = SUBJECT.model_copy(update={"platforms": windows})
    assert READY.expectation(subject, cell, _evidence()).libraries == ()


# ---- which cells can run ----

OLD = "debian-12-python-3.11"


def _cell(machine: str, scenario: str) -> Cell:
    return cells.cell(machines.load()[machine], SUBJECT, "pip", scenario)


def _selection(**options: str) -> Selection:
    return select(
        Options.model_validate({"release": "1.0"} | options), Path("/"), SUBJECT.platforms
    )


@pytest.mark.parametrize(
    ("machine", "scenario", "no_history", "unverified"),
    [
        (OLD, "venv", "the index is away", True),
        (OLD, "pinned", "the index is away", False),
        (OLD, "venv", "", False),
        ("debian-13", "venv", "the index is away", False),
        ("debian-13", "no-binary", "the index is away", False),
    ],
)
def test_a_refusal_without_the_earlier_releases_on_the_index_is_unverified(
    machine: str, scenario: str, no_history: str, *, unverified: bool
) -> None:
    ready = prepared(no_history=no_history)
    reason = ready.reason_not_run(_cell(machine, scenario), _selection())
    assert (no_history in reason) if unverified else reason == ""


def test_a_machine_without_an_image_runs_no_cell() -> None:
    ready = prepared().model_copy(update={"unavailable": {"debian-13": "no registry"}})
    assert ready.reason_not_run(_cell("debian-13", "venv"), _selection()) == "no registry"
    assert ready.reason_not_run(_cell("debian-12", "venv"), _selection()) == ""


def test_another_package_has_no_actions_for_the_scenarios_of_the_default_one() -> None:
    reason = prepared().reason_not_run(_cell("debian-13", "fork"), _selection(subject="other"))
    assert "other" in reason
    assert "fork" in reason
    assert prepared().reason_not_run(_cell("debian-13", "venv"), _selection(subject="other")) == ""
    assert prepared().reason_not_run(_cell("debian-13", "fork"), _selection()) == ""


def _with_earlier() -> PreparedRun:
    earlier = (Path("quiverdb-0.4.0-py3-none-any.whl"),)
    return prepared(release().model_copy(update={"earlier": earlier}))


@pytest.mark.parametrize(
    ("ready", "history", "reason"),
    [
        (prepared(no_history="the index is away"), "all", "the index is away"),
        (prepared(), "none", "--history none"),
        (_with_earlier(), "all", ""),
    ],
)
def test_an_upgrade_needs_an_earlier_release(ready: PreparedRun, history: str, reason: str) -> None:
    found = ready.reason_not_run(_cell("debian-13", "upgrade"), _selection(history=history))
    assert (reason in found) if reason else found == ""


# ---- before an engine is needed ----


def test_a_file_that_is_no_wheel_is_wrong_use_before_an_engine_is_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_engine(**_: bool) -> None:
        raise TestbedFailure("engine-unreachable", "engine", "it was asked for")

    monkeypatch.setattr(wheelhouse, "dependencies", lambda _locks: ())
    monkeypatch.setattr(engines, "ensure", no_engine)
    (tmp_path / f"quiverdb-1.0-{LINUX_TAG}.whl").write_bytes(b"no archive")
    selection = select(Options(wheels=tmp_path), tmp_path, SUBJECT.platforms)
    with contextlib.ExitStack() as stack, pytest.raises(WrongUse, match="--wheels"):
        prepare.prepare(selection, SUBJECT, stack)


def test_a_published_file_that_is_no_wheel_is_the_packages_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / f"quiverdb-1.0-{LINUX_TAG}.whl"
    path.write_bytes(b"no archive")
    published = Release(
        origin="release", location="1.0", version="1.0", wheels=(ReleaseFile.read(path),)
    )
    monkeypatch.setattr(origin, "existing_release", lambda *_: published)
    selection = select(Options(release="1.0"), tmp_path, SUBJECT.platforms)
    with contextlib.ExitStack() as stack, pytest.raises(BuildFailed, match="is no wheel"):
        prepare.prepare(selection, SUBJECT, stack)


def started(
    monkeypatch: pytest.MonkeyPatch, release: Release, *uploads: Upload
) -> tuple[Testbed, IndexContents]:
    """Start a testbed with this outcome of the upload; return it and what its index has."""
    given: list[IndexContents] = []

    @contextlib.contextmanager
    def start(
        _network: object, _index: object, contents: IndexContents, wheels: tuple[Path, ...]
    ) -> Iterator[Testbed]:
        assert wheels == release.wheel_paths
        given.append(contents)
        yield TESTBED.model_copy(update={"uploads": uploads})

    monkeypatch.setattr(testbed, "start", start)
    network: Any = None
    with contextlib.ExitStack() as stack:
        bed = prepare.start_testbed(stack, network, image("index"), release, SUBJECT)
    return bed, given[0]


def test_the_index_has_all_files_but_the_wheels_which_are_uploaded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stored = (Path("cffi-2.0.0-py3-none-any.whl"),)
    yanked = {"quiverdb-0.4.0-py3-none-any.whl": "broken"}
    files = release().with_dependencies(*stored).model_copy(update={"yanked": yanked})
    _, contents = started(monkeypatch, files)
    assert (contents.project, contents.files, contents.yanked) == ("quiverdb", stored, yanked)


def test_the_files_of_a_release_need_no_engine_where_the_wheels_exist(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheel = linux_wheel(tmp_path)
    served = release(wheel.name, folder=wheel.parent)
    monkeypatch.setattr(wheelhouse, "from_folder", lambda *_, **__: served)
    monkeypatch.setattr(engines, "ensure", lambda **_: pytest.fail("an engine was asked for"))
    selection = select(
        Options(wheels=wheel.parent, machines=("debian-13",)), Path.cwd(), SUBJECT.platforms
    )
    with contextlib.ExitStack() as stack:
        found, inspection = prepare.prepare_files(selection, SUBJECT, stack)
    assert found == served
    assert [one.file for one in inspection.wheels] == [wheel.name]


def test_an_upload_that_failed_and_that_nobody_refused_is_the_testbeds_failure(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lost = REFUSED.model_copy(update={"refusals": ()})
    with pytest.raises(TestbedFailure) as failure:
        started(monkeypatch, release(), lost)
    assert (failure.value.cause, failure.value.where) == ("index-unreachable", "publisher")
    bed, _ = started(monkeypatch, release(), REFUSED)
    assert bed.uploads == (REFUSED,), "a refusal is judged with the release"
