// What stands below the slate: the policy, the rungs side by side, what is known of the user.

function heading(text, note) {
  return [element("h2", "", text), note ? element("p", "soft note", note) : null].filter(Boolean);
}

// ---- policy ----

function drawPolicy({ answer, debug }, asked) {
  const section = by("policy");
  section.hidden = !asked.explain;
  if (section.hidden) return;
  if (debug) section.replaceChildren(...policyOf(debug));
  else {
    const removed = answer.removed || [];
    section.replaceChildren(
      ...heading("Policy", removed.length ? "What its rules removed from the catalogue." : "No rule removes anything here."),
      element("ul", "rules", removed.map((rule) => element("li", "rule holds", [
        element("h3", "", rule.rule),
        element("p", "soft", `${counted(rule.items, "item")} removed, the most popular: ${rule.examples.join(", ")}`),
      ]))),
    );
  }
}

function policyOf({ decision, rungs }) {
  if (!decision.rules.length) return heading("Policy", "This server has no rules: everything that is eligible may be shown.");
  const holding = decision.rules.filter((rule) => rule.holds).length;
  const note = `${holding} of ${counted(decision.rules.length, "rule")} ${holding === 1 ? "holds" : "hold"} here; `
    + `${counted(decision.blocked, "item")} of the catalogue blocked.`;
  const free = new Map((rungs.higr_without_policy?.items || []).map((item) => [item.item_id, item.position]));
  remember(rungs.higr_without_policy?.items || []);
  const holdingFirst = [...decision.rules].sort((a, b) => b.holds - a.holds);
  return [
    ...heading("Policy", note),
    element("ul", "rules", holdingFirst.map((rule) => ruleOf(rule, decision, free))),
  ];
}

function conditionsOf(rule) {
  const said = (word, fields) => Object.entries(fields)
    .map(([field, values]) => `${word} ${field} is ${values.join(" or ")}`);
  return [...said("when", rule.when), ...said("unless", rule.unless)].join(", ");
}

function ruleOf(rule, decision, free) {
  const removed = Object.keys(decision.removed).filter((item) => decision.removed[item].includes(rule.rule))
    .sort((a, b) => free.get(a) - free.get(b));
  const sold = rule.kind === "sponsored" && rule.holds ? soldOf(rule, decision) : null;
  return element("li", `rule ${rule.holds ? "holds" : "rests"}`, [
    element("h3", "", [rule.rule, " ", element("span", "state", rule.holds ? "holds" : "does not hold")]),
    element("p", "", [rule.says, conditionsOf(rule) ? element("span", "soft", ` ${conditionsOf(rule)}`) : null]),
    rule.items ? element("p", "soft", `${counted(rule.items, "item")} of the catalogue, the most popular: ${rule.examples.slice(0, 5).join(", ")}`) : null,
    sold,
    removed.length ? element("p", "removed", [
      element("b", "", "Removed here: "),
      removed.map((id) => `${titleOf({ item_id: id })}, which HiGR had at ${free.get(id)}`).join("; "),
    ]) : null,
  ]);
}

function soldOf(rule, decision) {
  const slot = decision.sold.find((one) => one.position === rule.position);
  if (!slot) return element("p", "soft", "beyond the end of this slate");
  return element("p", "soft", slot.item_id
    ? `${titleOf(slot)} stands there, marked ${slot.disclosure}` : "none of its items may be shown here");
}

// ---- rungs ----

function drawRungs({ answer, debug }) {
  const section = by("rungs");
  section.hidden = !debug;
  if (!debug) return;
  const { rungs, decision } = debug;
  const shown = new Set(answer.items.map((item) => item.item_id));
  const columns = [
    column("HiGR", rungs.higr, { shown, answer: answer.source === "higr" }),
    rungs.higr_without_policy && column("HiGR without the policy", rungs.higr_without_policy, {
      shown, removed: decision.removed,
    }),
    column("Baseline", rungs.baseline, { shown, answer: answer.source === "baseline" }),
    column("Popular", rungs.popular, { shown, answer: answer.source === "popular" }),
  ].filter(Boolean);
  section.replaceChildren(
    ...heading("What each rung would give", "For the same request. A dot marks what the answer holds."),
    element("div", "columns", columns),
  );
}

function column(name, rung, { shown, answer, removed }) {
  const head = element("h3", "", [name, " ", answer ? element("span", "state", "the answer") : null]);
  if (!rung.items) return element("div", "column", [head, element("p", "hint", `No slate: ${reasonOf(rung.reason)}.`)]);
  if (!rung.items.length) return element("div", "column", [head, element("p", "hint", "Nothing is left that may be shown.")]);
  const list = element("ol", "");
  for (const item of rung.items) {
    const rules = removed?.[item.item_id];
    const here = shown.has(item.item_id);
    list.append(element("li", `${here ? "here" : ""} ${rules ? "ruled-out" : ""}`, [
      element("span", "place", String(item.position)),
      element("div", "", [
        element("p", "title", [
          here ? element("span", "dot", "", { role: "img", "aria-label": "in the answer" }) : null,
          element(rules ? "s" : "span", "", titleOf(item), { dir: "auto" }),
        ]),
        element("p", "fine", [facts(item), rules ? element("b", "removed", ` rule ${rules.join(", ")}`) : null]),
        semanticId(item.semantic_id),
      ]),
    ]));
  }
  return element("div", `column ${answer ? "chosen" : ""}`, [head, list]);
}

// ---- context ----

const LEVELS = ["negative", "exposed", "engaged", "strong"];
const FROM = { request: "from the request", store: "from the feature store", none: "none" };
const LATEST = 12;

function drawContext({ debug }) {
  const section = by("context");
  section.hidden = !debug;
  if (!debug) return;
  const { context, exclusions } = debug;
  const note = [`Context ${FROM[context.source]}`, `${counted(context.history_length, "item")} of history`];
  if (exclusions.request.length) note.push(`${exclusions.request.length} left out by the request`);
  if (exclusions.seen.length) note.push(`${exclusions.seen.length} left out as seen`);
  if (exclusions.seen_again.length) note.push(`${exclusions.seen_again.length} seen but shown again, for too few are left`);
  const chips = Object.entries({ ...context.profile, ...context.situation });
  const list = element("ol", "history");
  const show = (items) => list.replaceChildren(...items.map(seenItem));
  show(context.history.slice(0, LATEST));
  const more = context.history.length > LATEST ? button("plain", `Show all ${context.history.length}`, () => {
    show(context.history);
    list.querySelectorAll("li")[LATEST].focus();
    more.remove();
  }) : null;
  section.replaceChildren(...[
    ...heading("What is known of the user", `${note.join(", ")}.`),
    chips.length ? element("dl", "chips", chips.map(([field, value]) => element("div", "", [
      element("dt", "", field), element("dd", "", value, { dir: "auto" }),
    ]))) : null,
    context.history.length ? element("h3", "", "History, latest first") : null,
    list, more,
  ].filter(Boolean));
}

function seenItem(item) {
  const level = LEVELS[item.feedback] || String(item.feedback);
  return element("li", "", [
    element("span", `level ${level}`, level),
    element("p", "title", titleOf(item), { dir: "auto" }),
    element("p", "fine", item.semantic_id ? facts(item) : "no longer in the catalogue"),
    item.semantic_id ? semanticId(item.semantic_id) : null,
  ], { tabindex: "-1" });
}
