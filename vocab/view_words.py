"""Every text of the page of `yanmo vocab view`, in English and Chinese."""

from typing import Final

from yanmo.bilingual import translator

WORDS: Final = {
    "One text, {n} tokenizers": "同一文本，{n} 个分词器",
    "{chars} characters, {bytes} bytes.": "{chars} 个字符，{bytes} 字节。",
    "Cut: only the first {chars} of {all} characters are shown and counted (--limit).":
        "已截断：只显示并统计前 {chars} 个字符（全文 {all} 个字符；用 --limit 调整）。",
    "Counts": "统计",
    "tokenizer": "分词器",
    "algorithm": "算法",
    "entries": "词表大小",
    "tokens": "词元数",
    "characters per token": "字符/词元",
    "bytes per token": "字节/词元",
    "byte tokens": "字节词元",
    "unknown tokens": "未知词元",
    "characters lost": "丢失字符",
    "places changed by the normaliser": "规范化改动处",
    "characters in no token": "不在任何词元中的字符",
    "tokens against base": "相对基准词元数",
    "entries only here": "基准没有的词条",
    "base": "基准",
    "Tokens": "词元",
    "id, text or spelling of a token": "词元编号、文本或词表写法",
    "find": "查找",
    "side by side": "并排显示",
    "fade what base and others cut alike": "淡化与基准切分相同之处",
    "one token, the next": "相邻词元",
    "unknown: the characters are lost": "未知词元：原字符已丢失",
    "changed by the normaliser": "被规范化改动",
    "in no token": "不在任何词元中",
    "not in the base vocabulary": "基准词表中没有",
    "text without hanzi, cut differently": "不含汉字却切分不同",
    "the bytes of one character": "同一字符的各字节",
    "Against the base": "与基准比较",
    "{name}: {saved} tokens saved of {all} ({share}), {places} places cut differently.":
        "{name}：{all} 个词元节省了 {saved} 个（{share}），{places} 处切分不同。",
    "Text without hanzi: {same} of {all} stretches are cut alike, {joined} are joined with hanzi "
    "by a token, and {broken} places inside the others changed.":
        "不含汉字的片段共 {all} 段：{same} 段切分完全相同，{joined} 段有词元与汉字相连，"
        "其余片段内有 {broken} 处改变。",
    "Text without hanzi: all {all} stretches are cut alike.":
        "不含汉字的片段：全部 {all} 段切分相同。",
    "text": "文本",
    "times": "次数",
    "tokens saved": "节省词元",
    "in the base": "基准的切分",
    "here": "此处的切分",
    "Cut differently: {shown} of {all}, most tokens saved first":
        "切分不同之处：{all} 种中的 {shown} 种，按节省词元排序",
    "This page draws itself with a script of its own; it needs JavaScript.":
        "本页由自带脚本绘制，需要启用 JavaScript。",
    # The script of the page.
    "{tokens} tokens · {ratio} characters per token": "{tokens} 个词元 · 每词元 {ratio} 个字符",
    "Point at a token, or press Tab and the arrow keys; Enter opens it.":
        "将鼠标移到词元上，或按 Tab 和方向键；按 Enter 查看详情。",
    "1 token:": "1 个词元：",
    "{n} tokens:": "{n} 个词元：",
    "id": "编号",
    "spelling in the vocabulary": "词表写法",
    "bytes": "字节",
    "type": "类型",
    "score": "分数",
    "log-probability": "对数概率",
    "rank of its merge": "合并序号",
    "times in this text": "本文出现次数",
    "added because": "加入原因",
    "times in the corpus": "语料中出现次数",
    "documents of the corpus": "语料中文档数",
    "sites of the corpus": "语料中网站数",
    "share of the commonest site": "最常见网站占比",
    "learned": "学得",
    "character": "单字",
    "parent": "父词条",
    "prefix": "字符前几个字节",
    "required": "指定字表",
    "dictionary": "词典",
    "normal": "普通",
    "word start": "词首",
    "continuation": "词中（##）",
    "byte": "字节",
    "part of a character": "不完整字符",
    "unknown": "未知",
    "control": "控制符",
    "special": "特殊词元",
    "added": "附加词元",
    "user-defined": "用户自定义",
    "unused": "停用",
    "Not in the base vocabulary.": "基准词表中没有此词条。",
    "Characters lost ({n}): ": "丢失字符（{n} 个）：",
    "The tokenizer puts this in; no character of the text stands behind it.":
        "由分词器自行加入，文本中没有对应的字符。",
    "Changed by the normaliser. In the text: ": "被规范化改动。原文为：",
    "One of {n} tokens that share the characters ": "与其他词元（共 {n} 个）合成字符 ",
    "No merges make it: taken whole, as a word that is in the vocabulary. Merging stops at: ":
        "没有合并路径：整词在词表中时直接取用。合并停在：",
    "No merges make it: it can never come out. Merging stops at: ":
        "没有合并路径：永远不会被切出。合并停在：",
    "A part ranks behind the whole (dashed): it is made first only because nothing else can merge.":
        "有组成部分的次序排在整体之后（虚线框）：只因别无可合并者才先合成。",
    "Without it: ": "若无此词条，最佳切分为：",
    "close": "关闭",
    "Merge tree": "合并树",
    "{n} entries of this page:": "本页 {n} 个词条：",
    "and {n} more": "另有 {n} 个",
}  # fmt: skip
"""English template to Chinese template."""

say = translator(WORDS)
