// The view of events: box, range, histogram, facets, rows, detail, and the switch
// that makes it live.

import { get } from "./api.js";
import { announce, button, clear, h, icon, safe, toast } from "./dom.js";
import { applyFilter, chips, QueryBox, remember } from "./query.js";
import { detail, failedDetail, fetchEvent, loadingDetail } from "./detail.js";
import { Facets } from "./facets.js";
import { clock, interval, iso, num, plural } from "./format.js";
import { Histogram, OUTCOMES, widthFor } from "./histogram.js";
import { Live } from "./live.js";
import { moment, PRESETS, rangeButton, rangeLabel } from "./range.js";
import { describe, message, newestFirst, Rows } from "./rows.js";
import { Source } from "./source.js";
import { set, state } from "./state.js";

const RECOUNT = 10000; // ms between exact counts of a live result

// later does something with a module that is not needed before.
const later = (load, use) => load().then(use, () => toast("This could not be loaded; load the page again.", "bad"));

export class SearchView {
  constructor() {
    this.query = new QueryBox(() => this.run());
    this.chips = chips(applyFilter);
    this.range = rangeButton();
    this.facets = new Facets(applyFilter);
    this.histogram = new Histogram({ zoom: (from, to) => set({ from, to, live: "", event: "" }), height: innerHeight < 700 ? 56 : 76 });
    this.rows = new Rows({ open: (row) => this.openEvent(row.event_id), scrolled: () => this.live?.tell() });
    this.rows.moved = (i) => this.moveTo(i);
    this.total = h("strong", { testid: "total" });
    this.legend = h("span.legend");
    this.took = h("span.dim.took", { testid: "took" });
    this.liveStatus = h("span.live-status", { testid: "live-status" });
    this.liveSwitch = h("button.btn.switch", { role: "switch", "aria-checked": "false", testid: "live", click: () => this.toggleLive() }, h("i.dot"), h("span", "Live"));
    this.pauseButton = button("Pause", { icon: "pause", iconOnly: true, hidden: true, testid: "pause", on: () => this.togglePause() });
    this.pill = h("button.pill", { hidden: true, testid: "new-pill", click: () => this.live?.toTop() });
    this.message = h("div.list-message", { hidden: true, testid: "message" });
    this.note = h("div.list-note", { hidden: true, testid: "note" });
    this.side = h("div.side", { hidden: true });
    this.facetToggle = button("Facets", { icon: "filter", class: "facet-toggle", "aria-expanded": "false", on: () => this.toggleFacets() });
    this.zoomOut = button("Zoom out", { icon: "minus", class: "quiet small", testid: "zoom-out", on: () => this.widen() });
    this.el = h("div.search-view", h("h1.visually-hidden", "Events"),
      h("div.bar", this.query.el, this.range),
      h("div.subbar", this.facetToggle, this.chips.el, h("div.tools", this.liveSwitch, this.pauseButton, button("Saved", { icon: "star", opens: "dialog", testid: "saved", on: ({ currentTarget: b }) => later(() => import("./saved.js"), (m) => m.openSaved(b)) }), button("Export", { icon: "download", testid: "export", on: () => later(() => import("./export.js"), (m) => m.exportDialog(this.source?.total ?? null)) }))),
      h("section.over-time", { "aria-label": "Over time" }, h("div.summary", this.total, this.legend, this.liveStatus, this.took, this.zoomOut), this.histogram.el),
      h("div.split", this.facets.el, h("section.list", { "aria-label": "Result" }, this.note, this.pill, this.rows.el, this.message), this.side));
    this.update(state, {});
  }

  destroy() {
    this.abort?.abort();
    this.stopLive();
    this.rows.destroy();
    this.histogram.destroy();
  }

  update(s, before) {
    const changed = (...keys) => keys.some((k) => s[k] !== before[k]);
    if (changed("q")) this.query.value = s.q;
    if (changed("from", "to", "tz")) this.range.show();
    if (changed("tz")) { this.rows.zone(); this.rows.redraw(); this.histogram.draw(); }
    if (changed("q", "from", "to", "live", "view")) this.run();
    if (changed("event", "tz")) this.showEvent();
  }

  get params() { return { q: state.q, from: state.from, to: state.to }; }

  // run searches: rows first, then counts, then facets.
  async run({ keep = false } = {}) {
    this.abort?.abort();
    const { signal } = (this.abort = new AbortController());
    if (!keep) this.stopLive();
    const wantLive = state.live === "1" && !state.to;
    this.liveSwitch.setAttribute("aria-checked", wantLive);
    this.pauseButton.hidden = !wantLive;
    this.facets.el.ariaBusy = true;
    clearTimeout(this.slow);
    this.slow = setTimeout(() => { this.el.classList.add("slow"); this.chips.show(state.q); }, 200);
    const source = new Source(this.params, { signal, changed: () => this.changed(source) });
    try {
      if (wantLive && !keep) {
        this.live = new Live({ rows: this.rows, histogram: this.histogram, q: state.q, status: (s) => this.liveTold(s), reload: () => this.run({ keep: true }) });
        await this.live.start();
        if (signal.aborted) return;
      }
      const began = performance.now();
      await source.first();
      if (signal.aborted) return;
      this.source = source;
      if (state.q && !keep) remember(state.q);
      // Live rows that came after the search's answer was made stay above it.
      const rows = source.pages[0]?.rows ?? [], known = new Set(rows.map((r) => r.event_id));
      this.live?.found(known);
      this.rows.setSource(source, keep && ((r) => !known.has(r.event_id) && (source.complete || newestFirst(r, rows.at(-1)) < 0)));
      this.arrived();
      this.took.textContent = `${Math.max(1, Math.round(performance.now() - began))} ms`;
      this.showMissing(source);
      if (source.complete && !source.total) this.empty();
      else this.messageOff();
      if (state.event) this.rows.selectID(state.event);
      await this.count(source, signal);
      if (!keep) announce(`${this.total.textContent}, ${rangeLabel(state)}`);
      if (this.live && !signal.aborted) this.recount = setTimeout(() => this.countAgain(source, signal), RECOUNT);
      await this.showFacets(signal, keep && this.live);
    } catch (e) {
      if (e.name === "AbortError" || signal.aborted) return;
      this.arrived();
      this.failed(e, this.source === source);
    } finally {
      if (!signal.aborted) this.facets.el.ariaBusy = false;
    }
  }

  // arrived is called when a search was answered. What shows the search itself waits
  // until then, or until the answer is late: a frame drawn before would keep the rows
  // waiting.
  arrived() {
    clearTimeout(this.slow);
    this.el.classList.remove("slow");
    this.chips.show(state.q);
  }

  async count(source, signal) {
    // Where the range is open the server knows the last event, and the page what time it is.
    const from = moment(state.from), to = moment(state.to) ?? (from !== null || this.live ? Date.now() : null);
    const width = from !== null && to > from ? widthFor(to - from) : "auto";
    const ask = (by) => get("/v1/counts", { ...this.params, interval: width, ...by }, { signal });
    const counts = await ask({ by: "outcome", top: 10 }).catch((e) => (e.status === 400 ? ask() : Promise.reject(e))); // it may be hidden
    if (signal.aborted) return;
    source.setCounts(counts);
    this.histogram.set(counts, { from, to, width });
    this.base = counts.total - (this.live?.count ?? 0);
    this.showTotal(counts);
    this.rows.draw();
  }

  async countAgain(source, signal) {
    try {
      if (!document.hidden) {
        await this.count(source, signal);
        await this.showFacets(signal, true);
      }
    } catch (e) { if (e.name === "AbortError") return; }
    if (!signal.aborted) this.recount = setTimeout(() => this.countAgain(source, signal), RECOUNT);
  }

  // showFacets counts them. They cost more than the total: again it does so once a
  // minute at most, and not under somebody's hand.
  async showFacets(signal, again) {
    const now = performance.now();
    if (again && (now - this.faceted < 6 * RECOUNT || this.facets.el.matches(":is(:hover,:focus-within)"))) return;
    this.faceted = now;
    await this.facets.show(this.params, signal);
  }

  showTotal(counts) {
    this.total.textContent = plural(counts.total, "event");
    const by = Object.fromEntries((counts.groups ?? []).map((g) => [g.value, g.count]));
    clear(this.legend, [...OUTCOMES].reverse().filter((o) => by[o]).map((o) => h("span.key", h("i", { class: "swatch " + o }), `${o} `, h("b", num(by[o])))));
  }

  changed(source) {
    if (source !== this.source) return;
    this.rows.draw();
    if (source.error) this.noteSay("bad", `More rows could not be loaded: ${source.error.message}`, button("Try again", { class: "small", on: () => { this.note.hidden = true; source.error = null; this.rows.draw(); } }));
  }

  noteSay(kind, text, ...more) {
    this.note.className = "list-note " + kind;
    this.note.hidden = false;
    clear(this.note, icon(kind === "bad" ? "warn" : "help"), h("span", safe(text, 500)), more);
  }

  showMissing(source) {
    this.note.hidden = !source.missing;
    if (source.missing) this.noteSay("bad", `A part of the store is damaged: ${plural(source.missing, "event")} may be missing from this answer.`);
  }

  messageOff() {
    this.message.hidden = true;
    this.rows.el.hidden = false;
  }

  say(...args) {
    this.rows.el.hidden = true;
    this.message.hidden = false;
    message(this.message, ...args);
  }

  // empty says that nothing matched, and offers what would.
  async empty() {
    const { signal } = this.abort, q = state.q, ranged = state.from || state.to;
    const actions = [ranged && button("Search all time", { class: "primary", testid: "all-time", on: () => set({ from: "", to: "" }) }), q && button("Clear the filter", { on: () => set({ q: "" }) })].filter(Boolean);
    this.say(q ? "No events match" : "No events", `${rangeLabel(state)}${q ? ", with this filter" : ""}.`, ...actions);
    this.histogram.clear();
    if (!ranged && !q) {
      this.say("The log is empty", "Publish an event, and it appears here at once:", h("pre.code-block", `curl -sS ${location.origin}/v1/events -H 'Content-Type: application/json' \\\n  -d '{"user_id":"alice","action":"document.delete","resource":"document/42","outcome":"success"}'`));
      return;
    }
    try {
      const { total } = await get("/v1/counts", { q }, { signal });
      if (ranged && !signal.aborted && !this.message.hidden) this.message.querySelector("p").textContent += total ? ` ${plural(total, "event")} at other times.` : " Nor at any other time.";
    } catch { /* the message stands without it */ }
  }

  // failed says why there is no answer; where there are rows, why not all of it.
  failed(e, rows) {
    clear(this.took);
    if (e.kind !== "offline") { // what was counted belongs to another search
      this.total.textContent = "";
      clear(this.legend);
      this.histogram.clear();
      this.facets.clear();
    }
    if (e.kind === "invalid-filter") {
      this.query.error(e.doc);
      this.say("The filter cannot be read", e.doc.errors?.[0]?.reason ?? e.message);
    } else if (e.kind === "offline") {
      if (!this.source) this.say("The server does not answer", "The page asks again until it does.");
      else this.el.classList.add("stale");
    } else if (rows) this.noteSay("bad", e.message);
    else if (e.status === 401) this.say("Sign in to search", "");
    else if (e.status === 403) this.say("Not allowed", e.message);
    else if (e.kind === "invalid-parameter") this.say("The address cannot be read", e.message, button("Start anew", { on: () => set({ from: "-24h", to: "" }) }));
    else this.say(e.doc?.title ?? "The search failed", e.message, button("Try again", { class: "primary", on: () => this.run() }));
  }

  // back is called when the server is there again.
  back() {
    this.el.classList.remove("stale");
    this.run();
    if (state.event) this.showEvent();
  }

  toggleLive() { set({ live: state.live === "1" ? "" : "1", to: "" }); }

  togglePause() {
    if (!this.live) return;
    this.live.pause(!this.live.paused);
  }

  stopLive() {
    clearTimeout(this.recount);
    this.base = undefined;
    this.live?.stop();
    this.live = null;
    this.pill.hidden = true;
    this.liveStatus.textContent = "";
    this.liveSwitch.classList.remove("on", "waiting");
  }

  liveTold(s) {
    this.liveSwitch.classList.toggle("on", s.state === "open" && !s.paused);
    this.liveSwitch.classList.toggle("waiting", s.state !== "open");
    const label = s.paused ? "Resume" : "Pause";
    if (this.pauseButton.title !== label) {
      this.pauseButton.title = label;
      this.pauseButton.setAttribute("aria-label", label);
      clear(this.pauseButton, icon(s.paused ? "play" : "pause"));
    }
    this.pill.hidden = !s.unseen;
    if (s.unseen) this.pill.textContent = `${num(s.unseen)} new`;
    const rate = s.rate >= 0.5 ? `${num(Math.round(s.rate))} events/s · ` : "";
    const text = s.state === "ended" ? s.problem.message : s.state !== "open" ? "reconnecting…"
      : `${rate}${num(s.count)} new since ${clock(s.began)}${s.paused ? " · paused" : ""}${s.gap ? " · a sample is shown, every event counted" : ""}`;
    if (this.liveStatus.textContent !== text) this.liveStatus.textContent = text;
    const word = s.state !== "open" ? "Reconnecting" : s.paused ? "Paused" : s.unseen ? "New events" : "";
    if (word !== this.word && s.opened) announce(word);
    this.word = word;
    if (this.base !== undefined && s.count) this.total.textContent = plural(this.base + s.count, "event");
    if (this.live && !this.message.hidden && s.count) this.messageOff();
  }

  // widen doubles the range around its middle.
  widen() {
    const now = Date.now(), [a, b] = [moment(state.from, now), moment(state.to, now) ?? now];
    if (a === null) return;
    const half = (b - a) / 2, text = (t) => iso(t).replace(/\.\d+Z/, "Z");
    if (!state.to) set({ from: /^-\d/.test(state.from) ? PRESETS.find(([f]) => !f || interval(f) > b - a)[0] : text(a - 2 * half) });
    else set({ from: text(a - half), to: text(Math.min(b + half, now)) });
  }

  toggleFacets() {
    const open = this.el.classList.toggle("show-facets");
    this.facetToggle.setAttribute("aria-expanded", open);
  }

  moveTo(i) {
    const row = this.rows.select(i);
    if (row) {
      announce(describe(row));
      if (state.event) set({ event: row.event_id }, { replace: true });
    }
  }

  openEvent(id) {
    this.focusDetail = true;
    set({ event: id }, { replace: Boolean(state.event) });
  }

  closeEvent() {
    set({ event: "" });
  }

  async showEvent() {
    const id = state.event, had = this.side.contains(document.activeElement);
    this.opening?.abort();
    this.side.hidden = !id;
    this.el.classList.toggle("with-detail", Boolean(id));
    if (!id) { // the row stays the active one
      if (had) this.rows.el.focus();
      clear(this.side);
      this.shown = "";
      return;
    }
    this.rows.selectID(id);
    const { signal } = (this.opening = new AbortController());
    const close = () => this.closeEvent();
    const slow = setTimeout(() => clear(this.side, loadingDetail(close)), this.shown ? 300 : 0);
    try {
      const e = await fetchEvent(id, signal);
      clearTimeout(slow);
      if (signal.aborted) return;
      clear(this.side, detail(e, { apply: applyFilter, close }));
      this.shown = id;
      if (this.focusDetail && innerWidth <= 960) this.side.querySelector(".detail-body").focus(); // it lies over the list
      this.focusDetail = false;
    } catch (e) {
      clearTimeout(slow);
      if (e.name !== "AbortError") clear(this.side, failedDetail(e, close, () => this.showEvent()));
    }
  }

  // shortcut does what a key means here, and reports whether it means anything.
  shortcut(key) {
    const { rows } = this;
    const does = {
      j: () => this.moveTo(rows.cursor + 1), k: () => this.moveTo(Math.max(0, rows.cursor - 1)),
      Enter: () => rows.cursor >= 0 && rows.select(rows.cursor, { open: true }),
      "/": () => this.query.focus(), f: () => this.chips.el.querySelector("[data-testid=add-filter]").click(), r: () => this.run(),
      l: () => this.toggleLive(), p: () => this.togglePause(), e: () => this.el.querySelector("[data-testid=export]").click(),
      t: () => this.range.click(), G: () => this.moveTo(rows.length - 1), g: () => { rows.moveTo(0); this.moveTo(0); },
      z: () => this.widen(), n: () => !this.pill.hidden && this.pill.click(),
      Escape: () => { if (state.event) this.closeEvent(); else if (this.el.classList.contains("show-facets")) this.toggleFacets(); },
    }[key];
    does?.();
    return Boolean(does);
  }
}

