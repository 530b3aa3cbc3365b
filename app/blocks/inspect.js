// Law: what benches and tests may read of the page, and the few things of it they may do.

// Whether a panel's canvas holds more than its ground: of a table a text, of a picture a colour.
function painted({ painter, body }) {
  if (painter instanceof Sheet) return painter.texts?.some((s) => s) || false;
  return (painter?.surface ? [painter.surface.canvas] : canvasesIn(body)).some(coloured);
}
function canvasesIn(root) {
  return [...root.querySelectorAll("canvas"), ...[...root.querySelectorAll("*")].flatMap((node) => (node.shadowRoot ? canvasesIn(node.shadowRoot) : []))];
}
function coloured(canvas) {
  const c = canvas.width && canvas.getContext("2d");
  if (!c) return false;
  const { data } = c.getImageData(0, 0, canvas.width, canvas.height), seen = new Set();
  for (let i = 0; i < data.length && seen.size < 4; i += 28) seen.add((data[i] << 16) | (data[i + 1] << 8) | data[i + 2]);
  return seen.size >= 4;
}

function inspect(desk) {
  return {
    get sequence() { return desk.sequence; },
    get painted() { return desk.painted; },
    get epoch() { return desk.epoch; },
    get sent() { return desk.sent; },
    get state() { return desk.state; },
    // Which server the page hangs on; of each loss the seconds without numbers, and when (wall, ms) new ones were painted.
    link: () => ({ server: desk.link.known?.server, own: Boolean(desk.link.socket), away: desk.link.away, gaps: desk.link.gaps.slice(), backs: desk.link.backs.slice() }),
    renew: () => desk.link.renew(),
    wish: (message) => desk.control(message),
    filter: () => desk.filter,
    rows: () => Array.from(desk.blotter.feed.rows),
    top: () => desk.blotter.top,
    lines: () => desk.blotter.lines,
    lineTotal: () => desk.blotter.lineTotal,
    incidents: () => desk.incidents.list(),
    followed: () => desk.instrument,
    chosen: () => desk.chosen,
    // Which block stands where and how high, as an address says it; contexts of windows that nobody knows.
    stands: () => desk.arranging.told(),
    notices: () => desk.notices.chosen,
    refusedContexts: () => desk.contexts.refused,
    selectInstrument: (id) => desk.selectInstrument(id),
    get set() { return desk.blotter.set; },
    columns: () => desk.blotter.columns.map((k) => k.name),
    selected: () => desk.selected,
    // What the record says is behind the cell that is looked at, and the card as it is read.
    origin: () => ({ state: desk.origin.state, ...desk.origin.answered, card: desk.hover.shown ? desk.hover.root.innerText : "" }),
    // The past: what the tape says of itself, and ms from each wish to the paint that showed it.
    past: () => ({ ...desk.past.told, now: desk.past.now(), moves: desk.past.moves.slice(), on: desk.past.on }),
    go: (wish) => desk.past.go(wish),
    tag: () => desk.blotterPanel.tag.textContent,
    drain: () => desk.latency.drain(),
    samples: () => desk.latency.drain(),
    stats() {
      const [p50, p99, p999] = desk.latency.quantiles([0.5, 0.99, 0.999]);
      return { p50, p99, p999, total: desk.latency.total, lost: desk.latency.lost, worst_ms: desk.latency.worst_ms, rate: desk.rate, painted: desk.painted, hidden: document.hidden };
    },
    stages: () => desk.stages.drain(),
    // Since the page was opened; `stats().rate` is of the last second.
    counted: () => Object.fromEntries(Object.entries(desk.counted).map(([name, n]) => [name, n + desk.count[name]])),
    all: () => desk.blotter.all.map((k) => k.name),
    // {value, text, painted, x, y, w, h}: what the glass shows for a row that is in the viewport.
    cell(row, column) {
      const b = desk.blotter, slot = b.feed.slotOf(row), j = b.columns.findIndex((k) => k.name === column);
      if (slot < 0) return null;
      const at = b.feed.index(column), value = at < 0 ? null : b.feed.value[slot * b.feed.width + at];
      const line = slot + b.feed.first - b.top;
      if (j < 0 || line < 0 || line >= b.lines) return { value, text: null, painted: false };
      const k = b.columns[j], box = b.surface.canvas.getBoundingClientRect();
      return { value, text: b.texts[line * b.columns.length + j], painted: b.keys[line * b.columns.length + j] >= 0,
        x: box.x + k.x, y: box.y + HEAD + line * ROW, w: k.w, h: ROW };
    },
    // What stands on the lines of the glass: {id, group, cells}, null where a line is empty.
    glass() {
      const b = desk.blotter, n = b.columns.length;
      return Array.from({ length: b.lines }, (_, line) => {
        const row = b.rowAt(line);
        return row && { id: row.id, group: row.group, cells: Object.fromEntries(b.columns.map((k, j) => [k.name, b.texts[line * n + j]])) };
      });
    },
    head(name) {
      const k = desk.blotter.columns.find((one) => one.name === name), box = desk.blotter.surface.canvas.getBoundingClientRect();
      return k ? { x: box.x + k.x, y: box.y, w: k.w, h: HEAD, pinned: Boolean(k.pinned), form: k.form } : null;
    },
    total: () => Object.fromEntries(desk.blotter.columns.map((k) => [k.name, desk.blotter.totalOf(k)?.text || ""])),
    arrangement: () => structuredClone(desk.blotter.arrangement.data),
    get copied() { return desk.input.copied; },
    get held() { return Boolean(desk.input.held); },
    row: () => ROW,
    // What conditional formats draw: the step of each line, and the points of a sparkline.
    washes(name) { const b = desk.blotter, j = b.columns.findIndex((k) => k.name === name); return Array.from({ length: b.lines }, (_, line) => Math.floor(b.keys[line * b.columns.length + j] / 2 ** 43)); },
    trail: (id, name) => desk.blotter.trails.of(id, name),
    flashedAt(row, name) { const f = desk.blotter.feed; return f.flashed[f.slotOf(row) * f.width + f.index(name)]; },
    // For each table the figures that are wider than their cell.
    cut: () => desk.painters.filter((p) => p instanceof Sheet && p.surface.shown).map((p) => p.texts.flatMap((s, i) => {
      const k = p.columns[i % p.columns.length];
      const out = k.x + k.w > p.surface.w + 1 || (k.align !== "left" && !k.chip && k.name !== "bar" && width(VALUE, s) > k.w - 1);
      return s && out ? [`${k.name} ${s}`] : [];
    })),
    // For each short table the names that end in dots: whoever cannot read them does not know of what a line is.
    shortened: () => desk.painters.filter((p) => (p instanceof Lines || p instanceof BookTree) && p.surface.shown).flatMap((p) => p.texts.filter((s, i) => {
      const k = p.columns[i % p.columns.length];
      return k.name === "name" && width(VALUE, s) > k.w - k.dx - 4;
    })),
    // What a finished desk must not show: panels that are blank, cut off or over each other.
    problems() {
      const shown = desk.panels.filter((p) => !p.root.hidden && p.root.offsetParent), found = [], name = (p) => p.spec.title || p.spec.kind, phone = innerWidth < PHONE_PX;
      const boxes = shown.map((p) => p.root.getBoundingClientRect());
      shown.forEach((p, i) => {
        const b = boxes[i], head = p.root.querySelector("header");
        if (b.right > innerWidth + 1 || b.left < -1 || (!phone && b.bottom > innerHeight + 1)) found.push(name(p) + " is beyond the page");
        if (b.width < 120 || b.height < 60) found.push(name(p) + " is too small");
        if (!phone && head.scrollWidth > head.clientWidth + 1) found.push(name(p) + " has a head that is cut");
        if (!p.body.innerText.trim() && !p.body.querySelector("textarea") && !painted(p)) found.push(name(p) + " is blank");
        for (let k = 0; k < i; k++) if (Math.min(b.right, boxes[k].right) - Math.max(b.left, boxes[k].left) > 1 && Math.min(b.bottom, boxes[k].bottom) - Math.max(b.top, boxes[k].top) > 1) found.push(`${name(p)} lies over ${name(shown[k])}`);
      });
      if (!phone && desk.top.root.scrollWidth > desk.top.root.clientWidth) found.push("the bar is cut");
      return found.concat(this.cut().flat().map((s) => s + " is wider than its cell"));
    },
    // How wide and high the panels are in all, and how they scroll.
    page: () => { const main = desk.root.querySelector("main"); return { wide: main.scrollWidth, high: main.scrollHeight }; },
    // Of each panel whether it says that it has nothing, to which a trader may ask why.
    words: () => Object.fromEntries(desk.panels.map((p) => [p.spec.title || p.spec.kind, p.painter?.said || ""])),
    // Short tables and pictures by their panel's kind.
    panel: (kind) => desk.panels.find((p) => p.spec.kind === kind),
    table(kind) {
      const sheet = desk.panels.find((p) => p.spec.kind === kind).painter, box = sheet.surface.canvas.getBoundingClientRect();
      const shown = sheet.rows.slice(sheet.top, sheet.top + sheet.lines), n = sheet.columns.length;
      return shown.map((slot, line) => ({ row: sheet.feed.rows[slot], y: box.y + HEAD + line * ROW, x: box.x,
        cells: Object.fromEntries(sheet.columns.map((k, j) => [k.name, { text: sheet.texts[line * n + j], value: k.at < 0 ? null : sheet.feed.at(slot, k.at), x: box.x + k.x, w: k.w }])) }));
    },
    // A chart that the server makes: what it last drew, of what, and what each drawing cost.
    figure(kind) {
      const chart = desk.panels.find((p) => p.spec.kind === kind)?.painter, wish = JSON.parse(chart?.figureKey || "null");
      return chart && { told: chart.told || null, row: chart.row, asked: wish?.rows || (wish ? [wish.row] : []), costs: chart.costs };
    },
    filterTo: (classes) => desk.setFilter({ classes }),
    select: (row) => desk.select(row),
    instrument: (row) => desk.instruments.get(row),
    format: { num, signed, price, quantity, duration, thirtySeconds },
    tokens: () => ({ ...T }),
  };
}
