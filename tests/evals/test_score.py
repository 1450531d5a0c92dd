"""The packed engine against transformers, and what loading refuses."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from yanmo.errors import DataError, UsageError
from yanmo.evals.score import LoadOptions, Scorer, first_token, load_scorer
from yanmo.vocab.load import load_tokenizer

RNG = np.random.default_rng(11)
PREFIX = tuple(RNG.integers(3, 700, size=37).tolist())
SUFFIXES = [tuple(RNG.integers(3, 700, size=n).tolist()) for n in (5, 1, 19, 8, 8)]


def oracle(model: Path, sequences: list[tuple[int, ...]]) -> list[np.ndarray]:
    """Log-softmax of all positions, one sequence at a time, by transformers itself."""
    import torch
    from transformers import AutoModelForCausalLM

    network = AutoModelForCausalLM.from_pretrained(str(model), dtype=torch.float32).eval()
    with torch.inference_mode():
        return [
            network(torch.tensor([list(s)])).logits[0].log_softmax(-1).numpy() for s in sequences
        ]


@pytest.mark.parametrize("engine", ["packed", "transformers"])
@pytest.mark.parametrize("model", ["spm_model", "qwen_model"])
@pytest.mark.parametrize("shared", [True, False])
def test_engines_equal_transformers(
    engine: str, model: str, shared: bool, request: pytest.FixtureRequest
) -> None:
    folder: Path = request.getfixturevalue(model)
    scorer = load_scorer(folder, LoadOptions(engine=engine))
    truth = oracle(folder, [PREFIX + suffix for suffix in SUFFIXES])
    prefix = scorer.prefill(PREFIX) if shared else None
    given = SUFFIXES if shared else [PREFIX + suffix for suffix in SUFFIXES]
    for _ in range(2):  # a prefix is not used up by its first batch
        found = scorer.next_logprobs(given, prefix)
        assert np.abs(found - np.stack([t[-1] for t in truth])).max() < 1e-4
    starts = [1, 1, 7, 2, 8]
    skip = 0 if shared else len(PREFIX)
    scored = scorer.token_logprobs(given, [start + skip for start in starts], prefix)
    for sequence, start, row, values in zip(SUFFIXES, starts, truth, scored, strict=True):
        rows = np.arange(len(PREFIX) + start - 1, len(PREFIX) + len(sequence) - 1)
        expected = row[rows, list(sequence[start:])]
        assert values.shape == expected.shape
        assert np.abs(values - expected).max(initial=0.0) < 1e-4


def test_a_sequence_does_not_see_its_neighbours(packed: Scorer) -> None:
    prefix = packed.prefill(PREFIX)
    together = packed.next_logprobs(SUFFIXES, prefix)
    alone = np.concatenate([packed.next_logprobs([suffix], prefix) for suffix in SUFFIXES])
    assert np.abs(together - alone).max() < 1e-5


def test_engine_and_context_are_in_the_identity(packed: Scorer, plain: Scorer) -> None:
    assert packed.info.identity() != plain.info.identity()
    assert packed.info.sha256 == plain.info.sha256
    assert packed.info.max_tokens == 1024
    assert "path" not in packed.info.identity()


def test_shorter_context_can_be_asked_for(spm_model: Path) -> None:
    assert load_scorer(spm_model, LoadOptions(max_tokens=64)).info.max_tokens == 64
    with pytest.raises(UsageError, match="8 to 1024"):
        load_scorer(spm_model, LoadOptions(max_tokens=4096))


def test_what_loading_refuses(spm_model: Path, qwen_model: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no config\.json"):
        load_scorer(tmp_path)
    with pytest.raises(UsageError, match=r"no such engine.*Did you mean 'packed'"):
        load_scorer(spm_model, LoadOptions(engine="pack"))
    with pytest.raises(UsageError, match="no such dtype"):
        load_scorer(spm_model, LoadOptions(dtype="int8"))
    with pytest.raises(DataError, match="1300 ids, the model 700 rows"):
        load_scorer(qwen_model, LoadOptions(tokenizer=spm_model))
    shutil.copyfile(spm_model / "config.json", tmp_path / "config.json")
    shutil.copyfile(spm_model / "tokenizer.model", tmp_path / "tokenizer.model")
    with pytest.raises(DataError, match="safetensors"):
        load_scorer(tmp_path)


def test_beginning_token_follows_the_tokenizer(spm_folder: Path, bytes_folder: Path,
                                               tmp_path: Path) -> None:  # fmt: skip
    spm = load_tokenizer(spm_folder)
    assert first_token(spm) == (1,)
    assert first_token(spm, "never") == ()
    shutil.copyfile(spm_folder / "tokenizer.model", tmp_path / "tokenizer.model")
    config = {"add_bos_token": False, "bos_token": "<s>"}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config), "utf-8")
    assert first_token(load_tokenizer(tmp_path)) == ()
    assert first_token(load_tokenizer(tmp_path), "always") == (1,)
    with pytest.raises(UsageError, match="no beginning-of-sequence"):
        first_token(load_tokenizer(bytes_folder), "always")


def test_the_packed_engine_needs_no_transformers(spm_model: Path) -> None:
    code = (
        "import sys\nfrom yanmo.evals.score import load_scorer\n"
        f"load_scorer({str(spm_model)!r})\n"
        "assert 'transformers' not in sys.modules and 'torch' in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
