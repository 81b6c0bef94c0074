// Shows an answer and its updates.

import { drawChart } from "./chart.js";

const $ = (id) => document.getElementById(id);
const BOUNDS = {
  "clopper-pearson": "The radius rests on a lower bound of the label's probability (Clopper-Pearson). All remaining " +
    "probability counts for the runner-up.",
  "simultaneous": "The radius rests on a lower bound of the label's probability and an upper bound of the runner-up's " +
    "(Clopper-Pearson, at half of the error probability each).",
  "tangent-bets": "The radius rests on a test of the label against every other class that holds after any number of " +
    "draws (bets on tangents).",
};
const LEAST_GROWTH = 1.02;  // of the draws, between two points of the curve
let points = [];

/** Shows the initial state, before the first request. */
export function showNothing() {
  for (const id of ["error", "answer"]) $(id).hidden = true;
  $("empty").hidden = false;
}

export function showWaiting() {
  points = [];
  for (const id of ["error", "empty", "figures", "meaning", "basis", "input", "growth", "votes", "copies", "whole"]) {
    $(id).hidden = true;
  }
  $("answer").hidden = false;
  $("status").textContent = "Drawing noise…";
  $("result").scrollIntoView({ block: "nearest" });
}

export function showError(message) {
  $("error").textContent = message;
  $("error").hidden = false;
  $("empty").hidden = true;
  $("answer").hidden = points.length === 0;
  $("status").textContent = points.length ? "The certificate received before the error is valid." : "";
}

export function showStopped() {
  $("answer").hidden = points.length === 0;
  $("empty").hidden = points.length > 0;
  $("status").textContent = "Stopped. The certificate so far is valid.";
}

/** Notes a point of the curve. Points that the logarithmic axis cannot tell apart replace each other. */
export function noteAnswer({ certificate }) {
  if (!certificate || certificate.stopping === "fixed" || certificate.n === 0) return;
  const { n, count_a, radius, radius_asked } = certificate;
  const isClose = points.length > 1 && n < LEAST_GROWTH * points.at(-2)[0];
  points.splice(isClose ? -1 : points.length, 1, [n, radius_asked != null ? count_a / n : radius]);
}

/** Shows a complete answer or an update of a stream, which has been noted; `final` is false for all updates but the last. */
export function showAnswer(answer) {
  const isDone = answer.final !== false;
  $("status").textContent = isDone ? summary(answer) : "Drawing noise…";
  showFigures(answer, isDone);
  if (answer.certificate && answer.certificate.stopping !== "fixed") showGrowth(answer.certificate, isDone);
  if (answer.votes) showVotes(answer);
  if (isDone) {
    showInput(answer);
    showCopies(answer.copies ?? []);
    $("json").textContent = JSON.stringify({ ...answer, copies: undefined, input_image: undefined }, null, 2);
    $("whole").hidden = false;
  }
}

/** The sentence that a screen reader announces at the end. */
function summary({ abstained, certificate, class_name, set, class_names }) {
  if (set) return `Done: a set of ${class_names.length} ${class_names.length === 1 ? "label" : "labels"}.`;
  if (abstained) return "Done: abstained.";
  return certificate ? `Done: ${class_name}, radius ${figure(certificate.radius)}.` : `Done: ${class_name}.`;
}

/** Shows the names of a set, without its radius: a reader could take it for a certificate of this image. */
function showSet({ set, class_names }) {
  $("figures").hidden = $("meaning").hidden = false;
  $("label-name").textContent = "Labels";
  $("label").textContent = class_names.join(", ") || "none";
  $("radius-figure").hidden = true;
  $("draws").textContent = set.n;
  $("meaning").textContent = "This is not a certificate of this image. Averaged over images like those of " +
    `${set.task}, such a set contains the true class with a probability of at least ${percent(1 - set.alpha)}, even ` +
    `if somebody who did not know the noise changed each image by up to ${figure(set.radius)} (l2 norm, pixels from ` +
    "0 to 1). For a hard image the probability may be far lower. Every request draws new noise, so the set may change." +
    (class_names.length ? "" : " The set is empty: no class fits this draw.");
}

function showFigures(answer, isDone) {
  if (answer.set) return showSet(answer);
  const { certificate, votes } = answer;
  $("label-name").textContent = "Label";
  $("figures").hidden = $("meaning").hidden = $("basis").hidden = false;
  $("label").textContent = answer.abstained ? (isDone ? "abstained" : "not yet") : answer.class_name;
  $("radius-figure").hidden = !certificate;
  if (certificate) $("certified").textContent = figure(certificate.radius);
  $("draws").textContent = (certificate ?? votes).n.toLocaleString("en");
  $("meaning").textContent = meaning(answer, isDone);
  $("basis").textContent = basis(answer);
}

function meaning({ abstained, certificate, votes, class_name }, isDone) {
  const alpha = (certificate ?? votes).alpha;
  if (abstained && !isDone) return "Too few draws so far to certify a label.";
  if (abstained) return abstention(certificate, votes);
  if (!certificate) {
    return `“${class_name}” has the most votes of the noisy copies. The probability that the smoothed classifier ` +
      `predicts another class is at most ${percent(alpha)}. This result does not cover changed pixels: ` +
      "request a certified radius for that.";
  }
  return "If the pixels of the network's input change by less than " +
    `${figure(certificate.radius)} (l2 norm, pixels from 0 to 1), the smoothed classifier still predicts ` +
    `“${class_name}”. The probability that this statement is wrong is at most ${percent(alpha)}. The certificate ` +
    "states that the label is stable, not that it is correct.";
}

function abstention(certificate, votes) {
  const isResult = "The classifier abstains instead of guessing; this is a result, not an error.";
  if (votes) return `No class has significantly more votes than all others. ${isResult} More draws may decide.`;
  if (certificate.stopping === "at-radius") {
    return `The draws do not certify radius ${figure(certificate.radius_asked)}: the class does not lead ` +
      `every other class by enough. ${isResult} More draws, or a smaller radius, may succeed.`;
  }
  const needed = certificate.bound === "simultaneous" || certificate.bound === "tangent-bets"
    ? "more votes than every other class" : "more than half of the votes";
  return `No class has significantly ${needed}. ${isResult} More draws, or a clearer image, may decide.`;
}

/** What the radius rests on; empty if nothing is certified. */
function basis({ abstained, certificate }) {
  if (!certificate || abstained) return "";
  const { bound, count_a, count_b, n } = certificate;
  const votes = `${count_a.toLocaleString("en")} of ${n.toLocaleString("en")} votes for the label, ` +
    `${count_b.toLocaleString("en")} for the runner-up.`;
  return `${BOUNDS[bound] ?? `The radius rests on the bound “${bound}”.`} ${votes}`;
}

/** Draws the radius over the draws; if one radius is decided, the class's share of the votes and the needed share. */
function showGrowth(certificate, isDone) {
  const decides = certificate.radius_asked != null;
  const { n, radius } = certificate;
  if (points.length === 0) return;
  $("growth").hidden = false;
  $("growth-title").textContent = decides ? "Share of the votes for the class" : "Certified radius";
  const now = decides ? percent(points.at(-1)[1]) : figure(radius);
  const text = `${now} after ${n.toLocaleString("en")} draws${isDone ? "" : " so far"}.`;
  const needed = decides
    ? { value: neededShare(certificate), name: `needed for radius ${figure(certificate.radius_asked)}` } : undefined;
  drawChart($("chart"), { points, top: certificate.sigma, needed, text, isShare: decides });
}

function showVotes({ votes, class_name, label }) {
  const rows = votes.top.map(([index, count]) => {
    const row = document.createElement("tr");
    const meter = Object.assign(document.createElement("meter"), { max: votes.n, value: count });
    meter.ariaLabel = `${count} of ${votes.n}`;
    const name = index === label ? class_name : `class ${index}`;
    for (const content of [name, meter, count]) row.insertCell().append(content);
    return row;
  });
  $("vote-rows").replaceChildren(...rows);
  $("votes").hidden = false;
}

/** Shows the image that the noise is added to. The answer does not cover what is not in it. */
function showInput({ input_image, certificate }) {
  $("input").hidden = !input_image;
  if (!input_image) return;
  $("input-image").src = `data:image/png;base64,${input_image}`;
  const text = "The network's input before noise";
  $("input-text").textContent = certificate ? `${text}: ${certificate.input}` : text;
}

function showCopies(copies) {
  const items = copies.map((png, index) => {
    const picture = Object.assign(new Image(), {
      src: `data:image/png;base64,${png}`,
      alt: `Noisy copy ${index + 1} of ${copies.length}`,
      className: "pixels",
    });
    const item = document.createElement("li");
    item.append(picture);
    return item;
  });
  $("copy-list").replaceChildren(...items);
  $("copies").hidden = copies.length === 0;
}

/** The value with at most three decimals, rounded down, because a radius must not be overstated. */
function figure(value) {
  return String(Math.floor(value * 1000 + 1e-9) / 1000);
}

function percent(share) {
  return `${+(share * 100).toPrecision(3)} %`;
}

/** The share of the votes that the radius needs if the runner-up keeps its share so far (the paper's equation 2). */
function neededShare({ count_b, n, radius_asked, sigma }) {
  const gap = 2 * radius_asked / sigma;
  const rest = normalCdf(-gap / 2); // the largest share of a runner-up that allows the radius
  return normalCdf(normalQuantile(Math.min(Math.max(count_b, 1) / Math.max(n, 2), rest)) + gap);
}

/** The z with normalCdf(z) = share, by bisection. */
function normalQuantile(share) {
  let [low, high] = [-8, 8];
  for (let step = 0; step < 50; step += 1) {
    const middle = (low + high) / 2;
    if (normalCdf(middle) < share) low = middle;
    else high = middle;
  }
  return low;
}

/** The normal distribution function with an error below 1.5e-7. Source: Abramowitz and Stegun 7.1.26. */
function normalCdf(z) {
  const x = Math.abs(z) / Math.SQRT2, t = 1 / (1 + 0.3275911 * x);
  const poly = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))));
  const tail = poly * Math.exp(-x * x) / 2;
  return z < 0 ? tail : 1 - tail;
}
