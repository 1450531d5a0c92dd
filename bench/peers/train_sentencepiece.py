"""Train a BPE vocabulary with sentencepiece as its README shows: FILE.jsonl OUT SIZE THREADS."""

import json
import sys

import sentencepiece


def lines(path):
    with open(path, encoding="utf-8") as stream:  # noqa: PTH123
        for row in stream:
            yield from json.loads(row)["text"].split("\n")


def main(source, out, size, threads):
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=lines(source),
        model_prefix=out,
        model_type="bpe",
        vocab_size=int(size),
        character_coverage=0.9995,
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
        byte_fallback=True,
        split_digits=True,
        max_sentence_length=1 << 16,
        num_threads=int(threads),
        minloglevel=2,
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
