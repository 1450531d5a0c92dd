"""From a recipe, dialogues and a model to a run: looked through by the linter, new or resumed."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from yanmo import recipe as recipes
from yanmo.errors import DataError, RecipeError, UsageError
from yanmo.files import sha256_json
from yanmo.manifest import versions
from yanmo.vocab.chat import ChatTemplate, chat_encoder
from yanmo.vocab.folder import refuse_input
from yanmo.vocab.load import Tokenizer, load_tokenizer

from .distributed import World
from .folder import load_config, load_model
from .generate import Sampling, generate
from .heldout import some_documents
from .model import Llama
from .setup import (
    Run,
    assemble,
    check_parallel,
    check_start,
    describe_start,
    find_restored,
    ready_model,
    restore,
)
from .sft_data import Corpus, read_corpus
from .sft_feed import DialogueFeed
from .sft_lint import Finding, lint, refuse
from .sft_mask import Masker, chat_template
from .sft_noise import Neftune
from .sft_recipe import Sft, training

SAMPLE_TOKENS: Final = 128
TEMPLATE: Final = "chat_template.jinja"


@dataclass(frozen=True)
class Files:
    """What a run reads and where it writes.

    Attributes:
        data: files of dialogues.
        model: a Hugging Face model folder with its tokenizer.
        out: the run folder.
        heldout: dialogues that the loss is measured on, if there are any.
    """

    data: tuple[Path, ...]
    model: Path
    out: Path
    heldout: Path | None = None


@dataclass(frozen=True, eq=False)
class Prepared:
    """Dialogues, looked through.

    Attributes:
        files: see :class:`Files`.
        recipe: the recipe.
        tokenizer: of the model.
        template: its chat template.
        corpus, heldout: the dialogues.
        feed: the training rows; ``None`` where no dialogue is left.
        findings: of the linter.
    """

    files: Files
    recipe: Sft
    tokenizer: Tokenizer
    template: ChatTemplate
    corpus: Corpus
    heldout: Corpus | None
    feed: DialogueFeed | None
    findings: list[Finding]


def look_through(recipe: Sft, files: Files) -> Prepared:
    """Read and tokenise everything, and let the linter look at it; nothing is written.

    Raises:
        UsageError: a file is not there, ``out`` is one of the inputs, the model has no template.
        DataError: a record is no dialogue; the model cannot be read.
        RecipeError: dialogues may be longer than the model's context.
    """
    check_files(files)
    config = load_config(files.model)
    room = config.max_position_embeddings
    if recipe.data.max_tokens > room:
        raise RecipeError("dialogues may be longer than the model's context",
                          value=recipe.data.max_tokens,
                          fix=f"Set data.max_tokens to {room} or less.")  # fmt: skip
    tokenizer = load_tokenizer(files.model)
    if tokenizer.vocab_size > config.vocab_size:
        raise DataError("the tokenizer has more entries than the model has rows",
                        where=files.model, value=(tokenizer.vocab_size, config.vocab_size),
                        fix="Grow the model first: yanmo vocab embed.")  # fmt: skip
    template = chat_template(files.model, tokenizer)
    masker = Masker(template, tokenizer)
    corpus = read_corpus(files.data, masker, tokenizer, recipe.data)
    held = None
    if files.heldout is not None:
        held = read_corpus((files.heldout,), masker, tokenizer, recipe.data)
        if not len(held):
            raise DataError("no held-out dialogue is left", where=files.heldout,
                            value=dataclasses.asdict(held.account))  # fmt: skip
    feed = _feed(recipe, files, corpus, tokenizer, seed=recipe.seed) if len(corpus) else None
    return Prepared(files, recipe, tokenizer, template, corpus, held, feed,
                    lint(corpus, feed, tokenizer, files.model))  # fmt: skip


def check_files(files: Files) -> None:
    """Refuse inputs that are not there, and an output that is one of them.

    Raises:
        UsageError: names the path.
    """
    inputs = [*files.data, *([] if files.heldout is None else [files.heldout])]
    for path in inputs:
        if not path.is_file():
            raise UsageError("no such file of dialogues", where=path,
                             fix="Give .json or .jsonl files, plain, .gz or .zst.")  # fmt: skip
    if not files.model.is_dir():
        raise UsageError("no such model folder", where=files.model, fix="Check --model.")
    refuse_input(files.out, [*inputs, files.model])


def _feed(
    recipe: Sft, files: Files, corpus: Corpus, tokenizer: Tokenizer, *, seed: int | None
) -> DialogueFeed:
    documents = None
    if seed is None:
        documents = some_documents(corpus.ends - corpus.begins, recipe.run.eval_tokens)
    pad = tokenizer.pad_id if tokenizer.pad_id is not None else max(corpus.end_id, 0)
    return DialogueFeed(corpus, recipe.data, seed=seed, pad_id=pad, tokenizer=files.model,
                        documents=documents)  # fmt: skip


def set_up(prepared: Prepared, world: World) -> Run:
    """A run on dialogues that the linter has nothing against, from its last whole checkpoint.

    Raises:
        DataError: the linter found an error; the dialogues or the model are not those of the run.
        RecipeError: the run in the output folder has other settings, or a size does not fit.
    """
    recipe, files = prepared.recipe, prepared.files
    refuse(prepared.findings)
    assert prepared.feed is not None  # the linter refuses a corpus without a target
    translated = training(recipe, files.model)
    if recipe.data.batch_sequences % world.size:
        raise RecipeError(
            f"a batch of {recipe.data.batch_sequences} rows cannot be shared by {world.size} "
            "processes", value=recipe.data.batch_sequences, fix="Change data.batch_sequences.",
        )  # fmt: skip
    check_parallel(translated, world)
    restored = find_restored(files.out, recipe)
    lineage = describe_lineage(prepared)
    if restored is not None:
        check_lineage(restored.state["lineage"], lineage)
    model = ready_model(
        translated, None if restored is None else restored.folder,
        lambda dtype: load_model(files.model, dtype=dtype),
    )  # fmt: skip
    # Generation has to stop where an answer ends, in whatever program.
    model.config = dataclasses.replace(model.config, eos_token_id=prepared.corpus.end_id)
    held = None
    if prepared.heldout is not None:
        held = _feed(recipe, files, prepared.heldout, prepared.tokenizer, seed=None)
    run = assemble(translated, files.out, world, model, lineage, (prepared.feed, held))
    run.own_recipe, run.sampler = recipe, _sampler(prepared)
    run.also = _template_writer(prepared)
    if recipe.neftune_alpha:
        Neftune(recipe.neftune_alpha, seed=recipe.seed, room=recipe.data.max_tokens).attach(model)
    if restored is not None:
        restore(run, restored)
    return run


def describe_lineage(prepared: Prepared) -> dict[str, Any]:
    """Where the model comes from: the dialogues by content, the tokenizer, the start."""
    decisive = {k: v for k, v in recipes.to_table(prepared.recipe).items() if k != "run"}
    return {
        "dialogues": {
            "identity": prepared.corpus.identity,
            "files": [path.name for path in prepared.files.data],
            "tokenizer_sha256": prepared.tokenizer.sha256,
            "template_sha256": sha256_json(prepared.template.source),
        },
        "init": describe_start(str(prepared.files.model)),
        "recipe_sha256": sha256_json(decisive),
        "versions": versions(),
    }


def check_lineage(before: dict[str, Any], now: dict[str, Any]) -> None:
    """Refuse to go on with other dialogues, or from another base.

    Raises:
        DataError: says which.
    """
    old, new = before["dialogues"], now["dialogues"]
    if old["identity"] != new["identity"]:
        raise DataError(
            "these are not the dialogues that the run was started with",
            where=", ".join(new["files"]), value=new["identity"],
            fix=f"It was started with {', '.join(old['files'])}, {old['identity']}.",
        )  # fmt: skip
    check_start(before, now)


def _sampler(prepared: Prepared) -> Any:
    """Answers a prompt as a chat: the template opens the answer, its end stops it."""
    encode = chat_encoder(prepared.tokenizer)

    def answer(model: Llama, prompts: Sequence[str]) -> list[dict[str, Any]]:
        texts = [prepared.template.render([{"role": "user", "content": p}]) for p in prompts]
        how = Sampling(max_tokens=SAMPLE_TOKENS, temperature=0.0)
        found = generate(model, encode(texts), how, stop=(prepared.corpus.end_id,))
        return [
            {"prompt": prompt, "text": prepared.tokenizer.decode(sample.tokens),
             "tokens": len(sample.tokens), "stopped": sample.stopped}
            for prompt, sample in zip(prompts, found, strict=True)
        ]  # fmt: skip

    return answer


def _template_writer(prepared: Prepared) -> Any:
    """Puts a template that the model folder lacks beside the weights: its users need the same."""
    config = prepared.files.model / "tokenizer_config.json"
    has = (prepared.files.model / TEMPLATE).is_file() or (
        config.is_file() and "chat_template" in config.read_text("utf-8")
    )

    def write(folder: Path) -> None:
        (folder / TEMPLATE).write_text(prepared.template.source, encoding="utf-8")

    return None if has else write
