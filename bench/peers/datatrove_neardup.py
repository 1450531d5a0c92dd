"""datatrove's near-duplicate removal: JSON lines in, JSON lines out, its four stages on two
workers.

    python datatrove_neardup.py INPUT WORK LANGUAGE WORKERS [plain]

Fastest settings: 5-grams, 14 bands of 8 values (its defaults and FineWeb's); the lean normalisation
of ``datatrove_signature.py``; uncompressed files; whole files buffered (``lines_to_buffer=-1``); as
many tasks as workers where a stage allows it (stage 2 wants one a band, stage 3 takes one); no
start delay; the log is silent. Documents that go are not written out.
"""

import sys
from pathlib import Path
from typing import Any

from datatrove.executor import LocalPipelineExecutor
from datatrove.pipeline.dedup.minhash import (
    MinhashConfig,
    MinhashDedupBuckets,
    MinhashDedupCluster,
    MinhashDedupFilter,
    MinhashDedupSignature,
)
from datatrove.pipeline.readers import JsonlReader
from datatrove.pipeline.writers import JsonlWriter
from datatrove.utils.hashing import HashConfig
from datatrove.utils.text import TextNormConfig
from plain_tokenizer import PlainTokenizer
from serve import DATATROVE_LANGUAGES

CONFIG = MinhashConfig(
    norm_config=TextNormConfig(norm_numbers=False, norm_unicode_diacritics=False),
    hash_config=HashConfig(precision=64),
)


def main(source: str, work: Path, language: str, *, workers: int, plain: bool) -> None:
    """Run the four stages; the result lies in ``WORK/kept``."""
    signatures, buckets, clusters = (str(work / name) for name in ("sig", "buckets", "clusters"))
    tokenizer = PlainTokenizer(language) if plain else DATATROVE_LANGUAGES[language]
    reader = JsonlReader(source, compression=None)
    stages: list[tuple[list[Any], int]] = [
        ([reader, MinhashDedupSignature(signatures, CONFIG, language=tokenizer)], workers),
        ([MinhashDedupBuckets(signatures, buckets, config=CONFIG, lines_to_buffer=-1)],
         CONFIG.num_buckets),
        ([MinhashDedupCluster(buckets, clusters, config=CONFIG, lines_to_buffer=-1)], 1),
        ([reader, MinhashDedupFilter(clusters, lines_to_buffer=-1),
          JsonlWriter(str(work / "kept"), compression=None)], workers),
    ]  # fmt: skip
    for number, (pipeline, tasks) in enumerate(stages):
        LocalPipelineExecutor(
            pipeline,
            tasks=tasks,
            workers=min(workers, tasks),
            logging_dir=str(work / f"log-{number}"),
            skip_completed=False,
        ).run()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), sys.argv[3], workers=int(sys.argv[4]),
         plain=sys.argv[5:] == ["plain"])  # fmt: skip
