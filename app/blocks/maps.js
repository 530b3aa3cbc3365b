// Law: charts of one moment: ladder of prices, smile, Greeks by strike, P&L by book and class,
// largest positions. Rows as those of tables where there are rows; sign and number say what tint repeats.

class DepthLadder extends FigureChart {
  wish() { return this.row < 0 ? null : { figure: "depth", row: this.row }; }

  picture(c, w, h, { facts, n, columns: [prices, volume, bought, sold] }) {
    const say = pricesOf(this.desk.instruments.get(facts.row));
    const near = (a, b) => Math.abs(a - b) <= 1e-9 * Math.max(Math.abs(a), Math.abs(b));
    const rungs = new Map();
    for (let i = 0; i < n; i++) rungs.set(+prices[i].toPrecision(12), { price: prices[i], volume: volume[i], bought: bought[i], sold: sold[i] });
    for (const side of ["bid", "ask"]) if (facts[side] != null) {
      const key = +facts[side].toPrecision(12);
      if (!rungs.has(key)) rungs.set(key, { price: facts[side], volume: 0, bought: 0, sold: 0 });
    }
    const all = [...rungs.values()].sort((a, b) => b.price - a.price), room = Math.max(1, Math.floor((h - HEAD) / ROW));
    if (!all.length) return this.say(c, "No quote and no trade yet", w, h);
    const middle = facts.last ?? facts.bid ?? facts.ask;
    let at = all.findIndex((r) => r.price <= middle);
    if (at < 0) at = all.length - 1;
    const first = Math.max(0, Math.min(all.length - room, at - (room >> 1))), shown = all.slice(first, first + room);
    const most = Math.max(1e-12, ...shown.map((r) => r.volume)), x = [0, w * 0.2, w * 0.48, w * 0.68].map(Math.round);
    label(c, SMALL, "Bid size", x[1] - PAD, BASE, T.text3, "right");
    label(c, SMALL, "Price", x[2] - PAD, BASE, T.text3, "right");
    label(c, SMALL, "Ask size", x[3] - PAD, BASE, T.text3, "right");
    label(c, SMALL, "Traded", w - PAD, BASE, T.text3, "right");
    box(c, 0, HEAD - 1, w, 1, T.line);
    shown.forEach((r, k) => {
      const y = HEAD + k * ROW, base = y + BASE, isBid = facts.bid != null && near(r.price, facts.bid), isAsk = facts.ask != null && near(r.price, facts.ask), isLast = facts.last != null && near(r.price, facts.last);
      if (isBid) { box(c, 0, y, x[1], ROW - 1, T["up-wash"]); label(c, BOLD, lot(facts.bid_size), x[1] - PAD, base, T.up, "right"); }
      if (isAsk) { box(c, x[2], y, x[3] - x[2], ROW - 1, T["down-wash"]); label(c, BOLD, lot(facts.ask_size), x[3] - PAD, base, T.down, "right"); }
      if (isLast) box(c, x[1], y, x[2] - x[1], ROW - 1, T.select);
      label(c, isLast ? BOLD : VALUE, say(r.price), x[2] - PAD, base, T.text, "right");
      const full = w - x[3] - 60 * SCALE, bar = Math.round((r.volume / most) * full), known = r.bought + r.sold, up = known ? Math.round((bar * r.bought) / r.volume) : 0, down = known ? Math.round((bar * r.sold) / r.volume) : 0;
      if (bar) {
        box(c, x[3] + 4, y + 3, bar, ROW - 7, T.lift);
        box(c, x[3] + 4, y + 3, up, ROW - 7, T["up-wash"]);
        box(c, x[3] + 4 + up, y + 3, down, ROW - 7, T["down-wash"]);
        label(c, SMALL, lot(r.volume), w - PAD, base, T.text2, "right");
      }
    });
    this.told = { rungs: shown.length, bid: facts.bid, ask: facts.ask, traded: shown.reduce((a, r) => a + r.volume, 0) };
  }
}

// Columns of the figure `chain`.
const CHAIN = ["expiry", "strike", "sign", "iv_bid", "iv_ask", "smile", "delta", "gamma", "vega", "theta", "bid", "ask", "position", "row"];
function chainRows({ n, columns }, expiry) {
  const rows = [];
  for (let i = 0; i < n; i++) if (columns[0][i] === expiry) rows.push(Object.fromEntries(CHAIN.map((name, k) => [name, columns[k][i]])));
  return rows;
}

class ChainChart extends FigureChart {
  constructor(el, spec, desk) { super(el, spec, desk, 200); this.expiry = -1; }
  wish() { return this.row < 0 ? null : { figure: "chain", row: this.row }; }
  follow(row) { if (row !== this.row) this.expiry = -1; super.follow(row); }

  picture(c, w, h, data) {
    const { expiries, symbol, chosen } = data.facts;
    if (this.expiry < 0 || this.expiry >= expiries.length) this.expiry = chosen || 0;
    this.onExpiries?.(expiries, this.expiry);
    if (!expiries.length) return this.say(c, "No option on " + (symbol || "this line"), w, h);
    this.options(c, w, h, chainRows(data, this.expiry), data.facts.forwards[this.expiry], data);
  }
}

class SmileChart extends ChainChart {
  options(c, w, h, rows, forward, data) {
    // Of each strike the side that is out of the money: there the market quotes.
    const out = rows.filter((r) => forward == null || (r.sign > 0 ? r.strike >= forward : r.strike <= forward));
    const known = out.filter((r) => r.smile === r.smile || r.iv_bid === r.iv_bid || r.iv_ask === r.iv_ask);
    if (known.length < 2) return this.say(c, riskAbsence(this.desk) || "No volatility known at this expiry", w, h);
    const [lo, hi] = reach(known.flatMap((r) => [r.smile, r.iv_bid, r.iv_ask])), strikes = known.map((r) => r.strike), k0 = Math.min(...strikes), k1 = Math.max(...strikes);
    const right = w - AXIS, foot = h - 18, top = 14, X = (k) => 10 + ((k - k0) / (k1 - k0 || 1)) * (right - 22), Y = (v) => top + ((hi - v) / (hi - lo)) * (foot - 6 - top);
    box(c, 0, foot, w, 1, T.line);
    PriceChart.prototype.axis.call(this, c, right, lo, hi, foot - 6 - top, Y, (v) => num(v, hi - lo < 5 ? 2 : 1), []);
    const step = stepFor(k1 - k0, right, 70);
    for (let k = Math.ceil(k0 / step) * step; k <= k1; k += step) label(c, SMALL, number(k), Math.max(20, X(k)), h - 5, T.text3, "center");
    if (forward != null && forward >= k0 && forward <= k1) { const x = Math.round(X(forward)) + 0.5; line(c, [[x, top], [x, foot]], T.edge, 1, [2, 2]); label(c, SMALL, "F " + number(forward), x + 4, 12, T.text2); }
    for (const r of known) {
      const x = Math.round(X(r.strike)), both = r.iv_bid === r.iv_bid && r.iv_ask === r.iv_ask, color = r.sign > 0 ? T.up : T.down;
      if (both) box(c, x, Math.round(Y(r.iv_ask)), 1, Math.max(1, Math.round(Y(r.iv_bid) - Y(r.iv_ask))), color);
      for (const v of [r.iv_bid, r.iv_ask]) if (v === v) box(c, x - 2, Math.round(Y(v)), 5, 1, color);
    }
    const curve = known.filter((r) => r.smile === r.smile).sort((a, b) => a.strike - b.strike).map((r) => [X(r.strike), Y(r.smile)]);
    if (curve.length > 1) line(c, curve, T.text, 1.5);
    this.told = { strikes: known.length, forward, expiry: data.facts.expiries[this.expiry] };
  }
}

class GreekLadder extends ChainChart {
  options(c, w, h, rows, forward, data) {
    const by = new Map();
    for (const r of rows) { const one = by.get(r.strike) || {}; one[r.sign > 0 ? "call" : "put"] = r; by.set(r.strike, one); }
    const all = [...by.entries()].sort((a, b) => a[0] - b[0]), room = Math.max(1, Math.floor((h - HEAD) / ROW));
    let at = all.findIndex(([k]) => k >= (forward ?? all[all.length >> 1][0]));
    if (at < 0) at = all.length - 1;
    const first = Math.max(0, Math.min(all.length - room, at - (room >> 1))), shown = all.slice(first, first + room);
    const names = w < 520 * SCALE ? ["delta", "vega"] : ["delta", "gamma", "vega", "theta"], middle = Math.round(72 * SCALE), wide = (w - middle) / (2 * names.length), mid = Math.round(names.length * wide);
    const heads = { delta: "Δ", gamma: "Γ", vega: "Vega", theta: "Θ" };
    const put = (side, i) => (side === "call" ? (names.length - i) * wide : mid + middle + (i + 1) * wide) - 6;
    for (const side of ["call", "put"]) names.forEach((name, i) => label(c, SMALL, heads[name], put(side, i), BASE, T.text3, "right"));
    label(c, SMALL, "C  Strike  P", mid + middle / 2, BASE, T.text3, "center");
    box(c, 0, HEAD - 1, w, 1, T.line);
    shown.forEach(([strike, pair], k) => {
      const y = HEAD + k * ROW, base = y + BASE, money = first + k === at;
      box(c, mid, y, middle, ROW - 1, money ? T.select : T.lift);
      label(c, money ? BOLD : VALUE, number(strike), mid + middle / 2, base, T.text, "center");
      for (const side of ["call", "put"]) {
        const r = pair[side];
        if (!r) continue;
        if (r.position) dot(c, side === "call" ? mid - 2 : mid + middle + 3, y + ROW / 2, 2, T.focus);
        names.forEach((name, i) => { if (r[name] === r[name]) label(c, VALUE, name === "delta" ? num(r[name], 2) : signedNumber(r[name]).replace("+", ""), put(side, i), base, name === "delta" ? (r.delta >= 0 ? T.up : T.down) : T.text2, "right"); });
      }
    });
    this.told = { rungs: shown.length, expiry: data.facts.expiries[this.expiry] };
  }
}

// Columns of the figure `holdings`.
function holdings({ n, columns: [kind, book, cls, row, net, gross, pnl] }, of) {
  const out = [];
  for (let i = 0; i < n; i++) if (kind[i] === of) out.push({ book: book[i], cls: cls[i], row: row[i], net: net[i], gross: gross[i], pnl: pnl[i] });
  return out;
}
const tint = (v, share) => mix(T.panel, v > 0 ? T["up-wash"] : T["down-wash"], Math.min(1, Math.abs(share) ** 0.6) || 0);

class BookHeat extends FigureChart {
  constructor(el, spec, desk) { super(el, spec, desk, 400); this.measure = "pnl"; }
  absence() { return "No position"; }
  wish() { return { figure: "holdings" }; }

  picture(c, w, h, data) {
    const cells = holdings(data, 0), books = [...new Set(cells.map((k) => k.book))].sort((a, b) => a - b), classes = [...new Set(cells.map((k) => k.cls))].sort((a, b) => a - b);
    if (!cells.length) return this.say(c, "No position", w, h);
    const left = Math.min(118 * SCALE, w * 0.25), cw = Math.floor((w - left) / (classes.length + 1)), high = Math.min(Math.round(1.3 * ROW), Math.floor((h - HEAD) / (books.length + 1)));
    const of = this.measure, at = new Map(cells.map((k) => [k.book * 64 + k.cls, k[of]])), most = Math.max(...cells.map((k) => Math.abs(k[of]))) || 1, total = cells.reduce((a, k) => a + k[of], 0);
    // One scale for all, the finest in which the longest has room; without room for it tints are left.
    const longest = [most, -most, total], fits = ([scale, , places]) => longest.every((v) => width(VALUE, signed(v / scale, places)) < cw - 6);
    const scales = of === "pnl" ? [[1e3, "k", 0], [1e6, "M", 1]] : [[1e6, "M", 1], [1e6, "M", 0], [1e9, "bn", 2]], [scale, unit, places] = scales.find(fits) || scales.at(-1);
    this.onUnit?.("USD " + thousands(unit));
    const head = (s, i) => { if (width(SMALL, s) < cw) label(c, SMALL, s, left + (i + 1) * cw - 4, BASE, T.text3, "right"); };
    classes.forEach((k, i) => head(this.spec.codes[k], i));
    head("Sum", classes.length);
    box(c, 0, HEAD - 1, w, 1, T.line);
    const say = (v, x, y, font) => { const s = signed(v / scale, places); if (width(font, s) < cw - 3) label(c, font, s, x, y, isNought(s) ? T.text3 : T.text, "right"); };
    [...books, -1].forEach((book, j) => {
      const y = HEAD + j * high, base = y + high / 2 + 4 * SCALE, name = book < 0 ? "Sum" : this.desk.names.book(book, this.spec.books);
      if (book < 0) box(c, 0, y, w, high, T.lift);
      label(c, book < 0 ? BOLD : VALUE, cut(VALUE, name, left - 12), PAD, base, T.text2);
      let sum = 0;
      classes.forEach((k, i) => {
        const v = book < 0 ? books.reduce((a, b) => a + (at.get(b * 64 + k) || 0), 0) : at.get(book * 64 + k);
        if (v === undefined) return;
        sum += v;
        if (book >= 0) box(c, left + i * cw, y, cw - 1, high - 1, tint(v, v / most));
        say(v, left + (i + 1) * cw - 4, base, book < 0 ? BOLD : VALUE);
      });
      say(sum, left + (classes.length + 1) * cw - 4, base, BOLD);
    });
    this.told = { books: books.length, classes: classes.length, sum: total };
  }
}

class PositionTreemap extends FigureChart {
  constructor(el, spec, desk) {
    super(el, spec, desk, 400);
    el.addEventListener("click", (e) => this.hit(e));
    this.byKeys = new PointKeys(this, el, desk, spec.title || "Positions");
  }
  choices() { return (this.cells || []).map(([item]) => item.row); }
  absence() { return "No position"; }
  wish() { return { figure: "holdings" }; }

  picture(c, w, h, data) {
    const items = holdings(data, 1).map((k) => ({ ...k, v: k.gross })).filter((k) => k.v > 0).sort((a, b) => b.v - a.v), cells = [];
    if (!items.length) return this.say(c, "No position", w, h);
    split(items, 0, 0, w, h, cells);
    this.cells = cells;
    for (const [item, X, Y, W, H] of cells) {
      const x = Math.round(X), y = Math.round(Y), cw = Math.round(X + W) - x - 1, ch = Math.round(Y + H) - y - 1;
      box(c, x, y, cw, ch, mix(T.lift, item.pnl > 0 ? T["up-wash"] : T["down-wash"], Math.min(1, Math.abs((item.pnl / item.v) * 40) ** 0.6) || 0));
      if (item.row === this.row) frame(c, x, y, cw, ch, T.focus);
      const name = this.desk.instruments.get(item.row)?.symbol || "#" + item.row, fits = (font, s) => width(font, s) + 8 < cw;
      if (ch > 14 && cw > 34) label(c, SMALL_BOLD, cut(SMALL_BOLD, name, cw - 8), x + 4, y + 12, T.text);
      const figure = signed(item.pnl / 1e3) + " " + thousands("k"), size = (item.net < 0 ? MINUS : "") + num(item.v / 1e6, 1) + " M";
      if (ch > 28 && fits(SMALL, figure)) label(c, SMALL, figure, x + 4, y + 25, T.text);
      if (ch > 41 && fits(SMALL, size)) label(c, SMALL, size, x + 4, y + 38, T.text2);
    }
    this.told = { positions: items.length };
  }

  follow(row) { super.follow(row); this.touch(); }
  hit(e) {
    const box = this.surface.canvas.getBoundingClientRect(), [x, y] = [e.clientX - box.x, e.clientY - box.y];
    const one = this.cells?.find(([, X, Y, W, H]) => x >= X && x < X + W && y >= Y && y < Y + H);
    if (one) this.desk.selectInstrument(one[0].row);
  }
}

function buttons(panel, name, options, chosen, choose) {
  panel.tools.append(el("div", { class: "sets", role: "group", "aria-label": name }, ...options.map(([value, text]) => el("button", { "aria-pressed": String(value === chosen), onclick: (e) => {
    e.currentTarget.parentNode.childNodes.forEach((b) => b.setAttribute("aria-pressed", String(b === e.currentTarget)));
    choose(value);
  } }, text))));
}

const FIGURE_PANELS = {
  candles: (panel, desk) => spans(panel, new CandleChart(panel.body, panel.spec, desk)),
  lines: (panel, desk) => spans(panel, new ComparedChart(panel.body, panel.spec, desk)),
  pnl: (panel, desk) => {
    const chart = spans(panel, new BookPnl(panel.body, panel.spec, desk));
    const menu = el("select", { "aria-label": "Book", onchange: () => { chart.book = +menu.value; chart.drawn = -1e9; chart.touch(); desk.wake(); } },
      el("option", { value: -1 }, "Fund"), ...panel.spec.books.map((name, id) => name && el("option", { value: id }, name)).filter(Boolean));
    panel.tools.prepend(menu);
    return chart;
  },
  depth: (panel, desk) => new DepthLadder(panel.body, panel.spec, desk),
  heatmap: (panel, desk) => {
    const chart = new BookHeat(panel.body, panel.spec, desk);
    chart.onUnit = (unit) => put(panel.note, unit);
    buttons(panel, "Measure", [["pnl", "P&L"], ["net", "Net"], ["gross", "Gross"]], "pnl", (value) => { chart.measure = value; chart.drawn = -1e9; chart.touch(); desk.wake(); });
    return chart;
  },
  position_map: (panel, desk) => new PositionTreemap(panel.body, panel.spec, desk),
};
