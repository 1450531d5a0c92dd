"""`yanmo vocab compare` as a user types it: tables, JSON, Markdown, the page in a browser."""

import json
import re
from pathlib import Path

import pytest

from tests.browser import Browser
from tests.command import command
from yanmo.vocab.growth_report import percent

ZH = "数据质量决定模型质量。我们一起学习机器学习，国家图书馆在北京。"
EVIL = "</td><script>粗"
MODEL = {"model_type": "llama", "hidden_size": 8, "intermediate_size": 16, "num_hidden_layers": 2,
         "num_attention_heads": 2, "vocab_size": 448, "max_position_embeddings": 64}  # fmt: skip


@pytest.fixture(scope="module")
def documents(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("texts")
    rows = [json.dumps({"text": ZH * (k % 4 + 1) + str(k)}, ensure_ascii=False) for k in range(12)]
    (folder / "zh.jsonl").write_text("\n".join(rows), encoding="utf-8")
    rows = [json.dumps({"text": f"People create features again and again {k}."}) for k in range(9)]
    (folder / f"en{EVIL.replace('/', '')}.jsonl").write_text("\n".join(rows), encoding="utf-8")
    return sorted(folder.iterdir(), reverse=True)


@pytest.fixture(scope="module")
def grown(spm_file: Path, tmp_path_factory: pytest.TempPathFactory, documents: list[Path]) -> Path:
    from yanmo.vocab.extend import ExtendOptions, extend_tokenizer

    out = tmp_path_factory.mktemp("grown") / "grown"
    options = ExtendOptions(add=12, min_count=1, min_documents=1, shrink=True)
    extend_tokenizer(spm_file, [documents[0]], out, options)
    return out


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tiny-model")
    (folder / "config.json").write_text(json.dumps(MODEL))
    return folder


@pytest.fixture(scope="module")
def asked(
    spm_file: Path, grown: Path, chinese_unigram: Path, documents: list[Path], model: Path
) -> list[object]:
    """A command line that asks for all that there is."""
    words = model / "words.txt"
    words.write_text("数据\n模型\n", encoding="utf-8")
    names = [f"base={spm_file}", f"grown={grown}", chinese_unigram, "--text", *documents]
    return ["vocab", "compare", *names, "--curve", "--model", model, "--words", words,
            "--train-tokens", "2T"]  # fmt: skip


@pytest.fixture(scope="module")
def everything(asked: list[object], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of that."""
    out = tmp_path_factory.mktemp("report") / "compare"
    ended = command(*asked, "--out", out)
    assert ended.code == 0, ended.err
    return out


def test_many_texts_after_one_option(spm_file: Path, documents: list[Path]) -> None:
    once = command("vocab", "compare", f"a={spm_file}", "--text", *documents, "--json", "-q")
    each = command("vocab", "compare", f"a={spm_file}", "--json", "--text", documents[0], "--text",
                   documents[1], "-q")  # fmt: skip
    assert once.code == each.code == 0
    assert once.out == each.out
    found = once.json()
    assert [s["slice"] for s in found["slices"]] == ["zh", documents[1].name.removesuffix(".jsonl")]
    assert found["all"]["documents"] == 21
    assert sum(found["mix"].values()) == pytest.approx(1.0)


def test_terminal_and_markdown_say_the_same(
    spm_file: Path, grown: Path, documents: list[Path]
) -> None:
    base = ("vocab", "compare", f"base={spm_file}", f"grown={grown}", "--text", documents[0])
    plain, marked = command(*base), command(*base, "--markdown")
    assert plain.code == marked.code == 0
    (row,) = [line for line in plain.out.splitlines() if line.startswith("grown ") and "(" in line]
    cells = re.split(r"\s{2,}", row.strip())
    (same,) = [line for line in marked.out.splitlines()
               if line.startswith("| grown |") and "(" in line]  # fmt: skip
    assert [cell.strip() for cell in same.strip("|").split("|")] == cells
    assert "zh: 12 documents" in plain.out
    assert "Characters that are one token / several / unknown" in marked.out
    lines = [line for line in marked.out.splitlines() if line.startswith("|")]
    assert all(line.endswith("|") for line in lines)


def test_twice_gives_the_same_bytes(everything: Path, asked: list[object], tmp_path: Path) -> None:
    assert command(*asked, "--out", tmp_path).code == 0
    for name in ("report.json", "report.md", "report.html"):
        assert (tmp_path / name).read_bytes() == (everything / name).read_bytes(), name


def test_the_verdict_stands_with_its_numbers(everything: Path) -> None:
    found = json.loads((everything / "report.json").read_text(encoding="utf-8"))
    worth = found["worth"]
    assert worth["grown"]["verdict"] == "go"
    assert worth["grown"]["new_rows"] == 10
    assert worth["grown"]["extends"] is True
    assert worth["chinese_sp"]["verdict"] == "no-go"  # it loses text
    marked = (everything / "report.md").read_text(encoding="utf-8")
    assert "grown: go. A character costs" in marked
    assert "Quality gain not established by this." in marked
    assert "Assumed: 200,000 tokens" in marked
    curve = found["curves"]["grown"]
    assert f"knee at {curve['knee']} added entries" in marked


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--text", "x.jsonl"], 2, "No TOKENIZER: they stand before --text."),
        (["{spm}", "--text"], 2, "'--text' requires an argument"),
        (["{spm}"], 2, "Missing option '--text'"),
        (["{spm}", "--text", "none.txt"], 2, "none.txt: no such file or folder"),
        (["none", "--text", "{zh}"], 2, "none: no such tokenizer"),
        (["{spm}", "--text", "{zh}", "--limit-bytes", "many"], 2, "'many' is no amount"),
        (["{spm}", "--text", "{zh}", "--train-tokens", "-5"], 2, "'-5' is no amount"),
        (["{spm}", "--text", "{zh}", "--train-tokens", "1G"], 2, "--train-tokens needs --model"),
        (["{spm}", "--text", "{zh}", "--model", "none.json"], 2, "none.json: no such model"),
        (["{spm}", "--text", "{zh}", "--model", "{model}"], 2, "give two or more"),
        (["{spm}", "--text", "{zh}", "--words", "none.txt"], 2, "none.txt: no such word list"),
        (["{spm}", "--text", "{zh}", "--curve"], 2, "no tokenizer here is an extension"),
        (["{spm}", "--text", "{zh}", "--mix", "zb=1"], 2, "--mix zb=1: no such slice. Known: zh."),
        (["{spm}", "--text", "{zh}", "--json", "--markdown"], 2, "exclude each other"),
        (["{spm}", "--text", "{zh}", "--seed", "-1"], 2, "--seed must be zero or more, got -1"),
        (["{spm}", "--text", "{zh}", "--lmit-bytes", "1"], 2, "--limit-bytes"),
        (["{spm}", "--text", "{spm}"], 1, "not UTF-8"),
    ],
)
def test_mistakes(
    spm_file: Path,
    documents: list[Path],
    model: Path,
    arguments: list[str],
    code: int,
    message: str,
) -> None:
    names = {"spm": spm_file, "zh": documents[0], "model": model}
    ended = command("vocab", "compare", *(a.format(**names) for a in arguments))
    assert (ended.code, message in ended.err) == (code, True), ended.err
    assert "Traceback" not in ended.err
    assert ended.out == ""


def test_the_first_must_be_the_models_own(
    spm_file: Path, english_bytes: Path, documents: list[Path], tmp_path: Path
) -> None:
    (tmp_path / "config.json").write_text(json.dumps({**MODEL, "vocab_size": 64}))
    ended = command("vocab", "compare", spm_file, english_bytes, "--text", documents[0], "--model",
                    tmp_path)  # fmt: skip
    assert ended.code == 2
    assert re.search(r"the first tokenizer has \d+ ids, the model 64 rows", ended.err)


def test_shares_in_words() -> None:
    assert [percent(s) for s in (None, 0.0, 1.0, 0.5, 0.00001, 0.99999)] == [
        "–", "0.0 %", "100.0 %", "50.0 %", "< 0.1 %", "99.9 %"]  # fmt: skip


def test_the_page_is_whole_and_escaped(everything: Path) -> None:
    html = (everything / "report.html").read_text(encoding="utf-8")
    assert "<script" not in html
    assert EVIL.replace("/", "").replace("<", "&lt;").replace(">", "&gt;") in html
    assert not re.search(r"https?://", html)
    for anchor in ("tokenizers", "fertility", "slices", "characters", "curve", "worth", "how"):
        assert f'id="{anchor}"' in html
        assert f'href="#{anchor}"' in html


@pytest.mark.browser
def test_the_page_in_a_browser(everything: Path, tmp_path: Path) -> None:
    """It renders without a script of its own, and no table is wider than the page."""
    with Browser(tmp_path / "profile") as page:
        page.look(width=1100)
        page.open(everything / "report.html")
        # Two slices, one curve with a line for the mix and for each slice.
        assert page.run("document.querySelectorAll('svg').length") == 3
        assert page.run("document.querySelectorAll('polyline').length") == 3
        assert page.run("document.documentElement.scrollWidth") <= 1100
        assert page.run(
            "[...document.querySelectorAll('td')].every(c=>c.getBoundingClientRect().width>0||"
            "!c.checkVisibility())"
        )
        shown = page.run("document.body.textContent")
        assert "entries added to the base" in shown
        assert "identical ids" in shown
        assert page.complaints == []
        assert page.requests == []
