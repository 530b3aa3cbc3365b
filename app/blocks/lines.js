// Law: short tables that are wholly on the page. The page filters and orders their rows, at most
// once a second; the cells are drawn by the painter of every table.

const ORDER_MS = 1000;
const LINE_NAME_MOST = 240; // "NQZ6 18DEC26 24500 P, gross" has 204 with its sign.

class Lines extends Sheet {
  // `options`: name(slot) -> text, keep(slot), order(a, b), total(k), more columns in front.
  constructor(el, spec, feed, desk, options = {}) {
    const name = { name: "name", head: spec.head || "", width: options.nameWidth || 118, flex: true, align: "left", dx: PAD, drop: 0, source: "", inputs: [],
      say: (cell, row, v, column) => { cell.text = this.nameOf(row.slot); cell.color = TEXT; this.sayName?.(cell, row, column); } };
    super(el, [name, ...(options.front || []), ...spec.columns.map(placed)], { desk, total: options.total, scroll: true });
    [this.spec, this.feed, this.top, this.selected, this.rows, this.lineOf] = [spec, feed, 0, -1, [], []];
    Object.assign(this, { keep: options.keep || (() => true), compare: options.order || null, nameOf: options.name });
    for (const k of this.all) k.at = feed.index(k.name);
    this.orderDue = true;
    this.orderedAt = -1e9;
    feed.listeners.push((i) => this.told(i));
    el.addEventListener("wheel", (e) => this.wheel(e), { passive: false });
    el.addEventListener("pointerdown", (e) => this.down(e));
    this.byKeys = new SheetKeys(this, el, spec.title);
  }

  // Names may come after the lines that they name.
  touch(line) {
    if (line < 0) this.orderDue = true;
    super.touch(line);
  }

  // As wide as the longest name so far: where there is no room a figure is left out, no name is cut.
  measureNames(rows) {
    const name = this.all[0], most = rows.reduce((wide, slot) => Math.max(wide, width(VALUE, this.nameOf(slot))), 0);
    const wide = Math.min(LINE_NAME_MOST, Math.ceil(most / SCALE) + name.dx + PAD);
    if (wide <= name.width) return;
    this.all[0] = { ...name, width: wide };
    this.reset();
  }

  told(i) {
    if (i < 0) { this.orderedAt = -1e9; this.orderDue = true; this.touch(-1); return; }
    this.orderDue = true;
    const line = this.lineOf[Math.floor(i / this.feed.width)];
    if (line !== undefined && line >= this.top) this.touch(line - this.top);
  }

  count() { return this.rows.length; }

  rowAt(line) {
    const slot = this.rows[this.top + line];
    if (slot === undefined) return null;
    const ref = this.instrumentOf ? this.desk.instruments.get(this.instrumentOf({ slot })) : null;
    return this.row.fill(this.feed.rows[slot], slot, ref, 0, NaN, this.feed.rows[slot] === this.selected);
  }

  valueOf(row, column) { return this.feed.at(row.slot, column.at); }
  bookName(id) { return this.desk.names.book(id); }

  // Anew at once: another tab, another order.
  again() { this.orderDue = true; this.orderedAt = -1e9; this.top = 0; this.touch(-1); this.desk.wake(); }

  arrange(now) {
    if (!this.orderDue || now - this.orderedAt < ORDER_MS) return;
    [this.orderDue, this.orderedAt] = [false, now];
    const rows = [];
    for (let slot = 0; slot < this.feed.rows.length; slot++) if (this.keep(slot)) rows.push(slot);
    const sort = this.sort && this.feed.index(this.sort.column), side = this.sort?.descending ? -1 : 1;
    const by = (slot) => (sort >= 0 ? this.feed.at(slot, sort) : this.nameOf(slot));
    const known = (v) => (typeof v === "number" ? v === v : true);
    if (this.sort) rows.sort((a, b) => { const [p, q] = [by(a), by(b)]; return known(p) !== known(q) ? (known(p) ? -1 : 1) : p < q ? -side : p > q ? side : a - b; });
    else if (this.compare) rows.sort(this.compare);
    this.measureNames(rows);
    if (rows.length === this.rows.length && rows.every((slot, i) => slot === this.rows[i])) return;
    this.rows = rows;
    this.lineOf = [];
    rows.forEach((slot, i) => { this.lineOf[slot] = i; });
    this.top = Math.max(0, Math.min(this.top, rows.length - (this.lines || 0)));
    this.ids?.fill(-2);
    this.touch(-1);
    this.onArranged?.();
  }

  paint(now) {
    this.arrange(now);
    return super.paint(now);
  }

  wheel(e) {
    const top = Math.max(0, Math.min(this.count() - this.lines, this.top + Math.sign(e.deltaY) * 2));
    if (top === this.top) return;
    e.preventDefault();
    this.top = top;
    this.touch(-1);
    this.desk.wake();
  }

  down(e) {
    const box = this.surface.el.getBoundingClientRect(), at = this.hit(e.clientX - box.left, e.clientY - box.top);
    if (!at) return;
    if (at.line < 0) this.sortBy(at.column.name); else this.pick(this.top + at.line);
  }

  // By that column, the other way round, as it was.
  sortBy(name) {
    const s = this.sort, first = name !== "name";
    this.sort = !s || s.column !== name ? { column: name, descending: first } : s.descending === first ? { column: name, descending: !first } : null;
    this.paintHead();
    this.again();
  }

  pick(at) {
    if (this.rows[at] === undefined || !this.onSelect) return;
    this.selected = this.feed.rows[this.rows[at]];
    this.onSelect(this.rows[at]);
    this.touch(-1);
    this.desk.wake();
  }

  paintScroll() {
    const n = this.count(), high = this.lines * ROW, key = n + ":" + this.top;
    if (key === this.scrollKey) return;
    this.scrollKey = key;
    const c = this.surface.c;
    box(c, this.room, HEAD, SCROLL, high, T.panel);
    if (n > this.lines) box(c, this.room + 3, HEAD + (high * this.top) / n, 3, Math.max(12, (high * this.lines) / n), T.edge);
  }

  layout() { super.layout(); this.scrollKey = null; }

  // A pinned foot of another feed's only row, told by the same formats.
  totalFrom(feed, head) {
    const cell = new Cell(), row = new RowView().fill(0, 0, null, 0, NaN, false);
    return (k) => {
      if (k.name === "name") return { text: head(), dx: PAD };
      const at = feed.index(k.name);
      if (at < 0) return null;
      k.say(cell.reset(), row, feed.at(0, at), k, null, this);
      return { text: cell.text, color: COLORS[cell.color === TEXT2 || cell.color === TEXT3 ? TEXT : cell.color] };
    };
  }
}

// A limit: its name, a bar of how much is used, and a sign of its state.
class LimitLines extends Lines {
  constructor(el, spec, feed, desk) {
    const bar = { name: "bar", head: "Used", width: 44, align: "center", drop: 2, dx: 0, source: "value / limit, the mark at the warning", inputs: [],
      say: (cell, row) => this.sayBar(cell, row) };
    const at = (name) => feed.index(name), get = (slot, name) => feed.at(slot, at(name));
    super(el, spec, feed, desk, {
      front: [bar], nameWidth: 116,
      name: (slot) => {
        const scope = desk.names.scope(get(slot, "scope")), key = desk.names.group(get(slot, "scope"), get(slot, "key"));
        const name = desk.names.limits[get(slot, "id")] || "Limit " + get(slot, "id");
        return desk.names.limit(name, scope, desk.names.keys[scope]?.[get(slot, "key")] || "", key);
      },
      keep: (slot) => get(slot, "id") === get(slot, "id"),
      order: (a, b) => rank(b) - rank(a) || (get(b, "use_pct") || 0) - (get(a, "use_pct") || 0) || a - b,
    });
    this.all[0].dx = 18; // Behind the sign of its state.
    const rank = (slot) => [0, 2, 3, 1][get(slot, "state")] || 0;
  }

  rowAt(line) {
    const row = super.rowAt(line);
    if (row) row.level = this.feed.get(row.slot, "state");
    return row;
  }

  sayName(cell, row) {
    cell.color = row.level ? TEXT : TEXT2;
    if (row.level === 1) cell.marks |= M_WARN;
    if (row.level === 2) cell.marks |= M_BREACH;
    if (row.level === 3) { cell.color = TEXT3; cell.font = ITALIC; cell.marks |= M_WARN; }
  }

  sayBar(cell, row) {
    const use = this.feed.get(row.slot, "use_pct"), edge = (100 * this.feed.get(row.slot, "warning")) / this.feed.get(row.slot, "breach");
    const w = this.columns.find((k) => k.name === "bar").w - 8, room = w * 0.8; // The limit itself at 80 %.
    const px = Math.round(Math.max(0, Math.min(1.25, (use || 0) / 100)) * room), mark = Math.round((edge / 100) * room);
    const level = row.level;
    cell.text = px + ":" + mark + ":" + level;
    cell.bar = (ink, x, y) => {
      if (px < room) ink.fill(T.line, x + 4 + px, y + 6, Math.round(room) - px, 8);
      if (px) ink.fill(level === 2 ? T.crit : level === 1 ? T.warn : T.edge, x + 4, y + 6, px, 8);
      ink.fill(T.text2, x + 4 + Math.round(room), y + 4, 1, 12);
      if (mark === mark) ink.fill(T.text3, x + 4 + mark, y + 4, 1, 3);
    };
  }
}
