// The page: operations by family, each with its form, its request and its answers.

import { operationForm, ROOT } from "./form.js";
import { explained, resolve } from "./schema.js";
import { element, prose, spans } from "./text.js";

const place = (id) => document.getElementById(id);

async function start() {
  try {
    const answer = await fetch(new URL("openapi.json", ROOT));
    if (!answer.ok) throw new Error(`openapi.json: ${answer.status}`);
    show(await answer.json());
  } catch (error) {
    place("operations").replaceChildren(element("p", { class: "status bad" }, `The description cannot be read: ${error.message}`));
  }
}

function show(api) {
  place("version").textContent = api.info.version;
  place("about").replaceChildren(...prose(api.info.description));
  const operations = Object.entries(api.paths).flatMap(([path, item]) =>
    Object.entries(item).map(([method, operation]) => ({ method, path, operation, shown: shownOperation(api, method, path, operation) })));
  const families = api.tags.map((tag) => ({ tag, members: operations.filter(({ operation }) => operation.tags.includes(tag.name)) }));
  const sections = families.map(({ tag, members }) =>
    element("section", {}, element("h2", {}, tag.name), ...prose(tag.description), ...members.map(({ shown }) => shown)));
  place("operations").replaceChildren(...sections);
  place("filter").addEventListener("input", () => filter(operations, sections));
  filter(operations, sections);
  addEventListener("hashchange", openNamed);
  openNamed();
}

/** Leaves what holds every word. */
function filter(operations, sections) {
  const words = place("filter").value.toLowerCase().split(/\s+/).filter(Boolean);
  let count = 0;
  for (const { method, path, operation, shown } of operations) {
    const text = [method, path, operation.operationId, operation.summary, operation.description, ...operation.tags].join(" ").toLowerCase();
    shown.hidden = !words.every((word) => text.includes(word));
    count += shown.hidden ? 0 : 1;
  }
  for (const section of sections) section.hidden = !section.querySelector("details.operation:not([hidden])");
  place("found").textContent = words.length > 0 ? `${count} of ${operations.length} operations` : "";
}

/** Opens the operation that the address names. */
function openNamed() {
  const named = place(decodeURIComponent(location.hash.slice(1)));
  if (!named?.matches("details.operation")) return;
  named.open = true;
  named.scrollIntoView();
}

function shownOperation(api, method, path, operation) {
  const summary = element(
    "summary", {},
    element("span", { class: `method ${method}` }, method.toUpperCase()),
    element("span", { class: "path" }, path),
    element("span", { class: "summary" }, ...spans(operation.summary)),
  );
  const holder = element("details", { class: "operation", id: operation.operationId }, summary);
  // Only what is opened is made: there are many, and few are looked at.
  holder.addEventListener("toggle", () => holder.append(opened(api, method, path, operation)), { once: true });
  return holder;
}

function opened(api, method, path, operation) {
  return element(
    "div", {},
    ...prose(operation.description),
    operationForm(api, method, path, operation),
    ...requestExplained(api, operation),
    element("h3", {}, "Answers"),
    element("div", { class: "answers" }, ...Object.entries(operation.responses).map(([status, item]) => answer(api, status, item))),
  );
}

function requestExplained(api, operation) {
  const body = operation.requestBody && resolve(api, operation.requestBody);
  if (!body) return [];
  const [first] = Object.values(body.content);
  return [element("h3", {}, body.required ? "Body" : "Body, may be left out"), ...explained(api, first.schema)];
}

function answer(api, status, item) {
  const response = resolve(api, item);
  const holder = element("details", {}, element("summary", {}, element("strong", {}, status), " ", ...spans(response.description)));
  const fill = () => {
    for (const [name, header] of Object.entries(response.headers ?? {})) {
      const about = resolve(api, header.schema).description ?? "";
      holder.append(element("p", {}, element("code", {}, name), ": ", ...spans(header.description ?? about)));
    }
    for (const [type, content] of Object.entries(response.content ?? {})) {
      holder.append(element("p", {}, element("code", {}, type)), ...explained(api, content.schema));
      if (content.example !== undefined) holder.append(element("pre", { tabindex: "0" }, JSON.stringify(content.example, null, 2)));
    }
  };
  holder.addEventListener("toggle", fill, { once: true });
  return holder;
}

start();
