"""Calls of the HTTP API, whose problems become failures in plain words.

With the standard library's client, because every command pays for its import: 0.02 s here,
where httpx takes 0.35 s, as long as all the rest of a command.
"""

from __future__ import annotations

import http.client
import ipaddress
import json
import re
import urllib.parse
import urllib.request
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any
from urllib.error import HTTPError, URLError

from rqube.cli import configuration
from rqube.cli.errors import BAD_USAGE, FAILED, BadUsage, Failure, NoAnswer

ANSWER_LIMIT = timedelta(seconds=30)
PAGE = 100  # the most that the api gives at once

# What the caller can only mend by asking for something else.
BAD_REQUESTS = frozenset({400, 413, 415, 422})
# What may go away by itself.
NOT_NOW = frozenset({429, 502, 503, 504})

Document = Mapping[str, Any]


class Client:
    """The api at one address."""

    def __init__(self, url: str, *, token: str = "") -> None:
        if not url.startswith(("http://", "https://")):
            message = f"RQUBE_API_URL must begin with http:// or https://, but is {url!r}."
            raise BadUsage(message)
        self.url = url.rstrip("/")
        if not (token.isascii() and token.isprintable()):
            message = "RQUBE_API_TOKEN has characters that HTTP does not allow in a token."
            raise BadUsage(message)
        self._headers = {"Accept": "application/json", "User-Agent": "rqube"}
        if token:
            self._headers["Authorization"] = f"Bearer {token}"
        # Whatever proxy the environment names, it does not lead to this machine.
        proxies = [urllib.request.ProxyHandler({})] if _is_this_machine(url) else []
        self._opener = urllib.request.build_opener(_NoRedirect(), *proxies)

    def get(self, path: str, query: Mapping[str, str | int | None] | None = None) -> Document:
        """Read one document.

        Raises:
            NoAnswer: the api cannot be reached or is not ready.
            Failure: the api refused.
        """
        given = {name: value for name, value in (query or {}).items() if value is not None}
        return self._call("GET", f"{path}?{urllib.parse.urlencode(given)}" if given else path)

    def list(
        self,
        path: str,
        name: str,
        query: Mapping[str, str | int | None] | None = None,
        *,
        at_most: int | None = None,
    ) -> dict[str, list[Document]]:
        """Read a list under its name, page by page; all of it, or so many; raises as `get`."""
        found: list[Document] = []
        cursor = None
        while at_most is None or len(found) < at_most:
            limit = PAGE if at_most is None else min(PAGE, at_most - len(found))
            page = self.get(path, {**(query or {}), "limit": limit, "cursor": cursor})
            found.extend(page[name])
            cursor = page["next_cursor"]
            if cursor is None:
                break
        return {name: found}

    def post(
        self, path: str, body: Document | None = None, *, headers: Mapping[str, str] | None = None
    ) -> Document:
        """Ask for something to be done; raises as `get`."""
        return self._call("POST", path, body=body or {}, headers=headers)

    def delete(self, path: str) -> None:
        """Remove one thing; raises as `get`."""
        self._call("DELETE", path)

    def _call(
        self,
        method: str,
        path: str,
        *,
        body: Document | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Document:
        try:
            request = urllib.request.Request(  # noqa: S310  # the scheme was looked at
                f"{self.url}{path}",
                method=method,
                data=None if body is None else json.dumps(body).encode(),
                headers={"Content-Type": "application/json", **self._headers, **(headers or {})},
            )
            with self._opener.open(request, timeout=ANSWER_LIMIT.total_seconds()) as response:
                return self._read(response.status, response.read())
        except HTTPError as error:
            with error:
                return self._read(error.code, error.read())
        except ValueError as error:  # a broken address, a line break in a header
            message = f"The request cannot be sent: {error}."
            raise BadUsage(message) from None
        except (OSError, http.client.HTTPException) as error:
            raise NoAnswer(self._unreachable(error)) from None

    def _read(self, status: int, content: bytes) -> Document:
        try:
            document = json.loads(content or b"{}")
        except ValueError:
            document = None
        is_json = isinstance(document, dict)
        if is_json and status < http.HTTPStatus.MULTIPLE_CHOICES:
            return document  # type: ignore[no-any-return]  # JSON, and an object
        message = _problem(document if is_json else {}, status)
        if status in NOT_NOW:
            raise NoAnswer(message)
        if not is_json:
            message = f"{message}\nIs RQUBE_API_URL ({self.url}) the address of rqube's api?"
        elif status in {401, 403}:
            message = f"{message}\nThe token is taken from RQUBE_API_TOKEN."
        raise Failure(message, exit_status=BAD_USAGE if status in BAD_REQUESTS else FAILED)

    def _unreachable(self, error: Exception) -> str:
        cause = error.reason if isinstance(error, URLError) else error
        if isinstance(cause, TimeoutError):
            return f"The api at {self.url} did not answer within {ANSWER_LIMIT.seconds} s."
        reason = re.sub(r"^\[Errno [^]]*\] ", "", str(cause))
        return (
            f"Cannot reach the api at {self.url}: {reason}.\n"
            "Start everything on this machine with `rqube dev`, or name the api in RQUBE_API_URL."
        )


def connect() -> Client:
    """Make the client that the settings ask for.

    Raises:
        BadUsage: the settings are wrong.
    """
    settings = configuration.load()
    return Client(settings.api_url, token=settings.api_token)


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Refuses to go elsewhere: a redirected POST would become a GET, with our token."""

    def redirect_request(self, *_what: object) -> None:
        """Give no request to go on with, so that the answer is an error."""


def _is_this_machine(url: str) -> bool:
    try:
        host = urllib.parse.urlsplit(url).hostname or ""
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _problem(document: Document, status: int) -> str:
    """Say a problem document of RFC 9457 in lines: why, and each wrong field."""
    why = document.get("detail") or document.get("title") or f"The api answered {status}."
    errors: Sequence[Document] = document.get("errors") or ()
    fields = [f"  {error.get('field')}: {error.get('message')}" for error in errors]
    return "\n".join([str(why), *fields])
