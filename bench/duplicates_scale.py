"""Memory and time of the steps that see all documents: ``python -m bench.duplicates_scale N``.

Made-up documents, 20 000 a part; every fifth is a near-copy of the one before it, which it shares
9 bands of 10 with. Each step runs in a process of its own. *Anonymous* memory is what it allocates
(``RssAnon``); the pages of memory-mapped files (``RssFile``) can be dropped by the system at will.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa

PART: Final = 20_000
HASHES: Final = 128  # of a sketch: half the largest
STEPS: Final = ("pairs", "near", "exact-groups")


def make(folder: Path, documents: int) -> None:
    """Write what the steps read."""
    from yanmo.curate.keep import MEMBER_SCHEMA
    from yanmo.curate.minhash import BAND_DTYPE
    from yanmo.documents import write_part

    random = np.random.default_rng(1)
    for part in range(documents // PART):
        place = folder / f"{part:05d}"
        place.mkdir()
        twin = np.arange(PART) % 5 == 4
        sketch = np.sort(random.integers(0, 2**32, (PART, HASHES), np.uint32), axis=1)
        sketch[twin] = sketch[np.flatnonzero(twin) - 1]
        sketch[twin, HASHES // 2 : HASHES // 2 + 8] += np.uint32(1)
        sketch.astype("<u4").tofile(place / "sketches.bin")
        np.save(place / "bounds.npy", np.arange(PART + 1, dtype=np.int64) * HASHES)
        hashes = random.integers(0, 2**63, PART, np.uint64)
        same = twin & (random.random(PART) < 0.9)
        hashes[same] = hashes[np.flatnonzero(same) - 1]
        entries = np.empty(PART, BAND_DTYPE)
        order = np.argsort(hashes, kind="stable")
        entries["hash"], entries["row"] = hashes[order], order
        np.save(place / "band.npy", entries)
        np.save(place / "hashes.npy", np.column_stack([hashes, hashes]))
        np.save(place / "alive.npy", np.ones(PART, np.bool_))
        ids = [f"{part * PART + n:024x}" for n in random.permutation(PART).tolist()]
        columns = [ids, ["web"] * PART, [None] * PART, [1000] * PART, [None] * PART]
        fields = [pa.array(c, f.type) for c, f in zip(columns, MEMBER_SCHEMA, strict=True)]
        write_part(place / "members.parquet", pa.table(fields, schema=MEMBER_SCHEMA))


def step(name: str, folder: Path) -> dict[str, Any]:
    """Run one step; its counts."""
    from yanmo.curate import clusters, exact, minhash

    parts = sorted(p for p in folder.iterdir() if p.name.isdigit())

    def files(*names: str) -> list[Path]:
        return [part / file for file in names for part in parts]

    out = folder / name
    out.mkdir()
    policy = {"keep": "longest", "source_priority": [], "min_jaccard": 0.7}
    if name == "pairs":
        return minhash.reduce_band(files("band.npy", "sketches.bin", "bounds.npy"), policy, out)
    if name == "near":
        inputs = [folder / "pairs" / "edges.npy"] * 14
        inputs += files("members.parquet", "sketches.bin", "bounds.npy")
        return clusters.cluster(inputs, policy | {"bands": 14, "parts": len(parts)}, out)
    inputs = files("hashes.npy", "members.parquet", "alive.npy")
    return exact.exact_groups(inputs, policy, out)


def watched(name: str, folder: Path) -> dict[str, Any]:
    """Run one step and watch its memory."""
    peak = {"RssAnon": 0, "RssFile": 0}
    done = threading.Event()

    def watch() -> None:
        while not done.wait(0.02):
            for line in Path("/proc/self/status").read_text().splitlines():
                key = line.partition(":")[0]
                if key in peak:
                    peak[key] = max(peak[key], int(line.split()[1]))

    thread = threading.Thread(target=watch)
    thread.start()
    start = time.process_time()
    result = step(name, folder)
    seconds = time.process_time() - start
    done.set()
    thread.join()
    largest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        "step": name,
        "seconds": round(seconds, 1),
        "anonymous_mb": peak["RssAnon"] // 1024,
        "mapped_mb": peak["RssFile"] // 1024,
        "peak_rss_mb": largest // 1024,
        **result,
    }


def main(documents: int) -> None:
    """Print a line of JSON for each step."""
    with tempfile.TemporaryDirectory() as name:
        make(Path(name), documents)
        for which in STEPS:
            command = [sys.executable, "-m", "bench.duplicates_scale", which, name]
            subprocess.run(command, check=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", help="how many documents; or one step, watched by itself")
    parser.add_argument("folder", nargs="?", type=Path, help="what the step reads")
    asked = parser.parse_args()
    if asked.what in STEPS:
        sys.stdout.write(json.dumps(watched(asked.what, asked.folder)) + "\n")
    else:
        main(int(asked.what))
