"""The tasks that come with rqube."""

from rqube.tasks.demo import fail, long, noop
from rqube.tasks.url_length import url_length

__all__ = ["fail", "long", "noop", "url_length"]
