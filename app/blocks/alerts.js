// Law: alerts. The list of incidents, how a person acknowledges one, the count in the bar above and
// the polite voice for those who hear. A name is asked for once and kept as long as the tab.

const PERSON = "tickglass.person", PERSON_MAX = 64;

class AlertList {
  constructor(panel, desk) {
    [this.panel, this.desk] = [panel, desk];
    this.list = el("ol", { class: "incidents", "aria-label": "Alerts" });
    this.void = el("div", { class: "void flat" }, el("p"));
    panel.body.append(this.list, this.void);
    this.form = null;
    this.asked = new Set(); // Messages that this page has acknowledged, until the server says so.
    this.update();
  }

  update() {
    const incidents = this.desk.incidents.list(), unseen = this.desk.incidents.unseen().length;
    const absent = incidents.length ? "" : riskAbsence(this.desk) || "No alert";
    this.void.hidden = !absent;
    put(this.void.firstChild, absent);
    put(this.panel.note, incidents.length ? `${unseen} open` : "");
    const key = this.desk.incidents.version + ":" + this.desk.names.known + ":" + [...this.asked];
    if (key === this.key) return;
    this.key = key;
    const focused = this.list.contains(this.list.getRootNode().activeElement);
    this.list.replaceChildren(...incidents.map((m) => this.line(m)));
    if (focused) this.list.querySelector("button")?.focus();
  }

  line(m) {
    const over = !m.open, seen = m.open && m.acknowledged, open = m.open && !m.acknowledged;
    const mark = el("i", { class: m.level === "breach" ? "square crit" : over ? "point" : "wedge warn" });
    const name = this.desk.names.limit(m.name, m.scope, m.key, m.scope === "class" ? CLASS_OF[m.key] || m.key : m.key);
    const said = over ? m.reason || "within limit again" : m.level === "unknown" ? "value unknown" : `${amount(m.value)}, ${m.level === "breach" ? "limit" : "warning at"} ${amount(m.level === "breach" ? m.breach : m.warning)}`;
    const full = `${name}: ${said}`;
    const asked = open && this.asked.has(m.alert + ":" + m.number);
    const end = asked ? el("span", { class: "k" }, "sent") : open ? el("button", { class: "act", "aria-label": "Acknowledge: " + full, onclick: () => this.acknowledge(m) }, "Ack")
      : el("span", { class: "k", title: seen ? `Acknowledged by ${m.person}, ${clockText(m.acknowledged_ms, "", true)}` : "" }, seen ? m.person : "over");
    return el("li", { class: open ? "open " + m.level : "", title: full }, el("time", {}, clockText(m.raised_ms, "", true)), mark, el("span", { class: "what" }, el("b", {}, name), " ", el("span", {}, said)), end);
  }

  first() {
    const m = this.desk.incidents.unseen().length && this.desk.incidents.list().find((one) => !this.asked.has(one.alert + ":" + one.number));
    if (m && m.open && !m.acknowledged) this.acknowledge(m);
  }

  acknowledge(m) {
    const person = sessionStorage.getItem(PERSON);
    if (person) this.send(m, person);
    else this.ask(m);
  }

  // At the panel's foot, never a modal.
  ask(m) {
    this.form?.remove();
    const input = el("input", { "aria-label": "Your name", placeholder: "Your name", maxlength: PERSON_MAX, autocomplete: "name", spellcheck: "false" });
    const done = (e) => {
      e.preventDefault();
      const person = input.value.trim();
      if (!person) { input.focus(); return; }
      sessionStorage.setItem(PERSON, person);
      this.close();
      this.send(m, person);
    };
    input.addEventListener("keydown", (e) => { if (e.key === "Escape") this.close(); e.stopPropagation(); });
    this.form = el("form", { class: "note ask", onsubmit: done }, el("p", {}, `Who acknowledges? The record keeps the name. ${m.name}`), input, el("button", { class: "act", type: "submit" }, "Acknowledge"));
    this.panel.root.append(this.form);
    input.focus();
  }

  close() { this.form?.remove(); this.form = null; }

  // With the number of the message that was seen: what has changed since is not acknowledged.
  send(m, person) {
    this.asked.add(m.alert + ":" + m.number);
    this.desk.control({ type: "acknowledge", alert: m.alert, number: m.number, person });
    this.update();
  }

  // What was asked of `risk` and refused is said where it was asked.
  answer(answer) {
    const { type, error } = answer;
    if (type !== "acknowledge") return; // A what-if's: the other panel's.
    if (error) this.asked.clear();
    this.panel.setNote(error ? ["Not acknowledged: " + error + "."] : null, "warn", error ? ["Close", () => this.panel.setNote(null)] : null);
  }
}

// The count in the bar: how many nobody has seen, and the way to them; and the live region.
class AlertCount {
  constructor(desk) {
    this.desk = desk;
    this.opened_ms = Date.now() - 2000; // What was raised before the page was there is read, not said.
    this.mark = el("i", { class: "wedge" });
    this.text = el("span");
    this.root = el("a", { class: "count", hidden: true }, this.mark, this.text);
    this.voice = el("div", { class: "voice", "aria-live": "polite", role: "log", "aria-label": "New alerts" });
  }

  update() {
    const { incidents } = this.desk, n = incidents.unseen().length, last = incidents.raised();
    this.root.hidden = !n;
    if (n) {
      const worst = incidents.worst();
      put(this.text, n === 1 ? "1 alert" : num(n) + " alerts");
      tone(this.root, "count " + worst);
      tone(this.mark, worst === "crit" ? "square" : "wedge");
      this.root.href = this.desk.addressOf("risk");
    }
    if (last && last.changed_ms > this.opened_ms && last.alert + last.number !== this.said) {
      this.said = last.alert + last.number;
      const text = `${last.level === "breach" ? "Limit passed" : last.level === "unknown" ? "Limit not watched" : "Near limit"}: ${last.name} ${last.key} ${amount(last.value)}`;
      put(this.voice, text);
      this.desk.notices.raised(last.level, text);
    }
  }
}
