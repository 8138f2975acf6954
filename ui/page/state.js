// The whole state of the page is its address: what is looked for, in which
// range, what is open. A link is a finding; back and forward go through findings.

export const DEFAULTS = { view: "events", q: "", from: "-24h", to: "", event: "", id: "", tab: "", live: "", tz: "utc" };
const ORDER = ["view", "id", "tab", "q", "from", "to", "live", "event", "tz"];

export const state = { ...DEFAULTS };
const listeners = new Set();

export function read(search) {
  const params = new URLSearchParams(search);
  const s = { ...DEFAULTS };
  for (const key of ORDER) if (params.has(key)) s[key] = params.get(key);
  if (s.tz !== "local") s.tz = "utc";
  if (s.from === "all") s.from = "";
  return s;
}

// write is the query string of a state. An open range is all, because leaving
// from out means the default.
export function write(s) {
  const params = new URLSearchParams();
  for (const key of ORDER) {
    const v = key === "from" && s.from === "" ? "all" : s[key];
    if (v !== DEFAULTS[key]) params.set(key, v);
  }
  const text = params.toString().replace(/%(3A|2F|2A|40)/g, decodeURIComponent);
  return text ? "?" + text : "";
}

export const href = (patch, base = state) => location.pathname + write({ ...base, ...patch });

// finding is a state that shows one thing and takes over only what still means
// something there.
export const finding = (patch) => ({ ...DEFAULTS, tz: state.tz, from: state.from, to: state.to, ...patch });

export function set(patch, { replace = false } = {}) {
  const before = { ...state };
  const next = { ...state, ...patch };
  if (ORDER.every((k) => next[k] === state[k])) return;
  Object.assign(state, next);
  history[replace ? "replaceState" : "pushState"](null, "", location.pathname + write(state));
  for (const f of listeners) f(state, before);
}

export function onChange(f) {
  listeners.add(f);
  return () => listeners.delete(f);
}

export function start() {
  Object.assign(state, read(location.search));
  addEventListener("popstate", () => {
    const before = { ...state };
    Object.assign(state, read(location.search));
    for (const f of listeners) f(state, before);
  });
  document.addEventListener("submit", (e) => e.preventDefault()); // no form loads anything
  // A link within the page changes the state and loads nothing.
  document.addEventListener("click", (e) => {
    const a = e.target.closest?.("a[href]");
    if (!a || e.defaultPrevented || e.button || e.metaKey || e.ctrlKey || e.shiftKey || e.altKey || a.target || a.hasAttribute("download")) return;
    const url = new URL(a.href);
    if (url.origin !== location.origin || url.pathname !== location.pathname || url.hash) return;
    e.preventDefault();
    set(read(url.search));
  });
}
