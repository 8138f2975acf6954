// The result over time, stacked by outcome. Dragging zooms in; so do arrow keys
// and Enter. New events of a live result are added at the edge.

import { clear, h, svg } from "./dom.js";
import { clock, day, interval, iso, num, shift, short, zoneName } from "./format.js";

export const OUTCOMES = ["success", "unknown", "failure", "denied"]; // from the bottom up

const WIDTHS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400, 172800, 604800, 2419200];

// widthFor is an interval for the server that makes at most 110 bars of a span in ms.
export const widthFor = (span) => (WIDTHS.find((w) => span / w / 1000 <= 110) ?? Math.ceil(span / 110 / 864e5) * 86400) + "s";

export class Histogram {
  constructor({ zoom, height = 72 }) {
    Object.assign(this, { zoom, height });
    this.plot = svg("svg.plot", { "aria-hidden": "true" });
    this.tip = h("div.tip", { hidden: true, testid: "histogram-tip" });
    this.stage = h("div.stage", { tabindex: 0, role: "application", "aria-roledescription": "histogram", "aria-label": "Events over time", testid: "histogram", pointerdown: (e) => this.down(e), pointermove: (e) => this.move(e), pointerup: (e) => this.up(e), pointerleave: () => this.hover(-1), pointercancel: () => this.cancel(), keydown: (e) => this.key(e), blur: () => { this.focused = -1; this.hover(-1); } }, this.plot, this.tip);
    this.el = h("div.histogram", this.stage);
    this.sizes = new ResizeObserver(() => this.draw());
    this.sizes.observe(this.stage);
    this.focused = -1;
    this.bars = [];
  }

  destroy() { this.sizes.disconnect(); }

  // set shows an answer of /v1/counts. end is how far the range reaches where the
  // answer only knows its last event.
  set(counts, { from, to, width }) {
    this.width = interval(counts.interval ?? width) || 1000;
    const begin = from ?? Date.parse(counts.from ?? counts.buckets?.[0]?.start ?? Date.now());
    const end = to ?? Date.parse(counts.to ?? Date.now());
    const first = Math.floor(begin / this.width) * this.width;
    const n = Math.max(1, Math.min(2000, Math.ceil((end - first) / this.width)));
    this.keep = Math.max(n, 60); // bars of a live result; the oldest goes when one comes
    this.bars = Array.from({ length: n }, (_, i) => ({ start: first + i * this.width, by: {}, total: 0 }));
    const put = (start, outcome, count) => {
      const bar = this.bars[Math.floor((Date.parse(start) - first) / this.width)];
      if (bar) { bar.by[outcome] = (bar.by[outcome] ?? 0) + count; bar.total += count; }
    };
    for (const g of counts.groups ?? [counts]) for (const b of g.buckets ?? []) put(b.start, OUTCOMES.includes(g.value) ? g.value : "unknown", b.count);
    this.draw();
  }

  // add counts an event that has just come; draw shows it.
  add(at, outcome) {
    if (!this.bars.length) return;
    const first = this.bars[0].start;
    let i = Math.floor((at - first) / this.width);
    if (i < 0 || at > Date.now() + this.width) return; // one dated ahead is for the next count
    while (i >= this.bars.length && this.bars.length < 4000) this.bars.push({ start: this.bars.at(-1).start + this.width, by: {}, total: 0 });
    const extra = this.bars.length - this.keep;
    if (extra > 0) { this.bars.splice(0, extra); i -= extra; }
    const bar = this.bars[i];
    if (!bar) return;
    bar.by[outcome] = (bar.by[outcome] ?? 0) + 1;
    bar.total++;
  }

  extend(to) {
    const end = this.bars.at(-1)?.start;
    if (end === undefined || to < end + this.width) return;
    this.bars.push({ start: end + this.width, by: {}, total: 0 });
    if (this.bars.length > this.keep) this.bars.shift();
  }

  clear() {
    this.bars = [];
    this.draw();
  }

  draw() {
    const W = this.stage.clientWidth, H = this.height, axis = 16, plotH = H - axis;
    if (!W) return;
    this.W = W;
    this.plot.setAttribute("viewBox", `0 0 ${W} ${H}`);
    this.plot.setAttribute("height", H);
    const most = Math.max(1, ...this.bars.map((b) => b.total)), n = this.bars.length || 1;
    const step = W / n, gap = step > 5 ? 1 : step > 3 ? 0.5 : 0;
    const paths = Object.fromEntries(OUTCOMES.map((o) => [o, ""]));
    this.bars.forEach((b, i) => {
      let y = plotH;
      for (const o of OUTCOMES) {
        const count = b.by[o];
        if (!count) continue;
        const height = Math.max(1.5, (count / most) * (plotH - 6));
        y -= height;
        paths[o] += `M${(i * step + gap / 2).toFixed(2)} ${y.toFixed(2)}h${Math.max(0.5, step - gap).toFixed(2)}v${height.toFixed(2)}h-${Math.max(0.5, step - gap).toFixed(2)}z`;
      }
    });
    clear(this.plot,
      svg("line.base", { x1: 0, x2: W, y1: plotH + 0.5, y2: plotH + 0.5 }),
      OUTCOMES.map((o) => paths[o] && svg("path", { class: "bar " + o, d: paths[o] })),
      this.ticks(W).map(({ x, text }) => [svg("line.tick", { x1: x, x2: x, y1: plotH, y2: plotH + 3 }), svg("text.label", { x, y: H - 3, "text-anchor": "middle" }, text)]),
      most > 1 ? svg("text.label.most", { x: 2, y: 10 }, short(most)) : null,
      this.cursor = svg("rect.cursor", { y: 0, height: plotH, width: step, visibility: "hidden" }),
      this.brush = svg("rect.brush", { y: 0, height: plotH, visibility: "hidden" }));
    this.step = step;
    const total = this.bars.reduce((s, b) => s + b.total, 0);
    this.stage.setAttribute("aria-label", this.bars.length ? `Events over time: ${num(total)} between ${this.moment(0)} and ${this.moment(n)} ${zoneName()}. Arrow keys move from bar to bar, Enter zooms in.` : "Events over time: none");
    if (this.at >= 0) this.hover(this.at);
  }

  moment(i) {
    const t = this.bars[0].start + i * this.width;
    return `${day(t)} ${clock(t)}`;
  }

  // ticks are round times, as many as have room.
  ticks(W) {
    if (!this.bars.length) return [];
    const first = this.bars[0].start, span = this.bars.length * this.width;
    const steps = [1e3, 5e3, 15e3, 3e4, 6e4, 3e5, 9e5, 18e5, 36e5, 108e5, 216e5, 432e5, 864e5, 1728e5, 6048e5, 2592e6, 7776e6, 31536e6];
    const size = steps.find((s) => (span / s) * 92 < W) ?? steps.at(-1) * Math.ceil((span / steps.at(-1)) * 92 / W);
    const zoneShift = shift(first);
    const out = [];
    for (let t = Math.ceil((first + zoneShift) / size) * size - zoneShift; t < first + span; t += size) {
      const x = ((t - first) / span) * W;
      if (x < 22 || x > W - 22) continue;
      const c = clock(t);
      out.push({ x: Math.round(x) + 0.5, text: size >= 864e5 || c === "00:00:00" ? day(t).slice(size > 2592e6 ? 0 : 5) : size < 6e4 ? c : c.slice(0, 5) });
    }
    return out;
  }

  index(e) {
    const box = this.stage.getBoundingClientRect();
    return Math.max(0, Math.min(this.bars.length - 1, Math.floor(((e.clientX - box.left) / box.width) * this.bars.length)));
  }

  down(e) {
    if (e.button || !this.bars.length) return;
    this.from = this.index(e);
    this.x = e.clientX;
    this.stage.setPointerCapture(e.pointerId);
  }

  move(e) {
    if (!this.bars.length) return;
    const i = this.index(e);
    this.hover(i);
    if (this.from === undefined) return;
    this.paint(this.from, i, Math.abs(e.clientX - this.x) > 4);
  }

  up(e) {
    if (this.from === undefined) return;
    const from = this.from;
    this.cancel();
    this.zoomTo(from, this.index(e));
  }

  cancel() {
    this.from = undefined;
    this.brush?.setAttribute("visibility", "hidden");
  }

  // paint shows what is being chosen, from one bar to another.
  paint(a, b, visible) {
    this.brush.setAttribute("x", Math.min(a, b) * this.step);
    this.brush.setAttribute("width", (Math.abs(b - a) + 1) * this.step);
    this.brush.setAttribute("visibility", visible ? "visible" : "hidden");
  }

  zoomTo(from, to) {
    const a = Math.min(from, to), b = Math.max(from, to);
    if (!this.bars[a] || (a === b && this.width <= 1000)) return;
    this.zoom(iso(this.bars[a].start).replace(".000Z", "Z"), iso(this.bars[b].start + this.width).replace(".000Z", "Z"));
  }

  key(e) {
    const n = this.bars.length;
    if (!n) return;
    const steps = { ArrowRight: 1, ArrowLeft: -1, Home: -n, End: n }[e.key];
    if (steps) {
      e.preventDefault();
      if (e.shiftKey && this.anchor === undefined) this.anchor = Math.max(0, this.focused);
      if (!e.shiftKey) this.anchor = undefined;
      this.focused = Math.max(0, Math.min(n - 1, (this.focused < 0 ? n : this.focused) + steps));
      this.hover(this.focused);
      this.stage.setAttribute("aria-label", this.tip.textContent);
      if (this.anchor !== undefined) this.paint(this.anchor, this.focused, true);
    } else if (e.key === "Enter" && this.focused >= 0) {
      const a = this.anchor ?? this.focused;
      this.anchor = undefined;
      this.zoomTo(a, this.focused);
    } else if (e.key === "Escape") { this.focused = -1; this.anchor = undefined; this.hover(-1); }
  }

  hover(i) {
    this.at = i;
    const b = this.bars[i];
    this.tip.hidden = !b;
    this.cursor?.setAttribute("visibility", b ? "visible" : "hidden");
    if (!b) return;
    this.cursor.setAttribute("x", i * this.step);
    const end = b.start + this.width, sameDay = day(b.start) === day(end - 1);
    clear(this.tip, h("div.tip-time", `${day(b.start)} ${clock(b.start)} – ${sameDay ? "" : day(end) + " "}${clock(end)}`),
      b.total ? [...OUTCOMES].reverse().filter((o) => b.by[o]).map((o) => h("div.tip-line", h("i", { class: "swatch " + o }), h("span", o), h("b", num(b.by[o])))) : h("div.dim", "no events"));
    const x = (i + 0.5) * this.step, w = this.tip.offsetWidth;
    this.tip.style.left = Math.max(0, Math.min(this.W - w, x + (x > this.W / 2 ? -w - 12 : 12))) + "px";
  }
}
