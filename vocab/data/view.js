"use strict";
// Tokens over one text, drawn from the JSON in the page. Every text is put in as a text node.
const data = JSON.parse(document.getElementById("data").textContent);
const chars = Array.from(data.text), panels = data.panels, words = data.words;
const view = document.getElementById("view"), strip = document.getElementById("strip");
const now = strip.querySelector(".now"), details = document.getElementById("details");
const lineOf = new Int32Array(chars.length);
data.rows.forEach((start, number) => lineOf.fill(number, start, data.rows[number + 1]));
panels.forEach(panel => { panel.changed = new Set(panel.changed); panel.elements = []; });
const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const PIECE = 0, HEX = 1, TYPE = 2, SCORE = 3, RANK = 4, LEFT = 5, RIGHT = 6, PARTS = 7,
  INSTEAD = 8, EVIDENCE = 9, NEW = 10, COUNT = 11;

// --- small helpers ------------------------------------------------------------------------------
function make(tag, kind, ...children) {
  const element = document.createElement(tag);
  if (kind) element.className = kind;
  element.append(...children);
  return element;
}

/** Text in both languages; the switch of the page shows one. */
function say(english, values = {}) {
  if (!(english in words)) throw new Error("no Chinese for: " + english);
  const fill = text => text.replace(/\{(\w+)\}/g, (_, name) => values[name]);
  const both = document.createDocumentFragment();
  for (const [language, text] of [["en", english], ["zh", words[english]]]) {
    const span = make("span", "", fill(text));
    span.dataset.l = language;
    both.append(span);
  }
  return both;
}

const shown = number => number.toLocaleString("en").replaceAll(",", "\u2009");
const decimal = number => Number(number.toPrecision(6)).toString();
const code = character => "U+" + character.codePointAt(0).toString(16).toUpperCase().padStart(4, "0");
const NAMES = { "\0": "NUL", "\r": "CR", "\u00a0": "NBSP", "\u00ad": "SHY", "\u200b": "ZWSP",
  "\u200c": "ZWNJ", "\u200d": "ZWJ", "\u200e": "LRM", "\u200f": "RLM", "\ufeff": "BOM",
  "\ufe0f": "VS16", "\u3000": "IDSP" };
const INVISIBLE = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cn}\p{Co}\p{Zs}\ufe00-\ufe0f\u{e0100}-\u{e01ef}]/u;
// Inside an emoji these glue neighbours together and are best left to do so.
const GLUE = /[\u200d\ufe0f\u{e0020}-\u{e007f}]/u, MARK = /\p{M}/u;

/** A text with what cannot be seen made visible. */
function visible(text) {
  const out = document.createDocumentFragment(), list = Array.from(text);
  list.forEach((character, at) => {
    const sign = (kind, glyph) => out.append(make("i", "w " + kind, glyph));
    if (character === " ") sign("space", " ");
    else if (character === "\n") sign("end", "⏎");
    else if (character === "\t") sign("tab", "⇥\u2003");
    else if (GLUE.test(character) && at > 0 && (at + 1 < list.length || character === "\ufe0f"))
      out.append(character);
    else if (INVISIBLE.test(character)) sign("code", NAMES[character] || code(character));
    else if (MARK.test(character) && at === 0) out.append("\u25cc" + character);
    else out.append(character);
  });
  return out;
}

function bytesOf(hex) {
  return Uint8Array.from({ length: hex.length / 2 }, (_, at) => parseInt(hex.substr(2 * at, 2), 16));
}

/** Whole characters as text, every other byte in hex. */
function spell(hex) {
  const bytes = bytesOf(hex), out = document.createDocumentFragment();
  let run = "";
  for (let at = 0; at < bytes.length;) {
    const lead = bytes[at], size = lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
    let text = null;
    try { text = utf8.decode(bytes.subarray(at, at + size)); } catch { /* a part of a character */ }
    if (text !== null && at + size <= bytes.length) { run += text; at += size; continue; }
    if (run) out.append(visible(run));
    run = "";
    out.append(make("i", "w code", lead.toString(16).toUpperCase().padStart(2, "0")));
    at += 1;
  }
  if (run) out.append(visible(run));
  return out;
}

const entry = (k, id) => panels[k].entries[id];
const isPart = kind => kind === "byte" || kind === "part of a character";
const textOf = (start, end) => chars.slice(start, end).join("");

// --- the text -----------------------------------------------------------------------------------
function tokenElement(k, at) {
  const panel = panels[k], id = panel.ids[at], item = entry(k, id), element = make("span", "t");
  element.classList.add(at % 2 ? "b" : "a");
  if (item[TYPE] === "unknown") element.classList.add("unk");
  if (item[NEW]) element.classList.add("new");
  if (data.base !== null) element.classList.add(panel.differs[at] ? "differs" : "same");
  if (panel.differs && panel.differs[at] === 2) element.classList.add("broken");
  element.dataset.k = k;
  element.dataset.i = at;
  element.tabIndex = -1;
  element.setAttribute("role", "button");
  element.setAttribute("aria-label", `${item[PIECE]} · id ${id}`);
  panel.elements[at] = element;
  return element;
}

function groupElement(k, first, last) {
  const panel = panels[k], start = panel.starts[first];
  let end = start;
  for (let at = first; at < last; at++) end = Math.max(end, panel.ends[at]);
  const changed = panel.changed.has(first) ? " changed" : "";
  if (last - first === 1) {
    const token = tokenElement(k, first);
    if (changed) token.classList.add("changed");
    if (start === end) {
      token.classList.add("put");
      token.append(panel.entries[panel.ids[first]][PIECE]);
    } else token.append(visible(textOf(start, end)));
    return [token, end];
  }
  const row = make("span", "");
  for (let at = first; at < last; at++) {
    const token = tokenElement(k, at);
    token.append(spell(entry(k, panel.ids[at])[HEX]));
    row.append(token);
  }
  return [make("span", "g" + changed, make("span", "c", visible(textOf(start, end))), row), end];
}

/** For each line of the text, the cell of one tokenizer: its tokens, and what is in none. */
function cells(k) {
  const panel = panels[k], lines = data.rows.map(() => []);
  let done = 0;
  const gap = upTo => {
    for (; done < upTo; done++) lines[lineOf[done]].push(make("span", /\s/.test(chars[done]) ? "gap blank" : "gap", visible(chars[done])));
  };
  panel.groups.forEach((first, number) => {
    const start = panel.starts[first];
    gap(start);
    const [element, end] = groupElement(k, first, panel.groups[number + 1] ?? panel.ids.length);
    lines[lineOf[Math.min(start, chars.length - 1)]].push(element);
    done = Math.max(done, end);
  });
  gap(chars.length);
  return lines;
}

function draw() {
  const heads = make("div", "heads");
  const columns = panels.map((panel, k) => {
    heads.append(make("div", "", make("b", "", panel.name), make("br", ""),
      say("{tokens} tokens · {ratio} characters per token",
        { tokens: shown(panel.ids.length), ratio: panel.ratio })));
    return cells(k);
  });
  view.style.setProperty("--count", panels.length);
  view.append(heads);
  data.rows.forEach((_, number) => {
    const line = make("div", "line");
    panels.forEach((panel, k) => line.append(
      make("div", "cell", make("span", "name", panel.name), make("div", "", ...columns[k][number]))));
    view.append(line);
  });
}

// --- the same place everywhere ------------------------------------------------------------------
/** Tokens of a panel that share a character with a range (or stand at it, if it is empty). */
function tokensAt(k, start, end) {
  const { starts, ends } = panels[k], found = [];
  let low = 0, high = starts.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (starts[middle] < start) low = middle + 1; else high = middle;
  }
  while (low > 0 && ends[low - 1] > start) low--;
  for (let at = low; at < starts.length && starts[at] <= end; at++) {
    const meets = start === end ? starts[at] <= start && (ends[at] > start || starts[at] === ends[at])
      : starts[at] < end && ends[at] > start;
    if (meets) found.push(at);
  }
  return found;
}

let lit = [], current = null;
function light(k, at) {
  lit.forEach(element => element.classList.remove("on"));
  lit = [];
  now.textContent = "";
  if (k === null) { now.append(say("Point at a token, or press Tab and the arrow keys; Enter opens it.")); return; }
  const start = panels[k].starts[at], end = panels[k].ends[at];
  panels.forEach((panel, other) => {
    const found = tokensAt(other, start, end), box = make("span", "", make("b", "", panel.name), " ");
    box.append(say(found.length === 1 ? "1 token:" : "{n} tokens:", { n: found.length }), " ");
    found.slice(0, 8).forEach((position, n) => {
      const id = panel.ids[position];
      if (n) box.append(" | ");
      box.append(spellPiece(other, id), ` ${id}`);
    });
    if (found.length > 8) box.append(" …");
    now.append(box);
    for (const position of found) { panel.elements[position].classList.add("on"); lit.push(panel.elements[position]); }
  });
}

function spellPiece(k, id) {
  const item = entry(k, id);
  return item[HEX] && item[TYPE] !== "unknown" ? spell(item[HEX]) : visible(item[PIECE]);
}

function focusOn(k, at) {
  const element = panels[k].elements[at];
  if (!element) return;
  if (current) panels[current[0]].elements[current[1]].tabIndex = -1;
  current = [k, at];
  element.tabIndex = 0;
  element.focus();
  light(k, at);
}

// --- mouse and keys -----------------------------------------------------------------------------
const tokenOf = event => {
  const element = event.target.closest && event.target.closest("#view .t");
  return element ? [Number(element.dataset.k), Number(element.dataset.i)] : null;
};
view.addEventListener("mouseover", event => { const at = tokenOf(event); if (at) light(...at); });
view.addEventListener("mouseleave", () => current ? light(...current) : light(null));
view.addEventListener("focusin", event => { const at = tokenOf(event); if (at) light(...at); });
view.addEventListener("click", event => {
  const at = tokenOf(event);
  if (!at) return;
  focusOn(...at);
  open(at[0], panels[at[0]].ids[at[1]], at[1]);
});
view.addEventListener("keydown", event => {
  const at = tokenOf(event);
  if (!at || event.ctrlKey || event.metaKey || event.altKey) return;
  const [k, i] = at, last = panels[k].ids.length - 1;
  const over = step => {
    const other = (k + step + panels.length) % panels.length;
    focusOn(other, tokensAt(other, panels[k].starts[i], panels[k].ends[i])[0] ?? 0);
  };
  const keys = {
    ArrowRight: () => focusOn(k, Math.min(i + 1, last)), ArrowLeft: () => focusOn(k, Math.max(i - 1, 0)),
    ArrowDown: () => over(1), ArrowUp: () => over(-1), Home: () => focusOn(k, 0), End: () => focusOn(k, last),
    Enter: () => open(k, panels[k].ids[i], i), " ": () => open(k, panels[k].ids[i], i), Escape: shut,
  };
  if (keys[event.key]) { event.preventDefault(); keys[event.key](); }
});
details.addEventListener("keydown", event => { if (event.key === "Escape") shut(); });

