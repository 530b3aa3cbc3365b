// Law: desks of one's own. Who is at the page, which desks he and his team have kept, and the bar in
// which a desk is kept, shared, taken away or written out as a layout. The server keeps them; here
// it is asked and what it answers is said.

const WHO = "who", DESK_ANSWER_MS = 15_000;

// The name that acknowledges alerts, and a team; asked for once.
const whoIs = () => { const kept = KEEPER.load(WHO) || {}; return { person: sessionStorage.getItem(PERSON) || kept.person || "", team: kept.team || "" }; };
function iAm(person, team) {
  sessionStorage.setItem(PERSON, person);
  KEEPER.save(WHO, { person, team });
}

function download(name, parts, type) {
  const url = URL.createObjectURL(new Blob(parts, { type })), link = el("a", { href: url, download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}

class Mine {
  constructor(desk) {
    [this.desk, this.asked, this.number, this.desks, this.blocks] = [desk, new Map(), 0, [], []];
    this.bar = new MineBar(desk, this);
    this.button = el("button", { class: "view", "aria-haspopup": "menu", title: "Arrange, keep, share and print this desk", onclick: () => this.open() }, "Desk");
  }

  // Of the server; a promise of its answer, which says `error` where it refuses.
  ask(what, more = {}) {
    const id = "desk-" + ++this.number, { person, team } = whoIs();
    return new Promise((done) => {
      const late = setTimeout(() => { this.asked.delete(id); done({ error: "the server has not answered" }); }, DESK_ANSWER_MS);
      this.asked.set(id, (answer) => { clearTimeout(late); done(answer); });
      this.desk.control({ type: "desk", do: what, id, person, team, ...more });
    });
  }

  answer({ type, id, ...told }) {
    if (type !== "desk" || !this.asked.has(id)) return;
    this.asked.get(id)(told);
    this.asked.delete(id);
  }

  async list() {
    const told = await this.ask("list");
    if (!told.error) [this.desks, this.blocks, this.person] = [told.desks, told.blocks, told.person];
    return told;
  }

  // What this page shows, as the server makes a desk of it.
  shown() { return { base: this.desk.spec.stem, mine: this.desk.spec.mine?.key || "", with: this.desk.arranging.told() }; }
  addressOf({ base, person, name }) { return this.desk.addressOf(base, { mine: `${person}/${name}` }); }

  async open() {
    const box = this.button.getBoundingClientRect(), at = [box.left, box.bottom + 1], { menu } = this.desk;
    menu.open(...at, this.items(), "Desk", this.button);
    await this.list();
    if (menu.shown && menu.root.getAttribute("aria-label") === "Desk") menu.fill(this.items());
  }

  items() {
    const { desk } = this, { mine } = desk.spec, own = mine && mine.person === (this.person || whoIs().person); // The server may know better who is there.
    return ["This desk",
      { text: desk.arranging.on ? "Arranged" : "Arrange \u2026", keys: "e", run: () => desk.arranging.toggle() },
      { text: "Keep as mine \u2026", run: () => this.bar.keep() },
      ...(own ? [{ text: "Share with a team \u2026", run: () => this.bar.share() }, { text: "Take away", run: () => this.takeAway() }] : []),
      { text: "Write as a layout (Python)", run: () => this.python() },
      { text: "Copy link", keys: "l", run: () => desk.here.copy() },
      { text: "Print, or save as PDF", keys: "Ctrl+P", run: () => desk.paper.print() },
      ...(desk.spec.mine ? [{ text: `Back to ${desk.spec.desks.find(([, stem]) => stem === desk.spec.stem)?.[0] || "the shipped desk"}`, run: () => { location.href = desk.addressOf(desk.spec.stem); } }] : []),
      { text: whoIs().person ? `I am ${whoIs().person}${whoIs().team ? " of " + whoIs().team : ""} \u2026` : "Who I am \u2026", run: () => this.bar.who() },
      ...(this.desks.length ? ["Kept desks", ...this.desks.map((one) => ({ text: one.own ? one.name : `${one.name} \u00b7 ${one.person}`, keys: one.team || "", on: one.person + "/" + one.name === mine?.key, radio: true, run: () => { location.href = this.addressOf(one); } }))] : [])];
  }

  async keep(name, person, team) {
    iAm(person, team || whoIs().team);
    const told = await this.ask("keep", { ...this.shown(), name, team });
    if (told.error) { this.bar.say("Not kept: " + told.error + "."); return; }
    location.href = this.addressOf(told.desk);
  }

  async share(team) {
    const told = await this.ask("share", { name: this.desk.spec.mine.name, team });
    if (!told.error) this.desk.spec.mine.team = team;
    this.bar.say(told.error ? "Not shared: " + told.error + "." : team ? `Shared with ${team}.` : "Shared with nobody.");
  }

  async takeAway() {
    const told = await this.ask("take_away", { name: this.desk.spec.mine.name });
    if (told.error) this.bar.say("Not taken away: " + told.error + ".");
    else location.href = this.desk.addressOf(this.desk.spec.stem);
  }

  async python() {
    const told = await this.ask("python", { ...this.shown(), name: this.desk.spec.mine?.name || "" });
    if (told.error) { this.bar.say("Not written: " + told.error + "."); return; }
    this.written = told;
    download(told.file, [told.text], "text/x-python");
    this.bar.say(`${told.file} is written. Put it into a folder of layouts, and try it with ./tickglass check.`);
  }
}

// One line below the headline figures: hands while a desk is arranged, a form, or a sentence.
class MineBar {
  constructor(desk, mine) {
    [this.desk, this.mine] = [desk, mine];
    this.root = el("section", { class: "bar mine", "aria-label": "Own desk", hidden: true });
    this.root.addEventListener("keydown", (e) => {
      if (e.key === "Escape") { e.stopPropagation(); if (desk.arranging.on) { if (this.form) this.hands(); else desk.arranging.end(); } else this.shut(); }
      else if (e.key !== "F6") e.stopPropagation();
    });
  }

  fill(...parts) {
    this.form = null;
    this.root.replaceChildren(...parts);
    this.open(true);
  }

  open(on) {
    this.root.hidden = !on;
    this.desk.root.classList.toggle("minded", on);
    this.desk.arrange();
    this.desk.arranging.place();
    this.desk.wake();
  }

  shut() { this.open(false); }

  button(text, run, more = {}) { return el("button", { class: "act", onclick: run, ...more }, text); }

  hands() {
    const { desk } = this;
    this.undoing = this.button("Undo", () => desk.arranging.undo(), { title: "Ctrl+Z" });
    this.keeping = this.button("Keep as mine \u2026", () => this.keep());
    this.told = el("span", { class: "asof-note", role: "status" });
    this.fill(el("div", { class: "word" }, "ARRANGE"), el("div", { class: "wide k" }, "Drag a head to move it, a foot or a side to size it. Keys: arrows, Shift+arrows, Delete."), this.told, el("div", { class: "gap" }),
      el("div", {}, this.button("Add a block \u2026", (e) => this.add(e.currentTarget)), this.undoing, this.keeping, this.button("Python", () => this.mine.python()), this.button("Done", () => desk.arranging.end(), { title: "Esc" })));
    this.update();
  }

  update() {
    if (this.undoing) this.undoing.disabled = !this.desk.arranging.before.length;
    if (this.told) put(this.told, "");
  }

  // A sentence, beside the hands or alone.
  say(text) {
    if (this.desk.arranging.on && this.told?.isConnected) { put(this.told, text); return; }
    this.fill(el("div", { role: "status" }, el("i", { class: "wedge warn" }), el("span", {}, text)), el("div", { class: "gap" }), el("div", {}, this.button("Close", () => this.shut())));
  }

  async add(button) {
    const { desk, mine } = this, box = button.getBoundingClientRect(), told = await mine.list();
    if (told.error) { this.say(told.error + "."); return; }
    const there = new Set(desk.panels.map((p) => p.spec.kind)), shelf = desk.arranging.shelf;
    const into = (title, ref) => desk.menu.open(box.left, box.bottom, ["Where", ...STACKS.map((stack) => ({ text: { left: "Left", centre: "Centre", foot: "Below the centre", right: "Right" }[stack], run: () => desk.arranging.add(ref, stack) }))], title, button);
    const items = [...(shelf.length ? ["Taken out", ...shelf.map((p) => ({ text: p.spec.title || p.spec.kind, run: () => into(p.spec.title, p.spec.ref) }))] : []),
      "Blocks", ...mine.blocks.filter(([, kind]) => !there.has(kind)).map(([name, , title, said]) => ({ text: title, title: said, run: () => into(title, name) }))];
    desk.menu.open(box.left, box.bottom, items, "Add a block", button);
  }

  field(label, value, more = {}) { return el("input", { "aria-label": label, placeholder: label, value, spellcheck: "false", maxlength: PERSON_MAX, ...more }); }

  asked(text, fields, button, done) {
    const form = el("form", { onsubmit: (e) => { e.preventDefault(); const wrong = fields.find((f) => f.required && !f.value.trim()); if (wrong) wrong.focus(); else done(...fields.map((f) => f.value.trim())); } },
      el("span", {}, text), ...fields, el("button", { class: "act", type: "submit" }, button), this.button("Cancel", () => (this.desk.arranging.on ? this.hands() : this.shut()), { type: "button" }));
    this.told = el("span", { class: "asof-note", role: "status" });
    this.fill(form, this.told);
    this.form = form;
    (fields.find((f) => !f.value) || fields[0]).focus();
  }

  keep() {
    const { person, team } = whoIs(), { mine, title } = this.desk.spec, own = mine && mine.person === person;
    this.asked("Keep this desk", [this.field("Its name", own ? mine.name : title, { required: true }), this.field("Your name", person, { required: true, autocomplete: "name" }), this.field("Team to share with, if any", own ? mine.team : "", { title: "A team's name, or everybody", list: null })], "Keep",
      (name, who, with_) => this.mine.keep(name, who, with_ || ""));
  }

  who() {
    const { person, team } = whoIs();
    this.asked("Desks kept by you, and those shared with your team, are in the menu", [this.field("Your name", person, { required: true, autocomplete: "name" }), this.field("Your team, if any", team)], "Done", (name, of) => { iAm(name, of); this.say(`You are ${name}${of ? " of " + of : ""}.`); });
  }

  share() {
    this.asked(`Share ${this.desk.spec.mine.name}`, [this.field("Team; empty: nobody", this.desk.spec.mine.team || "", { title: "A team's name, or everybody" })], "Share", (team) => this.mine.share(team));
  }
}
