"""Uploads, with the rules and the messages of the default index.

The checks, their order and the messages are those of `file_upload` in warehouse/forklift/legacy.py,
2026. The rules are in upload_form.py (the form), metadata_rules.py (its metadata), projects.py (the
name of a new project), wheel_rules.py and sdist_rules.py (the file). Where the default index only
informs the owners of a project by mail, the log has the name of the mail.
"""

from __future__ import annotations

import hashlib
import hmac
import threading
from dataclasses import dataclass
from typing import IO

from packaging.metadata import Metadata
from packaging.utils import canonicalize_version
from server.json_reader import JsonObject
from werkzeug.datastructures import FileStorage
from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.wrappers import Response

from . import attestations
from .config import Credential, Settings
from .credentials import Keyring, may_upload
from .file_details import FileDetailsCache, version_of
from .projects import Projects
from .routing import Request, Route, add_mail, text_response
from .sdist_rules import sdist_refusal
from .store import PackageStore, StoredFile
from .throttle import Throttle
from .upload_form import (
    UploadForm,
    UploadRefused,
    check_content_type,
    check_filename,
    read_form,
    sanitize,
)
from .wheel_rules import Refusal, UploadClaim, record_differs, wheel_refusal

_MIB, _GIB = 1 << 20, 1 << 30
_MAX_AGE_DAYS = 14
_GONE = {
    "submit": "Project pre-registration is no longer required or supported, upload your files "
    "instead.",
    "doc_upload": "Uploading documentation is no longer supported, we recommend using "
    "https://readthedocs.org/.",
}
_GONE["submit_pkg_info"] = _GONE["submit"]


@dataclass(frozen=True, slots=True)
class _Upload:
    """The checked form of an upload."""

    form: UploadForm
    metadata: Metadata
    credential: Credential
    attestations: str | None


class UploadApi:
    """Receives uploaded files."""

    def __init__(
        self,
        settings: Settings,
        store: PackageStore,
        details: FileDetailsCache,
        projects: Projects,
        keyring: Keyring,
    ) -> None:
        self._store = store
        self._details = details
        self._keyring = keyring
        self._projects = projects
        self._hosts = settings.hosts
        self._policy = settings.policy
        self._throttle = Throttle(settings.policy.uploads_per_minute, 60)
        self._new_projects = Throttle(settings.policy.projects_per_hour, 3600)
        # Only one upload at a time is checked and stored. If two files have the same name, the
        # second one is refused.
        self._lock = threading.Lock()

    def routes(self) -> list[Route]:
        """Return the routes of this module."""
        return [
            Route("/legacy/", self._receive, role="upload", methods=("POST",)),
            Route("/legacy", self._without_slash, role="upload", methods=("POST",)),
        ]

    def _without_slash(self, _request: Request) -> Response:
        message = (
            "An upload was attempted to /legacy but the expected upload URL is /legacy/ "
            "(with a trailing slash)"
        )
        response = _message_response(message, 308)
        response.headers["Location"] = "/legacy/"
        return response

    def _receive(self, request: Request) -> Response:
        notes: JsonObject = {}
        request.notes["upload"] = notes
        try:
            self._check_and_store(request, notes)
        except UploadRefused as refusal:
            notes["refused"] = refusal.reason
            return _message_response(refusal.reason, refusal.status)
        return text_response("OK")

    def _check_and_store(self, request: Request, notes: JsonObject) -> None:
        if not self._throttle.accepts(request.remote_addr or ""):
            raise UploadRefused("Too Many Requests", 429)
        try:
            fields, content = request.form, request.files.get("content")
        except RequestEntityTooLarge as error:
            raise UploadRefused("The form is too large.", 413) from error
        action = fields.get(":action", "")
        if action != "file_upload":
            reason = _GONE.get(action)
            # The default index answers other values with a page and the status 200.
            raise UploadRefused(reason or "no known :action", 410 if reason else 200)
        clean = sanitize(fields, request.files)
        credential = self._identify(request)
        if credential.publisher is not None:
            notes["identity"] = {**credential.publisher}
        if content is not None:
            notes["file"] = content.filename or ""
        form = read_form(clean)
        # Imported here, because their libraries are slow to import.
        from . import metadata_form, metadata_rules

        metadata = metadata_form.read(clean)
        if content is None:
            raise UploadRefused("Upload payload does not have a file.")
        self._check_project(form, credential, notes)
        if fault := metadata_rules.description_fault(metadata):
            raise UploadRefused(f"{fault} {self._see('description-content-type')}")
        upload = _Upload(form, metadata, credential, clean.get("attestations"))
        self._check_file(content, upload, notes)

    def _identify(self, request: Request) -> Credential:
        authorization = request.authorization
        if authorization is not None and authorization.type == "basic":
            credential = self._keyring.find(
                authorization.username or "", authorization.password or ""
            )
            if credential is not None:
                return credential
        raise UploadRefused(
            f"Invalid or non-existent authentication information. {self._see('invalid-auth')}", 403
        )

    def _check_project(self, form: UploadForm, credential: Credential, notes: JsonObject) -> None:
        """Check that the client may upload to the project, and create a new project."""
        is_new = form.name not in self._projects
        if is_new:
            self._check_new_project(form, credential)
        if not may_upload(credential, form.name):
            raise UploadRefused(
                f"Invalid API Token: OIDC scoped token is not valid for project '{form.name}'"
                if credential.workflow
                else "Invalid API Token: project-scoped token is not valid for project: "
                f"{form.name!r}",
                403,
            )
        if credential.workflow is None and self._projects.has_publisher(form.name):
            add_mail(notes, "api-token-used-in-trusted-publisher-project")

    def _check_new_project(self, form: UploadForm, credential: Credential) -> None:
        if credential.workflow is not None:
            raise UploadRefused(
                "Non-user identities cannot create new projects. This was probably caused by "
                "successfully using a pending publisher but specifying the project name "
                "incorrectly (either in the publisher or in your project's metadata). Please "
                "ensure that both match. "
                f"See: https://docs.{self._hosts.index}/trusted-publishers/troubleshooting/"
            )
        if fault := self._projects.name_fault(form.name):
            raise UploadRefused(f"{fault} {self._see('project-name')}")
        if not self._new_projects.accepts(credential.password):
            raise UploadRefused("Too many new projects created", 429)

    def _check_file(self, content: FileStorage, upload: _Upload, notes: JsonObject) -> None:
        filename, form, metadata = content.filename or "", upload.form, upload.metadata
        check_filename(filename, form)
        check_content_type(content)
        digests = self._digest(content.stream, form)
        notes["sha256"] = digests["sha256"]
        for algorithm, digest in form.digests.items():
            if not hmac.compare_digest(digest.lower().encode(), digests[algorithm].encode()):
                raise UploadRefused(
                    "The digest supplied does not match a digest calculated from the "
                    "uploaded file.",
                )
        with self._lock:
            if self._is_stored(filename, digests):
                notes["known"] = True
                return
            self._check_release(filename, form, metadata)
            claim = UploadClaim(
                metadata.name, metadata.version, tuple(metadata.license_files or ())
            )
            check = sdist_refusal if form.filetype == "sdist" else wheel_refusal
            if refusal := check(content.stream, filename, claim):
                raise UploadRefused(self._with_page(refusal))
            if form.filetype == "bdist_wheel" and record_differs(content.stream, filename):
                add_mail(notes, "wheel-record-mismatch")
            provenance = None
            if upload.attestations is not None:
                provenance, notes["attestations"] = attestations.provenance(
                    upload.attestations,
                    upload.credential.workflow,
                    filename,
                    digests["sha256"],
                )
            content.stream.seek(0)
            self._store.add(filename, content.stream, provenance)

    def _digest(self, content: IO[bytes], form: UploadForm) -> dict[str, str]:
        md5 = hashlib.md5(usedforsecurity=False)
        sha256 = hashlib.sha256()
        blake2 = hashlib.blake2b(digest_size=32)
        stored = sum(file.path.stat().st_size for file in self._store.files(form.project))
        limits = f"https://docs.{self._hosts.index}/project-management/storage-limits#requesting-a"
        size = 0
        for chunk in iter(lambda: content.read(1 << 16), b""):
            size += len(chunk)
            if size > self._policy.file_limit * _MIB:
                raise UploadRefused(
                    f"File too large. Limit for project {form.name!r} is "
                    f"{self._policy.file_limit} MB. See {limits}-file-size-limit-increase for "
                    "more information.",
                )
            if stored + size > self._policy.project_limit * _GIB:
                raise UploadRefused(
                    f"Project size too large. Limit for project {form.name!r} total size is "
                    f"{self._policy.project_limit} GB. See {limits}-project-size-limit-increase",
                )
            for hasher in (md5, sha256, blake2):
                hasher.update(chunk)
        content.seek(0)
        return {
            "md5": md5.hexdigest(),
            "sha256": sha256.hexdigest(),
            "blake2_256": blake2.hexdigest(),
        }

    def _is_stored(self, filename: str, digests: dict[str, str]) -> bool:
        for file in self._store.files():
            same_name = file.path.name == filename
            same_bytes = self._details.read(file.path).sha256 == digests["sha256"]
            if same_name and same_bytes:
                return True
            if same_name or same_bytes:
                raise UploadRefused(  # twine --skip-existing looks for the first words.
                    f"File already exists ({filename!r}, with blake2_256 hash "
                    f"{digests['blake2_256']!r}). {self._see('file-name-reuse')}",
                )
        return False

    def _check_release(self, filename: str, form: UploadForm, metadata: Metadata) -> None:
        if filename in self._policy.deleted_files:
            raise UploadRefused(
                "This filename was previously used by a file that has since been deleted. "
                f"Use a different version. {self._see('file-name-reuse')}",
            )
        version = canonicalize_version(metadata.version)
        old_versions = {
            canonicalize_version(old)
            for project, old in self._policy.old_releases
            if project == form.project
        }
        if version in old_versions:
            raise UploadRefused(
                f"Uploading new files to releases older than {_MAX_AGE_DAYS} days is not allowed."
            )
        if form.filetype == "sdist" and any(
            _is_sdist_of(file, version) for file in self._store.files(form.project)
        ):
            raise UploadRefused("Only one sdist may be uploaded per release.")

    def _with_page(self, refusal: Refusal) -> str:
        if refusal.page is None:
            return refusal.reason
        site, path = refusal.page
        if site == "index":
            return f"{refusal.reason} See https://{self._hosts.index}{path} for more information."
        return f"{refusal.reason} See https://docs.{self._hosts.index}{path} for more information"

    def _see(self, anchor: str) -> str:
        return f"See https://{self._hosts.index}/help/#{anchor} for more information."


def _is_sdist_of(file: StoredFile, version: str) -> bool:
    if file.path.suffix == ".whl":
        return False
    stored = version_of(file.path.name)
    return stored is not None and canonicalize_version(stored) == version


def _message_response(message: str, status: int) -> Response:
    # Clients show the reason phrase, so the default index puts its message there. A
    # phrase has to be one line of Latin-1 (RFC 9112, section 4).
    phrase = " ".join(message.split()).encode("latin-1", "replace").decode("latin-1")
    return text_response(f"{status} {message}", f"{status} {phrase}")
