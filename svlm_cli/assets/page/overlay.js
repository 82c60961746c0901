"use strict";

// /overlay?channel=NAME&size=48&color=fff&lines=2: the last words, on nothing.
const LINGER_SECONDS = 7;
const words = get("words");
let hiding = 0;

function number(name, least, most, otherwise) {
  const value = Number.parseFloat(wanted.get(name));
  return Number.isFinite(value) ? Math.min(Math.max(value, least), most) : otherwise;
}

words.style.setProperty("--size", `${number("size", 8, 400, 48)}px`);
words.style.setProperty("--lines", Math.round(number("lines", 1, 20, 2)));
const colour = wanted.get("color") || "";
if (/^[0-9a-f]{3,8}$/i.test(colour)) words.style.color = `#${colour}`;
else if (/^[a-z]{3,30}$/i.test(colour)) words.style.color = colour;

function show(text) {
  const line = document.createElement("span");
  line.textContent = clean(text);
  words.replaceChildren(line);
  clearTimeout(hiding);
  hiding = setTimeout(() => words.replaceChildren(), LINGER_SECONDS * 1000);
}

function connect() {
  const source = new EventSource(address("/events", { recent: 1 }));
  source.onmessage = (message) => {
    const event = JSON.parse(message.data);
    if (event.type === "step" && event.text) show(event.text);
  };
  source.onerror = () => {
    if (source.readyState === EventSource.CLOSED) setTimeout(connect, 2000);
  };
}

connect();
