// Law: what the page knows. Values of each feed by slot, which rows the slots show, how often each
// cell changes, and what the server last said of itself. It draws nothing and asks nobody.

const FLASH_MS = 400, FLASH_GAP_MS = 340, BUSY_MS = 250;
let STALE_S = []; // By asset class, of the desk's spec.
const BACK_MS = 4000;
const POINTS_MAX = 4000; // A chart is at most about 1,000 px wide.
const HALTED = 1, CROSSED = 2, LOCKED = 4, ONE_SIDED = 8, GAP = 16, CORRECTED = 32, AUCTION = 64, CLOSED = 128, INDICATIVE = 256, ESTIMATED = 512;

// Ids of rows: from GROUP_ID on they are heads of groups, the highest is the total.
const GROUP_ID = 2 ** 31, TOTAL_ID = 2 ** 32 - 1, NOBODY_ID = TOTAL_ID - 1 - GROUP_ID;

class GridFeed {
  constructor(spec) {
    this.columns = spec.columns;
    this.width = spec.columns.length;
    this.table = spec.table;
    this.window = spec.window || null; // [first, count] that the page asks for; null: see Desk.bind.
    this.total = -1; // Unknown until the first ROWS.
    this.first = 0;
    this.rows = new Uint32Array(0);
    this.pinned = -1; // Slot of the pinned total, behind the rows; -1 without one.
    this.listeners = [];
    this.behind = false;
    this.grow(64);
  }

  grow(slots) {
    const n = slots * this.width, old = this.value;
    this.slots = slots;
    const wide = (Kind, fill) => new Kind(n).fill(fill);
    this.value = wide(Float64Array, NaN);
    this.changed = wide(Float64Array, -1e9); // ms of the last change
    this.every = wide(Float32Array, 2000); // smoothed ms between changes
    this.flashed = wide(Float64Array, -1e9); // ms when the flash began
    this.direction = wide(Int8Array, 0);
    if (old) this.value.set(old);
  }

  index(name) { return this.columns.indexOf(name); }
  slotOf(row) { return this.rows.indexOf(row); }
  at(slot, j) { return slot < 0 || j < 0 ? NaN : this.value[slot * this.width + j]; }
  get(slot, name) { return this.at(slot, this.index(name)); }

  // A slot that shows another row starts anew: no flash tells of a change that was none.
  setRows({ total, first, row }) {
    const order = Uint32Array.from(row);
    if (order.length > this.slots) this.grow(order.length + 32);
    for (let slot = 0; slot < order.length; slot++) {
      if (slot < this.rows.length && this.rows[slot] === order[slot]) continue;
      const from = slot * this.width, to = from + this.width;
      this.value.fill(NaN, from, to);
      this.changed.fill(-1e9, from, to);
      this.every.fill(2000, from, to);
      this.flashed.fill(-1e9, from, to);
      this.direction.fill(0, from, to);
    }
    const last = order.length - 1, pinned = last >= 0 && order[last] === TOTAL_ID;
    [this.total, this.first, this.rows, this.pinned] = [total, first, pinned ? order.subarray(0, last) : order, pinned ? last : -1];
    for (const tell of this.listeners) tell(-1);
  }

  // Columns of which nothing is told for a while: what they hold would be old.
  blank(places) {
    for (let slot = 0; slot <= this.rows.length; slot++) for (const j of places) this.value[slot * this.width + j] = NaN;
  }

  // `behind`: what comes next has changed while nobody told us; it is shown, and flashed as no tick.
  setCells({ value, cell }, now) {
    const { behind } = this;
    if (cell.length) this.behind = false;
    for (let k = 0; k < cell.length; k++) {
      const i = cell[k], v = value[k];
      if (i >= this.value.length) this.grow(Math.ceil((i + 1) / this.width) + 32);
      const old = this.value[i];
      if (v === old || (v !== v && old !== old)) continue;
      this.value[i] = v;
      if (old === old && !behind) {
        const gap = Math.min(2000, now - this.changed[i]);
        this.every[i] += (gap - this.every[i]) * 0.25;
        this.direction[i] = v > old ? 1 : v < old ? -1 : 0;
        if (this.every[i] >= BUSY_MS && now - this.flashed[i] >= FLASH_GAP_MS) this.flashed[i] = now;
      }
      this.changed[i] = now;
      for (const tell of this.listeners) tell(i);
    }
  }

  // A cell that changes over four times a second does not flash; a dot says that it is busy.
  busy(i, now) { return this.every[i] < BUSY_MS && now - this.changed[i] < 1000; }

  sum(name, keep) {
    const j = this.index(name);
    let sum = 0, any = false;
    for (let slot = 0; slot < this.rows.length; slot++) {
      const v = this.value[slot * this.width + j];
      if (v === v && (!keep || keep(this.rows[slot]))) { sum += v; any = true; }
    }
    return any ? sum : NaN;
  }
}

class SeriesFeed {
  constructor() { this.clear(-1); this.version = 0; }

  clear(row) {
    this.row = row;
    this.t_ms = []; this.last = []; this.vwap = []; this.volume = [];
  }

  set({ row, append, t_ms, last, vwap, volume }) {
    if (!append || row !== this.row) this.clear(row);
    for (let i = 0; i < t_ms.length; i++) {
      // A moment that is there already is written over, with all that came after it.
      let at = this.t_ms.length;
      while (at && this.t_ms[at - 1] >= t_ms[i]) at--;
      for (const list of [this.t_ms, this.last, this.vwap, this.volume]) list.length = at;
      this.t_ms.push(t_ms[i]); this.last.push(last[i]); this.vwap.push(vwap[i]); this.volume.push(volume[i]);
    }
    // Half of the points say as much once there are several for a pixel.
    if (this.t_ms.length > POINTS_MAX) {
      const keep = (_, i) => i % 2 === 1;
      for (const name of ["t_ms", "last", "vwap", "volume"]) this[name] = this[name].filter(keep);
    }
    this.version += 1;
  }
}

// Instruments by row id. JSON is a list of objects, or {fields, rows} which is a third of the size.
class Instruments {
  constructor(json) {
    this.by = new Map();
    const data = json ? JSON.parse(json) : [];
    const rows = Array.isArray(data) ? data : data.rows.map((row) => Object.fromEntries(data.fields.map((f, i) => [f, row[i]])));
    this.add(rows);
  }
  add(rows) { for (const row of rows) this.by.set(row.id, row); }
  get size() { return this.by.size; }
  get(id) { return this.by.get(id); }
}

// What the numbers of groups, books and limits mean; told beside the tables, seldom.
class Names {
  constructor() { this.set({}); }
  set(told) {
    this.scopes = told.scopes || [];
    this.keys = told.keys || {};
    this.limits = told.limits || {};
    this.books = told.books || {};
    this.quant = told.quant?.said || {}; // Why a quant's column is blank, by its name.
  }
  get known() { return this.scopes.length > 0; }

  // A group's name: of "class" 7 it is "Crypto perpetual".
  group(scope, key) {
    const kind = this.scopes[scope], name = this.keys[kind]?.[key];
    if (name === undefined) return kind ? `${kind} ${key}` : "";
    if (kind === "class") return CLASS_OF[name] || name;
    return name === "-" ? "Not said" : name;
  }
  // A limit with its group, where its own name does not say that.
  limit(name, scope, key, group) {
    if (scope === "fund" || !key || name.toLowerCase().includes(key.toLowerCase()) || name.toLowerCase().includes(group.toLowerCase())) return name;
    return group + ", " + name.replace(/(, each| in one) .*/, "").toLowerCase();
  }
  scope(number) { return this.scopes[number] || ""; }
  book(id, known = []) { return this.books[id]?.name || this.books[id]?.[0] || known[id] || "Book " + id; }
  trader(id) { const b = this.books[id]; return b ? b.trader || b[1] : "Trader of " + this.book(id); }
  strategy(id) { const b = this.books[id]; return b ? b.strategy || b[2] || "" : ""; }
  // Numbers of the books of a strategy or of a trader.
  booksOf(kind, name) { return kind === "strategy" || kind === "trader" ? Object.keys(this.books).map(Number).filter((id) => this[kind](id) === name) : []; }
  bookNamed(name) { const found = Object.keys(this.books).find((id) => this.book(id) === name); return found ? +found : -1; }
}

// Incidents of limits: those that stand and the newest that are over, told whole each time.
class Incidents {
  constructor() { [this.all, this.version] = [[], 0]; }

  take(told) {
    this.all = told;
    this.version += 1;
  }

  // Unseen first and of these what is over its limit, then seen, then over; the newest of each first.
  list() {
    const rank = (m) => (!m.open ? 3 : m.acknowledged ? 2 : m.level === "breach" ? 0 : 1);
    return [...this.all].sort((a, b) => rank(a) - rank(b) || b.changed_ms - a.changed_ms);
  }
  unseen() { return this.all.filter((m) => m.open && !m.acknowledged); }
  worst() { return this.unseen().some((m) => m.level === "breach") ? "crit" : "warn"; }
  // The newest that got worse.
  raised() { return this.unseen().filter((m) => m.kind === "raised").reduce((a, b) => (a && a.changed_ms >= b.changed_ms ? a : b), null); }
}

// What the server says about once a second, and what can be known between: ages run on.
class Health {
  constructor() {
    this.status = null;
    this.at = -1e12; // ms on the page's clock when the last STATUS came
    this.cellsAt = -1e12;
    this.lostAt = 0;
    this.shift_ms = 0;
    this.attempts = 0;
    this.backAt = -1e12;
    this.backAfter = 0;
  }

  set(status) {
    this.status = status;
    this.at = performance.now();
    // Only a clock that is truly another (a replay, another machine) moves the ages.
    const shift = status.now_ms - Date.now();
    this.shift_ms = Math.abs(shift) > 250 ? shift : 0;
  }

  // Whether it says for a while yet that the link was lost.
  get back() { return performance.now() - this.backAt < BACK_MS; }

  now() {
    const past = this.status?.asof; // Its clock stands, or runs as fast as it is played.
    if (past) return past.ts_ms + (past.playing ? (performance.now() - this.at) * past.speed : 0);
    return Date.now() + this.shift_ms;
  }

  // Seconds since the process `risk` last told something; NaN where it never did.
  riskAge() {
    const age = this.status?.risk_age_s;
    return age == null ? NaN : age + Math.max(0, (performance.now() - this.at) / 1e3 - 1.2);
  }

  // {word, tone, age}: what the LIVE tag says. Cells that move prove life; without them the newest
  // STATUS must be at most 1.3 s old and its feed at most 1 s.
  state() {
    const now = performance.now();
    if (this.lostAt) return { word: "RECONNECTING", tone: "warn", age: (now - this.lostAt) / 1e3 };
    if (!this.status) return { word: "CONNECTING", tone: "mute", age: NaN };
    if (this.status.asof) return { word: "PAST", tone: "past", age: NaN };
    const since = (now - this.at) / 1e3;
    const cells = (now - this.cellsAt) / 1e3, { state, live_age_s, feed_age_s } = this.status;
    const making = this.status.starting?.["live.0"];
    if (state !== "live" && making) return { word: "STARTING", tone: "mute", age: making[1] + since, what: making[0] };
    if (state !== "live") return { word: state === "down" ? "DOWN" : "STALE", tone: "warn", age: (live_age_s || 0) + since };
    if (cells > 1 && since > 1.3) return { word: "STALE", tone: "warn", age: Math.min(cells, since + (live_age_s || 0)) };
    const feed = feed_age_s + since;
    if (cells > 1 && feed > 1.05) return { word: "FEED SILENT", tone: "warn", age: feed };
    return { word: "LIVE", tone: "ok", age: Math.min(cells, since) };
  }
}
