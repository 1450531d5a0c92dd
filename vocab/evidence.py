"""What speaks for a learned entry: how often, in how many documents, from how many sites.

Word lists do not catch spam: the long Chinese tokens of a well-known vocabulary are mostly
advertising for casinos. What gives such strings away is where they come from: one site, or a few
documents that repeat them.
"""

# ruff: noqa: PLR0913

from dataclasses import dataclass

import numpy as np

from .kernels import I32, I64, Number, kernel
from .learn import Learned
from .runs import Runs
from .segment import Symbols


@dataclass(frozen=True)
class Evidence:
    """Columns with one row a candidate: virtual characters first, then merges in order.

    Attributes:
        documents: documents it occurs in.
        domains: known sites it occurs on.
        top_share: share of its occurrences that the commonest known site has (0: none known);
            occurrences on unknown sites count against it, float64.
        runs: distinct runs it occurs in: a few for what is copied whole, many for a living word.
    """

    documents: I64
    domains: I64
    top_share: np.ndarray
    runs: I64


@kernel
def _tokens_of_runs(
    symbols: I32, ends: I64, first: Number, first_new: Number, left: I32, right: I32,
    out: I32, out_ends: I64,
) -> Number:  # fmt: skip
    """The candidates in the merge trees of each run, once each; counts alone if ``out`` is empty.

    Candidate ``k`` is the symbol ``first + k``.
    """
    seen = np.full(first_new - first + len(left), np.int64(-1), np.int64)
    stack = np.empty(64, np.int32)
    filled = 0
    for run in range(len(ends) - 1):
        for at in range(ends[run], ends[run + 1]):
            if symbols[at] < first:
                continue
            depth = 1
            stack[0] = symbols[at]
            while depth > 0:
                depth -= 1
                symbol = stack[depth]
                if symbol < first or seen[symbol - first] == run:
                    continue
                seen[symbol - first] = run
                if len(out) > 0:
                    out[filled] = symbol - first
                filled += 1
                if symbol >= first_new:
                    stack[depth] = left[symbol - first_new]
                    stack[depth + 1] = right[symbol - first_new]
                    depth += 2
        out_ends[run + 1] = filled
    return filled


@kernel
def _spread(
    order: I64, run: I32, document: I32, host: I32, tokens: I32, token_ends: I64,
    documents: I64, domains: I64, top: I64, every: I64,
) -> None:  # fmt: skip
    """Go through the occurrences sorted by site, then document, and count for each candidate."""
    size = len(documents)
    last_document = np.full(size, np.int32(-1), np.int32)
    last_host = np.full(size, np.int32(-1), np.int32)
    here = np.zeros(size, np.int64)
    for position in order:
        index = run[position]
        site = host[document[position]]
        for k in range(token_ends[index], token_ends[index + 1]):
            token = tokens[k]
            if last_document[token] != document[position]:
                last_document[token] = document[position]
                documents[token] += 1
            every[token] += 1
            if site < 0:
                continue
            if last_host[token] != site:
                last_host[token] = site
                domains[token] += 1
                here[token] = 0
            here[token] += 1
            top[token] = max(top[token], here[token])


def gather(runs: Runs, symbols: Symbols, learned: Learned, hosts: I32) -> Evidence:
    """Collect the evidence for every candidate.

    Args:
        runs: the counted runs with their occurrences.
        symbols: the runs as symbols of the base.
        learned: the merges.
        hosts: number of the site of each document, -1 for unknown, int32.
    """
    first, first_new = symbols.first_virtual, learned.first_new
    none, ends = np.zeros(0, np.int32), np.zeros(len(symbols.ends), np.int64)
    arguments = (learned.symbols, symbols.ends, first, first_new, learned.left, learned.right)
    total = _tokens_of_runs(*arguments, none, ends)
    tokens = np.empty(max(int(total), 1), np.int32)
    _tokens_of_runs(*arguments, tokens, ends)
    size = first_new - first + len(learned.left)
    documents, domains, top, every = (np.zeros(size, np.int64) for _ in range(4))
    order = np.lexsort((runs.document, hosts[runs.document]))
    _spread(
        order, runs.run, runs.document, hosts, tokens, ends, documents, domains, top, every
    )  # fmt: skip
    return Evidence(
        documents=documents,
        domains=domains,
        top_share=np.divide(top, every, out=np.zeros(size), where=every > 0),
        runs=np.bincount(tokens[:total], minlength=size),
    )
