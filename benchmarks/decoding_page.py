"""The Markdown of the decoding benchmark."""

from typing import Any

from benchmarks.decoding_growth import CONSTRAINTS
from benchmarks.decoding_systems import TITLES
from benchmarks.pages import Tables, markdown

AXES = {
    "slate": "items of a slate, M",
    "beam": "beam width, W",
    "batch": "slates at once",
    "items": "items of the catalogue, N",
    "params": "parameters",
}


def page(document: dict[str, Any]) -> str:
    """All figures of a document."""
    return markdown(_head(document), tables(document))


def tables(document: dict[str, Any]) -> Tables:
    """Rows, ratios, parity, what the limits are made of, growth, constraints."""
    made: Tables = [("One slate, and many at once", _rows(document)), ("Ratios", _ratios(document))]
    if document["parity"]:
        made.append(("Engines against the reference, on a trained bundle", _parity(document)))
    for found in document["profile"]:
        title = f"Where the milliseconds of a slate go, {found['parameters'] / 1e6:.1f}M parameters"
        made.append((title, _profile(found["parts"])))
    made.append(("What a limit is made of", _limits(document)))
    for axis, title in AXES.items():
        made.append((f"How the time grows with {title}", _growth(axis, document["growth"][axis])))
    made.append(("What constraints add to a slate", _constraints(document)))
    return made


def _head(document: dict[str, Any]) -> str:
    on, shape = document["machine"], document["shape"]
    calls = document["calls"]
    lines = [
        f"Slates of {shape['slate']} from {shape['items']:,} items of {shape['depth']} codes below "
        f"{shape['codebook_size']}, beam {shape['beam']}, history {shape['history']}, random weights, random "
        f"codes. {on['cpu']}, {on['cores']} cores, torch {on['torch']}, transformers "
        f"{on['transformers']}, {on['gpu'] or 'no GPU'}. Preset {document['preset']}, seed "
        f"{document['seed']}. Made by `{document['command']}`"
        + (", which adds GPU rows on a machine that has one." if on["gpu"] is None else "."),
        "",
        f"Every system answers the same {calls} users in turns, after {document['warm_up']} that do not "
        "count. A time runs from user contexts to item ids. No slate may hold an item of the user's history; "
        "`valid` is the share of slates of the right length, of distinct items that are in the catalogue and "
        "not in the history. A thread is a process of one torch thread.",
        "",
        "Over limit: p50 over the larger of counted FLOPs at the speed of a matrix product and counted bytes "
        "at the speed of reading a buffer of the model's size, both measured in this run "
        "(`benchmarks/decoding_work.py` says what is counted).",
        "",
        *(f"- `{name}`: {title}." for name, title in TITLES.items()),
        "",
        "Without keys and values kept, both sides run all layers over all tokens of every beam at every step "
        "and project the context's keys and values anew at every step; the encoder's output is kept by both.",
    ]
    return "\n".join(lines)


def _rows(document: dict[str, Any]) -> list[tuple[str, ...]]:
    head = (
        "system",
        "engine",
        "device",
        "threads",
        "parameters",
        "batch",
        "p50 ms",
        "p99 ms",
        "slates/s",
        "valid",
        "over limit",
    )
    return [
        head,
        *(
            (
                f"`{row['system']}`",
                row["engine"],
                row["device"],
                str(row["threads"]),
                f"{row['params'] / 1e6:.1f}M",
                str(row["batch"]),
                f"{row['p50_ms']:,.1f}",
                f"{row['p99_ms']:,.1f}",
                f"{row['slates_per_s']:,.1f}",
                f"{row['valid_share']:.0%}",
                f"{row['roofline_ratio']:.1f}",
            )
            for row in document["rows"]
        ),
    ]


def _ratios(document: dict[str, Any]) -> list[tuple[str, ...]]:
    """Those of the document are by the fastest engine; the others are given beside them."""
    by_engine = document["ratios_by_engine"]
    names = sorted(document["ratios"])
    head = ("p50 over p50", *sorted(by_engine))
    return [
        head,
        *(
            (f"`{name}`", *(_times(by_engine[engine][name]) for engine in sorted(by_engine)))
            for name in names
        ),
    ]


def _profile(parts: list[dict[str, Any]]) -> list[tuple[str, ...]]:
    whole = {name: sum(part[name] for part in parts) for name in ("steps", "search")}
    return [
        ("part", "search in torch, ms", "search in one call, ms"),
        *((part["part"], f"{part['steps']:.2f}", f"{part['search']:.2f}") for part in parts),
        ("the slate", f"{whole['steps']:.2f}", f"{whole['search']:.2f}"),
    ]


def _times(ratio: float | None) -> str:
    return "" if ratio is None else f"{ratio:.1f}"


def _parity(document: dict[str, Any]) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = [
        ("engine", "identical slates", "overlap@10", "NDCG@5 less the reference's")
    ]
    for engine, parity in sorted(document["parity"].items()):
        delta = parity["ndcg@5_delta"]
        shown = "" if delta is None else f"{delta['mean']:+.5f} ({delta['low']:+.5f} to {delta['high']:+.5f})"
        rows.append((engine, f"{parity['identical']:.1%}", f"{parity['overlap@10']:.1%}", shown))
    return rows


def _limits(document: dict[str, Any]) -> list[tuple[str, ...]]:
    head = ("system", "engine", "parameters", "batch", "weights", "GFLOP", "MB", "limit ms", "bound by")
    return [
        head,
        *(
            (
                f"`{row['system']}`",
                row["engine"],
                f"{row['params'] / 1e6:.1f}M",
                str(row["batch"]),
                limit["kind"],
                f"{limit['gflop']:,.2f}",
                f"{limit['megabytes']:,.0f}",
                f"{limit['limit_ms']:,.2f}",
                limit["bound"],
            )
            for row, limit in zip(document["rows"], document["limits"], strict=True)
        ),
    ]


def _growth(axis: str, rows: list[dict[str, Any]]) -> list[tuple[str, ...]]:
    both = "onerec_kv_ms" in rows[0]
    head = (AXES[axis], "HiGR ms", "HiGR slates/s", *(("OneRec-style ms", "ratio") if both else ()), "valid")
    out: list[tuple[str, ...]] = [head]
    for row in rows:
        shares = [row[key] for key in row if key.endswith("valid_share")]
        flat = (
            (f"{row['onerec_kv_ms']:,.1f}", _times(row["onerec_kv_ms"] / row["higr_kv_ms"])) if both else ()
        )
        out.append(
            (
                f"{row[axis]:,}",
                f"{row['higr_kv_ms']:,.1f}",
                f"{row['higr_kv_slates_per_s']:,.1f}",
                *flat,
                f"{min(shares):.0%}",
            )
        )
    return out


def _constraints(document: dict[str, Any]) -> list[tuple[str, ...]]:
    head = ("items", "engine", "no constraint ms", *CONSTRAINTS)
    return [
        head,
        *(
            (
                f"{row['items']:,}",
                row["engine"],
                f"{row['none']['ms']:.1f}",
                *(f"{row[name]['cost']:+.1%}" for name in CONSTRAINTS),
            )
            for row in document["constraints"]
        ),
    ]
