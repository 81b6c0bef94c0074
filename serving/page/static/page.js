// Handles the form and runs requests.

import { RequestError, sendRequest } from "./requests.js";
import { noteAnswer, showAnswer, showError, showNothing, showWaiting, showStopped } from "./answer.js";

const COPIES = 6;
const BETWEEN_UPDATES_MS = 50;
const SMALL = 96;  // images with fewer pixels per side are not smoothed, so that their pixels stay visible
const $ = (id) => document.getElementById(id);

let image = null;
let running = null;

async function start() {
  $("file").addEventListener("change", () => choose($("file").files[0]));
  $("form").addEventListener("change", showChoices);
  $("form").addEventListener("submit", submit);
  $("stop").addEventListener("click", () => running?.abort());
  acceptDrops($("drop"));
  if ($("file").files[0]) choose($("file").files[0]);  // a reloaded page keeps its file
  showChoices();
  try {
    await offerModels();
  } catch {
    showError("The models could not be listed: check that the server is running, and reload the page.");
  }
}

async function offerModels() {
  const models = await (await fetch("models")).json();
  $("model").replaceChildren(...models.map((name) => new Option(name, name)));
  $("model-field").hidden = models.length < 2;
  updateAskButton();
}

function acceptDrops(place) {
  for (const name of ["dragenter", "dragover"]) {
    place.addEventListener(name, (event) => { event.preventDefault(); place.classList.add("over"); });
  }
  place.addEventListener("dragleave", () => place.classList.remove("over"));
  place.addEventListener("drop", (event) => {
    event.preventDefault();
    place.classList.remove("over");
    choose(event.dataTransfer.files[0]);
  });
  // An image dropped outside the drop area must not replace the page.
  for (const name of ["dragover", "drop"]) window.addEventListener(name, (event) => event.preventDefault());
}

function choose(file) {
  if (!file || running) return;
  image = file;
  URL.revokeObjectURL($("preview").src);
  $("preview").onload = ({ target }) => target.classList.toggle("pixels", target.naturalWidth < SMALL);
  $("preview").onerror = ({ target }) => {  // the server may still be able to read the file
    target.hidden = true;
    $("prompt").hidden = false;
    $("prompt").textContent = `${file.name} (no preview)`;
  };
  $("preview").src = URL.createObjectURL(file);
  $("preview").alt = `The chosen image, ${file.name}`;
  $("preview").hidden = false;
  $("prompt").hidden = true;
  updateAskButton();
  showNothing();
}

function showChoices() {
  const certifies = chosenMode() === "certify";
  $("certify-only").hidden = !certifies;
  $("radius-field").hidden = $("stopping").value !== "at-radius";
  $("bound-field").hidden = $("stopping").value !== "fixed";
  $("n-name").textContent = $("stopping").value === "fixed" ? "Draws" : "Maximum draws";
  for (const input of $("certify-only").querySelectorAll("input, select")) {
    input.disabled = !certifies || input.closest("[hidden]") !== null;  // the browser does not validate disabled fields
  }
}

function chosenMode() {
  return new FormData($("form")).get("mode");
}

/** The request's form data, with the server's parameter names. */
function requestForm() {
  const form = new FormData();
  form.set("data", image);
  form.set("mode", chosenMode());
  form.set("copies", COPIES);
  form.set("input_image", "true");
  if (chosenMode() !== "certify") return form;
  const stopping = $("stopping").value;
  form.set("stopping", stopping);
  form.set("n", $("n").value);
  if (stopping === "at-radius") form.set("radius", $("radius").value);
  if (stopping === "fixed") form.set("bound", $("bound").value);
  else form.set("stream", "true");
  return form;
}

async function submit(event) {
  event.preventDefault();
  if (!image || running) return;
  running = new AbortController();
  let latest = null, timer = null, reactedAt = performance.now();
  const showLatest = () => {
    clearTimeout(timer);
    timer = null;
    if (latest) showAnswer(latest);
    latest = null;
  };
  setBusy(true);
  showWaiting();
  try {
    for await (const answer of sendRequest($("model").value, requestForm(), running.signal)) {
      noteAnswer(answer);
      latest = answer;
      if (answer.final === false) timer ??= setTimeout(showLatest, BETWEEN_UPDATES_MS);
      else showLatest();
      if (performance.now() > reactedAt + BETWEEN_UPDATES_MS) {  // lets the page react, however fast answers arrive
        await new Promise((resolve) => setTimeout(resolve));
        reactedAt = performance.now();
      }
    }
  } catch (error) {
    showLatest();
    if (running.signal.aborted) showStopped();
    else if (error instanceof RequestError) showError(error.message);
    else throw error;
  } finally {
    running = null;
    setBusy(false);
  }
}

/** Enables the button if there are an image and a model and no request is running. */
function updateAskButton() {
  $("ask").disabled = !image || !$("model").value || running !== null;
}

function setBusy(busy) {
  const focused = document.activeElement;
  $("file").disabled = busy;
  updateAskButton();
  $("stop").hidden = !busy;
  $("result").setAttribute("aria-busy", busy);
  // The focused button is now hidden or disabled, so the focus moves to the other one.
  if (busy && focused === $("ask")) $("stop").focus();
  if (!busy && focused === $("stop")) $("ask").focus();
}

start();
