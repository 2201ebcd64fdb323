"""Says that the C library of this Python is glibc 2.17, where packaging and uv ask for it."""

import os

_confstr = os.confstr


def confstr(name):  # type: ignore[no-untyped-def]
    """Return what os.confstr does, but for the version of glibc (confstr(3))."""
    return "glibc 2.17" if name == "CS_GNU_LIBC_VERSION" else _confstr(name)


os.confstr = confstr
