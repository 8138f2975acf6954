// How the server is: rates, lag, store, stream, health; dead letters and keys.

import { get } from "./api.js";
import { clear, h, icon, pairs, safe, svg } from "./dom.js";
import { agoLong, bytes, dateTime, duration, num, plural } from "./format.js";
import { keys } from "./keys.js";
import { letters } from "./letters.js";
import { failure, message } from "./rows.js";
import { may } from "./session.js";
import { href, set, state } from "./state.js";

const EVERY = 2000;
const TABS = [["", "Overview"], ["letters", "Dead letters"], ["keys", "Keys"]];

export class SystemView {
  constructor() {
    this.content = h("div.tab-content", { id: "system-tab", role: "tabpanel", tabindex: 0, "aria-label": "System" });
    this.tabs = h("div.tabs", { role: "tablist", "aria-label": "System", keydown: (e) => this.key(e) });
    this.el = h("div.page.system", { testid: "system" }, h("header.page-head", icon("server"), h("div", h("h1", "System")), this.health = h("span.health", { role: "status" })), this.tabs, this.content);
    this.past = [];
    this.update();
  }

  destroy() {
    clearTimeout(this.timer);
    this.abort?.abort();
  }

  key(e) {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[e.key];
    if (!step) return;
    const i = TABS.findIndex(([t]) => t === state.tab);
    set({ tab: TABS[(i + step + TABS.length) % TABS.length][0], id: "" });
    this.tabs.querySelector("[aria-selected=true]").focus();
  }

  update(s = state, before = {}) {
    if (s.tab === before.tab && s.id === before.id && s.tz === before.tz && before.view === s.view) return;
    clear(this.tabs, TABS.map(([t, name]) => h("a", { role: "tab", href: href({ tab: t, id: "" }), "aria-selected": String(s.tab === t), "aria-controls": "system-tab", tabindex: s.tab === t ? 0 : -1, testid: "tab-" + (t || "overview") }, name, t === "letters" ? (this.open = h("span.count", { hidden: true })) : null)));
    this.destroy();
    this.abort = new AbortController();
    clear(this.content);
    if (s.tab === "letters") letters(this.content, this.abort.signal);
    else if (s.tab === "keys") {
      if (may("admin")) keys(this.content, this.abort.signal);
      else message(this.content, "Not allowed", "Keys are for sessions with the right admin.");
    }
    this.read();
  }

  back() { this.update(state, {}); }

  async read() {
    const { signal } = this.abort;
    try {
      const [system, ready] = await Promise.all([get("/v1/system", null, { signal }), readiness(signal)]);
      if (signal.aborted) return;
      this.past = [...this.past, system].slice(-120);
      this.showHealth(ready);
      const n = system.dead_letters?.open ?? 0;
      this.open.hidden = !n;
      this.open.textContent = num(n);
      if (!state.tab) this.overview(system, ready);
    } catch (e) {
      if (signal.aborted) return;
      if (!state.tab && !this.past.length) failure(this.content, e, ["This server does not say", "It has no /v1/system."]);
    }
    if (!signal.aborted) this.timer = setTimeout(() => this.read(), EVERY);
  }

  showHealth(ready) {
    const bad = ready.checks?.filter((c) => !c.ok) ?? [];
    const text = bad.length ? `${plural(bad.length, "check")} failing` : "All in order";
    if (this.health.textContent === text) return; // else it would be read out again
    this.health.className = "health " + (bad.length ? "bad" : "good");
    clear(this.health, icon(bad.length ? "warn" : "check"), text);
  }

  // rate is what a total rose by, a second, between two reads.
  rate(read, i = this.past.length - 1) {
    const [a, b] = [this.past[i - 1], this.past[i]];
    if (!a || !b || a.started_at !== b.started_at || read(a) === undefined) return null;
    const span = (Date.parse(b.now) - Date.parse(a.now)) / 1000;
    return span > 0 ? Math.max(0, (read(b) - read(a)) / span) : null;
  }

  spark(read) {
    const points = this.past.map((_, i) => this.rate(read, i)).filter((x) => x !== null).slice(-60);
    const most = Math.max(1, ...points), W = 120, H = 24;
    const d = points.map((p, i) => `${i ? "L" : "M"}${(W - (points.length - 1 - i) * (W / 59)).toFixed(1)} ${(H - 1 - (p / most) * (H - 2)).toFixed(1)}`).join("");
    return svg("svg.spark", { viewBox: `0 0 ${W} ${H}`, "aria-hidden": "true", preserveAspectRatio: "none" }, d ? svg("path", { d }) : null);
  }

  overview(s, ready) {
    const per = (read) => { const r = this.rate(read); return r === null ? "…" : `${num(Math.round(r * 10) / 10 >= 10 ? Math.round(r) : Math.round(r * 10) / 10)}/s`; };
    const { ingest, index, store, stream, dead_letters: dead, query, memory } = s;
    const bad = (on) => (on ? "bad-text" : "");
    const card = (title, big, lines, { spark, cls, testid } = {}) => h("section.card", { testid: testid ?? "card-" + title.toLowerCase().replace(/ /g, "-") }, h("h2", title), h("div", { class: `big ${cls ?? ""}` }, big), spark ?? null,
      pairs(...lines));
    const ends = Object.values(stream.end ?? {}), checks = ready.checks ?? [];
    clear(this.content, h("div.cards",
      ingest && card("Ingest", per((x) => x.ingest?.accepted_total), [["accepted", num(ingest.accepted_total)], ["duplicates", num(ingest.duplicates_total)], ["refused", num(ingest.refused_total), bad(this.rate((x) => x.ingest?.refused_total) > 0)], ["failed", num(ingest.failed_total), bad(ingest.failed_total)], ["requests now", num(ingest.requests_in_flight)]], { spark: this.spark((x) => x.ingest?.accepted_total) }),
      index && card("Index lag", index.lag_records < 0 ? "unknown" : plural(index.lag_records, "record"), [["indexed", num(index.indexed_total)], ["copies dropped", num(index.duplicates_total)], index.failing && ["failing", [safe(index.failing.step, 60), " since ", dateTime(index.failing.since), ": ", safe(index.failing.error, 300)], "bad-text"]], { cls: bad(index.failing) }),
      store && card("Store", bytes(store.bytes), [["events", num(store.events)], ["in memory", num(store.head_events)], ["segments", num(store.segments)], ["bytes an event", store.events > store.head_events ? (store.bytes / (store.events - store.head_events)).toFixed(1) : "–"], ["oldest", store.oldest ? dateTime(store.oldest) : "–"], ["newest", store.newest ? dateTime(store.newest) : "–"], ["expired", num(store.expired_total)], store.missing_events ? ["missing", plural(store.missing_events, "event"), "bad-text"] : null, ...(store.damaged ?? []).slice(0, 5).map((d) => ["damaged", [safe(d.file, 80), ": ", safe(d.reason, 200)], "bad-text"])]),
      card("Stream", stream.bytes ? bytes(stream.bytes) : plural(ends.length, "partition"), [["kind", stream.kind], ["end", ends.length === 1 ? num(ends[0]) : ends.map((e, i) => `${i}: ${num(e)}`).slice(0, 8).join(", ")], ["log", h("span.mono", s.log)], stream.error ? ["failing", safe(stream.error, 300), "bad-text"] : null]),
      dead && card("Dead letters", h("a", { href: href({ tab: "letters" }) }, plural(dead.open, "open", "open")), [["total", num(dead.total)]], { cls: bad(dead.open) }),
      query && card("Queries", plural(query.queries, "running", "running"), [["tails", num(query.tails)], ["exports", num(query.exports)]]),
      card("Memory", bytes(memory.bytes), [["limit", memory.limit ? bytes(memory.limit) : "none"], ["store", bytes(memory.store_bytes)]]),
      card("Server", duration((Date.parse(s.now) - Date.parse(s.started_at)) / 1000), [["version", h("span.mono", safe(s.version, 40))], ["started", `${dateTime(s.started_at)} (${agoLong(s.started_at)})`], ["roles", (s.roles ?? []).join(", ")]]),
      h("section.card.wide", { testid: "checks" }, h("h2", "Checks"), h("ul.checks", checks.map((c) => h("li", { class: c.ok ? "good" : "bad" }, icon(c.ok ? "check" : "warn"), h("b", c.name), h("span", { class: c.ok ? "dim" : "" }, safe(c.detail ?? "", 400))))))));
  }

  shortcut() { return false; }
}

// readiness reads /readyz, which says what it has to say with 503 too.
async function readiness(signal) {
  try { return await get("/readyz", null, { signal, tries: 1 }); } catch (e) {
    if (e.doc?.checks) return e.doc;
    throw e;
  }
}

