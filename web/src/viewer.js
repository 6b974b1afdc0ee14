// One photo, large: PhotoSwipe zooms and swipes; beside it what is known of the photo and what to do with it.
import PhotoSwipe from "photoswipe";
import { render } from "preact";
import { signal } from "@preact/signals";
import { html } from "htm/preact";
import { useEffect, useState } from "preact/hooks";
import { get, original, thumbnail } from "./api.js";
import { cropping } from "./askbar.js";
import { Grid } from "./grid.js";
import { Icon } from "./icons.js";
import { dateOf, described, folderOf, items, nameOf, shown, told } from "./library.js";
import { ask, copyText, isQuestion, mark, NOTHING, question, say } from "./state.js";

const BROWSERS_SHOW = /\.(jpe?g|jpe|jfif|png|webp|gif|avif|bmp)$/i;
const LARGE = 4000; // pixels of a side from which on the large thumbnail is shown first

let viewer = null;
const current = signal(null);
const isPanel = signal(matchMedia("(min-width: 760px)").matches);
const heat = signal(null);
const isReading = signal(false); // whether all words that were read in the photo are outlined

// Shows the photo of an id, or none.
export function show(id) {
  if (!id) return viewer && leave(viewer);
  if (viewer) {
    const place = shown.value?.ids.indexOf(id) ?? -1;
    if (current.value !== id && place >= 0) viewer.goTo(place);
    return undefined;
  }
  const list = shown.value?.ids;
  if (!list) return void setTimeout(() => question.value.open === id && show(id), 60);
  const place = list.indexOf(id);
  open(place < 0 ? [id] : list, Math.max(0, place));
  return undefined;
}

async function known(ids) {
  const lacking = ids.filter((id) => !items.has(id));
  if (!lacking.length) return;
  const found = await get("api/items", { id: lacking });
  for (const item of found.items) items.set(item.id, item);
  told.value++;
}

function sizes(item) {
  const { width = 1200, height = 900 } = item?.facts ?? {};
  return { width, height };
}

function source(item) {
  const { width, height } = sizes(item);
  const fits = BROWSERS_SHOW.test(item?.path ?? "") && Math.max(width, height) <= LARGE;
  return fits ? original(item.id) : thumbnail(item.id, "large");
}

async function open(list, place) {
  await known([...list.slice(Math.max(0, place - 2), place + 3)]).catch(() => {});
  if (viewer) return;
  viewer = new PhotoSwipe({
    dataSource: [],
    index: place,
    bgOpacity: 1,
    loop: false,
    preload: [1, 2],
    showHideAnimationType: "fade",
    showAnimationDuration: 120,
    hideAnimationDuration: 120,
    counter: list.length > 1,
    padding: { top: 0, bottom: 0, left: 0, right: 0 },
    paddingFn: ({ x, y }) =>
      !isPanel.value
        ? { top: 56, bottom: 0, left: 0, right: 0 }
        : x >= 760
          ? { top: 56, bottom: 24, left: 24, right: 380 }
          : { top: 56, bottom: 0.46 * y, left: 0, right: 0 },
    mainClass: "viewer",
  });
  viewer.addFilter("numItems", () => list.length);
  viewer.addFilter("itemData", (_, index) => {
    const id = list[index];
    const item = items.get(id);
    if (!item) known([...list.slice(Math.max(0, index - 3), index + 8)]).then(() => viewer?.refreshSlideContent(index), () => {});
    return { src: item ? source(item) : thumbnail(id, "large"), msrc: thumbnail(id), alt: described(item), ...sizes(item) };
  });
  viewer.on("change", () => {
    const id = list[viewer.currIndex];
    current.value = id;
    heat.value = null;
    if (question.value.open !== id) ask({ open: id }, { replace: true });
  });
  viewer.on("imageSizeChange", ({ slide, width, height }) => slide === viewer.currSlide && fit(width, height));
  viewer.on("uiRegister", () => {
    viewer.ui.registerElement({ name: "panel", order: 20, isButton: false, appendTo: "root", onInit: (at) => render(html`<${Panel} />`, at) });
    viewer.ui.registerElement({
      name: "facts",
      order: 8,
      isButton: true,
      title: "What is known of it",
      html: '<svg class="pswp__icn icon" viewBox="0 0 24 24" aria-hidden="true"><path d="M12 11v6M12 7.500v.01M12 3a9 9 0 1 1 0 18 9 9 0 0 1 0-18Z"/></svg>',
      onClick: () => {
        isPanel.value = !isPanel.value;
        viewer.updateSize(true);
      },
    });
  });
  viewer.on("keydown", ({ originalEvent: event }) => {
    if (/^(INPUT|TEXTAREA)$/.test(event.target.tagName)) event.stopPropagation();
    if (event.key === "s") like(current.value, 1);
  });
  viewer.on("destroy", () => {
    const last = list.indexOf(current.value);
    viewer = null;
    current.value = heat.value = null;
    if (question.value.open) ask({ open: null }, { replace: true });
    if (shown.value?.ids === list && last >= 0) Grid.move?.(last);
  });
  viewer.init();
  viewer.element.setAttribute("aria-label", "A photo, large");
}

function like(id, weight) {
  const { terms } = question.value;
  if (weight > 0) ask({ ...NOTHING, terms: [{ id, weight }] });
  else ask({ terms: [...terms, { id, weight }], sort: "", fits: null, view: "" });
}

// The heat map is laid over the slide and moves with it.
async function warm(id, sentence) {
  heat.value = { id, sentence, isLoading: true };
  try {
    const found = await get(`api/items/${id}/explain`, { sentence });
    if (current.value !== id) return;
    heat.value = { id, sentence, ...found };
    draw(found);
  } catch (error) {
    heat.value = null;
    say(error.message);
  }
}

function draw({ cells, box, best }) {
  cool();
  const all = cells.flat().sort((one, other) => one - other);
  const low = all[Math.floor(all.length * 0.5)];
  const canvas = document.createElement("canvas");
  canvas.className = "heat";
  [canvas.width, canvas.height] = [cells[0].length, cells.length];
  const pen = canvas.getContext("2d");
  const pixels = pen.createImageData(canvas.width, canvas.height);
  cells.flat().forEach((cosine, place) => {
    const warmth = Math.min(1, Math.max(0, (cosine - low) / Math.max(1e-6, best - low)));
    pixels.data.set([255, 190 * warmth ** 1.5 + 30, 40, 215 * warmth], 4 * place);
  });
  pen.putImageData(pixels, 0, 0);
  canvas.dataset.box = JSON.stringify(box);
  viewer.currSlide.container.append(canvas);
  refit();
}

// The lines that were read in a photo, each with its box in shares of width and height.
function linesOf(item) {
  const { words = "", boxes = [] } = item?.facts ?? {};
  return words.split("\n").flatMap((text, place) => (boxes[place] ? [{ text, box: boxes[place] }] : []));
}

// Whether a line holds a word of the question.
function answers(line, terms) {
  const words = terms.flatMap((term) => (term.text && term.weight > 0 ? term.text.toLowerCase().match(/[\p{L}\p{N}]{3,}/gu) ?? [] : []));
  return words.some((word) => line.text.toLowerCase().includes(word));
}

function outline(lines) {
  document.querySelectorAll(".read").forEach((box) => box.remove());
  const slide = viewer?.currSlide;
  if (!slide) return;
  for (const { text, box } of lines) {
    const frame = document.createElement("div");
    frame.className = "read";
    frame.dataset.box = JSON.stringify(box);
    frame.setAttribute("aria-label", text);
    slide.container.append(frame);
  }
  refit();
}

function refit() {
  const { content } = viewer.currSlide;
  fit(content.displayedImageWidth || content.element?.clientWidth || 0, content.displayedImageHeight || content.element?.clientHeight || 0);
}

const cool = () => document.querySelectorAll("canvas.heat").forEach((canvas) => canvas.remove());

function fit(width, height) {
  for (const laid of document.querySelectorAll(".pswp [data-box]")) {
    const [left, top, right, bottom] = JSON.parse(laid.dataset.box);
    Object.assign(laid.style, {
      left: `${left * width}px`,
      top: `${top * height}px`,
      width: `${(right - left) * width}px`,
      height: `${(bottom - top) * height}px`,
    });
  }
}

function Panel() {
  const id = current.value;
  const [detail, setDetail] = useState(null);
  const [alike, setAlike] = useState([]);
  useEffect(() => {
    setDetail(null);
    setAlike([]);
    if (!id) return undefined;
    const abort = new AbortController();
    const timer = setTimeout(() => {
      get(`api/items/${id}`, {}, abort.signal).then(setDetail, () => {});
      get(`api/items/${id}/similar`, { k: 8 }, abort.signal).then(({ hits }) => {
        for (const hit of hits) if (!items.has(hit.id)) items.set(hit.id, hit);
        setAlike(hits);
      }, () => {});
    }, 150);
    return () => {
      clearTimeout(timer);
      abort.abort();
    };
  }, [id]);
  void told.value;
  const item = detail ?? items.get(id);
  const lines = linesOf(item);
  useEffect(() => outline(lines.filter((line) => isReading.value || answers(line, question.value.terms))), [id, isReading.value, lines.length, question.value.terms]);
  if (!isPanel.value || !item) return null;
  const { facts } = item;
  const hit = items.get(id);
  const place = facts.latitude != null && (facts.city ? `${facts.city}, ${facts.country}` : `${facts.latitude.toFixed(3)}, ${facts.longitude.toFixed(3)}`);
  const words = question.value.terms.filter((term) => term.text && term.weight > 0);
  return html`<div class="panel" role="region" aria-label="About this photo" onPointerDown=${(event) => event.stopPropagation()}>
    <h2>${nameOf(item)}</h2>
    <p class="soft">${dateOf(item)}${facts.taken ? "" : " (the file's date)"}</p>
    ${hit?.probability != null && html`<p class="soft">Fits with a probability of ${Math.round(hit.probability * 100)} %</p>`}
    ${hit?.match != null && html`<p class="soft">Matches the words with a probability of ${Math.round(hit.match * 100)} %, looked at together</p>`}
    ${item.missing && html`<p class="warn">The file is not where it was.</p>`}
    ${detail?.captions?.map((caption) => html`<blockquote>${caption}</blockquote>`)}
    ${detail && Object.keys(detail.tags).length > 0 && html`<ul class="tags">${Object.keys(detail.tags).map((tag) => html`<li><button onClick=${() => ask({ ...NOTHING, filters: [{ field: "tag", value: tag, negated: false }] })}>${tag}</button></li>`)}</ul>`}
    <div class="actions">
      <button onClick=${() => like(id, 1)}><${Icon} name="like" />More like this</button>
      <button disabled=${!question.value.terms.length} onClick=${() => like(id, -1)}><${Icon} name="unlike" />Less like this</button>
      ${isQuestion(question.value) && html`<button onClick=${() => mark([id], "right")}><${Icon} name="check" />Right</button>
        <button onClick=${() => mark([id], "wrong")}><${Icon} name="close" />Wrong</button>`}
      <button onClick=${() => (cropping.value = { src: source(item), done: (photo) => ask({ ...NOTHING, terms: [{ photo, weight: 1 }] }) })}><${Icon} name="crop" />Find a detail</button>
      ${item.modality === "video" && html`<a class="button" href=${`${original(id)}#t=${item.part.slice(1)}`} target="_blank" rel="noreferrer">Play from ${clock(item.part.slice(1))}</a>`}
      <a class="button" href=${original(id, true)} download><${Icon} name="download" />Download</a>
    </div>
    ${lines.length > 0 && html`<details class="words"><summary>Words in it</summary><p>${lines.map((line) => html`${line.text}<br />`)}</p></details>
      <button class="plain" aria-pressed=${isReading.value} onClick=${() => (isReading.value = !isReading.value)}>${isReading.value ? "Hide" : "Show"} where they stand</button>`}
    <${HeatForm} id=${id} usual=${words[0]?.text ?? ""} />
    <dl>
      ${facts.camera && html`<dt>Camera</dt><dd>${facts.camera}${facts.lens ? html`<br />${facts.lens}` : ""}</dd>`}
      ${facts.width && html`<dt>Size</dt><dd>${facts.width} × ${facts.height}, ${bytesOf(facts.file_size)}</dd>`}
      ${place && html`<dt>Place</dt><dd>${facts.city ? html`<button class="link" onClick=${() => ask({ ...NOTHING, filters: [{ field: "place", value: place, negated: false }] })}>${place}</button>` : place} <a href=${`https://www.openstreetmap.org/?mlat=${facts.latitude}&mlon=${facts.longitude}#map=14/${facts.latitude}/${facts.longitude}`} target="_blank" rel="noreferrer">on the map</a></dd>`}
      <dt>Folder</dt><dd class="path">${folderOf(item)}
        <span class="small-actions"><button class="plain" onClick=${() => ask({ ...NOTHING, filters: [{ field: "in", value: folderOf(item), negated: false }] })}>Show folder</button>
        <button class="plain" onClick=${() => copyText(item.path, "Path copied")}>Copy path</button></span></dd>
    </dl>
    ${alike.length > 0 && html`<h3>Alike</h3><div class="alike">${alike.map((one) => html`<button key=${one.id} aria-label=${described(one)} title=${nameOf(one)} onClick=${() => jump(one.id)}><img src=${thumbnail(one.id)} alt="" /></button>`)}</div>`}
  </div>`;
}

// To a photo that may not be among those that are leafed through.
function jump(id) {
  const place = shown.value?.ids.indexOf(id) ?? -1;
  if (place >= 0 && viewer.getNumItems() > 1) return viewer.goTo(place);
  const old = viewer;
  old.on("destroy", () => setTimeout(() => ask({ open: id }), 0));
  return leave(old);
}

function HeatForm({ id, usual }) {
  const [words, setWords] = useState(usual);
  const told = heat.value;
  useEffect(() => setWords(usual), [usual]);
  const isOn = told?.id === id && told.cells;
  useEffect(() => {
    if (!told) cool();
  }, [told]);
  return html`<form class="heat-form" onSubmit=${(event) => {
    event.preventDefault();
    if (isOn && told.sentence === words) heat.value = null;
    else if (words.trim()) warm(id, words.trim());
  }}>
    <input aria-label="Where in the photo is" placeholder="Where is … ? A red car" value=${words} onInput=${(event) => setWords(event.currentTarget.value)}
      onKeyDown=${(event) => event.stopPropagation()} />
    <button disabled=${told?.isLoading}><${Icon} name="heat" />${told?.isLoading ? "Looking…" : isOn && told.sentence === words ? "Hide" : "Where?"}</button>
  </form>`;
}

const clock = (seconds) => `${Math.floor(seconds / 60)}:${String(Math.floor(seconds % 60)).padStart(2, "0")}`;
const bytesOf = (bytes) => (bytes > 1e6 ? `${(bytes / 1e6).toFixed(1)} MB` : `${Math.max(1, Math.round(bytes / 1e3))} kB`);

// Closes a viewer: PhotoSwipe hears no close while it opens.
function leave(open) {
  if (open.opener.isOpen || open.isDestroying) return open.close();
  return open.on("openingAnimationEnd", () => open.close());
}
