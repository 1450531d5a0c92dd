"""Tokenizers compared: every number against the libraries called plainly, and numpy."""

import json
import math
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from yanmo.errors import DataError, UsageError
from yanmo.stats import bootstrap_ratio, paired_ratio_bootstrap
from yanmo.vocab.char_coverage import (
    TABLES,
    coverage,
    encode_inside,
    read_words,
    table,
    words_kept,
)
from yanmo.vocab.compare import Comparison, compare, load_contenders
from yanmo.vocab.load import Tokenizer, load_tokenizer
from yanmo.vocab.ratio_intervals import draw_ratios, pool
from yanmo.vocab.slices import Sampling, Slices, distinct_labels, script_label
from yanmo.vocab.tally import encode_what_can_be
from yanmo.vocab.token_tables import count_han, renyi_efficiency, token_tables

DOCUMENTS = (
    "研墨先于落笔，磨得越细，写得越稳。\n",
    "People create features in 2016, again and again.",
    "  数据清洗 English 混排，龘靐。\tＡＢ",
    "",
    "今天是个好日子，我们一起去北京看长城！" * 3,
    "😀 naïve café ﬁ",
)
FILLED = [text for text in DOCUMENTS if text]


@pytest.fixture(scope="module")
def wordpiece(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A vocabulary of hanzi and letters that knows little: most of it is [UNK]."""
    signs = [*"今天是个好日子我们一起去北京看长城数据", *"abcdefghijklmnopqrstuvwxyz，。！"]
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *signs, "again", "##s", "in", "and"]
    path = tmp_path_factory.mktemp("wordpiece") / "vocab.txt"
    path.write_text("\n".join(dict.fromkeys(pieces)) + "\n", encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def text_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("text") / "mixed.jsonl"
    rows = [{"text": text, "source": "web" if k % 2 else "book", "lang": "zh" if k != 1 else "en"}
            for k, text in enumerate(DOCUMENTS)]  # fmt: skip
    lines = [json.dumps(row, ensure_ascii=False) for row in rows]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def compared(
    spm_file: Path, byte_folder: Path, wordpiece: Path, chinese_unigram: Path, text_file: Path
) -> Comparison:
    """Four kinds on one file."""
    specs = [f"spm={spm_file}", str(byte_folder), f"wp={wordpiece}", f"uni={chinese_unigram}"]
    return compare(specs, [text_file], Sampling())


def plain_ids(name: str, path: Path, text: str) -> tuple[list[int], str]:
    """Ids and the text they decode to, by the library alone."""
    import sentencepiece
    import tokenizers

    if name in ("spm", "uni"):
        processor = sentencepiece.SentencePieceProcessor(model_file=str(path))
        ids = processor.encode(text)
        return ids, processor.decode(ids)
    if name == "wp":
        words = path.read_text(encoding="utf-8").split()
        fast = tokenizers.BertWordPieceTokenizer(
            {word: k for k, word in enumerate(words)}, lowercase=True
        )
        ids = fast.encode(text, add_special_tokens=False).ids
        return ids, fast.decode(ids, skip_special_tokens=True)
    plain = tokenizers.Tokenizer.from_file(str(path / "tokenizer.json"))
    ids = plain.encode(text, add_special_tokens=False).ids
    return ids, plain.decode(ids)


@pytest.fixture(scope="module")
def oracle(
    compared: Comparison, spm_file: Path, byte_folder: Path, wordpiece: Path, chinese_unigram: Path
) -> dict[str, list[tuple[list[int], str]]]:
    paths = (spm_file, byte_folder, wordpiece, chinese_unigram)
    return {
        c.label: [plain_ids(c.label, path, text) for text in FILLED]
        for c, path in zip(compared.contenders, paths, strict=True)
    }


def measured(compared: Comparison, label: str) -> dict[str, Any]:
    found: dict[str, Any] = compared.result["slices"][0]["tokenizers"][label]
    return found


def labels(compared: Comparison) -> list[str]:
    return [c.label for c in compared.contenders]


def test_tokens_characters_and_bytes(
    compared: Comparison, oracle: dict[str, list[tuple[list[int], str]]]
) -> None:
    chars, size = sum(map(len, FILLED)), sum(len(t.encode()) for t in FILLED)
    part = compared.result["slices"][0]
    assert (part["documents"], part["chars"], part["bytes"]) == (5, chars, size)
    assert part["population"] == {"documents": 5, "empty": 1, "chars": chars, "bytes": size}
    for label in labels(compared):
        tokens = sum(len(ids) for ids, _ in oracle[label])
        found = measured(compared, label)
        assert found["tokens"] == tokens
        assert found["tokens_per_char"]["value"] == pytest.approx(tokens / chars)
        assert found["chars_per_token"] == pytest.approx(chars / tokens)
        assert found["bytes_per_token"] == pytest.approx(size / tokens)


def test_round_trip_and_the_characters_it_loses(
    compared: Comparison, oracle: dict[str, list[tuple[list[int], str]]]
) -> None:
    for label in labels(compared):
        lost: Counter[str] = Counter()
        added: Counter[str] = Counter()
        for text, (_, back) in zip(FILLED, oracle[label], strict=True):
            lost += Counter(text) - Counter(back)
            added += Counter(back) - Counter(text)
        found = measured(compared, label)
        exact = sum(a == b for a, (_, b) in zip(FILLED, oracle[label], strict=True))
        assert found["exact_documents"] == exact
        assert (found["lost_chars"], found["added_chars"]) == (lost.total(), added.total())
        assert dict(found["lost_characters"]).items() <= lost.items()
    assert measured(compared, "spm")["exact_share"] == 1.0
    assert measured(compared, "wp")["exact_share"] == 0.0
    assert measured(compared, "wp")["lost_chars"] > 0


def test_unknown_tokens_and_the_text_behind_them(compared: Comparison, wordpiece: Path) -> None:
    import tokenizers

    words = wordpiece.read_text(encoding="utf-8").split()
    fast = tokenizers.BertWordPieceTokenizer({w: k for k, w in enumerate(words)}, lowercase=True)
    behind: Counter[str] = Counter()
    count = 0
    for text in FILLED:
        encoding = fast.encode(text, add_special_tokens=False)
        for token, (start, end) in zip(encoding.tokens, encoding.offsets, strict=True):
            if token == "[UNK]":
                count += 1
                behind.update(text[start:end])
    found = measured(compared, "wp")
    assert found["unk_tokens"] == count > 0
    assert found["unk_chars"] == behind.total() > count
    assert dict(found["unk_characters"]).items() <= behind.items()
    han = sum(n for c, n in behind.items() if count_han(c))
    assert found["han"]["unknown"] == han > 0


def test_unknown_of_sentencepiece(chinese_unigram: Path, tmp_path: Path) -> None:
    """Neighbouring unknown characters are one token: characters are counted, not tokens."""
    (tmp_path / "x.txt").write_text("数据龘靐齉，北京☃。", encoding="utf-8")
    result = compare([str(chinese_unigram)], [tmp_path / "x.txt"], Sampling()).result
    found = result["all"]["tokenizers"]["chinese_sp"]
    assert dict(found["unk_characters"]) == {"龘": 1, "靐": 1, "齉": 1, "☃": 1}
    assert found["unk_tokens"] == 2
    assert found["han"]["unknown"] == 3


def test_byte_tokens(
    compared: Comparison, oracle: dict[str, list[tuple[list[int], str]]], spm_file: Path,
    byte_folder: Path,
) -> None:  # fmt: skip
    import sentencepiece
    import tokenizers

    processor = sentencepiece.SentencePieceProcessor(model_file=str(spm_file))
    ids = [i for found, _ in oracle["spm"] for i in found]
    found = measured(compared, "spm")
    assert found["byte_tokens"] == sum(map(processor.is_byte, ids)) > 0
    ascii_ones = [i for i in ids if processor.is_byte(i) and int(processor.id_to_piece(i)[3:5], 16) < 128]  # fmt: skip  # noqa: E501
    assert found["byte_tokens_ascii"] == len(ascii_ones)
    fast = tokenizers.Tokenizer.from_file(str(byte_folder / "tokenizer.json"))
    label = labels(compared)[1]
    ids = [i for one, _ in oracle[label] for i in one]
    # A token whose bytes are no text of their own is shown with the replacement character.
    broken = sum("\ufffd" in fast.decode([i]) for i in ids)
    assert measured(compared, label)["byte_tokens"] == broken > 0
    assert measured(compared, label)["byte_share"] == pytest.approx(broken / len(ids))


def test_han_characters_that_are_cut(
    compared: Comparison, oracle: dict[str, list[tuple[list[int], str]]]
) -> None:
    """Each Han character of the text lies in one token, in several, or behind an unknown one."""
    total = sum(map(count_han, FILLED))
    for label, contender in zip(labels(compared), compared.contenders, strict=True):
        decode = contender.tokenizer.decode
        whole, lengths = 0, Counter[int]()
        for ids, _ in oracle[label]:
            for index in ids:
                if index == contender.tokenizer.unk_id:
                    continue
                surface = decode([index]).strip()
                whole += count_han(surface)
                if surface and count_han(surface) == len(surface):
                    lengths[min(5, len(surface))] += 1
        han = measured(compared, label)["han"]
        assert han["chars"] == total
        assert han["whole"] == whole
        assert han["split"] == total - whole - han["unknown"]
        shares = {k: n / lengths.total() for k, n in lengths.items()}
        assert [han["by_length"][k] for k in ("1", "2", "3", "4", "5+")] == pytest.approx(
            [shares.get(k, 0.0) for k in range(1, 6)]
        )
    assert measured(compared, "spm")["han"]["split"] > 0
    assert measured(compared, "uni")["han"]["unknown"] > 0


def published_efficiency(words: list[int], power: float, size: int | None = None) -> float:
    """As tokenization-scorer computes it: base-2 logarithms, over the types seen."""
    frequencies = np.array(list(Counter(words).values()), dtype=np.float64)
    shares = frequencies / frequencies.sum()
    entropy = np.log2((shares**power).sum()) / (1 - power)
    return float(entropy / np.log2(size or len(frequencies)))


def test_renyi_efficiency_and_vocabulary_used(
    compared: Comparison, oracle: dict[str, list[tuple[list[int], str]]]
) -> None:
    for label, contender in zip(labels(compared), compared.contenders, strict=True):
        ids = [i for one, _ in oracle[label] for i in one]
        size = contender.tokenizer.vocab_size
        found = measured(compared, label)
        assert found["renyi_efficiency"] == pytest.approx(published_efficiency(ids, 2.5))
        assert found["renyi_efficiency_of_size"] == pytest.approx(
            published_efficiency(ids, 2.5, size)
        )
        assert found["used"] == len(set(ids))
        assert found["used_share"] == pytest.approx(len(set(ids)) / size)


def test_renyi_of_known_distributions() -> None:
    assert renyi_efficiency(np.array([5, 5, 0, 5, 5])) == pytest.approx(1.0)
    assert renyi_efficiency(np.array([5, 5, 5, 5]), 16) == pytest.approx(0.5)
    # 3/4 and 1/4 at order 2: -log2(9/16 + 1/16) of one bit at most.
    assert renyi_efficiency(np.array([3, 1]), alpha=2.0) == pytest.approx(math.log2(1.6))
    assert math.isnan(renyi_efficiency(np.array([7, 0])))


def test_the_same_for_every_kind_of_input(
    compared: Comparison, text_file: Path, spm_file: Path, tmp_path: Path
) -> None:
    import gzip

    import zstandard

    data = text_file.read_bytes()
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(data))
    (tmp_path / "b.jsonl.zst").write_bytes(zstandard.compress(data))
    run = tmp_path / "run" / "documents"
    run.mkdir(parents=True)
    pq.write_table(pa.table({"text": list(DOCUMENTS)}), run / "part-00000.parquet")
    inputs = [tmp_path / "a.jsonl.gz", tmp_path / "b.jsonl.zst", tmp_path / "run"]
    found = compare([f"spm={spm_file}"], inputs, Sampling()).result
    assert [s["slice"] for s in found["slices"]] == ["a", "b", "run"]
    expected = measured(compared, "spm")
    for part in found["slices"]:
        assert part["tokenizers"]["spm"]["tokens"] == expected["tokens"]
        assert part["population"]["empty"] == 1


def test_slices_by_field_sum_to_all(spm_file: Path, text_file: Path, tmp_path: Path) -> None:
    table = pa.table({"text": ["北京", None], "source": [None, "web"]})
    pq.write_table(table, tmp_path / "more.parquet")
    result = compare([str(spm_file)], [text_file, tmp_path / "more.parquet"],
                     Sampling(by="source")).result  # fmt: skip
    parts = {s["slice"]: s for s in result["slices"]}
    assert {k: p["documents"] for k, p in parts.items()} == {"book": 3, "web": 2, "(none)": 1}
    assert result["all"]["documents"] == 6
    (name,) = result["all"]["tokenizers"]
    for key in ("tokens", "byte_tokens", "exact_documents"):
        assert result["all"]["tokenizers"][name][key] == sum(
            p["tokenizers"][name][key] for p in parts.values()
        )


def test_slices_by_script() -> None:
    assert script_label("数据清洗，很重要") == "han"
    assert script_label("the data 数据") == "mixed"
    assert script_label("plain English") == "no han"
    assert script_label("  \n") == "no han"


@given(st.lists(st.integers(1, 60), min_size=1, max_size=40), st.integers(1, 500))
def test_a_smaller_sample_is_part_of_a_larger_one(sizes: list[int], limit: int) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.jsonl"
        texts = [f"{k:03d}" + "x" * size for k, size in enumerate(sizes)]
        path.write_text("\n".join(json.dumps({"text": t}) for t in texts), encoding="utf-8")

        def taken(bytes_: int, seed: int = 3) -> list[str]:
            slices = Slices([path], Sampling(limit_bytes=bytes_, seed=seed))
            return [d.text for _, part in slices.batches() for d in part]

        small, large = taken(limit), taken(2 * limit)
        assert set(small) <= set(large)
        assert small == sorted(small)  # reading order
        total = sum(map(len, texts))
        assert sum(map(len, small)) >= min(limit, total)
        assert sum(map(len, small)) - max(map(len, small)) < limit
        assert taken(limit) == small
        path.write_text("\n".join(json.dumps({"text": t}) for t in reversed(texts)))
        assert sorted(taken(limit)) == small


def test_documents_limit_and_seed(text_file: Path) -> None:
    def taken(seed: int) -> list[str]:
        slices = Slices([text_file], Sampling(documents=2, seed=seed))
        return [d.text for _, part in slices.batches() for d in part]

    found = {seed: taken(seed) for seed in range(8)}
    assert all(len(texts) == 2 for texts in found.values())
    assert len({tuple(texts) for texts in found.values()}) > 1
    assert taken(5) == found[5]


def test_intervals_agree_with_the_plain_bootstrap() -> None:
    rng = np.random.default_rng(1)
    chars = rng.integers(50, 900, 150)
    first = (chars * rng.uniform(0.5, 0.9, 150)).astype(np.int64)
    second = (first * rng.uniform(0.7, 0.9, 150)).astype(np.int64)
    draws = draw_ratios([first, second], chars, seed=4)
    for index, tokens in enumerate((first, second)):
        plain = bootstrap_ratio(tokens, chars, seed=9)
        found = draws.estimate(index)
        assert found.value == pytest.approx(plain.value)
        assert found.low == pytest.approx(plain.low, abs=0.05 * (plain.high - plain.low))
        assert found.high == pytest.approx(plain.high, abs=0.05 * (plain.high - plain.low))
    paired = paired_ratio_bootstrap(first, second, chars, seed=9)
    gap = draws.difference(0, 1)
    width = paired.high - paired.low
    assert gap["difference"] == pytest.approx(paired.difference)
    assert gap["low"] == pytest.approx(paired.low, abs=0.06 * width)
    assert gap["high"] == pytest.approx(paired.high, abs=0.06 * width)
    # Paired is what makes it narrow: each alone varies more than their difference.
    assert width < plain.high - plain.low


def test_the_interval_covers_the_truth() -> None:
    """Of 200 samples from one distribution, about 95 % of the intervals hold its ratio."""
    rng = np.random.default_rng(2)
    hits = 0
    for _ in range(200):
        chars = rng.integers(100, 1000, 60)
        tokens = (chars * rng.normal(0.6, 0.1, 60)).round().astype(np.int64)
        found = draw_ratios([tokens], chars, seed=int(rng.integers(1 << 30)), rounds=500)
        hits += found.estimate(0).low <= 0.6 <= found.estimate(0).high
    assert 0.88 <= hits / 200 <= 0.99


def test_pooled_draws_resample_within_slices() -> None:
    """Two slices that differ, without spread inside: the pool does not vary."""
    even = [draw_ratios([np.full(20, n)], np.full(20, 10), seed=(0, n)) for n in (5, 9)]
    joint = pool(even, [200, 200])
    found = joint.estimate(0)
    assert (found.value, found.low, found.high) == pytest.approx((0.7, 0.7, 0.7))


def test_slices_are_drawn_independently(spm_file: Path, tmp_path: Path) -> None:
    """Two slices alike: pooled, the interval is narrower by the root of two."""
    rows = [json.dumps({"text": ("数据" if k % 3 else "ink ") * (k + 3)}) for k in range(40)]
    for name in ("a", "b"):
        (tmp_path / f"{name}.jsonl").write_text("\n".join(rows))
    inputs = [tmp_path / "a.jsonl", tmp_path / "b.jsonl"]
    found = compare([f"x={spm_file}"], inputs, Sampling()).result
    widths = [
        part["tokenizers"]["x"]["tokens_per_char"]["high"]
        - part["tokenizers"]["x"]["tokens_per_char"]["low"]
        for part in (found["slices"][0], found["all"])
    ]
    assert widths[1] / widths[0] == pytest.approx(0.5**0.5, abs=0.07)


def test_one_document_has_no_interval(spm_file: Path, tmp_path: Path) -> None:
    (tmp_path / "one.txt").write_text("北京" * 20, encoding="utf-8")
    found = compare([f"a={spm_file}", f"b={spm_file}"], [tmp_path / "one.txt"], Sampling()).result
    for part in (*found["slices"], found["all"]):
        assert part["tokenizers"]["a"]["tokens_per_char"]["low"] is None
        assert part["differences"]["b"]["relative_low"] is None
        assert part["tokenizers"]["b"]["same_ids_documents"] == 1


def test_coverage_counts_each_character_alone(spm_file: Path, wordpiece: Path) -> None:
    import sentencepiece

    processor = sentencepiece.SentencePieceProcessor(model_file=str(spm_file))
    found = coverage(load_tokenizer(spm_file))
    for name in TABLES:
        # Single characters are the leaves of byte-pair encoding: in the vocabulary means reached.
        one = sum(processor.piece_to_id(c) != processor.unk_id() for c in table(name))
        assert found[name] == {"one": one, "several": len(table(name)) - one, "unk": 0,
                               "of": len(table(name))}  # fmt: skip
    assert found["gb2312-1"]["one"] > 50
    known = set(wordpiece.read_text(encoding="utf-8").split())
    found = coverage(load_tokenizer(wordpiece))
    for name in TABLES:
        one = sum(c in known for c in table(name))
        assert found[name] == {"one": one, "several": 0, "unk": found[name]["of"] - one,
                               "of": len(table(name))}  # fmt: skip


def test_tables_have_the_sizes_of_the_standards() -> None:
    # Big5 level 2 has 7652; two of them the codec knows as compatibility forms.
    sizes = {name: len(table(name)) for name in TABLES}
    assert sizes == {"gb2312-1": 3755, "gb2312-2": 3008, "tgh8105": 8105, "big5-1": 5401,
                     "big5-2": 7650}  # fmt: skip
    assert not set(table("gb2312-1")) & set(table("gb2312-2"))
    assert all(c.encode("big5") >= b"\xc9\x40" for c in table("big5-2"))
    assert all(c.encode("gb2312") >= b"\xd8\xa1" for c in table("gb2312-2"))


def test_context_of_a_unigram_with_a_normaliser(chinese_unigram: Path) -> None:
    """nmt_nfkc eats the line end before a character and would put its own space there."""
    tokenizer = load_tokenizer(chinese_unigram)
    (ids,) = encode_inside(tokenizer, ["数"])
    assert ids is not None
    assert [tokenizer.id_to_piece(int(i)) for i in ids] == ["数"]


def test_words(spm_file: Path, tmp_path: Path) -> None:
    (tmp_path / "words.txt").write_text(
        "# list\n数据\t7\n模型 2\n龘靐\nagain\n\n", encoding="utf-8"
    )
    words = read_words(tmp_path / "words.txt")
    assert words.words == ("数据", "模型", "龘靐", "again")
    assert words.weights == (7.0, 2.0, 1.0, 1.0)
    tokenizer = load_tokenizer(spm_file)
    found = words_kept(tokenizer, words)
    pieces = {tokenizer.id_to_piece(k) for k in range(tokenizer.vocab_size)}
    kept = [w in pieces or f"▁{w}" in pieces for w in words.words]
    assert 0 < sum(kept) < 4
    assert found["one"] == sum(kept) / 4
    weights = np.array(words.weights)
    assert found["weighted_one"] == pytest.approx(weights[kept].sum() / weights.sum())
    assert found["characters"] >= 0.25  # 龘靐 goes to bytes


def test_equal_names_get_labels_of_their_own(spm_file: Path, tmp_path: Path) -> None:
    import shutil

    for side in ("old", "new"):
        (tmp_path / side / "zh").mkdir(parents=True)
        shutil.copy(spm_file, tmp_path / side / "zh" / "tokenizer.model")
    paths = [str(tmp_path / side / "zh") for side in ("old", "new")]
    assert [c.label for c in load_contenders(paths)] == ["old/zh", "new/zh"]
    same = [paths[0], paths[1], paths[0]]
    assert [c.label for c in load_contenders(same)] == ["old/zh", "new/zh", "old/zh (2)"]
    assert [c.label for c in load_contenders(same[::2])] == ["zh", "zh (2)"]
    with pytest.raises(UsageError, match="a label stands twice, got 'x'"):
        load_contenders([f"x={paths[0]}", f"x={paths[1]}"])
    assert distinct_labels(["a", "b"], [Path("/x/a"), Path("/y/b")]) == ["a", "b"]


def lacking(tmp_path: Path) -> Path:
    """A word-level vocabulary without an unknown token: some texts cannot be encoded."""
    import tokenizers
    from tokenizers import models, pre_tokenizers

    fast = tokenizers.Tokenizer(models.WordLevel({"good": 0, "text": 1}, unk_token="<none>"))
    fast.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    (tmp_path / "lacking").mkdir()
    fast.save(str(tmp_path / "lacking" / "tokenizer.json"))
    return tmp_path / "lacking"


def test_what_one_cannot_encode_is_left_out_for_all(spm_file: Path, tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    rows = ["good text", "bad words here", "text good text"]
    path.write_text("\n".join(json.dumps({"text": t}) for t in rows), encoding="utf-8")
    result = compare([f"spm={spm_file}", str(lacking(tmp_path))], [path], Sampling()).result
    part = result["slices"][0]
    assert part["documents"] == 2
    assert part["tokenizers"]["lacking"]["tokens"] == 5
    (failed,) = part["failed"]
    assert failed["where"] == f"{path}, document 2"
    assert failed["tokenizer"] == "lacking"
    assert "unk" in failed["error"].lower()
    path.write_text(json.dumps({"text": "bad"}), encoding="utf-8")
    with pytest.raises(DataError, match="lacking cannot encode any document"):
        compare([str(tmp_path / "lacking")], [path], Sampling())


def test_an_interrupt_is_not_taken_for_a_failure(spm_file: Path) -> None:
    class Interrupted:
        def encode_batch(self, texts: list[str]) -> Any:
            raise KeyboardInterrupt

    import dataclasses

    tokenizer: Tokenizer = dataclasses.replace(
        load_tokenizer(spm_file),
        engine=Interrupted(),  # type: ignore[arg-type]
    )
    with pytest.raises(KeyboardInterrupt):
        encode_what_can_be(tokenizer, ["x"])


def test_wrong_inputs_say_what_to_do(spm_file: Path, text_file: Path, tmp_path: Path) -> None:
    spec = [str(spm_file)]
    with pytest.raises(UsageError, match=r"nowhere.jsonl: no such file or folder.*--text takes"):
        compare(spec, [tmp_path / "nowhere.jsonl"], Sampling())
    with pytest.raises(UsageError, match=r"no such tokenizer"):
        compare([str(tmp_path / "no")], [text_file], Sampling())
    with pytest.raises(UsageError, match=r"no document has a field 'sorce'. Did you mean 'source'"):
        compare(spec, [text_file], Sampling(by="sorce"))
    (tmp_path / "empty.jsonl").write_text('{"text": ""}\n{"text": ""}\n')
    with pytest.raises(DataError, match=r"no text in the inputs, got '2 empty documents'"):
        compare(spec, [tmp_path / "empty.jsonl"], Sampling())
    (tmp_path / "bad.jsonl").write_text('{"text": "好"}\n{"body": "x"}\n', encoding="utf-8")
    for by in ("file", "source"):
        with pytest.raises(DataError, match=r"bad.jsonl:2: no text in field 'text'"):
            compare(spec, [tmp_path / "bad.jsonl"], Sampling(by=by))
    rows = "\n".join(json.dumps({"text": "x", "k": k}) for k in range(70))
    (tmp_path / "many.jsonl").write_text(rows)
    with pytest.raises(UsageError, match="more than 64 slices"):
        compare(spec, [tmp_path / "many.jsonl"], Sampling(by="k"))


def test_a_cut_file_is_an_error(spm_file: Path, text_file: Path, tmp_path: Path) -> None:
    import gzip

    data = gzip.compress(text_file.read_bytes() * 50)
    (tmp_path / "cut.jsonl.gz").write_bytes(data[: len(data) - 20])
    for by in ("file", "source"):
        with pytest.raises(DataError, match=r"cut\.jsonl\.gz: cannot read on"):
            compare([str(spm_file)], [tmp_path / "cut.jsonl.gz"], Sampling(by=by))


@given(st.text(max_size=30))
def test_count_han_is_the_sum_of_its_characters(text: str) -> None:
    from yanmo.vocab.charsets import is_han

    plain = sum(is_han(c) or 0xF900 <= ord(c) <= 0xFAFF or 0x2F800 <= ord(c) <= 0x2FA1F
                for c in text)  # fmt: skip
    assert count_han(text) == plain


def test_an_unknown_token_is_no_text(tmp_path: Path) -> None:
    """Even where it is spelt with a Han character: what it stands for is lost, not whole."""
    import tokenizers
    from tokenizers import models, pre_tokenizers

    fast = tokenizers.Tokenizer(models.WordLevel({"缺": 0, "好": 1}, unk_token="缺"))
    fast.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    fast.save(str(tmp_path / "tokenizer.json"))
    tables = token_tables(load_tokenizer(tmp_path))
    assert tables.whole_han.tolist() == tables.han_length.tolist() == [0, 1]


def test_tables_by_id(byte_folder: Path) -> None:
    tokenizer = load_tokenizer(byte_folder)
    tables = token_tables(tokenizer)
    for index in range(tokenizer.vocab_size):
        shown = tokenizer.decode([index])
        whole = "\ufffd" not in shown
        assert bool(tables.partial[index]) is not whole
        if whole:
            assert tables.whole_han[index] == count_han(shown)


@pytest.mark.realdata
def test_real_tokenizers_have_the_published_coverage(real_tokenizers: Path) -> None:
    """GB 2312 level 1, both levels, Big5 level 1, as counted from the vocabularies themselves."""
    counted = {"llama": (607, 610, 539), "chinese-llama-2": (3751, 6464, 4912),
               "bert-base-chinese": (3735, 5291, 4798), "chinese-llama": (3745, 5609, 4342),
               "llama3": (1766, 1785, 1667), "qwen": (3753, 6641, 4009)}  # fmt: skip
    for name, expected in counted.items():
        one = {t: n["one"] for t, n in coverage(load_tokenizer(real_tokenizers / name)).items()}
        found = (one["gb2312-1"], one["gb2312-1"] + one["gb2312-2"], one["big5-1"])
        assert found == expected, name


@pytest.mark.realdata
def test_real_texts_and_tokenizers_against_the_libraries(realdata: Path) -> None:
    """LLaMA by sentencepiece, Qwen2.5 by tokenizers, on the same sample of real documents."""
    import sentencepiece
    import tokenizers

    folder = realdata / "tokenizers"
    inputs = [realdata / "text" / f"{n}.jsonl.zst" for n in ("zh-humor-dialog", "en-bbc")]
    sampling = Sampling(limit_bytes=60_000, seed=2)
    found = compare([str(folder / "llama"), str(folder / "qwen2.5")], inputs, sampling)
    texts: dict[str, list[str]] = {}
    for label, documents in Slices(inputs, sampling).batches():
        texts.setdefault(label, []).extend(d.text for d in documents)
    llama = sentencepiece.SentencePieceProcessor(model_file=str(folder / "llama/tokenizer.model"))
    qwen = tokenizers.Tokenizer.from_file(str(folder / "qwen2.5" / "tokenizer.json"))
    for part in found.result["slices"]:
        documents = texts[part["slice"]]
        ids = {
            "llama": [i for text in documents for i in llama.encode(text)],
            "qwen2.5": [i for text in documents for i in qwen.encode(text).ids],
        }
        for label, expected in ids.items():
            measured = part["tokenizers"][label]
            assert measured["tokens"] == len(expected)
            assert measured["used"] == len(set(expected))
            assert measured["exact_documents"] == len(documents)
            assert measured["renyi_efficiency"] == pytest.approx(
                published_efficiency(expected, 2.5)
            )
        raw = sum(map(llama.is_byte, ids["llama"]))
        assert part["tokenizers"]["llama"]["byte_tokens"] == raw
        broken = sum("\ufffd" in qwen.decode([i]) for i in ids["qwen2.5"])
        assert part["tokenizers"]["qwen2.5"]["byte_tokens"] == broken
    zh, en = found.result["slices"]
    # As elsewhere measured on Chinese prose: LLaMA 1.2 to 1.7 tokens a character, half raw bytes.
    assert 1.2 < zh["tokenizers"]["llama"]["tokens_per_char"]["value"] < 1.7
    assert 0.4 < zh["tokenizers"]["llama"]["byte_share"] < 0.62
    assert en["tokenizers"]["llama"]["tokens_per_char"]["value"] < 0.3
