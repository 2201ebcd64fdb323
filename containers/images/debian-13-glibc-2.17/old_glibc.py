"""Make Python report glibc 2.17. packaging and uv read the version with ``os.confstr``."""

import os

_confstr = os.confstr


def confstr(name):  # type: ignore[no-untyped-def]
    """Return glibc 2.17 for the version of the C library, else the real value (confstr(3))."""
    return "glibc 2.17" if name == "CS_GNU_LIBC_VERSION" else _confstr(name)


os.confstr = confstr
