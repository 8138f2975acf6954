// A search's result as rows by index, newest first, of any length. Pages come by
// cursor, one after the other; a far jump goes to the right moment by way of
// counts, which say exactly how many events are newer than it. Rows far from
// where somebody looks are forgotten and asked for again by their cursor.

import { get } from "./api.js";
import { interval, iso } from "./format.js";

export const ROW_FIELDS = "event_id,timestamp,user_id,user_type,user_name,on_behalf_of,action,resource,resource_name,outcome,source,source_ip,tenant_id,error_code";

const FIRST = 100, PAGE = 500, FAR = 3000, KEPT = 30, FINE = 1000;

export class Source {
  // params are q, from and to. changed is called when rows or the total came.
  constructor(params, { signal, changed }) {
    Object.assign(this, { params, signal, changed });
    this.pages = []; // ascending by start, never overlapping
    this.total = null; // null: not known yet
    this.complete = false; // total is the end that cursors reached
    this.counts = null;
    this.loading = null;
    this.error = null;
    this.missing = 0;
  }

  get length() {
    const last = this.pages.at(-1);
    const loaded = last ? last.start + last.count : 0;
    return Math.max(this.total ?? 0, loaded);
  }

  // first asks for the newest rows and throws what went wrong.
  async first() {
    await this.load({ start: 0, params: this.params, cursor: null, limit: FIRST });
  }

  setCounts(counts) {
    this.counts = counts;
    if (!this.complete) this.total = counts.total;
  }

  at(i) {
    const p = this.page(i);
    if (p) p.used = performance.now();
    return p?.rows?.[i - p.start];
  }

  page(i) {
    let lo = 0, hi = this.pages.length - 1;
    while (lo <= hi) {
      const mid = (lo + hi) >> 1, p = this.pages[mid];
      if (i < p.start) hi = mid - 1;
      else if (i >= p.start + p.count) lo = mid + 1;
      else return p;
    }
    return null;
  }

  // want sees to it that rows first to last come, one request at a time.
  want(first, last) {
    this.wish = [Math.max(0, first), Math.min(last, this.length - 1)];
    if (!this.loading && !this.signal.aborted) this.loading = this.work().finally(() => { this.loading = null; });
  }

  async work() {
    while (this.wish && !this.signal.aborted) {
      const [first, last] = this.wish;
      let i = first;
      while (i <= last && this.at(i)) i++;
      if (i > last) { this.wish = null; return; }
      try {
        if (!(await this.fetchRow(i))) { this.wish = null; return; }
        this.error = null;
      } catch (e) {
        this.wish = null;
        if (e.name === "AbortError") return;
        this.error = e;
        this.changed();
        return;
      }
    }
  }

  // fetchRow gets the page that row i is on, and reports whether there is one.
  async fetchRow(i) {
    const known = this.page(i);
    if (known) { // forgotten
      await this.load(known);
      return true;
    }
    const before = this.pages.findLast((p) => p.start + p.count <= i);
    if (before && before.next === null) { // the end came sooner than the count said
      this.end(before.start + before.count);
      return false;
    }
    const after = this.pages.find((p) => p.start > i);
    if (before && i - (before.start + before.count) < FAR) {
      const start = before.start + before.count;
      await this.load({ start, params: before.params, cursor: before.next, limit: PAGE, most: after && after.start - start });
      return true;
    }
    const spot = await this.locate(i);
    if (!spot) return false;
    const clash = this.page(spot.start);
    await this.load({ start: clash ? clash.start + clash.count : spot.start, params: { ...this.params, to: spot.to }, cursor: null,
      limit: Math.min(5000, Math.max(PAGE, i - spot.start + 100)), skip: clash ? clash.start + clash.count - spot.start : 0, most: after && after.start - spot.start });
    return true;
  }

  // locate finds a moment after which at most FINE rows lie before row i, and how
  // many lie after the moment.
  async locate(i) {
    let counts = this.counts, newer = 0;
    for (let depth = 0; counts?.buckets && depth < 5; depth++) {
      const width = interval(counts.interval);
      const spot = [...counts.buckets].reverse().find((b) => (i < newer + b.count ? true : ((newer += b.count), false)));
      if (!spot) return null;
      const begin = Date.parse(spot.start), end = Date.parse(counts.to) && Math.min(begin + width, Math.ceil(Date.parse(counts.to)));
      const to = begin + width > Date.parse(counts.to) ? counts.to : iso(end);
      if (i - newer <= FINE || width < 1000) return { start: newer, to };
      counts = await get("/v1/counts", { ...this.params, from: begin < Date.parse(counts.from) ? counts.from : spot.start, to, interval: "auto" }, { signal: this.signal });
    }
    return null;
  }

  async load(page) {
    const { params, cursor, start } = page;
    const fetched = page.rows === null;
    const limit = fetched ? page.count + (page.skip ?? 0) : page.limit;
    const answer = await get("/v1/events", { ...params, limit, cursor, fields: ROW_FIELDS }, { signal: this.signal });
    let rows = page.skip ? answer.events.slice(page.skip) : answer.events;
    this.missing = answer.missing ?? this.missing;
    if (fetched) {
      Object.assign(page, { rows: rows.slice(0, page.count), used: performance.now() });
    } else {
      const whole = !page.most || rows.length <= page.most;
      if (!whole) rows = rows.slice(0, page.most);
      const added = { start, params, cursor, count: rows.length, rows, skip: page.skip, next: whole ? answer.next_cursor : undefined, used: performance.now() };
      if (rows.length) this.insert(added);
      if (answer.next_cursor === null && whole) this.end(start + rows.length);
      else if (!rows.length) this.end(start);
    }
    this.forget();
    this.changed();
  }

  insert(page) {
    const at = this.pages.findIndex((p) => p.start > page.start);
    this.pages.splice(at < 0 ? this.pages.length : at, 0, page);
  }

  end(n) {
    this.total = n;
    this.complete = true;
    this.pages = this.pages.filter((p) => p.start < n);
    this.changed();
  }

  forget() {
    const held = this.pages.filter((p) => p.rows);
    if (held.length <= KEPT) return;
    for (const p of held.sort((a, b) => a.used - b.used).slice(0, held.length - KEPT)) p.rows = null;
  }
}
