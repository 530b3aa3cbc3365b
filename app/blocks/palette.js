// Law: the palette. One field that finds desks, instruments, blocks, sets of columns and commands by
// a few of their letters, wholly by keys. It opens above the page, and gives the focus back; what is
// done is done by others.

const PALETTE_MAX = 14;
const RANKS = { desk: 6, instrument: 4, command: 2, block: 1, set: 1, file: -6 };

// How well the letters of `wish` stand in `text`, in their order; -1 where they do not. Begins of words
// and letters that follow each other count most, short texts before long ones.
function likeness(wish, text) {
  let score = 0, at = -1, run = 0;
  for (const letter of wish) {
    if (letter === " ") { run = 0; continue; }
    const next = text.indexOf(letter, at + 1);
    if (next < 0) return -1;
    const begins = next === 0 || /[\s\u00b7/._-]/.test(text[next - 1]);
    run = next === at + 1 ? run + 1 : 0;
    score += 1 + (begins ? 6 : 0) + 3 * run;
    at = next;
  }
  return score - text.length / 50 + (text === wish ? 40 : text.startsWith(wish) ? 15 : 0);
}

class Palette {
  constructor(desk) {
    [this.desk, this.at, this.found] = [desk, 0, []];
    this.field = el("input", { type: "text", role: "combobox", "aria-expanded": "true", "aria-controls": "palette-list", "aria-label": "Find desks, instruments, blocks and commands", placeholder: "Desk, instrument, block or command", spellcheck: "false", autocomplete: "off" });
    this.list = el("ul", { id: "palette-list", role: "listbox", "aria-label": "Found" });
    this.root = el("dialog", { class: "palette", "aria-label": "Palette" }, this.field, this.list);
    this.field.addEventListener("input", () => { this.at = 0; this.look(); });
    this.root.addEventListener("keydown", (e) => this.key(e));
    this.root.addEventListener("pointerdown", (e) => { if (e.target === this.root) this.root.close(); });
  }

  async open() {
    if (this.root.open) return;
    this.things = this.all();
    this.root.showModal();
    this.field.value = "";
    this.at = 0;
    this.look();
    this.field.focus();
    await this.desk.mine.list();
    if (this.root.open) { this.things = this.all(); this.look(); }
  }

  // {kind, text, more, run}
  all() {
    const { desk } = this, { mine } = desk, go = (href) => () => { location.href = href; };
    return [
      ...desk.spec.desks.map(([name, stem], k) => ({ kind: "desk", text: name, more: k < 9 ? String(k + 1) : "", run: go(desk.addressOf(stem)) })),
      ...mine.desks.map((one) => ({ kind: "desk", text: one.name, more: one.person, run: go(mine.addressOf(one)) })),
      ...desk.commands().map((one) => ({ kind: "command", ...one })),
      ...desk.panels.filter((p) => !p.root.hidden).flatMap((p) => desk.files.items(p).slice(1).map((one) => ({ ...one, kind: "file", text: `${p.title.textContent || p.spec.kind}: ${one.text}` }))),
      ...desk.panels.filter((p) => !p.root.hidden).map((p) => ({ kind: "block", text: p.title.textContent || p.spec.kind, run: () => desk.goTo(p) })),
      ...(desk.blotter?.spec.sets.length > 1 ? desk.blotter.spec.sets.map((set, k) => ({ kind: "set", text: set.name, more: "columns", run: () => desk.tools.sets.choose(k) })) : []),
      ...Array.from(desk.instruments.by.values(), (ref) => ({ kind: "instrument", text: ref.symbol, more: CLASS_NAMES[ref.asset_class], run: () => desk.selectInstrument(ref.id) })),
    ];
  }

  look() {
    const wish = this.field.value.trim().toLowerCase();
    const scored = [];
    for (const one of this.things) {
      one.low ||= one.text.toLowerCase();
      if (!wish && one.kind !== "desk" && one.kind !== "command") continue;
      const score = wish ? likeness(wish, one.low) : 0;
      if (score >= 0) scored.push([score + RANKS[one.kind], one]);
    }
    if (wish) scored.sort((a, b) => b[0] - a[0]);
    this.found = scored.slice(0, PALETTE_MAX).map(([, one]) => one);
    if (wish && this.desk.search) this.found.push({ kind: "filter", text: `Lines with \u201c${this.field.value.trim()}\u201d`, more: "f", run: () => this.filter(this.field.value.trim()) });
    this.at = Math.max(0, Math.min(this.at, this.found.length - 1));
    this.list.replaceChildren(...this.found.map((one, k) => el("li", { id: "palette-" + k, role: "option", "aria-selected": String(k === this.at), onpointermove: () => this.choose(k), onclick: () => this.run(k) },
      el("span", { class: "k" }, one.kind), el("b", {}, one.text), el("kbd", {}, one.more || one.keys || ""))));
    if (!this.found.length) this.list.replaceChildren(el("li", { class: "k" }, "Nothing is called so."));
    this.choose(this.at);
  }

  filter(text) {
    this.desk.search.value = text;
    this.desk.setFilter({ text });
  }

  choose(k) {
    this.at = k;
    [...this.list.children].forEach((li, i) => li.setAttribute("aria-selected", String(i === k)));
    if (this.found.length) this.field.setAttribute("aria-activedescendant", "palette-" + k); else this.field.removeAttribute("aria-activedescendant");
    this.list.children[k]?.scrollIntoView({ block: "nearest" });
  }

  run(k) {
    const one = this.found[k];
    if (!one) return;
    this.root.close();
    one.run();
  }

  key(e) {
    const n = this.found.length, to = { ArrowDown: this.at + 1, ArrowUp: this.at - 1 + n, PageDown: n - 1, PageUp: 0 }[e.key];
    e.stopPropagation();
    if (to !== undefined && n) { this.choose(to % n); e.preventDefault(); }
    else if (e.key === "Enter") { this.run(this.at); e.preventDefault(); }
  }
}
