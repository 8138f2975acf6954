// Dead letters: records that are no events, to be replayed, mended or discarded.

import { get, post } from "./api.js";
import { badge, button, choices, clear, confirm, dialog, h, long, safe, toast } from "./dom.js";
import { dateTime, plural } from "./format.js";
import { failure, message } from "./rows.js";
import { may } from "./session.js";
import { set, state } from "./state.js";

// letters shows those of the state that the address names.
export async function letters(el, signal) {
  const which = state.id || "open", again = () => signal.aborted || letters(el, signal);
  const list = h("div.letters", { testid: "letters" });
  const choose = h("select", { "aria-label": "State", change: () => { set({ id: choose.value }); el.querySelector("select").focus(); } }, ["open", "replayed", "discarded", "any"].map((s) => h("option", { value: s, selected: s === which }, s)));
  clear(el, h("div.row-tools", h("label", "State ", choose)), list);
  async function load(cursor) {
    const { dead_letters: found, next_cursor: next } = await get("/v1/dead-letters", { state: which, cursor }, { signal });
    if (!cursor && !found.length) { message(list, ...(which === "open" ? ["No open dead letters", "Every record is an event or has been dealt with."] : ["None"])); return; }
    list.append(...found.map((d) => letter(d, again)));
    if (next) {
      const more = button("More", { on: () => { more.remove(); load(next).catch(failed); } });
      list.append(more);
    }
  }
  const failed = (e) => failure(list, e, ["No dead letters here", "This server has no index."], again);
  try { await load(); } catch (e) { failed(e); }
}

function letter(d, again) {
  const text = d.record ?? "(not UTF-8) " + (d.record_base64 ?? "");
  const write = may("write") && d.state === "open";
  return h("article.card.letter", { "aria-label": `Dead letter ${d.id}`, testid: "letter" },
    h("header", h("h3.mono", d.id), badge(d.state === "open" ? "failure" : "success", d.state), h("span.dim", `${d.class} · ${dateTime(d.received_at)}`),
      write ? h("span.tools", d.record_bytes ? null : button("Replay", { class: "small", testid: "replay", on: () => resolve(d, "replay", undefined, again) }), button("Mend…", { class: "small", testid: "mend", on: () => mend(d, again) }),
        button("Discard…", { class: "small", testid: "discard", on: async () => { if (await confirm("Discard this dead letter?", "It stays in the dead-letter stream, but cannot be replayed any more.", "Discard")) resolve(d, "discard", undefined, again); } })) : null),
    faults(d),
    h("pre.code-block", long(text, 600)), d.record_bytes ? h("p.dim", `The beginning only; the record has ${plural(d.record_bytes, "byte")}.`) : null,
    d.event_id ? h("p.dim", "Became event ", h("a.mono", { href: `/?q=event_id:${d.event_id}&from=all&event=${d.event_id}` }, d.event_id)) : null);
}

const faults = (d) => h("ul.faults", (d.errors ?? []).slice(0, 20).map((e) => h("li", e.field ? h("b", safe(e.field, 100), " ") : null, safe(e.reason, 300))));

async function resolve(d, how, body, again) {
  try {
    const now = await post(`/v1/dead-letters/${d.id}/${how}`, body);
    toast(how === "replay" ? `Replayed as event ${now.event_id ?? ""}` : "Discarded");
    again();
    return true;
  } catch (e) {
    toast(e.reasons, "bad");
    return false;
  }
}

// mend lets the record be corrected before it is replayed.
function mend(d, again) {
  let text = d.record ?? "";
  try { text = JSON.stringify(JSON.parse(text), null, 2); } catch { /* as it is */ }
  const area = h("textarea", { rows: 16, spellcheck: "false", "aria-label": "Corrected event", value: text, testid: "mend-text" });
  dialog("Mend and replay", (close) => h("form", { submit: async () => { if (await resolve(d, "replay", area.value, again)) close(); } },
    faults(d), area, choices(close, "Replay", "mend-replay")), { wide: true, testid: "mend-dialog" });
}
