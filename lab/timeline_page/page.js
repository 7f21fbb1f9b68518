"use strict";
// Draws the run that stands in the page as JSON. Text from machines is only ever set as text, never as markup.
const run = JSON.parse(document.getElementById("data").textContent);
const byId = (id) => document.getElementById(id);
const digits = run.exact ? 1 : 0;
const clock = (seconds) => {
  if (seconds < 120) return `${seconds.toFixed(digits)} s`;
  return `${Math.floor(seconds / 60)} min ${String(Math.floor(seconds % 60)).padStart(2, "0")} s`;
};
const took = (step) => (step.end ?? run.seconds) - step.begin;
const seconds = (step) => {
  if (step.end === null) return "not ended";
  return run.exact && took(step) < 0.95 ? `${took(step).toFixed(2)} s` : clock(took(step));
};
const share = (value) => `${((100 * value) / run.seconds).toFixed(3)}%`;
const sum = (values) => values.reduce((total, value) => total + value, 0);
const worked = run.steps.filter((step) => step.op !== "same");
const outcomes = {
  "create": "created", "update": "updated", "delete": "deleted", "same": "unchanged", "read": "read",
  "create-replacement": "created anew", "delete-replaced": "old one deleted", "refresh": "refreshed", "import": "imported",
};
const outcome = (step) => {
  if (step.outcome === "failed") return `${step.op} failed`;
  if (step.outcome === "unfinished") return `${step.op} had not ended when the run did`;
  return outcomes[step.op] ?? step.op;
};

function make(tag, classes = "", text = "", attributes = {}) {
  const element = document.createElement(tag);
  if (classes) element.className = classes;
  if (text) element.textContent = text;
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
}

// One row of any chart: label, track of bars, figure.
function row(classes, label, track, figure) {
  const line = make("div", `row ${classes}`, "", { role: "row" });
  const name = make("div", "name", "", { role: "rowheader" });
  name.append(label);
  if (typeof label === "string") name.title = label;
  track.setAttribute("role", "cell");
  const last = make("div", "figure", "", { role: "cell" });
  last.append(...figure);
  line.append(name, track, last);
  return line;
}

function axis(label, figure) {
  const track = make("div", "track");
  for (let at = 0; at <= run.seconds * 0.985; at += grid) {
    const tick = make("span", "tick", grid < 1 ? `${at.toFixed(1)} s` : run.seconds < 120 ? `${at} s` : `${Math.floor(at / 60)}:${String(at % 60).padStart(2, "0")}`);
    tick.style.left = share(at);
    track.append(tick);
  }
  const line = row("axis", label, track, [figure]);
  line.querySelector(".name").setAttribute("role", "columnheader");
  return line;
}

const grid = [0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1200, 3600].find((size) => run.seconds / size <= 11) ?? 7200;
document.documentElement.style.setProperty("--grid", share(grid));

function place(element, begin, end, kind) {
  element.style.left = share(begin);
  element.style.width = share(Math.max(0, end - begin));
  if (kind !== undefined) element.style.setProperty("--kind", `var(--kind-${kind})`);
  return element;
}

function bar(step, thin = false) {
  const state = step.outcome === "done" ? (step.op === "same" ? " same" : "") : ` ${step.outcome}`;
  const element = make("span", `bar${state}${step.critical ? " critical" : ""}${thin ? " thin" : ""}`);
  if (!thin) {
    const words = [step.name, step.type, `began at ${clock(step.begin)}`, `took ${seconds(step)}`, outcome(step)];
    element.setAttribute("role", "img");
    element.setAttribute("aria-label", [...words, ...(step.critical ? ["on the critical path"] : [])].join(", "));
    element.tabIndex = -1;
    element.step = step;
  }
  return place(element, step.begin, step.end ?? run.seconds, step.kind);
}

// Words beside a bar: to its right where there is room, else to the left of it and of the wait before it.
function beside(step, text, free = step.begin) {
  const element = make("span", `beside${step.outcome === "failed" ? " failed" : ""}`, text);
  const end = step.end ?? run.seconds;
  const room = run.seconds - end;
  const after = room > run.seconds * 0.3 || room > free;
  element.style[after ? "left" : "right"] = share(after ? end : run.seconds - free);
  element.style.maxWidth = share(after ? room : free);
  return element;
}

const strong = (text) => make("b", "", text);
const weak = (text) => make("span", "", text);

function stepRow(step, classes) {
  const track = make("div", "track");
  track.append(bar(step));
  if (step.outcome !== "done") track.append(beside(step, outcome(step)));
  return row(`${classes}${step.critical ? " on-path" : ""}`, step.name, track, [strong(seconds(step))]);
}

// A row that stands for many: their bars in one lane, and a button that shows or hides their own rows.
function laneRow(classes, label, steps, key, members) {
  const track = make("div", "track");
  const begin = Math.min(...steps.map((step) => step.begin));
  const end = Math.max(...steps.map((step) => step.end ?? run.seconds));
  track.append(place(make("span", "bar span"), begin, end));
  track.append(...[...steps].sort((one, other) => one.critical - other.critical).map((step) => bar(step, true)));
  const button = make("button", "", label, { type: "button" });
  const shown = unfolded[key] ?? !classes.includes("fold");
  button.setAttribute("aria-expanded", String(shown));
  button.addEventListener("click", () => { unfolded[key] = !shown; draw(); byId("resources").querySelector(`[data-key="${CSS.escape(key)}"]`).focus(); });
  button.dataset.key = key;
  const total = sum(steps.filter((step) => step.op !== "same").map(took));
  const line = row(classes, button, track, [weak(`${steps.length} \u00b7 `), strong(clock(total))]);
  line.title = `${steps.length} steps, ${clock(total)} of work between ${clock(begin)} and ${clock(end)}`;
  return [line, ...(shown ? members : [])];
}

const unfolded = {};
const few = 3;

function group(name, steps) {
  const keys = steps.filter((step) => step.kind === 0 && step.outcome === "done" && !step.critical);
  const folds = keys.length > few && !byId("only-critical").checked;
  const plain = folds ? steps.filter((step) => !keys.includes(step)) : steps;
  const members = plain.map((step) => stepRow(step, "member"));
  if (folds) {
    const own = keys.map((step) => stepRow(step, "folded"));
    members.push(...laneRow("fold member", `${keys.length} ${run.kinds[0]}`, keys, `${name}/keys`, own));
  }
  return laneRow("group", name, steps, name, members);
}

function draw() {
  const by = document.querySelector("input[name=grouping]:checked").value;
  const chosen = byId("only-critical").checked ? run.steps.filter((step) => step.critical) : run.steps;
  const rows = [axis("", "seconds of work")];
  for (const name of run[`${by}s`]) {
    const own = chosen.filter((step) => step[by] === name).sort((one, other) => one.begin - other.begin);
    if (own.length) rows.push(...group(name, own));
  }
  byId("resources").replaceChildren(...rows);
  const first = byId("resources").querySelector(".bar[tabindex]");
  if (first) first.tabIndex = 0;
}

function drawPhases() {
  const rows = [axis("", "seconds of work")];
  run.kinds.forEach((name, kind) => {
    const own = worked.filter((step) => step.kind === kind);
    if (!own.length) return;
    const begin = Math.min(...own.map((step) => step.begin));
    const end = Math.max(...own.map((step) => step.end ?? run.seconds));
    const total = sum(own.map(took));
    const element = place(make("span", "bar"), begin, end, kind);
    element.setAttribute("role", "img");
    element.setAttribute("aria-label", `${name}: from ${clock(begin)} to ${clock(end)}, ${own.length} steps, ${clock(total)} of work`);
    const track = make("div", "track");
    track.append(element, beside({ end, begin }, `${begin.toFixed(digits)} to ${end.toFixed(digits)} s`));
    rows.push(row("", name, track, [weak(`${own.length} \u00b7 `), strong(clock(total))]));
  });
  byId("phases").replaceChildren(...rows);
}

function drawCritical() {
  const rows = [axis("", "of the run")];
  let before = null;
  run.critical.forEach((at, number) => {
    const step = run.steps[at];
    const track = make("div", "track");
    if (before) track.append(place(make("span", "wait"), before.end, step.begin));
    track.append(bar(step), beside(step, step.said || outcome(step), before ? before.end : step.begin));
    const label = make("span");
    label.append(make("span", "step-number", `${number + 1}`), step.name);
    rows.push(row("", label, track, [strong(seconds(step)), weak(` \u00b7 ${Math.round((100 * took(step)) / run.seconds)} %`)]));
    before = step;
  });
  byId("critical").replaceChildren(...rows);
  const first = byId("critical").querySelector(".bar[tabindex]");
  if (first) first.tabIndex = 0;
}

function tile(name, value, more) {
  const box = make("div");
  const figure = make("dd", "", value);
  figure.append(make("small", "", more));
  box.append(make("dt", "", name), figure);
  byId("tiles").append(box);
}

function drawHead() {
  const failed = run.steps.filter((step) => step.outcome === "failed");
  const open = run.steps.filter((step) => step.outcome === "unfinished");
  const verb = failed.length ? "failed after" : !run.ended || open.length ? "was cut off after" : "took";
  byId("headline").textContent = `Stack ${run.stack}: make up ${verb} ${clock(run.seconds).replaceAll(" ", "\u00a0")}`;
  byId("subline").textContent = `${new Date(run.begun).toISOString().slice(0, 16).replace("T", " ")} UTC, by the engine's event log`;
  const counts = new Map();
  for (const step of run.steps) {
    const word = step.outcome === "done" ? outcome(step) : step.outcome;
    counts.set(word, (counts.get(word) ?? 0) + 1);
  }
  const path = run.critical.map((at) => run.steps[at]);
  const work = sum(worked.map(took));
  tile("Run", clock(run.seconds), `${run.machines.length - 1} machines`);
  tile("Resources", `${run.steps.length}`, `${[...counts].map(([word, count]) => `${count} ${word}`).join(", ")}; ${run.holders} components`);
  tile("Work", clock(work), `${(work / run.seconds).toFixed(1)} steps at once on average`);
  tile("Critical path", clock(sum(path.map(took))), `${path.length} steps, ${Math.round((100 * sum(path.map(took))) / run.seconds)} % of the run`);
  if (failed.length) {
    byId("alert").hidden = false;
    for (const step of failed) byId("alert").append(strong(step.name), ` ${step.said}\n`);
  }
  byId("footnote").textContent = run.exact
    ? "Times are those at which the events came in, exact to a twentieth of a second."
    : "Times are the engine's own, in whole seconds: nobody listened to this run.";
}

function drawLegend() {
  const entry = (classes, text, kind) => {
    const item = make("li");
    const sample = make("span", `bar ${classes}`, "", { "aria-hidden": "true" });
    if (kind !== undefined) sample.style.setProperty("--kind", `var(--kind-${kind})`);
    item.append(sample, text);
    byId("legend").append(item);
  };
  run.kinds.forEach((name, kind) => { if (run.steps.some((step) => step.kind === kind)) entry("", name, kind); });
  if (run.critical.length) entry("critical", "on the critical path", 6);
  if (run.steps.some((step) => step.op === "same")) entry("same", "unchanged");
  if (run.steps.some((step) => step.outcome === "failed")) entry("failed", "failed");
  if (run.steps.some((step) => step.outcome === "unfinished")) entry("unfinished", "not ended", 6);
}

// The card with a bar's details follows the pointer and the keyboard's focus.
function showCard(element) {
  const step = element.step;
  const card = byId("card");
  const list = make("dl");
  const told = [
    ["Type", step.type], ["Outcome", outcome(step)], ["Begin", clock(step.begin)],
    ["End", step.end === null ? "not in this run" : clock(step.end)], ["Took", seconds(step)],
    ["Belongs to", `${step.component}; ${step.machine}`], ["Said last", step.said],
  ];
  for (const [name, value] of told) if (value) list.append(make("dt", "", name), make("dd", "", value));
  card.replaceChildren(make("h3", "", step.name + (step.critical ? ", on the critical path" : "")), list);
  card.hidden = false;
  const box = element.getBoundingClientRect();
  const left = Math.min(Math.max(8, box.left), innerWidth - card.offsetWidth - 8);
  const below = box.bottom + 10 + card.offsetHeight < innerHeight;
  card.style.left = `${left}px`;
  card.style.top = `${below ? box.bottom + 10 : Math.max(8, box.top - card.offsetHeight - 10)}px`;
}
const hideCard = () => { byId("card").hidden = true; };

for (const chart of [byId("resources"), byId("critical")]) {
  const reveal = (event) => { if (event.target.step) showCard(event.target); };
  chart.addEventListener("pointerover", reveal);
  chart.addEventListener("focusin", reveal);
  chart.addEventListener("pointerout", hideCard);
  chart.addEventListener("focusout", hideCard);
  // One stop of the Tab key for all bars of a chart; the arrow keys go from bar to bar.
  chart.addEventListener("keydown", (event) => {
    if (!event.target.step) return;
    const bars = [...chart.querySelectorAll(".bar[tabindex]")];
    const at = bars.indexOf(event.target);
    const next = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: bars.length - 1 }[event.key];
    if (bars[next] === undefined) return;
    event.preventDefault();
    event.target.tabIndex = -1;
    bars[next].tabIndex = 0;
    bars[next].focus();
  });
}
addEventListener("keydown", (event) => { if (event.key === "Escape") hideCard(); });
for (const control of document.querySelectorAll("input")) control.addEventListener("change", draw);
byId("unfold").addEventListener("click", () => {
  const wide = byId("unfold").textContent === "Expand all";
  for (const name of new Set([...run.components, ...run.machines])) unfolded[name] = unfolded[`${name}/keys`] = wide;
  byId("unfold").textContent = wide ? "Collapse all" : "Expand all";
  draw();
});
drawHead();
drawLegend();
drawPhases();
drawCritical();
draw();
byId("phases-section").hidden = byId("critical-section").hidden = worked.length === 0;
