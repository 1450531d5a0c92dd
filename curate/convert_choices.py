"""What hanzi can be converted to; apart from the conversion, so that recipes load without it."""

from typing import Final

CONVERSIONS: Final = ("off", "simplified", "traditional", "taiwan", "hongkong")
