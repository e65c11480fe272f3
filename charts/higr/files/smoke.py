"""Ask a running HiGR endpoint for the slate of a user nobody knows; exit 1, saying why, unless it is good.

python smoke.py http://higr-transformer.models
"""

import json
import os
import sys
import urllib.error
import urllib.request

SIZE = 5


def ask(url: str, size: int) -> list[str]:
    """Return the items of one slate, in order."""
    instance = {"user_id": "helm-test", "slate_size": size}
    body = json.dumps({"instances": [instance]}).encode()
    headers = {"Content-Type": "application/json"}
    if token := os.environ.get("HIGR_TOKEN"):
        headers["Authorization"] = f"Bearer {token}"
    request = urllib.request.Request(f"{url}/v1/models/higr:predict", body, headers)
    with urllib.request.urlopen(request, timeout=10) as response:
        (prediction,) = json.load(response)["predictions"]
    return [str(item["item_id"]) for item in prediction["items"]]


def main() -> int:
    url = sys.argv[1]
    try:
        items = ask(url, SIZE)
    except (urllib.error.URLError, OSError, KeyError, TypeError, ValueError) as error:
        sys.stderr.write(f"no slate from {url}: {type(error).__name__}: {error}\n")
        return 1
    if len(items) != SIZE or len(set(items)) != SIZE:
        sys.stderr.write(f"asked for {SIZE} different items, got {items}\n")
        return 1
    sys.stdout.write(f"slate of {SIZE} items: {' '.join(items)}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
