// Elements that several parts of the page share. All text is set as text, never as HTML.

const by = (id) => document.getElementById(id);

function element(tag, className, content, attributes) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (Array.isArray(content)) made.append(...content.filter((part) => part !== null && part !== ""));
  else if (content !== undefined && content !== null) made.textContent = content;
  for (const [key, value] of Object.entries(attributes || {})) made.setAttribute(key, value);
  return made;
}

function button(className, text, onClick, attributes) {
  const made = element("button", className, text, { type: "button", ...attributes });
  made.addEventListener("click", onClick);
  return made;
}

function counted(number, one, many) {
  return `${number.toLocaleString("en")} ${number === 1 ? one : many || `${one}s`}`;
}

function duration(seconds) {
  if (seconds === null || seconds === undefined) return "";
  if (seconds < 60) return `${Number(seconds.toFixed(1))} s`;
  const whole = Math.round(seconds), rest = String(whole % 60).padStart(2, "0");
  return whole < 3600
    ? `${Math.floor(whole / 60)}:${rest}`
    : `${Math.floor(whole / 3600)}:${String(Math.floor(whole / 60) % 60).padStart(2, "0")}:${rest}`;
}

function number(value) { return value.toFixed(2).replace("-", "−"); }

function milliseconds(value) {
  return `${value < 10 ? value.toFixed(1) : Math.round(value)} ms`;
}

// Of every item that was shown, by its id.
const titles = new Map();

function remember(items) { for (const item of items) if (item.title) titles.set(item.item_id, item.title); }

function titleOf(item) { return item.title || titles.get(item.item_id) || item.item_id; }

function facts(item) {
  return [item.category, duration(item.duration_seconds)].filter(Boolean).join(" · ");
}

// ---- semantic IDs ----

// A colour is the prefix's own, whatever else is shown. The first code turns the whole wheel by the golden
// angle; each later one turns a little around its parent's hue, so that what is near is alike.
function hue(prefix) {
  const turned = prefix.slice(1).map((code, depth) => ((code * 0.618034) % 1 - 0.5) * 56 / (depth + 1));
  const at = turned.reduce((sum, turn) => sum + turn, prefix[0] * 137.508);
  return ((at % 360) + 360) % 360;
}

// Boxes inside one another, one a level: all that share a prefix share the outer boxes.
function semanticId(codes) {
  if (!codes || !codes.length) return element("span", "soft", "no semantic ID");
  let inner = null;
  for (let depth = codes.length; depth > 0; depth -= 1) {
    const prefix = codes.slice(0, depth);
    const box = element("span", `prefix depth-${Math.min(depth, 4)}`, [String(codes[depth - 1]), inner], {
      "data-prefix": prefix.join("-"),
    });
    box.style.setProperty("--hue", hue(prefix).toFixed(1));
    inner = box;
  }
  inner.setAttribute("role", "img");
  inner.setAttribute("aria-label", `semantic ID ${codes.join("-")}`);
  return element("span", "codes", [inner]);
}

// Every box of that prefix stands out, wherever it is on the page.
function pointAt(prefix) {
  for (const box of document.querySelectorAll(".prefix.same")) box.classList.remove("same");
  if (prefix === null) return;
  for (const box of document.querySelectorAll(`.prefix[data-prefix="${CSS.escape(prefix)}"]`)) {
    box.classList.add("same");
  }
}

document.addEventListener("mouseover", (event) => {
  pointAt(event.target.closest?.("[data-prefix]")?.dataset.prefix ?? null);
});
document.addEventListener("focusin", (event) => pointAt(event.target.dataset?.prefix ?? null));
