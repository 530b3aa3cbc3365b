// Law: where one stands, as an address. Desk, moment, selection, filter, sort, set of columns and
// groups of what is on the page are in the link that `address` makes; a page that is opened with it
// comes to stand there, and what its owner keeps of his own grids stays as it was.

const HERE = ["sel", "class", "q", "book", "sort", "set", "group", "chosen", "currency"];
const OF_A_DESK = ["with", "mine"]; // Of this desk alone: no other is opened with it.

class Here {
  constructor(desk) {
    this.desk = desk;
    const query = new URLSearchParams(location.search);
    this.asked = Object.fromEntries(HERE.filter((name) => query.has(name)).map((name) => [name, query.get(name)]));
    this.symbol = this.asked.sel || "";
  }

  // The page as it is now.
  address() {
    const { desk } = this, url = new URL(location.href), b = desk.blotter, query = url.searchParams, { classes, text, book, currency } = desk.filter;
    for (const name of HERE) query.delete(name);
    const say = (name, value) => { if (value) query.set(name, value); };
    say("sel", desk.instruments.get(desk.instrument)?.symbol);
    if (classes.join() !== desk.base.join()) say("class", classes.map((id) => CLASS_CODES[id]).join("."));
    say("q", text);
    say("currency", currency);
    if (book >= 0) query.set("book", String(book));
    say("sort", b?.sorts.map(([name, descending]) => (descending ? "-" : "") + name).join("."));
    if (b?.set) say("set", b.setName);
    say("group", b?.arrangement.data.group);
    if (desk.chosen.scope || desk.chosen.key) query.set("chosen", `${desk.chosen.scope}.${desk.chosen.key}`);
    if (desk.past.on && desk.past.told) query.set("asof", pastText(desk.past.here));
    return url.href.replaceAll("%3A", ":").replaceAll("%2F", "/");
  }

  copy() {
    this.copied = this.address();
    history.replaceState(null, "", this.copied); // Where there is no clipboard it stands in the bar.
    navigator.clipboard?.writeText(this.copied).catch(() => {});
    put(this.desk.top.alerts.voice, "Link copied");
    this.desk.mine.bar.say("The link to this page, as it stands now, is copied.");
  }

  // Before the first wish is told. Names that are of nothing here do nothing.
  arrive() {
    const { desk, asked } = this, b = desk.blotter;
    if (!b) return;
    const { data } = b.arrangement;
    if (asked.sort !== undefined) data.sorts = asked.sort.split(".").filter(Boolean).map((s) => [s.replace(/^-/, ""), s[0] === "-"]).filter(([name]) => name === "symbol" || name === "class" || b.spec.sets.some((set) => set.columns.some((k) => k.name === name))).slice(0, SORTS_MAX);
    if (asked.group !== undefined && ["", ...(GROUPS_OF[b.spec.table] || [])].includes(asked.group)) data.group = asked.group;
    const set = b.spec.sets.findIndex(({ name }) => name === asked.set), linked = Object.keys(asked).length > 0;
    if (set >= 0) data.set = set; else if (linked) data.set = 0;
    const classes = (asked.class || "").split(".").map((code) => CLASS_CODES.indexOf(code)).filter((id) => id >= 0 && (!desk.base.length || desk.base.includes(id)));
    if (classes.length) desk.filter.classes = classes.sort((a, b_) => a - b_);
    if (asked.q && desk.search) { desk.filter.text = asked.q.slice(0, 64); desk.search.value = desk.filter.text; }
    if (/^\d+$/.test(asked.book || "")) desk.filter.book = +asked.book;
    if (/^[A-Z]{3,8}$/.test(asked.currency || "")) desk.filter.currency = asked.currency;
    if (linked) desk.tools.filtered(desk.filter);
  }

  // The instrument of the link, once: true where the first line is not to be selected in its place.
  selected() {
    if (!this.symbol) return false;
    for (const [id, ref] of this.desk.instruments.by) {
      if (ref.symbol !== this.symbol) continue;
      this.symbol = "";
      this.desk.selectInstrument(id);
      return this.desk.instrument === id;
    }
    this.symbol = "";
    return false;
  }

  // Names of groups have come.
  named() {
    const [scope, key] = (this.asked.chosen || "").split(".").map(Number);
    if (!this.asked.chosen || !this.desk.names.known) return;
    delete this.asked.chosen;
    const { desk } = this, name = scope ? desk.names.group(scope, key) : "Fund";
    if (!(scope >= 0 && key >= 0)) return;
    desk.chooseGroup(scope, key, name);
    if (desk.names.booksOf(desk.names.scope(scope), name).length) desk.filterBook({ scope, name });
  }
}
