"""Scored decodings: the right reading wins whatever the label says, and the record says why."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from yanmo.curate import encoding
from yanmo.curate.alphabets import languages
from yanmo.curate.encoding import decode_page
from yanmo.curate.encoding_score import Candidate, foreign_runs, quality_of, rank
from yanmo.curate.explain import explain, render
from yanmo.curate.ingest import ingest_files
from yanmo.vocab.charsets import characters

WORDS = {
    "zh": "今天 天气 很好 我们 去 公园 散步 图书馆 的 书 不能 外借 经济 发展 需要 时间 他 说 没有 "
    "问题 这个 孩子 喜欢 下棋 城市 交通 拥堵 上海 夏天 火车 晚点 了 医生 建议 多喝水",
    "tw": "今天 天氣 很好 我們 去 公園 散步 圖書館 的 書 不能 外借 經濟 發展 需要 時間 他 說 沒有 "
    "問題 這個 孩子 喜歡 下棋 城市 交通 擁堵 臺北 夏天 火車 誤點 了 醫生 建議 多喝水",
    "ja": "今日は とても よい 天気です 図書館で 本を 読みました 電車が 遅れて しまいました "
    "東京の 夏は 暑い コーヒーを 飲みながら 新聞を 読む のが 好きです パソコンが 壊れた ので",
    "ko": "오늘은 날씨가 매우 좋습니다 우리는 공원에서 산책을 했습니다 도서관의 책은 빌릴 수 "
    "없습니다 기차가 늦게 도착했다 서울의 여름은 덥다 커피를 마시면서 신문을 읽는 것을 좋아합니다",
    "ru": "сегодня очень хорошая погода мы гуляли в парке книги библиотеки нельзя выносить поезд "
    "опоздал лето в Москве жаркое Анна любит читать газету за завтраком экономика требует",
    "el": "σήμερα ο καιρός είναι πολύ καλός πήγαμε βόλτα στο πάρκο τα βιβλία της βιβλιοθήκης δεν "
    "δανείζονται το τρένο άργησε Αθήνα καλοκαίρι ζέστη διαβάζει την εφημερίδα",
    "fr": "aujourd'hui il fait très beau nous avons marché près de l'étang les élèves préfèrent "
    "lire à la bibliothèque où l'été est doux café théâtre hôtel garçon déjà château",
    "cs": "dnes je velmi hezké počasí šli jsme na procházku do parku knihy z městské knihovny "
    "nelze půjčit vlak přijel pozdě léto v Brně je horké čte rád noviny při snídani žluťoučký kůň",
}
CODECS = {
    "gb18030": "zh",
    "big5": "tw",
    "shift_jis": "ja",
    "euc_jp": "ja",
    "euc_kr": "ko",
    "cp1251": "ru",
    "koi8-r": "ru",
    "iso8859-5": "ru",
    "cp1253": "el",
    "cp1252": "fr",
    "iso8859-2": "cs",
}
LIES = ("utf-8", "iso-8859-1", "gbk", "big5", "shift_jis", "euc-kr", "windows-1251", "utf-16")


def html(text: str, head: str = "") -> str:
    return f"<html><head>{head}<title>t</title></head><body><p class=a>{text}</p></body></html>"


def texts(language: str, least: int) -> st.SearchStrategy[str]:
    """Different words in any order: a word said twenty times may be a word of another language."""
    gap = "" if language in ("zh", "tw", "ja") else " "
    words = st.sampled_from(WORDS[language].split())
    return st.lists(words, min_size=least, max_size=30, unique=True).map(gap.join)


@pytest.mark.parametrize("codec", CODECS)
@settings(deadline=None, max_examples=25)
@given(st.data())
def test_without_a_label_the_text_comes_back(codec: str, data: st.DataObject) -> None:
    page = html(data.draw(texts(CODECS[codec], 12)))
    assert decode_page(page.encode(codec)).text == page


@pytest.mark.parametrize("codec", CODECS)
@settings(deadline=None, max_examples=25)
@given(st.data())
def test_the_right_label_and_a_few_words(codec: str, data: st.DataObject) -> None:
    page = html(data.draw(texts(CODECS[codec], 1)))
    assert decode_page(page.encode(codec), http_charset=codec).text == page


# Whole sentences of three or more words; the label is about as good as four characters.
@pytest.mark.parametrize("lie", LIES)
@pytest.mark.parametrize("codec", ["gb18030", "big5", "shift_jis", "euc_jp", "euc_kr", "cp1251"])
@pytest.mark.parametrize("where", ["http", "meta"])
def test_a_lying_label_loses(codec: str, lie: str, where: str) -> None:
    text = WORDS[CODECS[codec]]
    page = html(text, f"<meta charset={lie}>" if where == "meta" else "")
    decoded = decode_page(page.encode(codec), http_charset=lie if where == "http" else None)
    assert decoded.text == page
    assert decoded.score is not None
    assert decoded.runner_up_score is not None
    assert decoded.score > decoded.runner_up_score


@pytest.mark.parametrize("language", WORDS)
@pytest.mark.parametrize("lie", LIES)
def test_utf8_under_any_label(language: str, lie: str) -> None:
    page = html(WORDS[language], f"<meta charset={lie}>")
    decoded = decode_page(page.encode(), http_charset=lie)
    assert (decoded.text, decoded.encoding, decoded.score) == (page, "utf-8", None)


def test_utf8_russian_with_stray_bytes_stays_utf8() -> None:
    raw = html(WORDS["ru"]).encode()
    decoded = decode_page(raw.replace(b" ", b" \xff", 4), http_charset="windows-1251")
    assert (decoded.encoding, decoded.replaced) == ("utf-8", 4)


def test_two_russian_letters_are_not_a_famous_hanzi() -> None:
    assert decode_page("<p>Да</p>".encode(), http_charset="gbk").text == "<p>Да</p>"


@pytest.mark.parametrize("codec", ["gb18030", "big5", "shift_jis", "euc_kr"])
def test_cut_inside_a_character(codec: str) -> None:
    raw = WORDS[CODECS[codec]].encode(codec)
    end = next(n for n in range(len(raw) - 1, 0, -1) if _is_cut(raw[:n], codec))
    decoded = decode_page(raw[:end])
    assert decoded.text == raw[: end - 1].decode(codec) + "\ufffd"
    assert decoded.replaced == 1


def _is_cut(raw: bytes, codec: str) -> bool:
    try:
        raw.decode(codec)
    except UnicodeDecodeError as error:
        return error.start == len(raw) - 1
    return False


def test_a_mixed_page_is_read_as_what_most_of_it_is() -> None:
    page = html(WORDS["zh"] * 4).encode("gb18030") + "<p>版权所有</p>".encode()
    decoded = decode_page(page, http_charset="utf-8")
    assert decoded.encoding == "gb18030"
    assert WORDS["zh"] in decoded.text


def test_one_accent_in_an_english_page() -> None:
    page = "<a>The Net Caf\xe9 Forum</a>" + "<p>plain words, " * 50
    assert decode_page(page.encode("cp1252"), http_charset="utf-8").text == page
    pounds = "stand to lift £825. not bad for a £2 bet."
    assert decode_page(pounds.encode("cp1252")).text == pounds


def test_what_is_no_text_is_not_called_text() -> None:
    import gzip

    noise = gzip.compress(html(WORDS["zh"]).encode() * 3, mtime=0)
    for label in (None, "utf-8"):
        decoded = decode_page(noise, http_charset=label)
        assert decoded.encoding == "utf-8"
        assert decoded.replaced > 50
        assert decoded.score is not None
        assert decoded.score < encoding.RUBBISH


def test_mojibake_counts_against_a_reading() -> None:
    broken = "锟斤拷" * 20
    good = "经济发展需要时间" * 8
    assert quality_of(broken.encode("gb18030"), "gb18030")[1] < -2
    assert quality_of(good.encode("gb18030"), "gb18030")[1] > 0.5
    for codec in ("cp1252", "cp1250", "cp1254"):  # é, ü and — of UTF-8, read as each of these
        assert quality_of("é ü — ".encode() * 9, codec)[1] < -1.5


def test_doubt_is_what_costs_time(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object) -> None:
        raise AssertionError("scored")

    for name in ("rank", "foreign_runs", "detect_encoding"):
        monkeypatch.setattr(encoding, name, never)
    for text in (*WORDS.values(), "plain"):
        for label in (None, "utf-8", "gbk", "iso-8859-1"):
            decoded = decode_page(html(text).encode(), http_charset=label)
            assert decoded.text == html(text)
            assert decoded.reason() is None
    with pytest.raises(AssertionError, match="scored"):
        decode_page(WORDS["zh"].encode("gb18030"))


def test_siblings_are_not_tried_behind_a_good_label(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def listening(sample: bytes, candidates: list[Candidate]) -> object:
        asked.extend(c.codec for c in candidates)
        return rank(sample, candidates)

    monkeypatch.setattr(encoding, "rank", listening)
    raw = html(WORDS["zh"]).encode("gb18030")
    assert decode_page(raw, http_charset="gbk").encoding_source == "http"
    assert set(asked) == {"gb18030", "utf-8"}
    assert decode_page(raw, http_charset="big5").encoding == "gb18030"
    assert {"cp932", "koi8-r"} <= set(asked)


@settings(deadline=None)
@given(
    st.lists(
        st.sampled_from([*WORDS["zh"].split(), *WORDS["ja"].split(), "<p>", "Ab", "12", "?x"])
    ),
    st.sampled_from(["gb18030", "cp932", "euc_jp", "utf-8"]),
)
def test_the_sample_keeps_every_foreign_character(words: list[str], codec: str) -> None:
    raw = " ".join(words).encode(codec, "ignore")
    kept = foreign_runs(raw).decode(codec)
    foreign = re.compile(r"[^\x00-\x7f]")
    assert foreign.findall(kept) == foreign.findall(raw.decode(codec))


@pytest.mark.parametrize("codec", ["gb18030", "big5", "shift_jis"])
@pytest.mark.parametrize("gap", [" ", ""])
def test_a_large_page_is_sampled_at_both_ends(codec: str, gap: str) -> None:
    middle = b"<p>plain text</p>" * 20_000
    ends = gap.join(WORDS[CODECS[codec]].split() * 200).encode(codec)
    sample = foreign_runs(ends + middle + ends)
    assert 1000 < len(sample) <= 4096 + 1
    assert quality_of(sample, codec)[1] > 0.4
    hidden = foreign_runs(middle + ends + middle)  # nothing at either end
    assert quality_of(hidden, codec)[1] > 0.4


def test_levels_of_the_standards() -> None:
    table = languages()
    for language, standard in (("zh-Hans", "gb2312-1"), ("zh-Hant", "big5-1")):
        hanzi = {c for c, worth in table[language].items() if worth > 0 and "一" <= c <= "鿿"}
        assert hanzi == set(characters(standard))
    assert len([c for c, worth in table["ko"].items() if worth > 0 and "가" <= c <= "힣"]) == 2350


@settings(deadline=None)
@given(st.binary(min_size=1, max_size=300), st.sampled_from(list(CODECS)))
def test_quality_has_bounds(raw: bytes, codec: str) -> None:
    foreign, quality = quality_of(foreign_runs(raw), codec)
    assert foreign >= 0
    assert -3 <= quality <= 1


def test_the_reason_is_on_the_record(tmp_path: Path) -> None:
    sentence = "，".join(WORDS["zh"].split())
    body = "</p><p>".join(f"{sentence}。{n}" for n in range(20))
    pages = {
        "gbk": html(body, "<meta charset=big5>").encode("gb18030"),
        "plain": html(body, "<meta charset=gbk>").encode(),
        "ascii": html("plain words in a row, and more of them. " * 20).encode(),
        "wide": html(body).encode("utf-16"),
    }
    rows = {}
    for name, content in pages.items():
        (tmp_path / f"{name}.html").write_bytes(content)
        file = {"name": name, "source": "s", "licence": "", "format": "html", "path": "",
                "size": len(content)}  # fmt: skip
        (tmp_path / name).mkdir()
        books = ingest_files(
            [tmp_path / f"{name}.html"],
            {"files": [file], "read": {}, "extract": {}, "part_bytes": 1 << 20, "limit": None},
            tmp_path / name,
        )
        (row,) = pq.read_table(tmp_path / name / books["parts"][0]).to_pylist()
        rows[name] = row
    reason = json.loads(rows["gbk"]["meta"])["encoding"]
    assert rows["gbk"]["encoding"] == "gb18030"
    assert reason["source"] == "detector"
    assert reason["score"] > 0.6 > reason["runner_up_score"]
    told = render({**rows["gbk"], "outcome": "kept", "duplicate": None, "signals": {}})
    assert f"read as gb18030 (detector), score {reason['score']:.2f}; next best" in told
    assert json.loads(rows["wide"]["meta"])["encoding"] == {"source": "bom"}
    for name in ("plain", "ascii"):
        assert json.loads(rows[name]["meta"]) == {"title": "t"}


def test_an_encoding_field_of_the_input_is_its_own() -> None:
    found = {"id": "a", "outcome": "kept", "origin": "f#0", "duplicate": None, "signals": {},
             "text": "t", "encoding": "utf-8"}  # fmt: skip
    for meta in ('{"encoding":"x"}', '{"encoding":{"of":"tape"}}', "{}"):
        assert "read as" not in render({**found, "meta": meta})


def test_why_tells_how_a_dropped_page_was_read(tmp_path: Path) -> None:
    """Dropped by the extractor (a page of images) and by a rule (a page of ten characters)."""
    short = "今天天气很好，我们去公园。"
    pages = {"images": "<p title='今天天气很好我们去公园散步'></p>" * 9, "short": f"<p>{short}</p>"}
    folder = tmp_path / "pages"
    folder.mkdir()
    for name, body in pages.items():
        (folder / f"{name}.html").write_bytes(html(body).encode("gb18030"))
    (folder / "ascii.html").write_text(html(""))
    yanmo = [sys.executable, "-m", "yanmo", "curate"]
    run = tmp_path / "run"
    subprocess.run([*yanmo, "run", str(folder), "-q", "--out", str(run)], check=True)
    for name, rule in (("images", "no_main_content"), ("short", "min_"), ("ascii", "")):
        found = explain(run, f"{name}.html#0")
        assert found["outcome"] == "dropped"
        assert found["rule"].startswith(rule)
        told = render(found)
        if name == "ascii":
            assert found["encoding_reason"] is None
            assert "read as" not in told
        else:
            assert found["encoding"] == "gb18030"
            assert re.search(r"read as gb18030 \(detector\), score \d\.\d\d", told)
    why = [*yanmo, "why", str(run), "short.html#0"]
    assert "read as gb18030 (" in subprocess.run(why, check=True, stdout=-1, text=True).stdout
