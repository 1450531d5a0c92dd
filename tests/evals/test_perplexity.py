"""Bits per byte against one plain forward pass, windows by enumeration, and the guards."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from yanmo.errors import DataError, UsageError
from yanmo.evals.perplexity import TextOptions, context_ids, score_texts, windows
from yanmo.evals.score import Scorer, load_scorer
from yanmo.vocab.load import load_tokenizer

TEXTS = ["地球自转的方向是自西向东，所以太阳东升西落。", "DNS 把域名翻译成 IP 地址 🙂", "电"]


def jsonl(path: Path, texts: list[str]) -> Path:
    lines = [json.dumps({"text": text}, ensure_ascii=False) + "\n" for text in texts]
    path.write_text("".join(lines), encoding="utf-8")
    return path


def plain_nats(model: Path, ids: list[int]) -> float:
    """Negative log-likelihood of ids[1:] given what stands before, by transformers."""
    import torch
    from transformers import AutoModelForCausalLM

    network = AutoModelForCausalLM.from_pretrained(str(model), dtype=torch.float32).eval()
    with torch.inference_mode():
        logits = network(torch.tensor([ids])).logits[0].log_softmax(-1)
    return -sum(float(logits[i - 1, ids[i]]) for i in range(1, len(ids)))


def test_sums_equal_transformers(
    packed: Scorer, plain: Scorer, spm_model: Path, tmp_path: Path
) -> None:
    path = jsonl(tmp_path / "t.jsonl", TEXTS)
    encoded = [packed.tokenizer.encode(text).tolist() for text in TEXTS]
    nats = sum(plain_nats(spm_model, [1, *ids]) for ids in encoded)  # BOS is context
    for scorer in (packed, plain):
        found = score_texts(scorer, [path])
        assert found["tokens"] == sum(map(len, encoded))  # neither BOS nor EOS counted
        assert found["bytes"] == sum(len(text.encode()) for text in TEXTS)
        assert found["characters"] == sum(map(len, TEXTS))
        expected = nats / math.log(2) / found["bytes"]
        assert found["bits_per_byte"] == pytest.approx(expected, rel=1e-5)
        assert found["bits_per_character"] == pytest.approx(
            nats / math.log(2) / found["characters"], rel=1e-5
        )
        assert found["perplexity"] == pytest.approx(math.exp(nats / found["tokens"]), rel=1e-5)
        assert (found["context"], found["documents"], found["rankable"]) == ("bos", 3, True)


@given(
    st.integers(0, 60), st.integers(0, 1), st.integers(2, 20),
    st.data(),
)  # fmt: skip
def test_each_token_is_scored_once_with_enough_context(
    n: int, bos: int, length: int, data: st.DataObject
) -> None:
    stride = data.draw(st.integers(1, length - 1))
    ids = list(range(100, 100 + n))
    context = [7] * bos
    whole = context + ids
    scored = []
    for window in windows(ids, context, length=length, stride=stride):
        assert len(window.ids) <= length
        assert window.start >= 1
        begin = whole.index(window.ids[0])
        assert list(window.ids) == whole[begin : begin + len(window.ids)]
        for place in range(window.start, len(window.ids)):
            before = begin + place
            assert place >= min(before, length - stride)
            scored.append(window.ids[place])
    assert scored == (ids if bos else ids[1:])


def test_windows_over_a_long_document(packed: Scorer, spm_model: Path, tmp_path: Path) -> None:
    text = "".join(TEXTS[:2]) * 3
    path = tmp_path / "long.txt"
    path.write_text(text, encoding="utf-8")
    ids = [1, *packed.tokenizer.encode(text).tolist()]
    length, stride = 48, 16
    nats, at = 0.0, 1
    while at < len(ids):  # the definition, one window after the other
        end = min(len(ids), length if at == 1 else at + stride)
        begin = max(0, end - length)
        nats += plain_nats(spm_model, ids[begin:end]) - plain_nats(spm_model, ids[begin:at])
        at = end
    for batch_tokens in (1, 10_000):
        options = TextOptions(length=length, stride=stride, batch_tokens=batch_tokens)
        found = score_texts(packed, [path], options)
        assert found["tokens"] == len(ids) - 1
        assert found["bits_per_byte"] * found["bytes"] * math.log(2) == pytest.approx(
            nats, rel=1e-5
        )
    assert found["intervals"]["bits_per_byte"] is None  # one document has no spread
    whole = score_texts(packed, [path])
    assert whole["bits_per_byte"] != pytest.approx(found["bits_per_byte"], rel=1e-6)


def test_without_a_context_the_first_token_is_left_out(packed: Scorer, tmp_path: Path) -> None:
    path = jsonl(tmp_path / "t.jsonl", TEXTS[:2])
    with_bos = score_texts(packed, [path])
    without = score_texts(packed, [path], TextOptions(context="none"))
    assert with_bos["tokens"] - without["tokens"] == 2
    assert without["bytes"] == with_bos["bytes"]
    assert without["context"] == "none"


def test_the_end_token_stands_in_for_a_missing_beginning(
    bytes_folder: Path, spm_folder: Path, tmp_path: Path
) -> None:
    tokenizer = load_tokenizer(bytes_folder)
    assert tokenizer.bos_id is None
    assert context_ids(tokenizer) == ((tokenizer.eos_id,), "eos")
    assert context_ids(load_tokenizer(spm_folder)) == ((1,), "bos")


def test_documents_that_do_not_survive_the_tokenizer(packed: Scorer, tmp_path: Path) -> None:
    # SentencePiece takes a leading space for its own mark and gives the text back without it.
    found = score_texts(packed, [jsonl(tmp_path / "t.jsonl", [" 前有空格", *TEXTS])])
    assert found["lossy_documents"] == 1
    assert not found["rankable"]


def test_interval_over_documents(packed: Scorer, tmp_path: Path) -> None:
    whole = "".join(TEXTS)
    path = jsonl(tmp_path / "t.jsonl", [whole[i : i + 3 + i % 5] for i in range(30)])
    found = score_texts(packed, [path])
    bounds = found["intervals"]["bits_per_byte"]
    assert bounds["low"] < found["bits_per_byte"] < bounds["high"]
    assert score_texts(packed, [path])["intervals"] == found["intervals"]
    other = score_texts(packed, [path], TextOptions(seed=9))
    assert other["intervals"] != found["intervals"]
    assert other["bits_per_byte"] == found["bits_per_byte"]


def test_many_inputs_and_a_limit(packed: Scorer, tmp_path: Path) -> None:
    paths = [jsonl(tmp_path / f"{i}.jsonl", TEXTS) for i in range(2)]
    assert score_texts(packed, paths)["documents"] == 6
    limited = score_texts(packed, paths, TextOptions(limit=4))
    assert (limited["documents"], limited["characters"]) == (
        4, sum(map(len, TEXTS)) + len(TEXTS[0]),
    )  # fmt: skip


def test_what_is_refused(packed: Scorer, tmp_path: Path) -> None:
    path = jsonl(tmp_path / "t.jsonl", ["", ""])
    with pytest.raises(DataError, match="no documents to score"):
        score_texts(packed, [path])
    with pytest.raises(UsageError, match="a window must hold 2 to 1024 tokens, got 4096"):
        score_texts(packed, [path], TextOptions(length=4096))
    with pytest.raises(UsageError, match=r"the stride must lie in 1\.\.63"):
        score_texts(packed, [path], TextOptions(length=64, stride=64))


def test_a_byte_level_model_without_bos(qwen_model: Path, tmp_path: Path) -> None:
    scorer = load_scorer(qwen_model)
    text = TEXTS[1]
    found = score_texts(scorer, [jsonl(tmp_path / "t.jsonl", [text])])
    ids = scorer.tokenizer.encode(text).tolist()
    eos = scorer.tokenizer.eos_id
    assert eos is not None
    expected = plain_nats(qwen_model, [eos, *ids]) / math.log(2) / len(text.encode())
    assert found["bits_per_byte"] == pytest.approx(expected, rel=1e-5)
    assert np.isfinite(found["perplexity"])
