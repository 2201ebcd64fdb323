"""``./e2e card``: print the release card of a report, or write it as Markdown or as a picture."""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Iterator

from containers import browser, images
from containers.browser import Browser, View
from verification.commands import common
from verification.models.errors import ExitCode, WrongUse
from verification.report import card, html
from verification.report.card import Card
from verification.session.hosts import open_host
from verification.session.user_files import user_path

_VIEW = View(width=980, scale=1.5)


@contextlib.contextmanager
def open_browser(*, provision: bool) -> Iterator[Browser]:
    """Start a browser on an engine, and remove it at the end.

    Raises:
        TestbedFailure: there is no engine, or the browser does not start.
        Unverified: this host cannot make the image of the browser.
    """
    with contextlib.ExitStack() as stack:
        host = open_host(stack, provision=provision)
        try:
            image = images.ensure(host.engine, browser.IMAGE)
        except images.ImageUnavailable as reason:
            raise common.Unverified(f"no picture is made: {reason}") from None
        yield stack.enter_context(Browser(host.engine, image, host.run))


def _content(content: Card, name: str, *, provision: bool) -> bytes:
    if name.endswith(".md"):
        return card.markdown(content).encode("utf-8", "backslashreplace")
    with open_browser(provision=provision) as started:
        return started.picture(html.render_card(content), _VIEW)


def run(options: argparse.Namespace) -> int:
    """Print or write the card, and return the exit code.

    Raises:
        WrongUse: the report or the output file cannot be used.
    """
    name = options.output or ""
    if name and not name.endswith((".md", ".png")):
        raise WrongUse(f"--output {name}: write a name that ends with .md or .png")
    _, report = common.read_report(options.report)
    content = card.card(report)
    if not name:
        print(card.markdown(content), end="")
        return ExitCode.VERIFIED
    output = user_path(name)
    if not output.parent.is_dir():
        raise WrongUse(f"--output {output}: there is no folder {output.parent}; create it first")
    data = _content(content, name, provision=not options.no_provision)
    try:
        output.write_bytes(data)
    except OSError as error:
        raise WrongUse(f"--output {output}: cannot be written: {error.strerror}") from None
    print(output)
    return ExitCode.VERIFIED
