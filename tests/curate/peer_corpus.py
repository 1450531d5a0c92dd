"""A run over a few Chinese records, and what became of each."""

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import polars as pl

from yanmo.curate.discover import InputSpec
from yanmo.curate.pipeline import RunResult, run_recipe
from yanmo.curate.run_recipe import CurateRecipe
from yanmo.recipe import load

PROSE = (
    "清晨的市场里，卖豆腐的老人把热气腾腾的木盒打开，豆香顺着石板路飘出去很远。"
    "研墨要慢，水要少，力要匀，写字的人常说，墨磨好了，心也就静下来了。"
    "河边的柳树发了新芽，孩子们折下细枝做成哨子，一路吹着走回村里。"
)
"""Enough good Chinese for every rule of the default recipe."""
TRADITIONAL = (
    "圖書館的管理員每天傍晚都會把還回來的書按編號放回架上，她說這是最好的散步。"
    "這座石橋修於三百年前，橋欄上的獅子有的已經看不清眉眼，卻仍然守著來往的船，和人們一樣。"
)
"""The same in traditional characters."""


@dataclass(frozen=True)
class Ran:
    """A finished run."""

    folder: Path
    result: RunResult

    @property
    def funnel(self) -> dict[str, Any]:
        return self.result.funnel

    def table(self, name: str) -> pl.DataFrame:
        """A folder of the run as one table."""
        return pl.read_parquet(self.folder / name / "*.parquet")

    @property
    def kept(self) -> list[str]:
        """Texts of ``documents``."""
        return self.table("documents")["text"].to_list()

    @property
    def dropped(self) -> dict[str, str]:
        """Text and rule of ``dropped``."""
        table = self.table("dropped")
        return dict(zip(table["text"], table["rule"], strict=True))


def run(source: Path, out: Path, *overrides: str, workers: int = 1) -> Ran:
    """Run the default recipe with some settings over a file or folder."""
    recipe = replace(load(CurateRecipe, None, overrides), input=(InputSpec(str(source)),))
    return Ran(out, run_recipe(recipe, out, workers=workers, quiet=True))


def run_texts(folder: Path, texts: Sequence[str], *overrides: str) -> Ran:
    """Run over texts as JSON lines."""
    folder.mkdir(parents=True, exist_ok=True)
    write_json_lines(folder / "in.jsonl", texts)
    return run(folder / "in.jsonl", folder / "run", *overrides)


def write_json_lines(path: Path, texts: Sequence[str]) -> None:
    """One record a text."""
    lines = [json.dumps({"text": text}, ensure_ascii=False) + "\n" for text in texts]
    path.write_text("".join(lines), encoding="utf-8")


def hanzi(number: int, count: int) -> str:
    """Hanzi by chance, the same for the same number."""
    chance = random.Random(number)
    return "".join(chr(chance.randrange(0x4E00, 0x9F00)) for _ in range(count))


def essay(number: int) -> str:
    """A text of its own that every rule of the default recipe keeps."""
    own = "，".join(hanzi(number * 40 + k, 9) for k in range(16))
    end = PROSE[: 38 + number % 3 * 30]
    return f"这是第{number}篇的开头，的年在月是和日了都有。\n{own}。\n{end}他们走了。"
