from __future__ import annotations

from verification.subjects import report_template


def test_quiverdbs_template_names_rows_that_there_are() -> None:
    template = report_template.load("quiverdb")

    assert template.previous
    assert len(template.truths) == 6
    items = {item.item for item in template.items}
    assert items == {"pipeline", "publisher", "linux-install", "windows-install"}
    for requirement in template.requirements:
        assert set(requirement.truths) <= template.truths.keys()
        assert set(requirement.items) <= items


def test_another_package_has_its_two_installs() -> None:
    template = report_template.load("xxhash")

    assert [item.item for item in template.items] == ["windows-install", "linux-install"]
    assert (template.previous, template.truths, template.requirements) == (None, {}, ())
