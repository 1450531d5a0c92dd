"""Prove that a grown vocabulary is right, or show the counter-example.

Every check maps to a bug seen in published vocabularies: pieces that can never be produced, English
words that fall apart, three libraries with three sets of ids, shifted special tokens.
"""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from yanmo.errors import DataError, MissingDependency

from . import agreement
from .agreement import Encode, Engine
from .base import SENTINEL, Base, score_floor
from .charsets import HAN_RUN
from .probes import WRITTEN, random_texts
from .spm import PieceType, dump_model, without_dummy_prefix

LETTERS = "ABCD"
PREFIXES = ("答案：", "Answer: ", "\n", "答案是")


@dataclass(frozen=True)
class Check:
    """One invariant: how much was looked at, and what breaks it (``None`` if nothing does)."""

    name: str
    checked: int
    counterexample: Any = None
    broken: int = 0
    note: str = ""

    @property
    def passed(self) -> bool:
        return self.counterexample is None


@dataclass(frozen=True)
class Loaded:
    """A vocabulary, and `tokenizers` on it: loaded once for all checks."""

    base: Base
    fast: Any

    def encode(self, texts: list[str]) -> list[list[int]]:
        """Ids of texts; special tokens in them are text."""
        return [e.ids for e in self.fast.encode_batch_fast(texts, add_special_tokens=False)]

    def decode(self, ids: list[int]) -> str:
        """Ids as text."""
        return str(self.fast.decode(ids, skip_special_tokens=False))

    def bare_encode(self) -> Encode:
        """As :meth:`encode`, but by the library that owns the format and with no dummy prefix."""
        if self.base.model is None:
            return self.encode
        return agreement.spm_engine(dump_model(without_dummy_prefix(self.base.model)))[0]


@dataclass(frozen=True)
class Pair:
    """A base and what grew from it."""

    old: Loaded
    new: Loaded


def verify(
    base: Base,
    grown: Base,
    *,
    texts: Iterable[str] = (),
    folder: Path | None = None,
    seed: int = 0,
    random_count: int = 2000,
) -> dict[str, Any]:
    """Check a grown vocabulary against its base.

    Args:
        base: the vocabulary it grew from.
        grown: the grown one.
        texts: real lines to check on, besides written and random ones.
        folder: the written tokenizer folder; with it `transformers.AutoTokenizer` is asked too.
        seed: seed of the random texts.
        random_count: how many random texts.

    Returns:
        ``{"passed", "base", "grown", "texts", "checks": [...]}``; each check has ``name``,
        ``passed``, ``checked``, ``broken``, ``counterexample`` and ``note``.
    """
    probes = [*WRITTEN, *random_texts(random_count, seed), *texts]
    pair = Pair(*(Loaded(one, agreement.fast_of(one.document)) for one in (base, grown)))
    checks = [
        check_ids(pair),
        check_graph(pair),
        *check_texts(pair, probes),
        *check_reachable(pair),
        check_choices(pair),
        check_agreement(pair.new, probes, folder),
    ]
    return {
        "passed": all(check.passed for check in checks),
        "base": {"name": base.name, "size": base.size, "sha256": base.sha256},
        "grown": {"name": grown.name, "size": grown.size, "added": grown.size - base.size},
        "texts": len(probes),
        "checks": [{**asdict(check), "passed": check.passed} for check in checks],
    }


def require(report: dict[str, Any], where: object) -> None:
    """Raise if a report has a broken check.

    Raises:
        DataError: names the first one and its counter-example.
    """
    for check in report["checks"]:
        if not check["passed"]:
            raise DataError(
                f"verification failed: {check['name']} ({check['broken']} broken)",
                where=where,
                value=check["counterexample"],
                fix="See the checks in report.json; `yanmo vocab doctor` repairs merged models.",
            )


def _check(name: str, checked: int, broken: Sequence[Any], note: str = "") -> Check:
    return Check(name, checked, broken[0] if broken else None, len(broken), note)


def check_ids(pair: Pair) -> Check:
    """Base ids, scores, types and special tokens are unchanged; ids have no holes."""
    base, grown, loaded = pair.old.base, pair.new.base, pair.new.fast
    broken: list[Any] = [
        {"id": index, "base": old, "grown": new}
        for index, (old, new) in enumerate(zip(base.pieces, grown.pieces, strict=False))
        if old != new
    ]
    if grown.size < base.size:
        broken.append({"size": grown.size, "base": base.size})
    if base.model is not None and grown.model is not None:
        pairs = zip(base.model.pieces, grown.model.pieces, strict=False)
        broken += [{"base": str(old), "grown": str(new)} for old, new in pairs if old != new]
    if list(base.document["added_tokens"]) != list(grown.document["added_tokens"]):
        broken.append({"added_tokens": "differ"})
    broken += [
        {"id": index, "base": piece, "loaded": loaded.id_to_token(index)}
        for index, piece in enumerate(base.pieces)
        if piece and (loaded.id_to_token(index) != piece or loaded.token_to_id(piece) != index)
    ]
    holes = [index for index in range(base.size, grown.size) if not grown.pieces[index]]
    return _check("base ids unchanged", base.size, broken + [{"hole": index} for index in holes])


def check_graph(pair: Pair) -> Check:
    """New merges follow from earlier ones, rank below all of the base's, and none stands twice."""
    base, grown = pair.old.base, pair.new.base
    new = range(base.size, grown.size)
    broken: list[Any] = []
    if grown.model is not None and base.model is not None:
        last = score_floor(base.model)
        for index in new:
            piece = grown.model.pieces[index]
            if not -SENTINEL < piece.score < last:
                broken.append({"piece": piece.text, "score": piece.score, "must be below": last})
            last = min(last, piece.score)
        return _check("merge graph sound", len(new), broken)
    merges = [tuple(pair) for pair in grown.document["model"]["merges"]]
    known = set(base.pieces)
    old = len(base.document["model"]["merges"])
    if merges[:old] != [tuple(pair) for pair in base.document["model"]["merges"]]:
        broken.append({"merges": "the base's merges have changed"})
    for left, right in merges[old:]:
        if left not in known or right not in known:
            broken.append({"merge": [left, right], "fault": "a half is not there before it"})
        known.add(left + right)
    if len(set(merges)) != len(merges):
        broken.append({"merges": "one stands twice"})
    broken += _crossing(pair.new, new)
    return _check("merge graph sound", len(merges) - old, broken)


def _crossing(grown: Loaded, new: range) -> list[Any]:
    """New byte-level entries that their own pre-tokenizer would cut."""
    splitter = grown.fast.pre_tokenizer
    broken = []
    surfaces = grown.base.surfaces()
    for index in new:
        text = surfaces[index].decode("utf-8", errors="replace")
        if splitter is not None and len(splitter.pre_tokenize_str(text)) > 1:
            broken.append({"token": text, "fault": "crosses a word boundary"})
    return broken


def check_texts(pair: Pair, texts: list[str]) -> list[Check]:
    """Text outside Han runs is tokenized as before, and what came back before comes back."""
    base_surfaces, grown_surfaces = pair.old.base.surfaces(), pair.new.base.surfaces()
    moved: list[Any] = []
    lost: list[Any] = []
    changed = exact = 0
    for start in range(0, len(texts), 1000):
        batch = texts[start : start + 1000]
        olds, news = pair.old.encode(batch), pair.new.encode(batch)
        for text, old, new in zip(batch, olds, news, strict=True):
            before = pair.old.decode(old)
            exact += before == text
            if old == new:
                continue
            changed += 1
            if outside_han(old, base_surfaces) != outside_han(new, grown_surfaces):
                moved.append({"text": text, "base": old, "grown": new})
            back = pair.new.decode(new)
            if back != before:
                lost.append({"text": text, "base": before, "grown": back})
    same = f"{changed} texts changed, all of them inside Han runs" if not moved else ""
    inherent = len(texts) - exact
    note = f"{inherent} texts do not come back from the base either" if inherent else ""
    return [
        _check("text outside Han runs unchanged", len(texts), moved, same),
        _check("round trip", len(texts), lost, note),
    ]


def outside_han(ids: Sequence[int], surfaces: Sequence[bytes]) -> list[tuple[int, int]]:
    """Start byte and id of every token that holds a byte outside the Han runs of its text."""
    text = b"".join(surfaces[index] for index in ids).decode("utf-8", errors="surrogateescape")
    spans, at, last = [], 0, 0
    for match in HAN_RUN.finditer(text):
        at += len(text[last : match.start()].encode("utf-8", errors="surrogateescape"))
        end = at + len(match[0].encode("utf-8"))
        spans.append((at, end))
        at, last = end, match.end()
    found, start, span = [], 0, 0
    for index in ids:
        end = start + len(surfaces[index])
        while span < len(spans) and spans[span][1] <= start:
            span += 1
        inside = span < len(spans) and spans[span][0] <= start and end <= spans[span][1]
        if not inside:
            found.append((start, index))
        start = end
    return found


def check_reachable(pair: Pair) -> list[Check]:
    """Every new entry comes out of its own text; no base entry that came out before is lost."""
    base, grown = pair.old.base, pair.new.base
    old_encode, new_encode = pair.old.bare_encode(), pair.new.bare_encode()
    old_texts = _probe_texts(base, range(base.size))
    before = alone(old_encode, old_texts)
    after = alone(new_encode, old_texts)
    lost = [{"id": i, "piece": base.pieces[i]} for i in sorted(before - after)]
    dead_before = len(old_texts) - len(before)
    new_texts = _probe_texts(grown, range(base.size, grown.size))
    reached = alone(new_encode, new_texts)
    dead = [
        {"id": i, "piece": text, "comes out as": new_encode([text])[0]}
        for i, text in new_texts.items()
        if i not in reached
    ]
    partial = grown.size - base.size - len(new_texts)
    note = f"{partial} new entries are the first bytes of characters" if partial else ""
    return [
        _check("every new entry reachable", len(new_texts), dead, note),
        _check("no base entry lost", len(before), lost, f"{dead_before} were dead before"),
    ]


def _probe_texts(base: Base, ids: Iterable[int]) -> dict[int, str]:
    """Id to text of every entry that is whole characters and can come from text at all."""
    special = set(base.special())
    surfaces = base.surfaces()
    skip: set[int] = set()
    if base.model is not None:
        types = (PieceType.NORMAL, PieceType.USER_DEFINED)
        skip = {i for i, piece in enumerate(base.model.pieces) if piece.type not in types}
    found: dict[int, str] = {}
    for index in ids:
        if index in skip or not surfaces[index] or base.pieces[index] in special:
            continue
        try:
            found[index] = surfaces[index].decode("utf-8")
        except UnicodeDecodeError:
            continue
    return found


def alone(encode: Encode, texts: dict[int, str]) -> set[int]:
    """The ids that their own text is encoded to."""
    encoded = encode(list(texts.values()))
    return {index for index, ids in zip(texts, encoded, strict=True) if ids == [index]}


def check_choices(pair: Pair) -> Check:
    """The answer letters of multiple choice stay single, distinct tokens after their prefixes."""
    broken: list[Any] = []
    for prefix in PREFIXES:
        texts = [prefix + letter for letter in LETTERS]
        old = [ids[-1] for ids in pair.old.encode(texts)]
        new = [ids[-1] for ids in pair.new.encode(texts)]
        single = len(set(new)) == len(LETTERS)
        if old != new or (len(set(old)) == len(LETTERS) and not single):
            broken.append({"prefix": prefix, "base": old, "grown": new})
    return _check("A, B, C, D stay single tokens", len(PREFIXES) * len(LETTERS), broken)


def check_agreement(loaded: Loaded, texts: list[str], folder: Path | None) -> Check:
    """sentencepiece, `tokenizers` and AutoTokenizer give the same ids."""
    grown = loaded.base
    engines: dict[str, Engine] = {"tokenizers": (loaded.encode, loaded.decode)}
    if grown.model is not None:
        engines = {"sentencepiece": agreement.spm_engine(dump_model(grown.model)), **engines}
    missing = ""
    if folder is not None:
        try:
            engines["AutoTokenizer"] = agreement.auto_engine(folder)
        except MissingDependency:
            missing = "; transformers is not installed"
    found = agreement.agreement(
        engines,
        texts,
        special=grown.special(),
        spaces_lost=grown.model is not None,
        round_trip=False,
    )
    left_out = {key: found[key] for key in ("with_special_token", "with_u2581") if found[key]}
    note = " = ".join(engines) + (f", left out: {left_out}" if left_out else "") + missing
    looked_at = found["equal"] + found["different"]
    return Check("libraries agree", looked_at, found["example"], found["different"], note)
