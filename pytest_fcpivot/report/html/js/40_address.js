"use strict";
// The view in the address, behind the #: a link that is shared opens the same view, and back and forward work.

const FILTERS = [
  "signature",
  "cell",
  "tool",
  "called",
  "category",
  "schema",
  "match",
  "outcome",
  "graded",
  "lost",
  "cause",
  "flip",
  "flaky",
  "flag",
  "depth",
  "tools",
  "context",
  "type",
];

/** Write a view as the part of an address behind the #. */
function hashOf(view, rows) {
  const fields = new URLSearchParams();
  if (view.q.trim() !== "") fields.set("q", view.q);
  for (const [name, value] of Object.entries(view.filters)) fields.set(name, value);
  const usual = emptyView();
  if (view.sort !== usual.sort || view.desc !== usual.desc)
    fields.set("sort", `${view.sort}${view.desc ? "-desc" : ""}`);
  if (view.open !== null) {
    const id = rows.ids[view.open];
    const repeat = rows.columns.repeat[view.open];
    // An address cannot hold every id, and several tests may have the same one; a row's number is always right.
    if (id.isWellFormed?.() !== false && rows.find(id, repeat) === view.open) {
      fields.set("pivot", id);
      if (repeat !== 1) fields.set("repeat", String(repeat));
    } else {
      fields.set("row", String(view.open + 1));
    }
  }
  return fields.toString();
}

/** Read a view from the part of an address behind the #; what is not understood is told in `problems`. */
function viewOf(hash, rows) {
  const view = emptyView();
  const problems = [];
  const fields = new URLSearchParams(hash.replace(/^#/, ""));
  for (const [name, value] of fields) {
    if (name === "q") view.q = value;
    else if (FILTERS.includes(name)) view.filters[name] = value;
    else if (name === "sort") {
      const sort = value.replace(/-desc$/, "");
      if (SORTS.includes(sort)) {
        view.sort = sort;
        view.desc = value.endsWith("-desc");
      } else problems.push(`an order by “${short(value, 40)}”`);
    } else if (name === "pivot") {
      const repeat = fields.has("repeat") ? Number(fields.get("repeat")) : null;
      const row = rows.find(value, repeat);
      if (row >= 0) view.open = row;
      else problems.push(`the pivot “${short(value, 80)}”`);
    } else if (name === "row") {
      const row = Number(value) - 1;
      if (Number.isInteger(row) && row >= 0 && row < rows.count) view.open = row;
      else problems.push(`row ${short(value, 20)}`);
    } else if (name !== "repeat") {
      // A place on the first screen, as in #history, is the browser's own matter.
      if (document.getElementById(name) === null) problems.push(`a filter “${short(name, 40)}”`);
    }
  }
  return { view, problems };
}

/** The address of the page; where the browser refuses to change it, the view is kept in the page alone. */
const address = {
  read() {
    return location.hash.replace(/^#/, "");
  },
  write(hash, { replace }) {
    if (hash === this.read()) return;
    try {
      if (replace) history.replaceState(null, "", `#${hash}`);
      else history.pushState(null, "", `#${hash}`);
    } catch {
      // Frames without an origin of their own, and browsers that saw too many changes in a short time, refuse.
    }
  },
};
