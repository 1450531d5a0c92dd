"""Language and script: the tables against Unicode and OpenCC, the decisions on real sentences."""

import io
import itertools
import json
import unicodedata
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from yanmo.curate.language import Identifier, LanguageOptions
from yanmo.curate.scripts import NAMES, count_tokens, main_scripts, table
from yanmo.curate.utf8 import decode, text_buffer
from yanmo.curate.variants import build, variants
from yanmo.errors import ModelMissing

HANS = "今天天气很好，我们去公园散步，然后回家吃饭。"
HANT = "今天天氣很好，我們去公園散步，然後回家吃飯。"
JPAN = "今日は天気がいいので、公園を散歩してから家に帰ります。"
KORE = "오늘은 날씨가 좋아서 공원을 산책하고 집에 갑니다."
ENGLISH = "It is a fine day and we have to go to the park before the end of the week."
FRENCH = "Il fait beau aujourd'hui, nous allons au parc et nous rentrons à la maison."
RUSSIAN = "Сегодня хорошая погода, мы идём в парк, а потом домой."


def scripts_of(*texts: str) -> list[str]:
    counts = count_tokens(*decode(*text_buffer(pa.array(texts))))
    return list(main_scripts(counts)[0])


@pytest.mark.parametrize(
    ("text", "script"),
    [
        (HANS, "Hans"),
        (HANT, "Hant"),
        ("山高水清，日月大小", "Hani"),
        ("后面有云，里面有水山" * 9 + "們", "Hant"),
        ("国國国國国國山水", "Hani"),
        (JPAN, "Jpan"),
        (KORE, "Kore"),
        (ENGLISH, "Latn"),
        (RUSSIAN, "Cyrl"),
        ("Καλημέρα κόσμε", "Grek"),
        ("สวัสดีชาวโลก", "Thai"),
        ("مرحبا بالعالم", "Arab"),
        ("שלום עולם", "Hebr"),
        ("नमस्ते दुनिया", "Deva"),
        ("გამარჯობა", "Zzzz"),
        ("12, 34! …", "Zyyy"),
        ("", "Zyyy"),
        (HANS + " the quick brown fox and " * 5, "mixed"),
        # One English term a clause does not outvote the hanzi by its letters.
        ("用 TensorFlow 和 Kubernetes 训练一个模型", "Hans"),
        ("一句中文，引用日语の一个假名" + HANS, "Hans"),
    ],
)
def test_main_script(text: str, script: str) -> None:
    assert scripts_of("x", text)[1] == script


SCRIPTS = {
    "Latn": "Latin", "Cyrl": "Cyrillic", "Grek": "Greek", "Hebr": "Hebrew", "Arab": "Arabic",
    "Deva": "Devanagari", "Thai": "Thai", "Kore": "Hangul", "Hani": "Han",
}  # fmt: skip


def test_every_letter_has_its_script_property() -> None:
    regex = pytest.importorskip("regex", reason="knows the script property")
    index, blocks = table()
    patterns = {name: regex.compile(rf"\p{{Script={full}}}") for name, full in SCRIPTS.items()}
    patterns["Kana"] = regex.compile(r"\p{Script=Hiragana}|\p{Script=Katakana}|[ーｰﾞﾟ]")
    common = regex.compile(r"\p{Script=Common}|\p{Lm}")
    letters = [c for c in range(0x33000) if unicodedata.category(chr(c))[0] == "L"]
    assert len(letters) > 100_000
    different = []
    for code in letters:
        character = chr(code)
        found = NAMES[blocks[index[code >> 8], code & 255]]
        found = "Hani" if found in ("Hans", "Hant") else found
        expected = [name for name, pattern in patterns.items() if pattern.match(character)]
        if not common.match(character) and found != (expected or ["Zzzz"])[0]:
            different.append(unicodedata.name(character, hex(code)))
    # Characters that NFC replaces, and turned letters of phonetic notations.
    assert set(different) <= {
        "OHM SIGN", "KELVIN SIGN", "ANGSTROM SIGN", "TURNED CAPITAL F", "TURNED SMALL F",
        "ROMAN NUMERAL REVERSED ONE HUNDRED", "LATIN SMALL LETTER REVERSED C",
    }  # fmt: skip


def slow_tokens(text: str) -> dict[str, int]:
    """Tokens by script, from the table but with groupby instead of a kernel."""
    index, blocks = table()
    kept = [c for c in text if c not in "'’" and not 0x300 <= ord(c) < 0x370]
    counts: dict[str, int] = {}
    for script, run in itertools.groupby(
        NAMES[blocks[index[ord(c) >> 8], ord(c) & 255]] for c in kept
    ):
        each = script in ("Hani", "Hans", "Hant", "Kana", "Thai")
        if script != "Zyyy":
            counts[script] = counts.get(script, 0) + (len(list(run)) if each else 1)
    return counts


@settings(deadline=None)
@given(st.text(st.sampled_from("ab'’é\u0301 ,中国國の가나Яสวัस1") | st.characters(codec="utf-8")))
def test_token_counts(text: str) -> None:
    counts = count_tokens(*decode(*text_buffer(pa.array(["x y", text]))))
    found = {name: int(n) for name, n in zip(NAMES, counts[1], strict=True) if n}
    assert found == slow_tokens(text)


def test_variant_tables_are_what_opencc_says() -> None:
    assert variants() == build()
    simplified, traditional = map(set, variants())
    assert not simplified & traditional
    assert set("国发湾东书") <= simplified
    assert set("國發灣東書裡") <= traditional
    # Characters that are right in both.
    assert not set("后里干面只余云台的一中") & (simplified | traditional)


def identify(texts: list[str], **options: object) -> list[tuple[str | None, float | None]]:
    found = Identifier(**options).identify(pa.array(texts))  # type: ignore[arg-type]
    return list(zip(found.lang.to_pylist(), found.score.to_pylist(), strict=True))


def test_without_the_model_the_script_decides() -> None:
    identifier = Identifier()
    assert identifier.name == "none"
    texts = [HANS, HANT, JPAN, KORE, ENGLISH, FRENCH, RUSSIAN, "สวัสดี", "123", "", "山水"]
    found = identifier.identify(pa.array(texts, pa.large_string()))
    assert found.lang.to_pylist() == [
        "zh", "zh", "ja", "ko", "en", "und", "und", "th", None, None, "zh"
    ]  # fmt: skip
    assert found.script.to_pylist() == [
        "Hans", "Hant", "Jpan", "Kore", "Latn", "Latn", "Cyrl", "Thai", "Zyyy", "Zyyy", "Hani"
    ]  # fmt: skip
    scores = found.score.to_pylist()
    assert scores[:8] == [1.0] * 8
    assert scores[8:10] == [None, None]
    assert found.n_chars.tolist() == [len(text) for text in texts]


def test_code_does_not_outvote_prose() -> None:
    text = HANS * 2 + "\n```\n" + "import torch as nn\n" * 18 + "```\n"
    ((lang, score),) = identify([text])
    tokens = 2 * sum(c >= "一" and c <= "鿿" for c in HANS) + 4 * 18
    assert lang == "zh"
    assert score == pytest.approx((tokens - 72) / tokens, abs=1e-4)
    ((lang, _),) = identify([text], options=LanguageOptions(min_hanzi_share=0.6))
    assert lang == "und"


def test_slices_and_chunks_give_the_same() -> None:
    texts = [HANS, ENGLISH, "", JPAN * 200_000, KORE]
    column = pa.array(texts)
    whole = Identifier().identify(column)
    part = Identifier().identify(column.slice(1, 3))
    assert part.lang.to_pylist() == whole.lang.to_pylist()[1:4] == ["en", None, "ja"]
    assert part.script.equals(whole.script.slice(1, 3))


def test_missing_model(tmp_path: Path) -> None:
    with pytest.raises(ModelMissing, match="yanmo models fetch lid"):
        Identifier(model=tmp_path / "lid.176.ftz")


@pytest.fixture(scope="module")
def small_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real fastText model with lid.176's label names, trained on a handful of sentences."""
    import fasttext

    folder = tmp_path_factory.mktemp("model")
    samples = {"zh": HANS + HANT, "en": ENGLISH, "fr": FRENCH, "ru": RUSSIAN, "ja": JPAN,
               "ko": KORE, "yue": "我哋今日唔使返工，佢話要去邊度呀，點解咁樣嘅。"}  # fmt: skip
    lines = [
        f"__label__{label} {text[start : start + 24]}\n"
        for label, text in samples.items()
        for start in range(len(text) - 12)
    ]
    (folder / "train.txt").write_text("".join(lines) * 4, encoding="utf-8")
    model = fasttext.train_supervised(
        str(folder / "train.txt"), minn=1, maxn=3, dim=16, epoch=30, lr=1.0, thread=1, verbose=0,
        bucket=20_000,
    )  # fmt: skip
    model.save_model(str(folder / "small.bin"))
    return folder / "small.bin"


def test_with_a_model(small_model: Path) -> None:
    identifier = Identifier(model=small_model)
    assert identifier.name == "lid.176"
    texts = [ENGLISH, FRENCH, RUSSIAN, "我哋今日唔使返工，佢話要去邊度呀", HANT, "12"]
    found = identifier.identify(pa.array(texts))
    assert found.lang.to_pylist() == ["en", "fr", "ru", "yue", "zh", None]
    assert all(0.5 < score <= 1 for score in found.score.to_pylist()[:5])
    again = identifier.identify(pa.array(texts))
    assert again.score.equals(found.score)


def test_characters_rule_labels_out(small_model: Path) -> None:
    """A model that is wrong about the script is not followed."""
    identifier = Identifier(model=small_model)
    # No label but these is left for Thai; the model knows none of it.
    found = identifier.identify(pa.array(["สวัสดีชาวโลก", "ｶﾞ ab", "山水 山水 大小"]))
    assert found.lang.to_pylist()[0] in ("en", "fr", "ru")
    assert found.lang.to_pylist()[2] in ("zh", "yue")


def test_the_sample_is_bounded_and_spread(small_model: Path) -> None:
    """French in the last third of an English text shows in a sample of three spans, not of one."""
    text = (ENGLISH + " ") * 60 + (FRENCH + "\n") * 120
    three = Identifier(LanguageOptions(span_chars=256), model=small_model)
    one = Identifier(LanguageOptions(spans=1, span_chars=256), model=small_model)
    assert three.identify(pa.array([text])).lang.to_pylist() == ["fr"]
    assert one.identify(pa.array([text])).lang.to_pylist() == ["en"]


@pytest.mark.realdata
def test_real_collections(realdata: Path) -> None:
    right: dict[str, list[bool]] = {}
    identifier = Identifier(model=realdata / "langid" / "lid.176.ftz")
    for path in sorted((realdata / "text").glob("*.zst")):
        with path.open("rb") as stream:
            raw = io.TextIOWrapper(zstandard.ZstdDecompressor().stream_reader(stream), "utf-8")
            texts = [json.loads(line)["text"] for _, line in zip(range(40), raw, strict=False)]
        found = identifier.identify(pa.array(texts, pa.large_string()))
        truth = path.name[:2]
        right[path.name] = [lang == truth for lang in found.lang.to_pylist()]
    print("\n".join(f"{n:36s} {np.mean(r):.3f} of {len(r)}" for n, r in right.items()))  # noqa: T201
    english = [r for n, results in right.items() if n.startswith("en") for r in results]
    chinese = [r for n, results in right.items() if n.startswith("zh") for r in results]
    assert np.mean(english) > 0.99
    assert np.mean(chinese) > 0.93  # the rest are pages of code with a Chinese headline
    prose = ("zh-laws", "zh-xin", "zh-zhihu", "zh-humor", "zh-classical", "zh-howto")
    assert all(np.mean(r) > 0.97 for n, r in right.items() if n.startswith(prose))
