"""The platform tags that the default index accepts.

The list is from the upload code of the default index, 2026. Plain linux tags are refused, because
they do not state the required libraries. manylinux (PEP 600) and musllinux (PEP 656) tags state
them.
"""

from __future__ import annotations

import re

_ACCEPTED = re.compile(
    r"""
      any
    | win32 | win_(amd64|arm64|ia64)
    | linux_armv[67]l
    | manylinux(1|2010)_(x86_64|i686)
    | manylinux2014_(x86_64|i686|aarch64|armv7l|ppc64|ppc64le|s390x)
    | manylinux_\d+_\d+_(x86_64|i686|aarch64|armv7l|ppc64|ppc64le|s390x|riscv64)
    | musllinux_\d+_\d+_(x86_64|i686|aarch64|armv7l|ppc64le|s390x|riscv64)
    | macosx_(10_\d+|(11|12|13|14|15|26)_0)
        _(arm64|x86_64|i386|ppc|ppc64|intel|fat|fat3|fat64|universal|universal2)
    | ios_\d+_\d+_(arm64|x86_64)_(iphoneos|iphonesimulator)
    | android_\d+_(armeabi_v7a|arm64_v8a|x86|x86_64)
    """,
    re.VERBOSE,
)


def is_accepted(platform: str) -> bool:
    """Return True if the index accepts wheels with a platform tag."""
    return _ACCEPTED.fullmatch(platform) is not None
