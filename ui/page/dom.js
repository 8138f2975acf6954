// Elements and what they may show. Text is only ever set as text: nothing here
// or elsewhere makes HTML of a string.

const SVG = "http://www.w3.org/2000/svg";

// h makes an element: h("div.card.wide", {props}, ...children). Properties that are
// functions listen; style is an object, set through CSSOM; testid and data are
// dataset's; all others are attributes, left out when null, undefined or false.
export const h = (name, ...rest) => make((tag) => document.createElement(tag), name, rest);
export const svg = (name, ...rest) => make((tag) => document.createElementNS(SVG, tag), name, rest);

function make(create, name, rest) {
  const [tag, ...classes] = name.split(".");
  const el = create(tag);
  el.classList.add(...classes);
  if (tag === "button") el.type = "button";
  const first = rest[0];
  const given = first && typeof first === "object" && !Array.isArray(first) && !(first instanceof Node);
  for (const [key, v] of Object.entries(given ? rest.shift() : {})) {
    if (v === null || v === undefined || v === false) continue;
    if (typeof v === "function") el.addEventListener(key, v);
    else if (/^on/i.test(key)) throw new Error(`${key}: a listener is a function under the event's name`);
    else if (key === "class") el.classList.add(...v.split(" ").filter(Boolean));
    else if (key === "testid") el.dataset.testid = v;
    else if (key === "data") Object.assign(el.dataset, v);
    else if (key === "style") for (const [k, x] of Object.entries(v)) el.style.setProperty(k, x);
    else if (key === "value" && "value" in el) el.value = v;
    else el.setAttribute(key, v === true ? "" : v);
  }
  el.append(...flat(rest));
  return el;
}

const flat = (children) => children.flat(Infinity).filter((c) => c !== null && c !== undefined && c !== false);

// dim is text that matters less.
export const dim = (...content) => h("span.dim", ...content);

// badge is how something ended, or what is coloured like it.
export const badge = (outcome, text = outcome) => h("span", { class: `outcome ${outcome}` }, text);

// pairs is a list of names and values; what is no pair is left out.
export const pairs = (...all) => h("dl.fields", flat(all.map((p) => Array.isArray(p) && h("div.pair", h("dt", p[0]), h("dd", { class: p[2] }, p[1])))));

// clear puts other children into an element. Where one had the focus, what stands in its
// place has it then.
export function clear(el, ...children) {
  const had = document.activeElement, stops = () => [...el.querySelectorAll("a,button,input,[tabindex]")];
  const at = had !== el && el.contains(had) ? stops().indexOf(had) : -1;
  el.replaceChildren(...flat(children));
  if (at >= 0) (stops()[at] ?? stops().at(-1))?.focus({ preventScroll: true });
  return el;
}

// Icons, as paths on a grid of 16.
const ICONS = {
  search: "M7 2.5a4.5 4.5 0 1 0 0 9 4.5 4.5 0 0 0 0-9ZM10.5 10.5 14 14",
  close: "m4 4 8 8M12 4l-8 8",
  plus: "M8 3v10M3 8h10",
  minus: "M3 8h10",
  right: "m6 4 4 4-4 4",
  clock: "M8 2a6 6 0 1 0 0 12A6 6 0 0 0 8 2Zm0 3v3l2 1.5",
  play: "M5 3.5v9l7-4.5Z",
  pause: "M5.5 3.5v9M10.5 3.5v9",
  star: "m8 2 1.8 3.9 4.2.5-3.1 2.9.8 4.2L8 11.4l-3.7 2.1.8-4.2L2 6.4l4.2-.5Z",
  download: "M8 2v8m-3-3 3 3 3-3M3 13.5h10",
  filter: "M2.5 4h11M4.5 8h7M6.5 12h3",
  copy: "M5.5 5.5h8v8h-8zM10.5 5.5v-3h-8v8h3",
  link: "M6.5 9.5 9.5 6.5M7 4.5l1-1a3 3 0 0 1 4.5 4.5l-1 1M9 11.5l-1 1A3 3 0 0 1 3.5 8l1-1",
  user: "M8 2.5a2.75 2.75 0 1 0 0 5.5 2.75 2.75 0 0 0 0-5.5ZM2.5 14c.5-3 2.5-4.5 5.5-4.5s5 1.5 5.5 4.5",
  box: "M2.5 5 8 2l5.5 3v6L8 14l-5.5-3ZM2.5 5 8 8l5.5-3M8 8v6",
  sun: "M8 5a3 3 0 1 0 0 6 3 3 0 0 0 0-6ZM8 1v1.5M8 13.5V15M1 8h1.5M13.5 8H15M3 3l1 1M12 12l1 1M3 13l1-1M12 4l1-1",
  help: "M6 6a2 2 0 1 1 3 1.7c-.7.4-1 .8-1 1.8M8 12v.4",
  server: "M2.5 3h11v4h-11zM2.5 9h11v4h-11zM5 5h.1M5 11h.1",
  out: "M6 2.5H3v11h3M7 8h7m-3-3 3 3-3 3",
  check: "m3 8.5 3.5 3.5L13 4.5",
  warn: "M8 2 1.5 13.5h13ZM8 6.5v3M8 11.5v.2",
};

export function icon(name) {
  return svg("svg.icon", { viewBox: "0 0 16 16", "aria-hidden": "true", focusable: "false" }, svg("path", { d: ICONS[name] }));
}

// button makes a button whose name is label; with an icon alone it is the title
// too. opens says what kind of thing it opens.
export function button(label, { icon: name, iconOnly, opens, on, class: cls, ...rest } = {}) {
  return h("button", { class: `btn ${iconOnly ? "icon-only " : ""}${cls ?? ""}`, title: iconOnly ? label : null, "aria-label": label || null, "aria-haspopup": opens, "aria-expanded": opens && "false", click: on, ...rest }, name && icon(name), iconOnly ? null : h("span", label));
}

// tool is a button that is an icon and quiet.
export const tool = (label, name, more) => button(label, { icon: name, iconOnly: true, class: "quiet", ...more });

// submitter is a form's main button.
export const submitter = (label, testid) => h("button.btn.primary", { type: "submit", testid }, label);

// choices end a dialog with a form.
export const choices = (close, ...main) => h("footer", button("Cancel", { on: close }), submitter(...main));

// Characters that change how what stands around them looks, or look like nothing:
// controls, bidirectional overrides and isolates, zero widths, tags.
const HIDDEN = /[\u0000-\u001f\u007f-\u009f\u00ad\u061c\u115f\u1160\u180e\u200b-\u200f\u2028-\u202e\u2060-\u2069\u3164\ufe00-\ufe0e\ufeff\ufff9-\ufffc]|[\udb40][\udc00-\udfff]/u;
const HIDDEN_ALL = new RegExp(`(${HIDDEN.source}|\\r\\n)`, "gu");
const PLAIN = new Set(["\n", "\t", "\u200d"]);

const code = (c) => "U+" + c.codePointAt(0).toString(16).toUpperCase().padStart(4, "0");

// safe returns nodes that show a value as it is and keep it from changing what
// stands around it: isolated in its direction, hidden characters made visible,
// and no more than max characters of it. Where there is one line for it, line
// ends and tabs are shown as their code too.
export function safe(value, max = 300, oneLine = false) {
  let text = String(value ?? "");
  const cut = text.length > max;
  if (cut) text = text.slice(0, max).replace(/[\ud800-\udbff]$/, "");
  const bdi = h("bdi.value");
  if (!HIDDEN.test(text)) bdi.textContent = cut ? text + "…" : text;
  else {
    let plain = "", marks = 0;
    for (const part of text.split(HIDDEN_ALL)) {
      if (!part) continue;
      if (part.length <= 2 && HIDDEN.test(part) && (!PLAIN.has(part) || (oneLine && part !== "\u200d")) && marks < 100) {
        bdi.append(plain, h("span.hidden-char", { title: "invisible character" }, code(part)));
        plain = "";
        marks++;
      } else plain += part;
    }
    bdi.append(cut ? plain + "…" : plain);
  }
  return bdi;
}

export const inLine = (value, max) => safe(value, max, true);

// long is safe for values that may be very long: the beginning, and a button for
// the rest, in pieces.
export function long(value, step = 2000) {
  const text = String(value);
  if (text.length <= step) return safe(text, step);
  const box = h("span.long");
  const show = (n) => {
    const rest = text.length - n;
    clear(box, safe(text.slice(0, n), n), rest > 0 && button(`Show ${Math.min(rest, n * 7).toLocaleString("en")} more of ${text.length.toLocaleString("en")} characters`,
      { class: "link", on: (e) => { e.stopPropagation(); show(Math.min(text.length, n * 8)); } }));
  };
  show(step);
  return box;
}

export function debounce(f, ms) {
  let timer;
  const later = (...args) => { clearTimeout(timer); timer = setTimeout(f, ms, ...args); };
  later.cancel = () => clearTimeout(timer);
  return later;
}

// announce tells screen readers something, politely.
export function announce(text) {
  const region = document.getElementById("announce");
  if (region) region.textContent = text;
}

// toast says for a moment what has been done.
export function toast(text, kind = "") {
  let stack = document.getElementById("toasts");
  if (!stack) document.body.append(stack = h("div", { id: "toasts", role: "status" }));
  const el = h("div", { class: `toast ${kind}`, testid: "toast" }, safe(text));
  stack.append(el);
  setTimeout(() => el.remove(), kind === "bad" ? 8000 : 3500);
}

// popup opens a panel below an element until something else is wanted. The panel
// is in the top layer, so nothing clips it.
export function popup(anchor, panel, { align = "start", focus = true, onclose } = {}) {
  panel.setAttribute("popover", "auto");
  panel.classList.add("popup");
  if (!panel.isConnected) document.body.append(panel);
  const place = () => {
    const a = anchor.getBoundingClientRect(), p = panel.getBoundingClientRect();
    const x = align === "end" ? a.right - p.width : a.left;
    panel.style.left = Math.max(8, Math.min(x, innerWidth - p.width - 8)) + "px";
    const below = a.bottom + 4, fits = below + p.height <= innerHeight - 8;
    panel.style.top = (fits ? below : Math.max(8, Math.min(below, innerHeight - p.height - 8))) + "px";
  };
  const toggled = (e) => {
    if (e.newState !== "closed") return;
    anchor.setAttribute("aria-expanded", "false");
    panel.removeEventListener("toggle", toggled);
    removeEventListener("resize", place);
    panel.remove();
    onclose?.();
  };
  panel.addEventListener("toggle", toggled);
  addEventListener("resize", place);
  panel.showPopover();
  anchor.setAttribute("aria-expanded", "true");
  place();
  if (focus) panel.querySelector("[autofocus],input,button,select,a")?.focus();
  return { close: () => panel.isConnected && panel.hidePopover(), place };
}

// dialog shows a modal dialog with a title. body gets a function that closes it.
export function dialog(title, body, { wide, testid, onclose } = {}) {
  const el = h("dialog", { class: wide ? "wide" : "", "aria-label": title, testid: testid ?? "dialog" });
  const close = () => el.close();
  el.append(h("header", h("h2", title), tool("Close", "close", { on: close })), ...flat([body(close)]));
  el.addEventListener("close", () => { el.remove(); onclose?.(); });
  el.addEventListener("click", (e) => { if (e.target === el) close(); });
  document.body.append(el);
  el.showModal();
  return { el, close };
}

// confirm asks before something that cannot be undone.
export function confirm(title, text, action) {
  return new Promise((resolve) => {
    let answer = false;
    dialog(title, (close) => [h("p.dialog-text", text), h("footer",
      button("Cancel", { on: close }), button(action, { class: "danger", testid: "confirm", on: () => { answer = true; close(); } }))],
    { testid: "confirm-dialog", onclose: () => resolve(answer) });
  });
}

export async function copy(text, what) {
  try {
    await navigator.clipboard.writeText(text);
    toast(`${what} copied`);
  } catch {
    dialog(`Copy ${what}`, () => h("textarea.copy-box", { readonly: true, rows: 12, "aria-label": what, value: text, focus: (e) => e.target.select() }));
  }
}

// store keeps small things in this browser, where it may.
export const store = {
  get(key, otherwise) {
    try { return JSON.parse(localStorage.getItem("daybook." + key)) ?? otherwise; } catch { return otherwise; }
  },
  set(key, value) {
    try { localStorage.setItem("daybook." + key, JSON.stringify(value)); } catch { /* full or forbidden */ }
  },
};
