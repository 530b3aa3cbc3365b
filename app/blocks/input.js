// Law: hands and ears. Wheel, pointer and keys move the blotter; a hidden grid of real elements
// mirrors the visible rows for a screen reader, at most once a second. It draws nothing.

class BlotterInput {
  constructor(el, blotter, desk) {
    [this.el, this.blotter, this.desk] = [el, blotter, desk];
    this.rest = 0;
    el.tabIndex = 0;
    el.setAttribute("role", "grid");
    el.setAttribute("aria-label", blotter.spec.title);
    el.addEventListener("wheel", (e) => this.wheel(e), { passive: false });
    el.addEventListener("pointerdown", (e) => this.down(e));
    el.addEventListener("keydown", (e) => this.key(e));
    el.addEventListener("focus", () => this.focus(true));
    el.addEventListener("blur", () => this.focus(false));
    this.mirror = new Mirror(el, blotter);
  }

  focus(on) {
    // A ring is for keys; a pointer already knows where it is.
    this.blotter.focused = on && this.el.matches(":focus-visible");
    this.draw();
  }

  draw() { this.blotter.touch(-1); this.desk.wake(); }

  wheel(e) {
    if (e.ctrlKey) return;
    e.preventDefault();
    this.rest += e.deltaMode === 1 ? e.deltaY : e.deltaMode === 2 ? e.deltaY * this.blotter.lines : e.deltaY / ROW;
    const whole = Math.trunc(this.rest);
    if (!whole) return;
    this.rest -= whole;
    this.blotter.scrollTo(this.blotter.top + whole);
    this.desk.wake();
  }

  down(e) {
    const b = this.blotter, box = this.el.getBoundingClientRect(), x = e.clientX - box.left, y = e.clientY - box.top;
    if (x >= b.room && y > HEAD) return this.drag(e, y);
    const column = b.columns.findIndex((k) => x >= k.x && x < k.x + k.w);
    if (y < HEAD) return column >= 0 && this.sort(b.columns[column]);
    const line = Math.floor((y - HEAD) / ROW);
    if (line >= b.lines || b.top + line >= b.count()) return;
    b.cursor = b.top + line;
    if (column >= 0) b.focusColumn = column;
    this.select();
  }

  drag(e, y) {
    const b = this.blotter, t = b.thumb();
    if (!t) return;
    const grip = y >= t.y && y <= t.y + t.size ? y - t.y : t.size / 2;
    const move = (at) => {
      b.scrollTo(((at - grip - HEAD - 2) / (t.h - t.size)) * (b.count() - b.lines));
      this.desk.wake();
    };
    move(y);
    const onMove = (m) => move(m.clientY - this.el.getBoundingClientRect().top);
    const stop = () => { removeEventListener("pointermove", onMove); removeEventListener("pointerup", stop); };
    addEventListener("pointermove", onMove);
    addEventListener("pointerup", stop);
  }

  // Down, up, and back to the view's own order.
  sort(column) {
    const b = this.blotter, s = b.sort;
    if (column.name === "class") return;
    b.sort = !s || s.column !== column.name ? { column: column.name, descending: column.name !== "symbol" }
      : s.descending === (column.name !== "symbol") ? { column: column.name, descending: !s.descending } : null;
    this.desk.sendSort();
    b.paintHead();
    b.scrollTo(0);
    this.draw();
  }

  select() {
    const b = this.blotter, slot = b.slotAt(b.cursor - b.top);
    // A line that is still on its way is selected when it comes.
    b.selectDue = slot < 0;
    if (slot >= 0) this.desk.select(b.feed.rows[slot]);
    this.draw();
  }

  move(lines, columns) {
    const b = this.blotter;
    b.focused = true;
    b.cursor = Math.max(0, Math.min(b.count() - 1, b.cursor + lines));
    b.focusColumn = Math.max(0, Math.min(b.columns.length - 1, b.focusColumn + columns));
    if (b.cursor < b.top) b.scrollTo(b.cursor);
    else if (b.cursor >= b.top + b.lines) b.scrollTo(b.cursor - b.lines + 1);
    this.draw();
  }

  key(e) {
    const b = this.blotter, page = Math.max(1, b.lines - 1), all = b.count(), wide = b.columns.length;
    const moves = {
      ArrowDown: [1, 0], ArrowUp: [-1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1], PageDown: [page, 0], PageUp: [-page, 0],
      Home: e.ctrlKey ? [-all, 0] : [0, -wide], End: e.ctrlKey ? [all, 0] : [0, wide],
    };
    if (moves[e.key]) this.move(...moves[e.key]);
    else if (e.key === " " || e.key === "Enter") this.select();
    else if (e.key === "Escape") this.desk.clearFilter();
    else if (e.key === "i" && !e.ctrlKey) this.card();
    else if (e.key === "s" && !e.ctrlKey) this.sort(b.columns[b.focusColumn]);
    else if (e.key === "c" && e.ctrlKey) this.copy();
    else return;
    e.preventDefault();
  }

  // The hover card of the focused cell, for those without a pointer.
  card() {
    const b = this.blotter, k = b.columns[b.focusColumn];
    if (k) this.desk.hover.toggle(this.el, this.desk.hover.inputs, k.x + 1, HEAD + (b.cursor - b.top) * ROW + 1);
  }

  // Full precision, not the text on the glass.
  copy() {
    const b = this.blotter, row = b.rowAt(b.cursor - b.top), k = b.columns[b.focusColumn];
    if (!row) return;
    const v = k.at >= 0 ? String(b.valueOf(row, k)) : k.name === "symbol" ? row.instrument?.symbol : "";
    navigator.clipboard?.writeText(v || "").catch(() => {});
  }
}

// role=grid for those who hear: the texts that are on the canvas, row by row.
class Mirror {
  constructor(el, blotter) {
    this.el = el;
    this.blotter = blotter;
    this.body = document.createElement("div");
    this.body.className = "mirror";
    this.body.setAttribute("role", "rowgroup");
    el.append(this.body);
    this.rows = [];
  }

  update() {
    const b = this.blotter;
    if (!b.columns) return;
    const set = (node, name, value) => { if (node.getAttribute(name) !== String(value)) node.setAttribute(name, value); };
    set(this.el, "aria-rowcount", b.count() + 1);
    set(this.el, "aria-colcount", b.columns.length);
    this.resize(b.lines + 1, b.columns.length);
    this.rows.forEach(({ row, cells }, i) => {
      const line = i - 1, known = i === 0 || b.slotAt(line) >= 0;
      row.hidden = !known;
      if (!known) return;
      set(row, "aria-rowindex", i === 0 ? 1 : b.top + line + 2);
      if (i) this.describe(row, line);
      if (i) set(row, "aria-selected", b.feed.rows[b.slotAt(line)] === b.selected);
      cells.forEach((cell, j) => {
        const s = i ? b.texts[line * b.columns.length + j] : b.columns[j].head;
        if (cell.textContent !== s) cell.textContent = s;
        const sorted = !i && b.sort && b.sort.column === b.columns[j].name;
        if (!i) set(cell, "aria-sort", sorted ? (b.sort.descending ? "descending" : "ascending") : "none");
      });
    });
    const active = this.rows[b.cursor - b.top + 1];
    if (active && b.cursor >= b.top) set(this.el, "aria-activedescendant", active.cells[b.focusColumn]?.id || "");
    else this.el.removeAttribute("aria-activedescendant");
  }

  // A state that the canvas draws is a word here.
  describe(row, line) {
    const view = this.blotter.rowAt(line), words = view ? [view.stale ? "stale" : "", wordsOf("state", view.state)].filter(Boolean).join(", ") : "";
    if ((row.getAttribute("aria-description") || "") !== words) row.setAttribute("aria-description", words);
  }

  resize(lines, columns) {
    if (this.rows.length === lines && this.rows[0]?.cells.length === columns) return;
    this.body.replaceChildren();
    this.rows = Array.from({ length: lines }, (_, i) => {
      const row = document.createElement("div");
      row.setAttribute("role", "row");
      const cells = Array.from({ length: columns }, (_, j) => {
        const cell = document.createElement("span");
        cell.setAttribute("role", i ? "gridcell" : "columnheader");
        cell.id = `cell-${i}-${j}`;
        row.append(cell);
        return cell;
      });
      this.body.append(row);
      return { row, cells };
    });
  }
}
