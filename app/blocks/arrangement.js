// Law: how one trader has arranged one grid, as one plain JSON object: order, widths, pins, hidden
// columns, formats, sorts, groups, notes. It is kept whenever it changes, and applies at once.

// Where arrangements are kept. Whoever keeps them elsewhere replaces both functions before a desk is
// made (`tickglassKeeper` of the window); `load` gives an object or null, `save` takes one.
const KEEPER = window.tickglassKeeper || {
  load(name) { try { return JSON.parse(localStorage.getItem("tickglass:" + name)); } catch { return null; } },
  save(name, data) { try { localStorage.setItem("tickglass:" + name, JSON.stringify(data)); } catch { /* A page without storage keeps it until it is closed. */ } },
};
const WIDTH_MIN = 28, WIDTH_MAX = 600, SORTS_MAX = 4;
const PLAIN = { version: 1, fit: true, orders: {}, hidden: {}, widths: {}, pinned: [], forms: {}, sorts: [], group: "", shut: [], notes: {}, set: 0 };

class Arrangement {
  constructor(name) {
    this.name = name;
    const kept = KEEPER.load(name), same = (key) => kept && typeof kept[key] === typeof PLAIN[key] && Array.isArray(kept[key]) === Array.isArray(PLAIN[key]);
    this.data = structuredClone(PLAIN);
    // What is not of this shape is left alone: a page never fails for what it once kept.
    for (const key of Object.keys(PLAIN)) if (same(key)) this.data[key] = kept[key];
    this.onChange = null;
  }

  // `what`: "columns", "sorts", "group" or "notes", so that only what follows from it is done again.
  change(part, what = "columns") {
    Object.assign(this.data, part);
    KEEPER.save(this.name, this.data);
    this.onChange?.(what);
  }

  reset() { this.change(structuredClone({ ...PLAIN, notes: this.data.notes, set: this.data.set }), "all"); }

  // The columns of a set as they are arranged; names that are not of the set any more do nothing.
  columns(set, all) {
    const { orders, hidden, widths, pinned, forms } = this.data, order = orders[set] || [], gone = hidden[set] || all.filter((k) => k.hide).map((k) => k.name);
    const place = new Map(order.map((name, i) => [name, i]));
    const turn = (k, i) => place.get(k.name) ?? (i ? (place.get(all[i - 1].name) ?? i - 1) + 0.5 : -1);
    const turns = new Map(all.map((k, i) => [k, turn(k, i)]));
    const shown = all.filter((k) => k.name === "symbol" || !gone.includes(k.name)).sort((a, b) => turns.get(a) - turns.get(b));
    const pin = (k) => k.name === "symbol" || pinned.includes(k.name);
    return [...shown.filter(pin), ...shown.filter((k) => !pin(k))].map((k) => {
      const form = forms[k.name] || "", width = (widths[k.name] ?? k.width) + (form === "spark" ? SPARK_PX : 0);
      return { ...k, pinned: pin(k), form, width, flex: k.flex && widths[k.name] === undefined };
    });
  }

  move(set, names, name, to) {
    const rest = names.filter((n) => n !== name);
    rest.splice(Math.max(0, Math.min(rest.length, to)), 0, name);
    this.change({ orders: { ...this.data.orders, [set]: rest } });
  }

  resize(name, width) {
    this.change({ fit: false, widths: { ...this.data.widths, [name]: Math.round(Math.max(WIDTH_MIN, Math.min(WIDTH_MAX, width))) } });
  }

  pin(name) {
    const { pinned } = this.data;
    this.change({ fit: false, pinned: pinned.includes(name) ? pinned.filter((n) => n !== name) : [...pinned, name] });
  }

  hide(set, all, name) {
    const gone = this.data.hidden[set] || all.filter((k) => k.hide).map((k) => k.name);
    this.change({ hidden: { ...this.data.hidden, [set]: gone.includes(name) ? gone.filter((n) => n !== name) : [...gone, name] } });
  }

  form(name, form) { this.change({ forms: { ...this.data.forms, [name]: form === "plain" ? "" : form } }); }

  // Down, up, and back to the view's own order; with `add` beside the columns that are sorted by.
  sort(name, add) {
    const { sorts } = this.data, first = name !== "symbol" && name !== "class", at = sorts.findIndex((s) => s[0] === name);
    const next = at < 0 ? [name, first] : sorts[at][1] === first ? [name, !first] : null;
    const kept = add ? sorts.slice() : [];
    if (add && at >= 0) kept.splice(at, 1, ...(next ? [next] : []));
    else if (next) kept.push(next);
    this.change({ sorts: kept.slice(-SORTS_MAX) }, "sorts");
  }

  sortBy(name, descending) { this.change({ sorts: [[name, descending]] }, "sorts"); }

  groupBy(by) { this.change({ group: by, shut: [] }, "group"); }
  toggle(number) {
    const { shut } = this.data;
    this.change({ shut: shut.includes(number) ? shut.filter((n) => n !== number) : [...shut, number] }, "group");
  }
}
