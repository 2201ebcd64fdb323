from __future__ import annotations

import pytest

from tests.helpers.sample_evidence import CELL, WHEEL, Change, Fields, evidence, request
from tests.helpers.sample_expectation import EXPECTATION, Summary, refuses, summary, with_conditions
from verification.models.cause import Cause, Severity
from verification.models.expectation import Conditions, Expectation
from verification.rules.install_error import install_error, is_page

NO_WHEEL = "ERROR: No matching distribution found for quiverdb\n"
NO_CFFI = "ERROR: No matching distribution found for cffi>=2.0.0\n"
RETRYING = "WARNING: Retrying (Retry(total=4)) after connection broken by 'NewConnectionError: "
UV = "error: No solution found when resolving dependencies\n  cause: "
REFUSED = EXPECTATION.model_copy(update={"refused_upload": "refused (400 bad metadata)"})
WHERE = f"{CELL}: install quiverdb"
UNPUBLISHED = EXPECTATION.model_copy(update={"unpublished": ("numpy", "cffi")})
LINUX_TAG = "manylinux_2_28_x86_64"


def failed(output: str = "", **changes: object) -> Change:
    """Return a change after which the installation fails with this error output."""
    return lambda fields: fields["install"].update({"code": 1, "stderr": output, **changes})


def cause(*changes: Change, expectation: Expectation = EXPECTATION) -> Cause:
    observed = evidence(*changes)
    assert observed.install is not None
    return install_error(observed, expectation, observed.install)


def error(*changes: Change, expectation: Expectation = EXPECTATION) -> Summary:
    return summary(cause(*changes, expectation=expectation))


# ---- messages with a cause ----


INSTALLER_MESSAGES = [
    (
        "ERROR: [Errno 28] No space left on device\n",
        "disk-full",
        "ERROR: [Errno 28] No space left on device",
    ),
    ("database or disk is full\n", "disk-full", "database or disk is full"),
    (
        "ERROR: THESE PACKAGES DO NOT MATCH THE HASHES from x\nbye\n",
        "hash-mismatch",
        "ERROR: THESE PACKAGES DO NOT MATCH THE HASHES from x",
    ),
    (
        "ERROR: In --require-hashes mode, all must be pinned\n",
        "missing-dependency",
        "ERROR: In --require-hashes mode, all must be pinned",
    ),
    (
        "error: Hash-checking is required, but no trusted hash was provided for: `numpy`\n",
        "missing-dependency",
        "error: Hash-checking is required, but no trusted hash was provided for: `numpy`",
    ),
    (
        f"{RETRYING}Temporary failure in name resolution'\n{NO_WHEEL}",
        "index-unreachable",
        f"{RETRYING}Temporary failure in name resolution'",
    ),
    (
        f"{RETRYING}Connection refused'\n{NO_WHEEL}",
        "index-unreachable",
        f"{RETRYING}Connection refused'",
    ),
    (
        f"{RETRYING}Connection reset by peer'\n",
        "index-unreachable",
        f"{RETRYING}Connection reset by peer'",
    ),
    (
        f"{RETRYING}Connection timed out'\n",
        "index-unreachable",
        f"{RETRYING}Connection timed out'",
    ),
    (
        f" WARNING: x: SSLError(1) - skipping\n{NO_WHEEL}",
        "index-unreachable",
        "WARNING: x: SSLError(1) - skipping",
    ),
    ("WARNING: Read timed out. (15)\n", "index-unreachable", "WARNING: Read timed out. (15)"),
    ("error: read timed out\n", "index-unreachable", "error: read timed out"),
    ("error: incomplete-download\n", "index-unreachable", "error: incomplete-download"),
    ("error: operation timed out\n", "index-unreachable", "error: operation timed out"),
    (
        "note\nERROR: [Errno 13] Permission denied: '/usr/lib'\n",
        "permission",
        "ERROR: [Errno 13] Permission denied: '/usr/lib'",
    ),
    (
        "ERROR: Could not install due to an EnvironmentError: [Errno 13] x\n",
        "permission",
        "ERROR: Could not install due to an EnvironmentError: [Errno 13] x",
    ),
    (
        "ERROR: Package 'x' require a different python version: 3.13\n",
        "unsupported-python",
        "ERROR: Package 'x' require a different python version: 3.13",
    ),
    (
        "x\n ERROR: quiverdb's Wheel-Version (2.0) is not compatible with this version\n",
        "wheel-version",
        "ERROR: quiverdb's Wheel-Version (2.0) is not compatible with this version",
    ),
    (
        "ERROR: x has an invalid wheel, WHEEL is missing Wheel-Version\n",
        "wheel-version",
        "ERROR: x has an invalid wheel, WHEEL is missing Wheel-Version",
    ),
    (
        "error: x\n  cause: The wheel is invalid: Invalid Wheel-Version in `WHEEL` file\n",
        "wheel-version",
        "Invalid Wheel-Version in `WHEEL` file",
    ),
    (
        "error: x\n  cause: The wheel is invalid: Unsupported wheel major version (2)\n",
        "wheel-version",
        "Unsupported wheel major version (2)",
    ),
    (
        "error: x\n  cause: The wheel is invalid: `entry_points.txt` is invalid: line 3\n",
        "entry-point-broken",
        "cause: The wheel is invalid: `entry_points.txt` is invalid: line 3",
    ),
    (
        "error: x\n  cause: The wheel is invalid: invalid console script: 'quiverdb'\n",
        "entry-point-broken",
        "cause: The wheel is invalid: invalid console script: 'quiverdb'",
    ),
    (
        " ERROR: For req: quiverdb. Invalid script entry point: <ExportEntry q>\n",
        "entry-point-broken",
        "ERROR: For req: quiverdb. Invalid script entry point: <ExportEntry q>",
    ),
    (
        "ERROR: Wheel 'quiverdb' located at /x is invalid.\n",
        "record-mismatch",
        "ERROR: Wheel 'quiverdb' located at /x is invalid.",
    ),
    (
        "ERROR: quiverdb has an invalid wheel, x\n",
        "record-mismatch",
        "ERROR: quiverdb has an invalid wheel, x",
    ),
    ("zipfile.BadZipFile: x\n", "record-mismatch", "zipfile.BadZipFile: x"),
    ("x: Bad CRC-32 for file\n", "record-mismatch", "x: Bad CRC-32 for file"),
    (
        "ERROR: x is outside the target directory\n",
        "record-mismatch",
        "ERROR: x is outside the target directory",
    ),
    ("Error decoding metadata for x\n", "record-mismatch", "Error decoding metadata for x"),
]
"""Output of an installer, the name of its cause, and the line that the cause shows."""


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_message_of_the_installer_has_a_cause(stream: str) -> None:
    wrong = []
    for output, name, line in INSTALLER_MESSAGES:
        observed = error(failed(**{"stderr": "", stream: output}))
        if observed != (name, WHERE, {"message": line}):
            wrong.append((output, observed))
    assert wrong == []


@pytest.mark.parametrize(
    ("output", "message"),
    [
        ("note\nERROR: something new\nbye\n", "ERROR: something new"),
        (
            "error: Failed to install: x.whl\n  cause: failed to open file\n  cause: bad handle\n",
            "error: Failed to install: x.whl (cause: failed to open file) (cause: bad handle)",
        ),
    ],
)
def test_other_error_is_unclassified(output: str, message: str) -> None:
    assert error(failed(output)) == ("unclassified", WHERE, {"code": 1, "error": message})


def test_error_without_output_is_unclassified() -> None:
    name, _, facts = error(failed())
    assert (name, facts["code"]) == ("unclassified", 1)


def test_long_line_is_shortened() -> None:
    line = f"{'x' * 500} SSLError"
    assert error(failed(line))[2] == {"message": line[:400]}


def test_installation_that_runs_after_its_time_limit_is_a_hang() -> None:
    observed = error(failed(NO_WHEEL, timed_out=True, code=-9, seconds=120.4))
    assert observed == ("hang", WHERE, {"seconds": 120.4})


# ---- the page that lists the files ----


@pytest.mark.parametrize("statuses", [[], [404], [403, 403, 500]], ids=str)
@pytest.mark.parametrize(
    ("output", "project"), [(NO_WHEEL, "quiverdb"), (NO_CFFI, "cffi")], ids=["own", "dependency"]
)
def test_refusal_without_a_served_page_is_a_failure_of_the_index(
    output: str, project: str, statuses: list[int]
) -> None:
    path = f"/simple/{project}/"

    def change(fields: Fields) -> None:
        others = [line for line in fields["requests"] if line["path"] != path]
        fields["requests"] = others + [request(path, status=status) for status in statuses]

    facts = {"project": project}
    if statuses:
        facts["answers"] = ", ".join(dict.fromkeys(map(str, statuses)))
    assert error(failed(output), change) == ("index-unreachable", WHERE, facts)


def test_dependency_without_a_lock_needs_only_the_page_of_the_release() -> None:
    output = "ERROR: No matching distribution found for numpy\n"
    assert error(failed(output), expectation=UNPUBLISHED)[0] == "missing-dependency"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (request("/simple/quiver-db/"), True),
        (request("/simple/quiver-db/", status=304), True),
        (request("/simple/quiver-db/", status=206), False),
        (request("/simple/quiver-db"), False),
        (request("/simple/other/"), False),
    ],
)
def test_page_is_a_successful_answer_for_the_project(line: Fields, expected: bool) -> None:
    (logged,) = evidence(lambda fields: fields.update(requests=[line])).requests
    assert is_page(logged, "Quiver.DB") == expected


def no_page(fields: Fields) -> None:
    fields["requests"] = []


def test_refused_upload_or_offline_installation_needs_no_page() -> None:
    assert error(failed(NO_WHEEL), no_page, expectation=REFUSED)[0] == "upload-refused"
    offline = with_conditions(Conditions(offline=True))
    assert error(failed(NO_CFFI), no_page, expectation=offline)[0] == "missing-dependency"


# ---- a dependency ----


@pytest.mark.parametrize(
    ("requirement", "expectation", "facts"),
    [
        ("numpy>=2", UNPUBLISHED, {}),
        ("cffi>=99", UNPUBLISHED, {}),
        ("cffi>=99", EXPECTATION, {"available": "cffi 2.0.0"}),
        ("numpy>=2", refuses(), {}),
    ],
)
@pytest.mark.parametrize("end", ["\n", '; sys_platform == "win32"\n'])
def test_dependency_without_a_fitting_file_is_missing(
    requirement: str, expectation: Expectation, facts: dict[str, str], end: str
) -> None:
    output = f"ERROR: No matching distribution found for {requirement}{end}"
    expected = ("missing-dependency", WHERE, {"requirement": requirement, **facts})
    assert error(failed(output), expectation=expectation) == expected


@pytest.mark.parametrize(
    "output",
    [
        "ERROR: No matching distribution found for numpy>=2\n",
        f"{UV}Because numpy was not found in the package registry and quiver",
    ],
    ids=["pip", "uv"],
)
def test_declared_dependency_that_is_not_served_is_a_testbed_failure(
    output: str,
) -> None:
    observed = cause(failed(output))
    assert (observed.name, observed.severity) == ("dependency-not-served", Severity.TESTBED)


@pytest.mark.parametrize(
    ("reason", "requirement"),
    [
        (
            "Because only cffi<=2.0.0 is available and quiverdb==1.2.0 depends on cffi>=99, we can",
            "cffi>=99",
        ),
        ("Because numpy was not found in the package registry and quiver", "numpy"),
        (
            "Because there are no versions of numpy{sys_platform == 'win32'} and all versions of "
            "quiverdb depend on numpy{sys_platform == 'win32'}, we can conclude",
            "numpy{sys_platform == 'win32'}",
        ),
    ],
)
def test_missing_dependency_is_read_from_the_message_of_uv(reason: str, requirement: str) -> None:
    expected = ("missing-dependency", WHERE, {"requirement": requirement})
    assert error(failed(UV + reason), expectation=UNPUBLISHED) == expected


def test_missing_dependency_offline_is_reported() -> None:
    output = 'ERROR: No matching distribution found for cffi; sys_platform == "win32"\n'
    offline = with_conditions(Conditions(offline=True))
    expected = ("missing-dependency", WHERE, {"requirement": "cffi"})
    assert error(failed(output), expectation=offline) == expected


def test_refused_upload_does_not_explain_a_missing_dependency() -> None:
    output = "ERROR: No matching distribution found for numpy\n"
    refused = REFUSED.model_copy(update={"unpublished": ("numpy",)})
    assert error(failed(output), expectation=refused)[0] == "missing-dependency"


# ---- the release itself ----


@pytest.mark.parametrize("name", ["quiverdb", "QuiverDB", "quiverdb==1.2.0"])
def test_refused_upload_explains_a_missing_wheel(name: str) -> None:
    output = f"ERROR: No matching distribution found for {name}\n"
    expected = ("upload-refused", WHERE, {"reason": "refused (400 bad metadata)"})
    assert error(failed(output), expectation=REFUSED) == expected


@pytest.mark.parametrize(
    ("changes", "machine"),
    [
        ({"machine": "aarch64"}, "aarch64 with glibc 2.41"),
        ({"libc": ["", ""]}, "x86_64 with a C library that is not glibc"),
        ({"os": "windows", "machine": "AMD64", "libc": ["", ""]}, "Windows on AMD64"),
    ],
)
def test_refusal_on_another_platform_names_machine_and_wheels(
    changes: Fields, machine: str
) -> None:
    assert error(failed(NO_WHEEL), lambda fields: fields.update(changes)) == (
        "unsupported-platform",
        WHERE,
        {"machine": machine, "wheels": LINUX_TAG},
    )


@pytest.mark.parametrize("python", ["3.12.1", "3.14.0a1", "4.13.0"])
def test_refusal_by_another_python_names_python_and_wheels(python: str) -> None:
    short = ".".join(python.split(".")[:2])
    assert error(failed(NO_WHEEL), lambda fields: fields.update(python=python)) == (
        "unsupported-python",
        WHERE,
        {"python": short, "wheels": "cp313"},
    )


def test_refusal_by_a_free_threaded_python_names_its_abi() -> None:
    assert error(failed(NO_WHEEL), lambda fields: fields.update(abiflags="t")) == (
        "unsupported-python",
        WHERE,
        {"python": "3.13t", "wheels": "cp313"},
    )


def test_refusal_by_requires_python_is_reported_if_the_tags_fit() -> None:
    line = (
        "ERROR: Ignored the following versions that require a different python version: "
        "1.2.0 Requires-Python >=3.14"
    )
    output = f"{line}\nERROR: Could not find a version\n{NO_WHEEL}"
    assert error(failed(output)) == ("unsupported-python", WHERE, {"message": line})


MACHINES = [
    ("cp314-cp314-win_amd64", "3.14.0", "", "linux", "unsupported-python"),
    ("cp314-cp314-musllinux_1_2_x86_64", "3.14.0", "", "linux", "unsupported-python"),
    ("py3-none-win_amd64", "3.11.2", "", "linux", "unsupported-python"),
    ("cp313-cp313t-win_amd64", "3.13.5", "t", "linux", "unsupported-python"),
    ("cp39-abi3-manylinux_2_44_x86_64", "3.14.0", "", "linux", "unsupported-platform"),
    ("cp39-abi3-manylinux_2_44_x86_64", "3.9.0", "", "linux", "unsupported-platform"),
    ("cp39-abi3-manylinux_2_44_x86_64", "3.8.0", "", "linux", "unsupported-python"),
    ("cp314-cp314-manylinux_2_44_x86_64", "3.14.0", "", "linux", "unsupported-platform"),
    ("py3-none-manylinux_2_44_x86_64", "3.11.2", "", "linux", "unsupported-platform"),
    ("py314-none-manylinux_2_44_x86_64", "3.14.2", "", "linux", "unsupported-platform"),
    ("py3-none-any", "3.14.2", "t", "linux", "unsupported-platform"),
    ("cp314-cp314t-linux_x86_64", "3.14.2", "t", "linux", "unsupported-platform"),
    ("cp314-cp314-win_amd64", "3.14.2", "", "windows", "unsupported-platform"),
    ("cp314-cp314-win_amd64", "3.13.2", "", "windows", "unsupported-python"),
    ("cp314-cp314-musllinux_1_2_x86_64", "3.14.2", "", "musl", "unsupported-platform"),
    ("cp314-cp314-linux_x86_64", "3.14.2", "", "musl", "unsupported-platform"),
    ("cp314-cp314-manylinux_2_28_x86_64", "3.12.2", "", "musl", "unsupported-platform"),
]
"""Wheel of the release; Python, ABI flags and system of the machine; cause of the refusal."""


def refusal_of(wheel: str, python: str, flags: str, system: str) -> str:
    """Return the name of the cause of a refusal on a machine."""
    file = f"quiverdb-1.2.0-{wheel}.whl"
    digests = {**EXPECTATION.digests, file: "b" * 64}
    if system != "linux":
        digests = {file: "b" * 64}

    def change(fields: Fields) -> None:
        fields |= {"python": python, "abiflags": flags}
        if system != "linux":
            fields |= {"libc": ["", ""], "os": "windows" if system == "windows" else "linux"}

    expectation = EXPECTATION.model_copy(update={"digests": digests})
    return error(failed(NO_WHEEL), change, expectation=expectation)[0]


def test_refusal_depends_on_the_wheels_for_the_machine() -> None:
    assert [row for *row, name in MACHINES if refusal_of(*row) != name] == []


def test_tags_of_the_wheels_are_sorted() -> None:
    digests = {
        WHEEL: "",
        "quiverdb-1.2.0-cp312-cp312-manylinux_2_28_x86_64.whl": "",
        "quiverdb-1.2.0-cp313-cp313-win_amd64.whl": "",
    }
    expectation = EXPECTATION.model_copy(update={"digests": digests})
    by_python = error(
        failed(NO_WHEEL), lambda fields: fields.update(python="3.9.1"), expectation=expectation
    )
    assert by_python[2]["wheels"] == "cp312, cp313"
    by_platform = error(failed(NO_WHEEL), expectation=expectation)
    assert by_platform[2]["wheels"] == f"{LINUX_TAG}, win_amd64"


_UV_PYTHON = """
  cause: Because the current Python version (3.11.2) does not satisfy Python>=3.13 and
 quiverdb==0.1.0 depends on Python>=3.13, we can conclude that quiverdb==0.1.0 cannot be used.
 And because quiverdb>=0.4.0 has no wheels with a matching Python implementation tag
"""
_UV_GLIBC = """
  cause: Because cffi==2.0.0 has no wheels with a matching platform tag and quiverdb<=0.1.0 depends
 on cffi==2.0.0, we can conclude that quiverdb<=0.1.0 cannot be used.
 And because quiverdb>=0.4.0 has no wheels with a matching platform tag
"""
_UV_PLATFORM = (
    "Because quiverdb==1.2.0 has no wheels with a matching platform tag (e.g., `win_amd64`) and "
    "only quiverdb==1.2.0 is available"
)


@pytest.mark.parametrize(
    ("output", "python", "name"),
    [
        (_UV_PYTHON, "3.11.2", "unsupported-python"),
        (_UV_GLIBC, "3.13.5", "unsupported-platform"),
        (UV + _UV_PLATFORM, "3.13.5", "unsupported-platform"),
        (f"{UV}Because quiverdb has no source and x", "3.13.5", "unsupported-platform"),
    ],
    ids=["python", "glibc", "platform", "source"],
)
def test_refusal_of_the_release_is_read_from_the_message_of_uv(
    output: str, python: str, name: str
) -> None:
    assert error(failed(output), lambda fields: fields.update(python=python))[0] == name


def test_required_python_is_read_from_the_message_of_uv() -> None:
    line = (
        "cause: Because the current Python version (3.11.2) does not satisfy Python>=3.13 and "
        "quiverdb==1.2.0 depends on Python>=3.13, we can conclude"
    )
    observed = error(failed(f"error: No solution found:\n  {line}\n"))
    assert observed == ("unsupported-python", WHERE, {"message": line})
