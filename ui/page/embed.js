// The viewer that another product shows in a frame. It asks with a viewer token
// and nothing else: no cookie. The token comes in the fragment
// (#token=…) or from the embedding page:
//
//   frame.contentWindow.postMessage({type: "daybook:token", token: "dbv_…"}, origin)
//   frame.contentWindow.postMessage({type: "daybook:theme", theme: "dark", properties: {"--accent": "#0a6"}}, origin)
//
// and it tells that page {type: "daybook:ready"}, {type: "daybook:height", height}
// and {type: "daybook:token-needed"} when the token has ended. What is shown first
// is said by q, from, to and tz in the query string.

import { client, get, watch } from "./api.js";
import { detail, fetchEvent } from "./detail.js";
import { button, clear, h, safe } from "./dom.js";
import { plural, zone } from "./format.js";
import { failure, message, Rows } from "./rows.js";
import { applyFilter, QueryBox } from "./query.js";
import { rangeButton } from "./range.js";
import { Source } from "./source.js";
import { onChange, set, start, state } from "./state.js";

client.cookies = false;

const main = document.getElementById("main");
const PROPERTIES = new Set(["--accent", "--accent-ink", "--bg", "--panel", "--raised", "--line", "--ink", "--dim", "--good", "--warn", "--bad", "--radius", "--font", "--mono", "--size"]);
const VALUE = /^(?!.*(?:url|image|src)\s*\()[#\w\s.,%()"'/+-]{1,200}$/i; // nothing that is fetched

const tell = (message) => { if (parent !== window) parent.postMessage(message, "*"); };

function theme({ theme: name, properties = {} }) {
  const root = document.documentElement;
  if (name === "light" || name === "dark") root.dataset.theme = name;
  for (const [k, v] of Object.entries(properties)) if (PROPERTIES.has(k) && typeof v === "string" && VALUE.test(v)) root.style.setProperty(k, v);
}

addEventListener("message", (e) => {
  if (e.source !== parent || !e.data || typeof e.data !== "object") return;
  if (e.data.type === "daybook:token" && typeof e.data.token === "string") enter(e.data.token);
  else if (e.data.type === "daybook:theme") theme(e.data);
});

let view = null;

async function enter(token) {
  client.token = token;
  view?.destroy();
  view = null;
  try {
    // Only a viewer's session is shown in a frame of another site; a server
    // without keys would show everyone everything.
    const s = await get("/v1/session");
    if (client.token !== token) return; // another has come meanwhile
    if (s.kind !== "viewer") throw new Error("This is not a viewer token.");
    view = new Viewer(s);
    clear(main, view.el);
  } catch (e) {
    if (client.token === token) ended(e.status === 404 ? "This server has no viewer tokens." : e.status === 401 ? "The token has ended or is not valid." : e.message);
  }
}

function ended(text) {
  client.token = "";
  view?.destroy();
  view = null;
  message(main, "Not signed in", text);
  setTimeout(tell, 2000, { type: "daybook:token-needed" }); // one that is never valid is asked for in peace
}

watch((what) => { if (what === "unauthenticated" && view) ended("The token has ended."); });

class Viewer {
  constructor() {
    this.query = new QueryBox(() => this.run());
    this.range = rangeButton();
    this.rows = new Rows({ open: (row) => set({ event: row.event_id }, { replace: true }) });
    this.rows.moved = (i) => { const row = this.rows.select(i); if (row && state.event) set({ event: row.event_id }, { replace: true }); };
    this.total = h("strong", { role: "status", testid: "total" });
    this.message = h("div.list-message", { hidden: true, testid: "message" });
    this.side = h("div.side", { hidden: true });
    this.el = h("div.search-view.viewer", h("h1.visually-hidden", "Audit log"), h("div.bar", this.query.el, this.range),
      h("div.summary", this.total, h("span.grow"), button("Refresh", { icon: "clock", class: "small quiet", on: () => this.run() })),
      h("div.split", h("section.list", { "aria-label": "Result" }, this.rows.el, this.message), this.side));
    this.stop = onChange((s, before) => this.update(s, before));
    this.update(state, {});
  }

  destroy() {
    this.stop();
    this.abort?.abort();
    this.rows.destroy();
  }

  update(s, before) {
    zone.utc = s.tz !== "local";
    this.query.value = s.q;
    this.range.show();
    this.rows.zone();
    if (["q", "from", "to"].some((k) => s[k] !== before[k])) this.run();
    if (s.tz !== before.tz) this.rows.redraw();
    if (s.event !== before.event) this.open();
  }

  async run() {
    this.abort?.abort();
    const { signal } = (this.abort = new AbortController());
    const params = { q: state.q, from: state.from, to: state.to };
    const source = new Source(params, { signal, changed: () => this.rows.draw() });
    try {
      await source.first();
      this.rows.setSource(source);
      const none = source.complete && !source.total;
      this.rows.el.hidden = none;
      this.message.hidden = !none;
      if (none) message(this.message, "No events", "Nothing matches in this range.");
      const counts = await get("/v1/counts", { ...params, interval: "auto" }, { signal });
      source.setCounts(counts);
      this.total.textContent = plural(counts.total, "event");
      this.rows.draw();
    } catch (e) {
      if (e.name === "AbortError" || signal.aborted) return;
      const found = Boolean(source.pages[0]); // and not counted
      clear(this.total, found && ["Not counted: ", safe(e.message, 300)]);
      this.rows.el.hidden = !found;
      this.message.hidden = found;
      if (found) return;
      if (e.kind === "invalid-filter") {
        this.query.error(e.doc);
        message(this.message, "The filter cannot be read");
      } else failure(this.message, e, null, () => this.run());
    }
  }

  async open() {
    this.side.hidden = !state.event;
    this.el.classList.toggle("with-detail", Boolean(state.event));
    const id = state.event;
    if (!id) return;
    this.rows.selectID(id);
    const close = () => set({ event: "" }, { replace: true });
    try {
      const e = await fetchEvent(id);
      if (id === state.event) clear(this.side, detail(e, { links: false, close, apply: applyFilter }));
    } catch (e) { if (id === state.event) message(this.side, "Not loaded", safe(e.message, 300), button("Close", { on: close })); }
  }
}

start();
const fragment = new URLSearchParams(location.hash.slice(1));
history.replaceState(null, "", location.pathname + location.search); // no token stays in the address
new ResizeObserver(() => tell({ type: "daybook:height", height: Math.ceil(document.documentElement.scrollHeight) })).observe(document.body);
if (fragment.get("theme")) theme({ theme: fragment.get("theme") });
if (fragment.get("token")) enter(fragment.get("token"));
else message(main, "Waiting for a token", parent === window ? "This page is shown in a frame of another product, which gives it a viewer token." : "");
tell({ type: "daybook:ready" });

