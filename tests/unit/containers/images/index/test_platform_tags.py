"""The platform tags that the index accepts."""

from __future__ import annotations

import pytest

from tests.helpers.index_front import (
    Front,
    wheel,
)


@pytest.mark.parametrize(
    ("platform", "accepted"),
    [
        ("any", True),
        ("win_amd64", True),
        ("manylinux_2_28_x86_64.manylinux2014_x86_64", True),
        ("musllinux_1_2_aarch64", True),
        ("macosx_11_0_arm64", True),
        ("macosx_10_9_universal2", True),
        ("linux_x86_64", False),
        ("manylinux_2_28_x86_64.linux_x86_64", False),
        ("manylinux_2_28_mips", False),
        ("macosx_11_5_arm64", False),
        ("win_mips", False),
    ],
)
def test_only_wheels_with_accepted_platform_tags_are_stored(
    front: Front, platform: str, accepted: bool
) -> None:
    tag = f"cp313-cp313-{platform}"
    response = front.send_upload(wheel("tagged", "1.0", tag, payload=tag.encode()))
    assert response.status_code == (200 if accepted else 400)
