# SPDX-License-Identifier: Apache-2.0
"""What the hub and the cdn say when nothing goes wrong.

The hub knows repositories, resolves revisions, checks tokens, serves small files itself and sends
clients to the cdn for those with LFS, by addresses that are signed and expire. It knows of the API
what `HfApi.model_info` and `hf_hub_download` ask for; there is no Xet, and nothing can be uploaded.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import secrets
import time
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote, urlencode

from .files import Repo, StoredFile
from .wire import Answer, Request, contents

if TYPE_CHECKING:
    from .server import Hub

_NAME = r"([^/]+/[^/]+)"
API = re.compile(rf"/api/models/{_NAME}(?:/revision/([^/]+))?")
_RESOLVE = re.compile(rf"/{_NAME}/resolve/([^/]+)/(.+)")
_CACHE = re.compile(rf"/api/resolve-cache/models/{_NAME}/([0-9a-f]{{40}})/(.+)")
_STORED = re.compile(rf"/repos/{_NAME}/([0-9a-f]{{40}})/(.+)")


class Refused(Exception):
    """What is answered instead of what was asked for."""

    def __init__(self, status: int, code: str, message: str, commit: str = "") -> None:
        named = {"X-Error-Code": code, "X-Error-Message": message, "X-Repo-Commit": commit}
        headers = {name: value for name, value in named.items() if value}
        body = json.dumps({"error": message}).encode()
        self.answer = Answer(status, {"Content-Type": "application/json", **headers}, body)


class Signer:
    """Signs addresses of the cdn, which hold for `lifetime` seconds, or until `forget`."""

    def __init__(self) -> None:
        self.lifetime = 3600.0
        self.forget()

    def forget(self) -> None:
        """No address handed out so far holds any more."""
        self._key = secrets.token_bytes()

    def _signature(self, path: str, expires: str) -> str:
        return hmac.new(self._key, f"{path}?{expires}".encode(), hashlib.sha256).hexdigest()

    def signed(self, path: str) -> str:
        """The path with the query that makes it hold."""
        expires = f"{time.time() + self.lifetime:.3f}"
        query = {"Expires": expires, "Signature": self._signature(path, expires)}
        return f"{path}?{urlencode(query)}"

    def complaint(self, request: Request) -> str:
        """Why an address does not hold; nothing if it does."""
        expires, given = (request.query.get(name, "") for name in ("Expires", "Signature"))
        if not hmac.compare_digest(given, self._signature(request.path, expires)):
            return "Access Denied"
        return "Request has expired" if float(expires) < time.time() else ""


def hub_answer(hub: Hub, request: Request) -> Answer:
    """The hub's: about a repository, a small file, or where a large one lies."""
    if request.method not in ("GET", "HEAD"):
        raise Refused(405, "", "Method not allowed")
    if match := API.fullmatch(request.path):
        repo = _readable(hub, unquote(match[1]), request.token)
        commit, files = _commit(repo, unquote(match[2] or "main"))
        return _described(repo, commit, files, blobs="blobs" in request.query)
    cached = _CACHE.fullmatch(request.path)
    match = cached or _RESOLVE.fullmatch(request.path)
    if match is None:
        raise Refused(404, "", "Sorry, we can't find the page you are looking for.")
    repo = _readable(hub, unquote(match[1]), request.token, contents=True)
    commit, files = _commit(repo, unquote(match[2]))
    path = unquote(match[3])
    if path not in files:
        raise Refused(404, "EntryNotFound", "Entry not found", commit)
    file = files[path]
    about = {"X-Repo-Commit": commit, "Accept-Ranges": "bytes", "Vary": "Origin, Accept"}
    linked = {"X-Linked-Size": str(file.size), "X-Linked-Etag": f'"{file.etag}"'}
    if file.lfs:
        place = hub.signer.signed(f"/repos/{repo.name}/{commit}/{quote(path)}")
        return _found(302, hub.cdn_endpoint + place, {**about, **linked})
    if hub.resolve_cache and cached is None:
        place = f"/api/resolve-cache/models/{repo.name}/{commit}/{quote(path)}"
        query = urlencode({request.path: "", "etag": f'"{file.etag}"'})
        return _found(307, f"{place}?{query}", {**about, **linked})
    about |= {"ETag": f'"{file.etag}"', "Content-Type": "text/plain; charset=utf-8"}
    return contents(request, file, path, about)


def cdn_answer(hub: Hub, request: Request) -> Answer:
    """The cdn's: a file, to whoever has an address that holds."""
    match = _STORED.fullmatch(request.path)
    complaint = hub.signer.complaint(request)
    if match is None or complaint:
        body = (
            '<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>AccessDenied</Code>'
            f"<Message>{complaint}</Message></Error>"
        )
        return Answer(403, {"Content-Type": "application/xml"}, body.encode())
    name, commit, path = map(unquote, match.groups())
    file = hub.repos[name].commits[commit][path]
    about = {"Content-Type": "application/octet-stream", "Accept-Ranges": "bytes"}
    return contents(request, file, path, {**about, "ETag": f'"{file.stored_etag}"'})


def _readable(hub: Hub, name: str, token: str | None, contents: bool = False) -> Repo:
    """A repository, if whoever asks may see it, and its files' contents.

    Who is not logged in gets 401, as they may yet have access. A private repository is, to others,
    one that is not there.
    """
    known = hub.tokens.union(*(repo.tokens for repo in hub.repos.values()))
    if token is not None and token not in known:
        raise Refused(401, "", "Invalid credentials in Authorization header")
    repo = hub.repos.get(name)
    if repo is None or (repo.private and token not in repo.tokens):
        if token is None:
            raise Refused(401, "RepoNotFound", "Invalid username or password.")
        raise Refused(404, "RepoNotFound", "Repository not found")
    if contents and repo.gated and token not in repo.tokens:
        restricted = f"Access to model {name} is restricted"
        if token is None:
            advice = "You must have access to it and be authenticated to access it. Please log in."
            raise Refused(401, "GatedRepo", f"{restricted}. {advice}")
        advice = f"Visit {hub.endpoint}/{name} to ask for access."
        message = f"{restricted} and you are not in the authorized list. {advice}"
        raise Refused(403, "GatedRepo", message)
    return repo


def _commit(repo: Repo, revision: str) -> tuple[str, dict[str, StoredFile]]:
    commit = repo.commit(revision)
    if commit is None:
        raise Refused(404, "RevisionNotFound", f"Invalid rev id: {revision}")
    return commit, repo.commits[commit]


def _described(repo: Repo, commit: str, files: dict[str, StoredFile], blobs: bool) -> Answer:
    described = {
        "id": repo.name,
        "modelId": repo.name,
        "author": repo.name.split("/")[0],
        "sha": commit,
        "private": repo.private,
        "gated": "auto" if repo.gated else False,
        "disabled": False,
        "tags": [],
        "siblings": [file.listed(path, blobs) for path, file in sorted(files.items())],
    }
    return Answer(200, {"Content-Type": "application/json"}, json.dumps(described).encode())


def _found(status: int, location: str, headers: dict[str, str]) -> Answer:
    body = f"{'Found' if status == 302 else 'Temporary Redirect'}. Redirecting to {location}"
    return Answer(status, {**headers, "Location": location}, body.encode())
