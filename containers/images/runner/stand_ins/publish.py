"""Stand-in for pypa/gh-action-pypi-publish: identity exchange, then twine's check and upload."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import id as identities
import requests
from twine.utils import DEFAULT_REPOSITORY

from .words import Failure, boolean, fail, inputs

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
    asked = inputs()
    folder = Path(asked["packages-dir"])
    repository = asked["repository-url"] or DEFAULT_REPOSITORY
    trusted = asked["user"] == "__token__" and not asked["password"]
    password = _exchanged(repository) if trusted else asked["password"]
    if trusted and boolean("attestations", asked["attestations"]):
        told = "the stand-in makes no attestations; the real action would sign and upload them"
        print(f"::notice::{told}")
    files = sorted(path for path in folder.glob("*") if path.is_file())
    if not any(path.name.endswith((".whl", ".tar.gz")) for path in files):
        told = f"there are no Python distribution packages to publish in the directory '{folder}/'"
        print(f"::warning::It looks like {told}")
    names = [str(path) for path in files] or [f"{folder}/*"]
    if boolean("verify-metadata", asked["verify-metadata"]):
        _twine("check", *names)
    if boolean("print-hash", asked["print-hash"]):
        for path in files:
            print(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}")
    options = ["--non-interactive", "--disable-progress-bar"]
    if boolean("skip-existing", asked["skip-existing"]):
        options.append("--skip-existing")
    if boolean("verbose", asked["verbose"]):
        options.append("--verbose")
    os.environ |= {
        "TWINE_USERNAME": asked["user"],
        "TWINE_PASSWORD": password,
        "TWINE_REPOSITORY_URL": repository,
    }
    _twine("upload", *options, *names)


def _twine(*arguments: str) -> None:
    print(f"[command]twine {' '.join(arguments)}", flush=True)
    done = subprocess.run((sys.executable, "-m", "twine", *arguments), check=False)
    if done.returncode:
        raise Failure(f"twine {arguments[0]} ended with exit code {done.returncode}")


def _exchanged(repository: str) -> str:
    """Return a token of the index for the identity of this job.

    Raises:
        Failure: with the index's own reasons.
    """
    host = urlsplit(repository).netloc
    audience = _asked(requests.get(f"https://{host}/_/oidc/audience", timeout=_SECONDS), "audience")
    try:
        identity = identities.detect_credential(audience["audience"])
    except identities.IdentityError as error:
        raise Failure(
            f"Trusted publishing exchange failure: OpenID Connect token retrieval failed: {error}. "
            "This generally indicates a workflow configuration error, such as insufficient "
            "permissions: the job needs `permissions: id-token: write`"
        ) from None
    if identity is None:
        raise Failure("Trusted publishing exchange failure: no identity could be had here")
    answer = requests.post(
        f"https://{host}/_/oidc/mint-token", json={"token": identity}, timeout=_SECONDS
    )
    if not answer.ok:
        print(f"The claims of this job: {json.dumps(_claims(identity), indent=2)}")
    token = str(_asked(answer, "token")["token"])
    print(f"::add-mask::{token}", flush=True)
    return token


def _asked(answer: requests.Response, what: str) -> dict[str, Any]:
    try:
        told = answer.json()
    except ValueError:
        told = None
    if answer.ok and isinstance(told, dict) and isinstance(told.get(what), str):
        return told
    reasons = told.get("errors", []) if isinstance(told, dict) else []
    said = "; ".join(f"`{reason.get('code')}`: {reason.get('description')}" for reason in reasons)
    said = said or (str(told.get("message")) if isinstance(told, dict) else answer.text[:200])
    raise Failure(
        f"Trusted publishing exchange failure: the index answered {answer.status_code}: {said}"
    )


def _claims(identity: str) -> dict[str, Any]:
    payload = identity.split(".")[1]
    claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return {name: claims.get(name, "(missing)") for name in _CLAIMS}


if __name__ == "__main__":
    try:
        main()
    except (Failure, requests.RequestException) as error:
        fail(str(error))
    sys.exit(0)
