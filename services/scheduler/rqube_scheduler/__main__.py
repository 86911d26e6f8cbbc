"""`python -m rqube_scheduler`: one scheduler process."""

from __future__ import annotations

from rqube_scheduler import service


def main() -> int:
    """Run until told to stop; gives the exit status."""
    return service.run()


if __name__ == "__main__":
    raise SystemExit(main())
