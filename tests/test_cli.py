"""The command line as promised: help, exit codes, messages, JSON, stdin, missing packages."""

import gzip
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from yanmo.cli import root

from .command import Ended, command
from .web import article, json_line, page, warc, warc_record

QUICK = ("-q", "--workers", "1", "--set", "duplicates.near=false")

# All that `yanmo` may grow to hold, by group; what there is must be among it.
PLANNED = {
    "": "demo doctor models curate vocab train evals",
    "models": "fetch verify",
    "curate": "init plan run extract filter dedup decontaminate quality mix pack shards why whatif "
    "report inspect instruct forget",
    "curate quality": "train score",
    "curate shards": "verify peek where packing",
    "curate instruct": "generate clean convert",
    "vocab": "train extend merge grow prune verify doctor compare view embed export",
    "train": "plan pretrain grow sft reward ppo grpo dpo merge generate",
    "evals": "ceval cmmlu mmlu bpb score judge review report compare",
    "evals review": "export import",
}
NEEDED = {
    *("demo", "doctor", "models fetch", "models verify", "curate init", "curate run"),
    *("curate extract", "curate filter", "curate dedup", "curate pack", "curate why"),
    *("curate report", "curate shards verify", "curate shards peek", "curate shards where"),
    *("vocab train", "train pretrain", "train generate", "evals bpb", "evals ceval"),
}


def walk(group: click.Group = root, path: str = "") -> Iterator[tuple[str, click.Command]]:
    """Every command with its full name, groups too."""
    context = click.Context(group)
    for name in group.list_commands(context):
        full = f"{path} {name}".strip()
        found = group.get_command(context, name)
        assert found is not None, full
        yield full, found
        if isinstance(found, click.Group):
            yield from walk(found, full)


COMMANDS = dict(walk())
LEAVES = {name: found for name, found in COMMANDS.items() if not isinstance(found, click.Group)}


def options(found: click.Command) -> dict[str, click.Option]:
    return {p.opts[0]: p for p in found.params if isinstance(p, click.Option)}


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    path = tmp_path / "in.jsonl"
    path.write_bytes(json_line(article(1)) + b"not json\n" + json_line("短。"))
    return path


def usage_error(ended: Ended, *words: object) -> None:
    """Exit 2, nothing on stdout, one message without a traceback, with these words in it."""
    assert (ended.code, ended.out) == (2, ""), ended.err
    said(ended, *words)


def said(ended: Ended, *words: object) -> None:
    assert "Traceback" not in ended.err
    for word in words:
        assert str(word) in ended.err


# ── help ─────────────────────────────────────────────────────────────────────────────────────────


def test_every_command_is_planned_and_the_first_ones_are_there() -> None:
    for full in COMMANDS:
        group, _, name = full.rpartition(" ")
        assert name in PLANNED[group].split(), full
    assert set(LEAVES) >= NEEDED


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_and_option_says_what_it_is_for(name: str) -> None:
    found = COMMANDS[name]
    assert found.help, "no help text"
    short = found.get_short_help_str(200)
    assert len(short) <= 100, short
    assert short.endswith((".", "?")), short
    for flag, option in options(found).items():
        assert option.help or option.hidden, f"{flag} is not documented"
    shown = command(*name.split(), "--help")
    assert shown.code == 0
    assert "Usage: yanmo " + name in shown.out


def test_shared_options_mean_the_same_everywhere() -> None:
    shared: dict[str, tuple[object, ...]] = {}
    for full, found in LEAVES.items():
        given = options(found)
        assert given.keys() >= {"-v", "-q"}, full
        for flag in ("--workers", "--seed", "--json", "--dry-run", "--set", "--recipe", "-v", "-q"):
            if flag in given:
                one = given[flag]
                kind = (
                    tuple(one.opts),
                    one.name,
                    one.type.name,
                    one.is_flag,
                    one.multiple,
                    one.help,
                )
                assert shared.setdefault(flag, kind) == kind, f"{flag} of {full}"
    assert len(shared) == 8


def test_help_of_every_command_loads_no_heavy_module() -> None:
    lines = ["import json, sys", "from yanmo.cli import root"]
    for name in COMMANDS:
        lines += [
            "try: root.main(" + repr([*name.split(), "--help"]) + ")",
            "except SystemExit: pass",
        ]
    lines += ["print(json.dumps(sorted(sys.modules)), file=sys.stderr)"]
    done = subprocess.run([sys.executable, "-c", "\n".join(lines)], capture_output=True, check=True)
    loaded = {name.partition(".")[0] for name in json.loads(done.stderr.splitlines()[-1])}
    heavy = {"torch", "transformers", "polars", "numpy", "numba", "scipy", "pyarrow", "tokenizers"}
    heavy |= {"sentencepiece", "datasketch", "fasttext", "rich", "fastwarc", "resiliparse"}
    assert loaded & heavy == set()
    assert loaded >= {"click", "yanmo"}


def test_no_arguments_show_the_help() -> None:
    ended = command()
    assert ended.code == 2
    for name in PLANNED[""].split():
        assert name in ended.err


# ── typing errors ────────────────────────────────────────────────────────────────────────────────


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


# ── recipes ──────────────────────────────────────────────────────────────────────────────────────


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


# ── output ───────────────────────────────────────────────────────────────────────────────────────


def test_json_is_one_object_and_nothing_else(corpus: Path, tmp_path: Path) -> None:
    ended = command("curate", "run", corpus, "--out", tmp_path / "run", *QUICK, "--json")
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.count("\n") == 1
    told = ended.json()
    assert (told["read"], told["quarantined"], told["kept"]) == (3, 1, 1)
    assert told["dropped"] == {"min_words": 1}
    funnel = json.loads((tmp_path / "run" / "funnel.json").read_text(encoding="utf-8"))
    assert {key: told[key] for key in funnel} == funnel
    kept = next((tmp_path / "run" / "documents").iterdir())
    assert kept.name == "part-00000.parquet"
    assert command("doctor", "--json").json()["ok"] is True
    assert isinstance(command("models", "verify", "--json").json(), dict)


def test_dry_run_writes_nothing(corpus: Path, tmp_path: Path) -> None:
    arguments = ("curate", "run", corpus, "--out", tmp_path / "run", "--dry-run", "--seed", 9)
    told = command(*arguments, "--json").json()
    assert (told["files"], told["bytes"], told["tasks"]) == (1, corpus.stat().st_size, 1)
    assert told["recipe"]["seed"] == 9
    assert "seed = 9\n" in command(*arguments).out
    usage_error(command("curate", "run", "none", "--out", tmp_path / "run", "--dry-run"), "none")
    assert [path.name for path in tmp_path.iterdir()] == ["in.jsonl"]


def test_quiet_and_verbose_may_stand_before_the_command(corpus: Path, tmp_path: Path) -> None:
    arguments = ("curate", "run", corpus, "--out", corpus)
    for before, after in [(["-v"], []), ([], ["-v"]), ([], ["-qv"]), ([], ["--verbose"])]:
        ended = command(*before, *arguments, *after)
        assert ended.code == 2
        assert "Traceback" in ended.err
        assert ended.err.splitlines()[-1].startswith("usage: ")
    usage_error(command("-q", *arguments), "--out is a file")


@pytest.mark.parametrize("encoding", ["gbk", "ascii", "latin-1"])
def test_a_terminal_of_another_encoding(encoding: str, corpus: Path, tmp_path: Path) -> None:
    ended = command("curate", "run", corpus, "--out", tmp_path / "run", *QUICK, encoding=encoding)
    assert ended.code == 0
    assert "kept" in ended.out
    source = tmp_path / "墨.jsonl"
    source.write_bytes(json_line(article(2)))
    told = command("curate", "run", source, "--out", tmp_path / "墨", *QUICK, "--json",
                   encoding=encoding)  # fmt: skip
    assert told.json()["report"] == str(tmp_path / "墨" / "report.html")
    assert command("--help", encoding=encoding).code == 0


def test_a_name_that_is_no_text(tmp_path: Path) -> None:
    folder = tmp_path / os.fsdecode(b"caf\xe9")
    folder.mkdir()
    (folder / os.fsdecode(b"\xff.jsonl")).write_bytes(json_line(article(3)))
    arguments = ("curate", "run", folder / os.fsdecode(b"\xff.jsonl"), *QUICK)
    ended = command(*arguments, "--out", tmp_path / "run")
    assert ended.code == 0, ended.err
    usage_error(command(*arguments, "--out", folder / "run"), "--out is no text in UTF-8")
    found = command("curate", "why", tmp_path / "run", "\\xff.jsonl#0", "--json").json()
    assert found["text"].startswith(article(3)[:20])


def test_a_closed_pipe_is_no_accident(corpus: Path, tmp_path: Path) -> None:
    line = f'"{sys.executable}" -m yanmo curate init --out "{tmp_path}/r.toml" | true; echo $?'
    done = subprocess.run(["/bin/sh", "-c", line], capture_output=True, text=True, check=True)
    assert "Traceback" not in done.stderr
    assert "Exception" not in done.stderr


# ── stdin ────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("kind", ["jsonl", "jsonl.gz", "warc.gz", "html", "txt"])
def test_stdin_is_known_by_its_content(kind: str, tmp_path: Path) -> None:
    lines = json_line(article(1)) + json_line(article(2))
    data = {
        "jsonl": lines,
        "jsonl.gz": gzip.compress(lines),
        "warc.gz": b"".join(map(gzip.compress, warc(range(1, 3)))),
        "html": page(1).encode(),
        "txt": article(1).encode(),
    }[kind]
    ended = command("curate", "run", "-", "--out", tmp_path / "run", *QUICK, "--json", stdin=data)
    assert ended.code == 0, ended.err
    told = ended.json()
    assert told["kept"] == (1 if kind in ("html", "txt") else 2)
    assert told["bytes"]["stored"]["bytes"] == len(data)
    again = command("curate", "run", "-", "--out", tmp_path / "run", *QUICK, "--json", stdin=data)
    assert again.json()["fresh_tasks"] == 0


def test_nothing_on_stdin(tmp_path: Path) -> None:
    ended = command("curate", "run", "-", "--out", tmp_path / "run", *QUICK)
    assert ended.code == 0
    assert "Nothing was kept" in ended.out


# ── data ─────────────────────────────────────────────────────────────────────────────────────────


def test_only_bad_records_fail_with_the_first_of_them(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"body": "x"}\n' * 3, encoding="utf-8")
    ended = command("curate", "run", tmp_path / "a.jsonl", "--out", tmp_path / "run", *QUICK)
    assert ended.code == 1
    said(ended, "error: read: 3 of 3 records cannot be read (no-text: 3)", "a.jsonl#0",
         'no field "text" (fields: body); set read.text_field')  # fmt: skip


def test_a_text_file_that_is_cut_is_no_interruption(tmp_path: Path) -> None:
    cut = tmp_path / "cut.jsonl.gz"
    cut.write_bytes(gzip.compress(json_line(article(1)) * 500)[:-20])
    ended = command("vocab", "train", cut, "--out", tmp_path / "v", "--size", "300")
    assert ended.code == 1
    said(ended, f"error: {cut}: cannot read on", "Is the file cut?")
    assert "interrupted" not in ended.err


def test_without_the_language_model_a_run_says_so(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("YANMO_MODELS", str(tmp_path / "none"))
    ended = command("curate", "run", corpus, "--out", tmp_path / "run", *QUICK)
    assert ended.code == 0
    assert "lid.176 is not here" in ended.out
    assert "yanmo models fetch lid.176" in ended.out
    assert command("models", "verify", "--json").json() == {"lid.176": "missing"}
    ended = command("models", "fetch", "lid.176", "--from", corpus)
    assert ended.code in (1, 2)
    said(ended, "lid.176.ftz")
    monkeypatch.setenv("YANMO_MODELS", str(tmp_path / "damaged"))
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "lid.176.ftz").write_bytes(b"no model")
    assert command("models", "verify").code == 1


def test_why_needs_one_document(corpus: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    assert command("curate", "run", corpus, "--out", run, *QUICK).code == 0
    ended = command("curate", "why", run, "zzz")
    assert ended.code == 1
    said(ended, f"error: {run}: no document with this id, URL or origin, got 'zzz'")
    (run / "manifest.json").unlink()
    ended = command("curate", "why", run, "zzz")
    assert ended.code == 1
    said(ended, "no manifest.json here")
    ended = command("curate", "report", tmp_path)
    assert ended.code == 1
    said(ended, "not a run folder")


# ── missing packages ─────────────────────────────────────────────────────────────────────────────

# As if torch and transformers were not installed; python reads this when it starts.
BLOCK = """
import sys
class Block:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "transformers"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Block())
"""


@pytest.mark.parametrize(
    "typed",
    ["train pretrain {} --out x", "train generate {}", "evals bpb {} {}", "evals ceval {} {}"],
)
def test_without_torch_the_pip_line_is_given(typed: str, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(BLOCK, encoding="utf-8")
    arguments = typed.format(tmp_path, tmp_path).split()
    done = subprocess.run([sys.executable, "-m", "yanmo", *arguments], capture_output=True,
                          text=True, cwd=tmp_path, check=False,
                          env={**os.environ, "PYTHONPATH": str(tmp_path)})  # fmt: skip
    assert (done.returncode, done.stdout) == (1, "")
    assert 'pip install "yanmo[train]"' in done.stderr
    assert "Traceback" not in done.stderr


def test_damage_of_our_own_is_a_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "yanmo.doctor", None)
    with pytest.raises(ModuleNotFoundError):
        command("doctor")


def test_a_server_of_records_is_not_asked_for(tmp_path: Path) -> None:
    """A WARC that names a page twice is two documents: ids come from origins, not addresses."""
    record = warc_record("warcinfo", b"x: y\r\n")
    path = tmp_path / "a.warc"
    path.write_bytes(record + b"".join(warc(range(1, 2))) + b"".join(warc(range(2, 3))))
    told = command("curate", "run", path, "--out", tmp_path / "run", *QUICK, "--json").json()
    assert told["skipped"] == {"request": 2, "warcinfo": 3}
    assert told["kept"] == 2
