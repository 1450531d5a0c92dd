"""A reviewer's page and table: one file each, nothing from the network, nothing that runs but ours.

All texts go in as data and reach the page as text nodes; the content policy lets only the page's
own two scripts run, by their hashes.
"""

import base64
import csv
import hashlib
import io
import re
from collections.abc import Mapping
from importlib.resources import files
from typing import Any, Final

from yanmo.bilingual import SWITCH, SWITCH_SCRIPT, SWITCH_STYLE, Bilingual, markup
from yanmo.report import STYLE
from yanmo.vocab.view import script_json

from .review import Plan, ReviewPage, Slot, shown_text
from .review_items import PAIR, RANK, ReviewItem
from .review_words import WORDS, say

_RISKY_START: Final = ("=", "+", "-", "@", "\t", "\r")


def review_html(page: ReviewPage, items: Mapping[str, ReviewItem], plan: Plan, kind: str) -> str:
    """The page.

    Args:
        page: whose.
        items: all items, by key.
        plan: whether to mask, whether to show references.
        kind: ``pair`` or ``rank``.
    """
    data = {
        "page": page.id, "kind": kind, "reviewer": page.reviewer,
        "words": {english: [english, chinese] for english, chinese in WORDS.items()},
        "items": [_shown(slot, items[slot.item], plan) for slot in page.slots],
    }  # fmt: skip
    title = say("Rank the answers" if kind == RANK else "Which answer is better?")
    scripts = [_inner(SWITCH_SCRIPT), _asset("review.js")]
    hashes = " ".join(f"'sha256-{_digest(script)}'" for script in scripts)
    policy = (
        f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; base-uri 'none'; "
        "form-action 'none'"
    )
    style = STYLE + SWITCH_STYLE + _asset("review.css").replace("\n", "")
    return (
        '<!doctype html><html lang="zh-Hans"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{title.zh}</title><style>{style}</style></head><body><main>"
        f"{_body(title, page, kind)}<footer>yanmo 研墨</footer></main>"
        f'<script type="application/json" id="data">{script_json(data)}</script>'
        f"<script>{scripts[1]}</script><script>{scripts[0]}</script></body></html>\n"
    )


def _body(title: Bilingual, page: ReviewPage, kind: str) -> str:
    lead = say("{n} questions. The answers come from systems whose names are hidden; their order "
               "is drawn by lot.", n=len(page.slots))  # fmt: skip
    advice = say("Judge what is said, not how long it is. If an answer names a model, do not let "
                 "it sway you.")  # fmt: skip
    return (
        f"{SWITCH}<h1>{markup(title)}</h1>"
        f'<p class="lead">{markup(lead)} {markup(advice)}</p>'
        f'<div class="bar"><div id="done"></div></div>'
        f'<p class="state"><span id="place"></span><span id="count"></span>'
        f'<span id="saved"></span></p>'
        "<noscript>This page needs JavaScript. 本页需要 JavaScript。</noscript>"
        f'<section id="view" class="{kind}" aria-live="polite"></section>'
        f'<div class="actions" id="actions"></div>'
    )


def _shown(slot: Slot, item: ReviewItem, plan: Plan) -> dict[str, Any]:
    """What the page knows of an item: texts, and an id that says nothing."""
    entry: dict[str, Any] = {
        "id": slot.id, "messages": [[m.role, m.content] for m in item.messages],
        "texts": [shown_text(item.texts[k], item, plan) for k in slot.order],
    }  # fmt: skip
    if item.reference and plan.references:
        entry["reference"] = item.reference
    return entry


def _asset(name: str) -> str:
    return files("yanmo.evals").joinpath("data", name).read_text(encoding="utf-8")


def _inner(script: str) -> str:
    found = re.fullmatch(r"<script>(.*)</script>", script, re.DOTALL)
    assert found is not None
    return found[1]


def _digest(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def review_csv(page: ReviewPage, items: Mapping[str, ReviewItem], plan: Plan, kind: str) -> bytes:
    """The same as a table for spreadsheets: UTF-8 with a mark, as Excel wants it.

    For pairs the reviewer writes 1, 2, 0 or s into ``vote``; for rankings a rank into ``rank_1``,
    ``rank_2`` …, or s into the first of them.
    """
    widest = max(len(items[slot.item].texts) for slot in page.slots)
    columns = ["item", "question", *(f"answer_{k + 1}" for k in range(widest))]
    columns += ["vote"] if kind == PAIR else [f"rank_{k + 1}" for k in range(widest)]
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\r\n")
    writer.writerow(columns)
    for slot in page.slots:
        item = items[slot.item]
        asked = item.messages[-1].content if len(item.messages) == 1 else "\n\n".join(
            f"[{m.role}] {m.content}" for m in item.messages)  # fmt: skip
        texts = [shown_text(item.texts[k], item, plan) for k in slot.order]
        texts += [""] * (widest - len(texts))
        blank = [""] * (1 if kind == PAIR else widest)
        writer.writerow([slot.id, *map(_harmless, [asked, *texts]), *blank])
    return stream.getvalue().encode("utf-8-sig")


def _harmless(text: str) -> str:
    """A cell that starts like a formula would be one; an apostrophe keeps it text."""
    return "'" + text if text.startswith(_RISKY_START) else text
