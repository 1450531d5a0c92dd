"""Phrases that tell boilerplate from text: notices, and headings of sections behind an article.

The lists are generic: a phrase is here if it stood on pages of several sites in the development
halves of the gold sets (``docs/main_content.md``) or is its plain counterpart in another language.
"""

import re
from typing import Final

import numpy as np
import numpy.typing as npt

from .markup import ELEMENT, FIRST, LAST, LINKED, TAG, WEIGHT, Rows
from .tags import HEADINGS
from .utf8 import Bytes, kernel

Marks = npt.NDArray[np.int8]

NOTICE, SECTION = 1, 2

NOTICE_BYTES: Final = 400
"""A notice is short; a long paragraph that speaks of copyright is prose."""

SECTION_CHARS: Final = 60
ALONE_CHARS: Final = 20

TITLE_SHARE: Final = 3
"""A headline makes up at least a third of the title; the rest is the name of the site."""

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
"""Phrases in lower case, and the most bytes of a notice that has them."""
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
_OPENERS: Final = frozenset(_WORDS.split())
_OPENING_PAIRS: Final = frozenset(_PAIRS.split())


def _notice_table() -> tuple[Bytes, Rows, Rows]:
    """The notices for the kernel.

    Returns:
        Their bytes, back to back. (n, 3): where each starts and ends in them, its limit in bytes.
        (257,): those that begin with byte b are the rows ``starts[b]`` to ``starts[b + 1]``.
    """
    notices = sorted((phrase.encode(), limit) for phrase, limit in _NOTICES.items())
    rows = np.zeros((len(notices), 3), np.int32)
    starts = np.zeros(257, np.int32)
    end = 0
    for row, (phrase, limit) in enumerate(notices):
        rows[row] = end, end + len(phrase), limit
        end += len(phrase)
        starts[phrase[0] + 1 :] = row + 1
    return np.frombuffer(b"".join(phrase for phrase, _ in notices), np.uint8), rows, starts


def _opener_codes() -> npt.NDArray[np.int64]:
    """Sorted hashes of the words and pairs that open what is worth a second look."""
    latin = [word.encode() for word in (*_OPENERS, *_ALONE) if word.isascii()]
    pairs = [pair.encode() for pair in _OPENING_PAIRS]
    pairs += [word[:2].encode() for word in _ALONE if not word.isascii()]
    codes = set()
    for word in latin + pairs:
        code = 17
        for byte in word:
            code = (code * 31 + byte) & 0xFFFFFFFF
        codes.add(code)
    return np.array(sorted(codes), np.int64)


def _gates() -> tuple[Bytes, Bytes]:
    """Bits for the first and for the second byte of a notice; a pair without a common one is none.

    Each first byte has a bit of its own as far as there are eight.
    """
    leads, seconds = np.zeros(256, np.uint8), np.zeros(256, np.uint8)
    firsts = sorted({phrase.encode()[0] for phrase in _NOTICES})
    for notice in _NOTICES:
        first, second = notice.encode()[:2]
        bit = 1 << firsts.index(first) % 8
        for byte, table in ((first, leads), (second, seconds)):
            table[byte] |= bit
            if 97 <= byte <= 122:
                table[byte - 32] |= bit
    return leads, seconds


_LEADS, _SECONDS = _gates()
_PHRASES, _PHRASE_ROWS, _PHRASE_STARTS = _notice_table()
_CODES: Final = _opener_codes()


@kernel
def _is_notice(text: Bytes, first: int, last: int, weight: int) -> bool:
    """Whether a block holds a notice; ASCII letters count in lower case."""
    for at in range(first, last):
        if not _SECONDS[text[at + 1] if at + 1 < last else 0] & _LEADS[text[at]]:
            continue
        lead = text[at]
        lead = lead | 32 if 65 <= lead <= 90 else lead
        for row in range(_PHRASE_STARTS[lead], _PHRASE_STARTS[lead + 1]):
            start, end = _PHRASE_ROWS[row, 0], _PHRASE_ROWS[row, 1]
            if at + end - start > last or weight > _PHRASE_ROWS[row, 2]:
                continue
            same = True
            for k in range(1, end - start):
                byte = text[at + k]
                byte = byte | 32 if 65 <= byte <= 90 else byte
                if byte != _PHRASES[start + k]:
                    same = False
                    break
            if same:
                return True
    return False


@kernel
def _may_announce(text: Bytes, first: int, last: int) -> bool:
    """Whether the first word of a block may be one that opens the name of a section.

    No for nine blocks in ten, so that the expression need not see them. In doubt, yes.
    """
    at = first
    while at < last and text[at] < 128 and not (97 <= text[at] | 32 <= 122 or text[at] == 95):
        at += 1
    if at == last:
        return False
    code = 17
    if text[at] >= 128:
        if not 0xE5 <= text[at] <= 0xE9 and not (
            text[at] == 0xE4 and at + 1 < last and text[at + 1] >= 0xB8
        ):
            return text[at] in (0xC2, 0xC3, 0xE2, 0xE3, 0xEF, 0xF0)  # « ä → 【 ： and the like
        for k in range(at, min(at + 6, last)):
            code = code * 31 + text[k] & 0xFFFFFFFF
    else:
        while at < last and (97 <= text[at] | 32 <= 122 or text[at] == 95):
            byte = text[at] if text[at] == 95 else text[at] | 32
            code = code * 31 + byte & 0xFFFFFFFF
            at += 1
    slot = np.searchsorted(_CODES, code)
    return bool(slot < len(_CODES) and _CODES[slot] == code)


@kernel
def _repeats(text: Bytes, first: int, last: int, title: Bytes) -> bool:
    """Whether a block begins like a piece of the title, as far as no letter but ASCII comes.

    Args:
        text: of all blocks, of which this one is ``text[first:last]``.
        title: without white space, in lower case.
    """
    for start in range(len(title)):
        to = start
        at = first
        while at < last:
            byte = text[at]
            at += 1
            if byte == 32 or 9 <= byte <= 13 or 28 <= byte <= 31:
                continue
            if byte >= 128 and not 0xE4 <= byte <= 0xE9:
                return True
            size = 3 if byte >= 128 else 1
            same = to + size <= len(title) and at + size - 1 <= last
            if same:
                byte = byte | 32 if 65 <= byte <= 90 else byte
                same = title[to] == byte
                for k in range(1, size):
                    same = same and title[to + k] == text[at + k - 1]
            if not same:
                break
            to += size
            at += size - 1
        else:
            return True
    return False


@kernel
def _mark(
    blocks: Rows, elements: Rows, text: Bytes, title: Bytes
) -> tuple[Marks, npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    found = np.zeros(len(blocks), np.int8)
    announcing = np.zeros(len(blocks), np.bool_)
    repeating = np.zeros(len(blocks), np.bool_)
    for b in range(len(blocks)):
        first, last, weight = blocks[b, FIRST], blocks[b, LAST], blocks[b, WEIGHT]
        if weight <= NOTICE_BYTES and _is_notice(text, first, last, weight):
            found[b] = NOTICE
        heading = (HEADINGS >> elements[blocks[b, ELEMENT], TAG]) & 1
        if last - first <= 3 * SECTION_CHARS and (heading or blocks[b, LINKED] * 2 <= weight):
            announcing[b] = _may_announce(text, first, last)
        if 6 <= weight <= len(title) <= weight * TITLE_SHARE:
            repeating[b] = _repeats(text, first, last, title)
    return found, announcing, repeating


def phrases_in(
    blocks: Rows, elements: Rows, text: Bytes, *, title: str
) -> tuple[Marks, npt.NDArray[np.intp]]:
    """Which blocks are notices, which announce a section of other things, which repeat the title.

    Args:
        blocks, elements: of ``read_blocks``.
        text: the text of all blocks, uint8.
        title: of the page.

    Returns:
        (m,) int8: 0, ``NOTICE`` or ``SECTION``. The rows of the blocks that the title repeats.
    """
    flat = _flat(title)
    found, announcing, repeating = _mark(
        blocks, elements, text, np.frombuffer(flat.encode("utf-8", "replace"), np.uint8)
    )
    for block in announcing.nonzero()[0].tolist():
        kind = _kind(_words(blocks, text, block).lower())
        if kind:
            found[block] = kind
    repeats = repeating.nonzero()[0]
    same = [_flat(_words(blocks, text, block)) in flat for block in repeats.tolist()]
    return found, repeats[same] if same else repeats


def _words(blocks: Rows, text: Bytes, block: int) -> str:
    return text[blocks[block, FIRST] : blocks[block, LAST]].tobytes().decode("utf-8", "replace")


def _flat(words: str) -> str:
    return "".join(words.split()).lower()


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
