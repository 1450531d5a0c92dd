"""Speed and memory of the steps that find duplicate spans: ``python -m bench.spans INPUT...``.

Each step runs twice in a process of its own (the first run loads the kernels), on the documents of
all inputs as one part; the second is timed. MB are UTF-8 bytes of text; RSS is the peak above what
the process held before.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

STEPS = ("lines", "paragraphs", "sentences", "equal lines", "equal sentences", "repeats", "cut")
UNIT: dict[str, Any] = {"fold": "folded", "min_chars": 1, "window": 3}
EQUAL: dict[str, Any] = {"range": 0, "ranges": 1, "min_documents": 1, "within": True,
                         "keep_first": True}  # fmt: skip


def make(folder: Path, inputs: list[str]) -> int:
    """Write one part, its members, ranks and units; the bytes of its text."""
    from yanmo.curate import spans
    from yanmo.documents import SCHEMA, texts, write_part

    column = pa.concat_arrays([some for path in inputs for some in texts(path)])
    ids = [f"{n:08d}" for n in range(len(column))]
    given = {"id": ids, "text": column, "source": ["bench"] * len(ids), "origin": ids,
             "n_chars": pc.utf8_length(column).to_pylist(), "n_bytes": [0] * len(ids)}  # fmt: skip
    columns = [pa.array(given.get(f.name, [None] * len(ids)), f.type)
               if f.name != "text" else column for f in SCHEMA]  # fmt: skip
    write_part(folder / "kept.parquet", pa.table(columns, schema=SCHEMA))
    spans.owners_part([folder / "kept.parquet"], {"keep": ""}, folder)
    spans.rank_owners([folder / "members.parquet"], {"keep": "earliest", "source_priority": []},
                      folder)  # fmt: skip
    for kind in ("lines", "paragraphs", "sentences"):
        (folder / kind).mkdir()
        spans.units_part([folder / "kept.parquet"], {**UNIT, "kind": kind}, folder / kind)
    (folder / "found").mkdir()
    equal(folder, "sentences", folder / "found")
    return int(column.nbytes)


def equal(folder: Path, kind: str, out: Path) -> Any:
    """The step `equal_units` on one kind."""
    from yanmo.curate import spans

    inputs = [folder / kind / "units.npy", folder / "rank-00000.npy", folder / "members.parquet"]
    return spans.equal_units(inputs, EQUAL, out)


def call(name: str, folder: Path) -> Callable[[Path], Any]:
    """One step, as a function of the folder that it writes."""
    from yanmo.curate import span_cut, spans, substrings

    kept = folder / "kept.parquet"
    if name.startswith("equal"):
        return lambda out: equal(folder, name.split()[1], out)
    if name == "repeats":
        inputs = [kept, folder / "rank-00000.npy", folder / "members.parquet"]
        return lambda out: substrings.repeats_shard(inputs, {"min_bytes": 200}, out)
    if name == "cut":
        parameters = {"kinds": [["sentences", "remove", 1]], "min_chars": 50,
                      "keep_dropped": "text", "sample_fraction": 1.0}  # fmt: skip
        found = folder / "found" / "found-00000.parquet"
        return lambda out: span_cut.cut_spans([kept, found], parameters, out)
    return lambda out: spans.units_part([kept], {**UNIT, "kind": name}, out)


def peak_kib() -> int:
    """The most memory that this process has held. Not ``ru_maxrss``, which counts the parent's."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.partition("VmHWM:")[2].split()[0])


def measure(name: str, folder: Path) -> dict[str, Any]:
    """Run a step twice in this process; the second run's processor seconds, the peak of both."""
    step = call(name, folder)
    before = peak_kib()
    seconds, result = 0.0, None
    for _ in range(2):
        with tempfile.TemporaryDirectory() as out:
            start = time.process_time()
            result = step(Path(out))
            seconds = time.process_time() - start
    return {"seconds": seconds, "mb": (peak_kib() - before) / 1024, "result": result}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("inputs", nargs="+")
    parser.add_argument("--step", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.step:
        print(json.dumps(measure(arguments.step, Path(arguments.inputs[0]))))  # noqa: T201
        return
    with tempfile.TemporaryDirectory() as folder:
        size = make(Path(folder), arguments.inputs) / 1e6
        print(f"{size:.1f} MB of text")  # noqa: T201
        for name in STEPS:
            command = [sys.executable, "-m", "bench.spans", folder, "--step", name]
            done = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
            speed = size / max(done["seconds"], 1e-9)
            told = {k: v for k, v in done["result"].items() if k != "edits"}
            line = (
                f"{name:16} {done['seconds']:7.2f} s {speed:7.1f} MB/s {done['mb']:7.0f} MB {told}"
            )
            print(line)  # noqa: T201


if __name__ == "__main__":
    main()
