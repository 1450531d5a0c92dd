"""Raw pages in; clean document tables and token shards out."""

PRELOAD = "yanmo.curate.preload"
"""What the server behind worker processes imports before it forks them."""

PRELOAD_PACK = "yanmo.curate.preload_pack"
"""The same for those that pack."""

PACK_TOKENIZER = "YANMO_PACK_TOKENIZER"
"""Variable by which :data:`PRELOAD_PACK` hears of the tokenizer."""

PACK_GUARDS = "YANMO_PACK_GUARDS"
"""Variable by which it hears that held-out documents will be compared with the others."""

GARBAGE = 20_000
"""Objects made and not yet freed after which a process of ours looks for unreachable ones (Python's
default is 700); a batch of documents makes few."""
