"""The top-level modules of the standard library, for every CPython that a release can support."""

from __future__ import annotations

import sys

# PEP 632 (3.12), PEP 594 (3.13), and other modules removed in the same releases (What's New in
# Python).
REMOVED = frozenset(
    (
        *("aifc", "asynchat", "asyncore", "audioop", "cgi", "cgitb", "chunk", "crypt", "distutils"),
        *("imghdr", "imp", "lib2to3", "mailcap", "msilib", "nis", "nntplib", "ossaudiodev"),
        *("pipes", "smtpd", "sndhdr", "spwd", "sunau", "telnetlib", "uu", "xdrlib"),
    )
)
# What's New in Python 3.14: PEP 649 and PEP 784; in 3.15: PEP 799.
_ADDED = frozenset({"annotationlib", "compression", "profiling"})
NAMES = sys.stdlib_module_names | REMOVED | _ADDED
"""The names for all supported CPythons. They do not depend on the Python that runs the suite."""
