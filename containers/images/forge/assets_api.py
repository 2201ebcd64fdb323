"""The REST API of a release's assets: upload, replacement, download."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass, field
from urllib.parse import quote

from werkzeug.wrappers import Response
from werkzeug.wsgi import wrap_file

from .paging import page_response
from .releases import Asset, Release, ReleaseStore, Upload
from .representations import Representations
from .routing import (
    FILES,
    UPLOADS,
    WEB,
    Problem,
    Request,
    Route,
    json_response,
    no_content,
    not_found,
    redirect,
)

_MAX_BYTES = 2 * 1024**3  # "each file must be under 2 GiB" (GitHub docs, "About releases")


@dataclass(frozen=True, slots=True)
class AssetsApi:
    """Answers requests for assets, on the same host names as GitHub."""

    _store: ReleaseStore
    _representations: Representations
    _secret: bytes = field(default_factory=lambda: secrets.token_bytes(32))

    def routes(self) -> list[Route]:
        """Return the routes of this module."""
        top = "/repos/<owner>/<repo>/releases"
        asset = f"{top}/assets/<int:number>"
        files = f"{top}/<int:number>/assets"
        page_top = "/<owner>/<repo>/releases"
        return [
            Route(files, self.list, "read"),
            Route(files, self.upload, "write", UPLOADS, methods=("POST",)),
            Route(asset, self.get, "read"),
            Route(asset, self.update, "write", methods=("PATCH",)),
            Route(asset, self.delete, "write", methods=("DELETE",)),
            Route(f"{page_top}/download/<path:tag>/<name>", self.download, "read", WEB),
            Route(f"{page_top}/latest/download/<name>", self.download_latest, "read", WEB),
            Route(f"{page_top}/latest", self.latest_page, "read", WEB),
            # The signature in the URL is the permission.
            Route("/assets/<int:number>/<signature>/<name>", self.content, "open", FILES),
        ]

    def list(self, request: Request, number: int) -> Response:
        """Answer with a page of the assets of a release."""
        release = self._store.find(number, drafts=request.writes)
        assets = [self._representations.asset(release, asset) for asset in release.assets]
        return page_response(request, assets)

    def upload(self, request: Request, number: int) -> Response:
        """Store a file. Its name is in the query and its content is the body."""
        release = self._store.find(number, drafts=True)
        name = request.args.get("name", "")
        if not request.content_length:
            raise Problem(400, "Bad Content-Length")
        if request.content_length > _MAX_BYTES:
            raise Problem(422, "size must be less than 2147483648")
        upload = Upload(
            name=name,
            label=request.args.get("label"),
            content_type=request.mimetype or "application/octet-stream",
            content=request.stream,
            length=request.content_length,
        )
        asset = self._store.attach(release, upload)
        request.notes.update(
            {
                "release": release.tag,
                "asset": asset.name,
                "uploaded_bytes": asset.size,
                "uploaded_sha256": asset.sha256,
            }
        )
        location = self._representations.asset_url(asset)
        return json_response(
            self._representations.asset(release, asset), 201, {"Location": location}
        )

    def get(self, request: Request, number: int) -> Response:
        """Answer with the JSON of an asset, or redirect to its content.

        The client asks for the content by accepting ``application/octet-stream``."""
        release, asset = self._store.asset(number, drafts=request.writes)
        accepted = {kind for kind, _ in request.accept_mimetypes}
        if "application/octet-stream" in accepted:
            return self._to_content(asset)
        return json_response(self._representations.asset(release, asset))

    def update(self, request: Request, number: int) -> Response:
        """Rename an asset or change its label."""
        release, asset = self._store.asset(number, drafts=True)
        body = request.body()
        name, label, _ = (body.get(key, str) for key in ("name", "label", "state"))
        with self._store.changing():
            if name is not None:
                asset.name = self._store.check_name(release, name, keep=asset)
            if label is not None:
                asset.label = label
        return json_response(self._representations.asset(release, asset))

    def delete(self, request: Request, number: int) -> Response:
        """Delete an asset."""
        release, asset = self._store.asset(number, drafts=True)
        self._store.detach(release, asset)
        request.notes.update({"release": release.tag, "asset": asset.name})
        return no_content()

    def download(self, _request: Request, tag: str, name: str) -> Response:
        """Redirect a link of the release page to the file."""
        return self._redirect_to(self._store.by_tag(tag), name)

    def download_latest(self, _request: Request, name: str) -> Response:
        """Redirect a link of the latest release page to the file."""
        return self._redirect_to(self._store.latest(), name)

    def latest_page(self, _request: Request) -> Response:
        """Redirect to the page of the latest release."""
        release = self._store.latest()
        if release is None:
            raise not_found()
        return redirect(self._representations.release_page(release))

    def content(self, request: Request, number: int, signature: str, name: str) -> Response:
        """Answer with the content of an asset."""
        release, asset = self._store.asset(number, drafts=True)
        if not hmac.compare_digest(self._sign(number).encode(), signature.encode()):
            raise not_found()
        try:
            file = self._store.path(asset).open("rb")
        except FileNotFoundError:
            raise not_found() from None
        asset.downloads += 1
        request.notes.update({"release": release.tag, "asset": asset.name, "file": name})
        response = Response(
            wrap_file(request.environ, file),
            content_type=asset.content_type,
            headers={"Content-Disposition": f"attachment; filename={asset.name}"},
            direct_passthrough=True,
        )
        response.content_length = asset.size
        return response

    def _redirect_to(self, release: Release | None, name: str) -> Response:
        for asset in release.assets if release else ():
            if asset.name == name:
                return self._to_content(asset)
        raise not_found()

    def _to_content(self, asset: Asset) -> Response:
        return redirect(
            f"https://{FILES}/assets/{asset.id}/{self._sign(asset.id)}/{quote(asset.name)}"
        )

    def _sign(self, number: int) -> str:
        return hmac.new(self._secret, str(number).encode(), hashlib.sha256).hexdigest()
