"""What a job can do: one task per file, and the catalogue."""
