"use strict";

// What every page needs: the channel it is about, addresses, and text made harmless.
const wanted = new URLSearchParams(location.search);
const channel = wanted.get("channel");
const get = (id) => document.getElementById(id);

function address(path, parts = {}, name = channel) {
  const query = new URLSearchParams(parts);
  if (name !== null) query.set("channel", name);
  const text = query.toString();
  return text ? `${path}?${text}` : path;
}

function clock(seconds) {
  const whole = Math.floor(seconds + 1e-6);
  const pad = (n) => String(n).padStart(2, "0");
  return `${pad(Math.floor(whole / 3600))}:${pad(Math.floor(whole / 60) % 60)}:${pad(whole % 60)}`;
}

// Text of a model may hold anything: no escape sequences, no controls, nothing that turns the direction.
function clean(text) {
  const visible = text.replace(/\x1b\[[0-?]*[ -/]*[@-~]/g, "");
  return visible.replace(/[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]+/g, " ").trim();
}

// What a model is that was trained on nothing but arena matches; nothing of any other.
function aboutModel(start) {
  if (!start.bundled) return "";
  const what = "The model that ships with svlm: it knows arena matches only.";
  return start.foreign ? `${what} What it says of this video means nothing; --model names another.` : what;
}

function tellAboutModel(start) {
  get("about").textContent = aboutModel(start);
  get("about").className = start.foreign ? "foreign" : "";
  get("about").hidden = !start.bundled;
}

function state(name, text) {
  get("state").className = name;
  get("state").textContent = text;
}

// Events as they come, for as long as somebody looks; told() says whether the end has been seen.
function follow(path, receive, told) {
  const source = new EventSource(path);
  source.onopen = () => state("live", "live");
  source.onmessage = receive;
  source.onerror = () => {
    if (told()) {
      source.close();
      return;
    }
    state("wait", "connecting");
    if (source.readyState !== EventSource.CLOSED) return;
    const again = () => setTimeout(() => follow(path, receive, told), 2000);
    // A server that has been started again may want another token: its form is where the page is.
    fetch("/static/icon.svg", { cache: "no-store" })
      .then((reply) => (reply.status === 401 ? location.reload() : again()))
      .catch(again);
  };
}

async function send(method, path, content) {
  const options = { method };
  if (content !== undefined) {
    options.headers = { "Content-Type": "application/json" };
    options.body = JSON.stringify(content);
  }
  try {
    const reply = await fetch(path, options);
    const answer = await reply.json();
    return reply.ok ? answer : { error: answer.error };
  } catch {
    return { error: "The stream cannot be reached." };
  }
}

async function ask(path, question) {
  const answer = await send("POST", path(), { question });
  get("note").textContent = answer.error || "Asked; the answer comes with one of the next seconds.";
  return !answer.error;
}

function answerQuestions(path) {
  get("ask").addEventListener("submit", async (event) => {
    event.preventDefault();
    const question = get("question").value.trim();
    if (question && (await ask(path, question))) get("question").value = "";
  });
}

// Questions that the model has been trained to answer, a button each; nothing where it names none.
function suggest(path, questions) {
  const buttons = (Array.isArray(questions) ? questions : []).map((question) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = clean(String(question));
    button.addEventListener("click", () => ask(path, String(question)));
    return button;
  });
  get("suggested").replaceChildren(...buttons);
  get("suggested").hidden = !buttons.length;
}
