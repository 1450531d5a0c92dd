"""From a corpus and a checkpoint to a grown checkpoint, in one go that can be interrupted.

extend   corpus, base tokenizer      tokenizer folder, proven on lines of the corpus
verify   held-out text               the same checks on text that nothing was learned from
measure  held-out text               tokens a character of every source, before and after
embed    checkpoint                  the checkpoint with rows for the new entries

Each step is a task (``yanmo.tasks``): what is done under equal inputs, options and code is not
done again, and what is written appears whole or not at all.
"""

# ruff: noqa: RUF009 (frozen dataclasses are fine as defaults)
import json
import shlex
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from yanmo import recipe as recipes
from yanmo.errors import RecipeError, UsageError
from yanmo.files import atomic_folder, atomic_write, exclusive, write_json
from yanmo.progress import track
from yanmo.recipe import setting, to_table
from yanmo.tasks import Done, Identities, Input, Task, prune, run

from .embed import EmbedOptions
from .extend import ExtendOptions
from .grow_steps import STEPS, corpus_files
from .load import find_tokenizer_file

CACHE: Final = ".cache"
SUMMARY: Final = "summary.json"
_OURS: Final = (CACHE, SUMMARY, "tokenizer", "model", "report.html", "recipe.toml")
_CACHE_BYTES: Final = 1 << 30  # of earlier settings; those of this run stay whatever their size


@dataclass(frozen=True, kw_only=True)
class GrowRecipe:
    """A checkpoint, a corpus, and how the one grows by the other."""

    checkpoint: str = setting(help="Hugging Face model folder.")
    base: str | None = setting(None, help="Its tokenizer; off: the one in the folder.")
    corpus: tuple[str, ...] = setting(help="Run folders, Parquet, JSONL or text files.")
    heldout: tuple[str, ...] = setting(
        (), help="Text to verify and measure on that nothing is learned from; none: the corpus."
    )
    verify_lines: int = setting(20_000, low=1, help="Lines of it to verify on.")
    measure_chars: int = setting(2_000_000, low=1000, help="Characters of a source to measure.")
    extend: ExtendOptions
    embed: EmbedOptions = EmbedOptions()

    def __post_init__(self) -> None:
        if not self.corpus:
            raise RecipeError("no corpus to learn from", value="corpus")


def grow_model(recipe: GrowRecipe, out: Path, *, quiet: bool = False) -> dict[str, Any]:
    """Run the four steps, those that are not done.

    Args:
        recipe: the resolved recipe.
        out: gets ``tokenizer``, ``model``, ``summary.json``, ``report.html`` and ``recipe.toml``.
        quiet: show no progress.

    Returns:
        What ``summary.json`` holds, and ``fresh``: the steps that were done this time.

    Raises:
        UsageError: a path is wrong, or ``out`` holds something else.
        DataError: as the steps raise it.
    """
    from .grow_report import page

    refuse_foreign(out)
    with exclusive(out / CACHE):
        identities = Identities(out / CACHE / "identities.json")
        with track(len(STEPS), "growing", "steps", quiet=quiet) as progress:
            done: dict[str, Done] = {}
            for name in STEPS:
                progress.note(name)
                task = make_task(name, recipe, done, identities)
                done[name] = run([task], cache=out / CACHE)[0]
                identities.save()
                progress.advance(1)
        # A result that was read from the cache has its keys in order; a fresh one gets it here.
        results = {name: found.result for name, found in done.items()}
        summary = json.loads(json.dumps(results, sort_keys=True))
        for name, step in (("tokenizer", done["extend"]), ("model", done["embed"])):
            publish(step.folder / name, out / name)
        texts = {"recipe.toml": recipes.dumps(recipe),
                 "report.html": page(summary, out / "tokenizer", out).html()}  # fmt: skip
        for name, text in texts.items():
            with atomic_write(out / name, text=True) as stream:
                stream.write(text)
        write_json(out / SUMMARY, summary)
        prune(out / CACHE, max_bytes=_CACHE_BYTES, keep=[d.folder for d in done.values()])
    return {**summary, "fresh": [name for name, found in done.items() if not found.cached]}


def refuse_foreign(out: Path) -> None:
    """Refuse a folder that holds what is not ours.

    Raises:
        UsageError: with the first such name.
    """
    if out.exists() and not out.is_dir():
        raise UsageError("--out is a file", where=out, fix="Give a folder.")
    names = sorted(path.name for path in out.iterdir()) if out.exists() else []
    foreign = [name for name in names if name not in _OURS and name[0] != "."]
    known = not names or (out / CACHE).is_dir()
    if foreign or not known:
        raise UsageError("--out holds other files", where=out, value=(foreign or names)[:5],
                         fix="Give a new folder.")  # fmt: skip


def make_task(name: str, recipe: GrowRecipe, done: dict[str, Done], identities: Identities) -> Task:
    """A step with all that its result depends on: contents of files, options, earlier steps."""
    checkpoint = Path(recipe.checkpoint)
    if (checkpoint / "model" / "config.json").is_file():  # a run of `yanmo train`
        checkpoint = checkpoint / "model"
    base = Path(recipe.base or checkpoint)
    texts = recipe.heldout or recipe.corpus
    column = recipe.extend.column
    parameters: dict[str, dict[str, Any]] = {
        "extend": {"corpus": _paths(recipe.corpus), "options": to_table(recipe.extend)},
        "verify": {"texts": _paths(texts), "lines": recipe.verify_lines, "column": column,
                   "seed": recipe.extend.seed, "heldout": bool(recipe.heldout)},
        "measure": {"texts": _paths(texts), "characters": recipe.measure_chars, "column": column,
                    "heldout": bool(recipe.heldout)},
        "embed": {"checkpoint": str(checkpoint.resolve()), "options": to_table(recipe.embed)},
    }  # fmt: skip
    files = [*tokenizer_files(base)]
    files += {"extend": corpus_files(recipe.corpus), "embed": checkpoint_files(checkpoint)}.get(
        name, corpus_files(texts)
    )
    inputs = identities.identify(files)
    mine = {"base": str(base.resolve()), **parameters[name]}
    if name != "extend":
        grown = done["extend"]
        # Last, so that a step finds the folder behind them whatever the place of the cache.
        inputs += [Input(grown.folder / f, sha) for f, sha in sorted(grown.files.items())]
    module = "embed_step" if name == "embed" else "grow_steps"
    return Task(name, f"yanmo.vocab.{module}:{name}_step", tuple(inputs), mine)


def _paths(paths: Sequence[str]) -> list[str]:
    return [str(Path(path).resolve()) for path in paths]


def tokenizer_files(base: Path) -> list[Path]:
    """What decides the ids of a tokenizer.

    Raises:
        UsageError: there is no tokenizer.
    """
    file = find_tokenizer_file(base)
    names = ("tokenizer.json", "tokenizer.model", "merges.txt", "tokenizer_config.json",
             "special_tokens_map.json")  # fmt: skip
    beside = (file.with_name(name) for name in names)
    return [file, *(path for path in beside if path.is_file() and path != file)]


def checkpoint_files(folder: Path) -> list[Path]:
    """Configuration and weights.

    Raises:
        UsageError: there is no checkpoint.
    """
    if not (folder / "config.json").is_file():
        raise UsageError("no checkpoint (no config.json)", where=folder,
                         fix="Give a Hugging Face model folder.")  # fmt: skip
    return [p for p in sorted(folder.iterdir()) if p.suffix in (".json", ".safetensors")]


def publish(source: Path, target: Path) -> None:
    """Put a folder of the cache under its name, by links where the file system has them."""
    wanted = {path.name: path.stat() for path in source.iterdir()}
    if target.is_dir() and {p.name for p in target.iterdir()} == set(wanted):
        have = {path.name: path.stat() for path in target.iterdir()}
        if all(have[name].st_ino == stat.st_ino for name, stat in wanted.items()):
            return
    with atomic_folder(target) as folder:
        for path in sorted(source.iterdir()):
            try:
                (folder / path.name).hardlink_to(path)
            except OSError:
                shutil.copyfile(path, folder / path.name)


def next_commands(out: Path) -> list[str]:
    """What to type next."""
    tokenizer, model = (shlex.quote(str(out / name)) for name in ("tokenizer", "model"))
    return [
        f"yanmo curate pack DOCUMENTS --tokenizer {tokenizer} --out SHARDS",
        f"yanmo train grow SHARDS --model {model} --out TRAINED",
    ]
