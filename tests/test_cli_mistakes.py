"""What was typed wrong, in the command, its paths or its recipe, is named with the fix."""

import os
from pathlib import Path

import pytest

from .command import command, said, usage_error


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ("curat run x", ["No such command 'curat'", "Did you mean 'curate'"]),
        ("doktor", ["Did you mean 'doctor'"]),
        ("pretrain", ["No such command 'pretrain'", "train"]),
        ("curate rum x", ["No such command 'rum'"]),
        ("curate run x --ouy y", ["No such option", "--ouy"]),
        ("curate run x", ["Missing option '--out'"]),
        ("curate run x --out y --workers 0", ["--workers", "x>=1"]),
        ("curate run x --out y --workers two", ["--workers", "two"]),
        ("curate run --out y", ["no input", "stdin"]),
        ("curate run - - --out y", ["stdin is named twice"]),
        ("curate run none.jsonl --out y", ["none.jsonl: no such file or folder"]),
        ("curate run no*thing --out y", ["no*thing: nothing matches the pattern"]),
        ("curate run nope://x/y --out y", ["nope://x/y"]),
        ("curate why none x", ["none: no such folder"]),
        ("curate report none", ["none: no such folder"]),
        ("curate shards verify none", ["none: no such folder"]),
        ("curate pack none --tokenizer none --out y", ["none: no such"]),
        ("models fetch lid176", ["Did you mean 'lid.176'"]),
    ],
)
def test_what_was_typed_wrong_is_named(
    typed: str, words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    usage_error(command(*typed.split()), *words)
    assert list(tmp_path.iterdir()) == []


def test_an_output_that_cannot_be(corpus: Path, tmp_path: Path) -> None:
    usage_error(command("curate", "run", corpus, "--out", corpus), corpus, "--out is a file")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").touch()
    ended = command("curate", "run", corpus, "--out", tmp_path / "mine")
    usage_error(ended, "mine: --out holds other files", "thesis.tex", "new folder")
    ended = command("curate", "run", tmp_path, "--out", tmp_path / "run")
    usage_error(ended, "run: --out lies inside the input", "beside it")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.jsonl", "mine"]
    (tmp_path / "file").touch()
    ended = command("curate", "run", corpus, "--out", tmp_path / "file" / "run")
    assert ended.code == 1
    said(ended, "error: ", tmp_path / "file", "Not a directory")


def test_input_that_leads_nowhere(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.jsonl").symlink_to(tmp_path / "gone")
    ended = command("curate", "run", tmp_path / "in", "--out", tmp_path / "run")
    assert ended.code == 1
    said(ended, "in/a.jsonl: cannot open the file (No such file", "leads nowhere")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_input_without_permission(corpus: Path, tmp_path: Path) -> None:
    corpus.chmod(0)
    ended = command("curate", "run", corpus, "--out", tmp_path / "run")
    assert ended.code == 1
    said(ended, "in.jsonl: cannot open the file (Permission denied)", "Check its permissions")


@pytest.mark.parametrize(
    ("toml", "words"),
    [
        ("sead = 1", ["unknown key 'sead'", "Did you mean 'seed'"]),
        ("[raed]\n", ["unknown key 'raed'", "Did you mean 'read'"]),
        ("[read]\ntext_feild = 'a'", ["unknown key 'read.text_feild'", "'text_field'"]),
        ("[rules.zh]\nmin_wrods = 1", ["unknown key 'rules.zh.min_wrods'", "'min_words'"]),
        ("[[input]]\npath = 'x'\nlicense = 'a'", ["input[0].license'", "'licence'"]),
        ("[rules.zh]\nmin_words = 'many'", ["'rules.zh.min_words' must be", "got 'many'"]),
        ("seed = 1.5", ["'seed' must be a whole number, got 1.5"]),
        ("decide = 1", ["'decide' must be true or false, got 1"]),
        ("read = 3", ["'read' must be a table, got 3"]),
        ("[errors]\nmax_quarantined_fraction = 5", ["must lie in 0.0..1.0, got 5.0"]),
        ("[duplicates]\nkeep = 'shortest'", ["'duplicates.keep' is none of the choices"]),
        ("[duplicates]\nkeep = 'longset'", ["Did you mean 'longest'"]),
        ("seed = ", ["not TOML"]),
        ("seed = 1\nseed = 2", ["not TOML"]),
        ("limit = 0", ["'limit' must lie in 1.., got 0"]),
        ("version = 2", ["'version' must lie in 1..1, got 2"]),
    ],
)
def test_a_wrong_recipe_is_named_with_file_key_and_fix(
    toml: str, words: list[str], corpus: Path, tmp_path: Path
) -> None:
    recipe = tmp_path / "mine.toml"
    recipe.write_text(toml, encoding="utf-8")
    ended = command("curate", "run", corpus, "--out", tmp_path / "run", "--recipe", recipe,
                    "--set", "duplicates.near=false")  # fmt: skip
    usage_error(ended, f"usage: {recipe}: ", *words)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("rules.zh.min_wrods=3", ["unknown key 'rules.zh.min_wrods'", "Did you mean 'min_words'"]),
        ("rulez.zh.min_words=3", ["unknown key 'rulez'", "Did you mean 'rules'"]),
        ("rules.zh.min_words=", ["'rules.zh.min_words' must be a whole number"]),
        ("rules.zh.min_words", ["no '='", "table.key=value"]),
        ("seed.x=1", ["'seed'"]),
        ("=1", ["no '='"]),
    ],
)
def test_a_wrong_override_is_not_blamed_on_the_file(
    override: str, words: list[str], corpus: Path, tmp_path: Path
) -> None:
    recipe = tmp_path / "mine.toml"
    recipe.write_text("seed = 7\n", encoding="utf-8")
    ended = command("curate", "run", corpus, "--out", tmp_path / "run", "--recipe", recipe,
                    "--set", override)  # fmt: skip
    usage_error(ended, "usage: --set: ", *words)


@pytest.mark.parametrize("kind", ["none", "folder", "binary"])
def test_a_recipe_that_is_no_recipe(kind: str, corpus: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "r"
    if kind == "folder":
        recipe.mkdir()
    elif kind == "binary":
        recipe.write_bytes(b"\xff\xfe\0")
    ended = command("curate", "run", corpus, "--out", tmp_path / "run", "--recipe", recipe)
    usage_error(ended, f"usage: {recipe}: ")


def test_the_recipe_that_init_writes_is_taken(corpus: Path, tmp_path: Path) -> None:
    assert command("curate", "init", "--out", tmp_path / "r.toml").code == 0
    usage_error(command("curate", "init", "--out", tmp_path / "r.toml"), "the file exists")
    dry = ("curate", "run", corpus, "--out", tmp_path / "run", "--dry-run", "--json")
    assert command(*dry, "--recipe", tmp_path / "r.toml").json() == command(*dry).json()
