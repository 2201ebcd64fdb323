from __future__ import annotations

from tests.helpers.sample_run import SUBJECT
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
