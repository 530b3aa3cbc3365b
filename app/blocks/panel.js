// Law: a panel is a head, a body and what docks at its foot. Panels touch; states are a tag in the
// head and a note at the foot, never a modal and never over numbers.

function el(tag, attrs = {}, ...kids) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attrs)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value !== null && value !== undefined && value !== false) node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...kids.filter((k) => k !== null && k !== undefined));
  return node;
}
function put(node, s) { if (node.textContent !== s) node.textContent = s; }
function tone(node, name) { if (node.className !== name) node.className = name; }

class Panel {
  constructor(spec) {
    this.spec = spec;
    this.title = el("button", { title: "Save this block (m)", "aria-haspopup": "menu" }, spec.title);
    this.tag = el("span", { class: "tag", hidden: true });
    this.tools = el("div", { class: "tools" });
    this.note = el("span", { class: "r" }, scaled(spec.note || ""));
    this.body = el("div", { class: "body" });
    this.foot = el("div", { class: "note", hidden: true, role: "status" });
    this.root = el("section", { class: "panel " + spec.kind, "aria-label": spec.title || spec.kind },
      el("header", {}, el("h2", {}, this.title), this.tag, this.tools, this.note), this.body, this.foot);
    this.painter = null;
  }

  setTag(s, kind) {
    this.tag.hidden = !s;
    put(this.tag, s);
    tone(this.tag, "tag " + (kind || ""));
  }

  // `action` is [label, what it does] or null.
  setNote(lines, kind, action) {
    const key = JSON.stringify([lines, kind, action?.[0]]);
    if (key === this.noteKey) return;
    this.noteKey = key;
    this.foot.hidden = !lines;
    if (!lines) return;
    this.foot.className = "note " + (kind || "");
    this.foot.replaceChildren(...lines.map((s) => el("p", {}, s)));
    if (action) this.foot.append(el("button", { class: "act", onclick: action[1] }, action[0]));
  }
}

// ---- feed and record: label, value, in whole rows ---------------------------------------------
class FeedPanel {
  constructor(body, desk) {
    this.desk = desk;
    this.rows = new Map();
    this.list = el("dl", { class: "facts" });
    this.notes = el("div", { class: "remarks", role: "log", "aria-label": "Notes" });
    body.append(this.list, this.notes);
  }

  fact(name, value, kind = "") {
    let row = this.rows.get(name);
    if (!row) {
      row = { dt: el("dt", {}, name), dd: el("dd") };
      this.rows.set(name, row);
      this.list.append(el("div", {}, row.dt, row.dd));
    }
    put(row.dd, value);
    tone(row.dd, kind);
  }

  update() {
    const s = this.desk.health.status, d = this.desk, since = (performance.now() - d.health.at) / 1e3;
    if (!s) return;
    const more = (v) => (v > 0 ? "warn" : "");
    const seconds = (v) => (v === v && v != null ? num(v, v < 10 ? 2 : 0) + " s" : "");
    const feed = s.feed_age_s + (s.state === "live" && since < 1.3 ? 0 : since);
    this.fact("Events", num(s.events_per_s) + " /s");
    this.fact("Engine behind", seconds(s.behind_s), s.behind_s > 1 ? "warn" : "");
    this.fact("Newest event", seconds(feed) + " ago", feed > 1 ? "warn" : "");
    this.fact("Gaps", num(s.gaps), more(s.gaps));
    this.fact("Repeats", num(s.repeats));
    this.fact("Quarantined", num(s.quarantined), more(s.quarantined));
    this.fact("Recorded", num(s.recorded_rows) + " rows");
    this.fact("Record behind", seconds(s.record_behind_s), s.record_behind_s > 10 ? "warn" : "");
    if (s.proof) {
      const upTo = (ms, none) => (ms ? `${clockText(ms, "", false)}, ${duration(Math.max(0, (d.health.now() - ms) / 1e3))} ago` : none);
      this.fact("Countersigned to", s.proof === "wrong" ? "in doubt" : upTo(s.countersigned_ms, "not yet"), PROOF_TONES[s.proof] || "");
      this.fact("Digests agree to", upTo(s.digests_ms, "none yet"), PROOF_TONES[s.proof] || "");
      if (s.verified_ms) this.fact("Read again whole", s.verified ? `${num(s.verified_rows)} rows, ${upTo(s.verified_ms)}` : "NOT as it was sealed", s.verified ? "" : "crit");
    }
    const [p50, p99, p999] = d.latency.quantiles([0.5, 0.99, 0.999]);
    this.fact("Glass p50 / p99 / p99.9", p50 === p50 ? `${num(p50)} / ${num(p99)} / ${num(p999)} ms` : "", p99 > 50 ? "warn" : "");
    this.fact("Pages open", num(s.sessions));
    const risk = d.health.riskAge();
    this.fact("Risk process", risk === risk ? seconds(risk) + " ago" : riskStarting(d) ? "starting" : "not running", risk <= RISK_LATE_S ? "" : "warn");
    this.fact("Live process", s.live_age_s == null ? "" : seconds(s.live_age_s) + " ago");
    this.fact("Pushes", `${num(d.rate.pushes)} /s, ${num(d.rate.bytes / 1024, 1)} kB/s`);
    this.fact("Cells painted", num(d.rate.cells) + " /s");
    this.fact("Paint", num(d.rate.paint_ms, 1) + " ms a frame");
    const shift = d.health.shift_ms, apart = s.asof || Math.abs(shift) < SECOND ? 0 : shift, side = apart > 0 ? "behind" : "ahead of";
    const said = [...(s.notes || []), ...(apart ? [`this machine's clock is ${duration(Math.abs(apart) / 1e3)} ${side} the server's: latency unknown`] : [])];
    const notes = said.join("\n");
    if (notes !== this.said) {
      this.said = notes;
      this.notes.replaceChildren(...said.map((n) => el("p", {}, n)));
    }
  }
}
