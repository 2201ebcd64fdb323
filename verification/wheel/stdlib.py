"""The top-level modules of the standard library, for every CPython that a release can support."""

from __future__ import annotations

import sys

REMOVED = {
    **dict.fromkeys(("asynchat", "asyncore", "distutils", "imp", "smtpd"), (3, 12)),
    **dict.fromkeys(
        (
            *("aifc", "audioop", "cgi", "cgitb", "chunk", "crypt", "imghdr", "lib2to3", "mailcap"),
            *("msilib", "nis", "nntplib", "ossaudiodev", "pipes", "sndhdr", "spwd", "sunau"),
            *("telnetlib", "uu", "xdrlib"),
        ),
        (3, 13),
    ),
}
"""The first Python without the module: PEP 632 (3.12), PEP 594 (3.13), What's New in Python."""
OTHER_PYTHON_MODULES = frozenset(
    (
        *(
            "__builtin__",
            "__pypy__",
            "_winreg",
            "BaseHTTPServer",
            "ConfigParser",
            "Cookie",
            "HTMLParser",
        ),
        *(
            "Queue",
            "SimpleHTTPServer",
            "SocketServer",
            "StringIO",
            "UserDict",
            "UserList",
            "UserString",
        ),
        *(
            "anydbm",
            "cPickle",
            "cStringIO",
            "clr",
            "commands",
            "cookielib",
            "copy_reg",
            "dummy_thread",
        ),
        *("exceptions", "htmlentitydefs", "httplib", "java", "md5", "new", "org"),
        *(
            "pypyjit",
            "robotparser",
            "sets",
            "sha",
            "thread",
            "urllib2",
            "urlparse",
            "whichdb",
            "xmlrpclib",
        ),
    )
)
"""Modules of Python 2 (PEP 3108), PyPy, Jython and IronPython that CPython 3 does not have."""
# What's New in Python 3.14: PEP 649 and PEP 784; in 3.15: PEP 799.
_ADDED = frozenset({"annotationlib", "compression", "profiling"})
NAMES = sys.stdlib_module_names | REMOVED.keys() | _ADDED
"""The names for all supported CPythons. They do not depend on the Python that runs the suite."""
