// Law: canvas. Surfaces of whole pixels, primitives, and `Ink`, which collects what a frame draws
// and lays it down in batches by style, because a change of font or colour costs more than a cell.

const FONTS = []; // 0 value, 1 bold, 2 italic, 3 small, 4 small bold, 5 chip
function readFonts() {
  const size = parseFloat(T.size), cuts = [["400", 0], ["600", 0], ["italic 400", 0], ["400", 1], ["600", 1], ["400", 2], ["600", 2]];
  cuts.forEach(([cut, less], i) => { FONTS[i] = `${cut} ${size - less}px ${T.font}`; WIDTHS[i] = new Float64Array(256).fill(-1); });
  RARE.clear();
}
const VALUE = 0, BOLD = 1, ITALIC = 2, SMALL = 3, SMALL_BOLD = 4, CHIP = 5, CHIP_BOLD = 6;

// Every digit is equally wide in all cuts, so a width is a sum over characters, measured once each.
const WIDTHS = [], RARE = new Map();
let ruler = null;
function measure(font, s) {
  ruler ||= document.createElement("canvas").getContext("2d");
  ruler.font = FONTS[font];
  ruler.fontKerning = "none";
  return ruler.measureText(s).width;
}
function width(font, s) {
  const table = WIDTHS[font];
  let sum = 0;
  for (let i = 0; i < s.length; i++) {
    const code = s.charCodeAt(i);
    if (code < 256) {
      if (table[code] < 0) table[code] = measure(font, s[i]);
      sum += table[code];
    } else {
      const key = font + s[i];
      let w = RARE.get(key);
      if (w === undefined) RARE.set(key, (w = measure(font, s[i])));
      sum += w;
    }
  }
  return sum;
}
function cut(font, s, room) {
  if (width(font, s) <= room) return s;
  while (s && width(font, s + "\u2026") > room) s = s.slice(0, -1).trimEnd();
  return s + "\u2026";
}

// A canvas that fills `el` with whole pixels; a fractional bitmap would be blurred by the browser.
// `willReadFrequently` (a canvas in main memory) was tried: 40 x 11 cells all changing cost 6.4 ms of
// the main thread an update plain and 6.3 so at 20/s, 3.6 and 4.0 at 60/s, so it is left out.
let LOOK = 0; // Moves on with theme and density; what was drawn in another look is drawn again.
class Surface {
  constructor(el) {
    this.canvas = document.createElement("canvas");
    this.canvas.setAttribute("aria-hidden", "true");
    el.append(this.canvas);
    this.el = el;
    this.c = this.canvas.getContext("2d", { alpha: false, desynchronized: true });
    this.w = this.h = 0;
    // Asking an element for its size lays the page out, so it is asked only after it changed.
    this.stale = true;
    new ResizeObserver(() => { this.stale = true; }).observe(el);
  }

  get shown() { this.look(); return this.box.height > 0; }

  look() {
    if (!this.stale) return;
    this.stale = false;
    this.box = this.el.getBoundingClientRect();
  }

  // True when the size changed, and everything must be drawn again.
  fit() {
    this.look();
    const box = this.box, k = devicePixelRatio || 1;
    const w = Math.floor(box.width), h = Math.floor(box.height);
    if (w === this.w && h === this.h && k === this.k && this.drawnIn === LOOK) return false;
    [this.w, this.h, this.k, this.drawnIn] = [w, h, k, LOOK];
    this.canvas.style.width = w + "px";
    this.canvas.style.height = h + "px";
    this.canvas.width = Math.max(1, Math.round(w * k));
    this.canvas.height = Math.max(1, Math.round(h * k));
    this.c.setTransform(k, 0, 0, k, 0, 0);
    this.c.textBaseline = "alphabetic";
    this.c.fontKerning = "none";
    return true;
  }
}

class Ink {
  constructor(surface) {
    this.surface = surface;
    this.layers = [new Map(), new Map()]; // Grounds, then fills on them.
    this.shapes = new Map(); // Triangles by colour.
    this.texts = FONTS.map(() => new Map());
    this.late = [];
  }

  ground(color, x, y, w, h) { this.add(0, color, x, y, w, h); }
  fill(color, x, y, w, h) { this.add(1, color, x, y, w, h); }

  add(layer, color, x, y, w, h) {
    let list = this.layers[layer].get(color);
    if (!list) this.layers[layer].set(color, (list = []));
    const n = list.length;
    // Neighbours of one row and colour become one rectangle.
    if (n && list[n - 3] === y && list[n - 1] === h && list[n - 4] + list[n - 2] === x) list[n - 2] += w;
    else list.push(x, y, w, h);
  }

  triangle(color, x, y, up) {
    let list = this.shapes.get(color);
    if (!list) this.shapes.set(color, (list = []));
    list.push(x, y, up ? -1 : 1);
  }

  text(font, color, s, x, y) {
    const fonts = this.texts[font];
    let list = fonts.get(color);
    if (!list) fonts.set(color, (list = { s: [], at: [] }));
    list.s.push(s);
    list.at.push(x, y);
  }

  after(draw) { this.late.push(draw); }

  flush() {
    const c = this.surface.c;
    for (const layer of this.layers) {
      for (const [color, list] of layer) {
        if (!list.length) continue;
        c.fillStyle = color;
        for (let i = 0; i < list.length; i += 4) c.fillRect(list[i], list[i + 1], list[i + 2], list[i + 3]);
        list.length = 0;
      }
    }
    for (const [color, list] of this.shapes) {
      if (!list.length) continue;
      c.fillStyle = color;
      c.beginPath();
      for (let i = 0; i < list.length; i += 3) {
        const [x, y, d] = [list[i], list[i + 1], list[i + 2] * 2.5];
        c.moveTo(x, y + d); c.lineTo(x - 3.5, y - d); c.lineTo(x + 3.5, y - d); c.closePath();
      }
      c.fill();
      list.length = 0;
    }
    this.texts.forEach((fonts, i) => {
      let set = false;
      for (const [color, list] of fonts) {
        const n = list.s.length;
        if (!n) continue;
        if (!set) { c.font = FONTS[i]; set = true; }
        c.fillStyle = color;
        for (let j = 0; j < n; j++) c.fillText(list.s[j], list.at[2 * j], list.at[2 * j + 1]);
        list.s.length = list.at.length = 0;
      }
    });
    for (const draw of this.late) draw(c);
    this.late.length = 0;
  }
}

// ---- primitives for what is drawn seldom ----------------------------------------------------
function box(c, x, y, w, h, fill) { c.fillStyle = fill; c.fillRect(x, y, w, h); }
function frame(c, x, y, w, h, stroke) {
  c.strokeStyle = stroke; c.lineWidth = 1;
  c.strokeRect(Math.round(x) + 0.5, Math.round(y) + 0.5, Math.round(w) - 1, Math.round(h) - 1);
}
function line(c, points, stroke, thick = 1, dash = []) {
  c.beginPath();
  points.forEach(([x, y], i) => (i ? c.lineTo(x, y) : c.moveTo(x, y)));
  c.strokeStyle = stroke; c.lineWidth = thick; c.setLineDash(dash); c.stroke(); c.setLineDash([]);
}
function label(c, font, s, x, y, color, place = "left") {
  c.font = FONTS[font]; c.fillStyle = color;
  const w = place === "left" ? 0 : width(font, s);
  c.fillText(s, place === "right" ? x - w : place === "center" ? x - w / 2 : x, y);
}
function arrow(c, x, y, up, color) {
  const d = up ? -2.5 : 2.5;
  c.beginPath(); c.moveTo(x, y + d); c.lineTo(x - 3.5, y - d); c.lineTo(x + 3.5, y - d); c.closePath();
  c.fillStyle = color; c.fill();
}
function caret(c, x, y, open, color) {
  c.beginPath();
  if (open) { c.moveTo(x - 3.5, y - 2); c.lineTo(x + 3.5, y - 2); c.lineTo(x, y + 2.5); } else { c.moveTo(x - 2, y - 3.5); c.lineTo(x + 2.5, y); c.lineTo(x - 2, y + 3.5); }
  c.closePath(); c.fillStyle = color; c.fill();
}
function dot(c, x, y, r, color, hollow) {
  c.beginPath(); c.arc(x, y, r, 0, 7);
  if (hollow) { c.strokeStyle = color; c.lineWidth = 1.25; c.stroke(); } else { c.fillStyle = color; c.fill(); }
}
function crossMark(c, x, y, color) {
  for (const d of [1, -1]) line(c, [[x - 3, y - 3 * d], [x + 3, y + 3 * d]], color, 1.5);
}
function warnMark(c, x, y, color) {
  c.beginPath(); c.moveTo(x, y - 4); c.lineTo(x + 4.5, y + 3.5); c.lineTo(x - 4.5, y + 3.5); c.closePath();
  c.fillStyle = color; c.fill();
}
// 45 degree hatch as a tile, so that one cell can be drawn again without a seam.
function hatchTile(c, color, k) {
  const tile = document.createElement("canvas"), n = 6;
  tile.width = tile.height = Math.round(n * k);
  const t = tile.getContext("2d");
  t.scale(tile.width / n, tile.height / n);
  t.globalAlpha = 0.75;
  for (const d of [-n, 0, n]) line(t, [[d - 1, n + 1], [d + n + 1, -1]], color, 1);
  const pattern = c.createPattern(tile, "repeat");
  pattern.setTransform(new DOMMatrix().scale(1 / k));
  return pattern;
}
