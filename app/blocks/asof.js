// Law: the past. What a desk that shows the past looks like and how one moves on the tape: clock,
// slider, steps, play, speed, and back to live. On a live desk it is one button. It knows moments
// and wishes; what the past was is told by the same pushes as what is.

const PAST_SPEEDS = [0.25, 0.5, 1, 2, 5, 10, 30, 60];
const PAST_SPAN_MS = 3_600_000; // The slider reaches over so much, around what is shown.
const PAST_ENTRY_MS = 10_000; // Where one enters: so long ago is surely on the tape.
const pastText = (ms) => new Date(ms).toISOString().slice(0, 23);
// Of what was typed, the day being that of `beside` where none is said; NaN where it is no moment.
function pastMoment(typed, beside) {
  const text = typed.trim().replace(" ", "T"), day = pastText(beside).slice(0, 11);
  return Date.parse((/^\d{1,2}:/.test(text) ? day + text.padStart(text[1] === ":" ? text.length + 1 : 0, "0") : text) + (/[zZ]|[+-]\d\d:\d\d$/.test(text) ? "" : "Z"));
}

class AsOf {
  constructor(desk) {
    this.desk = desk;
    const query = new URLSearchParams(location.search);
    this.on = query.has("asof");
    this.move = 0;
    this.moves = []; // ms from each wish to the paint that shows it.
    this.asked = new Map();
    this.root = this.on ? this.bar(query) : null;
    this.button = this.on ? null : el("button", { class: "asof-enter", title: "Show this desk as it was (t)", onclick: () => this.enter() }, "As of");
  }

  bar(query) {
    this.playing = query.get("play") === "1";
    this.speed = PAST_SPEEDS.find((s) => s === +query.get("speed")) || 1;
    this.clock = el("input", { class: "asof-clock", spellcheck: "false", "aria-label": "Moment shown, UTC", title: "2026-11-22T14:03:02.113, UTC; Enter goes there",
      onkeydown: (e) => { e.stopPropagation(); if (e.key === "Enter") { this.typed(); e.target.blur(); } if (e.key === "Escape") e.target.blur(); } });
    this.slider = el("input", { type: "range", class: "asof-slider", step: "any", "aria-label": "Moment on the tape", oninput: () => this.go({ ts_ms: +this.slider.value }) });
    const step = (label, ms, name) => el("button", { title: name, "aria-label": name, onclick: () => this.go({ ts_ms: this.now() + ms, playing: false }) }, label);
    this.play = el("button", { class: "asof-play", onclick: () => this.go({ playing: !this.playing }) });
    this.rate = el("select", { "aria-label": "Speed", onchange: () => this.go({ speed: +this.rate.value }) }, ...PAST_SPEEDS.map((s) => el("option", { value: s, selected: s === this.speed }, s + "×")));
    this.note = el("span", { class: "asof-note", role: "status" });
    this.ends = [el("span", { class: "k" }), el("span", { class: "k" })];
    return el("section", { class: "bar asof", "aria-label": "The past" },
      el("div", { class: "asof-word" }, "PAST"),
      el("div", {}, this.clock, el("span", { class: "k" }, "UTC")),
      el("div", {}, step("−1 m", -60_000, "One minute back"), step("−1 s", -1_000, "One second back"), this.play, step("+1 s", 1_000, "One second on"), step("+1 m", 60_000, "One minute on"), this.rate),
      el("div", { class: "asof-tape" }, this.ends[0], this.slider, this.ends[1]),
      this.note, el("button", { class: "asof-live", title: "Back to live numbers", onclick: () => this.leave() }, "Live"));
  }

  get told() { return this.desk.health.status?.asof || null; }

  // The moment shown; between two messages a play runs on.
  now() {
    const told = this.told;
    if (!told) return NaN;
    const on = told.playing ? (performance.now() - this.desk.health.at) * told.speed : 0;
    return Math.min(told.ts_ms + on, told.last_ms || Infinity);
  }

  go(wish) {
    if (wish.ts_ms !== undefined) {
      wish.move = ++this.move;
      this.asked.set(this.move, performance.now());
    }
    if (wish.playing !== undefined) this.playing = wish.playing;
    if (wish.speed !== undefined) this.speed = wish.speed;
    // One wish is on its way at a time; a slider makes more of them than anyone can see.
    this.wish = { ...this.wish, ...wish };
    if (!this.waiting) this.send();
  }

  send() {
    this.waiting = true;
    clearTimeout(this.lost);
    this.lost = setTimeout(() => { this.waiting = false; if (this.wish) this.send(); }, 2000);
    this.sentMove = this.move;
    this.desk.control({ type: "asof", ...this.wish });
    this.wish = null;
  }

  // After each paint: has what was asked for come to the glass?
  painted() {
    const told = this.told;
    if (!told) return;
    for (const [move, at] of this.asked) if (move <= told.move) { this.moves.push(performance.now() - at); this.asked.delete(move); }
    if (this.moves.length > 10_000) this.moves.splice(0, 5_000);
    if (this.waiting && told.move >= this.sentMove) { this.waiting = false; if (this.wish) this.send(); }
  }

  typed() {
    const ms = pastMoment(this.clock.value, this.now());
    if (ms === ms) this.go({ ts_ms: ms, playing: false });
    else this.note.textContent = "No moment: say 14:03:02.113 or 2026-11-22T14:03:02.113";
  }

  enter(ms = Date.now() - PAST_ENTRY_MS) { location.href = this.address((query) => query.set("asof", pastText(ms))); }
  leave() { location.href = this.address((query) => { for (const name of ["asof", "speed", "play"]) query.delete(name); }); }

  address(change) {
    const url = new URL(location.href);
    change(url.searchParams);
    return url.href.replaceAll("%3A", ":");
  }

  // Where another server is to open the tape: exactly here, or as far as the play has come.
  get here() { return this.told.playing ? this.now() : this.told.ts_ms; }
  moment() { return this.on ? { asof: pastText(this.told ? this.here : Date.now()) } : {}; }

  // Told again on each mount: the server may have begun anew.
  bind() {
    this.waiting = false;
    if (this.on) this.go({ speed: this.speed, playing: this.playing, ...(this.told ? { ts_ms: this.here } : {}) });
  }

  // Four times a second, and after each paint.
  update() {
    const told = this.told;
    if (!this.on || !told) return;
    const now = this.now(), focus = this.root.getRootNode().activeElement;
    this.painted();
    if (!this.waiting) this.playing = told.playing;
    put(this.play, this.playing ? "Pause" : "Play");
    if (focus !== this.clock) this.clock.value = pastText(now);
    if (told.first_ms) {
      const last = Math.min(told.last_ms, Math.max(now + PAST_SPAN_MS / 2, told.first_ms + PAST_SPAN_MS)), first = Math.max(told.first_ms, last - PAST_SPAN_MS);
      Object.assign(this.slider, { min: first, max: last });
      if (focus !== this.slider || !this.waiting) this.slider.value = now;
      put(this.ends[0], pastText(first).slice(11, 19));
      put(this.ends[1], pastText(last).slice(11, 19));
    }
    const gap = (now - told.made_ms) / 1e3;
    put(this.note, told.notes[0] || (told.made_ms ? (gap > 2 ? `as of ${duration(gap)} before` : "") : ""));
    const here = this.address((query) => { query.set("asof", pastText(told.ts_ms)); query.set("speed", String(told.speed)); if (told.playing) query.set("play", "1"); else query.delete("play"); });
    if (here !== location.href && performance.now() - (this.saidAt || 0) > 500) { this.saidAt = performance.now(); history.replaceState(null, "", here); }
  }

  key(e) {
    if (e.key === "t") { if (this.on) this.clock.select(); else this.enter(); } else if (this.on && e.key === "p") this.go({ playing: !this.playing });
    else return false;
    e.preventDefault();
    return true;
  }
}
