"""Phrases that tell boilerplate from text: notices, and headings of sections behind an article.

The lists are generic: a phrase is here if it stood on pages of several sites in the development
halves of the gold sets (``docs/main_content.md``) or is its plain counterpart in another language.
"""

import re
from typing import Final

import numpy as np
import numpy.typing as npt

from .markup import ELEMENT, FIRST, HEADINGS, LAST, LINKED, TAG, WEIGHT, Rows

NOTICE, SECTION = 1, 2

NOTICE_BYTES: Final = 400
"""A notice is short; a long paragraph that speaks of copyright is prose."""

SECTION_CHARS: Final = 60
ALONE_CHARS: Final = 20

LINE_BYTES: Final = 150
"""Date, source and number of readers stand in one line above a Chinese article."""

_NOTICES: Final = {
    "©": NOTICE_BYTES,
    **dict.fromkeys(
        (
            *("copyright (c)", "copyright 19", "copyright 20"),
            *("all rights reserved", "alle rechte vorbehalten"),
            *("版权所有", "icp备", "icp证", "公网安备", "网站地图", "违法和不良信息"),
            *("未经授权", "未经许可", "未经允许", "未经书面", "责任编辑", "责编：", "责编:"),
            *("免责声明", "特别声明", "本站声明"),
        ),
        NOTICE_BYTES,
    ),
    **dict.fromkeys(("来源：", "来源:", "发布日期", "发布时间", "浏览次数"), LINE_BYTES),
}
_NOTICE_BYTES: Final = [(phrase.encode(), limit) for phrase, limit in _NOTICES.items()]
_LATIN_NOTICE_BYTES: Final = [
    pair for pair in _NOTICE_BYTES if len(pair[0].decode()) * 2 >= len(pair[0])
]
_HANZI_LEADS: Final = (b"\xe5", b"\xe6", b"\xe7", b"\xe8")
"""One of these bytes is in every phrase in hanzi, and seldom in a text without."""
_ALONE: Final = frozenset(
    ("advertisement", "anzeige", "werbung", "广告", "share", "teilen", "分享到")
)

_SECTION: Final = re.compile(
    r"related(?: \w+)?|recommended(?: \w+)?|more (?:on|from|in|like) .*|see also"
    r"|you (?:may|might) (?:also )?(?:like|be interested).*|read (?:also|next|more).*"
    r"|(?:most|also) (?:popular|read|viewed).*|popular (?:posts|articles|now)|trending.*"
    r"|latest (?:news|posts|articles|stories)|comments?(?: on .*)?|post a comment"
    r"|leave a (?:reply|comment).*|join the (?:conversation|discussion)"
    r"|verwandte \w+|ähnliche \w+|das könnte (?:sie|dich|dir) .*|auch interessant.*"
    r"|lesen sie auch.*|weitere (?:artikel|beiträge|nachrichten|themen|meldungen).*"
    r"|mehr zum thema.*|mehr (?:aus|von|zu) .*|meistgelesen.*|kommentare?(?: zu .*)?"
    r"|kommentar (?:schreiben|verfassen|hinterlassen)|schreibe? einen kommentar.*"
    r"|diskutieren sie.*|commentaires?|à lire aussi.*|vous aimerez aussi.*|comentarios?"
    r"|te puede interesar.*|leia também.*|zobacz także.*|leggi anche.*"
    r"|相关(?:阅读|新闻|推荐|文章|链接|报道|资讯|内容|专题|主题).*|推荐阅读.*"
    r"|(?:热门|热点|精彩|为你|为您|编辑)推荐.*|猜你喜欢.*|您?可能感?兴趣.*|延伸阅读.*"
    r"|阅读排行.*|(?:热点|热门|新闻|阅读|点击)排行榜?.*|热门(?:文章|评论|标签|新闻).*"
    r"|最新(?:评论|文章|新闻|资讯).*|(?:网友|新闻|全部|用户|精彩|发表)?评论.{0,8}|我要评论"
    r"|[上下]一篇.*|友情链接.*|本周热门|今日热点"
)
_FIRST: Final = re.compile(r"[\W\d]*([^\W\d]+)")
_WORDS: Final = """
related recommended more see you read most also popular trending latest comment comments post leave
join verwandte ähnliche das auch lesen weitere mehr meistgelesen kommentar kommentare schreib
schreibe diskutieren commentaire commentaires à vous comentario comentarios te leia zobacz leggi
"""
_PAIRS: Final = """
相关 推荐 热门 热点 精彩 为你 为您 编辑 猜你 您可 可能 延伸 阅读 新闻 点击 最新 网友 全部 用户
发表 评论 我要 上一 下一 友情 本周 今日
"""
# Nine blocks in ten begin otherwise, which a set tells ten times faster than the expression.
_OPENERS: Final = frozenset(_WORDS.split())
_OPENING_PAIRS: Final = frozenset(_PAIRS.split())
_HEADS: Final = frozenset(
    word.encode()[:2]
    for opener in (*_OPENERS, *_OPENING_PAIRS, *_ALONE)
    for word in (opener, opener.capitalize())
) | frozenset(bytes([byte]) for byte in range(128) if not chr(byte).isalpha())
"""First bytes of a block worth decoding; ASCII letters in lower case."""


def phrases_in(blocks: Rows, elements: Rows, text: bytes) -> npt.NDArray[np.int8]:
    """Which blocks are notices, and which announce a section of other things.

    Args:
        blocks, elements: of ``read_blocks``.
        text: the text of all blocks, UTF-8.

    Returns:
        (m,) int8: 0, ``NOTICE`` or ``SECTION``.
    """
    found = np.zeros(len(blocks), np.int8)
    if not len(blocks):
        return found
    lower = text.lower()
    _mark_notices(found, blocks, lower)
    short = blocks[:, LAST] - blocks[:, FIRST] <= 3 * SECTION_CHARS
    heading = (HEADINGS >> elements[blocks[:, ELEMENT], TAG]) & 1 == 1
    unlinked = blocks[:, LINKED] * 2 <= blocks[:, WEIGHT]
    likely = np.flatnonzero(short & (heading | unlinked))
    spans = blocks[likely][:, [FIRST, LAST]].tolist()
    for block, (first, last) in zip(likely.tolist(), spans, strict=True):
        if lower[first : first + 2] in _HEADS or lower[first : first + 1] in _HEADS:
            kind = _kind(text[first:last].decode("utf-8", "replace").lower())
            if kind:
                found[block] = kind
    return found


def _mark_notices(found: npt.NDArray[np.int8], blocks: Rows, lower: bytes) -> None:
    """Search all blocks at once; ``bytes.lower`` moves nothing, it knows ASCII alone."""
    hits, limits = [], []
    hanzi = any(lead in lower for lead in _HANZI_LEADS)
    for sought, limit in _NOTICE_BYTES if hanzi else _LATIN_NOTICE_BYTES:
        at = lower.find(sought)
        while at >= 0:
            hits.append(at)
            limits.append(limit)
            at = lower.find(sought, at + len(sought))
    if hits:
        rows = np.searchsorted(blocks[:, FIRST], np.array(hits), side="right") - 1
        found[rows[blocks[rows, WEIGHT] <= np.array(limits)]] = NOTICE


def _kind(words: str) -> int:
    first = _FIRST.match(words)
    if first is None or len(words) > SECTION_CHARS:
        return 0
    opener = first[1]
    if opener in _ALONE and len(words) <= ALONE_CHARS:
        return NOTICE
    if opener not in _OPENERS and opener[:2] not in _OPENING_PAIRS:
        return 0
    return SECTION if _SECTION.fullmatch(words[first.start(1) :].rstrip(" :：»>")) else 0
