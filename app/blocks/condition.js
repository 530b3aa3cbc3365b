// Law: conditional formats. What a column draws below its figures because of their size, their past
// or their age: bars, heat, sparklines, fading. The figure always stays, so colour is never alone.

const FORMS = { plain: "Plain", bar: "Bar", heat: "Heat", spark: "Sparkline", age: "Fade with age" };
const SPARK_PX = 52, SPARK_POINTS = 45, TRAILS_MAX = 2000, SCALE_MS = 1000;
const NUMERIC = new Set(["price", "quantity", "percent", "basis_points", "money_k", "money_m", "count", "number", "amount"]);
const formsOf = (k) => (k.at >= 0 && NUMERIC.has(k.format) ? Object.keys(FORMS) : k.at >= 0 ? ["plain", "age"] : ["plain"]);

// Fills `cell.wash`, a small whole number, so that a cell is drawn again only when a step is taken.
function condition(cell, row, v, column, sheet, now) {
  if (column.form === "age") { fade(cell, sheet.ageOf(row, column, now)); return; }
  if (column.form === "spark") { cell.wash = 1 + (sheet.trails.versionOf(row.id, column.name) % 120); return; }
  if (!(v === v) || column.at < 0) return;
  const share = Math.max(-1, Math.min(1, v / (sheet.scales.get(column.name) || 1)));
  if (column.form === "bar") cell.wash = 64 + Math.round(share * 60);
  if (column.form === "heat") cell.wash = 64 + Math.sign(share) * Math.ceil(Math.abs(share) * 4 - 0.25);
}

// Text of a change that is past fades in two steps; hues of sign and warnings stay.
function fade(cell, age_s) {
  if (cell.color > TEXT3 || !(age_s > 2)) return;
  cell.color = age_s > 15 ? TEXT3 : TEXT2;
}

function drawCondition(ink, cell, column, x, y, w, row, sheet) {
  if (column.form === "spark") { const points = sheet.trails.of(row.id, column.name); ink.after((c) => sparkline(c, points, x + 4, y + 4, SPARK_PX - 8, ROW - 9)); return; }
  const size = cell.wash - 64;
  if (column.form === "heat") { if (size) ink.fill(T[(size > 0 ? "up" : "down") + "-heat" + Math.abs(size)], x, y, w, ROW - 1); return; }
  // Both signs begin at the left edge: the figure has its sign, and lengths compare.
  const px = Math.round((Math.abs(size) / 60) * (w - 4));
  if (px) ink.fill(T[size > 0 ? "up-wash" : "down-wash"], x + 2, y + 3, px, ROW - 7);
}

function sparkline(c, points, x, y, w, h) {
  const known = points.filter((v) => v === v), low = Math.min(...known), high = Math.max(...known);
  if (known.length < 2) return;
  const up = known[known.length - 1] >= known[0], k = high > low ? h / (high - low) : 0;
  const at = points.map((v, i) => [x + (i / (SPARK_POINTS - 1)) * w, k ? y + h - (v - low) * k : y + h / 2]).filter(([, v]) => v === v);
  line(c, at, up ? T.up : T.down, 1);
}

// Values of the rows that are looked at, one a second since they are: what a sparkline draws.
class Trails {
  constructor() { [this.rows, this.version] = [new Map(), 0]; }

  of(id, name) { return this.rows.get(id)?.[name] || []; }
  versionOf(id, name) { return this.rows.get(id)?.[name] ? this.version : 0; }

  sample(sheet) {
    const columns = sheet.columns.filter((k) => k.form === "spark");
    if (!columns.length) return;
    this.version += 1;
    for (let line = 0; line < sheet.lines; line++) {
      const row = sheet.rowAt(line);
      if (!row || row.group >= 0) continue;
      const kept = this.rows.get(row.id) || {};
      for (const k of columns) {
        const trail = (kept[k.name] ||= []);
        trail.push(sheet.valueOf(row, k));
        if (trail.length > SPARK_POINTS) trail.shift();
      }
      this.rows.delete(row.id); // The newest stand last, so the first is the longest unseen.
      this.rows.set(row.id, kept);
    }
    for (const id of this.rows.keys()) { if (this.rows.size <= TRAILS_MAX) break; this.rows.delete(id); }
  }
}

// Greatest size on the glass by column, in steps of 1, 2, 5, so that bars do not tremble with it.
function scalesOf(sheet) {
  const scales = new Map();
  for (const k of sheet.columns) {
    if (k.form !== "bar" && k.form !== "heat") continue;
    let most = 0;
    for (let line = 0; line < sheet.lines; line++) {
      const row = sheet.rowAt(line), v = row && row.group < 0 ? Math.abs(sheet.valueOf(row, k)) : 0;
      if (v > most) most = v;
    }
    const power = 10 ** Math.floor(Math.log10(most || 1));
    scales.set(k.name, [1, 2, 5, 10].find((step) => step * power >= most) * power);
  }
  return scales;
}
