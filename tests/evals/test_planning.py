"""Shots that fit, shared prefixes, batches."""

from dataclasses import replace
from pathlib import Path

import pytest

from yanmo.errors import DataError
from yanmo.evals.exam import Exam, load_exam, load_task
from yanmo.evals.planning import Item, Planner, Settings
from yanmo.evals.prompts import load_dialect
from yanmo.vocab.load import Tokenizer, load_tokenizer

KEY = "middle_school_physics"


@pytest.fixture(scope="module")
def exam(demo: Path) -> Exam:
    return load_exam(load_task("ceval"), demo, splits=("dev", "val"))


@pytest.fixture(scope="module")
def tokenizer(spm_folder: Path) -> Tokenizer:
    return load_tokenizer(spm_folder)


def planner(exam: Exam, tokenizer: Tokenizer, room: int = 4096, **changes: object) -> Planner:
    settings = replace(Settings(), **changes)
    return Planner(exam, load_dialect("official"), settings, tokenizer, (1,), room)


def items_of(plan: Planner) -> list[Item]:
    return plan.items(KEY, plan.exam.questions("val")[KEY])


def text(tokenizer: Tokenizer, item: Item) -> str:
    return tokenizer.decode(item.slot.context)


def test_every_question_once_and_whole(exam: Exam, tokenizer: Tokenizer) -> None:
    plan = planner(exam, tokenizer, batch_tokens=300)
    seen = []
    for batch in plan.batches():
        longest = max(len(item.slot.context) for item in batch.items) - len(batch.prefix)
        assert longest >= 1
        assert len(batch.items) == 1 or longest * len(batch.items) <= 300
        for item in batch.items:
            assert item.slot.context[: len(batch.prefix)] == batch.prefix
            seen.append((item.question.subject, item.question.id))
    asked = [(q.subject, q.id) for rows in exam.questions("val").values() for q in rows]
    assert sorted(seen) == sorted(asked)
    assert list(plan.batches()) == list(planner(exam, tokenizer, batch_tokens=300).batches())


def test_the_prefix_is_all_that_a_subject_shares(exam: Exam, tokenizer: Tokenizer) -> None:
    plan = planner(exam, tokenizer, subjects=(KEY,), batch_tokens=100_000)
    batch = next(iter(plan.batches()))
    shots = plan.example().split("答案：")[:-2]
    assert len(shots) == 5
    assert tokenizer.decode(batch.prefix).count("答案：") == 5
    nexts = {item.slot.context[len(batch.prefix)] for item in batch.items}
    assert len(nexts) > 1  # one token more would not be shared


@pytest.mark.parametrize(
    ("drop", "kept"),
    [("first", [3, 4]), ("last", [0, 1]), ("longest", None)],
)
def test_whole_shots_are_dropped(
    drop: str, kept: list[int] | None, exam: Exam, tokenizer: Tokenizer
) -> None:
    shots = exam.splits["dev"][KEY]
    if kept is None:  # without the longest ones, in their old order
        size = [sum(map(len, (s.question, *s.options))) for s in shots]
        kept = sorted(sorted(range(5), key=lambda i: size[i])[:2])
    # Room for the two shots that stay, before a question of middling length.
    alone = sorted(len(i.slot.context) for i in items_of(planner(exam, tokenizer, shots=0)))
    dialect = load_dialect("official")
    limit = (
        alone[5]
        + 20
        + sum(
            len(
                tokenizer.encode(
                    dialect.ask(shots[i]) + dialect.worked(shots[i]) + dialect.shot_end
                )
            )
            for i in kept
        )
    )
    items = items_of(planner(exam, tokenizer, limit, too_long=drop))
    assert all(len(item.slot.context) <= limit and not item.cut for item in items)
    two = [item for item in items if item.shots == 2]
    assert two
    for item in two:
        shown = text(tokenizer, item)
        assert shown.startswith("以下是中国关于初中物理考试")
        places = [shown.find(shots[i].question) for i in kept]
        assert all(place >= 0 for place in places)
        assert places == sorted(places)
        assert sum(shot.question in shown for shot in shots) == 2


def test_uniform_shots(exam: Exam, tokenizer: Tokenizer) -> None:
    limit = min(len(item.slot.context) for item in items_of(planner(exam, tokenizer)))
    free = {item.shots for item in items_of(planner(exam, tokenizer, limit))}
    same = {item.shots for item in items_of(planner(exam, tokenizer, limit, uniform_shots=True))}
    assert len(free) > 1
    assert same == {min(free)}


def test_a_question_too_long_even_alone_is_cut_and_counted(
    exam: Exam, tokenizer: Tokenizer
) -> None:
    limit = 40
    items = items_of(planner(exam, tokenizer, limit))
    assert all(item.shots == 0 and len(item.slot.context) <= limit for item in items)
    cut = [item for item in items if item.cut]
    assert cut
    for item in cut:
        assert item.slot.context[0] == 1  # the BOS id stays
        assert text(tokenizer, item).endswith("答案：")
        assert len(item.slot.context) == limit


def test_left_cuts_tokens_as_lm_eval_does(exam: Exam, tokenizer: Tokenizer) -> None:
    full = items_of(planner(exam, tokenizer))
    for item, whole in zip(items_of(planner(exam, tokenizer, 100, too_long="left")), full,
                           strict=True):  # fmt: skip
        assert item.slot.context == whole.slot.context[-100:]
        assert item.shots == 5
        assert item.cut


def test_limits_are_of_questions(exam: Exam, tokenizer: Tokenizer) -> None:
    sizes = [len(rows) for rows in planner(exam, tokenizer, per_subject=2).chosen().values()]
    assert sizes == [2] * 6
    chosen = planner(exam, tokenizer, per_subject=4, limit=6).chosen()
    assert [len(rows) for rows in chosen.values()] == [4, 2]


def test_too_few_shots_in_the_data(exam: Exam, tokenizer: Tokenizer) -> None:
    with pytest.raises(DataError, match=r"has 5 shots in the split 'dev', not 6.*--shots 5"):
        items_of(planner(exam, tokenizer, shots=6))


def test_answer_forms(exam: Exam, tokenizer: Tokenizer) -> None:
    bare = items_of(planner(exam, tokenizer, answer_form="bare"))
    space = items_of(planner(exam, tokenizer, answer_form="space"))
    assert [i.slot for i in bare] == [i.slot for i in items_of(planner(exam, tokenizer))]
    assert bare[0].slot.context == space[0].slot.context
    assert bare[0].slot.tails != space[0].slot.tails
    assert bare[0].prompt != space[0].prompt
