"""A fake of the docker library's client, for the programs and files of a fake container."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

Output = tuple[bytes | None, bytes | None]
"""A part of the standard output and of the standard error."""
Result = tuple[int | None, Output]
"""The exit code of a program, and its output."""
Archive = tuple[Iterable[bytes], dict[str, Any]]


class ExecClient:
    """Runs each program with ``run``, which gets the command and the options.

    ``read`` gets a path, and returns the archive of a file and its attributes.
    """

    def __init__(
        self, run: Callable[..., Result], read: Callable[[str], Archive] | None = None
    ) -> None:
        self.api = self
        self._run, self._read = run, read
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

    def get_archive(self, _: str, path: str, **__: int | None) -> Archive:
        """Return the archive of a file. A limit has no effect."""
        assert self._read
        return self._read(path)
