// Law: the wire. Pushes are parsed here and nowhere else; acknowledgements and control leave here;
// the time from event to paint is measured here. It knows bytes and clocks, no pixels.

const PUSH_MAGIC = 0x31504754, ACK_MAGIC = 0x31414754, BEAT_MAGIC = 0x31424754; // "TGP1", "TGA1", "TGB1"
const CELLS = 1, ROWS = 2, SERIES = 3, STATUS = 4, NAMES = 5, ALERTS = 6, REFERENCE = 7, ANSWER = 8, FIGURE = 9, OPERATIONS = 10;
const JSON_KINDS = { [STATUS]: "status", [NAMES]: "names", [ALERTS]: "alerts", [REFERENCE]: "reference", [ANSWER]: "answer", [OPERATIONS]: "operations" };

// The page's own clock runs on when the machine's is set or slewed, and stands while it sleeps: it follows. By how many
// ms it was set is answered, 0 where it was not.
const WALL_STEP_MS = 50, WALL_SLEW_MS = 2;
let wallShift = 0;
const wallMs = () => performance.timeOrigin + performance.now() + wallShift;
function followWall() {
  const apart = Date.now() - wallMs(), step = Math.abs(apart) > WALL_STEP_MS;
  if (step) wallShift += apart; else if (Math.abs(apart) > WALL_SLEW_MS) wallShift += apart / 10;
  return step ? apart : 0;
}

// Calls `on.cells | rows | series`, or `on` by the name of a JSON kind, for each section; returns the header, or null when the
// buffer is not a push.
function readPush(buffer, on) {
  const head = new DataView(buffer, 0, 32);
  if (head.getUint32(0, true) !== PUSH_MAGIC) return null;
  const sections = head.getUint16(4, true);
  const push = { sections, steps: head.getUint16(6, true), sequence: head.getFloat64(8, true), ts_push: head.getFloat64(16, true), epoch: head.getFloat64(24, true) };
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

const ACK_BYTES = 24;
function writeAcks(paints, now) {
  const out = new DataView(new ArrayBuffer(ACK_BYTES * paints.length));
  paints.forEach(({ sequence, samples, worst_ms, painted }, i) => {
    const at = ACK_BYTES * i;
    out.setUint32(at, ACK_MAGIC, true);
    out.setUint16(at + 4, Math.min(samples, 0xffff), true);
    out.setUint16(at + 6, Math.max(0, Math.min(now - painted, 0xffff)), true);
    out.setFloat64(at + 8, sequence, true);
    out.setFloat64(at + 16, worst_ms, true);
  });
  return out.buffer;
}

// What was painted in time is told a tenth of a second later, several paints in one message: the server goes on
// sending meanwhile. What took long, and what made up for more than one step, is told at once: the server waits for it.
const ACK_HOLD_MS = 100, ACKS_MAX = 5, PROMPT_MS = 30;
class Acks {
  constructor(send) { this.send = send; this.waiting = []; this.timer = 0; }
  add(paint, urgent) {
    this.waiting.push(paint);
    if (urgent || this.waiting.length === ACKS_MAX) this.tell();
    else this.timer = this.timer || setTimeout(() => this.tell(), ACK_HOLD_MS);
  }
  tell() { this.send(writeAcks(this.drop(), wallMs())); }
  drop() {
    clearTimeout(this.timer);
    this.timer = 0;
    return this.waiting.splice(0);
  }
}

// Whether anybody is there: answered by a push without sections.
function writeBeat() {
  const out = writeAcks([{ sequence: -1, samples: 0, worst_ms: 0, painted: 0 }], 0);
  new DataView(out).setUint32(0, BEAT_MAGIC, true);
  return out;
}

// Where the milliseconds of a push go on this side: from the server's write to its arrival, reading
// it, and from its arrival until it is painted. Kept from one time that a bench asks to the next.
const STAGES_MAX = 20_000;
class Stages {
  constructor() { this.clear(); this.kept = false; }
  clear() { this.socket = []; this.apply = []; this.paint = []; }
  add(stage, ms) { if (this.kept && this[stage].length < STAGES_MAX) this[stage].push(ms); }
  drain() {
    const at = (sorted, share) => (sorted.length ? sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] : null);
    const out = {};
    for (const name of ["socket", "apply", "paint"]) {
      const sorted = this[name].sort((a, b) => a - b);
      out[name] = { p50: at(sorted, 0.5), p99: at(sorted, 0.99), samples: sorted.length };
    }
    this.clear();
    this.kept = true;
    return out;
  }
}

// Bokeh's own socket, remembered whenever Bokeh sends, so that a reconnect is followed by itself.
// A push stands between Bokeh's messages: it is taken here, in front of Bokeh's own listener.
const socketWatch = {
  socket: null, onClose: null, onPush: null, onHeard: null,
  leave() { const { socket } = this; this.socket = null; socket?.close(); },
};
const isPush = (data) => data instanceof ArrayBuffer && data.byteLength >= 32 && new DataView(data).getUint32(0, true) === PUSH_MAGIC;
function watchSockets() {
  const proto = WebSocket.prototype;
  if (proto.send.tickglass) { const { onClose, onPush, onHeard } = socketWatch; Object.assign(proto.send.tickglass, { onClose, onPush, onHeard }); return; }
  const send = proto.send;
  proto.send = function (data) {
    if (this !== socketWatch.socket && this.readyState === WebSocket.OPEN && this.protocol === "bokeh" && new URL(this.url).pathname.endsWith("/ws")) {
      socketWatch.socket = this;
      const bokeh = this.onmessage;
      this.onmessage = (event) => {
        const current = socketWatch.socket === this; // A server that was left may yet say what it had to say.
        if (!isPush(event.data)) { if (current) socketWatch.onHeard?.(); bokeh.call(this, event); } else if (current) socketWatch.onPush?.(event.data);
      };
      this.addEventListener("close", () => { if (socketWatch.socket === this) { socketWatch.socket = null; socketWatch.onClose?.(); } });
    }
    return send.call(this, data);
  };
  proto.send.tickglass = socketWatch;
}
function sendBinary(data) { return sendOn(socketWatch.socket, data); }
function sendOn(socket, data) {
  if (!socket || socket.readyState !== WebSocket.OPEN) return false;
  socket.send(data);
  return true;
}

// Latencies in ms: histograms of the last five seconds for the strip; every sample once a bench has asked for them.
// A negative one, and one beyond a minute, says nothing of the way but something of a clock: such are not counted.
const BINS = 2000, BIN_MS = 0.5, SECONDS = 5, SAMPLES_MAX = 1_000_000; // A million is 20 minutes at 800/s.
const LATENCY_MS_MIN = -1, LATENCY_MS_MAX = 60_000;
class Latency {
  constructor() {
    this.seconds = Array.from({ length: SECONDS }, () => new Uint32Array(BINS));
    this.now = 0;
    this.store = null;
    this.total = 0;
    this.lost = 0;
    this.worst_ms = 0;
    this.strange = 0;
    this.known = true; // Whether the clocks between an event and this page can be believed.
  }

  // From now on; what was measured by a clock that is off is forgotten.
  believe(known) {
    if (this.known && !known) this.forget();
    this.known = known;
  }
  forget() { for (const second of this.seconds) second.fill(0); }

  // Whether it was counted.
  add(ms) {
    if (!this.known || !(ms >= LATENCY_MS_MIN && ms < LATENCY_MS_MAX)) { this.strange += 1; return false; }
    this.total += 1;
    if (this.store && this.store.length < SAMPLES_MAX) this.store.push(ms); else if (this.store) this.lost += 1;
    this.seconds[this.now][Math.min(BINS - 1, Math.max(0, Math.floor(ms / BIN_MS)))] += 1;
    if (ms > this.worst_ms) this.worst_ms = ms;
    return true;
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
    const out = this.store || [];
    this.store = [];
    return out;
  }
}
