"""Stand-in for pypa/gh-action-pypi-publish: identity exchange, twine check, signing, twine upload.

The order and the conditions are those of twine-upload.sh in the real action.
"""

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

from .signing import attest
from .toolkit import Failure, Inputs, inputs, run, testbed_failure, unsupported

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
    password = _exchange(repository) if is_trusted else values["password"]
    has_attestations = _has_attestations(values, repository, is_trusted=is_trusted)
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
    if has_attestations:
        names += map(str, attest(folder))
    if values.switch("print-hash") or values.switch("verbose"):
        for path in files:
            print(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}")
    options = ["--non-interactive", "--disable-progress-bar"]
    if values.switch("skip-existing"):
        options.append("--skip-existing")
    if has_attestations:
        options.append("--attestations")
    if values.switch("verbose"):
        options.append("--verbose")
    os.environ |= {
        "TWINE_USERNAME": values["user"],
        "TWINE_PASSWORD": password,
        "TWINE_REPOSITORY_URL": repository,
    }
    _twine("upload", *options, *names)


def _has_attestations(values: Inputs, repository: str, *, is_trusted: bool) -> bool:
    """Return whether the action signs. It prints a warning if it ignores the input."""
    if not values.switch("attestations"):
        return False
    # The test index has another host of the same domain.
    domain = ".".join(urlsplit(DEFAULT_REPOSITORY).netloc.split(".")[-2:])
    obstacle = ""
    if not is_trusted:
        obstacle = "a password is set, so the upload does not use trusted publishing"
    elif domain not in repository:
        obstacle = "the index of repository-url accepts no attestations"
    if obstacle:
        print(f"::warning title=attestations input ignored::{obstacle}")
    return not obstacle


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


def _exchange(repository: str) -> str:
    """Exchange the identity of this job for an upload token.

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
    if not response.ok:
        claims = _claims(identity)
        main_claims = {name: claims.get(name, "(missing)") for name in _CLAIMS}
        print(f"The claims of this job: {json.dumps(main_claims, indent=2)}")
    token = _value(response, "token")
    print(f"::add-mask::{token}", flush=True)
    return token


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
