// A page for a user and one for a resource: when first and last seen, when
// active, what was done, from where, and what is new today.

import { get } from "./api.js";
import { badge, button, clear, dim, h, icon, safe, svg } from "./dom.js";
import { changes } from "./detail.js";
import * as filter from "./filter.js";
import { agoLong, clock, dateTime, day, iso, num, parts, plural, shift, short, zoneName } from "./format.js";
import { failure, message, time } from "./rows.js";
import { DEFAULTS, finding, href, state } from "./state.js";

const HEAT = "Activity by hour and weekday";
const WEEKS = 4;
const DAYS = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
const HOUR = 36e5;

// search is the address of a search over all time.
const search = (q, patch) => href(finding({ from: "", to: "", q, ...patch }));
const link = (text, q, patch) => h("a", { href: search(q, patch) }, text);

export class Profile {
  constructor() {
    this.el = h("div.page.profile", { testid: "profile" });
    this.update();
  }

  destroy() { this.abort?.abort(); }

  update(s = state, before = {}) {
    if (s.view !== before.view || s.id !== before.id || s.tz !== before.tz) this.load();
  }

  back() { this.load(); }

  async load() {
    this.abort?.abort();
    const { signal } = (this.abort = new AbortController());
    const user = state.view === "user", field = user ? "user_id" : "resource", id = state.id;
    if (!id) { message(this.el, user ? "No user" : "No resource", "The address names none."); return; }
    const q = filter.term(field, id), ask = (params) => get("/v1/counts", { q, ...params }, { signal });
    try {
      const [newest, oldest] = await Promise.all(["newest", "oldest"].map((order) => get("/v1/events", { q, order, limit: order === "newest" ? 25 : 1 }, { signal })));
      if (!newest.events.length) {
        clear(this.el, this.head(user, id));
        this.el.append(message(h("div"), "Never seen", `No event has this ${user ? "user" : "resource"}.`));
        return;
      }
      const last = newest.events[0], first = oldest.events[0];
      const total = h("dd", "…"), denied = h("dd", "…");
      const card = (name, testid) => h("section.card", { testid }, h("h2", name), dim("…"));
      const failed = (el) => () => signal.aborted || clear(el, el.firstChild, dim("Not counted."));
      const heat = card(HEAT, "heatmap"), fresh = card("New today", "new-today");
      heat.classList.add("wide");
      const tops = (user ? [["action", "Actions"], ["resource", "Resources"], ["source_ip", "Addresses"], ["source", "Sources"]] : [["user_id", "Users"], ["action", "Actions"], ["source_ip", "Addresses"], ["outcome", "Outcomes"]]).map(([f, name]) => [f, name, card(name)]);
      const stat = (k, v) => h("div", h("dt", k), v.localName === "dd" ? v : h("dd", v));
      clear(this.el, this.head(user, id, user ? last.user_name : last.resource_name),
        h("dl.stats", stat("First seen", [time(first.timestamp), dim(" " + agoLong(first.timestamp))]), stat("Last seen", [time(last.timestamp), dim(" " + agoLong(last.timestamp))]), stat("Events", total), stat("Denied or failed", denied)),
        h("div.cards", user ? fresh : null, heat, tops.map(([, , el]) => el)),
        h("section.card.wide", h("h2", user ? "Latest" : "History"), this.timeline(newest, q, signal, !user)));
      ask({ by: "outcome" }).then((c) => {
        const by = (o) => c.groups.find((g) => g.value === o)?.count ?? 0;
        clear(total, link(num(c.total), q));
        const bad = by("denied") + by("failure");
        clear(denied, bad ? h("a.bad-text", { href: search(`${q} outcome:(denied or failure)`) }, num(bad)) : "0");
      }, () => { total.textContent = denied.textContent = "–"; });
      this.heatmap(heat, ask, last.timestamp).catch(failed(heat));
      for (const [f, , el] of tops) ask({ by: f, top: 8 }).then((c) => this.top(el, f, c, q), failed(el));
      if (user) this.newToday(fresh, ask, q).catch(failed(fresh));
    } catch (e) {
      if (!signal.aborted) failure(this.el, e, null, () => this.load());
    }
  }

  head(user, id, name) {
    return h("header.page-head", icon(user ? "user" : "box"), h("div", h("p.dim", user ? "User" : "Resource"), h("h1", safe(name || id, 300)), name ? h("p.dim.mono", safe(id, 300)) : null),
      h("a.btn", { href: search(filter.term(user ? "user_id" : "resource", id)), testid: "all-events" }, icon("search"), h("span", "All events")));
  }

  top(el, f, { groups, values }, q) {
    const most = Math.max(1, ...groups.map((g) => g.count));
    clear(el, el.firstChild, h("ul.facet-list", groups.map((g) => {
      const bar = h("span", { class: "facet-bar " + (f === "outcome" ? g.value : ""), "aria-hidden": "true" });
      bar.style.width = (g.count / most) * 100 + "%";
      return h("li", h("a.facet-value", { href: search(`${q} ${filter.term(f, g.value)}`) }, bar, g.value ? safe(g.value, 100) : dim("none"), h("span.n", short(g.count))));
    })), values > groups.length ? h("p.dim.facet-note", `${num(values - groups.length)} more`) : null);
  }

  // heatmap counts by hour and weekday over the last weeks of what there is.
  async heatmap(el, ask, newest) {
    const end = Math.min(Date.now(), Date.parse(newest) + HOUR), from = iso(end - WEEKS * 7 * 24 * HOUR);
    const { buckets, total } = await ask({ interval: "1h", from, to: iso(end) });
    const grid = Array.from({ length: 7 }, () => new Array(24).fill(0));
    for (const b of buckets) {
      const p = parts(b.start);
      grid[DAYS.indexOf(p.weekday)][Number(p.hour)] += b.count;
    }
    const most = Math.max(1, ...grid.flat()), cell = 20, left = 34, top = 4;
    const busiest = grid.flatMap((row, d) => row.map((n, hour) => ({ n, d, hour }))).sort((a, b) => b.n - a.n)[0];
    const hh = (x) => String(x).padStart(2, "0") + ":00";
    clear(el, h("h2", HEAT, dim(` ${zoneName()}, ${WEEKS} weeks to ${day(end)}`)),
      svg("svg.heat", { viewBox: `0 0 ${left + 24 * cell} ${top + 7 * cell + 16}`, role: "img", "aria-label": total ? `${plural(total, "event")}; busiest on ${DAYS[busiest.d]} at ${hh(busiest.hour)} with ${num(busiest.n)}` : "No events" },
        grid.flatMap((row, d) => row.map((n, hour) => svg("rect", { x: left + hour * cell + 1, y: top + d * cell + 1, width: cell - 2, height: cell - 2, rx: 2, class: n ? "on" : "off", style: n ? { opacity: String(0.2 + 0.8 * Math.sqrt(n / most)) } : null }, svg("title", `${DAYS[d]} ${hh(hour)}: ${num(n)}`)))),
        DAYS.map((d, i) => svg("text.label", { x: 0, y: top + i * cell + 14 }, d)), [0, 3, 6, 9, 12, 15, 18, 21].map((hour) => svg("text.label", { x: left + hour * cell + 1, y: top + 7 * cell + 13 }, hh(hour)))));
  }

  // newToday are values that the user has today and had on no day before, a few of each
  // kind: many addresses do not hide an action.
  async newToday(el, ask, q) {
    const utc = Date.parse(day(Date.now()) + "T00:00:00Z"), begin = iso(utc - shift(utc)); // of the day, in the zone that is shown
    const found = [];
    let more = 0;
    for (const [f, name] of [["action", "action"], ["source_ip", "address"], ["resource_type", "kind of resource"], ["source", "source"], ["user_agent", "user agent"]]) {
      const now = await ask({ by: f, top: 100, from: begin });
      if (!now.total) break;
      const before = await ask({ by: f, top: 1000, to: begin });
      const known = new Set(before.groups.map((g) => g.value));
      if (before.values > 1000) continue;
      const fresh = now.groups.filter((g) => g.value && !known.has(g.value));
      for (const g of fresh.slice(0, 3)) found.push({ f, name, ...g });
      more += fresh.slice(3).length;
    }
    clear(el, el.firstChild, found.length ? h("ul.new-list", found.map((x) => h("li", dim(x.name + " "), h("a", { href: search(`${q} ${filter.term(x.f, x.value)}`) }, safe(x.value, 120)), h("span.n", num(x.count)))))
      : h("p.dim", "Nothing that was not there on a day before."),
    more ? h("p.dim", `${num(more)} more`) : null);
  }

  // timeline lists events by day, newest first, and loads more on demand.
  timeline(page, q, signal, full) {
    const box = h("div.timeline", { testid: "timeline" });
    let lastDay = "";
    const put = ({ events, next_cursor: cursor }) => {
      for (const e of events) {
        const d = day(e.timestamp);
        if (d !== lastDay) { lastDay = d; box.append(h("h3", d)); }
        box.append(h("div", { class: `moment o-${e.outcome}` }, h("a.mono", { href: href({ ...DEFAULTS, tz: state.tz, q, from: "", event: e.event_id }), title: dateTime(e.timestamp) }, clock(e.timestamp)),
          h("div", h("div", full ? link(safe(e.user_name || e.user_id, 80), "", { view: "user", id: e.user_id }) : null, full ? " " : null, h("b", safe(e.action, 100)), " ", full ? null : link(safe(e.resource_name || e.resource, 120), "", { view: "resource", id: e.resource }), e.outcome !== "success" ? [" ", badge(e.outcome)] : null, e.reason ? dim(" ", safe(e.reason, 160)) : null),
            full && e.changes?.length ? changes(e.changes.slice(0, 5)) : null)));
      }
      if (cursor) {
        const more = button("Older", { testid: "older", on: async () => {
          more.disabled = true;
          try {
            const next = await get("/v1/events", { q, order: "newest", limit: 50, cursor }, { signal });
            more.remove();
            put(next);
            box.querySelector("[data-testid=older]")?.focus();
          } catch (e) { more.disabled = false; if (e.name !== "AbortError") more.textContent = "Try again"; }
        } });
        box.append(more);
      }
    };
    put(page);
    return box;
  }

  shortcut() { return false; }
}
