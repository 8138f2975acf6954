// The time range, and the zone in which times are shown.

import { button, h, popup, submitter } from "./dom.js";
import { clock, day, fromInput, interval, localZone, offset, toInput, zone } from "./format.js";
import { set, state } from "./state.js";

export const PRESETS = [["-15m", "Last 15 minutes"], ["-1h", "Last hour"], ["-6h", "Last 6 hours"], ["-24h", "Last 24 hours"], ["-7d", "Last 7 days"], ["-30d", "Last 30 days"], ["-90d", "Last 90 days"], ["", "All time"]];

// moment reads what from and to may be, as milliseconds; null where the server
// alone knows.
export function moment(text, now = Date.now()) {
  if (!text) return null;
  const relative = /^(?:now)?([+-])((?:\d+[smhdw])+)$/.exec(text);
  if (relative) return now + (relative[1] === "-" ? -1 : 1) * interval(relative[2]);
  if (text === "now") return now;
  const t = Date.parse(/T.*(Z|[+-]\d\d:?\d\d)$/.test(text) ? text : text.includes("T") ? text + "Z" : text);
  return Number.isNaN(t) ? null : t;
}

export function rangeLabel({ from, to }) {
  const preset = !to && PRESETS.find(([f]) => f === from);
  if (preset) return preset[1];
  const show = (text, other) => {
    const t = moment(text);
    if (t === null || /^(now)?[+-]|^now$/.test(text)) return text || "…";
    const o = other && moment(other);
    const c = clock(t);
    return (o && day(o) === day(t) ? "" : day(t) + " ") + (c.endsWith(":00") ? c.slice(0, 5) : c);
  };
  return `${from ? show(from) : "…"} – ${to ? show(to, from) : "now"}`;
}

// rangeButton shows the range and opens the panel that changes it.
export function rangeButton() {
  const label = h("span.range-label");
  const el = button("", { icon: "clock", class: "range", opens: "dialog", testid: "range", on: () => open(el) });
  el.querySelector("span").replaceWith(label);
  el.show = () => {
    label.textContent = rangeLabel(state);
    el.setAttribute("aria-label", `Time range: ${rangeLabel(state)}`);
  };
  return el;
}

function open(anchor) {
  const go = (from, to) => { pop.close(); set({ from, to, event: "", live: to ? "" : state.live }); };
  const now = Date.now(), span = [moment(state.from, now), moment(state.to, now)];
  const input = (label, t, testid) => h("label.field", h("span", label), h("input", { type: "datetime-local", step: 1, value: t === null ? "" : toInput(t), testid }));
  const from = input("From", span[0] ?? now - 864e5, "range-from"), to = input("To (before)", span[1], "range-to");
  const value = (f) => { const v = f.querySelector("input").value; return v ? fromInput(v) : ""; };
  const fault = h("p.bad-text", { role: "alert", hidden: true });
  const panel = h("form.range-panel", { testid: "range-panel", submit: () => {
    const [a, b] = [value(from), value(to)];
    fault.hidden = !(a && b && a >= b);
    fault.textContent = "From must lie before To.";
    if (fault.hidden) go(a, b);
  } },
  h("div.presets", { role: "group", "aria-label": "Presets" }, PRESETS.map(([f, name]) => h("button.preset", { "aria-pressed": String(!state.to && state.from === f), testid: "preset", data: { from: f || "all" }, click: () => go(f, "") }, name))),
  h("div.custom", from, to, fault,
    submitter("Apply", "range-apply"),
    h("fieldset.zones", h("legend", "Times are shown in"),
      [["utc", "UTC"], ["local", `${localZone} (${offsetOf()})`]].map(([v, name]) => h("label", h("input", { type: "radio", name: "tz", value: v, checked: state.tz === v, change: () => { pop.close(); set({ tz: v }, { replace: true }); } }), " ", name)))));
  const pop = popup(anchor, h("div", { role: "dialog", "aria-label": "Time range" }, panel), { align: innerWidth > 700 ? "end" : "start", focus: false });
  panel.querySelector("[aria-pressed=true]")?.focus();
}

function offsetOf() {
  const was = zone.utc;
  zone.utc = false;
  const text = "UTC" + offset(Date.now());
  zone.utc = was;
  return text;
}
