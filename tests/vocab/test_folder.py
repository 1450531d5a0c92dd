"""Tokenizer folders: what is not ours stays."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from yanmo.errors import UsageError
from yanmo.vocab.extend import ExtendOptions, extend_tokenizer
from yanmo.vocab.merge import MergeOptions, merge_tokenizers
from yanmo.vocab.train import TrainOptions, train_tokenizer

Make = Callable[[Path, Path, Path], Any]
MAKERS: dict[str, Make] = {
    "train": lambda base, text, out: train_tokenizer([text], out, TrainOptions(size=300)),
    "merge": lambda base, text, out: merge_tokenizers(base, text, out, MergeOptions()),
    "extend": lambda base, text, out: extend_tokenizer(base, [text], out, ExtendOptions(add=2)),
}


@pytest.mark.parametrize("name", list(MAKERS))
def test_a_folder_of_others_and_inputs_are_not_replaced(
    name: str, english_spm: Path, tmp_path: Path
) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    text = mine / "words.txt"
    text.write_text("北京\n长城\n", encoding="utf-8")
    (tmp_path / "words.txt").write_text("北京\n长城\n", encoding="utf-8")
    with pytest.raises(UsageError, match="would replace an input"):
        MAKERS[name](english_spm, text, mine)
    with pytest.raises(UsageError, match="--out holds other files"):
        MAKERS[name](english_spm, tmp_path / "words.txt", mine)
    assert text.is_file()
