// One event in full: every field, what changed as a diff, labels and metadata as
// a tree; each value filters or excludes; and what was around it.

import { badge, button, copy, dim, h, icon, long, safe, tool } from "./dom.js";
import { client, send } from "./api.js";
import * as filter from "./filter.js";
import { agoLong, exact, iso, num, zone } from "./format.js";
import { finding, href, state, write, DEFAULTS } from "./state.js";

const GROUPS = [
  ["Who", ["user_id", "user_name", "user_type", "on_behalf_of"]],
  ["What", ["action", "operation", "resource", "resource_name", "resource_type", "outcome", "error_code", "reason"]],
  ["From where", ["source_ip", "source", "user_agent", "session_id", "request_id", "trace_id", "correlation_id"]],
  ["Record", ["tenant_id", "event_id", "timestamp", "received_at", "partition", "offset"]],
];

// raw reads JSON and keeps numbers that no double holds as they are written.
const raw = (text) => JSON.parse(text, (_, v, context) => (typeof v === "number" && context?.source && JSON.rawJSON && String(v) !== context.source ? JSON.rawJSON(context.source) : v));
const isRaw = (v) => Boolean(JSON.isRawJSON?.(v));

export async function fetchEvent(id, signal) {
  const response = await send(`/v1/events/${encodeURIComponent(id)}`, { signal });
  return raw(await response.text());
}

// detail builds the view of an event. apply takes a new filter, or is null where
// there is nothing to filter.
export function detail(e, { apply, links = true, close } = {}) {
  const act = (label, t) => apply && t.length < 4000 ? h("span.acts",
    h("button.act", { title: "Filter by this", "aria-label": `Filter by ${label}`, click: () => apply(filter.add(state.q, t)) }, icon("plus")),
    h("button.act", { title: "Exclude this", "aria-label": `Exclude ${label}`, click: () => apply(filter.add(state.q, filter.not(t))) }, icon("minus"))) : null;
  const outcome = e.outcome ?? "unknown";
  const show = (...groups) => groups.map((i) => group(GROUPS[i][0], GROUPS[i][1].filter((f) => has(e, f)).map((f) => field(e, f, act, links))));
  const body = h("div.detail-body", { tabindex: 0, role: "region", "aria-label": "Event, all fields" },
    show(0, 1), e.changes?.length ? section("Changes", changes(e.changes, act), "changes") : null, show(2),
    e.labels ? section("Labels", entries(e.labels, 100, ([k, v]) => pair(safe(k, 128), long(v), act(k, filter.term(filter.labelKey(k), v))), h("dl.fields")), "labels") : null,
    e.metadata ? section("Metadata", tree(e.metadata, "metadata", act), "metadata") : null, show(3));
  return h("article.detail", { "aria-label": "Event", testid: "detail" },
    h("header.detail-head",
      h("div.detail-title", h("h2", safe(e.action ?? "event", 200)), badge(outcome), close ? tool("Close", "close", { testid: "detail-close", on: close }) : null),
      h("p.detail-what", safe(e.user_name || e.user_id || "", 120), " · ", safe(e.resource_name || e.resource || "", 200)),
      h("p.dim", h("time", { datetime: e.timestamp }, exact(e.timestamp)), ` · ${agoLong(e.timestamp)}`),
      h("div.detail-actions", button("JSON", { icon: "copy", title: "Copy as JSON", on: () => copy(JSON.stringify(e, null, 2), "JSON") }),
        links ? [button("curl", { icon: "copy", title: "Copy as a curl command", on: () => copy(curl(e), "curl command") }), button("Link", { icon: "link", title: "Copy a link to this event", on: () => copy(permalink(e), "Link") })] : null)),
    links ? around(e) : null, body);
}

const has = (e, f) => (f === "resource_type" ? Boolean(e.resource) : e[f] !== undefined);

const permalink = (e) => location.origin + location.pathname + write({ ...DEFAULTS, q: `event_id:${e.event_id}`, from: "", event: e.event_id, tz: state.tz });

const curl = (e) => `curl -sS ${client.keys ? `-H "Authorization: Bearer $DAYBOOK_KEY" ` : ""}'${location.origin}/v1/events/${e.event_id}'`;

const section = (title, content, testid) => h("section", { testid }, h("h3", title), content);
const group = (title, rows) => (rows.length ? section(title, h("dl.fields", rows), title.toLowerCase().replace(" ", "-")) : null);
const pair = (name, value, acts) => h("div.pair", h("dt", name), h("dd", h("span.dd-value", value), acts));

function field(e, f, act, links) {
  const v = f === "resource_type" ? e.resource.split("/")[0] : e[f];
  if (f === "timestamp" || f === "received_at") {
    const other = zone.utc ? v : `${v} (UTC)`;
    return pair(f, [h("time", { datetime: v }, exact(v)), zone.utc ? null : h("div.dim", other)], null);
  }
  const plain = f === "partition" || f === "offset";
  const t = plain ? `${f}:${v}` : filter.term(f, v);
  let shown = plain ? num(v) : f === "outcome" ? badge(v) : long(v);
  if (links && (f === "user_id" || f === "resource")) shown = h("a", { href: href(finding({ view: f === "user_id" ? "user" : "resource", id: v })), title: f === "user_id" ? "All about this user" : "All about this resource" }, shown);
  return pair(f, shown, act(`${f} ${String(v).slice(0, 80)}`, t));
}

// around are searches for what belongs to an event.
function around(e) {
  const t = Date.parse(e.timestamp), near = { from: iso(t - 3e5), to: iso(t + 3e5) }, all = { from: "", to: "" };
  const link = (name, q, range) => h("a.btn.small", { href: href(finding({ q, ...range, event: e.event_id })) }, name);
  return h("nav.around", { "aria-label": "Around this", testid: "around" }, dim("Around this"),
    [["request_id", "Same request"], ["session_id", "Same session"], ["trace_id", "Same trace"], ["correlation_id", "Same correlation"]].map(([f, name]) => (e[f] ? link(name, filter.term(f, e[f]), all) : null)),
    e.user_id ? link("Same user ± 5 min", filter.term("user_id", e.user_id), near) : null,
    e.resource ? link("Same resource ± 5 min", filter.term("resource", e.resource), near) : null,
    link("Everything ± 5 min", "", near));
}

// changes shows each change as what was taken away and what was put there.
export function changes(list, act = () => null) {
  return h("div.diff", entries(list, 100, ([, c]) => h("div.change",
    h("div.change-path", safe(c.path ?? "", 300), act(`changes.path ${c.path}`, filter.term("changes.path", c.path ?? ""))), delta(c.old, c.new))));
}

const line = (sign, v) => h("div", { class: { "-": "del", "+": "ins", " ": "same" }[sign] }, h("span.sign", { "aria-label": { "-": "was", "+": "is", " ": "kept" }[sign], role: "img" }, sign === "-" ? "−" : sign), h("span.delta-value", v));
const scalar = (v) => v === null || typeof v !== "object" || isRaw(v);

function delta(a, b) {
  if (Array.isArray(a) && Array.isArray(b) && [...a, ...b].every(scalar)) return lines(a.map((x) => JSON.stringify(x)), b.map((x) => JSON.stringify(x)));
  const text = (v) => (typeof v === "string" ? v : JSON.stringify(v, null, 2));
  if (a !== undefined && b !== undefined && (!scalar(a) || !scalar(b) || /\n/.test(text(a) + text(b)))) return lines(text(a).split("\n"), text(b).split("\n"));
  return h("div", a === undefined || a === null ? null : line("-", scalar(a) ? leaf(a) : long(text(a))), b === undefined || b === null ? (b === null && a === null ? line(" ", leaf(null)) : null) : line("+", scalar(b) ? leaf(b) : long(text(b))));
}

// lines is a diff by lines: what begins and ends alike is kept, and between, the
// longest common lines.
function lines(a, b) {
  if (a.length * b.length > 250000) return h("div", line("-", long(a.join("\n"))), line("+", long(b.join("\n"))));
  const w = b.length + 1, best = new Uint32Array((a.length + 1) * w);
  for (let i = a.length - 1; i >= 0; i--) for (let j = b.length - 1; j >= 0; j--) best[i * w + j] = a[i] === b[j] ? best[(i + 1) * w + j + 1] + 1 : Math.max(best[(i + 1) * w + j], best[i * w + j + 1]);
  const out = [];
  for (let i = 0, j = 0; i < a.length || j < b.length;) {
    if (i < a.length && j < b.length && a[i] === b[j]) { out.push([" ", a[i++]]); j++; }
    else if (j >= b.length || (i < a.length && best[(i + 1) * w + j] >= best[i * w + j + 1])) out.push(["-", a[i++]]);
    else out.push(["+", b[j++]]);
  }
  return h("div.lines", entries(out, 200, ([, [sign, text]]) => line(sign, long(text))));
}

function leaf(v) {
  if (isRaw(v)) return h("span.j-number", v.rawJSON);
  if (v === null) return h("span.j-null", "null");
  if (typeof v === "string") return v === "" ? dim("empty") : h("span.j-string", long(v));
  return h("span", { class: "j-" + typeof v }, String(v));
}

// entries shows the first of many, and a button for more.
function entries(of, step, show, box = h("div.entries")) {
  const all = Object.entries(of);
  let n = 0;
  const more = () => {
    box.lastElementChild?.matches(".more") && box.lastElementChild.remove();
    box.append(...all.slice(n, n + step).map(show));
    n += step;
    if (n < all.length) box.append(h("div.more", button(`Show ${num(Math.min(step, all.length - n))} more of ${num(all.length)}`, { class: "link", on: more })));
  };
  more();
  return box;
}

// tree shows JSON; what lies deeper than three levels opens on demand.
function tree(v, path, act, depth = 0) {
  return h("div.tree", entries(v, 100, ([k, x]) => {
    const array = Array.isArray(v), below = array ? path : `${path}.${filter.key(k)}`;
    const name = h("span", { class: array ? "j-index" : "j-key" }, safe(k, 128));
    if (scalar(x)) {
      const text = isRaw(x) ? x.rawJSON : String(x);
      return h("div.node", name, leaf(x), act(`${below} ${text.slice(0, 80)}`.slice(0, 160), filter.term(below, text)));
    }
    const n = Object.keys(x).length, content = h("div");
    const fill = () => { if (!content.firstChild) content.append(tree(x, below, act, depth + 1)); };
    const open = depth < 3 && n > 0 && n <= 100;
    if (open) fill();
    return h("details.node", { open, toggle: fill }, h("summary", icon("right"), name, dim(Array.isArray(x) ? `[${num(n)}]` : `{${num(n)}}`)), content);
  }));
}

const noDetail = (close, title, ...more) => h("article.detail", { "aria-label": "Event" }, h("header.detail-head", h("div.detail-title", h("h2", title), tool("Close", "close", { on: close })), more));

export const loadingDetail = (close) => noDetail(close, "Loading…");

export const failedDetail = ({ status, message }, close, again) => noDetail(close, status === 404 ? "No such event" : "Not loaded", h("p.dim", safe(message, 400)), status === 404 ? null : button("Try again", { on: again }));
