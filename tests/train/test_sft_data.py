"""Every dialogue is accounted for, and batches are a pure function of what was read."""

from pathlib import Path

import numpy as np
import pytest
import torch

from yanmo.errors import DataError
from yanmo.messages import Message
from yanmo.train.loss import IGNORED
from yanmo.train.sft_data import Corpus
from yanmo.train.sft_feed import DialogueFeed
from yanmo.train.sft_recipe import Dialogues
from yanmo.vocab.load import load_tokenizer

from .tiny_chats import corpus_of, some_dialogues, turns, write_model


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("chat") / "model")


def feed_of(corpus: Corpus, model: Path, *, seed: int | None = 0, **data: object) -> DialogueFeed:
    settings = Dialogues(**({"max_tokens": 192} | data))  # type: ignore[arg-type]
    return DialogueFeed(corpus, settings, seed=seed, pad_id=0, tokenizer=model)


def test_every_dialogue_is_accounted_for(model: Path, tmp_path: Path) -> None:
    dialogues = [
        turns("a", "b"),
        turns("a", "b" * 300),  # too long
        turns("a", "b <|im_end|> c"),
        turns("a <|endoftext|>", "b"),
        turns("a"),
        turns("a", "b", "and more?"),  # what follows the last answer goes
    ]
    found = corpus_of(model, dialogues, tmp_path)
    account = found.account
    assert (account.read, account.kept, account.too_long) == (6, 2, 1)
    assert account.refused == {"no answer": 1, "special token in the text": 2}
    assert account.read == account.kept + account.too_long + sum(account.refused.values())
    assert found.ids == ["d0", "d5"]
    assert found.origins == ["dialogues.jsonl#0", "dialogues.jsonl#5"]
    assert [(q["id"], q["reason"]) for q in found.quarantine] == [
        ("d2", "special token in the text"), ("d3", "special token in the text"),
        ("d4", "no answer"),
    ]  # fmt: skip
    assert "<|im_end|>" in found.quarantine[0]["error"]
    one, two = (found.tokens[b:e].tolist() for b, e in zip(found.begins, found.ends, strict=True))
    assert one == two


def test_the_oldest_turns_are_cut_and_the_system_message_stays(model: Path, tmp_path: Path) -> None:
    long = turns("a" * 40, "b" * 40, "cc", "dd", "ee", "ff", system="Be.")
    hopeless = turns("a", "b" * 300)
    found = corpus_of(model, [long, hopeless], tmp_path, max_tokens=80, too_long="cut")
    assert (found.account.kept, found.account.cut, found.account.too_long) == (1, 1, 1)
    wanted = corpus_of(model, [turns("cc", "dd", "ee", "ff", system="Be.")], tmp_path)
    assert found.tokens.tolist() == wanted.tokens.tolist()
    assert found.labels.tolist() == wanted.labels.tolist()
    dropped = corpus_of(model, [long, hopeless], tmp_path, max_tokens=80)
    assert (dropped.account.kept, dropped.account.too_long) == (0, 2)


def test_tools_and_their_question_are_cut_together(model: Path, tmp_path: Path) -> None:
    called = (Message("user", "a" * 30), Message("assistant", "call"), Message("tool", "12"),
              Message("assistant", "b" * 9), *turns("x", "y"))  # fmt: skip
    found = corpus_of(model, [called], tmp_path, max_tokens=80, too_long="cut")
    assert found.tokens.tolist() == corpus_of(model, [turns("x", "y")], tmp_path).tokens.tolist()


def test_labels_are_the_next_tokens_of_answers(model: Path, tmp_path: Path) -> None:
    found = corpus_of(model, [turns("a", "b", "c", "d")], tmp_path)
    tokenizer = load_tokenizer(model)
    kept = found.labels != IGNORED
    assert tokenizer.decode(found.labels[kept], skip_special=False) == "b<|im_end|>d<|im_end|>"
    following = np.append(found.tokens[1:], found.labels[-1])
    assert (found.labels[kept] == following[kept]).all()
    assert found.end_id == tokenizer.eos_id == 2
    assert found.trained.tolist() == [4]
    assert found.text_bytes.tolist() == [2]


@pytest.mark.parametrize("packing", [True, False])
def test_an_epoch_reads_every_dialogue_once(model: Path, tmp_path: Path, packing: bool) -> None:
    found = corpus_of(model, some_dialogues(50, seed=3), tmp_path)
    feed = feed_of(found, model, packing=packing)
    assert feed.sequences < len(found) if packing else feed.sequences == len(found)
    for epoch in range(2):
        first = epoch * feed.sequences
        batch = feed.batch(range(first, first + feed.sequences))
        positions = batch.positions[batch.positions >= 0]
        assert sorted(positions.tolist()) == list(range(len(found.tokens)))
        assert batch.targets == feed.targets == found.trained.sum()
        assert batch.read == len(found.tokens)
    orders = [feed.batch(range(e * feed.sequences, (e + 1) * feed.sequences)) for e in (0, 1)]
    assert not np.array_equal(orders[0].positions, orders[1].positions)


def test_rows_do_not_depend_on_their_company(model: Path, tmp_path: Path) -> None:
    found = corpus_of(model, some_dialogues(50, seed=3), tmp_path)
    one, two = feed_of(found, model), feed_of(found, model)
    whole = one.batch(range(6))
    for row in range(6):
        alone = two.batch([row])
        width = alone.tokens.shape[1]
        assert torch.equal(whole.labels[row, :width], alone.labels[0])
        assert torch.equal(whole.tokens[row, :width], alone.tokens[0])
        assert (whole.labels[row, width:] == IGNORED).all()
        assert (
            whole.documents.lengths[row][: len(alone.documents.lengths[0])]
            == (alone.documents.lengths[0])
        )
    other = feed_of(found, model, seed=1).batch(range(6))
    assert not np.array_equal(other.positions, whole.positions)


def test_padding_is_what_batches_hold_of_it(model: Path, tmp_path: Path) -> None:
    found = corpus_of(model, some_dialogues(10, seed=3), tmp_path)
    for packing in (True, False):
        feed = feed_of(found, model, packing=packing, batch_sequences=3)
        rows = range(feed.sequences)
        batches = [feed.batch(rows[at : at + 3]) for at in range(0, len(rows), 3)]
        room = sum(batch.tokens.numel() for batch in batches)
        assert feed.padding == pytest.approx(1 - len(found.tokens) / room)


def test_the_identity_is_that_of_what_is_trained(model: Path, tmp_path: Path) -> None:
    some = some_dialogues(5, seed=3)
    base = corpus_of(model, some, tmp_path).identity
    assert corpus_of(model, some, tmp_path).identity == base
    assert corpus_of(model, some[::-1], tmp_path).identity != base
    assert corpus_of(model, [*some, turns("a")], tmp_path).identity == base  # it is left out


def test_a_place_is_a_dialogue(model: Path, tmp_path: Path) -> None:
    found = corpus_of(model, some_dialogues(5, seed=3), tmp_path)
    feed = feed_of(found, model)
    assert feed.place(0).id == "d0"
    last = feed.place(len(found.tokens) - 1)
    assert (last.id, last.origin, last.source) == ("d4", "dialogues.jsonl#4", "dialogues.jsonl")
    assert feed.document_of(np.array([-1, 0])).tolist() == [-1, 0]


def test_nothing_left_is_an_error_of_the_feed(model: Path, tmp_path: Path) -> None:
    found = corpus_of(model, [turns("a")], tmp_path)
    assert len(found) == 0
    with pytest.raises(DataError, match="no token"):
        feed_of(found, model)
