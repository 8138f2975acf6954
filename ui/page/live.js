// The live result. Every event is counted; what is drawn is bounded: at a high
// rate a sample of the events, and the page says so. While somebody reads further
// down, or has paused, rows stay where they are and new ones are counted only.

import { tail } from "./api.js";
import { ROW_FIELDS } from "./source.js";
import { OUTCOMES } from "./histogram.js";
import { moment } from "./range.js";
import { newestFirst } from "./rows.js";
import { state } from "./state.js";

const FRAME = 200; // ms between drawings
const PER_FRAME = 12; // rows that a drawing may add while events come too fast to read
const FAST = 60; // events/s above which the display is a sample
const HEAD = 500; // rows kept above the search's

export class Live {
  // rows and histogram are drawn to; status is called with this when there is something
  // to say; reload makes the list exact again.
  constructor(given) {
    Object.assign(this, given);
    this.abort = new AbortController();
    this.count = 0; // since it began
    this.unseen = 0; // since rows were held
    this.rate = 0;
    this.paused = false;
    this.gap = false; // there are events between the live rows and the search's
    this.pending = [];
    this.arrived = 0; // since the last drawing
    this.seconds = [];
    this.state = "waiting";
    this.began = Date.now();
  }

  start() {
    this.timer = setInterval(() => this.draw(), FRAME);
    tail({ q: this.q, since: "now", fields: ROW_FIELDS }, { signal: this.abort.signal, batch: (events) => this.take(events), status: (s, problem) => {
      this.state = s;
      this.problem = problem;
      if (s === "open" && !this.opened) { this.opened = true; this.ready?.(); }
      this.tell();
    } });
    return new Promise((resolve) => { this.ready = resolve; setTimeout(resolve, 1000); });
  }

  stop() {
    this.abort.abort();
    clearInterval(this.timer);
  }

  get holding() { return this.paused || !this.rows.atTop; }

  // found says which rows a search has, so that they do not come twice.
  found(known) {
    const fresh = this.pending.filter((e) => !known.has(e.event_id));
    this.arrived -= this.pending.length - fresh.length;
    this.pending = fresh;
    this.known = known;
  }

  take(events) {
    const from = moment(state.from);
    for (const e of events) {
      const t = Date.parse(e.timestamp);
      if (t < from || this.known?.has(e.event_id)) continue; // what is older is not of the range
      this.count++;
      this.arrived++;
      this.histogram.add(t, OUTCOMES.includes(e.outcome) ? e.outcome : "unknown");
      this.pending.push(e);
    }
    if (this.pending.length > 2 * HEAD) this.pending = this.pending.slice(-HEAD);
  }

  draw() {
    const now = performance.now();
    this.seconds.push([now, this.arrived]);
    while (this.seconds.length > 1 && now - this.seconds[0][0] > 2000) this.seconds.shift();
    const span = (now - this.seconds[0][0]) / 1000;
    this.rate = span > 0.5 ? this.seconds.slice(1).reduce((n, s) => n + s[1], 0) / span : 0;
    const arrived = this.arrived;
    this.arrived = 0;
    if (now - (this.drawn ?? 0) > 950) {
      this.drawn = now;
      this.histogram.extend(Date.now());
      this.histogram.draw();
    }
    const held = this.holding;
    if (held !== this.held) {
      this.held = held;
      if (held && this.gap) { this.catchUp(); return; }
    }
    if (held) {
      this.unseen += arrived;
      this.pending = [];
    } else if (arrived) {
      this.show(arrived);
    } else if (this.gap && this.rate < FAST / 4) this.catchUp();
    this.tell();
  }

  show(arrived) {
    let fresh = this.pending;
    this.pending = [];
    const most = this.rate > FAST ? PER_FRAME : HEAD;
    if (fresh.length > most) {
      const every = fresh.length / most;
      fresh = Array.from({ length: most }, (_, i) => fresh[Math.floor((i + 1) * every) - 1]);
    }
    if (fresh.length < arrived || this.rows.head.length + fresh.length > HEAD) {
      this.gap = true;
      this.rows.source = null;
    }
    const head = [...fresh.reverse(), ...this.rows.head].sort(newestFirst).slice(0, HEAD);
    this.rows.setHead(head);
  }

  // catchUp replaces the sample by the search as it is now.
  catchUp() {
    this.gap = false;
    this.unseen = 0;
    this.pending = [];
    this.reload();
  }

  pause(on) {
    this.paused = on;
    if (!on) this.toTop();
    else { this.held = true; this.unseen = 0; if (this.gap) this.catchUp(); }
    this.tell();
  }

  // toTop shows the new ones.
  toTop() {
    const unseen = this.unseen;
    this.paused = false;
    this.unseen = 0;
    this.held = false;
    this.rows.moveTo(0);
    if (unseen) this.reload();
    this.tell();
  }

  tell() {
    this.status(this);
  }
}
