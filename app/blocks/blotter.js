// Law: the blotter is a window on a view that the server keeps. It shows one set of columns at a
// time, each set a feed of its own, so that only the columns shown travel.

const OPTION_PX = 154; // An option's symbol with its strike.
const SYMBOL = { name: "symbol", head: "Symbol", width: 132, flex: true, align: "left", dx: 16, drop: 0, source: "the instrument", inputs: [] };

class Blotter extends Sheet {
  constructor(el, spec, feeds, desk) {
    super(el, [], { scroll: true, total: (k) => this.totalOf(k), desk });
    [this.spec, this.feeds, this.detail] = [spec, feeds, desk.feeds[spec.feeds.detail] || null];
    [this.top, this.selected, this.focusColumn, this.cursor, this.focused] = [0, -1, 2, 0, false];
    feeds.forEach((feed) => feed.listeners.push((i) => { if (feed === this.feed) this.told(i); }));
    this.use(0);
  }

  // The set that is shown. Rows and cells of its feed must be here, or on their way.
  use(number) {
    this.set = number;
    this.feed = this.feeds[number];
    const chosen = this.spec.sets[number];
    this.all = [...this.named(chosen.wide ? OPTION_PX : SYMBOL.width), ...this.spec.sets[number].columns.map(placed)];
    for (const k of this.all) k.at = this.feed.index(k.name);
    this.at_state = this.feed.index("state");
    this.at_moment = this.feed.index("ts_event");
    this.reset();
  }

  // Columns that do not come from the feed.
  named(width) {
    const chip = { name: "class", head: "Class", width: 44, align: "center", chip: true, say: NAMED.class, drop: 8, source: "asset class", inputs: [] };
    return [{ ...SYMBOL, width, say: NAMED.symbol }, chip];
  }

  told(i) {
    if (i < 0) return this.touch(-1);
    const line = Math.floor(i / this.feed.width) + this.feed.first - this.top;
    if (line >= 0) this.touch(line);
  }

  count() { return Math.max(0, this.feed.total); }
  waiting(line) { return this.feed.total < 0 || this.top + line < this.feed.total; }
  slotAt(line) {
    const slot = this.top + line - this.feed.first;
    return slot >= 0 && slot < this.feed.rows.length ? slot : -1;
  }

  rowAt(line) {
    const slot = this.slotAt(line);
    if (slot < 0) return null;
    const f = this.feed, id = f.rows[slot], from = slot * f.width;
    const moment = f.value[from + this.at_moment];
    const age = moment === moment ? (this.desk.health.now() - moment) / 1e3 : NaN;
    return this.row.fill(id, slot, this.desk.instruments.get(id), f.value[from + this.at_state], age, id === this.selected);
  }

  valueOf(row, column) { return column.at < 0 ? 0 : this.feed.value[row.slot * this.feed.width + column.at]; }
  instrumentOf(row) { return row.id; }

  tick(cell, row, column, now) {
    const ref = row.instrument;
    if (column.format === "price" && ref && ref.price_format === 3 && cell.text) cell.tail = "1";
    if (!column.flash || row.stale) return false;
    const running = tickMarks(cell, this.feed, row.slot * this.feed.width + column.at, now);
    if (cell.flash) cell.tail = "";
    return running;
  }

  get focusLine() { return this.cursor - this.top; }

  lineCount() { return "Total, " + num(this.count()) + (this.count() === 1 ? " line" : " lines"); }

  totalOf(k) {
    if (k.name === "symbol") return { text: this.lineCount(), dx: PAD };
    // A text search picks lines inside classes, of which the page knows no sums.
    const { text, classes } = this.desk.filter, keep = classes.length ? (id) => classes.includes(id) : null;
    const sum = text ? NaN : this.desk.classSum(k.name === "exposure" ? "net" : k.name, keep);
    if (k.name === "exposure") return { text: signed(sum / 1e6, 1), color: "text" };
    if (k.name === "pnl") return { text: signed(sum / 1e3), color: sum > 0 ? "up" : sum < 0 ? "down" : "zero" };
    return null;
  }

  // Two lines more on each side, so that a small scroll shows no blank.
  viewport() {
    const first = Math.max(0, this.top - 2);
    return { first, count: this.lines + (this.top - first) + 2 };
  }

  scrollTo(top) {
    if (!this.columns) return; // Not laid out: rows came before the first frame.
    const most = Math.max(0, this.count() - this.lines);
    const next = Math.max(0, Math.min(most, Math.round(top)));
    if (next === this.top) return;
    this.top = next;
    this.touch(-1);
    this.desk.viewportChanged();
  }

  thumb() {
    const h = this.surface.h - HEAD - this.foot - 4, n = this.count();
    if (n <= this.lines || !n) return null;
    const size = Math.max(24, (h * this.lines) / n);
    return { y: HEAD + 2 + ((h - size) * this.top) / (n - this.lines), size, h };
  }

  paintScroll() {
    const t = this.thumb(), key = t ? Math.round(t.y) + ":" + Math.round(t.size) : "";
    if (key === this.scrollKey && !this.headDue) return;
    this.scrollKey = key;
    this.headDue = false;
    const s = this.surface;
    box(s.c, this.room, HEAD, SCROLL, s.h - HEAD - this.foot, T.panel);
    if (t) box(s.c, this.room + 3, Math.round(t.y), 3, Math.round(t.size), T.edge);
  }

  layout() { super.layout(); this.scrollKey = null; this.desk.viewportChanged(); }
}

// Positions: a row is a slot of the table of positions; whose it is and of what stand in columns.
class Positions extends Blotter {
  use(number) {
    super.use(number);
    this.at_instrument = this.feed.index("instrument");
    this.at_stale = this.feed.index("stale");
  }

  named() { return [{ ...SYMBOL, say: NAMED.symbol }]; }

  rowAt(line) {
    const slot = this.slotAt(line);
    if (slot < 0) return null;
    const f = this.feed, id = f.rows[slot], from = slot * f.width;
    const row = this.row.fill(id, slot, this.desk.instruments.get(f.value[from + this.at_instrument]), 0, NaN, id === this.selected);
    row.stale = f.value[from + this.at_stale] === 1;
    return row;
  }

  instrumentOf(row) { return this.feed.at(row.slot, this.at_instrument); }
  bookName(id) { return this.desk.names.book(id, this.spec.names); }

  // Sums are those of the books: of one, or of all.
  totalOf(k) {
    if (k.name === "symbol") return { text: this.lineCount(), dx: PAD };
    const books = this.desk.books, at = books ? books.index(k.name) : -1;
    if (at < 0) return this.sumOfFund(k);
    const chosen = this.desk.filter.book, sum = books.sum(k.name, chosen >= 0 ? (id) => id === chosen : null);
    if (k.format === "money_k") return { text: k.signed ? signed(sum / 1e3) : num(sum / 1e3), color: !k.signed ? "text" : sum > 0 ? "up" : sum < 0 ? "down" : "zero" };
    if (k.format === "money_m") return { text: signed(sum / 1e6, 1), color: "text" };
    return null;
  }

  // Of delta and the like the exposures know the fund's sum.
  sumOfFund(k) {
    const v = this.desk.filter.book < 0 && k.home === "risk" ? this.desk.fundGroup?.()?.get(k.name.replace("_usd", "")) : NaN;
    if (!(v === v) || v === undefined) return null;
    return k.format === "money_k" ? { text: signed(v / 1e3), color: v > 0 ? "up" : v < 0 ? "down" : "zero" } : { text: signed(v / 1e6, 1), color: "text" };
  }
}

// The switch between sets: the next one is asked for, and shown when its rows are here.
class ColumnSets {
  constructor(blotter, desk) { [this.blotter, this.desk, this.coming] = [blotter, desk, -1]; }

  choose(number) {
    const b = this.blotter, sets = b.spec.sets.length, next = ((number % sets) + sets) % sets;
    if (next === b.set || !b.columns) return;
    this.drop(this.coming);
    this.coming = next;
    this.focus(next);
    const feed = this.desk.feedNumber(b.feeds[next]);
    this.desk.sendFilter(feed);
    this.desk.sendSort(true, feed);
    this.desk.control({ type: "viewport", feed, ...(this.scrolled ? { first: 0, count: b.lines + 2 } : b.viewport()) });
    this.show(next);
  }

  // A set that says something of a few classes only shows those, unless a filter was chosen.
  focus(next) {
    const { spec } = this.blotter, { filter } = this.desk, same = (a, b) => a.join() === b.join();
    if (!filter.classes.length || same(filter.classes, this.focused || [])) {
      this.focused = spec.sets[next].classes;
      if (!same(filter.classes, this.focused)) {
        this.desk.filter = { ...filter, classes: this.focused };
        this.desk.tools.filtered(this.desk.filter);
        this.scrolled = true;
      }
    }
  }

  // Nothing travels for a set that is not shown.
  drop(number) {
    if (number < 0) return;
    this.desk.control({ type: "viewport", feed: this.desk.feedNumber(this.blotter.feeds[number]), first: 0, count: 0 });
  }

  // Rows of `feed` came: true when with them another set has come to be shown.
  came(feed) {
    const b = this.blotter, number = b.feeds.indexOf(feed);
    if (number < 0 || number !== this.coming) return false;
    const before = b.set;
    this.coming = -1;
    b.use(number);
    if (this.scrolled) [b.top, b.cursor, this.scrolled] = [0, 0, false];
    this.drop(before);
    return true;
  }

  // After a reconnect the server knows nothing of a wish that was on its way.
  forget() { if (this.coming >= 0) { this.coming = -1; this.show(this.blotter.set); } }

  show(number) {
    this.buttons?.forEach((b, i) => b.setAttribute("aria-pressed", String(i === number)));
    if (this.menu) this.menu.value = String(number);
  }

  tools() {
    const sets = this.blotter.spec.sets;
    if (sets.length < 2) return [];
    this.buttons = sets.map((set, i) => el("button", { "aria-pressed": String(i === 0), onclick: () => this.choose(i) }, set.name));
    this.menu = el("select", { class: "slim", "aria-label": "Columns", onchange: () => this.choose(+this.menu.value) },
      ...sets.map((set, i) => el("option", { value: i }, set.name)));
    return [this.menu, el("div", { class: "sets wide", role: "group", "aria-label": "Columns (c)" }, ...this.buttons)];
  }
}
