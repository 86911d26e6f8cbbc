"""Turn plain data into a page: the templates, and the frame around every page."""

from __future__ import annotations

import functools
import importlib.metadata
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import jinja2
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from rqube_api.pages.wording import View

PACKAGE = Path(__file__).parent.parent
STATIC = PACKAGE / "static"

THEMES = ("auto", "light", "dark")
THEME_COOKIE = "rqube_theme"

ENTRIES: Mapping[str, str] = {
    "overview": "/",
    "jobs": "/jobs",
    "schedules": "/schedules",
    "queues": "/queues",
    "workers": "/workers",
    "tasks": "/tasks",
}
"""The pages in the frame: the folder of their templates, and their address."""


def page(
    request: Request,
    template: str,
    view: Mapping[str, object],
    *,
    status: int = 200,
    path: str = "",
) -> Response:
    """Render a template within the frame.

    `path` is where the page can be got again, if that is not where the request went.
    """
    frame = _frame(request, template.partition("/")[0], path)
    html = _templates().get_template(template).render(view, frame=frame)
    return HTMLResponse(html, status)


def now() -> datetime:
    """Give the time that a page says `3 s ago` by."""
    return datetime.now(UTC)  # noqa: TID251 - words for people; decides nothing


def base_url(request: Request) -> str:
    """Give the address that the browser used for this service, without a slash at its end."""
    return str(request.base_url).rstrip("/")


def here(request: Request) -> str:
    """Give the path and query of the request, to come back to."""
    return request.url.path + (f"?{request.url.query}" if request.url.query else "")


def theme(request: Request) -> str:
    """Give the colours that this browser chose: `auto`, `light` or `dark`."""
    chosen = request.cookies.get(THEME_COOKIE, "")
    return chosen if chosen in THEMES else THEMES[0]


def _frame(request: Request, section: str, path: str) -> View:
    chosen = theme(request)
    return {
        "entries": [
            {"name": name.capitalize(), "href": href, "is_current": name == section}
            for name, href in ENTRIES.items()
        ],
        "theme": chosen,
        "next_theme": THEMES[(THEMES.index(chosen) + 1) % len(THEMES)],
        "path": path or here(request),
        "version": _version(),
        "made_at": now().strftime("%Y-%m-%d %H:%M:%S UTC"),
    }


@functools.cache
def _templates() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(PACKAGE / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


@functools.cache
def _version() -> str:
    return importlib.metadata.version("rqube")
