// Law: the panels of operations: who lives and since when, what was refused, where time goes. They
// are told once a second, and are text in the page, written only where it differs.

const TONES = { up: "ok", starting: "mute", ended: "mute", behind: "warn", degraded: "warn", stuck: "crit", silent: "crit" };
const GOOD = new Set(["up", "ended"]);

// A table of whole rows. A column is [head, what it says of a row, class]; it may say [text, tone].
class TextTable {
  constructor(body, label, columns, absent) {
    this.columns = columns;
    this.rows = [];
    this.body = el("tbody");
    this.root = el("table", { class: "ops", "aria-label": label }, el("thead", {}, el("tr", {}, ...columns.map(([head, , kind]) => el("th", { class: kind, scope: "col" }, head)))), this.body);
    this.void = el("div", { class: "void" }, el("p", {}, absent));
    body.append(this.root, this.void);
  }

  update(rows) {
    this.void.hidden = rows.length > 0;
    while (this.rows.length < rows.length) {
      const cells = this.columns.map(([, , kind]) => el("td", { class: kind }));
      const root = el("tr", {}, ...cells);
      this.rows.push({ root, cells });
      this.body.append(root);
    }
    while (this.rows.length > rows.length) this.rows.pop().root.remove();
    rows.forEach((row, i) => this.columns.forEach(([, say, kind], j) => {
      const said = say(row), [text, hue] = Array.isArray(said) ? said : [said, ""], cell = this.rows[i].cells[j];
      put(cell, text == null ? "" : text);
      tone(cell, (kind || "") + (hue ? " " + hue : ""));
      if (kind.includes("long") && cell.title !== text) cell.title = text || "";
    }));
  }
}

const megabytes = (bytes) => (bytes == null ? "" : num(bytes / 1e6));
const seconds_ = (v, bound) => (v == null ? "" : [num(v, v < 10 ? 2 : 0), v > bound ? "warn" : ""]);
const milliseconds = (v) => (v == null ? "" : num(v, v < 10 ? 2 : v < 100 ? 1 : 0));
const since = (row, now) => (row.for_s > 86400 ? dateText(row.since_ms) : clockText(row.since_ms, "", true));
const partitionText = (all) => (all == null ? "" : all.length > 4 && all[all.length - 1] - all[0] === all.length - 1 ? `${all[0]}\u2013${all[all.length - 1]}` : all.join(" "));
const roleName = (role) => role.replace(/\.0$/, "");

const OPERATIONS_PANELS = {
  roles(panel, desk) {
    const table = new TextTable(panel.body, panel.spec.title, [
      ["", (r) => [GOOD.has(r.state) ? (r.state === "up" ? "\u25cf" : "\u25cb") : TONES[r.state] === "crit" ? "\u25a0" : TONES[r.state] === "mute" ? "\u25cb" : "\u25b2", TONES[r.state]], "mark"],
      ["Role", (r) => roleName(r.role), "name"],
      ["State", (r) => [r.state, TONES[r.state]], "word"],
      ["Since", (r) => since(r), "count"],
      ["For", (r) => duration(r.for_s), "count"],
      ["Heartbeat s", (r) => (r.state === "ended" ? "" : [num(r.heartbeat_age_s, 1), r.heartbeat_age_s > 1 ? "warn" : ""]), "count"],
      ["Partitions", (r) => partitionText(r.partitions), "count wide"],
      ["Rate /s", (r) => (r.rate == null ? "" : num(r.rate)), "count"],
      ["Behind s", (r) => seconds_(r.behind_s, r.role.startsWith("live") || r.role.startsWith("risk") ? 1 : 10), "count"],
      ["Frames", (r) => (r.behind_frames == null ? "" : num(r.behind_frames)), "count wide"],
      ["Memory MB", (r) => megabytes(r.memory_bytes), "count"],
      ["CPU s", (r) => (r.cpu_s == null ? "" : num(r.cpu_s)), "count wide"],
      ["Restarts", (r) => (r.restarts == null ? "" : [num(r.restarts), r.restarts > 0 ? "warn" : ""]), "count"],
      ["Process", (r) => (r.pid == null ? "" : String(r.pid)), "count wide"],
      ["What it says", (r) => r.why, "long"],
    ], "No process has been heard of yet");
    return (told) => {
      const roles = told.roles || [], wrong = roles.filter((r) => !GOOD.has(r.state) && r.state !== "starting");
      table.update(roles);
      put(panel.note, roles.length ? `${roles.length} processes · ${wrong.length ? `${wrong.length} in trouble` : told.state === "starting" ? "starting" : "all well"}` : "");
      panel.setTag(wrong.length ? told.state.toUpperCase() : told.state === "starting" ? "STARTING" : "", TONES[told.state] || "mute");
      const worst = wrong.sort((a, b) => (TONES[b.state] === "crit") - (TONES[a.state] === "crit"))[0];
      panel.setNote(worst ? [`${roleName(worst.role)} is ${worst.state} since ${since(worst)}: ${worst.why}.`, REMEDIES[worst.state]] : null, "warn");
    };
  },

  refused(panel, desk) { return desk.refused.panel(panel); },

  line(panel) {
    const words = { gaps: "Lost in gaps", repeats: "Sent again", copies: "From the other line", recovered: "Came late", overtaken: "Late, left out", resets: "Sources began anew", skewed: "Sent before it came", clock_steps: "Our clock was set" };
    const table = new TextTable(panel.body, panel.spec.title, [["Events", ([name]) => words[name], "name"], ["Count", ([name, n]) => [num(n), n > 0 && ["gaps", "skewed", "clock_steps"].includes(name) ? "warn" : ""], "count"]], "live has told nothing yet");
    return ({ line = {} }) => table.update(Object.entries(line).filter(([, n]) => n != null));
  },

  clocks(panel) {
    const table = new TextTable(panel.body, panel.spec.title, [
      ["Source", (c) => String(c.source), "name"],
      ["Ahead ms", (c) => [signed(c.offset_ms, Math.abs(c.offset_ms) < 100 ? 1 : 0), c.off ? "warn" : ""], "count"],
      ["Frames", (c) => num(c.samples), "count"], ["", (c) => (c.off ? ["OFF", "warn"] : ["", ""]), "word"],
    ], "No source has sent yet");
    return ({ clocks = [] }) => { table.update(clocks); panel.setTag(clocks.some((c) => c.off) ? "CLOCK OFF" : "", "warn"); };
  },

  stages(panel) {
    let most = 1;
    const bar = (p99) => { const n = Math.round((10 * Math.log1p(p99)) / Math.log1p(most)); return "\u2501".repeat(Math.max(1, n)); };
    const table = new TextTable(panel.body, panel.spec.title, [
      ["Stage", ([, title]) => title, "name"], ["By", ([role]) => role, "word"],
      ["p50 ms", ([, , p50]) => milliseconds(p50), "count"], ["p99 ms", ([, , , p99]) => milliseconds(p99), "count"], ["", ([, , , p99]) => (p99 == null ? "" : bar(p99)), "length"],
    ], "No number has come through yet");
    return ({ stages = [] }) => { most = Math.max(1, ...stages.map((s) => s[3] || 0)); table.update(stages); };
  },

  servers(panel) {
    const table = new TextTable(panel.body, panel.spec.title, [
      ["Server", (s) => [s.role.replace("web.", ":"), s.silent ? "crit" : ""], "name"], ["Pages", (s) => num(s.sessions), "count"],
      ["Glass p50", (s) => milliseconds(s.glass_ms_p50), "count"], ["p99 ms", (s) => [milliseconds(s.glass_ms_p99), s.glass_ms_p99 > 50 ? "warn" : ""], "count"], ["Paints", (s) => num(s.glass_samples), "count wide"],
      ["Images", (s) => num(s.images), "count wide"], ["Gaps", (s) => [num(s.mirror_gaps), s.mirror_gaps > 0 ? "warn" : ""], "count"],
      ["Refused", (s) => [num(s.clients_refused), s.clients_refused > 0 ? "warn" : ""], "count"], ["Nonsense", (s) => [num(s.nonsense), s.nonsense > 0 ? "warn" : ""], "count"],
      ["Acts lost", (s) => [num(s.acts_lost), s.acts_lost > 0 ? "crit" : ""], "count"],
    ], "No web server has reported yet");
    return ({ servers = [] }) => table.update(servers);
  },

  changed(panel) {
    const table = new TextTable(panel.body, panel.spec.title, [
      ["Time", ([ms]) => clockText(ms, "", true), "count"], ["Role", ([, role]) => roleName(role), "name"],
      ["State", ([, , , state]) => [state, TONES[state]], "word"], ["Was", ([, , was]) => was || "not there", "word"], ["What it said", ([, , , , why]) => why, "long wide"],
    ], "Nothing has changed since this server began");
    return ({ changes = [] }) => table.update([...changes].sort((a, b) => b[0] - a[0])); // A server that begins hears of all at once.
  },
};

const REMEDIES = {
  silent: "A supervisor starts again what has died. What hangs is ended by hand: kill -9 of its process; it goes on from its checkpoint.",
  stuck: "Its log says what it waits for. What it does not take, Kafka keeps.",
  degraded: "It goes on by itself once what it needs is back.",
  behind: "Prices are conflated, the record catches up: nothing is lost.",
};

// The panels of one desk, and what they were last told.
class Operations {
  constructor() { this.updates = []; }
  add(kind, panel, desk) { this.updates.push(OPERATIONS_PANELS[kind](panel, desk)); return null; }
  take(told) { for (const update of this.updates) update(told); }
}
