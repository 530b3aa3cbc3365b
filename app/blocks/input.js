// Law: hands and ears. Wheel, pointer and keys move the blotter; a hidden grid of real elements
// mirrors the visible rows for a screen reader, at most once a second. It draws nothing.

const SWIPE_PX = 44; // A finger's way across, for each column.

class BlotterInput {
  constructor(el, blotter, desk) {
    [this.el, this.blotter, this.desk] = [el, blotter, desk];
    this.rest = 0;
    el.tabIndex = 0;
    el.setAttribute("role", "grid");
    el.setAttribute("aria-label", blotter.spec.title);
    el.setAttribute("aria-multiselectable", "true");
    el.addEventListener("wheel", (e) => this.wheel(e), { passive: false });
    el.addEventListener("pointerdown", (e) => this.down(e));
    el.addEventListener("keydown", (e) => this.key(e));
    el.addEventListener("focus", () => this.focus(true));
    el.addEventListener("blur", () => this.focus(false));
    el.addEventListener("pointermove", (e) => this.hold(e.clientY - el.getBoundingClientRect().top >= HEAD));
    el.addEventListener("pointerleave", () => this.hold(false));
    this.mirror = new Mirror(el, blotter);
    this.heads = new Heads(el, blotter, desk);
    blotter.arrangement.onChange = (what) => this.arranged(what);
  }

  // Only what follows from the change is done again.
  arranged(what) {
    const b = this.blotter, { desk } = this;
    if (what === "sorts" || what === "all") { this.held = false; desk.sendSort(); b.scrollTo(0); b.paintHead(); }
    if (what === "group" || what === "all") { this.held = false; desk.sendGroup(); }
    if (what === "columns" || what === "all") b.arrange();
    this.draw();
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
    const across = e.shiftKey ? e.deltaY || e.deltaX : e.deltaX;
    if (Math.abs(across) > Math.abs(e.shiftKey ? 0 : e.deltaY)) { this.blotter.slide(this.blotter.left + Math.sign(across)); this.desk.wake(); return; }
    this.rest += e.deltaMode === 1 ? e.deltaY : e.deltaMode === 2 ? e.deltaY * this.blotter.lines : e.deltaY / ROW;
    const whole = Math.trunc(this.rest);
    if (!whole) return;
    this.rest -= whole;
    this.blotter.scrollTo(this.blotter.top + whole);
    this.desk.wake();
  }

  down(e) {
    const b = this.blotter, box = this.el.getBoundingClientRect(), x = e.clientX - box.left, y = e.clientY - box.top;
    if (e.button || e.target.closest?.("input")) return;
    if (e.pointerType === "touch") this.swipe(e);
    if (x >= b.room + GRIP_PX && y > HEAD) return this.drag(e, y);
    const column = b.columns.findIndex((k) => x >= k.x && x < k.x + k.w);
    if (y < HEAD) { if (column >= 0 || this.heads.edge(x)) { e.preventDefault(); this.el.focus({ preventScroll: true, focusVisible: false }); this.heads.down(e, x, column); } return; }
    const line = Math.floor((y - HEAD) / ROW);
    if (line >= b.lines || b.top + line >= b.count()) return;
    if (e.shiftKey) b.anchor ||= { row: b.cursor, column: b.focusColumn }; else b.anchor = null;
    b.cursor = b.top + line;
    if (column >= 0) b.focusColumn = column;
    if (e.shiftKey) this.draw(); else this.select();
  }

  // A finger that moves across slides the columns; one that moves along scrolls the page.
  swipe(e) {
    let from = e.clientX;
    const move = (m) => {
      if (m.pointerId !== e.pointerId || Math.abs(m.clientX - from) < SWIPE_PX) return;
      this.blotter.slide(this.blotter.left + Math.sign(from - m.clientX));
      from = m.clientX;
      this.desk.wake();
    };
    const stop = (m) => { if (m.pointerId === e.pointerId) for (const [kind, heed] of heard) removeEventListener(kind, heed); };
    const heard = [["pointermove", move], ["pointerup", stop], ["pointercancel", stop]];
    for (const [kind, heed] of heard) addEventListener(kind, heed);
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

  // Of the line with the cursor; the head of a group opens or shuts.
  select() {
    const b = this.blotter, slot = b.slotAt(b.cursor - b.top), id = slot < 0 ? -1 : b.feed.rows[slot];
    // A line that is still on its way is selected when it comes.
    b.selectDue = slot < 0;
    if (id >= GROUP_ID) b.arrangement.toggle(id - GROUP_ID);
    else if (slot >= 0) this.desk.select(id);
    this.draw();
  }

  move(lines, columns, range) {
    const b = this.blotter, all = b.columns.length - 1;
    b.focused = true;
    if (range) b.anchor ||= { row: b.cursor, column: b.focusColumn }; else b.anchor = null;
    // One step above the first line is the head; no jump ends there.
    const least = lines === -1 && b.cursor <= 0 && !range ? -1 : Math.min(0, b.cursor + Math.max(0, lines));
    b.cursor = Math.max(least, Math.min(b.count() - 1, b.cursor + lines));
    const column = b.focusColumn + columns;
    if (Math.abs(columns) === 1 && b.sideways && (column > all || (column < b.columns.filter((k) => k.pinned).length && columns < 0 && b.left > 0))) b.slide(b.left + columns);
    else b.focusColumn = Math.max(0, Math.min(all, column));
    if (b.cursor >= 0 && b.cursor < b.top) b.scrollTo(b.cursor);
    else if (b.cursor >= b.top + b.lines) b.scrollTo(b.cursor - b.lines + 1);
    b.paintHead();
    this.draw();
    this.mirror.say();
  }

  // Ends of the columns: also of those that are out of sight.
  ends(last) {
    const b = this.blotter;
    b.slide(last ? 1e9 : 0);
    this.move(0, (last ? 1 : -1) * b.all.length);
  }

  key(e) {
    const b = this.blotter, page = Math.max(1, b.lines - 1), all = b.count(), k = b.columns[b.focusColumn], key = e.key.length === 1 ? e.key.toLowerCase() : e.key;
    const moves = {
      ArrowDown: [1, 0], ArrowUp: [-1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1], PageDown: [page, 0], PageUp: [-page, 0],
      ...(e.ctrlKey ? { Home: [-all, 0], End: [all, 0] } : {}),
    };
    const plain = !e.ctrlKey && !e.metaKey && !e.altKey, side = { ArrowLeft: -1, ArrowRight: 1 }[e.key];
    if (e.altKey && side) { if (e.shiftKey) this.heads.nudge(k.name, side); else if (k.name !== "symbol") this.heads.shift(k.name, side); }
    else if (moves[e.key]) this.move(...moves[e.key], e.shiftKey);
    else if (e.key === "Home" || e.key === "End") this.ends(e.key === "End");
    else if (key === " " || e.key === "Enter") { if (b.cursor < 0) this.heads.sort(k, e.shiftKey); else this.select(); }
    else if (e.key === "Escape") { b.anchor = null; this.draw(); this.desk.clearFilter(); }
    else if (e.key === "F2") this.editNote();
    else if (e.key === "ContextMenu" || (plain && key === "m")) this.heads.openAt(b.focusColumn);
    else if (plain && key === "i") this.card();
    else if (plain && key === "s") this.heads.sort(k, e.shiftKey);
    else if (key === "c" && (e.ctrlKey || e.metaKey)) this.copy(e.shiftKey);
    else return;
    e.preventDefault();
  }

  // The hover card of the focused cell, for those without a pointer.
  card() {
    const b = this.blotter, k = b.columns[b.focusColumn];
    if (k) this.desk.hover.toggle(this.el, this.desk.hover.inputs, k.x + 1, HEAD + b.focusLine * ROW + 1);
  }

  // The cell or the range as tabs and lines: as it is on the glass, or every digit there is.
  copy(raw) {
    const b = this.blotter, from = b.anchor || { row: b.cursor, column: b.focusColumn }, order = (p, q) => [Math.min(p, q), Math.max(p, q)];
    const [[top, foot], [left, right]] = [order(from.row, b.cursor), order(from.column, b.focusColumn)], lines = [];
    for (let at = Math.max(top, b.top); at <= foot; at++) {
      const row = b.rowAt(at - b.top);
      if (row) lines.push(b.columns.slice(left, right + 1).map((k) => (raw ? rawOf(b, row, k) : shownOf(b, row, k))).join("\t"));
    }
    const text = top < 0 ? b.columns[b.focusColumn].head : lines.join("\n");
    this.copied = text;
    navigator.clipboard?.writeText(text).catch(() => {});
  }

  // A field over the cell; it stays through every update, and goes with its line when that is scrolled away.
  editNote() {
    const b = this.blotter, row = b.rowAt(b.focusLine), symbol = row?.instrument?.symbol, j = b.columns.findIndex((k) => k.name === "note");
    if (!symbol) return;
    if (j < 0) {
      // Its column comes first, and the field with the frame that shows it.
      if (!b.all.some((k) => k.name === "note")) b.arrangement.hide(b.setName, b.every, "note");
      [b.left, b.focusOn] = [1e9, "note"];
      b.reset();
      this.desk.wake();
      requestAnimationFrame(() => requestAnimationFrame(() => b.columns.some((k) => k.name === "note") && this.editNote()));
      return;
    }
    this.field?.remove();
    const k = b.columns[j], field = el("input", { class: "edit", "aria-label": "Note on " + symbol, maxlength: "120", spellcheck: "false" });
    [this.field, field.value, field.row] = [field, b.arrangement.data.notes[symbol] || "", row.id];
    const end = (keep) => {
      if (this.field !== field) return;
      this.field = null;
      const { [symbol]: _, ...notes } = b.arrangement.data.notes;
      if (keep) b.arrangement.change({ notes: field.value.trim() ? { ...notes, [symbol]: field.value.trim() } : notes }, "notes");
      field.remove();
      this.el.focus({ preventScroll: true });
      this.draw();
    };
    field.addEventListener("keydown", (e) => { e.stopPropagation(); if (e.key === "Enter") end(true); else if (e.key === "Escape") end(false); });
    field.addEventListener("blur", () => end(true));
    this.el.append(field);
    this.placeField(k);
    field.focus();
  }

  // With its line, wherever a sort or a scroll has moved it.
  placeField() {
    const b = this.blotter, { field } = this, k = b.columns?.find((one) => one.name === "note");
    if (!field) return;
    const line = b.feed.slotOf(field.row) + b.feed.first - b.top, seen = k && b.feed.slotOf(field.row) >= 0 && line >= 0 && line < b.lines;
    field.style.cssText = seen ? `left:${k.x}px;top:${HEAD + line * ROW}px;width:${k.w}px;height:${ROW - 1}px` : "left:-999px";
  }

  // No line moves under a pointer that rests on the lines: the server keeps their order meanwhile.
  hold(over, later = over) {
    this.over = later;
    const b = this.blotter, moves = b.sorts.some(([name]) => name !== "symbol" && name !== "class"), on = Boolean(over && moves && b.feed.total >= 0);
    if (on === Boolean(this.held)) return;
    this.held = on;
    this.desk.control({ type: "hold", feed: this.desk.feedNumber(b.feed), on });
    this.desk.tools?.state();
  }
}

function shownOf(b, row, k) {
  const cell = new Cell();
  k.say(cell, row, b.valueOf(row, k), k, null, b);
  return cell.text;
}
function rawOf(b, row, k) {
  if (k.at < 0) return shownOf(b, row, k);
  const v = b.valueOf(row, k);
  return v === v ? String(v) : "";
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

  // Of the lines that are `wanted`: their texts, where they differ from what was told.
  update(wanted = () => true) {
    const b = this.blotter;
    if (!b.columns) return;
    const set = (node, name, value) => { if (node.getAttribute(name) !== String(value)) node.setAttribute(name, value); };
    set(this.el, "aria-rowcount", b.count() + 1);
    set(this.el, "aria-colcount", b.all.length);
    this.resize(b.lines + 1, b.columns.length);
    this.rows.forEach(({ row, cells }, i) => {
      if (i && !wanted(i - 1)) return;
      const line = i - 1, known = i === 0 || b.slotAt(line) >= 0;
      row.hidden = !known;
      if (!known) return;
      set(row, "aria-rowindex", i === 0 ? 1 : b.top + line + 2);
      this.expand(row, i ? b.feed.rows[b.slotAt(line)] : -1);
      if (i) this.describe(row, line);
      if (i) set(row, "aria-selected", b.feed.rows[b.slotAt(line)] === b.selected);
      cells.forEach((cell, j) => {
        const s = i ? b.texts[line * b.columns.length + j] : b.columns[j].head;
        if (cell.textContent !== s) cell.textContent = s;
        const sorted = !i && b.sorts.find((sort) => sort[0] === b.columns[j].name);
        if (!i) set(cell, "aria-sort", sorted ? (sorted[1] ? "descending" : "ascending") : "none");
        set(cell, "aria-colindex", b.all.findIndex((k) => k.name === b.columns[j].name) + 1);
      });
    });
    const active = this.rows[b.focusLine + 1];
    if (active && b.focusLine >= -1) set(this.el, "aria-activedescendant", active.cells[b.focusColumn]?.id || "");
    else this.el.removeAttribute("aria-activedescendant");
  }

  // The cell that a key has moved to, told at once; all else may wait for the second.
  say() {
    cancelAnimationFrame(this.saying);
    this.saying = requestAnimationFrame(() => requestAnimationFrame(() => this.update((line) => line === this.blotter.focusLine)));
  }

  // The head of a group is open or shut.
  expand(row, id) {
    if (id < GROUP_ID) { row.removeAttribute("aria-expanded"); return; }
    row.setAttribute("aria-expanded", String(!this.blotter.arrangement.data.shut.includes(id - GROUP_ID)));
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
