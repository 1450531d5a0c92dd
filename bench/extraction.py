"""Main text of HTML pages on one core: our default extractor, trafilatura.

Pages are the gold sets of ``$YANMO_REALDATA/html``: 90 English articles, 50 Chinese news pages, and
trafilatura's own evaluation pages (German and English, with some others). Without them the pages of
the bundled crawl stand in. How good the texts are is another bench (``main_content``).
"""

import gzip
import statistics
import tarfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from .rounds import Claim, Options, Result, alternate, spread
from .texts import realdata

ROUNDS: Final = 2
SETS: Final = {
    "zh": ("gne-chinese-news",),
    "en": ("article-extraction-benchmark", "trafilatura-eval"),
}
OURS, BOXED = "yanmo", "yanmo, in its sandbox"
DEFAULT, FAST = "trafilatura", "trafilatura, fast=True"


def run(options: Options) -> Result:
    """Measure both sides on each set of pages."""
    result = Result(
        "Main content of HTML, one core",
        ["text", "set", "side", "pages/s", "MB/s of HTML", "spread %", "yanmo is × as fast",
         "characters of text a page"],
    )  # fmt: skip
    result.notes += [
        "Processor seconds, median; every side sees the same bytes (UTF-8); A B A B …; one "
        "warm-up on ten pages. In the sandbox: wall seconds, with the pipes to the child process.",
        "trafilatura: without comments; `fast=True` leaves out its second opinions and is its "
        "fastest documented mode; both are held against ours.",
    ]
    for language in options.languages:
        for name in SETS[language] if realdata() else ("bundled crawl",):
            _one(language, name, load(language, name), options, result)
    return result


def load(language: str, name: str) -> list[bytes]:
    """The pages of a set, UTF-8.

    Args:
        language: which pages of the bundled crawl are taken.
        name: of the set.
    """
    folder = realdata()
    raw = list(_archive(folder / "html" / f"{name}.tar.zst") if folder else _bundled())
    pages = [_decoded(page) for page in raw]
    if folder is None:
        pages = [page for page in pages if _is_chinese(page) == (language == "zh")]
    return [page.encode("utf-8", "replace") for page in pages]


def _archive(path: Path) -> Iterator[bytes]:
    import zstandard

    with zstandard.open(path, "rb") as stream, tarfile.open(fileobj=stream, mode="r|") as members:
        for member in members:
            if member.isfile() and ".html" in member.name:
                file = members.extractfile(member)
                data = file.read() if file else b""
                yield gzip.decompress(data) if member.name.endswith(".gz") else data


def _bundled() -> Iterator[bytes]:
    from fastwarc.warc import ArchiveIterator, WarcRecordType

    from yanmo.sample import crawl_files

    for path in crawl_files():
        with path.open("rb") as stream:
            for record in ArchiveIterator(stream, record_types=WarcRecordType.response):
                yield record.reader.read()


def _decoded(page: bytes) -> str:
    for encoding in ("utf-8", "gb18030"):
        try:
            return page.decode(encoding)
        except UnicodeDecodeError:
            continue
    return page.decode("utf-8", "replace")


def _is_chinese(page: str) -> bool:
    return sum("\u4e00" <= c <= "\u9fff" for c in page) > len(page) // 50


def _sides(pages: list[bytes], lengths: dict[str, list[int]]) -> dict[str, Callable[[], float]]:
    import trafilatura

    from yanmo.curate.extract import EXTRACTORS, ExtractOptions, Extractor
    from yanmo.tasks import resolve

    options = ExtractOptions()
    settings = asdict(options)
    extract: Any = resolve(EXTRACTORS[options.extractor])
    child = Extractor(options)
    decoded = [page.decode("utf-8", "replace") for page in pages]

    def side(name: str, one: Callable[[bytes], str | None]) -> Callable[[], float]:
        def seconds() -> float:
            start = time.process_time()
            lengths[name] = [_length(one, page) for page in pages]
            return time.process_time() - start

        for page in pages[:10]:
            _length(one, page)
        return seconds

    def boxed() -> float:
        start = time.perf_counter()
        lengths[BOXED] = [len(found.text) for found in child.extract(decoded)]
        return time.perf_counter() - start

    child.extract(decoded[:10])
    return {
        OURS: side(OURS, lambda page: extract(page, settings)[0]),
        BOXED: boxed,
        DEFAULT: side(DEFAULT, lambda page: trafilatura.extract(page, include_comments=False)),
        FAST: side(FAST, lambda page: trafilatura.extract(page, include_comments=False, fast=True)),
    }


def _length(extract: Callable[[bytes], str | None], page: bytes) -> int:
    """Characters of a page's text; a page that a side refuses counts as empty."""
    try:
        return len(extract(page) or "")
    except Exception:
        return 0


def _one(language: str, name: str, pages: list[bytes], options: Options, result: Result) -> None:
    size = sum(map(len, pages)) / 1e6
    if options.megabytes and size > options.megabytes:
        pages = pages[: max(20, int(len(pages) * options.megabytes / size))]
        size = sum(map(len, pages)) / 1e6
    lengths: dict[str, list[int]] = {}
    took = alternate(_sides(pages, lengths), rounds=options.rounds or ROUNDS)
    median = {side: statistics.median(values) for side, values in took.items()}
    for side, values in took.items():
        ratio = median[side] / median[OURS] if side in (DEFAULT, FAST) else None
        result.rows.append([language, name, side, len(pages) / median[side], size / median[side],
                            spread(values), ratio, statistics.fmean(lengths[side])])  # fmt: skip
    text = f"{language}, {name}: extraction, times trafilatura"
    result.claims += [
        Claim(text, median[DEFAULT] / median[OURS], 1),
        Claim(f"{text} (fast)", median[FAST] / median[OURS], 1),
    ]
    result.data[f"{language}, {name}"] = {"pages": len(pages), "megabytes": size, "seconds": took}
    result.notes.append(f"{language}, {name}: {len(pages)} pages, {size:.1f} MB; "
                        f"{len(took[OURS])} rounds.")  # fmt: skip
