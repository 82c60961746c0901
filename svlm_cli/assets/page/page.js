"use strict";

const MAX_LINES = 2000;
const CHART_STEPS = 300;
const steps = [];
let run = "";
let chosen = null;
let isEnded = false;
let isDrawn = true;
let lastWords = "";

function show(step) {
  get("now").textContent = clock(step.start_seconds);
  get("words").textContent = step.text || lastWords;
  get("words").className = step.text ? "" : "past";
  const picture = new Image();
  picture.src = address("/picture", { at: step.start_seconds.toFixed(3) });
  picture.onload = () => {
    get("picture").src = picture.src;
    get("picture").hidden = false;
  };
}

function choose(line, step) {
  if (chosen) chosen.classList.remove("chosen");
  chosen = line;
  get("live").hidden = !line;
  if (line) line.classList.add("chosen");
  if (step) show(step);
}

function addLine(kind, seconds, text, step) {
  const list = get("transcript");
  const isAtEnd = list.scrollHeight - list.scrollTop - list.clientHeight < 40;
  const line = document.createElement("li");
  const time = document.createElement("time");
  time.textContent = clock(seconds);
  const words = document.createElement("span");
  words.textContent = text;
  line.className = kind;
  if (step) {
    const button = document.createElement("button");
    button.type = "button";
    button.append(time, words);
    button.addEventListener("click", () => choose(line, step));
    line.append(button);
  } else {
    line.append(time, words);
  }
  list.append(line);
  while (list.children.length > MAX_LINES) list.firstChild.remove();
  if (isAtEnd && !chosen) list.scrollTop = list.scrollHeight;
}

function draw(id, rows, colours, leastTop) {
  const canvas = get(id);
  const box = canvas.getBoundingClientRect();
  const scale = window.devicePixelRatio || 1;
  canvas.width = Math.max(1, Math.round(box.width * scale));
  canvas.height = Math.max(1, Math.round(box.height * scale));
  const pen = canvas.getContext("2d");
  const top = Math.max(...rows.map((row) => row.reduce((a, b) => a + b, 0)), leastTop);
  const style = getComputedStyle(document.documentElement);
  const width = canvas.width / CHART_STEPS;
  rows.forEach((row, k) => {
    let base = canvas.height;
    row.forEach((value, part) => {
      const height = (value / top) * (canvas.height - 2 * scale);
      pen.fillStyle = style.getPropertyValue(colours[part]);
      pen.fillRect(Math.floor(k * width), base - height, Math.ceil(width), height);
      base -= height;
    });
  });
  pen.fillStyle = style.getPropertyValue("--faint");
  pen.font = `${10 * scale}px system-ui, sans-serif`;
  pen.textAlign = "right";
  pen.fillText(top < 10 ? top.toFixed(2) : Math.round(top).toLocaleString("en"), canvas.width - 2 * scale, 10 * scale);
}

function drawNow() {
  isDrawn = true;
  if (!steps.length) return;
  const last = steps[steps.length - 1];
  if (!chosen) show(last);
  const sorted = steps.map((step) => step.timings.total).sort((a, b) => a - b);
  const at = (share) => sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))].toFixed(3);
  get("latency").textContent = `p50 ${at(0.5)}, p95 ${at(0.95)}`;
  const skipped = steps.reduce((sum, step) => sum + step.skipped_seconds, 0);
  get("lag").textContent = `${last.lag_seconds.toFixed(1)} s` + (skipped ? `, ${skipped.toFixed(0)} s skipped` : "");
  get("cache").textContent = last.num_cached_tokens.toLocaleString("en");
  draw("latency-chart", steps.map((step) => [step.timings.total]), ["--text"], 0.01);
  draw("lag-chart", steps.map((step) => [step.lag_seconds]), ["--frames"], 1);
  draw("cache-chart", steps.map((step) => {
    const text = step.num_cached_tokens - step.num_vision_tokens - step.num_sink_tokens;
    return [step.num_sink_tokens, Math.max(text, 0), step.num_vision_tokens];
  }), ["--sink", "--text", "--frames"], 1);
}

function begin(event) {
  get("source").textContent = event.source;
  get("model").textContent = `${event.model} on ${event.device} (${event.dtype}), ${event.fps} FPS, policy ${event.policy}, svlm ${event.version}`;
  tellAboutModel(event);
  suggest(() => address("/ask"), event.suggested_questions);
  document.title = `svlm: ${channel === null ? event.source : clean(channel)}`;
  get("transcript").textContent = "";
  steps.length = 0;
  lastWords = "";
  isEnded = false;
  choose(null);
}

function receive(message) {
  const event = JSON.parse(message.data);
  for (const part of ["text", "question", "message", "source"]) {
    if (typeof event[part] === "string") event[part] = clean(event[part]);
  }
  const [itsRun] = message.lastEventId.split("-");
  if (event.type === "start" && itsRun !== run) {
    run = itsRun;
    begin(event);
  } else if (event.type === "step") {
    if (event.skipped_seconds > 0) {
      addLine("note", event.start_seconds - event.skipped_seconds, `${event.skipped_seconds.toFixed(1)} s skipped`);
    }
    steps.push(event);
    if (steps.length > CHART_STEPS) steps.shift();
    if (event.text) {
      lastWords = event.text;
      addLine("words", event.start_seconds, event.text, event);
    }
  } else if (event.type === "answer") {
    get("note").textContent = "";
    addLine("answer", event.start_seconds, `${event.question} – ${event.text || "(no answer)"}`, event);
  } else if (event.type === "warning") {
    const last = steps.length ? steps[steps.length - 1].end_seconds : 0;
    addLine("note", event.at_seconds ?? last, event.message);
  } else if (event.type === "end") {
    isEnded = true;
    state("end", "ended");
  }
  if (isDrawn) {
    isDrawn = false;
    requestAnimationFrame(drawNow);
  }
}

get("live").addEventListener("click", () => {
  choose(null);
  const list = get("transcript");
  list.scrollTop = list.scrollHeight;
  if (steps.length) show(steps[steps.length - 1]);
});

if (channel !== null) {
  get("all").hidden = false;
  get("channel").textContent = clean(channel);
  for (const link of document.querySelectorAll("nav a")) link.href = address(link.getAttribute("href"));
}
answerQuestions(() => address("/ask"));
addEventListener("resize", drawNow);
follow(address("/events"), receive, () => isEnded);
