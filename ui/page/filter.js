// The filter language, as far as the page must know it: to colour it, to
// complete it, to take it apart into chips and to put terms together. The server
// alone says what is valid.

// FIELDS with what they are, in the order in which they are offered. by: values
// can be counted and so completed.
export const FIELDS = [
  ["user_id", "who did it"], ["action", "what was done"], ["resource", "what it was done to"], ["outcome", "how it ended"],
  ["resource_type", "kind of resource"], ["source_ip", "address or network"], ["source", "publishing service"], ["operation", "class of the action"],
  ["tenant_id", "whose log"], ["user_type", "kind of user"], ["user_name", "display name"], ["on_behalf_of", "acted for"],
  ["resource_name", "display name"], ["session_id", "session"], ["request_id", "request"], ["trace_id", "trace"], ["correlation_id", "correlation"],
  ["error_code", "machine-readable cause"], ["reason", "why, for people"], ["user_agent", "browser or program"], ["labels.", "a label"],
  ["metadata.", "a path in the metadata"], ["changes.path", "what changed"], ["changes.old.", "value before"], ["changes.new.", "value after"],
  ["timestamp", "when it happened"], ["received_at", "when it was taken"], ["event_id", "identity"], ["partition", "place in the stream"], ["offset", "place in the stream"],
];
export const ENUMS = {
  outcome: ["success", "failure", "denied", "unknown"],
  operation: ["create", "read", "update", "delete", "login", "other"],
  user_type: ["user", "service", "api_key", "agent", "system", "anonymous"],
};
export const TIMES = new Set(["timestamp", "received_at"]);
const UNCOUNTED = new Set(["timestamp", "received_at", "event_id", "partition", "offset", "labels", "metadata", "changes"]);
export const countable = (field) => !UNCOUNTED.has(field) && !field.startsWith("changes.") && !field.endsWith(".");

const SPACE = /\s/u;

// tokens cuts a filter into what is coloured: {kind, text, start, end}, spaces
// left out. Kinds: field, colon, value, string, compare, keyword, paren, minus,
// text. depth says how deep in parentheses, group in whose field's.
export function tokens(q) {
  const out = [];
  const push = (kind, start, end, more) => out.push({ kind, start, end, text: q.slice(start, end), depth: groups.length, ...more });
  const groups = []; // field of each open parenthesis; "" for none
  let i = 0;
  while (i < q.length) {
    const c = q[i];
    if (SPACE.test(c)) { i++; continue; }
    if (c === "(") { push("paren", i, i + 1); groups.push(""); i++; continue; }
    if (c === ")") { groups.pop(); push("paren", i, i + 1); i++; continue; }
    if (c === "-" && i + 1 < q.length && !SPACE.test(q[i + 1])) { push("minus", i, i + 1); i++; continue; }
    const group = groups.findLast((g) => g) ?? "";
    const { end, colon } = word(q, i);
    const text = q.slice(i, end);
    if (/^(and|or|not)$/i.test(text)) push("keyword", i, end);
    else if (group) value(i, end, group);
    else if (colon > 0) {
      push("field", i, colon);
      push("colon", colon, colon + 1);
      const field = q.slice(i, colon);
      if (colon + 1 === end && q[end] === "(") {
        push("paren", end, end + 1, { field });
        groups.push(field);
        i = end + 1;
        continue;
      }
      if (end > colon + 1) value(colon + 1, end, field);
    } else push(text[0] === '"' ? "string" : "text", i, end);
    i = end;
  }
  return out;

  function value(start, end, field) {
    const op = /^(>=|<=|>|<)/.exec(q.slice(start, end))?.[0];
    if (op) { push("compare", start, start + op.length, { field }); start += op.length; }
    if (start < end) push(q[start] === '"' ? "string" : "value", start, end, { field });
  }
}

// word finds the end of what stands at i without a space, and the first colon in
// it that ends a field's name, or -1.
function word(q, i) {
  let colon = -1, quoted = false;
  const start = i;
  for (; i < q.length; i++) {
    const c = q[i];
    if (c === "\\") { i++; continue; }
    if (c === '"') { quoted = !quoted; continue; }
    if (quoted) continue;
    if (SPACE.test(c) || c === "(" || c === ")") break;
    if (c === ":" && colon < 0) colon = i;
  }
  if (colon === start || q[start] === '"') colon = -1;
  return { end: Math.min(i, q.length), colon };
}

// terms takes a filter apart into what must all be met: {text, start, end,
// negated, field, value}. It is null where the filter is an alternative as a
// whole.
export function terms(q) {
  const out = [];
  let open = null;
  const ts = tokens(q);
  const finish = (end) => { if (open) { open.end = end; open.text = q.slice(open.start, end); out.push(open); open = null; } };
  for (let n = 0; n < ts.length; n++) {
    const t = ts[n];
    if (t.depth > 0) continue;
    open ??= t.kind === "keyword" && /^and$/i.test(t.text) ? null : { start: t.start, negated: false, field: "", value: "" };
    switch (t.kind) {
      case "keyword":
        if (/^or$/i.test(t.text)) return null;
        if (/^not$/i.test(t.text) && open) open.negated = !open.negated;
        break;
      case "minus": open.negated = !open.negated; break;
      case "field":
        open.field = t.text;
        if (ts[n + 1]?.kind !== "colon") finish(t.end);
        break;
      case "compare":
        open.value = t.text;
        // falls through
      case "colon": if (ts[n + 1]?.start !== t.end) finish(t.end); break;
      case "paren": if (t.text === ")") { open.value = q.slice(q.indexOf("(", open.start), t.end); finish(t.end); } break;
      default: open.value += t.text; finish(t.end);
    }
  }
  finish(q.length);
  return out;
}

const BARE = /^[\p{L}\p{N}_][\p{L}\p{N}_@/.+,:;#&%=$!?~-]*$/u;

// quote writes a value so that it stands for itself.
export const quote = (v) => (BARE.test(v) && !v.includes("..") ? v : JSON.stringify(String(v)));

// escape writes a value for use within a pattern.
export const escape = (v) => v.replace(/[\s()"\\*]/gu, "\\$&").replaceAll("..", "\\.\\.").replace(/^[<>-]/, "\\$&");

export const key = (k) => (/^[\p{L}\p{N}_/-]+$/u.test(k) ? k : JSON.stringify(k));
export const labelKey = (k) => "labels." + (/^[\p{L}\p{N}_/.-]+$/u.test(k) ? k : JSON.stringify(k));

// term is a field's value as a filter, or "" for a field that is absent.
export const term = (field, value) => (value === "" || value === null ? `-${field}:*` : `${field}:${quote(String(value))}`);
export const not = (t) => (t.startsWith("-") ? t.slice(1) : "-" + t);

// add puts a term to a filter; one that is there already, or is there negated,
// is not there twice.
export function add(q, t) {
  q = q.trim();
  const all = terms(q);
  if (all === null) return `(${q}) ${t}`;
  const rest = all.filter((x) => x.text !== t && x.text !== not(t));
  return [...rest.map((x) => x.text), t].join(" ");
}

// drop takes one of terms(q) out.
export function drop(q, t) {
  return (q.slice(0, t.start).trimEnd() + " " + q.slice(t.end).trimStart()).trim().replace(/^and\s+|\s+and$/gi, "");
}

export function swap(q, t, by) {
  return q.slice(0, t.start) + by + q.slice(t.end);
}

// OPERATORS of the builder: name, whether a value is asked for, and the filter.
export const OPERATORS = [
  ["is", true, (f, v) => `${f}:${quote(v)}`],
  ["is not", true, (f, v) => `-${f}:${quote(v)}`],
  ["starts with", true, (f, v) => `${f}:${escape(v)}*`],
  ["ends with", true, (f, v) => `${f}:*${escape(v)}`],
  ["contains", true, (f, v) => `${f}:*${escape(v)}*`],
  ["is at least", true, (f, v) => `${f}:>=${quote(v)}`],
  ["is at most", true, (f, v) => `${f}:<=${quote(v)}`],
  ["exists", false, (f) => `${f}:*`],
  ["is absent", false, (f) => `-${f}:*`],
];

// index turns the server's column, which counts characters from 1, into an index.
export function index(q, column) {
  let i = 0;
  for (let n = 1; n < column && i < q.length; n++) i += q.codePointAt(i) > 0xffff ? 2 : 1;
  return i;
}

// at says what is being written at an index: {kind: field or value, field,
// text, start, end}.
export function at(q, caret) {
  const t = tokens(q).find((x) => x.start <= caret && caret <= x.end && x.kind !== "paren" && x.kind !== "minus" && x.kind !== "compare");
  if (!t) {
    const before = tokens(q).findLast((x) => x.end <= caret);
    const field = before?.kind === "paren" && before.field;
    if (field || (before?.kind === "compare" && before.end === caret)) return { kind: "value", field: field || before.field, text: "", start: caret, end: caret };
    return { kind: "field", field: "", text: "", start: caret, end: caret };
  }
  if (t.kind === "colon") {
    const field = q.slice(0, t.start).match(/(?:"[^"]*"|[^\s()"-]|(?<=\S)-)+$/u)?.[0] ?? "";
    return t.end === caret ? { kind: "value", field, text: "", start: caret, end: caret } : { kind: "field", field: "", text: field, start: t.start - field.length, end: t.end };
  }
  if (t.field) return { kind: "value", field: t.field, text: t.text, start: t.start, end: t.end };
  const colon = q[t.end] === ":" ? 1 : 0;
  return { kind: "field", field: "", text: q.slice(t.start, caret), start: t.start, end: t.end + (t.kind === "field" ? colon : 0) };
}
