// Law: other windows of the same desktop. What is chosen here is told as an FDC3 context, and a
// context that comes is followed: by the desktop agent where there is one, else by messages between
// windows, to and from the origins alone that the server's settings name.

const INSTRUMENT_CONTEXT = "fdc3.instrument", PORTFOLIO_CONTEXT = "fdc3.portfolio";
const SETTLED_MS = 250, TRIES = 12; // Three seconds for the rows of a book to come.

class Contexts {
  constructor(desk) {
    [this.desk, this.origins, this.heard, this.heardGroup, this.told] = [desk, desk.spec.fdc3 || [], "", "", null];
    this.refused = 0;
    addEventListener("message", (e) => this.message(e));
    const joined = () => { for (const type of [INSTRUMENT_CONTEXT, PORTFOLIO_CONTEXT]) window.fdc3.addContextListener(type, (context) => this.take(context)); };
    if (window.fdc3) joined(); else addEventListener("fdc3Ready", joined, { once: true });
  }

  // What a window of a known origin sends: {fdc3: "broadcast", context}, or {tickglass: "look", theme};
  // the look also of the page that a desk is part of.
  message(e) {
    const look = e.data?.tickglass === "look", own = e.source === window;
    if (!look && (own || e.data?.fdc3 !== "broadcast")) return;
    if (!own && !this.origins.includes(e.origin)) { this.refused += 1; return; }
    if (look) this.desk.look.wish(e.data); else this.take(e.data.context);
  }

  take(context) {
    const { desk } = this, text = (v) => (typeof v === "string" ? v : "");
    if (context?.type === INSTRUMENT_CONTEXT) {
      const id = this.find(text(context.id?.ticker) || text(context.name));
      if (id < 0) return;
      this.heard = desk.instruments.get(id).symbol; // It is not told back to who told it.
      desk.selectInstrument(id);
    } else if (context?.type === PORTFOLIO_CONTEXT) {
      const group = this.group(text(context.name));
      if (group) { this.heardGroup = group.name; desk.chooseGroup(group.scope, group.key, group.name); desk.filterBook(group); return; }
      const first = (Array.isArray(context.positions) ? context.positions : []).map((p) => this.find(text(p?.instrument?.id?.ticker))).find((id) => id >= 0);
      if (first !== undefined) desk.selectInstrument(first);
    }
  }

  // The book, else the strategy, that is called so; null where none is.
  group(name) {
    const { names } = this.desk;
    for (const kind of ["book", "strategy"]) {
      const key = (names.keys[kind] || []).findIndex((one) => one.toLowerCase() === name.toLowerCase());
      if (key >= 0) return { scope: names.scopes.indexOf(kind), key, name: names.keys[kind][key] };
    }
    return null;
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

  // A group that is chosen is told once its lines are here: who walks through the tree tells where he stops.
  grouped(group, tries = TRIES) {
    clearTimeout(this.waiting);
    if (tries === TRIES && group.name === this.heardGroup) { this.heardGroup = ""; return; }
    this.heardGroup = "";
    const lines = this.lines(), of = this.member(group), mine = lines.filter(of), { book } = this.desk.filter;
    if (tries === TRIES || (tries && book >= 0 && mine.length < lines.length)) { this.waiting = setTimeout(() => this.grouped(group, tries - 1), SETTLED_MS); return; }
    const positions = mine.map(({ ref, holding }) => ({ type: "fdc3.position", holding, instrument: { type: INSTRUMENT_CONTEXT, name: ref.symbol, id: { ticker: ref.symbol } } }));
    this.tell({ type: PORTFOLIO_CONTEXT, name: group.name, positions });
  }

  // The lines of the grid that are here, each with its book and what is held.
  lines() {
    const { blotter, instruments, filter } = this.desk, feed = blotter instanceof Positions ? blotter.feed : null, books = feed?.index("book");
    const slots = feed ? Array.from(feed.rows.keys()).filter((slot) => feed.rows[slot] < GROUP_ID) : [];
    return slots.map((slot) => ({ ref: instruments.get(feed.get(slot, "instrument")), holding: feed.get(slot, "quantity"), book: books < 0 ? filter.book : feed.at(slot, books) }))
      .filter(({ ref, holding }) => ref && holding === holding);
  }

  // Whether a line is of a group; of a group by something else than these no line is known to be.
  member({ scope, key, name }) {
    const { names } = this.desk;
    return { fund: () => true, book: ({ book }) => names.book(book) === name, strategy: ({ book }) => names.strategy(book) === name, trader: ({ book }) => names.trader(book) === name,
      class: ({ ref }) => CLASS_KEYS[ref.asset_class] === names.keys.class?.[key] }[names.scope(scope)] || (() => false);
  }

  tell(context) {
    this.told = context;
    window.fdc3?.broadcast?.(context)?.catch?.(() => {});
    for (const other of [window.parent, window.opener]) if (other && other !== window) for (const origin of this.origins) other.postMessage({ fdc3: "broadcast", context }, origin);
  }
}
