// Law: hands on the heads of columns. A click sorts, with Shift it sorts also by this one; a drag moves,
// a drag of the right edge resizes, a double click there fits; the menu holds all of it for keys.

const GRIP_PX = 5, DRAG_PX = 6, NUDGE_PX = 8;
const GROUPS_OF = { instruments: ["class", "venue", "currency", "sector", "country", "underlying"], positions: ["book", "class", "venue", "currency", "sector", "country"] };

class Heads {
  constructor(el, blotter, desk) {
    [this.el, this.blotter, this.desk, this.moving] = [el, blotter, desk, null];
    el.addEventListener("pointermove", (e) => this.hover(e));
    el.addEventListener("dblclick", (e) => this.double(e));
    el.addEventListener("contextmenu", (e) => this.context(e));
  }

  at(e) { const box = this.el.getBoundingClientRect(); return [e.clientX - box.left, e.clientY - box.top]; }
  get kept() { return this.blotter.arrangement; }
  // Names of the columns that are shown or could be slid to, in their order.
  get names() { return this.blotter.all.map((k) => k.name); }

  // The column whose right edge is under x.
  edge(x) { return this.blotter.columns?.find((k) => Math.abs(x - k.x - k.w) <= GRIP_PX && x < this.blotter.room + GRIP_PX); }

  hover(e) {
    const [x, y] = this.at(e);
    if (!e.buttons) this.el.style.cursor = y < HEAD && y >= 0 && this.edge(x) ? "col-resize" : "";
  }

  down(e, x, column) {
    const edge = this.edge(x);
    const drag = edge ? this.resizing(edge, x) : this.dragging(column, x, e.shiftKey);
    const move = (m) => drag.move(this.at(m)[0]);
    const stop = (m) => {
      removeEventListener("pointermove", move);
      removeEventListener("pointerup", stop);
      removeEventListener("pointercancel", stop);
      drag.stop(this.at(m)[0], m.type === "pointercancel");
    };
    addEventListener("pointermove", move);
    addEventListener("pointerup", stop);
    addEventListener("pointercancel", stop);
  }

  // Live, so that the width is seen while it is chosen.
  resizing(k, from) {
    this.freeze();
    const own = this.blotter.all.find((one) => one.name === k.name), spark = own.form === "spark" ? SPARK_PX : 0;
    const to = (x) => this.kept.resize(k.name, (k.w + x - from) / SCALE - spark);
    return { move: (x) => { if (Math.abs(x - from) > 1) to(x); }, stop: () => {} };
  }

  // Until somebody chooses widths or pins, the name takes what is left and what does not fit goes.
  // From then on everything stays as it is seen, and the grid slides where it is too wide.
  freeze() {
    const { kept, blotter: b } = this, { data } = kept, k = b.columns.find((one) => one.name === "symbol");
    if (data.widths.symbol === undefined && k) data.widths = { ...data.widths, symbol: Math.round(k.w / SCALE) };
    if (!data.fit || b.sideways) return;
    const seen = new Set(b.columns.map((one) => one.name));
    data.hidden = { ...data.hidden, [b.setName]: b.every.filter((one) => !seen.has(one.name)).map((one) => one.name) };
  }

  dragging(column, from, add) {
    const b = this.blotter, k = b.columns[column];
    return {
      move: (x) => {
        if (Math.abs(x - from) < DRAG_PX && !this.moving) return;
        this.moving = { name: k.name, x };
        this.el.style.cursor = "grabbing";
        b.paintHead();
        this.drawGoal(x);
      },
      stop: (x, cancelled) => {
        const moved = this.moving;
        this.moving = null;
        this.el.style.cursor = "";
        b.paintHead();
        this.desk.wake();
        if (cancelled || !k) return;
        if (!moved) this.sort(k, add);
        else this.drop(k.name, x);
      },
    };
  }

  goal(x) {
    const columns = this.blotter.columns, at = columns.findIndex((k) => x < k.x + k.w / 2);
    return at < 0 ? columns.length : at;
  }

  drawGoal(x) {
    const { columns, surface } = this.blotter, at = this.goal(x), k = columns[Math.min(at, columns.length - 1)];
    box(surface.c, Math.max(0, (at < columns.length ? k.x : k.x + k.w) - 1), 0, 2, HEAD, T.focus);
  }

  drop(name, x) {
    const b = this.blotter, names = this.names, at = this.goal(x), before = b.columns[at]?.name;
    const from = names.indexOf(name);
    let to = before === undefined ? names.indexOf(b.columns[b.columns.length - 1].name) + 1 : names.indexOf(before);
    if (from < to) to -= 1;
    if (to !== from) this.kept.move(b.setName, names, name, to);
  }

  sort(k, add) { if (k.at >= 0 || k.name === "symbol" || k.name === "class") this.kept.sort(k.name, add); }

  // As wide as what it shows now.
  fit(name) {
    const b = this.blotter, j = b.columns.findIndex((k) => k.name === name), k = b.columns[j];
    if (!k) return;
    let most = width(SMALL, k.head || "") + 12;
    for (let line = 0; line < b.lines; line++) {
      const s = b.texts[line * b.columns.length + j];
      if (!s) continue;
      const tail = k.align === "point" ? Math.max(0, k.frac - (pointOf(s) < 0 ? 0 : width(VALUE, s.slice(pointOf(s))))) : 0;
      most = Math.max(most, width(VALUE, s) + tail + (k.align === "left" ? k.dx : 0));
    }
    this.freeze();
    this.kept.resize(name, (most + 2 * PAD) / SCALE);
  }

  double(e) {
    const [x, y] = this.at(e), edge = y < HEAD ? this.edge(x) : null;
    if (edge) { this.fit(edge.name); return; }
    if (y < HEAD) return;
    const at = this.blotter.hit(x, y);
    if (at?.column.name === "note") this.desk.input.editNote();
  }

  context(e) {
    const [x, y] = this.at(e), at = this.blotter.hit(x, Math.min(y, HEAD - 1));
    if (!at) return;
    e.preventDefault();
    this.blotter.focusColumn = Math.max(0, this.blotter.columns.findIndex((k) => k.name === at.column.name));
    this.open(at.column, e.clientX, e.clientY);
  }

  // By key: below the head of the column.
  openAt(column) {
    const k = this.blotter.columns[column], box = this.el.getBoundingClientRect();
    if (k) this.open(k, box.left + k.x, box.top + HEAD);
  }

  open(k, x, y) { this.desk.menu.open(x, y, this.items(k, x, y), k.head || k.name, this.el); }

  items(k, x, y) {
    const b = this.blotter, kept = this.kept, { data } = kept, names = this.names, at = names.indexOf(k.name);
    const sortable = k.at >= 0 || k.name === "symbol" || k.name === "class", current = data.sorts.find((s) => s[0] === k.name);
    const own = b.all.find((one) => one.name === k.name) || k, fixed = k.name === "symbol";
    const forms = formsOf(k);
    return [
      ...(sortable ? ["Sort",
        { text: "Ascending", on: Boolean(current) && !current[1], radio: true, run: () => kept.sortBy(k.name, false) },
        { text: "Descending", on: Boolean(current) && current[1], radio: true, run: () => kept.sortBy(k.name, true) },
        { text: "Also by this", keys: "Shift+S", run: () => kept.sort(k.name, true) },
        { text: "No sort", off: !data.sorts.length, run: () => kept.change({ sorts: [] }, "sorts") }] : []),
      ...(forms.length > 1 ? ["Format", ...forms.map((form) => ({ text: FORMS[form], on: (own.form || "plain") === form, radio: true, run: () => kept.form(k.name, form) }))] : []),
      "Column",
      { text: "Pin left", on: Boolean(own.pinned), off: fixed, run: () => { this.freeze(); kept.pin(k.name); } },
      { text: "Hide", off: fixed, run: () => kept.hide(b.setName, b.every, k.name) },
      { text: "Fit to content", run: () => this.fit(k.name) },
      { text: "Move left", keys: "Alt+Left", off: fixed || at < 2, run: () => this.shift(k.name, -1) },
      { text: "Move right", keys: "Alt+Right", off: fixed || at === names.length - 1, run: () => this.shift(k.name, 1) },
      "Grid",
      { text: "Columns \u2026", run: () => this.desk.menu.open(x, y, this.columnItems(), "Columns", this.el) },
      { text: "Group by \u2026", run: () => this.desk.menu.open(x, y, this.groupItems(), "Group by", this.el) },
      { text: "All that fit the panel", on: data.fit, run: () => kept.change({ fit: !data.fit }) },
      { text: "As it was made", run: () => kept.reset() },
    ];
  }

  columnItems() {
    const b = this.blotter, shown = new Set(b.all.map((k) => k.name));
    return b.every.filter((k) => k.name !== "symbol").map((k) => (
      { text: k.head || k.name, on: shown.has(k.name), stay: true, again: () => this.columnItems(), run: () => this.kept.hide(b.setName, b.every, k.name) }));
  }

  groupItems() {
    const chosen = this.kept.data.group;
    return ["", ...(GROUPS_OF[this.blotter.spec.table] || [])].map((by) => (
      { text: by ? by[0].toUpperCase() + by.slice(1) : "No groups", on: by === chosen, radio: true, run: () => this.kept.groupBy(by) }));
  }

  shift(name, by) {
    const names = this.names, at = names.indexOf(name), to = at + by;
    if (to < 1 || to >= names.length) return;
    this.kept.move(this.blotter.setName, names, name, to);
    this.blotter.focusOn = name; // The focus goes with it.
  }

  nudge(name, by) {
    this.freeze();
    const k = this.blotter.all.find((one) => one.name === name);
    this.kept.resize(name, k.width - (k.form === "spark" ? SPARK_PX : 0) + by * NUDGE_PX);
  }
}
