// Law: what is behind a cell. Asks the server for the events on record that made its number, keeps the
// one answer that belongs to the cell that is looked at, and writes it as nodes: loading, not on
// record yet, refused, or the events with the command that proves them.

const ORIGIN_TABLES = new Set(["instruments", "positions"]);
const ORIGIN_AGAIN_MS = 1000; // What is not on record yet is asked for again.
const ORIGIN_SILENT_MS = 12_000; // The record is asked with a time-out of its own; this is for a lost answer.

// The cell of a blotter as the server knows it; null where nothing but the page knows it.
function originOf(sheet, row, column) {
  const known = sheet instanceof Blotter && ORIGIN_TABLES.has(sheet.spec.table) && !(row.group >= 0) && column.at >= 0 && !column.home?.startsWith("quant");
  return known ? { table: sheet.spec.table, row: row.id, column: column.name } : null;
}

class Origin {
  constructor(desk) { [this.desk, this.id, this.version] = [desk, 0, 0]; this.drop(); }

  drop() { this.cell = this.answered = this.key = null; this.version += 1; }

  // The cell that is looked at; null for none. The same cell is asked for once.
  look(cell) {
    const key = cell && JSON.stringify(cell);
    if (key === this.key) { if (cell) this.again(); return; }
    this.drop();
    [this.cell, this.key] = [cell, key];
    if (cell) this.ask();
  }

  ask() {
    [this.id, this.waiting, this.askedAt] = [this.id + 1, true, performance.now()];
    this.desk.control({ type: "provenance", id: this.id, ...this.cell });
  }

  again() {
    const late = performance.now() - this.askedAt;
    if (this.waiting ? late > ORIGIN_SILENT_MS : late > ORIGIN_AGAIN_MS && this.answered && !this.answered.error && !this.answered.recorded) {
      if (this.waiting) { this.answered = { error: `no answer for ${num(late / 1e3)} s` }; this.version += 1; }
      this.ask();
    }
  }

  answer(answer) {
    if (answer.type !== "provenance" || answer.id !== this.id || !this.cell) return;
    this.waiting = false;
    this.answered = answer;
    this.version += 1;
    this.desk.hover.update();
  }

  // "" where nothing is looked at; else loading, error, pending, none or known.
  get state() {
    const a = this.answered;
    if (!this.cell) return "";
    if (!a) return "loading";
    return a.error ? "error" : !a.recorded ? "pending" : a.events.length ? "known" : "none";
  }

  sentence() {
    const a = this.answered, behind = a?.behind_s;
    return {
      loading: "Asking the record\u2026",
      error: "The record does not say: " + (a?.error || ""),
      pending: "What this cell shows is not on record yet" + (behind ? `: the record is ${duration(behind)} behind it.` : "."),
      none: "No event of the last hour made this number.",
      known: "",
    }[this.state];
  }

  // `pinned`: a person may reach what is written here, so there is something to press.
  nodes(pinned) {
    if (!this.cell) return [];
    const a = this.answered, said = this.sentence(), nodes = [el("h4", {}, "On record")];
    if (said) nodes.push(el("p", { class: { error: "warn", pending: "warn" }[this.state] || "k" }, said));
    if (!a || a.error) return nodes;
    if (a.events.length) nodes.push(el("table", {}, el("tbody", {}, ...a.events.map((one) => this.line(one)))));
    nodes.push(el("dl", {}, ...this.facts(a).filter(([, v]) => v).map(([k, v]) => el("div", {}, el("dt", {}, k), el("dd", {}, v)))));
    if (!a.prove) return nodes;
    nodes.push(el("code", {}, a.prove));
    nodes.push(pinned ? el("button", { class: "act", onclick: (e) => this.copy(e.currentTarget) }, "Copy command") : el("p", { class: "k" }, "p keeps this card open"));
    return nodes;
  }

  line(one) {
    const sides = one.kind === "quote" ? `${full(one.bid)} \u00d7 ${lot(one.bid_size)}  ${full(one.ask)} \u00d7 ${lot(one.ask_size)}` : one.kind === "status" ? "" : `${full(one.price)} \u00d7 ${quantity(one.size)}`;
    const ms = String(Math.floor(one.ts_event_ms) % 1000).padStart(3, "0");
    return el("tr", {}, el("td", {}, `${clockText(one.ts_event_ms, "", true)}.${ms}`), el("td", {}, one.kind), el("td", { class: "n" }, sides), el("td", { class: "k" }, one.name));
  }

  facts(a) {
    const fx = a.fx && a.fx.currency !== "USD" ? `${full(a.fx.usd_rate)} USD a ${a.fx.currency}` : "";
    const value = a.value === null ? "" : full(a.value) + (a.recorded && a.value === a.shown ? ", as shown" : "");
    return [["After the newest", value], ["Mark used", a.mark === null ? "" : full(a.mark)], ["FX used", fx],
      ["Multiplier", a.fx && a.fx.multiplier !== 1 ? full(a.fx.multiplier) : ""], ["Formula", a.version]];
  }

  copy(button) {
    navigator.clipboard?.writeText(this.answered.prove).catch(() => {});
    button.textContent = "Copied";
  }
}
