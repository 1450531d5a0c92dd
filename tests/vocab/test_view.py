"""`yanmo vocab view`: offsets, merge trees and differences against the libraries themselves."""

import json
import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import sentencepiece
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.command import command
from yanmo.vocab.derivations import Derivation, Lattice, Merges
from yanmo.vocab.differences import changes, commonest, cuts, outside_han
from yanmo.vocab.entries import Entries
from yanmo.vocab.load import FastEngine, Tokenizer, load_tokenizer
from yanmo.vocab.spans import clusters, spans_of
from yanmo.vocab.spm import Piece, dump_model, parse_model, without_dummy_prefix
from yanmo.vocab.view import asset, build, closure, page_data, row_starts, script_json
from yanmo.vocab.view_page import spell, view_page, visible
from yanmo.vocab.view_words import WORDS

HOSTILE = (
    "</script><img src=x onerror=alert(1)>\n\u202eabc\u202c \u0301x 👩\u200d👧 \0\x07\x85 𠮷"
    "\U00020000 مرحبا\r\n\ufeff\u2028龘&amp;<!--"
)
TEXTS = st.text(
    alphabet=st.one_of(
        st.sampled_from("研墨数据质量龘 abcAB12\n\t，。é\u0301👩\u200d\0<&"),
        st.characters(exclude_categories=("Cs",)),
    ),
    min_size=1,
    max_size=40,
)
RELAXED = settings(
    deadline=None, max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest.fixture(scope="module")
def wordpiece(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lower-casing WordPiece vocabulary."""
    path = tmp_path_factory.mktemp("wordpiece") / "vocab.txt"
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"研墨数据abc", "##c", "abc"]
    path.write_text("\n".join(words) + "\n", encoding="utf-8")
    return path


def leaves(entries: Entries, piece: str) -> list[str]:
    """The ends of a merge tree; every merge on the way is checked against the merges themselves."""
    index = entries.index_of(piece)
    made_of = entries[index].made_of if index is not None else None
    if not isinstance(made_of, Derivation):
        return [piece]
    assert isinstance(entries.rules, Merges)
    assert made_of.left + made_of.right == piece
    assert entries.rules.rank(made_of.left, made_of.right) == made_of.rank
    return leaves(entries, made_of.left) + leaves(entries, made_of.right)


def steps(entries: Entries, piece: str) -> Iterator[tuple[float, float]]:
    """(rank of a part, rank of what it goes into) all over a merge tree."""
    index = entries.index_of(piece)
    made_of = entries[index].made_of if index is not None else None
    if isinstance(made_of, Derivation):
        for part in (made_of.left, made_of.right):
            inner = entries.index_of(part)
            below = entries[inner].made_of if inner is not None else None
            if isinstance(below, Derivation):
                yield below.rank, made_of.rank
            yield from steps(entries, part)


def check_trees(tokenizer: Tokenizer, indices: list[int], *, ordered: bool = True) -> int:
    """Compare the trees of entries with what the library makes of their own text."""
    entries, trees = Entries(tokenizer), 0
    encode = model_encoder(tokenizer)
    for index in indices:
        entry = entries[index]
        if entry.type not in ("normal", "part of a character") or len(entry.piece) < 2:
            continue
        found = encode(entry.piece)
        assert (found == [index]) == isinstance(entry.made_of, Derivation), entry
        if isinstance(entry.made_of, Derivation):
            trees += 1
            ends = leaves(entries, entry.piece)
            assert "".join(ends) == entry.piece
            assert all(len(end) == 1 for end in ends)
            if ordered:
                assert all(part < whole for part, whole in steps(entries, entry.piece))
        elif entry.made_of is not None:
            assert [entries.index_of(part) for part in entry.made_of] == found
    return trees


def model_encoder(tokenizer: Tokenizer) -> Any:
    """The library's own encoder of a piece, without what comes before the model."""
    if isinstance(tokenizer.engine, FastEngine):
        model = tokenizer.engine.fast.model
        return lambda piece: [token.id for token in model.tokenize(piece)]
    bare = without_dummy_prefix(parse_model(tokenizer.path.read_bytes()))
    processor = sentencepiece.SentencePieceProcessor(model_proto=dump_model(bare))
    return lambda piece: processor.encode(piece.replace("\u2581", " "))


def test_trees_are_those_of_the_library(spm_file: Path, byte_folder: Path) -> None:
    for path in (spm_file, byte_folder):
        tokenizer = load_tokenizer(path)
        assert check_trees(tokenizer, list(range(tokenizer.vocab_size))) > 50


def test_an_entry_that_cannot_come_out_has_no_tree(english_spm: Path, tmp_path: Path) -> None:
    """A word put behind a vocabulary without its parts, by score 0: the published recipe."""
    model = parse_model(english_spm.read_bytes())
    pieces = tuple(Piece(piece, 0.0) for piece in [*"数据质量", "数据质量", "的一"])
    path = tmp_path / "tokenizer.model"
    path.write_bytes(dump_model(model.with_pieces(model.pieces + pieces)))
    tokenizer = load_tokenizer(path)
    index = tokenizer.piece_to_id("数据质量")
    assert index is not None
    assert Entries(tokenizer)[index].made_of == list("数据质量")
    check_trees(tokenizer, list(range(tokenizer.vocab_size)), ordered=False)


def test_a_unigram_piece_beats_what_else_spells_it(chinese_unigram: Path) -> None:
    tokenizer = load_tokenizer(chinese_unigram)
    processor = sentencepiece.SentencePieceProcessor(model_file=str(chinese_unigram))
    entries = Entries(tokenizer)
    assert isinstance(entries.rules, Lattice)
    seen = 0
    for index in range(tokenizer.vocab_size):
        entry = entries[index]
        if entry.instead is None or entry.type != "normal" or entry.score is None:
            continue
        seen += 1
        parts, score = entry.instead
        assert "".join(parts) == entry.piece
        assert score == pytest.approx(sum(entries.rules.scores[part] for part in parts))
        alone = processor.encode(entry.piece.replace("\u2581", " ").strip(), out_type=str)
        if entry.piece.startswith("\u2581") and len(alone) == 1 and alone[0] == entry.piece:
            assert entry.score >= score
    assert seen > 20


@RELAXED
@given(text=TEXTS)
def test_offsets_give_the_bytes_back(byte_folder: Path, text: str) -> None:
    """Byte-level: tokens joined are the text, and a group of tokens is its characters."""
    tokenizer = load_tokenizer(byte_folder)
    spans, entries = spans_of(tokenizer, text), Entries(tokenizer)
    assert b"".join(entries[s.index].surface for s in spans) == text.encode()
    for group in clusters(spans):
        start, end = spans[group[0]].start, max(spans[k].end for k in group)
        made = b"".join(entries[spans[k].index].surface for k in group)
        assert made.decode() == text[start:end]


@RELAXED
@given(text=TEXTS.filter(lambda t: "\u2581" not in t))
def test_offsets_of_sentencepiece_and_of_its_twin(spm_twins: tuple[Path, Path], text: str) -> None:
    """A model and the tokenizer.json made from it agree to the character."""
    found = []
    for path in spm_twins:
        tokenizer = load_tokenizer(path)
        spans, entries = spans_of(tokenizer, text), Entries(tokenizer)
        found.append([(entries[s.index].piece, s.start, s.end) for s in spans])
        assert [s.index for s in spans] == tokenizer.encode(text).tolist()
        for first, second in pairwise(spans):
            assert first.start <= second.start
        for group in clusters(spans):
            start, end = spans[group[0]].start, max(spans[k].end for k in group)
            made = b"".join(entries[spans[k].index].surface for k in group).decode()
            assert made in (text[start:end], " " + text[start:end])
    assert found[0] == found[1]


@pytest.fixture(scope="module")
def spm_twins(english_spm: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A SentencePiece model with byte fallback, and its tokenizer.json."""
    from yanmo.vocab.spm_json import spm_document

    path = tmp_path_factory.mktemp("twin") / "tokenizer.json"
    model = parse_model(english_spm.read_bytes())
    path.write_text(json.dumps(spm_document(model), ensure_ascii=False), encoding="utf-8")
    return english_spm, path


def test_bytes_of_a_character_stand_together(english_spm: Path) -> None:
    tokenizer = load_tokenizer(english_spm)
    spans = spans_of(tokenizer, "a龘b")
    (group,) = [group for group in clusters(spans) if len(group) > 1]
    assert [tokenizer.id_to_piece(spans[k].index) for k in group] == ["<0xE9>", "<0xBE>", "<0x98>"]
    assert {(spans[k].start, spans[k].end) for k in group} == {(1, 2)}


def test_lost_and_changed_characters(wordpiece: Path) -> None:
    (panel,) = build([load_tokenizer(wordpiece)], "ABC 龘 研\0墨 abB")
    assert [(panel.text[s.start : s.end], panel.entries[s.index].piece) for s in panel.spans] == [
        ("ABC", "abc"), ("龘", "[UNK]"), ("研", "研"), ("墨", "墨"), ("abB", "[UNK]"),
    ]  # fmt: skip
    numbers = panel.numbers()
    assert (numbers["unknown"], numbers["lost_chars"]) == (2, 4)
    assert panel.changed == [0]
    assert numbers["not_in_a_token"] == 1  # the NUL, which BERT's clean_text drops


def test_differences_are_where_the_tokens_differ(english_spm: Path, tmp_path: Path) -> None:
    corpus = tmp_path / "corpus.txt"
    corpus.write_text("数据质量决定模型质量，数据。\n" * 30, encoding="utf-8")
    done = command("vocab", "extend", english_spm, corpus, "--add", "8", "--shrink", "--set",
                   "min_documents=1", "--out", tmp_path / "grown")  # fmt: skip
    assert done.code == 0, done.err
    text = "Before 数据质量 after，create(people)。\n模型 2016\n"
    base, grown = build([load_tokenizer(english_spm), load_tokenizer(tmp_path / "grown")],
                        text, base=0)  # fmt: skip
    assert grown.found
    assert grown.outside is not None
    assert grown.outside.identical == grown.outside.spans == 3
    assert grown.only_here
    known = {base.tokenizer.id_to_piece(k) for k in range(base.tokenizer.vocab_size)}
    assert {grown.entries[k].piece for k in grown.only_here}.isdisjoint(known)
    assert base.only_here == frozenset()
    in_changes = {k for change in grown.found for k in change.new}
    kept = [cut for k, cut in enumerate(grown.cuts) if k not in in_changes]
    assert set(kept) <= set(base.cuts)
    saved = sum(len(c.old) - len(c.new) for c in grown.found)
    assert saved == len(base.spans) - len(grown.spans) > 0
    evidence = [grown.entries[k].evidence for k in grown.only_here]
    assert any(e.get("documents") == "1" for e in evidence)


@RELAXED
@given(text=TEXTS, data=st.data())
def test_changes_cover_exactly_what_differs(text: str, data: st.DataObject) -> None:
    """Random segmentations: outside the changes the tokens are equal, inside they are not."""
    sides = []
    for _ in range(2):
        ends = sorted(data.draw(st.sets(st.integers(1, len(text)))) | {len(text)})
        sides.append([(a, b, text[a:b].encode()) for a, b in pairwise([0, *ends])])
    found = changes(*sides, len(text))
    assert sum(len(c.old) - len(c.new) for c in found) == len(sides[0]) - len(sides[1])
    for side, name in ((sides[0], "old"), (sides[1], "new")):
        inside = {k for change in found for k in getattr(change, name)}
        rest = [cut for k, cut in enumerate(side) if k not in inside]
        assert all(cut in sides[0] and cut in sides[1] for cut in rest)
    assert all([sides[0][k] for k in c.old] != [sides[1][k] for k in c.new] for c in found)
    assert (found == []) == (sides[0] == sides[1])


def test_outside_han_tells_three_fates_apart() -> None:
    text = "ab 中文，cd 中 ef"
    old = [(0, 1, b"a"), (1, 3, b"b "), (3, 5, b"x"), (5, 6, b","), (6, 9, b"cd "), (9, 10, b"y"),
           (10, 13, b" ef")]  # fmt: skip
    new = [(0, 3, b"ab "), (3, 5, b"x"), (5, 6, b","), (6, 9, b"cd "), (9, 13, b"y ef")]
    outside = outside_han(text, changes(old, new, len(text)))
    assert (outside.spans, outside.identical, outside.joined) == (3, 1, 1)
    assert [(c.start, c.end) for c in outside.changed] == [(0, 3)]


def test_equal_changes_are_counted_together() -> None:
    text = "ababab"
    old = [(k, k + 1, text[k].encode()) for k in range(6)]
    new = [(k, k + 2, b"ab") for k in (0, 2, 4)]
    surfaces = [[cut[2] for cut in side] for side in (old, new)]
    rows = commonest(text, changes(old, new, 6), *surfaces)
    assert rows == [("ab", (b"a", b"b"), (b"ab",), 3)]
    assert cuts([], []) == []


@RELAXED
@given(data=st.recursive(st.text(), st.lists, max_leaves=20))
def test_no_text_ends_the_script(data: Any) -> None:
    made = script_json([data, HOSTILE])
    assert json.loads(made) == [data, HOSTILE]
    assert not set(made) & set("<>&\u2028\u2029\u202e\u200f\ufeff\x7f\x85")


@RELAXED
@given(text=st.text(min_size=1, max_size=3000))
def test_rows_cover_the_text(text: str) -> None:
    starts = row_starts(text)
    assert starts[0] == 0
    assert all(0 < b - a <= 4 * 120 or "\n" in text[a:b] for a, b in pairwise(starts))
    assert len(text) - starts[-1] <= 4 * 120


def test_the_page_holds_every_node_of_its_trees(byte_folder: Path) -> None:
    (panel,) = build([load_tokenizer(byte_folder)], "数据 people 龘")
    data = page_data([panel], None, WORDS)["panels"][0]
    for index in closure(panel):
        for part in data["entries"][str(index)][5:7]:
            assert part is None or isinstance(part, str) or str(part) in data["entries"]


def test_the_script_says_nothing_without_chinese() -> None:
    script = asset("view.js") + asset("view_details.js")
    said = re.findall(r'say\((?:[^"()]* \? )?"([^"]+)"', script)
    said += re.findall(r'\? "([^"]+: ?)"\s*: "([^"]+)"', script)[0]
    said += re.findall(r'fact\(list, "([^"]+)"', script)
    assert len(said) > 20
    assert [text for text in said if text not in WORDS] == []


def test_page_is_self_contained_and_repeatable(byte_folder: Path, wordpiece: Path) -> None:
    panels = build([load_tokenizer(byte_folder), load_tokenizer(wordpiece)], HOSTILE, base=0)
    html = view_page(panels, base=0)
    assert html == view_page(build([p.tokenizer for p in panels], HOSTILE, base=0), base=0)
    assert re.findall(r"(?:src|href)=[\"'](?!#)", html) == []
    assert "http" not in html
    assert "onerror=alert(1)>" not in html
    assert "\0" not in html


def test_signs_for_what_cannot_be_seen() -> None:
    assert visible("a \n\u202e\0") == "a·⏎[U+202E][U+0000]"
    assert visible("\u0301x") == "\u25cc\u0301x"
    assert spell("龘a".encode()[1:]) == "[BE][98]a"


@pytest.mark.realdata
@pytest.mark.parametrize(
    ("name", "ordered"),
    [("llama", True), ("chinese-llama-2", False), ("qwen2.5", True), ("gpt2", True),
     ("llama3", False), ("minimind", True)],
)  # fmt: skip
def test_trees_of_real_tokenizers(real_tokenizers: Path, name: str, ordered: bool) -> None:
    """Every fortieth entry; scores of 0 tie, so the published merge has no order of parts."""
    tokenizer = load_tokenizer(real_tokenizers / name)
    entries = Entries(tokenizer)
    indices = list(range(0, tokenizer.vocab_size, 40))
    if entries.ignores_merges:  # a word that is an entry is taken whole: no oracle for its merges
        indices = [k for k in indices if isinstance(entries[k].made_of, Derivation)]
    assert check_trees(tokenizer, indices, ordered=ordered) > 100
