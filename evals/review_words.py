"""Every text of a review page, in English and Chinese."""

from typing import Final

from yanmo.bilingual import translator

WORDS: Final = {
    "Which answer is better?": "哪个回答更好？",
    "Rank the answers": "给回答排序",
    "{n} questions. The answers come from systems whose names are hidden; their order is drawn "
    "by lot.":
        "共 {n} 题。回答来自若干系统，名称已隐去，先后次序随机。",
    "Judge what is said, not how long it is. If an answer names a model, do not let it sway you.":
        "请按内容评判，不看长短。若回答自报模型名称，请不要受其影响。",
    "Question {at} of {all}": "第 {at} 题，共 {all} 题",
    "user": "用户",
    "assistant": "助手",
    "system": "系统",
    "tool": "工具",
    "Reference answer": "参考答案",
    "Answer {n}": "回答 {n}",
    "(empty)": "（空）",
    "Answer 1 is better": "回答 1 更好",
    "Answer 2 is better": "回答 2 更好",
    "Equally good": "不分高下",
    "Skip": "跳过",
    "Back": "上一题",
    "Next": "下一题",
    "Next open question": "下一道未评的题",
    "Download votes": "下载评审结果",
    "{done} of {all} judged": "已评 {done} / {all}",
    "Saved in this browser": "已保存在本浏览器",
    "This browser saves nothing: download your votes before you close the page.":
        "本浏览器无法保存：关闭页面前请先下载结果。",
    "All questions are judged. Thank you!": "全部评完，谢谢！",
    "Download the votes and send the file back to whoever gave you this page.":
        "请下载结果文件，并发回给你本页的人。",
    "Look through again": "再看一遍",
    "Keys: 1 and 2 choose, 0 equally good, s skip, ← → go.":
        "按键：1、2 选择，0 不分高下，s 跳过，← → 翻题。",
    "Keys: ↑ ↓ choose an answer, 1 to {k} give its rank (1 is best, ties allowed), s skip, ← → go.":
        "按键：↑ ↓ 选回答，1 到 {k} 给名次（1 最好，可并列），s 跳过，← → 翻题。",
    "rank": "名次",
    "Rank all answers first.": "请先给每个回答名次。",
    "Skipped": "已跳过",
}  # fmt: skip
say = translator(WORDS)
