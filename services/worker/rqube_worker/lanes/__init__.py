"""The lanes: where a worker runs the jobs it has claimed."""
