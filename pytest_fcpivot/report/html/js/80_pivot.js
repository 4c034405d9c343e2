"use strict";
// The view of one pivot: left what the agent saw, right what it was to do and what it did.

/** Write a text as one word of a POSIX shell, if it needs quotes. */
function shellQuoted(text) {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\"'\"'")}'`;
}

/** Return the command that shows a row in a terminal, or null where an argument cannot hold its id. */
function showCommand(rows, row) {
  const show = rows.index.run?.show;
  const id = rows.ids[row];
  if (show === undefined || show === null || id !== visible(id) || /[\t\n]/.test(id)) return null;
  const repeat = rows.columns.repeat[row];
  const apart = id.startsWith("-") && !show.startsWith("fcpivot show -- ") ? "-- " : "";
  return `${show} ${apart}${shellQuoted(rows.hasRepeats ? `${id}[r${repeat}]` : id)}`;
}

/** Return a command in a block, with a button that copies it. */
function commandElement(command) {
  return el(
    "div",
    { class: "command" },
    el("pre", {}, command),
    copyButton("Copy", () => command, { "aria-label": "Copy the command" }),
  );
}

function fact(name, ...value) {
  const children = value.flat(Infinity).filter((each) => each !== null && each !== undefined && each !== "");
  return children.length === 0 ? null : [el("dt", {}, name), el("dd", {}, children)];
}

function part(title, ...children) {
  const some = children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false);
  return some.length === 0 ? null : el("section", { class: "part" }, el("h2", {}, title), some);
}

function comparatorsElement(comparators) {
  const entries = Object.entries(comparators ?? {});
  if (entries.length === 0) return null;
  const those = (test, withReward = false) =>
    entries
      .filter(([, reward]) => test(reward))
      .map(([name, reward], at) => [
        at > 0 ? ", " : null,
        el("code", {}, name),
        withReward ? ` ${amount(reward)}` : null,
      ]);
  return el(
    "dl",
    { class: "facts" },
    fact(
      "Right for",
      those((reward) => reward !== null && reward >= 1),
    ),
    fact(
      "In part for",
      those((reward) => reward !== null && reward > 0 && reward < 1, true),
    ),
    fact(
      "Wrong for",
      those((reward) => reward === 0),
    ),
    fact(
      "Not judged by",
      those((reward) => reward === null),
    ),
  );
}

function pairsElement(pairs) {
  if (!Array.isArray(pairs) || pairs.length === 0) return null;
  const place = (at) => (at === null || at === undefined ? "none" : `call ${at + 1}`);
  return el(
    "table",
    { class: "plain" },
    el(
      "thead",
      {},
      el(
        "tr",
        {},
        ["Expected", "Actual", "Reward"].map((title) => el("th", { scope: "col" }, title)),
      ),
    ),
    el(
      "tbody",
      {},
      pairs.map((pair) =>
        el(
          "tr",
          {},
          el("td", {}, place(pair.expected)),
          el("td", {}, place(pair.actual)),
          el("td", { class: "number" }, amount(pair.reward)),
        ),
      ),
    ),
  );
}

function usageText(usage) {
  if (usage === null || usage === undefined) return null;
  const words = {
    input_tokens: "input",
    cached_tokens: "of them cached",
    output_tokens: "output",
    reasoning_tokens: "of them reasoning",
  };
  return Object.entries(words)
    .filter(([key]) => typeof usage[key] === "number")
    .map(([key, word]) => `${NUMBERS.format(usage[key])} ${word}`)
    .join(", ");
}

const JUDGES = { asked: "the judge", cached: "the judge, earlier", keyword: "keyword overlap in its place" };

function judgeElement(judge) {
  if (judge === null || judge === undefined) return null;
  return el(
    "dl",
    { class: "facts" },
    fact("Scored by", JUDGES[judge.by] ?? judge.by),
    fact("Score", judge.score === null || judge.score === undefined ? null : amount(judge.score)),
    fact("Reason", judge.reason === null || judge.reason === undefined ? null : longText(judge.reason)),
    fact("Fault", judge.cause),
  );
}

/** Return everything under the comparison: why it was graded so, what the model wrote, and how to run it again. */
function resultParts(result, currency) {
  const command = result.rerun ?? null;
  const paths = [...new Set([result.path, ...(result.paths ?? [])])].filter(
    (path) => path !== null && path !== undefined,
  );
  return [
    part(
      "Grade",
      el(
        "dl",
        { class: "facts" },
        fact("Category", result.category ? el("code", {}, result.category) : null),
        fact("Why", result.explanation ? longText(result.explanation) : null),
        fact(
          "Places",
          paths.map((path) => [el("code", {}, path), " "]),
          result.further_paths ? `and ${NUMBERS.format(result.further_paths)} more` : null,
        ),
        fact(
          "Schema",
          result.schema === "no-call" ? "no call to check" : result.schema,
          result.schema_explanation ? `: ${result.schema_explanation}` : null,
        ),
        fact(
          "Halves",
          Array.isArray(result.halves)
            ? `names ${amount(result.halves[0])} of 0.5, arguments ${amount(result.halves[1])} of 0.5`
            : null,
        ),
        fact("Flags", (result.flags ?? []).join(", ").replaceAll("_", " ")),
        fact("Error", result.error ? longText(result.error) : null),
        fact("Cause", result.cause),
      ),
    ),
    part("Judge", judgeElement(result.judge)),
    part("Pairs of calls", pairsElement(result.pairs)),
    part("Under other comparators", comparatorsElement(result.comparators)),
    part(
      "Asked",
      el(
        "dl",
        { class: "facts" },
        fact("Attempts", result.attempts ? NUMBERS.format(result.attempts) : null),
        fact(
          "Retried",
          (result.retried ?? []).length === 0
            ? null
            : el(
                "ul",
                {},
                result.retried.map((why) => el("li", {}, why)),
              ),
        ),
        fact(
          "Last attempt",
          typeof result.latency_s === "number" ? `${Math.round(result.latency_s * 1000) / 1000} s` : null,
        ),
        fact("Tokens", usageText(result.usage)),
        fact(
          "Cost",
          typeof result.cost === "number" ? `${Number(result.cost.toPrecision(4))} ${currency ?? ""}`.trim() : null,
        ),
      ),
    ),
    result.output === null || result.output === undefined || result.output === ""
      ? null
      : part(
          "Raw output",
          folded("What the agent returned", () =>
            longText(typeof result.output === "string" ? result.output : pretty(result.output), "pre"),
          ),
        ),
    command === null ? null : part("Run it again", commandElement(command)),
  ];
}

function actionText(action) {
  if (action === null || action === undefined) return "nothing";
  return pretty(action);
}

class PivotView {
  /** `moves` has what its buttons do: close, next, previous, like, open. */
  constructor(section, rows, payload, triage, moves) {
    Object.assign(this, { section, rows, payload, triage, moves });
    this.opened = 0; // counts openings, so that a part that comes late does not take another pivot's place
    // A screen that is wide enough shows both columns; otherwise they are one below the other.
  }

  /** Show a row. `place` is its place among `total` rows of the table's view, or -1. */
  async open(row, place, total, isLike) {
    const turn = ++this.opened;
    const { rows } = this;
    const id = rows.ids[row];
    const outcome = rows.outcome(row);
    const signature = rows.signature(row);
    const heading = el(
      "h1",
      { tabindex: -1, id: "pivot-title" },
      el("span", { class: `mark ${outcome.replace(" ", "-")}` }, MARKS[outcome]),
      el("span", { class: "off-screen" }, `${outcome}: `),
      el("span", {}, short(id, 300)),
    );
    const like = signature === null || signature.n < 2 ? null : `${NUMBERS.format(signature.n)} with this signature`;
    const where =
      place < 0
        ? "not among the rows of the table's view"
        : `${NUMBERS.format(place + 1)} of ${NUMBERS.format(total)} ${isLike ? "like this" : "in the table"}`;
    const top = el(
      "nav",
      { class: "moves", "aria-label": "Pivots" },
      button("← All results", this.moves.close, { "aria-keyshortcuts": "Escape" }),
      button("Previous", this.moves.previous, { "aria-keyshortcuts": "k", disabled: place <= 0 }),
      el("span", { class: "where" }, where),
      button("Next", this.moves.next, { "aria-keyshortcuts": "j", disabled: place < 0 || place >= total - 1 }),
      like !== null && !isLike
        ? button(`Show the ${like}`, () => this.moves.like(rows.columns.signature[row]), { class: "quiet" })
        : null,
    );
    const repeats = this.repeats(row);
    const reward = rows.columns.reward[row];
    const delta = rows.delta(row);
    const base = rows.index.run?.base ?? "the baseline";
    const facts = el(
      "p",
      { class: "summary-line" },
      el("span", {}, outcome),
      reward === null ? null : el("span", {}, `reward ${amount(reward)}`),
      delta === null ? null : el("span", {}, delta === 0 ? `as in ${base}` : `${change(delta)} since ${base}`),
      signature === null ? null : el("span", {}, signature.label),
      el("span", { class: "test" }, rows.tests[row]),
    );
    const content = el("div", { class: "content", "aria-busy": "true" }, el("p", {}, "Loading …"));
    this.section.replaceChildren(top, heading, facts, ...(repeats === null ? [] : [repeats]), content);
    scrollTo(0, 0);
    heading.focus({ preventScroll: true });
    let made;
    try {
      made = rows.columns.part[row] < 0 ? this.leftOut(row) : await this.whole(row);
    } catch (error) {
      if (!(error instanceof PayloadError)) throw error;
      made = [el("p", { class: "problem", role: "alert" }, error.message), this.short(row)];
    }
    if (turn !== this.opened) return;
    content.replaceChildren();
    append(content, made);
    content.removeAttribute("aria-busy");
  }

  /** Return links to the pivot's other repeats, or null if it was asked once. */
  repeats(row) {
    const { columns, tests } = this.rows;
    // The repeat is at the end, or inside the brackets of a user's own test.
    const withoutRepeat = (other) => tests[other].replace(`[r${columns.repeat[other]}]`, "");
    const others = [];
    for (let other = 0; other < this.rows.count; other += 1) {
      if (columns.id[other] === columns.id[row] && withoutRepeat(other) === withoutRepeat(row)) others.push(other);
    }
    if (others.length < 2) return null;
    return el(
      "p",
      { class: "repeats" },
      "Repeats: ",
      others.map((other) => {
        const outcome = this.rows.outcome(other);
        const label = `${MARKS[outcome]} r${columns.repeat[other]}`;
        return button(label, () => this.moves.open(other), {
          "aria-current": other === row ? "true" : null,
          "aria-label": `Repeat ${columns.repeat[other]}: ${outcome}`,
        });
      }),
    );
  }

  /** Return what is known of a row whose context is not in the page. */
  leftOut(row) {
    const command = showCommand(this.rows, row);
    return [
      el(
        "p",
        { class: "note" },
        "The conversation of this pivot was left out to keep the report small. ",
        command === null
          ? "Its id cannot be an argument of a command; make the report with a larger --max-size to see it."
          : "This command shows it in a terminal:",
      ),
      command === null ? null : commandElement(command),
      this.short(row),
      this.triage.form(row),
    ];
  }

  short(row) {
    const { rows } = this;
    return el(
      "dl",
      { class: "facts" },
      fact("Expected", rows.text("expected", row)),
      fact("Answer", rows.text("actual", row)),
      fact("Category", rows.text("category", row)),
      fact("Schema", rows.text("schema", row)),
      fact("Cause", rows.text("cause", row)),
    );
  }

  async whole(row) {
    const { rows } = this;
    const { columns } = rows;
    const pivot = await this.payload.pivot(columns.part[row], columns.at[row]);
    const result =
      pivot.results.find(
        (each) => each.repeat === columns.repeat[row] && (each.test ?? rows.tests[row]) === rows.tests[row],
      ) ?? null;
    const conversation =
      pivot.conversation === null
        ? el("p", { class: "note" }, pivot.note ?? "The conversation is not in this report.")
        : conversationElement(pivot);
    const params =
      Object.keys(pivot.params ?? {}).length === 0
        ? null
        : folded("Parameters of the request", () => longText(pretty(pivot.params), "pre"));
    const left = el(
      "div",
      { class: "left" },
      part(
        "Conversation",
        pivot.note && pivot.conversation !== null ? el("p", { class: "note" }, pivot.note) : null,
        conversation,
      ),
    );
    const tools = el(
      "div",
      { class: "on-offer" },
      part(
        "Tools on offer",
        pivot.tools === null && pivot.conversation === null ? null : toolsElement(pivot, result),
        params,
      ),
    );
    let comparison;
    if (result === null) comparison = el("p", { class: "note" }, "This pivot has no result: it was not run.");
    else if ((result.rows ?? []).length > 0)
      comparison = comparisonElement(result.rows, result.baseline?.rows ?? null, result.rows_left_out ?? 0);
    else if (result.outcome === "error" || result.outcome === 2) {
      comparison = [
        el(
          "p",
          { class: "problem" },
          `There is no answer to compare: ${result.error ?? result.cause ?? "the cause is not known"}`,
        ),
        folded("What was expected", () => longText(actionText(pivot.expected), "pre"), { open: true }),
      ];
    } else {
      comparison = [
        el("h3", {}, "Expected"),
        longText(actionText(pivot.expected), "pre"),
        el("h3", {}, "Actual"),
        longText(actionText(result.action), "pre"),
      ];
    }
    const baseline = result?.baseline ?? null;
    const right = el(
      "div",
      { class: "right" },
      part(
        "Expected and actual",
        comparison,
        baseline === null
          ? null
          : el(
              "p",
              { class: "note" },
              `The baseline's answer: reward ${baseline.reward === null ? "none" : amount(baseline.reward)}${baseline.category ? `, ${baseline.category}` : ""}.`,
            ),
      ),
      part("Triage", this.triage.form(row)),
      result === null ? null : resultParts(result, rows.index.run?.currency),
      part("In a terminal", showCommand(rows, row) === null ? null : commandElement(showCommand(rows, row))),
    );
    return el("div", { class: "two" }, left, right, tools);
  }
}
