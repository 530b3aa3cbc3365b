// Law: the link. At which server the page hangs. Bokeh's socket is the first; when that has closed or says
// nothing any more, the page goes on at another server with a socket of its own: it shows its ticket, tells
// all its wishes in one message, and numbers come as before. So it does where its server lives and has no
// market, if another one has it. Bokeh's document stays as it is. It knows servers and moments, no numbers.

const QUIET_MS = 1000, SILENT_MS = 2000; // Then ask whether anybody is there; then leave.
const OPEN_MS = 1500, OPEN_TIMES_MAX = 4, RETRY_MS = 250, RETRY_MS_MAX = 3000;
// Pages that lose one server together do not come all at once to the next: one costs it 2 ms, and whoever is there already
// wants his cells meanwhile. Two hundred come in 2.4 s; all are to be back within 5 s.
const SPREAD_MS_EACH = 12, SPREAD_MS_MAX = 3500;
const BLIND_MS = 3000, MOVE_MS = 2000, MOVE_MS_MAX = 30000; // Without a market for so long: ask another, later and later.
const REFUSED = 4403, NEW_MS_MAX = 5000;
const DOCUMENT_MS = [2000, 6000]; // Stock panels want a server behind Bokeh's document too, when the rush is over.

function hangUp(socket) {
  socket.onopen = socket.onmessage = socket.onclose = null;
  socket.close();
}

const RENEW_MS = 20 * 60e3;
class Link {
  constructor(desk) {
    this.desk = desk;
    this.known = null; // Server and ticket; null: Bokeh alone connects again.
    this.socket = null; // Our own, while it is the link.
    this.trying = null;
    this.later = []; // Said while nobody could hear it.
    this.heardAt = performance.now();
    this.silentSince = 0; // When the server was last heard that was lost last.
    [this.gaps, this.backs] = [[], []]; // Of each loss: seconds without numbers, and when new ones were painted.
    this.tries = 0; // Since the last push.
    this.blindAt = this.moveAt = 0; // When its server lost the market; when to ask another for it.
    this.moves = 0; // Asked in vain.
    this.restrained = new WeakSet();
    this.asked = 0; // Rounds since the page asked whether anybody is there.
    this.renewing = setInterval(() => this.renew(), RENEW_MS);
    addEventListener("online", () => this.hurry());
    addEventListener("pagehide", () => { this.gone = true; });
    addEventListener("pageshow", () => { this.gone = false; });
    document.addEventListener("visibilitychange", () => document.hidden || this.hurry());
  }

  get away() { return this.desk.health.lostAt > 0; }

  // A page that stays open keeps its sign-in; where nobody is asked to sign in there is nothing to keep.
  async renew() {
    const answer = await fetch(new URL("./login/renew", this.desk.home), { method: "POST", credentials: "include" }).catch(() => null);
    if (answer?.status === 404) clearInterval(this.renewing);
    if (answer?.status === 401) this.desk.reload();
  }

  // Bokeh has made or remade its document: its socket is the link.
  bind(model) {
    this.model = model;
    this.left = false; // Bokeh's own socket.
    this.drop();
    if (model.ticket) {
      this.known = JSON.parse(model.ticket);
      for (const bokeh of window.Bokeh.documents) this.restrain(bokeh);
    }
    socketWatch.onPush = (push) => { if (!this.socket) this.take(push); }; // Else it speaks to whom it still believes here.
    socketWatch.onClose = () => { if (!this.socket) this.lost(); };
    socketWatch.onHeard = () => { if (!this.socket) this.heard(); };
    watchSockets();
    this.heard();
  }

  // Bokeh tries five times and no more, each time for a whole document; it does so when we say.
  restrain(bokeh) {
    bokeh.config.setv({ reconnect_session: false }, { silent: true, sync: false });
    if (this.restrained.has(bokeh)) return;
    this.restrained.add(bokeh);
    bokeh.on_event("connection_lost", (_, event) => {
      this.reconnectBokeh = () => event.reconnect();
      if (this.socket) this.restore();
    });
  }

  // The document, where stock panels may ask something of it.
  restore() {
    const [least, most] = DOCUMENT_MS;
    clearTimeout(this.restoring);
    if (this.desk.stocks.length) this.restoring = setTimeout(() => this.socket && this.reconnectBokeh?.(), least + Math.random() * (most - least));
  }

  take(push) {
    this.heard();
    this.tries = 0;
    this.desk.take(push);
  }

  heard() { this.heardAt = performance.now(); this.asked = 0; }

  say(message) {
    if (this.trying) this.later.push(message);
    else if (this.socket) this.socket.send(JSON.stringify(message));
    else if (!this.left) this.model.send_msg(message);
  }

  sendBinary(data) { return this.socket ? sendOn(this.socket, data) : sendBinary(data); }

  // Four times a second. A page that was busy itself has not listened: its rounds count, not the clock.
  tick() {
    if (!this.known || (this.away && !this.socket)) return;
    this.look();
    const quiet = performance.now() - this.heardAt;
    if (quiet < QUIET_MS) return;
    if (!this.asked++) this.sendBinary(writeBeat());
    else if (quiet >= SILENT_MS && this.asked > 3) this.lost();
  }

  // A server that lives and has no market is left where another one has it. Until that has said so the page stays.
  look() {
    const now = performance.now(), { status } = this.desk.health;
    const blind = status && !status.asof && status.state !== "live" && !status.starting?.["live.0"];
    if (!blind) [this.blindAt, this.moveAt, this.moves] = [0, 0, 0];
    else if (!this.blindAt) [this.blindAt, this.moveAt] = [now, now + BLIND_MS * (1 + Math.random())];
    else if (now >= this.moveAt && !this.trying && !this.away) {
      this.moveAt = now + Math.min(MOVE_MS_MAX, MOVE_MS * 2 ** this.moves++) * (0.5 + Math.random());
      this.dial(true, { moving: true });
    }
  }

  lost() {
    if (this.gone) return;
    if (!this.away) {
      this.silentSince = this.heardAt;
      this.desk.lost();
    }
    if (!this.known) { this.left = true; return; }
    const { sessions = 1 } = this.desk.health.status || {};
    this.drop();
    this.left = true;
    socketWatch.leave();
    this.again(this.tries ? this.wait() : Math.random() * Math.min(SPREAD_MS_MAX, SPREAD_MS_EACH * sessions));
  }

  wait() { return Math.min(RETRY_MS_MAX, RETRY_MS * 2 ** (this.tries++ - 1)) * (0.5 + Math.random() / 2); }

  again(ms) {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.open(), ms);
  }

  hurry() { if (this.known && this.away && !this.trying) this.again(0); }

  drop() {
    clearTimeout(this.timer);
    clearTimeout(this.limit);
    for (const socket of [this.socket, this.trying]) if (socket) hangUp(socket);
    this.socket = this.trying = null;
    this.later = [];
  }

  open() {
    if (this.gone) return;
    // Not where we come from, unless there is nowhere else.
    this.tries ||= 1;
    this.dial(this.tries % 2, {});
  }

  dial(elsewhere, told) {
    const url = new URL("./link", this.desk.home);
    url.protocol = url.protocol.replace("http", "ws");
    if (elsewhere) url.searchParams.set("avoid", this.known.server);
    const socket = this.trying = new WebSocket(url);
    socket.binaryType = "arraybuffer";
    socket.onopen = () => socket.send(JSON.stringify({ ticket: this.known.ticket, ...told, ...this.desk.past.moment(), wishes: this.desk.tell() }));
    socket.onmessage = (event) => this.welcome(socket, JSON.parse(event.data));
    socket.onclose = (event) => this.failed(event.code);
    // Longer each time: a server that many come to at once is slow, not away.
    this.limit = setTimeout(() => { hangUp(socket); this.failed(0); }, OPEN_MS * Math.min(this.tries || 1, OPEN_TIMES_MAX));
  }

  failed(code) {
    clearTimeout(this.limit);
    const { later } = this;
    [this.trying, this.later] = [null, []];
    if (!this.away) { // It has only asked, and stays where it is.
      for (const message of later) this.say(message);
      return;
    }
    if (code === REFUSED) setTimeout(() => this.desk.reload(), Math.random() * NEW_MS_MAX);
    this.again(this.wait());
  }

  welcome(socket, told) {
    clearTimeout(this.limit);
    const { later, socket: former } = this;
    if (!this.away) { // It leaves a server that has no market: since then nothing was shown. Bokeh's document stays there.
      if (former) hangUp(former);
      this.silentSince = this.blindAt || this.heardAt;
      this.desk.lost();
    }
    [this.known, this.socket, this.trying, this.later] = [told, socket, null, []];
    this.heard();
    socket.onmessage = (event) => (isPush(event.data) ? this.take(event.data) : this.heard());
    socket.onclose = () => { this.socket = null; this.lost(); };
    for (const message of later) this.say(message);
    this.restore();
  }
}
