// Law: what a trader has chosen: lines by a filter, one instrument, one group of the fund. All that
// follow are told, in whichever block it was chosen.

class Choices {
  constructor() {
    this.filter = { classes: [], text: "", book: -1, books: [], currency: "" }; // Books of a strategy.
    this.onChoice = []; // Who shows what is chosen.
    this.base = []; // Classes that the desk is of; none: all.
    this.selected = -1; // Line of the grid.
    this.instrument = -1; // What is on it, or was chosen elsewhere.
    this.chosen = { scope: 0, key: 0, name: "Fund" };
  }

  setFilter(change) {
    this.filter = { ...this.filter, ...change };
    this.tools.filtered(this.filter);
    this.input.held = false;
    this.sendFilter();
    this.blotter.cursor = 0;
    this.blotter.scrollTo(0);
    for (const tell of this.onChoice) tell();
    this.wake();
  }

  // Whether anything is left out, beside what the desk is not of.
  get filtering() {
    const { text, classes, book, books, currency } = this.filter;
    return text !== "" || classes.join() !== this.base.join() || book >= 0 || books.length > 0 || currency !== "";
  }

  toggleClass(id) {
    const { base } = this, old = this.filter.classes.length === base.length ? [] : this.filter.classes; // All are none chosen.
    const classes = old.includes(id) ? old.filter((k) => k !== id) : [...old, id].sort((a, b) => a - b);
    this.setFilter({ classes: classes.length ? classes : [...base] });
  }

  clearFilter() {
    if (this.search) this.search.value = "";
    if (this.filtering) this.setFilter({ text: "", classes: [...this.base], book: -1, books: [], currency: "" });
  }

  // A line of the grid; what is on it is followed by all that follow an instrument.
  select(row) {
    if (row === this.selected) return;
    this.selected = row;
    if (this.blotter) { this.blotter.selected = row; this.blotter.touch(-1); }
    this.follow(this.blotter instanceof Positions ? this.blotter.instrumentAt(row) : row);
  }

  // An instrument, of whichever block: its line in the grid is selected with it, where it has one.
  selectInstrument(id) {
    if (!(id >= 0)) return;
    const line = this.blotter instanceof Positions ? this.blotter.lineWith(id) : id;
    if (this.blotter && line !== this.selected) { this.selected = this.blotter.selected = line; this.blotter.touch(-1); }
    this.follow(id);
  }

  follow(instrument) {
    if (instrument === this.instrument || !(instrument >= 0)) return;
    this.instrument = instrument;
    this.series?.clear(instrument);
    this.chart?.touch();
    if (this.series) this.control({ type: "select", row: instrument });
    this.figures.selected(instrument);
    for (const p of this.painters) p.follows?.(instrument);
    this.contexts.followed(instrument);
    this.chartHead();
    this.wake();
  }

  // A group of the fund (scope, key, name), or the fund itself: what explains a group shows that one.
  chooseGroup(scope, key, name) {
    this.chosen = { scope, key, name };
    for (const p of this.painters) p.ofGroup?.(this.chosen);
    this.contexts.grouped(this.chosen);
    for (const tell of this.onChoice) tell();
    this.wake();
  }

  // The grid shows the lines of a group that is a book, or the books of a strategy or trader; else all.
  filterBook({ scope, name }) {
    const kind = this.names.scope(scope);
    if (this.blotter instanceof Positions) this.setFilter({ book: kind === "book" ? this.names.bookNamed(name) : -1, books: this.names.booksOf(kind, name) });
  }

  // By a menu: a group of that scope, below 0 the fund. A currency is of lines, in whichever book.
  chooseScope(scope, key) {
    const kind = this.names.scope(scope), name = key < 0 ? "Fund" : this.names.group(scope, key);
    if (kind === "currency") { this.setFilter({ currency: key < 0 ? "" : this.names.keys.currency[key] }); return; }
    this.chooseGroup(key < 0 ? 0 : scope, Math.max(0, key), name);
    this.filterBook({ scope: key < 0 ? 0 : scope, name });
  }

  // A book in the grid's own menu, below 0 the fund: what explains a group shows it too.
  chooseBook(id) {
    const { names } = this, scope = names.scopes.indexOf(id < 0 ? "fund" : "book"), key = id < 0 ? 0 : names.keys.book?.indexOf(names.book(id)) ?? -1;
    this.setFilter({ book: id, books: [] });
    if (scope >= 0 && key >= 0) this.chooseGroup(scope, key, id < 0 ? "Fund" : names.book(id));
  }
}
