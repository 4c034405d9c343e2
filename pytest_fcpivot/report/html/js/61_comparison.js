"use strict";
// The right side of a pivot: expected and actual as one tree, with the baseline's answer beside them if there is one.

const LONGEST_ALONE = 300;
const STATES = {
  equal: "equal",
  accepted: "accepted",
  differs: "differs",
  missing: "missing",
  surplus: "not expected",
};

/** Make a tree of rows that are told apart by their depth. */
function treeOf(rows) {
  const root = { row: null, inner: [] };
  const path = [root];
  for (const row of rows) {
    path.length = row.depth + 1;
    const node = { row, inner: [] };
    (path[row.depth] ?? root).inner.push(node);
    path.push(node);
  }
  return root.inner;
}

/** Return the two sides of a value with the part marked in which two texts differ. */
function marked(text, other) {
  if (text === null || other === null || text === other || text.length > 2000 || other.length > 2000) return text;
  let start = 0;
  const most = Math.min(text.length, other.length);
  while (start < most && text[start] === other[start]) start += 1;
  let end = 0;
  while (end < most - start && text[text.length - 1 - end] === other[other.length - 1 - end]) end += 1;
  if (start + end < 3) return text;
  const middle = text.slice(start, text.length - end);
  return [text.slice(0, start), middle === "" ? null : el("mark", {}, middle), text.slice(text.length - end)];
}

/**
 * Return the table of a comparison. `baseline` has the rows of the baseline's answer, or is null; `leftOut` is
 * the number of rows that were too many.
 */
function comparisonElement(rows, baseline, leftOut) {
  const all = rows ?? [];
  const before = new Map((baseline ?? []).map((row) => [row.path, row]));
  const hasBaseline = baseline !== null && baseline !== undefined;
  const known = new Set(all.map((row) => row.path));
  const body = el("tbody");
  // Nothing differs in such a node, neither in the answer nor in the baseline's, so that it may be folded.
  const isEqual = ({ row, inner }) =>
    row.state === "equal" &&
    !row.named &&
    ["equal", "accepted"].includes(before.get(row.path)?.state ?? "equal") &&
    inner.every(isEqual);
  const width = hasBaseline ? 4 : 3;

  const line = (node, hidden) => {
    const { row } = node;
    const side = (text, other, name) => {
      const cell = el("td", { class: name });
      if (text === null || text === undefined) {
        cell.classList.add("none");
        return append(cell, el("span", { class: "absent" }, "–"));
      }
      // A text with nothing beside it is cut, so that a long message does not hide what came in its place.
      if (other === null || other === undefined) {
        return append(cell, longText(text, "span", { class: "value" }, LONGEST_ALONE));
      }
      return append(
        cell,
        el(
          "span",
          { class: "value", dir: "auto" },
          row.state === "differs" && node.inner.length === 0 ? marked(text, other) : text,
        ),
      );
    };
    const says = row.state !== "equal" || row.named;
    const element = el(
      "tr",
      { class: `depth-${Math.min(row.depth, 8)} ${row.state}${row.named ? " named" : ""}`, hidden },
      el(
        "th",
        { scope: "row" },
        el("span", { class: "key", title: row.path }, row.key),
        says ? el("span", { class: "state" }, ` ${STATES[row.state] ?? row.state}`) : null,
        row.remark ? el("span", { class: "remark" }, row.remark) : null,
      ),
      side(row.expected, row.actual, "expected"),
      side(row.actual, row.expected, "actual"),
    );
    if (hasBaseline) {
      const answer = before.get(row.path)?.actual ?? null;
      element.append(
        answer === null
          ? el("td", { class: "baseline none" }, el("span", { class: "absent" }, "–"))
          : el("td", { class: "baseline" }, el("span", { class: "value", dir: "auto" }, answer)),
      );
    }
    body.append(element);
    return [element, ...(node.inner.length > 0 ? level(node.inner, hidden) : [])];
  };

  const level = (nodes, hidden) => {
    const equal = nodes.filter(isEqual);
    const others = nodes.filter((node) => !isEqual(node));
    const made = others.flatMap((node) => line(node, hidden));
    // Where nothing differs at all, or where one row is equal, there is nothing to be gained by folding.
    const size = (node) => 1 + node.inner.reduce((sum, each) => sum + size(each), 0);
    const total = equal.reduce((sum, node) => sum + size(node), 0);
    if (others.length === 0 || total < 2 || equal.length === 0)
      return [...made, ...equal.flatMap((node) => line(node, hidden))];
    const toggle = button(
      `${counted(total, "equal row")}: show`,
      () => {
        const isOpen = toggle.getAttribute("aria-expanded") === "true";
        toggle.setAttribute("aria-expanded", String(!isOpen));
        toggle.textContent = `${counted(total, "equal row")}: ${isOpen ? "show" : "hide"}`;
        for (const element of inner) element.hidden = isOpen;
      },
      { class: "quiet", "aria-expanded": "false" },
    );
    const fold = el(
      "tr",
      { class: `depth-${Math.min(nodes[0].row.depth, 8)} fold`, hidden },
      el("td", { colspan: width }, toggle),
    );
    body.append(fold);
    const inner = equal.flatMap((node) => line(node, true));
    return [...made, fold];
  };

  level(treeOf(all), false);
  const surplus = (baseline ?? []).filter((row) => !known.has(row.path) && row.actual !== null);
  for (const row of surplus) {
    body.append(
      el(
        "tr",
        { class: `depth-${Math.min(row.depth, 8)} only-baseline` },
        el(
          "th",
          { scope: "row" },
          el("span", { class: "key", title: row.path }, row.key),
          el("span", { class: "state" }, " baseline only"),
        ),
        el("td", {}, el("span", { class: "absent" }, "–")),
        el("td", {}, el("span", { class: "absent" }, "–")),
        el("td", { class: "baseline" }, el("span", { class: "value", dir: "auto" }, row.actual)),
      ),
    );
  }
  const titles = [
    el("span", { class: "off-screen" }, "Place"),
    "Expected",
    "Actual",
    ...(hasBaseline ? ["Baseline"] : []),
  ];
  return [
    el(
      "table",
      { class: `comparison${hasBaseline ? " with-baseline" : ""}` },
      el(
        "thead",
        {},
        el(
          "tr",
          {},
          titles.map((title) => el("th", { scope: "col" }, title)),
        ),
      ),
      body,
    ),
    leftOut > 0
      ? el("p", { class: "note" }, `${counted(leftOut, "row")} are left out here; the raw output has everything.`)
      : null,
  ];
}
