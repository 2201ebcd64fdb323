from __future__ import annotations

import pydantic
import pytest

from tests.helpers.sample_run import TEMPLATE
from verification.models.report_template import ReportTemplate, RequirementTemplate


@pytest.mark.parametrize("needed", [{"truths": ("1",)}, {"items": ("publisher",)}])
def test_a_requirement_of_an_unknown_truth_or_item_is_refused(
    needed: dict[str, tuple[str, ...]],
) -> None:
    requirement = RequirementTemplate.model_validate(
        {"id": "R-1", "plan": "p", "description": "d"} | needed
    )
    with pytest.raises(pydantic.ValidationError, match="R-1"):
        ReportTemplate(title="T", goal="G", requirements=(requirement,))
    assert TEMPLATE
    assert ReportTemplate.model_validate(TEMPLATE.model_dump()) == TEMPLATE
