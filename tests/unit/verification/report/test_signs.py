from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.helpers.sample_run import BASIS, FILES, PUBLISHER, cell, complete, crash, report
from verification.models.pipeline import LivePublisherCheck
from verification.models.report import NOT_COVERED, FileCoverage, PublisherPart, Report
from verification.models.results import Coverage, PlatformResult
from verification.models.testbed import EgressProof
from verification.models.verdict import SIGNS, Outcome, Verdict
from verification.report import card, github, html, junit, signs, terminal, verification_md


def test_each_outcome_has_a_distinct_sign_title_and_colour() -> None:
    assert signs.OUTCOMES.keys() == set(Outcome)
    for values in zip(*signs.OUTCOMES.values(), strict=True):
        assert len(set(values)) == len(Outcome)
    assert {outcome: outcome_sign.sign for outcome, outcome_sign in signs.OUTCOMES.items()} == SIGNS


def test_each_verdict_has_a_distinct_sign_title_and_colour() -> None:
    assert signs.VERDICTS.keys() == set(Verdict)
    for values in zip(*signs.VERDICTS.values(), strict=True):
        assert len(set(values)) == len(Verdict)


def test_machines_are_counted_by_outcome() -> None:
    cells = [
        cell("a-pip-venv"),
        cell("b-pip-venv"),
        cell("c-pip-venv", outcome=Outcome.REFUSED),
        cell("d-pip-venv", outcome=Outcome.FALLS_BACK),
    ]

    assert signs.machine_counts(cells) == {
        Outcome.WORKS: 2,
        Outcome.REFUSED: 1,
        Outcome.FALLS_BACK: 1,
    }
    assert re.findall(r"\d+", signs.machine_sentence(cells)) == ["2", "1", "1"]
    assert signs.machine_sentence([]) == ""


def test_each_outcome_has_a_distinct_sentence() -> None:
    sentences = {signs.machine_sentence([cell("a-pip-venv", outcome=one)]) for one in Outcome}
    assert len(sentences) == len(Outcome)


@pytest.mark.parametrize("worst", [outcome for outcome in Outcome if outcome != Outcome.WORKS])
def test_a_machine_counts_once_with_its_worst_cell(worst: Outcome) -> None:
    cells = [cell("a-pip-venv"), cell("a-uv-venv", outcome=worst), cell("a-uv-user")]

    assert signs.machine_counts(cells) == {worst: 1}


def test_a_platform_without_a_machine_has_a_line_with_its_causes() -> None:
    def lines(coverage: Coverage, *wheels: str) -> list[str]:
        result = PlatformResult(tag="win32", coverage=coverage, wheels=wheels, causes=(crash("x"),))
        return list(signs.platform_sentences([result]))

    assert lines(Coverage.MACHINES, "x.whl") == []
    for coverage in set(Coverage) - {Coverage.MACHINES}:
        (line,) = lines(coverage, "x.whl")
        assert "x.whl" in line
        assert "crash" in line
        assert "win32" in lines(coverage)[0]


def test_unread_native_code_is_in_the_line() -> None:
    result = PlatformResult(
        tag="win32", coverage=Coverage.INSPECTED_ONLY, wheels=("x.whl",), unread=("a.dylib: why",)
    )
    assert "a.dylib: why" in next(signs.platform_sentences([result]))


def test_a_platform_without_a_wheel_and_without_a_cause_has_no_line() -> None:
    result = PlatformResult(tag="win32", coverage=Coverage.INSPECTED_ONLY)
    assert list(signs.platform_sentences([result])) == []


# ---- what each form shows next to the verdict ----


def _with_live(live: LivePublisherCheck | None) -> Report:
    return complete().model_copy(update={"publisher": PublisherPart(live=live)})


def test_basis_is_one_line_that_ends_with_what_is_not_covered() -> None:
    line = signs.basis_line(report())
    *others, last = line.split("; ")
    assert others == [f"{entry.name} = {entry.value}" for entry in BASIS[:-1]]
    assert last == f"{NOT_COVERED}: {BASIS[-1].value}"
    assert signs.basis_line(report().model_copy(update={"basis": ()})) == ""


def test_what_was_read_of_the_live_index_has_version_publishers_and_limits() -> None:
    live = LivePublisherCheck(
        verdict=Verdict.VERIFIED,
        reason="signatures are not checked",
        version="0.4.0",
        publishers={"a.whl": "kind=GitHub", "b.whl": "kind=GitHub", "c.whl": "kind=GitLab"},
    )
    line = signs.live_index_sentence(_with_live(live))
    for word in ("0.4.0", "a.whl, b.whl by kind=GitHub", "c.whl by kind=GitLab", live.reason):
        assert word in line


def test_reason_why_nothing_was_read_of_the_live_index_is_shown() -> None:
    live = LivePublisherCheck(verdict=Verdict.UNVERIFIED, reason="no answer")
    assert signs.live_index_sentence(_with_live(live)).endswith("no answer")
    assert signs.live_index_sentence(_with_live(None)) == ""
    assert signs.live_index_sentence(report()) == ""


def test_each_file_has_a_sentence_with_its_machines_or_with_the_reason() -> None:
    for file in FILES:
        sentence = signs.file_sentence(file)
        assert sentence.startswith(signs.FILE_COVERAGE[file.coverage])
        assert all(word in sentence for word in (*file.machines, file.reason))
        if file.coverage is FileCoverage.INSPECTED:
            assert all(check in sentence for check in file.checks)


def test_each_coverage_of_a_file_has_distinct_words() -> None:
    assert signs.FILE_COVERAGE.keys() == set(FileCoverage)
    assert len(set(signs.FILE_COVERAGE.values())) == len(FileCoverage)


@pytest.mark.parametrize(
    ("tag", "title"),
    [
        ("manylinux_2_17_i686.manylinux2014_i686", "Linux x86"),
        ("macosx_10_9_universal2", "macOS universal2"),
        ("musllinux_1_2_x86_64", "Linux (musl) x86-64"),
        ("win32", "Windows x86"),
        ("emscripten_4_0", "emscripten_4_0"),
    ],
)
def test_a_platform_tag_is_shown_in_words(tag: str, title: str) -> None:
    assert signs.platform_title(tag) == title


def test_a_machine_has_the_platform_title_of_its_wheels() -> None:
    assert signs.system_title("linux") == signs.platform_title("manylinux_2_28_x86_64")
    assert signs.system_title("linux", musl=True) == signs.platform_title("musllinux_1_2_x86_64")
    assert signs.system_title("windows") == signs.platform_title("win_amd64")


def test_only_the_publisher_has_a_scope() -> None:
    run = complete()
    assert signs.scope(run, "publisher") == PUBLISHER.scope
    assert {signs.scope(run, item.id) for item in run.items} == {"", PUBLISHER.scope}
    assert signs.scope(report(), "publisher") == ""


def test_each_format_says_in_the_same_words_that_the_run_did_not_finish(tmp_path: Path) -> None:
    run = report().model_copy(update={"finished": False})
    junit.write(tmp_path / "junit.xml", run)
    formats = (
        card.markdown(card.card(run)),
        html.render(run, {}),
        (tmp_path / "junit.xml").read_text("utf-8"),
        terminal.render(run, (), page=Path("index.html"), width=200, colour=False),
        verification_md.render(run),
    )

    assert all(signs.UNFINISHED in text for text in formats)


def test_line_of_the_verdict_has_the_addresses_that_machines_reach(tmp_path: Path) -> None:
    def lines(run: Report) -> list[str]:
        """Return the line of the verdict in each format."""
        text = terminal.render(run, [], page=tmp_path, width=80, colour=False)
        status = verification_md.render(run).partition("**Status:**")[2]
        return [
            text.splitlines()[-1],
            github.job_summary(run, tmp_path).splitlines()[0],
            card.card(run).title,
            status.splitlines()[0],
        ]

    assert signs.network_limit(report()) == ""
    proof = EgressProof(reachable=("192.0.2.2", "2001:db8::1"))
    for line in lines(report().model_copy(update={"egress": proof})):
        assert "192.0.2.2, 2001:db8::1" in line
    assert not any("192.0.2.2" in line for line in lines(report()))
