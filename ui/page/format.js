// Times and numbers as people read them. Times are ISO strings with up to nine
// digits, as the server gives them, or milliseconds.

export const zone = { utc: true };

export const localZone = Intl.DateTimeFormat().resolvedOptions().timeZone;

export const zoneName = () => (zone.utc ? "UTC" : localZone);

const formats = new Map();
function format(name, options) {
  const key = name + zone.utc;
  if (!formats.has(key)) formats.set(key, new Intl.DateTimeFormat("en-GB", { ...options, hourCycle: "h23", timeZone: zone.utc ? "UTC" : undefined }));
  return formats.get(key);
}

const ms = (t) => (typeof t === "number" ? t : Date.parse(t));

// parts of a time in the zone that is shown. The last one is kept: a time is shown in
// more than one way.
let last = {};
export function parts(t) {
  const f = format("parts", { year: "numeric", month: "2-digit", day: "2-digit", hour: "2-digit", minute: "2-digit", second: "2-digit", weekday: "short" });
  if (last.f !== f || last.t !== t) {
    last = { f, t };
    for (const p of f.formatToParts(ms(t))) last[p.type] = p.value;
  }
  return last;
}

// shift is what a clock in the zone that is shown is ahead of UTC, in ms.
export function shift(t) {
  const p = parts(t);
  return Date.UTC(p.year, p.month - 1, p.day, p.hour, p.minute, p.second) - Math.floor(ms(t) / 1000) * 1000;
}

export function day(t) {
  const p = parts(t);
  return `${p.year}-${p.month}-${p.day}`;
}

export function clock(t, digits = 0) {
  const p = parts(t);
  const frac = digits ? "." + String(((ms(t) % 1000) + 1000) % 1000 | 0).padStart(3, "0") : "";
  return `${p.hour}:${p.minute}:${p.second}${frac}`;
}

export const dateTime = (t) => `${day(t)} ${clock(t)}`;

// exact is everything that is known of a time, to the digit, in the zone shown.
export function exact(t) {
  const frac = typeof t === "string" ? (/\.(\d+)/.exec(t)?.[0] ?? "") : "";
  return `${day(t)} ${clock(t)}${frac} ${zone.utc ? "UTC" : offset(t)}`;
}

// offset is the zone's distance from UTC, such as +01:00.
export function offset(t) {
  const d = zone.utc ? 0 : -new Date(ms(t)).getTimezoneOffset();
  const a = Math.abs(d);
  return `${d < 0 ? "−" : "+"}${String((a / 60) | 0).padStart(2, "0")}:${String(a % 60).padStart(2, "0")}`;
}

const UNITS = [[86400 * 365, "y"], [86400 * 30, "mo"], [86400, "d"], [3600, "h"], [60, "m"], [1, "s"]];

export function ago(t, now = Date.now()) {
  const s = (now - ms(t)) / 1000, a = Math.abs(s);
  if (a < 1) return "now";
  for (const [size, unit] of UNITS) if (a >= size) return s < 0 ? `in ${Math.floor(a / size)}${unit}` : `${Math.floor(a / size)}${unit}`;
  return "now";
}

export const agoLong = (t) => { const a = ago(t); return a === "now" ? "just now" : a.startsWith("in ") ? a : a + " ago"; };

export function duration(sec) {
  for (const [size, unit] of UNITS.slice(2)) {
    if (sec >= size) {
      const rest = Math.floor((sec % size) / (size === 86400 ? 3600 : 60));
      const sub = { d: "h", h: "m" }[unit];
      return `${Math.floor(sec / size)} ${unit}${sub && rest ? ` ${rest} ${sub}` : ""}`;
    }
  }
  return "0 s";
}

export const num = (n) => Number(n).toLocaleString("en");

// short is a count in few characters.
export function short(n) {
  if (n < 100000) return num(n);
  for (const [size, unit] of [[1e9, "B"], [1e6, "M"], [1e3, "k"]]) if (n >= size) return (n / size).toFixed(n / size < 10 ? 1 : 0) + unit;
  return String(n);
}

export function bytes(n) {
  if (n < 1000) return `${n} B`;
  for (const [size, unit] of [[1e12, "TB"], [1e9, "GB"], [1e6, "MB"], [1e3, "kB"]]) if (n >= size) return `${(n / size).toFixed(n / size < 100 ? 1 : 0)} ${unit}`;
}

export const plural = (n, one, many = one + "s") => `${num(n)} ${n === 1 ? one : many}`;

// interval reads the server's 30s, 5m, 1h, 1d, 1w as milliseconds.
export function interval(text) {
  let total = 0;
  for (const [, n, unit] of (text ?? "").matchAll(/(\d+(?:\.\d+)?)(ms|[smhdw])/g))
    total += n * { ms: 1, s: 1e3, m: 6e4, h: 36e5, d: 864e5, w: 6048e5 }[unit];
  return total;
}

// iso is what the server takes for a moment.
export const iso = (t) => new Date(t).toISOString();

// input and fromInput turn moments into what datetime-local holds, in the zone
// that is shown, and back.
export const toInput = (t) => `${day(t)}T${clock(t)}`;

export function fromInput(text) {
  const t = Date.parse(zone.utc ? text + "Z" : text);
  return Number.isNaN(t) ? null : iso(t).replace(".000Z", "Z");
}
