"""A fake of the docker library's client, for the programs that run in a fake container."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

Output = tuple[bytes | None, bytes | None]
"""A part of the standard output and of the standard error."""
Result = tuple[int | None, Output]
"""The exit code of a program, and its output."""


class ExecClient:
    """Runs each program with ``run``, which gets the command and the options."""

    def __init__(self, run: Callable[..., Result]) -> None:
        self.api = self
        self._run = run
        self._result: Result = (0, (None, None))

    def exec_create(self, _: str, command: Sequence[str], **options: Any) -> dict[str, str]:
        """Run the program."""
        self._result = self._run(list(command), **options)
        return {"Id": "program"}

    def exec_start(self, _: str, *, stream: bool, demux: bool) -> Iterator[Output]:
        """Yield the output in one part."""
        assert stream
        assert demux
        yield self._result[1]

    def exec_inspect(self, _: str) -> dict[str, int | None]:
        """Return the exit code."""
        return {"ExitCode": self._result[0]}
