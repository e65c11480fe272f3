"""How the evaluation page looks, beyond the common frame of `higr.html`."""

COLORS = ("#0f766e", "#c2410c", "#4f46e5", "#a16207", "#be185d", "#0369a1", "#4d7c0f", "#6b7280")
"""One a model: the subject has the first, the others follow in the order of the table."""

CSS = """
.verdict.better { border-left-color: var(--good); }
.verdict.worse { border-left-color: var(--bad); }
.verdict strong { display: block; font-size: 24px; line-height: 1.3; letter-spacing: -0.015em;
  margin-bottom: 8px; }
.verdict ul { margin: 0; padding: 0; list-style: none; color: var(--soft);
  font-variant-numeric: tabular-nums; }
.verdict .also { margin: 10px 0 0; }
.scroll { overflow-x: auto; background: #fff; border: 1px solid var(--line); border-radius: 8px; }
th, td { padding: 10px 14px; text-align: right; border-top: 1px solid var(--line); white-space: nowrap;
  }
thead th { border-top: 0; font-size: 13px; font-weight: 600; color: var(--soft);
  vertical-align: bottom;
  white-space: normal; }
td span { display: block; font-size: 12px; color: var(--soft); }
td b { color: var(--ink); font-weight: 700; }
td .up { color: var(--good); } td .down { color: var(--bad); }
td i { font-style: normal; display: block; }
tbody th { white-space: normal; } tbody th span:not(.dot) { display: block; font-size: 12px;
  font-weight: 400; color: var(--soft); }
td.few { text-align: left; color: var(--soft); white-space: normal; }
.scroll + .scroll { margin-top: 14px; }
.dot { display: inline-block; width: 10px; height: 10px; border-radius: 50%; margin-right: 8px; }
.panels { display: grid; grid-template-columns: repeat(auto-fill, minmax(300px, 1fr)); gap: 14px; }
.panels > div { background: #fff; border: 1px solid var(--line); border-radius: 8px;
  padding: 14px 16px 8px; }
svg .panel { font-size: 13px; font-weight: 600; fill: var(--ink); }
svg .name { font-size: 12px; fill: var(--ink); }
svg .tick { font-size: 11px; fill: var(--soft); text-anchor: middle; }
svg .tick.start { text-anchor: start; } svg .tick.end { text-anchor: end; }
svg .grid { stroke: var(--line); }
svg .curve { fill: none; stroke-width: 2; stroke-linejoin: round; stroke-linecap: round; }
svg .bar { stroke-width: 4; stroke-linecap: round; opacity: 0.4; }
.panels.curves { grid-template-columns: repeat(auto-fill, minmax(420px, 1fr)); }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 4px 18px; margin: 12px 0 0;
  max-width: 96ch; }
dt { font-weight: 600; } dd { margin: 0; color: var(--soft); }
.example { margin-top: 18px; background: #fff; border: 1px solid var(--line); border-radius: 8px;
  padding: 16px 18px; }
.example > p { font-size: 13px; margin: 0 0 12px; max-width: none; }
.chip { display: inline-block; background: #eef2f1; border-radius: 99px; padding: 1px 10px;
  margin: 2px 4px 2px 0; }
.slates { display: grid; grid-auto-flow: column; grid-auto-columns: minmax(190px, 1fr); gap: 14px;
  overflow-x: auto; }
.slates h3 { font-size: 13px; margin: 0 0 6px; }
.slates ol { margin: 0; padding: 0; list-style: none; counter-reset: position; }
.slates li { counter-increment: position; position: relative; border: 1px solid var(--line);
  border-radius: 6px; padding: 7px 10px 7px 30px; margin-bottom: 6px; font-size: 13px;
  line-height: 1.35; overflow-wrap: anywhere; }
.slates li::before { content: counter(position); position: absolute; left: 11px; color: var(--soft); }
.slates li span { display: block; color: var(--soft); font-size: 12px; }
.slates li.engaged { background: #e7f4f1; border-color: #9fd0c5; }
.slates li.exposed { background: #f3f4f1; border-color: #cfd5cd; }
.key { display: inline-block; width: 12px; height: 12px; border-radius: 3px; border: 1px solid;
  vertical-align: -1px; margin: 0 6px 0 0; }
.key.engaged { background: #e7f4f1; border-color: #9fd0c5; }
.key.exposed { background: #f3f4f1; border-color: #cfd5cd; }
@media (max-width: 640px) { dl { grid-template-columns: 1fr; } }
"""
