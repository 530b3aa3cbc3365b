// Law: what stands in the blotter's head: search, filters, sets of columns. Wishes go to the desk,
// which tells the server; what is pressed is shown here.

class BlotterTools {
  constructor(panel, blotter, desk) {
    [this.panel, this.blotter, this.desk] = [panel, blotter, desk];
    this.sets = new ColumnSets(blotter, desk);
    this.void = el("div", { class: "void", hidden: true }, el("p"), el("button", { class: "act", onclick: () => desk.clearFilter() }, "Clear filter"));
    panel.tools.append(...(blotter instanceof Positions ? this.books() : this.classes()), ...this.sets.tools());
    panel.body.append(this.void);
  }

  classes() {
    const { desk } = this, panel = this.panel;
    this.search = el("input", { type: "search", placeholder: "Search  f", "aria-label": "Search symbols", spellcheck: "false", autocomplete: "off" });
    this.search.addEventListener("input", () => { clearTimeout(this.typing); this.typing = setTimeout(() => desk.setFilter({ text: this.search.value.trim() }), 120); });
    this.search.addEventListener("keydown", (e) => {
      if (e.key === "Escape") { desk.clearFilter(); panel.body.focus(); }
      else if (e.key === "Enter" || e.key === "ArrowDown") { panel.body.focus(); desk.input.move(0, 0); }
      e.stopPropagation();
    });
    const base = desk.base.length ? desk.base : CLASS_CODES.map((_, id) => id);
    this.chips = base.map((id) => [CLASS_CODES[id], id]).map(([code, id]) => el("button", { "aria-pressed": "false", title: CLASS_NAMES[id], onclick: () => desk.toggleClass(id) }, code));
    this.allChip = el("button", { "aria-pressed": "true", onclick: () => desk.setFilter({ classes: [...desk.base] }) }, "All");
    this.menu = el("select", { class: "slim", "aria-label": "Class", onchange: () => desk.setFilter({ classes: this.menu.value === "" ? [...desk.base] : [+this.menu.value] }) },
      el("option", { value: "" }, "All classes"), ...base.map((id) => el("option", { value: id }, CLASS_NAMES[id])));
    this.menu.hidden = base.length === 1;
    this.base = base;
    return [this.search, this.menu, el("div", { class: "classes wide", role: "group", "aria-label": "Class filter", hidden: base.length === 1 }, this.allChip, ...this.chips)];
  }

  books() {
    this.bookMenu = el("select", { "aria-label": "Book", onchange: () => this.desk.chooseBook(+this.bookMenu.value) });
    this.namesCame();
    return [this.bookMenu];
  }

  namesCame() {
    if (!this.bookMenu) return;
    const { names } = this.desk, known = Object.keys(names.books).map(Number), all = known.length ? known : this.blotter.spec.names.map((_, id) => id);
    this.bookMenu.replaceChildren(el("option", { value: -1 }, "All books"), ...all.map((id) => el("option", { value: id }, names.book(id, this.blotter.spec.names))));
    this.bookMenu.value = String(this.desk.filter.book);
  }

  filtered({ classes, text, book }) {
    if (this.bookMenu) { this.bookMenu.value = String(book); return; }
    const all = classes.length === this.desk.base.length;
    this.allChip.setAttribute("aria-pressed", String(all));
    this.chips.forEach((chip, k) => chip.setAttribute("aria-pressed", String(!all && classes.includes(this.base[k]))));
    this.menu.value = classes.length === 1 ? classes[0] : "";
    if (!text && this.search.value && !this.search.matches(":focus")) this.search.value = "";
  }

  // How many lines there are, and what to do where there is none.
  state() {
    const { desk, blotter } = this, total = blotter.feed.total, { text, classes, book, books, currency } = desk.filter, positions = blotter instanceof Positions;
    const all = positions ? "" : ` of ${num(desk.instruments.size)}`;
    const absent = blotter.all.some((k) => k.home === "analytics" || k.home === "risk") && total > 0 ? riskAbsence(desk) : "";
    const held = desk.input?.held ? "order held · " : "";
    put(this.panel.note, total < 0 ? "loading" : `${absent ? absent + " · " : ""}${held}${num(blotter.lineTotal)}${all} lines`);
    const filtered = desk.filtering;
    this.void.hidden = total !== 0 || (!filtered && !positions);
    if (this.void.hidden) return;
    this.void.lastChild.hidden = !filtered;
    const names = classes.map((id) => CLASS_NAMES[id]).join(", ");
    put(this.void.firstChild, positions ? `${book >= 0 ? desk.names.book(book, blotter.spec.names) : books.length ? desk.chosen.name : "The fund"} has no position${currency ? " in " + currency : ""}.`
      : "No line has " + [text && `“${text}” in its symbol`, names && `class ${names}`, currency && `currency ${currency}`].filter(Boolean).join(" and ") + ".");
  }
}
