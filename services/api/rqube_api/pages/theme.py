"""The switch of colours: a form and a cookie, so that it needs no script."""

from __future__ import annotations

from datetime import timedelta

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from rqube_api.pages import forms, rendering

REMEMBERED = timedelta(days=365)


async def choose(request: Request) -> Response:
    """Remember the chosen colours and show the page again."""
    form = await forms.read(request)
    response = RedirectResponse(_own_path(form.text("back")), status_code=303)
    chosen = form.text("theme")
    if chosen in rendering.THEMES:
        response.set_cookie(
            rendering.THEME_COOKIE,
            chosen,
            max_age=int(REMEMBERED.total_seconds()),
            httponly=True,
            samesite="lax",
        )
    return response


def _own_path(path: str) -> str:
    """Give a path of this service; whatever a browser takes for another host becomes `/`."""
    is_ours = path.startswith("/") and not path.startswith(("//", "/\\")) and path.isprintable()
    return path if is_ours else "/"
