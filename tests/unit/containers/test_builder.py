from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from containers import builder, images
from containers.builder import build, copy_source, error_line, source_files, source_hash
from containers.engine import Engine, Run
from verification.models.errors import BuildFailed, TestbedFailure, WrongUse
from verification.models.testbed import Image

WHEEL = "demo-1.0-cp313-cp313-manylinux_2_28_x86_64.whl"
NO_ENGINE = Engine(url="unix:///nonexistent/docker.sock", origin="a test", version="1", os="linux")
RUN = Run(id="test", owner="test")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    (folder / "src").mkdir(parents=True)
    (folder / "pyproject.toml").write_text("[project]\nname = 'demo'\n", "utf-8")
    (folder / "src" / "demo.c").write_text("int demo;\n", "utf-8")
    return folder


class Cibuildwheel:
    """Stands for the program: prints what it is told to, leaves wheels, counts its runs."""

    def __init__(self) -> None:
        self.script = ""
        self.wheels: tuple[str, ...] = (WHEEL,)
        self.code = 0
        self.runs = 0

    def command(self, job: builder._BuildJob) -> list[str]:
        self.runs += 1
        for name in self.wheels:
            (job.output / name).write_bytes(b"wheel")
        return [sys.executable, "-c", f"{self.script}\nimport sys\nsys.exit({self.code})"]

    def prints(self, *lines: str) -> None:
        self.script = "\n".join(f"print({line!r})" for line in lines)

    def fails(self, *lines: str) -> None:
        self.prints(*lines)
        self.wheels = ()
        self.code = 1


@pytest.fixture
def cibuildwheel(monkeypatch: pytest.MonkeyPatch) -> Cibuildwheel:
    stand_in = Cibuildwheel()
    monkeypatch.setattr(builder, "_linux_command", stand_in.command)
    monkeypatch.setattr(
        images,
        "ensure",
        lambda _, name: Image(name=name, tag=f"test/{name}:1", id="id", created="now"),
    )
    monkeypatch.setattr("shutil.which", lambda _name: "/usr/bin/docker")
    monkeypatch.setattr(builder._BuildJob, "remove_container", lambda _job: None)
    return stand_in


# ---- what counts as the source ----


def test_the_hash_is_the_same_for_the_same_content_elsewhere(source: Path, tmp_path: Path) -> None:
    copy_source(source, tmp_path / "copy")
    assert source_hash(tmp_path / "copy") == source_hash(source)


def test_the_hash_changes_with_a_files_content(source: Path) -> None:
    before = source_hash(source)
    (source / "src" / "demo.c").write_text("int other;\n", "utf-8")
    assert source_hash(source) != before


def test_the_hash_changes_with_a_files_name(source: Path) -> None:
    before = source_hash(source)
    (source / "src" / "demo.c").rename(source / "src" / "other.c")
    assert source_hash(source) != before


def test_the_hash_changes_with_an_executable_bit(source: Path) -> None:
    before = source_hash(source)
    (source / "src" / "demo.c").chmod(0o755)
    assert source_hash(source) != before


def test_the_hash_does_not_change_with_times(source: Path) -> None:
    before = source_hash(source)
    os.utime(source / "src" / "demo.c", (1, 1))
    assert source_hash(source) == before


@pytest.mark.parametrize(
    "name",
    [
        ".git/HEAD",
        "build/demo.o",
        "dist/demo.whl",
        "third_party/sqlite/sqlite3.c",
        "src/__pycache__/demo.cpython-313.pyc",
        "src/demo.egg-info/PKG-INFO",
        "src/demo-1.0.dist-info/RECORD",
        "tests/.pytest_cache/README.md",
        ".venv/pyvenv.cfg",
    ],
)
def test_what_builds_and_tests_leave_behind_does_not_count(source: Path, name: str) -> None:
    before = source_hash(source)
    (source / name).parent.mkdir(parents=True, exist_ok=True)
    (source / name).write_text("left behind", "utf-8")
    assert source_hash(source) == before


def test_a_folder_named_build_below_the_top_counts(source: Path) -> None:
    (source / "src" / "build").mkdir()
    (source / "src" / "build" / "steps.py").write_text("", "utf-8")
    assert "src/build/steps.py" in source_files(source)


def test_a_link_counts_by_where_it_points(source: Path, tmp_path: Path) -> None:
    (source / "link").symlink_to("src/demo.c")
    before = source_hash(source)
    (source / "link").unlink()
    (source / "link").symlink_to("pyproject.toml")
    assert source_hash(source) != before
    copy_source(source, tmp_path / "copy")
    assert (tmp_path / "copy" / "link").readlink() == Path("pyproject.toml")


def test_in_a_work_tree_what_git_ignores_does_not_count(source: Path) -> None:
    git = ("git", "-c", "user.name=t", "-c", "user.email=t@t", "-C", str(source))
    subprocess.run((*git, "init", "-q"), check=True)
    (source / ".gitignore").write_text("*.so\n", "utf-8")
    (source / "src" / "stray.so").write_bytes(b"")
    (source / "src" / "new.c").write_bytes(b"")
    subprocess.run((*git, "add", "pyproject.toml", "src/demo.c"), check=True)
    assert source_files(source) == [".gitignore", "pyproject.toml", "src/demo.c", "src/new.c"]


def test_a_file_that_git_has_and_the_folder_lacks_does_not_count(source: Path) -> None:
    subprocess.run(("git", "-C", str(source), "init", "-q"), check=True)
    subprocess.run(("git", "-C", str(source), "add", "."), check=True)
    (source / "src" / "demo.c").unlink()
    assert source_files(source) == ["pyproject.toml"]


def test_a_folder_that_git_ignores_as_a_whole_counts_whole(source: Path) -> None:
    subprocess.run(("git", "-C", str(source.parent), "init", "-q"), check=True)
    (source.parent / ".gitignore").write_text("source/\n", "utf-8")
    assert source_files(source) == ["pyproject.toml", "src/demo.c"]


def test_a_copy_keeps_executable_bits_and_has_one_time_stamp(source: Path, tmp_path: Path) -> None:
    (source / "src" / "demo.c").chmod(0o700)
    copy_source(source, tmp_path / "copy")
    copies = [tmp_path / "copy" / name for name in ("src/demo.c", "pyproject.toml")]
    assert [path.stat().st_mode & 0o777 for path in copies] == [0o755, 0o644]
    assert len({path.stat().st_mtime for path in copies}) == 1


# ---- wrong use ----


def test_no_such_folder_is_wrong_use(tmp_path: Path) -> None:
    with pytest.raises(WrongUse, match="there is no such folder"):
        build(NO_ENGINE, tmp_path / "none", RUN)


def test_a_folder_without_pyproject_is_wrong_use(tmp_path: Path) -> None:
    with pytest.raises(WrongUse, match=r"there is no pyproject\.toml in it"):
        build(NO_ENGINE, tmp_path, RUN)


# ---- built once ----


def test_the_same_source_is_built_once(source: Path, cibuildwheel: Cibuildwheel) -> None:
    first = build(NO_ENGINE, source, RUN)
    assert build(NO_ENGINE, source, RUN) == first
    assert (first.name, first.read_bytes(), cibuildwheel.runs) == (WHEEL, b"wheel", 1)


def test_a_cached_wheel_needs_neither_image_nor_engine(
    source: Path, cibuildwheel: Cibuildwheel, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = build(NO_ENGINE, source, RUN)
    monkeypatch.delattr(images, "ensure")
    assert build(NO_ENGINE, source, RUN) == first
    assert cibuildwheel.runs == 1


def test_a_changed_source_is_built_again(source: Path, cibuildwheel: Cibuildwheel) -> None:
    first = build(NO_ENGINE, source, RUN)
    (source / "src" / "demo.c").write_text("int other;\n", "utf-8")
    assert build(NO_ENGINE, source, RUN) != first
    assert cibuildwheel.runs == 2


def test_another_image_builds_again(source: Path, cibuildwheel: Cibuildwheel) -> None:
    first = build(NO_ENGINE, source, RUN)
    assert build(NO_ENGINE, source, RUN, manylinux_image="manylinux_2_28") != first
    assert cibuildwheel.runs == 2


def test_two_runs_that_want_one_wheel_build_it_once(
    source: Path, cibuildwheel: Cibuildwheel
) -> None:
    cibuildwheel.script = "import time; time.sleep(0.3)"
    threads = [threading.Thread(target=build, args=(NO_ENGINE, source, RUN)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert cibuildwheel.runs == 1


def test_what_a_killed_run_left_half_kept_is_no_wheel(
    source: Path, cibuildwheel: Cibuildwheel
) -> None:
    kept = build(NO_ENGINE, source, RUN).parent
    kept.rename(kept.with_name(f"{kept.name}.partial"))
    assert build(NO_ENGINE, source, RUN).read_bytes() == b"wheel"
    assert cibuildwheel.runs == 2


def test_a_damaged_wheel_is_built_again(
    source: Path, cibuildwheel: Cibuildwheel, capsys: pytest.CaptureFixture[str]
) -> None:
    wheel = build(NO_ENGINE, source, RUN)
    wheel.write_bytes(b"damaged")
    assert build(NO_ENGINE, source, RUN).read_bytes() == b"wheel"
    assert cibuildwheel.runs == 2
    line = f"{wheel.name}: the cached copy is damaged; building it again"
    assert capsys.readouterr().err.count(line) == 1


def test_the_source_folder_is_left_as_it_was(source: Path, cibuildwheel: Cibuildwheel) -> None:
    cibuildwheel.script = "open('left-behind', 'w').close()"
    before = sorted(source.rglob("*"))
    build(NO_ENGINE, source, RUN)
    assert sorted(source.rglob("*")) == before


# ---- failures ----


def test_a_build_that_fails_tells_the_compilers_line(
    source: Path, cibuildwheel: Cibuildwheel
) -> None:
    cibuildwheel.fails(
        "Building wheel...", "src/demo.c:1:4: error: expected ';'", "1 error generated."
    )
    with pytest.raises(BuildFailed, match=r"src/demo\.c:1:4: error: expected ';'") as caught:
        build(NO_ENGINE, source, RUN)
    assert "1 error generated." in Path(caught.value.log).read_text("utf-8")


def test_a_failed_build_is_not_kept(source: Path, cibuildwheel: Cibuildwheel) -> None:
    cibuildwheel.fails("error: no")
    for _ in range(2):
        with pytest.raises(BuildFailed):
            build(NO_ENGINE, source, RUN)
    assert cibuildwheel.runs == 2


def test_a_wheel_with_another_tag_is_a_failed_build(
    source: Path, cibuildwheel: Cibuildwheel
) -> None:
    cibuildwheel.wheels = ("demo-1.0-cp313-cp313-linux_x86_64.whl",)
    with pytest.raises(BuildFailed, match=r"manylinux_2_28_x86_64 was expected.*linux_x86_64"):
        build(NO_ENGINE, source, RUN)


@pytest.mark.parametrize(
    ("cause", "line"),
    [
        ("disk-full", "tar: write error: No space left on device"),
        ("engine-unreachable", "Cannot connect to the Docker daemon at unix:///none"),
        ("engine-unreachable", "Build failed because docker is too old."),
        ("machine-lost", "RuntimeError: the container shell has exited"),
        ("image-build-failed", "ERROR: No matching distribution found for numpy>=2"),
    ],
)
def test_the_testbeds_failures_are_told_apart(
    source: Path, cibuildwheel: Cibuildwheel, cause: str, line: str
) -> None:
    cibuildwheel.fails(line, "cibuildwheel: error: Command failed with code 1.")
    with pytest.raises(TestbedFailure) as caught:
        build(NO_ENGINE, source, RUN)
    assert caught.value.cause == cause


def test_in_an_image_with_a_network_a_missing_requirement_is_the_packages_failure(
    source: Path, cibuildwheel: Cibuildwheel
) -> None:
    cibuildwheel.fails("ERROR: No matching distribution found for nonexistent")
    with pytest.raises(BuildFailed, match="found for nonexistent"):
        build(NO_ENGINE, source, RUN, manylinux_image="manylinux_2_28")


def test_without_the_docker_program_the_testbed_fails(
    source: Path, cibuildwheel: Cibuildwheel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.which", lambda _name: None)
    with pytest.raises(TestbedFailure, match="apt-get install docker-cli"):
        build(NO_ENGINE, source, RUN)
    assert cibuildwheel.runs == 0


def test_a_build_that_does_not_end_is_ended(
    source: Path, cibuildwheel: Cibuildwheel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(builder, "_BUILD_SECONDS", 0.5)
    cibuildwheel.script = "import time; print('still here', flush=True); time.sleep(60)"
    with pytest.raises(BuildFailed, match=r"did not end in 0\.5 s; its last line: still here"):
        build(NO_ENGINE, source, RUN)


def test_an_interrupt_ends_the_program_and_removes_its_container(
    source: Path, cibuildwheel: Cibuildwheel, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    removed: list[str] = []
    monkeypatch.setattr(
        builder._BuildJob, "remove_container", lambda job: removed.append(job.image)
    )
    started = tmp_path / "started"
    cibuildwheel.script = (
        f"import os, time; open({str(started)!r}, 'w').write(str(os.getpid())); time.sleep(60)"
    )

    main = threading.get_ident()

    def interrupt() -> None:
        while not (started.exists() and started.read_text("utf-8")):
            time.sleep(0.01)
        # To the main thread, as the kernel does: it is the one that waits for the program.
        signal.pthread_kill(main, signal.SIGINT)

    threading.Thread(target=interrupt).start()
    with pytest.raises(KeyboardInterrupt):
        build(NO_ENGINE, source, RUN)
    assert removed == ["test/builder:1"]
    assert not Path("/proc", started.read_text("utf-8")).exists()


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        (["ld.lld: error: undefined symbol: f", "x"], "ld.lld: error: undefined symbol: f"),
        (
            ["CMake Error at CMakeLists.txt:1 (x):", "  Cannot find", "", "", "CMake Generate"],
            "CMake Error at CMakeLists.txt:1 (x): Cannot find",
        ),
        (["FAILED tests/test_a.py::test_b - assert 0", "x"], "FAILED tests/test_a.py::test_b -"),
        (["auditwheel: error: cannot repair it", "x"], "auditwheel: error: cannot repair it"),
        (["tomllib.TOMLDecodeError: Invalid value"], "tomllib.TOMLDecodeError: Invalid value"),
        (["one", "two", "three", "", "four"], "two | three | four"),
        ([], "no output"),
    ],
)
def test_the_telling_line_is_found(lines: list[str], told: str) -> None:
    assert error_line(lines).startswith(told)


# ---- how it is started ----


def job(tmp_path: Path, *, recipe: str | None) -> builder._BuildJob:
    return builder._BuildJob(
        engine=NO_ENGINE,
        tree=tmp_path,
        output=tmp_path,
        image="image:1",
        recipe=recipe,
        labels={"owner": "boot:1:2"},
        log=tmp_path / "log",
        title="wheel for linux",
    )


def test_no_setting_of_the_host_reaches_cibuildwheel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("CIBW_BEFORE_ALL", "PIP_INDEX_URL", "GITHUB_ACTIONS", "DOCKER_CONTEXT"):
        monkeypatch.setenv(name, "of the host")
    environment = builder._linux_environment(job(tmp_path, recipe="builder"))
    assert "of the host" not in environment.values()
    assert environment["DOCKER_HOST"] == NO_ENGINE.url


def test_our_image_has_no_network_and_another_one_has(tmp_path: Path) -> None:
    ours = builder._linux_environment(job(tmp_path, recipe="builder"))["CIBW_CONTAINER_ENGINE"]
    other = builder._linux_environment(job(tmp_path, recipe=None))["CIBW_CONTAINER_ENGINE"]
    assert "--network=none" in ours
    assert "--network" not in other
    assert "'--label=owner=boot:1:2'" in ours


def test_the_windows_steps_are_those_of_the_project(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(
        """
        [tool.cibuildwheel]
        before-build = "never"
        [tool.cibuildwheel.windows]
        before-build = ["pip install tool", "python {package}/fetch.py"]
        repair-wheel-command = "delvewheel repair --analyze-existing -w {dest_dir} {wheel}"
        """,
        "utf-8",
    )
    script = builder._windows_script(job(tmp_path, recipe="builder-windows")).splitlines()
    assert "pip install tool && python /project/fetch.py" in script
    assert script[-1] == 'delvewheel repair --analyze-existing -w /output "$wheel"'


def test_a_pyproject_that_is_no_toml_is_a_failed_build(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[", "utf-8")
    with pytest.raises(BuildFailed, match=r"pyproject\.toml cannot be read"):
        builder._windows_script(job(tmp_path, recipe="builder-windows"))
