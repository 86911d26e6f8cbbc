"""What clients put into the query of a list."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from rqube.jobs import JobState
from rqube.store.jobs import JobFilter
from rqube_api.fields import Moment, Name, Tag

MOST_ROWS = 100
"""On one page."""


class PageQuery(BaseModel):
    """Which page of a list."""

    model_config = ConfigDict(
        extra="forbid", strict=True, frozen=True, use_attribute_docstrings=True
    )

    limit: Annotated[int, Field(ge=1, le=MOST_ROWS)] = 50
    """Rows of the page."""
    cursor: Annotated[str, Field(max_length=500)] | None = None
    """The `next_cursor` of the page before."""


class JobsQuery(PageQuery):
    """Which jobs."""

    state: JobState | None = None
    task: Name | None = None
    queue: Name | None = None
    tag: Tag | None = None
    schedule: UUID | None = None
    """Id of the schedule that submitted them."""
    created_after: Moment | None = None
    """At this time or later."""
    created_before: Moment | None = None
    """Before this time."""

    def wanted(self) -> JobFilter:
        """Give the filter that the store takes."""
        return JobFilter(
            state=self.state,
            task=self.task,
            queue=self.queue,
            tag=self.tag,
            schedule_id=self.schedule,
            created_after=self.created_after,
            created_before=self.created_before,
        )
