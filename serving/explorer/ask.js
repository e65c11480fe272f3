// The server. Addresses are relative: the page also works behind a prefix.

let token = "";

class Problem extends Error {
  constructor(message, status) { super(message); this.status = status; }
}

async function call(path, body, signal) {
  const headers = token ? { authorization: `Bearer ${token}` } : {};
  if (body) headers["content-type"] = "application/json";
  let answer;
  try {
    answer = await fetch(path, {
      method: body ? "POST" : "GET", headers, signal, body: body && JSON.stringify(body),
      cache: "no-store", credentials: "same-origin",
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem("The server does not answer. Is it still running?", 0);
  }
  const said = await answer.json().catch(() => ({}));
  if (answer.ok) return said;
  throw new Problem(said.error || `The server answered ${answer.status}.`, answer.status);
}

function randomId() {
  const bytes = crypto.getRandomValues(new Uint8Array(8));
  return [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

// One id for all that is not logged: where slates explore, what moves then moves for what was changed.
const session = `explorer-${randomId()}`;

function instanceOf(asked, debug) {
  const instance = {
    user_id: asked.user,
    explain: asked.explain,
    request_id: debug ? session : `explorer-${randomId()}`,
    constraints: { exclude_items: asked.exclude, exclude_seen: asked.seen },
  };
  if (asked.size) instance.slate_size = asked.size;
  if (asked.surface) instance.surface = asked.surface;
  return instance;
}

// {answer, debug, milliseconds}: as the endpoint answers; debug is null where the server does not offer it.
async function ask(asked, settings, signal) {
  const body = { instances: [instanceOf(asked, settings.debug)] };
  const began = performance.now();
  const path = settings.debug ? "debug/slate" : `v1/models/${encodeURIComponent(settings.model)}:predict`;
  const said = await call(path, body, signal);
  const debug = settings.debug ? said.slates[0] : null;
  return { answer: debug ? debug.answer : said.predictions[0], debug, milliseconds: performance.now() - began };
}
