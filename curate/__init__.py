"""Raw pages in; clean document tables and token shards out."""
