// Law: the wire. Pushes are parsed here and nowhere else; acknowledgements and control leave here;
// the time from event to paint is measured here. It knows bytes and clocks, no pixels.

const PUSH_MAGIC = 0x31504754, ACK_MAGIC = 0x31414754; // "TGP1", "TGA1"
const CELLS = 1, ROWS = 2, SERIES = 3, STATUS = 4, NAMES = 5, ALERTS = 6, REFERENCE = 7, ANSWER = 8, FIGURE = 9;
const JSON_KINDS = { [STATUS]: "status", [NAMES]: "names", [ALERTS]: "alerts", [REFERENCE]: "reference", [ANSWER]: "answer" };

const wallMs = () => performance.timeOrigin + performance.now();

// Calls `on.cells | rows | series`, or `on` by the name of a JSON kind, for each section; returns the header, or null when the
// buffer is not a push.
function readPush(buffer, on) {
  const head = new DataView(buffer, 0, 32);
  if (head.getUint32(0, true) !== PUSH_MAGIC) return null;
  const sections = head.getUint16(4, true);
  const push = { steps: head.getUint16(6, true), sequence: head.getFloat64(8, true), ts_push: head.getFloat64(16, true), epoch: head.getFloat64(24, true) };
  let at = 32;
  for (let i = 0; i < sections; i++) {
    const view = new DataView(buffer, at, 8);
    const feed = view.getUint16(0, true), kind = view.getUint16(2, true), bytes = view.getUint32(4, true);
    at += 8;
    if (kind === CELLS) on.cells(feed, readCells(buffer, at));
    else if (kind === ROWS) on.rows(feed, readRows(buffer, at));
    else if (kind === SERIES) on.series(feed, readSeries(buffer, at));
    else if (kind === FIGURE) on.figure(readFigure(buffer, at));
    else if (JSON_KINDS[kind]) on[JSON_KINDS[kind]](JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, at, bytes))));
    at += bytes;
  }
  return push;
}

function readCells(buffer, at) {
  const [n, rows] = new Uint32Array(buffer, at, 2);
  const base_ms = new Float64Array(buffer, at + 8, 1)[0];
  let next = at + 16;
  const value = new Float64Array(buffer, next, n);
  next += 8 * n;
  const stamp = new Float32Array(buffer, next, rows);
  next += 4 * rows;
  const slot = new Uint16Array(buffer, next, rows);
  next += 2 * rows;
  return { base_ms, value, stamp, slot, cell: new Uint16Array(buffer, next, n) };
}

function readRows(buffer, at) {
  const [total, first, n, order] = new Uint32Array(buffer, at, 4);
  return { total, first, order, row: new Uint32Array(buffer, at + 16, n) };
}

function readSeries(buffer, at) {
  const [row, n, mode] = new Uint32Array(buffer, at, 4);
  const part = (i) => new Float64Array(buffer, at + 16 + 8 * n * i, n);
  return { row, append: mode === 1, t_ms: part(0), last: part(1), vwap: part(2), volume: part(3) };
}

function writeAck(sequence, samples, worst_ms) {
  const out = new DataView(new ArrayBuffer(24));
  out.setUint32(0, ACK_MAGIC, true);
  out.setUint32(4, samples, true);
  out.setFloat64(8, sequence, true);
  out.setFloat64(16, worst_ms, true);
  return out.buffer;
}

// Where the milliseconds of a push go on this side: from the server's write to its arrival, reading
// it, and from its arrival until it is painted. Kept until a bench asks.
const STAGES_MAX = 20_000;
class Stages {
  constructor() { this.clear(); }
  clear() { this.socket = []; this.apply = []; this.paint = []; }
  add(stage, ms) { if (this[stage].length < STAGES_MAX) this[stage].push(ms); }
  drain() {
    const at = (sorted, share) => (sorted.length ? sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] : null);
    const out = {};
    for (const name of ["socket", "apply", "paint"]) {
      const sorted = this[name].sort((a, b) => a - b);
      out[name] = { p50: at(sorted, 0.5), p99: at(sorted, 0.99), samples: sorted.length };
    }
    this.clear();
    return out;
  }
}

// Bokeh's own socket, remembered whenever Bokeh sends, so that a reconnect is followed by itself.
// A push stands between Bokeh's messages: it is taken here, in front of Bokeh's own listener.
const socketWatch = { socket: null, onClose: null, onPush: null };
const isPush = (data) => data instanceof ArrayBuffer && data.byteLength >= 32 && new DataView(data).getUint32(0, true) === PUSH_MAGIC;
function watchSockets() {
  const proto = WebSocket.prototype;
  if (proto.send.tickglass) { Object.assign(proto.send.tickglass, { onClose: socketWatch.onClose, onPush: socketWatch.onPush }); return; }
  const send = proto.send;
  proto.send = function (data) {
    if (this !== socketWatch.socket && this.protocol === "bokeh" && new URL(this.url).pathname.endsWith("/ws")) {
      socketWatch.socket = this;
      const bokeh = this.onmessage;
      this.onmessage = (event) => (isPush(event.data) ? socketWatch.onPush?.(event.data) : bokeh.call(this, event));
      this.addEventListener("close", () => { if (socketWatch.socket === this) { socketWatch.socket = null; socketWatch.onClose?.(); } });
    }
    return send.call(this, data);
  };
  proto.send.tickglass = socketWatch;
}
function sendBinary(data) {
  const socket = socketWatch.socket;
  if (!socket || socket.readyState !== WebSocket.OPEN) return false;
  socket.send(data);
  return true;
}

// Latencies in ms: histograms of the last five seconds for the strip, and every sample for a bench.
const BINS = 2000, BIN_MS = 0.5, SECONDS = 5, SAMPLES_MAX = 1_000_000; // A million is 20 minutes at 800/s.
class Latency {
  constructor() {
    this.seconds = Array.from({ length: SECONDS }, () => new Uint32Array(BINS));
    this.now = 0;
    this.store = [];
    this.total = 0;
    this.lost = 0;
    this.worst_ms = 0;
  }

  add(ms) {
    this.total += 1;
    if (this.store.length < SAMPLES_MAX) this.store.push(ms); else this.lost += 1;
    this.seconds[this.now][Math.min(BINS - 1, Math.max(0, Math.floor(ms / BIN_MS)))] += 1;
    if (ms > this.worst_ms) this.worst_ms = ms;
  }

  // Called once a second: the oldest second is forgotten.
  turn() {
    this.now = (this.now + 1) % SECONDS;
    this.seconds[this.now].fill(0);
  }

  histogram() {
    const sum = new Uint32Array(BINS);
    for (const second of this.seconds) for (let i = 0; i < BINS; i++) sum[i] += second[i];
    return sum;
  }

  // Upper edges of the bins that hold the quantiles; NaN without samples.
  quantiles(shares) {
    const sum = this.histogram();
    const total = sum.reduce((a, b) => a + b, 0);
    return shares.map((share) => {
      if (!total) return NaN;
      let seen = 0;
      for (let i = 0; i < BINS; i++) if ((seen += sum[i]) >= share * total) return (i + 1) * BIN_MS;
      return BINS * BIN_MS;
    });
  }

  drain() {
    const out = this.store;
    this.store = [];
    return out;
  }
}
