from __future__ import annotations

import pytest

from tests.helpers.sample_run import LINUX, WINDOWS, cell, crash
from verification.models.cause import Cause, Severity
from verification.report import cause_groups
from verification.report.cause_groups import CauseEntry
from verification.rules.catalogue import catalogue
from verification.rules.finding import finding


def _cause(name: str, where: str = f"{LINUX}: import", follows: str = "") -> Cause:
    return Cause(
        name=name,
        severity=Severity.BROKEN,
        where=where,
        message="x",
        remedy=f"Fix {name}.",
        follows=follows,
    )


CELLS = (LINUX, WINDOWS)
FIRST, SECOND = _cause("first"), _cause("second", f"{LINUX}: use", follows="first")


def test_a_following_cause_is_under_its_cause_and_does_not_count() -> None:
    (occurrence,) = cause_groups.occurrences([SECOND, FIRST])

    assert (occurrence.cause, occurrence.following) == (FIRST, (SECOND,))
    assert cause_groups.cause_names([SECOND, FIRST]) == ("first",)


def test_a_chain_of_following_causes_is_under_the_first_cause() -> None:
    third = _cause("third", follows="second")

    (occurrence,) = cause_groups.occurrences([third, SECOND, FIRST])
    assert (occurrence.cause, set(occurrence.following)) == (FIRST, {SECOND, third})


def test_a_cause_of_another_cell_has_no_following_cause() -> None:
    other_cell = _cause("first", f"{WINDOWS}: import")

    assert cause_groups.cause_names([SECOND, other_cell]) == ("first", "second")
    occurrences = cause_groups.occurrences([SECOND, other_cell])
    assert [occurrence.following for occurrence in occurrences] == [(), ()]


def test_causes_that_follow_from_each_other_all_count() -> None:
    circle = [_cause("a", follows="b"), _cause("b", follows="a"), _cause("c", follows="c")]

    assert cause_groups.cause_names(circle) == ("a", "b", "c")


def test_causes_with_the_same_remedy_are_one_group() -> None:
    (group,) = cause_groups.groups([crash(), crash(WINDOWS), crash()], CELLS)
    assert (group.name, group.severity) == ("crash", Severity.BROKEN)
    (entry,) = group.entries
    assert (set(entry.locations), entry.step) == (set(CELLS), "import")


# ---- equal causes ----

SYSTEM_PIP, SYSTEM_UV = "windows-wine-pip-system", "windows-wine-uv-system"
FIRST_LIBRARY, SECOND_LIBRARY = "libquiver.dll", "libquiver_c.dll"


def _missing(cell_id: str, needed_by: str, library: str = "MSVCP140.dll") -> Cause:
    found = finding(
        "missing-runtime-library", "needed", needed_by=needed_by, library=library, code=0x7E
    )
    return found.cause(f"{cell_id}: native-call")


def _entries(*causes: Cause) -> tuple[CauseEntry, ...]:
    return cause_groups.entries(cause_groups.occurrences(causes), (SYSTEM_PIP, SYSTEM_UV))


def test_findings_of_a_linter_are_grouped_by_rule_after_broken_causes() -> None:
    findings = [
        catalogue().cause(
            "zizmor-finding", f"{file}.yml:{line}", f"{rule}: text", rule=rule, url=f"#{rule}"
        )
        for file in ("a", "b")
        for rule in ("one", "two")
        for line in range(20)
    ]
    broken = catalogue().cause("job-failed", "z", "text")

    groups = cause_groups.groups([*findings, broken], ())

    assert [group.name for group in groups] == ["job-failed", "zizmor-finding", "zizmor-finding"]
    assert [len(group.entries) for group in groups] == [1, 1, 1]
    assert len(groups[1].entries[0].locations) == 40


def test_equal_causes_of_two_libraries_in_two_cells_are_one_entry() -> None:
    (entry,) = _entries(
        *(
            _missing(cell_id, library)
            for cell_id in (SYSTEM_PIP, SYSTEM_UV)
            for library in (FIRST_LIBRARY, SECOND_LIBRARY)
        )
    )

    assert entry.differing_values == (FIRST_LIBRARY, SECOND_LIBRARY)
    assert entry.others == (SECOND_LIBRARY,)
    assert entry.step == "native-call"
    assert entry.locations == (SYSTEM_PIP, SYSTEM_UV)


def test_three_libraries_that_need_the_same_one_are_one_entry() -> None:
    (entry,) = _entries(*(_missing(SYSTEM_PIP, name) for name in ("a.dll", "b.dll", "c.dll")))

    assert entry.differing_values == ("a.dll", "b.dll", "c.dll")


@pytest.mark.parametrize(
    "other",
    [
        _missing(SYSTEM_PIP, SECOND_LIBRARY, "vcruntime140.dll"),  # two facts differ
        _missing(SYSTEM_UV, SECOND_LIBRARY),  # another library in another cell
        _missing(SYSTEM_PIP, FIRST_LIBRARY).model_copy(update={"message": "x", "facts": {}}),
        _missing(SYSTEM_PIP, SECOND_LIBRARY).model_copy(update={"remedy": "Fix it."}),
    ],
)
def test_causes_that_differ_in_more_are_two_entries(other: Cause) -> None:
    entries = _entries(_missing(SYSTEM_PIP, FIRST_LIBRARY), other)

    assert [entry.differing_values for entry in entries] == [(), ()]


def test_an_entry_does_not_mix_two_facts() -> None:
    entries = _entries(
        _missing(SYSTEM_PIP, "a.dll"),
        _missing(SYSTEM_PIP, "b.dll"),
        _missing(SYSTEM_PIP, "a.dll", "c.dll"),
    )

    assert sorted(len(entry.differing_values) for entry in entries) == [0, 2]


@pytest.mark.parametrize(
    ("library", "entry_count"), [("MSVCP140.dll", 1), ("vcruntime140_1.dll", 2)]
)
def test_files_of_the_inspection_are_in_the_entry_of_the_machine_that_confirms_them(
    library: str, entry_count: int
) -> None:
    inspected = [
        catalogue().cause(
            "missing-runtime-library", path, "needs it", library=library, delayed=False
        )
        for path in ("quiverdb/a.dll", "quiverdb/b.dll")
    ]
    entries = _entries(*inspected, _missing(SYSTEM_PIP, "a.dll"))

    assert len(entries) == entry_count
    if entry_count == 1:
        assert entries[0].locations == (SYSTEM_PIP, "quiverdb/a.dll", "quiverdb/b.dll")
        assert entries[0].step == "native-call"


def test_equal_following_causes_are_one_entry_under_their_cause() -> None:
    (entry,) = _entries(
        *(
            cause
            for cell_id in (SYSTEM_PIP, SYSTEM_UV)
            for cause in (_cause("first", cell_id), _cause("second", cell_id, follows="first"))
        )
    )

    (following,) = entry.following
    assert (following.cause.name, following.locations) == ("second", (SYSTEM_PIP, SYSTEM_UV))


@pytest.mark.parametrize(
    "where", ["publish.yml:12 (build)", "quiverdb-0.5.0-py3-none-any.whl: quiverdb/a.so", "publish"]
)
def test_a_location_without_a_cell_is_complete(where: str) -> None:
    (entry,) = _entries(_cause("first", where))

    assert (entry.locations, entry.step) == ((where,), "")


def test_a_location_names_machine_installers_and_scenarios_once() -> None:
    ids = (SYSTEM_PIP, SYSTEM_UV, *(f"debian-13-pip-{name}" for name in ("a", "b", "c")))
    cells = {cell_id: cell(cell_id) for cell_id in ids}

    sentence = cause_groups.locations_sentence
    assert sentence(ids[:2], cells) == "windows-wine with pip and uv (system)"
    assert sentence([*ids[:3], "a.whl"], cells) == (
        "windows-wine with pip and uv, debian-13 with pip (system, a); a.whl"
    )
    assert sentence(ids, cells).endswith("(4 scenarios)")
    assert sentence(["a.whl"], cells) == "a.whl"


def _comparisons(number: int) -> int:
    """Return how often causes are compared to group those of this number of failing cells."""
    compared = 0
    original = Cause.__eq__

    def count(first: Cause, second: object) -> bool:
        nonlocal compared
        compared += 1
        return original(first, second)

    cells = [f"debian-13-pip-s{index}" for index in range(number)]
    causes = [
        cause
        for cell_id in cells
        for cause in (
            _cause("first", f"{cell_id}: import"),
            _cause("second", f"{cell_id}: use", follows="first"),
        )
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Cause, "__eq__", count)
        (group,) = cause_groups.groups(causes, set(cells))
    assert len(group.entries[0].locations) == number
    return compared


def test_twice_as_many_cells_need_twice_as_many_comparisons() -> None:
    assert _comparisons(200) <= 2 * _comparisons(100) + 10
