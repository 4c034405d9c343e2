"use strict";
// The rows of the table: which of them a view shows, and in which order. Knows nothing of the page.

const OUTCOMES = ["passed", "failed", "error", "not run"];
const SORTS = ["id", "answer", "signature", "reward", "delta", "steady", "schema", "file"];

/** What the table shows: words to search, filters by their names, an order, and the pivot that is open. */
function emptyView() {
  return { q: "", filters: {}, sort: "reward", desc: false, open: null };
}

class Rows {
  constructor(index) {
    this.index = index;
    this.columns = index.columns;
    this.count = index.columns.id.length;
    this.ids = index.columns.id.map((number) => index.strings[number]);
    this.tests = index.columns.test.map((number) => index.strings[number]);
    this.strings = index.strings;
    this.numbers = new Map(index.strings.map((text, number) => [text, number]));
    this.orders = new Map();
    this.searched = null;
    this.hasBefore = this.columns.before?.some((value) => value !== null) ?? false;
    this.hasRepeats = this.columns.steady?.some((value) => value !== null && value[1] > 1) ?? false;
  }

  /** Return the text of a column of strings in a row, or null where there is none. */
  text(column, row) {
    const number = this.columns[column]?.[row] ?? -1;
    return number < 0 ? null : this.strings[number];
  }

  outcome(row) {
    return OUTCOMES[this.columns.outcome[row]];
  }

  /** Return the change of the reward against the baseline, or null. */
  delta(row) {
    const after = this.columns.reward[row];
    const before = this.columns.before?.[row] ?? null;
    return after === null || before === null ? null : after - before;
  }

  /** Return -1 for a pivot that was lost since the baseline, 1 for one that was won, else 0. */
  flip(row) {
    return this.columns.flip[row];
  }

  /** Return whether some of the pivot's repeats passed, and some did not. */
  isFlaky(row) {
    const steady = this.columns.steady?.[row] ?? null;
    return steady !== null && steady[0] > 0 && steady[0] < steady[1];
  }

  signature(row) {
    const number = this.columns.signature[row];
    return number < 0 ? null : this.index.signatures[number];
  }

  /** Return the rows that a view shows, in its order. */
  shown(view) {
    const order = this.order(view.sort, view.desc);
    const tests = [];
    for (const [name, value] of Object.entries(view.filters)) tests.push(this.test(name, value));
    if (view.q.trim() !== "") tests.push(this.search(view.q));
    if (tests.length === 0) return order;
    const rows = [];
    next: for (const row of order) {
      for (const test of tests) if (!test(row)) continue next;
      rows.push(row);
    }
    return rows;
  }

  /** Return a predicate of rows for one filter. Throws RangeError for one that there is not. */
  test(name, value) {
    const { columns } = this;
    const is = (column) => {
      const number = this.numbers.get(value) ?? -2;
      return (row) => columns[column][row] === number;
    };
    switch (name) {
      case "signature":
        return (row) => columns.signature[row] === Number(value);
      case "cell":
        return is("cell");
      case "tool":
        return is("expected_tool");
      case "called":
        return is("called");
      case "category":
        return is("category");
      case "schema": {
        // A call of a tool that is not on offer fits no schema, so that the first screen counts both together.
        if (value !== "invalid") return is("schema");
        const tests = ["invalid", "unknown-tool"].map((verdict) => this.numbers.get(verdict) ?? -2);
        return (row) => tests.includes(columns.schema[row]) && (columns.called[row] ?? -1) >= 0;
      }
      case "cause":
        return is("cause");
      case "match": {
        const code = value === "yes" ? 0 : 1;
        return (row) => columns.outcome[row] === code;
      }
      case "outcome": {
        const code = OUTCOMES.indexOf(value);
        return (row) => columns.outcome[row] === code;
      }
      case "graded":
        return (row) => columns.reward[row] !== null;
      case "lost":
        return (row) => columns.signature[row] >= 0; // which is what answers without the whole reward have
      case "flip": {
        const sign = { lost: -1, won: 1 }[value];
        return (row) => {
          const flip = this.flip(row);
          return sign === undefined ? flip !== 0 : flip === sign;
        };
      }
      case "flaky":
        return (row) => this.isFlaky(row);
      case "flag": {
        const number = this.numbers.get(value) ?? -2;
        return (row) => columns.flags[row]?.includes(number) ?? false;
      }
      case "depth":
      case "tools":
      case "context":
      case "type": {
        const bin = this.index.bins?.[name]?.find((each) => each.key === value);
        if (bin === undefined) return () => false;
        if (name === "type") return is("type");
        const low = bin.low ?? -Infinity;
        const high = bin.high ?? Infinity;
        const column = columns[name];
        return (row) => column[row] !== null && column[row] >= low && column[row] <= high;
      }
      default:
        throw new RangeError(`there is no filter ${name}`);
    }
  }

  /** Return a predicate of rows that have every word of a search in one of their texts, in any case. */
  search(query) {
    if (this.searched === null) {
      this.searched = {
        strings: this.strings.map((text) => text.toLowerCase()),
        signatures: this.index.signatures.map((each) => each.label.toLowerCase()),
      };
    }
    const { strings, signatures } = this.searched;
    const { columns } = this;
    const pooled = ["id", "test", "expected", "actual", "expected_tool", "called", "category", "cause"]
      .map((name) => columns[name])
      .filter(Boolean);
    const words = query
      .toLowerCase()
      .split(/\s+/)
      .filter((word) => word !== "");
    const found = words.map((word) => ({
      word,
      strings: strings.map((text) => text.includes(word)),
      signatures: signatures.map((text) => text.includes(word)),
    }));
    return (row) =>
      found.every((each) => {
        for (const column of pooled) if (each.strings[column[row]] === true) return true;
        return each.signatures[columns.signature[row]] === true;
      });
  }

  /** Return all rows in an order; rows without a value are last, equal ones stay in the order of the file. */
  order(sort, desc) {
    const name = `${sort} ${desc}`;
    let order = this.orders.get(name);
    if (order === undefined) {
      const keys = this.keys(sort);
      const sign = desc ? -1 : 1;
      order = Array.from(keys, (_, row) => row);
      order.sort((one, other) => {
        const a = keys[one];
        const b = keys[other];
        if (a === b) return one - other;
        if (Number.isNaN(a) || Number.isNaN(b))
          return Number.isNaN(a) === Number.isNaN(b) ? one - other : Number.isNaN(a) ? 1 : -1;
        return sign * (a - b);
      });
      this.orders.set(name, order);
    }
    return order;
  }

  /** Return a number for each row, by which it is sorted; NaN where it has no value. */
  keys(sort) {
    const { columns } = this;
    const numbers = new Float64Array(this.count).fill(NaN);
    const each = (value) => {
      for (let row = 0; row < this.count; row += 1) numbers[row] = value(row) ?? NaN;
      return numbers;
    };
    switch (sort) {
      case "id": {
        const rank = this.ranks();
        return each((row) => rank[columns.id[row]]);
      }
      case "answer": {
        const rank = this.ranks();
        return each((row) => rank[columns.expected[row]]);
      }
      case "schema": {
        const rank = this.ranks();
        return each((row) => rank[columns.schema[row]]);
      }
      case "signature":
        return each((row) => (columns.signature[row] < 0 ? null : columns.signature[row]));
      case "reward":
        return each((row) => columns.reward[row]);
      case "delta":
        return each((row) => this.delta(row));
      case "steady":
        return each((row) => (columns.steady?.[row] ? columns.steady[row][0] / columns.steady[row][1] : null));
      case "file":
        return each((row) => row);
      default:
        throw new RangeError(`there is no order by ${sort}`);
    }
  }

  /** Return the places of the strings in their order, with numbers inside them taken as numbers: p2 comes before p10. */
  ranks() {
    const texts = this.strings;
    const compare = new Intl.Collator("en", { numeric: true }).compare;
    const order = Array.from(texts, (_, at) => at).sort((one, other) => compare(texts[one], texts[other]));
    const ranks = new Float64Array(texts.length);
    order.forEach((at, rank) => {
      ranks[at] = rank;
    });
    return ranks;
  }

  /** Return the values of a column of strings with the number of their rows, the most frequent first. */
  values(column) {
    const counts = new Map();
    for (const number of this.columns[column] ?? []) if (number >= 0) counts.set(number, (counts.get(number) ?? 0) + 1);
    return [...counts].sort((one, other) => other[1] - one[1]).map(([number, count]) => [this.strings[number], count]);
  }

  /** Return the row of a pivot's repeat, or -1. */
  find(id, repeat) {
    const number = this.numbers.get(id);
    const { columns } = this;
    return columns.id.findIndex((each, row) => each === number && (repeat === null || columns.repeat[row] === repeat));
  }
}
