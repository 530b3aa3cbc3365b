// Law: the page. Mounts the panels of the spec, turns pushes into one drawing an animation frame,
// acknowledges what was painted, and keeps everything when the connection comes back.

const SECOND = 1000, NARROW_PX = 1500, PHONE_PX = 700, GIVEN_UP_MS = 40_000;
const PHONE_REST = 399; // Height on a phone of what elsewhere takes the rest.
// A page of 4K gives side panels more width, and panels whose rows are not counted more height.
const VAST_PX = 2800, VAST_TIMES = 1.6, COUNTED = new Set(["bars", "tiles", "feed", "glass"]);
const vast = ({ kind, height }, times) => (times === 1 || !height || COUNTED.has(kind) ? height : Math.round((height / 20) * times) * 20 - 1);
const STEP_MS = 100, BUSY_STEP_MS = 500; // Between frames that nothing but a fading flash asks for.
const CONFLATED_MIN = 1.5; // Steps of the server in one push: from here on the page says that it is shown fewer.

class Desk extends Choices {
  constructor(spec) {
    super();
    this.spec = spec;
    [CODES, STALE_S] = [spec.codes, spec.stale_s];
    this.health = new Health();
    this.link = new Link(this);
    [this.names, this.rights] = [new Names(), new RightsView(this)];
    this.incidents = new Incidents();
    this.figures = new Figures(this);
    [this.operations, this.refused] = [new Operations(), new Refused(this)];
    this.hover = new HoverCard(this);
    this.origin = new Origin(this);
    this.notices = new Notices(this);
    [this.menu, this.keys, this.look] = [new Menu(), new Keys(this), new Look(this)];
    [this.mine, this.arranging, this.here, this.files] = [new Mine(this), new Arranging(this), new Here(this), new Files(this)];
    [this.palette, this.contexts] = [new Palette(this), new Contexts(this)];
    this.stocks = [];
    this.wishes = []; // Told again on each mount and reconnect.
    this.group = null; // The group of exposures that is chosen.
    this.latency = new Latency();
    this.instruments = new Instruments("");
    this.panels = [];
    this.painters = [];
    this.stages = new Stages();
    this.pending = []; // Stamps of rows that wait for the glass: event ms, feed, slot.
    this.taken = null; // What the frame just drawn has put on the glass.
    this.unpainted = 0; // Pushes taken and not drawn.
    this.conflated = false; // Whether one of them made up for several steps.
    this.acks = new Acks((data) => this.link.sendBinary(data));
    this.sequence = -1; // Newest push taken.
    this.painted = -1; // Newest push on the glass.
    this.epoch = 0;
    this.sent = [];
    this.count = { pushes: 0, steps: 0, bytes: 0, cells: 0, paints: 0, paint_ms: 0 };
    this.rate = { ...this.count };
    this.counted = { ...this.count }; // Since the page was opened, up to the last second.
    this.feeds = spec.feeds.map((f) => (f.kind === "grid" ? new GridFeed(f) : f.kind === "series" ? new SeriesFeed() : null));
    this.series = this.feeds.find((f) => f instanceof SeriesFeed);
    this.macrotask = new MessageChannel();
    this.macrotask.port1.onmessage = () => this.afterPaint();
    this.home = spec.home || location.href; // Where our server is: the desk may be part of another's page.
    this.build();
  }

  // ---- mounting -------------------------------------------------------------------------------
  build() {
    this.past = new AsOf(this);
    this.top = new TopBar(this.spec.title, this);
    this.strip = new HeadStrip(this.spec.strip, this);
    const stack = (place) => el("div", { class: "stack " + place });
    const stacks = { left: stack("left"), centre: stack("centre"), right: stack("right") };
    this.footRow = el("div", { class: "row" });
    for (const spec of this.spec.panels) {
      const panel = new Panel(spec);
      panel.body.classList.add(spec.kind);
      this.panels.push(panel);
      (spec.place === "foot" ? this.footRow : stacks[spec.place]).append(panel.root);
    }
    stacks.centre.append(this.footRow);
    this.stacks = stacks;
    this.root = el("div", { class: this.past.on ? "desk past" : "desk" }, this.top.root, ...(this.past.root ? [this.past.root] : []), this.strip.root, this.mine.bar.root, el("main", {}, stacks.left, stacks.centre, stacks.right), this.top.alerts.voice, this.hover.root, this.menu.root, this.keys.root, this.palette.root);
    this.arrange();
  }

  // Heights of the stacks: whole rows, and what is left for the one without a height.
  arrange() {
    this.top.fit();
    const narrow = innerWidth < NARROW_PX, phone = innerWidth < PHONE_PX;
    const times = innerWidth >= VAST_PX ? VAST_TIMES : 1, height = (spec) => (narrow ? spec.narrow : vast(spec, times));
    const [left, right, narrowLeft, narrowRight] = this.spec.widths;
    const widths = narrow ? { left: narrowLeft, right: narrowRight } : { left: left * times, right: right * times };
    for (const [place, root] of Object.entries(this.stacks)) {
      const mine = this.panels.filter((p) => p.spec.place === place);
      for (const p of mine) p.root.hidden = height(p.spec) === null;
      const told = mine.filter((p) => !p.root.hidden).map((p) => height(p.spec));
      if (place === "centre") {
        const foot = this.spec.panels.filter((p) => p.place === "foot").map(height);
        this.footRow.hidden = !foot.length;
        if (foot.length) told.push(phone ? foot.reduce((sum, px) => sum + (px || PHONE_REST) + 1, -1) : Math.max(...foot));
      }
      root.hidden = phone && !told.length;
      // A stack of nothing has no width, and one that does not fill its height ends in the panels' own ground.
      if (place in widths) this.root.style.setProperty("--" + place, (told.length ? Math.round(widths[place]) : 0) + "px");
      const open = told.length > 0 && told.every((px) => px) && !phone;
      root.classList.toggle("open", open);
      // One below the other, and the page scrolls.
      if (phone) { root.style.gridTemplateRows = told.map((px) => (px || PHONE_REST) + "px").join(" "); continue; }
      const rows = heightsIn(told, this.stacks.left.parentNode.clientHeight || innerHeight).map((px) => (px ? px + "px" : "minmax(0, 1fr)"));
      root.style.gridTemplateRows = [...rows, ...(open ? ["minmax(0, 1fr)"] : [])].join(" ");
    }
    for (const { root: panel } of this.panels) panel.classList.remove("cramped");
    if (this.ready) requestAnimationFrame(() => this.fitHeads());
  }

  // A head that has no room for all its buttons has them as a menu, and says less.
  fitHeads() {
    const over = this.panels.filter(({ root, handle }) => !root.hidden && handle && handle.scrollWidth > handle.clientWidth + 1);
    for (const { root } of over) root.classList.add("cramped");
  }

  // Painters need their size and the fonts, so they are made when the desk is in the page.
  start() {
    readTokens();
    readFonts();
    readMeasures();
    this.arrange();
    const grid = (table) => this.feeds.find((f) => f instanceof GridFeed && f.table === table);
    this.classes = grid("classes");
    this.books = grid("books");
    for (const panel of this.panels) {
      const { spec, body } = panel;
      const make = {
        grid: () => this.makeBlotter(panel, grid(spec.table)),
        bars: () => Object.assign(new Bars(body, spec, grid(spec.table), this), { onScroll: () => this.wake() }),
        chart: () => this.makeChart(panel),
        map: () => new ExposureMap(body, spec, grid("classes")),
        glass: () => (this.glass = new GlassChart(body, this.latency)),
        feed: () => { this.feedPanel = new FeedPanel(body, this); return null; },
        stock: () => { this.stocks.push(new StockPanel(panel, this)); return null; },
      }[spec.kind] || (OPERATIONS_PANELS[spec.kind] ? () => this.operations.add(spec.kind, panel, this) : () => (FIGURE_PANELS[spec.kind] || RISK_PANELS[spec.kind])(panel, this));
      panel.painter = madeOrProblem(panel, make);
      if (panel.painter) this.painters.push(panel.painter);
      this.hoverOn(panel);
      this.files.offer(panel);
    }
    this.paper = new Paper(this);
    this.here.arrive();
    this.arranging.start();
    if (this.spec.said) this.mine.bar.say(this.spec.said + ".");
    new ResizeObserver(() => { this.arrange(); this.wake(); }).observe(this.root);
    document.addEventListener("visibilitychange", () => this.wake());
    document.addEventListener("keydown", (e) => this.key(e));
    setInterval(() => this.tick(), SECOND / 4);
    this.ready = true;
  }

  makeBlotter(panel, feed) {
    const { sets, feeds } = panel.spec, all = sets.map((_, i) => (i ? this.feeds[feeds["set" + i]] : feed));
    const blotter = new (panel.spec.table === "positions" ? Positions : Blotter)(panel.body, panel.spec, all, this);
    this.blotter = blotter;
    this.blotterPanel = panel;
    this.base = panel.spec.base || [];
    this.filter.classes = [...this.base];
    this.input = new BlotterInput(panel.body, blotter, this);
    this.tools = new BlotterTools(panel, blotter, this);
    this.search = this.tools.search;
    return blotter;
  }

  // What is under the pointer says more of itself.
  hoverOn({ painter, body, spec }) {
    if (!painter) return;
    const inputs = (row, k) => {
      const feed = painter.detail, slot = feed ? feed.slotOf(row.id) : -1;
      return (k.inputs || []).map((name) => [spec.inputs[name].head, slot < 0 ? "" : told(spec.inputs[name], feed.get(slot, name), this)]);
    };
    if (painter.tip) this.hover.watch(body, (x, y) => painter.tip(x, y));
    else if (painter instanceof Sheet) this.hover.watch(body, (x, y) => tipOf(painter, x, y, painter instanceof Blotter ? inputs : null));
    if (!(painter instanceof Blotter)) return;
    // A few rows around the line, so that a sort that moved it meanwhile still finds it.
    painter.asks = (line) => ({ feed: painter.detail, first: Math.max(0, painter.top + line - 3), count: 7 });
    this.hover.inputs = (x, y) => tipOf(painter, x, y, inputs);
  }

  // The inputs of one line: asked for while its card is open, and not longer.
  detailOf(wish) {
    const feed = wish?.feed || this.blotter?.detail, key = wish ? wish.first + ":" + wish.count : "";
    if (!feed || key === (this.detailKey || "")) return;
    if (wish && !this.detailKey) { this.sendFilter(this.feedNumber(feed)); this.sendSort(true, this.feedNumber(feed)); }
    this.detailKey = key;
    this.control({ type: "viewport", feed: this.feedNumber(feed), first: wish?.first || 0, count: wish?.count || 0 });
  }

  makeChart(panel) {
    const chart = new PriceChart(panel.body, this.series, this);
    this.chart = chart;
    this.chartPanel = panel;
    const modes = ["line", "candles"].map((mode) => el("button", { "aria-pressed": String(mode === chart.mode), onclick: (e) => {
      chart.mode = mode;
      modes.forEach((b) => b.setAttribute("aria-pressed", String(b === e.currentTarget)));
      chart.drawn = -1e9;
      chart.touch();
      this.wake();
    } }, mode === "line" ? "Line" : "Candles"));
    this.chartFacts = el("span", { class: "wide" });
    panel.tools.append(...modes, this.chartFacts);
    panel.note.textContent = "VWAP";
    return chart;
  }

  // ---- the wire -------------------------------------------------------------------------------
  // Bound on mount, and again when Bokeh has made the component anew.
  bind(model) {
    this.model = model;
    this.link.bind(model);
    if (this.health.lostAt && !model.ticket) this.found();
    this.readInstruments();
    model.on("reference", () => { this.readInstruments(); this.blotter?.touch(-1); this.wake(); });
    for (const wish of this.tell()) this.control(wish);
  }

  // All that this page wishes to be shown, in the order in which a server is to hear it: it knows nothing of us.
  tell() {
    const told = this.telling = [];
    this.control({ type: "ready", epoch: this.epoch, sequence: this.sequence });
    this.past.bind();
    this.sendSort(true);
    this.sendGroup();
    this.blotter?.again();
    this.tools?.sets.forget();
    this.detailKey = "";
    if (this.filtering || this.base.length) this.sendFilter();
    this.sentViewport = null;
    for (const wish of this.wishes) wish();
    this.figures.again();
    this.feeds.forEach((f, i) => {
      if (!(f instanceof GridFeed) || f === this.blotter?.feed) return;
      const [first, count] = f.window || [0, f.table === "books" ? 64 : 12];
      if (count) this.control({ type: "viewport", feed: i, first, count });
    });
    this.waiting = false;
    this.viewportChanged();
    if (this.instrument >= 0 && this.series) this.control({ type: "select", row: this.instrument });
    this.telling = null;
    return told;
  }

  readInstruments() {
    if (this.model.reference === this.referenceText) return;
    this.referenceText = this.model.reference;
    this.instruments = new Instruments(this.referenceText);
  }

  // Without a link nothing is asked: all wishes are told again when it is back.
  control(message) {
    if (this.telling) { this.telling.push(message); return; }
    this.sent.push(message);
    if (this.sent.length > 200) this.sent.shift();
    this.link.say(message);
  }

  take(buffer) {
    const now = performance.now(), hidden = document.hidden, arrived = wallMs();
    const push = readPush(buffer, {
      rows: (feed, rows) => this.takeRows(feed, rows),
      cells: (feed, cells) => {
        const grid = this.feeds[feed];
        if (!(grid instanceof GridFeed)) return;
        grid.setCells(cells, now);
        this.count.cells += cells.cell.length;
        if (cells.cell.length) this.health.cellsAt = now;
        // A hidden page paints nothing, so it has nothing to measure.
        if (!hidden) for (let k = 0; k < cells.stamp.length; k++) this.pending.push(cells.base_ms + cells.stamp[k], feed, cells.slot[k]);
      },
      series: (feed, series) => { this.series?.set(series); this.chart?.touch(); },
      status: (status) => { this.written(status.written); this.health.set(status); this.latency.believe(Boolean(status.asof) || (!status.clock_note && Math.abs(this.health.shift_ms) < SECOND)); },
      names: (names) => { this.names.set(names); this.rights.take(names.rights); this.here.named(); this.tools?.namesCame(); this.panels.forEach((p) => p.namesCame?.()); for (const p of this.painters) p.touch(-1); },
      reference: (rows) => { this.instruments.add(rows); this.blotter?.touch(-1); },
      answer: (answer) => { this.alertList?.answer(answer); this.whatIf?.answer(answer); this.mine.answer(answer); this.origin.answer(answer); this.refused.answer(answer); },
      figure: (told) => this.figures.take(told),
      operations: (told) => this.operations.take(told),
      alerts: (incidents) => this.incidents.take(incidents),
    });
    if (!push?.sections) return;
    if (this.health.lostAt) this.found();
    this.stages.add("socket", arrived - push.ts_push);
    this.stages.add("apply", performance.now() - now);
    this.arrived = arrived;
    this.unpainted += 1;
    this.conflated = this.conflated || push.steps > 1;
    this.count.pushes += 1;
    this.count.steps += Math.max(1, push.steps);
    this.count.bytes += buffer.byteLength;
    this.sequence = push.sequence;
    this.epoch = push.epoch;
    this.wake();
  }

  // Whoever writes layouts sees them as they are: what differs was written since this page was made.
  written(stamp) {
    if (stamp && this.stamp && stamp !== this.stamp) location.reload();
    this.stamp = stamp || this.stamp;
  }

  takeRows(feed, rows) {
    const grid = this.feeds[feed];
    if (!(grid instanceof GridFeed)) return;
    grid.setRows(rows);
    const switched = this.tools?.sets.came(grid);
    // Stamps of rows that have moved belong to cells nobody will see.
    this.pending = this.pending.filter((_, i, all) => all[i - (i % 3) + 1] !== feed);
    if (grid !== this.blotter?.feed) return;
    this.waiting = false;
    if (switched) this.sentViewport = null;
    if (this.viewportDue || switched) this.viewportChanged();
    this.blotter.scrollTo(this.blotter.top);
    if (this.blotter.selectDue) this.input.select();
    this.input.hold(this.input.over);
    const first = this.blotter.feed.rows.find((row) => row < GROUP_ID);
    if (this.selected < 0 && first !== undefined && !this.here.selected()) this.select(first);
    this.tools?.state();
  }

  // ---- painting -------------------------------------------------------------------------------
  wake() {
    if (this.frame || !this.ready) return;
    this.wokenAt = performance.now();
    this.frame = requestAnimationFrame(() => { this.frame = 0; this.draw(); });
  }

  // A frame for what fades or is due, unless one that numbers asked for comes before.
  stepOn(ms) { this.step ||= setTimeout(() => { this.step = 0; this.wake(); }, ms); }

  draw() {
    const begun = performance.now();
    let running = false;
    for (const painter of this.painters) if (painter.surface.shown && this.paint(painter, begun)) running = true;
    this.input?.placeField();
    this.strip.figuresUpdate();
    this.count.paints += 1;
    this.count.paint_ms += performance.now() - begun;
    // A page that is busy draws for numbers alone: what fades or is due waits for the next of them.
    const busy = (this.busy = performance.now() - this.wokenAt > PROMPT_MS);
    if (this.painters.some((p) => p.due && p.every_ms < SECOND)) { clearTimeout(this.later); this.later = setTimeout(() => this.wake(), busy ? BUSY_STEP_MS : PRICE_MS); }
    // A flash has four steps; frames between them would draw nothing new.
    if (busy) this.step = clearTimeout(this.step);
    if (running) this.stepOn(busy ? BUSY_STEP_MS : STEP_MS);
    if (!this.unpainted) return;
    const before = this.taken ? this.taken.stamps : [];
    this.taken = { sequence: this.sequence, arrived: this.arrived, stamps: before.concat(this.pending), hidden: document.hidden, conflated: this.conflated };
    this.unpainted = 0;
    this.conflated = false;
    this.pending = [];
    this.macrotask.port2.postMessage(0);
  }

  // One that fails is left out from then on: its tile says so, and the frame goes on.
  paint(painter, now) {
    try { return painter.paint(now); } catch (error) {
      this.painters = this.painters.filter((p) => p !== painter);
      for (const panel of this.panels) if (panel.painter === painter) panel.painter = failed(panel, error);
      return false;
    }
  }

  // In a task behind the frame: the paint commands are given, the moment counts as painted.
  afterPaint() {
    const taken = this.taken, now = wallMs();
    if (!taken) return;
    this.taken = null;
    if (this.backDue) { this.backDue = false; this.link.backs.push(now); }
    if (!taken.hidden) this.stages.add("paint", now - taken.arrived);
    let worst = 0, samples = 0;
    if (!taken.hidden) {
      for (let k = 0; k < taken.stamps.length; k += 3) {
        const feed = this.feeds[taken.stamps[k + 1]];
        if (feed === this.blotter?.feed && !this.onGlass(taken.stamps[k + 2])) continue;
        const ms = now - taken.stamps[k];
        if (!this.latency.add(ms)) continue;
        samples += 1;
        worst = Math.max(worst, ms);
      }
    }
    this.painted = taken.sequence;
    this.past.update();
    const urgent = taken.conflated || now - taken.arrived > PROMPT_MS;
    this.acks.add({ sequence: taken.sequence, samples, worst_ms: worst, painted: now }, urgent);
  }

  onGlass(slot) {
    const line = slot + this.blotter.feed.first - this.blotter.top;
    return line >= 0 && line < this.blotter.lines;
  }

  // Four times a second: ages, tags and clocks run on between pushes; once a second the rest.
  tick() {
    this.link.tick();
    if (followWall()) { this.latency.forget(); this.pending = []; }
    this.state = this.top.update();
    // Cells of the first line come behind the line itself.
    if (this.instrument < 0 && this.selected >= 0) this.follow(this.blotter instanceof Positions ? this.blotter.instrumentAt(this.selected) : this.selected);
    this.past.update();
    this.strip.figuresUpdate();
    this.panelStates();
    this.hover.update();
    this.top.alerts.update();
    this.alertList?.update();
    this.quarter = ((this.quarter || 0) + 1) % 4;
    // A quarter of the lines each time: for whoever hears, and never long at once.
    const { quarter } = this;
    (window.requestIdleCallback || setTimeout)(() => this.input?.mirror.update((line) => line % 4 === quarter));
    if (this.quarter) return;
    this.fitHeads();
    if (!this.link.known && performance.now() - this.health.lostAt > GIVEN_UP_MS) this.reload();
    for (const name in this.count) this.counted[name] += this.count[name];
    this.rate = { ...this.count, paint_ms: this.count.paint_ms / (this.count.paints || 1) };
    this.count = { pushes: 0, steps: 0, bytes: 0, cells: 0, paints: 0, paint_ms: 0 };
    this.strip.healthUpdate();
    this.latency.turn();
    this.feedPanel?.update();
    this.glass?.touch();
    this.blotter?.touch(-1);
    for (const panel of this.panels) if (panel.painter && RISK_PANELS[panel.spec.kind]) { riskState(panel, this); if (!panel.painter.count?.()) panel.painter.touch(-1); }
    this.chartHead();
    if (this.busy) this.stepOn(BUSY_STEP_MS); else this.wake();
  }

  classSum(name, keep) {
    return this.classes && this.classes.index(name) >= 0 ? this.classes.sum(name, keep) : NaN;
  }

  chartHead() {
    if (!this.chartPanel) return;
    const ref = this.instruments.get(this.series.row >= 0 ? this.series.row : this.instrument), f = this.series;
    put(this.chartPanel.title, ref ? ref.symbol : "Price");
    const known = f.last.filter((v) => v === v), say = (v) => (ref ? price(v, ref.decimals, ref.price_format) : "");
    put(this.chartFacts, known.length > 1 ? `O ${say(known[0])}  H ${say(Math.max(...known))}  L ${say(Math.min(...known))}` : "");
  }

  // ---- states ---------------------------------------------------------------------------------
  lost() {
    this.health.lostAt ||= performance.now();
    this.acks.drop(); // Of sequences that another server does not know.
    this.root.classList.add("frozen");
    for (const feed of this.feeds) if (feed instanceof GridFeed) feed.behind = true;
    this.tick();
  }

  // Where no server lets this page go on, it is loaded anew when it can be.
  reload() {
    if (!this.health.lostAt) return;
    fetch(location.href, { cache: "no-store" }).then((answer) => answer.ok && location.reload(), () => {});
  }

  // What has changed in the gap comes with the first push: nobody has seen it move.
  found() {
    this.health.backAfter = (performance.now() - this.link.silentSince) / 1e3;
    this.health.backAt = performance.now();
    this.health.lostAt = 0;
    this.link.gaps.push(this.health.backAfter);
    this.backDue = true;
    this.root.classList.remove("frozen");
  }

  // A tile without words of its own for it says in its head that its numbers are not of now.
  tileStates() {
    const { word, tone, age } = this.state, old = tone === "warn";
    for (const p of this.panels) {
      if (p === this.blotterPanel || RISK_PANELS[p.spec.kind] || !(p.painter || p.spec.kind === "feed")) continue;
      const [own, kind] = p.painter?.tagged || ["", ""]; // Of what it shows, where the desk itself is well.
      if (old || word === "STARTING") p.setTag(`${word} ${duration(age)}`, tone); else p.setTag(own, kind);
      p.root.classList.toggle("old", old);
    }
  }

  panelStates() {
    const panel = this.blotterPanel, h = this.health, state = this.state;
    this.tileStates();
    if (!panel) return;
    const { back } = h;
    if (h.lostAt) {
      panel.setTag("RECONNECTING", "warn");
      panel.setNote(["Connection lost " + duration(state.age) + " ago. Trying again by itself.", "Numbers are frozen. Nothing is lost."], "warn", ["Load again", () => location.reload()]);
    } else if (back) {
      panel.setTag("RECONNECTED", "ok");
      panel.setNote([`Live again; ${num(h.backAfter, 2)} s were not shown.`, "Selection, sort and scroll are kept. This line leaves in 4 s."], "ok");
    } else if (state.word === "STARTING") {
      panel.setTag(`STARTING ${duration(state.age)}`, "mute");
      panel.setNote([`The process live is starting: it ${state.what}.`, "A first start compiles for up to half a minute. Numbers appear by themselves."], "");
    } else if (state.tone === "warn") {
      panel.setTag(`${state.word} ${duration(state.age)}`, "warn");
      const silent = state.word === "FEED SILENT";
      panel.setNote([silent ? "No event from any source since " + clockText(h.now() - state.age * SECOND, "", true) + "." : "The numbers have not moved since " + clockText(h.now() - state.age * SECOND, "", true) + ".",
        silent ? "Prices are held; ages run on." : "The live process is away; it starts again by itself."], "warn");
    } else {
      const { pushes, steps } = this.rate, times = pushes ? steps / pushes : 1;
      panel.setTag(times >= CONFLATED_MIN ? `CONFLATED ${num(times, 1)}\u00d7` : "", "mute");
      panel.setNote(null);
    }
    this.tools.state();
  }

  // ---- what the trader asks for ---------------------------------------------------------------
  key(e) {
    const inside = e.composedPath()[0];
    if (e.key === "F6") { this.nextPanel(e.shiftKey ? -1 : 1); e.preventDefault(); return; }
    if (this.arranging.on && e.ctrlKey && e.key === "z") { this.arranging.undo(); e.preventDefault(); return; }
    if (inside.matches?.("input, select, textarea") || e.ctrlKey || e.metaKey || e.altKey) return;
    if (this.past.key(e)) return;
    const panel = this.panels.find((p) => p.root === inside || p.title === inside);
    if (e.key === "/") { this.palette.open(); e.preventDefault(); }
    else if (e.key === "f") { this.search?.focus(); this.search?.select(); e.preventDefault(); }
    else if (panel && (e.key === "m" || e.key === "ContextMenu")) { this.files.open(panel); e.preventDefault(); }
    else if (e.key === "Escape") { if (this.arranging.on) this.arranging.end(); else this.clearFilter(); }
    else if (e.key === "e") this.arranging.toggle();
    else if (e.key === "l") this.here.copy();
    else if (e.key === "?") this.keys.open();
    else if (e.key === "v") this.look.open();
    else if (e.key === "c") this.tools?.sets.choose(this.tools.blotter.set + 1);
    else if (e.key === "a") this.alertList?.first();
    else if (e.key === "p") this.hover.pin();
    else if (this.spec.desks[+e.key - 1]) location.href = this.addressOf(this.spec.desks[+e.key - 1][1]);
  }

  // Another desk of the same server; theme and the like go with us, and what is of this desk stays.
  addressOf(desk, more = {}) {
    const url = new URL("./" + desk + location.search, this.home);
    for (const name of [...HERE, ...OF_A_DESK]) url.searchParams.delete(name);
    for (const [name, value] of Object.entries(more)) url.searchParams.set(name, value);
    return url.href.replaceAll("%3A", ":").replaceAll("%2F", "/");
  }

  // What the palette can do beside going somewhere.
  commands() {
    const { mine, look } = this, own = mine.items().slice(1), kept = own.indexOf("Kept desks");
    const looks = Object.entries(LOOKS).flatMap(([name, { title, values }]) => Object.entries(values).map(([value, text]) => ({ text: `${title}: ${text}`, run: () => look.choose(name, value) })));
    return [...(kept < 0 ? own : own.slice(0, kept)),
      { text: this.past.on ? "Back to live" : "As of \u2026", keys: "t", run: () => (this.past.on ? this.past.leave() : this.past.enter()) },
      { text: "Clear search and filters", keys: "Esc", run: () => this.clearFilter() },
      ...(this.alertList ? [{ text: "First alert", keys: "a", run: () => this.alertList.first() }] : []),
      { text: "Keys", keys: "?", run: () => this.keys.open() }, ...looks, ...this.notices.items().slice(1)];
  }

  // By key from panel to panel; a grid takes the keys itself.
  goTo(panel) { (panel === this.blotterPanel ? panel.body : panel.title).focus({ focusVisible: true }); }
  nextPanel(by) {
    const shown = this.panels.filter((p) => !p.root.hidden && p.root.offsetParent), focus = this.root.getRootNode().activeElement;
    const at = shown.findIndex((p) => p.root.contains(focus));
    if (shown.length) this.goTo(shown[(at + by + shown.length) % shown.length]);
  }

  feedNumber(feed) { return this.feeds.indexOf(feed); }

  // One request in flight: while the server answers, only the newest wish is kept.
  viewportChanged() {
    if (!this.model || !this.blotter?.columns) return;
    if (this.waiting && performance.now() - this.askedAt < 250) { this.viewportDue = true; clearTimeout(this.again); this.again = setTimeout(() => this.viewportChanged(), 250); return; }
    const { first, count } = this.blotter.viewport(), key = first + ":" + count;
    this.viewportDue = false;
    if (key === this.sentViewport) return;
    this.sentViewport = key;
    this.waiting = true;
    this.askedAt = performance.now();
    this.control({ type: "viewport", feed: this.feedNumber(this.blotter.feed), first, count });
  }

  sendSort(again, feed = this.feedNumber(this.blotter?.feed)) {
    const sorts = this.blotter?.sorts || [], [column, descending] = sorts[0] || [null, true];
    if (again && !sorts.length) return;
    this.control({ type: "sort", feed, column, descending, ...(sorts.length > 1 ? { by: sorts } : {}) });
  }

  // Heads of groups, and the pinned total of what the view shows.
  sendGroup(feed = this.feedNumber(this.blotter?.feed)) {
    if (!this.blotter) return;
    const { group, shut } = this.blotter.arrangement.data;
    this.control({ type: "group", feed, by: group, shut, total: true });
  }

  sendFilter(feed = this.feedNumber(this.blotter?.feed)) {
    const { classes, text: typed, book, books, currency } = this.filter, text = currency ? `${typed} currency:${currency}`.trim() : typed;
    const wish = this.blotter instanceof Positions ? { book: book >= 0 ? book : books.length ? books : null, text } : { classes, text };
    this.control({ type: "filter", feed, ...wish });
  }
}

let DESK = null;

export async function render({ model, el: host }) {
  if (!document.getElementById("tickglass-style")) {
    document.head.append(el("style", { id: "tickglass-style" }, PAGE_STYLE));
    const theme = new URLSearchParams(location.search).get("theme");
    if (theme) document.documentElement.dataset.theme = theme;
  }
  const made = DESK || new Desk(JSON.parse(model.spec));
  host.append(el("style", {}, DESK_STYLE), made.root);
  if (!DESK) {
    DESK = made;
    await Promise.all(["400 12px Plex", "600 12px Plex", "italic 400 12px Plex"].map((f) => document.fonts.load(f)));
    made.start();
    window.tickglass = inspect(made);
  }
  const children = made.stocks.length ? model.get_child("stock") : [];
  made.stocks.forEach((stock, k) => stock.bind(children[k], model.sources[k]));
  made.bind(model);
  made.tick();
  made.wake();
}
