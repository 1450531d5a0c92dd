"""Examine a tokenizer, and repair a merged one: the work behind ``yanmo vocab doctor``."""

import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

from yanmo.files import sha256_file

from . import folder
from .checks_json import byte_findings, id_findings
from .checks_spm import spm_findings
from .checks_text import dead_findings, long_findings, text_findings
from .doctor_lines import CHINESE, ENGLISH
from .doctor_text import Engines, Tally, engines_of, read_text
from .findings import LEVELS, Finding, is_ill
from .load import guess_roles
from .patient import Patient, open_patient
from .probes import WRITTEN, random_texts
from .reach_bytes import ByteReach, byte_reach
from .reach_spm import Dead, dead_pieces
from .reach_words import other_dead, wordpiece_dead
from .repair import Repaired, repair
from .spm import dump_model
from .tsv import tsv

RANDOM_TEXTS: Final = 2000


@dataclass(frozen=True, kw_only=True)
class DoctorOptions:
    """How to examine.

    Attributes:
        libraries: ask transformers and tiktoken too, where they are installed.
        random_count: random texts beside the written ones.
        seed: their seed.
        mark_unused: in a repair, pieces that stay dead become UNUSED.
    """

    libraries: bool = True
    random_count: int = RANDOM_TEXTS
    seed: int = 0
    mark_unused: bool = False


@dataclass(frozen=True)
class Examination:
    """What was found.

    Attributes:
        patient: the tokenizer.
        findings: worst first.
        dead: every entry that can never be produced.
        tally: what text showed.
        libraries: who encoded it, the reference first.
        not_asked: who could not, and why.
    """

    patient: Patient
    findings: tuple[Finding, ...]
    dead: tuple[Dead, ...]
    tally: Tally
    libraries: tuple[str, ...]
    not_asked: Mapping[str, str]

    @property
    def healthy(self) -> bool:
        """Whether nothing is ill; warnings and notes may be there."""
        return not is_ill(self.findings)

    def report(self) -> dict[str, Any]:
        """What stands in ``report.json``."""
        patient = self.patient
        levels = Counter(finding.level for finding in self.findings)
        start = patient.base_size
        return {
            "healthy": self.healthy,
            "name": patient.name,
            "kind": patient.kind,
            "size": patient.size,
            "sha256": sha256_file(patient.file),
            "base_size": start,
            "base_from": patient.base_from,
            "levels": {level: levels[level] for level in LEVELS},
            "findings": [finding.table() for finding in self.findings],
            "dead": [asdict(entry) for entry in self.dead],
            "dead_added": sum(start is not None and d.id >= start for d in self.dead),
            "text": {
                "libraries": list(self.libraries),
                "not_asked": dict(self.not_asked),
                **text_report(self.tally, base=patient.base is not None),
            },
        }


def text_report(tally: Tally, *, base: bool) -> dict[str, Any]:
    """The part of the report that is about text."""
    return {
        "lines": tally.lines,
        "compared": tally.compared,
        "left_out": {"special_token": tally.with_special, "u2581": tally.with_u2581},
        "different": tally.different,
        "slices": {name: one.table(base=base) for name, one in tally.slices.items()},
    }


def examine(patient: Patient, lines: Iterable[str], options: DoctorOptions) -> Examination:
    """Look at a tokenizer from all sides.

    Args:
        patient: the opened tokenizer.
        lines: real lines; written and random ones are read in any case, but their cost is not.
        options: how.
    """
    dead, reach = find_dead(patient)
    with engines_of(patient, libraries=options.libraries) as engines:
        tally = _read(patient, engines, lines, options)
        findings = [
            *dead_findings(patient, dead),
            *(spm_findings(patient, patient.model, dead) if patient.model is not None else []),
            *id_findings(patient),
            *(byte_findings(patient, reach) if reach is not None else []),
            *text_findings(patient, engines, tally),
            *long_findings(patient),
        ]
    findings.sort(key=lambda finding: LEVELS.index(finding.level))
    asked = tuple(engines.encode)
    return Examination(patient, tuple(findings), tuple(dead), tally, asked, engines.failed)


def _read(
    patient: Patient, engines: Engines, lines: Iterable[str], options: DoctorOptions
) -> Tally:
    """The given lines; if there are none, built-in ones. Random texts count for agreement alone."""
    tally = read_text(patient, engines, _or_built_in(lines))
    probes = [*WRITTEN, *random_texts(options.random_count, options.seed)]
    seen = read_text(patient, engines, probes)
    for name, count in seen.different.items():
        tally.different[name] += count
        if name in seen.examples:
            tally.examples.setdefault(name, seen.examples[name])
    tally.lines += seen.lines
    tally.compared += seen.compared
    tally.with_special += seen.with_special
    tally.with_u2581 += seen.with_u2581
    return tally


def _or_built_in(lines: Iterable[str]) -> Iterator[str]:
    empty = True
    for line in lines:
        empty = False
        yield line
    if empty:
        yield from (*ENGLISH, *CHINESE)


def find_dead(patient: Patient) -> tuple[list[Dead], ByteReach | None]:
    """The entries of any tokenizer that can never be produced, in order of their ids."""
    if patient.model is not None:
        return dead_pieces(patient.model, patient.probe_ids()), None
    if patient.kind == "byte-bpe":
        reach = byte_reach(patient)
        return list(reach.dead), reach
    if patient.kind == "wordpiece":
        return wordpiece_dead(patient), None
    return other_dead(patient), None


def dead_table(dead: Sequence[Dead]) -> bytes:
    """Dead entries as TSV: id, token, reason, detail."""
    rows = ((entry.id, entry.piece, entry.reason, entry.detail) for entry in dead)
    return tsv(("id", "token", "reason", "detail"), rows)


def write_repaired(
    patient: Patient, before: Examination, lines: Iterable[str], out: Path, options: DoctorOptions
) -> dict[str, Any]:
    """Repair, examine what would be written, and write it with both reports.

    Args:
        patient: what to repair.
        before: its examination.
        lines: real lines, to be read again.
        out: tokenizer folder to write.
        options: how.

    Returns:
        The report of what was written; ``before`` holds the findings of what was there, ``repair``
        what was done.
    """
    folder.refuse_foreign(out, [patient.file.parent])
    done = repair(patient, mark_unused=options.mark_unused)
    with tempfile.TemporaryDirectory() as scratch:
        trial = Path(scratch) / out.resolve().name
        _write(trial, patient, done, {}, options)
        after = examine(reopened(trial, patient), lines, options).report()
    report = {
        **after,
        "before": {k: v for k, v in before.report().items() if k != "dead"},
        "repair": {
            "rescored": done.rescored,
            "retyped": [list(row) for row in done.retyped],
            "disabled": list(done.disabled),
            "still_dead": len(done.dead),
            "marked_unused": done.unused,
        },
        "warning": "The ids are the same, the cutting of text is not: a model that was trained "
        "with the old file has to be trained on before it is used with this one.",
    }
    _write(out, patient, done, report, options)
    return report


def reopened(out: Path, patient: Patient) -> Patient:
    """A written folder opened with the base of the patient."""
    return replace(
        open_patient(out),
        base=patient.base,
        base_size=patient.base_size,
        base_from=patient.base_from,
    )


def _provenance(patient: Patient, options: DoctorOptions) -> dict[str, Any]:
    start = patient.base_size
    return {
        "made_by": "vocab doctor",
        "options": {"mark_unused": options.mark_unused},
        "inputs": folder.input_identities([patient.file]),
        "base": {"name": patient.base_from, "size": start},
        "added_ids": [start if start is not None else patient.size, patient.size],
    }


def _write(
    out: Path, patient: Patient, done: Repaired, report: dict[str, Any], options: DoctorOptions
) -> None:
    model = done.vocabulary.model
    assert model is not None
    special = {token["content"] for token in done.vocabulary.document["added_tokens"]}
    roles = {**dict.fromkeys(("bos", "eos", "pad", "unk")), **guess_roles(special)}
    folder.write_tokenizer(
        out,
        document=done.vocabulary.document,
        config=folder.tokenizer_config(roles),
        provenance=_provenance(patient, options),
        report=report,
        extra={"tokenizer.model": dump_model(model), "dead.tsv": dead_table(done.dead)},
    )
