"""Extensions cut at k: what is cut is the smaller extension; knees by hand."""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from yanmo.errors import UsageError
from yanmo.model_cost import ModelShape
from yanmo.vocab.compare import compare
from yanmo.vocab.compare_growth import Question, add_curves, growths, mixture
from yanmo.vocab.extend import ExtendOptions, extend_tokenizer
from yanmo.vocab.growth_curve import find_growth, grid, knee, marginal, measure_growth, reaching
from yanmo.vocab.growth_worth import Plan
from yanmo.vocab.load import load_tokenizer
from yanmo.vocab.slices import Sampling

TEXT = "数据质量决定模型质量。我们一起学习机器学习，我们看数据。国家图书馆在北京，北京的长城。" * 8
MIXED = ["数据质量 People create 2016 的 模型", "我们一起\n学习 机器学习", "plain English only"]
SHAPE = ModelShape("tiny", 400, 8, 2, 2, 2, 4, 16, True, True, 64)


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("growth") / "zh.txt"
    path.write_text(TEXT, encoding="utf-8")
    return path


def grown(base: Path, text: Path, out: Path, add: int) -> Path:
    options = ExtendOptions(add=add, min_count=1, min_documents=1)
    extend_tokenizer(base, [text], out, options)
    return out


@pytest.fixture(scope="module", params=["english_spm", "english_bytes"])
def family(
    request: pytest.FixtureRequest, text: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Path, Path]:
    """A base, and extensions of it by 8 and by 20 entries."""
    base = Path(request.getfixturevalue(request.param))
    folder = tmp_path_factory.mktemp("family")
    return base, grown(base, text, folder / "8", 8), grown(base, text, folder / "20", 20)


def test_a_cut_is_the_smaller_extension(family: tuple[Path, Path, Path]) -> None:
    base, small, large = family
    growth = find_growth(large, load_tokenizer(large), None)
    assert growth is not None
    assert growth.added == 20
    for size, path in ((0, base), (8, small), (20, large)):
        cut = growth.cut(size).encode_batch([TEXT, *MIXED])
        plain = load_tokenizer(path).encode_batch([TEXT, *MIXED])
        assert [ids.tolist() for ids in cut] == [ids.tolist() for ids in plain], size


def test_tokens_fall_with_entries(family: tuple[Path, Path, Path]) -> None:
    _, _, large = family
    growth = find_growth(large, load_tokenizer(large), None)
    assert growth is not None
    counts = measure_growth(growth, {"zh": [TEXT], "en": [MIXED[2]]}, [0, 8, 20])
    assert counts["zh"][0] > counts["zh"][1] > counts["zh"][2]
    assert len(set(counts["en"])) == 1


def test_the_base_is_found_without_provenance(family: tuple[Path, Path, Path]) -> None:
    base, _, large = family
    (large / "yanmo.json").rename(large / "set-aside")
    try:
        first = load_tokenizer(base)
        found = find_growth(large, load_tokenizer(large), first)
        assert found is not None
        assert found.base_size == first.vocab_size
        assert find_growth(large, load_tokenizer(large), None) is None
        assert find_growth(base, first, load_tokenizer(large)) is None
    finally:
        (large / "set-aside").rename(large / "yanmo.json")


def test_curves_of_a_comparison(family: tuple[Path, Path, Path], text: Path) -> None:
    base, _, large = family
    found = compare([str(base), f"grown={large}"], [text], Sampling(limit_bytes=4000))
    cut = growths(found)
    assert list(cut) == ["grown"]
    size = found.contenders[0].tokenizer.vocab_size
    shape = replace(SHAPE, vocab_size=size)
    add_curves(found, cut, mixture(found, []), Question(shape, Plan()))
    curve = found.result["curves"]["grown"]
    measured = found.result["slices"][0]["tokenizers"]
    first, last = (measured[label]["tokens_per_char"]["value"] for label in measured)
    assert curve["mix"][0] == pytest.approx(first)
    assert curve["mix"][-1] == pytest.approx(last)
    assert (curve["sizes"][0], curve["sizes"][-1]) == (0, 20)
    # The text falls to a fraction of its tokens; 20 rows of 8 numbers cost next to nothing.
    assert curve["cheapest"] == 20
    rows = {size: curve["mix"][0], -(-(size + 20) // 64) * 64: curve["mix"][-1]}
    costs = [shape.with_rows(r).training_flops(64) * tokens for r, tokens in rows.items()]
    assert curve["cheapest_saves"] == pytest.approx(1 - costs[1] / costs[0])


def test_no_extension_here(english_spm: Path, english_bytes: Path, text: Path) -> None:
    found = compare([str(english_spm), str(english_bytes)], [text], Sampling())
    with pytest.raises(UsageError, match="no tokenizer here is an extension of the first"):
        growths(found)


def test_mixtures(spm_file: Path, text: Path, tmp_path: Path) -> None:
    (tmp_path / "en.txt").write_text("x" * 3 * len(TEXT), encoding="utf-8")
    found = compare([str(spm_file)], [text, tmp_path / "en.txt"], Sampling())
    assert mixture(found, []) == pytest.approx({"zh": 0.25, "en": 0.75})
    assert mixture(found, ["zh=3", "en=1"]) == pytest.approx({"zh": 0.75, "en": 0.25})
    assert mixture(found, ["zh=0.2"]) == {"zh": 1.0, "en": 0.0}
    with pytest.raises(UsageError, match=r"--mix zhh=1: no such slice. Did you mean 'zh'"):
        mixture(found, ["zhh=1"])
    for wrong in ("zh=-1", "zh=much", "zh=inf", "zh=nan"):
        with pytest.raises(UsageError, match="a weight must be a number, zero or more"):
            mixture(found, [wrong])
    with pytest.raises(UsageError, match="sum to zero"):
        mixture(found, ["zh=0"])


def test_knee_by_hand() -> None:
    # Scaled: x 0 .1 .2 1, y 1 .444 .111 0; below the chord by 0, .456, .689, 0.
    assert knee([0, 1, 2, 10], [1.0, 0.5, 0.2, 0.1]) == 2
    assert knee([0, 5, 10], [1.0, 0.5, 0.0]) is None  # a straight line has none
    assert knee([0, 5, 10], [1.0, 0.9, 0.0]) is None  # nor one that bends the other way
    assert knee([0, 5, 10], [1.0, 1.2, 1.1]) is None
    assert knee([0, 10], [1.0, 0.5]) is None


@given(st.integers(20, 2000), st.floats(0.001, 0.2))
def test_the_knee_of_an_exponential_is_where_its_slope_is_the_chords(n: int, rate: float) -> None:
    """For exp(-rate*x) the largest gap lies where the derivative equals the slope of the chord."""
    import numpy as np

    sizes = list(range(n + 1))
    values = np.exp(-rate * np.arange(n + 1)).tolist()
    found = knee(sizes, values)
    slope = (values[0] - values[-1]) / n
    exact = -np.log(slope / rate) / rate
    assert found is not None
    assert abs(found - exact) <= 1


def test_shares_of_the_gain_and_marginal_gains() -> None:
    sizes, values = [0, 1000, 3000], [0.8, 0.6, 0.5]
    assert reaching(sizes, values, 0.6) == 1000
    assert reaching(sizes, values, 0.9) == 3000
    # 0.2 of a token a character is 200 in 1000 characters, by 1000 entries.
    assert marginal(sizes, values) == [None, pytest.approx(200.0), pytest.approx(50.0)]


@given(st.integers(1, 100_000))
def test_grid(added: int) -> None:
    sizes = grid(added)
    assert sizes[0] == 0
    assert sizes[-1] == added
    assert sizes == sorted(set(sizes))
    assert len(sizes) <= 12


def test_grid_of_nothing() -> None:
    with pytest.raises(UsageError, match="nothing was added"):
        grid(0)


@pytest.mark.realdata
def test_the_published_merge_is_cut_at_its_base(real_tokenizers: Path) -> None:
    llama = load_tokenizer(real_tokenizers / "llama")
    path = real_tokenizers / "chinese-llama-2"
    growth = find_growth(path, load_tokenizer(path), llama)
    assert growth is not None
    assert (growth.base_size, growth.added) == (32000, 23296)
    assert growth.cut(0).encode_batch([TEXT])[0].tolist() == llama.encode(TEXT).tolist()
