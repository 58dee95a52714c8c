// What pages do by themselves. Without this file all of them work, only not by
// themselves.
import { follow } from "./live.js";
import { listen } from "./keys.js";

listen();
if (document.body.hasAttribute("data-live-page")) follow();
