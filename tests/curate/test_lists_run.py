"""Address lists and word lists in whole runs: books, equal bytes, what a change redoes, why."""

import hashlib
import json
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import polars as pl
import pytest

from tests.command import command
from tests.conftest import ROOT
from tests.curate.peer_corpus import Ran, essay, run
from yanmo.curate.discover import InputSpec
from yanmo.curate.explain import explain, render
from yanmo.curate.forecast import forecast
from yanmo.curate.inspect_rule import ask
from yanmo.curate.run_recipe import CurateRecipe
from yanmo.curate.runfolder import STABLE
from yanmo.errors import DataError, RecipeError
from yanmo.recipe import load

SAMPLE = ROOT / "fixtures" / "demo" / "*.warc.gz"
NO_TWINS = ("duplicates.exact=false", "duplicates.near=false")
HOSTS = ("qinghe-daily.example", "blog.nuanjin.example")


def toml(*paths: Path) -> str:
    return json.dumps([str(path) for path in paths])


def write_lists(folder: Path) -> tuple[str, ...]:
    """Both kinds of lists over the bundled sample, as settings."""
    (folder / "ut1" / "news").mkdir(parents=True)
    (folder / "ut1" / "news" / "domains").write_text("\n".join(HOSTS) + "\n")
    (folder / "allow.txt").write_text("qinghe-daily.example/zh-storm/1033.html\n")
    (folder / "hard.txt").write_text("vip\n")
    (folder / "words.tsv").write_text("work\t公司\t2\nwork\t研究\t1\nplace\t学校\t1\n", "utf-8")
    return (f"urls.lists={toml(folder / 'ut1')}", f"urls.allow={toml(folder / 'allow.txt')}",
            f"urls.hard_words={toml(folder / 'hard.txt')}", "read.group_files=1",
            f"words.lists={toml(folder / 'words.tsv')}", "rules.words.work=6")  # fmt: skip


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Ran, tuple[str, ...]]:
    """A finished run with both, and its settings; nobody writes into it."""
    folder = tmp_path_factory.mktemp("done")
    settings = write_lists(folder)
    return run(SAMPLE, folder / "run", *settings), settings


@pytest.fixture
def base(done: tuple[Ran, tuple[str, ...]]) -> Ran:
    return done[0]


@pytest.fixture
def lists(tmp_path: Path, base: Ran) -> tuple[str, ...]:
    """The lists and the run once more, for changes: the run is ``tmp_path / "run"``."""
    shutil.copytree(base.folder, tmp_path / "run")
    return write_lists(tmp_path)


def tree(folder: Path) -> dict[str, bytes]:
    """What equal runs have equal."""
    files = [folder / "funnel.json", *(p for name in STABLE for p in (folder / name).glob("*"))]
    return {str(p.relative_to(folder)): p.read_bytes() for p in files if p.is_file()}


def fresh(ran: Ran) -> dict[str, int]:
    return {s: int(n["tasks"] - n["cached"]) for s, n in ran.result.steps.items()
            if n["tasks"] > n["cached"]}  # fmt: skip


def fates(ran: Ran) -> dict[str, tuple[str | None, str]]:
    """Address and outcome of every page by id."""
    kept = ran.table("documents").select("id", "url", pl.lit("kept"))
    gone = ran.table("dropped").select("id", "url", "rule")
    return {i: (url, rule) for i, url, rule in [*kept.rows(), *gone.rows()]}


def test_every_listed_page_and_no_other_is_left_out(tmp_path: Path, lists: tuple[str, ...]) -> None:
    plain = fates(run(SAMPLE, tmp_path / "run", *NO_TWINS, "read.group_files=1"))
    ran = run(SAMPLE, tmp_path / "run", *NO_TWINS, *lists[:4])
    found = fates(ran)
    assert found.keys() == plain.keys()
    wanted = {}
    for name, (url, outcome) in plain.items():
        host = urlsplit(str(url)).hostname or ""
        listed = any(f".{host}".endswith(f".{entry}") for entry in HOSTS)
        if listed and url != "http://www.qinghe-daily.example/zh-storm/1033.html":
            outcome = "url_domain"
        elif not listed and "vip" in host.replace("-", ".").split("."):
            outcome = "url_hard_word"
        wanted[name] = (url, outcome)
    assert found == wanted
    counts = Counter(outcome for _, outcome in found.values())
    assert counts["url_domain"] > 100
    assert counts["url_hard_word"] > 0
    assert ran.funnel["dropped"]["url_domain"] == counts["url_domain"]
    # Nobody decoded them: they add no character to the books, and their text lies in the input.
    assert ran.funnel["characters"]["dropped"]["url_domain"] == 0
    gone = ran.table("dropped").filter(pl.col("step") == "urls")
    assert gone["text"].null_count() == gone.height
    told = json.loads((ran.folder / "manifest.json").read_text("utf-8"))["counts"]["urls"]
    assert told["dropped"]["url_domain"] == {"news": counts["url_domain"]}
    assert (told["pages"], told["allowed"], told["without_url"]) == (len(plain), 1, 0)


def test_equal_bytes_for_two_workers_and_after_a_loss(
    tmp_path: Path, base: Ran, lists: tuple[str, ...]
) -> None:
    held = tree(base.folder)
    assert any(name.startswith("words/part-") for name in held)
    assert tree(run(SAMPLE, tmp_path / "two", *lists, workers=2).folder) == held
    again = run(SAMPLE, tmp_path / "run", *lists)
    assert again.result.fresh == 0  # where the lists lie is no part of what they are
    # Half of the cache is lost, as after a crash: the same command makes the same bytes.
    tasks = sorted(path.parent for path in (again.folder / ".cache").glob("*/*/result.json"))
    for folder in tasks[::2]:
        shutil.rmtree(folder)
    assert tree(run(SAMPLE, again.folder, *lists).folder) == held


def test_stretches_of_one_file_judge_the_same_pages(tmp_path: Path) -> None:
    rows = [{"text": essay(n), "url": f"http://h{n % 7}.example/{n}"} for n in range(120)]
    (tmp_path / "in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "list.txt").write_text("h3.example\n")
    asked = (f"urls.lists={toml(tmp_path / 'list.txt')}", *NO_TWINS)
    one = run(tmp_path / "in.jsonl", tmp_path / "one", *asked)
    many = run(tmp_path / "in.jsonl", tmp_path / "many", *asked, "read.split_bytes=20000")
    assert many.result.steps["urls"]["tasks"] > 3
    assert fates(one) == fates(many)
    assert one.funnel == many.funnel
    assert one.funnel["dropped"]["url_domain"] == 17
    # Text that came decoded is counted: in = kept + dropped.
    chars = sum(len(row["text"]) for row in rows if "//h3." in row["url"])
    assert one.funnel["characters"]["dropped"]["url_domain"] == chars


def test_a_changed_list_redoes_only_what_it_must(tmp_path: Path, lists: tuple[str, ...]) -> None:
    out = tmp_path / "run"
    domains, words = tmp_path / "ut1" / "news" / "domains", tmp_path / "words.tsv"
    domains.write_text("# the same, with a comment\n" + domains.read_text())
    words.write_text("# the same\n" + words.read_text("utf-8"), "utf-8")
    assert fresh(run(SAMPLE, out, *lists)) == {"url-lists": 1, "word-lists": 1}
    # A host that no page has: pages are judged again, and none is read or extracted again.
    domains.write_text(domains.read_text() + "nowhere.example\n")
    assert fresh(run(SAMPLE, out, *lists)) == {"url-lists": 1, "urls": 2}
    # Another word: no text is read but to count words, and what follows from the counts.
    words.write_text(words.read_text("utf-8") + "work\t网络\t1\n", "utf-8")
    steps = fresh(run(SAMPLE, out, *lists))
    assert {"word-lists", "words", "signals", "decide"} <= steps.keys()
    assert not {"ingest", "clean", "measure", "signatures", "addresses", "urls"} & steps.keys()
    # Without lists nothing of what was judged by them comes back.
    assert "url_domain" not in run(SAMPLE, out, "read.group_files=1").funnel["dropped"]


def test_whatif_on_words_is_a_real_run(tmp_path: Path, base: Ran, lists: tuple[str, ...]) -> None:
    extra = 'rules.extra=[{column="n_listed_words.place",max=0,routes=["zh"]}]'
    for moved in (
        [("rules.words.work=2",), ("rules.words.work=off", "rules.zh.max_listed_words=1"), (extra,),
         ("rules.default.max_listed_word_density=1", "rules.zh.max_listed_word_types=0")]
    ):  # fmt: skip
        flags = [part for setting in moved for part in ("--set", setting)]
        ended = command("curate", "whatif", base.folder, *flags, "--json", "-q")
        assert ended.code == 0, ended.err
        real = run(SAMPLE, tmp_path / "run", *lists, *moved)
        early = ("no_main_content", "no_text_left", "url_domain", "url_hard_word")
        gone = {k: v for k, v in real.funnel["dropped"].items() if k not in early}
        assert ended.json()["after"] == {"kept": real.funnel["kept"], **gone}
        assert ended.json()["changed"] > 0


def test_why_names_list_entry_words_and_places(tmp_path: Path, lists: tuple[str, ...]) -> None:
    ran = run(SAMPLE, tmp_path / "run", *lists, "rules.words.work=2")
    url = next(u for u, rule in fates(ran).values() if rule == "url_domain" and "nuanjin" in str(u))
    text = render(explain(ran.folder, str(url)))
    assert "dropped at step urls by url_domain" in text
    assert "found in its address: blog.nuanjin.example (news)" in text
    assert "(left out before it was extracted)" in text
    rule = "max_listed_word_density.work"
    gone = ran.table("dropped").filter(pl.col("rule") == rule)
    found = explain(ran.folder, gone["id"][0])
    told = render(found)
    assert "source of the threshold: set in the recipe" in told
    assert f"{found['value']:.6g}, must be at most 2" in told
    for place in found["words"]:
        assert found["text"][place["start"] : place["end"]] == place["word"]
        assert f"[{place['word']}]" in told
    density = sum(p["weight"] for p in found["words"] if p["category"] == "work") * 1000
    assert found["value"] == pytest.approx(density / len(found["text"]))
    question = ask(ran.folder, rule, route="zh", samples=8)
    assert (question.signal, question.threshold) == ("listed_word_density.work", 2)
    assert {c.kept for c in question.candidates} == {True, False}


def test_pages_without_an_address_pass_and_are_counted(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [{"text": essay(0)}, {"text": essay(1), "url": ""},
                                  {"text": essay(2), "url": "http://bad.example/"}]  # fmt: skip
    (tmp_path / "in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "bad.txt").write_text("bad.example\nlocalhost\n")
    lists = f"urls.lists={toml(tmp_path / 'bad.txt')}"
    ran = run(tmp_path / "in.jsonl", tmp_path / "run", lists)
    assert (ran.funnel["kept"], ran.funnel["dropped"]) == (2, {"url_domain": 1})
    assert "2 of 3 pages have no address and passed [urls]." in ran.result.notes
    assert any("1 lines of the list bad are no entries" in note for note in ran.result.notes)
    trial = run(tmp_path / "in.jsonl", tmp_path / "trial", lists, "limit=2")
    assert trial.funnel["skipped"] == {"limit": 1}
    assert trial.funnel["dropped"] == {}


def test_lists_of_one_name_are_all_told(tmp_path: Path) -> None:
    rows = [{"text": essay(0), "url": "http://h.example/"}]
    (tmp_path / "in.jsonl").write_text(json.dumps(rows[0]) + "\n")
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "list.txt").write_text(f"{folder}.example\n")
    both = toml(*(tmp_path / folder / "list.txt" for folder in "ab"))
    ran = run(tmp_path / "in.jsonl", tmp_path / "run", f"urls.lists={both}", f"words.lists={both}")
    counts = json.loads((ran.folder / "manifest.json").read_text("utf-8"))["counts"]
    hashes = [hashlib.sha256(f"{folder}.example\n".encode()).hexdigest() for folder in "ab"]
    assert [one["sha256"] for one in counts["words"]["lists"]] == hashes
    assert [one["sha256"] for one in counts["urls"]["files"]] == hashes


def test_every_page_may_be_left_out(tmp_path: Path) -> None:
    (tmp_path / "all.txt").write_text(".example\n")
    ran = run(SAMPLE, tmp_path / "run", f"urls.lists={toml(tmp_path / 'all.txt')}")
    assert ran.funnel["kept"] == 0
    assert list(ran.funnel["dropped"]) == ["url_domain"]


def test_mistakes_are_told_before_anything_is_read(
    tmp_path: Path, base: Ran, lists: tuple[str, ...]
) -> None:
    for kind, error, message, settings in (
        ("a", DataError, "no such list", ('words.lists=["no.txt"]',)),
        ("b", DataError, "no such list", ('urls.hard_words=["no.txt"]',)),
        ("c", RecipeError, "Did you mean 'work'", (*lists, "rules.words.wrok=1")),
        ("d", RecipeError, "Did you mean 'n_listed_words.place'",
         (*lists, 'rules.extra=[{column="n_listed_words.plcae",max=1}]')),
    ):  # fmt: skip
        with pytest.raises(error, match=message):
            run(SAMPLE, tmp_path / kind, *settings)
        assert not (tmp_path / kind / "documents").exists()
        assert not list((tmp_path / kind / ".cache").glob("ingest/*"))
    ended = command("curate", "whatif", base.folder, "--set", "rules.words.wrok=1")
    assert ended.code == 2
    assert "Did you mean 'listed_word_density.work'" in ended.err
    ended = command("curate", "whatif", base.folder, "--set", "words.fold_variants=true")
    assert (ended.code, "['words']" in ended.err) == (2, True)


def test_verdicts_of_other_pages_are_refused(tmp_path: Path) -> None:
    """The file was changed between the two readings: that must not drop the wrong page."""
    import pyarrow as pa

    from yanmo.curate.blocked_pages import VERDICTS, BlockedPages
    from yanmo.documents import write_part
    from yanmo.errors import LedgerError

    rows = [{"page": 1, "origin": "a#1", "rule": "r", "matched": "x (y)"}]
    write_part(tmp_path / "v.parquet", pa.Table.from_pylist(rows, VERDICTS))
    blocked = BlockedPages(tmp_path / "v.parquet")
    assert blocked.next(pa.array(["a#0"])) == ([], [])
    with pytest.raises(LedgerError, match="do not line up"):
        blocked.next(pa.array(["a#2"]))


def test_a_forecast_does_not_multiply_lists(tmp_path: Path) -> None:
    """A sample that is the whole input, and lists whose price does not depend on the pages."""
    rows = [{"text": essay(n), "url": f"http://h{n}.example/"} for n in range(5)]
    (tmp_path / "in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "w.txt").write_text("开头\n", "utf-8")
    (tmp_path / "u.txt").write_text("h1.example\n")
    recipe = load(CurateRecipe, None, [f"words.lists={toml(tmp_path / 'w.txt')}",
                                       f"urls.lists={toml(tmp_path / 'u.txt')}"])  # fmt: skip
    recipe = replace(recipe, input=(InputSpec(str(tmp_path / "in.jsonl")),))
    found = forecast(recipe, workers=1)
    assert {"url-lists", "word-lists", "addresses", "urls", "words"} <= found.steps.keys()
    assert sum(found.steps.values()) <= found.took
    assert found.sources[0].dropped == {"url_domain": 1}
