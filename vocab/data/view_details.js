// One token in detail with its merge tree, and the search box; goes on where view.js ends.
// --- one token ----------------------------------------------------------------------------------
function fact(list, name, ...value) {
  list.append(make("div", "", make("dt", "", say(name)), make("dd", "", ...value)));
}

function node(k, item, above) {
  const known = typeof item === "number" ? entry(k, item) : null;
  const element = make("button", "node");
  element.type = "button";
  element.append(known ? spellPiece(k, item) : visible(item));
  const order = known ? orderOf(known) : null;
  if (known) element.append(make("small", "", order === null ? `id ${item}` : `${orderText(known)}`));
  if (order !== null && above !== null && order > above) element.classList.add("late");
  if (known) element.addEventListener("click", () => open(k, item, null));
  else element.disabled = true;
  return element;
}

/** When an entry is merged: lower is earlier. */
const orderOf = item => item[LEFT] === null ? null : item[RANK] !== null ? item[RANK] : -item[SCORE];
const orderText = item => item[RANK] !== null ? "#" + shown(item[RANK]) : decimal(item[SCORE]);

function tree(k, item, above = null) {
  const known = typeof item === "number" ? entry(k, item) : null;
  const branch = make("li", "", node(k, item, above));
  if (known && known[LEFT] !== null) {
    const order = orderOf(known);
    branch.append(make("ul", "", tree(k, known[LEFT], order), tree(k, known[RIGHT], order)));
  }
  return branch;
}

function isLate(k, id) {
  const item = entry(k, id);
  if (!item || item[LEFT] === null) return false;
  return [item[LEFT], item[RIGHT]].some(part => typeof part === "number" && entry(k, part)
    && ((orderOf(entry(k, part)) ?? -Infinity) > orderOf(item) || isLate(k, part)));
}

function facts(k, id) {
  const item = entry(k, id), list = make("dl", ""), panel = panels[k];
  fact(list, "id", String(id));
  fact(list, "spelling in the vocabulary", visible(item[PIECE]));
  const named = ["unknown", "control", "special"].includes(item[TYPE]);  // stands for no bytes
  if (!named) fact(list, "bytes", item[HEX].replace(/../g, "$& ").toUpperCase().trim() || "–");
  fact(list, "type", say(item[TYPE]));
  if (item[SCORE] !== null) fact(list, panel.kind === "spm-unigram" ? "log-probability" : "score", decimal(item[SCORE]));
  if (item[RANK] !== null) fact(list, "rank of its merge", shown(item[RANK]));
  fact(list, "times in this text", `${shown(item[COUNT])} (${(100 * item[COUNT] / panel.ids.length).toFixed(2)}%)`);
  for (const [name, value] of Object.entries(item[EVIDENCE] || {})) fact(list, name, name === "added because" && value in words ? say(value) : value);
  return list;
}

function notes(k, id, at) {
  const item = entry(k, id), panel = panels[k], out = [];
  const note = (kind, ...content) => out.push(make("p", kind, ...content));
  if (item[NEW]) note("note", say("Not in the base vocabulary."));
  if (at !== null) {
    const start = panel.starts[at], end = panel.ends[at];
    if (item[TYPE] === "unknown") note("warn", say("Characters lost ({n}): ", { n: end - start }), visible(textOf(start, end)));
    if (start === end) note("note", say("The tokenizer puts this in; no character of the text stands behind it."));
    const group = panel.groups.findLastIndex(first => first <= at), first = panel.groups[group];
    if (panel.changed.has(first)) note("note", say("Changed by the normaliser. In the text: "), visible(textOf(start, end)));
    const last = panel.groups[group + 1] ?? panel.ids.length;
    if (last - first > 1) note("note", say("One of {n} tokens that share the characters ", { n: last - first }), visible(textOf(panel.starts[first], Math.max(...panel.ends.slice(first, last)))));
  }
  if (item[PARTS]) note("warn", say(panel.whole ? "No merges make it: taken whole, as a word that is in the vocabulary. Merging stops at: "
    : "No merges make it: it can never come out. Merging stops at: "), ...item[PARTS].flatMap((part, n) => [n ? " | " : "", visible(part)]));
  if (isLate(k, id)) note("warn", say("A part ranks behind the whole (dashed): it is made first only because nothing else can merge."));
  if (item[INSTEAD]) note("", say("Without it: "), ...item[INSTEAD][0].flatMap((part, n) => [n ? " | " : "", visible(part)]), ` (${decimal(item[INSTEAD][1])})`);
  return out;
}

function open(k, id, at) {
  document.querySelectorAll(".t.sel").forEach(element => element.classList.remove("sel"));
  if (at !== null) panels[k].elements[at].classList.add("sel");
  const close = make("button", "plain close", say("close"));
  close.type = "button";
  close.addEventListener("click", shut);
  const title = make("h3", "", make("span", "", spellPiece(k, id)), make("small", "lead", panels[k].name), close);
  details.replaceChildren(title, facts(k, id), ...notes(k, id, at));
  if (entry(k, id)[LEFT] !== null) details.append(make("b", "", say("Merge tree")),
    make("div", "tree", make("ul", "", tree(k, id))));
  details.hidden = false;
  details.scrollTop = 0;
  const drawn = details.querySelector(".tree");
  if (drawn) drawn.scrollLeft = (drawn.scrollWidth - drawn.clientWidth) / 2;
  if (at !== null) uncover(panels[k].elements[at]);
}

/** Scroll so that a token stands neither behind the details nor behind the heads. */
function uncover(element) {
  const place = element.getBoundingClientRect(), edge = strip.getBoundingClientRect().top;
  if (place.bottom > edge - 8 || place.top < 70) scrollBy(0, place.top - Math.max(70, edge / 2));
}

function shut() {
  details.hidden = true;
  document.querySelectorAll(".t.sel").forEach(element => element.classList.remove("sel"));
  if (current) panels[current[0]].elements[current[1]].focus();
}

// --- search -------------------------------------------------------------------------------------
const box = document.getElementById("find"), hits = document.getElementById("hits"), MOST = 24;
function search() {
  const wanted = box.value;
  document.querySelectorAll(".t.hit").forEach(element => element.classList.remove("hit"));
  hits.textContent = "";
  if (!wanted) return [];
  const low = wanted.toLowerCase(), found = [];
  panels.forEach((panel, k) => {
    for (const [id, item] of Object.entries(panel.entries))
      if (id === wanted || item[PIECE].toLowerCase().includes(low) || surfaceText(item).toLowerCase().includes(low))
        found.push([k, Number(id), item]);
  });
  const exact = ([, id, item]) => Number(String(id) === wanted || surfaceText(item) === wanted);
  found.sort((a, b) => exact(b) - exact(a) || b[2][COUNT] - a[2][COUNT]);
  const marked = new Map(found.map(([k, id]) => [`${k} ${id}`, true]));
  panels.forEach((panel, k) => panel.ids.forEach((id, at) => {
    if (marked.has(`${k} ${id}`)) panel.elements[at].classList.add("hit");
  }));
  hits.append(make("span", "lead", say("{n} entries of this page:", { n: shown(found.length) })));
  found.slice(0, MOST).forEach(([k, id, item]) => {
    const button = make("button", "plain", spellPiece(k, id), ` · ${id} · ${panels[k].name} × ${shown(item[COUNT])}`);
    button.type = "button";
    button.addEventListener("click", () => goTo(k, id));
    hits.append(button);
  });
  if (found.length > MOST) hits.append(make("span", "lead", say("and {n} more", { n: shown(found.length - MOST) })));
  return found;
}

function surfaceText(item) {
  try { return utf8.decode(bytesOf(item[HEX])); } catch { return ""; }
}

function goTo(k, id) {
  const at = panels[k].ids.indexOf(id);
  if (at >= 0) {
    focusOn(k, at);
    panels[k].elements[at].scrollIntoView({ block: "center" });
  }
  open(k, id, at >= 0 ? at : null);
}

box.addEventListener("input", search);
box.addEventListener("keydown", event => {
  if (event.key !== "Enter") return;
  const found = search();
  if (found.length) goTo(found[0][0], found[0][1]);
});

// --- start --------------------------------------------------------------------------------------
const side = document.getElementById("side"), fade = document.getElementById("fade");
const wide = matchMedia("(min-width:721px)");
const arrange = () => view.classList.toggle("stacked", !wide.matches || !side.checked);
side.checked = panels.length <= 3;
side.addEventListener("change", arrange);
wide.addEventListener("change", arrange);
if (fade) {
  const apply = () => view.classList.toggle("fade", fade.checked);
  fade.addEventListener("change", apply);
  apply();
}
draw();
arrange();
light(null);
if (panels[0].elements.length) { current = [0, 0]; panels[0].elements[0].tabIndex = 0; }
