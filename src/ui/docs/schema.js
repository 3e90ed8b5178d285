// Schemas in words.

import { element, prose, spans } from "./text.js";

/** What a reference stands for; words beside the reference go before its own. */
export function resolve(api, item) {
  let found = item ?? {};
  for (let steps = 0; found.$ref && steps < 20; steps += 1) {
    const { $ref: reference, ...beside } = found;
    const target = reference.slice(2).split("/").reduce((place, part) => place?.[part], api);
    found = { ...(target ?? {}), ...beside };
  }
  return found;
}

function nameOf(item) {
  return item?.$ref?.split("/").pop();
}

/** The type of a schema in one line. */
export function typeText(api, item, depth = 0) {
  const schema = resolve(api, item);
  const choices = schema.oneOf ?? schema.anyOf;
  if (choices && depth < 3) return [...new Set(choices.map((choice) => typeText(api, choice, depth + 1)))].join(" or ");
  if (schema.enum) return schema.enum.map((value) => JSON.stringify(value)).join(" | ");
  if (schema.type === "array") return `array of ${typeText(api, schema.items, depth + 1)}`;
  if (schema.allOf || schema.properties) return nameOf(item) ?? "object";
  const types = [schema.type ?? "any JSON"].flat();
  return [...types, schema.format && `(${schema.format})`].filter(Boolean).join(" ");
}

/** The bounds of a schema in words. */
export function bounds(schema) {
  const between = (min, max, unit) => {
    if (min === undefined && max === undefined) return undefined;
    if (max === undefined) return `at least ${min}${unit}`;
    return min === undefined ? `at most ${max}${unit}` : `${min} to ${max}${unit}`;
  };
  return [
    between(schema.minimum, schema.maximum, ""),
    between(schema.minLength || undefined, schema.maxLength, " letters"),
    between(schema.minItems, schema.maxItems, " items"),
    schema.pattern && `like ${schema.pattern}`,
    schema.default !== undefined && `default ${JSON.stringify(schema.default)}`,
  ].filter(Boolean).join(", ");
}

/** A schema with all that it holds. What lies deeper is opened by a click, so that nothing goes on for ever. */
export function explained(api, item) {
  const schema = resolve(api, item);
  const parts = [...prose(schema.description)];
  const limits = bounds(schema);
  if (limits) parts.push(element("p", { class: "quiet" }, limits));
  for (const choice of schema.oneOf ?? schema.anyOf ?? []) {
    if (resolve(api, choice).type !== "null") parts.push(deeper(api, choice, typeText(api, choice)));
  }
  for (const part of schema.allOf ?? []) parts.push(...explained(api, part));
  if (schema.properties) parts.push(properties(api, schema));
  if (schema.type === "array") parts.push(deeper(api, schema.items, `each: ${typeText(api, schema.items)}`));
  if (typeof schema.additionalProperties === "object") {
    parts.push(deeper(api, schema.additionalProperties, `each value: ${typeText(api, schema.additionalProperties)}`));
  }
  return parts;
}

function properties(api, schema) {
  const required = new Set(schema.required);
  const rows = Object.entries(schema.properties).flatMap(([name, item]) => [
    element(
      "dt", {}, element("code", {}, name), " ", ...spans(typeText(api, item)),
      element("span", { class: "quiet" }, required.has(name) ? "" : ", may be left out"),
    ),
    element("dd", {}, ...inside(api, item)),
  ]);
  return element("dl", {}, ...rows);
}

function inside(api, item) {
  const schema = resolve(api, item);
  const alone = (schema.oneOf ?? schema.anyOf ?? []).filter((choice) => resolve(api, choice).type !== "null");
  if (alone.length === 1) return [...prose(schema.description), ...inside(api, alone[0])];
  const holdsMore = schema.properties || schema.allOf || alone.length > 1 || schema.type === "array" || schema.additionalProperties;
  if (!holdsMore) return explained(api, item);
  return [...prose(schema.description), deeper(api, { ...schema, description: undefined }, "more")];
}

function deeper(api, item, title) {
  const schema = resolve(api, item);
  const isSimple = !schema.properties && !schema.allOf && !schema.oneOf && !schema.anyOf && !schema.items && !schema.additionalProperties;
  if (isSimple) {
    const [first, ...rest] = explained(api, item);
    return element("div", {}, element("p", {}, title, first ? ": " : "", ...(first ? first.childNodes : [])), ...rest);
  }
  const holder = element("details", {}, element("summary", {}, title));
  holder.addEventListener("toggle", () => holder.append(...explained(api, item)), { once: true });
  return holder;
}
