// Requests. Errors are the server's problem documents, or say that it was not
// reached; nothing else is thrown but AbortError.

class Problem extends Error {
  constructor(doc, response) {
    super(doc.detail || doc.title || "The server answered with an error.");
    this.doc = doc;
    this.reasons = (doc.errors ?? []).map((x) => `${x.field ?? ""} ${x.reason}`).join("; ") || this.message;
    this.status = doc.status ?? response?.status ?? 0;
    this.kind = (doc.type ?? "").split(":").pop();
    this.retryAfter = Number(response?.headers.get("Retry-After")) || 0;
  }
}

export const OFFLINE = "offline";

// client is how this document asks: the page with the browser's cookie, the
// viewer with a token and without cookies.
export const client = { token: "", cookies: true };

const watchers = new Set(); // told whether the server was reached, and of 401
export const watch = (f) => watchers.add(f);
const tell = (what) => { for (const f of watchers) f(what); };

export function url(path, params) {
  const query = new URLSearchParams();
  for (const [k, v] of Object.entries(params ?? {})) if (v !== undefined && v !== null && v !== "") query.set(k, v);
  const text = query.toString();
  return text ? `${path}?${text}` : path;
}

function options({ method = "GET", body, headers, signal }) {
  const o = { method, signal, headers: { ...headers }, credentials: client.cookies ? "same-origin" : "omit", cache: "no-store" };
  if (client.token) o.headers.Authorization = "Bearer " + client.token;
  if (body !== undefined) {
    o.body = typeof body === "string" ? body : JSON.stringify(body);
    o.headers["Content-Type"] = "application/json";
  }
  return o;
}

// send asks and returns the response when it is one of success.
export async function send(path, init = {}) {
  let response;
  try {
    response = await fetch(path, options(init));
  } catch (e) {
    if (e.name === "AbortError") throw e;
    tell(OFFLINE);
    throw new Problem({ title: "No connection", detail: "The server does not answer.", type: "urn:problem-type:daybook:" + OFFLINE, status: 0 });
  }
  tell("online");
  if (response.ok) return response;
  let doc = {};
  try { doc = await response.json(); } catch { doc = { title: response.statusText || `Status ${response.status}` }; }
  const problem = new Problem({ status: response.status, ...doc }, response);
  if (problem.status === 401 && !init.quiet) tell("unauthenticated");
  throw problem;
}

const sleep = (ms, signal) => new Promise((resolve, reject) => {
  const timer = setTimeout(resolve, ms);
  signal?.addEventListener("abort", () => { clearTimeout(timer); reject(new DOMException("aborted", "AbortError")); }, { once: true });
});

// get asks for JSON. A server that is busy for a moment is asked again.
export async function get(path, params, { signal, tries = 3, ...rest } = {}) {
  for (let n = 1; ; n++) {
    try {
      const response = await send(url(path, params), { signal, ...rest });
      const doc = await response.json();
      const missing = response.headers.get("Daybook-Missing-Events");
      if (missing && doc && typeof doc === "object") Object.defineProperty(doc, "missing", { value: Number(missing) });
      return doc;
    } catch (e) {
      const passing = e.status === 429 || (e.status === 503 && ["busy", "behind", "damaged", "stream-unavailable"].includes(e.kind));
      if (!passing || n >= tries) throw e;
      await sleep(Math.max(500, e.retryAfter * 1000) * n, signal);
    }
  }
}

export async function post(path, body, init = {}) {
  const response = await send(path, { method: "POST", body, ...init });
  return response.status === 204 ? null : response.json();
}

export const remove = (path) => send(path, { method: "DELETE" });

// tail reads the live tail for as long as signal lets it: it connects again from
// the last id, with growing pauses, and gives up only where asking again cannot
// help. batch gets the events of one read; status is told "open", "waiting" or
// "ended" with a problem.
export async function tail(params, { signal, batch, status }) {
  let id = "", pause = 1000;
  for (;;) {
    try {
      const { since, ...others } = params;
      const response = await send(url("/v1/events/tail", id ? others : { since, ...others }), { signal, headers: id ? { "Last-Event-ID": id } : {} });
      status("open");
      pause = 1000;
      await readStream(response.body, signal, (newID, events) => {
        id = newID || id;
        if (events.length) batch(events);
      });
    } catch (e) {
      if (e.name === "AbortError" || signal.aborted) return;
      if (e.kind === "not-in-this-log") id = "";
      else if (e instanceof Problem && e.status && e.status < 500 && e.status !== 429) { status("ended", e); return; }
    }
    if (signal.aborted) return;
    status("waiting");
    try { await sleep(pause * (0.75 + Math.random() / 2), signal); } catch { return; }
    pause = Math.min(pause * 2, 15000);
  }
}

// SILENCE is how long a tail may say nothing, its heartbeat included.
const SILENCE = 45000;

async function readStream(body, signal, deliver) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "", timer, giveUp;
  const dead = new Promise((_, reject) => { giveUp = () => reject(new Error("the tail has gone silent")); });
  const arm = () => { clearTimeout(timer); timer = setTimeout(giveUp, SILENCE); };
  arm();
  try {
    for (;;) {
      const { done, value } = await Promise.race([reader.read(), dead]);
      if (done || signal.aborted) return;
      arm();
      rest += value;
      const end = rest.lastIndexOf("\n\n");
      if (end < 0) continue;
      const whole = rest.slice(0, end);
      rest = rest.slice(end + 2);
      let id = "";
      const events = [];
      for (const block of whole.split("\n\n")) {
        let data = "", blockID = "";
        for (const line of block.split("\n")) {
          if (line.startsWith("data: ")) data = line.slice(6);
          else if (line.startsWith("id: ")) blockID = line.slice(4);
        }
        if (data) events.push(JSON.parse(data));
        id = blockID || id;
      }
      deliver(id, events);
    }
  } finally {
    clearTimeout(timer);
    reader.cancel().catch(() => {});
  }
}
