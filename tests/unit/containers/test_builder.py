from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
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
    """A fake cibuildwheel. It writes wheels, runs a shell script and counts its runs."""

    def __init__(self) -> None:
        self.script = ""
        self.wheels: tuple[str, ...] = (WHEEL,)
        self.code = 0
        self.runs = 0

    def command(self, job: builder._BuildJob) -> list[str]:
        self.runs += 1
        for name in self.wheels:
            (job.output / name).write_bytes(b"wheel")
        return ["sh", "-c", f"{self.script}\nexit {self.code}"]

    def fail_with_output(self, *lines: str) -> None:
        self.script = f"printf '%s\\n' {shlex.join(lines)}"
        self.wheels = ()
        self.code = 1


@pytest.fixture
def cibuildwheel(monkeypatch: pytest.MonkeyPatch) -> Cibuildwheel:
    stand_in = Cibuildwheel()
    monkeypatch.setattr(builder, "_git_files", lambda _: None)
    monkeypatch.setattr(builder, "_linux_command", stand_in.command)
    monkeypatch.setattr(
        images,
        "ensure",
        lambda _, name: Image(name=name, tag=f"test/{name}:1", id="id", created="now"),
    )
    monkeypatch.setattr("shutil.which", lambda _name: "/usr/bin/docker")
    monkeypatch.setattr(builder._BuildJob, "remove_container", lambda _job: None)
    return stand_in


# ---- the files of the source and their hash ----


def test_source_hash_depends_on_content_name_and_executable_bit_only(
    source: Path, tmp_path: Path
) -> None:
    copy_source(source, tmp_path / "copy")
    hashes = [source_hash(source)]
    assert source_hash(tmp_path / "copy") == hashes[0], "the location does not matter"
    path = source / "src" / "demo.c"
    os.utime(path, (1, 1))
    assert source_hash(source) == hashes[0], "the modification time does not matter"
    path.chmod(0o755)
    hashes.append(source_hash(source))
    path.write_text("int other;\n", "utf-8")
    hashes.append(source_hash(source))
    path.rename(source / "src" / "other.c")
    hashes.append(source_hash(source))
    assert len(set(hashes)) == 4


def test_source_files_omit_files_of_builds_and_tests(source: Path) -> None:
    names = source_files(source)
    generated = (
        ".git/HEAD",
        "build/demo.o",
        "dist/demo.whl",
        "third_party/sqlite/sqlite3.c",
        "src/__pycache__/demo.cpython-313.pyc",
        "src/demo.egg-info/PKG-INFO",
        "src/demo-1.0.dist-info/RECORD",
        "tests/.pytest_cache/README.md",
        ".venv/pyvenv.cfg",
    )
    for name in (*generated, "src/build/steps.py"):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_text("", "utf-8")
    assert source_files(source) == sorted([*names, "src/build/steps.py"])


def test_source_hash_depends_on_the_target_of_a_link(source: Path, tmp_path: Path) -> None:
    (source / "link").symlink_to("src/demo.c")
    before = source_hash(source)
    (source / "link").unlink()
    (source / "link").symlink_to("pyproject.toml")
    assert source_hash(source) != before
    copy_source(source, tmp_path / "copy")
    assert (tmp_path / "copy" / "link").readlink() == Path("pyproject.toml")


def test_source_files_of_a_work_tree_omit_ignored_files(source: Path) -> None:
    git = ("git", "-c", "user.name=t", "-c", "user.email=t@t", "-C", str(source))
    subprocess.run((*git, "init", "-q"), check=True)
    (source / ".gitignore").write_text("*.so\n", "utf-8")
    (source / "src" / "stray.so").write_bytes(b"")
    (source / "src" / "new.c").write_bytes(b"")
    subprocess.run((*git, "add", "pyproject.toml", "src/demo.c"), check=True)
    assert source_files(source) == [".gitignore", "pyproject.toml", "src/demo.c", "src/new.c"]


def test_source_files_omit_a_deleted_tracked_file(source: Path) -> None:
    subprocess.run(("git", "-C", str(source), "init", "-q"), check=True)
    subprocess.run(("git", "-C", str(source), "add", "."), check=True)
    (source / "src" / "demo.c").unlink()
    assert source_files(source) == ["pyproject.toml"]


def test_source_files_of_an_ignored_folder_are_all_its_files(source: Path) -> None:
    subprocess.run(("git", "-C", str(source.parent), "init", "-q"), check=True)
    (source.parent / ".gitignore").write_text("source/\n", "utf-8")
    assert source_files(source) == ["pyproject.toml", "src/demo.c"]


def test_copy_keeps_executable_bits_and_has_one_modification_time(
    source: Path, tmp_path: Path
) -> None:
    (source / "src" / "demo.c").chmod(0o700)
    copy_source(source, tmp_path / "copy")
    copies = [tmp_path / "copy" / name for name in ("src/demo.c", "pyproject.toml")]
    assert [path.stat().st_mode & 0o777 for path in copies] == [0o755, 0o644]
    assert len({path.stat().st_mtime for path in copies}) == 1


# ---- wrong use ----


@pytest.mark.parametrize("name", ["none", "."], ids=["no folder", "no pyproject.toml"])
def test_invalid_source_folder_is_wrong_use(tmp_path: Path, name: str) -> None:
    with pytest.raises(WrongUse, match=re.escape(str(tmp_path / name))):
        build(NO_ENGINE, tmp_path / name, RUN)


# ---- the cache ----


def test_same_source_is_built_once(source: Path, cibuildwheel: Cibuildwheel) -> None:
    first = build(NO_ENGINE, source, RUN)
    assert build(NO_ENGINE, source, RUN) == first
    assert (first.name, first.read_bytes(), cibuildwheel.runs) == (WHEEL, b"wheel", 1)


def test_cached_wheel_needs_no_image_and_no_engine(
    source: Path, cibuildwheel: Cibuildwheel, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = build(NO_ENGINE, source, RUN)
    monkeypatch.delattr(images, "ensure")
    assert build(NO_ENGINE, source, RUN) == first
    assert cibuildwheel.runs == 1


def test_changed_source_is_built_again(source: Path, cibuildwheel: Cibuildwheel) -> None:
    first = build(NO_ENGINE, source, RUN)
    (source / "src" / "demo.c").write_text("int other;\n", "utf-8")
    assert build(NO_ENGINE, source, RUN) != first
    assert cibuildwheel.runs == 2


def test_source_is_built_again_in_another_image(source: Path, cibuildwheel: Cibuildwheel) -> None:
    first = build(NO_ENGINE, source, RUN)
    assert build(NO_ENGINE, source, RUN, manylinux_image="manylinux_2_28") != first
    assert cibuildwheel.runs == 2


def test_concurrent_runs_build_a_wheel_once(source: Path, cibuildwheel: Cibuildwheel) -> None:
    cibuildwheel.script = "sleep 0.1"
    threads = [threading.Thread(target=build, args=(NO_ENGINE, source, RUN)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert cibuildwheel.runs == 1


def test_partial_folder_of_a_killed_run_is_not_used(
    source: Path, cibuildwheel: Cibuildwheel
) -> None:
    folder = build(NO_ENGINE, source, RUN).parent
    folder.rename(folder.with_name(f"{folder.name}.partial"))
    assert build(NO_ENGINE, source, RUN).read_bytes() == b"wheel"
    assert cibuildwheel.runs == 2


def test_damaged_wheel_is_reported_and_built_again(
    source: Path, cibuildwheel: Cibuildwheel, capsys: pytest.CaptureFixture[str]
) -> None:
    wheel = build(NO_ENGINE, source, RUN)
    wheel.write_bytes(b"damaged")
    assert build(NO_ENGINE, source, RUN).read_bytes() == b"wheel"
    assert cibuildwheel.runs == 2
    assert capsys.readouterr().out.count(wheel.name) == 1


def test_build_does_not_change_the_source_folder(source: Path, cibuildwheel: Cibuildwheel) -> None:
    cibuildwheel.script = ": >generated"
    before = sorted(source.rglob("*"))
    build(NO_ENGINE, source, RUN)
    assert sorted(source.rglob("*")) == before


# ---- failures ----


def test_failed_build_has_the_line_of_the_compiler_and_the_log(
    source: Path, cibuildwheel: Cibuildwheel
) -> None:
    cibuildwheel.fail_with_output(
        "Building wheel...", "src/demo.c:1:4: error: expected ';'", "1 error generated."
    )
    with pytest.raises(BuildFailed, match=r"src/demo\.c:1:4: error: expected ';'") as caught:
        build(NO_ENGINE, source, RUN)
    assert "1 error generated." in Path(caught.value.log).read_text("utf-8")


def test_failed_build_is_not_cached(source: Path, cibuildwheel: Cibuildwheel) -> None:
    cibuildwheel.fail_with_output("error: no")
    for _ in range(2):
        with pytest.raises(BuildFailed):
            build(NO_ENGINE, source, RUN)
    assert cibuildwheel.runs == 2


def test_wheel_with_another_tag_is_a_failed_build(source: Path, cibuildwheel: Cibuildwheel) -> None:
    cibuildwheel.wheels = ("demo-1.0-cp313-cp313-linux_x86_64.whl",)
    with pytest.raises(BuildFailed) as caught:
        build(NO_ENGINE, source, RUN)
    assert "linux" in caught.value.message
    assert cibuildwheel.wheels[0] in caught.value.message


@pytest.mark.parametrize(
    ("tag", "is_built"),
    [
        ("cp39-abi3-manylinux_2_17_x86_64.manylinux2014_x86_64", True),
        ("cp313-cp313-manylinux_2_34_x86_64", True),
        ("cp313-cp313-manylinux_2_28_aarch64", False),
        ("cp313-cp313-musllinux_1_2_x86_64", False),
        ("cp313-cp313-win_amd64", False),
    ],
)
def test_wheel_of_any_glibc_is_built_and_the_inspection_judges_its_tags(
    source: Path, cibuildwheel: Cibuildwheel, tag: str, *, is_built: bool
) -> None:
    cibuildwheel.wheels = (f"demo-1.0-{tag}.whl",)
    if is_built:
        assert build(NO_ENGINE, source, RUN).name == cibuildwheel.wheels[0]
    else:
        with pytest.raises(BuildFailed):
            build(NO_ENGINE, source, RUN)


def test_source_is_built_again_for_another_python(source: Path, cibuildwheel: Cibuildwheel) -> None:
    first = build(NO_ENGINE, source, RUN, manylinux_image="manylinux_2_28")
    other = build(NO_ENGINE, source, RUN, python="cp312", manylinux_image="manylinux_2_28")
    assert other != first
    assert cibuildwheel.runs == 2


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
def test_testbed_failure_of_a_build_has_its_cause(
    source: Path, cibuildwheel: Cibuildwheel, cause: str, line: str
) -> None:
    cibuildwheel.fail_with_output(line, "cibuildwheel: error: Command failed with code 1.")
    with pytest.raises(TestbedFailure) as caught:
        build(NO_ENGINE, source, RUN)
    assert caught.value.cause == cause


def test_missing_requirement_is_a_failure_of_the_package_in_an_image_with_a_network(
    source: Path, cibuildwheel: Cibuildwheel
) -> None:
    cibuildwheel.fail_with_output("ERROR: No matching distribution found for nonexistent")
    with pytest.raises(BuildFailed, match="found for nonexistent"):
        build(NO_ENGINE, source, RUN, manylinux_image="manylinux_2_28")


def test_missing_docker_command_is_a_testbed_failure(
    source: Path, cibuildwheel: Cibuildwheel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.which", lambda _name: None)
    with pytest.raises(TestbedFailure) as caught:
        build(NO_ENGINE, source, RUN)
    assert (caught.value.cause, caught.value.where) == ("engine-unreachable", "cibuildwheel")
    assert cibuildwheel.runs == 0


def test_build_is_stopped_at_the_time_limit(
    source: Path, cibuildwheel: Cibuildwheel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(builder, "_BUILD_SECONDS", 0.2)
    cibuildwheel.script = "echo 'last line'; exec sleep 60"
    with pytest.raises(BuildFailed) as caught:
        build(NO_ENGINE, source, RUN)
    assert "0.2 s" in caught.value.message
    assert "last line" in caught.value.message


@pytest.mark.usefixtures("interruptible")
def test_interrupt_ends_the_program_and_removes_its_container(
    source: Path, cibuildwheel: Cibuildwheel, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    removed: list[str] = []
    monkeypatch.setattr(
        builder._BuildJob, "remove_container", lambda job: removed.append(job.image)
    )
    started = tmp_path / "started"
    cibuildwheel.script = f"echo $$ >{started}; exec sleep 60"

    main_thread = threading.get_ident()

    def interrupt() -> None:
        while not (started.exists() and started.read_text("utf-8")):
            time.sleep(0.01)
        # As the kernel, send the signal to the main thread, which waits for the program.
        signal.pthread_kill(main_thread, signal.SIGINT)

    threading.Thread(target=interrupt).start()
    with pytest.raises(KeyboardInterrupt):
        build(NO_ENGINE, source, RUN)
    assert removed == ["test/builder:1"]
    assert not Path("/proc", started.read_text("utf-8").strip()).exists()


@pytest.mark.parametrize(
    ("output", "expected"),
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
    ],
)
def test_error_line_is_the_most_specific_one(output: list[str], expected: str) -> None:
    assert error_line(output).startswith(expected)


def test_error_line_without_output_is_not_empty() -> None:
    assert error_line([])


# ---- the commands and their environments ----


def job(tmp_path: Path, *, recipe: str | None) -> builder._BuildJob:
    return builder._BuildJob(
        engine=NO_ENGINE,
        run=RUN,
        tree=tmp_path,
        output=tmp_path,
        image="image:1",
        recipe=recipe,
        labels={"owner": "boot:1:2"},
        log=tmp_path / "log",
        title="wheel for linux",
        python="cp313",
    )


def test_settings_of_the_host_do_not_reach_cibuildwheel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("CIBW_BEFORE_ALL", "PIP_INDEX_URL", "GITHUB_ACTIONS", "DOCKER_CONTEXT"):
        monkeypatch.setenv(name, "of the host")
    environment = builder._linux_environment(job(tmp_path, recipe="builder"))
    assert "of the host" not in environment.values()
    assert environment["DOCKER_HOST"] == NO_ENGINE.url


def test_only_a_build_in_another_image_has_a_network(tmp_path: Path) -> None:
    recipe_image, other_image = (
        builder._linux_environment(job(tmp_path, recipe=recipe))["CIBW_CONTAINER_ENGINE"]
        for recipe in ("builder", None)
    )
    assert "--network=none" in recipe_image
    assert "--network" not in other_image
    assert "'--label=owner=boot:1:2'" in recipe_image


def test_windows_build_has_the_steps_of_the_project(tmp_path: Path) -> None:
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


def test_invalid_pyproject_is_a_failed_build(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[", "utf-8")
    with pytest.raises(BuildFailed, match=r"pyproject\.toml"):
        builder._windows_script(job(tmp_path, recipe="builder-windows"))
