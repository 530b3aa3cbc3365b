// Law: charts over time of what the server makes: candles, lines compared, P&L. The newest value
// stands in an inverse tag; a chart is drawn whole, at most ten times a second.

class CandleChart extends FigureChart {
  wish() { return this.row < 0 ? null : { figure: "candles", row: this.row, minutes: this.spec.span, points: this.points(8) }; }

  picture(c, w, h, { facts, n, columns: [t, open, high, low, close, vwap, volume] }) {
    const say = pricesOf(this.desk.instruments.get(facts.row));
    const traded = [];
    for (let i = 0; i < n; i++) if (close[i] === close[i]) traded.push(i);
    if (!traded.length) return this.say(c, "No trade in this window", w, h);
    const t1 = Math.max(t[n - 1] + facts.step_s * 1e3, this.desk.health.now()), t0 = Math.max(t1 - facts.span_s * 1e3, t[traded[0]] - facts.step_s * 1e3);
    const [lo, hi] = reach([...high, ...low]), end = traded[traded.length - 1], strip = Math.round(h * 0.16);
    const { right, foot, X, Y } = this.frame(c, w, h - strip, lo, hi, t0, t1, say, [close[end], vwap[end]]);
    const wide = Math.max(1, Math.min(11, Math.floor(X(t0 + facts.step_s * 1e3) - X(t0)) - 1)), half = wide >> 1;
    const most = Math.max(...volume.filter((v) => v === v)), floor = h - 2;
    for (let i = 0; i < n; i++) {
      const x = Math.round(X(t[i] + facts.step_s * 500)), rise = !(close[i] < open[i]), v = Math.round((volume[i] / most) * (strip - 6)) || 0;
      if (v) box(c, x - half, floor - v, wide, v, rise ? T["up-wash"] : T["down-wash"]);
      if (close[i] !== close[i]) continue;
      const color = rise ? T.up : T.down, y0 = Math.round(Y(Math.max(open[i], close[i]))), y1 = Math.max(y0 + 1, Math.round(Y(Math.min(open[i], close[i]))));
      box(c, x, Math.round(Y(high[i])), 1, y0 - Math.round(Y(high[i])), color);
      box(c, x, y1, 1, Math.round(Y(low[i])) - y1, color);
      if (rise && wide > 3 && y1 - y0 > 2) frame(c, x - half, y0, wide, y1 - y0, color); else box(c, x - half, y0, wide, y1 - y0, color);
    }
    line(c, traded.map((i) => [X(t[i] + facts.step_s * 500), Y(vwap[i])]), T.vwap, 1.25);
    label(c, SMALL, brief(most), right + 6, floor - strip + 14, T.text3);
    inverseTag(c, right, Y(close[end]), say(close[end]));
    this.told = { close: close[end], vwap: vwap[end], bars: traded.length, step_s: facts.step_s };
  }
}

// The instruments selected last, the newest first; one hue each, named at the right.
const HUES = ["text", "vwap", "ok", "warn", "up", "crit"];
class ComparedChart extends FigureChart {
  constructor(el, spec, desk) { super(el, spec, desk); this.of = []; }
  follow(row) { if (row >= 0) { this.row = row; this.of = [row, ...this.of.filter((one) => one !== row)].slice(0, HUES.length); this.ask(); } }
  wish() { return this.of.length ? { figure: "lines", rows: [...this.of].sort((a, b) => a - b), minutes: this.spec.span, points: this.points(3) } : null; }

  picture(c, w, h, { facts, n, columns }) {
    const t = columns[0], moves = columns.slice(1).map((values) => {
      const first = values.find((v) => v === v);
      return Array.from(values, (v) => (v / first - 1) * 100);
    });
    const [lo, hi] = reach(moves.flat());
    if (n < 2 || !(hi > lo)) return this.say(c, "No trade in this window", w, h);
    const say = (v) => signed(v, hi - lo < 1 ? 3 : 2), t0 = t[0], t1 = t[n - 1];
    const ends = moves.map((values) => values[n - 1]), { right, X, Y } = this.frame(c, w, h, lo, hi, t0, t1, say, ends);
    box(c, 0, Math.round(Y(0)), right, 1, T.edge);
    let free = -Infinity; // Names stand under each other, from the top.
    const order = moves.map((_, k) => k).sort((a, b) => ends[b] - ends[a]);
    order.forEach((k) => {
      const values = moves[k], hue = T[HUES[this.of.indexOf(facts.rows[k])] || "text3"], end = values[n - 1], points = [];
      for (let i = 0; i < n; i++) if (values[i] === values[i]) points.push([X(t[i]), Y(values[i])]);
      if (points.length < 2) return;
      line(c, points, hue, 1.25);
      const y = (free = Math.max(free + 13, Math.min(Y(end), h - 24 - 13 * (order.length - 1 - order.indexOf(k)))));
      const ref = this.desk.instruments.get(facts.rows[k]);
      const name = cut(SMALL, ref ? ref.symbol : "#" + facts.rows[k], 110);
      box(c, right - 6 - width(SMALL, name), y - 7, width(SMALL, name) + 6, 13, T.panel);
      label(c, SMALL, name, right - 4, y + 4, hue, "right");
      label(c, SMALL_BOLD, say(end), right + 6, y + 4, hue);
    });
    this.told = { lines: moves.length, points: n };
  }
}

class BookPnl extends FigureChart {
  constructor(el, spec, desk) { super(el, spec, desk, 200); this.book = -1; }
  absence() { return "Loading"; }
  wish() { return { figure: "pnl", minutes: this.spec.span, points: this.points(3) }; }

  picture(c, w, h, { n, columns }) {
    const t = columns[0], all = columns[this.book < 0 ? 1 : 2 + this.book] || [];
    const at = [];
    for (let i = 0; i < n; i++) if (all[i] === all[i]) at.push(i);
    if (at.length < 2) return this.say(c, "No P&L in this window", w, h);
    let [lo, hi] = reach(at.map((i) => all[i] / 1e3));
    if (lo > 0 && lo < hi - lo) lo = 0;
    if (hi < 0 && -hi < hi - lo) hi = 0;
    const say = (v) => signed(v, hi - lo < 10 ? 1 : 0), end = all[at[at.length - 1]] / 1e3;
    const { right, foot, top, X, Y } = this.frame(c, w, h, lo, hi, t[at[0]], t[at[at.length - 1]], say, [end]);
    const zero = Math.max(top, Math.min(foot, Y(0))), points = at.map((i) => [X(t[i]), Y(all[i] / 1e3)]);
    for (const rise of [true, false]) {
      c.save();
      c.beginPath();
      c.rect(0, rise ? 0 : zero, right, rise ? zero : foot - zero);
      c.clip();
      c.beginPath();
      c.moveTo(points[0][0], zero);
      for (const [x, y] of points) c.lineTo(x, y);
      c.lineTo(points[points.length - 1][0], zero);
      c.fillStyle = rise ? T["up-wash"] : T["down-wash"];
      c.globalAlpha = 0.6; c.fill(); c.globalAlpha = 1;
      line(c, points, rise ? T.up : T.down, 1.5);
      c.restore();
    }
    inverseTag(c, right, Y(end), say(end));
    this.told = { pnl: end, points: at.length };
  }
}

// Buttons for how far back a chart goes.
function spans(panel, chart) {
  panel.tools.append(el("div", { class: "sets", role: "group", "aria-label": "Time shown" }, ...chart.spec.spans.map(([minutes, name]) => el("button", { "aria-pressed": String(minutes === chart.spec.span), onclick: (e) => {
    chart.spec.span = minutes;
    e.currentTarget.parentNode.childNodes.forEach((b) => b.setAttribute("aria-pressed", String(b === e.currentTarget)));
    chart.ask();
  } }, name))));
  return chart;
}
