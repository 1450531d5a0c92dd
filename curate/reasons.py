"""Why the bytes of a page were read as they were, as document tables keep it."""

import json


def encoding_reason(meta: str | None) -> str | None:
    """Why a page was read as it was, as JSON, from its ``meta``; None if that was no choice."""
    if not meta or '"encoding"' not in meta:
        return None
    reason = json.loads(meta).get("encoding")
    if not isinstance(reason, dict) or "source" not in reason:  # the input's own field
        return None
    return json.dumps(reason, ensure_ascii=False, separators=(",", ":"))
