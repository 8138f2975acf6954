// Dead letters: records that are no events, to be replayed, mended or discarded.

import { get, post } from "./api.js";
import { button, clear, confirm, dialog, h, long, safe, toast } from "./dom.js";
import { dateTime, plural } from "./format.js";
import { message } from "./rows.js";
import { may } from "./session.js";

export async function letters(el, signal, which = "open") {
  const list = h("div", { class: "letters", data: { testid: "letters" } });
  const choose = h("select", { "aria-label": "State", value: which, on: { change: () => letters(el, signal, choose.value) } }, ["open", "replayed", "discarded", "any"].map((s) => h("option", { value: s, text: s, selected: s === which })));
  clear(el, h("div", { class: "row-tools" }, h("label", null, "State ", choose)), list);
  const again = () => letters(el, signal, which);
  async function load(cursor) {
    const { dead_letters: found, next_cursor: next } = await get("/v1/dead-letters", { state: which, cursor }, { signal });
    if (!cursor && !found.length) { message(list, which === "open" ? "No open dead letters" : "None", which === "open" ? "Every record of the stream is an event, or has been dealt with." : ""); return; }
    list.append(...found.map((d) => letter(d, again)));
    if (next) {
      const more = button("More", { on: () => { more.remove(); load(next).catch(failed); } });
      list.append(more);
    }
  }
  const failed = (e) => e.name !== "AbortError" && message(list, e.status === 404 ? "No dead letters here" : e.status === 403 ? "Not allowed" : "Not loaded", e.status === 404 ? "This server has no index." : e.message, e.status === 404 ? null : button("Try again", { on: again }));
  try { await load(); } catch (e) { failed(e); }
}

function letter(d, again) {
  const text = d.record ?? "(not UTF-8) " + (d.record_base64 ?? "");
  const write = may("write") && d.state === "open";
  return h("article", { class: "card letter", "aria-label": `Dead letter ${d.id}`, data: { testid: "letter" } },
    h("header", null, h("h3", { class: "mono", text: d.id }), h("span", { class: `outcome ${d.state === "open" ? "failure" : "success"}`, text: d.state }), h("span", { class: "dim", text: `${d.class} · ${dateTime(d.received_at)}` }),
      write ? h("span", { class: "tools" }, d.record_bytes ? null : button("Replay", { class: "small", data: { testid: "replay" }, on: () => resolve(d, "replay", undefined, again) }), button("Mend…", { class: "small", data: { testid: "mend" }, on: () => mend(d, again) }),
        button("Discard…", { class: "small", data: { testid: "discard" }, on: async () => { if (await confirm("Discard this dead letter?", "It stays in the dead-letter stream, but cannot be replayed any more.", "Discard")) resolve(d, "discard", undefined, again); } })) : null),
    h("ul", { class: "faults" }, (d.errors ?? []).slice(0, 20).map((e) => h("li", null, e.field ? h("b", null, safe(e.field, 100), " ") : null, safe(e.reason, 300)))),
    h("pre", { class: "code-block" }, long(text, 600)), d.record_bytes ? h("p", { class: "dim", text: `The beginning only; the record has ${plural(d.record_bytes, "byte")}.` }) : null,
    d.event_id ? h("p", { class: "dim" }, "Became event ", h("a", { class: "mono", href: `/?q=event_id:${d.event_id}&from=all&event=${d.event_id}`, text: d.event_id })) : null);
}

async function resolve(d, how, body, again) {
  try {
    const now = await post(`/v1/dead-letters/${d.id}/${how}`, body);
    toast(how === "replay" ? `Replayed as event ${now.event_id ?? ""}` : "Discarded");
    again();
    return true;
  } catch (e) {
    const why = (e.doc?.errors ?? []).map((x) => `${x.field ? x.field + " " : ""}${x.reason}`).join("; ");
    toast(why || e.message, "bad");
    return false;
  }
}

// mend lets the record be corrected before it is replayed.
function mend(d, again) {
  let text = d.record ?? "";
  try { text = JSON.stringify(JSON.parse(text), null, 2); } catch { /* as it is */ }
  const area = h("textarea", { rows: 16, spellcheck: "false", "aria-label": "Corrected event", value: text, data: { testid: "mend-text" } });
  dialog("Mend and replay", (close) => h("form", { on: { submit: async (e) => { e.preventDefault(); if (await resolve(d, "replay", area.value, again)) close(); } } },
    h("ul", { class: "faults" }, (d.errors ?? []).slice(0, 20).map((e) => h("li", null, safe(`${e.field ?? ""} ${e.reason}`, 300)))), area, h("footer", null, button("Cancel", { on: close }), h("button", { class: "btn primary", text: "Replay", data: { testid: "mend-replay" } }))), { wide: true, testid: "mend-dialog" });
}
