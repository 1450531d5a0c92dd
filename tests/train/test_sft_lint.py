"""Each rule of the linter fires, and is silent where there is nothing wrong."""

import dataclasses
import json
import shutil
from pathlib import Path

import pytest

from yanmo.errors import DataError
from yanmo.train.loss import IGNORED
from yanmo.train.sft_feed import DialogueFeed
from yanmo.train.sft_lint import Finding, lint, refuse, wrong_labels
from yanmo.train.sft_recipe import Dialogues
from yanmo.vocab.chat import CHATML
from yanmo.vocab.load import load_tokenizer

from .test_sft_mask import FORGETFUL
from .tiny_chats import corpus_of, some_dialogues, turns, write_model

ENDED = "every answer ends"
PREFIX = "prefix-safe"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("chat") / "model")


@pytest.fixture
def with_template(model: Path, tmp_path: Path):  # type: ignore[no-untyped-def]
    """The model with another template."""

    def make(template: str) -> Path:
        folder = tmp_path / "other"
        shutil.copytree(model, folder)
        (folder / "chat_template.jinja").write_text(template)
        return folder

    return make


def lint_of(model: Path, dialogues: list, folder: Path, **data: object) -> dict[str, Finding]:  # type: ignore[type-arg]
    corpus = corpus_of(model, dialogues, folder, **data)
    tokenizer = load_tokenizer(model)
    feed = None
    if len(corpus):
        settings = Dialogues(**({"max_tokens": 192} | data))  # type: ignore[arg-type]
        feed = DialogueFeed(corpus, settings, seed=0, pad_id=0, tokenizer=model)
    return {finding.rule: finding for finding in lint(corpus, feed, tokenizer, model)}


def about(found: dict[str, Finding], words: str) -> Finding:
    (finding,) = (f for rule, f in found.items() if words in rule)
    return finding


def test_good_dialogues_have_no_finding(model: Path, tmp_path: Path) -> None:
    found = lint_of(model, some_dialogues(30, seed=1), tmp_path)
    assert {f.state for f in found.values()} == {"ok"}
    refuse(list(found.values()))


def test_no_trained_token(model: Path, tmp_path: Path) -> None:
    found = lint_of(model, [turns("a"), turns("a", "b" * 300)], tmp_path)
    wrong = about(found, "some token is trained")
    assert wrong.state == "error"
    assert "of 2 dialogues 0 are left: 1 are too long" in wrong.about
    with pytest.raises(DataError, match="lint: broken rule: some token is trained"):
        refuse(list(found.values()))


def test_an_answer_without_its_end(with_template, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    """Only where the second answer has none."""
    endless = CHATML.replace(
        "+ '<|im_end|>'", "+ ('' if loop.index == 4 else '<|im_end|>')"
    )  # fmt: skip
    model = with_template(endless)
    assert about(lint_of(model, [turns("a", "b")], tmp_path), ENDED).state == "ok"
    wrong = about(lint_of(model, [turns("a", "b"), turns("a", "b", "c", "d")], tmp_path), ENDED)
    assert (wrong.state, wrong.count) == ("error", 1)
    assert "first in d1" in wrong.about


def test_two_bos(with_template, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    """The template writes one, and a layer above it another."""
    model = with_template("{{ bos_token }}" + CHATML)
    wrong = about(lint_of(model, some_dialogues(3, seed=1), tmp_path), "two BOS")
    assert (wrong.state, wrong.count) == ("error", 3)


def test_a_template_that_forgets(with_template, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    model = with_template(FORGETFUL)
    assert about(lint_of(model, [turns("a", "b")], tmp_path), PREFIX).state == "ok"
    wrong = about(lint_of(model, [turns("a", "b"), turns("a", "b", "c", "d")], tmp_path), PREFIX)
    assert (wrong.state, wrong.count) == ("error", 1)
    assert "dialogues.jsonl#1 (d1)" in wrong.about


def test_padding_that_is_trained_or_takes_an_end_with_it(model: Path, tmp_path: Path) -> None:
    """The padding is EOS here, as in many models: masked by its place, nothing goes wrong."""
    corpus = corpus_of(model, some_dialogues(9, seed=1), tmp_path)
    feed = DialogueFeed(corpus, Dialogues(max_tokens=192), seed=0, pad_id=2, tokenizer=model)
    batch = feed.batch(range(feed.sequences))
    padding = batch.labels.new_tensor(batch.positions.reshape(batch.labels.shape)) < 0
    assert padding.any()
    assert wrong_labels(batch, corpus) == 0
    trained = dataclasses.replace(batch, labels=batch.labels.masked_fill(padding, 2))
    assert wrong_labels(trained, corpus) == int(padding.sum())
    # What masking "everything that is the padding token" does to a model: it never stops.
    by_id = batch.labels.masked_fill(batch.labels == feed.pad_id, IGNORED)
    masked = dataclasses.replace(batch, labels=by_id)
    assert wrong_labels(masked, corpus) == sum(corpus.end_ids.values())


def test_bad_padding_is_an_error(model: Path, tmp_path: Path) -> None:
    corpus = corpus_of(model, some_dialogues(9, seed=1), tmp_path)
    feed = DialogueFeed(corpus, Dialogues(max_tokens=192), seed=0, pad_id=2, tokenizer=model)
    tokenizer = load_tokenizer(model)
    same = about({f.rule: f for f in lint(corpus, feed, tokenizer, model)}, "padding")
    assert same.state == "ok"
    assert "masked by its place" in same.about
    good = feed.batch
    feed.batch = lambda rows: dataclasses.replace(  # type: ignore[method-assign]
        good(rows), labels=good(rows).labels.masked_fill(good(rows).labels == 2, IGNORED)
    )
    assert about({f.rule: f for f in lint(corpus, feed, tokenizer, model)}, "padding").state == (
        "error"
    )


def test_generation_that_would_not_stop(model: Path, tmp_path: Path) -> None:
    folder = tmp_path / "other"
    shutil.copytree(model, folder)
    for name, key in (("tokenizer_config.json", "eos_token"), ("config.json", "eos_token_id")):
        table = json.loads((folder / name).read_text())
        table[key] = {"eos_token": "<|endoftext|>", "eos_token_id": 0}[key]
        (folder / name).write_text(json.dumps(table))
    wrong = about(lint_of(folder, [turns("a", "b")], tmp_path), "generation stops")
    assert wrong.state == "warning"
    assert "<|im_end|>" in wrong.about
    (folder / "generation_config.json").write_text('{"eos_token_id": [0, 2]}')
    assert about(lint_of(folder, [turns("a", "b")], tmp_path), "generation stops").state == "ok"


def test_shares_are_pointed_out(model: Path, tmp_path: Path) -> None:
    short, long = turns("a", "b"), turns("a" * 90, "b", "c", "d" * 90)
    few = lint_of(model, [short] * 99 + [long], tmp_path)
    assert about(few, "fit data.max_tokens").state == "ok"
    assert about(few, "fit data.max_tokens").count == 1
    many = lint_of(model, [short] * 9 + [long], tmp_path)
    assert about(many, "fit data.max_tokens").state == "warning"
    assert "10.0 % of 10" in about(many, "fit data.max_tokens").about
    cut = lint_of(model, [short] * 9 + [long], tmp_path, too_long="cut")
    assert about(cut, "oldest turns").state == "warning"
    refused = lint_of(model, [short, turns("a", "<|im_start|>")], tmp_path)
    assert about(refused, "special token").state == "warning"
    assert "special token in the text 1" in about(refused, "special token").about
    merged = lint_of(model, [short, turns("a", "\nb")], tmp_path)
    assert about(merged, "end of a prompt").state == "warning"
