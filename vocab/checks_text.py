"""What text shows: libraries that disagree, old lines that are cut anew, entries to be read."""

from collections.abc import Iterator, Sequence
from typing import Final

from .checks_spm import lost_pieces
from .doctor_text import AS_LLAMA, Engines, Tally
from .findings import Finding, some
from .long_tokens import long_tokens
from .patient import Patient
from .reach_spm import Dead

_AS_WRITTEN: Final = "`--out FOLDER` writes a folder on which they agree."


def text_findings(patient: Patient, engines: Engines, tally: Tally) -> list[Finding]:
    """Agreement of the libraries, and what changed for old text."""
    return [*_agreement(engines, tally), *_changed(patient, tally)]


def _agreement(engines: Engines, tally: Tally) -> Iterator[Finding]:
    reference = next(iter(engines.encode))
    for name, count in tally.different.items():
        if count:
            yield Finding(
                f"{reference} and {name} disagree",
                "warning" if name == AS_LLAMA else "ill",
                count,
                tally.compared,
                "Lines that the two give different ids."
                + (" That class is what the models' own configuration names." * (name == AS_LLAMA)),
                (tally.examples[name],),
                _AS_WRITTEN if reference == "sentencepiece" else "",
            )
    for name, why in engines.failed.items():
        if why != "not installed":
            yield Finding(
                f"{name} did not read it", "note", 1, None,
                f"{why}.", fix="`yanmo vocab export` writes a folder that it reads.",
            )  # fmt: skip


def _changed(patient: Patient, tally: Tally) -> Iterator[Finding]:
    if patient.base is None:
        return
    english = tally.slices["english"]
    if english.changed:
        yield Finding(
            "English lines changed",
            "ill" if english.changed * 100 > english.lines else "warning",
            english.changed,
            english.lines,
            f"Lines without a hanzi that the base ({patient.base_from}) encodes in another way: to "
            "a trained model they are a new spelling.",
            (english.example,),
        )


def dead_findings(patient: Patient, dead: Sequence[Dead]) -> Iterator[Finding]:
    """Entries that can never be produced: added ones are a fault, those of the base a waste."""
    start = patient.base_size
    added = [entry for entry in dead if start is not None and entry.id >= start]
    lost = {entry.id for entry in lost_pieces(patient, dead)}
    old = [d for d in dead if (start is None or d.id < start) and d.id not in lost]
    if added and start is not None:
        yield Finding(
            "added entries that are dead",
            "ill",
            len(added),
            patient.size - start,
            f"No text brings them out ({_reasons(added)}); their rows are never trained.",
            some({"id": d.id, "piece": d.piece, "why": d.detail} for d in added),
            "`--mark-unused` disables them, `yanmo vocab prune` takes them out, and `yanmo vocab "
            "merge` adds the parts that they lack.",
        )
    if old:
        yield Finding(
            "entries that are dead",
            "warning",
            len(old),
            patient.size if start is None else start,
            f"No text brings them out ({_reasons(old)}).",
            some({"id": d.id, "piece": d.piece, "why": d.detail} for d in old),
        )


def _reasons(dead: Sequence[Dead]) -> str:
    counts: dict[str, int] = {}
    for entry in dead:
        counts[entry.reason] = counts.get(entry.reason, 0) + 1
    return ", ".join(f"{name} {count}" for name, count in sorted(counts.items()))


def long_findings(patient: Patient) -> Iterator[Finding]:
    """Long entries, those that look like spam first."""
    surfaces = patient.surfaces()
    start = patient.base_size or 0
    found = long_tokens(surfaces, [i for i in patient.probe_ids() if i >= start])
    for name, ids, level in (
        ("long entries like advertising", found.spam, "warning"),
        ("long entries like boilerplate", found.boilerplate, "warning"),
        ("long entries that repeat", found.repeated, "note"),
        ("long entries", found.long, "note"),
    ):
        if ids:
            yield Finding(
                name, level, len(ids), patient.size - start,
                "Five hanzi or sixteen other characters and more.",
                some({"id": i, "token": surfaces[i].decode("utf-8", "replace")} for i in ids),
            )  # fmt: skip
