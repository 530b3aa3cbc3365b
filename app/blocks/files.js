// Law: what leaves the page as a file. A block as a picture, or as a table with its units and its
// moment; the desk on paper. Figures are written whole, with every digit, in the unit of their column.

const WHOLE_MS = 60_000, WINDOW = 400; // How long a grid may take to have all its lines here, and how many a server tells at once.
const PAPER = { width: 1556, height: 1068 }; // A3 across, in px of the page, less its margins and a foot.

// What DOM a block has beside or in place of a canvas, as rows of texts.
function textsOf(body) {
  const rows = [...body.querySelectorAll("tr")].map((tr) => [...tr.children].map((cell) => cell.textContent.trim()));
  if (rows.length) return rows;
  const facts = [...body.querySelectorAll("dl.facts > div")].map((div) => [...div.children].map((cell) => cell.textContent.trim()));
  if (facts.length) return [["What", "Value"], ...facts];
  return [...body.querySelectorAll("li")].map((li) => [...li.children].map((part) => part.textContent.trim()).filter(Boolean));
}

// {columns: [{name, unit, kind}], rows}: kinds are number, text and moment (ms).
function tableOf(panel, desk) {
  const { painter, body } = panel;
  if (painter instanceof Sheet && painter.columns) return sheetTable(painter);
  if (painter?.data?.columns && painter.data.n) return figureTable(painter, desk);
  if (painter instanceof PriceChart) return { ...columnsTable(["moment", "last", "vwap", "volume"], ["t_ms", "last", "vwap", "volume"].map((name) => desk.series[name]), true), of: desk.instruments.get(desk.series.row)?.symbol };
  const exposures = () => desk.feeds[desk.panels.find((p) => p.spec.kind === "exposures")?.spec.feeds.main];
  const feed = desk.feeds[panel.spec.feeds?.main] || { map: () => desk.classes, key_rates: exposures }[panel.spec.kind]?.();
  if (feed) return feedTable(feed);
  const texts = textsOf(body), wide = Math.max(0, ...texts.map((row) => row.length));
  if (!wide) return null;
  const heads = body.querySelector("tr, dl.facts") ? texts.shift() : Array.from({ length: wide }, (_, k) => "column " + (k + 1));
  const shown = heads.map((_, k) => k).filter((k) => heads[k]); // Marks and bars have no head, and are no words.
  return { columns: shown.map((k) => ({ name: heads[k], kind: "text" })), rows: texts.map((row) => shown.map((k) => row[k] ?? "")) };
}

const known = (v) => (typeof v === "number" && v === v ? v : null);
function columnsTable(names, lists, timed, units = []) {
  const columns = names.map((name, k) => ({ name, unit: units[k] || "", table: units[k] || timed ? "" : "*", kind: k || !timed ? "number" : "moment" }));
  return { columns, rows: Array.from({ length: lists[0].length }, (_, i) => lists.map((list) => known(list[i]))) };
}

// Codes, names and sides are words; all else is its number, as the table has it. Of a grid what is
// on the glass has come, of short tables all columns have.
const WORDY = new Set(["code", "book", "side", undefined]), MOMENTS = new Set(["moment", "clock"]);
function sheetTable(sheet) {
  const shown = (sheet instanceof Blotter ? sheet.columns : sheet.all).filter((k) => k.name !== "bar"), twice = (k) => shown.filter((one) => one.head === k.head).length > 1;
  const cell = new Cell(), rows = [], top = sheet.top;
  sheet.top = 0;
  for (let line = 0; line < sheet.count(); line++) {
    const row = sheet.rowAt(line);
    if (!row) continue;
    rows.push([row.id, ...shown.map((k) => {
      const v = sheet.valueOf(row, k);
      if (!WORDY.has(k.format) || (k.of && known(v) !== null && k.name !== "symbol")) return known(v);
      k.say(cell.reset(), row, v, k, null, sheet);
      return cell.text.replace(/\u200b/g, "").trim();
    })]);
  }
  sheet.top = top;
  const columns = shown.map((k, j) => {
    const words = rows.some((row) => typeof row[j + 1] === "string");
    return { name: k.head && !twice(k) ? k.head : k.name, unit: words ? "" : k.unit || "", kind: words ? "text" : MOMENTS.has(k.format) ? "moment" : "number" };
  });
  return { columns, rows: rows.map(([, ...cells]) => cells), ids: rows.map(([id]) => id) };
}

// What a figure's columns are: said in its facts, or what its kind has (app/figures.py).
const OF_OPTIONS = ["expiry number", "strike", "sign", "iv bid", "iv ask", "smile", "delta", "gamma", "vega", "theta", "bid", "ask", "position", "row"];
const OF_HOLDINGS = ["kind", "book", "class", "row", "net", "gross", "pnl"];
const FIGURE_COLUMNS = {
  candles: () => ["moment", "open", "high", "low", "close", "vwap", "volume", "trades"],
  depth: () => ["price", "volume", "bought", "sold", "trades"],
  smile: () => OF_OPTIONS, ladder: () => OF_OPTIONS, chain: () => OF_OPTIONS, vol_term: () => OF_OPTIONS,
  heatmap: () => OF_HOLDINGS, position_map: () => OF_HOLDINGS,
  pnl: (data, desk) => ["moment", "fund", ...data.columns.slice(2).map((_, id) => desk.names.book(id))],
  lines: (data, desk) => ["moment", ...(data.facts.rows || []).map((id) => desk.instruments.get(id)?.symbol || "#" + id)],
};
function figureTable({ data, spec }, desk) {
  const names = data.facts.columns || FIGURE_COLUMNS[spec.kind]?.(data, desk) || [], timed = data.facts.step_s !== undefined;
  const units = data.columns.map((_, k) => (spec.kind === "pnl" && k ? "USD" : OF_HOLDINGS.slice(4).includes(names[k]) && names.length === OF_HOLDINGS.length ? "USD" : ""));
  return { ...columnsTable(data.columns.map((_, k) => names[k] || `${spec.kind} ${k}`), data.columns, timed, units), of: desk.instruments.get(data.facts.row)?.symbol };
}

function feedTable(feed) {
  const columns = feed.columns.map((name) => ({ name, table: feed.table, kind: "number" }));
  return { columns, rows: Array.from(feed.rows, (_, slot) => feed.columns.map((_, j) => known(feed.at(slot, j)))) };
}

class Files {
  constructor(desk) { this.desk = desk; }

  // The menu of a block, at its title and at its head.
  offer(panel) {
    panel.title.addEventListener("click", () => { if (!this.desk.arranging.on) this.open(panel); });
    panel.root.querySelector("header").addEventListener("contextmenu", (e) => { e.preventDefault(); this.open(panel); });
  }

  open(panel) {
    const box = panel.title.getBoundingClientRect();
    this.desk.menu.open(box.left, box.bottom + 2, this.items(panel), panel.title.textContent || "Block", panel.title);
  }

  items(panel) {
    const title = panel.title.textContent || panel.spec.kind, run = (what) => () => what().catch((error) => this.desk.mine.bar.say(`${title} is not written: ${error.message}.`));
    return [title,
      { text: "Save as PNG", run: run(() => this.picture(panel)) },
      { text: "Save as CSV", run: run(() => this.table(panel, "csv")) },
      { text: "Save as Parquet", run: run(() => this.table(panel, "parquet")) }];
  }

  moment() { return new Date(this.desk.health.now()).toISOString(); }
  name(panel, end) {
    const plain = (s) => s.toLowerCase().replace(/[^\p{L}\p{N}]+/gu, "-").replace(/^-|-$/g, "");
    return `${plain(this.desk.spec.title)}-${plain(panel.title.textContent || panel.spec.kind)}-${this.moment().slice(0, 19).replace(/\D/g, "")}.${end}`;
  }

  // All lines of a grid, not only those on the glass: asked for window by window, in an order that is
  // held meanwhile.
  async whole(panel) {
    const { desk } = this, b = panel.painter, { feed } = b, number = desk.feedNumber(feed), step = WINDOW, until = performance.now() + WHOLE_MS;
    const seen = new Map();
    let table = null;
    desk.control({ type: "hold", feed: number, on: true });
    for (let first = 0; first < feed.total; first += step) {
      const last = Math.min(feed.total, first + step);
      desk.control({ type: "viewport", feed: number, first, count: last - first });
      while (feed.first !== first || feed.rows.length < Math.min(feed.total, last) - first) {
        if (performance.now() > until) throw new Error(`its ${num(feed.total)} lines have not come`);
        await new Promise((done) => setTimeout(done, 30));
      }
      table = sheetTable(b);
      table.ids.forEach((id, k) => seen.set(id, table.rows[k]));
    }
    return { ...table, rows: [...seen.values()] };
  }

  async tableOf(panel) {
    const { desk } = this, b = panel.painter;
    if (!(b instanceof Blotter) || b.feed.total <= b.feed.rows.length) return tableOf(panel, desk);
    try {
      return await this.whole(panel);
    } finally {
      desk.control({ type: "hold", feed: desk.feedNumber(b.feed), on: Boolean(desk.input.held) });
      [desk.sentViewport, desk.waiting] = [null, false];
      desk.viewportChanged();
    }
  }

  async table(panel, form) {
    const { desk } = this, table = await this.tableOf(panel);
    if (!table?.rows.length) throw new Error("it shows nothing that is a table");
    const facts = { desk: desk.spec.title, block: panel.title.textContent || panel.spec.kind, moment: this.moment(), ...(table.of ? { instrument: table.of } : {}) };
    const answer = await fetch(new URL("./table", desk.home), { method: "POST", credentials: "include", body: JSON.stringify({ form, facts, columns: table.columns, rows: table.rows }) });
    if (!answer.ok) throw new Error((await answer.text()).trim() || "the server refuses");
    this.written = { name: this.name(panel, form), rows: table.rows.length };
    download(this.written.name, [await answer.arrayBuffer()], answer.headers.get("Content-Type"));
  }

  // The panel as it stands, with a line that says of what and when.
  async picture(panel) {
    this.desk.control({ type: "export", form: "png", name: `${this.desk.spec.title}, ${panel.title.textContent || panel.spec.kind}` });
    const box = panel.root.getBoundingClientRect(), scale = devicePixelRatio || 1, line = 20, root = document.documentElement;
    const copy = panel.root.cloneNode(true), theirs = copy.querySelectorAll("canvas");
    panel.root.querySelectorAll("canvas").forEach((canvas, k) => theirs[k].replaceWith(el("img", { src: canvas.toDataURL(), style: `display:block;width:${canvas.style.width};height:${canvas.style.height}` })));
    const said = `Tickglass \u00b7 ${this.desk.spec.title} \u00b7 ${this.moment().slice(0, 19).replace("T", " ")} UTC`;
    const whole = el("div", { class: "desk", style: `position:static;display:block;width:${box.width}px;height:${box.height + line}px;background:var(--panel)` }, el("div", { style: `height:${box.height}px;display:grid` }, copy), el("p", { style: `padding:0 8px;line-height:${line}px;color:var(--text3);border-top:1px solid var(--line)` }, said));
    // The browser's own parser and writer know the names of these languages.
    const svg = el("div"), told = () => svg.firstChild;
    svg.innerHTML = "<svg><style></style><foreignObject width='100%' height='100%'></foreignObject></svg>";
    for (const [name, value] of [["width", box.width], ["height", box.height + line], ...Object.entries(root.dataset).map(([name, value]) => ["data-" + name, value])]) told().setAttribute(name, value);
    told().firstChild.textContent = PAGE_STYLE + DESK_STYLE;
    told().lastChild.append(whole);
    const image = new Image();
    image.src = "data:image/svg+xml;charset=utf-8," + encodeURIComponent(new XMLSerializer().serializeToString(told()));
    await image.decode();
    const canvas = Object.assign(document.createElement("canvas"), { width: Math.round(box.width * scale), height: Math.round((box.height + line) * scale) }), c = canvas.getContext("2d");
    c.scale(scale, scale);
    c.drawImage(image, 0, 0);
    const png = await new Promise((done) => canvas.toBlob(done, "image/png"));
    this.written = { name: this.name(panel, "png"), width: canvas.width, height: canvas.height };
    download(this.written.name, [png], "image/png");
  }
}

// The desk on one sheet: light, as large as an A3 across, and drawn again for it before it is printed.
class Paper {
  constructor(desk) {
    this.desk = desk;
    this.foot = el("p", { class: "paper-foot" });
    addEventListener("beforeprint", () => this.begin());
    addEventListener("afterprint", () => this.end());
  }

  print() { window.print(); }

  begin() {
    const { desk } = this, root = document.documentElement;
    this.theme = root.dataset.theme;
    root.dataset.theme = "light";
    put(this.foot, `Tickglass \u00b7 ${desk.spec.title} \u00b7 ${new Date(desk.health.now()).toISOString().slice(0, 19).replace("T", " ")} UTC${desk.past.on ? " \u00b7 as of the past" : ""}${whoIs().person ? " \u00b7 " + whoIs().person : ""}`);
    desk.root.append(this.foot);
    // Laid out as wide as the window is; the sheet makes it smaller or larger.
    const width = Math.max(innerWidth, 1366), times = PAPER.width / width;
    desk.root.style.setProperty("--paper", String(times));
    Object.assign(desk.root.style, { position: "absolute", inset: "0 auto auto 0", width: width + "px", height: Math.floor(PAPER.height / times) + "px" });
    this.draw();
  }

  end() {
    const { desk } = this;
    document.documentElement.dataset.theme = this.theme;
    this.foot.remove();
    for (const name of ["position", "inset", "width", "height"]) desk.root.style[name] = "";
    this.draw();
  }

  // At once: the printer does not wait for a frame.
  draw() {
    const { desk } = this;
    desk.look.redraw();
    for (const p of desk.painters) if (p.surface) p.surface.stale = true;
    for (const p of desk.painters) if (p.surface?.shown) { p.drawn = -1e9; desk.paint(p, performance.now()); }
  }
}
