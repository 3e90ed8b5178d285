// A form for an operation: sends the request and shows what came back.

import { bounds, resolve, typeText } from "./schema.js";
import { element, quoted, size, spans } from "./text.js";

/** How much of an answer is shown, in letters. */
const SHOWN_MAX = 200_000;

/** Where the service is, also behind a proxy that puts something before its paths. */
export const ROOT = new URL(".", location.href).href;

let fields = 0;

function field(label, text, input) {
  fields += 1;
  const id = `field-${fields}`;
  input.id = id;
  const hint = text.length > 0 ? element("p", { class: "quiet", id: `${id}-text` }, ...text) : undefined;
  if (hint) input.setAttribute("aria-describedby", hint.id);
  return element("div", { class: "field" }, element("label", { for: id }, label), hint, input);
}

/** A field for a parameter: one of some words where there are only some. */
function parameterField(api, item) {
  const parameter = resolve(api, item);
  const schema = resolve(api, parameter.schema);
  const example = parameter.example ?? "";
  const options = schema.enum?.map((word) => element("option", { value: word, selected: word === example }, String(word)));
  const input = options
    ? element("select", {}, ...(parameter.required ? [] : [element("option", { value: "" }, "")]), ...options)
    : element("input", {
      value: parameter.required ? example : "", placeholder: schema.examples?.[0], spellcheck: "false", autocomplete: "off",
    });
  const kind = parameter.in === "path" ? "" : `, ${parameter.in === "query" ? "query" : "header"}`;
  const form = [typeText(api, parameter.schema), bounds(schema)].filter(Boolean).join(", ");
  const text = [...spans(parameter.description), element("br"), form];
  return { parameter, input, shown: field(`${parameter.name}${kind}`, text, input) };
}

function bodyFields(api, item) {
  const body = item && resolve(api, item);
  if (!body) return undefined;
  const types = Object.keys(body.content);
  const sample = body.content[types[0]].example;
  const text = typeof sample === "string" ? sample : JSON.stringify(sample ?? {}, null, 2);
  const area = element("textarea", { class: "body", spellcheck: "false", autocomplete: "off" });
  area.value = text;
  const type = element("select", {}, ...types.map((name) => element("option", { value: name }, name)));
  // A form has other letters than JSON: what was not changed follows the type.
  type.addEventListener("change", () => {
    const isForm = type.value === "application/x-www-form-urlencoded";
    if (isForm && area.value === text && typeof sample === "object") area.value = new URLSearchParams(sample).toString();
  });
  const shown = [field("Body", [], area)];
  if (types.length > 1) shown.unshift(field("Type of the body", [], type));
  return { area, type, shown };
}

/** The lines `Name: value` of a text. */
function headersOf(text) {
  const lines = text.split("\n").map((line) => line.trim()).filter(Boolean);
  return lines.map((line) => {
    const colon = line.indexOf(":");
    if (colon < 1) throw new Error(`A header is written as "Name: value", not as "${line}".`);
    return [line.slice(0, colon).trim(), line.slice(colon + 1).trim()];
  });
}

/** A form for an operation, and the place for what comes back. */
export function operationForm(api, method, path, operation) {
  const parameters = (operation.parameters ?? []).map((item) => parameterField(api, item));
  const body = bodyFields(api, operation.requestBody);
  const headers = element("textarea", { spellcheck: "false", autocomplete: "off", rows: "1" });
  const send = element("button", { type: "submit" }, "Send");
  const copy = element("button", { type: "button" }, "Copy as curl");
  const outcome = element("div", { role: "status" });

  const request = () => {
    const taken = { headers: headersOf(headers.value), query: new URLSearchParams(), path };
    for (const { parameter, input } of parameters) {
      const value = input.value;
      if (parameter.in === "path") taken.path = taken.path.replace(`{${parameter.name}}`, segment(api, parameter, value));
      else if (value !== "" && parameter.in === "query") taken.query.append(parameter.name, value);
      else if (value !== "") taken.headers.push([parameter.name, value]);
    }
    if (body) taken.headers.unshift(["Content-Type", body.type.value]);
    const query = taken.query.size > 0 ? `?${taken.query}` : "";
    const url = new URL(taken.path.slice(1) + query, ROOT).href;
    return { url, method: method.toUpperCase(), headers: taken.headers, body: body?.area.value };
  };

  const told = (work) => async (event) => {
    event.preventDefault();
    try {
      await work();
    } catch (error) {
      outcome.replaceChildren(element("p", { class: "status bad" }, error.message));
    }
  };
  copy.addEventListener("click", told(async () => {
    const line = curlLine(request());
    // Only a page that came over TLS or from this machine may write to the clipboard.
    await navigator.clipboard?.writeText(line);
    outcome.replaceChildren(element("p", {}, navigator.clipboard ? "Copied:" : "Copy this:"), element("pre", { tabindex: "0" }, line));
  }));
  const submit = told(async () => {
    const asked = request();
    send.disabled = true;
    outcome.replaceChildren(element("p", { class: "quiet" }, "Waiting for the answer …"));
    try {
      outcome.replaceChildren(...(await answerTo(asked)), element("h3", {}, "The same by curl"), element("pre", { tabindex: "0" }, curlLine(asked)));
    } finally {
      send.disabled = false;
    }
  });
  return element(
    "form", { submit, novalidate: true },
    element("div", { class: "fields" }, ...parameters.map(({ shown }) => shown)),
    ...(body?.shown ?? []),
    field("More headers", ["One in a line: ", element("code", {}, "Name: value")], headers),
    element("div", { class: "buttons" }, send, copy),
    outcome,
  );
}

/** A part of a path. The id of a job is encoded already. */
function segment(api, parameter, text) {
  return resolve(api, parameter.schema).format === "job-id" ? text : encodeURIComponent(text);
}

async function answerTo({ url, method, headers, body }) {
  const begun = performance.now();
  const answer = await fetch(url, { method, headers, body, redirect: "manual", credentials: "same-origin" });
  const bytes = await answer.arrayBuffer();
  const took = Math.round(performance.now() - begun);
  const text = new TextDecoder().decode(bytes);
  const { shown, isRefusal } = bodyText(text, answer.headers.get("content-type") ?? "");
  const isGood = answer.ok && !isRefusal;
  const lines = [...answer.headers].map(([name, value]) => `${name}: ${value}`).join("\n");
  return [
    element("h3", {}, "Answer"),
    element("p", {}, element("span", { class: `status ${isGood ? "good" : "bad"}` }, `${answer.status} ${answer.statusText}`),
      element("span", { class: "quiet" }, ` ${took} ms, ${size(bytes.byteLength)}`)),
    element("pre", { tabindex: "0", "aria-label": "Body" }, shown || "(empty)"),
    element("details", {}, element("summary", {}, "Headers"), element("pre", { tabindex: "0" }, lines)),
  ];
}

/** A body as it is shown, and whether its envelope tells of a refusal. */
function bodyText(text, type) {
  let shown = text;
  let isRefusal = false;
  if (type.includes("json")) {
    try {
      const value = JSON.parse(text);
      isRefusal = value?.error === 1;
      shown = JSON.stringify(value, null, 2);
    } catch {
      // Several documents in lines, or none: the text stays as it came.
    }
  }
  if (shown.length > SHOWN_MAX) shown = `${shown.slice(0, SHOWN_MAX)}\n… ${shown.length - SHOWN_MAX} letters more`;
  return { shown, isRefusal };
}

function curlLine({ url, method, headers, body }) {
  const words = ["curl", "-sS", "-X", method, url, ...headers.flatMap(([name, value]) => ["-H", `${name}: ${value}`])];
  if (body !== undefined) words.push("--data-raw", body);
  return words.map(quoted).join(" ");
}
