// Law: other windows of the same desktop. What is chosen here is told as an FDC3 context, and a
// context that comes is followed: by the desktop agent where there is one, else by messages between
// windows, to and from the origins alone that the server's settings name.

const INSTRUMENT_CONTEXT = "fdc3.instrument", PORTFOLIO_CONTEXT = "fdc3.portfolio";

class Contexts {
  constructor(desk) {
    [this.desk, this.origins, this.heard, this.told] = [desk, desk.spec.fdc3 || [], "", null];
    this.refused = 0;
    addEventListener("message", (e) => this.message(e));
    const joined = () => { for (const type of [INSTRUMENT_CONTEXT, PORTFOLIO_CONTEXT]) window.fdc3.addContextListener(type, (context) => this.take(context)); };
    if (window.fdc3) joined(); else addEventListener("fdc3Ready", joined, { once: true });
  }

  // A context that a window of a known origin sends: {fdc3: "broadcast", context}.
  message(e) {
    if (e.source === window || e.data?.fdc3 !== "broadcast") return;
    if (!this.origins.includes(e.origin)) { this.refused += 1; return; }
    this.take(e.data.context);
  }

  take(context) {
    const { desk } = this, text = (v) => (typeof v === "string" ? v : "");
    if (context?.type === INSTRUMENT_CONTEXT) {
      const id = this.find(text(context.id?.ticker) || text(context.name));
      if (id < 0) return;
      this.heard = desk.instruments.get(id).symbol; // It is not told back to who told it.
      desk.selectInstrument(id);
    } else if (context?.type === PORTFOLIO_CONTEXT) {
      const book = Object.keys(desk.names.books).find((key) => desk.names.book(+key).toLowerCase() === text(context.name).toLowerCase());
      if (book !== undefined && desk.blotter instanceof Positions) { desk.setFilter({ book: +book }); return; }
      const first = (Array.isArray(context.positions) ? context.positions : []).map((p) => this.find(text(p?.instrument?.id?.ticker))).find((id) => id >= 0);
      if (first !== undefined) desk.selectInstrument(first);
    }
  }

  find(symbol) {
    if (symbol) for (const [id, ref] of this.desk.instruments.by) if (ref.symbol === symbol) return id;
    return -1;
  }

  followed(id) {
    const ref = this.desk.instruments.get(id);
    if (!ref || ref.symbol === this.heard) { this.heard = ""; return; }
    this.tell({ type: INSTRUMENT_CONTEXT, name: ref.symbol, id: { ticker: ref.symbol } });
  }

  // The lines of a group that are here, each with what is held of it.
  grouped({ name }) {
    const { feed } = this.desk.blotter instanceof Positions ? this.desk.blotter : {}, of = (slot, column) => feed.get(slot, column);
    const lines = feed ? Array.from(feed.rows.keys()).filter((slot) => feed.rows[slot] < GROUP_ID) : [];
    const positions = lines.map((slot) => [this.desk.instruments.get(of(slot, "instrument")), of(slot, "quantity")]).filter(([ref, held]) => ref && held === held)
      .map(([ref, holding]) => ({ type: "fdc3.position", holding, instrument: { type: INSTRUMENT_CONTEXT, name: ref.symbol, id: { ticker: ref.symbol } } }));
    this.tell({ type: PORTFOLIO_CONTEXT, name, positions });
  }

  tell(context) {
    this.told = context;
    window.fdc3?.broadcast?.(context)?.catch?.(() => {});
    for (const other of [window.parent, window.opener]) if (other && other !== window) for (const origin of this.origins) other.postMessage({ fdc3: "broadcast", context }, origin);
  }
}
