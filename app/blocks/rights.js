// Law: what may not be seen is said, where it would stand: in a cell, in a figure, over a tile whose
// numbers are all withheld. The numbers themselves never came. Where what may be seen has changed
// the page is loaded anew, so that nothing of before stays on the glass.

const WITHHELD = "not permitted", WITHHELD_CELL = "n/p";
const TABLES_OF = { map: ["classes"], pnl: ["books"], alerts: ["limits"] }; // Of tiles that have no feed of their own.

class RightsView {
  constructor(desk) { [this.desk, this.told, this.key] = [desk, null, null]; }

  take(told) {
    const key = JSON.stringify(told || null);
    if (this.key !== null && key !== this.key) { location.reload(); return; }
    [this.told, this.key] = [told || null, key];
    this.mark();
  }

  table(name) { return this.told?.tables.includes(name) || false; }
  column(table, name) { return this.table(table) || this.told?.columns[table]?.includes(name) || false; }
  get fund() { return this.told ? this.told.fund : true; }
  // What stands where a row of this name would be, were it permitted; "" where all rows are.
  absence() { return this.fund ? "" : "Not permitted: it is of the whole fund"; }
  book(id) { return !this.fund && !(id in this.desk.names.books); }

  // A tile all of whose tables are withheld has a sheet over it, one that lacks some says so in its head.
  mark() {
    if (!this.told) return;
    const { spec } = this.desk;
    for (const panel of this.desk.panels) {
      const { kind, table, feeds } = panel.spec, numbers = Object.values(feeds || {});
      const tables = TABLES_OF[kind] || (table ? [table] : numbers.map((k) => spec.feeds[k].table).filter(Boolean));
      if (!tables.length || !tables.every((name) => this.table(name))) continue;
      panel.withheld ||= panel.root.appendChild(el("div", { class: "void", role: "status" }, el("p", {}, "Not permitted"), el("p", { class: "k" }, "The access file does not let you see this.")));
    }
  }
}
