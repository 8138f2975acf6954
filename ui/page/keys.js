// API keys: listed, made, given new secrets, revoked. A secret is shown once.

import { get, post } from "./api.js";
import { button, clear, confirm, copy, dialog, h, safe, toast } from "./dom.js";
import { agoLong, dateTime } from "./format.js";
import { message } from "./rows.js";

const RIGHTS = [["read", "search, tail, count, export"], ["write", "publish events"], ["admin", "keys, dead letters, system"], ["metrics", "/metrics"]];

export async function keys(el, signal) {
  const again = () => keys(el, signal);
  try {
    const { keys: all } = await get("/v1/keys", null, { signal });
    const cell = (label, ...content) => h("td", { data: { label } }, content);
    clear(el, h("div", { class: "row-tools" }, button("New key", { icon: "plus", class: "primary", data: { testid: "new-key" }, on: () => create(again) })),
      all.length ? h("div", { class: "table-box", tabindex: 0, role: "region", "aria-label": "Keys" }, h("table", { class: "table", data: { testid: "keys" } }, h("thead", null, h("tr", null, ["Name", "State", "Tenant", "Rights", "Sees only", "Last used", "Expires", ""].map((c) => h("th", { scope: "col" }, c || h("span", { class: "visually-hidden", text: "Actions" }))))),
        h("tbody", null, all.map((k) => h("tr", { class: k.state, data: { testid: "key-row" } },
          cell("Name", h("div", null, safe(k.name, 120)), h("div", { class: "dim mono" }, safe(k.id, 60))), cell("State", h("span", { class: `outcome ${{ active: "success", expired: "unknown", revoked: "denied" }[k.state]}`, text: k.state })),
          cell("Tenant", k.tenant ? safe(k.tenant, 80) : h("span", { class: "dim", text: "all" })), cell("Rights", (k.rights ?? []).join(", ")),
          cell("Sees only", k.filter ? h("code", null, safe(k.filter, 120)) : h("span", { class: "dim", text: "everything" }), k.hidden?.length ? h("div", { class: "dim", text: "without " + k.hidden.join(", ") }) : null),
          cell("Last used", k.last_used_at ? h("span", { title: dateTime(k.last_used_at), text: agoLong(k.last_used_at) }) : h("span", { class: "dim", text: "never" })), cell("Expires", k.expires_at ? dateTime(k.expires_at) : h("span", { class: "dim", text: "never" })),
          cell("", k.state === "active" ? h("span", { class: "tools" }, button("Rotate…", { class: "small", data: { testid: "rotate" }, on: () => rotate(k, again) }), button("Revoke…", { class: "small", data: { testid: "revoke" }, on: () => revoke(k, again) })) : null)))))) : message(h("div"), "No keys", "Make one, and the server asks for a key from then on."));
  } catch (e) {
    if (e.name === "AbortError") return;
    message(el, e.status === 404 ? "This server has no keys" : e.status === 403 ? "Not allowed" : "Not loaded", e.status === 404 ? "It listens on this machine only and answers to everyone on it." : e.message);
  }
}

function create(again) {
  dialog("New key", (close) => {
    const text = (label, name, more = {}) => h("label", { class: "field" }, h("span", { text: label }), h("input", { name, autocomplete: "off", ...more }));
    const fault = h("p", { class: "bad-text", role: "alert", hidden: true });
    const form = h("form", { class: "key-form", on: { submit: async (e) => {
      e.preventDefault();
      const f = new FormData(form), list = (v) => v.split(",").map((x) => x.trim()).filter(Boolean);
      const body = { name: f.get("name"), rights: f.getAll("right") };
      if (f.get("tenant")) body.tenant = f.get("tenant");
      if (f.get("filter")) body.filter = f.get("filter");
      if (f.get("hidden")) body.hidden = list(f.get("hidden"));
      if (f.get("expires")) body.expires_at = new Date(f.get("expires")).toISOString();
      try {
        const made = await post("/v1/keys", body);
        close();
        secret(made);
        again();
      } catch (err) {
        fault.hidden = false;
        clear(fault, safe((err.doc?.errors ?? []).map((x) => `${x.field ?? ""} ${x.reason}`).join("; ") || err.message, 500));
      }
    } } }, text("Name", "name", { required: true, placeholder: "billing service", data: { testid: "key-name" } }),
    h("fieldset", null, h("legend", { text: "Rights" }), RIGHTS.map(([r, what], i) => h("label", null, h("input", { type: "checkbox", name: "right", value: r, checked: i === 0 }), ` ${r} `, h("span", { class: "dim", text: what })))),
    text("Tenant (empty: all)", "tenant"), text("Sees only events that match", "filter", { placeholder: "empty: everything", class: "mono" }), text("Hidden fields, by commas", "hidden", { placeholder: "source_ip, user_agent" }), text("Expires", "expires", { type: "datetime-local" }), fault,
    h("footer", null, button("Cancel", { on: close }), h("button", { class: "btn primary", text: "Make key", data: { testid: "key-create" } })));
    return form;
  }, { testid: "key-dialog" });
}

function secret({ key, secret: text }) {
  dialog("The key's secret", (close) => [h("p", { class: "dialog-text" }, "This is the secret of “", safe(key.name, 120), "”. It is shown once; the server keeps only its hash."),
    h("pre", { class: "code-block", data: { testid: "secret" } }, text), h("footer", null, button("Copy", { icon: "copy", on: () => copy(text, "Secret") }), button("Done", { class: "primary", on: close }))], { testid: "secret-dialog" });
}

function rotate(k, again) {
  dialog("Rotate the key", (close) => {
    const overlap = h("select", { "aria-label": "Overlap" }, [["0s", "at once"], ["1h", "after an hour"], ["24h", "after a day"], ["168h", "after a week"]].map(([v, t]) => h("option", { value: v, text: t, selected: v === "24h" })));
    return h("form", { on: { submit: async (e) => {
      e.preventDefault();
      try { const made = await post(`/v1/keys/${encodeURIComponent(k.id)}/rotate`, { overlap: overlap.value }); close(); secret(made); again(); } catch (err) { toast(err.message, "bad"); }
    } } }, h("p", { class: "dialog-text" }, "“", safe(k.name, 120), "” gets a new secret. The old one ends ", overlap, "."), h("footer", null, button("Cancel", { on: close }), h("button", { class: "btn primary", text: "Rotate", data: { testid: "rotate-do" } })));
  });
}

async function revoke(k, again) {
  if (!(await confirm("Revoke this key?", ["Whoever uses “", safe(k.name, 120), "” is refused from now on. This cannot be undone."], "Revoke"))) return;
  try { await post(`/v1/keys/${encodeURIComponent(k.id)}/revoke`); toast("Key revoked"); again(); } catch (e) { toast(e.message, "bad"); }
}
