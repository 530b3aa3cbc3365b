// Law: arranging a desk. Heads of panels are handles: dragged, or moved by keys, they change places;
// feet change heights, the sides of the stacks their widths. What was done is plain data, and stands
// in the address, so that it is there after a reload and for whoever is sent the link. Nothing is
// kept here; see mine.js.

const STACKS = ["left", "centre", "foot", "right"];
const STEP_PX = 20, HEIGHT_LEAST = 79, SIDE_LEAST = 160, SIDE_MOST = 1200, UNDO_MAX = 50;

// Which block, how high, and of notes what is written there.
const placedAs = ({ spec: { kind, ref, height, narrow, text } }) => (kind === "notes" ? [ref, height, narrow, text] : [ref, height, narrow]);
const packed = (data) => btoa(String.fromCharCode(...new TextEncoder().encode(JSON.stringify(data)))).replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");

class Arranging {
  constructor(desk) {
    [this.desk, this.on, this.before, this.shelf] = [desk, false, [], []];
    this.goal = el("div", { class: "goal", hidden: true });
    this.sides = ["left", "right"].map((place) => el("div", { class: "side " + place, hidden: true, onpointerdown: (e) => this.side(e, place) }));
  }

  // Once the panels are there.
  start() {
    for (const panel of this.desk.panels) this.hold(panel);
    this.desk.stacks.left.parentNode.append(...this.sides, this.goal);
    this.first = this.told();
    if (new URLSearchParams(location.search).has("with")) this.begin();
  }

  hold(panel) {
    panel.handle = panel.root.querySelector("header");
    panel.grip = el("i", { class: "grip", hidden: true, onpointerdown: (e) => this.resize(e, panel) });
    panel.root.append(panel.grip);
    panel.handle.addEventListener("pointerdown", (e) => this.drag(e, panel));
    panel.handle.addEventListener("keydown", (e) => this.key(e, panel));
  }

  begin() {
    if (innerWidth < PHONE_PX) return; // One panel below the other: there is nothing to arrange.
    this.on = true;
    this.show();
    this.desk.mine.bar.hands();
    this.desk.panels.find((p) => !p.root.hidden)?.handle.focus({ preventScroll: true });
  }

  end() {
    this.on = false;
    this.show();
    this.desk.mine.bar.shut();
  }

  toggle() { if (this.on) this.end(); else this.begin(); }

  show() {
    const { desk, on } = this;
    desk.root.classList.toggle("arranging", on);
    for (const panel of desk.panels) {
      const { handle } = panel, name = panel.spec.title || panel.spec.kind;
      panel.grip.hidden = !on;
      if (on) Object.entries({ tabindex: "0", role: "group", "aria-roledescription": "panel to arrange", "aria-label": `${name}: arrows move it, Shift and arrows change its size, Delete takes it out` }).forEach(([k, v]) => handle.setAttribute(k, v));
      else for (const k of ["tabindex", "role", "aria-roledescription", "aria-label"]) handle.removeAttribute(k);
    }
    this.place();
  }

  // ---- what was done, as data -----------------------------------------------------------------
  told() {
    const { spec, panels } = this.desk;
    return { ...Object.fromEntries(STACKS.map((stack) => [stack, panels.filter((p) => p.spec.place === stack).map(placedAs)])), widths: spec.widths.slice() };
  }

  get changed() { return JSON.stringify(this.told()) !== JSON.stringify(this.first) || new URLSearchParams(location.search).has("with"); }

  // Panels by what a link calls them; whoever is in no stack lies on the shelf, and can come back.
  set(told) {
    const { desk } = this, focus = desk.root.getRootNode().activeElement, all = [...desk.panels, ...this.shelf], by = new Map(all.map((p) => [p.spec.ref, p]));
    const next = STACKS.flatMap((stack) => told[stack].map(([ref, height, narrow]) => Object.assign(by.get(ref), { next: { place: stack, height, narrow } })));
    this.shelf = all.filter((p) => !next.includes(p));
    for (const panel of next) { Object.assign(panel.spec, panel.next); delete panel.next; }
    for (const panel of this.shelf) panel.root.remove();
    for (const stack of STACKS) (stack === "foot" ? desk.footRow : desk.stacks[stack]).append(...next.filter((p) => p.spec.place === stack).map((p) => p.root));
    desk.stacks.centre.append(desk.footRow);
    desk.panels = next;
    desk.spec.panels = next.map((p) => p.spec);
    desk.spec.widths = told.widths.slice();
    this.drawn();
    if (focus?.isConnected) focus.focus({ preventScroll: true }); // What moves in the page loses it.
  }

  // Everything has another size, or another place.
  drawn() {
    const { desk } = this;
    desk.arrange();
    this.place();
    const again = () => { for (const p of desk.painters) { if (p.surface) p.surface.stale = true; p.touch?.(-1); } desk.viewportChanged(); desk.wake(); };
    again();
    requestAnimationFrame(() => requestAnimationFrame(again));
    desk.mine.bar.update();
  }

  // Do something that can be undone.
  did(change) {
    const before = this.told();
    change();
    if (JSON.stringify(before) === JSON.stringify(this.told())) return;
    this.before.push(before);
    if (this.before.length > UNDO_MAX) this.before.shift();
    this.set(this.told());
    this.say();
  }

  undo() {
    const before = this.before.pop();
    if (before) { this.set(before); this.say(); }
  }

  say() { history.replaceState(null, "", this.address()); }

  // With whatever stands in it besides.
  address(told = this.told()) {
    const url = new URL(location.href), same = JSON.stringify(told) === JSON.stringify(this.first) && !this.desk.spec.drafted;
    if (same) url.searchParams.delete("with"); else url.searchParams.set("with", packed(told));
    return url.href.replaceAll("%3A", ":").replaceAll("%2F", "/");
  }

  // ---- moves ----------------------------------------------------------------------------------
  in(stack) { return this.desk.panels.filter((p) => p.spec.place === stack); }
  get size() { return innerWidth < NARROW_PX ? "narrow" : "height"; }
  get times() { return (innerWidth >= VAST_PX ? VAST_TIMES : 1) * (ROW / 20); }

  // Before the `at`th of that stack. The grid stays in the centre: all others follow its line.
  move(panel, stack, at) {
    if (panel.spec.kind === "grid" && stack !== "centre") return;
    this.did(() => {
      const told = this.told(), mine = placedAs(panel), from = told[panel.spec.place].findIndex(([ref]) => ref === panel.spec.ref);
      told[panel.spec.place].splice(from, 1);
      if (stack === "foot" && !panel.spec.height) [mine[1], mine[2]] = [161, 161]; // A row below the centre has a height.
      told[stack].splice(at - (stack === panel.spec.place && from < at ? 1 : 0), 0, mine);
      this.set(told);
    });
    panel.handle.focus({ preventScroll: true });
  }

  remove(panel) {
    if (panel.spec.kind === "grid") { this.desk.mine.bar.say("The grid stays: all other blocks follow its line."); return; }
    const next = this.desk.panels[(this.desk.panels.indexOf(panel) + 1) % this.desk.panels.length];
    this.did(() => { const told = this.told(); told[panel.spec.place] = told[panel.spec.place].filter(([ref]) => ref !== panel.spec.ref); this.set(told); });
    next.handle.focus({ preventScroll: true });
  }

  // One that lies on the shelf comes back at once; for another the page is made anew.
  add(ref, stack) {
    const known = this.shelf.find((p) => p.spec.ref === ref), told = this.told();
    told[stack].push(known ? placedAs(known) : [ref, stack === "foot" ? 161 : 219, stack === "foot" ? 161 : 179]);
    if (known) { this.did(() => this.set(told)); known.handle.focus({ preventScroll: true }); return; }
    location.href = this.address(told);
  }

  // A foot that moves: the panel above it, or, where that takes the rest, the one below.
  grow(panel, px) {
    const stack = this.in(panel.spec.place).filter((p) => !p.root.hidden), at = stack.indexOf(panel), below = stack[at + 1], name = this.size, foot = panel.spec.place === "foot";
    const rows = Math.round(px / this.times / STEP_PX) * STEP_PX;
    if (!rows) return;
    const [one, by] = !panel.spec[name] && below?.spec[name] && !foot ? [below, -rows] : [panel, rows];
    const now = one.spec[name] || Math.round(one.root.clientHeight / this.times / STEP_PX) * STEP_PX - 1;
    const rest = stack.filter((p) => p !== one && !p.spec[name]).length, room = (this.desk.stacks.left.parentNode.clientHeight || innerHeight) / this.times;
    const others = foot ? 2 * 5 * STEP_PX : stack.reduce((sum, p) => sum + (p === one ? 0 : p.spec[name] || 0), 0) + rest * 5 * STEP_PX + stack.length;
    const next = Math.max(HEIGHT_LEAST, Math.min(Math.floor((room - others) / STEP_PX) * STEP_PX - 1, now + by));
    this.did(() => { for (const p of foot ? stack : [one]) p.spec[name] = next; });
  }

  widen(place, px) {
    const at = (place === "left" ? 0 : 1) + (innerWidth < NARROW_PX ? 2 : 0), times = innerWidth >= VAST_PX ? VAST_TIMES : 1, { widths } = this.desk.spec;
    const other = widths[at ^ 1], most = Math.min(SIDE_MOST, innerWidth / times - other - 420);
    const next = Math.round(Math.max(SIDE_LEAST, Math.min(most, widths[at] + px / times)));
    this.did(() => { this.desk.spec.widths = widths.map((w, k) => (k === at ? next : w)); });
  }

  // ---- keys -----------------------------------------------------------------------------------
  key(e, panel) {
    if (!this.on || e.target !== panel.handle || e.ctrlKey || e.altKey || e.metaKey) return;
    const { place } = panel.spec, stack = this.in(place), at = stack.indexOf(panel), across = { ArrowLeft: -1, ArrowRight: 1 }[e.key], down = { ArrowUp: -1, ArrowDown: 1 }[e.key];
    const within = place === "foot" ? across : down;
    if (e.shiftKey && down) this.grow(panel, down * STEP_PX * this.times);
    else if (e.shiftKey && across) { if (place === "left" || place === "right") this.widen(place, across * STEP_PX * (place === "left" ? 1 : -1)); }
    else if (within && at + within >= 0 && at + within < stack.length) this.move(panel, place, at + within + (within > 0 ? 1 : 0));
    else if (across || down) this.leave(panel, across, down);
    else if (e.key === "Delete") this.remove(panel);
    else return;
    e.preventDefault();
    e.stopPropagation();
  }

  // Over the edge of its stack: left, centre and right side by side, the foot below the centre.
  leave(panel, across, down) {
    const { place } = panel.spec, beside = { left: ["", "centre"], centre: ["left", "right"], foot: ["left", "right"], right: ["centre", ""] }[place];
    const to = across ? beside[across < 0 ? 0 : 1] : place === "centre" && down > 0 ? "foot" : place === "foot" && down < 0 ? "centre" : "";
    if (to) this.move(panel, to, across || to === "foot" ? 0 : this.in(to).length);
  }

  // ---- pointer --------------------------------------------------------------------------------
  track(e, move, stop) {
    e.preventDefault();
    const end = (m) => { removeEventListener("pointermove", move); removeEventListener("pointerup", end); removeEventListener("pointercancel", end); stop(m.type === "pointercancel" ? null : m); };
    addEventListener("pointermove", move);
    addEventListener("pointerup", end);
    addEventListener("pointercancel", end);
  }

  drag(e, panel) {
    if (!this.on || e.button || e.target.closest("button, input, select, a")) return;
    let goal = null;
    panel.handle.focus({ preventScroll: true });
    panel.root.classList.add("dragged");
    this.track(e, (m) => { goal = this.goalAt(m.clientX, m.clientY, panel); this.mark(goal); }, (m) => {
      panel.root.classList.remove("dragged");
      this.goal.hidden = true;
      if (m && goal) this.move(panel, goal.stack, goal.at);
    });
  }

  // Which stack, and before which of its panels; the edge that says so.
  goalAt(x, y, panel) {
    for (const stack of STACKS) {
      const shown = this.in(stack).filter((p) => !p.root.hidden);
      for (const one of shown) {
        const b = one.root.getBoundingClientRect();
        if (x < b.left || x > b.right || y < b.top || y > b.bottom) continue;
        const later = stack === "foot" ? x > b.left + b.width / 2 : y > b.top + b.height / 2, at = this.in(stack).indexOf(one) + (later ? 1 : 0);
        if (panel.spec.kind === "grid" && stack !== "centre") return null;
        return { stack, at, box: stack === "foot" ? [later ? b.right - 2 : b.left - 1, b.top, 3, b.height] : [b.left, later ? b.bottom - 2 : b.top - 1, b.width, 3] };
      }
      const root = stack === "foot" ? this.desk.footRow : this.desk.stacks[stack], b = root.getBoundingClientRect();
      if (!root.hidden && x >= b.left && x <= b.right && y >= b.top && y <= b.bottom && stack !== "centre") return { stack, at: this.in(stack).length, box: [b.left, b.top, b.width, 3] };
    }
    // A side that has no panel yet is the edge of the page.
    const side = x < 40 ? "left" : x > innerWidth - 40 ? "right" : "";
    return side && !this.in(side).length && panel.spec.kind !== "grid" ? { stack: side, at: 0, box: [side === "left" ? 0 : innerWidth - 3, this.desk.stacks.centre.getBoundingClientRect().top, 3, innerHeight] } : null;
  }

  mark(goal) {
    this.goal.hidden = !goal;
    if (goal) ["left", "top", "width", "height"].forEach((name, k) => { this.goal.style[name] = goal.box[k] + "px"; });
  }

  resize(e, panel) {
    e.stopPropagation();
    let from = e.clientY;
    const step = STEP_PX * this.times;
    this.track(e, (m) => { const px = m.clientY - from; if (Math.abs(px) >= step / 2) { this.grow(panel, px); from += Math.round(px / step) * step; } }, () => {});
  }

  side(e, place) {
    let from = e.clientX;
    this.track(e, (m) => { this.widen(place, (m.clientX - from) * (place === "left" ? 1 : -1)); from = m.clientX; }, () => {});
  }

  // The sides' handles lie over the gutters.
  place() {
    const main = this.desk.stacks.left.parentNode.getBoundingClientRect();
    this.sides.forEach((side, k) => {
      const b = this.desk.stacks[k ? "right" : "left"].getBoundingClientRect();
      side.hidden = !this.on || !b.width;
      Object.assign(side.style, { left: (k ? b.left : b.right) - 4 + "px", top: main.top + "px", height: main.height + "px" });
    });
  }
}
