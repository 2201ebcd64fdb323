from __future__ import annotations

from tests.benchmarks.linker import Loaded, parse_list

OUTPUT = """\tlinux-vdso.so.1 (0x00007ffd6d7f2000)
\tlibb-1a2b.so.1 => /site/p/../p.libs/libb-1a2b.so.1 (0x00007f3c8e000000)
\tlibx.so.2 => not found
\tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007f3c8de00000)
\t/lib64/ld-linux-x86-64.so.2 (0x00007f3c8e3f5000)
"""


def test_loaded_and_missing_libraries_are_read() -> None:
    assert parse_list(OUTPUT) == Loaded(
        ("/site/p.libs/libb-1a2b.so.1", "/lib/x86_64-linux-gnu/libc.so.6"),
        frozenset({"libx.so.2"}),
    )
    assert parse_list("") == Loaded((), frozenset())
