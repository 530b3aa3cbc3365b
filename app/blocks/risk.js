// Law: the panels of risk: what each of them shows of its feed, and what its head lets one choose.

// Buttons of which one is pressed, a menu where the page is narrow.
function choice(labelText, items, choose, chosen) {
  const buttons = items.map(([name, value]) => el("button", { "aria-pressed": String(value === chosen), onclick: () => pick(value) }, name));
  const menu = el("select", { class: "slim", "aria-label": labelText, onchange: () => pick(items[menu.selectedIndex][1]) }, ...items.map(([name]) => el("option", {}, name)));
  const pick = (value) => {
    buttons.forEach((b, i) => b.setAttribute("aria-pressed", String(items[i][1] === value)));
    menu.selectedIndex = items.findIndex((item) => item[1] === value);
    choose(value);
  };
  menu.selectedIndex = items.findIndex((item) => item[1] === chosen);
  return [menu, el("div", { class: "sets wide", role: "group", "aria-label": labelText }, ...buttons)];
}

const RISK_PANELS = {
  exposures(panel, desk) {
    const { spec } = panel, feed = desk.feeds[spec.feeds.main], fund = desk.feeds[spec.feeds.fund];
    let scope = spec.tabs[0][1];
    const get = (slot, name) => feed.get(slot, name), buckets = () => ["beta", "liquidity"].includes(desk.names.scope(scope));
    const lines = new Lines(panel.body, spec, feed, desk, {
      name: (slot) => desk.names.group(get(slot, "scope"), get(slot, "key")),
      keep: (slot) => get(slot, "scope") === scope && !(get(slot, "lines") === 0),
      // Buckets stand in their own order, all else by size.
      order: (a, b) => (buckets() ? get(a, "key") - get(b, "key") : (get(b, "gross") || 0) - (get(a, "gross") || 0)) || a - b,
      total: (k) => lines.foot?.(k),
    });
    lines.foot = null;
    lines.total = lines.totalFrom(fund, () => "Fund");
    fund.listeners.push(() => lines.touch(-1));
    lines.onSelect = (slot) => { desk.group = { name: lines.nameOf(slot), get: (name) => feed.get(feed.slotOf(lines.selected), name) }; desk.keyRates?.touch(); };
    desk.fundGroup = () => (fund.rows.length && fund.get(0, "scope") === 0 ? { name: "Fund", get: (name) => fund.get(0, name) } : null);
    const tell = () => desk.control({ type: "filter", feed: desk.feedNumber(feed), scope });
    desk.wishes.push(tell);
    panel.tools.append(...choice("Scope", spec.tabs, (value) => { scope = value; lines.selected = -1; desk.group = null; desk.keyRates?.touch(); tell(); lines.again(); }, scope));
    return lines;
  },

  var(panel, desk) {
    const feed = desk.feeds[panel.spec.feeds.main], get = (slot, name) => feed.get(slot, name);
    const lines = new Lines(panel.body, panel.spec, feed, desk, {
      name: (slot) => (get(slot, "scope") > 0 ? desk.names.group(get(slot, "scope"), get(slot, "key")) : "Fund"),
      keep: (slot) => get(slot, "scope") === get(slot, "scope"),
      nameWidth: 142, // An option with its strike.
    });
    lines.sayName = (cell, row) => {
      const scope = get(row.slot, "scope");
      if (scope === 0) cell.font = BOLD; else if (scope !== 1) cell.color = TEXT2;
    };
    panel.asOf = () => { const ms = feed.get(0, "as_of_ms"); return ms === ms ? "as of " + clockText(ms, "", true) : ""; };
    return lines;
  },

  limits(panel, desk) {
    const feed = desk.feeds[panel.spec.feeds.main], lines = new LimitLines(panel.body, panel.spec, feed, desk);
    panel.asOf = () => {
      const count = (level) => lines.rows.filter((slot) => feed.get(slot, "state") === level).length;
      return [[count(2), "over"], [count(1), "near"], [count(3), "unknown"]].filter(([n]) => n).map(([n, word]) => `${n} ${word}`).join(" · ") || (lines.rows.length ? `${lines.rows.length} watched` : "");
    };
    return lines;
  },

  execution(panel, desk) {
    const { spec } = panel, feed = desk.feeds[spec.feeds.main], get = (slot, name) => feed.get(slot, name);
    let scope = spec.tabs[0][1];
    const lines = new Lines(panel.body, spec, feed, desk, {
      name: (slot) => {
        const key = get(slot, "key"), ref = scope === 2 ? desk.instruments.get(key) : null;
        return scope === 0 ? desk.names.book(key, spec.names) : scope === 1 ? desk.names.trader(key) : ref ? ref.venue || "No venue" : "";
      },
      keep: (slot) => get(slot, "scope") === scope,
      order: (a, b) => (get(b, "worth") || 0) - (get(a, "worth") || 0) || a - b,
    });
    if (spec.tabs.length > 1) panel.tools.append(...choice("Execution by", spec.tabs, (value) => { scope = value; lines.again(); }, scope));
    return lines;
  },

  orders(panel, desk) {
    const feed = desk.feeds[panel.spec.feeds.main], get = (slot, name) => feed.get(slot, name);
    const lines = new Lines(panel.body, panel.spec, feed, desk, {
      name: (slot) => desk.instruments.get(get(slot, "instrument"))?.symbol || "#" + get(slot, "instrument"),
      keep: (slot) => get(slot, "key") === get(slot, "key"),
      nameWidth: 142, // An option with its strike.
    });
    lines.instrumentOf = (row) => get(row.slot, "instrument");
    lines.onSelect = (slot) => desk.selectInstrument(get(slot, "instrument"));
    return lines;
  },

  scenarios(panel, desk) {
    const number = panel.spec.feeds.main, matrix = new ScenarioMatrix(panel.body, desk.feeds[number], desk);
    const rates = el("div", { class: "sets", role: "group", "aria-label": "Rates" });
    matrix.onGrid = (g) => {
      if (String(g.rates) === matrix.known) return;
      matrix.known = String(g.rates);
      rates.replaceChildren(...g.rates.map((bp) => el("button", { "aria-pressed": String(bp === matrix.rates), onclick: (e) => {
        matrix.rates = bp;
        rates.childNodes.forEach((b) => b.setAttribute("aria-pressed", String(b === e.currentTarget)));
        matrix.touch();
        desk.wake();
      } }, (bp ? signed(bp) : "0") + " bp")));
    };
    // The fund's grid, or a book's: cells of one of them travel.
    let of = [0, 0];
    const tell = () => desk.control({ type: "filter", feed: number, scope: of[0], key: of[1] });
    const menu = el("select", { "aria-label": "Scenarios of", onchange: () => { of = menu.value.split(":").map(Number); tell(); } });
    panel.namesCame = () => {
      const books = (desk.names.keys.book || []).map((name, key) => name && el("option", { value: "1:" + key }, name)).filter(Boolean);
      menu.replaceChildren(el("option", { value: "0:0" }, "Fund"), ...books);
      menu.value = of.join(":");
    };
    panel.namesCame();
    desk.wishes.push(tell);
    panel.tools.append(menu, el("span", { class: "wide" }, "Rates"), rates);
    return matrix;
  },

  key_rates(panel, desk) {
    const bars = new KeyRateBars(panel.body, panel.spec, desk);
    bars.of = () => desk.group || desk.fundGroup?.();
    desk.keyRates = bars;
    return bars;
  },

  alerts(panel, desk) {
    desk.alertList = new AlertList(panel, desk);
    return null;
  },

  what_if(panel, desk) { return (desk.whatIf = new WhatIf(panel, desk)); },
};

// What a panel of risk says where it has no row: which part is missing.
function riskState(panel, desk) {
  const kind = panel.spec.kind, own = !["execution", "orders"].includes(kind), absent = own ? riskAbsence(desk) : "", { painter } = panel;
  const silence = own ? liveSilence(desk) : NaN, starting = own ? riskStarting(desk) : "", filled = painter?.count?.();
  const tag = absent ? (starting ? "STARTING" : `RISK ${duration(desk.health.riskAge()) || "ABSENT"}`) : silence === silence ? `LIVE SILENT ${duration(silence)}` : "";
  panel.setTag(filled ? tag : "", "warn");
  panel.root.classList.toggle("old", Boolean(absent) || silence === silence);
  if (panel.asOf) put(panel.note, panel.asOf() || panel.spec.note || "");
  if (!(painter instanceof Lines || painter instanceof BookTree)) return;
  const empty = painter.count() === 0, words = { execution: "No order has been executed yet", orders: "No order has been placed yet", limits: "No limit is watched", var: "No value at risk has been computed yet", attribution: "No P&L of the day yet", tree: "No book is known yet" };
  panel.void ||= panel.body.appendChild(el("div", { class: "void" }, el("p")));
  panel.void.hidden = !empty;
  put(panel.void.firstChild, absent || (kind === "var" && starting ? "Risk is starting: " + starting : words[kind]) || desk.rights.absence() || "No line in this scope");
}
