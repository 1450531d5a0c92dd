"""Pages judged by their address: the form of an address, the lists, and the rules one by one."""

import gzip
import io
import re
import tarfile
from pathlib import Path
from typing import Any
from urllib.parse import quote

import idna
import numpy as np
import pyarrow as pa
import pytest
import zstandard
from hypothesis import example, given, settings
from hypothesis import strategies as st

from yanmo.curate.run_recipe import CurateRecipe
from yanmo.curate.url_filter import INDEX_FILES, Index, judge, load_index
from yanmo.curate.url_keys import normalize_addresses, unicode_host
from yanmo.curate.url_lists import compile_lists, find_lists
from yanmo.curate.url_options import UrlOptions
from yanmo.errors import DataError, RecipeError, UsageError
from yanmo.recipe import from_table


def normal(*urls: str | bytes) -> list[str]:
    """Addresses in the form in which they are compared."""
    raw = [url.encode() if isinstance(url, str) else url for url in urls]
    ends = np.cumsum([0, *map(len, raw)], dtype=np.int64)
    buffer = np.frombuffer(b"".join(raw), np.uint8)
    found = normalize_addresses(buffer, ends[:-1], ends[1:])
    return [found.address(row).decode("utf-8", "replace") for row in range(len(urls))]


def index_of(folder: Path, **options: Any) -> tuple[Index, dict[str, Any]]:
    """Compile lists; values are contents of one file, or of files by path."""
    paths: dict[str, Any] = {}
    for key, content in options.items():
        root = folder / key
        root.mkdir(exist_ok=True)
        files = content if isinstance(content, dict) else {f"{key}.txt": content}
        for name, text in files.items():
            (root / name).parent.mkdir(exist_ok=True)
            (root / name).write_text(text, "utf-8")
        paths[key] = [str(root)]
    return compiled(folder, UrlOptions(**{"lists": (), **paths}))


def compiled(folder: Path, options: UrlOptions) -> tuple[Index, dict[str, Any]]:
    files = find_lists(options)
    out = folder / f"out{len(list(folder.glob('out*')))}"
    out.mkdir()
    parameters = {"files": [[f.kind, f.name, f.path.name] for f in files],
                  "categories": list(options.categories)}  # fmt: skip
    told = compile_lists([f.path for f in files], parameters, out)
    return load_index(*(out / name for name in INDEX_FILES)), told


def verdicts(index: Index, *urls: str | None, soft: int = 1, below: bool = False) -> list[Any]:
    """``rule: matched`` of each address, None for one that passes."""
    found = judge(pa.array(urls, pa.string()), index, max_soft_words=soft, below=below)
    by_row = {row["page"]: f"{row['rule']}: {row['matched']}" for row in found.rows}
    return [by_row.get(row) for row in range(len(urls))]


@pytest.mark.parametrize(
    ("url", "wanted"),
    [
        ("HTTP://user:pass@www.%45vil.COM.:8080/a%7Eb/?q=%41#top", "evil.com/a~b?q=a"),
        ("http://例子.com/路", "xn--fsqu00a.com/路"),
        ("http://XN--FSQU00A.com/%E8%B7%AF", "xn--fsqu00a.com/路"),
        ("http://ＥＶＩＬ。ｃｏｍ/x", "evil.com/x"),
        ("https://WWW.例子.com./", "xn--fsqu00a.com"),
        ("http://bücher.de", "xn--bcher-kva.de"),
        ("http://中_文.com", "xn--_-kq6a506e.com"),  # forbidden by IDNA, and resolved all the same
        ("//a.b/c/", "a.b/c"),
        ("a.b:80/c", "a.b/c"),
        ("http://www.com/", "www.com"),
        ("http://[2001:DB8::1]:80/x", "[2001:db8::1]/x"),
        ("http://user@x:p@h.com/@y", "h.com/@y"),
        ("http://a.com?", "a.com"),
        ("http://a.com/%", "a.com/%"),
        ("http://a.com/%2541", "a.com/%41"),  # once, not twice
        ("  http://a.com/x \n", "a.com/x"),
        ("", ""),
        ("http://", ""),
    ],
)
def test_form_of_an_address(url: str, wanted: str) -> None:
    assert normal(url) == [wanted]
    assert normal("http://first.org", url, "http://last.org/") == ["first.org", wanted, "last.org"]


@given(st.lists(st.binary(max_size=40), max_size=5))
def test_any_bytes_are_an_address_of_some_kind(urls: list[bytes]) -> None:
    assert [normal(url)[0] for url in urls] == normal(*urls)


@settings(deadline=None)
@given(st.lists(st.text(st.sampled_from("abc中文éß-"), min_size=1, max_size=8), min_size=1,
                max_size=3))  # fmt: skip
@example(["中文", "com"])
def test_punycode_is_that_of_idna(labels: list[str]) -> None:
    host = ".".join(labels)
    try:
        wanted = idna.encode(host, uts46=True).decode()
    except idna.IDNAError:
        return
    assert normal(f"http://{host}/") == [wanted.removeprefix("www.")]
    assert unicode_host(wanted) == idna.decode(wanted)
    assert normal(f"http://{quote(host)}/") == normal(f"http://{wanted.upper()}:80/")


HOSTS = st.lists(st.text(st.sampled_from("ab1-"), min_size=1, max_size=2), min_size=2,
                 max_size=4).map(".".join)  # fmt: skip


@settings(max_examples=25, deadline=None)
@given(listed=st.sets(HOSTS, min_size=1, max_size=12), asked=st.lists(HOSTS, max_size=12))
def test_domains_hold_what_lies_below_them(
    tmp_path_factory: pytest.TempPathFactory, listed: set[str], asked: list[str]
) -> None:
    index, _ = index_of(tmp_path_factory.mktemp("l"), lists="\n".join(sorted(listed)))

    def wanted(host: str) -> str | None:
        labels = host.split(".")
        if labels[-1].isdigit():  # an address of numbers lies in no domain
            return f"url_domain: {host} (lists)" if host in listed else None
        tails = (".".join(labels[at:]) for at in range(len(labels) - 1))
        return next((f"url_domain: {tail} (lists)" for tail in tails if tail in listed), None)

    assert verdicts(index, *(f"http://{host}/x" for host in asked)) == list(map(wanted, asked))


def test_fifty_thousand_domains_against_a_set(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    names = [f"{a:x}.{b:x}.org" for a, b in rng.integers(0, 1 << 12, (60_000, 2)).tolist()]
    listed, asked = set(names[:50_000]), names[40_000:]
    index, told = index_of(tmp_path, lists="\n".join(sorted(listed)))
    assert told["entries"]["domains"] == len(listed)
    found = verdicts(index, *(f"http://{name}" for name in asked))
    assert [one is not None for one in found] == [name in listed for name in asked]


def test_addresses_of_lists_whole_or_with_what_lies_below(tmp_path: Path) -> None:
    index, _ = index_of(tmp_path, lists={"a/urls": "http://Blog.com/~Ann/\nx.org/p?q=1\nhome.org\n",
                                         "b/domains": "up.net/page\n"})  # fmt: skip
    urls = ["http://www.blog.com/%7Eann", "http://blog.com/~ann/2020/", "http://blog.com/~anna",
            "http://x.org/p?q=1#z", "http://x.org/p?q=12", "http://home.org/", "http://home.org/x",
            "http://up.net/page", "http://up.net/"]  # fmt: skip
    whole = [u is not None for u in verdicts(index, *urls)]
    assert whole == [True, False, False, True, False, True, False, True, False]
    below = [u is not None for u in verdicts(index, *urls, below=True)]
    assert below == [True, True, False, True, False, True, True, True, False]
    assert verdicts(index, urls[1], below=True) == ["url_address: blog.com/~ann (a)"]


def test_the_allow_list_wins(tmp_path: Path) -> None:
    allow = "good.bad.com\nbad.com/about\nworse.com\nporn-history.edu\n"
    index, _ = index_of(tmp_path, lists="bad.com\nworse.com\n", hard_words="porn\n", allow=allow)
    urls = ["http://bad.com/x", "http://a.good.bad.com/porn", "http://bad.com/about/",
            "http://sub.worse.com/", "http://porn-history.edu/porn", None, ""]  # fmt: skip
    assert verdicts(index, *urls) == ["url_domain: bad.com (lists)"] + [None] * 6
    told = judge(pa.array(urls, pa.string()), index, max_soft_words=1, below=False)
    assert (told.allowed, told.without) == (4, 2)


def test_words_of_three_strengths(tmp_path: Path) -> None:
    index, _ = index_of(tmp_path, hard_words="porn\n博彩\n", soft_words="free\ngirls\ncasino\n",
                        subwords="pornhub\n老虎机\n")  # fmt: skip
    hard, soft, sub = "url_hard_word", "url_soft_words", "url_subword"
    cases = {
        "http://x.com/PORN-list": f"{hard}: porn (hard_words)",
        "http://x.com/pornography": None,
        "http://x.com/%E5%8D%9A%E5%BD%A9%E7%BD%91": f"{hard}: 博彩 (hard_words)",
        "http://澳门博彩.com/": f"{hard}: 博彩 (hard_words)",
        f"http://{idna.encode('澳门博彩').decode()}.com/": f"{hard}: 博彩 (hard_words)",
        "http://free.com/girls": f"{soft}: free, girls (soft_words)",
        # The same word twice is one: a free-software site is no reason to drop.
        "http://free.com/free/free-software": None,
        "http://x.com/carefree/girlsschool": None,
        "http://my-porn.hub.com/": f"{hard}: porn (hard_words)",
        "http://p-o-r-n.hub.com/": f"{sub}: pornhub (subwords)",
        "http://xpornhubx.com/": f"{sub}: pornhub (subwords)",
        "http://x.com/老/虎-机": f"{sub}: 老虎机 (subwords)",
    }
    assert dict(zip(cases, verdicts(index, *cases), strict=True)) == cases
    assert verdicts(index, "http://free.com/girls", soft=2) == [None]
    row = judge(pa.array(["http://free.com/girls/casino"]), index, max_soft_words=1, below=False)
    assert (row.rows[0]["value"], row.rows[0]["threshold"]) == (3.0, 1.0)


def test_expressions_are_linear_and_told(tmp_path: Path) -> None:
    expressions = "(^|[-./])(casino|poker)[0-9]*\\.\n(a+)+$\n(bad\n(\\w)\\1\n.*\n"
    index, told = index_of(tmp_path, lists={"x/expressions": expressions})
    assert (told["expressions"], told["unusable"]) == (2, 3)
    slow = "http://x.com/" + "a" * 50_000 + "!"
    assert verdicts(index, "http://my-CASINO88.com/", "http://casinos.org/", slow, None) == [
        r"url_expression: (^|[-./])(casino|poker)[0-9]*\. (x)", None, None, None]  # fmt: skip


def test_forms_of_lines(tmp_path: Path) -> None:
    text = ("\ufeff# a comment\n0.0.0.0 ads.example  # tracker\n127.0.0.1\tlocal.example\n"
            "::1 six.example\n*.star.example\n.xxx\nwww.w.example\n1.2.3.4\n[::1]\n"
            "https://u.example/\n\r\n  pad.example \r\n"
            "localhost\n||adblock.example^\nfoo bar\nx,y\n")  # fmt: skip
    index, told = index_of(tmp_path, lists=text)
    counts = told["lists"]["lists"]
    assert counts == {"entries": 10, "unusable": 4,
                      "such_as": ["localhost", "||adblock.example^", "foo bar", "x,y"]}  # fmt: skip
    dropped = ["http://a.ads.example", "http://local.example", "http://six.example",
               "http://a.star.example", "http://any.xxx/", "http://w.example/p", "http://1.2.3.4/x",
               "http://[::1]:8/", "http://u.example/q", "http://pad.example"]  # fmt: skip
    assert all(verdicts(index, *dropped))
    passes = [
        "http://example/",
        "http://7.1.2.3.4/",
        "http://xads.example",
        "http://com/",
        "http://a/",
    ]
    assert not any(verdicts(index, *passes))


def archive(folder: Path, name: str, files: dict[str, str]) -> Path:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as tar:
        for path, text in files.items():
            info = tarfile.TarInfo(path)
            info.size = len(text.encode())
            tar.addfile(info, io.BytesIO(text.encode()))
        link = tarfile.TarInfo("blacklists/porn")
        link.type, link.linkname = tarfile.SYMTYPE, "adult"
        tar.addfile(link)
    (folder / name).write_bytes(gzip.compress(data.getvalue()))
    return folder / name


UT1 = {"blacklists/adult/domains": "adult.example\nboth.example\n",
       "blacklists/adult/usage": "black\n",
       "blacklists/games/domains": "both.example\nplay.example\n",
       "blacklists/bank/domains": "bank.example\n", "blacklists/bank/usage": "white\n",
       "blacklists/adult/expressions": "sex\n"}  # fmt: skip


@pytest.mark.parametrize("form", ["tar.gz", "tgz", "folder"])
def test_categories(tmp_path: Path, form: str) -> None:
    if form == "folder":
        for path, text in UT1.items():
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / path).write_text(text)
        (tmp_path / "blacklists" / "aaa-link").symlink_to("games")
        place = tmp_path / "blacklists"
    else:
        place = archive(tmp_path, f"ut1.{form}", UT1)
    urls = ["http://both.example", "http://play.example", "http://bank.example", "http://sex.com"]
    every, _ = compiled(tmp_path, UrlOptions(lists=(str(place),)))
    assert verdicts(every, *urls) == ["url_domain: both.example (adult)",
        "url_domain: play.example (games)", None, "url_expression: sex (adult)"]  # fmt: skip
    some, _ = compiled(tmp_path, UrlOptions(lists=(str(place),), categories=("bank", "games")))
    assert verdicts(some, *urls) == ["url_domain: both.example (games)",
        "url_domain: play.example (games)", "url_domain: bank.example (bank)", None]  # fmt: skip
    with pytest.raises(UsageError, match="Did you mean 'games'"):
        compiled(tmp_path, UrlOptions(lists=(str(place),), categories=("game", "adult")))


def test_files_that_are_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken.tar.gz").write_bytes(gzip.compress(b"no archive" * 100))
    (tmp_path / "none.txt").write_text("localhost\n||x^\n")
    archive(tmp_path, "other.tar.gz", {"readme": "x"})
    for name, message in (("missing.txt", "no such list"), ("empty", "holds no list"),
                          ("broken.tar.gz", "cannot read the archive"),
                          ("none.txt", "no line of the list is an entry, got 'localhost'"),
                          ("other.tar.gz", "the archive holds no list")):  # fmt: skip
        with pytest.raises(DataError, match=re.escape(message)):
            compiled(tmp_path, UrlOptions(lists=(str(tmp_path / name),)))


def test_lists_that_would_do_nothing_are_refused(tmp_path: Path) -> None:
    """White lists alone: a run with them would look like one in which no page is listed."""
    (tmp_path / "bank").mkdir()
    (tmp_path / "bank" / "domains").write_text("bank.example\n")
    (tmp_path / "bank" / "usage").write_text("white\n")
    (tmp_path / "good.txt").write_text("x.example\n")
    white = {k: v for k, v in UT1.items() if "bank" in k}
    packed = archive(tmp_path, "white.tar.gz", white)
    for place in (tmp_path / "bank", packed):
        asked = (str(tmp_path / "good.txt"), str(place))
        with pytest.raises(DataError, match=r"no.* black list.*urls\.categories"):
            compiled(tmp_path, UrlOptions(lists=asked))
        index, _ = compiled(tmp_path, UrlOptions(lists=asked, categories=("bank",)))
        assert verdicts(index, "http://bank.example") == ["url_domain: bank.example (bank)"]


def test_a_category_is_judged_file_by_file(tmp_path: Path) -> None:
    """One bad line among the domains does not make an empty list of addresses a wrong one."""
    files = {"x/domains": "ok.example\nlocalhost\n", "x/urls": "# none yet\n"}
    index, told = index_of(tmp_path, lists=files)
    assert told["lists"]["x"] == {"entries": 1, "unusable": 1, "such_as": ["localhost"]}
    assert verdicts(index, "http://ok.example/1") == ["url_domain: ok.example (x)"]
    with pytest.raises(DataError, match=r"no line of the list is an entry, got '\|\|b\^'"):
        index_of(tmp_path, lists={"y/domains": "localhost\na.example\n", "y/urls": "||b^\n"})


def test_packed_archives_that_are_cut(tmp_path: Path) -> None:
    whole = archive(tmp_path, "ut1.tar.gz", UT1).read_bytes()
    for name, data in (("a.tar.gz", whole[:-40]), ("b.tgz", whole[:-40]),
                       ("c.tar.gz", whole[:20] + b"\xff" * 40 + whole[60:]),
                       ("d.tar.zst", zstandard.compress(gzip.decompress(whole))[:-9]),
                       ("e.tar", gzip.decompress(whole)[:600])):  # fmt: skip
        (tmp_path / name).write_bytes(data)
        with pytest.raises(DataError, match=rf"{name}: cannot read the"):
            compiled(tmp_path, UrlOptions(lists=(str(tmp_path / name),)))


def test_an_expression_that_fits_all_addresses_is_none(tmp_path: Path) -> None:
    text = "x*\n(porn)?\n\\w*\n.\nporn+\n"
    index, told = index_of(tmp_path, lists={"x/expressions": text})
    assert (told["expressions"], told["unusable"]) == (1, 4)
    assert verdicts(index, "http://good.example/") == [None]


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"list": ["x"]}, "Did you mean 'lists'"),
        ({"allow": ["x"]}, "allows what nothing drops"),
        ({"categories": ["x"]}, "which is empty"),
        ({"max_soft_words": -1, "soft_words": ["x"]}, "must lie in 0"),
    ],
)
def test_recipes_that_are_refused(table: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError, match=re.escape(message)):
        from_table(CurateRecipe, {"urls": table}, where="test")
