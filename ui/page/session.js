// Who looks: the session that the server knows, signing in and out.

import { client, get, send } from "./api.js";
import { button, clear, h, pairs, safe, submitter } from "./dom.js";
import { dateTime, zoneName } from "./format.js";

// session is what the server said; without keys everyone may do everything.
export const session = { kind: "anonymous", rights: ["read", "write", "admin", "metrics"], known: false };

export const may = (right) => session.rights?.includes(right);

export async function loadSession() {
  try {
    const s = await get("/v1/session", null, { tries: 1, quiet: true });
    Object.assign(session, { subject: "", name: "", tenant: null, filter: "", hidden: [], expires_at: null }, s, { known: true });
    client.keys = s.kind !== "anonymous";
    return "ok";
  } catch (e) {
    if (e.status === 401) return "sign-in";
    if (e.status === 404) return "ok"; // a server without keys
    return e.kind === "offline" ? "offline" : "ok";
  }
}

async function signOut() {
  try { await send("/v1/session", { method: "DELETE" }); } finally { location.assign("/"); }
}

// REASONS are why a provider's sign-in came to nothing, by what the server says
// in the address.
const REASONS = {
  "no-role": "You are known, but no role here is of one of your groups.",
  denied: "The sign-in was called off.",
  expired: "The sign-in took too long. Try again.",
  unavailable: "The provider cannot be reached.",
};

// signIn shows the ways in; done is called when one worked.
export function signIn(el, done) {
  const key = h("input", { id: "key", type: "password", autocomplete: "current-password", placeholder: "dbk_…", required: true, spellcheck: "false", testid: "key" });
  const fault = h("p.bad-text", { role: "alert", hidden: true, testid: "sign-in-error" });
  const others = h("div.other-ways"), address = new URL(location.href), reason = address.searchParams.get("sign_in");
  if (reason) {
    clear(fault, REASONS[reason] ?? "The provider's answer was not accepted.");
    fault.hidden = false;
    address.searchParams.delete("sign_in");
    history.replaceState(null, "", address);
  }
  const go = submitter("Sign in", "sign-in");
  const form = h("form", { submit: async () => {
    go.disabled = true;
    fault.hidden = true;
    try {
      await send("/v1/session", { method: "POST", headers: { Authorization: "Bearer " + key.value.trim() }, quiet: true });
      key.value = "";
      await loadSession();
      done();
    } catch (err) {
      clear(fault, err.status === 401 ? "The key is not valid: it is mistyped, expired or revoked." : safe(err.message, 300));
      fault.hidden = false;
      key.select();
    }
    go.disabled = false;
  } }, h("label", { for: "key" }, "Key"), key, fault, go);
  clear(el, h("div.sign-in", { testid: "sign-in-view" }, h("h1", "Sign in to Daybook"), h("p.dim", "With a key that may read. The browser keeps a session, not the key."), form, others));
  key.focus();
  get("/v1/sign-in", null, { tries: 1, quiet: true }).then(({ methods = [] }) => {
    form.hidden = methods.length > 0 && !methods.some((m) => m.kind === "key");
    const back = encodeURIComponent(location.pathname + location.search);
    const ways = methods.filter((m) => m.kind === "oidc" && m.start?.startsWith("/") && !m.start.startsWith("//"));
    if (ways.length) clear(others, form.hidden ? null : h("div.or", "or"), ways.map((m) => h("a.btn", { href: `${m.start}?return_to=${back}`, testid: "sign-in-oidc" }, "Sign in with ", safe(m.name ?? "single sign-on", 60))));
  }, () => {});
}

// account describes the session for the menu.
export function account() {
  const { known, kind, name, subject, tenant, rights, filter, hidden, expires_at: until } = session, named = known && kind !== "anonymous";
  return [pairs(["Signed in as", named ? [safe(name || subject, 120), h("span.dim", ` (${kind})`)] : "nobody: this server has no keys"], known && ["Tenant", tenant ? safe(tenant, 128) : "all"], ["Rights", rights?.join(", ") || "none"],
    filter && ["Sees only", h("code", safe(filter, 300))], hidden?.length && ["Hidden fields", hidden.join(", ")], until && ["Until", `${dateTime(until)} ${zoneName()}`]),
  named && button("Sign out", { icon: "out", on: signOut, testid: "sign-out" })];
}
