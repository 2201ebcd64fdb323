"""Stand-in for pypa/gh-action-pypi-publish: identity exchange, then twine's check and upload."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import id as identities
import requests
from twine.utils import DEFAULT_REPOSITORY

from .toolkit import Failure, inputs, run, testbed_failure

_SECONDS = 30
_CLAIMS = (
    "sub",
    "repository",
    "repository_owner",
    "repository_owner_id",
    "workflow_ref",
    "job_workflow_ref",
    "ref",
    "environment",
)


def main() -> None:
    """Publish."""
    given = inputs("pypa-gh-action-pypi-publish")
    folder = Path(given["packages-dir"])
    repository = given["repository-url"] or DEFAULT_REPOSITORY
    trusted = given["user"] == "__token__" and not given["password"]
    password, claims = _exchange(repository) if trusted else (given["password"], {})
    attests = trusted and given.switch("attestations")
    if attests:
        message = "the stand-in makes no attestations; the real action would sign and upload them"
        print(f"::notice::{message}")
    files = sorted(path for path in folder.glob("*") if path.is_file())
    if not any(path.name.endswith((".whl", ".tar.gz")) for path in files):
        message = (
            f"there are no Python distribution packages to publish in the directory '{folder}/'"
        )
        print(f"::warning::It looks like {message}")
    names = [str(path) for path in files] or [f"{folder}/*"]
    if given.switch("verify-metadata"):
        _twine("check", *names)
    if given.switch("print-hash") or given.switch("verbose"):
        for path in files:
            print(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}")
    options = ["--non-interactive", "--disable-progress-bar"]
    if given.switch("verbose"):
        options.append("--verbose")
    os.environ |= {
        "TWINE_USERNAME": given["user"],
        "TWINE_PASSWORD": password,
        "TWINE_REPOSITORY_URL": repository,
    }
    if attests:
        _check_attestations(claims)
    _twine("upload", *options, *names)


def _check_attestations(claims: dict[str, object]) -> None:
    """Fail as the upload of attestations from a called workflow does.

    Their certificate names the workflow that was started; the publisher is the file of the job.

    Raises:
        Failure: with the index's words.
    """
    started, file = str(claims.get("workflow_ref")), str(claims.get("job_workflow_ref"))
    if started != file:
        name = file.partition("@")[0].rpartition("/")[2]
        raise Failure(
            "400 Invalid attestations supplied during upload: Verification failed: Certificate's "
            f"Build Config URI ({started}) does not match expected Trusted Publisher ({name} @ "
            f"{claims.get('repository')})"
        )


def _twine(*arguments: str) -> None:
    print(f"[command]twine {' '.join(arguments)}", flush=True)
    done = subprocess.run((sys.executable, "-m", "twine", *arguments), check=False)
    if done.returncode:
        raise Failure(f"twine {arguments[0]} ended with exit code {done.returncode}")


def _exchange(repository: str) -> tuple[str, dict[str, object]]:
    """Return a token of the index for the identity of this job, and the claims of the identity.

    Raises:
        Failure: with the index's own reasons.
    """
    host = urlsplit(repository).netloc
    answer = requests.get(f"https://{host}/_/oidc/audience", timeout=_SECONDS)
    try:
        identity = identities.detect_credential(_value(answer, "audience"))
    except identities.IdentityError as error:
        raise Failure(
            f"Trusted publishing exchange failure: OpenID Connect token retrieval failed: {error}. "
            "This generally indicates a workflow configuration error, such as insufficient "
            "permissions: the job needs `permissions: id-token: write`"
        ) from None
    except requests.RequestException as error:
        testbed_failure("forge-unreachable", str(error))
    if identity is None:
        raise Failure("Trusted publishing exchange failure: no identity is available here")
    answer = requests.post(
        f"https://{host}/_/oidc/mint-token", json={"token": identity}, timeout=_SECONDS
    )
    claims = _claims(identity)
    if not answer.ok:
        shown = {name: claims.get(name, "(missing)") for name in _CLAIMS}
        print(f"The claims of this job: {json.dumps(shown, indent=2)}")
    token = _value(answer, "token")
    print(f"::add-mask::{token}", flush=True)
    return token, claims


def _value(answer: requests.Response, key: str) -> str:
    """Return a text of the index's answer.

    Raises:
        Failure: it has none, or is a refusal; with the index's own reasons.
    """
    try:
        body = answer.json()
    except ValueError:
        body = None
    table = body if isinstance(body, dict) else {}
    if answer.ok and isinstance(table.get(key), str):
        return str(table[key])
    reasons = [f"`{one.get('code')}`: {one.get('description')}" for one in table.get("errors", [])]
    text = "; ".join(reasons) or str(table.get("message") if table else answer.text[:200])
    raise Failure(
        f"Trusted publishing exchange failure: the index answered {answer.status_code}: {text}"
    )


def _claims(identity: str) -> dict[str, object]:
    payload = identity.split(".")[1]
    claims: dict[str, object] = json.loads(
        base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4))
    )
    return claims


if __name__ == "__main__":
    run(main, lost={requests.RequestException: "index-unreachable"})
