"""Documents in, token shards out: `yanmo curate pack` and a plain program with the same library.

Both are commands that read the same Parquet parts and write ids and a document table; both may use
all cores. That the ids are equal is looked at first, shard by shard and byte by byte: a rate stands
in the table only beside "equal".
"""

import hashlib
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from . import meter, texts
from .rounds import SCRIPTS, Claim, Options, Result, spread

MEGABYTES: Final = {"zh": 100.0, "en": 24.0}
ROUNDS: Final = 2
WORKERS: Final = 2
PARTS: Final = 4
ADDED: Final = 4000
TARGET: Final = 3.0
OURS, EVEN = "yanmo pack", "yanmo pack, nothing held out"
COLUMNS: Final = ("text", "vocabulary", "side", "ids", "wall s", "spread %", "processor s", "MB/s",
                  "peak MB, tree", "× yanmo")  # fmt: skip


@dataclass(frozen=True)
class Vocabulary:
    """A tokenizer: what `pack` gets, and the files of the plain programs."""

    name: str
    folder: Path
    plain: Mapping[str, Path]
    eos: int


def run(options: Options) -> Result:
    """Measure both sides for every vocabulary, on Chinese and on English.

    Raises:
        RuntimeError: there is no folder of real tokenizers, or a command failed.
    """
    real = texts.realdata()
    if real is None:
        raise RuntimeError("real tokenizers are needed: set YANMO_REALDATA")
    result = Result("Text to token shards, all cores", COLUMNS)
    result.notes += [
        "MB/s: UTF-8 bytes of text by wall seconds of the whole command, start-up, document table "
        "and hashes included. × yanmo: wall seconds by those of the row of equal work "
        f"({EVEN!r}); {OURS!r} also chooses what is held out and compares it with the rest.",
        "ids: whether the shards are byte for byte those of 'nothing held out'.",
        meter.METHOD,
    ]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        inputs = {language: _documents(language, folder, options, result)
                  for language in options.languages}  # fmt: skip
        sample = inputs.get("zh") or next(iter(inputs.values()))
        for vocabulary in _vocabularies(real / "tokenizers", folder, sample[0]):
            for language, (source, megabytes) in inputs.items():
                _measure(language, source, megabytes, vocabulary, options, result)
    return result


def _documents(language: str, folder: Path, options: Options, result: Result) -> tuple[Path, float]:
    import pyarrow as pa

    from yanmo.documents import SCHEMA, document_id, write_part

    work = texts.load(language, megabytes=options.megabytes or MEGABYTES[language])
    out = folder / language
    out.mkdir()
    for number in range(PARTS):
        rows = [
            {"id": document_id(language, f"{number}-{k}"), "text": text, "source": language,
             "origin": f"{number}#{k}", "n_chars": len(text), "n_bytes": len(text.encode())}
            for k, text in enumerate(work.texts[number::PARTS])
        ]  # fmt: skip
        write_part(out / f"part-{number:05d}.parquet", pa.Table.from_pylist(rows, schema=SCHEMA))
    result.notes.append(f"{language}: {len(work.texts)} documents, {work.megabytes:.1f} MB, "
                        f"{PARTS} parts, {work.source}.")  # fmt: skip
    return out, work.megabytes


def _vocabularies(real: Path, folder: Path, sample: Path) -> list[Vocabulary]:
    from yanmo.vocab.load import load_tokenizer
    from yanmo.vocab.spm import parse_model
    from yanmo.vocab.spm_json import spm_document

    ranked, grown = folder / "ranked", folder / "grown"
    _yanmo("vocab", "merge", real / "llama", real / "chinese-llama" / "chinese_sp.model",
           "--out", ranked, "-q")  # fmt: skip
    _yanmo("vocab", "extend", real / "minimind", sample / "part-00000.parquet",
           "--add", ADDED, "--out", grown, "-q")  # fmt: skip
    tied = real / "chinese-llama-2" / "tokenizer.model"
    converted = folder / "tied.json"
    converted.write_text(json.dumps(spm_document(parse_model(tied.read_bytes()))), "utf-8")
    paths: list[tuple[str, Path, dict[str, Path]]] = [
        ("LLaMA + 17 279 by `vocab merge`", ranked, {"tokenizers": ranked / "tokenizer.json"}),
        ("Chinese-LLaMA-2 as published", tied.parent,
         {"tokenizers, converted": converted, "sentencepiece": tied}),
        ("Qwen2.5", real / "qwen2.5", {"tokenizers": real / "qwen2.5" / "tokenizer.json"}),
        ("minimind", real / "minimind", {"tokenizers": real / "minimind" / "tokenizer.json"}),
        (f"minimind + {ADDED} by `vocab extend`", grown,
         {"tokenizers": grown / "tokenizer.json"}),
    ]  # fmt: skip
    found = []
    for name, where, plain in paths:
        eos = load_tokenizer(where).eos_id
        if eos is None:
            raise RuntimeError(f"{where} has no end-of-sequence token")
        found.append(Vocabulary(name, where, plain, eos))
    return found


def _yanmo(*arguments: object) -> None:
    command = [sys.executable, "-m", "yanmo", *(str(argument) for argument in arguments)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def _measure(
    language: str,
    source: Path,
    megabytes: float,
    vocabulary: Vocabulary,
    options: Options,
    result: Result,
) -> None:
    pack = [sys.executable, "-m", "yanmo", "curate", "pack", str(source), "-q", "--tokenizer",
            str(vocabulary.folder), "--workers", str(WORKERS), "--out"]  # fmt: skip
    script = str(SCRIPTS / "plain_pack.py")
    sides: dict[str, Callable[[Path], list[str]]] = {
        EVEN: lambda out: [*pack, str(out), "--set", "holdout_fraction=0"],
        OURS: lambda out: [*pack, str(out)],
    }
    for name, path in vocabulary.plain.items():
        sides[name] = lambda out, path=path: [
            sys.executable, script, str(source), str(path), str(vocabulary.eos), str(out)
        ]  # fmt: skip
    costs: dict[str, list[meter.Cost]] = {name: [] for name in sides}
    shards: dict[str, list[str]] = {}
    with tempfile.TemporaryDirectory() as folder:
        meter.run(sides[OURS](Path(folder) / "warm"))  # compiles the kernels
        for number in range(options.rounds or ROUNDS):
            for side, command in sides.items():
                out = Path(folder) / f"out-{number}-{list(sides).index(side)}"
                costs[side].append(meter.run(command(out)))
                shards[side] = _hashes(out)
                sys.stderr.write(f"  {language} {vocabulary.name}: {side} {costs[side][-1]}\n")
                shutil.rmtree(out)
    _report(language, megabytes, vocabulary.name, costs, shards, result)


def _hashes(out: Path) -> list[str]:
    return [hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(out.glob("*.bin"))]


def _report(
    language: str,
    megabytes: float,
    name: str,
    costs: Mapping[str, list[meter.Cost]],
    shards: Mapping[str, list[str]],
    result: Result,
) -> None:
    wall = {side: statistics.median(c.wall for c in some) for side, some in costs.items()}
    for side, some in costs.items():
        equal = shards[side] == shards[EVEN]
        said = "" if side == OURS else "equal" if equal else "OTHER"
        processor = statistics.median(c.processor for c in some)
        peak = max((c.tree_bytes or 0) / 1e6 for c in some)
        ratio = wall[side] / wall[EVEN]
        result.rows.append([language, name, side, said, wall[side], spread([c.wall for c in some]),
                            processor, megabytes / wall[side], peak, ratio])  # fmt: skip
        if side.startswith("tokenizers") and language == "zh" and equal:
            text = f"zh, {name}: wall seconds of {side} by those of yanmo, equal ids"
            result.claims.append(Claim(text, ratio, TARGET))
    result.data[f"{language}, {name}"] = {
        "megabytes": megabytes, "shards": dict(shards),
        "costs": {side: [asdict(cost) for cost in some] for side, some in costs.items()},
    }  # fmt: skip
