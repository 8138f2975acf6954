// Reads {values, queries} as JSON and answers with the filters that the page makes
// of values and with how it takes queries apart.
import { add, drop, escape, labelKey, key, quote, term, terms, tokens } from "../page/filter.js";

let text = "";
for await (const chunk of process.stdin) text += chunk;
const { values = [], queries = [] } = JSON.parse(text);
process.stdout.write(JSON.stringify({
  values: values.map((v) => ({
    is: term("user_id", v), starts: `user_id:${escape(v)}*`, contains: `user_id:*${escape(v)}*`,
    label: term(labelKey(v), v), path: `metadata.${key(v)}:${quote(v)}`,
  })),
  queries: queries.map((q) => {
    const parts = terms(q), ts = tokens(q);
    return {
      tokens: ts.map((t) => t.text), covered: ts.every((t, i) => q.slice(t.start, t.end) === t.text && (!i || ts[i - 1].end <= t.start)),
      rejoined: parts && parts.map((p) => p.text).join(" "), added: add(q, "session_id:x"),
      dropped: parts && parts.map((p) => drop(q, p)),
    };
  }),
}));
