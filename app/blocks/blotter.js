// Law: the blotter is a window on a view that the server keeps. It shows one set of columns at a
// time, each set a feed of its own, so that only the columns shown travel.

const SLIDES = 24; // With more columns than these a grid slides; with fewer those of the lowest rank go.
const FIRST = ["last", "change", "day_pnl", "pnl", "value"]; // Beside the name where hardly more has room: a phone.
const NAME_MOST = 168; // An option's symbol with its strike has 154.
const SYMBOL = { name: "symbol", head: "Symbol", width: 110, flex: true, align: "left", dx: 16, drop: 0, source: "the instrument", inputs: [] };

// A trader's own words on a line; hidden until asked for.
const NOTE = { name: "note", head: "Note", width: 140, align: "left", dx: PAD, drop: 0, hide: true, source: "written here", inputs: [],
  say: (cell, row, v, column, kept, sheet) => { cell.text = sheet.noteOf(row); cell.color = TEXT2; } };

class Blotter extends Sheet {
  constructor(el, spec, feeds, desk) {
    super(el, [], { scroll: true, total: (k) => this.totalOf(k), desk });
    [this.spec, this.feeds, this.detail] = [spec, feeds, desk.feeds[spec.feeds.detail] || null];
    [this.top, this.selected, this.focusColumn, this.cursor, this.focused] = [0, -1, 2, 0, false];
    [this.left, this.anchor, this.trails, this.scales, this.scaledAt] = [0, null, new Trails(), new Map(), -1e9];
    this.arrangement = new Arrangement(`grid:${desk.spec.title}:${spec.title}`);
    feeds.forEach((feed) => feed.listeners.push((i) => { if (feed === this.feed) this.told(i); }));
    this.use(0);
  }

  // The set that is shown. Rows and cells of its feed must be here, or on their way.
  use(number) {
    this.set = number;
    this.feed = this.feeds[number];
    const chosen = this.spec.sets[number];
    this.every = [...this.named(this.nameWidth()), ...chosen.columns.map(placed), { ...NOTE }];
    for (const k of this.every) k.at = this.feed.index(k.name);
    this.at_state = this.feed.index("state");
    this.at_moment = this.feed.index("ts_event");
    this.arrange();
  }

  // As wide as the longest symbol of the classes that the set or the desk is of; a grid of all of
  // them leaves options to what is free.
  nameWidth() {
    const { classes = [] } = this.spec.sets[this.set], of = classes.length ? classes : this.spec.base || [], all = this instanceof Positions;
    if (!of.length && !all) return SYMBOL.width;
    let most = 0;
    for (const { asset_class: id, symbol } of this.desk.instruments.by.values()) if (all || of.includes(id)) most = Math.max(most, width(VALUE, symbol));
    return Math.max(SYMBOL.width, Math.min(NAME_MOST, Math.ceil(most / SCALE) + SYMBOL.dx + PAD));
  }

  get setName() { return this.spec.sets[this.set].name; }
  get sorts() { return this.arrangement?.data.sorts || []; }

  // As the trader has arranged it; the same columns in the same places are left alone.
  arrange() {
    this.all = this.arrangement.columns(this.setName, this.every);
    this.reset();
  }

  // All that fit, or a window on all: whole columns, because half a number is a wrong one.
  choose(room) {
    const wide = this.all.reduce((sum, k) => sum + k.width * SCALE, 0);
    // On a phone, where not even those that never go have room, all are slid through, the name stays.
    const least = this.all.reduce((sum, k) => sum + (k.drop ? 0 : k.width * SCALE), 0), cramped = room < PHONE_PX && this.arrangement.data.fit && least * 0.9 > room;
    this.sideways = wide > room && (!this.arrangement.data.fit || this.all.length > SLIDES || cramped);
    if (!this.sideways) { this.left = 0; return super.choose(room); }
    const all = (cramped ? this.ranked() : this.all).map(sized), pins = all.filter((k) => k.pinned), free = all.filter((k) => !k.pinned);
    const taken = pins.reduce((sum, k) => sum + k.width, 0);
    // The last window is the one that ends with the last column.
    let most = free.length, sum = taken;
    while (most && sum + free[most - 1].width <= room) sum += free[--most].width;
    this.leftMax = Math.min(most, free.length - 1);
    this.left = Math.max(0, Math.min(this.left, this.leftMax));
    const shown = [];
    for (let i = this.left, x = taken; i < free.length && (x + free[i].width <= room || !shown.length); x += free[i++].width) shown.push(free[i]);
    this.free = free.length;
    if (pins.length) pins[pins.length - 1] = { ...pins[pins.length - 1], pinEnd: true };
    return [...pins, ...shown];
  }

  ranked() {
    const [name, ...rest] = this.all, first = FIRST.map((one) => rest.find((k) => k.name === one)).filter(Boolean);
    return [{ ...name, pinned: true }, ...first, ...rest.filter((k) => !first.includes(k) && !k.chip)];
  }

  slide(to) {
    const left = Math.max(0, Math.min(this.leftMax || 0, to));
    if (!this.sideways || left === this.left) return;
    this.left = left;
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
    if (id >= GROUP_ID) return this.headOf(id, slot, age, this.at_state);
    return this.row.fill(id, slot, this.desk.instruments.get(id), f.value[from + this.at_state], age, id === this.selected);
  }

  // The head of a group: what counts a row's state counts its lines.
  headOf(id, slot, age, at_count) {
    const row = this.row.fill(id, slot, null, 0, age, false);
    row.group = id - GROUP_ID;
    row.stale = false;
    row.lineCount = this.feed.at(slot, at_count);
    return row;
  }

  sayHead(cell, row) {
    cell.text = this.groupName(row.group) + (row.lineCount === row.lineCount ? " \u00b7 " + num(row.lineCount) : "");
    cell.marks |= this.arrangement.data.shut.includes(row.group) ? M_SHUT : M_OPEN;
  }

  groupName(number) {
    const by = this.arrangement.data.group;
    if (number === NOBODY_ID) return "Not said";
    if (by === "class") return CLASS_NAMES[number] || "Class " + number;
    if (by === "book") return this.desk.names.book(number, this.spec.names);
    const ref = this.desk.instruments.get(number), said = ref ? ref[by] : "";
    return by === "underlying" ? this.desk.instruments.get(said)?.symbol || "#" + said : String(said || "#" + number);
  }

  ageOf(row, column, now) {
    const changed = this.feed.changed[row.slot * this.feed.width + column.at];
    return changed > 0 ? (now - changed) / 1e3 : NaN;
  }

  // A range from where it began to the cursor.
  inRange(line, j) {
    if (!this.anchor) return false;
    const at = this.top + line, { row, column } = this.anchor, between = (v, a, b) => v >= Math.min(a, b) && v <= Math.max(a, b);
    return between(at, row, this.cursor) && between(j, column, this.focusColumn);
  }

  noteOf(row) { return row.instrument ? this.arrangement.data.notes[row.instrument.symbol] || "" : ""; }

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

  // -1 is the head; a cursor above the first line shown is on none.
  get focusLine() { return this.cursor < 0 ? -1 : this.cursor < this.top ? -2 : this.cursor - this.top; }

  // Lines of the view: what the total has counted, because heads are lines of the screen only.
  get lineTotal() { const n = this.feed.pinned < 0 ? NaN : this.feed.at(this.feed.pinned, this.at_count ?? this.at_state); return n === n ? n : this.count(); }
  lineCount() { return "Total, " + num(this.lineTotal) + (this.lineTotal === 1 ? " line" : " lines"); }

  // What the server has summed for this very view, or null where it has not.
  summed(k) {
    const { feed } = this;
    if (feed.pinned < 0 || k.at < 0 || k.format === "moment" || k.format === "flags") return null;
    this.summing ||= { row: new RowView(), cell: new Cell() };
    const { row, cell } = this.summing;
    k.say(cell.reset(), row.fill(TOTAL_ID, feed.pinned, null, 0, NaN, false), feed.at(feed.pinned, k.at), k, null, this);
    return cell.text ? { text: cell.text, color: COLORS[cell.color === TEXT2 || cell.color === TEXT3 ? TEXT : cell.color] } : null;
  }

  totalOf(k) {
    if (k.name === "symbol") return { text: this.lineCount(), dx: PAD };
    if (this.feed.pinned >= 0) return this.summed(k);
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
    if (!this.sideways) return;
    // Where sideways: a rule below the head, from under the pins.
    const pins = this.columns.filter((k) => k.pinned), from = pins.length ? pins[pins.length - 1].x + pins[pins.length - 1].w : 0, wide = this.room - from;
    const part = (this.columns.length - pins.length) / this.free;
    box(s.c, from, HEAD - 2, wide, 2, T.line);
    box(s.c, from + ((wide * (1 - part)) * this.left) / Math.max(1, this.leftMax), HEAD - 2, wide * part, 2, T.edge);
  }

  paintHead() {
    super.paintHead();
    this.headDue = true;
  }

  layout() {
    const { size } = this.desk.instruments; // They may come after the columns.
    if (size !== this.measured) {
      this.measured = size;
      this.every[0] = { ...this.every[0], width: this.nameWidth() };
      this.all = this.arrangement.columns(this.setName, this.every);
    }
    super.layout();
    this.scrollKey = null;
    const at = this.columns.findIndex((k) => k.name === this.focusOn);
    this.focusColumn = Math.max(0, Math.min(this.columns.length - 1, at < 0 ? this.focusColumn : at));
    this.focusOn = null;
    this.tellColumns();
    this.desk.viewportChanged();
  }

  // A server that has just met this page knows nothing of its columns.
  again() {
    for (const feed of this.feeds) feed.shownKey = "";
    if (this.columns) this.tellColumns();
    const { set } = this.arrangement.data;
    if (set !== this.set && this.spec.sets[set]) this.desk.tools.sets.choose(set);
  }

  // Cells of columns that are not on the glass do not travel; they are blank until they come again.
  tellColumns() {
    const own = new Set(this.every.map((k) => k.at)), seen = new Set(this.columns.map((k) => k.at)), { feed } = this;
    const needed = new Set([this.at_state, this.at_moment, this.at_instrument, this.at_stale]);
    const shown = feed.columns.map((_, j) => j).filter((j) => seen.has(j) || needed.has(j) || !own.has(j));
    const key = shown.length === feed.width ? "" : shown.join();
    if (key === (feed.shownKey || "")) return;
    const before = feed.shownKey ? new Set(feed.shownKey.split(",").map(Number)) : null;
    feed.shownKey = key;
    if (before) feed.blank(shown.filter((j) => !before.has(j)));
    this.desk.control({ type: "columns", feed: this.desk.feedNumber(feed), shown: key ? shown : [] });
  }

  paint(now) {
    if (this.columns && now - this.scaledAt >= SCALE_MS) {
      this.scaledAt = now;
      this.trails.sample(this);
      const scales = scalesOf(this), same = scales.size === this.scales.size && [...scales].every(([name, v]) => this.scales.get(name) === v);
      if (!same) this.touch(-1);
      this.scales = scales;
    }
    return super.paint(now);
  }
}

// Positions: a row is a slot of the table of positions; whose it is and of what stand in columns.
class Positions extends Blotter {
  use(number) {
    const feed = this.feeds[number];
    [this.at_instrument, this.at_stale, this.at_count] = [feed.index("instrument"), feed.index("stale"), feed.index("instrument")];
    super.use(number);
  }

  named(width) { return [{ ...SYMBOL, width, say: NAMED.symbol }]; }

  rowAt(line) {
    const slot = this.slotAt(line);
    if (slot < 0) return null;
    const f = this.feed, id = f.rows[slot], from = slot * f.width;
    if (id >= GROUP_ID) return this.headOf(id, slot, NaN, this.at_count);
    const row = this.row.fill(id, slot, this.desk.instruments.get(f.value[from + this.at_instrument]), 0, NaN, id === this.selected);
    row.stale = f.value[from + this.at_stale] === 1;
    return row;
  }

  instrumentOf(row) { return this.feed.at(row.slot, this.at_instrument); }
  instrumentAt(id) { return this.feed.at(this.feed.slotOf(id), this.at_instrument); }
  // The line that has this instrument, of those that are here; -1 without one.
  lineWith(instrument) {
    const slot = this.feed.rows.findIndex((id, k) => id < GROUP_ID && this.feed.at(k, this.at_instrument) === instrument);
    return slot < 0 ? -1 : this.feed.rows[slot];
  }
  bookName(id) { return this.desk.names.book(id, this.spec.names); }

  // Sums are those of the books: of one, or of all.
  totalOf(k) {
    if (k.name === "symbol") return { text: this.lineCount(), dx: PAD };
    if (this.feed.pinned >= 0) return this.summed(k);
    const books = this.desk.books, at = books ? books.index(k.name) : -1;
    if (at < 0) return this.sumOfFund(k);
    const { book, books: some, currency } = this.desk.filter, sum = books.sum(k.name, book >= 0 ? (id) => id === book : some.length ? (id) => some.includes(id) : null);
    if (currency) return null; // Books do not know what of them is in it.
    if (k.format === "money_k") return { text: k.signed ? signed(sum / 1e3) : num(sum / 1e3), color: !k.signed ? "text" : sum > 0 ? "up" : sum < 0 ? "down" : "zero" };
    if (k.format === "money_m") return { text: signed(sum / 1e6, 1), color: "text" };
    return null;
  }

  // Of delta and the like the exposures know the fund's sum.
  sumOfFund(k) {
    const v = !this.desk.filtering && k.home === "risk" ? this.desk.fundGroup?.()?.get(k.name.replace("_usd", "")) : NaN;
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
    this.desk.sendGroup(feed);
    this.desk.control({ type: "viewport", feed, ...(this.scrolled ? { first: 0, count: b.lines + 2 } : b.viewport()) });
    this.show(next);
  }

  // A set that says something of a few classes only shows those, unless a filter was chosen.
  focus(next) {
    const { spec } = this.blotter, { filter } = this.desk, same = (a, b) => a.join() === b.join();
    if (this.desk.base.length) return; // A desk of a few classes stays with them.
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
    b.feeds[number].shownKey = "";
    this.desk.input.hold(false, this.desk.input.over); // Held was the order of the feed before.
    b.use(number);
    b.arrangement.change({ set: number }, "set");
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
