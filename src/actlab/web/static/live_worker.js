// The one connection of all tabs, in a worker that they share.
import {streamOf} from "./live.js";

/** @type {Map<MessagePort, Set<string>>} */
const ports = new Map();
/** @type {Map<string, any>} */
const latest = new Map();
/** @type {{close: () => void} | null} */
let stream = null;
let open = "";

/** @param {any} message */
function arrived(message) {
  if (message.feed) latest.set(message.feed, message);
  for (const [port, names] of ports) if (!message.feed || names.has(message.feed)) port.postMessage(message);
}
function reopen() {
  const names = [...new Set([...ports.values()].flatMap((wanted) => [...wanted]))].sort();
  if (names.join("\n") === open) return;
  open = names.join("\n");
  for (const name of [...latest.keys()]) if (!names.includes(name)) latest.delete(name);
  stream?.close();
  stream = names.length ? streamOf(names, arrived) : null;
}
/** @type {any} */ (self).onconnect = (/** @type {MessageEvent} */ event) => {
  const port = event.ports[0];
  port.onmessage = ({data}) => {
    const before = ports.get(port) || new Set();
    ports.set(port, new Set(data));
    for (const name of data) if (!before.has(name) && latest.has(name)) port.postMessage(latest.get(name));
    if (!data.length) ports.delete(port);
    reopen();
  };
};
