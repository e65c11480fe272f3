// Hands and the page: what is typed, clicked or in the address is asked; what comes is drawn.

const TYPING = 300; // milliseconds in which typing goes on

let settings = null, asked = fromAddress(), shown = null, running = null, waiting = 0;

function fill() {
  by("user").value = asked.user;
  by("size").value = asked.size || "";
  by("surface").value = asked.surface;
  by("seen").checked = asked.seen;
  by("explain").checked = asked.explain;
  drawExcluded();
  for (const one of by("users").querySelectorAll("button")) {
    one.setAttribute("aria-pressed", String(one.textContent === asked.user));
  }
}

function read() {
  const size = by("size").valueAsNumber;
  return {
    user: by("user").value.trim(),
    size: Number.isFinite(size) ? size : null,
    surface: by("surface").value.trim(),
    seen: by("seen").checked,
    explain: by("explain").checked,
    // What was left out for one user says nothing of another.
    exclude: by("user").value.trim() === asked.user ? asked.exclude : [],
  };
}

function drawExcluded() {
  const row = by("excluded");
  row.hidden = !asked.exclude.length;
  const title = (id) => titleOf({ item_id: id });
  row.replaceChildren(
    element("span", "soft", "Left out:"),
    ...asked.exclude.map((id) => button("chip", [element("span", "", title(id), { dir: "auto" }), " ✕"], () => {
      change({ ...asked, exclude: asked.exclude.filter((other) => other !== id) });
      (by("excluded").querySelector("button") || by("user")).focus();
    }, { "aria-label": `Take back ${title(id)}`, title: id })),
    asked.exclude.length > 1
      ? button("plain", "Take all back", () => { change({ ...asked, exclude: [] }); by("user").focus(); }) : "",
  );
}

function exclude(id, position) {
  const held = document.activeElement?.classList.contains("out");
  change({ ...asked, exclude: [...asked.exclude.filter((other) => other !== id), id] }, () => {
    const outs = document.querySelectorAll(".cards .out");
    if (held) (outs[Math.min(position, outs.length) - 1] || by("user")).focus();
  });
}

// ---- asking ----

function change(next, then) {
  clearTimeout(waiting);
  const same = toAddress(next) === toAddress(asked);
  asked = next;
  if (!same) history.pushState(null, "", toAddress(asked));
  fill();
  load(then);
}

async function load(then) {
  running?.abort();
  if (!asked.user) { running = null; idle(); return; }
  const mine = running = new AbortController();
  by("answer").setAttribute("aria-busy", "true");
  try {
    settings = settings || await call("explorer/settings", null, mine.signal);
    drawSettings();
    const got = await ask(asked, settings, mine.signal);
    if (mine !== running) return;
    draw(got);
    then?.();
  } catch (error) {
    if (mine !== running || error.name === "AbortError") return;
    failed(error);
  } finally {
    if (mine === running) by("answer").removeAttribute("aria-busy");
  }
}

function idle() {
  shown = null;
  by("answer").hidden = by("problem").hidden = true;
  by("hint").hidden = false;
}

function failed(error) {
  if (error.status === 401 || error.status === 403) {
    by("access").hidden = false;
    by("token").focus();
  }
  by("problem").textContent = error instanceof Problem ? error.message : `This page failed: ${error.message}`;
  by("problem").hidden = false;
  by("answer").hidden = !shown;
  by("hint").hidden = true;
}

function draw(got) {
  const before = shown && shown.user_id === got.answer.user_id ? shown : null;
  remember(got.answer.items);
  by("problem").hidden = by("hint").hidden = by("access").hidden = true;
  by("answer").hidden = false;
  drawSlate(got, before, asked, exclude);
  drawPolicy(got, asked);
  drawRungs(got);
  drawContext(got);
  drawExcluded();
  say(got.answer, before);
  shown = got.answer;
}

function say(answer, before) {
  const places = placesOf(before);
  const fresh = before ? answer.items.filter((item) => !places.has(item.item_id)).length : 0;
  by("said").textContent = `${counted(answer.items.length, "item")} by ${SOURCES[answer.source]}`
    + (before ? `, ${fresh} new` : "");
}

function drawSettings() {
  by("served").textContent = `endpoint ${settings.model} · bundle ${settings.version}`;
  by("size").placeholder = settings.slate_size;
  by("size").max = settings.max_slate_size;
  if (by("users").childElementCount || !settings.users.length) return;
  by("users").hidden = false;
  by("users").replaceChildren(
    element("span", "soft", "Known users:"),
    ...settings.users.map((id) => button("chip", id, () => change({ ...asked, user: id, exclude: [] }), { dir: "auto" })),
  );
  fill();
}

// ---- start ----

by("form").addEventListener("submit", (event) => { event.preventDefault(); change(read()); });
for (const id of ["size", "surface"]) {
  by(id).addEventListener("input", () => {
    clearTimeout(waiting);
    waiting = setTimeout(() => change(read()), TYPING);
  });
}
for (const id of ["seen", "explain"]) by(id).addEventListener("change", () => change(read()));
by("access").addEventListener("submit", (event) => {
  event.preventDefault();
  token = by("token").value;
  by("token").value = "";
  by("problem").hidden = true;
  start();
});
window.addEventListener("hashchange", () => { asked = fromAddress(); fill(); load(); });

async function start() {
  try {
    settings = await call("explorer/settings");
    by("access").hidden = true;
    drawSettings();
    load();
  } catch (error) { failed(error); }
}

fill();
start();
