"""Stand-in for pypa/gh-action-pypi-publish: identity exchange, twine check, twine upload."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import subprocess
import sys
import zipfile
from email.parser import HeaderParser
from pathlib import Path
from urllib.parse import urlsplit

import id as identities
import requests
from twine.utils import DEFAULT_REPOSITORY

from .toolkit import Failure, inputs, run, testbed_failure, unsupported

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
    """Check and upload the files of a folder."""
    values = inputs("pypa-gh-action-pypi-publish")
    if not values.since("1.8.0"):
        unsupported("versions before v1.8.0, which cannot exchange an identity")
    folder = Path(values["packages-dir"])
    repository = values["repository-url"] or DEFAULT_REPOSITORY
    is_trusted = values["user"] == "__token__" and not values["password"]
    password, claims = _exchange(repository) if is_trusted else (values["password"], {})
    has_attestations = is_trusted and values.switch("attestations")
    if has_attestations:
        message = "the stand-in makes no attestations; the real action signs and uploads them"
        print(f"::notice::{message}")
    files = sorted(path for path in folder.glob("*") if path.is_file())
    if not any(path.name.endswith((".whl", ".tar.gz")) for path in files):
        message = (
            f"there are no Python distribution packages to publish in the directory '{folder}/'"
        )
        print(f"::warning::It looks like {message}")
    if not values.since("1.12.4"):
        _check_metadata(files)
    names = [str(path) for path in files] or [f"{folder}/*"]
    if values.switch("verify-metadata"):
        _twine("check", *names)
    if values.switch("print-hash") or values.switch("verbose"):
        for path in files:
            print(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}")
    options = ["--non-interactive", "--disable-progress-bar"]
    if values.switch("skip-existing"):
        options.append("--skip-existing")
    if values.switch("verbose"):
        options.append("--verbose")
    os.environ |= {
        "TWINE_USERNAME": values["user"],
        "TWINE_PASSWORD": password,
        "TWINE_REPOSITORY_URL": repository,
    }
    if has_attestations:
        _check_attestations(claims)
    _twine("upload", *options, *names)


def _check_attestations(claims: dict[str, object]) -> None:
    """Check that the index would accept attestations of this job.

    The certificate of an attestation names the started workflow. The publisher is the workflow file
    of the job. They differ in a called (reusable) workflow.

    Raises:
        Failure: they differ. The message has the words of the index.
    """
    started_workflow = str(claims.get("workflow_ref"))
    job_workflow = str(claims.get("job_workflow_ref"))
    if started_workflow != job_workflow:
        name = job_workflow.partition("@")[0].rpartition("/")[2]
        raise Failure(
            "400 Invalid attestations supplied during upload: Could not verify the uploaded "
            "artifact using the included attestation: Verification failed: Certificate's "
            f"Build Config URI ({started_workflow}) does not match expected Trusted Publisher "
            f"({name} @ {claims.get('repository')})"
        )


def _check_metadata(files: list[Path]) -> None:
    """End the action as unsupported for metadata that an earlier twine cannot read.

    Before version 1.12.4, the action has a twine that does not know version 2.4 of the metadata.
    """
    for path in files:
        if path.suffix == ".whl" and zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as wheel:
                for name in wheel.namelist():
                    if name.endswith(".dist-info/METADATA"):
                        version = _metadata_version(wheel.read(name).decode("utf-8", "replace"))
                        if version >= (2, 4):
                            unsupported(f"the metadata of {path.name}, with the twine of its time")


def _metadata_version(text: str) -> tuple[int, ...]:
    version = HeaderParser().parsestr(text).get("Metadata-Version", "")
    return tuple(int(part) for part in version.split(".") if part.isdigit())


def _twine(*arguments: str) -> None:
    print(f"[command]twine {' '.join(arguments)}", flush=True)
    process = subprocess.run(
        (sys.executable, "-P", "-m", "stand_ins.twine_upload", *arguments), check=False
    )
    if process.returncode:
        raise Failure(f"twine {arguments[0]} ended with exit code {process.returncode}")


def _exchange(repository: str) -> tuple[str, dict[str, object]]:
    """Exchange the identity of this job. Return an upload token and the claims of the identity.

    Raises:
        Failure: no identity is available, or the index refuses it.
    """
    host = urlsplit(repository).netloc
    response = requests.get(f"https://{host}/_/oidc/audience", timeout=_SECONDS)
    try:
        identity = identities.detect_credential(_value(response, "audience"))
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
    response = requests.post(
        f"https://{host}/_/oidc/mint-token", json={"token": identity}, timeout=_SECONDS
    )
    claims = _claims(identity)
    if not response.ok:
        main_claims = {name: claims.get(name, "(missing)") for name in _CLAIMS}
        print(f"The claims of this job: {json.dumps(main_claims, indent=2)}")
    token = _value(response, "token")
    print(f"::add-mask::{token}", flush=True)
    return token, claims


def _value(response: requests.Response, key: str) -> str:
    """Return a string from the index's response.

    Raises:
        Failure: the index refuses the request, or the response does not have the key.
    """
    try:
        body = response.json()
    except ValueError:
        body = None
    values = body if isinstance(body, dict) else {}
    if response.ok and isinstance(values.get(key), str):
        return str(values[key])
    reasons = [
        f"`{error.get('code')}`: {error.get('description')}" for error in values.get("errors", [])
    ]
    text = "; ".join(reasons) or str(values.get("message") if values else response.text[:200])
    raise Failure(
        f"Trusted publishing exchange failure: the index answered {response.status_code}: {text}"
    )


def _claims(identity: str) -> dict[str, object]:
    payload = identity.split(".")[1]
    claims: dict[str, object] = json.loads(
        base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4))
    )
    return claims


if __name__ == "__main__":
    run(main, testbed_errors={requests.RequestException: "index-unreachable"})
