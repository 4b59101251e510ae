// Listen to feeds of the server. All tabs share one connection: a browser allows six to a host.
import {serverIsGone} from "./page.js";

/** @type {Map<string, Set<(value: any) => void>>} */
const listeners = new Map();
/** @type {{listen: (names: string[]) => void} | null} */
let line = null;

/**
 * Call a function with the latest value of a feed whenever it changes, and with null once the feed has gone.
 * @param {string} feed @param {(value: any) => void} action @returns {() => void} a function that ends it
 */
export function listen(feed, action) {
  const actions = listeners.get(feed) || new Set();
  actions.add(action);
  listeners.set(feed, actions);
  line = line || opened();
  line.listen([...listeners.keys()]);
  return () => {
    actions.delete(action);
    if (!actions.size) listeners.delete(feed);
    line?.listen([...listeners.keys()]);
  };
}
/** @param {any} message */
function arrived(message) {
  if ("isGone" in message) return serverIsGone(message.isGone);
  for (const action of [...(listeners.get(message.feed) || [])]) action(message.value);
}
function opened() {
  if (typeof SharedWorker !== "undefined") {
    const worker = new SharedWorker(new URL("./live_worker.js", import.meta.url), {type: "module", name: "actlab"});
    worker.port.onmessage = (event) => arrived(event.data);
    addEventListener("pagehide", () => worker.port.postMessage([]));
    addEventListener("pageshow", () => worker.port.postMessage([...listeners.keys()]));
    return {listen: (/** @type {string[]} */ names) => worker.port.postMessage(names)};
  }
  /** @type {{close: () => void} | null} */
  let stream = null;
  return {
    listen(/** @type {string[]} */ names) {
      stream?.close();
      stream = names.length ? streamOf(names, arrived) : null;
    },
  };
}
/** Open one stream of events; it opens again by itself. @param {string[]} names @param {(message: any) => void} arrive @returns {{close: () => void}} */
export function streamOf(names, arrive) {
  const source = new EventSource("/api/events?" + names.map((name) => "feed=" + encodeURIComponent(name)).join("&"));
  source.onopen = () => arrive({isGone: false});
  source.onerror = () => arrive({isGone: true});
  source.addEventListener("change", (event) => arrive(JSON.parse(event.data)));
  source.addEventListener("gone", (event) => arrive({...JSON.parse(event.data), value: null}));
  return source;
}
