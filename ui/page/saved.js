// Saved searches: kept on the server, shared within the tenant.

import { get, post, remove } from "./api.js";
import { clear, confirm, h, icon, popup, safe, submitter, toast } from "./dom.js";
import { agoLong } from "./format.js";
import { DEFAULTS, href, read, set, state, write } from "./state.js";

// kept is what of the state a saved search is: no open event, no zone.
const kept = () => write({ ...state, event: "", tz: DEFAULTS.tz });

export function openSaved(anchor) {
  const list = h("ul.saved-list", h("li.dim", "Loading…"));
  const name = h("input", { placeholder: "Name for this search", "aria-label": "Name for this search", required: true, maxlength: 200, testid: "saved-name" });
  const form = h("form.saved-form", { submit: async () => {
    try {
      await post("/v1/saved-searches", { name: name.value.trim(), state: kept() });
      name.value = "";
      toast("Search saved");
      await load();
    } catch (err) { say(err); }
  } }, name, submitter("Save", "saved-save"));
  const panel = h("div.saved-panel", { role: "dialog", "aria-label": "Saved searches", testid: "saved-panel" }, h("h2", "Saved searches"), list, form);
  const pop = popup(anchor, panel, { align: "end" });
  const say = (err) => { clear(list, h("li.dim", err.status === 404 ? "This server keeps no saved searches. The address of the page holds the whole search: keep that." : err.message)); form.hidden = err.status === 404; pop.place(); };
  async function load() {
    try {
      const { saved_searches: all } = await get("/v1/saved-searches");
      clear(list, all.length ? all.map((s) => h("li", { testid: "saved-item" },
        h("a", { href: href({ ...read(s.state), tz: state.tz }), click: (e) => { if (e.metaKey || e.ctrlKey) return; e.preventDefault(); pop.close(); set({ ...read(s.state), tz: state.tz }); } }, safe(s.name, 120),
          h("span.dim", safe(read(s.state).q || "everything", 80))),
        h("span.dim.by", { title: s.created_by ? `by ${s.created_by}` : "" }, s.created_at ? agoLong(s.created_at) : ""),
        h("button.act", { "aria-label": `Delete ${s.name}`, title: "Delete", click: async () => {
          pop.close();
          if (!(await confirm("Delete this saved search?", ["“", safe(s.name, 120), "” is deleted for everyone who shares it."], "Delete"))) return;
          try { await remove(`/v1/saved-searches/${encodeURIComponent(s.id)}`); toast("Saved search deleted"); } catch (err) { toast(err.message, "bad"); }
        } }, icon("close")))) : h("li.dim", "None yet. Save the search that is open now:"));
    } catch (err) { say(err); }
    pop.place();
  }
  load();
}
