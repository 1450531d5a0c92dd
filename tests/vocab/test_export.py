"""Export: the same ids in another format, or a refusal that says why."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from yanmo.errors import DataError, UsageError
from yanmo.vocab.cli import group
from yanmo.vocab.convert import read_ranks
from yanmo.vocab.export import export_tokenizer
from yanmo.vocab.load import load_tokenizer
from yanmo.vocab.spm import Piece, PieceType, dump_model, parse_model

TEXTS = ["研墨先于落笔。People create features in 2016.", "   spaces    and\ttabs", "北京的长城"]


def bare_json(source: Path, out: Path) -> Path:
    """A folder with ``tokenizer.json`` alone, made from a model."""
    export_tokenizer(source, out, "hf")
    for name in ("tokenizer.model", "yanmo.json", "report.json"):
        (out / name).unlink()
    return out


def test_a_model_there_and_back(english_spm: Path, tmp_path: Path) -> None:
    folder = bare_json(english_spm, tmp_path / "json")
    report = export_tokenizer(folder, tmp_path / "spm", "spm", lines=TEXTS)
    assert report["proof"]["compared"] > 2000
    assert report["proof"]["libraries"] == ["sentencepiece"]
    one, two = (
        parse_model(english_spm.read_bytes()),
        parse_model((tmp_path / "spm" / "tokenizer.model").read_bytes()),
    )
    assert [(p.text, p.type) for p in one.pieces] == [(p.text, p.type) for p in two.pieces]
    again = load_tokenizer(tmp_path / "spm")
    assert (again.bos_id, again.eos_id, again.unk_id) == (1, 2, 0)
    original = load_tokenizer(english_spm)
    assert [list(x) for x in again.encode_batch(TEXTS)] == [
        list(x) for x in original.encode_batch(TEXTS)
    ]


def test_unigram_there_and_back(tmp_path: Path, texts: list[str]) -> None:
    import io

    import sentencepiece

    out = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(texts), model_writer=out, model_type="unigram", vocab_size=400,
        normalization_rule_name="identity", num_threads=1, minloglevel=2,
        hard_vocab_limit=False, remove_extra_whitespaces=False,
    )  # fmt: skip
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "tokenizer.model").write_bytes(out.getvalue())
    folder = bare_json(tmp_path / "m", tmp_path / "json")
    export_tokenizer(folder, tmp_path / "spm", "spm", lines=texts)
    made = parse_model((tmp_path / "spm" / "tokenizer.model").read_bytes())
    assert [p.text for p in made.pieces] == [p.text for p in parse_model(out.getvalue()).pieces]


def test_ranks_there_and_back(byte_folder: Path, tmp_path: Path, texts: list[str]) -> None:
    report = export_tokenizer(byte_folder, tmp_path / "out", "tiktoken", lines=texts)
    assert "ranks" in report["proof"]["libraries"]
    ranks = read_ranks(tmp_path / "out" / "tokenizer.tiktoken")
    vocab = json.loads((byte_folder / "tokenizer.json").read_text("utf-8"))["model"]["vocab"]
    assert sorted(ranks.values()) == sorted(set(vocab.values()) - {vocab["<|endoftext|>"]})
    beside = json.loads((tmp_path / "out" / "tiktoken.json").read_text("utf-8"))
    assert beside["special_tokens"] == {"<|endoftext|>": vocab["<|endoftext|>"]}
    assert r"\p{L}+" in beside["pat_str"]
    tiktoken = pytest.importorskip("tiktoken", reason="tiktoken is not a dependency of yanmo")
    encoding = tiktoken.Encoding(
        "x", pat_str=beside["pat_str"], mergeable_ranks=ranks, special_tokens={}
    )
    loaded = load_tokenizer(byte_folder)
    for text in texts:
        assert encoding.encode_ordinary(text) == loaded.encode(text).tolist()


def test_a_folder_that_transformers_loads(spm_file: Path, tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    export_tokenizer(spm_file, tmp_path / "hf", "hf", lines=TEXTS)
    auto = transformers.AutoTokenizer.from_pretrained(str(tmp_path / "hf"))
    loaded = load_tokenizer(spm_file)
    for text in TEXTS:
        assert auto(text, add_special_tokens=False)["input_ids"] == loaded.encode(text).tolist()


def test_refusals(spm_file: Path, byte_folder: Path, english_spm: Path, tmp_path: Path) -> None:
    out = tmp_path / "x"
    with pytest.raises(UsageError, match="pre-tokenizer cuts words by a pattern"):
        export_tokenizer(byte_folder, out, "spm")
    with pytest.raises(UsageError, match="only byte-level BPE"):
        export_tokenizer(spm_file, out, "tiktoken")
    (tmp_path / "vocab.txt").write_text("[UNK]\n中\na\n##b", encoding="utf-8")
    for form, why in (("spm", "WordPiece is no algorithm"), ("tiktoken", "only byte-level")):
        with pytest.raises(UsageError, match=why):
            export_tokenizer(tmp_path / "vocab.txt", out, form)
    with pytest.raises(UsageError, match="no such format"):
        export_tokenizer(spm_file, out, "gguf")
    assert not out.exists()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").touch()
    for form in ("hf", "spm"):
        with pytest.raises(UsageError, match="--out holds other files"):
            export_tokenizer(spm_file, tmp_path / "mine", form)
    with pytest.raises(UsageError, match="replace an input"):
        export_tokenizer(spm_file, spm_file.parent, "hf")
    assert (tmp_path / "mine" / "thesis.txt").is_file()


def edited(folder: Path, out: Path, change: object) -> Path:
    document = json.loads((folder / "tokenizer.json").read_text("utf-8"))
    change(document)  # type: ignore[operator]
    out.mkdir()
    (out / "tokenizer.json").write_text(json.dumps(document), encoding="utf-8")
    return out


def test_merges_that_scores_cannot_express(english_spm: Path, tmp_path: Path) -> None:
    folder = bare_json(english_spm, tmp_path / "json")

    def drop_one(document: dict) -> None:  # type: ignore[type-arg]
        document["model"]["merges"].pop(3)

    def last_first(document: dict) -> None:  # type: ignore[type-arg]
        merges = document["model"]["merges"]
        products = [left + right for left, right in merges]
        double = next(p for p in products if products.count(p) > 1 and len(set(p)) > 1)
        merges.insert(0, merges.pop(max(k for k, p in enumerate(products) if p == double)))

    def other_normalizer(document: dict) -> None:  # type: ignore[type-arg]
        document["normalizer"]["normalizers"].insert(0, {"type": "NFKC"})

    for name, change, why in (
        ("a", drop_one, "SentencePiece always does"),
        ("b", last_first, "do not stand together"),
        ("c", other_normalizer, "none of SentencePiece's"),
    ):
        with pytest.raises(UsageError, match=why):
            export_tokenizer(edited(folder, tmp_path / name, change), tmp_path / "x", "spm")


def test_merges_that_ranks_cannot_express(byte_folder: Path, tmp_path: Path) -> None:
    def swap(document: dict) -> None:  # type: ignore[type-arg]
        merges = document["model"]["merges"]
        merges[0], merges[1] = merges[1], merges[0]

    with pytest.raises(UsageError, match="order of ids"):
        export_tokenizer(edited(byte_folder, tmp_path / "a", swap), tmp_path / "x", "tiktoken")

    def unmade(document: dict) -> None:  # type: ignore[type-arg]
        document["model"]["vocab"]["qzx"] = len(document["model"]["vocab"])

    with pytest.raises(UsageError, match="never produced"):
        export_tokenizer(edited(byte_folder, tmp_path / "b", unmade), tmp_path / "x", "tiktoken")


def test_other_ids_are_shown_and_nothing_is_written(english_spm: Path, tmp_path: Path) -> None:
    """Equal scores: sentencepiece takes the leftmost, tokenizers what stands first in its list."""
    model = parse_model(english_spm.read_bytes())
    tied = (*model.pieces, Piece("一是", 0.0, PieceType.NORMAL), Piece("的一", 0.0))
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "tokenizer.model").write_bytes(dump_model(model.with_pieces(tied)))
    with pytest.raises(DataError, match="other ids") as caught:
        export_tokenizer(tmp_path / "m", tmp_path / "x", "hf", lines=["的一是"])
    assert isinstance(caught.value.value, dict)
    assert caught.value.value["text"] == "的一是"
    assert not (tmp_path / "x").exists()


def test_command(english_spm: Path, tmp_path: Path) -> None:
    text = tmp_path / "lines.txt"
    text.write_text("\n".join(TEXTS), encoding="utf-8")
    arguments = ["export", str(english_spm), "--out", str(tmp_path / "o"), "--text", str(text)]
    result = CliRunner().invoke(group, arguments)
    assert result.exit_code == 0, result.output
    assert "equal ids on" in result.output
    result = CliRunner().invoke(group, [*arguments, "--to", "gguf"])
    assert result.exit_code == 2


@pytest.mark.realdata
def test_published_ranks_come_back_byte_for_byte(real_tokenizers: Path, tmp_path: Path) -> None:
    export_tokenizer(real_tokenizers / "llama3", tmp_path / "l", "tiktoken")
    wanted = (real_tokenizers / "llama3" / "tokenizer.model").read_bytes()
    assert (tmp_path / "l" / "tokenizer.tiktoken").read_bytes() == wanted
    export_tokenizer(real_tokenizers / "qwen2.5", tmp_path / "q", "tiktoken")
    ours = read_ranks(tmp_path / "q" / "tokenizer.tiktoken")
    assert ours == read_ranks(real_tokenizers / "qwen" / "qwen.tiktoken")


@pytest.mark.realdata
def test_llama_there_and_back(real_tokenizers: Path, tmp_path: Path) -> None:
    folder = bare_json(real_tokenizers / "llama", tmp_path / "json")
    export_tokenizer(folder, tmp_path / "spm", "spm")
    made = parse_model((tmp_path / "spm" / "tokenizer.model").read_bytes())
    wanted = parse_model((real_tokenizers / "llama" / "tokenizer.model").read_bytes())
    assert [(p.text, p.type) for p in made.pieces] == [(p.text, p.type) for p in wanted.pieces]
