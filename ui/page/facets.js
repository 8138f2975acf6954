// What the result is made of: the most frequent values of some fields, counted
// within the filter. A click narrows the filter to one or leaves it out.

import { get } from "./api.js";
import { clear, h, icon, safe, store } from "./dom.js";
import * as filter from "./filter.js";
import { num, short } from "./format.js";
import { state } from "./state.js";

const FACETS = [["outcome", "Outcomes"], ["user_id", "Users"], ["action", "Actions"], ["resource", "Resources"], ["resource_type", "Resource types"], ["source_ip", "Addresses"], ["source", "Sources"], ["tenant_id", "Tenants"]];
const OPEN = { outcome: true, user_id: true, action: true, resource: true, source: true };

export class Facets {
  // apply takes a new filter.
  constructor(apply) {
    this.apply = apply;
    this.open = { ...OPEN, ...store.get("facets", {}) };
    this.sections = new Map();
    this.el = h("aside.facets", { "aria-label": "Most frequent values", testid: "facets" });
    for (const [field, name] of FACETS) {
      const list = h("ul.facet-list"), count = h("span.dim");
      const details = h("details", { open: Boolean(this.open[field]), testid: "facet-" + field, toggle: () => this.toggled(field) },
        h("summary", icon("right"), h("span", name), count), list);
      this.sections.set(field, { details, list, count, top: 6 });
      this.el.append(details);
    }
  }

  toggled(field) {
    const { details } = this.sections.get(field);
    if (this.open[field] === details.open) return;
    this.open[field] = details.open;
    store.set("facets", this.open);
    if (details.open && this.params) this.load(field);
  }

  // show counts again, the open ones two at a time.
  async show(params, signal) {
    const key = JSON.stringify(params);
    if (key !== this.key) for (const s of this.sections.values()) s.top = 6;
    Object.assign(this, { params, signal, key });
    const todo = [...this.sections].filter(([, s]) => s.details.open).map(([f]) => f);
    const worker = async () => { for (let f = todo.shift(); f && !signal.aborted; f = todo.shift()) await this.load(f); };
    await Promise.all([worker(), worker()]);
  }

  clear() {
    for (const s of this.sections.values()) { clear(s.list); s.count.textContent = ""; }
  }

  async load(field) {
    const s = this.sections.get(field), { params, signal, key } = this;
    s.list.classList.add("stale");
    try {
      const counts = await get("/v1/counts", { ...params, by: field, top: s.top }, { signal });
      if (key === this.key) this.fill(field, counts);
    } catch (e) {
      if (e.name !== "AbortError") clear(s.list, h("li.dim.facet-note", e.status === 422 ? "too much to count; narrow the range" : "not counted"));
    }
    if (key === this.key) s.list.classList.remove("stale");
  }

  fill(field, { groups, total, values, other }) {
    const s = this.sections.get(field), active = filter.terms(state.q) ?? [];
    s.count.textContent = values > 1 ? num(values) : "";
    const most = Math.max(1, ...groups.map((g) => g.count));
    clear(s.list, groups.map((g) => {
      const t = filter.term(field, g.value), on = active.some((x) => x.text === t), name = g.value === "" ? "none" : g.value;
      const bar = h("span", { class: `facet-bar ${field === "outcome" ? g.value : ""}`, "aria-hidden": "true" });
      bar.style.width = Math.max(1, (g.count / most) * 100) + "%";
      return h("li", { class: on ? "on" : "" }, h("button.facet-value", { "aria-pressed": on, title: name.length < 300 ? name : "", click: () => {
        const x = filter.terms(state.q)?.find((x) => x.text === t); // it may be another filter by now
        this.apply(x ? filter.drop(state.q, x) : filter.add(state.q, t));
      } },
        bar, g.value === "" ? h("span.dim", "none") : safe(g.value, 80), h("span.n", { title: `${num(g.count)} of ${num(total)}` }, short(g.count))),
      h("button.facet-not", { title: "Exclude", "aria-label": `Exclude ${name.slice(0, 80)}`, click: () => this.apply(filter.add(state.q, filter.not(t))) }, icon("minus")));
    }), groups.length ? null : h("li.dim.facet-note", "no values"),
    other > 0 && s.top < 60 ? h("li", h("button.link.facet-more", { click: () => { s.top = s.top === 6 ? 20 : 60; this.load(field); } }, `${num(values - groups.length)} more`)) : null);
  }
}
