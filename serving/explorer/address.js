// What is asked, as the fragment of the address: #user=u1&size=5&exclude=v1&exclude=v2
// A browser does not send the fragment, so that no log of a server or proxy holds a user id.

function fromAddress() {
  const said = new URLSearchParams(location.hash.slice(1));
  const size = Number(said.get("size"));
  return {
    user: said.get("user") || "",
    size: Number.isInteger(size) && size > 0 ? size : null,
    surface: said.get("surface") || "",
    seen: said.get("seen") !== "keep",
    explain: said.get("explain") !== "no",
    exclude: [...new Set(said.getAll("exclude"))],
  };
}

// Without what is as it is by itself: a short address, and one address for one view.
function toAddress(asked) {
  const said = new URLSearchParams();
  if (asked.user) said.set("user", asked.user);
  if (asked.size) said.set("size", asked.size);
  if (asked.surface) said.set("surface", asked.surface);
  if (!asked.seen) said.set("seen", "keep");
  if (!asked.explain) said.set("explain", "no");
  for (const item of asked.exclude) said.append("exclude", item);
  return `#${said}`;
}
