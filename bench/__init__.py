"""Side-by-side speed. Numbers come from here, never from a test."""
