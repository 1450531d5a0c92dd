"""Quality models: what they see, what is chosen, how they are judged, and the two commands."""

import hashlib
import io
import json
import random
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.command import command
from yanmo.curate.quality_choice import NEGATIVE, POSITIVE, ChoiceOptions, choose, near_duplicates
from yanmo.curate.quality_metrics import (
    at_threshold,
    auc,
    auc_difference,
    auc_interval,
    calibrated,
    isotonic,
    platt,
    reliability,
)
from yanmo.curate.quality_text import SampleOptions, prepare
from yanmo.errors import DataError

GOOD = "山川河流天地日月星辰云雨风雪春夏秋冬花草树木鸟兽虫鱼读书写字研墨纸笔"
BAD = "发票优惠代开点击加微信免费赚钱下注彩票充值返利特价促销包邮秒杀领取红包"


def documents(letters: str, count: int, seed: int, chars: tuple[int, int]) -> list[dict[str, str]]:
    """Random texts of these characters, with some of the other class mixed in."""
    rng = random.Random(seed)
    texts = []
    for number in range(count):
        size = rng.randint(*chars)
        own = [rng.choice(letters if rng.random() < 0.6 else GOOD + BAD) for _ in range(size)]
        url = f"https://s{number % 60}.{'good' if letters is GOOD else 'bad'}.example/{number}"
        texts.append({"text": "".join(own), "url": url})
    return texts


def write(path: Path, rows: list[dict[str, str]]) -> Path:
    path.write_text("".join(json.dumps(r, ensure_ascii=False) + "\n" for r in rows), "utf-8")
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Good and bad documents, the bad ones mostly longer, and a model trained on them."""
    folder = tmp_path_factory.mktemp("quality")
    write(folder / "good.jsonl", documents(GOOD, 400, 1, (40, 200)))
    write(folder / "bad.jsonl", documents(BAD, 400, 2, (60, 400)))
    done = command("curate", "quality", "train", "--positive", folder / "good.jsonl",
                   "--negative", folder / "bad.jsonl", "--out", folder / "model",
                   "--workers", 1, "-q")  # fmt: skip
    assert done.code == 0, done.err
    return folder


def test_the_line_that_a_model_sees() -> None:
    texts = ["Ｈello World123 电话：138！！　好\u200b </s> __label__x\n新……", "", " \n"]
    lines = prepare(pa.array(texts)).to_pylist()
    assert lines == ["hello world000 电 话 : 000 ! 好 < / s > _ label _ x 新 …", "", ""]


def test_long_texts_are_seen_in_spans() -> None:
    text = "".join(chr(0x4E00 + i) for i in range(100))
    line = prepare(pa.array([text]), SampleOptions(spans=2, span_chars=16)).to_pylist()[0]
    assert line.replace(" ", "") == text[:16] + text[50:66]


@settings(max_examples=80, deadline=None)
@given(st.lists(st.text(), max_size=4))
def test_any_text_is_one_line_of_tokens(texts: list[str]) -> None:
    texts = [t.encode("utf-8", "ignore").decode() for t in texts]
    column = prepare(pa.array(texts, pa.string()))
    column.validate(full=True)
    for text, line in zip(texts, column.to_pylist(), strict=True):
        assert "__label__" not in line
        assert "</s>" not in line
        assert line == " ".join(line.split(" "))
        assert not set(line) & set("\n\r\t\v\f\0")
        alone = prepare(pa.array([text], pa.string())).to_pylist()[0]
        assert line == alone


def brute_auc(scores: list[float], positive: list[bool]) -> float:
    ups = [s for s, p in zip(scores, positive, strict=True) if p]
    downs = [s for s, p in zip(scores, positive, strict=True) if not p]
    wins = sum((u > d) + (u == d) / 2 for u in ups for d in downs)
    return wins / (len(ups) * len(downs))


@settings(max_examples=80, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=2, max_size=30))
def test_auc_is_the_share_of_pairs_in_order(rows: list[tuple[int, bool]]) -> None:
    scores, positive = np.array([float(r[0]) for r in rows]), np.array([r[1] for r in rows])
    if positive.all() or not positive.any():
        with pytest.raises(DataError, match="both classes"):
            auc(scores, positive)
        return
    assert auc(scores, positive) == pytest.approx(brute_auc(list(scores), list(positive)))


def test_intervals_hold_the_truth_about_as_often_as_they_say() -> None:
    rng = np.random.default_rng(0)
    truth, hits = 0.760250, 0  # Phi(1 / sqrt 2): normals one standard deviation apart
    positive = np.arange(120) < 60
    for seed in range(60):
        scores = rng.normal(size=120) + positive
        found = auc_interval(scores, positive, seed=seed, rounds=300)
        hits += found.low <= truth <= found.high
    assert 50 <= hits <= 60


def test_a_score_is_compared_with_another_on_the_same_resamples() -> None:
    rng = np.random.default_rng(1)
    positive = np.arange(200) < 100
    good, noise = rng.normal(size=200) + 2 * positive, rng.normal(size=200)
    found = auc_difference(good, noise, positive, rounds=500)
    assert found.low > 0.2
    assert found.p < 0.01
    same = auc_difference(good, good * 3, positive, rounds=500)
    assert (same.difference, same.low, same.high, same.p) == (0, 0, 0, 1)


def test_calibration_undoes_a_distortion() -> None:
    rng = np.random.default_rng(2)
    truth = rng.uniform(0.02, 0.98, 6000)
    positive = rng.uniform(size=6000) < truth
    odds = np.log(truth / (1 - truth))
    distorted = 1 / (1 + np.exp(-(2.5 * odds - 1)))
    before = reliability(distorted, positive)["ece"]
    slope, offset = platt(distorted, positive)
    assert (slope, offset) == pytest.approx((0.4, 0.4), abs=0.05)
    x, y = isotonic(distorted, positive)
    assert (np.diff(x) > 0).all()
    assert (np.diff(y) >= 0).all()
    for calibration in (
        {"method": "platt", "slope": slope, "offset": offset},
        {"method": "isotonic", "scores": x, "probabilities": y},
    ):
        after = reliability(calibrated(distorted, calibration), positive)["ece"]
        assert after < 0.03 < before


def test_precision_and_recall_by_hand() -> None:
    probabilities = np.array([0.9, 0.8, 0.5, 0.4, 0.1])
    positive = np.array([True, False, True, True, False])
    found = at_threshold(probabilities, positive, 0.5)
    assert (found["kept"], found["precision"], found["recall"]) == (3, 0.6667, 0.6667)


def frame(rows: list[tuple[int, str | None, int]]) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "id": [f"id{i}" for i in range(len(rows))],
            "label": [r[0] for r in rows],
            "host": pl.Series([r[1] for r in rows], dtype=pl.String),
            "source": ["a"] * len(rows),
            "n_chars": [r[2] for r in rows],
            "n_tokens": [r[2] for r in rows],
        }
    )


def test_choice_balances_hosts_matches_lengths_and_keeps_duplicates_apart() -> None:
    rng = random.Random(3)
    rows = [(POSITIVE, "big" if i < 500 else f"h{i % 97}", rng.randint(50, 400))
            for i in range(1500)]  # fmt: skip
    rows += [(NEGATIVE, f"n{i % 97}", rng.randint(100, 1600)) for i in range(1500)]
    bands = np.arange(14 * 3000, dtype=np.uint64).reshape(14, 3000)
    bands[3, 10:20] = 7  # ten near duplicates within a class
    bands[5, [30, 1600]] = 8  # and a pair across the classes
    chosen, counts = choose(frame(rows), bands, ChoiceOptions(max_per_host=60), seed=0)
    assert counts["near duplicates"] == {"positive": 9, "negative": 0}
    assert counts["in both classes"] == {"positive": 1, "negative": 1}
    assert counts["beyond max_per_host"]["positive"] >= 430
    assert chosen["by_host"].all()
    for part in ("train", "heldout"):
        hosts = set(chosen.filter(pl.col("part") == part)["host"])
        others = set(chosen.filter(pl.col("part") != part)["host"])
        assert not hosts & others
        some = chosen.filter((pl.col("part") == part) & pl.col("matched"))
        positive = (some["label"] == POSITIVE).to_numpy()
        assert positive.sum() == (~positive).sum()
        lengths = some["n_chars"].to_numpy().astype(float)
        assert abs(auc(lengths, positive) - 0.5) < 0.05
    everything = chosen.filter(pl.col("part") == "heldout")
    lengths = everything["n_chars"].to_numpy().astype(float)
    assert auc(lengths, (everything["label"] == POSITIVE).to_numpy()) < 0.3


def test_groups_are_those_that_share_a_band() -> None:
    bands = np.array([[1, 1, 2, 3, 4], [9, 8, 8, 7, 6]], np.uint64)
    assert near_duplicates(bands).tolist() == [0, 0, 0, 3, 4]


def test_a_model_beats_length_and_is_the_same_twice(folder: Path) -> None:
    card = json.loads((folder / "model" / "card.json").read_text("utf-8"))
    held = card["heldout"]["all"]
    assert held["auc"]["low"] > 0.9
    assert held["auc_of_length"]["value"] > 0.6  # the bad ones are the longer
    assert held["auc_difference"]["low"] > 0
    assert card["heldout_by"] == "host"
    assert abs(card["heldout"]["matched"]["auc_of_length"]["value"] - 0.5) < 0.2
    for kind, letters in (("positive", GOOD), ("negative", BAD)):
        assert {word for word, _ in card["tokens"][kind]} <= set(letters)
    again = command("curate", "quality", "train", "--positive", folder / "good.jsonl",
                    "--negative", folder / "bad.jsonl", "--out", folder / "again",
                    "--workers", 2, "-q")  # fmt: skip
    assert again.code == 0, again.err
    for name in ("model.bin", "card.json", "card.md"):
        one, two = (hashlib.sha256((folder / f / name).read_bytes()).hexdigest()
                    for f in ("model", "again"))  # fmt: skip
        assert one == two, name


def test_scores_of_files_and_of_a_run(folder: Path, tmp_path: Path) -> None:
    done = command("curate", "quality", "score", folder / "model", folder / "bad.jsonl", "--out",
                   tmp_path / "scores", "--workers", 1, "--json", "-q")  # fmt: skip
    assert done.code == 0, done.err
    assert done.json()["documents"] == 400
    scores = pl.read_parquet(tmp_path / "scores" / "scores" / "*.parquet")
    assert scores["quality"].is_between(0, 1).all()
    assert scores["quality"].mean() < 0.2
    assert scores["quality_percentile"].is_between(0, 100).all()
    write(tmp_path / "mix.jsonl", documents(GOOD, 30, 7, (80, 200)) + documents(BAD, 30, 8,
          (80, 200)))  # fmt: skip
    (tmp_path / "recipe.toml").write_text(
        'rules.routed = false\n[[rules.extra]]\ncolumn = "quality"\nmin = 0.5\n', "utf-8"
    )
    run = command("curate", "run", tmp_path / "mix.jsonl", "--out", tmp_path / "run", "--set",
                  f"quality.model={folder / 'model'}", "--recipe", tmp_path / "recipe.toml",
                  "--workers", 1, "--json", "-q")  # fmt: skip
    assert run.code == 0, run.err
    assert 25 <= run.json()["dropped"]["min_quality"] <= 32
    signals = pl.read_parquet(tmp_path / "run" / "signals" / "*.parquet")
    kept = command("curate", "quality", "score", folder / "model", tmp_path / "run", "--out",
                   tmp_path / "again", "--workers", 1, "-q")  # fmt: skip
    assert kept.code == 0, kept.err
    both = pl.read_parquet(tmp_path / "again" / "scores" / "*.parquet").join(signals, on="id")
    assert len(both) > 0
    assert (both["quality"] == both["quality_right"]).all()


def test_quantized_models_are_smaller_and_say_the_same(folder: Path, tmp_path: Path) -> None:
    done = command("curate", "quality", "train", "--positive", folder / "good.jsonl", "--negative",
                   folder / "bad.jsonl", "--out", tmp_path / "small", "--quantize", "--workers", 1,
                   "--set", "model.bucket=2000", "--json", "-q")  # fmt: skip
    assert done.code == 0, done.err
    card = done.json()
    assert card["model"]["file"] == "model.ftz"
    assert card["model"]["bytes"] < (folder / "model" / "model.bin").stat().st_size / 3
    assert card["heldout"]["all"]["auc"]["value"] > 0.9


def test_mistakes_are_named(folder: Path, tmp_path: Path) -> None:
    few = write(tmp_path / "few.jsonl", documents(GOOD, 5, 1, (40, 50)))
    done = command("curate", "quality", "train", "--positive", few, "--negative",
                   folder / "bad.jsonl", "--out", tmp_path / "m", "--workers", 1, "-q")  # fmt: skip
    assert done.code == 1
    assert "too few" in done.err
    assert not (tmp_path / "m").exists()
    done = command("curate", "quality", "score", tmp_path, few, "--out", tmp_path / "s")
    assert done.code == 1
    assert "no quality model here" in done.err
    (tmp_path / "bad.jsonl").write_text("no JSON\n", "utf-8")
    done = command("curate", "quality", "score", folder / "model", tmp_path / "bad.jsonl", "--out",
                   tmp_path / "s", "--workers", 1, "-q")  # fmt: skip
    assert done.code == 1
    assert "cannot be read" in done.err
    done = command("curate", "quality", "train", "--positive", few, "--negative", few, "--out",
                   tmp_path)  # fmt: skip
    assert done.code == 2
    assert "holds other files" in done.err
    done = command("curate", "run", few, "--out", tmp_path / "r", "--set",
                   "rules.zh.min_quality=0.5")  # fmt: skip
    assert done.code == 2
    assert "Set quality.model" in done.err


@pytest.mark.realdata
def test_ham_against_spam(realdata: Path, tmp_path: Path) -> None:
    folder = realdata / "spam"
    done = command("curate", "quality", "train", "--positive", folder / "zh_mail_ham.txt.zst",
                   "--negative", folder / "zh_mail_spam.txt.zst", "--out", tmp_path / "model",
                   "--workers", 1, "--json", "-q")  # fmt: skip
    assert done.code == 0, done.err
    held = done.json()["heldout"]["all"]
    assert held["auc"]["low"] > 0.95
    assert held["auc_difference"]["low"] > 0
    data = (folder / "zh_mail_ham.txt.zst").read_bytes()
    lines = io.TextIOWrapper(zstandard.ZstdDecompressor().stream_reader(data), "utf-8")
    assert sum(1 for line in lines if line.strip()) >= done.json()["counts"]["read"]["positive"] - 1
