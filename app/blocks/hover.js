// Law: the hover card. A cell under a still pointer says its value in full, its age, how it is
// computed and of what; inputs and the events on record are asked for only while a card is open. It
// covers no number that is being read: it stands below its cell, or above it where there is no room.
// Pinned it stays as it is, and can be reached, until Escape or a press elsewhere.

const HOVER_MS = 350, HOVER_GAP = 3;

class HoverCard {
  constructor(desk) {
    this.desk = desk;
    this.root = el("div", { class: "card", role: "tooltip", hidden: true });
    this.at = this.pinned = null;
    this.root.addEventListener("keydown", (e) => { if (e.key === "Escape") { this.close(true); e.stopPropagation(); } });
    addEventListener("pointerdown", (e) => { if (this.pinned && !e.composedPath().includes(this.root)) this.close(true); }, true);
  }

  // `tip(x, y)`: {key, x, y, w, h, title, lines} of what is under the point, or null.
  watch(element, tip) {
    element.addEventListener("pointermove", (e) => {
      if (this.pinned) return;
      const box = element.getBoundingClientRect(), found = e.buttons ? null : tip(e.clientX - box.left, e.clientY - box.top);
      if (found && this.at?.element === element && this.at.key === found.key) return;
      this.close();
      if (!found) return;
      this.at = { element, tip, key: found.key, x: e.clientX - box.left, y: e.clientY - box.top };
      this.timer = setTimeout(() => this.open(), HOVER_MS);
    });
    for (const name of ["pointerleave", "pointerdown", "wheel"]) element.addEventListener(name, () => this.close(), { passive: true });
  }

  // By key: the card of the focused cell.
  toggle(element, tip, x, y) {
    const was = this.shown && this.at.element === element;
    this.close(true);
    if (was) return;
    this.at = { element, tip, key: tip(x, y)?.key, x, y };
    this.open();
  }

  get shown() { return !this.root.hidden; }

  // Keep the card that is open, or that of the focused cell, as it is; press again to let it go.
  pin() {
    if (this.pinned) { this.close(true); return; }
    if (!this.shown) this.desk.input?.card();
    if (!this.shown) return;
    this.pinned = this.at.tip(this.at.x, this.at.y);
    this.said = "";
    this.root.classList.add("pinned");
    this.root.tabIndex = -1;
    this.update();
    this.root.focus({ preventScroll: true });
  }

  open() {
    this.root.hidden = false;
    this.onOpen?.(this.at);
    this.update();
  }

  // A pinned card is closed only by whoever pinned it.
  close(pinned = false) {
    if (this.pinned && !pinned) return;
    clearTimeout(this.timer);
    if (this.shown) { this.root.hidden = true; this.said = ""; this.desk.detailOf(null); this.desk.origin.look(null); }
    if (this.pinned) { this.root.classList.remove("pinned"); this.at.element.focus?.({ preventScroll: true }); }
    this.at = this.pinned = null;
  }

  // Four times a second while open: ages run on, and inputs come.
  update() {
    if (!this.at || !this.shown) return;
    const found = this.pinned || this.at.tip(this.at.x, this.at.y), { origin } = this.desk;
    if (!found) { this.close(); return; }
    if (found.asks) this.desk.detailOf(found.asks);
    origin.look(found.origin || null);
    const said = JSON.stringify([found.title, found.lines, origin.version]);
    if (said === this.said) return;
    this.said = said;
    this.root.replaceChildren(el("h3", {}, found.title), el("dl", {}, ...found.lines.filter(([, v]) => v).map(([k, v]) => el("div", {}, el("dt", {}, k), el("dd", {}, v)))), ...origin.nodes(Boolean(this.pinned)));
    this.place(found);
  }

  place(found) {
    const box = this.at.element.getBoundingClientRect(), mine = this.root.getBoundingClientRect();
    const x = Math.max(0, Math.min(innerWidth - mine.width - 4, box.left + found.x + found.w - mine.width));
    const below = box.top + found.y + found.h + HOVER_GAP, fits = below + mine.height < innerHeight;
    this.root.style.left = Math.round(x) + "px";
    this.root.style.top = Math.round(fits ? below : Math.max(0, box.top + found.y - mine.height - HOVER_GAP)) + "px";
  }
}

// An input's value as the card tells it: moments as ages, codes as words, the rest in full.
function told(column, v, desk) {
  if (v == null || v !== v) return "";
  if (column.name === "ts_event" || column.format === "moment") return duration(Math.max(0, (desk.health.now() - v) / 1e3)) + " ago";
  if (CODES[column.name]) return wordsOf(column.name, v) || "none";
  if (column.format === "book") return desk.names.book(v);
  return full(v) + (UNITS.has(column.unit) ? " " + column.unit : "");
}
const UNITS = new Set(["USD", "%", "bp", "units", "s", "years", "days", "% a year", "% of NAV", "% of gross", "points", "per price", "per day", "per vol point", "price per day", "price per bp", "price per vol point", "USD per bp", "USD per day", "USD per vol point", "USD per 1 %", "per 1", "lines"]);

function instrumentLines(ref) {
  const by = [["Symbol", ref.symbol], ["Class", CLASS_NAMES[ref.asset_class]], ["Venue", ref.venue], ["Currency", ref.currency], ["Multiplier", ref.multiplier ? full(ref.multiplier) : ""]];
  return [...by, ["Expiry", ref.expiry], ["Strike", ref.strike ? full(ref.strike) : ""], ["Sector", ref.sector], ["Country", ref.country]];
}

// What the card of a table's cell says. `detail`: the feed of inputs, `row`: its number there.
function tipOf(sheet, x, y, more) {
  const at = sheet.hit(x, y);
  if (!at) return null;
  const k = at.column, place = { x: at.x, y: at.y, w: at.w, h: ROW, title: k.head || k.name, key: k.name + ":" + at.line };
  const why = k.home?.startsWith("quant") ? [["Note", sheet.desk.names.quant[k.name]]] : [];
  if (at.line < 0) return k.source ? { ...place, lines: [["Unit", k.unit], ["Source", k.source], ...why] } : null;
  const row = sheet.rowAt(at.line);
  if (!row) return null;
  const lines = k.at >= 0 ? [["Value", told(k, sheet.valueOf(row, k), sheet.desk) || "unknown"]] : [];
  if (k.name === "name" && sheet.nameOf) lines.push([sheet.spec.head || "Name", sheet.nameOf(row.slot)]);
  if (k.name === "symbol" && row.instrument) lines.push(...instrumentLines(row.instrument));
  if (row.age_s === row.age_s && row.age_s !== undefined) lines.push(["Age", num(Math.max(0, row.age_s), 3) + " s" + (row.stale ? ", stale" : "")]);
  else if (row.stale) lines.push(["Age", "mark is stale"]);
  const changed = sheet.ageOf && k.at >= 0 && row.group < 0 ? sheet.ageOf(row, k, performance.now()) : NaN;
  if (changed === changed) lines.push(["Changed", num(changed, 1) + " s ago"]);
  if (row.state) lines.push(["State", wordsOf("state", row.state)]);
  if (k.source) lines.push(["Source", k.source], ...why);
  return { ...place, key: place.key + ":" + row.id, lines: lines.concat(more ? more(row, k) : []), asks: more && k.inputs?.length ? sheet.asks?.(at.line) : null, origin: originOf(sheet, row, k) };
}
