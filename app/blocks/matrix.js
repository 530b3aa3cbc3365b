// Law: a matrix of scenarios and bars of key rates. Sign and number carry the message, tint and
// length repeat it; one scale for the whole picture, the present state ringed.

const MATRIX_TIMES = 1.1; // Of a row: tinted cells want air.

class ScenarioMatrix extends Chart {
  constructor(el, feed, desk) {
    super(el, 500);
    [this.feed, this.desk, this.rates] = [feed, desk, 0];
    feed.listeners.push(() => this.touch());
  }

  // {spots, vols, rates, at(spot, vol)}: what the table holds, by its own coordinates.
  grid() {
    const f = this.feed, all = { spot_pct: new Set(), vol_points: new Set(), rates_bp: new Set() }, cells = new Map();
    for (let slot = 0; slot < f.rows.length; slot++) {
      const [s, v, r] = ["spot_pct", "vol_points", "rates_bp"].map((name) => f.get(slot, name));
      if (!(s === s)) continue;
      all.spot_pct.add(s); all.vol_points.add(v); all.rates_bp.add(r);
      cells.set(`${s}:${v}:${r}`, f.get(slot, "pnl_usd"));
    }
    const list = (set, side) => [...set].sort((a, b) => side * (a - b));
    return { spots: list(all.spot_pct, 1), vols: list(all.vol_points, -1), rates: list(all.rates_bp, 1), at: (s, v) => cells.get(`${s}:${v}:${this.rates}`), cells };
  }

  draw(c, w, h) {
    const g = this.grid();
    this.cells = [];
    this.onGrid?.(g);
    if (!g.spots.length) return this.say(c, riskAbsence(this.desk) || this.desk.rights.absence() || "No scenario has been computed yet", w, h);
    const left = (w < 480 * SCALE ? 52 : 58) * SCALE, top = HEAD, cw = Math.floor((w - left) / g.spots.length), high = Math.min(Math.round(MATRIX_TIMES * ROW), Math.floor((h - top) / g.vols.length));
    // One scale for all rates too, so that tints compare from tab to tab.
    const most = Math.max(1, ...[...g.cells.values()].filter((v) => v === v).map(Math.abs));
    const pad = cw < 60 * SCALE ? 4 : PAD, millions = cw < 60 * SCALE && most >= 1e7; // "-40,452" would touch its neighbour.
    label(c, SMALL, w < 480 * SCALE ? "Vol" : "Vol \\ spot", PAD, BASE, T.text3);
    g.spots.forEach((s, i) => label(c, SMALL, s ? signed(s) + " %" : "0 %", left + (i + 1) * cw - pad, BASE, s ? T.text3 : T.text, "right"));
    box(c, 0, HEAD - 1, w, 1, T.line);
    g.vols.forEach((v, j) => {
      const y = top + j * high;
      label(c, v ? VALUE : BOLD, (v ? signed(v) : "0") + " pt", left - PAD, y + high / 2 + 4 * SCALE, v ? T.text2 : T.text, "right");
      g.spots.forEach((s, i) => {
        const pnl = g.at(s, v), x = left + i * cw, base = !s && !v && !this.rates;
        const heat = pnl === pnl ? Math.min(1, (Math.abs(pnl) / most) ** 0.6) : 0;
        box(c, x, y, cw - 1, high - 1, mix(T.panel, pnl > 0 ? T["up-wash"] : T["down-wash"], heat));
        const figure = millions ? signed(pnl / 1e6, 1) : signed(pnl / 1e3), text = figure && millions ? figure + "M" : figure;
        if (text) label(c, VALUE, text, x + cw - pad, y + high / 2 + 4 * SCALE, isNought(figure) ? T.text2 : T.text, "right");
        if (base) { c.strokeStyle = T.focus; c.lineWidth = 2; c.strokeRect(x + 1, y + 1, cw - 3, high - 3); }
        this.cells.push({ spot: s, vol: v, rates: this.rates, pnl, text, x, y, w: cw - 1, h: high - 1 });
      });
    });
  }

  tip(x, y) {
    const one = this.cells?.find((k) => x >= k.x && x < k.x + k.w && y >= k.y && y < k.y + k.h);
    if (!one) return null;
    return { key: `${one.spot}:${one.vol}`, x: one.x, y: one.y, w: one.w, h: one.h, title: "Scenario P&L", lines: [
      ["P&L", one.pnl === one.pnl ? full(one.pnl) + " USD" : "unknown: a line has no number"],
      ["Spot", signed(one.spot) + " %"], ["Volatility", signed(one.vol) + " points"], ["Rates", signed(one.rates) + " bp"],
      ["Source", "options revalued, the rest by Taylor"]] };
  }
}

class KeyRateBars extends Chart {
  constructor(el, spec, desk) {
    super(el, 500);
    [this.spec, this.desk, this.of] = [spec, desk, null];
  }

  draw(c, w, h) {
    const source = this.of?.(), top = ROW + 2, foot = h - ROW;
    this.bars = [];
    if (!source) return this.say(c, riskAbsence(this.desk) || this.desk.rights.absence() || "No key rates yet", w, h);
    const values = this.spec.tenors.map(([, name]) => source.get(name)), sum = source.get("dv01");
    if (values.every((v) => v !== v)) return this.say(c, riskAbsence(this.desk) || "No line of this group depends on rates", w, h);
    const most = Math.max(1, ...values.filter((v) => v === v).map(Math.abs)), step = (w - 16) / values.length;
    const up = values.some((v) => v > 0), down = values.some((v) => v < 0), zero = Math.round(up && down ? (top + foot) / 2 : down ? top : foot);
    const room = (up && down ? (foot - top) / 2 : foot - top) - 16 * SCALE;
    box(c, 0, zero, w, 1, T.edge);
    values.forEach((v, i) => {
      const x = 8 + (i + 0.5) * step, wide = Math.min(56 * SCALE, step * 0.5);
      label(c, SMALL, this.spec.tenors[i][0], x, h - 5, T.text3, "center");
      if (!(v === v)) return;
      const size = Math.round((Math.abs(v) / most) * room), y = v >= 0 ? zero - size : zero + 1;
      if (size) box(c, Math.round(x - wide / 2), y, Math.round(wide), size, v > 0 ? T["up-fill"] : T["down-fill"]);
      const text = signed(v / 1e3, Math.abs(v) < 1e4 ? 1 : 0);
      label(c, VALUE, text, x, v >= 0 ? y - 4 : y + size + 13 * SCALE, v > 0 ? T.up : v < 0 ? T.down : T.zero, "center");
      this.bars.push({ tenor: this.spec.tenors[i][0], value: v, text });
    });
    if (sum === sum) label(c, SMALL, "Sum " + signed(sum / 1e3, 1) + " " + thousands("k"), w - PAD, BASE, T.text2, "right");
    label(c, SMALL, source.name, PAD, BASE, T.text2);
  }
}

// Why a panel of risk has nothing to show; "" where risk runs.
function riskAbsence(desk) {
  const age = desk.health.riskAge();
  if (!desk.health.status) return "Waiting for the first status";
  if (age <= RISK_LATE_S) return "";
  if (riskStarting(desk)) return "Risk is starting: " + riskStarting(desk);
  return age === age ? `Risk is not running: nothing from it for ${duration(age)}` : "Risk is not running";
}
// What it still makes ready: "options, 2 of 2". Exposure and limits come before that.
const riskStarting = (desk) => desk.names.keys.process?.[0] || "";
// Where nothing is heard from live, risk holds what it knew last, and no limit is watched.
function liveSilence(desk) {
  const state = desk.health.state();
  return state.word === "STALE" || state.word === "DOWN" ? state.age : NaN;
}
const RISK_LATE_S = 3;

// A value as it is, with all of its digits that a float64 holds to 12 places.
function full(v) {
  if (v == null || v !== v) return "unknown";
  const digits = String(Math.abs(+v.toPrecision(12)));
  return (v < 0 ? MINUS : "") + (digits.includes("e") ? digits : grouped(digits));
}
