// Law: stock Bokeh. Cells of a feed go into the arrays of a ColumnDataSource, and Bokeh is told as
// its own `patch` tells it. Nothing is said to the server: it has sent these numbers itself.

class StockPanel {
  constructor(panel, desk) {
    this.feed = desk.feeds[panel.spec.feeds.cells];
    this.desk = desk;
    this.panel = panel;
    this.dirty = new Map(); // Slot -> nothing; -1: all of them.
    this.feed.listeners.push((i) => { this.dirty.set(i < 0 ? -1 : Math.floor(i / this.feed.width)); this.wake(); });
  }

  // Bokeh's own view of what `make` made; a reconnect makes a new one.
  bind(child, name) {
    this.source = null;
    for (const document of window.Bokeh.documents) this.source ||= document.get_model_by_name(name);
    this.panel.body.replaceChildren(child);
    this.dirty.set(-1);
    this.wake();
  }

  wake() { this.frame ||= requestAnimationFrame(() => { this.frame = 0; this.flush(); }); }

  flush() {
    const { source, feed } = this;
    if (!source || !this.dirty.size) return;
    const whole = this.dirty.has(-1), rows = source.get_length() || 0;
    const slots = whole ? Array.from({ length: rows }, (_, k) => k) : [...this.dirty.keys()].filter((k) => k < rows);
    this.dirty.clear();
    const columns = source.data;
    feed.columns.forEach((name, j) => {
      for (const slot of slots) columns[name][slot] = slot < feed.rows.length ? feed.value[slot * feed.width + j] : NaN;
    });
    // Ranges that follow the data look at it only when all of it is new.
    if (whole) source.change.emit(); else source.patching.emit(slots);
  }
}
