// Law: what benches and tests may read of the page. Nothing here changes the desk.

function inspect(desk) {
  return {
    get sequence() { return desk.sequence; },
    get painted() { return desk.painted; },
    get epoch() { return desk.epoch; },
    get sent() { return desk.sent; },
    get state() { return desk.state; },
    rows: () => Array.from(desk.blotter.feed.rows),
    top: () => desk.blotter.top,
    lines: () => desk.blotter.lines,
    incidents: () => desk.incidents.list(),
    get set() { return desk.blotter.set; },
    columns: () => desk.blotter.columns.map((k) => k.name),
    selected: () => desk.selected,
    drain: () => desk.latency.drain(),
    samples: () => desk.latency.drain(),
    stats() {
      const [p50, p99, p999] = desk.latency.quantiles([0.5, 0.99, 0.999]);
      return { p50, p99, p999, total: desk.latency.total, lost: desk.latency.lost, worst_ms: desk.latency.worst_ms, rate: desk.rate, painted: desk.painted, hidden: document.hidden };
    },
    stages: () => desk.stages.drain(),
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
    // Short tables and pictures by their panel's kind.
    panel: (kind) => desk.panels.find((p) => p.spec.kind === kind),
    table(kind) {
      const sheet = desk.panels.find((p) => p.spec.kind === kind).painter, box = sheet.surface.canvas.getBoundingClientRect();
      const shown = sheet.rows.slice(sheet.top, sheet.top + sheet.lines), n = sheet.columns.length;
      return shown.map((slot, line) => ({ row: sheet.feed.rows[slot], y: box.y + HEAD + line * ROW, x: box.x,
        cells: Object.fromEntries(sheet.columns.map((k, j) => [k.name, { text: sheet.texts[line * n + j], value: k.at < 0 ? null : sheet.feed.at(slot, k.at), x: box.x + k.x, w: k.w }])) }));
    },
    format: { num, signed, price, quantity, duration, thirtySeconds },
    tokens: () => ({ ...T }),
  };
}
