"""The settings of this process, or a message that names the variable that is wrong."""

from __future__ import annotations

from rqube.cli.errors import BadUsage
from rqube.settings import PREFIX, Settings


def load() -> Settings:
    """Read the settings from the environment.

    Raises:
        BadUsage: one is wrong; the message names it, and never shows a value.
    """
    from pydantic import ValidationError  # noqa: PLC0415

    try:
        return Settings.load()
    except ValidationError as error:
        lines = [
            f"{PREFIX}{'.'.join(map(str, detail['loc'])).upper()}: {detail['msg']}"
            for detail in error.errors(include_input=False, include_url=False)
        ]
        raise BadUsage("\n".join(["Invalid settings.", *lines])) from None
    except (OSError, UnicodeDecodeError) as error:
        message = f"A file that a {PREFIX}…_FILE variable names cannot be read: {error}"
        raise BadUsage(message) from None
