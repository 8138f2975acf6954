// API keys: listed, made, given new secrets, revoked. A secret is shown once.

import { get, post } from "./api.js";
import { badge, button, choices, clear, confirm, copy, dialog, dim, h, safe, toast } from "./dom.js";
import { agoLong, dateTime, fromInput, zoneName } from "./format.js";
import { failure, message } from "./rows.js";

const RIGHTS = [["read", "search, tail, count, export"], ["write", "publish events"], ["admin", "keys, dead letters, system"], ["metrics", "/metrics"]];

export async function keys(el, signal) {
  const again = () => keys(el, signal);
  try {
    const { keys: all } = await get("/v1/keys", null, { signal });
    const cell = (label, ...content) => h("td", { data: { label } }, content);
    clear(el, h("div.row-tools", button("New key", { icon: "plus", class: "primary", testid: "new-key", on: () => create(again) })),
      all.length ? h("div.table-box", { tabindex: 0, role: "region", "aria-label": "Keys" }, h("table.table", { testid: "keys" }, h("thead", h("tr", ["Name", "State", "Tenant", "Rights", "Sees only", "Last used", "Expires", ""].map((c) => h("th", { scope: "col" }, c || h("span.visually-hidden", "Actions"))))),
        h("tbody", all.map((k) => h("tr", { class: k.state, testid: "key-row" },
          cell("Name", h("div", safe(k.name, 120)), h("div.dim.mono", safe(k.id, 60))), cell("State", badge({ active: "success", expired: "unknown", revoked: "denied" }[k.state], k.state)),
          cell("Tenant", k.tenant ? safe(k.tenant, 80) : dim("all")), cell("Rights", (k.rights ?? []).join(", ")),
          cell("Sees only", k.filter ? h("code", safe(k.filter, 120)) : dim("everything"), k.hidden?.length ? h("div.dim", "without " + k.hidden.join(", ")) : null),
          cell("Last used", k.last_used_at ? h("span", { title: dateTime(k.last_used_at) }, agoLong(k.last_used_at)) : dim("never")), cell("Expires", k.expires_at ? dateTime(k.expires_at) : dim("never")),
          cell("", k.state === "active" ? h("span.tools", button("Rotate…", { class: "small", testid: "rotate", on: () => rotate(k, again) }), button("Revoke…", { class: "small", testid: "revoke", on: () => revoke(k, again) })) : null)))))) : message(h("div"), "No keys", "Make one, and the server asks for a key from then on."));
  } catch (e) {
    failure(el, e, ["This server has no keys", "It listens on this machine only and answers to everyone on it."], again);
  }
}

function create(again) {
  dialog("New key", (close) => {
    const text = (label, name, more = {}) => h("label.field", h("span", label), h("input", { name, autocomplete: "off", ...more }));
    const fault = h("p.bad-text", { role: "alert", hidden: true });
    const form = h("form.key-form", { submit: async () => {
      const f = new FormData(form), list = (v) => v.split(",").map((x) => x.trim()).filter(Boolean);
      const body = { name: f.get("name"), rights: f.getAll("right") };
      if (f.get("tenant")) body.tenant = f.get("tenant");
      if (f.get("filter")) body.filter = f.get("filter");
      if (f.get("hidden")) body.hidden = list(f.get("hidden"));
      if (f.get("expires")) body.expires_at = fromInput(f.get("expires"));
      try {
        const made = await post("/v1/keys", body);
        close();
        secret(made);
        again();
      } catch (err) {
        fault.hidden = false;
        clear(fault, safe(err.reasons, 500));
      }
    } }, text("Name", "name", { required: true, placeholder: "billing service", testid: "key-name" }),
    h("fieldset", h("legend", "Rights"), RIGHTS.map(([r, what], i) => h("label", h("input", { type: "checkbox", name: "right", value: r, checked: i === 0 }), ` ${r} `, dim(what)))),
    text("Tenant (empty: all)", "tenant"), text("Sees only events that match", "filter", { placeholder: "empty: everything", class: "mono" }), text("Hidden fields, by commas", "hidden", { placeholder: "source_ip, user_agent" }), text(`Expires (${zoneName()})`, "expires", { type: "datetime-local" }), fault,
    choices(close, "Make key", "key-create"));
    return form;
  }, { testid: "key-dialog" });
}

function secret({ key, secret: text }) {
  dialog("The key's secret", (close) => [h("p.dialog-text", "This is the secret of “", safe(key.name, 120), "”. It is shown once; the server keeps only its hash."),
    h("pre.code-block", { testid: "secret" }, text), h("footer", button("Copy", { icon: "copy", on: () => copy(text, "Secret") }), button("Done", { class: "primary", on: close }))], { testid: "secret-dialog" });
}

function rotate(k, again) {
  dialog("Rotate the key", (close) => {
    const overlap = h("select", { "aria-label": "Overlap" }, [["0s", "at once"], ["1h", "after an hour"], ["24h", "after a day"], ["168h", "after a week"]].map(([v, t]) => h("option", { value: v, selected: v === "24h" }, t)));
    return h("form", { submit: async () => {
      try { const made = await post(`/v1/keys/${encodeURIComponent(k.id)}/rotate`, { overlap: overlap.value }); close(); secret(made); again(); } catch (err) { toast(err.message, "bad"); }
    } }, h("p.dialog-text", "“", safe(k.name, 120), "” gets a new secret. The old one ends ", overlap, "."), choices(close, "Rotate", "rotate-do"));
  });
}

async function revoke(k, again) {
  if (!(await confirm("Revoke this key?", ["Whoever uses “", safe(k.name, 120), "” is refused from now on. This cannot be undone."], "Revoke"))) return;
  try { await post(`/v1/keys/${encodeURIComponent(k.id)}/revoke`); toast("Key revoked"); again(); } catch (e) { toast(e.message, "bad"); }
}
