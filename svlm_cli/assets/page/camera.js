"use strict";

// Sends the camera of this device by svlm.push.v1 and shows what is said of it.
const FPS = 8;
const WIDTH = 640;
const QUALITY = 0.8;
const MAX_LINES = 200;
const video = get("video");
const canvas = document.createElement("canvas");
let socket = null;
let stream = null;
let timer = 0;
let credit = 0;
let sent = 0;
let missed = 0;
let first = 0;
let isEncoding = false;
let name = channel;

function show(isOn) {
  get("start").hidden = isOn;
  get("stop").hidden = !isOn;
  get("ask").hidden = !isOn;
}

function stop() {
  clearInterval(timer);
  if (stream) for (const track of stream.getTracks()) track.stop();
  stream = null;
  video.srcObject = null;
  show(false);
}

async function start() {
  get("note").textContent = "";
  if (!navigator.mediaDevices) {
    get("note").textContent = "Browsers lend the camera to pages on localhost and behind TLS (https) only.";
    return;
  }
  try {
    stream = await navigator.mediaDevices.getUserMedia({
      audio: false,
      video: { width: { ideal: WIDTH }, frameRate: { ideal: FPS }, facingMode: "environment" },
    });
  } catch (error) {
    get("note").textContent = error.name === "NotFoundError" ? "No camera was found." : `The camera was not lent: ${error.message}`;
    return;
  }
  video.srcObject = stream;
  await video.play();
  const scale = Math.min(1, WIDTH / video.videoWidth);
  canvas.width = Math.max(16, Math.round(video.videoWidth * scale));
  canvas.height = Math.max(16, Math.round(video.videoHeight * scale));
  credit = sent = missed = first = 0;
  get("transcript").textContent = "";
  get("words").textContent = "";
  show(true);
  open();
}

function open() {
  const scheme = location.protocol === "https:" ? "wss" : "ws";
  state("wait", "connecting");
  socket = new WebSocket(`${scheme}://${location.host}${address("/push")}`, "svlm.push.v1");
  socket.binaryType = "arraybuffer";
  socket.onopen = () => {
    socket.send(JSON.stringify({ type: "start", fps: FPS, width: canvas.width, height: canvas.height }));
    timer = setInterval(push, 1000 / FPS);
  };
  socket.onmessage = (message) => receive(JSON.parse(message.data));
  socket.onclose = (closing) => {
    stop();
    state("end", "off");
    get("note").textContent = closing.reason || (closing.code === 1000 ? "" : "svlm cannot be reached.");
  };
}

function push() {
  if (isEncoding || socket.readyState !== WebSocket.OPEN) return;
  if (!credit) {
    missed += 1;
    return;
  }
  isEncoding = true;
  const now = performance.now();
  first ||= now;
  canvas.getContext("2d").drawImage(video, 0, 0, canvas.width, canvas.height);
  canvas.toBlob(async (blob) => {
    const picture = blob && await blob.arrayBuffer();
    isEncoding = false;
    if (!picture || !credit || socket.readyState !== WebSocket.OPEN) return;
    const message = new Uint8Array(8 + picture.byteLength);
    new DataView(message.buffer).setBigUint64(0, BigInt(Math.round((now - first) * 1000)));
    message.set(new Uint8Array(picture), 8);
    socket.send(message);
    credit -= 1;
    sent += 1;
    get("sent").textContent = `${sent} pictures sent` + (missed ? `, ${missed} left out: the model is busy` : "");
  }, "image/jpeg", QUALITY);
}

function say(seconds, text, kind) {
  const line = document.createElement("li");
  const time = document.createElement("time");
  time.textContent = clock(seconds);
  const words = document.createElement("span");
  words.textContent = text;
  line.className = `note ${kind}`;
  line.append(time, words);
  get("transcript").prepend(line);
  while (get("transcript").children.length > MAX_LINES) get("transcript").lastChild.remove();
}

function receive(event) {
  if (event.type === "credit") {
    if (!sent) missed = 0; // while it waited
    credit += event.frames;
  } else if (event.type === "wait") {
    state("wait", "waiting");
    get("note").textContent = `${clean(event.reason)}: your picture is next`;
  } else if (event.error) {
    get("note").textContent = event.error;
  } else if (event.type === "start") {
    name = event.channel;
    get("note").textContent = "";
    state("live", "live");
    get("source").textContent = clean(name);
    tellAboutModel(event);
  } else if (event.type === "step") {
    const late = (performance.now() - first) / 1000 - event.end_seconds;
    get("late").textContent = `${Math.max(0, late).toFixed(1)} s behind`;
    if (event.text) {
      get("words").textContent = clean(event.text);
      say(event.start_seconds, clean(event.text), "words");
    }
  } else if (event.type === "answer") {
    say(event.start_seconds, `${clean(event.question)} – ${clean(event.text) || "(no answer)"}`, "answer");
  } else if (event.type === "warning") {
    say(event.at_seconds ?? 0, clean(event.message), "warning");
  }
}

get("start").addEventListener("click", start);
get("stop").addEventListener("click", () => {
  clearInterval(timer);
  if (socket.readyState === WebSocket.OPEN) socket.send('{"type": "end"}');
  else socket.close(); // it was not open yet
  state("wait", "ending");
});
answerQuestions(() => address("/ask", {}, name));
