"""Real documents for the comparison of verdicts, English and Chinese, cut to a bound."""

import json
import re
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from yanmo.documents import iterate, part_paths
from yanmo.files import open_input

MAX_CHARS: Final = 8_000
"""A longer text is cut at the last line end before this: books, manuals."""
PER_SOURCE: Final = 400
ENGLISH: Final = ("en-bbc", "en-d2l", "en-react-dev", "en-gutenberg")
CHINESE: Final = (
    "zh-lctt", "zh-gold-miner", "zh-xin-wen-lian-bo", "zh-bedtimenews", "zh-zhihu-hot",
    "zh-javaguide", "zh-laws_lawrefbook", "zh-ruanyf-weekly", "zh-humor-dialog",
    "zh-plexpt-chatgpt-corpus", "zh-fudan-textinfoexp", "zh-peoples_daily_199801",
)  # fmt: skip
CHINESE_OTHER: Final = (
    "zh-tidb-docs-cn", "zh-oi-wiki", "zh-d2l-zh", "zh-hf-doc-zh_opendoccn", "zh-classical-modern",
    "zh-howtocook", "zh-vs-docs-zh-cn",
)  # fmt: skip
"""Sources that the estimate of jieba's words was not made from."""
ARCHIVES: Final = ("article-extraction-benchmark", "trafilatura-eval")
_CHAPTER = re.compile(r"\n\s*\n(?=(?:CHAPTER|Chapter|BOOK|ACT|SCENE|LETTER)\b)")


def pieces(text: str) -> Iterator[str]:
    """Chapters, and those cut at line ends into at most ``MAX_CHARS`` characters."""
    for chapter in _CHAPTER.split(text) if len(text) > MAX_CHARS else [text]:
        while len(chapter) > MAX_CHARS:
            end = chapter.rfind("\n", 0, MAX_CHARS)
            end = MAX_CHARS if end <= 0 else end
            yield chapter[:end]
            chapter = chapter[end:].lstrip("\n")
        if chapter.strip():
            yield chapter


def collection(realdata: Path, name: str, limit: int) -> list[str]:
    """Evenly drawn texts of one JSON-lines collection."""
    with open_input(realdata / "text" / f"{name}.jsonl.zst") as stream:
        texts = [piece for line in stream for piece in pieces(json.loads(line)["text"])]
    step = max(1, len(texts) // limit)
    return texts[::step][:limit]


def pages(realdata: Path, limit: int) -> list[str]:
    """English pages of the HTML and WARC sets, extracted by yanmo."""
    from yanmo.curate.discover import InputSpec
    from yanmo.curate.pipeline import run_recipe
    from yanmo.curate.run_recipe import CurateRecipe, DuplicateOptions

    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        inputs = [str(path) for path in sorted((realdata / "warc").glob("*.warc.gz"))]
        for name in ARCHIVES:
            with (
                open_input(realdata / "html" / f"{name}.tar.zst") as stream,
                tarfile.open(fileobj=stream, mode="r|") as archive,
            ):
                archive.extractall(root / name, filter="data")
            inputs.append(str(root / name))
        recipe = CurateRecipe(
            decide=False,
            input=tuple(InputSpec(path) for path in inputs),
            duplicates=DuplicateOptions(near=False),
        )
        run_recipe(recipe, root / "run", quiet=True)
        batches = iterate(part_paths(root / "run" / "documents"), columns=["lang", "text"])
        rows = [row for batch in batches for row in batch.to_pylist()]
    return [piece for row in rows if row["lang"] == "en" for piece in pieces(row["text"])][:limit]


def english(realdata: Path, limit: int = PER_SOURCE) -> dict[str, list[str]]:
    """Texts by source."""
    found = {name: collection(realdata, name, limit) for name in ENGLISH}
    return found | {"web pages": pages(realdata, limit)}


def chinese(realdata: Path, limit: int = PER_SOURCE // 4) -> dict[str, list[str]]:
    """Texts by source."""
    return {name: collection(realdata, name, limit) for name in CHINESE}


def other_chinese(realdata: Path, limit: int = PER_SOURCE // 8) -> dict[str, list[str]]:
    """Texts by source."""
    return {name: collection(realdata, name, limit) for name in CHINESE_OTHER}
