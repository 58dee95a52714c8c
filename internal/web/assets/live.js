// News: when the server says that something changed, the page is asked for
// again and its live parts are brought up to date in place. Focus, scrolling
// and what is folded open stay as they are.
const sign = document.getElementById("liveness");
let source = null;
let busy = false;
let again = false;

export function follow() {
  document.addEventListener("visibilitychange", () => (document.hidden ? close() : open()));
  // A page that is left gives its connection back; one that is come back to
  // asks for a new one.
  addEventListener("pagehide", close);
  addEventListener("pageshow", (e) => e.persisted && open());
  if (!document.hidden) open();
}

function open() {
  if (source) return;
  source = new EventSource("/live");
  source.addEventListener("open", refresh);
  source.addEventListener("state", refresh);
  source.addEventListener("error", () => say("late", "Not live, trying again"));
}

function close() {
  source?.close();
  source = null;
  say("late", "Paused");
}

function say(state, text) {
  if (!sign) return;
  sign.hidden = false;
  sign.dataset.state = state;
  if (sign.textContent !== text) sign.textContent = text;
}

async function refresh() {
  if (busy) {
    again = true;
    return;
  }
  busy = true;
  try {
    const answer = await fetch(location.href, { headers: { "Spare-Live": "1" }, redirect: "error", credentials: "same-origin" });
    if (!answer.ok) throw new Error(String(answer.status));
    update(new DOMParser().parseFromString(await answer.text(), "text/html"));
    if (source) say("live", "Live");
  } catch {
    say("late", "Not live, trying again");
  } finally {
    busy = false;
    if (again) {
      again = false;
      refresh();
    }
  }
}

function update(fresh) {
  document.title = fresh.title;
  for (const part of document.querySelectorAll("[data-live]")) {
    const next = fresh.getElementById(part.id);
    if (next) match(part, next);
  }
}

// match makes a node like another, keeping what is the same.
function match(old, next) {
  if (old.nodeType !== next.nodeType || old.nodeName !== next.nodeName || old.id !== next.id) {
    old.replaceWith(document.importNode(next, true));
    return;
  }
  if (old.nodeType !== Node.ELEMENT_NODE) {
    if (old.nodeValue !== next.nodeValue) old.nodeValue = next.nodeValue;
    return;
  }
  attributes(old, next);
  if (old.isEqualNode(next)) return;
  // List lines have ids: what is gone goes, so that the others stay in place.
  const ids = new Set(Array.from(next.children, (c) => c.id));
  for (const child of Array.from(old.children)) {
    if (child.id && !ids.has(child.id)) child.remove();
  }
  const wanted = Array.from(next.childNodes);
  for (const [i, child] of wanted.entries()) {
    const here = old.childNodes[i];
    const same = child.id ? Array.from(old.children).find((c) => c.id === child.id) : null;
    if (same && same !== here) old.insertBefore(same, here ?? null);
    const now = old.childNodes[i];
    if (!now) {
      old.append(arrive(document.importNode(child, true)));
    } else if (child.id && now.id !== child.id) {
      old.insertBefore(arrive(document.importNode(child, true)), now);
    } else {
      match(now, child);
    }
  }
  while (old.childNodes.length > wanted.length) old.lastChild.remove();
}

// arrive marks a line that was not there before.
function arrive(node) {
  if (node.nodeName === "LI") node.classList.add("new");
  return node;
}

function attributes(old, next) {
  for (const { name } of Array.from(old.attributes)) {
    if (!next.hasAttribute(name) && name !== "open") old.removeAttribute(name);
  }
  for (const { name, value } of next.attributes) {
    if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  }
}
