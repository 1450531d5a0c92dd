"""Train byte-level BPE with `tokenizers` as its documentation shows: FILE.jsonl OUT SIZE PATTERN.

Words are cut by the pattern given (the one that our side uses), so that both do equal work.
"""

import json
import sys

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers


def documents(path):
    with open(path, encoding="utf-8") as stream:  # noqa: PTH123
        for row in stream:
            yield json.loads(row)["text"]


def main(source, out, size, pattern):
    fast = Tokenizer(models.BPE())
    fast.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(r"\p{Han}+"), "isolated"),
            pre_tokenizers.Split(Regex(pattern), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    fast.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=int(size),
        min_frequency=2,
        special_tokens=["<unk>", "<s>", "</s>", "<pad>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    fast.train_from_iterator(documents(source), trainer)
    fast.save(out)


if __name__ == "__main__":
    main(*sys.argv[1:])
