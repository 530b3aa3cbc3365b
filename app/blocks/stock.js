// Law: stock Bokeh. Cells of a feed go into the arrays of a ColumnDataSource, and Bokeh is told as
// its own `patch` tells it. Nothing is said to the server: it has sent these numbers itself.

// What of Bokeh's models is drawn in which of our tokens; a layout that has chosen a colour keeps it.
const BOKEHS_OWN = new Set(["#ffffff", "#000000", "#444444", "#5b5b5b", "#e5e5e5", "white", "black"]);
const TOKEN_OF = {
  Figure: { background_fill_color: "panel", border_fill_color: "panel", outline_line_color: "line" },
  Axis: { axis_line_color: "edge", major_tick_line_color: "edge", minor_tick_line_color: "line", major_label_text_color: "text3", axis_label_text_color: "text2" },
  Grid: { grid_line_color: "line" }, Title: { text_color: "text" },
  Legend: { background_fill_color: "panel", border_line_color: "line", label_text_color: "text2", title_text_color: "text2" },
  ColorBar: { background_fill_color: "panel", major_label_text_color: "text3", title_text_color: "text2" },
};
const LETTERS = { Axis: { major_label_text_font: "Plex", axis_label_text_font: "Plex", axis_label_text_font_style: "normal" }, Title: { text_font: "Plex" }, Toolbar: { autohide: true } };

class StockPanel {
  constructor(panel, desk) {
    this.feed = desk.feeds[panel.spec.feeds.cells];
    this.desk = desk;
    this.panel = panel;
    this.dressed = new WeakMap(); // Of each model the colours that are ours.
    this.dirty = new Map(); // Slot -> nothing; -1: all of them.
    this.feed.listeners.push((i) => { this.dirty.set(i < 0 ? -1 : Math.floor(i / this.feed.width)); this.wake(); });
  }

  // Bokeh's own view of what `make` made; a reconnect makes a new one.
  bind(child, name) {
    this.source = null;
    for (const document of window.Bokeh.documents) this.source ||= document.get_model_by_name(name);
    this.panel.body.replaceChildren(child);
    this.dress();
    this.dirty.set(-1);
    this.wake();
  }

  // Bokeh's models in the colours of the desk; they are the page's alone, so the server is not told.
  dress() {
    for (const model of window.Bokeh.documents.flatMap((document) => [...document._all_models.values()])) {
      const kind = Object.keys({ ...TOKEN_OF, ...LETTERS }).find((name) => model.type.endsWith(name));
      if (!kind) continue;
      const ours = this.dressed.get(model) || new Map(), wanted = {};
      for (const [name, token] of Object.entries(TOKEN_OF[kind] || {})) {
        const now = model.properties[name]?.get_value(), colour = typeof now === "string" ? now : now?.value;
        if (BOKEHS_OWN.has(colour) || ours.get(name) === colour) { wanted[name] = T[token]; ours.set(name, T[token]); }
      }
      this.dressed.set(model, ours);
      model.setv({ ...wanted, ...(LETTERS[kind] || {}) }, { sync: false });
    }
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
