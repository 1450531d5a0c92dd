"""``yanmo curate instruct clean``: mend and drop dialogues by rules, with evidence and ledgers.

First every dialogue by itself: what can be mended is mended, then it is judged, and all that is
found is kept, not only what decided. Then the survivors together: exam questions, duplicates.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import IO, Any, Final

from yanmo.errors import DataError
from yanmo.message_formats import detect, parse, write
from yanmo.message_records import CALLS, INPUT_AT, THOUGHTS, Record
from yanmo.messages import Message, read_objects
from yanmo.recipe import OFF

from .instruct_checks import CHECKS
from .instruct_exams import Leak, find_leaks
from .instruct_files import encoded
from .instruct_fixes import FIXES
from .instruct_ledger import Tally
from .instruct_personal import personal_data
from .instruct_recipe import CleanRecipe
from .instruct_sample import Hit, Sample, excerpt
from .instruct_twins import Asked, asked_of, find_twins

BATCH: Final = 512
SPOOL: Final = "survivors.jsonl"


@dataclass
class Case:
    """A dialogue on its way.

    Attributes:
        where: ``file#row``.
        name: its id.
        form: name of its format.
        raw: the JSON object, if it holds this dialogue alone.
        record: as read.
        sample: as mended so far.
        edited: whether anything was mended.
        reasons: findings that drop it, the deciding one first.
    """

    where: str
    name: str
    form: str
    raw: dict[str, Any] | None
    record: Record
    sample: Sample
    edited: bool = False
    reasons: list[dict[str, Any]] = field(default_factory=list)

    def table(self) -> dict[str, Any]:
        """The JSON object of what is left of it, in its own format."""
        if not self.edited and self.raw is not None:
            return self.raw
        messages, pair = self.sample.messages, self.record.pair
        if pair is not None:
            messages, pair = messages[:-1], (messages[-1].content, pair[1])
        record = Record(tuple(messages), self.sample.fields, pair)
        return write(record, self.form, where=self.where)


@dataclass
class Survivors:
    """What is remembered of dialogues that were not dropped by themselves.

    Attributes:
        names: where and id.
        texts: turns, joined by line ends.
        chars: code points of the turns.
        asked: what duplicates are told by.
        parts: questions, and the input of an Alpaca record.
    """

    names: list[tuple[str, str]] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    chars: list[int] = field(default_factory=list)
    asked: list[Asked] = field(default_factory=list)
    parts: list[list[str]] = field(default_factory=list)

    def add(self, case: Case, score: float) -> None:
        """One more."""
        messages = case.sample.messages
        self.names.append((case.where, case.name))
        self.texts.append("\n".join(m.content for m in messages))
        self.chars.append(case.sample.chars())
        self.asked.append(asked_of(messages, score))
        at, users = case.sample.fields.get(INPUT_AT), [t for _, t in case.sample.turns("user")]
        self.parts.append([*users, users[-1][at:]] if isinstance(at, int) and users else users)


@dataclass
class Cleaner:
    """Rules at work on files.

    Attributes:
        recipe: what they do.
        scores: columns of numbers by dialogue id.
        findings: gets one JSON line a finding.
        dropped: gets one JSON line a dropped dialogue.
        tally: counts.
    """

    recipe: CleanRecipe
    scores: Mapping[str, Mapping[str, Any]]
    findings: IO[bytes]
    dropped: IO[bytes]
    tally: Tally

    def run(self, files: Sequence[Path], folder: Path, limit: int | None = None) -> None:
        """Clean files into ``kept.jsonl`` of a folder.

        Raises:
            LedgerError: records, dialogues or characters went missing.
        """
        survivors = Survivors()
        with (folder / SPOOL).open("wb") as spool:
            for cases in _batches(self._cases(files, limit)):
                self._mend(cases)
                for case in cases:
                    self._judge(case)
                    if case.reasons and not self._shorten(case):
                        self._drop((case.where, case.name), case.reasons, case.table(),
                                   case.sample.chars())  # fmt: skip
                    else:
                        spool.write(encoded(case.table(), where=case.where) + b"\n")
                        survivors.add(case, self._score(case))
        verdicts = self._together(survivors)
        with (folder / SPOOL).open("rb") as spool, (folder / "kept.jsonl").open("wb") as kept:
            for number, line in enumerate(spool):
                text, chars = survivors.texts[number], survivors.chars[number]
                if reasons := verdicts.get(number):
                    self._drop(survivors.names[number], reasons, json.loads(line), chars)
                else:
                    kept.write(line)
                    self.tally.keep(text, chars)
        (folder / SPOOL).unlink()
        self.tally.check()

    def _cases(self, files: Sequence[Path], limit: int | None) -> Iterator[Case]:
        for where, raw in islice(self._objects(files), limit):
            try:
                form = detect(raw, where=where)
                records = parse(raw, where=where)
                cases = [self._case(where, form, raw, record, len(records)) for record in records]
            except DataError as error:
                self.tally.reject(where, str(error), raw)
                continue
            self.tally.records += 1
            for case in cases:
                self.tally.enter(case.sample.messages, form)
                for column in {self.recipe.score.column, self.recipe.twins.keep_by}:
                    self.tally.scored[column] += case.sample.score(column) is not None
                yield case

    def _objects(self, files: Sequence[Path]) -> Iterator[tuple[str, dict[str, Any]]]:
        for path in files:
            yield from read_objects(path, bad=lambda e, text: self.tally.reject("", str(e), text))

    def _case(self, where: str, form: str, raw: dict[str, Any], record: Record, many: int) -> Case:
        messages = list(record.messages)
        if record.pair is not None:
            messages.append(Message("assistant", record.pair[0]))
        encoded(raw, where=where)
        # A format that cannot hold its own record back would lose it after a fix.
        alone = raw if many == 1 else None
        name = record.name(where)
        scores = dict(self.scores.get(name, {}))
        sample = Sample(messages, dict(record.fields), self.recipe, scores)
        return Case(where, name, form, alone, replace(record, unread=()), sample)

    def _mend(self, cases: Sequence[Case]) -> None:
        for rule, find in FIXES.items():
            if self.recipe.action(rule) != OFF:
                for case in cases:
                    self._take(case, list(find(case.sample)))
        if self.recipe.action("personal_data") != OFF:
            found = personal_data([case.sample.messages for case in cases])
            for case, hits in zip(cases, found, strict=True):
                self._take(case, hits)

    def _judge(self, case: Case) -> None:
        for table, find in CHECKS.items():
            if self.recipe.action(table) != OFF:
                self._take(case, list(find(case.sample)))

    def _shorten(self, case: Case) -> bool:
        """Leave the exchanges before the first bad turn, where the recipe says so; if there are."""
        messages, fields = case.sample.messages, case.sample.fields
        bound = {INPUT_AT, CALLS, THOUGHTS} & set(fields)  # these number turns
        if self.recipe.turns.keep != "before" or case.record.pair is not None or bound:
            return False
        bad = min(case.reasons, key=lambda row: int(row["turn"]))
        start = max((n for n, _ in case.sample.turns("user") if n <= bad["turn"]), default=0)
        if not any(m.role == "assistant" for m in messages[:start]):
            return False
        lost = "\n".join(m.content for m in messages[start:])
        chars = len(lost) - (len(messages) - start - 1)
        hit = Hit("turns", start, 0, len(lost), f"{bad['rule']} in turn {bad['turn']}")
        self._note(finding(case.where, case.name, hit, lost, "cut"))
        self.tally.removed["turns"] += chars
        case.sample.messages, case.edited, case.reasons = messages[:start], True, []
        return True

    def _take(self, case: Case, hits: list[Hit]) -> None:
        """Apply, note or drop by what a rule found."""
        for turn in sorted({hit.turn for hit in hits}):
            mine = [hit for hit in hits if hit.turn == turn]
            action, text = self.recipe.action(mine[0].rule), case.sample.messages[turn].content
            done = case.sample.edit(turn, mine) if action == "fix" else []
            case.edited |= bool(done)
            self.tally.edited(done)
            for hit in mine:
                act = action if action != "fix" or hit in done else "report"
                row = finding(case.where, case.name, hit, text, act)
                self._note(row)
                if act == "drop":
                    case.reasons.append(row)

    def _note(self, row: dict[str, Any]) -> None:
        self.findings.write(json.dumps(row, ensure_ascii=False).encode() + b"\n")
        self.tally.found(row)

    def _drop(self, place: tuple[str, str], reasons: list[dict[str, Any]], record: dict[str, Any],
              chars: int) -> None:  # fmt: skip
        keys = ("rule", "turn", "start", "end", "note")
        told = [{key: row[key] for key in keys} for row in reasons]
        row = {"where": place[0], "id": place[1], "rule": told[0]["rule"], "reasons": told,
               "record": record}  # fmt: skip
        self.dropped.write(json.dumps(row, ensure_ascii=False).encode() + b"\n")
        self.tally.drop(told[0]["rule"], chars)

    def _score(self, case: Case) -> float:
        by = self.recipe.twins.keep_by
        if by == "first":
            return 0.0
        if by == "length":
            return float(sum(len(t) for _, t in case.sample.turns("assistant")))
        value = case.sample.score(by)
        return float("-inf") if value is None else value

    def _leaks(self, survivors: Survivors) -> list[tuple[int, Leak]]:
        exams = self.recipe.contaminated
        return list(find_leaks(survivors.texts, survivors.parts, exams).items())

    def _together(self, survivors: Survivors) -> dict[int, list[dict[str, Any]]]:
        """What the survivors are dropped for when they are seen together."""
        found: dict[int, Hit] = {}
        texts = survivors.texts
        if self.recipe.contaminated.action != OFF:
            for number, leak in self._leaks(survivors):
                note = f"{leak.question} ({leak.share:.2f})"
                found[number] = Hit("contaminated", 0, leak.start, leak.end, note)
        out = self.recipe.contaminated.action == "drop"
        left = [n for n in range(len(texts)) if not (out and n in found)]
        twins = find_twins([survivors.asked[n] for n in left], self.recipe.twins)
        for number, twin in ((left[place], twin) for place, twin in twins.items()):
            if number not in found:
                note = f"{twin.share:.2f} like {survivors.names[left[twin.kept]][0]}"
                found[number] = Hit(twin.rule, 0, 0, len(texts[number]), note)
        reasons: dict[int, list[dict[str, Any]]] = {}
        for number, hit in sorted(found.items()):
            action = self.recipe.action(hit.rule)
            row = finding(*survivors.names[number], hit, texts[number], action)
            self._note(row)
            if action == "drop":
                reasons[number] = [row]
        return reasons


def _batches(cases: Iterator[Case]) -> Iterator[list[Case]]:
    while some := list(islice(cases, BATCH)):
        yield some


def finding(where: str, name: str, hit: Hit, text: str, action: str) -> dict[str, Any]:
    """A hit as JSON, with what is around it; of a fix also what it becomes."""
    row = {"where": where, "id": name, "rule": hit.rule, "action": action, "turn": hit.turn,
           "start": hit.start, "end": hit.end, "note": hit.note,
           "text": excerpt(text, hit.start, hit.end)}  # fmt: skip
    if action == "fix":
        row["becomes"] = excerpt(text, hit.start, hit.end, hit.put)
    return row
