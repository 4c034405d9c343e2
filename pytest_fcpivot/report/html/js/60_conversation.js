"use strict";
// The left side of a pivot: the conversation up to the decision, and the tools on offer.

const LATEST_ITEMS = 4;

/** Return the text of an item's content, which is a text or a list of parts; parts that are not text as JSON. */
function contentText(content) {
  if (typeof content === "string") return content;
  if (!Array.isArray(content)) return content === null || content === undefined ? "" : pretty(content);
  const texts = content.map((part) =>
    typeof part?.text === "string" ? part.text : typeof part === "string" ? part : pretty(part),
  );
  return texts.filter((text) => text !== "").join("\n");
}

const JSON_TOKENS = /"(?:[^"\\]|\\.)*"|[{}[\],:]|[^\s{}[\],:"]+/g;

/** Write a text of JSON with indents, without changing how a number or a text in it is written; others stay as they are. */
function indented(text) {
  if (typeof text !== "string") return pretty(text);
  if (!/^\s*[{[]/.test(text)) return text;
  try {
    JSON.parse(text);
  } catch {
    return text;
  }
  let depth = 0;
  let written = "";
  let before = "";
  const newLine = () => `\n${"  ".repeat(Math.min(depth, 40))}`;
  for (const [token] of text.matchAll(JSON_TOKENS)) {
    if (token === "}" || token === "]") {
      depth -= 1;
      written += before === "{" || before === "[" ? token : newLine() + token;
    } else {
      if (before === "{" || before === "[" || before === ",") written += newLine();
      written += token === ":" ? ": " : token;
      if (token === "{" || token === "[") depth += 1;
    }
    before = token;
  }
  return written;
}

function bubble(kind, title, body, extra = null) {
  return el("li", { class: `bubble ${kind}` }, el("p", { class: "who" }, title, extra), body);
}

/** Return the element of one item of a conversation; `names` has the functions' names by the ids of their calls. */
function itemElement(item, names) {
  const type = item.type ?? "message";
  if (type === "message" && typeof item.role === "string") {
    const kind = ["user", "assistant"].includes(item.role) ? item.role : "system";
    return bubble(kind, item.role, longText(contentText(item.content)));
  }
  if (type === "function_call") {
    return bubble("call", ["calls ", el("code", {}, item.name)], longText(indented(item.arguments ?? ""), "pre"));
  }
  if (type === "function_call_output") {
    const name = names.get(item.call_id);
    const output = typeof item.output === "string" ? item.output : contentText(item.output);
    return bubble(
      "result",
      name === undefined ? "result" : ["result of ", el("code", {}, name)],
      longText(indented(output), "pre"),
    );
  }
  if (type === "reasoning") {
    return bubble("reasoning", "reasoning", longText(contentText(item.summary?.length ? item.summary : item.content)));
  }
  return bubble("result", type, longText(pretty(item), "pre"));
}

/** Return the conversation: the latest items open, the earlier ones and the system text folded. */
function conversationElement(pivot) {
  const parts = [];
  if (pivot.system !== null) {
    const system = typeof pivot.system === "string" ? pivot.system : contentText(pivot.system?.content ?? pivot.system);
    parts.push(
      folded(`System text, ${counted(system.length, "character")}`, () => longText(system), { class: "system-text" }),
    );
  }
  const items = pivot.conversation ?? [];
  const names = new Map(items.filter((item) => item.type === "function_call").map((item) => [item.call_id, item.name]));
  // From the last words of the user on, what led to the decision is open.
  const lastUser = items.findLastIndex((item) => item.role === "user");
  const start = Math.max(
    0,
    Math.min(items.length - LATEST_ITEMS, lastUser < 0 ? items.length : lastUser),
    items.length - 3 * LATEST_ITEMS,
  );
  const list = (some) =>
    el(
      "ol",
      { class: "bubbles" },
      some.map((item) => itemElement(item, names)),
    );
  if (start > 0)
    parts.push(folded(counted(start, "earlier item"), () => list(items.slice(0, start)), { class: "earlier" }));
  parts.push(list(items.slice(start)));
  return parts;
}

/** Return the names of the parameters that differ, by the names of their functions as the rows show them. */
function differingParameters(result) {
  const names = new Set();
  const rows = result?.rows ?? [];
  rows.forEach((row, at) => {
    if (row.key !== "arguments") return;
    for (let next = at + 1; next < rows.length && rows[next].depth > row.depth; next += 1) {
      const member = rows[next];
      if (member.depth === row.depth + 1 && !["equal", "accepted"].includes(member.state)) names.add(member.key);
    }
  });
  return names;
}

function typeText(schema) {
  if (schema === null || typeof schema !== "object") return "";
  if (Array.isArray(schema.enum)) return short(schema.enum.map((value) => JSON.stringify(value)).join(" | "), 200);
  const type = Array.isArray(schema.type) ? schema.type.join(" | ") : schema.type;
  if (type === "array" && schema.items?.type) return `array of ${schema.items.type}`;
  const choices = schema.anyOf ?? schema.oneOf;
  if (type === undefined && Array.isArray(choices)) return short(choices.map(typeText).join(" | "), 200);
  if (type === undefined) return ["allOf", "$ref", "const"].find((word) => word in schema) ?? "any";
  return schema.format ? `${type}, ${schema.format}` : String(type);
}

/** Return a tool's description and parameters, with those marked in which the answer differs. */
function toolBody(tool, differing) {
  const schema = tool.parameters ?? {};
  const properties = Object.entries(schema.properties ?? {});
  const required = new Set(Array.isArray(schema.required) ? schema.required : []);
  const parameters =
    properties.length === 0
      ? el("p", {}, "It has no parameters.")
      : el(
          "table",
          { class: "parameters" },
          el(
            "thead",
            {},
            el(
              "tr",
              {},
              ["Parameter", "Type", "Description"].map((title) => el("th", { scope: "col" }, title)),
            ),
          ),
          el(
            "tbody",
            {},
            properties.map(([name, value]) => {
              const differs = differing.has(name) || differing.has(JSON.stringify(name));
              return el(
                "tr",
                { class: differs ? "differs" : null },
                el(
                  "th",
                  { scope: "row" },
                  el("code", {}, name),
                  required.has(name) ? el("span", { class: "required" }, " required") : null,
                  differs ? el("strong", { class: "state" }, " differs") : null,
                ),
                el("td", {}, typeText(value)),
                el("td", {}, typeof value?.description === "string" ? short(value.description, 600) : ""),
              );
            }),
          ),
        );
  return [
    typeof tool.description === "string" && tool.description !== "" ? longText(tool.description) : null,
    parameters,
    folded("Schema as JSON", () => longText(pretty(schema), "pre")),
  ];
}

/** Return the tools on offer: those that were expected or called open and first, the others folded. */
function toolsElement(pivot, result) {
  const tools = pivot.tools ?? [];
  if (tools.length === 0) return el("p", { class: "note" }, "No tools were on offer.");
  const expected = callNames(pivot.expected);
  const called = callNames(result?.action);
  const differing = differingParameters(result);
  const asked = new Set([...expected, ...called]);
  const roles = (name) =>
    [expected.has(name) ? "expected" : null, called.has(name) ? "called" : null].filter(Boolean).join(" and ");
  const item = (tool, isOpen) =>
    folded(
      [
        el("code", {}, tool.name ?? tool.type ?? "?"),
        isOpen ? el("span", { class: "role" }, ` ${roles(tool.name)}`) : null,
      ],
      () => toolBody(tool, expected.has(tool.name) ? differing : new Set()),
      { class: "tool", open: isOpen },
    );
  const first = tools.filter((tool) => asked.has(tool.name));
  const others = tools.filter((tool) => !asked.has(tool.name));
  return [
    first.map((tool) => item(tool, true)),
    others.length === 0
      ? null
      : folded(counted(others.length, "other tool"), () => others.map((tool) => item(tool, false)), {
          class: "other-tools",
        }),
  ];
}

/** Return the names of the functions that an action calls. */
function callNames(action) {
  if (action === null || action === undefined) return new Set();
  const calls = action.calls ?? (action.type === "function_call" ? [action] : []);
  return new Set(calls.map((call) => call.name));
}
