"""``yanmo evals review export``: one blind page a reviewer, and a key that stays here.

What a reviewer sees decides nothing about whose answer it is: ids are hashes, order and sides are
drawn for each reviewer and item, and names of systems are in the key alone.
"""

import base64
import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from yanmo.errors import UsageError
from yanmo.files import atomic_write, sha256_json, write_json

from .review_items import PAIR, ReviewItem, identity_pattern, identity_strings

KEY: Final = "key.json"
FORMAT: Final = 1
_FEW: Final = 4
MASK: Final = "▇▇▇"


@dataclass(frozen=True)
class Plan:
    """How a review is laid out.

    Attributes:
        reviewers: how many people.
        overlap: share of the items that all of them see, so that they can be compared.
        repeats: share of a reviewer's items that come a second time, turned.
        seed: of order, sides and assignment.
        mask: replace what gives a system away.
        references: show reference answers.
    """

    reviewers: int = 1
    overlap: float = 0.2
    repeats: float = 0.05
    seed: int = 0
    mask: bool = False
    references: bool = True

    def __post_init__(self) -> None:
        for name in ("overlap", "repeats"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise UsageError(f"--{name} is a share between 0 and 1", value=getattr(self, name))


@dataclass(frozen=True)
class Slot:
    """One place on a page.

    Attributes:
        id: what the page calls it.
        item: key of what is shown.
        role: ``item``, ``repeat`` or ``check``.
        order: numbers of the answers, as shown from left to right.
    """

    id: str
    item: str
    role: str
    order: tuple[int, ...]


@dataclass(frozen=True)
class ReviewPage:
    """The places of one reviewer."""

    id: str
    reviewer: str
    slots: tuple[Slot, ...]


def lay_out(
    items: Sequence[ReviewItem], checks: Sequence[ReviewItem], plan: Plan
) -> list[ReviewPage]:
    """Give items to reviewers, in an order and with sides of their own.

    Args:
        items: what is to be judged.
        checks: attention checks; every reviewer gets all of them.
        plan: the shares.
    """
    order = list(range(len(items)))
    random.Random(f"{plan.seed}|assignment").shuffle(order)
    shared = len(items) if plan.reviewers == 1 else math.ceil(plan.overlap * len(items))
    pages = []
    for number in range(plan.reviewers):
        own = order[:shared] + order[shared:][number :: plan.reviewers]
        pages.append(_page(f"reviewer-{number + 1}", [items[i] for i in own], checks, plan))
    return pages


def _page(
    reviewer: str, items: Sequence[ReviewItem], checks: Sequence[ReviewItem], plan: Plan
) -> ReviewPage:
    rng = random.Random(f"{plan.seed}|{reviewer}")
    shuffled = list(items)
    rng.shuffle(shuffled)
    slots = [_slot(reviewer, item, "item", plan) for item in shuffled]
    # On a page of three a repeat would be recognised, and answered from memory.
    count = math.ceil(plan.repeats * len(slots) - 1e-9) if len(slots) >= _FEW else 0
    # A repeat stands as far behind as the page allows: the first half comes again in the second.
    again = shuffled[: max(len(slots) // 2, 1)]
    for item in rng.sample(again, min(count, len(again))):
        place = rng.randint(max(shuffled.index(item) + 1, (len(slots) + 1) // 2), len(slots))
        slots.insert(place, _slot(reviewer, item, "repeat", plan))
    for check in checks:
        slots.insert(rng.randint(0, len(slots)), _slot(reviewer, check, "check", plan))
    content = [[s.id, s.item, s.role, list(s.order)] for s in slots]
    return ReviewPage(sha256_json([plan.seed, reviewer, content])[:16], reviewer, tuple(slots))


def _slot(reviewer: str, item: ReviewItem, role: str, plan: Plan) -> Slot:
    order = list(range(len(item.texts)))
    random.Random(f"{plan.seed}|{reviewer}|{item.key}").shuffle(order)
    if role == "repeat":  # turned, so that a habit for one side shows
        order.reverse()
    # The texts are part of the name: votes that a browser kept, or that come back late, never fall
    # on answers that were changed since.
    name = [
        plan.seed,
        reviewer,
        item.key,
        role,
        list(item.texts),
        [m.table() for m in item.messages],
    ]
    digest = bytes.fromhex(sha256_json(name))
    return Slot(base64.b32encode(digest)[:10].decode().lower(), item.key, role, tuple(order))


def shown_text(text: str, item: ReviewItem, plan: Plan) -> str:
    """An answer as the page has it."""
    return identity_pattern(item.systems).sub(MASK, text) if plan.mask else text


def export(
    items: Sequence[ReviewItem],
    checks: Sequence[ReviewItem],
    plan: Plan,
    *,
    kind: str,
    out: Path,
) -> dict[str, Any]:
    """Write pages, tables and the key.

    Args:
        items: what is to be judged.
        checks: attention checks.
        plan: the layout.
        kind: ``pair`` or ``rank``.
        out: folder; made if missing, never overwritten.

    Returns:
        Counts, and what gives systems away.

    Raises:
        UsageError: the folder is not empty.
    """
    from .review_page import review_csv, review_html

    if out.exists() and any(out.iterdir()):
        raise UsageError("the folder is not empty", where=out, fix="Give another --out: votes "
                         "that were cast on old pages need the old key.")  # fmt: skip
    out.mkdir(parents=True, exist_ok=True)
    by_key = {item.key: item for item in (*items, *checks)}
    pages = lay_out(items, checks, plan)
    for page in pages:
        with atomic_write(out / f"{page.reviewer}.html", text=True) as stream:
            stream.write(review_html(page, by_key, plan, kind))
        with atomic_write(out / f"{page.reviewer}.csv") as stream:
            stream.write(review_csv(page, by_key, plan, kind))
    write_json(out / KEY, key_table(pages, by_key, plan, kind))
    return _counts(items, checks, pages, plan) | {"kind": kind}


def _counts(
    items: Sequence[ReviewItem], checks: Sequence[ReviewItem], pages: Sequence[ReviewPage],
    plan: Plan,
) -> dict[str, Any]:  # fmt: skip
    told = {i.key: strings for i in items if (strings := identity_strings(i))}
    return {
        "items": len(items), "checks": len(checks),
        "pages": [
            {"reviewer": p.reviewer, "page": p.id, "items": len(p.slots),
             "repeats": sum(s.role == "repeat" for s in p.slots)}
            for p in pages
        ],
        "unblinding": told, "masked": plan.mask,
    }  # fmt: skip


def key_table(
    pages: Sequence[ReviewPage], items: Mapping[str, ReviewItem], plan: Plan, kind: str
) -> dict[str, Any]:
    """What ``import`` needs to know whose answer was where."""
    return {
        "format": FORMAT, "kind": kind, "seed": plan.seed,
        "items": {
            key: {**item.table(), "place": place}
            for place, (key, item) in enumerate(items.items())
        },
        "pages": {
            page.id: {
                "reviewer": page.reviewer,
                "slots": {s.id: {"item": s.item, "role": s.role, "order": list(s.order)}
                          for s in page.slots},
            }
            for page in pages
        },
    }  # fmt: skip


def exported(found: Mapping[str, Any], out: Path, kind: str) -> str:
    """For a terminal."""
    lines = [f"{out / page['reviewer']}.html: {page['items']} items, {page['repeats']} of them "
             "for the second time" for page in found["pages"]]  # fmt: skip
    lines.append(f"{out / KEY}: whose answers they are. Keep it; send out the pages alone.")
    told = found["unblinding"]
    if told:
        words = sorted({word for strings in told.values() for word in strings})[:5]
        what = "masked" if found["masked"] else "shown as they are; --mask hides them"
        noun = "pairs" if kind == PAIR else "items"
        lines.append(f"{len(told)} {noun} give a system away ({', '.join(words)}): {what}.")
    return "\n".join(lines)
