// Law: what was refused. Counts by reason, the newest values under them, one of them looked at with
// its place, reason and bytes; and published again by a person, who is asked for a name once.

const HEX_LINE = 16;
const AGAIN_MS = 5000; // `risk` may read a value later than `live` has counted it.

// Bytes in hexadecimal and as letters, sixteen a line.
function hexLines(hex) {
  const bytes = hex.match(/../g) || [], lines = [];
  for (let at = 0; at < bytes.length; at += HEX_LINE) {
    const part = bytes.slice(at, at + HEX_LINE), letters = part.map((b) => parseInt(b, 16)).map((c) => (c >= 32 && c < 127 ? String.fromCharCode(c) : "."));
    lines.push(`${at.toString(16).padStart(4, "0")}  ${part.join(" ").padEnd(3 * HEX_LINE - 1)}  ${letters.join("")}`);
  }
  return lines.join("\n");
}

const placeOf = (one) => (one.partition < 0 ? one.topic : `${one.topic}:${one.partition}:${one.offset}`);
const fateOf = (one) => (one.again ? ["again", "warn"] : one.replays.length ? ["replayed", "ok"] : one.of ? ["replay", "mute"] : ["", ""]);

class Refused {
  constructor(desk) {
    [this.desk, this.list, this.key, this.name] = [desk, [], "", null];
    this.text = el("dl", { class: "facts" });
    this.bytes = el("pre", { class: "hex", tabindex: "0", "aria-label": "Bytes" });
    this.said = el("p", { role: "status" });
    this.who = el("input", { "aria-label": "Your name", placeholder: "Your name", maxlength: PERSON_MAX, autocomplete: "name", spellcheck: "false" });
    this.again = el("button", { class: "act", type: "submit" }, "Replay");
    this.form = el("form", { class: "ends", onsubmit: (e) => { e.preventDefault(); this.replay(); } }, this.who, this.again, el("button", { class: "act", type: "button", onclick: () => this.root.close() }, "Close"));
    this.root = el("dialog", { class: "keys kept", "aria-label": "What was refused" }, el("h2", {}, "What was refused"), this.text, this.bytes, this.said, this.form);
    this.root.addEventListener("keydown", (e) => e.stopPropagation());
    this.root.addEventListener("close", () => { this.name = null; });
  }

  panel(panel) {
    const reasons = new TextTable(panel.body, "Reasons", [
      ["Reason", ([reason]) => reason, "name"], ["Frames", ([, n]) => num(n), "count"], ["Share %", ([, n, all]) => num((100 * n) / all, 1), "count"],
    ], "Nothing has been refused");
    this.rows = el("tbody");
    this.table = el("table", { class: "ops newest", "aria-label": "Newest that were refused", hidden: true }, el("thead", {}, el("tr", {}, ...["Newest", "Place", "Reason", ""].map((head) => el("th", { scope: "col" }, head)))), this.rows);
    panel.body.append(this.table);
    panel.root.append(this.root);
    return ({ refused = {} }) => {
      const { count, replayed, refused_again } = refused;
      reasons.update(Object.entries(refused.reasons || {}).sort((a, b) => b[1] - a[1]).map(([reason, n]) => [reason, n, count]));
      put(panel.note, [count ? `${num(count)} kept whole` : "kept whole in the topic quarantine", replayed && `${num(replayed)} replayed`, refused_again && `${num(refused_again)} refused again`].filter(Boolean).join(" \u00b7 "));
      panel.setTag(count ? num(count) : "", "warn");
      const key = [count, replayed, refused_again].join();
      if (key !== this.key || (count && performance.now() - this.askedAt > AGAIN_MS)) { this.key = key; this.ask(); }
    };
  }

  // The newest, and what is looked at.
  ask() {
    this.askedAt = performance.now();
    this.desk.control({ type: "refused", id: "newest" });
    if (this.name) this.look(this.name);
  }

  look(name) {
    this.name = name;
    this.desk.control({ type: "refused", id: "look", kept: name });
  }

  replay() {
    const person = this.who.value.trim();
    if (!person) { this.who.focus(); return; }
    sessionStorage.setItem(PERSON, person);
    this.again.disabled = true;
    put(this.said, "On its way");
    this.desk.control({ type: "replay", id: "replay", kept: this.name, person });
  }

  answer({ type, id, refused, replayed, error }) {
    if (type === "replay") this.replayed(replayed, error);
    else if (type === "refused" && id === "newest" && refused) this.show(refused);
    else if (type === "refused" && id === "look") this.open(refused?.[0], error);
  }

  replayed(place, error) {
    this.again.disabled = false;
    put(this.said, error ? "Not replayed: " + error + "." : `Published again as ${placeOf(place)}, by ${place.person}.`);
    tone(this.said, error ? "warn" : "");
    this.ask();
  }

  show(list) {
    const told = JSON.stringify(list);
    if (told === this.shown) return; // A button that has the focus keeps it.
    this.shown = told;
    this.list = list;
    this.table.hidden = !list.length;
    this.rows.replaceChildren(...list.map((one) => {
      const [fate, hue_] = fateOf(one), look = el("button", { title: "Look at it, and replay it", onclick: () => this.look(one.name) }, clockText(one.ms, "", true));
      return el("tr", { "data-kept": one.name }, el("td", { class: "name" }, look), el("td", { title: placeOf(one) }, placeOf(one)), el("td", {}, one.reason), el("td", { class: hue_ }, fate));
    }));
  }

  open(one, error) {
    if (!one) { if (this.root.open) { put(this.said, error || "It is not kept here any more."); tone(this.said, "warn"); } return; }
    if (one.name !== this.name) return;
    const tries = one.replays.map((r) => `by ${r.person} at ${clockText(r.ms, "", true)}, offset ${num(r.offset)}`);
    const facts = [["Place", placeOf(one)], ["Kept as", one.name], ["When", `${dateText(one.ms)} ${clockText(one.ms, "", true)}`], ["Reason", one.reason], ["In words", one.text], ["Bytes", num(one.bytes)],
      ["Replayed", tries.join("; ") || "no"], ...(one.again ? [["Refused again", `as ${one.again}`]] : []), ...(one.of ? [["Replay of", one.of]] : [])];
    this.text.replaceChildren(...facts.map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", { class: name === "Refused again" ? "warn" : "" }, value))));
    const shown = one.hex.length / 2;
    put(this.bytes, hexLines(one.hex) + (shown < one.bytes ? `\n\u2026 ${num(one.bytes - shown)} more` : ""));
    if (this.root.open) return;
    put(this.said, "");
    this.again.disabled = false;
    this.who.value = sessionStorage.getItem(PERSON) || "";
    this.root.showModal();
    (this.who.value ? this.again : this.who).focus();
  }
}
