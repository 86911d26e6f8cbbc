"""The dashboards, each by the question that it answers."""
