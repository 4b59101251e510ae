// A training on the server, made from an address; when it has gone, it is made again.
import {postJson} from "./page.js";
import {listen} from "./live.js";

/**
 * Return a session of the state that `query` answers with. `begun` gets the answer of every start and whether the state
 * is still the one that was asked for, `drawn` every frame, `refused` an error, or nothing once it is over.
 * @param {{query: () => string, begun: (found: any, isCurrent: boolean) => void, drawn: (frame: any) => void, refused: (error?: any) => void}} on
 */
export function session(on) {
  let id = "", turn = 0;
  let silence = () => {};
  const end = () => {
    silence();
    silence = () => {};
    if (id) navigator.sendBeacon(`/api/playground/${id}/close`);
    id = "";
  };
  const start = async () => {
    const mine = ++turn, query = on.query();
    end();
    try {
      const found = await postJson("/api/playground", {state: query});
      if (mine !== turn) return void navigator.sendBeacon(`/api/playground/${found.id}/close`);
      id = found.id;
      on.refused();
      on.begun(found, query === on.query());
      silence = listen(found.feed, (frame) => {
        if (mine === turn && frame === null) start();
        else if (mine === turn) on.drawn(frame);
      });
    } catch (error) {
      if (mine === turn) on.refused(error);
    }
  };
  /** Play, pause, step or reset. @param {string} verb @param {any} [value] */
  const order = async (verb, value) => {
    try {
      if (id) await postJson(`/api/playground/${id}/${verb}`, value);
      else await start();
      on.refused();
    } catch (error) {
      on.refused(error);
    }
  };
  addEventListener("pagehide", () => { turn++; end(); });
  addEventListener("pageshow", (event) => { if (event.persisted) start(); });
  return {start, order};
}
/** Return the layers of a state. @param {URLSearchParams} params */
export function layersOf(params) {
  const texts = params.getAll("layer").filter(Boolean);
  return texts.map((text) => {
    const [width, normalization, initialization, ...rest] = text.split(":");
    return {width, normalization, initialization, activation: rest.join(":")};
  });
}
/** Replace the layers of a state. @param {URLSearchParams} params @param {ReturnType<typeof layersOf>} layers */
export function setLayers(params, layers) {
  params.delete("layer");
  if (!layers.length) params.append("layer", "");
  for (const each of layers) params.append("layer", [each.width, each.normalization, each.initialization, each.activation].join(":"));
}
