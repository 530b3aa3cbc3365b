// Law: what one cell says. A column, a row and a value become text, style and marks; the same cell
// described twice is equal, and then it is not drawn again. Nothing here touches a canvas.

const COLORS = ["text", "text2", "text3", "up", "down", "zero", "warn", "crit", "ok", "vwap"];
const TEXT = 0, TEXT2 = 1, TEXT3 = 2, UP = 3, DOWN = 4, ZERO = 5, WARN = 6, CRIT = 7;
const isNought = (text) => +text === 0; // As it is written; signs and commas are never nought.
const hueIndex = (v) => (v > 0 ? UP : v < 0 ? DOWN : ZERO);

// Marks: the second sign of a state, beside its colour.
const M_CROSSED = 1, M_CROSS = 2, M_CORRECTED = 4, M_ABSENT = 8, M_RISE = 16, M_FALL = 32;
const M_FRESH = 64, M_AGEING = 128, M_STALE = 256, M_BUSY_UP = 512, M_BUSY_DOWN = 1024;
const M_HALT = 2048, M_AUCTION = 4096, M_CLOSED = 8192, M_GAP = 16384;
const M_STEP_UP = 32768, M_STEP_DOWN = 65536, M_FOCUS = 131072, M_SELECTED = 262144, M_HATCH = 524288;
const M_INDICATIVE = 2 ** 20, M_ESTIMATE = 2 ** 21, M_WARN = 2 ** 22, M_BREACH = 2 ** 23, M_DOUBT = 2 ** 24;
const M_GROUP = 2 ** 25, M_OPEN = 2 ** 26, M_SHUT = 2 ** 27, M_PIN = 2 ** 28, M_RANGE = 2 ** 29;
const M_TAG = M_HALT | M_AUCTION | M_CLOSED | M_INDICATIVE;

const REDUCED = matchMedia("(prefers-reduced-motion: reduce)");

// One line of a grid as it is drawn now; made once and filled again for every row.
class RowView {
  fill(id, slot, instrument, state, age_s, selected) {
    [this.id, this.slot, this.instrument, this.selected] = [id, slot, instrument, selected];
    this.state = state === state ? state : 0;
    this.group = -1; // Number of the group whose head this line is.
    this.age_s = age_s;
    this.halted = (this.state & HALTED) !== 0;
    // It or its class says how long a number may stand; a shut market is not late.
    const limit = instrument ? instrument.stale_s || STALE_S[instrument.asset_class] : 10;
    this.stale = age_s > (limit || 10) && !(this.state & (HALTED | CLOSED));
    return this;
  }
}

class Cell {
  reset() {
    this.text = ""; this.tail = ""; this.color = TEXT; this.font = VALUE; this.marks = 0;
    this.flash = 0; // 0 none, 1-4 rise by step, 5-8 fall by step
    this.bar = null;
    this.wash = 0; // What a conditional format draws below the text, as a small whole number.
    return this;
  }
  // Unique: marks have 30 bits, a wash 7, and 50 bits are exact in a float64.
  key() { return (this.wash * 1073741824 + this.marks) * 8192 + this.flash * 512 + this.font * 32 + this.color; }
}

// `kept`: the text drawn last for the same value, or null when it must be made.
const ESTIMATES = new Set(["mark", "exposure", "pnl"]); // What an estimated mark makes an estimate.
const FORMATS = {
  price(cell, row, v, column, kept) {
    const ref = row.instrument;
    cell.text = kept ?? price(v, ref ? ref.decimals : 2, ref ? ref.price_format : 0);
    const quote = column.quote;
    if (row.halted || column.quiet) cell.color = TEXT2;
    if (quote && row.state & (CROSSED | LOCKED)) cell.marks |= M_CROSSED;
    if (quote && row.state & CROSSED) cell.marks |= M_CROSS;
    if (quote && row.state & ONE_SIDED && v !== v) cell.marks |= M_ABSENT;
    if (quote && row.state & INDICATIVE) cell.color = TEXT2;
    if (row.state & CORRECTED && (column.name === "last" || column.name === "vwap")) cell.marks |= M_CORRECTED;
    if (column.estimate && row.state & ESTIMATED && v === v) cell.marks |= M_ESTIMATE;
  },
  quantity(cell, row, v, column, kept) {
    cell.text = kept ?? (column.scale ? num(v / column.scale, 2) : whole(v));
    cell.color = v === 0 ? TEXT3 : column.quiet ? TEXT2 : TEXT;
  },
  percent(cell, row, v, column, kept) {
    cell.text = kept ?? (column.signed ? signed(v, column.places ?? 2) : num(v, column.places ?? 1));
    cell.color = !column.signed ? (column.quiet ? TEXT2 : TEXT) : isNought(cell.text) ? ZERO : hueIndex(v);
    if (column.arrow && v === v && !row.stale && !isNought(cell.text)) cell.marks |= v > 0 ? M_RISE : M_FALL;
  },
  basis_points(cell, row, v, column, kept) {
    cell.text = kept ?? signed(v, 1);
    cell.color = isNought(cell.text) ? ZERO : hueIndex(column.cost ? -v : v);
  },
  money_k(cell, row, v, column, kept) {
    cell.text = kept ?? (column.signed ? signed(v / 1e3, 0) : num(v / 1e3, 0));
    // A line without a position is quiet.
    cell.color = isNought(cell.text) ? TEXT3 : column.signed ? hueIndex(column.cost ? -v : v) : column.quiet ? TEXT2 : TEXT;
    if (column.estimate && row.state & ESTIMATED && v === v) cell.marks |= M_ESTIMATE;
  },
  money_m(cell, row, v, column, kept) {
    cell.text = kept ?? (column.signed ? signed(v / 1e6, 1) : num(v / 1e6, 1));
    if (column.name === "net") cell.color = hueIndex(v);
    else if (isNought(cell.text)) cell.color = TEXT3;
    else if (column.quiet) cell.color = TEXT2;
    if (column.estimate && row.state & ESTIMATED && v === v) cell.marks |= M_ESTIMATE;
  },
  count(cell, row, v, column, kept) {
    cell.text = kept ?? num(v);
    cell.color = TEXT2;
  },
  number(cell, row, v, column, kept) {
    const said = column.scale ? v / column.scale : v;
    cell.text = kept ?? (column.signed ? signedNumber(said, column.places) : number(said, column.places));
    cell.color = column.quiet ? TEXT2 : TEXT;
  },
  code(cell, row, v, column) {
    cell.text = v === v ? CODES[column.name]?.words[v] ?? String(v) : "";
    cell.color = TEXT2;
  },
  // How many lines are not in the figure: nought is quiet, more is a warning with its sign.
  missing(cell, row, v, column, kept) {
    cell.text = kept ?? num(v);
    cell.color = v > 0 ? WARN : TEXT3;
    if (v > 0) cell.marks |= M_DOUBT;
  },
  use(cell, row, v, column, kept) {
    cell.text = kept ?? num(v, 0);
    cell.color = row.level === 2 ? CRIT : row.level ? WARN : TEXT;
    if (row.level) cell.font = BOLD;
  },
  // Its own unit: money brief, shares in percent; see `amount`.
  amount(cell, row, v, column, kept) {
    cell.text = kept ?? amount(v);
    cell.color = TEXT2;
  },
  clock(cell, row, v) {
    cell.text = v === v ? clockText(v, "", true) : "";
    cell.color = TEXT3;
    cell.font = SMALL;
  },
  side(cell, row, v, column, kept) {
    cell.text = kept ?? (v === v ? (v > 0 ? "B " : "S ") + whole(Math.abs(v)) : "");
    cell.color = hueIndex(v);
  },
  book(cell, row, v, column, kept, sheet) {
    cell.text = kept ?? (v === v ? sheet.bookName(v) : "");
    cell.color = TEXT2;
  },
  moment(cell, row, v, column, kept, sheet) {
    const own = column.name === "ts_event", age = own ? row.age_s : (sheet.desk.health.now() - v) / 1e3;
    cell.font = SMALL;
    if (!own) { cell.text = age === age ? duration(Math.max(0, age)) : ""; cell.color = TEXT3; return; }
    if (!(age >= 0) && age === age) { cell.marks |= M_FRESH; return; } // Ahead of this clock by a little.
    if (age !== age) return;
    cell.text = age >= 1 ? duration(age) : "";
    cell.color = row.stale ? WARN : TEXT3;
    cell.marks |= age < 1 ? M_FRESH : row.stale ? M_STALE : M_AGEING;
  },
};
let CODES = {}; // Words of codes and bits, of the desk's spec.

// The bits of a state or a smile as words, for those who hover or hear.
function wordsOf(name, v) {
  const known = CODES[name];
  if (!known || !(v === v) || v === null) return "";
  if (!known.bits) return known.words[v] ?? String(v);
  return Object.entries(known.words).filter(([bit]) => v & bit).map(([, word]) => word).join(", ");
}

// Symbol, class chip and plain names do not come from a feed.
const NAMED = {
  symbol(cell, row, v, column, kept, sheet) {
    const s = row.state;
    if (row.group >= 0) { sheet.sayHead(cell, row); return; }
    cell.text = row.instrument ? row.instrument.symbol : "#" + row.id;
    if (s & HALTED) cell.marks |= M_HALT;
    else if (s & AUCTION) cell.marks |= M_AUCTION;
    else if (s & CLOSED) cell.marks |= M_CLOSED;
    else if (s & INDICATIVE) cell.marks |= M_INDICATIVE;
    if (s & GAP) cell.marks |= M_GAP;
  },
  class(cell, row) {
    if (row.group >= 0) return;
    cell.text = row.instrument ? CLASS_CODES[row.instrument.asset_class] || "" : "";
    cell.color = TEXT2;
    cell.font = CHIP;
  },
};

const CLASS_CODES = ["EQ", "ETF", "EQO", "IXF", "RTF", "CMF", "OPF", "FX", "GOV", "CRD", "CSP", "CPP"];
const CLASS_NAMES = ["Cash equity", "ETF", "Equity option", "Index future", "Rates future", "Commodity future",
  "Option on future", "FX", "Government bond", "Credit", "Crypto spot", "Crypto perpetual"];

const CLASS_KEYS = ["equity", "etf", "equity_option", "index_future", "rates_future", "commodity_future",
  "future_option", "fx", "government_bond", "credit", "crypto_spot", "crypto_perpetual"];
const CLASS_OF = Object.fromEntries(CLASS_KEYS.map((key, id) => [key, CLASS_NAMES[id]]));

// Steps of a flash, or the busy dot; with reduced motion an underline that does not fade.
function tickMarks(cell, feed, i, now) {
  const since = now - feed.flashed[i], rise = feed.direction[i] > 0;
  if (since < FLASH_MS && feed.direction[i]) {
    if (REDUCED.matches) cell.marks |= rise ? M_STEP_UP : M_STEP_DOWN;
    else {
      cell.flash = (rise ? 1 : 5) + Math.min(3, Math.floor(since / 100));
      if (since < 300) cell.color = TEXT;
    }
    return true;
  }
  if (feed.direction[i] && feed.busy(i, now)) cell.marks |= rise ? M_BUSY_UP : M_BUSY_DOWN;
  return false;
}
