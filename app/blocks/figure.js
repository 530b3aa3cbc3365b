// Law: what the server makes for charts. A page asks for figures by name, width and time; it is told
// each whole once, then what is new in it. Nothing is drawn here. Charts use 2D canvases alone, so
// a page holds no WebGL context, of which browsers keep about eight.

// {facts, n, columns}: columns are arrays of n numbers.
function readFigure(buffer, at) {
  const [bytes, n, width, mode] = new Uint32Array(buffer, at, 4);
  const facts = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, at + 16, bytes)));
  const columns = Array.from({ length: width }, (_, k) => new Float64Array(buffer, at + 16 + bytes + 8 * n * k, n));
  return { facts, n, columns, mode };
}

// Rows of the same moment are written over, later ones follow, those before the window leave.
function joinFigure(old, { facts, n, columns, mode }) {
  if (!mode || !old || old.columns.length !== columns.length) return { facts, n, columns: columns.map((c) => Array.from(c)) };
  const kept = old.columns, t = kept[0];
  for (let i = 0; i < n; i++) {
    let at = t.length;
    while (at && t[at - 1] >= columns[0][i]) at--;
    const same = t[at] === columns[0][i] ? 1 : 0;
    kept.forEach((c, k) => c.splice(at, same, columns[k][i]));
  }
  const first = t[t.length - 1] - (facts.span_s + facts.step_s) * 1e3;
  let gone = 0;
  while (t[gone] < first) gone++;
  if (gone) for (const c of kept) c.splice(0, gone);
  return { facts, n: t.length, columns: kept };
}

class Figures {
  constructor(desk) {
    this.desk = desk;
    this.wanted = new Map(); // Key of a figure -> the charts that show it, and what it is.
    this.followers = [];
  }

  // `wish` names the figure; charts with equal wishes share it. null: nothing is wanted.
  want(chart, wish) {
    const key = wish ? JSON.stringify(wish) : null;
    if (chart.figureKey === key) return;
    const old = this.wanted.get(chart.figureKey);
    if (old) {
      old.charts.delete(chart);
      if (!old.charts.size) { this.wanted.delete(chart.figureKey); this.desk.control({ type: "chart", drop: chart.figureKey }); }
    }
    chart.figureKey = key;
    if (!key) { chart.took(null); return; }
    let one = this.wanted.get(key);
    if (!one) {
      this.wanted.set(key, (one = { wish, charts: new Set(), data: null }));
      this.desk.control({ type: "chart", key, ...wish });
    }
    one.charts.add(chart);
    chart.took(one.data);
  }

  take(told) {
    const one = this.wanted.get(told.facts.key);
    if (!one) return;
    one.data = joinFigure(one.data, told);
    for (const chart of one.charts) chart.took(one.data);
  }

  // The connection is back, or new: the server knows nothing of us.
  again() { for (const [key, one] of this.wanted) this.desk.control({ type: "chart", key, ...one.wish }); }

  selected(row) { for (const chart of this.followers) chart.follow(row); }
}

const FIGURE_MS = 100;
class FigureChart extends Chart {
  constructor(el, spec, desk, every_ms = FIGURE_MS) {
    super(el, every_ms);
    [this.spec, this.desk, this.data, this.row, this.costs] = [spec, desk, null, -1, []];
    desk.figures.followers.push(this);
  }

  took(data) { this.data = data; this.touch(); this.desk.wake(); }
  follow(row) { if (row !== this.row) { this.row = row; this.ask(); } }
  wish() { return null; }
  // Asked for in steps of 100 px, so that pages of nearly one width share a figure.
  points(px = 4) { return Math.max(100, Math.round(this.surface.w / px / 100) * 100 || 100); }
  ask() { this.desk.figures.want(this, this.wish()); }

  draw(c, w, h) {
    const begun = performance.now();
    if (this.asked !== w) { this.asked = w; this.ask(); }
    const problem = this.data?.facts.problem || "";
    if (!this.data) this.say(c, this.absence(), w, h);
    else this.picture(c, w, h, this.data);
    if (problem) label(c, SMALL, cut(SMALL, problem, w - 2 * PAD), PAD, 12, T.warn);
    this.costs.push(performance.now() - begun);
    if (this.costs.length > 400) this.costs.shift();
  }
  absence() { return this.row < 0 ? "Select a line" : "Loading"; }

  // Value axis at the right, moments below: as in PriceChart.
  frame(c, w, h, lo, hi, t0, t1, say, taken) {
    const right = w - AXIS, foot = h - 18, top = 14;
    const X = (t) => 4 + ((t - t0) / Math.max(1, t1 - t0)) * (right - 12), Y = (v) => top + ((hi - v) / (hi - lo || 1)) * (foot - 8 - top);
    box(c, 0, foot, w, 1, T.line);
    PriceChart.prototype.axis.call(this, c, right, lo, hi, foot - 8 - top, Y, say, taken);
    PriceChart.prototype.times.call(this, c, t0, t1, X, right, h);
    return { right, foot, top, X, Y };
  }
}

function inverseTag(c, right, y, text, ground = T.text) {
  box(c, right, Math.round(y) - 8, AXIS, 16, ground);
  label(c, SMALL_BOLD, text, right + 6, Math.round(y) + 4, T.panel);
}
function reach(values) {
  let lo = Infinity, hi = -Infinity;
  for (const v of values) if (v === v) { if (v < lo) lo = v; if (v > hi) hi = v; }
  const room = (hi - lo) * 0.06 || Math.abs(hi) * 1e-4 || 1;
  return [lo - room, hi + room];
}
