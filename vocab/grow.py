"""From a corpus and a checkpoint to a grown checkpoint, in one go that can be interrupted.

extend   corpus, base tokenizer      tokenizer folder, proven on lines of the corpus
verify   held-out text               the same checks on text that nothing was learned from
measure  held-out text               tokens a character of every source, before and after
embed    checkpoint                  the checkpoint with rows for the new entries

Each step is a task (``yanmo.tasks``): what is done under equal inputs, options and code is not
done again, and what is written appears whole or not at all.
"""

# ruff: noqa: RUF009 (frozen dataclasses are fine as defaults)
import filecmp
import json
import shlex
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from yanmo import recipe as recipes
from yanmo.errors import RecipeError, UsageError
from yanmo.files import atomic_folder, atomic_write, exclusive, link_or_copy, write_json
from yanmo.progress import track
from yanmo.recipe import setting, to_table
from yanmo.tasks import Done, Identities, Task, prune, run

from .checkpoint import model_folder
from .embed import EmbedOptions
from .extend import ExtendOptions
from .grow_inputs import Source, absolute, documents, identified, single, tokenizer
from .grow_steps import LISTS, STEPS
from .grown_folder import read_files

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
        if self.embed.remap is not None:
            raise RecipeError("ids do not move when a vocabulary grows", where="embed.remap",
                              value=self.embed.remap, fix="Leave it out.")  # fmt: skip


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
                done[name] = run_step(task, out / CACHE, identities)
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
    checkpoint = model_folder(absolute(recipe.checkpoint))
    sources = {"base": [tokenizer(recipe.base or checkpoint)]}
    parameters: dict[str, Any] = {}
    if name == "extend":
        options = to_table(recipe.extend)
        lists = {key: path for key in LISTS if (path := getattr(recipe.extend, key)) is not None}
        sources |= {key: [single(path)] for key, path in lists.items()}
        sources["corpus"] = [documents(path) for path in recipe.corpus]
        parameters["options"] = {key: options[key] for key in options if key not in LISTS}
    else:
        sources["grown"] = [tokenizer_folder(done["extend"].folder / "tokenizer")]
    if name in ("verify", "measure"):
        sources["texts"] = [documents(path) for path in recipe.heldout or recipe.corpus]
        parameters |= {"column": recipe.extend.column, "heldout": bool(recipe.heldout)}
    if name == "verify":
        parameters |= {"lines": recipe.verify_lines, "seed": recipe.extend.seed}
    if name == "measure":
        parameters["characters"] = recipe.measure_chars
    if name == "embed":
        sources["checkpoint"] = [Source(checkpoint, tuple(read_files(checkpoint)), "")]
        parameters["options"] = to_table(recipe.embed)
    inputs, given = identified(sources, identities)
    module = "embed_step" if name == "embed" else "grow_steps"
    return Task(name, f"yanmo.vocab.{module}:{name}_step", inputs, {"given": given, **parameters})


def tokenizer_folder(folder: Path) -> Source:
    """A tokenizer that a step wrote, with all its files."""
    return Source(folder, tuple(sorted(folder.iterdir())), "")


def run_step(task: Task, cache: Path, identities: Identities) -> Done:
    """The result of a task; if somebody wrote into its files since, it is made anew."""
    done = run([task], cache=cache)[0]
    if done.cached:
        now = identities.identify(done.folder / name for name in done.files)
        if [file.identity for file in now] != list(done.files.values()):
            shutil.rmtree(done.folder)
            done = run([task], cache=cache)[0]
    return done


def publish(source: Path, target: Path) -> None:
    """Put a folder of the cache under its name.

    Weights are links where the file system has them, the rest are copies: people edit
    configurations in place.
    """
    names = {path.name for path in source.iterdir()}
    if target.is_dir() and {path.name for path in target.iterdir()} == names:
        pairs = ((source / name, target / name) for name in sorted(names))
        if all(a.samefile(b) or filecmp.cmp(a, b, shallow=False) for a, b in pairs):
            return
    with atomic_folder(target) as folder:
        for path in sorted(source.iterdir()):
            if path.suffix == ".safetensors":
                link_or_copy(path, folder / path.name)
            else:
                shutil.copyfile(path, folder / path.name)


def next_commands(out: Path) -> list[str]:
    """What to type next."""
    tokenizer, model = (shlex.quote(str(out / name)) for name in ("tokenizer", "model"))
    return [
        f"yanmo curate pack DOCUMENTS --tokenizer {tokenizer} --out SHARDS",
        f"yanmo train grow SHARDS --model {model} --out TRAINED",
    ]
