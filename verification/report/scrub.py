"""Remove secrets, host names and paths from texts that leave this host."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from pydantic import JsonValue

REMOVED = "[removed]"
SECRET_NAME = re.compile(
    r"(?:^|[_-])(?:token|secret|password|passwd|passphrase|credentials?|api_?key|private_?key|"
    r"access_?key|authorization|cookie)(?:$|[_-])",
    re.IGNORECASE,
)
_SECRETS = (
    # Private keys, completely.
    (re.compile(r"-----BEGIN ([A-Z ]*PRIVATE KEY)-----.*?-----END \1-----", re.DOTALL), REMOVED),
    # The header Authorization, also in the log of a client. The scheme stays.
    (
        re.compile(
            r"(?P<prefix>\b(?:proxy-)?authorization[\"']?\s*[:=]\s*[\"']?(?:(?:basic|bearer|token|"
            r"digest|negotiate)\s+)?)[^\s\"',;}\]]+",
            re.IGNORECASE,
        ),
        rf"\g<prefix>{REMOVED}",
    ),
    (re.compile(r"(?P<prefix>\b(?:bearer|basic)\s+)[A-Za-z0-9._~+/=-]{12,}", re.I),
     rf"\g<prefix>{REMOVED}"),
    # user:password@ and token@ in an address.
    (re.compile(r"(?P<prefix>\b[a-z][a-z0-9+.-]*://)[^\s/@\"'<>]+@", re.I),
     rf"\g<prefix>{REMOVED}@"),
    # Known formats: package indexes, GitHub, GitLab, npm, AWS, Slack, JSON Web Tokens.
    (
        re.compile(
            r"\b(?:pypi-[A-Za-z0-9_-]{16,}|gh[pousr]_[A-Za-z0-9]{16,}|github_pat_\w{16,}|"
            r"glpat-[\w-]{16,}|npm_[A-Za-z0-9]{30,}|(?:AKIA|ASIA)[A-Z0-9]{16}|"
            r"xox[a-z]-[\w-]{10,}|eyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*)"
        ),
        REMOVED,
    ),
    # NAME=value with the name of a secret, in a shell, a query or a form.
    (
        re.compile(
            r"(?P<prefix>\b[\w-]*(?:token|secret|password|passwd|api_?key|access_?key)[\w-]*=[\"']?)"
            r"[^\s\"'&;,<>$\[{(]{3,}",
            re.IGNORECASE,
        ),
        rf"\g<prefix>{REMOVED}",
    ),
    # "name: value" also occurs in prose, so the value must contain digits and letters.
    (
        re.compile(
            r"(?P<prefix>\b[\w-]*(?:token|secret|password|passwd|api_?key|access_?key)[\w-]*"
            r"[\"']?\s*:\s*[\"']?)(?=[^\s\"']*\d)(?=[^\s\"']*[A-Za-z])[^\s\"'&;,<>]{12,}",
            re.IGNORECASE,
        ),
        rf"\g<prefix>{REMOVED}",
    ),
)  # fmt: skip


class Scrubber:
    """Removes everything that looks like a secret from texts, and replaces given names.

    ``hosts`` maps host names, and ``paths`` paths, to replacements. ``secrets`` are removed.
    """

    def __init__(
        self,
        *,
        hosts: Mapping[str, str] | None = None,
        paths: Mapping[str, str] | None = None,
        secrets: Iterable[str] = (),
    ) -> None:
        self._literal: list[tuple[re.Pattern[str], str]] = []
        for secret in sorted(set(secrets), key=len, reverse=True):
            self._literal.append((re.compile(re.escape(secret)), REMOVED))
        for path, replacement in sorted((paths or {}).items(), key=lambda pair: -len(pair[0])):
            pattern = rf"(?<![\w.~-]){re.escape(path.rstrip('/'))}(?![\w.-])"
            self._literal.append((re.compile(pattern), replacement))
        for host, replacement in sorted((hosts or {}).items(), key=lambda pair: -len(pair[0])):
            pattern = rf"(?<![\w-]){re.escape(host)}(?![\w-])"
            self._literal.append((re.compile(pattern, re.IGNORECASE), replacement))

    def text(self, text: str) -> str:
        """Return the text without secrets, and with the given names replaced."""
        for pattern, replacement in (*_SECRETS, *self._literal):
            text = pattern.sub(replacement, text)
        return text

    def data(self, value: JsonValue) -> JsonValue:
        """Return JSON data without secrets, and with the given names replaced."""
        match value:
            case str():
                return self.text(value)
            case list():
                return [self.data(item) for item in value]
            case dict():
                return {
                    self.text(key): REMOVED
                    if isinstance(item, str) and item and SECRET_NAME.search(key)
                    else self.data(item)
                    for key, item in value.items()
                }
            case _:
                return value
