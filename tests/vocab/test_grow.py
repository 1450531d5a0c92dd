"""The whole way: corpus to grown checkpoint, interrupted, again, and with mistakes."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.command import command
from tests.conftest import ROOT
from yanmo.errors import RecipeError, UsageError, YanmoError
from yanmo.files import sha256_file
from yanmo.recipe import load
from yanmo.vocab import grow as growing
from yanmo.vocab.base import load_base
from yanmo.vocab.grow import GrowRecipe, grow_model

from .grown_models import write_model

SENTENCES = (
    "研墨先于落笔，数据决定质量。",
    "北京的长城很长，我们一起去看。",
    "ink 2016 机器学习模型。",
)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("corpus") / "web.jsonl"
    lines = [{"text": SENTENCES[k % 3] * (1 + k % 4), "url": None} for k in range(60)]
    path.write_text("\n".join(json.dumps(line) for line in lines), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def heldout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("heldout") / "news.jsonl"
    texts = ["数据和模型。", "我们去北京看长城。", "plain English, 1999"]
    path.write_text("\n".join(json.dumps({"text": t}) for t in texts), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def model(english_spm: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model") / "llama"
    write_model(folder, load_base(english_spm).size)
    shutil.copyfile(english_spm, folder / "tokenizer.model")
    return folder


@pytest.fixture(scope="module")
def settings(corpus: Path, heldout: Path, model: Path) -> GrowRecipe:
    given = [f'checkpoint="{model}"', f'corpus=["{corpus}"]', f'heldout=["{heldout}"]',
             "extend.add=20"]  # fmt: skip
    return load(GrowRecipe, overrides=given)


@pytest.fixture(scope="module")
def grown(settings: GrowRecipe, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("grown") / "out"
    summary = grow_model(settings, out, quiet=True)
    assert summary["fresh"] == ["extend", "verify", "measure", "embed"]
    return out


def hashes(out: Path) -> dict[str, str]:
    names = ("summary.json", "report.html", "recipe.toml", "tokenizer", "model")
    paths = [p for n in names for p in ([out / n] if (out / n).is_file() else (out / n).iterdir())]
    return {str(path.relative_to(out)): sha256_file(path) for path in sorted(paths)}


def test_what_is_there(grown: Path) -> None:
    summary = json.loads((grown / "summary.json").read_text(encoding="utf-8"))
    assert summary["extend"]["added"] == summary["embed"]["added"] == 20
    assert summary["verify"]["passed"]
    sources = summary["measure"]["sources"]
    assert [s["source"] for s in sources] == ["news"]
    assert sources[0]["after"] < sources[0]["before"]
    assert summary["measure"]["heldout"]
    page = (grown / "report.html").read_text(encoding="utf-8")
    for words in ("on held-out text", "The commonest", "Lengths of rows", "yanmo train grow"):
        assert words in page
    assert "http" not in page.replace("http://www.w3.org", "")


def test_the_model_trains(grown: Path) -> None:
    from yanmo.train.folder import load_model
    from yanmo.train.grow import Grow, base_vocabulary
    from yanmo.vocab.load import load_tokenizer

    loaded = load_model(grown / "model")
    assert (
        base_vocabulary(Grow(), grown / "model") == load_tokenizer(grown / "model").vocab_size - 20
    )
    assert loaded.config.vocab_size % 64 == 0
    shards_check = load_tokenizer(grown / "tokenizer").sha256
    assert load_tokenizer(grown / "model").sha256 == shards_check


def test_again_does_nothing_and_elsewhere_gives_the_same_bytes(
    settings: GrowRecipe, grown: Path, tmp_path: Path
) -> None:
    before = hashes(grown)
    assert grow_model(settings, grown, quiet=True)["fresh"] == []
    assert hashes(grown) == before
    other = tmp_path / grown.name
    grow_model(settings, other, quiet=True)
    mine = hashes(other)
    different = {name for name in before if before[name] != mine[name]}
    assert different <= {"report.html"}  # it names the folder in the next commands


def test_a_later_option_redoes_the_last_step_alone(
    settings: GrowRecipe, grown: Path, tmp_path: Path
) -> None:
    import dataclasses

    out = Path(shutil.copytree(grown, tmp_path / "out"))
    changed = dataclasses.replace(
        settings, embed=dataclasses.replace(settings.embed, init="random")
    )
    assert grow_model(changed, out, quiet=True)["fresh"] == ["embed"]
    assert hashes(out)["model/model.safetensors"] != hashes(grown)["model/model.safetensors"]


def test_an_interrupted_run_goes_on(
    settings: GrowRecipe, grown: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from yanmo.vocab import embed_step

    out = tmp_path / "out"

    def stop(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(embed_step, "embed_checkpoint", stop)
        with pytest.raises(KeyboardInterrupt):
            grow_model(settings, out, quiet=True)
    assert not (out / "model").exists()
    assert not (out / "summary.json").exists()
    assert grow_model(settings, out, quiet=True)["fresh"] == ["embed"]
    mine, theirs = hashes(out), hashes(grown)
    assert mine["model/model.safetensors"] == theirs["model/model.safetensors"]


def test_a_changed_corpus_is_noticed(settings: GrowRecipe, tmp_path: Path) -> None:
    import dataclasses

    corpus = tmp_path / "web.jsonl"
    shutil.copyfile(settings.corpus[0], corpus)
    mine = dataclasses.replace(settings, corpus=(str(corpus),))
    grow_model(mine, tmp_path / "out", quiet=True)
    with corpus.open("a", encoding="utf-8") as stream:
        stream.write("\n" + json.dumps({"text": "落笔生花，" * 50}) + "\n")
    assert "extend" in grow_model(mine, tmp_path / "out", quiet=True)["fresh"]


def test_sources_of_a_document_table(tmp_path: Path, english_spm: Path) -> None:
    import pyarrow as pa

    from yanmo.documents import SCHEMA, write_part
    from yanmo.vocab.grow_steps import measure_sources
    from yanmo.vocab.load import load_tokenizer

    rows = [
        {**dict.fromkeys(SCHEMA.names), "id": str(k), "text": "模型" * (k + 1),
         "source": "ba"[k % 2], "origin": f"x#{k}", "n_chars": 2, "n_bytes": 6}
        for k in range(4)
    ]  # fmt: skip
    (tmp_path / "documents").mkdir()
    write_part(tmp_path / "documents" / "part-0.parquet", pa.Table.from_pylist(rows, schema=SCHEMA))
    one = load_tokenizer(english_spm)
    found = measure_sources([tmp_path], (one, one), column="text", most=7)
    assert [(s["source"], s["characters"]) for s in found] == [("a", 7), ("b", 7)]
    assert found[0]["before"] == found[0]["after"]
    assert found[0]["saved"] == 0


def test_mistakes(settings: GrowRecipe, corpus: Path, model: Path, tmp_path: Path) -> None:
    import dataclasses

    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").touch()
    with pytest.raises(UsageError, match="--out holds other files"):
        grow_model(settings, tmp_path / "mine", quiet=True)
    nowhere = dataclasses.replace(settings, checkpoint=str(tmp_path / "nowhere"))
    with pytest.raises(YanmoError, match="no checkpoint"):
        grow_model(nowhere, tmp_path / "out", quiet=True)
    arguments = ("vocab", "grow", corpus, "--checkpoint", model, "--out", tmp_path / "o", "-q")
    ended = command(*arguments)
    assert ended.code == 2
    assert "'extend' is required" in ended.err
    ended = command(*arguments, "--add", "5", "--set", "embed.inti=mean")
    assert ended.code == 2
    assert "Did you mean 'init'?" in ended.err
    ended = command(*arguments[:2], *arguments[3:], "--add", "5")
    assert ended.code == 2
    assert "'corpus' is required" in ended.err
    ended = command(*arguments, "--add", "5", "--base", corpus)
    assert ended.code != 0
    assert "web.jsonl" in ended.err


def test_the_example_is_a_recipe_of_this_command(corpus: Path, model: Path, tmp_path: Path) -> None:
    recipe = ROOT / "examples" / "grow-llama.toml"
    assert load(GrowRecipe, recipe).extend.add == 16000
    ended = command(
        "vocab", "grow", corpus, "--recipe", recipe, "--checkpoint", model, "--add", "25",
        "--set", "extend.required_chars=off", "--out", tmp_path / "out", "-q",
    )  # fmt: skip
    assert ended.code == 0, ended.err
    assert "the corpus itself, so too favourable" in ended.out
    assert f"--model {tmp_path / 'out' / 'model'}" in ended.out


def test_next_commands_are_quoted() -> None:
    assert "'my model/model'" in growing.next_commands(Path("my model"))[1]


def moved(settings: GrowRecipe, place: Path) -> GrowRecipe:
    """The same files under the same names in another folder."""
    import dataclasses

    place.mkdir()
    files = [
        str(shutil.copy(path, place / Path(path).name))
        for path in (*settings.corpus, *settings.heldout)
    ]
    model = shutil.copytree(settings.checkpoint, place / Path(settings.checkpoint).name)
    return dataclasses.replace(
        settings, corpus=(files[0],), heldout=(files[1],), checkpoint=str(model)
    )


def test_files_that_moved_are_the_same_files(
    settings: GrowRecipe, grown: Path, tmp_path: Path
) -> None:
    out = Path(shutil.copytree(grown, tmp_path / "out"))
    assert grow_model(moved(settings, tmp_path / "elsewhere"), out, quiet=True)["fresh"] == []


def test_what_a_step_reads_is_in_its_key(settings: GrowRecipe, tmp_path: Path) -> None:
    import dataclasses

    mine = moved(settings, tmp_path / "elsewhere")
    words = tmp_path / "words.txt"
    words.write_text("模型\n", encoding="utf-8")
    extend = dataclasses.replace(settings.extend, dictionary=str(words))
    mine, out = dataclasses.replace(mine, extend=extend), tmp_path / "out"
    grow_model(mine, out, quiet=True)
    licence = Path(mine.checkpoint) / "LICENSE"
    licence.write_text("free\n", encoding="utf-8")
    assert grow_model(mine, out, quiet=True)["fresh"] == ["embed"]
    assert (out / "model" / "LICENSE").is_file()
    words.write_text("模型\n砚台\n", encoding="utf-8")
    assert "extend" in grow_model(mine, out, quiet=True)["fresh"]
    assert load_base(out / "tokenizer").surfaces().count("砚台".encode()) == 1


def test_every_option_that_names_a_file_is_known_as_one() -> None:
    import dataclasses
    import typing

    from yanmo.vocab.embed import EmbedOptions
    from yanmo.vocab.extend import ExtendOptions
    from yanmo.vocab.grow_steps import LISTS

    for options, wanted in ((ExtendOptions, set(LISTS)), (EmbedOptions, {"remap"})):
        hints = typing.get_type_hints(options)
        names = {f.name for f in dataclasses.fields(options) if hints[f.name] == (str | None)}
        assert names == wanted


def test_a_user_who_edits_in_place_harms_nothing(
    settings: GrowRecipe, grown: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    grow_model(settings, out, quiet=True)
    before = hashes(out)
    with (out / "tokenizer" / "tokenizer_config.json").open("a", encoding="utf-8") as stream:
        stream.write("\n")
    with (out / "model" / "config.json").open("a", encoding="utf-8") as stream:
        stream.write("\n")
    assert grow_model(settings, out, quiet=True)["fresh"] == []
    assert hashes(out) == before
    with (out / "model" / "model.safetensors").open("r+b") as stream:  # linked with the cache
        stream.seek(-4, 2)
        stream.write(b"\0\0\0\0")
    assert grow_model(settings, out, quiet=True)["fresh"] == ["embed"]
    assert hashes(out) == before


def test_a_table_of_moved_ids_has_no_place_here(settings: GrowRecipe) -> None:
    import dataclasses

    with pytest.raises(RecipeError, match="ids do not move"):
        dataclasses.replace(settings, embed=dataclasses.replace(settings.embed, remap="x.tsv"))
