"""Tokenizers compared: every number against the libraries called plainly, and numpy."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.vocab.mixed_texts import DOCUMENTS, FILLED
from yanmo.errors import DataError
from yanmo.vocab.compare import Comparison, compare
from yanmo.vocab.compare_report import render_html, render_text
from yanmo.vocab.load import Tokenizer, load_tokenizer
from yanmo.vocab.slices import Sampling, Slices
from yanmo.vocab.tally import encode_what_can_be
from yanmo.vocab.token_tables import count_han


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


def test_one_document_has_no_interval(spm_file: Path, tmp_path: Path) -> None:
    (tmp_path / "one.txt").write_text("北京" * 20, encoding="utf-8")
    found = compare([f"a={spm_file}", f"b={spm_file}"], [tmp_path / "one.txt"], Sampling()).result
    for part in (*found["slices"], found["all"]):
        assert part["tokenizers"]["a"]["tokens_per_char"]["low"] is None
        assert part["differences"]["b"]["relative_low"] is None
        assert part["tokenizers"]["b"]["same_ids_documents"] == 1


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


def test_a_slice_that_cannot_be_encoded_is_told_of(spm_file: Path, tmp_path: Path) -> None:
    rows = {"fine": ["good text"], "lost": ["bad words", "worse words"], "blank": [""]}
    for name, texts in rows.items():
        lines = "\n".join(json.dumps({"text": text}) for text in texts)
        (tmp_path / f"{name}.jsonl").write_text(lines)
    inputs = [tmp_path / f"{name}.jsonl" for name in rows]
    specs = [f"a={lacking(tmp_path)}", f"b={tmp_path / 'lacking'}", str(spm_file)]
    result = compare(specs, inputs, Sampling()).result
    assert [part["slice"] for part in result["slices"]] == ["fine"]
    assert result["left_out"] == ["lost", "blank"]
    assert len(result["all"]["failed"]) == 4  # two documents, by two tokenizers each
    assert result["all"]["population"]["documents"] == 3
    assert result["all"]["population"]["empty"] == 1
    shown = render_text(result)
    assert "Left out for all: 2 documents" in shown
    assert "Slices without a document that all could encode: lost, blank." in shown
    assert "lost, blank" in render_html(result)


def test_a_text_of_which_nothing_is_left(wordpiece: Path, spm_file: Path, tmp_path: Path) -> None:
    """White space alone is no token of a WordPiece vocabulary: nothing is relative to that."""
    lines = [json.dumps({"text": text}) for text in (" \n ", "\t", "abc", " ")]
    (tmp_path / "blank.jsonl").write_text("\n".join([*lines[:2], lines[3]]))
    (tmp_path / "some.jsonl").write_text("\n".join(lines))
    inputs = [tmp_path / "blank.jsonl", tmp_path / "some.jsonl"]
    result = compare([f"wp={wordpiece}", f"spm={spm_file}"], inputs, Sampling()).result
    blank, some = result["slices"]
    assert blank["tokenizers"]["wp"]["tokens"] == 0
    gap = blank["differences"]["spm"]
    assert [gap[f"relative{end}"] for end in ("", "_low", "_high")] == [None] * 3
    assert gap["difference"] < 0
    assert some["differences"]["spm"]["relative"] > 0
    assert some["differences"]["spm"]["relative_low"] is None  # some draws have no token
    json.dumps(result, allow_nan=False)
    assert "blank: 3 documents" in render_text(result)
    assert "blank: 3 documents" in render_html(result)


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
