"""Says that this Python takes no wheel for a glibc newer than 2.17 (PEP 600)."""


def manylinux_compatible(tag_major, tag_minor, tag_arch):  # type: ignore[no-untyped-def]
    """Return whether a wheel for glibc ``tag_major.tag_minor`` may be installed."""
    del tag_arch
    return (tag_major, tag_minor) <= (2, 17)
