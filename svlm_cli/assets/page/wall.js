"use strict";

// All channels side by side: the newest picture, the last words, how late they are.
const LIST_EVERY_SECONDS = 4;
const tiles = new Map();
const order = new Intl.Collator("en", { numeric: true });
let mayAdd = false;

const watcher = new IntersectionObserver((entries) => {
  for (const entry of entries) entry.target.isSeen = entry.isIntersecting;
});

function element(kind, className, parent) {
  const made = document.createElement(kind);
  if (className) made.className = className;
  parent.append(made);
  return made;
}

function tileOf(name) {
  if (tiles.has(name)) return tiles.get(name);
  const box = element("article", "waiting", get("channels"));
  box.dataset.name = name;
  const behind = [...get("channels").children].find((each) => order.compare(each.dataset.name, name) > 0);
  get("channels").insertBefore(box, behind ?? null);
  const link = element("a", "", box);
  link.href = address("/", {}, name);
  const picture = element("img", "", link);
  picture.alt = "";
  const title = element("h2", "", link);
  title.textContent = clean(name);
  const words = element("p", "words", box);
  const about = element("div", "about", box);
  const line = element("div", "line", box);
  const condition = element("span", "condition", line);
  const lag = element("span", "lag", line);
  const removing = element("button", "remove", line);
  removing.type = "button";
  removing.textContent = "Remove";
  removing.hidden = !mayAdd;
  removing.addEventListener("click", () => remove(name));
  const tile = { box, picture, words, about, condition, lag, removing, isLoading: false, newest: 0 };
  watcher.observe(box);
  tiles.set(name, tile);
  return tile;
}

function drop(name) {
  watcher.unobserve(tiles.get(name).box);
  tiles.get(name).box.remove();
  tiles.delete(name);
}

async function remove(name) {
  if (!confirm(`End the channel ${clean(name)}?`)) return;
  const answer = await send("DELETE", address("/channels", {}, name));
  get("note").textContent = answer.error || "";
  list();
}

// The newest picture, one at a time: what has come meanwhile is asked for when the last is there, or is not.
function showPicture(tile, name, seconds) {
  tile.newest = seconds;
  if (tile.isLoading || tile.box.isSeen === false) return;
  tile.isLoading = true;
  const picture = new Image();
  const done = () => {
    tile.isLoading = false;
    if (tile.newest !== seconds) showPicture(tile, name, tile.newest);
  };
  picture.onload = () => {
    tile.picture.src = picture.src;
    done();
  };
  picture.onerror = done;
  picture.src = address("/picture", { at: seconds.toFixed(3) }, name);
}

function stand(tile, condition, text) {
  tile.box.className = condition;
  tile.condition.textContent = text;
}

function receive(message) {
  const event = JSON.parse(message.data);
  const tile = tileOf(event.channel);
  if (event.type === "start") {
    stand(tile, "waiting", "waiting");
  } else if (event.type === "step") {
    stand(tile, "running", clock(event.start_seconds));
    tile.lag.textContent = `lag ${event.lag_seconds.toFixed(1)} s`;
    tile.lag.classList.toggle("late", event.lag_seconds > 2);
    if (event.text) tile.words.textContent = clean(event.text);
    tile.words.classList.toggle("past", !event.text);
    showPicture(tile, event.channel, event.start_seconds);
  } else if (event.type === "end") {
    stand(tile, "ended", "ended");
    tile.lag.textContent = "";
  }
}

async function list() {
  const answer = await send("GET", "/channels");
  if (answer.error) return;
  mayAdd = answer.may_add;
  get("add").hidden = !mayAdd;
  get("camera").hidden = !answer.takes_frames;
  const names = new Set(answer.channels.map((each) => each.name));
  for (const name of [...tiles.keys()]) if (!names.has(name)) drop(name);
  for (const each of answer.channels) {
    const tile = tileOf(each.name);
    tile.removing.hidden = !mayAdd;
    tile.box.title = clean(each.source);
    tile.about.textContent = each.foreign ? "The bundled model: it knows arena matches only." : "";
    if (each.reason && each.condition !== "ended") tile.about.textContent = clean(each.reason);
    if (!tile.condition.textContent || each.condition === "failed") stand(tile, each.condition, each.condition);
    if (!tile.words.textContent) tile.words.textContent = clean(each.last_words);
  }
  const count = answer.channels.length;
  get("source").textContent = count === 1 ? "1 channel" : `${count} channels`;
  get("empty").hidden = count > 0;
}

get("add").addEventListener("submit", async (event) => {
  event.preventDefault();
  const entry = { source: get("new-source").value.trim() };
  if (get("new-name").value.trim()) entry.name = get("new-name").value.trim();
  get("note").textContent = "Opening ...";
  const answer = await send("POST", "/channels", entry);
  get("note").textContent = answer.error || "";
  if (!answer.error) get("add").reset();
  list();
});

follow("/events?recent=5", receive, () => false);
list();
setInterval(list, LIST_EVERY_SECONDS * 1000);
