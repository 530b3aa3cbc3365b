// Law: charts. Flat on the panel, hairlines, values on the right axis, the last value in an inverse
// tag. Each chart is drawn whole, when what it shows has changed and not more often than it says.

const AXIS = 62, PRICE_MS = 100;

class Chart {
  constructor(el, every_ms) {
    this.surface = new Surface(el);
    this.every_ms = every_ms;
    this.drawn = -1e9;
    this.due = true;
  }
  touch() { this.due = true; }
  paint(now) {
    const resized = this.surface.fit();
    if (resized) this.due = true;
    if (!this.due || (now - this.drawn < this.every_ms && !resized)) return false;
    this.due = false;
    this.drawn = now;
    box(this.surface.c, 0, 0, this.surface.w, this.surface.h, T.panel);
    this.said = "";
    this.draw(this.surface.c, this.surface.w, this.surface.h);
    return false;
  }
  say(c, s, w, h) { this.said = s; label(c, VALUE, s, w / 2, h / 2 + 4, T.text2, "center"); }
}

// A step of 1, 2, 2.5 or 5 that puts lines about `px` apart, in whole parts of the least that is
// written: else two lines would bear one number. Of 32nds it is twice as many each time.
function stepFor(span, room, px, { least = 0, halves = false } = {}) {
  const raw = Math.max(least, (span * px) / room), near = raw * (1 - 1e-9);
  if (halves) return least * 2 ** Math.ceil(Math.log2(near / least));
  const power = 10 ** Math.floor(Math.log10(raw || 1)), whole = (v) => !least || Math.abs(v / least - Math.round(v / least)) < 1e-6;
  return [1, 2, 2.5, 5].map((k) => k * power).find((step) => step >= near && whole(step)) || 10 * power;
}
// How the prices of an instrument are written, and the least by which two of them differ.
function pricesOf(ref) {
  const decimals = ref ? ref.decimals : 2, format = ref ? ref.price_format : 0, halves = format === 1 || format === 2;
  return Object.assign((v) => price(v, decimals, format), { halves, least: halves ? (format === 1 ? 1 / 64 : 1 / 128) : 10 ** -decimals });
}
const TIME_STEPS_S = [1, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 28800, 86400];

class PriceChart extends Chart {
  constructor(el, feed, desk) {
    super(el, PRICE_MS);
    [this.feed, this.desk, this.mode] = [feed, desk, "line"];
  }

  draw(c, w, h) {
    const f = this.feed, right = w - AXIS, foot = h - 18, volume = Math.round((h - 18) * 0.18), top = 12;
    const ref = this.desk.instruments.get(f.row);
    const say = pricesOf(ref);
    box(c, 0, foot, w, 1, T.line);
    const points = [];
    for (let i = 0; i < f.t_ms.length; i++) if (f.last[i] === f.last[i]) points.push(i);
    if (points.length < 2) return this.say(c, f.row < 0 ? "Select a line to see its price" : "No trade yet in this window", w, foot);
    const t0 = f.t_ms[0], t1 = f.t_ms[f.t_ms.length - 1], X = (t) => 4 + ((t - t0) / Math.max(1, t1 - t0)) * (right - 12);
    let lo = Infinity, hi = -Infinity;
    for (const i of points) {
      for (const v of [f.last[i], f.vwap[i]]) if (v === v) { lo = Math.min(lo, v); hi = Math.max(hi, v); }
    }
    const room = (hi - lo) * 0.06 || Math.abs(hi) * 1e-4 || 1;
    [lo, hi] = [lo - room, hi + room];
    const bottom = foot - volume - 8, Y = (v) => top + ((hi - v) / (hi - lo)) * (bottom - top);
    const last = f.last[points[points.length - 1]], vwap = f.vwap[f.vwap.length - 1];
    this.axis(c, right, lo, hi, bottom - top, Y, say, [last, vwap]);
    this.times(c, t0, t1, X, right, h);
    const bars = this.buckets(points, t0, t1, right);
    this.volumes(c, bars, X, foot, volume, right);
    if (this.mode === "candles") this.candles(c, bars, Y);
    else this.area(c, points, X, Y, bottom);
    line(c, f.vwap.map((v, i) => [X(f.t_ms[i]), Y(v)]).filter(([, y]) => y === y), T.vwap, 1.5);
    this.tags(c, right, Y, last, vwap, say);
  }

  axis(c, right, lo, hi, room, Y, say, taken) {
    const step = stepFor(hi - lo, room, 44, say);
    for (let v = Math.ceil(lo / step) * step; v < hi; v += step) {
      const y = Math.round(Y(v));
      box(c, 0, y, right, 1, T.lift);
      if (taken.every((q) => !(Math.abs(Y(q) - y) < 15))) label(c, SMALL, say(v), right + 6, y + 4, T.text3);
    }
  }

  times(c, t0, t1, X, right, h) {
    const span = (t1 - t0) / 1e3, step = (TIME_STEPS_S.find((s) => (s / span) * right >= 64) || 86400) * 1e3;
    for (let t = Math.ceil(t0 / step) * step; t <= t1; t += step) {
      const x = X(t);
      if (x > 18 && x < right - 18) label(c, SMALL, clockText(t, "", step < 60e3), x, h - 5, T.text3, "center");
    }
  }

  // Points gathered into bars 8 px apart: open, high, low, close and the volume of each.
  buckets(points, t0, t1, right) {
    const f = this.feed, n = Math.max(1, Math.min(points.length, Math.floor((right - 8) / 8))), bars = [];
    for (const i of points) {
      const k = Math.min(n - 1, Math.floor(((f.t_ms[i] - t0) / Math.max(1, t1 - t0)) * n)), v = f.last[i];
      const b = (bars[k] ||= { x: 4 + ((k + 0.5) * (right - 12)) / n, open: v, high: v, low: v, close: v, volume: 0 });
      b.high = Math.max(b.high, v); b.low = Math.min(b.low, v); b.close = v;
      // Volume is the session's sum so far; a bar shows by how much it grew.
      const grew = i ? f.volume[i] - f.volume[i - 1] : 0;
      b.volume += grew > 0 ? grew : 0;
    }
    return bars.filter(Boolean);
  }

  volumes(c, bars, X, foot, room, right) {
    const most = Math.max(...bars.map((b) => b.volume));
    if (!(most > 0)) return;
    for (const b of bars) {
      const v = Math.round((b.volume / most) * room);
      box(c, Math.round(b.x) - 2, foot - v, 5, v, b.close >= b.open ? T["up-wash"] : T["down-wash"]);
    }
    label(c, SMALL, brief(most), right + 6, foot - room + 8, T.text3);
  }

  candles(c, bars, Y) {
    for (const b of bars) {
      const x = Math.round(b.x) - 2, rise = b.close >= b.open, color = rise ? T.up : T.down;
      const y0 = Math.round(Y(Math.max(b.open, b.close))), y1 = Math.max(y0 + 1, Math.round(Y(Math.min(b.open, b.close))));
      box(c, x + 2, Math.round(Y(b.high)), 1, y0 - Math.round(Y(b.high)), color);
      box(c, x + 2, y1, 1, Math.round(Y(b.low)) - y1, color);
      if (!rise) box(c, x, y0, 5, y1 - y0, color);
      else if (y1 - y0 < 2) box(c, x, y0, 5, 1, color);
      else frame(c, x, y0, 5, y1 - y0, color);
    }
  }

  area(c, points, X, Y, bottom) {
    const f = this.feed, at = points.map((i) => [X(f.t_ms[i]), Y(f.last[i])]);
    c.beginPath();
    c.moveTo(at[0][0], bottom);
    for (const [x, y] of at) c.lineTo(x, y);
    c.lineTo(at[at.length - 1][0], bottom);
    c.closePath();
    c.fillStyle = T.lift;
    c.fill();
    line(c, at, T.text, 1.25);
  }

  tags(c, right, Y, last, vwap, say) {
    const y = Math.round(Y(last));
    line(c, [[0, y + 0.5], [right, y + 0.5]], T.text3, 1, [1, 3]);
    if (vwap === vwap) {
      let v = Math.round(Y(vwap));
      if (Math.abs(v - y) < 17) v = y + (v < y ? -17 : 17);
      box(c, right, v - 8, AXIS, 16, T.panel);
      label(c, SMALL, say(vwap), right + 6, v + 4, T.vwap);
    }
    box(c, right, y - 8, AXIS, 16, T.text);
    label(c, SMALL_BOLD, say(last), right + 6, y + 4, T.panel);
  }
}

// Squares by size: area gross, tint P&L over gross, one common scale.
class ExposureMap extends Chart {
  constructor(el, spec, feed) {
    super(el, 1000);
    [this.spec, this.feed] = [spec, feed];
    feed.listeners.push(() => this.touch());
  }

  items() {
    const f = this.feed, [gross, pnl] = [f.index("gross"), f.index("pnl")], list = [];
    for (let slot = 0; slot < f.rows.length; slot++) {
      const v = f.value[slot * f.width + gross];
      if (v > 0) list.push({ id: f.rows[slot], v, pnl: f.value[slot * f.width + pnl] });
    }
    return list.sort((a, b) => b.v - a.v);
  }

  draw(c, w, h) {
    const items = this.items(), cells = [];
    if (!items.length) return this.say(c, "No position", w, h);
    split(items, 0, 0, w, h, cells);
    for (const [item, X, Y, W, H] of cells) {
      const x = Math.round(X), y = Math.round(Y), cw = Math.round(X + W) - x - 1, ch = Math.round(Y + H) - y - 1;
      const heat = Math.min(1, Math.abs((item.pnl / item.v) * 120) ** 0.6) || 0;
      box(c, x, y, cw, ch, mix(T.lift, item.pnl > 0 ? T["up-wash"] : T["down-wash"], heat));
      const fits = (font, s) => width(font, s) + 10 < cw;
      const full = this.spec.names[item.id], name = fits(SMALL_BOLD, full) ? full : this.spec.codes[item.id];
      const figure = signed(item.pnl / 1e3) + " " + thousands("k"), size = num(item.v / 1e6) + " M";
      if (ch > 15 && fits(SMALL_BOLD, name)) label(c, SMALL_BOLD, name, x + 5, y + 13, T.text);
      if (ch > 30 && fits(SMALL, figure)) label(c, SMALL, figure, x + 5, y + 27, T.text);
      if (ch > 30 && fits(SMALL, figure + "    " + size)) label(c, SMALL, size, x + cw - 5, y + 27, T.text2, "right");
      else if (ch > 45 && fits(SMALL, size)) label(c, SMALL, size, x + 5, y + 41, T.text2);
    }
  }
}
function split(items, x, y, w, h, out) {
  if (items.length === 1) { out.push([items[0], x, y, w, h]); return; }
  const sum = items.reduce((a, i) => a + i.v, 0);
  let part = 0, k = 0;
  while (k < items.length - 1 && (k === 0 || part + items[k].v / 2 < sum / 2)) part += items[k++].v;
  const share = part / sum, wide = w > h * 1.3;
  split(items.slice(0, k), x, y, wide ? w * share : w, wide ? h : h * share, out);
  split(items.slice(k), wide ? x + w * share : x, wide ? y : y + h * share, wide ? w * (1 - share) : w, wide ? h : h * (1 - share), out);
}

// Event to paint over the last five seconds, in bins of 2 ms; the promise is the line at 50 ms.
class GlassChart extends Chart {
  constructor(el, latency) { super(el, 900); this.latency = latency; }

  draw(c, w, h) {
    const all = this.latency.histogram(), right = w - 12, foot = h - 18, top = 22, [p50, p99, p999] = this.latency.quantiles([0.5, 0.99, 0.999]);
    if (p50 !== p50) return this.say(c, "No stamped row painted in the last 5 s", w, h);
    const most = Math.max(60, Math.min(500, Math.ceil((p999 * 1.15) / 20) * 20)), per = most <= 120 ? 4 : 8, bins = [];
    for (let i = 0; i < BINS; i++) { const k = Math.min(Math.ceil(most / (per * BIN_MS)) - 1, Math.floor(i / per)); bins[k] = (bins[k] || 0) + all[i]; }
    const peak = Math.max(...bins.map((b) => b || 0)), X = (ms) => 8 + (ms / most) * (right - 8), bw = Math.max(2, ((right - 8) * per * BIN_MS) / most - 1);
    box(c, 0, foot, w, 1, T.line);
    for (let ms = 0; ms <= most; ms += most > 200 ? 50 : most > 100 ? 20 : 10) label(c, SMALL, String(ms), X(ms), h - 5, T.text3, ms ? "center" : "left");
    bins.forEach((n, k) => { if (n) { const bar = Math.max(1, Math.round((n / peak) * (foot - top))); box(c, X(k * per * BIN_MS), foot - bar, bw, bar, k * per * BIN_MS >= 50 ? T.warn : T.edge); } });
    line(c, [[Math.round(X(50)) + 0.5, top - 4], [Math.round(X(50)) + 0.5, foot]], T.text3, 1, [2, 2]);
    for (const [ms, name, color] of [[p50, "p50 ", T.text2], [p99, "p99 ", T.text]]) {
      const x = Math.round(Math.min(X(ms), right));
      box(c, x, 14, 1, foot - 14, color);
      const s = name + num(ms, 0), near = name === "p50 " && X(p99) - X(p50) < 46;
      label(c, SMALL, s, near ? x - 4 : x + 4, 12, color, near && x > 44 ? "right" : "left");
    }
  }
}

function spark(c, x, y, w, h, values, color) {
  if (values.length < 2) return;
  const lo = Math.min(...values), hi = Math.max(...values), k = hi > lo ? h / (hi - lo) : 0;
  line(c, values.map((v, i) => [x + (i * w) / (values.length - 1), y + h - (v - lo) * k]), color, 1);
}
