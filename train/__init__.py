"""Token shards in; checkpoints out (torch)."""
