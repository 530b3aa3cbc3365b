// Law: short tables by keys and for those who hear. Arrows move a cell, Enter takes its line or, on
// a head, sorts by it; what is painted is told as rows of a grid, once a second and after a key.

const TOLD_MS = 1000;
let sheetsTold = 0; // So that each row of the page has an id of its own.

class SheetKeys {
  constructor(sheet, el, label) {
    Object.assign(this, { sheet, el, at: 0, items: [], name: "line" + (sheetsTold += 1) });
    this.body = el.appendChild(document.createElement("div"));
    this.body.className = "mirror";
    this.body.setAttribute("role", "rowgroup");
    Object.entries({ tabindex: "0", role: "grid", "aria-label": label }).forEach(([name, value]) => el.setAttribute(name, value));
    [sheet.focusColumn, sheet.focused] = [0, false];
    Object.defineProperty(sheet, "focusLine", { get: () => (this.at < 0 ? -1 : this.at < sheet.top ? -2 : this.at - sheet.top) });
    el.addEventListener("keydown", (e) => this.key(e));
    el.addEventListener("focus", () => this.focus(el.matches(":focus-visible")));
    el.addEventListener("blur", () => this.focus(false));
    setInterval(() => this.tell(), TOLD_MS);
  }

  focus(on) {
    this.sheet.focused = on;
    this.again();
  }

  again() {
    const { sheet } = this;
    sheet.touch(-1);
    if (sheet.columns) sheet.paintHead();
    sheet.desk.wake();
    this.tell();
  }

  key(e) {
    const { sheet } = this, last = sheet.count() - 1;
    if (e.ctrlKey || e.metaKey || e.altKey || e.target !== this.el || !sheet.columns) return;
    const step = { ArrowDown: 1, ArrowUp: -1, PageDown: sheet.lines, PageUp: -sheet.lines, Home: -this.at, End: last - this.at }[e.key];
    const across = { ArrowLeft: -1, ArrowRight: 1 }[e.key];
    if (step !== undefined) {
      this.at = Math.max(-1, Math.min(last, this.at + step));
      if (e.key !== "ArrowUp") this.at = Math.max(0, this.at); // Only a step leads up to the heads.
      if (this.at >= 0) sheet.top = Math.max(0, Math.min(Math.max(sheet.top, this.at - sheet.lines + 1), this.at));
    } else if (across) sheet.focusColumn = Math.max(0, Math.min(sheet.columns.length - 1, sheet.focusColumn + across));
    else if ((e.key === "Enter" || e.key === " ") && this.at < 0) sheet.sortBy?.(sheet.columns[sheet.focusColumn].name);
    else if (e.key === "Enter" || e.key === " ") sheet.pick(this.at, sheet.columns[sheet.focusColumn]);
    else return;
    sheet.focused = true;
    e.preventDefault();
    e.stopPropagation();
    this.again();
  }

  // What is on the glass, line by line, each figure behind its head.
  tell() {
    const { sheet, items } = this, { columns = [], texts = [] } = sheet, shown = Math.max(0, Math.min(sheet.lines || 0, sheet.count() - sheet.top));
    const set = (node, name, value) => { if (node.getAttribute(name) !== String(value)) node.setAttribute(name, value); };
    while (items.length < shown) { items.push(el("div", { role: "row", id: this.name + "-" + items.length })); this.body.append(items.at(-1)); }
    while (items.length > shown) items.pop().remove();
    items.forEach((item, line) => {
      const figures = columns.map((k, j) => [k.name === "bar" ? "" : texts[line * columns.length + j], k]).filter(([text]) => text).map(([text, k]) => (k.name === "name" || !k.head ? text : `${k.head} ${text}`));
      set(item, "aria-rowindex", sheet.top + line + 2); // Heads are the first.
      set(item, "aria-selected", Boolean(sheet.rowAt(line)?.selected));
      put(item, figures.join(", "));
    });
    set(this.el, "aria-rowcount", sheet.count() + 1);
    const line = sheet.focusLine;
    if (line >= 0 && line < shown) set(this.el, "aria-activedescendant", items[line].id); else this.el.removeAttribute("aria-activedescendant");
    this.head(line === -1 && columns[sheet.focusColumn]?.head);
  }

  // On a head there is no row: it is said what Enter does.
  head(name) {
    if (name) this.el.setAttribute("aria-description", `Sort by ${name}: Enter`); else this.el.removeAttribute("aria-description");
  }
}
