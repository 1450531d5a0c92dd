"use strict";
(() => {
const data = JSON.parse(document.getElementById("data").textContent);
const items = data.items, ranking = data.kind === "rank", store = "yanmo-review-" + data.page;
const byId = name => document.getElementById(name);
const ids = new Map(items.map((item, at) => [item.id, at]));
let votes = {}, at = 0, focus = 0, saves = true, moved = false;

function fill(template, values) {
  return template.replace(/\{(\w+)\}/g, (whole, name) => name in values ? values[name] : whole);
}
// Both languages; the style of the page shows one of them.
function say(english, values = {}) {
  const both = data.words[english], found = document.createDocumentFragment();
  ["en", "zh"].forEach((language, k) => {
    const part = document.createElement("span");
    part.dataset.l = language;
    part.textContent = fill(both[k], values);
    found.append(part);
  });
  return found;
}
function make(tag, name, ...children) {
  const made = document.createElement(tag);
  if (name) made.className = name;
  made.append(...children);
  return made;
}
function button(text, act, options = {}) {
  const made = make("button", "plain " + (options.name || ""));
  made.type = "button";
  if (options.key) made.append(make("kbd", "", options.key));
  made.append(text);
  if (options.pressed !== undefined) made.setAttribute("aria-pressed", String(options.pressed));
  if (options.disabled) made.disabled = true;
  for (const [name, value] of Object.entries(options.data || {})) made.dataset[name] = value;
  made.addEventListener("click", act);
  return made;
}
function body(text) {
  const made = text.trim() ? make("p", "text", text) : make("p", "text empty", say("(empty)"));
  made.dir = "auto";
  return made;
}

function allowed(item, vote) {
  if (vote === "s") return true;
  if (!ranking) return vote === "0" || vote === "1" || vote === "2";
  return Array.isArray(vote) && vote.length === item.texts.length &&
    vote.every(rank => rank === null || (Number.isInteger(rank) && rank >= 1 && rank <= vote.length));
}
function load() {
  try {
    const kept = JSON.parse(localStorage.getItem(store) || "{}");
    for (const [id, vote] of Object.entries(kept.votes || {}))
      if (ids.has(id) && allowed(items[ids.get(id)], vote)) votes[id] = vote;
    if (Number.isInteger(kept.at)) at = Math.min(Math.max(kept.at, 0), items.length);
  } catch { saves = false; }
}
function save() {
  moved = true;
  try { localStorage.setItem(store, JSON.stringify({votes, at})); saves = true; }
  catch { saves = false; }
}
function whole(item) {
  const vote = votes[item.id];
  return vote !== undefined && (!Array.isArray(vote) || !vote.includes(null));
}
const count = () => items.filter(whole).length;

function go(place) {
  at = Math.min(Math.max(place, 0), items.length);
  focus = 0;
  save();
  draw();
  window.scrollTo(0, 0);
}
function nextOpen() {
  for (let step = 1; step <= items.length; step++) {
    const place = (at + step) % items.length;
    if (at + step >= items.length && count() === items.length) break;
    if (!whole(items[place])) return go(place);
  }
  go(items.length);
}
function choose(vote) {
  if (at >= items.length) return;
  votes[items[at].id] = vote;
  go(at + 1 < items.length ? at + 1 : count() === items.length ? items.length : at);
}
function rank(answer, value) {
  const item = items[at];
  if (!Array.isArray(votes[item.id])) votes[item.id] = item.texts.map(() => null);
  const ranks = votes[item.id];
  ranks[answer] = ranks[answer] === value ? null : value;
  const open = ranks.indexOf(null);
  focus = ranks[answer] === null ? answer : open < 0 ? answer : open;
  save();
  draw();
}
function download() {
  const done = items.filter(whole).map(item => ({item: item.id, vote: votes[item.id]}));
  const text = JSON.stringify({format: 1, kind: data.kind, page: data.page, votes: done}, null, 1);
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text + "\n"], {type: "application/json"}));
  link.download = "votes-" + data.reviewer + ".json";
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

function question(item) {
  const made = make("div", "question");
  for (const [role, text] of item.messages) {
    const turn = make("div", "turn");
    if (item.messages.length > 1) turn.append(make("p", "who", say(role)));
    turn.append(body(text));
    made.append(turn);
  }
  if (item.reference) {
    const fold = make("details", "", make("summary", "", say("Reference answer")));
    fold.append(body(item.reference));
    made.append(fold);
  }
  return made;
}
function answer(item, k) {
  const vote = votes[item.id], made = make("article", "answer");
  made.dataset.k = k;
  const head = make("header", "", make("h2", "", say("Answer {n}", {n: k + 1})));
  made.append(head, body(item.texts[k]));
  if (!ranking) {
    made.classList.toggle("on", vote === String(k + 1));
    return made;
  }
  made.classList.toggle("focus", k === focus);
  const row = make("div", "ranks", say("rank"));
  item.texts.forEach((_, place) => row.append(button(String(place + 1), () => rank(k, place + 1), {
    pressed: Array.isArray(vote) && vote[k] === place + 1, data: {rank: place + 1},
  })));
  head.append(row);  // above the text, which may be long
  made.addEventListener("click", event => {
    if (!event.target.closest("button") && focus !== k) { focus = k; mark(); }
  });
  return made;
}
function mark() {
  document.querySelectorAll(".answer").forEach((e, k) => e.classList.toggle("focus", k === focus));
}

function draw() {
  const view = byId("view"), actions = byId("actions"), done = count();
  view.replaceChildren();
  actions.replaceChildren();
  byId("done").style.width = 100 * done / items.length + "%";
  byId("count").replaceChildren(say("{done} of {all} judged", {done, all: items.length}));
  const saved = byId("saved");
  saved.className = saves ? "" : "bad";
  saved.replaceChildren(say(saves ? "Saved in this browser" :
    "This browser saves nothing: download your votes before you close the page."));
  if (at >= items.length) {
    byId("place").replaceChildren();
    end(view, done);
    return;
  }
  const item = items[at];
  byId("place").replaceChildren(say("Question {at} of {all}", {at: at + 1, all: items.length}));
  const answers = make("div", "answers");
  item.texts.forEach((_, k) => answers.append(answer(item, k)));
  view.append(question(item), answers);
  buttons(actions, item);
}
function buttons(actions, item) {
  const vote = votes[item.id], last = at + 1 === items.length;
  actions.append(button(say("Back"), () => go(at - 1), {key: "←", name: "quiet", disabled: at === 0, data: {go: "back"}}));
  actions.append(make("span", "gap"));
  const choices = make("div", "choices");
  actions.append(choices);
  if (!ranking)
    for (const [key, text] of [["1", "Answer 1 is better"], ["0", "Equally good"], ["2", "Answer 2 is better"]])
      choices.append(button(say(text), () => choose(key), {key, name: "choice", pressed: vote === key, data: {vote: key}}));
  actions.append(button(say(vote === "s" ? "Skipped" : "Skip"), () => choose("s"), {key: "s", name: "quiet", pressed: vote === "s", data: {vote: "s"}}));
  actions.append(make("span", "gap"));
  actions.append(button(say("Next"), () => go(at + 1), {key: "→", name: ranking && whole(item) ? "choice" : "quiet", disabled: last && count() < items.length, data: {go: "next"}}));
  if (count() < items.length && (last || whole(item)))
    actions.append(button(say("Next open question"), nextOpen, {name: "quiet", data: {go: "open"}}));
  actions.append(button(say("Download votes"), download, {name: "quiet", disabled: !count(), data: {go: "download"}}));
  actions.append(make("p", "hint", ranking ?
    say("Keys: ↑ ↓ choose an answer, 1 to {k} give its rank (1 is best, ties allowed), s skip, ← → go.", {k: item.texts.length}) :
    say("Keys: 1 and 2 choose, 0 equally good, s skip, ← → go.")));
}
function end(view, done) {
  const box = make("div", "end", make("h2", "", say("All questions are judged. Thank you!")),
    make("p", "", say("Download the votes and send the file back to whoever gave you this page.")));
  box.append(button(say("Download votes"), download, {name: "choice", pressed: true, data: {go: "download"}}),
    button(say("Look through again"), () => go(0), {data: {go: "again"}}));
  view.append(box);
}

document.addEventListener("keydown", event => {
  // A key that is held down must not judge the questions that follow.
  if (event.ctrlKey || event.altKey || event.metaKey || event.repeat) return;
  const key = event.key, item = items[at];
  if (key === "ArrowLeft") go(at - 1);
  else if (key === "ArrowRight") { if (at + 1 < items.length || count() === items.length) go(at + 1); }
  else if (!item) return;
  else if (key === "s" || key === "S") choose("s");
  else if (!ranking && ["0", "1", "2"].includes(key)) choose(key);
  else if (ranking && /^[1-9]$/.test(key) && Number(key) <= item.texts.length) rank(focus, Number(key));
  else if (ranking && (key === "ArrowUp" || key === "ArrowDown")) {
    focus = (focus + (key === "ArrowUp" ? item.texts.length - 1 : 1)) % item.texts.length;
    mark();
    document.querySelectorAll(".answer")[focus].scrollIntoView({block: "nearest"});
  } else return;
  event.preventDefault();
});
// Nothing is written before the first vote: a page that reads late must not overwrite what is there.
try {
  localStorage.setItem(store + "-probe", "1");
  localStorage.removeItem(store + "-probe");
} catch { saves = false; }
load();
draw();
// The same page in another tab: its votes are shown here, not overwritten from here.
window.addEventListener("storage", event => {
  if (event.key !== store || !event.newValue) return;
  const place = at;
  load();
  if (moved) at = place;
  draw();
});
})();
