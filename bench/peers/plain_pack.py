"""Parquet documents in, token shards out, as one writes it with a tokenizer library at hand.

    python plain_pack.py DOCUMENTS TOKENIZER EOS OUT

TOKENIZER is a tokenizer.json (`tokenizers`, encode_batch_fast, all cores) or a .model
(`sentencepiece`, as many threads as cores). Special tokens in the text stay text.
"""

import json
import os
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

COLUMNS = ["id", "source", "origin", "url", "n_bytes", "n_chars", "text"]
BATCH = 256


def encoder(path):
    if path.suffix == ".json":
        import tokenizers

        fast = tokenizers.Tokenizer.from_file(str(path))
        fast.encode_special_tokens = True
        size = 1 + max(fast.get_vocab(with_added_tokens=True).values())
        return lambda texts: [
            e.ids for e in fast.encode_batch_fast(texts, add_special_tokens=False)
        ], size
    import sentencepiece

    spm = sentencepiece.SentencePieceProcessor(model_file=str(path))
    threads = os.cpu_count()
    return lambda texts: spm.encode(
        texts, return_type="numpy", num_threads=threads
    ), spm.get_piece_size()


def main(documents, tokenizer, eos, out):
    encode, size = encoder(Path(tokenizer))
    kind = np.uint16 if size <= 65536 else np.uint32
    Path(out).mkdir(parents=True)
    for path in sorted(Path(documents).glob("part-*.parquet")):
        stem, end, docs = Path(out) / path.stem, 0, None
        with Path(f"{stem}.bin").open("wb") as stream:
            for batch in pq.ParquetFile(path).iter_batches(batch_size=BATCH, columns=COLUMNS):
                ends = []
                for ids in encode(batch.column("text").to_pylist()):
                    array = np.append(np.asarray(ids, dtype=kind), kind(eos))
                    stream.write(array)
                    end += len(array)
                    ends.append(end)
                table = pa.Table.from_batches([batch]).drop(["text"])
                table = table.append_column("end", pa.array(ends, pa.uint64()))
                docs = docs or pq.ParquetWriter(f"{stem}.docs.parquet", table.schema)
                docs.write_table(table)
        docs.close()
    sys.stdout.write(json.dumps({"vocabulary": size}) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
