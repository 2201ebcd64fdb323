"""The set-up of a run: which cells can run, their wheels and their expectations."""

from __future__ import annotations

import contextlib
import io
import os
import re
import signal
import zipfile
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Never, cast

import pytest

from containers import engine as engines
from containers import images, testbed, wheelhouse
from containers.engine import Run
from containers.image_registry import ImageRegistry
from containers.index import IndexContents
from containers.progress import Progress
from containers.testbed import Testbed
from containers.workflow_testbed import StartingEvent
from tests.helpers.sample_evidence import Change, Fields, evidence, request, step
from tests.helpers.sample_testbed import (
    ENGINE,
    REFUSED,
    TESTBED,
    image,
    on_engines,
    prepared_run,
    release,
)
from tests.helpers.sample_wheels import SUBJECT, linux_wheel, windows_wheel
from tests.helpers.wheel_builder import LINUX_TAG
from verification.models.cell import Cell
from verification.models.errors import BuildFailed, ExitCode, TestbedFailure, WheelRefused, WrongUse
from verification.models.evidence import CellEvidence
from verification.models.publisher import TrustedPublisher
from verification.models.release import Release, ReleaseFile
from verification.models.subject import Subject
from verification.models.testbed import EgressProof, Image, Upload
from verification.models.verdict import ExpectationKind
from verification.pipeline.plan import Plan
from verification.scenarios import cells, machines
from verification.session import dependencies, hosts, origin, prepare
from verification.session.checkout import Checkout
from verification.session.prepare import PreparedRun
from verification.session.release_pipeline import registrations_of
from verification.session.selection import Options, Selection, select
from verification.wheel import archive, elf, size_limits
from verification.wheel.modules import read_distributions
from verification.wheel.release_inspection import with_changes
from verification.wheel.windows import has_libraries_outside


def test_upload_is_refused_if_the_index_refused_it() -> None:
    refused = TESTBED.model_copy(update={"uploads": (REFUSED,)})
    accepted = refused.model_copy(
        update={"uploads": (REFUSED.model_copy(update={"code": 0, "output": "View at:"}),)}
    )
    assert "400 Bad Request" in prepared_run(testbed=refused).refused_upload()
    assert prepared_run(testbed=accepted).refused_upload() == ""
    assert prepared_run().refused_upload() == ""  # without an upload


# ---- the wheel that a machine was served ----

MUSL = "cp313-cp313-musllinux_1_2_x86_64"
NEWER_PYTHON = "cp314-cp314-manylinux_2_28_x86_64"
WHEELS = tuple(f"x-1.0-{tag}.whl" for tag in (LINUX_TAG, MUSL, NEWER_PYTHON))
READY = prepared_run(release(*WHEELS, version="1.0"))


def _download(file: str, *, status: int = 200, end: str = "") -> Fields:
    return request(f"/packages/{file}{end}", f"{file}{end}", status=status)


def _evidence(*requests: Fields) -> CellEvidence:
    def change(fields: Fields) -> None:
        fields["requests"] = list(requests)

    return evidence(change)


def test_served_wheel_is_the_one_that_was_downloaded_completely() -> None:
    linux, musl, newer = WHEELS
    requests = [
        request("/simple/x/"),
        _download(linux, end=".metadata"),
        _download(musl, status=404),
        _download("other-1.0-py3-none-any.whl"),
        _download(newer),
    ]
    assert READY.served_wheel(_evidence(*requests)) == newer
    assert READY.served_wheel(_evidence(*requests[:-1])) == ""
    assert READY.served_wheel(_evidence()) == ""


def _installed(version: str, *tags: str) -> Change:
    def change(fields: Fields) -> None:
        record = {"checked": 1, "wrong": [], "files": [], "unreadable": [], "tags": list(tags)}
        distributions = {"x": {"version": version, "folder": "/"}}
        steps = fields["exercise"]["steps"]
        steps["record"] = step("record", record)
        steps["distributions"] = step("distributions", distributions)
        fields["requests"] = []

    return change


@pytest.mark.parametrize(
    ("version", "wheel"), [("1.0", WHEELS[1]), ("1.0.0", WHEELS[1]), ("0.9", "")]
)
def test_tags_of_the_installed_distribution_identify_the_wheel_without_an_index(
    version: str, wheel: str
) -> None:
    assert READY.served_wheel(evidence(_installed(version, MUSL, "broken"))) == wheel


def test_wheels_with_the_same_tags_cannot_be_distinguished() -> None:
    run = prepared_run(release("x-1.0-1-py3-none-any.whl", "x-1.0-2-py3-none-any.whl"))
    assert run.served_wheel(evidence(_installed("1.0", "py3-none-any"))) == ""


# ---- the expectation of a cell ----

CELL = cells.cell(machines.load()["debian-13"], SUBJECT, "pip", "venv")


def test_expected_libraries_are_those_of_the_served_wheel() -> None:
    linux = SUBJECT.platforms[0].model_copy(
        update={"libraries": ("_x.cpython-313-x86_64-linux-gnu.so",)}
    )
    subject = SUBJECT.model_copy(update={"platforms": (linux,)})
    libraries = [
        READY.expectation(subject, CELL, _evidence(_download(name))).libraries for name in WHEELS
    ]
    assert libraries == [
        ("_x.cpython-313-x86_64-linux-gnu.so",),
        ("_x.cpython-313-x86_64-linux-musl.so",),
        ("_x.cpython-314-x86_64-linux-gnu.so",),
    ]
    assert READY.expectation(subject, CELL, _evidence()).libraries == linux.libraries


def test_expectation_describes_the_release() -> None:
    files = release().with_dependencies(Path("cffi-2.0.0-py3-none-any.whl"))
    refused = TESTBED.model_copy(update={"uploads": (REFUSED,)})
    expected = prepared_run(files, testbed=refused).expectation(SUBJECT, CELL, evidence())
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


def test_expected_refusal_is_the_one_of_the_machine() -> None:
    cell = cells.cell(machines.load()["debian-12-python-3.11"], SUBJECT, "pip", "venv")
    expected = READY.expectation(SUBJECT, cell, evidence())
    assert (expected.kind, expected.refusal) == (ExpectationKind.REFUSES, "unsupported-python")


@pytest.mark.parametrize(
    ("scenario", "additional", "refusal"),
    [
        ("venv", ("debian-12-python-3.11",), ""),
        ("venv", ("debian-forky-python-3.14",), "unsupported-python"),
        ("no-binary", ("debian-12-python-3.11",), "no-binary"),
    ],
)
def test_release_must_work_on_the_machines_of_its_additional_wheels(
    scenario: str, additional: tuple[str, ...], refusal: str
) -> None:
    ready = READY.model_copy(update={"additional_machines": additional})
    cell = cells.cell(machines.load()["debian-12-python-3.11"], SUBJECT, "pip", scenario)
    assert ready.with_expectation(cell).refusal == refusal


def test_expected_libraries_of_a_windows_cell_are_those_of_windows() -> None:
    cell = cells.cell(machines.load()["windows-wine"], SUBJECT, "pip", "system")
    assert READY.expectation(SUBJECT, cell, _evidence()).libraries == (
        "libquiver.dll",
        "libquiver_c.dll",
    )


def test_no_library_is_expected_on_an_undeclared_system() -> None:
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
        (OLD, "venv", "no answer", True),
        (OLD, "pinned", "no answer", False),
        (OLD, "venv", "", False),
        ("debian-13", "venv", "no answer", False),
        ("debian-13", "no-binary", "no answer", False),
    ],
)
def test_cell_that_must_refuse_needs_the_earlier_releases(
    machine: str, scenario: str, no_history: str, *, unverified: bool
) -> None:
    ready = prepared_run(no_history=no_history)
    reason = ready.reason_not_run(_cell(machine, scenario), _selection())
    assert (no_history in reason) if unverified else reason == ""


def test_machine_without_an_image_runs_no_cell() -> None:
    ready = prepared_run().model_copy(update={"unavailable": {"debian-13": "no registry"}})
    assert ready.reason_not_run(_cell("debian-13", "venv"), _selection()) == "no registry"
    assert ready.reason_not_run(_cell("debian-12", "venv"), _selection()) == ""


def test_machine_without_a_wheel_of_a_dependency_runs_no_cell() -> None:
    files = release().model_copy(update={"without_wheel": {"debian-13": "docopt has no wheel"}})
    ready = prepared_run(files)
    assert ready.reason_not_run(_cell("debian-13", "venv"), _selection()) == "docopt has no wheel"
    assert ready.reason_not_run(_cell("debian-12", "venv"), _selection()) == ""


def _with_earlier() -> PreparedRun:
    earlier = (Path("quiverdb-0.4.0-py3-none-any.whl"),)
    return prepared_run(release().model_copy(update={"earlier": earlier}))


@pytest.mark.parametrize(
    ("ready", "history", "word"),
    [
        (prepared_run(no_history="no answer"), "all", "no answer"),
        (prepared_run(), "none", "--history none"),
        (_with_earlier(), "all", ""),
    ],
    ids=["no answer", "no history", "earlier release"],
)
def test_upgrade_needs_an_earlier_release(ready: PreparedRun, history: str, word: str) -> None:
    reason = ready.reason_not_run(_cell("debian-13", "upgrade"), _selection(history=history))
    assert (word in reason) if word else reason == ""


def test_an_earlier_release_must_fit_the_machine() -> None:
    names = ("quiverdb-0.3.0-py3-none-any.whl", "quiverdb-0.4.0-cp313-cp313-win_amd64.whl")
    earlier = release().model_copy(update={"earlier": tuple(map(Path, names))})
    ready = prepared_run(earlier)
    assert ready.previous(machines.load()["debian-13"]) == "0.3.0"
    assert ready.previous(machines.load()["windows-wine"]) == "0.4.0"
    only_windows = prepared_run(earlier.model_copy(update={"earlier": (Path(names[1]),)}))
    assert "no earlier release" in only_windows.reason_not_run(
        _cell("debian-13", "upgrade"), _selection(history="all")
    )


# ---- before an engine is needed ----


def test_file_that_is_no_wheel_is_wrong_use_before_an_engine_is_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_engine(**_: bool) -> None:
        raise TestbedFailure("engine-unreachable", "engine", "a request")

    monkeypatch.setattr(dependencies, "files", lambda *_: ())
    monkeypatch.setattr(engines, "ensure", no_engine)
    (tmp_path / f"quiverdb-1.0-{LINUX_TAG}.whl").write_bytes(b"no archive")
    selection = select(Options(wheels=tmp_path), tmp_path, SUBJECT.platforms)
    with contextlib.ExitStack() as stack, pytest.raises(WrongUse, match="--wheels"):
        prepare.prepare(selection, SUBJECT, stack)


def test_published_file_that_is_no_wheel_is_a_failed_build(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / f"quiverdb-1.0-{LINUX_TAG}.whl"
    path.write_bytes(b"no archive")
    published = Release(
        origin="release", location="1.0", version="1.0", wheels=(ReleaseFile.read(path),)
    )
    monkeypatch.setattr(origin, "existing_release", lambda *_: published)
    selection = select(Options(release="1.0"), tmp_path, SUBJECT.platforms)
    with contextlib.ExitStack() as stack, pytest.raises(BuildFailed) as raised:
        prepare.prepare(selection, SUBJECT, stack)
    assert path.name in raised.value.message


def published(monkeypatch: pytest.MonkeyPatch, folder: Path, *wheels: Path) -> Selection:
    """Let the release of a run have these wheels. Return the selection of the run."""
    files = tuple(map(ReleaseFile.read, wheels))
    existing = Release(origin="release", location="1.0", version="1.0", wheels=files)
    monkeypatch.setattr(origin, "existing_release", lambda *_: existing)
    monkeypatch.setattr(engines, "ensure", lambda **_: pytest.fail("no engine is needed"))
    return select(Options(release="1.0"), folder, SUBJECT.platforms)


def test_zip_bomb_is_refused_before_an_engine_is_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bomb = linux_wheel(tmp_path, {"quiverdb/zeros": bytes(2 << 20)})
    monkeypatch.setattr(size_limits, "RATIO_MIN_TOTAL", 1 << 20)
    selection = published(monkeypatch, tmp_path, bomb)
    with contextlib.ExitStack() as stack, pytest.raises(WheelRefused) as raised:
        prepare.prepare(selection, SUBJECT, stack)
    assert (raised.value.where, raised.value.facts["limit"]) == (bomb.name, "ratio")
    assert raised.value.exit_code == ExitCode.PACKAGE_FAILED


def test_crash_of_a_reader_is_a_testbed_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheel = linux_wheel(tmp_path)
    selection = published(monkeypatch, tmp_path, wheel)
    monkeypatch.setattr(elf, "read", lambda _: os.kill(os.getpid(), signal.SIGSEGV))
    with contextlib.ExitStack() as stack, pytest.raises(TestbedFailure) as raised:
        prepare.prepare(selection, SUBJECT, stack)
    assert (raised.value.cause, raised.value.where) == ("inspection-failed", wheel.name)


def test_each_wheel_is_unpacked_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = tmp_path / "unpacked"  # a child process unpacks the wheels
    read_members = archive._read_members

    def record(opened: zipfile.ZipFile) -> object:
        with log.open("a") as file:
            file.write(f"{Path(str(opened.filename)).name}\n")
        return read_members(opened)

    monkeypatch.setattr(archive, "_read_members", record)
    wheels = [linux_wheel(tmp_path), windows_wheel(tmp_path)]
    selection = published(monkeypatch, tmp_path, *wheels)
    with contextlib.ExitStack() as stack:
        files, inspection = prepare.prepare_files(selection, SUBJECT, stack)
    # What a run reads from its wheels after the inspection.
    has_libraries_outside(files.wheel_paths, SUBJECT.import_package)
    dependencies.fitting_files(files.wheel_paths, CELL.machine)
    read_distributions(files.wheel_paths)
    with_changes(inspection, [], SUBJECT)
    assert sorted(log.read_text().splitlines()) == sorted(path.name for path in wheels)


def start_testbed(
    monkeypatch: pytest.MonkeyPatch,
    release: Release,
    *uploads: Upload,
    subject: Subject = SUBJECT,
    checkout: Checkout | None = None,
) -> tuple[Testbed, IndexContents]:
    """Start a fake testbed with these uploads. Return it and the contents of its index."""
    started: list[IndexContents] = []

    @contextlib.contextmanager
    def start(
        _network: object, _index: object, contents: IndexContents, wheels: tuple[Path, ...]
    ) -> Iterator[Testbed]:
        assert wheels == release.wheel_paths
        started.append(contents)
        yield TESTBED.model_copy(update={"uploads": uploads})

    monkeypatch.setattr(testbed, "start", start)
    network: Any = None
    with contextlib.ExitStack() as stack:
        registered = registrations_of(checkout, subject)
        started_testbed = prepare.start_testbed(
            stack, network, image("index"), release, subject, registered
        )
    return started_testbed, started[0]


def test_index_stores_all_files_except_the_uploaded_wheels(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stored = (Path("cffi-2.0.0-py3-none-any.whl"),)
    yanked = {"quiverdb-0.4.0-py3-none-any.whl": "broken"}
    files = release().with_dependencies(*stored).model_copy(update={"yanked": yanked})
    _, contents = start_testbed(monkeypatch, files)
    assert (contents.project, contents.files, contents.yanked) == ("quiverdb", stored, yanked)


@pytest.mark.parametrize(
    ("registration", "exists"),
    [
        ("project = 'QuiverDB'\npending = false", True),
        ("project = 'quiverdb'\npending = true", False),
        ("project = 'other'\npending = false", False),
        ("", False),
    ],
)
def test_project_with_an_active_publisher_exists(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, registration: str, *, exists: bool
) -> None:
    file = tmp_path / "publishers.toml"
    names = "owner = 'me'\nowner_id = '1'\nrepository = 'x'\nworkflow = 'a.yml'"
    file.write_text(f"[[publisher]]\n{registration}\n{names}\n", "utf-8")
    subject = SUBJECT.model_copy(update={"publishers": file if registration else None})
    _, contents = start_testbed(monkeypatch, release(), subject=subject)
    assert contents.exists is exists


@pytest.mark.parametrize(("registered", "exists"), [(True, True), (False, False)])
def test_project_with_a_publisher_in_the_checkout_exists(
    monkeypatch: pytest.MonkeyPatch, *, registered: bool, exists: bool
) -> None:
    publisher = TrustedPublisher(
        project="quiverdb",
        owner="me",
        owner_id="1",
        repository="x",
        workflow="a.yml",
        environment="",
        pending=False,
    )
    checkout = Checkout(
        event=StartingEvent(root=Path("x"), tags=("v1",)),
        plan=Plan(workflow="a.yml"),
        project="quiverdb",
        version="1",
        publishers=(publisher,),
        registered=registered,
    )
    subject = SUBJECT.model_copy(update={"publishers": None})
    _, contents = start_testbed(monkeypatch, release(), subject=subject, checkout=checkout)
    assert contents.exists is exists


def test_files_of_existing_wheels_need_no_engine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheel = linux_wheel(tmp_path)
    served = release(wheel.name, folder=wheel.parent)
    monkeypatch.setattr(wheelhouse, "from_folder", lambda *_, **__: served)
    monkeypatch.setattr(dependencies, "files", lambda *_: ())
    monkeypatch.setattr(engines, "ensure", lambda **_: pytest.fail("no engine is needed"))
    selection = select(
        Options(wheels=wheel.parent, machines=("debian-13",)), Path.cwd(), SUBJECT.platforms
    )
    with contextlib.ExitStack() as stack:
        files, inspection = prepare.prepare_files(selection, SUBJECT, stack)
    assert files == served
    assert [inspected.file for inspected in inspection.wheels] == [wheel.name]


def test_failed_upload_without_a_refusal_is_a_testbed_failure(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lost = REFUSED.model_copy(update={"refusals": ()})
    with pytest.raises(TestbedFailure) as raised:
        start_testbed(monkeypatch, release(), lost)
    assert (raised.value.cause, raised.value.where) == ("index-unreachable", "publisher")
    started_testbed, _ = start_testbed(monkeypatch, release(), REFUSED)
    assert started_testbed.uploads == (REFUSED,)  # a refusal is judged with the release


@pytest.mark.parametrize("has_engine", [True, False])
def test_images_to_build_are_announced_before_an_engine_is_started(
    monkeypatch: pytest.MonkeyPatch, *, has_engine: bool
) -> None:
    output = io.StringIO()
    steps = Progress(output, environment={}, refreshes=False)
    monkeypatch.setattr(prepare, "PROGRESS", steps)
    missing = images.missing_images

    def missing_images(engine: engines.Engine | None, names: Iterable[str]) -> set[str]:
        return {"index"} if engine else missing(None, names)

    monkeypatch.setattr(images, "missing_images", missing_images)
    selection = select(Options(profile="gate"), Path.cwd(), SUBJECT.platforms)
    prepare._expect_steps(TESTBED.engine if has_engine else None, selection)
    steps.print_estimate()
    number = re.search(r"building (\d+) image", output.getvalue())
    assert number
    assert "the release workflow" in output.getvalue()
    assert (int(number[1]) == 1) is has_engine
    assert (int(number[1]) > 10) is not has_engine, "without an engine, all images are expected"


# ---- several engines ----


def on_two_engines() -> PreparedRun:
    """Return a run on two engines. Each has a machine that the other one lacks."""
    ready = on_engines(prepared_run(None, "debian-13", "debian-12"), "one", "two")
    other = ready.others["two"]
    machines_of_two = {name: image(name) for name in ("debian-13", "windows")}
    others = {"two": other.model_copy(update={"machines": machines_of_two})}
    return ready.model_copy(update={"others": others})


def test_cells_of_an_engine_get_its_testbed_and_its_images() -> None:
    ready = on_two_engines()
    assert ready.engines == ("one", "two")
    assert ready.on("one") == ready
    other = ready.on("two")
    assert other.testbed.engine.name == "two"
    assert set(other.machines) == {"debian-13", "windows"}
    assert other.release == ready.release


@pytest.mark.parametrize(
    ("machine", "names"),
    [
        ("debian-13", ("one", "two")),
        ("debian-12", ("one",)),
        ("windows", ("two",)),
        ("nowhere", ("one", "two")),
    ],
)
def test_machine_runs_on_the_engines_that_have_its_image(
    machine: str, names: tuple[str, ...]
) -> None:
    assert on_two_engines().engines_with(machine) == names


def test_closure_must_be_proved_on_each_engine() -> None:
    ready = on_two_engines()
    assert ready.closure_not_proved == ""
    other = ready.others["two"]
    proof = EgressProof(not_proved="the engine refuses the beacon")
    running = other.testbed.model_copy(update={"egress": proof})
    others = {"two": other.model_copy(update={"testbed": running})}
    ready = ready.model_copy(update={"others": others})
    assert ready.closure_not_proved == "the engine refuses the beacon"


def test_failure_on_an_engine_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> Never:
        raise TestbedFailure("egress-open", "canary", "names are resolved", {"addresses": ()})

    monkeypatch.setattr(prepare, "start_testbed", fail)
    for name, where in (("far", "canary on engine far"), ("", "canary")):
        engine = ENGINE.model_copy(update={"name": name})
        parts = SimpleNamespace(
            network=SimpleNamespace(closed=SimpleNamespace(engine=engine)),
            stack=None,
            index=None,
        )
        with pytest.raises(TestbedFailure) as raised:
            prepare._start_testbeds([cast("Any", parts)], release(), SUBJECT, ())
        assert (raised.value.cause, raised.value.where) == ("egress-open", where)
        assert raised.value.facts == {"addresses": ()}


def test_other_engine_gets_copies_unless_its_registry_has_the_image(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls: list[tuple[str, str, str]] = []

    def ensure(engine: engines.Engine, name: str) -> Image:
        calls.append(("pull", engine.name, name))
        return image(name)

    def copy(original: Image, source: engines.Engine, target: engines.Engine) -> Image:
        calls.append(("copy", f"{source.name} to {target.name}", original.name))
        return original

    monkeypatch.setattr(images, "ensure", ensure)
    monkeypatch.setattr(images, "copy", copy)
    registry = ImageRegistry(
        location="registry.example.com/team", digests={"index:0123456789ab": f"sha256:{'0' * 64}"}
    )
    source = ENGINE.model_copy(update={"name": "one"})
    target = ENGINE.model_copy(update={"name": "two", "registry": registry})
    built: dict[str, Future[Image]] = {name: Future() for name in ("index", "publisher")}
    for name, future in built.items():
        future.set_result(image(name))
    other = hosts.OpenHost(hosts.Host(target, Run(id="1", owner="1")), contextlib.ExitStack())
    with ThreadPoolExecutor(1) as pool:
        copied = prepare._copied(other, source, built, pool)
        assert copied["index"].result() == image("index")
    assert calls == [
        ("pull", "two", "index"),
        ("copy", "one to two", "index"),
        ("copy", "one to two", "publisher"),
    ]
