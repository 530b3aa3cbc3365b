// Law: the one painter of every table. A sheet lays out columns, asks for its rows, and draws only
// the cells whose description changed since they were drawn.

const PAD = 8, SCROLL = 8;
// Of the density that is chosen, read from the tokens; widths are told for text of 12 px.
let ROW = 20, HEAD = 20, BASE = 14, SCALE = 1;
const NAME_SPARE = 160;
function readMeasures() {
  const style = getComputedStyle(document.documentElement), px = (name) => parseFloat(style.getPropertyValue("--" + name));
  [ROW, HEAD, SCALE] = [px("row"), px("head"), px("size") / 12];
  BASE = Math.round((ROW - 1) / 2 + 0.36 * 12 * SCALE);
}
const sized = (k) => (SCALE === 1 ? k : { ...k, width: Math.round(k.width * SCALE), frac: (k.frac || 0) * SCALE });

class Sheet {
  constructor(el, columns, options = {}) {
    this.surface = new Surface(el);
    this.all = columns;
    this.options = options;
    this.desk = options.desk || null;
    this.row = new RowView();
    this.cell = new Cell();
    this.total = options.total || null;
    this.sort = null;
    this.painted = -1; // Sequence of the push that was on the glass last.
    this.skipHead = false;
    this.reset();
  }

  // Subclasses say how many lines there are and fill `this.row` for line `i` of the screen.
  count() { return 0; }
  rowAt() { return null; }
  valueOf() { return NaN; }
  tick() { return false; }
  withholds(column) { return this.desk?.rights.column(column.home || this.feed?.table, column.name) || false; }

  reset() {
    this.dirtyAll = true;
    this.layoutVersion = -1;
  }

  // The columns that are shown in `room` px, in their order: all, or those of the highest rank.
  choose(room) {
    const columns = this.all.map(sized), wide = () => columns.reduce((sum, k) => sum + k.width, 0);
    while (wide() > room && columns.some((k) => k.drop)) {
      const worst = Math.max(...columns.map((k) => k.drop));
      // Of equal rank, the one furthest to the right goes first.
      let at = columns.length - 1;
      while (columns[at].drop !== worst) at--;
      columns.splice(at, 1);
    }
    // Still too wide: figures give up to a tenth of their cell, names keep theirs.
    const share = Math.max(0.9, Math.min(1, 1 - (wide() - room) / columns.reduce((sum, k) => sum + (k.flex ? 0 : k.width), 0)));
    const figures = share < 1 ? columns.map((k) => (k.flex ? k : { ...k, width: Math.floor(k.width * share) })) : columns;
    // And if that is not enough, names give way: a name can be cut, a figure never is.
    const over = figures.reduce((sum, k) => sum + k.width, 0) - room, names = figures.filter((k) => k.flex).length || 1;
    return over > 0 ? figures.map((k) => (k.flex ? { ...k, width: Math.max(40, Math.floor(k.width - over / names)) } : k)) : figures;
  }

  layout() {
    const s = this.surface, room = s.w - (this.options.scroll ? SCROLL : 0), columns = this.choose(room);
    const spare = Math.max(0, room - columns.reduce((sum, k) => sum + k.width, 0)), flex = columns.filter((k) => k.flex).length || 1;
    // Names take what is free, but so much that the eye still finds their figures; the rest goes to those.
    const names = Math.min(spare, flex * NAME_SPARE * SCALE), figures = columns.filter((k) => !k.flex && !k.chip).length, each = figures ? Math.floor((spare - names) / figures) : 0;
    let x = 0;
    this.columns = columns.map((k) => {
      const w = k.width + (k.flex ? Math.floor(names / flex) : k.chip ? 0 : each);
      const placed = { ...k, x, w };
      x += w;
      return placed;
    });
    this.room = room;
    this.foot = this.total ? ROW : 0;
    // The total's edge lies on the last hairline, so one pixel counts twice.
    this.lines = Math.max(0, Math.floor((s.h - HEAD - this.foot + 1) / ROW));
    const n = this.lines * this.columns.length;
    this.keys = new Float64Array(n).fill(-1);
    this.texts = new Array(n).fill("");
    this.values = new Float64Array(n).fill(NaN);
    this.ids = new Float64Array(this.lines).fill(-2);
    this.dirty = new Uint8Array(this.lines).fill(1);
    this.totals = "";
    this.ink = new Ink(s);
    this.hatch = hatchTile(s.c, T.line, s.k);
    box(s.c, 0, 0, s.w, s.h, T.panel);
    this.paintHead();
  }

  touch(line) {
    if (line < 0) this.dirty?.fill(1);
    else if (line < this.lines) this.dirty[line] = 1;
  }

  // Draws what is due; true when a flash still runs and another step is needed.
  paint(now) {
    if (this.surface.fit() || this.dirtyAll) {
      this.dirtyAll = false;
      this.layout();
    }
    let running = false;
    for (let line = 0; line < this.lines; line++) {
      if (!this.dirty[line]) continue;
      this.dirty[line] = 0;
      if (this.paintLine(line, now)) { running = true; this.dirty[line] = 2; }
    }
    if (this.total) this.paintTotal();
    this.ink.flush();
    if (this.options.scroll) this.paintScroll();
    return running;
  }

  paintLine(line, now) {
    const row = this.rowAt(line), y = HEAD + line * ROW;
    if (!row) { this.paintBlank(line, y); return false; }
    const n = this.columns.length;
    if (this.ids[line] !== row.id) {
      this.ids[line] = row.id;
      this.keys.fill(-1, line * n, line * n + n);
      this.values.fill(NaN, line * n, line * n + n);
      this.ink.fill(T.lift, 0, y + ROW - 1, this.room, 1);
    }
    let running = false;
    for (let j = 0; j < n; j++) if (this.paintCell(line, j, row, y, now)) running = true;
    return running;
  }

  paintCell(line, j, row, y, now) {
    const at = line * this.columns.length + j, column = this.columns[j], cell = this.cell.reset();
    const v = this.valueOf(row, column);
    const kept = this.keys[at] >= 0 && (v === this.values[at]) ? this.texts[at] : null;
    column.say(cell, row, v, column, kept, this);
    this.values[at] = v;
    const withheld = v !== v && !cell.text && this.withholds(column, row);
    if (withheld) { cell.text = WITHHELD_CELL; cell.color = TEXT3; }
    if (row.stale && column.format !== "moment" && !column.chip) { cell.color = TEXT3; if (cell.font === VALUE) cell.font = ITALIC; }
    if (row.halted && !column.chip && cell.color === TEXT) cell.color = TEXT2;
    if (row.group >= 0) { cell.marks |= M_GROUP; cell.font = BOLD; if (cell.color === TEXT2 || cell.color === TEXT3) cell.color = TEXT; }
    const running = row.group < 0 && this.tick(cell, row, column, now);
    if (column.pinEnd) cell.marks |= M_PIN;
    if (column.form && row.group < 0) condition(cell, row, v, column, this, now);
    if (row.selected || this.inRange?.(line, j)) cell.marks |= M_SELECTED;
    if (row.halted || withheld) cell.marks |= M_HATCH;
    if (this.focusLine === line && this.focusColumn === j && this.focused) cell.marks |= M_FOCUS;
    const key = cell.key();
    if (key === this.keys[at] && cell.text === this.texts[at]) return running;
    this.keys[at] = key;
    this.texts[at] = cell.text;
    this.drawCell(cell, column, column.x, y, column.w, row);
    return running;
  }

  drawCell(cell, column, x, y, w, row) {
    const ink = this.ink, base = y + BASE, h = ROW - 1;
    ink.ground(cell.marks & M_SELECTED ? T.select : cell.marks & M_GROUP ? T.lift : T.panel, x, y, w, h);
    if (cell.wash) drawCondition(ink, cell, column, x, y, w, row, this);
    if (cell.marks & M_HATCH) ink.fill(this.hatch, x, y, w, h);
    if (cell.flash) {
      const side = cell.flash < 5 ? "up" : "down", step = (cell.flash - 1) % 4;
      ink.fill(T[side + "-flash" + (cell.marks & M_SELECTED ? "-select" : "") + step], x + 1, y, w - 2, h);
    }
    if (cell.marks & M_SELECTED && x === 0) ink.fill(T.focus, 0, y, 2, ROW);
    if (cell.bar) cell.bar(ink, x, y + (ROW >> 1) - 10, w);
    else if (cell.text) this.drawText(cell, column, x, base, w);
    if (cell.marks & ~(M_SELECTED | M_HATCH) || column.chip) drawMarks(ink, cell, column, x, y, w, row);
  }

  drawText(cell, column, x, base, w) {
    const ink = this.ink, color = T[COLORS[cell.color]], s = cell.text;
    if (column.align === "point") {
      const point = pointOf(s);
      // On the point; a tail of six decimals is pushed to the left rather than out of its cell.
      const on = x + w - column.frac - width(cell.font, point < 0 ? s.replace(")", "") : s.slice(0, point));
      const left = Math.min(on, x + w - 2 - width(cell.font, s));
      if (cell.marks & M_ESTIMATE) ink.text(cell.font, T.text2, "~", left - 8, base);
      if (cell.tail) {
        ink.text(cell.font, color, s.slice(0, -1), left, base);
        ink.text(cell.font, T.text3, s.slice(-1), left + width(cell.font, s.slice(0, -1)), base);
      } else ink.text(cell.font, color, s, left, base);
    } else if (column.align === "left") {
      const room = w - column.dx - (cell.marks & M_TAG ? 42 : cell.marks & M_GAP ? 16 : 4);
      ink.text(cell.font, color, cut(cell.font, s, room), x + column.dx, base);
    } else if (column.align === "center") ink.text(cell.font, color, s, x + (w - width(cell.font, s)) / 2, base - (column.chip ? 1 : 0));
    else {
      const left = x + w - PAD - width(cell.font, s.endsWith(")") ? s.slice(0, -1) : s); // Digits stand below digits.
      if (cell.marks & M_ESTIMATE) ink.text(cell.font, T.text2, "~", left - 8, base);
      ink.text(cell.font, color, s, left, base);
    }
  }

  // {line, column, x, y, w} of the cell under a point of the element; null beside all cells.
  hit(x, y) {
    const line = Math.floor((y - HEAD) / ROW), column = this.columns?.find((k) => x >= k.x && x < k.x + k.w);
    if (!column || y < 0 || line >= this.lines) return null;
    return { line: y < HEAD ? -1 : line, column, x: column.x, y: HEAD + line * ROW, w: column.w };
  }

  // A line that has no row: beyond the end, or not here yet (a still bar, no shimmer).
  paintBlank(line, y) {
    const waiting = this.waiting?.(line) ? -3 : -4;
    if (this.ids[line] === waiting) return;
    this.ids[line] = waiting;
    this.keys.fill(-1, line * this.columns.length, (line + 1) * this.columns.length);
    this.ink.ground(T.panel, 0, y, this.room, ROW);
    if (waiting === -4) return;
    this.ink.fill(T.lift, 0, y + ROW - 1, this.room, 1);
    for (const k of this.columns) {
      if (k.align === "left") this.ink.fill(T.lift, k.x + k.dx, y + (ROW >> 1) - 3, 50 + ((line * 37) % 40), 6);
      else if (k.w > 50) this.ink.fill(T.lift, k.x + k.w - PAD - 40, y + (ROW >> 1) - 3, 40, 6);
    }
  }

  // [name, descending] of each column that is sorted by, the first one first.
  sortsOf() { return this.sorts || (this.sort ? [[this.sort.column, this.sort.descending]] : []); }

  paintHead() {
    const c = this.surface.c;
    box(c, 0, 0, this.surface.w, HEAD, T.panel);
    box(c, 0, HEAD - 1, this.surface.w, 1, T.line);
    for (const k of this.columns) {
      if (!k.head) continue;
      const head = scaled(k.head), sorts = this.sortsOf(), at = sorts.findIndex((sort) => sort[0] === k.name), sorted = at >= 0;
      const w = width(SMALL, head), right = k.x + k.w - (k.align === "point" ? Math.max(PAD, Math.min(k.frac - 17, k.w - w - 12)) : PAD);
      const x = k.align === "left" ? k.x + k.dx : k.align === "center" ? k.x + (k.w - w) / 2 : right - w;
      const focused = this.focusLine === -1 && this.columns[this.focusColumn] === k && this.focused;
      // The arrow of a sort stands before the head, or where a narrow head begins.
      const room = k.w - 8 - (sorted ? (sorts.length > 1 ? 18 : 10) : 0), told = cut(SMALL, head, Math.max(12, room)), from = told === head ? x : k.x + k.w - 4 - width(SMALL, told);
      label(c, SMALL, told, Math.max(k.x + 3, from), BASE, sorted ? T.text : T.text3);
      const mark = k.align === "left" ? x + w + 8 : Math.max(k.x + 4, from - 7);
      if (sorted) arrow(c, mark, HEAD >> 1, !sorts[at][1], T.text);
      if (sorted && sorts.length > 1) label(c, CHIP, String(at + 1), k.align === "left" ? mark + 5 : Math.max(k.x, mark - 10), BASE, T.text2);
      if (focused) { c.strokeStyle = T.focus; c.lineWidth = 2; c.strokeRect(k.x + 1, 1, k.w - 2, HEAD - 3); }
      if (k.pinEnd) box(c, k.x + k.w - 1, 0, 1, HEAD, T.edge);
    }
  }

  paintTotal() {
    const values = this.columns.map((k) => this.total(k)), key = values.map((v) => (v ? v.text + v.color : "")).join("|");
    if (key === this.totals) return;
    this.totals = key;
    const c = this.surface.c, y = this.surface.h - ROW;
    box(c, 0, y, this.surface.w, ROW, T.lift);
    box(c, 0, y, this.surface.w, 1, T.edge);
    this.columns.forEach((k, j) => {
      const v = values[j];
      if (!v || !v.text) return;
      if (k.align === "left") label(c, BOLD, v.text, k.x + (v.dx ?? k.dx), y + BASE, T[v.color || "text"]);
      else label(c, BOLD, v.text, k.x + k.w - PAD, y + BASE, T[v.color || "text"], "right");
    });
  }

  paintScroll() {}
}

const pointOf = (s) => {
  for (let i = 0; i < s.length; i++) { const code = s.charCodeAt(i); if (code === 46 || (code === 45 && i)) return i; }
  return -1;
};

function drawMarks(ink, cell, column, x, y, w, row) {
  const m = cell.marks, mid = y + (ROW >> 1);
  // Small marks stand where no figure is: at the right, but at the left of many decimals.
  const deep = column.align === "point" && row.instrument?.decimals > 3;
  const spot = deep ? x + 2 : x + w - 5;
  if (m & (M_RISE | M_FALL)) ink.triangle(T[COLORS[cell.color]], x + 8, mid, (m & M_RISE) !== 0);
  if (m & M_BUSY_UP) ink.fill(T.up, spot, mid - 5, 3, 3);
  if (m & M_BUSY_DOWN) ink.fill(T.down, spot, mid + 1, 3, 3);
  if (m & M_STEP_UP) ink.fill(T.up, x + 2, y + ROW - 3, w - 4, 1);
  if (m & M_STEP_DOWN) ink.fill(T.down, x + 2, y + ROW - 3, w - 4, 1);
  if (column.chip && cell.text) ink.after((c) => frame(c, x + 4, mid - 7, w - 8, 14, T.edge));
  if (m & (M_FRESH | M_AGEING | M_STALE)) {
    ink.after((c) => (m & M_FRESH ? dot(c, x + w - PAD - 3, mid, 3, T.ok)
      : m & M_AGEING ? dot(c, x + 9, mid, 1.5, T.text3) : dot(c, x + 9, mid, 3, T.warn, true)));
  }
  if (m & (M_CROSSED | M_ABSENT)) {
    const color = m & M_CROSSED ? T.warn : T.text3;
    ink.after((c) => line(c, [[x + 12, y + ROW - 3.5], [x + w - 6, y + ROW - 3.5]], color, 1, [2, 2]));
  }
  if (m & M_CROSS && (column.name === "ask") === deep) ink.after((c) => crossMark(c, deep ? x + 6 : x + w - 6, mid, T.warn));
  if (m & M_CORRECTED) {
    ink.after((c) => {
      c.beginPath(); c.moveTo(x + w - 8, y + 1); c.lineTo(x + w - 2, y + 1); c.lineTo(x + w - 2, y + 7); c.closePath();
      c.fillStyle = T.vwap; c.fill();
    });
  }
  if (m & (M_WARN | M_DOUBT)) ink.after((c) => warnMark(c, m & M_WARN ? x + 7 : x + 10, mid, T.warn));
  if (m & M_BREACH) ink.fill(T.crit, x + 4, mid - 3, 7, 7);
  const tag = m & M_HALT ? "HALT" : m & M_AUCTION ? "AUCT" : m & M_CLOSED ? "SHUT" : m & M_INDICATIVE ? "IND" : "";
  if (tag) {
    const left = x + w - 38;
    ink.after((c) => {
      if (m & M_HALT) { box(c, left, mid - 7, 34, 14, T.crit); label(c, CHIP_BOLD, tag, left + 17, y + BASE - 1, T["on-solid"], "center"); }
      else { frame(c, left, mid - 7, 34, 14, T.edge); label(c, CHIP, tag, left + 17, y + BASE - 1, T.text2, "center"); }
    });
  }
  if (m & M_GAP) ink.after((c) => warnMark(c, x + (tag ? 12 : w - 9), mid, T.warn));
  if (m & M_GROUP && m & (M_OPEN | M_SHUT)) ink.after((c) => caret(c, x + 9, mid, (m & M_OPEN) !== 0, T.text2));
  if (m & M_PIN) ink.fill(T.edge, x + w - 1, y, 1, ROW);
  if (m & M_FOCUS) {
    ink.after((c) => { c.strokeStyle = T.focus; c.lineWidth = 2; c.strokeRect(x + 1, y + 1, w - 2, ROW - 3); });
  }
}

// A column of the spec as the painter uses it. Room behind the point: five decimals of a price, or
// as many as the column says.
function placed(spec) {
  const point = spec.format === "price" || spec.format === "number", name = spec.name;
  const frac = spec.format === "price" ? 41 : PAD + (spec.places ? 7.2 * spec.places + 3.2 : 0);
  return { ...spec, align: point ? "point" : spec.format === "code" || spec.format === "book" ? "left" : "right", frac: point ? frac : 0, dx: PAD,
    quote: name === "bid" || name === "ask", estimate: ESTIMATES.has(name), say: FORMATS[spec.format] || FORMATS.count };
}

// ---- short tables: names, one bar, some figures, a pinned total -------------------------------
class Bars extends Sheet {
  constructor(el, spec, feed, desk) {
    const name = { name: "name", head: spec.head, width: 100, flex: true, align: "left", dx: PAD, drop: 0,
      say: (cell, row) => { cell.text = this.barred(row) ? WITHHELD : spec.names[row.id] || "Book " + row.id; cell.color = this.barred(row) ? TEXT3 : TEXT2; } };
    const bar = { name: "bar", head: spec.bar === "exposure" ? "Short | long" : "", width: spec.bar === "exposure" ? 92 : 72, align: "center", drop: 0, dx: 0,
      say: (cell, row) => this.sayBar(cell, row) };
    super(el, [name, bar, ...spec.columns.map(placed)], { total: spec.total ? (k) => this.totalOf(k) : null, desk });
    [this.feed, this.spec, this.scale, this.top] = [feed, spec, 0, 0];
    el.addEventListener("wheel", (e) => this.wheel(e), { passive: false });
    for (const k of this.all) k.at = feed.index(k.name);
    feed.listeners.push((i) => (i < 0 ? this.touch(-1) : this.touchRow(feed.rows[Math.floor(i / feed.width)])));
  }

  barred(row) { return this.spec.table === "books" && this.desk.rights.book(row.id); }
  withholds(column, row) { return column.name !== "bar" && column.name !== "name" && (this.barred(row) || super.withholds(column)); }

  touchRow(id) { if (id >= this.top) this.touch(id - this.top); }

  // Only where the panel is too low for all its rows.
  wheel(e) {
    const top = Math.max(0, Math.min(this.count() - this.lines, this.top + Math.sign(e.deltaY)));
    if (top === this.top) return;
    e.preventDefault();
    this.top = top;
    this.touch(-1);
    this.onScroll?.();
  }

  count() { return this.spec.names.length; }

  rowAt(line) {
    const id = this.top + line;
    if (id >= this.count()) return null;
    const slot = this.feed.total < 0 ? -1 : this.feed.slotOf(id);
    return this.row.fill(id, slot, null, 0, NaN, false);
  }

  valueOf(row, column) { return this.at(row.slot, column.at); }
  at(slot, j) { return slot < 0 || j < 0 ? NaN : this.feed.value[slot * this.feed.width + j]; }

  paint(now) {
    // The scale moves in steps of 1, 2, 5, so that bars do not tremble with the largest one.
    const names = this.spec.bar === "exposure" ? ["long", "short"] : [this.spec.bar];
    let most = 0;
    for (const name of names) for (let slot = 0, j = this.feed.index(name); slot < this.feed.rows.length; slot++) most = Math.max(most, Math.abs(this.at(slot, j)) || 0);
    if (most > this.scale || most < this.scale / 4) {
      const power = 10 ** Math.floor(Math.log10(most || 1));
      this.scale = [1, 2, 5, 10].find((k) => k * power >= most) * power;
      this.touch(-1);
    }
    const running = super.paint(now);
    const n = this.count(), high = this.lines * ROW;
    if (n > this.lines) {
      box(this.surface.c, this.surface.w - 4, HEAD, 4, high, T.panel);
      box(this.surface.c, this.surface.w - 4, HEAD + (high * this.top) / n, 3, (high * this.lines) / n, T.edge);
    }
    return running;
  }

  sayBar(cell, row) {
    const f = this.feed, zero = 0.5, k = 1 / (this.scale || 1);
    const of = (name) => this.at(row.slot, f.index(name)) * k;
    const w = this.columns.find((c) => c.name === "bar").w, half = w / 2 - 4;
    const px = (v) => (v === v ? Math.round(v * half) : 0);
    const parts = this.spec.bar === "exposure" ? [px(of("long")), px(of("short")), px(of("net"))] : [px(of(this.spec.bar))];
    // The lengths are the text, so that a bar is drawn again only when a pixel moves.
    cell.text = parts.join();
    cell.bar = (ink, x, y) => {
      const z = x + Math.round(w * zero);
      parts.slice(0, 2).forEach((p) => p && ink.fill(p > 0 ? T["up-fill"] : T["down-fill"], p > 0 ? z : z + p, y + 6, Math.abs(p), 8));
      ink.fill(T.edge, z, y, 1, ROW);
      if (parts.length > 2) ink.fill(T.text, z + parts[2] - 1, y + 3, 2, 13);
    };
  }

  totalOf(k) {
    if (k.name === "name") return { text: "Total" };
    if (k.at < 0) return null;
    const sum = this.feed.sum(k.name);
    if (k.format === "money_k") return { text: signed(sum / 1e3), color: sum > 0 ? "up" : sum < 0 ? "down" : "zero" };
    if (k.format === "money_m") return { text: k.signed ? signed(sum / 1e6) : num(sum / 1e6), color: k.name === "net" ? (sum > 0 ? "up" : "down") : "text" };
    return { text: num(sum) };
  }
}
