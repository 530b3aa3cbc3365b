// Law: what if. Lines of trades not yet made are asked of `risk`, again and again while they stand,
// and the figures before and after are shown side by side. Nothing here trades. What is wrong is
// said at its own line; where `risk` does not answer, that is said and old figures fade.

const TRADE_LINES = 12, FOUND_MAX = 8, ASK_AGAIN_MS = 2000, TYPING_MS = 200, UNANSWERED_MS = 6500;
const UNIT_SIZE = { k: 1e3, m: 1e6, b: 1e9, bn: 1e9 };
const CHANGES = [ // measure, name, size of its unit, decimals, whether it has a sign
  ["gross", "Gross M", 1e6, 1, false], ["net", "Net M", 1e6, 1, true], ["delta", "Delta M", 1e6, 1, true], ["beta", "Beta M", 1e6, 1, true],
  ["vega", "Vega k", 1e3, 0, true], ["dv01", "DV01 k", 1e3, 0, true], ["cs01", "CS01 k", 1e3, 0, true], ["hist_99", "VaR 99 k", 1e3, 0, false],
  ["worst", "Worst scenario k", 1e3, 0, true], ["day_pnl", "Day P&L k", 1e3, 0, true],
];
const LEVEL_WORDS = { ok: "within", warning: "near limit", breach: "over limit", unknown: "unknown" };

// A number as people type it: 1,500  -2.5m  10k; NaN where it is none.
function typedNumber(text) {
  const found = /^([+\-\u2212]?)((?:\d[\d,]*)?(?:\.\d+)?)\s*(k|m|bn?)?$/i.exec(text.trim());
  if (!found || !found[2]) return NaN;
  return (found[1] && found[1] !== "+" ? -1 : 1) * Number(found[2].replaceAll(",", "")) * (UNIT_SIZE[(found[3] || "").toLowerCase()] || 1);
}

// The instruments that a text may mean: the symbol itself, then what begins so, then what contains it.
function symbolsLike(instruments, text) {
  const wanted = text.trim().toUpperCase(), ranks = [[], [], []];
  if (!wanted) return [];
  for (const row of instruments.by.values()) {
    const symbol = row.symbol.toUpperCase(), at = symbol.indexOf(wanted);
    if (at >= 0) ranks[symbol === wanted ? 0 : at ? 2 : 1].push(row);
  }
  const order = (a, b) => a.symbol.length - b.symbol.length || (a.symbol < b.symbol ? -1 : 1);
  return ranks.flatMap((rows) => rows.sort(order)).slice(0, FOUND_MAX);
}

// One line: book, instrument, quantity, price. `problem` says what is wrong with it.
class TradeLine {
  constructor(owner, book) {
    const field = (name, holder, more = {}) => el("input", { "aria-label": name, placeholder: holder, autocomplete: "off", spellcheck: "false", ...more });
    [this.owner, this.instrument, this.at, this.found] = [owner, null, 0, []];
    this.book = el("select", { "aria-label": "Book of the trade", onchange: () => owner.changed() });
    this.symbol = field("Instrument", "Symbol", { role: "combobox", "aria-expanded": "false", "aria-autocomplete": "list", "aria-controls": "whatif-found" });
    this.quantity = field("Quantity, signed", "\u00b1 qty", { class: "number", inputmode: "decimal" });
    this.price = field("Price", "mark", { class: "number", inputmode: "decimal" });
    this.away = el("button", { type: "button", class: "away", "aria-label": "Remove this line", onclick: () => owner.remove(this) }, "\u00d7");
    this.why = el("p", { class: "why", role: "alert", hidden: true });
    this.root = el("div", { class: "trade", role: "group", "aria-label": "Trade" }, this.book, this.symbol, this.quantity, this.price, this.away, this.why);
    this.symbol.addEventListener("input", () => { this.instrument = null; this.at = 0; this.suggest(); owner.changed(); });
    this.symbol.addEventListener("keydown", (e) => this.key(e));
    this.symbol.addEventListener("blur", () => { this.settle(); owner.closeList(); });
    for (const input of [this.quantity, this.price]) {
      input.addEventListener("input", () => owner.changed());
      input.addEventListener("keydown", (e) => { if (e.key === "Enter") { owner.next(this); e.preventDefault(); } e.stopPropagation(); });
    }
    this.wanted = book;
    this.books();
  }

  books() {
    const { desk, names } = this.owner, known = Object.keys(desk.names.books).map(Number), all = known.length ? known : names.map((_, id) => id);
    this.wanted = this.book.options.length ? +this.book.value : this.wanted;
    this.book.replaceChildren(...all.map((id) => el("option", { value: id }, desk.names.book(id, names))));
    this.book.value = String(all.includes(this.wanted) ? this.wanted : all[0]);
  }

  get empty() { return !this.symbol.value.trim() && !this.quantity.value.trim() && !this.price.value.trim(); }

  // What stands in the way of asking; "" where nothing does, null where it is not finished.
  get problem() {
    const text = this.symbol.value.trim(), size = this.quantity.value.trim(), price = this.price.value.trim();
    if (!text) return null;
    if (!this.instrument) return this.symbol.matches(":focus") ? null : `no instrument is called ${text}`;
    if (price && !(Math.abs(typedNumber(price)) <= 1e15)) return `${price} is no price; leave it empty for the mark`;
    if (!size) return null;
    if (!(Math.abs(typedNumber(size)) <= 1e15)) return `${size} is no quantity; write it like -1,500 or 2.5m`;
    return typedNumber(size) === 0 ? "a quantity of 0 changes nothing" : "";
  }

  get trade() {
    const price = this.price.value.trim();
    return { book: +this.book.value, instrument: this.instrument.id, quantity: typedNumber(this.quantity.value), price: price ? typedNumber(price) : null };
  }

  say(text) {
    this.why.hidden = !text;
    put(this.why, text || "");
    this.root.classList.toggle("wrong", Boolean(text));
  }

  suggest() {
    this.found = symbolsLike(this.owner.desk.instruments, this.symbol.value);
    this.owner.openList(this);
  }

  pick(row) {
    this.instrument = row;
    this.symbol.value = row.symbol;
    this.owner.closeList();
    this.owner.changed();
  }

  // Left without picking: what was written in full is meant.
  settle() {
    if (this.instrument) return;
    const wanted = this.symbol.value.trim().toUpperCase(), row = symbolsLike(this.owner.desk.instruments, wanted)[0];
    if (row && row.symbol.toUpperCase() === wanted) this.pick(row);
    else this.owner.changed();
  }

  key(e) {
    const open = this.owner.listOf === this, n = this.found.length;
    e.stopPropagation();
    if ((e.key === "ArrowDown" || e.key === "ArrowUp") && n) {
      if (open) this.at = (this.at + (e.key === "ArrowDown" ? 1 : n - 1)) % n;
      this.owner.openList(this);
      e.preventDefault();
    } else if ((e.key === "Enter" || e.key === "Tab") && open && n) {
      this.pick(this.found[this.at]);
      if (e.key === "Enter") { this.quantity.focus(); e.preventDefault(); }
    } else if (e.key === "Escape") {
      if (open) this.owner.closeList(); else if (this.empty) this.symbol.blur(); else this.owner.remove(this);
    } else if (e.key === "Enter") { this.quantity.focus(); e.preventDefault(); }
  }
}

class WhatIf {
  constructor(panel, desk) {
    [this.panel, this.desk, this.names] = [panel, desk, panel.spec.names];
    this.surface = { shown: false, el: panel.body }; // It paints no canvas.
    [this.lines, this.asked, this.answered, this.number, this.of] = [[], null, null, 0, 0];
    this.form = el("div", { class: "trades" });
    this.list = el("ul", { class: "found", id: "whatif-found", role: "listbox", "aria-label": "Instruments found", hidden: true });
    this.status = el("p", { class: "said", role: "status" });
    this.rows = el("tbody");
    this.heads = ["", "Before", "After", "Change"].map((head) => el("th", { scope: "col" }, head));
    this.table = el("table", { class: "changes", hidden: true }, el("thead", {}, el("tr", {}, ...this.heads)), this.rows);
    this.moves = el("ul", { class: "moves", "aria-label": "Limits that would move" });
    this.group = el("select", { "aria-label": "Figures of", hidden: true, onchange: () => { this.of = this.group.selectedIndex; this.show(); } });
    panel.tools.append(this.group, el("button", { type: "button", onclick: () => this.clear() }, "Clear"));
    panel.body.append(this.form, this.status, this.table, this.moves);
    desk.root.append(this.list);
    panel.namesCame = () => this.lines.forEach((line) => line.books());
    document.addEventListener("keydown", (e) => this.shortcut(e));
    this.add();
    setInterval(() => this.turn(), 250);
  }

  // ---- what a painter of a panel has ------------------------------------------------------------
  count() { return this.answered ? 1 : 0; }
  touch() {}
  paint() { return false; }

  asOf() { return this.answered ? "as of " + clockText(this.answered.at, "", true) : ""; }

  // ---- the lines --------------------------------------------------------------------------------
  add() {
    const line = new TradeLine(this, this.lines.length ? +this.lines.at(-1).book.value : 0);
    this.lines.push(line);
    this.form.append(line.root);
    return line;
  }

  remove(line) {
    if (this.lines.length > 1) { this.lines = this.lines.filter((one) => one !== line); line.root.remove(); }
    else { for (const input of [line.symbol, line.quantity, line.price]) input.value = ""; line.instrument = null; }
    this.closeList();
    this.changed();
  }

  clear() {
    for (const line of this.lines) line.root.remove();
    this.lines = [];
    this.add().symbol.focus();
    this.closeList();
    this.changed();
  }

  // The next line to write, made where the last one is in use.
  next(line) {
    const at = this.lines.indexOf(line) + 1;
    if (at < this.lines.length) this.lines[at].symbol.focus();
    else if (at < TRADE_LINES && !line.empty) this.add().symbol.focus();
  }

  shortcut(e) {
    const inside = e.composedPath()[0];
    if (e.key !== "w" || e.ctrlKey || e.metaKey || e.altKey || inside.matches?.("input, select, textarea")) return;
    (this.lines.find((line) => line.empty) || (this.lines.length < TRADE_LINES ? this.add() : this.lines.at(-1))).symbol.focus();
    e.preventDefault();
  }

  changed() {
    for (const line of this.lines) line.say(line.problem);
    if (!this.lines.at(-1).empty && this.lines.at(-1).problem === "" && this.lines.length < TRADE_LINES) this.add();
    this.wishAt = performance.now() + TYPING_MS;
    this.wished = true;
    if (this.ready().length) return;
    [this.answered, this.asked] = [null, null];
    this.show();
  }

  // The lines that are whole; none while one of them is wrong.
  ready() {
    const used = this.lines.filter((line) => !line.empty);
    return used.every((line) => line.problem === "") ? used : [];
  }

  // ---- the list of instruments ------------------------------------------------------------------
  openList(line) {
    const { found } = line, box = line.symbol.getBoundingClientRect();
    this.listOf = found.length ? line : null;
    this.list.hidden = !found.length;
    line.symbol.setAttribute("aria-expanded", String(found.length > 0));
    if (!found.length) return;
    this.list.replaceChildren(...found.map((row, i) => el("li", { id: "whatif-" + i, role: "option", "aria-selected": String(i === line.at), onpointerdown: (e) => { e.preventDefault(); line.pick(row); line.quantity.focus(); } },
      el("b", {}, row.symbol), el("span", { class: "k" }, `${CLASS_CODES[row.asset_class] || ""} ${row.currency || ""}`))));
    line.symbol.setAttribute("aria-activedescendant", "whatif-" + line.at);
    const high = found.length * 20 + 2, below = box.bottom + high < innerHeight;
    Object.assign(this.list.style, { left: box.left + "px", top: (below ? box.bottom : box.top - high) + "px", minWidth: box.width + "px" });
  }

  closeList() {
    this.listOf?.symbol.setAttribute("aria-expanded", "false");
    this.listOf?.symbol.removeAttribute("aria-activedescendant");
    this.listOf = null;
    this.list.hidden = true;
  }

  // ---- asking -----------------------------------------------------------------------------------
  // Four times a second: ask what is due, and notice what is not answered.
  turn() {
    const now = performance.now(), lines = this.ready();
    if (this.asked && now - this.asked.sent > UNANSWERED_MS) { this.asked = null; this.refused = "Risk did not answer"; this.wishAt = now + ASK_AGAIN_MS; this.wished = true; }
    if (lines.length && !this.asked && !document.hidden && now >= (this.wished ? this.wishAt : this.nextAt) && !this.desk.health.lostAt) this.ask(lines);
    this.tell();
  }

  ask(lines) {
    const id = "whatif-" + (this.number += 1);
    this.asked = { id, lines, sent: performance.now() };
    this.wished = false;
    this.nextAt = performance.now() + ASK_AGAIN_MS;
    this.desk.control({ type: "what_if", id, trades: lines.map((line) => line.trade) });
  }

  answer({ type, id, error, trade, what_if: told }) {
    if (type !== "what_if" || id !== this.asked?.id) return; // Of an older wish, or another panel's.
    const { lines } = this.asked;
    this.asked = null;
    this.refused = error && trade === undefined ? "Not answered: " + error : "";
    if (error && trade !== undefined) lines[trade]?.say(error.replace(/^trade \d+: /, ""));
    if (error) { this.nextAt = performance.now() + 2 * ASK_AGAIN_MS; this.show(); return; }
    if (this.wished) return; // Changed meanwhile: the next answer is the one to show.
    const blank = lines.filter((line) => told.unmarked.includes(line.instrument.id));
    for (const line of lines) line.say(blank.includes(line) ? "it has no mark, so figures with it are blank" : "");
    this.answered = { ...told, at: this.desk.health.now(), shown: performance.now() };
    this.show();
  }

  // What is said between the lines and the figures; figures fade where they are not of now.
  tell() {
    const absent = riskAbsence(this.desk), used = this.lines.filter((line) => !line.empty), waits = used.length && !this.ready().length;
    const late = this.answered && performance.now() - this.answered.shown > 2 * UNANSWERED_MS;
    const wrong = used.some((line) => line.problem);
    const text = absent || this.refused || (wrong ? "Mend the marked line to ask" : waits ? "Symbol and signed quantity; price empty: at the mark" : used.length ? (this.answered ? "" : "Asking") : "Trades to try: none is sent to a market (key w)");
    put(this.status, text);
    this.status.hidden = !text;
    this.status.classList.toggle("warn", Boolean(absent || this.refused));
    this.panel.root.classList.toggle("held", Boolean(this.answered && (absent || this.refused || late)));
  }

  // ---- figures ----------------------------------------------------------------------------------
  show() {
    const told = this.answered;
    this.table.hidden = !told;
    this.group.hidden = !told;
    this.tell();
    if (!told) { this.moves.replaceChildren(); return; }
    this.of = Math.min(this.of, told.groups.length - 1);
    const names = told.groups.map((one) => (one.scope === 0 ? "Fund" : this.desk.names.group(one.scope, one.key)));
    if (names.join() !== this.shownNames) { this.shownNames = names.join(); this.group.replaceChildren(...names.map((name) => el("option", {}, name))); }
    this.group.selectedIndex = this.of;
    put(this.heads[0], names[this.of]);
    this.rows.replaceChildren(...CHANGES.map((row) => this.row(row, told.groups[this.of].measures)));
    this.moves.replaceChildren(...told.limits.map((one) => this.move(one)));
    if (!told.limits.length) this.moves.append(el("li", { class: "k" }, "No limit would warn or be passed"));
  }

  row([measure, name, size, places, sign], measures) {
    const [before, after] = measures[measure].map((v) => (v === null ? NaN : v / size)), change = after - before, say = sign ? signed : num;
    const known = change === change, text = known ? signed(change, places) : "", still = known && isNought(text);
    return el("tr", {}, el("th", { scope: "row" }, name), el("td", {}, say(before, places)), el("td", { class: "after" }, say(after, places)),
      el("td", { class: still ? "still" : change > 0 ? "up" : change < 0 ? "down" : "" }, text));
  }

  move(one) {
    const name = this.desk.names.limit(one.name, one.scope, one.key, one.scope === "class" ? CLASS_OF[one.key] || one.key : one.key);
    const [before, after] = one.value.map((v) => (v === null ? "unknown" : amount(v))), level = one.after;
    const mark = el("i", { class: level === "breach" ? "square crit" : level === "ok" ? "point" : "wedge warn" });
    const bound = level === "breach" ? `limit ${amount(one.breach)}` : level === "warning" ? `warning at ${amount(one.warning)}` : "";
    const said = `${before} \u2192 ${after}` + (bound ? ", " + bound : ""), full = `${name}: ${LEVEL_WORDS[one.before]} \u2192 ${LEVEL_WORDS[level]}, ${said}`;
    return el("li", { class: level, title: full }, mark, el("b", {}, name), el("span", { class: "what" }, said), el("span", { class: "k" }, one.before === level ? "still " + LEVEL_WORDS[level] : LEVEL_WORDS[level]));
  }
}
