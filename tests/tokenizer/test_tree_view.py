"""The tree of the page: what it is told adds up, stays bounded, and is drawn by a browser."""

import json
import re
import subprocess
from collections import Counter
from html import escape
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from higr.html import page
from higr.tokenizer import tree_view
from higr.tokenizer.figures import OTHER, palette
from higr.tokenizer.report_style import CSS
from higr.tokenizer.tree_view import TreeItems, tree_element, tree_note, tree_payload, tree_script
from tests.tools import require

HOSTILE = "</script><img src=x onerror=\"document.title='owned'\">"


def small() -> TreeItems:
    """12-34 holds three items, 12-9 one, 7-0 two."""
    return TreeItems(
        np.array([[12, 34, 1], [7, 0, 0], [12, 34, 2], [12, 9, 0], [7, 0, 5], [12, 34, 2]]),
        ["v0", "v1", "v2", "v3", "v4", "v5"],
        ["Slow broth", "Late goal", HOSTILE, "Ferry at dusk", "", "Fast noodles"],
        ["food", "sport", "food", "<b>travel</b>", "sport", "food"],
        np.array([1, 0, 2, 0, 3, 5]),
    )


def test_payload_by_hand() -> None:
    colors = palette(["food", "sport"])
    payload = tree_payload(small(), 64, colors)
    assert (payload["codes"], payload["size"], payload["deepest"], payload["whole"]) == (3, 64, 2, True)
    assert payload["categories"] == ["food", "sport", "<b>travel</b>"]  # most frequent first
    assert payload["colors"] == [colors["food"], colors["sport"], OTHER]
    nodes = payload["nodes"]
    assert nodes["parent"] == [-1, 0, 0, 1, 2, 2]
    assert nodes["code"] == [-1, 7, 12, 0, 9, 34]
    assert nodes["items"] == [6, 2, 4, 2, 1, 3]
    assert nodes["engaged"] == [11, 3, 8, 3, 0, 8]
    assert nodes["mix"] == [[0, 3, 1, 2, 2, 1], [1, 2], [0, 3, 2, 1], [1, 2], [2, 1], [0, 3]]
    items = payload["items"]
    assert items["id"] == ["v4", "v1", "v3", "v5", "v2", "v0"]  # by prefix, the most engaged first
    assert items["node"] == [3, 3, 4, 5, 5, 5]
    assert items["codes"][-1] == "12-34-1"


@st.composite
def catalogues(draw: st.DrawFn) -> TreeItems:
    size, depth, count = draw(st.integers(1, 5)), draw(st.integers(2, 4)), draw(st.integers(1, 30))
    rng = np.random.default_rng(draw(st.integers(0, 2**31)))
    return TreeItems(
        rng.integers(size, size=(count, depth)),
        [f"v{row}" for row in range(count)],
        [f"title {row}" for row in range(count)],
        [f"c{label}" for label in rng.integers(3, size=count)],
        rng.integers(4, size=count),
    )


@settings(max_examples=50, deadline=None)
@given(catalogues(), st.booleans(), st.integers(1, 12))
def test_payload_against_brute_force(items: TreeItems, whole: bool, most: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tree_view, "WHOLE", 30 if whole else 0)
        patch.setattr(tree_view, "NODES", most)
        payload = tree_payload(items, 5, {})
    depth = items.codes.shape[1] - 1 if whole else min(2, items.codes.shape[1] - 1)
    held = Counter(tuple(code[:d]) for code in items.codes.tolist() for d in range(1, depth + 1))
    nodes = payload["nodes"]
    prefixes: list[tuple[int, ...]] = [()]
    for parent, code in zip(nodes["parent"][1:], nodes["code"][1:], strict=True):
        prefixes.append((*prefixes[parent], code))
    assert len(set(prefixes)) == len(prefixes)
    for prefix, count, engaged, mix in zip(
        prefixes[1:], nodes["items"][1:], nodes["engaged"][1:], nodes["mix"][1:], strict=True
    ):
        under = (items.codes[:, : len(prefix)] == prefix).all(axis=1)
        assert count == held[prefix] == under.sum()
        assert engaged == items.engagement[under].sum()
        labels = Counter(label for label, row in zip(items.categories, under, strict=True) if row)
        assert {payload["categories"][mix[i]]: mix[i + 1] for i in range(0, len(mix), 2)} == labels
    kept = sorted((held[prefix] for prefix in prefixes[1:]), reverse=True)
    assert kept == sorted(held.values(), reverse=True)[: None if whole else most]
    if whole:
        assert sorted(payload["items"]["id"]) == sorted(items.item_ids)
    for item, node in zip(payload["items"]["id"], payload["items"]["node"], strict=True):
        assert prefixes[node] == tuple(items.codes[items.item_ids.index(item), :depth])


def test_a_large_catalogue_stays_light() -> None:
    rng = np.random.default_rng(0)
    count = 60_000
    items = TreeItems(
        rng.integers(256, size=(count, 3)),
        [f"v{row}" for row in range(count)],
        ["a title of some length, as titles are, and then some more of it to be cut" * 2] * count,
        [f"c{label}" for label in rng.integers(40, size=count)],
        rng.integers(9, size=count),
    )
    payload = tree_payload(items, 256, {})
    assert not payload["whole"]
    assert len(payload["nodes"]["code"]) == tree_view.NODES + 1
    assert max(Counter(payload["items"]["node"]).values()) <= tree_view.SAMPLE
    assert len(tree_element(items, 256, {}, "")) < 4_000_000
    assert "4,000 largest prefixes" in tree_note(count)
    assert tree_note(20_000) == ""


def test_titles_cannot_end_the_script_element() -> None:
    html = tree_element(small(), 64, {}, "<p>static</p>")
    assert html.count("</script>") == 1
    assert "<img" not in html
    found = re.search(r'id="tree-data">(.*)</script>', html)
    assert found is not None
    assert HOSTILE in json.loads(found[1])["items"]["title"]
    assert "</" not in tree_script()


def dump(path: Path, address: str = "") -> str:
    """The document as Chromium has it once scripts have run."""
    done = subprocess.run(
        [
            require("chromium"),
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            f"--user-data-dir={path.parent / 'profile'}",
            "--virtual-time-budget=2000",
            "--window-size=1440,900",
            "--dump-dom",
            f"{path.as_uri()}{address}",
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    return done.stdout


def written(tmp_path: Path, then: str = "", items: TreeItems | None = None) -> Path:
    """A page with the tree alone; `then` is run after its script."""
    items = items or small()
    path = tmp_path / "tree.html"
    body = tree_element(items, 64, palette(items.categories), "<p>static picture</p>")
    path.write_text(page("Tree", body, CSS, f"{tree_script()}\n{then}"), encoding="utf-8")
    return path


def seen(dom: str) -> str:
    """What the tree shows: the element without the data beside it."""
    return dom[dom.index('id="tree"') : dom.index('id="tree-data"')]


TELL = """
document.body.append(Object.assign(document.createElement("pre"), { textContent: seen.join(" | ") }));
"""


def told(dom: str) -> list[str]:
    """What `TELL` wrote, as HTML."""
    return re.findall(r"<pre>(.*)</pre>", dom, re.S)


def test_the_address_opens_a_prefix_in_a_browser(tmp_path: Path) -> None:
    dom = dump(written(tmp_path), "#12-34")
    tree = seen(dom)
    assert "static picture" not in tree
    assert "<b>Prefix 12-34</b>: 3 items, 72.7% of engagement. food 100%." in tree
    assert tree.index("Fast noodles") < tree.index("&lt;img src=x onerror") < tree.index("Slow broth")
    assert "Ferry at dusk" not in tree
    assert "v5 · 12-34-2 · food · 5 engaged" in tree
    assert "<img" not in tree
    assert "<title>Tree</title>" in dom


def test_hands_move_through_the_tree_in_a_browser(tmp_path: Path) -> None:
    """Click, arrow keys, Enter, Escape and search; what was in focus is written down after each."""
    steps = """
    const seen = [], tree = document.getElementById("tree");
    const note = () => seen.push(tree.querySelector(".tree-summary b").textContent);
    const press = (key, at) => at.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
    note();
    const first = tree.querySelector(".level-0 button");
    seen.push(first.getAttribute("aria-label"));
    first.focus();
    press("ArrowRight", document.activeElement);
    press("ArrowDown", document.activeElement);
    seen.push(document.activeElement.getAttribute("aria-label").split(":")[0]);
    seen.push(tree.querySelectorAll('.icicle [tabindex="0"]').length + " stop");
    document.activeElement.dispatchEvent(new MouseEvent("mouseenter"));
    seen.push(tree.querySelector(".tip b").textContent);
    document.activeElement.click();
    note();
    seen.push(location.hash);
    press("Escape", tree.querySelector(".crumbs button"));
    note();
    tree.querySelector(".crumbs button").click();
    note();
    const search = tree.querySelector("input");
    search.value = "FERRY";
    search.dispatchEvent(new Event("input"));
    press("Enter", search);
    note();
    seen.push(tree.querySelector(".marked .title").textContent);
    """
    assert told(dump(written(tmp_path, steps + TELL))) == [
        "All items | 12: 4 items, 72.7% of engagement: food 75%, &lt;b&gt;travel&lt;/b&gt; 25% | 7-0 | "
        "1 stop | 7-0 | Prefix 7-0 | #7-0 | Prefix 7 | All items | Prefix 12-9 | Ferry at dusk"
    ]


def test_prefixes_too_narrow_to_point_at_open_as_one(tmp_path: Path) -> None:
    """2,000 items of as many first codes on 1,084 pixels: 0.5 pixels each, bundles of 36 or a little more."""
    count = 2_000
    ids = [f"v{row}" for row in range(count)]
    codes = np.column_stack([np.arange(count), np.zeros(count, np.int64)])
    items = TreeItems(codes, ids, ids, ["one"] * count, np.zeros(count, np.int64))
    steps = """
    const seen = [], tree = document.getElementById("tree");
    const widths = () => [...tree.querySelectorAll(".level-0 button")].map((one) => one.offsetWidth);
    const all = tree.querySelectorAll(".level-0 button");
    seen.push(Math.min(...widths().slice(0, -1)) >= 35);
    seen.push([...all].reduce((sum, one) => sum + parseInt(one.ariaLabel), 0));
    all[0].click();
    const inside = parseInt(all[0].textContent);
    seen.push(tree.querySelector(".tree-summary b").textContent === `${inside} small prefixes, mostly one`);
    seen.push(tree.querySelectorAll(".level-0 button").length === inside);
    tree.querySelector(".level-0 button").click();
    seen.push(tree.querySelector(".tree-summary b").textContent);
    seen.push(tree.querySelectorAll(".tree-items li").length);
    """
    assert told(dump(written(tmp_path, steps + TELL, items))) == ["true | 2000 | true | true | Prefix 0 | 1"]


def test_the_tree_works_in_a_sandboxed_frame(tmp_path: Path) -> None:
    """As Kubeflow shows artifacts: scripts are allowed, an address and an origin are not there."""
    steps = """
    document.querySelector(".level-0 button").click();
    parent.postMessage(document.querySelector(".tree-summary b").textContent, "*");
    """
    inner = written(tmp_path, steps).read_text(encoding="utf-8")
    path = tmp_path / "outer.html"
    path.write_text(
        '<body><script>addEventListener("message", (event) => { const seen = [event.data];'
        f'{TELL}}});</script><iframe sandbox="allow-scripts" srcdoc="{escape(inner)}"></iframe></body>',
        encoding="utf-8",
    )
    assert told(dump(path)) == ["Prefix 12"]
