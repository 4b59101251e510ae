// Pictures of a playground: the surface with its points, a unit over the plane, the losses.
import {el, shown} from "./page.js";
import {color, lines, look} from "./plot.js";

/** Return the bytes of a base64 text. @param {string} text */
const bytesOf = (text) => Uint8Array.from(atob(text), (each) => each.charCodeAt(0));

/** @type {{key: string, shades: number[][]}} */
let ramp = {key: "", shades: []};

/** Return 256 colors from the first class (or the least value) over paper to the second. */
function shades() {
  const ends = ["worse", "paper", "better"].map(color);
  if (ramp.key !== ends.join()) {
    const [low, middle, high] = ends.map((hex) => [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16)));
    const shade = (/** @type {number} */ value) => {
      const part = Math.min(1, Math.abs(value - 127.5) / 127.5);
      return middle.map((from, at) => Math.round(from + ((value < 127.5 ? low : high)[at] - from) * part * 0.8));
    };
    ramp = {key: ends.join(), shades: Array.from({length: 256}, (_, value) => shade(value))};
  }
  return ramp.shades;
}
/** Fit a canvas to its size on the screen; return its context in units of CSS pixels. @param {HTMLCanvasElement} canvas */
function fitted(canvas) {
  const [width, height] = [canvas.clientWidth || 1, canvas.clientHeight || 1];
  const scale = window.devicePixelRatio || 1;
  if (canvas.width !== Math.round(width * scale) || canvas.height !== Math.round(height * scale)) {
    canvas.width = Math.round(width * scale);
    canvas.height = Math.round(height * scale);
  }
  const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  context.setTransform(scale, 0, 0, scale, 0, 0);
  context.clearRect(0, 0, width, height);
  return {context, width, height};
}
/**
 * Fill a canvas with a square picture of bytes.
 * @param {CanvasRenderingContext2D} context @param {Uint8Array} bytes @param {number} width @param {number} height
 */
function paint(context, bytes, width, height) {
  const side = Math.round(Math.sqrt(bytes.length));
  const image = new ImageData(side, side);
  const colors = shades();
  bytes.forEach((value, at) => image.data.set([...colors[value], 255], 4 * at));
  const small = new OffscreenCanvas(side, side);
  /** @type {OffscreenCanvasRenderingContext2D} */ (small.getContext("2d")).putImageData(image, 0, 0);
  context.imageSmoothingEnabled = true;
  context.drawImage(small, 0, 0, width, height);
}
/** Draw a unit's output over the plane or over x. @param {HTMLCanvasElement} canvas @param {string} text */
export function drawUnit(canvas, text) {
  const {context, width, height} = fitted(canvas);
  const bytes = bytesOf(text);
  if (bytes.length > 100) return paint(context, bytes, width, height);
  context.strokeStyle = color("better");
  context.lineWidth = 2;
  context.beginPath();
  bytes.forEach((value, at) => context.lineTo(at / (bytes.length - 1) * width, height - 2 - value / 255 * (height - 4)));
  context.stroke();
}
/**
 * Draw what the network answers and the points: circles and squares by class, test points hollow.
 * @param {HTMLCanvasElement} canvas @param {any} frame @param {any} points
 */
export function drawAnswer(canvas, frame, points) {
  const {context, width, height} = fitted(canvas);
  const isLine = points.edges.length === 1;
  const values = isLine ? points.train.concat(points.test).map((/** @type {number[]} */ row) => row[1]) : [];
  const low = isLine ? Math.min(...values) : -points.edges[1], high = isLine ? Math.max(...values) : points.edges[1];
  const span = (high - low) * (isLine ? 1.1 : 1) || 1, middle = (high + low) / 2;
  const across = (/** @type {number} */ x) => (x / points.edges[0] + 1) / 2 * width;
  const up = (/** @type {number} */ y) => height / 2 - (y - middle) / span * height;
  if (!isLine) paint(context, bytesOf(frame.surface), width, height);
  const colors = shades();
  for (const [rows, isTest] of [[points.train, false], [points.test, true]]) {
    for (const row of rows) {
      const target = row[row.length - 1], isSecond = !points.is_classes || target > 0.5;
      const value = isLine ? 255 : Math.max(0, Math.min(255, 255 * (target - frame.low) / (frame.high - frame.low)));
      context.beginPath();
      if (isSecond) context.arc(across(row[0]), up(row[1]), 3, 0, 7);
      else context.rect(across(row[0]) - 2.7, up(row[1]) - 2.7, 5.4, 5.4);
      const strong = points.is_classes || isLine ? color(value > 127 ? "better" : "worse") : `rgb(${colors[Math.round(value)]})`;
      context.fillStyle = isTest ? color("paper") : strong;
      context.strokeStyle = isTest ? strong : color("paper");
      context.lineWidth = isTest ? 1.5 : 0.8;
      context.fill();
      context.stroke();
    }
  }
  if (isLine) {
    context.strokeStyle = color("ink");
    context.lineWidth = 2.5;
    context.beginPath();
    frame.curve.forEach((/** @type {number | null} */ y, /** @type {number} */ at) => {
      if (y !== null) context.lineTo(at / (frame.curve.length - 1) * width, Math.max(-9, Math.min(height + 9, up(Number(y)))));
    });
    context.stroke();
  }
  canvas.setAttribute("aria-label", `What the network answers over ${points.names.slice(0, points.edges.length).join(" and ")}. ${sentence(frame)}`);
}
/** Say what the colors and marks of the points mean. @param {any} points @param {boolean} [isStandardized] */
export function legend(points, isStandardized = false) {
  const tests = "Filled points train, hollow ones test.", [across, up, target] = points.names;
  const reach = `from ${shown(-points.edges[0])} to ${shown(points.edges[0])}`;
  if (points.edges.length === 1) return `The line is what the network answers over x, ${reach}. ${tests}`;
  const colors = points.is_classes ? `Orange squares: ${points.labels[0]}; blue circles: ${points.labels[1]}.` : `Orange to blue: ${target}, low to high.`;
  return `${colors} ${tests} Across: ${across}, up: ${up}, ${isStandardized ? "standardized" : `each ${reach}`}.`;
}
/** Return a frame in a sentence. @param {any} frame */
export function sentence(frame) {
  const share = (/** @type {number | null} */ value) => (value === null ? "" : `, ${shown(100 * value, 3)} % right`);
  return `Step ${frame.step}: training loss ${shown(frame.train)}${share(frame.train_accuracy)}; test loss ${shown(frame.test)}${share(frame.test_accuracy)}.`;
}
/** Say why a training goes no further; empty while it may. @param {any} frame */
export const trouble = (frame) => frame.error || (frame.diverged
  ? `The training diverged at step ${frame.step}: the loss is not a finite number any more, so it was paused. `
  + "Try a smaller learning rate, or reset." : "");

/** Return a plot of the losses; `draw(frame)` shows those of a frame. @param {HTMLElement} place @param {number} height */
export function lossPlot(place, height) {
  const series = [{label: "training loss", ...look(0)}, {label: "test loss", ...look(1), dash: [6, 4]}];
  const chart = lines(place, {series, x: "step", height, legend: false, label: "Training and test loss over the steps"});
  place.append(el("p", {class: "quiet fine"}, "Solid: training loss, dashed: test loss."));
  return {
    draw(/** @type {any} */ frame) {
      const finite = frame.log.filter((/** @type {any[]} */ row) => Number.isFinite(row[1]));
      if (finite.length) chart.draw(finite.map((/** @type {number[]} */ row) => row[0]), [1, 2].map((at) => finite.map((/** @type {any[]} */ row) => row[at])));
      chart.element.setAttribute("aria-label", `Training and test loss over the steps. ${sentence(frame)}`);
    },
    remove: chart.remove,
  };
}
