from __future__ import annotations

from pathlib import Path

import pytest

from tests.helpers.sample_run import SUBJECT
from verification.models.base import DataError
from verification.models.report_template import ReportTemplate
from verification.subjects import report_template


def test_the_template_of_quiverdb_refers_to_its_own_truths_and_items() -> None:
    template = report_template.load(SUBJECT)

    assert template
    assert template.previous
    assert len(template.truths) == 6
    items = {item.item for item in template.items}
    assert items == {"pipeline", "publisher", "linux-install", "windows-install"}
    for requirement in template.requirements:
        assert set(requirement.truths) <= template.truths.keys()
        assert set(requirement.items) <= items


def test_the_generic_template_has_one_install_for_each_system() -> None:
    template = report_template.generic("xxhash", ["linux", "windows"])

    assert [item.item for item in template.items] == ["linux-install", "windows-install"]
    assert (template.previous, template.truths, template.requirements) == (None, {}, ())


def test_the_texts_of_a_subject_are_read_from_its_file(tmp_path: Path) -> None:
    path = tmp_path / "verification.toml"
    path.write_text('title = "T"\ngoal = "G"\n')
    own = SUBJECT.model_copy(update={"verification": path})
    assert report_template.load(own) == ReportTemplate(title="T", goal="G")
    assert report_template.load(SUBJECT.model_copy(update={"verification": None})) is None
    path.write_text("colour = 1\n")
    with pytest.raises(DataError, match=path.name):
        report_template.load(own)
