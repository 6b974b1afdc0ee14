// Where one asks: a line of words with suggestions, chips for what is asked, a photo dropped, pasted or picked.
import { signal } from "@preact/signals";
import { html } from "htm/preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { get, thumbnail } from "./api.js";
import { Icon } from "./icons.js";
import { answer } from "./library.js";
import { ask, isQuestion, NOTHING, question, say, sortOf, termsOf, toggle, wordsOf } from "./state.js";

const FACET_NAMES = { in: "folder", camera: "camera", tag: "tag", place: "place", type: "type", on: "date", lens: "lens", colour: "colours" };

// The photo of which a detail is being marked: {blob | src, done}.
export const cropping = signal(null);

export function AskBar() {
  const [line, setLine] = useState("");
  const [offers, setOffers] = useState([]);
  const [place, setPlace] = useState(-1);
  const input = useRef(null);
  const file = useRef(null);

  useEffect(() => {
    const onKey = (event) => {
      if (event.key === "/" && !/^(INPUT|TEXTAREA|SELECT)$/.test(document.activeElement.tagName)) {
        event.preventDefault();
        input.current.focus();
        input.current.select();
      }
    };
    addEventListener("keydown", onKey);
    return () => removeEventListener("keydown", onKey);
  }, []);

  useEffect(() => {
    setPlace(-1);
    if (line.trim().length < 2) return setOffers([]);
    const abort = new AbortController();
    const timer = setTimeout(
      () => get("api/suggestions", { text: line }, abort.signal).then((told) => setOffers(told.suggestions), () => {}),
      120,
    );
    return () => {
      clearTimeout(timer);
      abort.abort();
    };
  }, [line]);

  const submit = async () => {
    setLine("");
    setOffers([]);
    if (!line.trim()) return;
    const read = await get("api/reading", { text: line }).catch(() => ({ text: line, filters: [] }));
    const terms = termsOf(read.text);
    if (terms.length || read.filters.length) askFor(terms, line, read.filters);
  };
  const take = (offer) => {
    if (offer.field) {
      toggle(offer.field, offer.value);
      setLine(line.replace(/\S+\s*$/, ""));
    } else setLine(offer.value);
    setOffers([]);
    input.current.focus();
  };
  const onKeyDown = (event) => {
    if (event.key === "ArrowDown" && offers.length) setPlace((place + 1) % offers.length);
    else if (event.key === "ArrowUp" && offers.length) setPlace(place <= 0 ? offers.length - 1 : place - 1);
    else if (event.key === "Escape") {
      if (offers.length) setOffers([]);
      else input.current.blur();
    } else if (event.key === "Enter") {
      if (place >= 0) take(offers[place]);
      else submit();
    } else if (event.key === "Backspace" && !line && question.value.terms.length) {
      const last = question.value.terms.at(-1);
      ask({ terms: question.value.terms.slice(0, -1) });
      if (last.text) setLine(`${last.weight < 0 ? "- " : ""}${last.text}`);
    } else return;
    event.preventDefault();
  };

  return html`<form class="ask" role="search" onSubmit=${(event) => {
    event.preventDefault();
    submit();
  }}>
    <${Icon} name="search" />
    <input
      ref=${input}
      type="text"
      enterkeyhint="search"
      autocomplete="off"
      placeholder=${isQuestion(question.value) ? "Ask anew, or refine: + at night  − people" : "Describe what you look for, or drop a photo"}
      aria-label="Ask"
      role="combobox"
      aria-autocomplete="list"
      aria-expanded=${offers.length > 0}
      aria-controls="offers"
      aria-activedescendant=${place >= 0 ? `offer-${place}` : null}
      value=${line}
      onInput=${(event) => setLine(event.currentTarget.value)}
      onKeyDown=${onKeyDown}
      onBlur=${() => setTimeout(() => setOffers([]), 150)}
    />
    <button type="button" class="plain" aria-label="Look for a photo of yours" title="Look for a photo of yours (or drop or paste one)"
      onClick=${() => file.current.click()}><${Icon} name="photo" /></button>
    <input ref=${file} type="file" accept="image/*,.heic,.heif" hidden onChange=${(event) => {
      askWithPhoto(event.currentTarget.files[0]);
      event.currentTarget.value = "";
    }} />
    <ul id="offers" class="offers" role="listbox" aria-label="Suggestions" hidden=${!offers.length}>
      ${offers.map((offer, number) => html`<li
        key=${`${offer.field} ${offer.value}`}
        id=${`offer-${number}`}
        role="option"
        aria-selected=${number === place}
        onPointerDown=${(event) => {
          event.preventDefault();
          take(offer);
        }}
      ><span>${offer.field === "in" ? offer.value.split("/").at(-1) : offer.value}</span>
        <small>${offer.field ? `${FACET_NAMES[offer.field] ?? offer.field}, ${offer.count}` : ""}</small></li>`)}
    </ul>
  </form>`;
}

// A sentence takes the place of the one before; what has a sign refines. What it says of dates and colours is chips.
function askFor(terms, line, read) {
  const { terms: before, filters } = question.value;
  const isRefining = /^\s*[+-]/.test(line);
  const kept = isRefining ? before : before.filter((term) => term.photo);
  const isOn = ({ field, value }) => filters.some((one) => one.field === field && one.value === value);
  const added = read.filter((one) => !isOn(one)).map(({ field, value, negated }) => ({ field, value, negated }));
  ask({ ...(isRefining ? {} : { right: [], wrong: [] }), terms: [...kept, ...terms], filters: [...filters, ...added], sort: "", fits: null, view: "" });
}

export function askWithPhoto(photo) {
  if (!photo) return;
  if (photo.type && !photo.type.startsWith("image/")) return say(`${photo.name} is no photo.`);
  ask({ ...NOTHING, terms: [{ photo, weight: 1 }], filters: question.value.filters });
}

export function Chips() {
  const { terms, filters, right, wrong, group } = question.value;
  if (!terms.length && !filters.length && group === null) return null;
  const change = (place, term) => ask({ terms: terms.map((one, other) => (other === place ? term : one)) });
  const remove = (place) => ask({ terms: terms.filter((_, other) => other !== place) });
  return html`<ul class="chips" aria-label="What is asked">
    ${terms.map((term, place) => html`<li key=${`t${place}`} class=${term.weight < 0 ? "chip minus" : "chip"}>
      <button class="sign" aria-label=${term.weight < 0 ? "Taken away; add it instead" : "Added; take it away instead"}
        title="wanted or not" onClick=${() => change(place, { ...term, weight: -term.weight })}>${term.weight < 0 ? "−" : "+"}</button>
      <${What} term=${term} onCrop=${(photo) => change(place, { ...term, photo })} />
      <button class="weight" aria-label=${`Weight ${Math.abs(term.weight)}; change`} title="how much it counts"
        onClick=${() => change(place, { ...term, weight: heavier(term.weight) })}>${Math.abs(term.weight) === 1 ? "×1" : `×${Math.abs(term.weight)}`}</button>
      <button class="close" aria-label="Remove" onClick=${() => remove(place)}><${Icon} name="close" /></button>
    </li>`)}
    ${filters.map((one) => html`<li key=${`${one.field} ${one.value} ${one.negated}`} class=${one.negated ? "chip filter minus" : "chip filter"}>
      <button class="sign" aria-label=${one.negated ? "Left out; show only these instead" : "Only these; leave them out instead"} title="only these, or all others"
        onClick=${() => ask({ filters: filters.map((other) => (other === one ? { ...one, negated: !one.negated } : other)) })}>${one.negated ? "not" : "only"}</button>
      <span>${FACET_NAMES[one.field] ?? one.field} ${one.field === "in" ? one.value.split("/").at(-1) : one.value}</span>
      <button class="close" aria-label="Remove" onClick=${() => toggle(one.field, one.value, one.negated)}><${Icon} name="close" /></button>
    </li>`)}
    ${group !== null && html`<li class="chip filter"><span>${answer.value.group?.name ?? "group"}</span>
      <button class="close" aria-label="Leave the group" onClick=${() => ask({ group: null, view: terms.length ? "" : "groups" })}><${Icon} name="close" /></button></li>`}
    ${right.length + wrong.length > 0 && html`<li class="chip filter"><span>${[right.length && `${right.length} right`, wrong.length && `${wrong.length} wrong`].filter(Boolean).join(", ")}</span>
      <button class="close" aria-label="Forget the marks" onClick=${() => ask({ right: [], wrong: [] })}><${Icon} name="close" /></button></li>`}
    <li><button class="plain" onClick=${() => ask(NOTHING)}>Clear</button></li>
  </ul>`;
}

function heavier(weight) {
  const steps = [1, 2, 0.5];
  return Math.sign(weight) * steps[(steps.indexOf(Math.abs(weight)) + 1) % steps.length];
}

function What({ term, onCrop }) {
  const [src, setSrc] = useState(null);
  useEffect(() => {
    if (!term.photo) return undefined;
    const made = URL.createObjectURL(term.photo);
    setSrc(made);
    return () => URL.revokeObjectURL(made);
  }, [term.photo]);
  if (term.photo)
    return html`<button class="what" title="Mark a detail of it" aria-label="Your photo; mark a detail of it"
      onClick=${() => (cropping.value = { src, done: onCrop })}>${src && html`<img src=${src} alt="" />`}</button>`;
  if (term.id)
    return html`<button class="what" aria-label="A photo of the library" onClick=${() => ask({ open: term.id })}><img src=${thumbnail(term.id)} alt="" /></button>`;
  return html`<span>${wordsOf(term)}</span>`;
}

// A drop or a paste anywhere on the page.
export function DropTarget() {
  const [isOver, setOver] = useState(false);
  useEffect(() => {
    const hasFile = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files");
    const over = (event) => {
      if (!hasFile(event)) return;
      event.preventDefault();
      setOver(true);
    };
    const leave = (event) => event.relatedTarget === null && setOver(false);
    const drop = (event) => {
      if (!hasFile(event)) return;
      event.preventDefault();
      setOver(false);
      askWithPhoto(event.dataTransfer.files[0]);
    };
    const paste = (event) => {
      const photo = [...(event.clipboardData?.files ?? [])].find(({ type }) => type.startsWith("image/"));
      if (photo) askWithPhoto(photo);
    };
    const listeners = { dragover: over, dragleave: leave, drop, paste };
    for (const [name, listener] of Object.entries(listeners)) addEventListener(name, listener);
    return () => {
      for (const [name, listener] of Object.entries(listeners)) removeEventListener(name, listener);
    };
  }, []);
  return isOver && html`<div class="drop"><p>Drop the photo to find others like it</p></div>`;
}

// A rectangle drawn on a photo becomes a photo of its own.
export function Cropper() {
  const { src, done } = cropping.value;
  const [box, setBox] = useState(null);
  const image = useRef(null);
  const dialog = useRef(null);
  useEffect(() => dialog.current.showModal(), []);
  const at = (event) => {
    const { left, top, width, height } = image.current.getBoundingClientRect();
    const share = (value, size) => Math.min(1, Math.max(0, value / size));
    return [share(event.clientX - left, width), share(event.clientY - top, height)];
  };
  const shape = box && {
    left: Math.min(box[0], box[2]),
    top: Math.min(box[1], box[3]),
    width: Math.abs(box[2] - box[0]),
    height: Math.abs(box[3] - box[1]),
  };
  const isUseful = shape && shape.width > 0.02 && shape.height > 0.02;
  const find = () => {
    const { naturalWidth, naturalHeight } = image.current;
    const canvas = document.createElement("canvas");
    canvas.width = Math.round(shape.width * naturalWidth);
    canvas.height = Math.round(shape.height * naturalHeight);
    const pen = canvas.getContext("2d");
    pen.drawImage(image.current, -shape.left * naturalWidth, -shape.top * naturalHeight);
    canvas.toBlob((blob) => {
      cropping.value = null;
      done(new File([blob], "detail.jpg", { type: "image/jpeg" }));
    }, "image/jpeg", 0.92);
  };
  const percent = (value) => `${value * 100}%`;
  return html`<dialog class="cropper" ref=${dialog} aria-label="Mark a detail" onClose=${() => (cropping.value = null)}>
    <p>Draw a box around what you look for.</p>
    <div class="canvas" onPointerDown=${(event) => {
      event.currentTarget.setPointerCapture(event.pointerId);
      const from = at(event);
      setBox([...from, ...from]);
    }} onPointerMove=${(event) => event.buttons && box && setBox([box[0], box[1], ...at(event)])}>
      <img ref=${image} src=${src} alt="" draggable=${false} />
      ${shape && html`<i style=${{ left: percent(shape.left), top: percent(shape.top), width: percent(shape.width), height: percent(shape.height) }}></i>`}
    </div>
    <div class="buttons">
      <button onClick=${() => dialog.current.close()}>Cancel</button>
      <button class="main" disabled=${!isUseful} onClick=${find}>Find this</button>
    </div>
  </dialog>`;
}

export function sortOptions() {
  const orders = { "-date": "Newest first", date: "Oldest first", name: "By name", "-size": "Largest file first" };
  return isQuestion(question.value) ? { relevance: "Best first", ...orders } : orders;
}

export function Sort() {
  const options = sortOptions();
  return html`<select aria-label="Order" value=${sortOf(question.value)} onChange=${(event) => ask({ sort: event.currentTarget.value })}>
    ${Object.entries(options).map(([value, label]) => html`<option key=${value} value=${value}>${label}</option>`)}
  </select>`;
}
