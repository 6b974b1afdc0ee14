// Other looks at the whole library: groups of what is alike, the map, photos that are there several times.
import { html } from "htm/preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { get, thumbnail } from "./api.js";
import { folderOf, nameOf } from "./library.js";
import { ask, copyText } from "./state.js";

// What takes the server long is asked for again until it is there.
async function patiently(address, signal) {
  for (let tries = 0; ; tries++) {
    try {
      return await get(address, {}, signal);
    } catch (error) {
      if (error.name === "AbortError" || tries > 20 || !/No answer within/.test(error.message)) throw error;
    }
  }
}

function useAnswer(address) {
  const [answer, setAnswer] = useState({});
  useEffect(() => {
    const abort = new AbortController();
    patiently(address, abort.signal).then(
      (told) => setAnswer({ told }),
      (error) => error.name !== "AbortError" && setAnswer({ error: error.message }),
    );
    return () => abort.abort();
  }, [address]);
  return answer;
}

function Waiting({ error, words }) {
  if (error) return html`<div class="trouble" role="alert"><h2>That did not work</h2><p>${error}</p></div>`;
  return html`<div class="trouble"><span class="busy" role="progressbar" aria-label="Loading"></span><p>${words}</p></div>`;
}

export function Groups() {
  const { told, error } = useAnswer("api/groups");
  if (!told) return html`<${Waiting} error=${error} words="Looking at what is alike …" />`;
  return html`<ul class="cards">${told.groups.map((group, number) => html`<li key=${number}>
    <button onClick=${() => ask({ group: number, view: "groups" })}>
      <span class="collage">${group.ids.slice(0, 4).map((id) => html`<img src=${thumbnail(id)} alt="" loading="lazy" />`)}</span>
      <b>${group.name}</b><small>${group.photos.toLocaleString("en")} photos</small>
    </button></li>`)}</ul>`;
}

export function Duplicates() {
  const { told, error } = useAnswer("api/duplicates");
  if (!told) return html`<${Waiting} error=${error} words="Comparing photos that look the same …" />`;
  const spare = told.groups.flatMap(({ others }) => others.filter(({ reason }) => reason !== "burst"));
  const bytes = spare.reduce((sum, { facts }) => sum + facts.file_size, 0);
  if (!told.groups.length) return html`<div class="trouble"><h2>No photo is there twice</h2></div>`;
  const paths = spare.map(({ path }) => path).join("\n");
  const address = `data:text/plain;charset=utf-8,${encodeURIComponent(`${paths}\n`)}`;
  return html`<div class="scroll review">
    <div class="review-line"><p>${told.groups.length} groups. Beside the best of each, ${spare.length} files of ${(bytes / 1e6).toFixed(1)} MB could go; nothing is deleted here.</p>
      <button disabled=${!spare.length} onClick=${() => copyText(paths, `${spare.length} paths copied`)}>Copy the list</button>
      ${spare.length > 0 && html`<a class="button" href=${address} download="duplicates.txt">Save the list</a>`}</div>
    ${told.groups.map(({ best, others }) => html`<section key=${best.id} class="twins">
      ${[{ ...best, reason: "best" }, ...others].map((one) => html`<figure key=${one.id}>
        <button class="picture" aria-label=${`Open ${nameOf(one)}`} onClick=${() => ask({ open: one.id })}><img src=${thumbnail(one.id)} alt="" loading="lazy" /></button>
        <figcaption><span class=${`kind ${one.reason}`}>${one.reason}</span> ${nameOf(one)}
          <small>${one.facts.width} × ${one.facts.height}, ${Math.round(one.facts.file_size / 1000)} kB ${one.detail ? html`<br />${one.detail}` : ""}<br />${folderOf(one)}</small></figcaption>
      </figure>`)}
    </section>`)}
  </div>`;
}

const TILE = 68;
const hue = (group) => (group * 137.5) % 360; // neighbours in number differ

// Alike photos side by side: a canvas to drag and zoom, with as many thumbnails as have room and dots for the others.
export function Map_() {
  const { told, error } = useAnswer("api/map");
  const canvas = useRef(null);
  const [hovered, setHovered] = useState(null);
  useEffect(() => told && drawMap(canvas.current, told, setHovered), [told]);
  if (!told) return html`<${Waiting} error=${error} words="Laying photos out by likeness: for some thousands this takes a minute …" />`;
  return html`<div class="map">
    <canvas ref=${canvas} tabindex="0" role="img" aria-label=${`A map of ${told.photos.length} photos in ${told.groups.length} groups: ${told.groups.join("; ")}`}></canvas>
    ${hovered && html`<div class="map-card" style=${{ left: `${hovered.x}px`, top: `${hovered.y}px` }}><img src=${thumbnail(hovered.id)} alt="" /><span>${told.groups[hovered.group]}</span></div>`}
    <p class="hint">Drag to move, wheel or pinch to zoom, click a photo to open it</p>
  </div>`;
}

function drawMap(canvas, { photos, groups }, setHovered) {
  const pen = canvas.getContext("2d");
  const pictures = new Map();
  const dark = matchMedia("(prefers-color-scheme: dark)").matches;
  let [width, height] = [0, 0];
  let stretch = 1; // of a window that is wider than high
  let view = { scale: 1, x: 0, y: 0 };
  let placed = [];
  let isWaiting = false;
  const redraw = () => {
    if (isWaiting) return;
    isWaiting = true;
    requestAnimationFrame(() => {
      isWaiting = false;
      draw();
    });
  };
  const middles = groups.map((name, number) => {
    const own = photos.filter((photo) => photo[3] === number);
    const middle = (place) => own.map((photo) => photo[place]).sort((one, other) => one - other)[own.length >> 1] ?? 0;
    return { name, x: middle(1), y: middle(2), count: own.length, number };
  });
  const picture = (id) => {
    if (!pictures.has(id)) {
      const image = new Image();
      image.onload = redraw;
      image.src = thumbnail(id);
      pictures.set(id, image);
    }
    return pictures.get(id);
  };
  const screen = (x, y) => [view.x + x * view.scale * stretch, view.y + y * view.scale];
  function draw() {
    const ratio = devicePixelRatio || 1;
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.clearRect(0, 0, width, height);
    const taken = new Map(); // what is placed, by squares of the size of a tile: only neighbours can overlap
    const room = TILE + 6;
    const isFree = (x, y, column, row) => {
      for (let a = column - 1; a <= column + 1; a++)
        for (let b = row - 1; b <= row + 1; b++) {
          const other = taken.get(`${a} ${b}`);
          if (other && Math.abs(other[0] - x) < room && Math.abs(other[1] - y) < room) return false;
        }
      return true;
    };
    placed = [];
    const dots = [];
    for (const photo of photos) {
      const [x, y] = screen(photo[1], photo[2]);
      if (x < -TILE || y < -TILE || x > width + TILE || y > height + TILE) continue;
      const [column, row] = [Math.floor(x / room), Math.floor(y / room)];
      if (isFree(x, y, column, row)) {
        taken.set(`${column} ${row}`, [x, y]);
        placed.push([x, y, photo]);
      } else dots.push([x, y, photo]);
    }
    for (const [x, y, photo] of dots) {
      pen.fillStyle = `hsl(${hue(photo[3])} 55% ${dark ? 62 : 48}% / 0.75)`;
      pen.beginPath();
      pen.arc(x, y, 3, 0, 7);
      pen.fill();
    }
    for (const [x, y, photo] of placed) {
      const image = picture(photo[0]);
      const side = TILE / 2;
      pen.fillStyle = `hsl(${hue(photo[3])} 45% ${dark ? 40 : 70}%)`;
      pen.fillRect(x - side - 2, y - side - 2, TILE + 4, TILE + 4);
      if (!image.complete || !image.naturalWidth) continue;
      const cut = Math.min(image.naturalWidth, image.naturalHeight);
      pen.drawImage(image, (image.naturalWidth - cut) / 2, (image.naturalHeight - cut) / 2, cut, cut, x - side, y - side, TILE, TILE);
    }
    pen.font = "600 13px system-ui, sans-serif";
    pen.textAlign = "center";
    const boxes = [];
    for (const { name, x, y, number } of middles) {
      const [left, top] = screen(x, y);
      const label = name.split(", ")[0];
      const wide = pen.measureText(label).width / 2 + 8;
      if (boxes.some(([a, b, w]) => Math.abs(a - left) < w + wide && Math.abs(b - top) < 26)) continue;
      boxes.push([left, top, wide]);
      pen.fillStyle = dark ? "rgb(18 19 21 / 0.88)" : "rgb(255 255 255 / 0.92)";
      pen.beginPath();
      pen.roundRect(left - wide, top - 12, 2 * wide, 24, 12);
      pen.fill();
      pen.fillStyle = `hsl(${hue(number)} 60% ${dark ? 75 : 28}%)`;
      pen.fillText(label, left, top + 4.5);
    }
  }
  const zoom = (factor, x, y) => {
    const scale = Math.min(40 * Math.min(width, height), Math.max(0.6 * Math.min(width, height), view.scale * factor));
    view = { scale, x: x - ((x - view.x) * scale) / view.scale, y: y - ((y - view.y) * scale) / view.scale };
    redraw();
  };
  const size = () => {
    const isFirst = !width;
    [width, height] = [canvas.parentElement.clientWidth, canvas.parentElement.clientHeight];
    const ratio = devicePixelRatio || 1;
    [canvas.width, canvas.height] = [width * ratio, height * ratio];
    stretch = Math.min(1.7, Math.max(1, (width - 2 * TILE) / (height - TILE)));
    const scale = Math.min((width - 2 * TILE) / stretch, height - TILE);
    if (isFirst) view = { scale, x: (width - scale * stretch) / 2, y: (height - scale) / 2 };
    redraw();
  };
  const watcher = new ResizeObserver(size);
  watcher.observe(canvas.parentElement);
  const at = (event) => {
    const box = canvas.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  };
  const under = (x, y) => placed.findLast(([a, b]) => Math.abs(a - x) < TILE / 2 && Math.abs(b - y) < TILE / 2)?.[2];
  const fingers = new Map();
  let moved = 0;
  canvas.onpointerdown = (event) => {
    canvas.setPointerCapture(event.pointerId);
    fingers.set(event.pointerId, at(event));
    moved = 0;
  };
  canvas.onpointermove = (event) => {
    const [x, y] = at(event);
    const was = fingers.get(event.pointerId);
    if (!was) {
      const photo = under(x, y);
      setHovered(photo ? { id: photo[0], group: photo[3], x: Math.min(x + 18, width - 220), y: Math.min(y + 18, height - 240) } : null);
      canvas.style.cursor = photo ? "zoom-in" : "grab";
      return;
    }
    setHovered(null);
    const others = [...fingers].filter(([id]) => id !== event.pointerId);
    if (others.length) {
      const [, [a, b]] = others[0];
      zoom(Math.hypot(x - a, y - b) / Math.max(1, Math.hypot(was[0] - a, was[1] - b)), (x + a) / 2, (y + b) / 2);
    } else {
      view.x += x - was[0];
      view.y += y - was[1];
      redraw();
    }
    moved += Math.abs(x - was[0]) + Math.abs(y - was[1]);
    fingers.set(event.pointerId, [x, y]);
  };
  canvas.onpointerup = (event) => {
    fingers.delete(event.pointerId);
    const photo = moved < 6 && under(...at(event));
    if (photo) ask({ open: photo[0] });
  };
  canvas.onpointerleave = () => setHovered(null);
  canvas.onwheel = (event) => {
    event.preventDefault();
    zoom(Math.exp(-event.deltaY / 400), ...at(event));
  };
  canvas.onkeydown = (event) => {
    const steps = { ArrowLeft: [60, 0], ArrowRight: [-60, 0], ArrowUp: [0, 60], ArrowDown: [0, -60] }[event.key];
    if (steps) [view.x, view.y] = [view.x + steps[0], view.y + steps[1]];
    else if (event.key === "+") return zoom(1.3, width / 2, height / 2);
    else if (event.key === "-") return zoom(1 / 1.3, width / 2, height / 2);
    else return undefined;
    event.preventDefault();
    return redraw();
  };
  return () => watcher.disconnect();
}
