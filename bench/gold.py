"""Gold sets for main content: pages, what a reader calls the article, snippets to keep and to drop.

Three sets, read from the archives of ``$YANMO_REALDATA/html``; none of their text is committed:

- ``articles``: article-extraction-benchmark: news, most of it English, with the gold text of each;
- ``snippets``: trafilatura's own set, German, English and other pages of every kind, with snippets
  that must and must not come out.
- ``chinese``: Chinese news pages. Which paragraphs are the article was decided by looking at each
  page in a browser, before any extractor was run; ``labels/chinese-news.json`` holds the marks.

**The rule of the Chinese labels** (that of article-extraction-benchmark): gold is the body of the
article, without headline, subtitle, date, source and byline above it; with the subheadings, image
captions, verse, code and lists within, and with a closing credit of the writers that stands in the
body. Not gold: the line of the editor (责任编辑), notices of the site, pagers, tags, links to other
pages, comments, and an abstract above the body that repeats its sentences. Pages were drawn one a
site with a fixed seed; a list of threads, which has no article, was passed over.

Every set falls into two halves by the hash of the page's name. What is tuned is tuned on ``dev``.
"""

import gzip
import hashlib
import json
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, Final

import zstandard

SETS: Final = ("articles", "snippets", "chinese")
HALVES: Final = ("dev", "test")
LABELS: Final = Path(__file__).resolve().parent / "labels" / "chinese-news.json"

_UNSEEN: Final = frozenset({"script", "style", "title", "noscript", "template", "textarea"})
_INVISIBLE: Final = dict.fromkeys(map(ord, "\u200b\u200c\u200d\ufeff\u2060"))


@dataclass(frozen=True, slots=True)
class GoldPage:
    """One page and what is known about it.

    Attributes:
        name: path in its archive.
        half: ``dev`` or ``test``.
        html: the page as UTF-8.
        text: the gold text, None where only snippets are known.
        wanted: snippets that must come out (white space does not count).
        unwanted: snippets that must not.
    """

    name: str
    half: str
    html: bytes
    text: str | None
    wanted: tuple[str, ...] = ()
    unwanted: tuple[str, ...] = ()


def half_of(name: str) -> str:
    """``dev`` or ``test``, by the lowest bit of the SHA-256 of a page's name."""
    return HALVES[hashlib.sha256(name.encode()).digest()[-1] & 1]


def load(which: str, realdata: Path) -> list[GoldPage]:
    """All pages of a set, sorted by name.

    Args:
        which: one of ``SETS``.
        realdata: the folder of real data.

    Raises:
        KeyError: no such set.
        ValueError: a page is not the one that was labelled, or a mark fits nowhere.
    """
    readers = {"articles": _articles, "snippets": _snippets, "chinese": _chinese}
    return sorted(readers[which](realdata / "html"), key=lambda page: page.name)


def squeezed(text: str) -> str:
    """Text without white space and invisible characters: what snippets and marks count in."""
    return "".join(text.translate(_INVISIBLE).split())


def visible_text(html: str) -> str:
    """All text of a page in the order of its source, squeezed; no extractor, just the parser."""
    parser = _Text()
    parser.feed(html)
    parser.close()
    return squeezed("".join(parser.pieces))


class _Text(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.pieces: list[str] = []
        self._unseen = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in _UNSEEN and not self._unseen:
            self._unseen = tag

    def handle_endtag(self, tag: str) -> None:
        if tag == self._unseen:
            self._unseen = ""

    def handle_data(self, data: str) -> None:
        if not self._unseen:
            self.pieces.append(data)


def _files(archive: Path) -> Iterator[tuple[str, bytes]]:
    with (
        archive.open("rb") as raw,
        zstandard.ZstdDecompressor().stream_reader(raw) as plain,
        tarfile.open(fileobj=plain, mode="r|") as tar,
    ):
        for member in tar:
            if member.isfile() and (file := tar.extractfile(member)) is not None:
                yield member.name.removeprefix("./"), file.read()


def _articles(folder: Path) -> Iterator[GoldPage]:
    files = dict(_files(folder / "article-extraction-benchmark.tar.zst"))
    truth = json.loads(files["ground-truth.json"])
    for name, data in files.items():
        key = name.removeprefix("html/").removesuffix(".html.gz")
        if key in truth:
            page = _utf8(gzip.decompress(data))
            yield GoldPage(name, half_of(name), page, truth[key]["articleBody"])


def _snippets(folder: Path) -> Iterator[GoldPage]:
    files = dict(_files(folder / "trafilatura-eval.tar.zst"))
    for record in json.loads(files["evaldata.json"]).values():
        name = f"pages/{record['file']}"
        if name in files:
            keep, drop = (tuple(record.get(key) or ()) for key in ("with", "without"))
            yield GoldPage(name, half_of(name), _utf8(files[name]), None, keep, drop)


def _chinese(folder: Path) -> Iterator[GoldPage]:
    files = dict(_files(folder / "gne-chinese-news.tar.zst"))
    for label in json.loads(LABELS.read_text(encoding="utf-8")):
        name, data = label["page"], files[label["page"]]
        if hashlib.sha256(data).hexdigest() != label["sha256"]:
            raise ValueError(f"{name}: not the page that was labelled")
        page = _utf8(data)
        paragraphs = marked(visible_text(page.decode()), label["paragraphs"], name)
        wanted = tuple(paragraph[:12] for paragraph in paragraphs if len(paragraph) >= 12)
        yield GoldPage(
            name, half_of(name), page, "\n".join(paragraphs), wanted, tuple(label["unwanted"])
        )


def _utf8(data: bytes) -> bytes:
    """A page as UTF-8, decoded the way the pipeline does."""
    from yanmo.curate.encoding import decode_page

    return decode_page(data).text.encode("utf-8", "replace")


def marked(text: str, marks: list[list[Any]], name: str) -> list[str]:
    """The paragraphs that marks stand for.

    Args:
        text: all text of a page, squeezed.
        marks: first characters, last characters and length of each paragraph, in order.
        name: of the page, for errors.

    Raises:
        ValueError: a mark fits nowhere behind the one before it.
    """
    found: list[str] = []
    position = 0
    for first, last, length in marks:
        start = text.find(first, position)
        while start >= 0 and not text[start : start + length].endswith(last):
            start = text.find(first, start + 1)
        if start < 0 or start + length > len(text):
            raise ValueError(f"{name}: no paragraph {first!r}…{last!r} of {length} characters")
        position = start + length
        found.append(text[start:position])
    return found
