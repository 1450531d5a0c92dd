"""``python -m bench.charsets``: how often the charset ladder and three detectors are right.

Needs the folder of real data (``$YANMO_REALDATA``) and the ``dev`` packages. A text table goes to
stderr, JSON to stdout.

Right is a matter of text: the bytes decoded with the answer equal the bytes decoded with the true
codec, or with the superset that the web means by its label. Every tool's answer goes through the
same table of supersets (``charset_labels.canonical_label``); no answer counts as UTF-8.
"""

import argparse
import codecs
import gzip
import hashlib
import io
import json
import os
import re
import sys
import tarfile
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import chardet
import charset_normalizer
import zstandard
from resiliparse.parse.encoding import detect_encoding

from yanmo.curate.charset_labels import canonical_label
from yanmo.curate.encoding import decode_page
from yanmo.report import Table
from yanmo.stats import wilson

NAMES: Final = {"Johab": "johab", "KOI8-R": "koi8-r", "MacCyrillic": "mac_cyrillic"}
FAMILIES: Final = {
    "Chinese": ("Big5", "GB2312"),
    "Japanese": ("CP932", "EUC-JP", "SHIFT_JIS"),
    "Korean": ("CP949", "EUC-KR", "Johab", "iso-2022-kr"),
    "Cyrillic": ("KOI8-R", "MacCyrillic", "iso-8859-5", "windows-1251"),
    "Latin": ("iso-8859-1", "iso-8859-2", "iso-8859-9", "windows-1250", "windows-1252",
              "windows-1254"),
    "Greek, Hebrew, Arabic": ("iso-8859-7", "windows-1255", "windows-1256"),
    "Unicode": ("UTF-", "utf-8"),
}  # fmt: skip
PAGES: Final = ("gne-chinese-news", "trafilatura-eval", "article-extraction-benchmark")
_BLACKBOOK = "netarchivesuite_solrwayback--IAH-20080430204825-00000-blackbook.warc.gz"
BY_HAND: Final[dict[str, str | None]] = {
    "maescot.de.schafskunde.html": "utf-8",
    "httpbin_sample.html": "utf-8",
    "http_sample.html": "utf-8",
    f"{_BLACKBOOK}#3877964": None,
    f"{_BLACKBOOK}#6295610": "cp1252",
    f"{_BLACKBOOK}#7231088": "cp1252",
    f"{_BLACKBOOK}#10365267": "utf-8",
    "servo_servo-warc-tests--rec-20180808064152840331-anjiadeMacBook-Pro.local.warc.gz#1755525":
        "gb18030",
}  # fmt: skip
"""Verdicts of a reader on pages without a trustworthy declaration: the true codec, or None where
no single codec is right. What was seen stands in docs/charsets.md."""

UTF8_BYTES: Final = 10
"""Valid UTF-8 with so many continuation bytes is taken for UTF-8 without asking anybody: of random
runs of five hanzi in GB18030 one in ten thousand is valid UTF-8 by chance."""
_DECLARED = re.compile(
    rb"<(?:meta|\?xml)[^>]*?(?:charset|encoding)\s*=\s*[\"']?([\w-]+)", re.IGNORECASE
)

SHOWN: Final = 60  # wrong answers a tool that the text names; the JSON has all
SHORT: Final = (8, 20, 50)

# (content, HTTP charset) -> (what it is called, the text)
Tool = Callable[[bytes, str | None], tuple[str, str]]


@dataclass(frozen=True)
class File:
    """A file with its true codec; ``group`` is a family, or a collection of pages."""

    name: str
    group: str
    content: bytes
    codec: str
    http: str | None = None


def ladder(content: bytes, http: str | None) -> tuple[str, str]:
    """This project's decoder, told what the HTTP header said."""
    page = decode_page(content, http_charset=http)
    return page.encoding, page.text


def ladder_bytes(content: bytes, http: str | None) -> tuple[str, str]:
    """This project's decoder on the bytes alone."""
    return ladder(content, None)


def by_chardet(content: bytes, http: str | None) -> tuple[str, str]:
    """chardet with default settings."""
    return read_as(content, chardet.detect(content)["encoding"])


def by_charset_normalizer(content: bytes, http: str | None) -> tuple[str, str]:
    """charset-normalizer with default settings."""
    best = charset_normalizer.from_bytes(content).best()
    return read_as(content, best.encoding if best else None)


def by_resiliparse(content: bytes, http: str | None) -> tuple[str, str]:
    """resiliparse's detector with default settings."""
    return read_as(content, detect_encoding(content))


TOOLS: Final[dict[str, Tool]] = {
    "yanmo": ladder_bytes,
    "chardet": by_chardet,
    "charset-normalizer": by_charset_normalizer,
    "resiliparse": by_resiliparse,
}


def read_as(content: bytes, answer: str | None) -> tuple[str, str]:
    """Decode with a tool's answer, widened as the web does; what does not decode is replaced."""
    name = codecs.lookup(answer).name if answer else "utf-8"
    codec = canonical_label(name) or name
    return codec, content.decode(codec, "replace").removeprefix("\ufeff")


def true_texts(file: File) -> set[str]:
    """The text by the true codec and by its superset."""
    wide = canonical_label(file.codec) or file.codec
    return {file.content.decode(c, "replace").removeprefix("\ufeff") for c in (file.codec, wide)}


def encodings(realdata: Path) -> list[File]:
    """The collection of encodings: the folder names the codec, and sometimes a language."""
    files = []
    for name, content in members(realdata / "html" / "encodings.tar.zst"):
        folder = Path(name).parent.name
        found = re.match(r"iso-8859-\d|windows-\d+", folder)
        codec = NAMES.get(folder, found[0] if found else folder)
        family = next(f for f, names in FAMILIES.items() if folder.startswith(names))
        files.append(File(f"{folder}/{Path(name).name}", family, content, codec))
    return sorted(files, key=lambda file: file.name)


def members(archive: Path) -> Iterator[tuple[str, bytes]]:
    """Name and content of the files in a ``.tar.zst``."""
    raw = zstandard.ZstdDecompressor().stream_reader(io.BytesIO(archive.read_bytes())).read()
    with tarfile.open(fileobj=io.BytesIO(raw)) as tar:
        for member in tar:
            stream = tar.extractfile(member)
            if stream is not None:
                yield member.name, stream.read()


def without_declaration(file: File) -> File:
    """The same file with its declarations made void (UTF-16 and UTF-32 as they are)."""
    content = re.sub(rb"(?i)(encoding|charset)\s*=", b"label =", file.content)
    return File(file.name, file.group, content, file.codec)


def short_texts(realdata: Path) -> list[File]:
    """Beginnings of real Chinese texts, without markup or label, in GB18030 and in Big5.

    The first ``SHORT`` characters behind character 200 of ten documents of each collection; the
    traditional form by OpenCC, where Big5 can write it.
    """
    import opencc

    traditional = opencc.OpenCC("s2t")
    files = []
    for path in sorted((realdata / "text").glob("zh-*.jsonl.zst")):
        with path.open("rb") as raw:
            lines = io.TextIOWrapper(zstandard.ZstdDecompressor().stream_reader(raw), "utf-8")
            for number, line in zip(range(10), lines, strict=False):
                text = json.loads(line)["text"][200:]
                for length in SHORT:
                    for codec in ("gb18030", "big5"):
                        start = text[:length]
                        start = traditional.convert(start) if codec == "big5" else start
                        content = start.encode(codec, "ignore")
                        if not content.isascii() and content.decode(codec) == start:
                            name = f"{path.name}#{number}/{length}/{codec}"
                            files.append(
                                File(name, f"{codec}, {length} characters", content, codec)
                            )
    return files


def pages(realdata: Path) -> Iterator[tuple[str, str, bytes, str | None]]:
    """(collection, name, content, HTTP charset) of the HTML pages and of the WARC responses."""
    for collection in PAGES:
        for name, content in members(realdata / "html" / f"{collection}.tar.zst"):
            if name.endswith((".html", ".htm")):
                yield collection, Path(name).name, content, None
            elif name.endswith(".html.gz"):
                yield collection, Path(name).name, gzip.decompress(content), None
    yield from responses(realdata / "warc")


def responses(folder: Path) -> Iterator[tuple[str, str, bytes, str | None]]:
    """The pages of WARC files, as a curate run reads them."""
    from yanmo.curate.read import (
        ByteLedger,
        InputSpec,
        Quarantine,
        ReadOptions,
        discover,
        read_group,
    )

    options = ReadOptions()
    with (
        tempfile.TemporaryDirectory() as scratch,
        Quarantine(Path(scratch) / "q.jsonl.zst") as quarantine,
    ):
        for group in discover([InputSpec(str(folder))], options=options):
            ledger = ByteLedger(quarantine)
            for batch in read_group(group.files, options=options, ledger=ledger):
                for row in batch.select(["origin", "content", "http_charset"]).to_pylist():
                    if row["content"]:
                        yield "warc", row["origin"], row["content"], row["http_charset"]


def judged(realdata: Path) -> tuple[list[File], dict[str, Counter[str]]]:
    """Pages whose true codec is known without asking any detector, and how many are of which kind.

    Known: a reader's verdict in ``BY_HAND``; else the page is valid UTF-8 beyond chance; else the
    declared codec (HTTP, meta or XML, anywhere in the page) decodes it strictly.
    """
    files: list[File] = []
    kinds: dict[str, Counter[str]] = {}
    for collection, name, content, http in pages(realdata):
        kind, codec = _truth(name, content, http)
        kinds.setdefault(collection, Counter())[kind] += 1
        if codec:
            files.append(File(name, collection, content, codec, http))
        elif kind == "unknown":
            sys.stderr.write(f"no truth for {collection} {name} ({len(content)} bytes, {http})\n")
    return files, kinds


def _truth(name: str, content: bytes, http: str | None) -> tuple[str, str | None]:
    if content.isascii():
        return "ASCII", None
    if name in BY_HAND:
        verdict = BY_HAND[name]
        return ("read by hand" if verdict else "not one encoding"), verdict
    if _decodes(content, "utf-8") and len(content) - len(content.decode()) >= UTF8_BYTES:
        return "valid UTF-8", "utf-8"
    labels = [http, *(found.decode() for found in _DECLARED.findall(content))]
    for codec in filter(None, (canonical_label(label) for label in labels if label)):
        if _decodes(content, codec):
            return f"declared {codec}, decodes", codec
    return "unknown", None


def _decodes(content: bytes, codec: str) -> bool:
    try:
        content.decode(codec)
    except UnicodeDecodeError:
        return False
    return True


def compare(files: list[File], tools: dict[str, Tool]) -> dict[str, Any]:
    """Right by text and by label, processor seconds, and what each tool got wrong."""
    groups = dict.fromkeys(file.group for file in files)
    right = {tool: {group: [0, 0] for group in groups} for tool in tools}
    halves = {tool: [[0, 0], [0, 0]] for tool in tools}
    labels, seconds = dict.fromkeys(tools, 0), dict.fromkeys(tools, 0.0)
    wrong: dict[str, list[str]] = {tool: [] for tool in tools}
    for file in files:
        truth, wide = true_texts(file), canonical_label(file.codec) or file.codec
        half = hashlib.sha256(file.name.encode()).digest()[0] % 2
        for tool, read in tools.items():
            start = time.process_time()
            answer, text = read(file.content, file.http)
            seconds[tool] += time.process_time() - start
            good = text in truth
            for tally in (right[tool][file.group], halves[tool][half]):
                tally[0] += good
                tally[1] += 1
            labels[tool] += answer == wide
            if not good:
                wrong[tool].append(f"{file.name}: {answer}, not {wide}")
    return {"right": right, "halves": halves, "labels": labels, "seconds": seconds,
            "files": len(files), "wrong": wrong}  # fmt: skip


def several(files: list[File]) -> list[str]:
    """Files that say the same under a codec other than theirs, so that either answer is right."""
    others = ("gb18030", "big5hkscs", "cp932", "euc_jp", "cp949", "cp1250", "cp1251", "cp1252",
              "cp1253", "cp1254", "iso8859-2", "iso8859-5", "iso8859-7", "koi8-r")  # fmt: skip
    found = []
    for file in files:
        truth, wide = true_texts(file), canonical_label(file.codec) or file.codec
        same = [c for c in others if c != wide and file.content.decode(c, "replace") in truth]
        if file.content.isascii() or same:
            found.append(f"{file.name} ({'ASCII' if file.content.isascii() else ', '.join(same)})")
    return found


def shown(title: str, result: dict[str, Any]) -> str:
    """One comparison as a text table."""
    rows: list[list[Any]] = []
    for tool, groups in result["right"].items():
        for group, (k, n) in groups.items():
            rows.append([tool, group, f"{k}/{n}", _interval(k, n)])
        k, n = (sum(column) for column in zip(*groups.values(), strict=True))
        rows.append([tool, "all", f"{k}/{n}", _interval(k, n)])
        for half, (k, n) in enumerate(result["halves"][tool]):
            rows.append([tool, f"half {half}", f"{k}/{n}", _interval(k, n)])
        rows.append([tool, "label equal", f"{result['labels'][tool]}/{n_of(result)}", ""])
        rows.append([tool, "ms a file", f"{1e3 * result['seconds'][tool] / n_of(result):.2f}", ""])
    return Table(title, ["tool", "files", "right", "95 %"], rows).text()


def n_of(result: dict[str, Any]) -> int:
    """How many files a comparison saw."""
    return int(result["files"])


def _interval(k: int, n: int) -> str:
    low, high = wilson(k, n)
    return f"{100 * low:.1f}-{100 * high:.1f} %"


def main(arguments: list[str]) -> None:
    """Print the tables on stderr and everything as JSON on stdout."""
    warnings.simplefilter("ignore")
    parser = argparse.ArgumentParser(prog="python -m bench.charsets")
    parser.add_argument("--realdata", type=Path, default=os.environ.get("YANMO_REALDATA"))
    realdata = parser.parse_args(arguments).realdata
    if realdata is None or not realdata.is_dir():
        parser.error("no real data: set YANMO_REALDATA or --realdata to its folder")
    for tool in TOOLS.values():
        tool("déjà vu".encode("latin-1"), None)  # builds tables once
    files = encodings(realdata)
    found, kinds = judged(realdata)
    results = {
        "collection": compare(files, TOOLS),
        "collection without declarations": compare([without_declaration(f) for f in files], TOOLS),
        "short Chinese texts": compare(short_texts(realdata), TOOLS),
        "pages": compare(found, {"yanmo with HTTP": ladder, **TOOLS}),
    }
    for title, result in results.items():
        sys.stderr.write(shown(f"{title}, {result['files']} files", result) + "\n\n")
        for tool, lines in result["wrong"].items():
            sys.stderr.write("".join(f"wrong: {tool}: {line}\n" for line in lines[:SHOWN]))
    rows = [[c, kind, n] for c, counts in kinds.items() for kind, n in sorted(counts.items())]
    sys.stderr.write(Table("pages by what shows the truth", ["", "kind", "n"], rows).text() + "\n")
    sys.stdout.write(
        json.dumps({**results, "kinds": kinds, "several": several(files)}, ensure_ascii=False)
        + "\n"
    )


if __name__ == "__main__":
    main(sys.argv[1:])
