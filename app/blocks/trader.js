// Law: the panels of traders. Each follows the instrument that is selected; figures come whole from
// the server, and a table of them is painted cell by cell like every other.

// A table of what a figure holds: `itemsOf(data)` are its rows, a column says `of(row)`.
class FigureSheet extends Sheet {
  constructor(panel, desk, columns, options = {}) {
    super(panel.body, columns.map((k) => ({ width: 60, align: "right", dx: PAD, drop: 0, source: "", inputs: [], frac: 0, ...k, say: (cell, row, v, column, kept) => this.sayCell(cell, row, v, column, kept) })), { desk, scroll: options.scroll !== false });
    Object.assign(this, { panel, spec: panel.spec, desk, data: null, of: -1, items: [], top: 0, flashes: new Map() });
    this.void = panel.body.appendChild(el("div", { class: "void flat" }, el("p", {}, "Select a line")));
    desk.figures.followers.push(this);
    panel.body.addEventListener("wheel", (e) => this.wheel(e), { passive: false });
    panel.body.addEventListener("pointerdown", (e) => { const b = panel.body.getBoundingClientRect(), at = this.hit(e.clientX - b.left, e.clientY - b.top), line = at && at.line >= 0 ? this.top + at.line : -1; this.pick(line, at?.column); });
    this.byKeys = new SheetKeys(this, panel.body, panel.spec.title);
  }

  wish() { return null; }
  itemsOf() { return []; }
  absence() { return "Nothing to show"; }
  instrumentOf(item) { return item.row; }
  follow(row) { if (row !== this.of) { this.of = row; this.desk.figures.want(this, this.wish()); } this.touch(-1); }
  count() { return this.items.length; }
  pick(at, column) { if (this.items[at]) this.desk.selectInstrument(this.instrumentOf(this.items[at], column)); }

  took(data) {
    this.data = data;
    this.items = data ? this.itemsOf(data) : [];
    this.void.hidden = this.items.length > 0;
    put(this.void.firstChild, this.of < 0 ? "Select a line" : data ? this.absence(data) : "Loading");
    this.top = Math.max(0, Math.min(this.top, this.items.length - (this.lines || 1)));
    this.touch(-1);
    this.desk.wake();
  }

  rowAt(line) {
    const item = this.items[this.top + line];
    if (!item) return null;
    const row = this.row.fill(item.id ?? item.row, this.top + line, this.desk.instruments.get(item.row), 0, NaN, item.row === this.desk.instrument && !this.sided);
    row.item = item;
    return row;
  }
  valueOf(row, column) { return column.of ? column.of(row.item) : NaN; }

  // A quote that moves flashes as in every grid.
  moved(key, v, now) {
    const old = this.flashes.get(key);
    if (!old) this.flashes.set(key, { v, at: -1e9, rise: 0 });
    else if (v === v && v !== old.v) { if (old.v === old.v && now - old.at > FLASH_GAP_MS) { old.at = now; old.rise = v > old.v ? 1 : -1; } old.v = v; }
  }
  tick(cell, row, column, now) {
    const one = column.flash ? this.flashes.get(column.name + ":" + row.id) : null, since = one ? now - one.at : 1e9;
    if (since >= FLASH_MS) return false;
    if (REDUCED.matches) cell.marks |= one.rise > 0 ? M_STEP_UP : M_STEP_DOWN;
    else { cell.flash = (one.rise > 0 ? 1 : 5) + Math.min(3, Math.floor(since / 100)); cell.color = TEXT; }
    return true;
  }

  layout() { super.layout(); this.onLayout?.(); }
  wheel(e) {
    const top = Math.max(0, Math.min(this.count() - this.lines, this.top + Math.sign(e.deltaY) * 2));
    if (top === this.top || this.count() <= this.lines) return;
    e.preventDefault();
    this.top = top;
    this.touch(-1);
    this.desk.wake();
  }
}
FigureSheet.prototype.paintScroll = BookTree.prototype.paintScroll;

// ---- options: the chain of one expiry ---------------------------------------------------------
// From the strike outwards; what goes first where the panel is narrow stands last in LEAST.
const CHAIN_SIDE = [["bid", "Bid", 66], ["ask", "Ask", 66], ["iv", "IV %", 54], ["delta", "Delta", 54], ["gamma", "Gamma", 66], ["vega", "Vega", 58], ["theta", "Theta", 60], ["position", "Pos", 62]];
const LEAST = ["gamma", "theta", "vega", "delta", "position", "iv"];

class ChainSheet extends FigureSheet {
  constructor(panel, desk) {
    const side = (name, sign) => CHAIN_SIDE.map(([part, head, width]) => ({ name: name + "_" + part, head, width, part, sign, flash: part === "bid" || part === "ask", of: (item) => item[name]?.[part] ?? NaN }));
    const strike = { name: "strike", head: "Strike", width: 76, align: "center", flex: false, part: "strike", sign: 0, of: (item) => item.strike };
    const [bid, ask, ...rest] = side("call", 1);
    super(panel, desk, [...rest.reverse(), bid, ask, strike, ...side("put", -1)]);
    [this.expiry, this.sided, this.follow_at] = [-1, true, true];
  }

  // Both sides lose the same columns, so that the strikes stay in the middle; what is spare widens all.
  choose(room) {
    let columns = this.all.map(sized);
    const wide = () => columns.reduce((sum, k) => sum + k.width, 0);
    for (const part of LEAST) if (wide() > room) columns = columns.filter((k) => k.part !== part);
    const spare = Math.max(0, Math.floor((room - wide()) / columns.length));
    return columns.map((k) => ({ ...k, width: k.width + Math.min(28, spare) }));
  }

  wish() { return this.of < 0 ? null : { figure: "chain", row: this.of }; }
  follow(row) { const kin = this.data?.columns[13]?.includes(row) || row === this.data?.facts.under; if (!kin) this.expiry = -1; super.follow(kin ? this.of : row); }
  absence(data) { return "No option on " + (data.facts.symbol || "this line"); }

  itemsOf(data) {
    const { expiries, symbol, chosen } = data.facts, now = performance.now();
    if (this.expiry < 0 || this.expiry >= expiries.length) { this.expiry = chosen || 0; this.follow_at = true; }
    this.onExpiries?.(expiries, this.expiry);
    put(this.panel.title, symbol ? `Chain ${symbol}` : "Chain");
    const forward = data.facts.forwards[this.expiry], by = new Map();
    for (const r of chainRows(data, this.expiry)) {
      const one = by.get(r.strike) || { id: r.strike, strike: r.strike };
      const side = r.sign > 0 ? "call" : "put";
      one[side] = { ...r, iv: r.iv_bid === r.iv_bid && r.iv_ask === r.iv_ask ? (r.iv_bid + r.iv_ask) / 2 : r.smile };
      one.row = one.call?.row ?? r.row;
      by.set(r.strike, one);
      this.moved(`${side}_bid:${r.strike}`, r.bid, now);
      this.moved(`${side}_ask:${r.strike}`, r.ask, now);
    }
    const all = [...by.values()].sort((a, b) => a.strike - b.strike);
    this.money = forward == null ? null : all.reduce((a, b) => (Math.abs(b.strike - forward) < Math.abs(a.strike - forward) ? b : a), all[0])?.strike ?? null;
    this.forward = forward;
    put(this.panel.note, forward == null ? riskAbsence(this.desk) || "calls | puts" : `calls | puts · forward ${number(forward)}`);
    if (this.follow_at && all.length && this.lines) {
      this.follow_at = false;
      this.top = Math.max(0, Math.min(all.length - this.lines, all.findIndex((k) => k.strike === this.money) - (this.lines >> 1)));
    }
    this.told = { strikes: all.length, expiry: expiries[this.expiry], money: this.money };
    return all;
  }
  onLayout() { if (this.data && this.follow_at) this.took(this.data); }

  instrumentOf(item, column) { return (column.sign < 0 ? item.put : item.call)?.row ?? item.call?.row ?? item.put?.row; }

  sayCell(cell, row, v, column) {
    const { item } = row, { part, sign } = column, option = sign > 0 ? item.call : item.put, ref = option ? this.desk.instruments.get(option.row) : null;
    if (part === "strike") {
      cell.text = number(v, 4);
      cell.font = BOLD;
      cell.marks |= v === this.money ? M_SELECTED : M_GROUP;
      return;
    }
    const inside = this.forward != null && (sign > 0 ? item.strike < this.forward : item.strike > this.forward);
    if (inside) cell.marks |= M_GROUP;
    if (option && option.row === this.desk.instrument) cell.marks |= M_SELECTED;
    if (part === "bid" || part === "ask") {
      cell.text = price(v, ref ? ref.decimals : 2, ref ? ref.price_format : 0);
      if (option && option.bid > option.ask) cell.marks |= M_CROSSED;
    } else if (part === "position") { cell.text = v ? (v > 0 ? "+" : "") + quantity(v) : ""; cell.color = hueIndex(v); cell.font = BOLD; }
    else {
      cell.text = part === "gamma" ? num(v, 5) : part === "delta" || part === "iv" || part === "theta" ? num(v, 2) : number(v, 2);
      cell.color = part === "iv" || part === "delta" ? TEXT : TEXT2;
    }
  }
}

// The volatility of the strike next to the forward, of each expiry.
class VolTermChart extends ChainChart {
  picture(c, w, h, data) {
    const { expiries, symbol, chosen, forwards } = data.facts, now = this.desk.health.now();
    if (this.expiry < 0) this.expiry = chosen || 0;
    if (!expiries.length) return this.say(c, "No option on " + (symbol || "this line"), w, h);
    const points = expiries.map((day, k) => {
      const rows = chainRows(data, k).filter((r) => r.smile === r.smile), f = forwards[k];
      if (!rows.length || f == null) return null;
      const at = rows.reduce((a, b) => (Math.abs(b.strike - f) < Math.abs(a.strike - f) ? b : a));
      return { day, k, days: Math.max(0.5, (Date.parse(day) - now) / 864e5), vol: at.smile };
    }).filter(Boolean);
    if (points.length < 2) return this.say(c, riskAbsence(this.desk) || "Volatility is known at fewer than two expiries", w, h);
    const [lo, hi] = reach(points.map((p) => p.vol)), right = w - AXIS, foot = h - 18, top = 14, root = (d) => Math.sqrt(d), d0 = root(points[0].days), d1 = root(points[points.length - 1].days);
    const X = (d) => 16 + ((root(d) - d0) / (d1 - d0 || 1)) * (right - 44), Y = (v) => top + ((hi - v) / (hi - lo)) * (foot - 8 - top);
    box(c, 0, foot, w, 1, T.line);
    PriceChart.prototype.axis.call(this, c, right, lo, hi, foot - 8 - top, Y, (v) => num(v, hi - lo < 5 ? 2 : 1), []);
    line(c, points.map((p) => [X(p.days), Y(p.vol)]), T.text2, 1.5);
    let free = -1e9;
    for (const p of points) {
      const x = Math.round(X(p.days)), y = Math.round(Y(p.vol)), mine = p.k === this.expiry, s = Math.round(p.days) + " d";
      box(c, x - (mine ? 4 : 2), y - (mine ? 4 : 2), mine ? 8 : 4, mine ? 8 : 4, mine ? T.focus : T.text2);
      if (mine) label(c, SMALL_BOLD, num(p.vol, 2), x + 8, Y(p.vol) - 6, T.text);
      if (x - free > 34) { label(c, SMALL, s, x, h - 5, T.text3, "center"); free = x; }
    }
    this.told = { expiries: points.length };
  }
}

// ---- the term of a product --------------------------------------------------------------------
function kinOf({ n, columns, facts }) {
  const names = facts.columns;
  return Array.from({ length: n }, (_, i) => Object.fromEntries(names.map((name, k) => [name, columns[k][i]])));
}

class TermChart extends FigureChart {
  constructor(panel, desk) {
    super(panel.body, panel.spec, desk, 300);
    this.panel = panel;
    panel.body.addEventListener("click", (e) => {
      const b = this.surface.canvas.getBoundingClientRect(), x = e.clientX - b.x, y = e.clientY - b.y;
      const near = (this.dots || []).reduce((a, p) => ((p.x - x) ** 2 + (p.y - y) ** 2 < ((a?.x ?? 1e9) - x) ** 2 + ((a?.y ?? 1e9) - y) ** 2 ? p : a), null);
      if (near && (near.x - x) ** 2 + (near.y - y) ** 2 < 900) this.desk.selectInstrument(near.row);
    });
    this.byKeys = new PointKeys(this, panel.body, desk, panel.spec.title || "Term");
  }
  choices() { return (this.dots || []).map((p) => p.row); }
  // One of a term follows another without asking anew.
  follow(row) { if (this.data && this.data.columns[0]?.includes(row)) { this.row = row; this.touch(); } else super.follow(row); }
  wish() { return this.row < 0 ? null : { figure: "term", row: this.row, ...(this.spec.yields ? { yields: true } : {}) }; }

  picture(c, w, h, data) {
    const { family, asset_class: kind } = data.facts, spread = this.spec.spreads && kind === 9, bond = kind === 8 || spread || (kind === 9 && this.spec.yields), name = spread ? "z_spread_bp" : bond ? "yield" : "mark", now = this.desk.health.now();
    put(this.panel.title, family ? `${spread ? "Spreads" : bond ? "Yields" : kind === 9 ? "Prices" : "Term"} ${family}` : "Term");
    const all = kinOf(data).filter((k) => k.t_ms === k.t_ms && k[name] === k[name]).map((k) => ({ ...k, v: k[name], days: Math.max(1, (k.t_ms - now) / 864e5) })).sort((a, b) => a.days - b.days);
    put(this.panel.note, all.length ? `${spread ? "bp over the curve" : bond ? "% a year" : "mark, and the close before"} · ${all.length} ${bond ? "bonds" : "contracts"}` : "");
    this.dots = [];
    if (all.length < 2) return this.say(c, data.n ? (bond ? riskAbsence(this.desk) || (spread ? "No spread is known yet" : kind === 9 ? "An index is dealt by its spread: select a bond for yields" : "No yield is known yet") : "One expiry alone: there is no term") : "This instrument has no term", w, h);
    const before = all.map((k) => (bond || !(k.change > -100) ? NaN : k.v / (1 + k.change / 100))), [lo, hi] = reach([...all.map((k) => k.v), ...before]);
    const ref = this.desk.instruments.get(all[0].row), say = (v) => (bond ? num(v, spread ? 0 : 2) : price(v, ref ? Math.min(ref.decimals, 4) : 2, ref ? ref.price_format : 0));
    const right = w - AXIS, foot = h - 18, top = 16, root = (d) => Math.sqrt(d), d0 = root(all[0].days), d1 = root(all[all.length - 1].days);
    const X = (d) => 18 + ((root(d) - d0) / (d1 - d0 || 1)) * (right - 52), Y = (v) => top + ((hi - v) / (hi - lo)) * (foot - 10 - top);
    box(c, 0, foot, w, 1, T.line);
    PriceChart.prototype.axis.call(this, c, right, lo, hi, foot - 10 - top, Y, say, []);
    const old = all.map((k, i) => [X(k.days), Y(before[i])]).filter(([, y]) => y === y);
    if (old.length > 1) line(c, old, T.text3, 1, [2, 3]);
    line(c, all.map((k) => [X(k.days), Y(k.v)]), T.text2, 1.5);
    let free = -1e9, above = -1e9;
    all.forEach((k, i) => {
      const x = Math.round(X(k.days)), y = Math.round(Y(k.v)), mine = k.row === this.row, tone = bond || !(before[i] === before[i]) ? T.text2 : k.v > before[i] ? T.up : k.v < before[i] ? T.down : T.text2, r = mine ? 4 : 2;
      box(c, x - r, y - r, 2 * r, 2 * r, mine ? T.focus : tone);
      this.dots.push({ x, y, row: k.row });
      const when = k.days > 900 ? Math.round(k.days / 365) + " y" : new Date(k.t_ms).toISOString().slice(2, 7);
      if (x - free > 42) { label(c, SMALL, when, x, h - 5, T.text3, "center"); free = x; }
      if (mine) { const s = (this.desk.instruments.get(k.row)?.symbol || "") + " " + say(k.v), half = width(SMALL_BOLD, s) / 2; label(c, SMALL_BOLD, s, Math.max(half + 2, Math.min(right - half - 2, x)), Math.max(12, y - 9), T.text, "center"); above = x; }
      else if (k.position) box(c, x - 1, y + 5, 2, 5, T.text);
    });
    this.told = { points: all.length, family };
  }
}

// ---- a coin at its venues ---------------------------------------------------------------------
class BasisSheet extends FigureSheet {
  constructor(panel, desk) {
    super(panel, desk, [
      { name: "symbol", head: "Symbol", width: 112, align: "left", flex: true, of: () => NaN },
      { name: "mark", head: "Price", width: 84, of: (k) => k.mark },
      { name: "basis", head: "Basis bp", width: 62, of: (k) => k.basis },
      { name: "change", head: "Chg %", width: 54, drop: 1, of: (k) => k.change },
      { name: "hours", head: "Every", width: 44, drop: 3, of: (k) => this.desk.instruments.get(k.row)?.funding_hours || NaN },
      { name: "funding", head: "Funding", width: 66, of: (k) => k.funding },
      { name: "position", head: "Position", width: 70, drop: 2, of: (k) => k.position },
    ]);
  }
  follow(row) { if (this.data?.columns[0]?.includes(row)) { this.touch(-1); this.desk.wake(); } else super.follow(row); }
  wish() { return this.of < 0 ? null : { figure: "term", row: this.of }; }
  absence() { return "This instrument is no coin"; }

  itemsOf(data) {
    const all = data.facts.asset_class >= 10 ? kinOf(data) : [], spot = all.find((k) => this.desk.instruments.get(k.row)?.asset_class === 10);
    put(this.panel.title, all.length ? `Basis and funding ${data.facts.family}` : "Basis and funding");
    this.told = { venues: all.length };
    return all.map((k) => ({ ...k, basis: spot && k !== spot ? (k.mark / spot.mark - 1) * 1e4 : NaN })).sort((a, b) => (a.basis === a.basis) - (b.basis === b.basis) || a.row - b.row);
  }

  sayCell(cell, row, v, column) {
    const ref = row.instrument;
    if (column.name === "symbol") { cell.text = ref?.symbol || "#" + row.id; return; }
    cell.text = { mark: () => price(v, ref ? ref.decimals : 2, 0), basis: () => signed(v, 1), change: () => signed(v, 2), hours: () => (v > 0 ? num(v) + " h" : ""), funding: () => signed(v), position: () => quantity(v) }[column.name]();
    cell.color = ["basis", "change", "funding"].includes(column.name) ? (isNought(cell.text) ? ZERO : hueIndex(v)) : column.name === "position" && !v ? TEXT3 : TEXT;
  }
}

// ---- tiles ------------------------------------------------------------------------------------
// Head, column, and how it is told; by class, the first ones first.
const PRICES = new Set("bid ask last mark mid vwap open high low underlying_price forward model_price".split(" "));
const SHARED_TILES = [["Last", "last"], ["Change", "change"], ["Bid", "bid"], ["Ask", "ask"], ["Spread", "spread"], ["VWAP", "vwap"], ["vs VWAP", "vs_vwap"], ["Volume", "volume"], ["EWMA vol", "volatility"], ["Position", "position"], ["P&L", "pnl"], ["Mark", "mark"]];
const OPTION_TILES = [["Bid", "bid"], ["Ask", "ask"], ["IV", "implied"], ["Smile", "smile"], ["Delta", "delta"], ["Gamma", "gamma"], ["Vega", "vega"], ["Theta", "theta"], ["Model", "model_price"], ["Underlying", "underlying_price"], ["Position", "position"], ["P&L", "pnl"]];
const RATE_TILES = [["Bid", "bid"], ["Ask", "ask"], ["Yield", "yield"], ["Z spread", "z_spread_bp"], ["Duration", "duration"], ["DV01 /M", "dv01"], ["CS01 /M", "cs01"], ["Accrued", "accrued"], ["Change", "change"], ["Position", "position"], ["P&L", "pnl"], ["Mark", "mark"]];
const FUTURE_TILES = SHARED_TILES.map((tile) => (tile[1] === "volatility" ? ["DV01", "dv01"] : tile));
const tilesOf = ({ asset_class: kind, strike }) => (strike != null ? OPTION_TILES : kind === 4 ? FUTURE_TILES : kind === 8 || kind === 9 ? RATE_TILES : SHARED_TILES);

class TileChart extends FigureChart {
  constructor(panel, desk) { super(panel.body, panel.spec, desk, 150); this.panel = panel; }
  wish() { return this.row < 0 ? null : { figure: "quote", row: this.row }; }

  picture(c, w, h, data) {
    const ref = this.desk.instruments.get(this.row), at = Object.fromEntries(data.facts.columns.map((name, k) => [name, data.columns[k][0]]));
    if (!data.n || !ref) return this.say(c, "No quote yet", w, h);
    const age = (this.desk.health.now() - at.ts_event) / 1e3, halted = at.state & HALTED, stale = age > (ref.stale_s || STALE_S[ref.asset_class] || 10) && !(at.state & (HALTED | CLOSED));
    put(this.panel.title, ref.symbol);
    this.tagged = [halted ? "HALT" : at.state & CLOSED ? "SHUT" : at.state & AUCTION ? "AUCTION" : stale ? `STALE ${duration(age)}` : at.state & CROSSED ? "CROSSED" : "", halted ? "crit" : stale || at.state & CROSSED ? "warn" : "mute"];
    put(this.panel.note, CLASS_NAMES[ref.asset_class] + (ref.venue ? " · " + ref.venue : ""));
    const high = 2 * ROW, range = at.high === at.high && at.low === at.low && at.high > at.low && h >= 4 * high, rows = Math.max(1, Math.floor((h - (range ? 1.8 * ROW : 0)) / high)), tiles = tilesOf(ref), across = Math.max(2, Math.min(6, Math.ceil(tiles.length / rows), Math.floor(w / (78 * SCALE)))), step = w / across;
    tiles.slice(0, rows * across).forEach(([head, name], k) => {
      const x = Math.round((k % across) * step), y = Math.floor(k / across) * high, v = name === "spread" ? ((at.ask - at.bid) / at.mid) * 1e4 : at[name], [text, color] = this.figure(name, v, ref);
      if (k % across) box(c, x, y, 1, high, T.line);
      box(c, x, y + high - 1, Math.round(step), 1, T.line);
      label(c, SMALL, head, x + PAD, y + BASE, T.text3);
      label(c, stale ? ITALIC : k < 4 ? BOLD : VALUE, cut(BOLD, text, step - 12), x + PAD, y + ROW + BASE - 3, stale ? T.text3 : halted ? T.text2 : color);
    });
    if (range) this.range(c, w, h, at, ref);
    this.told = { row: this.row, tiles: Math.min(tiles.length, rows * across), stale };
  }

  figure(name, v, ref) {
    if (!(v === v)) return ["", T.text];
    if (PRICES.has(name)) return [price(v, ref.decimals, ref.price_format), T.text];
    if (name === "change") return [signed(v, 2) + " %", hue(v)];
    if (name === "vs_vwap" || name === "z_spread_bp") return [signed(v, 1) + " bp", name === "vs_vwap" ? hue(v) : T.text];
    if (name === "spread") return [num(v, 1) + " bp", v < 0 ? T.warn : T.text];
    if (name === "pnl") return [signed(v / 1e3, Math.abs(v) < 1e4 ? 1 : 0) + " " + thousands("k"), hue(v)];
    if (["volatility", "implied", "smile", "yield"].includes(name)) return [num(v, 2) + " %", T.text];
    if (name === "volume" || name === "position") return [quantity(v), T.text];
    if (name === "dv01" || name === "cs01") return [tilesOf(ref) === RATE_TILES ? number(v * 1e6, 1) : number(v, 5), T.text]; // A bond's is of one unit of face.
    return [number(v, 5), T.text];
  }

  // Low to high of the session, where the last stands between them, and the VWAP.
  range(c, w, h, at, ref) {
    const y = h - 14, x0 = PAD, x1 = w - PAD, X = (v) => Math.round(x0 + ((v - at.low) / (at.high - at.low)) * (x1 - x0)), say = (v) => price(v, ref.decimals, ref.price_format);
    box(c, x0, y, x1 - x0, 4, T.line);
    if (at.last >= at.low && at.last <= at.high) { box(c, x0, y, X(at.last) - x0, 4, T.edge); box(c, X(at.last) - 1, y - 4, 3, 12, T.text); }
    if (at.vwap >= at.low && at.vwap <= at.high) box(c, X(at.vwap) - 1, y - 2, 2, 8, T.vwap);
    label(c, SMALL, "Low " + say(at.low), x0, y - 7, T.text3);
    label(c, SMALL, "High " + say(at.high), x1, y - 7, T.text3, "right");
    label(c, SMALL, "VWAP", w / 2, y - 7, T.vwap, "center");
  }
}

// ---- pairs: the big figure small, the pips large ----------------------------------------------
const PIPS = 26;
class PairTiles extends Chart {
  constructor(panel, desk) {
    super(panel.body, 150);
    Object.assign(this, { panel, spec: panel.spec, desk, feed: desk.feeds[panel.spec.feeds.main], cells: [] });
    this.feed.listeners.push(() => this.touch());
    desk.wishes.push(() => { const feed = desk.feedNumber(this.feed); desk.control({ type: "filter", feed, classes: this.spec.classes, text: "" }); });
    panel.body.addEventListener("click", (e) => {
      const b = this.surface.canvas.getBoundingClientRect(), one = this.cells.find((k) => e.clientX - b.x >= k.x && e.clientX - b.x < k.x + k.w && e.clientY - b.y >= k.y && e.clientY - b.y < k.y + k.h);
      if (one) desk.selectInstrument(one.row);
    });
    this.byKeys = new PointKeys(this, panel.body, desk, panel.spec.title || "Pairs");
  }
  choices() { return this.cells.map((one) => one.row); }
  follows() { this.touch(); }
  ready() { return Array.from(this.feed.rows).filter((row) => this.desk.instruments.get(row)?.asset_class === this.spec.classes[0] && this.desk.instruments.get(row).strike == null); }

  draw(c, w, h) {
    const rows = this.ready(), { desk, feed } = this;
    this.cells = [];
    if (!rows.length) return this.say(c, feed.total < 0 ? "Loading" : "No pair is traded", w, h);
    const across = Math.max(1, Math.floor(w / 176)), wide = Math.floor(w / across), high = 78, down = Math.max(1, Math.floor(h / high)), shown = rows.filter((row) => !desk.instruments.get(row).expiry).concat(rows.filter((row) => desk.instruments.get(row).expiry)).slice(0, across * down);
    shown.forEach((row, k) => {
      const x = (k % across) * wide, y = Math.floor(k / across) * high, ref = desk.instruments.get(row), slot = feed.slotOf(row), get = (name) => feed.get(slot, name), mine = row === desk.instrument;
      const state = get("state") || 0, age = (desk.health.now() - get("ts_event")) / 1e3, stale = age > (STALE_S[7] || 30) && !(state & (HALTED | CLOSED));
      if (mine) box(c, x, y, wide - 1, high - 1, T.select);
      if (mine) box(c, x, y, 2, high - 1, T.focus);
      box(c, x + wide - 1, y, 1, high, T.line);
      box(c, x, y + high - 1, wide, 1, T.line);
      label(c, BOLD, cut(BOLD, ref.symbol, wide - 76), x + PAD, y + 16, stale ? T.text3 : T.text);
      const moved = get("change"), tone = stale ? T.text3 : hue(moved);
      label(c, SMALL, stale ? "stale " + duration(age) : signed(moved, 2) + " %", x + wide - PAD, y + 16, stale ? T.warn : tone, "right");
      const [bid, ask] = [get("bid"), get("ask")], d = ref.decimals, unit = 10 ** (1 - d), spread = (ask - bid) / unit;
      this.side(c, bid, d, x + PAD, y, wide / 2 - PAD, stale, feed, slot, "bid");
      this.side(c, ask, d, x + wide / 2 + 2, y, wide / 2 - PAD, stale, feed, slot, "ask");
      if (spread === spread) label(c, SMALL, num(spread, 1) + " pips", x + PAD, y + 70, spread < 0 ? T.warn : T.text3);
      const held = get("position");
      if (held) label(c, SMALL, (held > 0 ? "+" : "") + quantity(held), x + wide - PAD, y + 70, hue(held), "right");
      this.cells.push({ row, x, y, w: wide, h: high, text: price(bid, d, 0) });
    });
    this.told = { pairs: shown.length };
  }

  // 1.09 41 2: big figure, pips, and the tenth of a pip.
  side(c, v, decimals, x, y, room, stale, feed, slot, name) {
    const s = price(v, decimals, 0), body = s.slice(0, -3), pips = s.slice(-3, -1), tenth = s.slice(-1), i = slot * feed.width + feed.index(name);
    if (!s) return;
    const since = performance.now() - feed.changed[i], rise = feed.direction[i], color = stale ? T.text3 : since < 1000 && rise ? (rise > 0 ? T.up : T.down) : T.text;
    if (decimals < 3) { label(c, BOLD, s, x, y + 48, color); return; }
    const base = y + 50, after = x + width(VALUE, body) + 1;
    label(c, VALUE, body, x, base, stale ? T.text3 : T.text2);
    c.font = `600 ${PIPS}px ${T.font}`;
    c.textAlign = "left";
    c.fillStyle = color;
    c.fillText(pips, after, base);
    const end = after + c.measureText(pips).width + 2;
    label(c, SMALL, tenth, end, base - 10, stale ? T.text3 : T.text2);
  }
}

// ---- execution --------------------------------------------------------------------------------
class SlippageChart extends Chart {
  constructor(panel, desk) {
    super(panel.body, 500);
    Object.assign(this, { panel, desk, feed: desk.feeds[panel.spec.feeds.main], points: [] });
    this.feed.listeners.push(() => this.touch());
    panel.body.addEventListener("click", (e) => {
      const b = this.surface.canvas.getBoundingClientRect(), near = this.points.find((p) => Math.abs(p.x - e.clientX + b.x) < 6 && Math.abs(p.y - e.clientY + b.y) < 6);
      if (near) desk.selectInstrument(near.instrument);
    });
    this.byKeys = new PointKeys(this, panel.body, desk, panel.spec.title || "Slippage");
  }
  choices() { return [...new Set([...this.points].sort((a, b) => a.x - b.x).map((p) => p.instrument))]; }
  follows() { this.touch(); }

  draw(c, w, h) {
    const f = this.feed, all = [];
    for (let slot = 0; slot < f.rows.length; slot++) {
      const one = { worth: f.get(slot, "worth"), bp: f.get(slot, "arrival_bp"), usd: f.get(slot, "arrival_usd"), instrument: f.get(slot, "instrument") };
      if (one.worth > 0 && one.bp === one.bp) all.push(one);
    }
    this.points = [];
    if (!all.length) return this.say(c, "No order has been executed yet", w, h);
    const sizes = all.map((k) => Math.log10(k.worth)), x0 = Math.floor(Math.min(...sizes)), x1 = Math.max(x0 + 1, Math.ceil(Math.max(...sizes))), sorted = all.map((k) => Math.abs(k.bp)).sort((a, b) => a - b);
    // The scale holds 17 of 20 orders; those beyond stand at the edge, hollow.
    const most = Math.max(1, sorted[Math.floor(sorted.length * 0.85)] * 1.2), right = w - AXIS, foot = h - 18, top = 12, X = (v) => 10 + ((v - x0) / (x1 - x0)) * (right - 20), Y = (v) => top + ((most - v) / (2 * most)) * (foot - 6 - top);
    box(c, 0, foot, w, 1, T.line);
    PriceChart.prototype.axis.call(this, c, right, -most, most, foot - 6 - top, Y, (v) => signed(v, most < 5 ? 1 : 0), []);
    box(c, 0, Math.round(Y(0)), right, 1, T.edge);
    for (let p = x0; p <= x1; p++) label(c, SMALL, ["1", "10", "100", "1 k", "10 k", "100 k", "1 M", "10 M", "100 M"][p] || "", Math.max(16, Math.min(right - 16, X(p))), h - 5, T.text3, "center");
    for (const k of all) {
      const out = Math.abs(k.bp) > most, x = Math.round(X(Math.log10(k.worth))), y = Math.round(Y(Math.max(-most, Math.min(most, k.bp)))), mine = k.instrument === this.desk.instrument, color = k.bp > 0 ? T.down : k.bp < 0 ? T.up : T.zero;
      if (out) frame(c, x - 3, y - 3, 6, 6, color); else box(c, x - 2, y - 2, 5, 5, color);
      if (mine) frame(c, x - 5, y - 5, 11, 11, T.focus);
      this.points.push({ ...k, x, y });
    }
    const worth = all.reduce((s, k) => s + k.worth, 0), cost = all.reduce((s, k) => s + k.usd, 0), mean = (cost / worth) * 1e4;
    const y = Math.round(Y(Math.max(-most, Math.min(most, mean))));
    line(c, [[0, y + 0.5], [right, y + 0.5]], T.vwap, 1, [4, 3]);
    label(c, SMALL_BOLD, signed(mean, 2), right + 6, y + 4, T.vwap);
    this.told = { orders: all.length, mean };
    put(this.panel.note, `bp by USD traded · ${all.length} orders, mean ${signed(mean, 2)} bp · + is cost`);
  }
}

// An expiry chosen in one panel is that of all panels of the chain.
function expiryTabs(panel, chart, wide) {
  const choose = (k) => { for (const one of chart.desk.figures.followers) if ("expiry" in one) { one.expiry = k; one.follow_at = true; one.drawn = -1e9; one.took(one.data); } };
  const tabs = el("div", { class: "sets wide", role: "group", "aria-label": "Expiry" }), menu = el("select", { class: wide ? "slim" : "", "aria-label": "Expiry", onchange: () => choose(+menu.value) });
  const say = (day) => new Date(day + "T00:00Z").toLocaleDateString("en-GB", { day: "numeric", month: "short", year: "2-digit", timeZone: "UTC" });
  chart.onExpiries = (all, chosen) => {
    if (menu.known !== all.join()) {
      menu.known = all.join();
      menu.replaceChildren(...all.map((day, k) => el("option", { value: k }, say(day))));
      tabs.replaceChildren(...all.slice(0, 8).map((day, k) => el("button", { onclick: () => choose(k) }, say(day))));
    }
    if (menu.value !== String(chosen)) menu.value = String(chosen);
    tabs.childNodes.forEach((b, k) => b.setAttribute("aria-pressed", String(k === chosen)));
  };
  panel.tools.append(menu, ...(wide ? [tabs] : []));
  return chart;
}

Object.assign(FIGURE_PANELS, {
  tiles: (panel, desk) => new TileChart(panel, desk),
  chain: (panel, desk) => expiryTabs(panel, new ChainSheet(panel, desk), true),
  vol_term: (panel, desk) => new VolTermChart(panel.body, panel.spec, desk),
  smile: (panel, desk) => expiryTabs(panel, new SmileChart(panel.body, panel.spec, desk)),
  ladder: (panel, desk) => expiryTabs(panel, new GreekLadder(panel.body, panel.spec, desk)),
  term: (panel, desk) => new TermChart(panel, desk),
  basis: (panel, desk) => new BasisSheet(panel, desk),
  pairs: (panel, desk) => new PairTiles(panel, desk),
  slippage: (panel, desk) => new SlippageChart(panel, desk),
});
