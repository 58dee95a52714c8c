// Keys: / searches, g and a letter goes, ? tells. Browsers' own keys, fields
// and assistive programs keep theirs.
const places = { o: "/", s: "/services", b: "/buckets", i: "/incidents", j: "/journal" };
let going = 0;

export function listen() {
  const dialog = document.getElementById("keys");
  for (const link of document.querySelectorAll("[data-keys]")) {
    link.addEventListener("click", (e) => {
      e.preventDefault();
      dialog.showModal();
    });
  }
  document.addEventListener("keydown", (e) => {
    if (e.ctrlKey || e.metaKey || e.altKey || e.defaultPrevented || dialog.open) return;
    if (typing(e.target)) {
      if (e.key === "Escape") e.target.blur();
      return;
    }
    const soon = going > Date.now();
    going = 0;
    if (soon && Object.hasOwn(places, e.key)) {
      e.preventDefault();
      location.assign(places[e.key]);
    } else if (e.key === "g") {
      going = Date.now() + 1500;
    } else if (e.key === "/") {
      // The page's own search comes before the one that every page has.
      const field = document.querySelector("main [data-search]") ?? document.querySelector("[data-search]");
      if (field) {
        e.preventDefault();
        field.focus();
        field.select();
      }
    } else if (e.key === "?") {
      dialog.showModal();
    }
  });
}

function typing(node) {
  return node.isContentEditable || ["INPUT", "SELECT", "TEXTAREA"].includes(node.nodeName);
}
