"""The frame of a report page: one file that needs no other font, style, image or script."""

from html import escape

CSS = """
:root { --ink: #1c2526; --soft: #5d6b6c; --line: #e2e7e6; --ground: #f7f8f6; --good: #0f766e;
  --bad: #b42318; }
* { box-sizing: border-box; }
body { margin: 0; background: var(--ground); color: var(--ink); font: 15px/1.5 system-ui, -apple-system,
  "Segoe UI", Roboto, "Noto Sans", "Helvetica Neue", Arial, sans-serif; }
main { max-width: 1120px; margin: 0 auto; padding: 40px 28px 64px; }
h1 { font-size: 15px; font-weight: 600; color: var(--soft); margin: 0 0 14px; }
h2 { font-size: 19px; margin: 44px 0 6px; letter-spacing: -0.01em; }
p { margin: 4px 0 14px; max-width: 78ch; }
.soft { color: var(--soft); }
.verdict { background: #fff; border: 1px solid var(--line); border-left: 5px solid var(--soft);
  border-radius: 8px; padding: 20px 26px; }
.verdict.good { border-left-color: var(--good); } .verdict.bad { border-left-color: var(--bad); }
.verdict > strong { display: block; font-size: 24px; line-height: 1.3; letter-spacing: -0.015em;
  margin-bottom: 8px; }
.card { background: #fff; border: 1px solid var(--line); border-radius: 8px; padding: 16px 18px; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { padding: 8px 12px; text-align: right; border-top: 1px solid var(--line); }
thead th { border-top: 0; font-size: 13px; font-weight: 600; color: var(--soft); }
th:first-child { text-align: left; } tbody th { font-weight: 600; }
td.pass { color: var(--good); } td.fail { color: var(--bad); font-weight: 600; }
.panels { display: grid; grid-template-columns: repeat(auto-fit, minmax(300px, 1fr)); gap: 14px; }
svg { display: block; width: 100%; height: auto; font-family: inherit; }
@media (max-width: 640px) { main { padding: 24px 14px; } }
"""


def page(title: str, body: str, css: str = "", script: str = "") -> str:
    """A whole document. `title` is escaped; `body` is HTML; `css` is added to the common style.

    `script` is our own and runs once the body stands; what comes from data does not belong in it.
    """
    program = f"<script>{script}</script>" if script else ""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{CSS}{css}</style></head>"
        f"<body><main>{body}</main>{program}</body></html>\n"
    )
