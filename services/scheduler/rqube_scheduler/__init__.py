"""The scheduler: fires schedules, relays and repairs, and moves rq-scheduler's own entries."""
