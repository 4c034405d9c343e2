"use strict";
// Triage: what a reader makes of an answer. It is kept in the browser, and leaves the page as a text or a file only.

const TRIAGE = {
  agent: "the agent is wrong",
  matcher: "the grader is too strict, or too lenient",
  gold: "the expected answer is wrong",
  unclear: "it cannot be told",
};

class Triage {
  constructor(rows, onChange) {
    this.rows = rows;
    this.onChange = onChange;
    this.key = `fcpivot-triage ${rows.index.run?.key ?? ""}`;
    this.entries = new Map();
    this.isKept = true;
    try {
      for (const entry of JSON.parse(kept.get(this.key) ?? "[]")) {
        if (Object.hasOwn(TRIAGE, entry.label) || entry.label === null) this.entries.set(entry.test, entry);
      }
    } catch {
      // What another program left under this key is no triage.
    }
  }

  /** Return what is kept of a row's test, or null; several tests may have a pivot of the same id. */
  of(row) {
    return this.entries.get(this.rows.tests[row]) ?? null;
  }

  set(row, change) {
    const about = {
      pivot_id: this.rows.ids[row],
      repeat: this.rows.columns.repeat[row],
      test: this.rows.tests[row],
    };
    const entry = { ...about, label: null, note: "", ...this.of(row), ...change };
    if (entry.label === null && entry.note === "") this.entries.delete(entry.test);
    else this.entries.set(entry.test, entry);
    this.isKept = kept.set(this.key, JSON.stringify([...this.entries.values()]));
    this.onChange();
  }

  /** Return the triage as JSON text. */
  json() {
    const { run } = this.rows.index;
    return `${pretty({ run: run?.name ?? null, triage: [...this.entries.values()] })}\n`;
  }

  /** Return the ids with a label, or with any, as a file for `--fc-ids`: one a line, each once, notes as comments. */
  ids(label) {
    const lines = new Map();
    for (const entry of this.entries.values()) {
      if (label !== "all" && entry.label !== label) continue;
      const id = entry.pivot_id;
      const says = [entry.label, entry.note.replace(/\s+/g, " ").trim()].filter(Boolean).join(": ");
      const fits =
        id === id.trim() &&
        id !== "" &&
        !id.startsWith("#") &&
        !/[\r\n\u0085\u2028\u2029\v\f\x1c-\x1e]/.test(id) &&
        id.isWellFormed?.() !== false;
      const line = fits ? id : `# cannot be written as a line: ${JSON.stringify(id)}`;
      lines.set(line, [...(lines.get(line) ?? []), ...(says === "" ? [] : [says])]);
    }
    return (
      [...lines]
        .flatMap(([line, notes]) => [...notes.map((note) => `# ${note}`), line, ""])
        .join("\n")
        .trimEnd() + "\n"
    );
  }

  /** Return the form for one row. */
  form(row) {
    const entry = this.of(row);
    const group = `triage-${row}`;
    const radios = Object.entries(TRIAGE).map(([label, meaning]) => {
      const input = el("input", {
        type: "radio",
        name: group,
        value: label,
        on: { change: () => this.set(row, { label }) },
      });
      input.checked = entry?.label === label;
      return el("label", { class: "choice", title: meaning }, input, " ", label);
    });
    const note = el("textarea", { rows: 2, on: { input: () => this.set(row, { note: note.value }) } });
    note.value = entry?.note ?? "";
    const clear = button(
      "Clear",
      () => {
        this.set(row, { label: null, note: "" });
        note.value = "";
        for (const label of radios) label.firstElementChild.checked = false;
      },
      { class: "quiet" },
    );
    return el(
      "fieldset",
      { class: "triage" },
      el("legend", {}, "Who is wrong?"),
      el("div", { class: "choices" }, radios, clear),
      el("label", { class: "note-field" }, "Note", note),
    );
  }

  /** Return what is shown above the table: the counts, and ways to take the triage elsewhere. */
  panel() {
    const counts = new Map();
    for (const entry of this.entries.values()) counts.set(entry.label, (counts.get(entry.label) ?? 0) + 1);
    const said = Object.keys(TRIAGE)
      .filter((label) => counts.has(label))
      .map((label) => `${label} ${counts.get(label)}`)
      .join(", ");
    const select = el(
      "select",
      {
        on: {
          change: () => {
            field.value = this.ids(select.value);
          },
        },
      },
      el("option", { value: "all" }, "all"),
      Object.keys(TRIAGE).map((label) => el("option", { value: label }, label)),
    );
    const field = el("textarea", { rows: 6, readonly: true, spellcheck: "false", "aria-label": "Ids for --fc-ids" });
    field.value = this.ids("all");
    return el(
      "details",
      { class: "triage-panel" },
      el("summary", {}, `Triage: ${counted(this.entries.size, "answer")}${said === "" ? "" : ` (${said})`}`),
      el(
        "p",
        {},
        this.isKept
          ? "It is kept in this browser. Copy or download it to share it."
          : "This browser does not let the page keep it: copy or download it before you close or reload the page.",
      ),
      el(
        "div",
        { class: "buttons" },
        el("label", {}, "Ids with ", select),
        copyButton("Copy ids file", () => this.ids(select.value)),
        button("Download JSON", () => this.download()),
        copyButton("Copy JSON", () => this.json()),
      ),
      field,
      el(
        "p",
        { class: "note" },
        "Run these pivots again with --fc-ids=FILE. ",
        "If a download does not begin, the page is shown inside another one that forbids it: copy the JSON instead.",
      ),
    );
  }

  download() {
    const url = URL.createObjectURL(new Blob([this.json()], { type: "application/json" }));
    const link = el("a", { download: "triage.json" });
    link.href = url;
    document.body.append(link);
    link.click();
    link.remove();
    setTimeout(() => URL.revokeObjectURL(url), 60_000);
  }
}
