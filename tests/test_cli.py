"""The command line as promised: help, options, and what is not installed."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from yanmo.cli import root

from .command import QUICK, command, said

# All that `yanmo` may grow to hold, by group; what there is must be among it.
PLANNED = {
    "": "demo doctor models curate vocab train evals",
    "models": "fetch verify",
    "curate": "init plan run extract filter dedup decontaminate quality mix pack shards why whatif "
    "report inspect instruct forget",
    "curate quality": "train score",
    "curate shards": "verify peek where packing",
    "curate instruct": "init generate clean convert",
    "vocab": "train extend merge grow prune verify doctor compare view embed export",
    "train": "plan pretrain grow sft reward score ppo grpo dpo merge generate",
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
