// Law: what stands around the numbers. What happened, newest first; what a person writes down; and
// what is looked at, and of when: menus, a filter, a moment of the past.

const NEWS_TICK_MS = 500, OWN_NEWS_MAX = 40, TYPED_MS = 400;
const NEWS_KINDS = [["All", ""], ["States", "state"], ["Moves", "move"], ["Limits", "limit"]];
// Of each bit of a state: what it is called when it comes, and when it goes.
const STATE_NEWS = [[HALTED, "halted", "trades again"], [AUCTION, "in auction", "out of auction"], [GAP, "events are missing", "whole again"], [CORRECTED, "corrected or busted", ""]];

class NewsList {
  constructor(panel, desk) {
    [this.panel, this.desk, this.own, this.kind, this.data] = [panel, desk, [], "", null];
    this.list = el("ol", { class: "incidents news", "aria-label": "What happened" });
    this.void = el("div", { class: "void flat" }, el("p", {}, "Nothing has happened since this page looks on"));
    panel.body.append(this.list, this.void);
    panel.tools.append(...choice("Kind of news", NEWS_KINDS, (value) => { this.kind = value; this.update(true); }, ""));
    setInterval(() => this.update(), NEWS_TICK_MS);
  }

  took(data) { this.data = data; this.version = (this.version || 0) + 1; }

  // Of instruments as the server tells them.
  market() {
    if (!this.data) return [];
    const { n, columns: [ms, id, now, was, move] } = this.data, found = [];
    for (let i = 0; i < n; i++) {
      if (move[i] === move[i]) found.push({ ms: ms[i], id: id[i], kind: "move", tone: move[i] > 0 ? "up" : "down", text: `${move[i] > 0 ? "above" : "below"} ${signed(move[i])} % today` });
      else for (const [bit, came, went] of STATE_NEWS) if ((now[i] ^ was[i]) & bit && (now[i] & bit || went)) found.push({ ms: ms[i], id: id[i], kind: "state", tone: now[i] & bit ? (bit === HALTED ? "crit" : "warn") : "ok", text: now[i] & bit ? came : went });
    }
    return found;
  }

  // Of limits: passed, acknowledged, within again.
  limits() {
    const { names } = this.desk;
    return this.desk.incidents.all.flatMap((m) => {
      const name = names.limit(m.name, m.scope, m.key, m.scope === "class" ? CLASS_OF[m.key] || m.key : m.key), found = [];
      const say = (ms, tone, text) => { if (ms) found.push({ ms, kind: "limit", name, tone, text }); };
      say(m.raised_ms, m.level === "breach" ? "crit" : "warn", m.level === "breach" ? "over its limit" : m.level === "unknown" ? "not watched: no value" : "near its limit");
      if (m.acknowledged) say(m.acknowledged_ms, "", `acknowledged by ${m.person}`);
      if (!m.open) say(m.changed_ms, "ok", m.reason || "within limit");
      return found;
    });
  }

  // Of this page: its word of life has changed.
  word() {
    const { state } = this.desk, first = this.last === undefined;
    if (!state || state.word === this.last || state.word === "CONNECTING" || state.word === "PAST") return;
    this.last = state.word;
    if (first && state.word === "LIVE") return; // As it should be.
    this.own.push({ ms: this.desk.health.now(), kind: "link", name: "This page", tone: state.tone, text: state.word.toLowerCase() });
    if (this.own.length > OWN_NEWS_MAX) this.own.shift();
  }

  update(again = false) {
    if (!this.figureKey && this.desk.model) this.desk.figures.want(this, { figure: "news" });
    this.word();
    const key = [this.version, this.desk.incidents.version, this.own.length, this.last, this.desk.names.known, this.desk.instruments.size, this.kind].join();
    if (key === this.key && !again) return;
    this.key = key;
    const all = [...this.market(), ...this.limits(), ...this.own].filter((one) => !this.kind || one.kind === this.kind).sort((a, b) => b.ms - a.ms);
    this.told = all;
    this.void.hidden = all.length > 0;
    put(this.panel.note, all.length ? num(all.length) : "");
    const focused = this.list.contains(this.list.getRootNode().activeElement);
    this.list.replaceChildren(...all.map((one) => this.line(one)));
    if (focused) this.list.querySelector("button")?.focus();
  }

  line({ ms, id, name, tone: hue, text }) {
    const { desk } = this, what = name || desk.instruments.get(id)?.symbol || "#" + id;
    const mark = el("i", { class: { crit: "square crit", warn: "wedge warn", up: "wedge up", down: "wedge fall down" }[hue] || "point" });
    const title = id === undefined ? el("b", {}, what) : el("button", { "aria-label": `${what} ${text}: show it`, onclick: () => desk.selectInstrument(id) }, el("b", {}, what));
    return el("li", { title: `${what} ${text}` }, el("time", {}, clockText(ms, "", true)), mark, el("span", { class: "what" }, title, " ", el("span", {}, text)));
  }
}

// What a person writes here is part of the desk: in the link, in what is kept, in the file it equals.
function notes(panel, desk) {
  const { spec } = panel, left = () => put(panel.note, spec.text.length > 0.8 * spec.most ? `${num(spec.most - spec.text.length)} letters left` : "");
  const field = el("textarea", { class: "written", "aria-label": spec.title, maxlength: spec.most, spellcheck: "false", placeholder: "Write here; it is kept with the desk" });
  let typing = 0;
  field.value = spec.text;
  field.addEventListener("input", () => {
    spec.text = field.value;
    left();
    clearTimeout(typing);
    typing = setTimeout(() => { desk.arranging.say(); desk.mine.bar.update(); }, TYPED_MS);
  });
  field.addEventListener("keydown", (e) => { if (e.key === "Escape") desk.blotterPanel?.body.focus(); e.stopPropagation(); });
  panel.body.append(field);
  left();
  return null;
}

// A menu for each scope: a book's lines, a strategy's, or what is paid in a currency.
function selectors(panel, desk) {
  const menus = panel.spec.of.map(([name, scope]) => {
    const menu = el("select", { "aria-label": name[0].toUpperCase() + name.slice(1), onchange: () => desk.chooseScope(scope, +menu.value) });
    panel.body.append(el("label", { class: "selector" }, el("span", {}, name[0].toUpperCase() + name.slice(1)), menu));
    return { name, scope, menu };
  });
  const show = () => menus.forEach(({ name, scope, menu }) => { menu.value = String(name === "currency" ? desk.names.keys.currency?.indexOf(desk.filter.currency) ?? -1 : desk.chosen.scope === scope ? desk.chosen.key : -1); });
  panel.namesCame = () => {
    for (const { name, menu } of menus) menu.replaceChildren(el("option", { value: -1 }, "All"), ...(desk.names.keys[name] || []).map((one, key) => one && el("option", { value: key }, one === "-" ? "Not said" : one)).filter(Boolean));
    show();
  };
  panel.namesCame();
  desk.onChoice.push(show);
  return null;
}

// Search and classes of the desk's grid, as a tile: the same filter as in the grid's head.
function filterTile(panel, desk) {
  const search = el("input", { type: "search", class: "field", placeholder: "Symbol, or currency:EUR", "aria-label": "Lines that have", spellcheck: "false", autocomplete: "off" });
  const chips = el("div", { class: "chips", role: "group", "aria-label": "Classes shown" }), clear = el("button", { class: "act", onclick: () => desk.clearFilter() }, "Clear filter");
  let typing = 0, made = null;
  search.addEventListener("input", () => { clearTimeout(typing); typing = setTimeout(() => desk.setFilter({ text: search.value.trim() }), TYPED_MS / 3); });
  search.addEventListener("keydown", (e) => {
    if (e.key === "Escape") desk.clearFilter();
    if (e.key === "Escape" || e.key === "Enter") desk.blotterPanel?.body.focus();
    e.stopPropagation();
  });
  panel.body.append(el("div", { class: "fields" }, search, clear), chips);
  const show = () => {
    const { text, classes } = desk.filter, all = classes.length === desk.base.length;
    if (!made && desk.blotter) { // The grid may come after this tile.
      made = desk.blotter instanceof Positions ? [] : desk.base.length ? desk.base : CLASS_CODES.map((_, id) => id);
      if (made.length > 1) chips.append(...[-1, ...made].map((id) => el("button", { title: CLASS_NAMES[id] || "Every class", onclick: () => (id < 0 ? desk.setFilter({ classes: [...desk.base] }) : desk.toggleClass(id)) }, CLASS_CODES[id] || "All")));
    }
    [...chips.children].forEach((chip, k) => chip.setAttribute("aria-pressed", String(k ? !all && classes.includes(made[k - 1]) : all)));
    search.disabled = !desk.blotter;
    put(panel.note, desk.blotter ? "" : "this desk has no grid");
    clear.hidden = !desk.filtering;
    if (!search.matches(":focus")) search.value = text;
  };
  panel.namesCame = show;
  desk.onChoice.push(show);
  return null;
}

// A moment on the tape, as a tile: typed, or so long before what is shown.
const BACK = [["1 m", 60_000], ["5 m", 300_000], ["15 m", 900_000], ["1 h", 3_600_000], ["1 d", 86_400_000]];
function asOfTile(panel, desk) {
  const { past } = desk, shown = () => (past.on ? past.now() : Date.now());
  const show = (ms) => (past.on ? past.go({ ts_ms: ms, playing: false }) : past.enter(ms));
  const typed = () => {
    const ms = pastMoment(clock.value, shown());
    if (ms === ms) show(ms);
    put(panel.note, ms === ms ? "" : "say 14:03:02.113");
  };
  const clock = el("input", { class: "field", spellcheck: "false", autocomplete: "off", placeholder: "14:03:02.113, UTC", "aria-label": "Moment to show, UTC", title: "14:03:02.113 or 2026-11-22T14:03:02.113, UTC; Enter goes there" });
  clock.addEventListener("keydown", (e) => { if (e.key === "Enter") typed(); if (e.key === "Escape") desk.blotterPanel?.body.focus(); e.stopPropagation(); });
  panel.body.append(
    el("div", { class: "fields" }, clock, el("button", { class: "act", onclick: typed }, "Show"), past.on ? el("button", { class: "act", onclick: () => past.leave() }, "Live") : ""),
    el("div", { class: "chips", role: "group", "aria-label": "Back by" }, ...BACK.map(([name, ms]) => el("button", { "aria-label": name + " back", onclick: () => show(shown() - ms) }, "\u2212" + name))));
  return null;
}

Object.assign(FIGURE_PANELS, { filter: filterTile, as_of: asOfTile, news: (panel, desk) => { new NewsList(panel, desk); return null; }, notes, selectors });
