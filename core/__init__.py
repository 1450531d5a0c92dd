"""yanmo 研墨: from raw web pages to a scored language model, every number accounted for."""

from typing import Final

__version__: Final = "0.1.0"
