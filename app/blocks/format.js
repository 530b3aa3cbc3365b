// Law: tokens and number formats. A number becomes the text a trader reads; unknown is blank,
// minus is U+2212, one scale per column. Nothing here draws or remembers.

const T = {};
const TOKENS = ("gutter panel lift select line edge text text2 text3 up down zero up-fill down-fill "
  + "up-wash down-wash warn crit ok vwap on-solid focus font size").split(" ");
const FLASH_ALPHA = [0.75, 0.5, 0.28, 0.12]; // Four steps of 100 ms.
const HEAT_ALPHA = [0.25, 0.5, 0.75, 1]; // Four steps of a heat, so that text on it stays legible.

function readTokens() {
  const style = getComputedStyle(document.documentElement);
  for (const name of TOKENS) T[name] = style.getPropertyValue("--" + name).trim();
  // Flash fills are mixed once, so that the painter needs no alpha.
  for (const [base, tag] of [["panel", ""], ["select", "-select"]])
    for (const side of ["up", "down"])
      FLASH_ALPHA.forEach((alpha, i) => { T[side + "-flash" + tag + i] = mix(T[base], T[side + "-fill"], alpha); });
  for (const side of ["up", "down"]) HEAT_ALPHA.forEach((alpha, i) => { T[side + "-heat" + (i + 1)] = mix(T.panel, T[side + "-wash"], alpha); });
}

function mix(a, b, share) {
  const parts = (s) => [1, 3, 5].map((i) => parseInt(s.slice(i, i + 2), 16));
  const [A, B] = [parts(a), parts(b)];
  return "#" + A.map((q, i) => Math.round(q + (B[i] - q) * share).toString(16).padStart(2, "0")).join("");
}

const MINUS = "\u2212";

function grouped(s) {
  const dot = s.indexOf("."), end = dot < 0 ? s.length : dot;
  if (end <= 3) return s;
  let at = end % 3 || 3, out = s.slice(0, at);
  for (; at < end; at += 3) out += "," + s.slice(at, at + 3);
  return dot < 0 ? out : out + s.slice(dot);
}

// `v` with `d` decimals; NaN and infinities are blank, minus nought is nought.
function num(v, d = 0) {
  if (v == null || !Number.isFinite(v)) return "";
  if (v >= 0) return grouped(v.toFixed(d));
  const s = (-v).toFixed(d);
  return +s === 0 ? grouped(s) : STYLE.negative === "parentheses" ? "(" + grouped(s) + ")" : MINUS + grouped(s);
}

// How a person wants numbers: what is below nought, what thousands are called, whose clock.
const STYLE = { negative: "minus", thousands: "k", zone: "" };
const THOUSANDS = { k: "K", bn: "B" };
const thousands = (name) => (STYLE.thousands === "K" ? THOUSANDS[name] || name : name);
// Units at the end of a head or a note: "Cost k", "USD k, options revalued".
const scaled = (text) => (STYLE.thousands === "K" && text ? text.replace(/\bk\b/g, "K").replace(/\bbn\b/g, "B") : text);

function signed(v, d = 0) {
  const s = num(v, d);
  return s !== "" && v > 0 && +v.toFixed(d) > 0 ? "+" + s : s;
}

const QUARTERS = ["", "\u00bc", "\u00bd", "\u00be"]; // The font has quarters and no eighths.

// 112-18+ for futures (+ is a half of a 32nd), 99-22 and quarters for cash bonds.
function thirtySeconds(v, quarters) {
  const parts = Math.round(Math.abs(v) * 128), whole = Math.floor(parts / 128), rest = parts % 128;
  const tail = quarters ? QUARTERS[rest % 4] : rest % 4 >= 2 ? "+" : "";
  return (v < 0 ? MINUS : "") + whole + "-" + String(Math.floor(rest / 4)).padStart(2, "0") + tail;
}

// `format`: 0 decimal, 1 thirty-seconds, 2 thirty-seconds and quarters, 3 pips; see PriceFormat.
function price(v, decimals, format) {
  if (v == null || !Number.isFinite(v)) return "";
  return format === 1 || format === 2 ? thirtySeconds(v, format === 2) : num(v, decimals);
}

// Units of one number by itself: whole below 10 M, above in M.
function quantity(v) {
  if (v == null || !Number.isFinite(v)) return "";
  const size = Math.abs(v);
  if (size >= 1e10) return num(v / 1e9, 1) + " " + thousands("bn");
  if (size >= 1e7) return num(v / 1e6, size < 1e8 ? 1 : 0) + " M";
  return whole(v);
}

// Units in a column, which has one scale: whole, with parts only where the size has them.
function whole(v) {
  const size = Math.abs(v);
  return size >= 1000 || Number.isInteger(v) ? num(v) : num(v, size < 1 ? 4 : size < 100 ? 2 : 1);
}

// A size beside a price, in a narrow column: 100 k, 2.5 M, 1 bn; whole below 100 k.
function lot(v) {
  const size = Math.abs(v);
  if (!(size >= 1e5)) return quantity(v);
  const [unit, name] = size >= 1e9 ? [1e9, "bn"] : size >= 1e6 ? [1e6, "M"] : [1e3, "k"];
  return num(v / unit, size >= 100 * unit || size % unit === 0 ? 0 : 1) + " " + thousands(name);
}

// Four significant digits, and not more decimals than its column has room for.
function number(v, places = 4) {
  if (v == null || !Number.isFinite(v)) return "";
  const size = Math.abs(v);
  return num(v, size ? Math.max(0, Math.min(places, 3 - Math.floor(Math.log10(size)))) : places);
}
function signedNumber(v, places) {
  const s = number(v, places);
  return v > 0 && s !== "" && !/^[0.,]*$/.test(s) ? "+" + s : s;
}

// A limit's own unit: money with its scale, a share of 1 as it stands.
function amount(v) {
  if (v == null || !Number.isFinite(v)) return "";
  const size = Math.abs(v);
  const [unit, name] = size >= 1e9 ? [1e9, "bn"] : size >= 1e6 ? [1e6, "M"] : size >= 1e3 ? [1e3, "k"] : [1, ""];
  return num(v / unit, size <= 10 ? 3 : size / unit >= 100 ? 0 : size / unit >= 10 ? 1 : 2) + (name && " " + thousands(name));
}

// A count in a strip or a panel: four figures at most beside its unit.
function brief(v) {
  if (v == null || !Number.isFinite(v)) return "";
  const size = Math.abs(v);
  if (size >= 1e9) return num(v / 1e9, 2) + " " + thousands("bn");
  if (size >= 1e7) return num(v / 1e6, 1) + " M";
  return num(v);
}

function duration(seconds) {
  if (!(seconds >= 0)) return "";
  if (seconds < 60) return Math.floor(seconds) + " s";
  if (seconds < 3600) return Math.floor(seconds / 60) + " m";
  if (seconds < 172800) return Math.floor(seconds / 3600) + " h";
  return Math.floor(seconds / 86400) + " d";
}

const hue = (v) => (v > 0 ? T.up : v < 0 ? T.down : T.zero);

const CLOCKS = {};
function clockText(ms, zone, seconds) {
  const key = (zone || STYLE.zone) + seconds;
  CLOCKS[key] ||= new Intl.DateTimeFormat("en-GB", {
    timeZone: zone || STYLE.zone || undefined, hour: "2-digit", minute: "2-digit", hourCycle: "h23",
    ...(seconds ? { second: "2-digit" } : {}),
  });
  return CLOCKS[key].format(ms);
}
function dateText(ms) {
  const key = "date" + STYLE.zone;
  CLOCKS[key] ||= new Intl.DateTimeFormat("en-GB", { weekday: "short", day: "2-digit", month: "short", timeZone: STYLE.zone || undefined });
  return CLOCKS[key].format(ms).replace(",", "");
}
