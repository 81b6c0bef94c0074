// Sends requests to the model's server through the page's relay.

/** A failed request; the message is a sentence for the visitor. */
export class RequestError extends Error {}

/** Sends one request and yields the server's answers as they arrive: one, or several for a stream. */
export async function* sendRequest(model, form, signal) {
  const response = await reach(() =>
    fetch(`predictions/${encodeURIComponent(model)}`, { method: "POST", body: form, signal }), signal);
  const isStream = (response.headers.get("Content-Type") ?? "").startsWith("application/x-ndjson");
  if (!response.ok || !isStream) {
    yield read(await reach(() => response.text(), signal), response.status);
    return;
  }
  let isFinal = false;
  for await (const line of lines(response.body, signal)) {
    const update = read(line, response.status);
    isFinal = update.final;
    yield update;
  }
  if (!isFinal) throw new RequestError("The connection to the server was interrupted. Send the request again.");
}

async function* lines(body, signal) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  try {
    for (;;) {
      const { done, value } = await reach(() => reader.read(), signal);
      if (done) break;
      const parts = (rest + value).split("\n");
      rest = parts.pop();
      for (const line of parts) if (line.trim()) yield line;
    }
    if (rest.trim()) yield rest;
  } finally {
    reader.cancel().catch(() => {});  // the reader has failed or was stopped
  }
}

/** The answer in a body. Throws a RequestError if the body contains an error, which status 200 does not exclude. */
function read(text, status) {
  let answer;
  try {
    answer = JSON.parse(text);
  } catch {
    throw new RequestError(`The server's response with status ${status} is not JSON.`);
  }
  if (answer.code !== undefined) {
    throw new RequestError(sentence(answer.message ?? `the server answered with status ${answer.code}`));
  }
  return answer;
}

async function reach(action, signal) {
  try {
    return await action();
  } catch (error) {
    if (signal.aborted) throw error;
    throw new RequestError("The connection to the server was interrupted. Send the request again.");
  }
}

function sentence(text) {
  const trimmed = String(text).trim();
  return trimmed.charAt(0).toUpperCase() + trimmed.slice(1) + (/[.!?]$/.test(trimmed) ? "" : ".");
}
