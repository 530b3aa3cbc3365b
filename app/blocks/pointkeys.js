// Law: points and tiles of a drawing by keys and for those who hear. Arrows go to the next one in
// the order in which they are read, and what stands there is followed; the drawing tells `choices()`,
// the instruments in that order.

class PointKeys {
  constructor(chart, el, desk, label) {
    Object.assign(this, { chart, el, desk, name: "points" + (PointKeys.made = (PointKeys.made || 0) + 1) });
    this.said = el.appendChild(document.createElement("div"));
    this.said.className = "mirror";
    Object.entries({ role: "option", id: this.name, "aria-selected": "true" }).forEach(([name, value]) => this.said.setAttribute(name, value));
    Object.entries({ tabindex: "0", role: "listbox", "aria-label": label }).forEach(([name, value]) => el.setAttribute(name, value));
    el.addEventListener("keydown", (e) => this.key(e));
    el.addEventListener("focus", () => this.tell());
  }

  key(e) {
    if (e.ctrlKey || e.metaKey || e.altKey || e.target !== this.el) return;
    const choices = this.chart.choices(), at = choices.indexOf(this.desk.instrument), last = choices.length - 1;
    const to = { ArrowRight: at + 1, ArrowDown: at + 1, ArrowLeft: at - 1, ArrowUp: at - 1, Home: 0, End: last }[e.key];
    if (to === undefined || last < 0) return;
    e.preventDefault();
    e.stopPropagation();
    this.desk.selectInstrument(choices[Math.max(0, Math.min(last, to))]);
    this.tell();
  }

  // Where among them what is followed stands.
  tell() {
    const choices = this.chart.choices(), at = choices.indexOf(this.desk.instrument);
    if (at < 0) { this.el.removeAttribute("aria-activedescendant"); return; }
    put(this.said, this.desk.instruments.get(choices[at])?.symbol || "#" + choices[at]);
    Object.entries({ "aria-posinset": at + 1, "aria-setsize": choices.length }).forEach(([name, value]) => this.said.setAttribute(name, String(value)));
    this.el.setAttribute("aria-activedescendant", this.name);
  }
}
