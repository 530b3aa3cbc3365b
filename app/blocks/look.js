// Law: theme, density, colours of rise and fall, how numbers and clocks are written: what one person
// chooses for every desk. It is one plain JSON object; a change is drawn at once by all on the page.

const LOOKS = {
  theme: { title: "Theme", values: { dark: "Dark", light: "Light", system: "As the system" } },
  density: { title: "Density", values: { screen: "As the screen", compact: "Compact", normal: "Normal", relaxed: "Relaxed", comfortable: "Comfortable", large: "Large" } },
  palette: { title: "Rise and fall", values: { blue: "Blue up, orange down (colour-blind safe)", green: "Green up, red down (western)", red: "Red up, green down (east Asian)" } },
  negative: { title: "Below nought", values: { minus: "\u22121,234", parentheses: "(1,234)" } },
  thousands: { title: "Thousands", values: { k: "k, M, bn", K: "K, M, B" } },
  zone: { title: "Clock", values: { local: "Of this machine", UTC: "UTC", "America/New_York": "New York", "Europe/London": "London", "Asia/Tokyo": "Tokyo" } },
};
const LOOK_FIRST = { theme: "dark", density: "screen", palette: "blue", negative: "minus", thousands: "k", zone: "local" };
// A page of 4K whose pixels are the screen's own: text of 12 px would be 1.5 mm high there.
const VAST = matchMedia("(min-width: 2800px) and (max-resolution: 1.25dppx)");
const SYSTEM_LIGHT = matchMedia("(prefers-color-scheme: light)");

class Look {
  constructor(desk) {
    this.desk = desk;
    const kept = KEEPER.load("look") || {}, asked = new URLSearchParams(location.search);
    this.chosen = { ...LOOK_FIRST };
    // An address may ask for a look; that is not kept.
    for (const [name, { values }] of Object.entries(LOOKS)) for (const wish of [kept[name], asked.get(name)]) if (wish && values[wish]) this.chosen[name] = wish;
    this.button = el("button", { class: "view", "aria-haspopup": "menu", title: "Theme, density, colours, keys", onclick: () => this.open() }, "View");
    VAST.addEventListener("change", () => { if (this.chosen.density === "screen") this.apply(); });
    SYSTEM_LIGHT.addEventListener("change", () => { if (this.chosen.theme === "system") this.apply(); });
    this.tell();
  }

  tell() {
    const { theme, density, palette } = this.chosen, root = document.documentElement.dataset;
    root.theme = theme === "system" ? (SYSTEM_LIGHT.matches ? "light" : "dark") : theme;
    [root.density, root.palette] = [density !== "screen" ? density : VAST.matches ? "large" : "normal", palette];
    const { negative, thousands, zone } = this.chosen;
    Object.assign(STYLE, { negative, thousands, zone: zone === "local" ? "" : zone });
  }

  choose(name, value) {
    this.chosen = { ...this.chosen, [name]: value };
    KEEPER.save("look", this.chosen);
    this.apply();
  }

  // What the window around this one asks for; as an address' wish it is not kept.
  wish(told) {
    for (const [name, { values }] of Object.entries(LOOKS)) if (Object.hasOwn(values, told[name])) this.chosen = { ...this.chosen, [name]: told[name] };
    this.apply();
  }

  apply() {
    this.tell();
    this.redraw();
  }

  // Everything that is drawn, as it is to look now.
  redraw() {
    const { desk } = this;
    readTokens();
    for (const stock of this.desk.stocks) stock.dress();
    readFonts();
    readMeasures();
    LOOK += 1;
    desk.arrange();
    desk.hover.close();
    for (const { note, spec } of desk.panels) if (scaled(spec.note) !== spec.note || note.textContent.match(/\b[KB]\b/)) put(note, scaled(spec.note));
    for (const painter of desk.painters) { painter.reset?.(); painter.touch?.(-1); }
    desk.strip.healthUpdate();
    desk.wake();
  }

  items() {
    const many = Object.entries(LOOKS).flatMap(([name, { title, values }]) => [title, ...Object.entries(values).map(([value, text]) => (
      { text, on: this.chosen[name] === value, radio: true, stay: true, again: () => this.items(), run: () => this.choose(name, value) }))]);
    return [...many, ...this.desk.notices.items(), "Help", { text: "Keys", keys: "?", run: () => this.desk.keys.open() }];
  }

  open() {
    const box = this.button.getBoundingClientRect();
    this.desk.menu.open(box.right - 200, box.bottom + 1, this.items(), "View", this.button);
  }
}

// Heights of a stack's panels in px, told for rows of 20: in the rows of the density that is chosen,
// and smaller where they would leave the panel that takes the rest less than `least` rows.
function heightsIn(told, room, least = 5) {
  const fixed = told.reduce((sum, px) => sum + px, 0), rest = told.some((px) => !px) ? least * ROW : 0;
  const share = Math.min(ROW / 20, (room - rest - told.length) / (fixed || 1));
  if (ROW === 20) return told;
  return told.map((px) => { const rows = Math.round(px / 20); return px && Math.max(3, Math.floor((rows * share * 20) / ROW + 1e-6)) * ROW + px - 20 * rows; });
}

// What keys do, on a key.
const KEYS = {
  "In a grid": [["Arrows", "move; above the first line is the head"], ["Page Up, Page Down", "a screen"], ["Home, End", "first, last column; with Ctrl the line"], ["Enter, Space", "select; open or shut a group; on the head sort"],
    ["Shift+Arrows", "mark a range"], ["Ctrl+C", "copy as shown"], ["Ctrl+Shift+C", "copy raw values"], ["s, Shift+S", "sort by this column, or also by it"], ["m", "menu of this column"], ["Alt+Left, Right", "move this column"],
    ["Alt+Shift+Left, Right", "narrower, wider"], ["i", "card of this cell: age, source, events on record"], ["p", "keep the card open"], ["F2", "note on this line"]],
  "On a desk": [["/", "palette: desks, instruments, blocks, commands"], ["f", "search this grid"], ["Esc", "clear search and filters"], ["c", "next set of columns"], ["a", "first alert"], ["F6, Shift+F6", "next, previous block"],
    ["m", "on a block: save as PNG, CSV, Parquet"], ["l", "copy a link to what is shown"], ["t", "as of a moment"], ["v", "theme, density, colours, numbers, alerts"], ["1 to 9", "desks"], ["?", "this list"]],
  "Arranging": [["e", "begin and end"], ["Arrows", "move the block"], ["Shift+Arrows", "its height; the width of its side"], ["Delete", "take it out"], ["Ctrl+Z", "undo"], ["Ctrl+P", "print, or save as PDF"]],
};

class Keys {
  constructor(desk) {
    this.desk = desk;
    const list = ([title, keys]) => el("section", {}, el("h3", {}, title), el("dl", {}, ...keys.map(([k, s]) => el("div", {}, el("dt", {}, el("kbd", {}, k)), el("dd", {}, s)))));
    this.root = el("dialog", { class: "keys", "aria-label": "Keys" }, el("h2", {}, "Keys"), el("div", { class: "lists" }, ...Object.entries(KEYS).map(list)), el("button", { class: "act", onclick: () => this.root.close() }, "Close"));
    this.root.addEventListener("keydown", (e) => e.stopPropagation());
  }
  open() { if (!this.root.open) this.root.showModal(); }
}
