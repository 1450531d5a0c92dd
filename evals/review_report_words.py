"""Every text of the report on a review, in English and Chinese."""

from typing import Final

from yanmo.bilingual import translator

WORDS: Final = {
    "Human review: {a} against {b}": "人工评审：{a} 对 {b}",
    "Human review": "人工评审",
    "Human ranking": "人工排序",
    "{judged} of {items} items judged, {votes} votes, {n} reviewers.":
        "{items} 项中评了 {judged} 项，共 {votes} 票，{n} 位评审。",
    "What the reviewers say, from the side of {a}": "评审结论（以 {a} 为准）",
    "win": "胜",
    "loss": "负",
    "tie": "平",
    "outcome": "结果",
    "items": "项数",
    "share": "占比",
    "of these ties, reviewers split": "其中评审意见相持",
    "Win rate of {a}": "{a} 的胜率",
    "measure": "指标",
    "value": "数值",
    "95 %": "95 % 区间",
    "n": "n",
    "ties count half": "平局计半",
    "ties left out": "不计平局",
    "sign test, p": "符号检验 p 值",
    "answers that name no model": "未自报模型的回答",
    "Reviewers": "评审",
    "reviewer": "评审",
    "votes": "票数",
    "skipped": "跳过",
    "same vote on repeats": "重复题自洽",
    "attention checks passed": "通过注意力检查",
    "ties": "平局",
    "first shown is best": "偏向先出现者",
    "{k} of {n}": "{k} / {n}",
    "Agreement of reviewers": "评审之间的一致性",
    "first": "甲",
    "second": "乙",
    "agree": "一致",
    "Krippendorff's alpha over {n} judgements that several reviewers made: {alpha}.":
        "对多人共评的 {n} 个判断，Krippendorff α = {alpha}。",
    "No item was judged by several reviewers: agreement is not known.":
        "没有多人共评的题目，无从得知一致性。",
    "People (rows) and the judge (columns)": "人（行）与裁判模型（列）",
    "people": "人",
    "Judge and people agree in {raw} of {n} items; Cohen's kappa {kappa} (95 %: {low} to {high}).":
        "{n} 题中裁判与人一致的占 {raw}；Cohen κ = {kappa}（95 % 区间 {low} 至 {high}）。",
    "Where neither says tie: {raw} of {n}, kappa {kappa}.":
        "双方都不判平时：{n} 题中占 {raw}，κ = {kappa}。",
    "{a} is better than {b} (win rate {rate}, p = {p}).":
        "{a} 优于 {b}（胜率 {rate}，p = {p}）。",
    "The difference between {a} and {b} could be chance (win rate {rate}, p = {p}).":
        "{a} 与 {b} 的差别可能出于偶然（胜率 {rate}，p = {p}）。",
    "Nobody has judged {a} against {b}.": "{a} 与 {b} 尚无人评。",
    "{reviewer} failed {k} of {n} attention checks: {items}.":
        "{reviewer} 的 {n} 个注意力检查有 {k} 个未通过：{items}。",
    "{n} judged pairs hold an answer that gives its system away.":
        "{n} 个已评的对子中有回答自报身份。",
    "Disagreements": "分歧",
    "{n} items on which reviewers differ, or they and the judge; all are in disagreements.jsonl.":
        "{n} 题评审之间或评审与裁判不一致；全部见 disagreements.jsonl。",
    "{item}: {votes}": "{item}：{votes}",
    "The ranks are in rankings.jsonl (1 is best).": "名次写在 rankings.jsonl 中（1 最好）。",
}  # fmt: skip
say = translator(WORDS)
