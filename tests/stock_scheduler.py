"""What tests need that run rq-scheduler as it comes, to compare ours with."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

PAST = datetime(2026, 5, 1, 12, tzinfo=UTC)

STOCK_WARNINGS = [
    # rq-scheduler asks for the time in a way that Python 3.12 deprecates …
    pytest.mark.filterwarnings("ignore:datetime.datetime.utc:DeprecationWarning"),
    # … and for cron's next time in a way that crontab once wanted to change.
    pytest.mark.filterwarnings("ignore::FutureWarning:crontab"),
    pytest.mark.filterwarnings("ignore::FutureWarning:rq_scheduler"),
]
