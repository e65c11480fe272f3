"use strict";
// The prefix tree as a zoomable icicle. Reads #tree-data (see tree_view.py) and fills #tree.
//
// Two rows of blocks stand below the prefix in focus: its children, and theirs. A block is as wide
// as it holds items and striped by their categories. Siblings too narrow to point at are drawn as
// one block, a bundle, that opens like a prefix. All text is set as text, never as HTML.
(() => {
  const NARROW = 5, BUNDLE = 36, LABELLED = 24;  // pixels
  const LISTED = 200, FOUND = 12;  // items
  const OTHER = "#b8c0bf", LIGHT = new Set([OTHER, "#eab308"]);

  const data = JSON.parse(document.getElementById("tree-data").textContent);
  const host = document.getElementById("tree");
  const number = (value) => value.toLocaleString("en");

  // ---- the tree ----

  const nodes = data.nodes.items.map((items, i) => ({
    items, engaged: data.nodes.engaged[i], mix: pairs(data.nodes.mix[i]),
    parent: null, prefix: [], children: [], held: [],
  }));
  const root = nodes[0];
  nodes.slice(1).forEach((node, i) => {
    node.parent = nodes[data.nodes.parent[i + 1]];
    node.prefix = [...node.parent.prefix, data.nodes.code[i + 1]];
    node.parent.children.push(node);
  });
  const items = data.items.id.map((id, i) => ({
    id, title: data.items.title[i], category: data.items.category[i], engaged: data.items.engaged[i],
    codes: data.items.codes[i], node: nodes[data.items.node[i]],
  }));
  for (const item of items) for (let n = item.node; n; n = n.parent) n.held.push(item);
  // Siblings of one main category stand together, the largest first.
  for (const node of nodes) {
    node.children.sort((a, b) => a.mix[0][0] - b.mix[0][0] || b.items - a.items);
  }

  function pairs(flat) {
    const mix = [];
    for (let i = 0; i < flat.length; i += 2) mix.push([flat[i], flat[i + 1]]);
    return mix;
  }

  function color(node) { return data.colors[node.mix[0][0]]; }

  // ---- layout ----

  // Children of a node as blocks {node, left, width}, in pixels, for a node that is `width` wide.
  function blocks(node, width) {
    const unit = width / node.items, out = [];
    let left = 0, small = [], held = 0;
    const close = () => {
      if (!small.length) return;
      const one = small.length === 1 ? small[0] : bundle(node, small);
      out.push({ node: one, left, width: held * unit });
      left += held * unit;
      small = [];
      held = 0;
    };
    for (const child of node.children) {
      if (held * unit >= NARROW && small[0].mix[0][0] !== child.mix[0][0]) close();
      if (child.items * unit >= NARROW) {
        close();
        out.push({ node: child, left, width: child.items * unit });
        left += child.items * unit;
      } else {
        small.push(child);
        held += child.items;
        if (held * unit >= BUNDLE) close();
      }
    }
    close();
    return out;
  }

  // Siblings that are shown and opened as one. Its prefix is the parent's.
  function bundle(parent, children) {
    const counts = new Map();
    for (const child of children) {
      for (const [category, n] of child.mix) counts.set(category, (counts.get(category) || 0) + n);
    }
    return {
      bundled: true, parent, children, prefix: parent.prefix,
      items: sum(children, "items"), engaged: sum(children, "engaged"),
      mix: [...counts].sort((a, b) => b[1] - a[1]).slice(0, 6),
      get held() { return children.flatMap((child) => child.held); },
    };
  }

  function sum(list, key) { return list.reduce((total, entry) => total + entry[key], 0); }

  // ---- words ----

  function name(node) {
    if (!node.bundled) return node === root ? "all items" : node.prefix.join("-");
    return `${number(node.children.length)} small prefixes, mostly ${data.categories[node.mix[0][0]]}`;
  }

  function mixture(node) {
    const share = (n) => `${Math.round(100 * n / node.items)}%`;
    const said = node.mix.slice(0, 4).map(([category, n]) => `${data.categories[category]} ${share(n)}`);
    return said.join(", ");
  }

  function counted(node) {
    const held = `${number(node.items)} item${node.items === 1 ? "" : "s"}`;
    if (!root.engaged || node === root) return held;
    return `${held}, ${(100 * node.engaged / root.engaged).toFixed(1)}% of engagement`;
  }

  // Stripes from the top: main categories by their share, grey for the rest.
  function stripes(node) {
    let at = 0;
    const stops = node.mix.map(([category, n]) => {
      const from = at;
      at += 100 * n / node.items;
      return `${data.colors[category]} ${from.toFixed(1)}% ${at.toFixed(1)}%`;
    });
    return `linear-gradient(${[...stops, `${OTHER} ${at.toFixed(1)}%`].join(",")})`;
  }

  // ---- elements ----

  function element(tag, className, text, attributes) {
    const made = document.createElement(tag);
    if (className) made.className = className;
    if (text !== undefined) made.textContent = text;
    for (const [key, value] of Object.entries(attributes || {})) made.setAttribute(key, value);
    return made;
  }

  host.replaceChildren();
  const tools = element("div", "tree-tools");
  const crumbs = element("nav", "crumbs", undefined, { "aria-label": "Prefix in focus" });
  const search = element("input", "", undefined, {
    type: "search", placeholder: "Find an item by id or title", "aria-label": "Find an item by id or title",
  });
  const results = element("ul", "results", undefined, { "aria-label": "Items found" });
  const finder = element("div", "finder");
  const summary = element("p", "tree-summary", undefined, { role: "status" });
  const picture = element("div", "icicle", undefined, {
    role: "group", "aria-label": "Prefix tree. Arrow keys move, Enter opens, Escape goes back.",
  });
  const list = element("div", "tree-items");
  const tip = element("div", "tip", undefined, { role: "tooltip", id: "tree-tip" });
  finder.append(search, results);
  tools.append(crumbs, finder);
  host.append(tools, summary, picture, list, tip);
  tip.hidden = results.hidden = true;

  let focus = root, marked = null, drawn = [];

  function draw() {
    const width = picture.clientWidth || 1000;
    drawn = [blocks(focus, width), []];
    // A bundle would stand below itself: where all else ends here, one row is enough.
    const deeper = drawn[0].some((block) => !block.node.bundled && block.node.children.length);
    for (const block of deeper ? drawn[0].filter((one) => one.width >= NARROW) : []) {
      for (const below of blocks(block.node, block.width)) {
        drawn[1].push({ ...below, left: block.left + below.left, above: block });
      }
    }
    picture.replaceChildren(...drawn.filter((row) => row.length).map((row, level) => {
      const line = element("div", `level level-${level}`);
      for (const block of row) line.append(button(block, width));
      return line;
    }));
    picture.hidden = !drawn[0].length;
    const first = picture.querySelector("button");
    if (first) first.tabIndex = 0;
    drawCrumbs();
    drawSummary();
    drawItems();
    tip.hidden = true;
  }

  function button(block, width) {
    const { node } = block;
    const made = element("button", LIGHT.has(color(node)) ? "light" : "", undefined, {
      type: "button", tabindex: "-1", "aria-label": `${name(node)}: ${counted(node)}: ${mixture(node)}`,
    });
    const label = node.bundled ? `${node.children.length}×` : node.prefix.at(-1);
    if (block.width >= LABELLED) made.append(element("span", "", label));
    made.style.left = `${100 * block.left / width}%`;
    made.style.width = `${100 * block.width / width}%`;
    made.style.background = stripes(node);
    if (node.bundled) made.classList.add("bundle");
    made.addEventListener("click", () => zoom(node));
    made.addEventListener("mouseenter", () => showTip(node, made));
    made.addEventListener("focus", () => { showTip(node, made); rove(made); });
    made.addEventListener("mouseleave", hideTip);
    made.addEventListener("blur", hideTip);
    block.button = made;
    return made;
  }

  function drawCrumbs() {
    const path = [];
    for (let node = focus; node; node = node.parent) path.unshift(node);
    crumbs.replaceChildren();
    path.forEach((node, i) => {
      if (i) crumbs.append(element("span", "", "›", { "aria-hidden": "true" }));
      const label = i ? (node.bundled ? name(node) : String(node.prefix.at(-1))) : "all items";
      if (node === focus) crumbs.append(element("strong", "", label, { "aria-current": "true" }));
      else {
        const back = element("button", "", label, { type: "button" });
        back.addEventListener("click", () => zoom(node));
        crumbs.append(back);
      }
    });
  }

  function drawSummary() {
    const title = focus === root ? "All items" : focus.bundled ? name(focus) : `Prefix ${name(focus)}`;
    summary.replaceChildren(element("b", "", title), `: ${counted(focus)}. ${mixture(focus)}.`);
    const hidden = focus.items - sum(focus.children, "items");
    if (focus.prefix.length < data.deepest && hidden > 0) {
      summary.append(` ${number(hidden)} items stand under prefixes that this page leaves out.`);
    }
  }

  function drawItems() {
    list.replaceChildren();
    if (focus === root || (focus.prefix.length < data.deepest && focus.items > LISTED)) return;
    const held = focus.held;
    if (!held.length) return;
    const first = (a, b) => (b === marked) - (a === marked) || b.engaged - a.engaged;
    const shown = held.slice().sort(first).slice(0, LISTED);
    const all = shown.length === focus.items;
    const of = all ? "Items" : `${number(shown.length)} of ${number(focus.items)} items`;
    list.append(element("h3", "", `${of}, most engaged first`));
    const lines = element("ul", "");
    for (const item of shown) {
      const line = element("li", item === marked ? "marked" : "");
      const dot = element("i", "");
      dot.style.background = data.colors[item.category];
      const title = element("span", "title", item.title || "untitled", { dir: "auto" });
      const rest = [item.id, item.codes, data.categories[item.category]];
      if (root.engaged) rest.push(`${number(item.engaged)} engaged`);
      line.append(dot, title, element("span", "soft", rest.join(" · ")));
      lines.append(line);
    }
    list.append(lines);
  }

  // ---- what a hand does ----

  function zoom(node) {
    const held = host.contains(document.activeElement) && document.activeElement !== search;
    focus = node;
    draw();
    const next = picture.querySelector("button") || crumbs.querySelector("button");
    if (held) next?.focus({ preventScroll: true });
    const hash = node.prefix.join("-");
    // A sandboxed frame has no address of its own to change; the tree works without.
    try { history.replaceState(null, "", hash ? `#${hash}` : "#"); } catch { /* no address */ }
  }

  function showTip(node, at) {
    tip.replaceChildren(
      element("b", "", name(node)), element("span", "", counted(node)), element("span", "", mixture(node)),
    );
    tip.hidden = false;
    const box = at.getBoundingClientRect(), frame = host.getBoundingClientRect();
    const middle = box.left + box.width / 2 - frame.left - tip.offsetWidth / 2;
    tip.style.left = `${Math.max(8, Math.min(middle, frame.width - tip.offsetWidth - 8))}px`;
    tip.style.top = `${box.top - frame.top - tip.offsetHeight - 6}px`;
    at.setAttribute("aria-describedby", tip.id);
  }

  function hideTip() { tip.hidden = true; }

  // One stop of the Tab key for the whole picture; arrows move within.
  function rove(to) {
    for (const other of picture.querySelectorAll('[tabindex="0"]')) other.tabIndex = -1;
    to.tabIndex = 0;
  }

  picture.addEventListener("keydown", (event) => {
    const row = drawn.find((blocks) => blocks.some((block) => block.button === event.target));
    if (!row) return;
    const at = row.findIndex((block) => block.button === event.target);
    const to = {
      ArrowLeft: () => row[at - 1],
      ArrowRight: () => row[at + 1],
      ArrowUp: () => row[at].above,
      ArrowDown: () => drawn[1].find((block) => block.above === row[at]),
      Home: () => row[0],
      End: () => row.at(-1),
    }[event.key];
    if (!to) return;
    event.preventDefault();
    to()?.button.focus();
  });

  host.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    if (event.target === search && search.value) { search.value = ""; find(); }
    else if (focus.parent) zoom(focus.parent);
  });

  // ---- search ----

  function find() {
    const wanted = search.value.trim().toLowerCase();
    results.replaceChildren();
    results.hidden = !wanted;
    if (!wanted) return;
    const holds = (text) => text.toLowerCase().includes(wanted);
    const exact = items.filter((item) => item.id.toLowerCase() === wanted);
    const near = items.filter((item) => !exact.includes(item) && (holds(item.id) || holds(item.title)));
    const found = [...exact, ...near].slice(0, FOUND);
    for (const item of found) {
      const line = element("li", "");
      const pick = element("button", "", undefined, { type: "button" });
      const title = ` ${item.title || "untitled"} `;
      pick.append(element("b", "", item.codes), title, element("span", "soft", item.id));
      pick.addEventListener("click", () => open(item));
      line.append(pick);
      results.append(line);
    }
    const none = data.whole ? "No such item." : "No such item on this page.";
    if (!found.length) results.append(element("li", "none", none));
  }

  function open(item) {
    marked = item;
    results.hidden = true;
    zoom(item.node);
  }

  search.addEventListener("input", find);
  search.addEventListener("keydown", (event) => {
    if (event.key === "Enter") results.querySelector("button")?.click();
    if (event.key === "ArrowDown") { event.preventDefault(); results.querySelector("button")?.focus(); }
  });
  document.addEventListener("click", (event) => {
    if (!finder.contains(event.target)) results.hidden = true;
  });

  // ---- start ----

  // `#12-34` starts at that prefix, or at its nearest ancestor that the page holds.
  function fromAddress() {
    let node = root;
    for (const code of (location.hash.match(/^#(\d+(?:-\d+)*)$/)?.[1] || "").split("-")) {
      const below = code && node.children.find((child) => child.prefix.at(-1) === Number(code));
      if (!below) break;
      node = below;
    }
    return node;
  }

  window.addEventListener("hashchange", () => { marked = null; focus = fromAddress(); draw(); });
  let before = 0;
  new ResizeObserver(() => {
    const width = picture.clientWidth;
    if (!width || Math.abs(width - before) <= 8) return;
    before = width;
    draw();
  }).observe(host);
  focus = fromAddress();
  draw();
  before = picture.clientWidth;
})();
