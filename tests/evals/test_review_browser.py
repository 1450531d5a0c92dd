"""A reviewer's page in a headless Chromium: keys, reload, download, hostile answers, both kinds."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.browser import Browser
from tests.command import command
from tests.evals.judging import write_answers

HOSTILE = (
    "</script><script>document.title='hit'</script><img src=x onerror=\"document.title='hit'\">"
    "<a href=\"javascript:document.title='hit'\">x</a>\u202e\u2028 {n} **粗** & <b>"
)
IDS = [f"q{k}" for k in range(6)]
VOTED = "document.querySelector('#actions [data-vote][aria-pressed=true]')?.dataset.vote ?? null"
PLACE = "document.querySelector('#place [data-l=en]')?.textContent ?? 'end'"


def export(folder: Path, *arguments: object) -> Path:
    out = folder / "review"
    ended = command("evals", "review", "export", *arguments, "--out", out)
    assert ended.code in (0, "returned"), ended.err
    return out


@pytest.fixture(scope="module")
def review(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six pairs: those of system Gut are good; one of them is hostile."""
    folder = tmp_path_factory.mktemp("pairs")
    good = {i: f"好回答 {i}\n第二行" for i in IDS} | {"q0": HOSTILE}
    texts = {"SystemGut": good, "SystemBad": {i: f"坏 {i}" for i in IDS}}
    files = [
        write_answers(folder / f"{name}.jsonl", answers, reference="参考")
        for name, answers in texts.items()
    ]
    return export(folder, *files, "--repeats", "0")


@pytest.fixture(scope="module")
def ranking(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three prompts with three answers each, to be ranked."""
    folder = tmp_path_factory.mktemp("ranks")
    rows = [{"id": f"r{k}", "prompt": f"问题{k}", "responses": [f"第{j}好" for j in (1, 2, 3)],
             "rank": None} for k in range(3)]  # fmt: skip
    path = folder / "rankings.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return export(folder, path, "--rank")


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Browser]:
    """A fresh browser; at the end it must have complained of nothing and asked for nothing."""
    with Browser(tmp_path / "profile") as started:
        started.look()
        yield started
    assert started.complaints == []
    assert [url for url in started.requests if not url.startswith("blob:")] == []


def downloaded(browser: Browser, folder: Path) -> Path:
    """Press the download button and wait for the file."""
    browser.call("Page.setDownloadBehavior", behavior="allow", downloadPath=str(folder))
    browser.point('[data-go="download"]', click=True)
    path = folder / "votes-reviewer-1.json"
    for _ in range(1200):
        if path.is_file() and path.stat().st_size:
            return path
        browser.run("1")
        time.sleep(0.05)
    raise TimeoutError(path)


def reload_until(browser: Browser, count: str) -> None:
    """Reload, as after a crash. What is stored right before may come late to a new process."""
    for _ in range(50):
        browser.reload()
        if browser.texts("#count") == [count]:
            return
        time.sleep(0.2)
    raise TimeoutError(browser.texts("#count"))


def imported(review: Path, votes: Path, folder: Path) -> dict[str, Any]:
    ended = command("evals", "review", "import", review, votes, "--out", folder / "out", "--json")
    assert ended.code in (0, "returned"), ended.err
    found: dict[str, Any] = ended.json()
    return found


def better(browser: Browser) -> str:
    """The key for the answer that is not bad."""
    texts = browser.texts(".answer .text")
    return "2" if texts[0].startswith("坏") else "1"


@pytest.mark.browser
def test_from_the_first_key_to_the_imported_votes(
    review: Path, browser: Browser, tmp_path: Path
) -> None:
    """Vote by keyboard, reload in the middle, go back and change, download, import."""
    page = review / "reviewer-1.html"
    browser.open(page)
    assert browser.run(PLACE) == "Question 1 of 6"
    for _ in range(3):
        browser.press(better(browser))
    assert browser.run(PLACE) == "Question 4 of 6"
    reload_until(browser, "3 of 6 judged")
    assert browser.run(PLACE) == "Question 4 of 6"
    browser.press("ArrowLeft")
    assert browser.run(VOTED) == better(browser)
    browser.press("0")  # changed its mind
    assert browser.run(PLACE) == "Question 4 of 6"
    browser.press("s")
    browser.press(better(browser))
    browser.press(better(browser))
    assert browser.run(PLACE) == "end"
    assert "Thank you" in browser.texts(".end")[0]
    votes = downloaded(browser, tmp_path)
    (pair,) = imported(review, votes, tmp_path)["pairs"]
    assert (pair["a"], pair["b"]) == ("SystemGut", "SystemBad")
    assert pair["outcomes"] == {"win": 4, "loss": 0, "tie": 1}


@pytest.mark.browser
def test_a_hostile_answer_is_only_text(review: Path, browser: Browser) -> None:
    browser.open(review / "reviewer-1.html")
    for _ in range(6):
        if browser.run("document.querySelector('#view').textContent.includes('onerror')"):
            break
        browser.press("1")
    shown = browser.run("[...document.querySelectorAll('.answer .text')].map(e => e.textContent)")
    assert HOSTILE in shown
    assert browser.run("document.title") == "Which answer is better?"
    assert browser.run("document.querySelectorAll('#view img, #view a, #view b').length") == 0


@pytest.mark.browser
def test_the_policy_stops_a_script_that_got_in(review: Path, tmp_path: Path) -> None:
    """Even if markup were let through: the browser runs our scripts alone."""
    page = tmp_path / "page.html"
    html = (review / "reviewer-1.html").read_text("utf-8")
    bad = "<script>document.title='hit'</script><img src=x onerror=\"document.title='hit'\">"
    page.write_text(html.replace('<section id="view"', bad + '<section id="view"'), "utf-8")
    with Browser(tmp_path / "profile") as browser:
        browser.open(page)
        assert browser.run("document.title") == "Which answer is better?"
        assert sum("Content Security Policy" in c for c in browser.complaints) >= 2
        assert browser.run(PLACE) == "Question 1 of 6"


@pytest.mark.browser
def test_mouse_and_language(review: Path, browser: Browser) -> None:
    browser.open(review / "reviewer-1.html")
    browser.point('[data-to="zh-Hans"]', click=True)
    assert browser.run("document.title") == "哪个回答更好？"
    for selector in ("h1", ".lead", "#place", "#count", "#saved", ".answer h2", "#actions"):
        for text in browser.texts(selector):
            assert not any(w.isascii() and w.isalpha() and w != "s" for w in text.split()), text
    browser.point('#actions [data-vote="2"]', click=True)
    assert browser.texts("#place") == ["第 2 题，共 6 题"]
    browser.point('#actions [data-go="back"]', click=True)
    assert browser.run(VOTED) == "2"
    assert browser.run("document.querySelectorAll('.answer')[1].classList.contains('on')") is True
    browser.point(".question summary", click=True)
    assert browser.texts(".question details .text") == ["参考"]


@pytest.mark.browser
def test_the_end_waits_for_every_question(review: Path, browser: Browser) -> None:
    browser.open(review / "reviewer-1.html")
    for _ in range(5):
        browser.press("ArrowRight")
    browser.press("1")  # the last one, the others are open
    assert browser.run(PLACE) == "Question 6 of 6"
    browser.press("ArrowRight")
    assert browser.run(PLACE) == "Question 6 of 6"
    browser.point('#actions [data-go="open"]', click=True)
    assert browser.run(PLACE) == "Question 1 of 6"


@pytest.mark.browser
def test_ranks_by_keyboard_and_mouse(ranking: Path, browser: Browser, tmp_path: Path) -> None:
    browser.open(ranking / "reviewer-1.html")
    shown = browser.texts(".answer .text")
    for text in shown:  # after each rank the next open answer has the focus
        browser.press(text[1])
    pressed = "[...document.querySelectorAll('.ranks [aria-pressed=true]')].map(e=>e.dataset.rank)"
    assert browser.run(pressed) == [text[1] for text in shown]
    assert browser.run(PLACE) == "Question 1 of 3"
    browser.press("ArrowRight")
    browser.press("9")  # no such rank
    assert browser.run(pressed) == []
    for k in range(3):  # all equally good, by mouse
        browser.point(f'.answer[data-k="{k}"] [data-rank="1"]', click=True)
    assert browser.run(pressed) == ["1", "1", "1"]
    browser.press("ArrowRight")
    browser.press("ArrowDown")
    assert browser.run("document.querySelector('.answer.focus').dataset.k") == "1"
    browser.press("1")
    reload_until(browser, "2 of 3 judged")
    assert browser.run(pressed) == ["1"]  # a ranking half done is kept, but is no vote yet
    votes = downloaded(browser, tmp_path)
    assert len(json.loads(votes.read_text("utf-8"))["votes"]) == 2
    imported(ranking, votes, tmp_path)
    rows = (tmp_path / "out" / "rankings.jsonl").read_text("utf-8").splitlines()
    ranks = sorted(str(json.loads(row)["rank"]) for row in rows)
    assert ranks == ["None", "[1, 1, 1]", "[1, 2, 3]"]


@pytest.mark.browser
@pytest.mark.parametrize("dark", [False, True])
def test_narrow_and_dark(review: Path, browser: Browser, dark: bool) -> None:
    browser.look(width=400, height=800, dark=dark)
    browser.open(review / "reviewer-1.html")
    assert browser.run("document.documentElement.scrollWidth") <= 400
    tops = browser.run("[...document.querySelectorAll('.answer')].map(e=>e.offsetTop)")
    assert tops[1] > tops[0]
    low = browser.run("document.querySelector('#actions').getBoundingClientRect().bottom")
    assert low <= 801


@pytest.mark.browser
def test_votes_of_another_tab_are_shown_and_kept(review: Path, browser: Browser) -> None:
    """What another tab of the page stores comes in here; the next vote here does not undo it."""
    browser.open(review / "reviewer-1.html")
    browser.press("1")
    other = (
        "(()=>{const key=[...Object.keys(localStorage)].find(k=>k.startsWith('yanmo-review-'));"
        "const kept=JSON.parse(localStorage.getItem(key)), ids=JSON.parse(document"
        ".getElementById('data').textContent).items.map(item=>item.id);"
        "kept.votes[ids[4]]='2';const newValue=JSON.stringify(kept);"
        "localStorage.setItem(key,newValue);"
        "window.dispatchEvent(new StorageEvent('storage',{key,newValue}))})()"
    )
    browser.run(other)
    assert browser.texts("#count") == ["2 of 6 judged"]
    assert browser.run(PLACE) == "Question 2 of 6"
    browser.press("0")
    reload_until(browser, "3 of 6 judged")
