"""How the page of semantic IDs looks, beyond the common frame of `higr.html`."""

CSS = """
.legend { max-width: none; margin-top: 10px; }
.legend span { display: inline-block; margin: 0 16px 4px 0; font-size: 13px; }
.legend i { display: inline-block; width: 11px; height: 11px; border-radius: 3px; margin-right: 6px; }
.tick { font-size: 11px; fill: var(--soft); }
.edge { fill: transparent; stroke: #fff; stroke-width: 0.6; vector-effect: non-scaling-stroke; }
.card h3 { font-size: 14px; margin: 0 0 8px; } .card h3 span { font-weight: 400; color: var(--soft); }
.share { display: flex; height: 8px; border-radius: 4px; overflow: hidden; margin: 0 0 8px; }
.card ul { margin: 0; padding: 0; list-style: none; font-size: 13px; line-height: 1.45; }
.card li { padding: 3px 0; overflow-wrap: anywhere; } .card li span { color: var(--soft); }
.worst { grid-template-columns: repeat(auto-fill, minmax(330px, 1fr)); margin-top: 10px; }
.verdict td { white-space: nowrap; }
.verdict td.advice { text-align: left; white-space: normal; color: var(--soft); min-width: 260px; }
.verdict p { margin: 10px 0 0; }
.scroll { overflow-x: auto; } .scroll tbody th { white-space: nowrap; }
.side { display: grid; grid-template-columns: minmax(260px, 1fr) 2fr; gap: 14px; align-items: start; }
dl { max-width: 440px; display: grid; grid-template-columns: 1fr max-content; gap: 6px 14px; margin: 0;
  font-size: 14px; font-variant-numeric: tabular-nums; }
dt { color: var(--soft); } dd { margin: 0; text-align: right; font-weight: 600; }
.meter { display: inline-block; height: 8px; border-radius: 4px; background: var(--good); opacity: 0.75; }
td.bar { text-align: left; width: 34%; }

.tree { position: relative; }
.tree button { font: inherit; }
.tree-tools { display: flex; justify-content: space-between; gap: 12px 24px; flex-wrap: wrap;
  align-items: center; }
.crumbs { display: flex; flex-wrap: wrap; gap: 2px 6px; align-items: center; font-size: 14px;
  min-height: 34px; }
.crumbs button { border: 0; background: none; color: var(--good); cursor: pointer; padding: 4px 2px;
  text-decoration: underline; text-underline-offset: 3px; }
.crumbs strong { padding: 4px 2px; } .crumbs span { color: var(--soft); }
.finder { position: relative; width: min(380px, 100%); }
.finder input { font: inherit; width: 100%; padding: 6px 12px; border: 1px solid #aab5b4;
  border-radius: 8px; background: #fff; color: var(--ink); }
.finder .results { position: absolute; z-index: 3; left: 0; right: 0; top: calc(100% + 4px);
  background: #fff; border: 1px solid var(--line); border-radius: 8px; padding: 4px;
  box-shadow: 0 6px 20px rgb(0 0 0 / 12%); max-height: 320px; overflow-y: auto; }
.finder li { padding: 0; } .finder li.none { padding: 6px 10px; color: var(--soft); }
.finder li button { width: 100%; text-align: left; border: 0; border-radius: 6px; background: none;
  cursor: pointer; padding: 5px 10px; font-size: 13px; color: var(--ink); }
.finder li button:hover, .finder li button:focus { background: #eef2f1; }
.tree-summary { margin: 6px 0 10px; max-width: none; font-size: 14px; }
.level { position: relative; background: #f1f3f2; border-radius: 4px; overflow: hidden; }
.level + .level { margin-top: 4px; }
.level-0 { height: 150px; } .level-1 { height: 110px; }
.level button { position: absolute; top: 0; bottom: 0; border: 0; padding: 5px 0 0; margin: 0;
  cursor: pointer; border-right: 1px solid #fff; color: #fff; font-size: 12px; text-align: center;
  overflow: hidden; display: flex; justify-content: center; align-items: flex-start;
  font-variant-numeric: tabular-nums; }
.level button.light { color: var(--ink); }
.level button.bundle { opacity: 0.8; }
.level button:hover { filter: brightness(1.12); }
:focus-visible { outline: 3px solid #1d4ed8; outline-offset: 1px; }
.level button:focus-visible { outline-offset: -3px; outline-color: #fff;
  box-shadow: inset 0 0 0 6px #1d4ed8; }
.tree-items { margin-top: 14px; } .tree-items h3 { margin: 0 0 4px; }
.tree-items ul { columns: 2; column-gap: 28px; }
.tree-items li { break-inside: avoid; padding: 3px 6px; border-radius: 4px; }
.tree-items li.marked { background: #fff3d6; }
.tree-items i { display: inline-block; width: 9px; height: 9px; border-radius: 2px; margin-right: 7px; }
.tree-items .title { color: var(--ink); } .tree-items li .soft { display: block; padding-left: 16px; }
.tip { position: absolute; z-index: 2; pointer-events: none; background: #1c2526; color: #fff;
  border-radius: 6px; padding: 7px 11px; font-size: 13px; line-height: 1.4; max-width: 420px; }
.tip b, .tip span { display: block; } .tip span { color: #d5dddc; }
@media (max-width: 900px) { .side { grid-template-columns: 1fr; } .tree-items ul { columns: 1; } }
"""
