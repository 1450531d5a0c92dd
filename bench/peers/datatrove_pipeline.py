"""datatrove on texts: read, language, Gopher repetition and quality, C4, FineWeb, write; JSON
lines.

    python datatrove_pipeline.py INPUT WORK LANGUAGE WORKERS [MODEL]

The comparable part of a run without HTML extraction; thresholds are those of
``datatrove_filters.py``. With ``MODEL`` (a fastText file) languages are labelled and none is
dropped. Near duplicates are the business of ``datatrove_neardup.py``. Uncompressed files, silent
log.
"""

import sys
from pathlib import Path
from typing import Any

from datatrove.executor import LocalPipelineExecutor
from datatrove.pipeline.filters import LanguageFilter
from datatrove.pipeline.readers import JsonlReader
from datatrove.pipeline.writers import JsonlWriter
from datatrove_filters import filters


class LocalLanguageFilter(LanguageFilter):
    """Its language filter with a model that is already here; loaded in the worker."""

    def __init__(self, model: str) -> None:
        super().__init__(label_only=True)
        self.model_path = model

    def filter(self, doc: Any) -> Any:
        """Label one document."""
        if self.model._model is None:
            from fasttext.FastText import _FastText

            self.model._model = _FastText(self.model_path)
        return super().filter(doc)


def main(source: str, work: Path, language: str, workers: int, model: str | None) -> None:
    """Run the pipeline; what passes lies in ``WORK/kept``."""
    LocalPipelineExecutor(
        [
            JsonlReader(source, compression=None),
            *([LocalLanguageFilter(model)] if model else []),
            *filters(language),
            JsonlWriter(str(work / "kept"), compression=None),
        ],
        tasks=workers,
        workers=workers,
        logging_dir=str(work / "log"),
        skip_completed=False,
    ).run()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), sys.argv[3], int(sys.argv[4]), (sys.argv[5:] or [None])[0])
