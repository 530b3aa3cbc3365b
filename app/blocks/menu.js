// Law: a menu. A list of things to do, by pointer or by keys; it stands above the panels, never above
// what opened it, and gives the focus back. It knows nothing of what its items do.

class Menu {
  constructor() {
    this.root = el("div", { class: "menu", role: "menu", hidden: true });
    this.root.addEventListener("keydown", (e) => this.key(e));
    this.root.addEventListener("contextmenu", (e) => e.preventDefault());
    addEventListener("pointerdown", (e) => { if (this.shown && !e.composedPath().includes(this.root)) this.close(); }, true);
    addEventListener("blur", () => this.close());
  }

  get shown() { return !this.root.hidden; }

  // Items: {text, keys, on (checked: true, false or absent), off (cannot be chosen), stay, run}, or a
  // string, which is a heading. `stay`: what is chosen may be followed by another.
  open(x, y, items, title, back) {
    this.back = back || this.back;
    this.items = items;
    this.root.setAttribute("aria-label", title);
    this.fill(items);
    this.root.hidden = false;
    const box = this.root.getBoundingClientRect();
    this.root.style.left = Math.max(0, Math.min(x, innerWidth - box.width - 2)) + "px";
    this.root.style.top = Math.max(0, Math.min(y, innerHeight - box.height - 2)) + "px";
    this.buttons[0]?.focus({ focusVisible: true });
  }

  fill(items) {
    const made = items.map((item) => (typeof item === "string" ? el("h3", { role: "presentation" }, item) : this.button(item)));
    this.root.replaceChildren(...made);
    this.buttons = [...this.root.querySelectorAll("button:not([disabled])")];
  }

  button(item) {
    const role = item.on === undefined ? "menuitem" : item.radio ? "menuitemradio" : "menuitemcheckbox";
    const node = el("button", { role, title: item.title, tabindex: "-1", disabled: item.off || false, "aria-checked": item.on === undefined ? null : String(item.on), onclick: () => this.run(item) },
      el("i", {}, item.on ? "\u2022" : ""), el("span", {}, item.text), el("kbd", {}, item.keys || ""));
    node.addEventListener("pointerenter", () => node.focus());
    return node;
  }

  run(item) {
    if (!item.stay) { this.close(); item.run(); return; }
    const at = this.buttons.findIndex((b) => b === this.root.getRootNode().activeElement);
    item.run();
    if (item.again) this.fill(item.again());
    this.buttons[Math.max(0, at)]?.focus();
  }

  key(e) {
    const n = this.buttons.length, at = this.buttons.indexOf(this.root.getRootNode().activeElement);
    const to = { ArrowDown: at + 1, ArrowUp: at - 1 + n, Home: 0, End: n - 1 }[e.key];
    e.stopPropagation();
    if (to !== undefined) this.buttons[to % n]?.focus({ focusVisible: true });
    else if (e.key === "Escape" || e.key === "Tab" || e.key === "ArrowLeft") this.close();
    else if (e.key.length === 1 && !e.ctrlKey && (e.key !== " " || this.typing(e))) this.find(e, at);
    else return;
    e.preventDefault();
  }

  // Letters typed within a moment are one word.
  typing(e) { return e.timeStamp - (this.typedAt ?? -1e9) < 700; }
  find(e, at) {
    const letter = e.key.toLowerCase(), going = this.typing(e);
    [this.typed, this.typedAt] = [going ? this.typed + letter : letter, e.timeStamp];
    const order = going ? this.buttons.slice(at).concat(this.buttons) : this.buttons.slice(at + 1).concat(this.buttons);
    order.find((b) => b.children[1].textContent.toLowerCase().startsWith(this.typed))?.focus({ focusVisible: true });
  }

  close() {
    if (!this.shown) return;
    this.root.hidden = true;
    this.back?.focus?.({ preventScroll: true });
  }
}
