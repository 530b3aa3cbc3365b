// Law: the two bars above the panels. Desk and clocks and the LIVE tag; headline figures and the
// health of the feed. They are text in the page, written only where it differs.

const PLACES = [["NY", "America/New_York", 9.5, 16], ["LDN", "Europe/London", 8, 16.5], ["TYO", "Asia/Tokyo", 9, 15.5]];

class TopBar {
  constructor(title, desk) {
    this.desk = desk;
    this.alerts = new AlertCount(desk);
    this.live = { dot: el("b"), word: el("strong"), age: el("span"), date: el("span", { class: "wide" }) };
    this.tag = el("div", { class: "live", role: "status", "aria-live": "polite" }, this.live.dot, this.live.word, this.live.age, this.live.date);
    this.clocks = PLACES.map(([name, zone, open, shut]) => {
      const time = el("b"), mark = el("u");
      return { zone, open, shut, time, root: el("div", { class: "clock" }, mark, el("span", { class: "k" }, name), time) };
    });
    const { stem: here, mine } = desk.spec, current = (name, stem) => (here ? stem === here : name === title);
    this.tabs = desk.spec.desks.map(([name, stem]) => el("a", { href: desk.addressOf(stem), "aria-current": current(name, stem) ? "page" : null }, current(name, stem) && mine ? title : name));
    this.more = el("select", { class: "more", "aria-label": "More desks", onchange: () => { location.href = this.more.value; } });
    this.root = el("nav", { class: "bar", "aria-label": "Desk" },
      el("div", { class: "brand" }, el("i"), el("span", {}, "Tickglass")),
      el("div", { class: "tabs" }, ...this.tabs, this.more),
      el("div", { class: "gap" }), this.alerts.root, desk.past.button || "", desk.mine.button, desk.look.button, this.tag, ...this.clocks.map((k) => k.root));
  }

  // Desks that have no room are in a menu; the one that is open always has its tab.
  fit(anew) {
    if (this.fitted === innerWidth && !anew) return;
    this.fitted = innerWidth;
    for (const tab of this.tabs) tab.hidden = false;
    this.more.hidden = true;
    const far = [...this.tabs].reverse().filter((tab) => !tab.getAttribute("aria-current"));
    const over = () => this.root.scrollWidth > this.root.clientWidth;
    while (far.length && over()) { far.shift().hidden = true; this.more.hidden = false; }
    const gone = this.tabs.filter((tab) => tab.hidden);
    this.more.replaceChildren(el("option", { value: "", selected: true, disabled: true }, `${gone.length} more`), ...gone.map((tab) => el("option", { value: tab.href }, tab.textContent)));
  }

  update() {
    const { health } = this.desk, state = health.state(), now = health.now();
    if (innerWidth >= PHONE_PX && this.root.scrollWidth > this.root.clientWidth && this.tabs.some((tab) => !tab.hidden && !tab.getAttribute("aria-current"))) this.fit(true); // What is said has grown.
    const old = state.word !== "LIVE", back = health.back && !old;
    put(this.live.word, back ? "RECONNECTED" : old && state.age === state.age ? `${state.word} ${duration(state.age)}` : state.word);
    put(this.live.age, old ? "" : back ? `${num(health.backAfter, 1)} s gap` : num(Math.max(0, state.age), 1) + " s");
    put(this.live.date, dateText(now) + " " + clockText(now, "", true));
    tone(this.tag, "live " + state.tone);
    for (const k of this.clocks) {
      const s = clockText(now, k.zone, false), hour = +s.slice(0, 2) + s.slice(3) / 60;
      const day = new Date(new Date(now).toLocaleString("en-US", { timeZone: k.zone })).getDay();
      put(k.time, s);
      tone(k.root, "clock" + (day % 6 && hour >= k.open && hour < k.shut ? "" : " shut"));
    }
    return state;
  }
}

const FIGURES = {
  pnl: ["P&L", (v) => signed(v / 1e6, 2) + " M", true],
  day_pnl: ["Day P&L", (v) => signed(v / 1e6, 2) + " M", true],
  gross: ["Gross", (v) => num(v / 1e6, 0) + " M", false],
  net: ["Net", (v) => signed(v / 1e6, 0) + " M", false],
  long: ["Long", (v) => num(v / 1e6, 0) + " M", false],
  short: ["Short", (v) => num(v / 1e6, 0) + " M", false],
  delta: ["Delta", (v) => signed(v / 1e6, 0) + " M", false],
  vega: ["Vega", (v) => signed(v / 1e3, 0) + " " + thousands("k"), false],
  dv01: ["DV01", (v) => signed(v / 1e3, 0) + " " + thousands("k"), false],
  hist_99: ["VaR 99", (v) => num(v / 1e6, 1) + " M", false],
};
const FIGURES_MS = 200; // As often as totals come.
const PULSE_MAX = 72; // One value a second, one a pixel.

// Up to when the record is countersigned, to the minute; a record that is not as it was sealed says so.
const PROOF_TONES = { late: "warn", wrong: "crit" };
const proofText = (s) => (s.proof === "wrong" ? "RECORD IN DOUBT" : s.countersigned_ms ? clockText(s.countersigned_ms, "", false) : "not yet");

class HeadStrip {
  constructor(spec, desk) {
    this.desk = desk;
    const figure = (name, role) => ({ name, value: el("b"), rule: FIGURES[name], feed: desk.feeds[spec.feeds[role]] });
    this.figures = [...spec.figures.map((name) => figure(name)), ...spec.risk.map((name) => figure(name, name === "hist_99" ? "at_risk" : "fund"))];
    const fact = (before, after, wide) => {
      const value = el("b"), root = el("span", wide ? { class: "wide" } : {}, before, value, after);
      return { value, root };
    };
    this.health = {
      rate: fact("", " ev/s"), behind: fact("behind ", ""), recorded: fact("recorded ", "", true), proof: fact("countersigned ", "", true), gaps: fact("gaps ", ""),
    };
    this.glass = { p50: el("b"), p99: el("b") };
    this.pulseBox = el("div", { class: "pulse wide", "aria-hidden": "true" });
    this.root = el("section", { class: "bar", "aria-label": "Headline and health" },
      ...this.figures.map((f) => (f.root = el("div", { class: "fig" + (f.name === "delta" || f.name === "vega" ? " far" : "") }, el("span", { class: "k" }, f.rule[0]), f.value))), el("div", { class: "gap" }),
      el("div", { class: "health" }, ...Object.values(this.health).map((h) => h.root),
        el("span", {}, "glass p50 ", this.glass.p50, " / p99 ", this.glass.p99, " ms"), this.pulseBox));
    this.pulse = [];
  }

  figuresUpdate() {
    const now = performance.now();
    if (now - (this.figuresAt || 0) < FIGURES_MS) return;
    this.figuresAt = now;
    for (const f of this.figures) {
      const v = f.feed ? f.feed.get(0, f.name) : this.desk.classSum(f.name);
      const { rights } = this.desk, withheld = f.feed ? !rights.fund || rights.column(f.feed.table, f.name) : rights.column("classes", f.name);
      put(f.value, withheld ? WITHHELD : v === v ? f.rule[1](v) : "");
      if (f.feed) f.root.hidden = !(v === v) && !withheld; // Without risk there is no figure, and no gap for it.
      tone(f.value, withheld ? "withheld" : f.rule[2] ? (v > 0 ? "up" : v < 0 ? "down" : "") : "");
    }
  }

  healthUpdate() {
    const s = this.desk.health.status, h = this.health, [p50, p99] = this.desk.latency.quantiles([0.5, 0.99]);
    if (s) {
      put(h.rate.value, num(s.events_per_s));
      put(h.behind.value, s.behind_s == null ? "" : num(s.behind_s, 2) + " s");
      tone(h.behind.value, s.behind_s > 1 ? "warn" : "");
      put(h.recorded.value, brief(s.recorded_rows));
      put(h.proof.value, proofText(s));
      tone(h.proof.value, PROOF_TONES[s.proof] || "");
      h.proof.root.hidden = !s.proof;
      put(h.gaps.value, num(s.gaps));
      tone(h.gaps.value, s.gaps > 0 ? "warn" : "");
    }
    put(this.glass.p50, p50 === p50 ? num(p50) : "");
    put(this.glass.p99, p99 === p99 ? num(p99) : "");
    tone(this.glass.p99, p99 > 50 ? "warn" : "");
    if (p99 === p99) this.pulse.push(p99);
    if (this.pulse.length > PULSE_MAX) this.pulse.shift();
    this.surface ||= new Surface(this.pulseBox);
    this.surface.fit();
    const { c, w, h: high } = this.surface;
    box(c, 0, 0, w, high, T.panel);
    spark(c, 1, 3, w - 2, high - 6, this.pulse, T.text2);
  }
}
