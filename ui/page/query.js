// The search box: colours what is written, completes fields and real values,
// says under the right column what is wrong, remembers what was asked, and shows
// the filter as chips for people who do not type.

import { get } from "./api.js";
import * as filter from "./filter.js";
import { button, clear, debounce, dim, h, icon, inLine, popup, safe, store, submitter, tool } from "./dom.js";
import { short } from "./format.js";
import { set, state } from "./state.js";

const NEVER = "2261-01-01"; // a range without events: asks only whether a filter is valid

// values asks which values a field has, those that begin with what is written first.
const cache = new Map();
export async function values(field, prefix, { signal, top = 8, q = "" } = {}) {
  if (filter.ENUMS[field]) return filter.ENUMS[field].filter((v) => v.startsWith(prefix)).map((value) => ({ value }));
  const ask = async (pattern) => {
    const params = { by: field, top, q: pattern ? `${field}:${pattern}` : q, from: state.from, to: state.to };
    const k = JSON.stringify(params), hit = cache.get(k);
    if (hit && performance.now() - hit.at < 30000) return hit.groups;
    const { groups } = await get("/v1/counts", params, { signal, tries: 1 });
    if (cache.size > 200) cache.clear();
    cache.set(k, { groups, at: performance.now() });
    return groups;
  };
  const begin = await ask(prefix && filter.escape(prefix) + "*");
  const out = begin.filter((g) => g.value !== "");
  if (out.length || prefix.length < 2) return out;
  return (await ask(`*${filter.escape(prefix)}*`)).filter((g) => g.value !== "");
}

// paths are the keys below labels or metadata that the newest events have.
let sampled = null;
async function paths(root, signal) {
  if (!sampled || performance.now() - sampled.at > 60000) {
    const { events } = await get("/v1/events", { limit: 100, fields: "labels,metadata,changes", from: state.from, to: state.to, wait: "0s" }, { signal, tries: 1 });
    const found = { "labels.": new Map(), "metadata.": new Map() };
    const note = (m, path) => m.size < 300 && m.set(path, (m.get(path) ?? 0) + 1);
    const walk = (v, path, depth) => {
      if (Array.isArray(v)) v.slice(0, 5).forEach((x) => walk(x, path, depth));
      else if (v && typeof v === "object" && depth < 5) for (const [k, x] of Object.entries(v).slice(0, 60)) walk(x, path + (path.endsWith(".") ? "" : ".") + filter.key(k), depth + 1);
      else note(found["metadata."], path);
    };
    for (const e of events) {
      for (const k of Object.keys(e.labels ?? {})) note(found["labels."], filter.labelKey(k));
      if (e.metadata) walk(e.metadata, "metadata.", 0);
    }
    sampled = { at: performance.now(), found };
  }
  return [...(sampled.found[root] ?? [])].sort((a, b) => b[1] - a[1]).map(([p]) => p);
}

export class QueryBox {
  // run searches again.
  constructor(run) {
    this.submit = (q) => (q === state.q ? run() : applyFilter(q));
    this.overlay = h("pre.overlay", { "aria-hidden": "true" });
    this.input = h("textarea", { id: "query", rows: 1, spellcheck: "false", autocapitalize: "off", autocomplete: "off", autocorrect: "off", maxlength: 16384, enterkeyhint: "search", placeholder: "Filter: user_id:alice action:document.* -outcome:success", "aria-label": "Filter", "aria-autocomplete": "list", "aria-haspopup": "listbox", "aria-controls": "suggestions", "aria-describedby": "query-error", testid: "query", input: () => this.typed(), keydown: (e) => this.key(e), blur: () => setTimeout(() => this.hide(), 120), focus: () => this.input.value === "" && this.suggest(), click: () => this.suggest(), scroll: () => { this.overlay.scrollTop = this.input.scrollTop; } });
    this.list = h("ul", { id: "suggestions", role: "listbox", tabindex: -1, "aria-label": "Suggestions", hidden: true, testid: "suggestions" });
    this.fault = h("div.query-error", { id: "query-error", role: "alert", hidden: true, testid: "query-error" });
    this.clearButton = tool("Clear filter", "close", { hidden: true, on: () => { this.value = ""; this.go(); this.input.focus(); } });
    this.el = h("form.query", { role: "search", submit: () => this.go() },
      h("div.query-box", icon("search"), h("div.stack", this.overlay, this.input), this.clearButton, h("kbd.hint", "/")), this.fault, this.list);
    this.suggestLater = debounce(() => this.suggest(), 90);
    this.checkLater = debounce(() => this.check(), 450);
    this.items = [];
    this.chosen = -1;
  }

  get value() { return this.input.value; }
  set value(q) {
    const { bad } = this;
    this.checkLater.cancel();
    this.error(null);
    if (bad || this.input.value !== q) { this.input.value = q; this.paint(); }
    this.hide();
  }

  focus() {
    this.input.focus();
    this.input.select();
  }

  typed() {
    this.error(null);
    this.paint();
    this.stale = true; // the list is of what was written before, until suggest is done
    this.chosen = -1;
    this.suggestLater();
    this.checkLater();
  }

  paint() {
    const q = this.input.value, bad = this.bad, out = [];
    this.clearButton.hidden = !q;
    let end = 0;
    for (const t of filter.tokens(q)) {
      out.push(q.slice(end, t.start));
      const wrong = bad && t.start < bad.end && t.end > bad.start;
      out.push(h("span", { class: `t-${t.kind}${wrong ? " t-bad" : ""}` }, t.text));
      end = t.end;
    }
    clear(this.overlay, ...out, q.slice(end) + "\n");
  }

  // spot is where a character of the text is drawn, from the box's corner.
  spot(i) {
    const walker = document.createTreeWalker(this.overlay, NodeFilter.SHOW_TEXT);
    for (let node = walker.nextNode(); node; node = walker.nextNode()) {
      if (i < node.length) {
        const range = document.createRange();
        range.setStart(node, i);
        range.setEnd(node, Math.min(node.length, i + 1));
        const r = range.getBoundingClientRect(), box = this.el.getBoundingClientRect();
        return { x: Math.max(0, Math.min(r.left - box.left, box.width - 40)), y: r.bottom - box.top };
      }
      i -= node.length;
    }
    return { x: 0, y: this.el.offsetHeight };
  }

  async check() {
    const q = this.value;
    this.checking?.abort();
    if (!q.trim() || q === state.q) return;
    this.checking = new AbortController();
    try {
      await get("/v1/events", { q, from: NEVER, limit: 1, wait: "0s", fields: "event_id" }, { signal: this.checking.signal, tries: 1 });
    } catch (e) {
      if (e.kind === "invalid-filter" && this.value === q && this.input.selectionStart === q.length && /[:(]$/.test(q)) return; // still being written
      if (e.kind === "invalid-filter" && this.value === q) this.error(e.doc);
    }
  }

  // error shows a problem of the filter below the column where it is.
  error(doc) {
    this.bad = null;
    this.fault.hidden = !doc;
    this.input.setAttribute("aria-invalid", Boolean(doc));
    this.el.classList.toggle("invalid", Boolean(doc));
    if (!doc) return;
    const q = this.value, fault = doc.errors?.find((e) => e.field === "q") ?? {};
    const start = filter.index(q, doc.column ?? 1);
    this.bad = { start, end: start + Math.max(1, (doc.token ?? "").length) };
    this.paint();
    const { x } = this.spot(start);
    clear(this.fault, h("span.caret", { "aria-hidden": "true" }), dim(`column ${doc.column ?? 1}`), " ", safe(fault.reason ?? doc.detail ?? "", 400));
    this.fault.firstChild.style.left = x + "px";
    const room = this.el.clientWidth;
    this.fault.style.paddingLeft = Math.max(0, Math.min(x - 8, room - Math.min(room, 380))) + "px";
  }

  async suggest() {
    this.suggestLater.cancel(); // else it would come over what is chosen meanwhile
    const q = this.value, caret = this.input.selectionStart;
    if (document.activeElement !== this.input || caret !== this.input.selectionEnd) return;
    this.asking?.abort();
    const { signal } = (this.asking = new AbortController());
    const spot = filter.at(q, caret);
    let items = [];
    if (spot.kind === "field") {
      items = this.fields(spot);
      const root = ["labels.", "metadata."].find((r) => spot.text.startsWith(r));
      if (root) {
        try { items = (await paths(root, signal)).filter((p) => p.startsWith(spot.text) && p !== spot.text).slice(0, 10).map((p) => ({ text: p, insert: p + ":", again: true })); } catch { items = []; }
      }
      if (!q) items = [...history().slice(0, 5).map((past) => ({ text: past, insert: past, whole: true, note: "asked before" })), ...items];
    } else if (filter.TIMES.has(spot.field)) {
      items = [">=-15m", ">=-1h", ">=-24h", ">=-7d"].filter((v) => v.startsWith(spot.text)).map((v) => ({ text: v, insert: v + " " }));
    } else if (filter.countable(spot.field)) {
      try {
        const prefix = spot.text.replace(/^"|"$/g, "").replace(/\*$/, "").replace(/\\(.)/g, "$1");
        const found = await values(spot.field, prefix, { signal });
        items = found.map((g) => ({ text: g.value, insert: filter.quote(g.value) + " ", note: g.count === undefined ? "" : short(g.count) }));
      } catch { items = []; }
    }
    if (signal.aborted || this.value !== q) return;
    this.stale = false;
    this.show(items, spot);
  }

  fields(spot) {
    const text = spot.text.toLowerCase();
    const hits = filter.FIELDS.filter(([name]) => name.startsWith(text) && (name !== spot.text || this.value[spot.end - 1] !== ":"));
    const near = text.length > 1 ? filter.FIELDS.filter(([name, what]) => !name.startsWith(text) && (name.includes(text) || what.includes(text))) : [];
    const items = [...hits, ...near].slice(0, text ? 8 : 12).map(([name, what]) => ({ text: name, insert: name.endsWith(".") ? name : name + ":", again: true, note: what }));
    return items;
  }

  show(items, { kind, start }) {
    this.items = items;
    this.chosen = -1;
    this.input.removeAttribute("aria-activedescendant");
    if (!items.length) { this.hide(); return; }
    clear(this.list, items.map((it, i) => h("li", { id: "suggestion-" + i, role: "option", "aria-selected": "false", pointerdown: (e) => { e.preventDefault(); this.take(i); } },
      h("span", { class: it.whole ? "" : "t-" + kind }, inLine(it.text, 90)), it.note ? h("span.note", it.note) : null)));
    this.list.hidden = false;
    this.list.scrollTop = 0;
    const { x, y } = this.spot(start);
    this.list.style.left = Math.max(0, Math.min(x - 8, this.el.clientWidth - this.list.offsetWidth)) + "px";
    this.list.style.top = y + 8 + "px";
  }

  hide() {
    this.asking?.abort();
    this.suggestLater.cancel();
    this.list.hidden = true;
    this.items = [];
    this.chosen = -1;
    this.input.removeAttribute("aria-activedescendant");
  }

  // renewed waits for keys before this one, and until the list is of what is written now.
  async renewed(before) {
    await before;
    if (this.stale) await this.suggest();
  }

  async choose(step, before) {
    await this.renewed(before);
    const n = this.items.length;
    if (!n) return;
    this.chosen = (this.chosen + step + (this.chosen < 0 && step < 0 ? 1 : 0) + n) % n;
    [...this.list.children].forEach((li, i) => li.setAttribute("aria-selected", i === this.chosen));
    this.list.children[this.chosen].scrollIntoView({ block: "nearest" });
    this.input.setAttribute("aria-activedescendant", "suggestion-" + this.chosen);
  }

  take(i) {
    const it = this.items[i], q = this.value, { start, end } = filter.at(q, this.input.selectionStart); // more may be written since
    if (it.whole) { this.value = it.insert; this.go(); return; }
    const rest = q.slice(end), insert = rest.startsWith(" ") ? it.insert.trimEnd() : it.insert;
    this.input.setRangeText(insert, start, end, "end");
    this.typed();
    if (it.again) this.suggest();
    else this.hide();
  }

  key(e) {
    const open = !this.list.hidden, step = { ArrowDown: 1, ArrowUp: -1 }[e.key];
    if (e.isComposing) return;
    if (e.key === "Enter" && !e.shiftKey) {
      e.preventDefault();
      Promise.resolve(this.choosing).then(() => (this.chosen >= 0 ? this.take(this.chosen) : this.go()));
    } else if (e.key === "Tab" && open && !e.shiftKey && (this.chosen >= 0 || this.value.trim())) {
      e.preventDefault();
      this.renewed(this.choosing).then(() => this.items.length && this.take(Math.max(0, this.chosen)));
    } else if (step && open) {
      e.preventDefault();
      this.choosing = this.choose(step, this.choosing);
    } else if (step > 0 && !this.value.includes("\n")) {
      e.preventDefault();
      this.suggest();
    } else if (e.key === "Escape") {
      e.stopPropagation();
      if (open) this.hide();
      else this.input.blur();
    }
  }

  go() {
    this.hide();
    this.checkLater.cancel();
    const q = this.value.trim();
    this.submit(q);
  }
}

const history = () => store.get("history", []);
// remember keeps a filter that was asked and understood.
export const remember = (q) => store.set("history", [q, ...history().filter((x) => x !== q)].slice(0, 30));

// chips shows the parts of the filter, each to be taken out or turned around.
export function chips(apply) {
  const adder = button("Filter", { icon: "plus", class: "chip-add", opens: "dialog", testid: "add-filter", on: () => builder(adder, apply) });
  const el = h("div.chips", { role: "group", "aria-label": "Filter, part by part", testid: "chips" }, adder);
  return { el, show(q) {
    const all = filter.terms(q) ?? [{ text: q, start: 0, end: q.length, whole: true }];
    clear(el, adder, all.map((t) => h("span", { class: `chip${t.negated ? " negated" : ""}`, testid: "chip" },
      h("button.chip-text", { title: t.whole ? "" : t.negated ? "Excluded; click to include" : "Included; click to exclude", disabled: t.whole, click: () => apply(filter.swap(q, t, t.text.match(/^not\s/i) ? t.text.replace(/^not\s+/i, "") : filter.not(t.text))) },
      t.field ? [dim(t.negated ? "not " : "", inLine(t.field, 40)), " ", inLine(t.value, 40)] : inLine(t.text, 60)),
      h("button.chip-x", { "aria-label": `Remove ${t.text.slice(0, 80)}`, click: () => apply(filter.drop(q, t)) }, icon("close")))));
  } };
}

// builder asks for field, operator and value of one more term.
function builder(anchor, apply) {
  const options = h("datalist", { id: "builder-values" });
  const field = h("select", { "aria-label": "Field", testid: "builder-field" }, filter.FIELDS.filter(([n]) => !filter.TIMES.has(n)).map(([name, what]) => h("option", { value: name, title: what }, name.endsWith(".") ? `${name}…` : name)));
  const path = h("input", { "aria-label": "Key or path", placeholder: "key or path", hidden: true, testid: "builder-path" });
  const op = h("select", { "aria-label": "Operator", testid: "builder-operator" }, filter.OPERATORS.map(([name]) => h("option", name)));
  const value = h("input", { "aria-label": "Value", placeholder: "value", list: "builder-values", autocomplete: "off", testid: "builder-value" });
  const name = () => (field.value.endsWith(".") ? (field.value === "labels." ? (path.value.includes('"') ? "labels." + path.value : filter.labelKey(path.value)) : field.value + path.value) : field.value);
  const offer = debounce(async () => {
    if (!filter.countable(name()) || (field.value.endsWith(".") && !path.value)) { clear(options); return; }
    try { clear(options, (await values(name(), value.value, { top: 20 })).map((g) => h("option", { value: g.value }))); } catch { clear(options); }
  }, 120);
  const changed = () => {
    path.hidden = !field.value.endsWith(".");
    value.hidden = !filter.OPERATORS[op.selectedIndex][1];
    offer();
  };
  for (const el of [field, op]) el.addEventListener("change", changed);
  for (const el of [path, value]) el.addEventListener("input", offer);
  const panel = h("form.builder", { testid: "builder", submit: () => {
    const [, needs, make] = filter.OPERATORS[op.selectedIndex];
    if ((needs && !value.value) || (!path.hidden && !path.value)) { (needs && !value.value ? value : path).focus(); return; }
    pop.close();
    apply(filter.add(state.q, make(name(), value.value)));
  } }, field, path, op, value, options, submitter("Add"));
  const pop = popup(anchor, h("div", { role: "dialog", "aria-label": "Add to the filter" }, panel));
  changed();
}

export const applyFilter = (q) => set({ q, event: "" });
