"""The page of `yanmo vocab view` in a headless Chromium: keys, mouse, hostile text, no network."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.browser import Browser
from yanmo.vocab.load import load_tokenizer
from yanmo.vocab.view import build
from yanmo.vocab.view_page import view_page

HOSTILE = (
    "数据 people 龘\n</script><img src=x onerror=document.title='hit'>\n\u202eabc\u202c \u0301x "
    "\0\x07 𠮷 👩\u200d👧\n"
)
SELECTED = "[document.activeElement.dataset.k, document.activeElement.dataset.i].join()"


@pytest.fixture(scope="module")
def page(byte_folder: Path, english_spm: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page of two tokenizers over a hostile text."""
    panels = build([load_tokenizer(english_spm), load_tokenizer(byte_folder)], HOSTILE, base=0)
    path = tmp_path_factory.mktemp("view") / "page.html"
    path.write_text(view_page(panels, base=0), encoding="utf-8")
    return path


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Browser]:
    """A fresh browser; at the end it must have complained of nothing and asked for nothing."""
    with Browser(tmp_path / "profile") as started:
        started.look()
        yield started
    assert started.complaints == []
    assert started.requests == []


@pytest.mark.browser
def test_a_hostile_text_is_only_text(page: Path, browser: Browser) -> None:
    browser.open(page)
    assert browser.run("document.title") == "One text, 2 tokenizers"
    assert browser.run("document.querySelectorAll('#view img').length") == 0
    for panel in range(2):  # every character is there, shown as itself or as a sign
        cells = browser.run(
            f"[...document.querySelectorAll('.line')].map(l=>l.children[{panel}].children[1]"
            ".textContent).join('')"
        )
        assert "img" in cells.replace("·", "")
        for sign in ("U+202E", "NUL", "U+0007", "\u25cc\u0301", "ZWJ", "𠮷", "👩", "⏎"):
            assert sign in cells, (panel, sign)


@pytest.mark.browser
def test_keys_walk_and_open(page: Path, browser: Browser) -> None:
    browser.open(page)
    browser.run("document.querySelector('#view .t').focus()")
    assert browser.run(SELECTED) == "0,0"
    browser.press("ArrowRight")
    assert browser.run(SELECTED) == "0,1"
    browser.press("ArrowDown")
    assert browser.run(SELECTED).startswith("1,")
    assert browser.run("document.querySelectorAll('.t.on').length") > 1
    browser.press("End")
    last = browser.run("panels[1].ids.length - 1")
    assert browser.run(SELECTED) == f"1,{last}"
    browser.press("Home")
    assert browser.run("details.hidden") is True
    browser.press("Enter")
    assert browser.run("details.hidden") is False
    assert browser.texts("#details dt")[:1] == ["id"]
    browser.press("Escape")
    assert browser.run("details.hidden") is True
    assert browser.run(SELECTED) == "1,0"


@pytest.mark.browser
def test_a_click_shows_the_merge_tree(page: Path, browser: Browser) -> None:
    browser.open(page)
    place = browser.run("panels[1].ids.findIndex(id => panels[1].entries[id][LEFT] !== null)")
    browser.point(f'.t[data-k="1"][data-i="{place}"]', click=True)
    piece = browser.run(f"panels[1].entries[panels[1].ids[{place}]][PIECE]")
    assert piece in browser.texts("#details dd")
    leaves = "[...document.querySelectorAll('.tree li:not(:has(ul)) > .node')]"
    count = browser.run(f"{leaves}.length")
    size = browser.run(f"panels[1].entries[panels[1].ids[{place}]][HEX].length / 2")
    assert count == size > 1
    browser.point(".tree li li .node", click=True)  # a part is an entry of its own
    assert browser.run("document.querySelector('#details dd').innerText") != str(
        browser.run(f"panels[1].ids[{place}]")
    )
    browser.point("#details .close", click=True)
    assert browser.run("details.hidden") is True


@pytest.mark.browser
def test_the_same_characters_light_up_everywhere(page: Path, browser: Browser) -> None:
    browser.open(page)
    place = browser.run("Array.from(data.text).indexOf('龘')")
    token = browser.run(f"tokensAt(1, {place}, {place + 1})[0]")
    browser.point(f'.t[data-k="1"][data-i="{token}"]')
    lit = "[...document.querySelectorAll('.t.on')].filter(e=>e.dataset.k==={k!r}).length"
    assert browser.run(lit.format(k="0")) == 3
    assert browser.run(lit.format(k="1")) >= 1
    (strip,) = browser.texts("#strip .now")
    assert "E9" in strip
    assert "BE" in strip
    assert browser.run("document.querySelector('.g .c').textContent") != ""


@pytest.mark.browser
def test_search_by_id_and_by_text(page: Path, browser: Browser) -> None:
    browser.open(page)
    for wanted in ("数据", str(browser.run("panels[1].ids[0]"))):
        browser.run("box.value='';box.focus()")
        browser.type(wanted)
        assert browser.run("document.querySelectorAll('#hits button').length") >= 1
        browser.press("Enter")
        assert browser.run("details.hidden") is False
        shown = browser.texts("#details dd")
        assert wanted in shown or wanted in browser.texts("#details h3 span")[0]
    browser.run("box.value='';box.focus()")
    browser.type("nothing like it")
    assert browser.texts("#hits") == ["0 entries of this page:"]


@pytest.mark.browser
def test_the_switch_leaves_no_english(page: Path, browser: Browser) -> None:
    browser.open(page)
    browser.point("#view .t", click=True)
    browser.point('[data-to="zh-Hans"]', click=True)
    assert browser.run("document.documentElement.lang") == "zh-Hans"
    assert browser.run("document.title") == "同一文本，2 个分词器"
    for selector in ("h2", "th", "#details dt", "legend", ".tools label", ".legend", "#base ~ p"):
        for text in browser.texts(selector):
            rest = text.replace("UNK", "").replace("ab", "").replace("cd", "").replace("E5", "")
            for name in ("tokenizer", "byte", "AD"):
                rest = rest.replace(name, "")
            assert not any(word.isascii() and word.isalpha() for word in rest.split()), text
    assert browser.run("box.placeholder") == "词元编号、文本或词表写法"
    browser.open(page)  # the choice is remembered
    assert browser.run("document.documentElement.lang") == "zh-Hans"
    browser.point('[data-to="en"]', click=True)
    assert browser.run("box.placeholder") == "id, text or spelling of a token"


@pytest.mark.browser
@pytest.mark.parametrize("dark", [False, True])
def test_narrow_and_dark(page: Path, browser: Browser, dark: bool) -> None:
    """At 400 pixels the tokenizers are stacked, nothing is wider than the page, ink is readable."""
    browser.look(width=400, height=800, dark=dark)
    browser.open(page)
    assert browser.run("view.classList.contains('stacked')") is True
    assert browser.run("document.documentElement.scrollWidth") <= 400
    for element in (".t.a", ".t.b"):
        ratio = browser.run(CONTRAST.replace("SELECTOR", element))
        assert ratio >= 4.5, (element, ratio)


CONTRAST = """(() => {
  view.classList.remove("fade");
  const style = getComputedStyle(document.querySelector("#view SELECTOR"));
  const light = colour => {
    const [r, g, b] = colour.match(/[\\d.]+/g).map(v => v / 255)
      .map(v => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b + 0.05;
  };
  const pair = [light(style.color), light(style.backgroundColor)].sort((a, b) => b - a);
  return pair[0] / pair[1];
})()"""
