// Export of exactly what is looked at: the same filter and range, as a file, with
// progress and size. The answer goes to the disk as it comes where the browser
// can do that, else through memory.

import { get, send, url } from "./api.js";
import { button, clear, dialog, dim, h, pairs, safe, submitter } from "./dom.js";
import { bytes, iso, num, plural } from "./format.js";
import { moment, rangeLabel } from "./range.js";
import { state } from "./state.js";

const FORMATS = [["ndjson", "NDJSON", "an event a line, every value exactly"], ["csv", "CSV", "for spreadsheets; cells that look like formulas get an apostrophe"], ["parquet", "Parquet", "for DuckDB, pandas, Spark"]];
const IN_MEMORY = 1e9; // bytes that may go through memory

export function exportDialog(total) {
  // What is seen is as of now: a relative range is pinned when the dialog opens.
  const pin = (t) => (/^(now)?[+-]|^now$/.test(t) ? iso(moment(t)) : t);
  const params = { q: state.q, from: pin(state.from), to: pin(state.to) };
  const abort = new AbortController();
  dialog("Export", (close) => form(params, total, abort, close), { testid: "export-dialog", onclose: () => abort.abort() });
}

function form(params, total, abort, close) {
  const size = h("b", { testid: "export-total" }, total === null ? "…" : num(total));
  const status = h("div.export-status", { testid: "export-status", role: "status" });
  const bar = h("progress", { max: 1, value: 0, hidden: true, "aria-label": "Export" });
  const start = submitter("Export", "export-start");
  const exact = get("/v1/counts", params, { signal: abort.signal }).then((c) => { size.textContent = num(c.total); return c.total; }, () => total);
  const chosen = () => el.querySelector("input[name=format]:checked").value;
  const el = h("form.export", { submit: async () => {
    start.disabled = true;
    bar.hidden = false;
    status.ariaBusy = true; // only its end is read out
    try {
      const done = await download(chosen(), params, exact, abort.signal, (p) => {
        if (p.share === null) bar.removeAttribute("value");
        else bar.value = p.share;
        status.textContent = p.text;
      });
      status.ariaBusy = false;
      if (!done) { start.disabled = false; bar.hidden = true; return; }
      bar.value = 1;
      clear(status, h("b", "Done. "), done);
      start.replaceWith(button("Close", { class: "primary", on: close }));
    } catch (err) {
      if (err.name === "AbortError") return;
      status.ariaBusy = false;
      bar.hidden = true;
      start.disabled = false;
      start.textContent = "Try again";
      clear(status, h("span.bad-text", "The export broke off and is not complete. ", safe(err.message, 300)));
    }
  } },
  pairs(["Events", size], ["Filter", params.q ? h("code", safe(params.q, 300)) : dim("none")], ["Range", rangeLabel(params)]),
    h("fieldset.formats", h("legend", "Format"), FORMATS.map(([v, name, what], i) => h("label", h("input", { type: "radio", name: "format", value: v, checked: i === 0, testid: "format-" + v }), h("span", h("b", name), " ", dim(what))))),
  bar, status, h("footer", h("a.dim.small-text", { href: url("/v1/export", { ...params, format: "ndjson" }), download: "daybook.ndjson", title: "The browser downloads by itself, as NDJSON, without progress here" }, "as a plain download"), h("span.grow"), button("Cancel", { on: close }), start));
  return el;
}

async function download(format, params, exact, signal, progress) {
  const name = `daybook-${new Date().toISOString().slice(0, 19).replaceAll(":", "")}.${format}`;
  let sink = null;
  if (window.showSaveFilePicker) {
    try {
      const handle = await showSaveFilePicker({ suggestedName: name });
      sink = await handle.createWritable();
    } catch (e) {
      if (e.name === "AbortError") return null;
      sink = null; // forbidden here: through memory
    }
  }
  const response = await send(url("/v1/export", { ...params, format }), { signal });
  const counter = { ndjson: lineCounter(), csv: recordCounter(), parquet: null }[format];
  const parts = [];
  let size = 0, total = null, last = 0;
  exact.then((n) => { total = n; });
  const reader = response.body.getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      size += value.length;
      counter?.(value);
      if (sink) await sink.write(value);
      else {
        parts.push(value);
        if (size > IN_MEMORY) throw new Error("It is larger than this browser can hold; narrow the range, or use the plain download.");
      }
      const now = performance.now();
      if (now - last > 100) {
        last = now;
        const n = counter?.n;
        progress({ share: counter && total ? Math.min(1, n / total) : null, text: counter ? `${num(n)}${total ? ` of ${num(total)}` : ""} events, ${bytes(size)}` : bytes(size) });
      }
    }
  } catch (e) {
    reader.cancel().catch(() => {});
    await sink?.abort().catch(() => {});
    if (e.name === "TypeError") throw new Error("The connection was lost.");
    throw e;
  }
  if (sink) await sink.close();
  else save(new Blob(parts, { type: response.headers.get("Content-Type") }), name);
  const n = counter ? counter.n : await exact;
  return `${plural(n ?? 0, "event")}, ${bytes(size)}.`;
}

function save(blob, name) {
  const a = h("a", { href: URL.createObjectURL(blob), download: name });
  document.body.append(a);
  a.click();
  a.remove();
  setTimeout(() => URL.revokeObjectURL(a.href), 60000);
}

function lineCounter() {
  const f = (chunk) => { for (let i = chunk.indexOf(10); i >= 0; i = chunk.indexOf(10, i + 1)) f.n++; };
  f.n = 0;
  return f;
}

// recordCounter counts the records of RFC 4180: line ends outside quotes, less
// the header's.
function recordCounter() {
  let quoted = false, lines = 0;
  const f = (chunk) => {
    for (let i = 0; i < chunk.length; i++) {
      if (chunk[i] === 34) quoted = !quoted;
      else if (chunk[i] === 10 && !quoted) lines++;
    }
    f.n = Math.max(0, lines - 1);
  };
  f.n = 0;
  return f;
}
