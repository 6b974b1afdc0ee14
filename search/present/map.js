// The map of photos: draws what Python laid out, and lets people zoom, move, look at and open what they see.
// Photos are tiles of sprite sheets; places are in a square of WORLD units.
"use strict";

const WORLD = 10000;
const DOT = 5; // pixels of a tile below which it is drawn as a dot of its group's colour
const LARGEST = 360; // pixels of a tile at the nearest zoom
const FIRST = 96; // pixels of a tile at most while the whole map is seen
const GROWTH = 0.65; // tiles grow by this power of the zoom: slower than the map, so that zooming in takes piles apart

const data = JSON.parse(document.getElementById("data").textContent);
const canvas = document.getElementById("map");
const card = document.getElementById("card");
const context = canvas.getContext("2d");

const photos = data.photos.map(([x, y, group, folder, name], place) => ({ x, y, group, folder, name, place }));
const sheets = data.sheets.map((uri) => {
  const sheet = new Image();
  sheet.onload = redraw;
  sheet.src = uri;
  return sheet;
});

let view = { scale: 1, x: 0, y: 0 }; // pixels a unit, and the pixel of the world's origin
let least = 1; // the scale at which the whole map is seen
let hovered = null;
let wanted = () => true; // which photos are not dimmed
let waiting = false;

// where things are

const toScreen = (x, y) => [view.x + x * view.scale, view.y + y * view.scale];
const firstSide = () => Math.min((0.8 * WORLD * least) / Math.sqrt(Math.max(photos.length, 1)), FIRST);
const tileSide = () => firstSide() * (view.scale / least) ** GROWTH;
const uri = (photo) => data.folders[photo.folder].uri + photo.name;
const colour = (group, light) => `hsl(${(group * 137.5) % 360} 65% ${light}%)`; // neighbours in number differ in hue

function shownPath(photo) {
  const folder = data.folders[photo.folder].shown;
  try {
    return folder + decodeURIComponent(photo.name);
  } catch {
    return folder + photo.name; // a name that is not UTF-8
  }
}

const below = (element) => element.offsetTop + element.offsetHeight;

function photoAt(x, y) {
  const half = Math.max(tileSide(), DOT) / 2 + 1;
  for (let place = photos.length - 1; place >= 0; place--) {
    const [px, py] = toScreen(photos[place].x, photos[place].y);
    if (Math.abs(px - x) <= half && Math.abs(py - y) <= half && wanted(photos[place])) return photos[place];
  }
  return null;
}

// drawing

function redraw() {
  if (waiting) return;
  waiting = true;
  requestAnimationFrame(() => {
    waiting = false;
    draw();
  });
}

function draw() {
  const ratio = window.devicePixelRatio || 1;
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, innerWidth, innerHeight);
  const side = tileSide();
  for (const photo of photos) {
    const [x, y] = toScreen(photo.x, photo.y);
    if (x < -side || y < -side || x > innerWidth + side || y > innerHeight + side) continue;
    context.globalAlpha = wanted(photo) ? 1 : 0.08;
    drawPhoto(photo, x, y, side);
  }
  context.globalAlpha = 1;
  if (hovered) drawHovered(side);
  drawNames();
}

function drawPhoto(photo, x, y, side) {
  if (side < DOT) {
    context.fillStyle = colour(photo.group, 50);
    context.fillRect(x - 1.5, y - 1.5, 3, 3);
    return;
  }
  drawTile(context, photo, x - side / 2, y - side / 2, side);
}

function drawTile(onto, photo, left, top, side) {
  const sheet = sheets[Math.floor(photo.place / (data.columns * data.columns))];
  const cell = photo.place % (data.columns * data.columns);
  const [column, row] = [cell % data.columns, Math.floor(cell / data.columns)];
  if (!sheet.complete) return;
  onto.drawImage(sheet, column * data.tile, row * data.tile, data.tile, data.tile, left, top, side, side);
}

function drawHovered(side) {
  const [x, y] = toScreen(hovered.x, hovered.y);
  const shown = Math.max(side, 28);
  drawTile(context, hovered, x - shown / 2, y - shown / 2, shown);
  context.strokeStyle = colour(hovered.group, 50);
  context.lineWidth = 3;
  context.strokeRect(x - shown / 2, y - shown / 2, shown, shown);
}

// The names of groups, the largest first, whole on the screen; one that would lie over another, or over the header, is
// left out until there is room.
function drawNames() {
  const header = document.getElementById("header");
  const taken = [[header.offsetLeft, header.offsetTop, header.offsetLeft + header.offsetWidth, below(header)]];
  const near = view.scale > 2.5 * least;
  context.font = "600 14px system-ui, sans-serif";
  context.textAlign = "center";
  context.textBaseline = "middle";
  context.lineJoin = "round";
  data.groups.forEach((group, number) => {
    const [middle, y] = toScreen(group.x, group.y);
    const name = near ? group.words.join(", ") : group.words[0];
    const half = context.measureText(name).width / 2 + 6;
    if (middle < 0 || middle > innerWidth) return;
    const x = Math.max(half, Math.min(middle, innerWidth - half));
    const box = [x - half, y - 11, x + half, y + 11];
    if (taken.some((other) => box[0] < other[2] && other[0] < box[2] && box[1] < other[3] && other[1] < box[3])) return;
    taken.push(box);
    context.lineWidth = 5;
    context.strokeStyle = "rgb(0 0 0 / .75)";
    context.strokeText(name, x, y);
    context.fillStyle = colour(number, 82);
    context.fillText(name, x, y);
  });
}

// moving

function whole() {
  canvas.width = innerWidth * (window.devicePixelRatio || 1);
  canvas.height = innerHeight * (window.devicePixelRatio || 1);
  const top = below(document.getElementById("header"));
  const room = Math.max(Math.min(innerWidth, innerHeight - top - 10) - 40, 50);
  least = room / WORLD;
  view = { scale: least, x: (innerWidth - room) / 2, y: top + (innerHeight - top - room) / 2 };
  redraw();
}

function zoom(factor, x, y) {
  const most = least * (LARGEST / firstSide()) ** (1 / GROWTH);
  const scale = Math.min(Math.max(view.scale * factor, least / 2), most);
  view.x = x - ((x - view.x) * scale) / view.scale;
  view.y = y - ((y - view.y) * scale) / view.scale;
  view.scale = scale;
  redraw();
}

function move(dx, dy) {
  view.x += dx;
  view.y += dy;
  redraw();
}

const pointers = new Map();
let moved = 0; // pixels since the button went down: a click does not move

canvas.addEventListener("pointerdown", (event) => {
  canvas.setPointerCapture(event.pointerId);
  pointers.set(event.pointerId, [event.clientX, event.clientY]);
  if (pointers.size === 1) moved = 0;
});

canvas.addEventListener("pointermove", (event) => {
  const before = pointers.get(event.pointerId);
  const now = [event.clientX, event.clientY];
  if (!before) return hover(...now);
  const other = [...pointers].find(([id]) => id !== event.pointerId);
  if (other) {
    const distance = ([x, y]) => Math.hypot(x - other[1][0], y - other[1][1]);
    zoom(distance(now) / Math.max(distance(before), 1), ...other[1]);
    moved += 10;
  } else {
    move(now[0] - before[0], now[1] - before[1]);
    moved += Math.abs(now[0] - before[0]) + Math.abs(now[1] - before[1]);
  }
  pointers.set(event.pointerId, now);
  if (moved > 4) hideCard();
});

canvas.addEventListener("pointerup", (event) => {
  const wasOne = pointers.size === 1;
  pointers.delete(event.pointerId);
  if (!wasOne || moved > 4) return;
  const photo = photoAt(event.clientX, event.clientY);
  if (!photo) return hideCard();
  // a finger has nothing to hover with: its first touch shows, its second opens
  if (event.pointerType === "touch" && photo !== hovered) return hover(event.clientX, event.clientY);
  window.open(uri(photo), "_blank", "noopener");
});

canvas.addEventListener("pointercancel", (event) => pointers.delete(event.pointerId));
canvas.addEventListener("pointerleave", (event) => event.pointerType === "mouse" && hideCard());
canvas.addEventListener("dblclick", (event) => event.preventDefault());
canvas.addEventListener(
  "wheel",
  (event) => {
    event.preventDefault();
    const step = event.deltaMode === 1 ? 16 * event.deltaY : event.deltaY;
    zoom(Math.exp(-step / 400), event.clientX, event.clientY);
    hover(event.clientX, event.clientY);
  },
  { passive: false },
);

const KEYS = {
  "+": () => zoom(1.4, innerWidth / 2, innerHeight / 2),
  "=": () => zoom(1.4, innerWidth / 2, innerHeight / 2),
  "-": () => zoom(1 / 1.4, innerWidth / 2, innerHeight / 2),
  0: whole,
  ArrowLeft: () => move(80, 0),
  ArrowRight: () => move(-80, 0),
  ArrowUp: () => move(0, 80),
  ArrowDown: () => move(0, -80),
};

addEventListener("keydown", (event) => {
  if (event.target.tagName !== "INPUT" && !event.ctrlKey && !event.metaKey && KEYS[event.key]) KEYS[event.key]();
});
addEventListener("resize", whole);

document.getElementById("filter").addEventListener("input", (event) => {
  const text = event.target.value.trim().toLowerCase();
  const named = data.groups.map((group) => group.words.join(", ").toLowerCase().includes(text));
  wanted = text ? (photo) => named[photo.group] || shownPath(photo).toLowerCase().includes(text) : () => true;
  redraw();
});

// the card of the photo under the pointer: its tile at once, the file itself where it can still be read

let asked = 0;

function hover(x, y) {
  const photo = photoAt(x, y);
  if (!photo) return hideCard();
  if (photo !== hovered) show(photo);
  const [width, height] = [card.offsetWidth, card.offsetHeight];
  card.style.left = `${x + 20 + width > innerWidth ? Math.max(x - 20 - width, 0) : x + 20}px`;
  card.style.top = `${Math.max(Math.min(y + 20, innerHeight - height - 8), 8)}px`;
}

function show(photo) {
  hovered = photo;
  const [small, file, text] = card.children;
  small.style.display = "block";
  file.style.display = "none";
  small.getContext("2d").clearRect(0, 0, 280, 280);
  drawTile(small.getContext("2d"), photo, 0, 0, 280);
  text.textContent = shownPath(photo);
  const group = document.createElement("small");
  group.textContent = data.groups[photo.group].words.join(", ");
  text.append(group);
  card.style.display = "block";
  clearTimeout(asked);
  asked = setTimeout(() => (file.src = uri(photo)), 150); // not for every photo that the pointer passes
  file.onload = () => {
    if (hovered !== photo) return;
    small.style.display = "none";
    file.style.display = "block";
  };
  redraw();
}

function hideCard() {
  if (!hovered) return;
  hovered = null;
  clearTimeout(asked);
  card.style.display = "none";
  redraw();
}

document.getElementById("title").textContent = data.title;
document.getElementById("count").textContent = data.count;
whole();
