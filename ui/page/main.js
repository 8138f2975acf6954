// The page: header, which view is shown, whether the server is there, keys.

import { OFFLINE, watch } from "./api.js";
import { announce, button, clear, dialog, h, icon, pairs, popup, store, tool } from "./dom.js";
import { localZone, zone } from "./format.js";
import { SearchView } from "./search.js";
import { account, loadSession, may, session, signIn } from "./session.js";
import { failure } from "./rows.js";
import { finding, href, onChange, set, start, state } from "./state.js";

const main = document.getElementById("main");
const banner = document.getElementById("banner");
let view = null, kind = "", signingIn = false;

// What is not needed for a search comes when it is.
const KINDS = { user: "profile", resource: "profile", system: "system" };
const VIEWS = { events: async () => SearchView, profile: async () => (await import("./profile.js")).Profile, system: async () => (await import("./system.js")).SystemView };
const kindOf = (s) => KINDS[s.view] ?? "events";

function show(s, before) {
  zone.utc = s.tz !== "local";
  if (s.tz !== before?.tz) zoneButton.lastChild.textContent = zone.utc ? "UTC" : localZone;
  document.title = title(s);
  nav.events.href = href(finding(kindOf(s) === "events" ? { from: "-24h", to: "" } : {}));
  nav.system.href = href({ view: "system", event: "", id: "", tab: "", live: "" });
  for (const [name, a] of Object.entries(nav)) {
    if (kindOf(s) === name) a.setAttribute("aria-current", "page");
    else a.removeAttribute("aria-current");
  }
  if (signingIn) return;
  if (kindOf(s) !== kind) {
    view?.destroy();
    kind = kindOf(s);
    view = null;
    build(kind, before);
  } else view?.update(s, before ?? {});
}

async function build(wanted, before) {
  try {
    const View = await VIEWS[wanted]();
    if (kind !== wanted || signingIn) return;
    view = new View();
    clear(main, view.el);
    if (before) main.focus({ preventScroll: true });
  } catch (e) {
    failure(main, e, null, () => location.reload()); // another version is served now, or none
  }
}

const title = (s) => ({ system: "System", user: `${s.id} · User`, resource: `${s.id} · Resource` }[s.view] ?? (s.q ? s.q.slice(0, 80) : "Events")) + " · Daybook";

function cycleTheme() {
  const root = document.documentElement, dark = matchMedia("(prefers-color-scheme: dark)").matches;
  const now = root.dataset.theme ?? (dark ? "dark" : "light"), next = now === "dark" ? "light" : "dark";
  root.dataset.theme = next;
  store.set("theme", next);
  announce(`${next} theme`);
}

// Header.
const nav = {
  events: h("a", { testid: "nav-events" }, "Events"),
  system: h("a", { testid: "nav-system" }, "System"),
};
const zoneButton = h("button.btn.quiet.zone", { title: "Switch between UTC and local time", testid: "zone", click: () => set({ tz: zone.utc ? "local" : "utc" }, { replace: true }) }, icon("clock"), h("span"));
const accountButton = tool("Account", "user", { opens: "dialog", testid: "account", on: () => popup(accountButton, h("div.account", { role: "dialog", "aria-label": "Account", tabindex: -1 }, account()), { align: "end" }) });
document.getElementById("header").append(
  h("nav", { "aria-label": "Views" }, Object.values(nav)), h("div.header-tools", zoneButton,
    tool("Help", "help", { testid: "help", on: help }),
    tool("Light or dark", "sun", { testid: "theme", on: cycleTheme }), accountButton));

// Keyboard.
const KEYS = [["/", "search"], ["j  k", "next, previous event"], ["Enter", "open the event"], ["Esc", "close"], ["g  G", "first, last"], ["f", "add to the filter"], ["t", "time range"], ["z", "zoom out"], ["l", "live"], ["p", "pause, resume"], ["n", "show new ones"], ["e", "export"], ["r", "search again"], ["?", "this help"]];

addEventListener("keydown", (e) => {
  if (e.defaultPrevented || e.ctrlKey || e.metaKey || e.altKey || document.querySelector("dialog[open],[popover]:popover-open")) return;
  if (e.target.closest("input,textarea,select")) return;
  const typed = e.key.length === 1;
  if (typed && store.get("shortcuts", true) === false) return;
  if (e.key === "?") { e.preventDefault(); help(); return; }
  if (e.key === "Enter" && e.target.closest("a,button,summary,[role=grid],.stage")) return;
  if (e.key === "Escape" && e.target.closest(".stage")) return;
  if (signingIn || !view?.shortcut) return;
  if (view.shortcut(e.key)) e.preventDefault();
});

function help() {
  const examples = [["user_id:alice outcome:denied", "both"], ["action:(login or logout)", "either value"], ["action:document.*", "any run of characters"], ["-outcome:success", "not"], ["source_ip:10.0.0.0/8", "a network"], ["labels.env:prod", "a label"], ["metadata.order.total:>100", "a path, compared"], ["changes.path:email", "what changed"], ["reason:*", "is there"], ["timeout", "text anywhere"]];
  dialog("Help", () => [h("div.help",
    h("section", h("h3", "Keys"), pairs(...KEYS.map(([k, what]) => [k.split("  ").map((x) => [h("kbd", x), " "]), what])), h("label.check", h("input", { type: "checkbox", checked: store.get("shortcuts", true), change: (e) => store.set("shortcuts", e.target.checked) }), " Single-key shortcuts")),
    h("section", h("h3", "Filter"), h("dl.fields.examples", examples.map(([q, what]) => h("div.pair", h("dt", h("a", { href: href(finding({ q })) }, h("code", q))), h("dd", what)))),
      h("p.dim", "On the histogram: drag to zoom, or arrow keys, Shift to extend and Enter.")))], { wide: true, testid: "help-dialog" });
}
document.addEventListener("click", (e) => { if (e.target.closest("dialog a[href]")) e.target.closest("dialog").close(); });

// The server that goes and comes back.
let offline = false;
watch((what) => {
  if (what === OFFLINE && !offline) { offline = true; lost(1); }
  else if (what === "online" && offline) found();
  else if (what === "unauthenticated") askToSignIn();
});

function lost(n) {
  const wait = Math.min(2 ** n, 15);
  document.body.classList.add("offline");
  banner.hidden = false;
  clear(banner, icon("warn"), h("span", h("b", "The server does not answer. "), navigator.onLine === false ? "This machine is offline. " : "", `Asking again every ${wait} s; what is shown may be old.`), button("Ask now", { class: "small", on: () => probe(n) }));
  clearTimeout(lost.timer);
  lost.timer = setTimeout(() => probe(n + 1), wait * 1000);
}

async function probe(n) {
  clearTimeout(lost.timer);
  try {
    const r = await fetch("/healthz", { cache: "no-store" });
    if (!r.ok) throw new Error();
    found();
  } catch { lost(n); }
}

function found() {
  if (!offline) return;
  offline = false;
  clearTimeout(lost.timer);
  document.body.classList.remove("offline");
  banner.hidden = true;
  announce("The server answers again");
  setTimeout(() => view?.back?.(), 0);
}
addEventListener("online", () => offline && probe(1));

function askToSignIn() {
  if (signingIn) return;
  signingIn = true;
  view?.destroy();
  view = null;
  kind = "";
  document.body.classList.add("signed-out");
  signIn(main, () => {
    signingIn = false;
    document.body.classList.remove("signed-out");
    dressed();
    show(state, null);
  });
}

// dressed shows what the session may do.
function dressed() {
  nav.system.hidden = session.known && !may("admin") && !may("metrics");
  accountButton.hidden = false;
}

start();
onChange(show);
show(state, null);
loadSession().then((how) => (how === "sign-in" ? askToSignIn() : dressed()));
