"""Every text of the report of a run, in English and Chinese; rules and steps keep their names."""

from typing import Final

from yanmo.bilingual import translator

WORDS: Final = {
    "yanmo · corpus run": "研墨 · 语料处理报告",
    "{read} records read, {kept} documents kept ({share}). {day}":
        "读入 {read} 条记录，保留 {kept} 篇文档（{share}）。{day}",
    "The model lid.176 is not here, so scripts alone decided languages: "
    "`yanmo models fetch lid.176`.":
        "没有语种识别模型 lid.176，只按文字系统判定语种：可用 `yanmo models fetch lid.176` 获取。",
    "Funnel": "处理漏斗",
    "Records": "记录数",
    "read": "读入",
    "− skipped": "− 跳过",
    "− quarantined": "− 隔离",
    "kept": "保留",
    # Why was this page dropped?
    "Why was this page dropped?": "这个页面为什么被丢弃？",
    "search": "搜索",
    "URL, id, origin, source or rule": "网址、文档编号、出处、来源或规则",
    "page": "页面",
    "rule": "规则",
    "value": "数值",
    "threshold": "阈值",
    "{n} of {all} dropped documents": "{all} 篇被丢弃文档中的 {n} 篇",
    "; the first {n} are shown": "；显示前 {n} 篇",
    ". Listed here are {n} of {all}": "。本页只列出 {all} 篇中的 {n} 篇",
    ". It may be kept, skipped or quarantined": "。该页面可能被保留、跳过或隔离",
    ": `yanmo curate why RUN ID` looks everywhere": "：用 `yanmo curate why RUN ID` 可查全部",
    # Rules.
    "What the rules dropped": "各规则丢弃的文档",
    "documents": "文档数",
    "of read": "占读入",
    "characters": "字符数",
    "threshold: its source": "阈值：依据",
    "Open a rule to see its signal, where its threshold cuts, and documents.":
        "展开规则可查看其信号分布、阈值位置和文档示例。",
    "{rule}: {shown} of {all}": "{rule}：{shown} / {all}",
    "(text not kept)": "（未保存正文）",
    " · value {value}": " · 数值 {value}",
    " · value {value}, threshold {threshold}": " · 数值 {value}，阈值 {threshold}",
    "{route} · {n} documents, {beyond} beyond {threshold}":
        "{route} · {n} 篇文档，{beyond} 篇越过阈值 {threshold}",
    # Duplicates.
    "Duplicates": "重复文档",
    "{low} and more": "{low} 篇及以上",
    "documents of a cluster": "簇内文档数",
    "clusters": "簇数",
    "Clusters": "重复簇",
    "Not verified: `--verify` compares removed documents with the kept ones.":
        "未核验：`--verify` 会将删除的文档与保留的文档逐一比较。",
    "Verified {compared} of {removed} removed duplicates ({which}): {count} ({share}) have a "
    "Jaccard similarity of character 5-grams below {promised} with the document kept.":
        "核验了 {removed} 篇被删重复文档中的 {compared} 篇（{which}）：其中 {count} 篇（{share}）"
        "与保留文档的字符五元组 Jaccard 相似度低于 {promised}。",
    "a sample by id": "按编号抽样",
    "all": "全部",
    "Removed documents by Jaccard similarity of character 5-grams":
        "被删文档按字符五元组 Jaccard 相似度分布",
    "Removed documents by Jaccard similarity of token 5-grams":
        "被删文档按词元五元组 Jaccard 相似度分布",
    "Least alike": "最不相似的几对",
    "removed": "删除",
    "how": "判定方式",
    "tokens": "词元",
    "Held by earlier runs": "早先批次已有的文档",
    "run of the index": "索引所属批次",
    "equal text": "全文相同",
    "alike": "近似",
    "documents there": "对应文档数",
    "Spans that several documents hold": "多篇文档共有的片段",
    "kind": "类型",
    "action": "处理",
    "spans": "片段数",
    "different": "不同片段",
    "in documents": "涉及文档",
    "Spans may overlap; what was taken out, character by character, is in the books.":
        "片段可能重叠；实际删去的字符见账目。",
    "stays in": "保留于",
    "text": "文本",
    "In most documents": "出现在最多文档中的片段",
    # Exams.
    "Exam questions in the corpus": "语料中的考题",
    "{found} of {all} exam questions stand in {documents} documents":
        "{all} 道考题中有 {found} 道出现在 {documents} 篇文档中",
    " ({whole} with their options)": "（{whole} 道连同选项）",
    "; {missed} are too short to be looked for.": "；{missed} 道太短，无法查找。",
    ".": "。",
    "exam": "考试",
    "split": "子集",
    "questions": "题数",
    "can be found": "可查找",
    "both": "题干和选项",
    "question": "仅题干",
    "options": "仅选项",
    "Questions by exam and split, and what of them was found": "各考试与子集的题数及命中情况",
    "{question}: question {share_question}, options {share_options} ({found})":
        "{question}：题干 {share_question}，选项 {share_options}（{found}）",
    # Edits.
    "What was edited": "对正文的改动",
    "characters removed": "删去字符",
    "added": "加入字符",
    "pieces": "片段数",
    "Open a rule to see lines that it took; `yanmo curate why` shows where.":
        "展开规则可查看其删去的行；位置可用 `yanmo curate why` 查看。",
    # What was kept.
    "What was kept": "保留的文档",
    "source": "来源",
    "dropped": "丢弃",
    "keep rate": "保留率",
    "By input": "按来源",
    "By input and language": "按来源和语种",
    "By site": "按网站",
    "lang": "语种",
    "script": "文字",
    "site": "网站",
    "bytes": "字节数",
    "{n} others": "其余 {n} 项",
    "Kept, a sample": "保留文档抽样",
    " · {lang} · {n} characters": " · {lang} · {n} 个字符",
    # The books.
    "The books": "账目",
    "as stored": "存储字节",
    "content": "内容字节",
    "in": "输入",
    "in records": "归入记录",
    "skipped": "跳过",
    "quarantined": "隔离",
    "Every input byte": "每个输入字节的去向",
    "skipped: {kind}": "跳过：{kind}",
    "quarantined: {kind}": "隔离：{kind}",
    "records": "记录数",
    "Records that are no documents": "不是文档的记录",
    "dropped by rules": "被规则丢弃",
    "step": "步骤",
    "in or added": "输入或加入",
    "out or removed": "移出或删去",
    "Every character": "每个字符的去向",
    "Cost": "耗时",
    "tasks": "任务数",
    "from the cache": "取自缓存",
    "processor seconds in this run": "本次处理器秒数",
    "Processor seconds by step": "各步骤处理器秒数",
    "set in the recipe": "配方中设定",
}  # fmt: skip
"""English template to Chinese template."""

say = translator(WORDS)
