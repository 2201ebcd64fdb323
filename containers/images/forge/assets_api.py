"""The REST API of a release's assets: upload, replacement, download."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from urllib.parse import quote

from werkzeug.wrappers import Response
from werkzeug.wsgi import wrap_file

from .paging import page
from .releases import Asset, Release, Store
from .routing import (
    FILES,
    UPLOADS,
    WEB,
    Problem,
    Request,
    Route,
    answer,
    moved,
    not_found,
    nothing,
)
from .shapes import Shapes

_LARGEST = 2 * 1024**3  # "each file must be under 2 GiB" (GitHub docs, "About releases")


class Assets:
    """Answers for assets on the hosts that GitHub spreads them over."""

    def __init__(self, store: Store, shapes: Shapes) -> None:
        self._store = store
        self._shapes = shapes
        self._secret = secrets.token_bytes(32)

    def routes(self) -> list[Route]:
        """List what this module answers."""
        top = "/repos/<owner>/<repo>/releases"
        one = f"{top}/assets/<int:number>"
        files = f"{top}/<int:number>/assets"
        page_top = "/<owner>/<repo>/releases"
        return [
            Route(files, self.list, "read"),
            Route(files, self.upload, "write", UPLOADS, ("POST",)),
            Route(one, self.get, "read"),
            Route(one, self.update, "write", methods=("PATCH",)),
            Route(one, self.delete, "write", methods=("DELETE",)),
            Route(f"{page_top}/download/<path:tag>/<name>", self.download, "read", WEB),
            Route(f"{page_top}/latest/download/<name>", self.download_latest, "read", WEB),
            Route(f"{page_top}/latest", self.latest_page, "read", WEB),
            # The address itself is the permission, as it is with a signed one.
            Route("/assets/<int:number>/<signature>/<name>", self.content, "open", FILES),
        ]

    def list(self, request: Request, number: int) -> Response:
        """Answer with a page of a release's assets."""
        release = self._release(number, drafts=request.writes)
        return page(request, [self._shapes.asset(release, one) for one in release.assets])

    def upload(self, request: Request, number: int) -> Response:
        """Take a file in: its name is in the query, its bytes are the body."""
        release = self._release(number, drafts=True)
        name = request.args.get("name", "")
        if not request.content_length:
            raise Problem(400, "Bad Content-Length")
        if request.content_length > _LARGEST:
            raise Problem(422, "size must be less than 2147483648")
        asset = self._store.attach(
            release,
            name,
            request.args.get("label"),
            request.mimetype or "application/octet-stream",
            request.stream,
            request.content_length,
        )
        request.notes |= {
            "release": release.tag,
            "asset": asset.name,
            "uploaded_bytes": asset.size,
            "uploaded_sha256": asset.sha256,
        }
        told = self._shapes.asset(release, asset)
        return answer(told, 201, {"Location": told["url"]})

    def get(self, request: Request, number: int) -> Response:
        """Answer with an asset, or send a client that wants the bytes to them."""
        release, asset = self._asset(number, drafts=request.writes)
        wanted = {kind for kind, _ in request.accept_mimetypes}
        if "application/octet-stream" in wanted:
            return self._send(asset)
        return answer(self._shapes.asset(release, asset))

    def update(self, request: Request, number: int) -> Response:
        """Rename an asset or change its label."""
        release, asset = self._asset(number, drafts=True)
        table = request.table(name=str, label=str, state=str)
        with self._store.changing():
            if table.get("name") is not None:
                asset.name = self._store.check_name(release, table["name"], keep=asset)
            if table.get("label") is not None:
                asset.label = table["label"]
        return answer(self._shapes.asset(release, asset))

    def delete(self, request: Request, number: int) -> Response:
        """Delete an asset."""
        release, asset = self._asset(number, drafts=True)
        self._store.detach(release, asset)
        request.notes |= {"release": release.tag, "asset": asset.name}
        return nothing()

    def download(self, _request: Request, tag: str, name: str) -> Response:
        """Send whoever follows a link of a release's page to the file."""
        return self._named(self._store.by_tag(tag), name)

    def download_latest(self, _request: Request, name: str) -> Response:
        """Send whoever follows a link to the latest release's file to it."""
        return self._named(self._store.latest(), name)

    def latest_page(self, _request: Request) -> Response:
        """Send whoever asks for the latest release's page to its own address."""
        release = self._store.latest()
        if release is None:
            raise not_found()
        return moved(self._shapes.page_of(release))

    def content(self, request: Request, number: int, signature: str, name: str) -> Response:
        """Answer with the bytes of an asset."""
        found = self._store.asset(number, drafts=True)
        right = self._sign(number)
        if found is None or not hmac.compare_digest(right.encode(), signature.encode()):
            raise not_found()
        release, asset = found
        try:
            file = self._store.path(asset).open("rb")
        except FileNotFoundError:
            raise not_found() from None
        asset.downloads += 1
        request.notes |= {"release": release.tag, "asset": asset.name, "file": name}
        response = Response(
            wrap_file(request.environ, file),
            content_type=asset.content_type,
            headers={"Content-Disposition": f"attachment; filename={asset.name}"},
            direct_passthrough=True,
        )
        response.content_length = asset.size
        return response

    def _named(self, release: Release | None, name: str) -> Response:
        for asset in release.assets if release else ():
            if asset.name == name:
                return self._send(asset)
        raise not_found()

    def _send(self, asset: Asset) -> Response:
        return moved(
            f"https://{FILES}/assets/{asset.id}/{self._sign(asset.id)}/{quote(asset.name)}"
        )

    def _sign(self, number: int) -> str:
        return hmac.new(self._secret, str(number).encode(), hashlib.sha256).hexdigest()

    def _release(self, number: int, *, drafts: bool) -> Release:
        found = self._store.find(number, drafts=drafts)
        if found is None:
            raise not_found()
        return found

    def _asset(self, number: int, *, drafts: bool) -> tuple[Release, Asset]:
        found = self._store.asset(number, drafts=drafts)
        if found is None:
            raise not_found()
        return found
