"""The slate explorer, in a real browser against real servers.

whole   everything on: features, a policy, every title an attack
bare    the page without /debug/slate, and no predictor behind it
off     as a server is by itself
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from higr.bundle import Bundle
from higr.catalog_update import Changes, update_bundle
from higr.data.schemas import ITEMS
from serving.explorer import _page
from tests.browser import Page, browser
from tests.serving.process import Server, free_port

pytestmark = pytest.mark.slow

HOSTILE = "</script><img src=x onerror=\"document.title='owned'\">"
PEOPLE = ("u0000001", "u0000002")
SECRET = "somebody-of-whom-no-log-may-speak"


@pytest.fixture(scope="module")
def hostile(bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """Every title, and one category, closes elements and opens others."""
    folder = tmp_path_factory.mktemp("hostile")
    items = bundle.items.select(ITEMS.names).to_pydict()
    items["text"] = [f"{HOSTILE} {text}" for text in items["text"]]
    items["category"] = [f"<b>{name}</b>" if name == "Music" else name for name in items["category"]]
    pq.write_table(pa.table(items, schema=ITEMS), folder / "items.parquet")
    update_bundle(bundle.path, folder / "bundle", Changes(items=folder / "items.parquet"), lambda *_: None)
    return Bundle.open(folder / "bundle")


@pytest.fixture(scope="module")
def servers(
    hostile: Bundle, store: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Server]]:
    folder = tmp_path_factory.mktemp("servers")
    rules = [
        {"name": "one-each", "kind": "at_most", "items": 1, "per": "category"},
        {"name": "ad", "kind": "sponsored", "position": 2, "items": ["v0000150"], "disclosure": "<i>Ad</i>"},
        {"name": "quiet", "kind": "block", "items": ["v0000001"], "when": {"surface": ["quiet"]}},
    ]
    (folder / "policy.yaml").write_text(json.dumps({"rules": rules}))
    (folder / "whole.yaml").write_text(
        f"debug: {{explorer: true, slate: true, users: [{', '.join(PEOPLE)}]}}"
    )
    (folder / "bare.yaml").write_text("debug: {explorer: true}")
    common = ["--bundle", str(hostile.path), "--policy", str(folder / "policy.yaml"), "--deadline-ms", "8000"]
    apart = [*common, "--role", "transformer", "--predictor-host", f"127.0.0.1:{free_port()}"]
    made = {
        "whole": Server(
            folder, "higr", [*common, "--features", str(store), "--config", str(folder / "whole.yaml")]
        ),
        "bare": Server(
            folder,
            "higr",
            [*apart, "--config", str(folder / "bare.yaml"), "--log-dir", str(folder / "log")],
        ),
        "off": Server(folder, "higr", apart),
    }
    try:
        for server in made.values():
            server.wait()
        yield made
    finally:
        for server in made.values():
            server.stop()


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with browser(tmp_path_factory.mktemp("browser")) as page:
        yield page


@pytest.fixture
def page(tab: Page) -> Iterator[Page]:
    """A tab that has nothing to complain of when the test is done."""
    tab.open("about:blank")
    tab.look(1280, 900)
    tab.complaints.clear()
    tab.asked.clear()
    yield tab
    assert tab.complaints == []


def address(server: Server, fragment: str = "") -> str:
    return f"http://127.0.0.1:{server.port}/explorer{fragment}"


def explore(page: Page, server: Server, fragment: str) -> None:
    """Opens a view and waits for its slate."""
    page.open("about:blank")
    page.open(address(server, fragment))
    settled(page)


def settled(page: Page) -> None:
    page.until("document.querySelector('.verdict, .problem:not([hidden])')")
    page.until("!document.querySelector('[aria-busy]')")


def cards(page: Page) -> list[str]:
    """Item ids, first shown first."""
    return list(page.value("[...document.querySelectorAll('.card .id')].map((one) => one.textContent)"))


def marks(page: Page) -> dict[str, str]:
    """What is said of the move of each item that moved."""
    return dict(
        page.value(
            "[...document.querySelectorAll('.card')].filter((card) => card.querySelector('.move'))"
            ".map((card) => [card.querySelector('.id').textContent, card.querySelector('.move').textContent])"
        )
    )


# ---- on the wire ----


@pytest.mark.parametrize("path", ["/explorer", "/explorer/settings", "/debug/slate"])
def test_off_there_is_nothing(servers: dict[str, Server], path: str) -> None:
    assert servers["off"].client.get(path).status_code == 404
    body = {"instances": [{"user_id": "u"}]}
    assert servers["off"].client.post(path, json=body).status_code == 404
    assert "debug_pages_on" not in servers["off"].log.read_text()
    assert "event=debug_pages_on" in servers["whole"].log.read_text()


def test_the_page_alone_does_not_bring_what_lies_behind_it(servers: dict[str, Server]) -> None:
    body = {"instances": [{"user_id": "u"}]}
    assert servers["bare"].client.post("/debug/slate", json=body).status_code == 404
    assert servers["bare"].client.get("/explorer/settings").json()["debug"] is False


def test_headers_let_nobody_keep_or_embed(servers: dict[str, Server]) -> None:
    client = servers["whole"].client
    body = {"instances": [{"user_id": "u"}]}
    page, settings = client.get("/explorer"), client.get("/explorer/settings")
    for answer in (page, settings, client.post("/debug/slate", json=body)):
        assert answer.status_code == 200
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["cross-origin-resource-policy"] == "same-origin"
    policy = dict(part.strip().split(" ", 1) for part in page.headers["content-security-policy"].split(";"))
    assert policy["default-src"] == policy["base-uri"] == policy["form-action"] == "'none'"
    assert policy["frame-ancestors"] == "'none'"
    assert policy["connect-src"] == "'self'"
    assert re.fullmatch(r"'sha256-[A-Za-z0-9+/]{43}='", policy["script-src"])
    assert re.fullmatch(r"'sha256-[A-Za-z0-9+/]{43}='", policy["style-src"])


def test_the_document_needs_nothing_from_anywhere() -> None:
    document, _ = _page()
    assert document.count("<script") == document.count("</script>") == 1
    assert "<!--" not in document
    assert not re.search(
        r"https?://|src=|innerHTML|outerHTML|insertAdjacent|document\.write|eval\(", document
    )
    assert not re.search(r"\son\w+=|\sstyle=", document.partition("<script>")[0])


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b"{", "body"),
        (b'{"instances": [{"user_id": "u", "slate_size": 11}]}', "instances[0].slate_size"),
        (b'{"instances": [{"user_id": "u", "x": 1}]}', "instances[0].x"),
    ],
)
def test_bad_requests_name_the_field(servers: dict[str, Server], body: bytes, field: str) -> None:
    answer = servers["whole"].client.post("/debug/slate", content=body)
    assert (answer.status_code, answer.json()["field"]) == (400, field)


def test_what_is_told_is_what_clients_get(servers: dict[str, Server]) -> None:
    instance = {"user_id": PEOPLE[0], "slate_size": 4, "request_id": "r", "explain": True}
    told = servers["whole"].client.post("/debug/slate", json={"instances": [instance]}).json()["slates"][0]
    assert told["answer"] == servers["whole"].predict(instance)[0]
    assert told["answer"]["source"] == "higr"
    assert told["context"]["source"] == "store"


# ---- in the browser ----


def test_an_address_opens_a_view(page: Page, servers: dict[str, Server]) -> None:
    explore(page, servers["whole"], f"#user={PEOPLE[0]}&size=4&surface=home")
    (expected,) = servers["whole"].predict({"user_id": PEOPLE[0], "slate_size": 4, "surface": "home"})
    assert cards(page) == [item["item_id"] for item in expected["items"]]
    assert [
        page.value(f"document.getElementById('{name}').value") for name in ("user", "size", "surface")
    ] == [
        PEOPLE[0],
        "4",
        "home",
    ]
    assert page.text(".verdict h2") == f"4 items for {PEOPLE[0]}"
    assert page.text(".badge") == "HiGR"
    assert expected["model_version"] in page.text(".verdict")
    assert marks(page) == {}
    assert re.search(r"features\s+[\d.]+ ms\s+predictor\s+[\d.]+ ms", page.text(".latency"))
    origin = f"http://127.0.0.1:{servers['whole'].port}/"
    fetched = [one for one in page.asked if one != "about:blank"]
    assert {one.removeprefix(origin).partition("#")[0] for one in fetched} == {
        "explorer",
        "explorer/settings",
        "debug/slate",
    }


def test_titles_and_ids_are_text(page: Page, servers: dict[str, Server]) -> None:
    explore(page, servers["whole"], f"#user={PEOPLE[0]}")
    assert page.text(".card h3").startswith(HOSTILE)
    user, item = quote(f"<b>{HOSTILE}"), quote(f"<u>{HOSTILE}")
    explore(page, servers["whole"], f"#user={user}&exclude={item}&surface={user}")
    assert page.text(".verdict h2") == f"5 items for <b>{HOSTILE}"
    assert f"<u>{HOSTILE}" in page.text("#excluded")
    assert page.text(".card .sold") == "<i>Ad</i>"
    assert page.value("document.querySelectorAll('img, main script, .card b, h2 b b, u, i').length") == 0
    assert page.value("document.title") == "Slate explorer"


def test_no_other_script_runs(tab: Page, servers: dict[str, Server]) -> None:
    explore(tab, servers["whole"], "#user=u")
    tab.complaints.clear()
    tab.value(
        "const make = (tag, what) => Object.assign(document.createElement(tag), what);"
        "document.body.append(make('script', { textContent: 'document.title = 1' }),"
        " make('img', { src: 'https://example.org/x' }))"
    )
    tab.until("document.querySelector('img').complete")
    assert tab.value("document.title") == "Slate explorer"
    assert len(tab.complaints) == 2
    assert all("Content Security Policy" in complaint for complaint in tab.complaints)


def test_a_click_leaves_an_item_out_and_what_moved_is_marked(page: Page, servers: dict[str, Server]) -> None:
    page.open(address(servers["whole"]))
    page.until("document.querySelector('#users button')")
    assert page.text("#users").split("\n")[1:] == list(PEOPLE)
    page.click("#users button")
    settled(page)
    first = cards(page)
    page.click(".card:nth-child(1)", 0.5, 0.3)  # the title: the whole card is the button
    page.until("document.querySelector('.gone')")
    second = cards(page)
    (expected,) = servers["whole"].predict(
        {"user_id": PEOPLE[0], "constraints": {"exclude_items": first[:1]}}
    )
    assert second == [item["item_id"] for item in expected["items"]]
    assert first[0] not in second
    for item, mark in marks(page).items():
        place = first.index(item) - second.index(item) if item in first else None
        assert mark == ("new" if place is None else f"{'▲' if place > 0 else '▼'} {abs(place)}")
    assert set(second) - set(first) <= set(marks(page))
    moved = {item for item in second if item in first and first.index(item) != second.index(item)}
    assert set(marks(page)) == moved | (set(second) - set(first))
    assert page.text(".gone li").startswith("gone")
    assert page.text(".gone li").endswith("was 1, left out by you")
    assert page.value("location.hash") == f"#user={PEOPLE[0]}&exclude={first[0]}"

    page.value("history.back()")
    page.until(f"document.querySelector('.card .id').textContent === '{first[0]}'")
    settled(page)
    assert cards(page) == first
    page.value("history.forward()")
    page.until("document.querySelector('#excluded .chip') && document.querySelector('.gone')")
    page.click("#excluded .chip")
    page.until(f"document.querySelector('.card .id').textContent === '{first[0]}'")
    assert cards(page) == first
    assert page.value("location.hash") == f"#user={PEOPLE[0]}"


def test_a_longer_slate_and_what_was_seen(page: Page, servers: dict[str, Server]) -> None:
    explore(page, servers["whole"], f"#user={PEOPLE[0]}&size=3")
    before = cards(page)
    page.click("#size")
    page.type("6")
    page.until("document.querySelectorAll('.card').length === 6")
    assert set(cards(page)) - set(before) <= {item for item, mark in marks(page).items() if mark == "new"}
    page.click("#seen")
    page.until("location.hash.includes('seen=keep')")
    settled(page)
    instance = {"user_id": PEOPLE[0], "slate_size": 6, "constraints": {"exclude_seen": False}}
    assert cards(page) == [item["item_id"] for item in servers["whole"].predict(instance)[0]["items"]]
    page.click("#size")
    page.type("99")
    page.until("!document.querySelector('#problem').hidden")
    assert page.text("#problem") == "instances[0].slate_size: Input should be less than or equal to 50"
    page.complaints.clear()  # the browser's own line of the 400


def test_hands_on_the_keys_are_enough(page: Page, servers: dict[str, Server]) -> None:
    page.open(address(servers["whole"]))
    page.until("document.querySelector('#users button')")
    while page.value("document.activeElement.id") != "user":
        page.press("Tab")
    page.type(PEOPLE[1])
    page.press("Enter")
    settled(page)
    first = cards(page)
    reached = []
    for _ in range(20):
        page.press("Tab")
        reached.append(page.value("document.activeElement.ariaLabel || document.activeElement.id"))
        if reached[-1].startswith("Leave out"):
            break
    assert {"size", "surface", "seen", "explain"} <= set(reached)
    assert page.value("document.activeElement.matches(':focus-visible')")
    assert page.value("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    page.press("Enter")
    page.until("document.querySelector('.gone')")
    settled(page)
    assert first[0] not in cards(page)
    assert page.value("document.activeElement.closest('.card').querySelector('.place').textContent") == "1"
    assert re.fullmatch(r"5 items by HiGR, \d new", page.value("document.getElementById('said').textContent"))


def test_the_policy_says_what_it_removed(page: Page, servers: dict[str, Server]) -> None:
    explore(page, servers["whole"], f"#user={PEOPLE[0]}&size=8")
    instance = {"user_id": PEOPLE[0], "slate_size": 8}
    told = servers["whole"].client.post("/debug/slate", json={"instances": [instance]}).json()["slates"][0]
    removed = [item for item, rules in told["decision"]["removed"].items() if "one-each" in rules]
    assert removed
    rules = page.value("[...document.querySelectorAll('.rule')].map((rule) => rule.innerText)")
    assert [rule.split("\n")[0] for rule in rules] == ["one-each holds", "ad holds", "quiet does not hold"]
    titles = {item["item_id"]: item["title"] for item in told["rungs"]["higr_without_policy"]["items"]}
    assert all(titles[item] in rules[0] for item in removed)
    assert "when surface is quiet" in rules[2]
    assert page.value("document.querySelectorAll('.ruled-out').length") == len(told["decision"]["removed"])
    page.click("#explain")
    page.until("document.getElementById('policy').hidden")
    assert page.value("location.hash").endswith("explain=no")


def test_rungs_stand_side_by_side_and_history_below(page: Page, servers: dict[str, Server]) -> None:
    explore(page, servers["whole"], f"#user={PEOPLE[0]}")
    instance = {"user_id": PEOPLE[0]}
    told = servers["whole"].client.post("/debug/slate", json={"instances": [instance]}).json()["slates"][0]
    heads = page.value("[...document.querySelectorAll('.column h3')].map((one) => one.innerText.trim())")
    assert heads == ["HiGR the answer", "HiGR without the policy", "Baseline", "Popular"]
    columns = page.value(
        "[...document.querySelectorAll('.column')].map((column) =>"
        " [...column.querySelectorAll('li')].map((line) => line.innerText))"
    )
    names = ("higr", "higr_without_policy", "baseline", "popular")
    shown = {item["item_id"] for item in told["answer"]["items"]}
    dots = page.value(
        "[...document.querySelectorAll('.column')].map((one) => one.querySelectorAll('.dot').length)"
    )
    for name, lines, dotted in zip(names, columns, dots, strict=True):
        rung = told["rungs"][name]["items"]
        assert len(lines) == len(rung) == 5
        assert all(item["title"] in line for item, line in zip(rung, lines, strict=True))
        assert dotted == sum(item["item_id"] in shown for item in rung)
    history = told["context"]["history"]
    assert page.value("document.querySelectorAll('.history li').length") == min(12, len(history))
    levels = ["negative", "exposed", "engaged", "strong"]
    assert page.text(".history li").split("\n")[0] == levels[history[0]["feedback"]]
    assert f"Context from the feature store, {len(history)} items of history" in page.text("#context")


def test_one_prefix_has_one_colour(page: Page, servers: dict[str, Server]) -> None:
    explore(page, servers["whole"], f"#user={PEOPLE[0]}&size=10")
    boxes = page.value(
        "[...document.querySelectorAll('.codes .prefix')]"
        ".map((box) => [box.dataset.prefix, getComputedStyle(box).backgroundColor])"
    )
    colours: dict[str, set[str]] = {}
    for prefix, colour in boxes:
        colours.setdefault(prefix, set()).add(colour)
    assert all(len(found) == 1 for found in colours.values())
    first = {prefix: found for prefix, found in colours.items() if "-" not in prefix}
    assert len(first) > 1
    assert len(set.union(*first.values())) == len(first)
    assert page.value("document.querySelectorAll('.codes > .prefix > .prefix > .prefix').length") >= 10
    shared = page.value("document.querySelector('.shared [data-prefix]')?.dataset.prefix")
    page.value("document.querySelector('.shared [data-prefix]').focus()")
    marked = page.value("[...document.querySelectorAll('.prefix.same')].map((box) => box.dataset.prefix)")
    assert len(marked) > 2
    assert set(marked) == {shared}


READABLE = """
(() => {
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const rgba = (colour) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const light = (colour) => {
    const [r, g, b] = rgba(colour).map((part) => part / 255)
      .map((part) => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = (at) => {
    for (; at; at = at.parentElement) {
      const colour = getComputedStyle(at).backgroundColor;
      if (rgba(colour)[3] === 255) return colour;
    }
    return "white";
  };
  const poor = [];
  for (const at of document.querySelectorAll("body *")) {
    const own = [...at.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
    if (!own || !at.checkVisibility() || at.closest(".unseen, script")) continue;
    const [a, b] = [light(getComputedStyle(at).color), light(ground(at))];
    const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (contrast < 4.5) poor.push(`${at.className || at.tagName} ${contrast.toFixed(2)}: ${at.textContent}`);
  }
  return poor;
})()
"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 768, 1280])
def test_every_text_can_be_read_and_nothing_is_cut_off(
    page: Page, servers: dict[str, Server], scheme: str, width: int
) -> None:
    """WCAG AA: 4.5 to 1 between text and ground."""
    page.look(width, 800, scheme)
    explore(page, servers["whole"], f"#user={PEOPLE[0]}&size=6")
    dark = page.value("getComputedStyle(document.body).backgroundColor") == "rgb(17, 24, 23)"
    assert dark == (scheme == "dark")
    page.click(".card:nth-child(1)", 0.5, 0.3)
    page.until("document.querySelector('.gone')")
    settled(page)
    assert page.value(READABLE) == []
    assert page.value("document.documentElement.scrollWidth") <= width


def test_without_what_lies_behind_it_the_page_asks_as_a_client_does(
    page: Page, servers: dict[str, Server]
) -> None:
    explore(page, servers["bare"], f"#user={SECRET}&size=3")
    (expected,) = servers["bare"].predict({"user_id": SECRET, "slate_size": 3})
    assert cards(page) == [item["item_id"] for item in expected["items"]]
    assert page.value("[...document.querySelectorAll('.badge')].map((one) => one.textContent)") == [
        "Baseline",
        "degraded",
    ]
    assert "Not HiGR: the predictor is not there." in page.text(".why")
    assert page.value("['rungs', 'context'].every((id) => document.getElementById(id).hidden)")
    assert "No rule removes anything here." in page.text("#policy")
    assert "there and back included" in page.text("#slate")
    explore(page, servers["bare"], f"#user={SECRET}&surface=quiet")
    assert "1 item removed, the most popular: v0000001" in page.text("#policy")


def test_a_server_that_asks_for_a_token_gets_one(page: Page, servers: dict[str, Server]) -> None:
    """Whoever stands before this server and refuses what has none: in the browser, one that does."""
    made = page.call(
        "Page.addScriptToEvaluateOnNewDocument",
        source="""
        const real = window.fetch;
        window.fetch = (path, options) => options.headers.authorization === "Bearer right"
          ? real(path, options)
          : Promise.resolve(new Response('{"error": "a token is due"}', { status: 401 }));
        """,
    )
    try:
        page.open("about:blank")
        page.open(address(servers["whole"], f"#user={PEOPLE[0]}"))
        for token in ("wrong", "right"):
            page.until(
                "!document.getElementById('access').hidden && !document.getElementById('problem').hidden"
            )
            assert page.text("#problem") == "a token is due"
            assert page.value("document.activeElement.id") == "token"
            page.type(token)
            page.press("Enter")
        settled(page)
        page.until("document.querySelectorAll('.card').length === 5")
        assert page.value("document.getElementById('access').hidden")
        assert page.value("location.href").endswith(f"/explorer#user={PEOPLE[0]}")
    finally:
        page.call("Page.removeScriptToEvaluateOnNewDocument", identifier=made["identifier"])


def test_no_user_is_in_a_log(servers: dict[str, Server]) -> None:
    """Last: of all that was asked above, and of what is refused."""
    instance: dict[str, Any] = {"user_id": SECRET, "slate_size": 99}
    for name, server in servers.items():
        server.post({"instances": [instance]})
        server.client.post("/debug/slate", json={"instances": [instance]})
        server.client.post("/debug/slate", json={"instances": [{"user_id": SECRET}]})
        log = server.log.read_text()
        assert "Uvicorn running" in log
        assert not any(word in log for word in (SECRET, *PEOPLE, "Traceback")), name
