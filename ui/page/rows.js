// The list of events: a grid that draws only the rows in sight, out of a source of
// any length. Above the browser's largest element the scroll bar stands for
// a share of the result, while wheel and keys still move by rows.

import { badge, button, clear, dim, h, inLine } from "./dom.js";
import { ago, clock, day, exact, zoneName } from "./format.js";

const TALLEST = 6_000_000; // px
const OVERSCAN = 8;

const COLUMNS = ["Time", "Age", "User", "Action", "Resource", "Outcome", "From"];

export class Rows {
  // open is called with an event_id and a row when a row is chosen; scrolled when
  // the list leaves or reaches its top.
  constructor({ open, scrolled, label = "Events" }) {
    Object.assign(this, { open, scrolled });
    this.head = []; // live rows above the source
    this.source = null;
    this.cursor = -1; // index of the active row
    this.cursorID = "";
    this.shift = 0; // px between a row's true place and its place in the element
    this.drawn = new Map(); // row, or its index while it is loading → element
    this.body = h("div.grid-body", { role: "rowgroup" });
    this.header = h("div.grid-row.grid-head", { role: "row", "aria-rowindex": 1 }, COLUMNS.map((c) => h("div", { role: "columnheader", class: "c-" + c.toLowerCase() }, c)));
    this.el = h("div.grid", { role: "grid", tabindex: 0, "aria-label": label, "aria-colcount": COLUMNS.length, "aria-readonly": "true", testid: "rows", scroll: () => this.onScroll(), keydown: (e) => this.onKey(e), pointerdown: (e) => { this.pressed = this.spot(e); }, click: (e) => this.onClick(e) },
      h("div.grid-top", { role: "rowgroup" }, this.header), this.body);
    this.sizes = new ResizeObserver(() => { this.measure(); this.draw(); });
    this.sizes.observe(this.el);
    this.ages = setInterval(() => this.tick(), 10000);
    this.rowHeight = 28;
  }

  destroy() {
    this.sizes.disconnect();
    clearInterval(this.ages);
  }

  measure() {
    const height = parseFloat(getComputedStyle(this.el).getPropertyValue("--row")) || 28;
    if (height !== this.rowHeight) { this.rowHeight = height; this.clearDrawn(); }
  }

  clearDrawn() {
    for (const el of this.drawn.values()) el.remove();
    this.drawn.clear();
  }

  // setSource shows another result, from its top. keep says of each live row whether it
  // stays above it; then somebody stays where they are, too.
  setSource(source, keep) {
    this.source = source;
    this.head = keep ? this.head.filter(keep) : [];
    if (keep && this.cursorID) this.selectID(this.cursorID);
    if (!keep) {
      this.shift = 0;
      this.cursor = -1;
      this.cursorID = "";
      this.el.scrollTop = 0;
    }
    this.draw(0);
  }

  get length() { return this.head.length + (this.source?.length ?? 0); }
  at(i) { return i < this.head.length ? this.head[i] : this.source?.at(i - this.head.length); }
  get top() { return this.el.scrollTop + this.shift; }
  get atTop() { return this.top < this.rowHeight; }

  // setHead replaces the live rows.
  setHead(rows, { draw = true } = {}) {
    const grown = rows.length - this.head.length;
    this.head = rows;
    if (this.cursorID) {
      const i = rows.findIndex((r) => r.event_id === this.cursorID);
      if (i >= 0) this.cursor = i;
      else if (this.cursor >= 0) this.cursor += grown;
    }
    if (draw) this.draw();
  }

  onScroll() {
    this.rebase();
    this.frame ??= requestAnimationFrame(() => { this.frame = null; this.draw(); });
    const top = this.atTop;
    if (top !== this.wasTop) { this.wasTop = top; this.scrolled?.(top); }
  }

  // rebase keeps the scroll bar honest where rows are higher than an element can be.
  rebase() {
    const real = this.length * this.rowHeight, tall = Math.min(real, TALLEST), view = this.bodyView();
    const y = this.el.scrollTop, moved = Math.abs(y - (this.lastY ?? 0));
    this.lastY = y;
    if (real <= TALLEST) { this.shift = 0; return; }
    if (moved > view * 3) this.shift = Math.round((y * (real - view)) / Math.max(1, tall - view)) - y;
    clearTimeout(this.settle);
    this.settle = setTimeout(() => (Math.abs(this.el.scrollTop - this.lastY) < 1 ? this.moveTo(this.top) : this.onScroll()), 200); // or it has moved on already
  }

  // moveTo puts true place px at the top of the view.
  moveTo(px) {
    const real = this.length * this.rowHeight, tall = Math.min(real, TALLEST), view = this.bodyView();
    px = Math.max(0, Math.min(px, real - view));
    const y = real <= TALLEST ? px : Math.round((px * (tall - view)) / Math.max(1, real - view));
    this.shift = Math.round(px) - y;
    this.lastY = y;
    this.body.style.height = tall + "px";
    if (Math.abs(this.el.scrollTop - y) > 0.5) this.el.scrollTop = y;
    this.lastY = this.el.scrollTop;
    this.draw();
  }

  bodyView() { return Math.max(1, this.el.clientHeight - this.header.offsetHeight); }

  draw(over = OVERSCAN) {
    const n = this.length, height = this.rowHeight;
    this.body.style.height = Math.min(n * height, TALLEST) + "px";
    this.el.setAttribute("aria-rowcount", n + 1);
    const first = Math.max(0, Math.floor(this.top / height) - over);
    const last = Math.min(n - 1, Math.ceil((this.top + this.bodyView()) / height) + over);
    this.source?.want(first - this.head.length, last - this.head.length + 60);
    const { drawn, body } = this, gone = new Map(drawn), free = [];
    for (let i = first; i <= last; i++) gone.delete(this.at(i) ?? i);
    const none = gone.size === drawn.size; // is kept: all stay where they are, and are filled again
    for (const [k, el] of gone) {
      drawn.delete(k);
      if (el.id) free.push(el);
      if (!el.id || !none) el.remove();
    }
    let before = null; // rows stand in their order, for who selects or hears them
    for (let i = first; i <= last; i++) {
      const row = this.at(i), k = row ?? i;
      if (!drawn.has(k)) drawn.set(k, row ? fill(free.shift() ?? blank(), row) : h("div.grid-row", { role: "row" }, h("div.c-skeleton", { role: "gridcell", "aria-label": "loading" })));
      const el = drawn.get(k);
      if (!el.parentNode || el.previousSibling !== before) body.insertBefore(el, before ? before.nextSibling : body.firstChild);
      this.place(el, i, row);
      before = el;
    }
    for (const el of free) el.remove();
    this.mark();
  }

  place(el, i, row) {
    const y = i * this.rowHeight - this.shift;
    if (el.y !== y) { el.y = y; el.style.transform = `translateY(${y}px)`; }
    if (el.i !== i) { el.i = i; el.setAttribute("aria-rowindex", i + 2); }
    el.classList.toggle("active", i === this.cursor && (!row || this.isChosen(row)));
  }

  mark() {
    const el = this.active();
    for (const x of this.drawn.values()) x.setAttribute("aria-selected", x === el);
    if (el?.id) this.el.setAttribute("aria-activedescendant", el.id);
    else this.el.removeAttribute("aria-activedescendant");
  }

  active() {
    const row = this.at(this.cursor);
    return row && this.isChosen(row) ? this.drawn.get(row) : null;
  }

  // isChosen tells whether the row at the cursor is still the one that was chosen.
  isChosen(row) { return !this.cursorID || row.event_id === this.cursorID; }

  tick() {
    const now = Date.now();
    for (const el of this.body.querySelectorAll("[data-t]")) el.textContent = ago(el.dataset.t, now);
  }

  zone() { this.header.firstChild.textContent = `Time (${zoneName()})`; }

  redraw() {
    this.clearDrawn();
    this.draw();
  }

  // select makes a row the active one and brings it into sight.
  select(i, { open = false } = {}) {
    if (!this.length) return;
    i = Math.max(0, Math.min(this.length - 1, i));
    this.cursor = i;
    const row = this.at(i);
    this.cursorID = row?.event_id ?? "";
    const y = i * this.rowHeight, view = this.bodyView();
    if (y < this.top) this.moveTo(y);
    else if (y + this.rowHeight > this.top + view) this.moveTo(y + this.rowHeight - view);
    else this.draw();
    if (row && open) this.open(row);
    return row;
  }

  // selectID makes the row of an event the active one, without scrolling to it.
  selectID(id) {
    this.cursorID = id;
    for (let i = 0; i < Math.min(this.length, 2000); i++) if (this.at(i)?.event_id === id) { this.cursor = i; break; }
    this.draw();
  }

  // spot is the row at a pointer, if there is one, and how far down that is.
  spot(e) { return { row: this.at(e.target.closest(".grid-row[data-id]")?.i), y: e.clientY }; }

  // onClick opens the row that was pressed: since then others may have come and it have
  // moved on. A click without a pointer has no detail.
  onClick(e) {
    const { row, y } = e.detail ? this.pressed : this.spot(e);
    if (!row || Math.abs(e.clientY - y) > this.rowHeight || getSelection().toString()) return;
    const el = this.drawn.get(row);
    this.el.focus({ preventScroll: true });
    if (el) this.select(el.i, { open: true });
    else this.open(row);
  }

  onKey(e) {
    if (e.ctrlKey || e.metaKey || e.altKey) return;
    const page = Math.max(1, Math.floor(this.bodyView() / this.rowHeight) - 1);
    const to = { ArrowDown: this.cursor + 1, ArrowUp: Math.max(0, this.cursor - 1), PageDown: this.cursor + page, PageUp: this.cursor - page, Home: 0, End: this.length - 1 }[e.key];
    if (to !== undefined) { e.preventDefault(); this.moved?.(to); }
    else if (e.key === "Enter" && this.cursor >= 0) { e.preventDefault(); this.select(this.cursor, { open: true }); }
  }
}

// blank is a row's element, and fill puts an event into it.
const blank = () => h("div", { role: "row", testid: "row" }, COLUMNS.map((c) => h(c === "Time" ? "time" : "div", { role: "gridcell", class: "c-" + c.toLowerCase() })));

function fill(el, r) {
  const { outcome } = r, [at, age, user, action, resource, end, from] = el.children;
  el.className = "grid-row o-" + outcome;
  el.id = "row-" + r.event_id;
  el.dataset.id = r.event_id;
  time(r.timestamp, at);
  age.dataset.t = r.timestamp;
  age.textContent = ago(r.timestamp);
  clear(user, who(r));
  clear(action, brief(r.action, 120));
  clear(resource, r.resource_name ? [brief(r.resource_name, 100), dim(brief(r.resource, 120))] : brief(r.resource, 160));
  clear(end, outcome && badge(outcome), r.error_code && outcome !== "success" ? h("span.dim.code", brief(r.error_code, 40)) : null);
  clear(from, brief(r.source_ip || r.source, 64));
  from.classList.toggle("dim", !r.source_ip);
  return el;
}

// time shows a time, in an element.
export function time(t, el = h("time")) {
  const d = day(t);
  el.dateTime = t;
  el.title = exact(t);
  return clear(el, dim((d.startsWith(new Date().getFullYear()) ? d.slice(5) : d) + " "), clock(t, 3));
}

// brief is inLine with fewer elements: what is printable ASCII changes nothing
// around it. Elements are what a row costs.
const brief = (value = "", max) => (value.length <= max && /^[ -~]*$/.test(value) ? value : inLine(value, max));

function who(r) {
  const kind = r.user_type && r.user_type !== "user" ? h("span.dim.kind", r.user_type.replace("_", " ")) : null;
  return [r.user_name ? [brief(r.user_name, 80), h("span.dim.id", brief(r.user_id, 80))] : brief(r.user_id, 120), kind,
    r.on_behalf_of ? dim("for ", brief(r.on_behalf_of, 60)) : null];
}

// newestFirst compares two events as a search orders them, newest first. Timestamps have
// as many digits as they need, so that text alone does not compare them.
export const newestFirst = (a, b) => Date.parse(b.timestamp) - Date.parse(a.timestamp) || digits(b.timestamp).localeCompare(digits(a.timestamp));
const digits = (t) => (/\.(\d+)/.exec(t)?.[1] ?? "").padEnd(9, "0");

// message fills the place of the list where there are no rows.
export const message = (el, title, text, ...actions) => clear(el, h("div.message", h("h2", title), text && h("p", text), actions.length ? h("div.actions", actions) : null));

export const describe = (r) => [r.user_name || r.user_id, r.action, r.resource, r.outcome, exact(r.timestamp)].filter(Boolean).join(", ");

// failure says why something is not shown. absent is what a 404 means there.
export const failure = (el, e, absent, again) => {
  if (e.name === "AbortError") return;
  if (e.status === 404 && absent) message(el, ...absent);
  else if (e.status === 403) message(el, "Not allowed", e.message);
  else message(el, e.doc?.title ?? "Not loaded", e.message, again && button("Try again", { on: again }));
};
