// Law: notices. What is raised is told beyond the page, where its owner wants that: by the browser's
// own notification, by a sound. Both are off until they are chosen, and kept for this person.

const NOTICES = "notices", TONE_HZ = [880, 660], TONE_S = 0.14;

class Notices {
  constructor(desk) {
    this.desk = desk;
    this.chosen = { notify: false, sound: false, ...KEEPER.load(NOTICES) };
    this.told = [];
  }

  get able() { return typeof Notification !== "undefined" && Notification.permission !== "denied"; }

  items() {
    return ["Alerts",
      { text: "Notify beyond this page", on: this.chosen.notify, off: !this.able, stay: true, again: () => this.desk.look.items(), run: () => this.turn("notify") },
      { text: "With a sound", on: this.chosen.sound, stay: true, again: () => this.desk.look.items(), run: () => this.turn("sound") }];
  }

  async turn(name) {
    const on = !this.chosen[name];
    this.keep({ [name]: on });
    if (on && name === "sound") this.tone();
    // The browser asks its own question, and its answer is the last word.
    if (on && name === "notify" && (await Notification.requestPermission()) !== "granted") { this.keep({ notify: false }); this.desk.mine.bar.say("The browser does not let this page notify. Allow it beside the address."); }
  }

  keep(change) {
    this.chosen = { ...this.chosen, ...change };
    KEEPER.save(NOTICES, this.chosen);
  }

  raised(level, text) {
    this.told.push(text);
    if (this.told.length > 50) this.told.shift();
    if (this.chosen.sound) this.tone(level === "breach");
    if (!this.chosen.notify || typeof Notification === "undefined" || Notification.permission !== "granted") return;
    const note = new Notification("Tickglass", { body: text, tag: text, silent: true });
    note.onclick = () => { window.focus(); note.close(); };
  }

  // Two short tones, lower ones for what has passed its limit.
  tone(grave) {
    const audio = (this.audio ||= new AudioContext()), gain = audio.createGain(), from = audio.currentTime;
    gain.gain.value = 0.08;
    gain.connect(audio.destination);
    TONE_HZ.forEach((hz, k) => {
      const tone = audio.createOscillator();
      tone.frequency.value = grave ? hz / 2 : hz;
      tone.connect(gain);
      tone.start(from + k * TONE_S);
      tone.stop(from + (k + 1) * TONE_S);
    });
  }
}
