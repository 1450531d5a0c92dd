"""Extraction in a child process: what it extracts, and what a bad page can and cannot do."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from yanmo.curate.extract import BATCH_BYTES, BATCH_PAGES, Extracted, ExtractOptions, Extractor
from yanmo.errors import MissingDependency, UsageError

# An extractor that does to the child what bad pages do, for real.
HOSTILE = """
import ctypes, os, signal, sys, time

def extract(page, options):
    text = page.decode()
    if text == "hang":
        while True:
            pass
    if text == "hang in C":
        ctypes.PyDLL(None).sleep(1000)  # holds the GIL, as a parser may
    if text == "exit":
        os._exit(7)
    if text == "segfault":
        ctypes.string_at(1)
    if text == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if text == "rust":
        os.write(2, b"memory allocation of 99 bytes failed")
        os.abort()
    if text == "eat":
        hoard = []
        while True:
            hoard.append(bytearray(1 << 26))
    if text == "hoard":  # grows the child from page to page
        KEPT.append(bytearray(60 << 20))
    if text == "raise":
        raise ValueError("no such page")
    if text == "once":  # fails in the first child only
        flag = os.environ["YANMO_TEST_FLAG"]
        if not os.path.exists(flag):
            open(flag, "w").close()
            os._exit(9)
    if text == "print":
        print("garbage", flush=True)
        os.write(1, b"garbage")
    if text == "pid":
        return str(os.getpid()), ""
    return "text of " + text, "title"

KEPT = []
"""


@pytest.fixture
def hostile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of the hostile extractor, importable in the child."""
    (tmp_path / "hostile_pages.py").write_text(HOSTILE, encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("YANMO_TEST_FLAG", str(tmp_path / "flag"))
    return "hostile_pages:extract"


@pytest.fixture(scope="module")
def extractor() -> Iterator[Extractor]:
    with Extractor() as running:
        yield running


def good(text: str) -> Extracted:
    return Extracted("ok", f"text of {text}", "title")


ARTICLE = (
    "今天的会议在北京举行，与会代表讨论了新一年的工作计划，并听取了有关部门的报告。" * 4,
    "会议指出，过去一年各项工作取得了明显进展，但仍有许多问题需要解决，大家要继续努力。" * 4,
)
ITEM = "第一，要提高认识，明确责任，把工作落到实处。"
NEWS = f"""<!doctype html><html><head><title> 会议
  新闻 </title><style>.x{{color:red}}</style></head><body>
<nav><ul><li><a href=/>首页</a></li><li><a href=/a>登录</a></li></ul></nav>
<div id="main"><div class="text"><article><h1>标题</h1><p>{ARTICLE[0]}</p>
<p><img src=a alt="图片说明文字">{ARTICLE[1]}</p>
<ul><li>第一，要提高认识，明确责任，把工作落到实处。</li>
<li>第二，要加强检查，发现问题，及时改正。</li></ul></article></div></div>
<script>var secret = 1;</script><footer>版权所有 网站地图</footer></body></html>"""


def test_main_content(extractor: Extractor) -> None:
    (page,) = extractor.extract([NEWS])
    assert page.status == "ok"
    assert page.title == "会议 新闻"
    for paragraph in ARTICLE:
        assert paragraph in page.text.split("\n")
    for unwanted in ("登录", "网站地图", "secret", "color", "图片说明文字", "•"):
        assert unwanted not in page.text
    assert ITEM in page.text.split("\n")  # neither bullet nor indentation


def test_options_reach_the_child() -> None:
    options = ExtractOptions(extractor="resiliparse", alt_texts=True, list_bullets=True)
    with Extractor(options) as extractor:
        (page,) = extractor.extract([NEWS])
    assert "图片说明文字" in page.text
    assert f"• {ITEM}" in page.text
    with Extractor(ExtractOptions(list_bullets=True)) as extractor:
        (page,) = extractor.extract([NEWS])
    assert f"• {ITEM}" in page.text


def test_alternative_texts_are_resiliparse_s() -> None:
    with pytest.raises(UsageError, match=r"alt_texts.*got 'blocks'.*resiliparse"):
        ExtractOptions(alt_texts=True)


def test_preformatted_text_keeps_its_indentation(extractor: Extractor) -> None:
    html = f"<article><p>{ARTICLE[0]}</p><pre>if x:\n    return y\n</pre></article>"
    (page,) = extractor.extract([html])
    assert "    return y" in page.text.split("\n")


def test_order_and_number_across_batches(extractor: Extractor) -> None:
    pages = [f"<p>page {n} {'x' * (n % 7 * 50_000)}</p>" for n in range(3 * BATCH_PAGES)]
    pages[5] = "<p>" + "y" * (BATCH_BYTES + 1) + "</p>"
    texts = [page.text for page in extractor.extract(pages)]
    assert texts[5] == "y" * (BATCH_BYTES + 1)
    del texts[5], pages[5]
    assert texts == [page[3:-4].strip() for page in pages]
    assert extractor.extract([]) == []


def test_empty_pages(extractor: Extractor) -> None:
    results = extractor.extract(["", "<title>t</title><body> <br> </body>", "\ud800<p>a"])
    assert [r.status for r in results] == ["empty", "empty", "ok"]
    assert (results[1].text, results[1].title) == ("", "t")


@pytest.mark.parametrize("name", ["blocks", "resiliparse"])
def test_budgets_decide_exactly(name: str) -> None:
    options = ExtractOptions(extractor=name, max_page_bytes=5000, max_nodes=200, max_depth=50)
    deep = "<html><body>" + "<div>" * 48 + "x" * 300 + "</div>" * 48
    # html, head and body are elements too
    flat = "<html><head></head><body>" + "<p>x</p>" * 197
    pages = [
        "é" * 2500,
        "é" * 2500 + "a",
        flat,
        flat + "<p>x</p>",
        deep,
        deep.replace("<body>", "<body><div>"),
    ]
    with Extractor(options) as extractor:
        results = extractor.extract(pages)
    assert [r.status for r in results] == ["ok", "too_large"] * 3
    assert "5001 bytes, the limit is 5000" in results[1].error
    assert "201 elements, the limit is 200" in results[3].error
    assert "deeper than 50" in results[5].error


@pytest.mark.parametrize(
    ("page", "status", "error"),
    [
        ("exit", "crash", "exit status 7"),
        ("segfault", "crash", "SIGSEGV"),
        ("killed", "memory", "want of memory"),
        ("rust", "memory", "memory allocation of"),
        ("eat", "memory", "300 MB"),
    ],
)
def test_a_page_that_kills_the_child(hostile: str, page: str, status: str, error: str) -> None:
    with Extractor(ExtractOptions(memory_mb=300), function=hostile) as extractor:
        results = extractor.extract(["a", page, "b", page, "c"])
    assert [r.status for r in results] == ["ok", status, "ok", status, "ok"]
    assert error in results[1].error
    assert results[::2] == [good("a"), good("b"), good("c")]
    assert extractor.failures == {status: 4}  # each page had its second chance


@pytest.mark.parametrize("page", ["hang", "hang in C"])
def test_a_page_that_hangs(hostile: str, page: str) -> None:
    with Extractor(ExtractOptions(deadline_seconds=1.0), function=hostile) as extractor:
        results = extractor.extract(["a", page, "b"])
    assert results == [good("a"), Extracted("deadline", error="no result after 1 s"), good("b")]
    assert extractor.failures["deadline"] >= 2  # a busy machine may add a first try


def test_the_second_chance_is_a_fresh_child(hostile: str) -> None:
    with Extractor(function=hostile) as extractor:
        results = extractor.extract(["a", "once", "b"])
    assert results == [good("a"), good("once"), good("b")]
    assert extractor.failures == {"crash": 1}
    # What earlier pages left behind does not count against a page.
    with Extractor(ExtractOptions(memory_mb=300), function=hostile) as extractor:
        assert extractor.extract(["hoard"] * 8) == [good("hoard")] * 8
        assert extractor.failures["memory"] >= 1


def test_an_exception_costs_no_child(hostile: str) -> None:
    with Extractor(function=hostile) as extractor:
        first, bad, last = extractor.extract(["pid", "raise", "pid"])
    assert bad == Extracted("crash", error="ValueError: no such page")
    assert first == last
    assert extractor.failures == {}


def test_what_a_library_prints_does_no_harm(hostile: str) -> None:
    with Extractor(function=hostile) as extractor:
        assert extractor.extract(["print", "b"]) == [good("print"), good("b")]


def test_a_child_that_died_between_calls_is_replaced(hostile: str) -> None:
    with Extractor(function=hostile) as extractor:
        pid = int(extractor.extract(["pid"])[0].text)
        os.kill(pid, signal.SIGKILL)
        assert extractor.extract(["a"]) == [good("a")]


def test_extractor_that_does_not_start() -> None:
    with (
        Extractor(function="yanmo.nowhere:extract") as extractor,
        pytest.raises(
            MissingDependency, match=r"yanmo\.nowhere:extract: the extractor does not start"
        ),
    ):
        extractor.extract(["a"])


def test_the_child_volunteers_for_the_oom_killer_and_ends_with_the_block(hostile: str) -> None:
    with Extractor(ExtractOptions(memory_mb=700), function=hostile) as extractor:
        pid = int(extractor.extract(["pid"])[0].text)
        proc = Path(f"/proc/{pid}")
        if not proc.exists():
            pytest.skip("no /proc here")
        assert (proc / "oom_score_adj").read_text().strip() == "1000"
        limits = (proc / "limits").read_text()
        assert f"{700 << 20}" in limits.split("Max address space")[1].splitlines()[0]
    assert not proc.exists()


@pytest.mark.parametrize("page", ["pid", "hang in C"])
def test_the_child_dies_with_its_parent(hostile: str, tmp_path: Path, page: str) -> None:
    if sys.platform != "linux":
        pytest.skip("a hanging child outlives its parent a little elsewhere than on Linux")
    script = textwrap.dedent(
        """
        import sys
        from yanmo.curate.extract import Extractor
        with Extractor(function="hostile_pages:extract") as extractor:
            print(extractor.extract(["pid"])[0].text, flush=True)
            extractor.extract([sys.argv[1]])
            sys.stdin.read()
        """
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", script, page], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert parent.stdout is not None
    assert parent.stdin is not None
    child = Path("/proc") / parent.stdout.readline().decode().strip()
    assert child.exists()
    parent.kill()
    parent.wait()
    for _ in range(100):
        # The orphan may stay a zombie until whoever inherits it looks.
        if not child.exists() or ") Z" in (child / "stat").read_text():
            break
        time.sleep(0.05)
    else:
        pytest.fail("the child is still running")
    parent.stdout.close()
    parent.stdin.close()


def test_in_a_folder_full_of_shadows(tmp_path: Path) -> None:
    """Neither the parent's folder nor what lies in it is on the child's search path."""
    for name in ("core", "curate", "train", "resiliparse", "json", "struct", "yanmo", "signal"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('shadowed')", encoding="utf-8")
    script = (
        "from yanmo.curate.extract import Extractor\n"
        "with Extractor() as extractor: print(extractor.extract(['<p>seen'])[0].text)"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", script],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.stdout, done.stderr) == ("seen\n", "")


def test_trafilatura_is_a_choice() -> None:
    pytest.importorskip("lxml_html_clean", reason="trafilatura needs it to import")
    options = ExtractOptions(extractor="trafilatura", max_depth=30, max_nodes=300)
    pages = [NEWS, "<html><body>" + "<div>" * 31, "<html><body>" + "<p>x</p>" * 300, ""]
    with Extractor(options) as extractor:
        results = extractor.extract(pages)
    assert [r.status for r in results] == ["ok", "too_large", "too_large", "empty"]
    assert results[0].title == "会议 新闻"
    assert all(paragraph in results[0].text for paragraph in ARTICLE)
    assert "登录" not in results[0].text
