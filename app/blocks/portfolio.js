// Law: the panels of a portfolio manager. A tree of groups whose sums are the worker's own, lines
// of the one book that is open, and the steps from nought to the day's P&L. A group that is chosen
// here is followed by all that explain one.

const INDENT = 10, CARET = 14;

class BookTree extends Sheet {
  constructor(panel, desk) {
    const { spec } = panel, feeds = Object.fromEntries(Object.entries(spec.feeds).map(([role, number]) => [role, desk.feeds[number]]));
    const name = { name: "name", head: spec.head, width: 132, flex: true, align: "left", dx: PAD, drop: 0, source: "", inputs: [], say: (cell, row, v, column) => this.sayName(cell, row, column) };
    const bar = { name: "bar", head: "", width: 40, align: "center", drop: 1, dx: 0, source: "day P&L from a common zero", inputs: [], say: (cell, row) => this.sayBar(cell, row) };
    super(panel.body, [name, bar, ...spec.columns.map(placed)], { desk, scroll: true });
    Object.assign(this, { spec, feeds, desk, top: 0, nodes: [], scale: 0, shut: new Set(), open: -1, picked: "0:0", due: true, arrangedAt: -1e9 });
    for (const k of this.all) k.ats = Object.fromEntries(Object.entries(feeds).map(([role, feed]) => [role, feed.index(role === "lines" ? k.line : k.name)]));
    for (const feed of Object.values(feeds)) feed.listeners.push(() => { this.due = true; this.touch(-1); });
    desk.wishes.push(() => this.tell());
    panel.body.addEventListener("wheel", (e) => this.wheel(e), { passive: false });
    panel.body.addEventListener("pointerdown", (e) => { const b = panel.body.getBoundingClientRect(); const at = this.hit(e.clientX - b.left, e.clientY - b.top); if (at && at.line >= 0) this.take(this.nodes[this.top + at.line], e.clientX - b.left); });
    panel.body.addEventListener("keydown", (e) => this.key(e));
    panel.body.tabIndex = 0;
    panel.body.setAttribute("role", "tree");
    panel.body.setAttribute("aria-label", "Books: arrows move, Enter opens a book or follows a line");
    this.mirror = new TreeMirror(panel.body, this);
  }

  idOf(n) { return n.scope + ":" + n.key + ":" + n.instrument; }
  get cursorAt() { return Math.max(0, this.nodes.findIndex((n) => this.idOf(n) === this.cursor)); }

  count() { return this.nodes.length; }
  ofGroup({ scope, key }) { this.picked = scope + ":" + key; this.touch(-1); }
  follows(instrument) { if (this.nodes.some((n) => n.role === "lines" && n.instrument === instrument)) this.touch(-1); }

  // Only the lines of the open book travel.
  tell() {
    const feed = this.feeds.lines, number = this.desk.feedNumber(feed), { open } = this;
    feed.window = [0, open < 0 ? 0 : this.spec.lines_max];
    if (open >= 0) this.desk.control({ type: "filter", feed: number, book: open });
    if (!this.desk.telling) this.desk.control({ type: "viewport", feed: number, first: 0, count: feed.window[1] });
  }

  // The lines of the screen: groups in the fund's order, what is open below them.
  arrange() {
    const { feeds, desk } = this, nodes = [], of = (role, slot, depth, more) => ({ role, slot, depth, ...more });
    const groups = (role) => Array.from(feeds[role].rows, (_, slot) => {
      const scope = feeds[role].get(slot, "scope"), key = feeds[role].get(slot, "key");
      return of(role, slot, role === "books" ? 2 : 1, { scope, key, name: desk.names.group(scope, key) });
    }).filter((n) => n.scope === n.scope);
    if (!feeds.fund.rows.length || feeds.fund.get(0, "scope") !== 0) { this.nodes = []; return; }
    nodes.push(of("fund", 0, 0, { scope: 0, key: 0, name: desk.names.keys.fund?.[0] || "Fund", opens: true, isOpen: true }));
    const books = groups("books").map((n) => ({ ...n, book: desk.names.bookNamed(n.name) }));
    for (const strategy of groups("strategies")) {
      const mine = books.filter((b) => desk.names.strategy(b.book) === strategy.name), isOpen = !this.shut.has(strategy.name);
      nodes.push({ ...strategy, opens: true, isOpen });
      if (!isOpen) continue;
      for (const book of mine) {
        nodes.push({ ...book, opens: true, isOpen: book.book === this.open });
        if (book.book === this.open) nodes.push(...this.lineNodes());
      }
    }
    this.nodes = nodes;
    this.top = Math.max(0, Math.min(this.top, nodes.length - (this.lines || 0)));
    if (this.due) this.rescale();
    this.due = false;
  }

  lineNodes() {
    const feed = this.feeds.lines, out = [];
    for (let slot = 0; slot < feed.rows.length; slot++) {
      const instrument = feed.get(slot, "instrument");
      if (feed.get(slot, "book") !== this.open || !(instrument === instrument) || feed.get(slot, "quantity") === 0) continue;
      out.push({ role: "lines", slot, depth: 3, instrument, name: this.desk.instruments.get(instrument)?.symbol || "#" + instrument });
    }
    return out.sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  // Steps of 1, 2, 5: bars do not tremble with the largest of them.
  rescale() {
    let most = 0;
    for (const n of this.nodes) if (n.role !== "fund") most = Math.max(most, Math.abs(this.feeds[n.role].get(n.slot, "day_pnl")) || 0);
    if (most <= this.scale && most >= this.scale / 4) return;
    const power = 10 ** Math.floor(Math.log10(most || 1));
    this.scale = [1, 2, 5, 10].find((k) => k * power >= most) * power;
    this.touch(-1);
  }

  rowAt(line) {
    const node = this.nodes[this.top + line];
    if (!node) return null;
    const picked = node.role === "lines" ? node.instrument === this.desk.instrument : node.scope + ":" + node.key === this.picked;
    const id = node.role === "lines" ? 1e6 + this.feeds.lines.rows[node.slot] : node.scope * 1e3 + node.key;
    const row = this.row.fill(id, node.slot, node.role === "lines" ? this.desk.instruments.get(node.instrument) : null, 0, NaN, picked);
    row.node = node;
    return row;
  }

  valueOf(row, column) { const { role, slot } = row.node, at = column.ats[role]; return at === undefined ? NaN : this.feeds[role].at(slot, at); }

  sayName(cell, row, column) {
    const { node } = row, indent = node.depth * INDENT;
    column.dx = PAD + indent + CARET; // Cut where the column ends, whatever the level is.
    cell.text = node.name;
    cell.color = node.role === "lines" ? TEXT2 : TEXT;
    if (node.role === "fund" || node.role === "strategies") cell.font = BOLD;
    if (!node.opens) return;
    const s = cut(cell.font, node.name, column.w - column.dx - 4), dx = column.dx;
    cell.text += node.isOpen ? " \u200b" : ""; // An open head differs from a shut one, so it is drawn anew.
    cell.bar = (ink, x, y) => {
      const mid = y + 10;
      ink.text(cell.font, T[COLORS[cell.color]], s, x + dx, y - (ROW >> 1) + 10 + BASE);
      ink.after((c) => caret(c, x + PAD + indent + 4, mid, node.isOpen, T.text2));
    };
  }

  sayBar(cell, row) {
    const v = this.feeds[row.node.role].get(row.node.slot, "day_pnl"), w = this.columns.find((k) => k.name === "bar").w, half = w / 2 - 3;
    if (row.node.role === "fund") return;
    const px = v === v ? Math.round(Math.max(-1, Math.min(1, v / (this.scale || 1))) * half) : 0;
    cell.text = "b" + px;
    cell.bar = (ink, x, y) => {
      const z = x + (w >> 1);
      if (px) ink.fill(px > 0 ? T["up-fill"] : T["down-fill"], px > 0 ? z : z + px, y + 6, Math.abs(px), 8);
      ink.fill(T.edge, z, y, 1, ROW - 1);
    };
  }

  paint(now) {
    if (this.due && now - this.arrangedAt > 200) { this.arrangedAt = now; this.arrange(); this.touch(-1); }
    const painted = super.paint(now);
    this.mirror.tell(now);
    return painted;
  }

  // A click on a caret opens or shuts; elsewhere it chooses, and a book opens with it.
  take(node, x = 1e9) {
    if (!node) return;
    if (node.role === "lines") this.desk.selectInstrument(node.instrument);
    else {
      const caret = x < PAD + node.depth * INDENT + CARET;
      if (node.role === "strategies" && (caret || this.picked === node.scope + ":" + node.key)) { if (!this.shut.delete(node.name)) this.shut.add(node.name); }
      if (node.role === "books") { this.open = node.book === this.open && (caret || this.picked === node.scope + ":" + node.key) ? -1 : node.book; this.tell(); }
      if (!caret) {
        this.desk.chooseGroup(node.scope, node.key, node.role === "fund" ? "Fund" : node.name);
        this.desk.filterBook(node);
      }
    }
    this.cursor = this.idOf(node);
    this.mirror.saidAt = -1e9;
    this.due = true;
    this.arrangedAt = -1e9;
    this.desk.wake();
  }

  key(e) {
    const at = this.cursorAt, node = this.nodes[at];
    if (!node || e.ctrlKey || e.metaKey || e.altKey) return;
    // From a line or a shut head to the head above it.
    const up = this.nodes.slice(0, at).findLastIndex((n) => n.depth < node.depth) - at, out = e.key === "ArrowLeft" && at > 0 && !(node.opens && node.isOpen) ? up : 0;
    const step = { ArrowDown: 1, ArrowUp: -1, PageDown: this.lines, PageUp: -this.lines, Home: -at, End: this.nodes.length - 1 - at }[e.key] ?? out;
    if (step) {
      const next = Math.max(0, Math.min(this.nodes.length - 1, at + step));
      this.top = Math.max(0, Math.min(Math.max(this.top, next - this.lines + 1), next));
      this.take(this.nodes[next].role === "books" ? null : this.nodes[next]);
      this.cursor = this.idOf(this.nodes[next]);
      this.mirror.saidAt = -1e9;
      if (this.nodes[next].role === "books") this.desk.chooseGroup(this.nodes[next].scope, this.nodes[next].key, this.nodes[next].name);
      this.touch(-1);
    } else if (e.key === "Enter" || e.key === " " || (e.key === "ArrowRight" && node.opens && !node.isOpen) || (e.key === "ArrowLeft" && node.isOpen && node.depth)) this.take(node, node.role === "lines" || e.key === "Enter" || e.key === " " ? 1e9 : 0);
    else return;
    e.preventDefault();
    e.stopPropagation();
    this.desk.wake();
  }

  wheel(e) {
    const top = Math.max(0, Math.min(this.count() - this.lines, this.top + Math.sign(e.deltaY) * 2));
    if (top === this.top || this.count() <= this.lines) return;
    e.preventDefault();
    this.top = top;
    this.touch(-1);
    this.desk.wake();
  }
}
BookTree.prototype.paintScroll = function paintScroll() {
  const n = this.count(), high = this.lines * ROW, c = this.surface.c;
  box(c, this.room, HEAD, SCROLL, high, T.panel);
  if (n > this.lines) box(c, this.room + 3, HEAD + (high * this.top) / n, 3, Math.max(12, (high * this.lines) / n), T.edge);
};

// role=tree for those who hear: each group and line with its figures, once a second, and at once
// where a key has moved to.
class TreeMirror {
  constructor(el, tree) {
    Object.assign(this, { el, tree, items: [], saidAt: -1e9, body: document.createElement("div") });
    this.body.className = "mirror";
    this.body.setAttribute("role", "none");
    el.append(this.body);
  }

  tell(now) {
    if (now - this.saidAt < 1000 || !this.tree.columns) return;
    this.saidAt = now;
    const { tree } = this, { nodes } = tree, set = (node, name, value) => { if (node.getAttribute(name) !== String(value)) node.setAttribute(name, value); };
    while (this.items.length < nodes.length) {
      const item = el("div", { role: "treeitem", id: "branch-" + this.items.length });
      this.items.push(item);
      this.body.append(item);
    }
    while (this.items.length > nodes.length) this.items.pop().remove();
    const above = [], families = nodes.map((node, i) => { above[node.depth] = i; return above[node.depth - 1] ?? -1; });
    nodes.forEach((node, i) => {
      const item = this.items[i], mates = nodes.filter((_, k) => families[k] === families[i]), row = tree.rowAt(i - tree.top);
      set(item, "aria-level", node.depth + 1);
      set(item, "aria-posinset", mates.indexOf(node) + 1);
      set(item, "aria-setsize", mates.length);
      set(item, "aria-selected", row.selected);
      if (node.opens) set(item, "aria-expanded", Boolean(node.isOpen)); else item.removeAttribute("aria-expanded");
      const figures = tree.all.filter((k) => k.head && k.name !== "name").map((k) => [k.head, shownOf(tree, row, k)]).filter(([, text]) => text);
      put(item, [node.name, ...figures.map((figure) => figure.join(" "))].join(", "));
    });
    if (nodes.length) set(this.el, "aria-activedescendant", "branch-" + tree.cursorAt);
    else this.el.removeAttribute("aria-activedescendant");
  }
}

// Steps from nought to the sum: each begins where the one before it ended.
class WaterfallChart extends Chart {
  constructor(panel, desk) {
    super(panel.body, 400);
    Object.assign(this, { panel, spec: panel.spec, desk, feed: desk.feeds[panel.spec.feeds.main] });
    this.feed.listeners.push(() => this.touch());
    desk.wishes.push(() => this.tell());
  }
  count() { return this.feed.rows.length && this.feed.get(0, "scope") === this.desk.chosen.scope ? 1 : 0; }
  tell() { const { scope, key } = this.desk.chosen; this.desk.control({ type: "filter", feed: this.desk.feedNumber(this.feed), scope, key }); }
  ofGroup() { this.tell(); this.touch(); }

  draw(c, w, h) {
    const { chosen, names } = this.desk, v = (name) => this.feed.get(0, name);
    put(this.panel.title, chosen.scope ? `Day P&L ${chosen.name}` : "Day P&L of the fund");
    if (!this.count()) return this.say(c, riskAbsence(this.desk) || "No P&L of this group yet", w, h);
    if (!(v("day_pnl") === v("day_pnl"))) return this.say(c, "A line of this group has no mark: its day P&L is not known", w, h);
    const { sums } = this.spec, steps = [];
    let level = 0;
    for (const [name, head] of this.spec.steps) {
      const at = v(name), sum = sums.includes(name);
      steps.push({ name, head: sum && name === "total" ? "Total" : head, v: at, from: sum ? 0 : level, to: sum ? at : level + at, sum });
      level = sum ? at : level + at;
    }
    this.told = Object.fromEntries(steps.map((s) => [s.name, s.v]));
    (h >= steps.length * 18 && w < 620 ? this.rows : this.columns).call(this, c, w, h, steps);
  }

  // In a column as the table beside it: a line a step. The text stands left, the figure right.
  rows(c, w, h, steps) {
    const high = Math.min(24, Math.floor(h / steps.length)), left = 96, right = w - 76, all = steps.flatMap((s) => [s.from, s.to, 0]);
    const lo = Math.min(...all), hi = Math.max(...all), X = (v) => Math.round(left + ((v - lo) / (hi - lo || 1)) * (right - left));
    steps.forEach((s, k) => {
      const y = k * high, base = y + high / 2 + 4, font = s.sum ? BOLD : VALUE, x0 = Math.min(X(s.from), X(s.to)), wide = Math.max(1, Math.abs(X(s.to) - X(s.from)));
      if (s.sum) box(c, 0, y, w, high, T.lift);
      label(c, font, s.head, PAD, base, s.sum ? T.text : T.text2);
      box(c, x0, y + 5, wide, high - 10, s.v > 0 ? T["up-fill"] : s.v < 0 ? T["down-fill"] : T.edge);
      if (k + 1 < steps.length) box(c, X(s.to), y + high - 5, 1, 10, T.edge);
      this.figure(c, font, s, w - PAD, base, "right");
    });
    box(c, X(0), 0, 1, high * steps.length, T.edge);
  }

  columns(c, w, h, steps) {
    const step = w / steps.length, foot = h - 20, top = 24, all = steps.flatMap((s) => [s.from, s.to, 0]), lo = Math.min(...all), hi = Math.max(...all);
    const Y = (v) => Math.round(top + ((hi - v) / (hi - lo || 1)) * (foot - 18 - top)), wide = Math.min(64, Math.round(step * 0.62));
    steps.forEach((s, k) => {
      const x = Math.round((k + 0.5) * step - wide / 2), y = Math.min(Y(s.from), Y(s.to)), high = Math.max(1, Math.abs(Y(s.to) - Y(s.from)));
      if (s.sum) box(c, Math.round(k * step), 0, Math.round(step), h, T.lift);
      box(c, x, y, wide, high, s.v > 0 ? T["up-fill"] : s.v < 0 ? T["down-fill"] : T.edge);
      if (k + 1 < steps.length) box(c, x + wide, Y(s.to), Math.round(step) - wide, 1, T.edge);
      label(c, s.sum ? SMALL_BOLD : SMALL, s.head, (k + 0.5) * step, h - 6, s.sum ? T.text : T.text3, "center");
      this.figure(c, s.sum ? BOLD : VALUE, s, (k + 0.5) * step, s.v < 0 ? y + high + 13 : y - 4, "center");
    });
    box(c, 0, Y(0), w, 1, T.edge);
  }

  figure(c, font, s, x, y, align) {
    const text = signed(s.v / 1e3, Math.abs(s.v) < 1e4 ? 1 : 0);
    label(c, font, text, x, y, isNought(text) ? T.zero : s.v > 0 ? T.up : T.down, align);
  }
}

Object.assign(RISK_PANELS, {
  tree: (panel, desk) => new BookTree(panel, desk),
  waterfall: (panel, desk) => new WaterfallChart(panel, desk),

  attribution(panel, desk) {
    const { spec } = panel, feed = desk.feeds[spec.feeds.main], fund = desk.feeds[spec.feeds.fund], get = (slot, name) => feed.get(slot, name);
    let scope = spec.tabs[0][1];
    const lines = new Lines(panel.body, spec, feed, desk, {
      name: (slot) => desk.names.group(get(slot, "scope"), get(slot, "key")),
      keep: (slot) => get(slot, "scope") === scope && get(slot, "total") !== 0,
      order: (a, b) => Math.abs(get(b, "total") || 0) - Math.abs(get(a, "total") || 0) || a - b,
    });
    lines.total = lines.totalFrom(fund, () => "Fund");
    fund.listeners.push(() => lines.touch(-1));
    lines.onSelect = (slot) => desk.chooseGroup(scope, get(slot, "key"), lines.nameOf(slot));
    lines.ofGroup = (chosen) => { const slot = lines.rows.find((k) => get(k, "scope") === chosen.scope && get(k, "key") === chosen.key); lines.selected = slot === undefined ? -1 : feed.rows[slot]; lines.touch(-1); };
    const tell = () => desk.control({ type: "filter", feed: desk.feedNumber(feed), scope });
    desk.wishes.push(tell);
    panel.tools.append(...choice("By", spec.tabs, (value) => { scope = value; lines.selected = -1; tell(); lines.again(); }, scope));
    return lines;
  },
});
