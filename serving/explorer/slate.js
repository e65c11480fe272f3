// The slate: who made it, its cards, what moved since the last one, how long it took.

const SOURCES = { higr: "HiGR", baseline: "Baseline", popular: "Popular items" };
const REASONS = {
  deadline: "HiGR did not answer in time",
  unreachable: "the predictor is not there",
  overloaded: "the predictor had no time for it",
  predictor_error: "the predictor failed",
  invalid_slate: "the predictor's slate broke the contract",
  policy: "too little of HiGR's slate keeps to the policy",
  other_policy: "the predictor has another policy file",
  breaker: "the predictor failed too often and is not asked for a moment",
  switch: "the switch is on baseline",
  failed: "it failed or was late",
};
const DEGRADED = {
  unknown_user: "nothing is stored of this user",
  late: "the feature store did not answer in time",
  store_failed: "the feature store failed",
  no_store: "this server has no feature store",
};

function reasonOf(reason) { return reason ? REASONS[reason] || reason : ""; }

// {item id: place from 1} of what was shown to the same user before.
function placesOf(answer) {
  return new Map(answer ? answer.items.map((item) => [item.item_id, item.position]) : []);
}

function drawSlate(got, before, asked, onExclude) {
  const { answer, debug } = got;
  const gone = before ? before.items.filter((item) => !answer.items.some((other) => other.item_id === item.item_id)) : [];
  by("slate").replaceChildren(
    ...[
      verdict(got),
      cards(answer, before, onExclude),
      gone.length ? goneList(gone, answer, debug, asked) : null,
      sharedPrefixes(answer.items),
      latency(got),
    ].filter(Boolean),
  );
}

function verdict({ answer, debug }) {
  const badges = [element("span", `badge ${answer.source}`, SOURCES[answer.source] || answer.source)];
  if (answer.degraded) badges.push(element("span", "badge warn", "degraded"));
  const words = [`${counted(answer.items.length, "item")} for `, element("b", "", answer.user_id, { dir: "auto" })];
  const why = [];
  if (answer.fallback_reason) why.push(`Not HiGR: ${reasonOf(answer.fallback_reason)}.`);
  if (answer.degraded) why.push(`Without stored features: ${DEGRADED[debug?.context.degraded] || "see the server's metrics"}.`);
  return element("div", "verdict", [
    element("h2", "", words),
    element("p", "badges", badges),
    element("p", "fine", `bundle ${answer.model_version} · request ${answer.request_id}`),
    why.length ? element("p", "why", why.join(" ")) : null,
  ]);
}

// ---- cards ----

function moveOf(item, places) {
  if (!places.size) return null;
  const place = places.get(item.item_id);
  if (place === undefined) return element("span", "move new", "new");
  const up = place - item.position;
  if (!up) return null;
  const said = up > 0 ? `up ${up}` : `down ${-up}`;
  return element("span", `move ${up > 0 ? "up" : "down"}`, `${up > 0 ? "▲" : "▼"} ${Math.abs(up)}`, {
    role: "img", "aria-label": said, title: `${said}, was ${place}`,
  });
}

function cards(answer, before, onExclude) {
  if (!answer.items.length) return element("p", "hint", "Nothing is left that may be shown: the slate is empty.");
  const places = placesOf(before);
  const list = element("ol", "cards");
  for (const item of answer.items) {
    const out = button("out", "Leave out", () => onExclude(item.item_id, item.position), {
      "aria-label": `Leave out ${titleOf(item)}`,
    });
    list.append(element("li", "card", [
      element("div", "top", [
        element("span", "place", String(item.position)),
        moveOf(item, places),
        item.disclosure ? element("span", "sold", item.disclosure, { dir: "auto" }) : null,
        out,
      ]),
      element("h3", "", titleOf(item), { dir: "auto" }),
      element("p", "soft", facts(item), { dir: "auto" }),
      semanticId(item.semantic_id),
      element("p", "fine", [
        element("span", "id", item.item_id), ` · score ${number(item.score)}`,
      ]),
    ]));
  }
  return list;
}

function whyGone(item, answer, debug, asked) {
  if (asked.exclude.includes(item.item_id)) return "left out by you";
  if (debug) {
    const rules = debug.decision.removed[item.item_id];
    if (rules) return `rule ${rules.join(", ")}`;
    if (debug.exclusions.seen.includes(item.item_id)) return "seen before";
  }
  return item.position > answer.items.length ? "the slate is shorter" : "others fit better";
}

function goneList(gone, answer, debug, asked) {
  const list = element("ul", "gone");
  for (const item of gone) {
    list.append(element("li", "", [
      element("span", "move out-of", "gone"),
      element("s", "", titleOf(item), { dir: "auto" }),
      element("span", "soft", ` was ${item.position}, ${whyGone(item, answer, debug, asked)}`),
    ]));
  }
  return list;
}

// ---- prefixes ----

// Deepest first: prefixes that several items of the slate share, without those that say nothing more.
function sharedPrefixes(items) {
  const counts = new Map();
  for (const { semantic_id: codes } of items) {
    for (let depth = 1; depth < codes.length; depth += 1) {
      const name = codes.slice(0, depth).join("-");
      counts.set(name, (counts.get(name) || 0) + 1);
    }
  }
  const first = new Set(items.map((item) => item.semantic_id[0]));
  const shared = [...counts].filter(([, count]) => count > 1)
    .sort((a, b) => b[1] - a[1] || a[0].localeCompare(b[0], "en", { numeric: true }));
  const categories = new Set(items.map((item) => item.category).filter(Boolean));
  if (!items.length) return null;
  const line = element("div", "shared", [element("span", "soft", [
    `${counted(categories.size, "category", "categories")}, ${counted(first.size, "first code")}`,
    shared.length ? ". Shared prefixes: " : ", no prefix shared.",
  ])]);
  for (const [name, count] of shared) {
    const one = button("prefix chip", `${name} ×${count}`, () => pointAt(name), {
      "data-prefix": name, "aria-label": `prefix ${name}, ${count} items`,
    });
    one.style.setProperty("--hue", hue(name.split("-").map(Number)).toFixed(1));
    line.append(one);
  }
  return line;
}

// ---- time ----

const STEPS = { features: "features", predictor: "predictor", baseline: "baseline", other: "the rest" };

function latency({ debug, milliseconds: roundTrip }) {
  if (!debug) return element("p", "fine", `Answered in ${milliseconds(roundTrip)}, the way there and back included.`);
  const steps = { ...debug.steps_ms };
  const total = steps.total;
  delete steps.total;
  steps.other = Math.max(0, total - Object.values(steps).reduce((sum, step) => sum + step, 0));
  const bar = element("div", "bar", [], { "aria-hidden": "true" });
  const legend = element("ul", "legend");
  for (const [step, taken] of Object.entries(steps)) {
    const part = element("span", `step ${step in STEPS ? step : "other"}`);
    part.style.width = `${100 * taken / (total || 1)}%`;
    bar.append(part);
    legend.append(element("li", "", [
      element("span", `step ${step in STEPS ? step : "other"}`), ` ${STEPS[step] || step} `,
      element("b", "", milliseconds(taken)),
    ]));
  }
  return element("div", "latency", [
    element("p", "soft", ["Made in ", element("b", "", milliseconds(total))]), bar, legend,
  ]);
}
