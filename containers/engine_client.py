"""The client of the engine. It retries an idempotent request whose connection breaks."""

from __future__ import annotations

import contextlib
import dataclasses
import re
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from time import sleep
from typing import IO, Any, TypeVar

import docker
import docker.errors
import requests
import urllib3.exceptions
from testcontainers.core.exceptions import ContainerStartException

from containers.endpoint import Endpoint
from verification.models.errors import TestbedFailure

ENGINE_ERRORS = (
    docker.errors.DockerException,
    requests.RequestException,
    urllib3.exceptions.HTTPError,  # from a response that is read as a stream
    ConnectionError,  # from the socket of an attached container or command
    ContainerStartException,  # the container was not created
)
"""The errors of a call to the engine, if the engine, its connection or the container is gone."""
_BROKEN = (requests.ConnectionError, requests.exceptions.ChunkedEncodingError)
_PAUSES = (0.1, 0.3, 1.0, 3.0)
"""The seconds before each retry of a request."""
_RETRIABLE_POST = re.compile(r"/containers/[^/]+/(wait|exec|attach)$|/images/.+/tag$")
"""The paths of POST requests that have the same result if the engine gets them twice. ``exec``
creates a command without starting it."""
_MESSAGE_LENGTH = 400
_Result = TypeVar("_Result")


@dataclasses.dataclass
class RetryCount:
    """A number of retries of requests."""

    value: int = 0


def reason_of(error: BaseException) -> str:
    """Return the reason of an error of the engine in one line, without its HTTP status."""
    explanation = error.explanation if isinstance(error, docker.errors.APIError) else error
    return " ".join(str(explanation or error).split())


PROCESS_RETRIES = RetryCount()
"""The retries of this process outside of `count_retries`."""
_count: ContextVar[RetryCount] = ContextVar("retries", default=PROCESS_RETRIES)
_count_lock = threading.Lock()


@contextlib.contextmanager
def count_retries() -> Iterator[RetryCount]:
    """Count the retries of this thread in the block separately."""
    token = _count.set(RetryCount())
    try:
        yield _count.get()
    finally:
        _count.reset(token)


def engine_failure(error: Exception | str, cause: str, where: str) -> TestbedFailure:
    """Return the testbed failure for an error of the engine."""
    message = " ".join(str(error).split())[:_MESSAGE_LENGTH] or type(error).__name__
    return TestbedFailure(cause, where, message)


@contextlib.contextmanager
def failing_as(cause: str, where: str) -> Iterator[None]:
    """Report an error of the engine in the block as a testbed failure.

    Raises:
        TestbedFailure: the engine, its connection or the container is gone.
    """
    try:
        yield
    except ENGINE_ERRORS as error:
        raise engine_failure(error, cause, where) from error


class EngineClient(docker.DockerClient):
    """A client that retries an idempotent request whose connection breaks.

    It raises the error of a connection at once for a request that may have an effect twice, such as
    the creation of a container or the start of a command.
    """

    def __init__(
        self, endpoint: Endpoint, timeout_seconds: int, *, pauses: Sequence[float] = _PAUSES
    ) -> None:
        """``pauses`` are the seconds before each retry.

        Raises:
            docker.errors.DockerException: the engine does not answer.
        """
        options = endpoint.client_options()
        self.api = _ApiClient(pauses, timeout=timeout_seconds, **options)


class _ApiClient(docker.APIClient):
    def __init__(self, pauses: Sequence[float], **options: Any) -> None:
        self._pauses = pauses
        super().__init__(**options)

    def merge_environment_settings(
        self,
        url: str | bytes | None,
        proxies: Any,
        stream: bool | None,
        verify: bool | str | None,
        cert: Any,
    ) -> Any:
        """Verify the engine by its own authority, also if REQUESTS_CA_BUNDLE names another one."""
        verify = self.verify if verify is None else verify
        return super().merge_environment_settings(url, proxies, stream, verify, cert)

    def send(self, request: requests.PreparedRequest, **options: Any) -> requests.Response:
        """Send a request, and read the response unless it is a stream."""
        if not _is_idempotent(request):
            return super().send(request, **options)
        file: Any = request.body if _is_file(request.body) else None
        position = file.tell() if file else 0
        attempts = 0

        def attempt() -> requests.Response:
            nonlocal attempts
            attempts += 1
            if file:
                file.seek(position)
            return super(_ApiClient, self).send(request, **options)

        response = _retry(attempt, self._pauses)
        if attempts > 1 and request.method == "DELETE" and response.status_code == 404:
            response.status_code = 204  # an earlier attempt removed it
        return response

    def get_archive(
        self, *arguments: Any, max_bytes: int | None = None, **options: Any
    ) -> tuple[Iterator[bytes], dict[str, Any]]:
        """Return a complete archive. It is in a temporary file, because it can be large.

        With ``max_bytes``, the archive ends soon after this size.
        """

        def read() -> tuple[IO[bytes], dict[str, Any]]:
            chunks, stat = super(_ApiClient, self).get_archive(*arguments, **options)
            with contextlib.ExitStack() as stack:
                file = stack.enter_context(tempfile.TemporaryFile())
                for chunk in chunks:
                    file.write(chunk)
                    if max_bytes is not None and file.tell() >= max_bytes:
                        break
                stack.pop_all()
            return file, stat

        file, stat = _retry(read, self._pauses)
        return _chunks(file), stat


def _chunks(file: IO[bytes]) -> Iterator[bytes]:
    with file:
        file.seek(0)
        while chunk := file.read(1 << 20):
            yield chunk


def _retry(call: Callable[[], _Result], pauses: Sequence[float]) -> _Result:
    """Call until the connection does not break, at most once more than there are pauses.

    Raises:
        requests.RequestException: the connection broke at each attempt, or the time limit expired.
    """
    for seconds in pauses:
        try:
            return call()
        except requests.Timeout:
            raise
        except _BROKEN:
            with _count_lock:
                _count.get().value += 1
            sleep(seconds)
    return call()


def _is_file(body: object) -> bool:
    return hasattr(body, "seek")


def _is_idempotent(request: requests.PreparedRequest) -> bool:
    """Return True if the engine can get a request twice. A stream as body can be sent only once."""
    body = request.body
    if not (body is None or isinstance(body, str | bytes) or _is_file(body)):
        return False
    if request.method == "POST":
        return bool(_RETRIABLE_POST.search(request.path_url.partition("?")[0]))
    return request.method in ("GET", "HEAD", "PUT", "DELETE")
