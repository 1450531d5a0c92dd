"""Long entries that look like advertising, boilerplate or repetition: what a corpus left behind.

A list of words alone proves nothing about a text, but an *entry* that holds one was frequent enough
to be learned. The list is short on purpose; what is long is shown in any case, to be read.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from .charsets import HAN_RUN, is_han
from .spm_json import SPACE

# Hanzi from which on an entry is more likely a phrase of the corpus than a word.
LONG_HAN: Final = 5
LONG_OTHER: Final = 16
# Advertising for gambling and pornography, and the furniture of pages.
_SPAM: Final = re.compile(
    "彩票|彩神|彩网|时时彩|快三|六合彩|赛车|博彩|娱乐城|娱乐平台|棋牌|投注|开奖|葡京|赌|百家乐|"
    "色情|情色|无码|一区|二区|三区|毛片|成人|人妻|做爰|激情|自拍|黄色|大片|免费视频|在线观看|视频在线|"
    "(?<![a-z])av(?![a-z])|代孕|发票|贷款|加盟|微商|加微信|公司注册"
)
_BOILERPLATE: Final = re.compile(
    "公众号|筛选后|留言|点击|关注|扫码|扫一扫|二维码|版权所有|转载|责任编辑|责编|免责|为准|上一篇|下一篇|"
    "客服|登录|注册|下载|阅读全文|查看更多|相关阅读|来源[：:]|编辑[：:]|举报|投诉|本网站|本站|备案|"
    "click here|all rights reserved|cookie|subscribe|copyright"
)
_REPEATED: Final = re.compile(r"(.{1,4}?)\1{3,}\Z", re.DOTALL)


@dataclass(frozen=True)
class LongTokens:
    """Ids of conspicuous entries; the others are among ``long``."""

    long: tuple[int, ...]
    spam: tuple[int, ...]
    boilerplate: tuple[int, ...]
    repeated: tuple[int, ...]


def long_tokens(surfaces: Sequence[bytes], ids: Sequence[int]) -> LongTokens:
    """Sort the long entries: those with hanzi, then the others, the longest first.

    Args:
        surfaces: bytes of every id.
        ids: which to look at.
    """
    texts = {i: surfaces[i].decode("utf-8", errors="replace").replace(SPACE, " ") for i in ids}
    long = [i for i, text in texts.items() if _is_long(text.strip())]
    # Phrases of hanzi first: the long ones of other scripts are mostly names from programs.
    long.sort(key=lambda i: (HAN_RUN.search(texts[i]) is None, -len(texts[i]), i))
    lower = {i: texts[i].lower() for i in long}
    # Runs of blanks, dashes and the like are wanted: code and tables are made of them.
    words = [i for i in long if any(c.isalnum() for c in texts[i])]
    return LongTokens(
        long=tuple(words),
        spam=tuple(i for i in words if _SPAM.search(lower[i])),
        boilerplate=tuple(i for i in words if _BOILERPLATE.search(lower[i])),
        repeated=tuple(i for i in words if _REPEATED.match(texts[i].strip())),
    )


def _is_long(text: str) -> bool:
    return len(text) >= (LONG_HAN if is_han(text) else LONG_OTHER)
