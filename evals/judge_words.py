"""Every text of the pages of judge runs, in English and Chinese."""

from typing import Final

from yanmo.bilingual import translator

WORDS: Final = {
    "{a} against {b}": "{a} 对 {b}",
    "{n} systems against each other": "{n} 个系统互评",
    "Grades of {systems}": "{systems} 的评分",
    "Judge: {judge}, {n} questions.": "裁判：{judge}，{n} 个问题。",
    "Outcomes": "结果",
    "Outcomes, from the side of {a}": "结果（以 {a} 为准）",
    "win": "胜",
    "loss": "负",
    "tie": "平",
    "tie by disagreement": "换位不一致（计平）",
    "invalid": "无效",
    "outcome": "结果",
    "questions": "问题数",
    "share": "占比",
    "Win rate of {a}": "{a} 的胜率",
    "measure": "指标",
    "value": "数值",
    "95 %": "95 % 区间",
    "n": "n",
    "ties count half": "平局计半",
    "ties left out": "不计平局",
    "sign test, p": "符号检验 p 值",
    "preference, place cancelled out": "概率偏好（抵消位置）",
    "What the order does": "先后次序的影响",
    "same verdict in both orders": "两种次序结论一致",
    "first place preferred": "偏向先出现者",
    "first place won in both orders": "两次都判先出现者胜",
    "second place won in both orders": "两次都判后出现者胜",
    "What the length does": "长度的影响",
    "win rate where {a} is longer": "{a} 较长时的胜率",
    "win rate where {a} is shorter": "{a} 较短时的胜率",
    "win rate where both are equally long": "等长时的胜率",
    "the longer answer wins": "较长者胜的比例",
    "correlation of score and log length ratio": "得分与长度对数比的相关",
    "mean characters of {name}": "{name} 的平均字符数",
    "Classes of questions": "问题类别",
    "class": "类别",
    "Ratings (Bradley-Terry)": "评级（Bradley–Terry）",
    "system": "系统",
    "rating": "评级",
    "Base 10, scale 400, mean 1000; a tie is half a win; intervals resample questions.":
        "底数 10，尺度 400，均值 1000；平局计半胜；区间按问题重抽样。",
    "One group of systems never lost to another: every two were lent half a drawn game.":
        "有一组系统从未负于另一组：为每两个系统各借半局平局。",
    "Samples": "样例",
    "question {id}: {outcome}": "问题 {id}：{outcome}",
    "{a} is better than {b} (win rate {rate}, p = {p}).":
        "{a} 优于 {b}（胜率 {rate}，p = {p}）。",
    "The difference between {a} and {b} could be chance (win rate {rate}, p = {p}).":
        "{a} 与 {b} 的差别可能出于偶然（胜率 {rate}，p = {p}）。",
    "No valid verdict.": "没有有效的判决。",
    "The judge agrees with itself in only {share} of questions when the order is turned: "
    "most of what it says is about places, not answers.":
        "换位后裁判与自己一致的问题只占 {share}：它的判决主要取决于位置，而非回答。",
    "The place of an answer cannot matter to this judge.": "回答的位置对这位裁判没有影响。",
    "Only {share} of the probability lies on the letters: this model does not expect one.":
        "字母上只有 {share} 的概率：该模型并不打算在此写字母。",
    "{n} questions had equal answers; they are ties that nobody was asked about.":
        "{n} 个问题的回答完全相同，直接记平，未经裁判。",
    "{n} of {all} games have no valid verdict ({why}).":
        "{all} 次判决中有 {n} 次无效（{why}）。",
    "{n} questions of {name} are not in every file and were left out.":
        "{name} 有 {n} 个问题不在所有文件中，已略去。",
    "The server gives no log-probabilities: words were read instead.":
        "服务器不给出对数概率：改为读取文字结论。",
    "Questions by outcome": "各结果的题数",
    "Mean grade (95 % interval)": "平均分（95 % 区间）",
    "Means": "均值",
    "mean": "均值",
    "correlation with length": "与长度的相关",
    "Differences over the same questions": "同题之差",
    "first": "前者",
    "second": "后者",
    "difference": "差",
    "p": "p 值",
    "{n} grades of {name} are invalid.": "{name} 有 {n} 个无效评分。",
    "{a} is graded higher than {b} (by {gap}, p = {p}).":
        "{a} 的评分高于 {b}（差 {gap}，p = {p}）。",
    "The difference between {a} and {b} could be chance ({gap}, p = {p}).":
        "{a} 与 {b} 的差别可能出于偶然（{gap}，p = {p}）。",
    "Mean grade {mean} (95 %: {low} to {high}).": "平均分 {mean}（95 % 区间 {low} 至 {high}）。",
}  # fmt: skip
say = translator(WORDS)
