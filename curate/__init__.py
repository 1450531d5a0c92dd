"""Raw pages in; clean document tables and token shards out."""

PRELOAD = "yanmo.curate.preload"
"""What the server behind worker processes imports before it forks them."""
