// Draws one curve over the number of draws on a logarithmic scale.

const SVG = "http://www.w3.org/2000/svg";
const LEFT = 48, RIGHT = 470, TOP = 14, BOTTOM = 180;
const MOST_CHARACTERS = 4; // of a value beside the axis, on a narrow screen

/**
 * Draws `points` ([draws, value]); `needed` is a named value to mark. The scale goes from 0 at least to `top`; that of
 * shares ends at 1, and begins where the curve and the needed share are told apart.
 */
export function drawChart(svg, { points, top, needed, text, isShare = false }) {
  const description = svg.querySelector("desc");
  description.textContent = text;
  svg.replaceChildren(description);
  const last = points.at(-1);
  const ticks = powersOfTen(points[0][0], last[0]);
  const first = Math.log10(ticks[0]), span = Math.log10(ticks.at(-1)) - first;
  const values = [...points.map(([, value]) => value), ...(needed ? [needed.value] : [])];
  const low = isShare ? beginOfShares(Math.min(...values)) : 0;
  const high = isShare ? 1 : niceAbove(Math.max(top, ...values));
  const x = (draws) => LEFT + (RIGHT - LEFT) * (Math.log10(draws) - first) / span;
  const y = (value) => BOTTOM - (BOTTOM - TOP) * (value - low) / (high - low);

  add(svg, "path", { class: "axis", d: `M${LEFT} ${TOP}V${BOTTOM}H${RIGHT}` });
  for (const tick of ticks) {
    label(svg, x(tick), BOTTOM + 18, tick.toLocaleString("en"), tick === ticks.at(-1) ? "end" : "middle");
  }
  label(svg, (LEFT + RIGHT) / 2, BOTTOM + 36, "draws", "middle");
  for (const value of [low, (low + high) / 2, high]) {
    const shown = String(+value.toPrecision(4));
    if (shown.length <= MOST_CHARACTERS) label(svg, LEFT - 8, y(value) + 4, shown, "end");
  }
  if (needed) {
    add(svg, "line", { class: "needed", x1: LEFT, x2: RIGHT, y1: y(needed.value), y2: y(needed.value) });
    const isBelowCurve = needed.value <= last[1]; // the name is on the side away from the end of the curve
    label(svg, RIGHT, y(needed.value) + (isBelowCurve ? 16 : -8), needed.name, "end");
  }
  const path = points.map(([draws, value], at) => `${at ? "L" : "M"}${x(draws).toFixed(1)} ${y(value).toFixed(1)}`);
  add(svg, "path", { class: "curve", d: path.join("") });
  add(svg, "circle", { class: "last", cx: x(last[0]), cy: y(last[1]), r: 4 });
}

/** The powers of ten from the last one below `least` to the first one above `most`. */
function powersOfTen(least, most) {
  const ticks = [];
  for (let tick = 10 ** Math.floor(Math.log10(least)); ; tick *= 10) {
    ticks.push(tick);
    if (tick >= most && ticks.length > 1) return ticks;
  }
}

/** The largest round share from which up to `least` a tenth of the scale or more is left. */
function beginOfShares(least) {
  return [0.99, 0.95, 0.9, 0.8, 0.5].find((low) => least - low >= (1 - low) / 10) ?? 0;
}

function niceAbove(value) {
  const unit = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 4, 5, 10].map((step) => step * unit).find((step) => step >= value * 1.0001) ?? 10 * unit;
}

function label(svg, x, y, text, anchor) {
  add(svg, "text", { x, y, "text-anchor": anchor }).textContent = text;
}

function add(svg, name, attributes) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  svg.append(element);
  return element;
}
