"""What RQ's own workers run."""


def noop() -> None:
    """Do nothing."""
