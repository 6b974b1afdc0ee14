// The grid: justified rows, of which only those in sight are in the document; the scrubber; the keyboard.
import { signal } from "@preact/signals";
import { html } from "htm/preact";
import { useEffect, useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
import { thumbnail } from "./api.js";
import { described, items, more, shown, tell, told } from "./library.js";
import { GAP, rowAt, rowOf, rowsOf } from "./rows.js";
import { ask, isQuestion, mark, question, selected } from "./state.js";
import { Icon } from "./icons.js";

// Browsers cap the height of an element, near 17 million pixels the lowest: what is higher scrolls in larger steps.
const HIGHEST = 12_000_000;

// The photo that the keyboard is at.
export const active = signal(0);

const wishedHeight = (width) => (width < 600 ? width * 0.38 : width < 1200 ? 180 : 210);

export function Grid() {
  const list = shown.value;
  const box = useRef(null);
  const [width, setWidth] = useState(0);
  const [view, setView] = useState({ top: 0, height: 0, isFast: false });
  const rows = useMemo(() => (list && width ? rowsOf(list, width, wishedHeight(width)) : null), [list, width]);

  useLayoutEffect(() => {
    const measure = () => {
      const style = getComputedStyle(box.current);
      setWidth(box.current.clientWidth - parseFloat(style.paddingLeft) - parseFloat(style.paddingRight));
      setView((was) => ({ ...was, height: box.current.clientHeight }));
    };
    const watcher = new ResizeObserver(measure);
    watcher.observe(box.current);
    measure();
    return () => watcher.disconnect();
  }, []);

  // of a long list, a pixel of the scroll bar is several of the list
  const height = rows ? Math.min(rows.total, HIGHEST) : 0;
  const room = Math.max(1, height - view.height);
  const scale = rows ? Math.max(1, (rows.total - view.height) / room) : 1;
  const top = view.top * scale;

  const settle = useRef(0);
  const onScroll = () => {
    const now = box.current.scrollTop;
    const isFast = Math.abs(now - view.top) > view.height;
    clearTimeout(settle.current);
    if (isFast) settle.current = setTimeout(() => setView((was) => ({ ...was, isFast: false })), 90);
    setView({ top: now, height: box.current.clientHeight, isFast });
  };

  useEffect(() => {
    box.current.scrollTop = 0;
    active.value = 0;
  }, [question.value.terms, question.value.filters, question.value.sort, question.value.group]);

  const visible = rows ? inSight(rows, top, view.height) : [];
  useEffect(() => {
    if (!list || view.isFast) return;
    const photos = visible.flatMap((row) => [...list.ids.subarray(rows.first[row], rows.first[row] + rows.count[row])]);
    tell(photos);
    if (list.good !== undefined && visible.at(-1) === rows.first.length - 1) more();
  });

  const reveal = (photo) => {
    const row = rowOf(rows, photo);
    const from = rows.top[row];
    const to = from + rows.height[row];
    if (from < top + 8) box.current.scrollTop = Math.max(0, from - 56) / scale;
    else if (to > top + view.height) box.current.scrollTop = (to - view.height + 16) / scale;
  };
  const move = (photo) => {
    active.value = Math.max(0, Math.min(list.ids.length - 1, photo));
    reveal(active.value);
    requestAnimationFrame(() => requestAnimationFrame(() => tile(active.value)?.focus({ preventScroll: true })));
  };
  useEffect(() => {
    Grid.move = list ? move : null;
  });

  return html`<div class="stage">
    <div class="scroll" ref=${box} onScroll=${onScroll} id="grid">
      <div
        class="rows"
        role="grid"
        aria-label="Photos"
        aria-rowcount=${rows?.first.length ?? 0}
        aria-multiselectable="true"
        style=${{ height: `${height}px` }}
        onKeyDown=${(event) => list?.ids.length && onKey(event, list, rows, move)}
      >
        ${visible.map((row) => html`<${Row} key=${`${row}-${rows.first[row]}`} ...${{ row, rows, list, width, isFast: view.isFast }}
          at=${rows.top[row] - top + view.top} />`)}
      </div>
    </div>
    ${rows && list.sections.length > 1 && list.sections[0].year && html`<${Scrubber} ...${{ rows, list, top, view }}
      go=${(to) => (box.current.scrollTop = to / scale)} />`}
  </div>`;
}

function inSight(rows, top, height) {
  const from = rowAt(rows.top, top - height / 2);
  const visible = [];
  for (let row = from; row < rows.first.length && rows.top[row] < top + 1.5 * height; row++) visible.push(row);
  return visible;
}

const tile = (photo) => document.querySelector(`[data-photo="${photo}"]`);

function Row({ row, rows, list, width, isFast, at }) {
  const style = { transform: `translateY(${at}px)`, height: `${rows.height[row]}px` };
  if (!rows.count[row]) {
    const section = list.sections[rows.section[row]];
    return html`<div class="row heading" role="row" aria-rowindex=${row + 1} style=${style}>
      <div role="rowheader"><h2>${section.label}</h2> <span>${(section.end - section.start).toLocaleString("en")}</span></div>
    </div>`;
  }
  let left = 0;
  const tiles = [];
  for (let photo = rows.first[row]; photo < rows.first[row] + rows.count[row]; photo++) {
    const isLast = photo === rows.first[row] + rows.count[row] - 1;
    const exact = rows.height[row] * list.aspects[photo];
    const wide = isLast && exact + left > width - 6 ? width - left : exact;
    tiles.push(html`<${Tile} key=${list.ids[photo]} photo=${photo} id=${list.ids[photo]} left=${left} width=${wide}
      isFast=${isFast} isApart=${list.sections[rows.section[row]].isApart} />`);
    left += exact + GAP;
  }
  return html`<div class="row" role="row" aria-rowindex=${row + 1} style=${style}>${tiles}</div>`;
}

function Tile({ photo, id, left, width, isFast, isApart }) {
  const [state, setState] = useState("");
  const wasSeen = useRef(false);
  wasSeen.current ||= !isFast;
  const item = told.value >= 0 ? items.get(id) : null; // drawn anew when more is told
  const isChosen = selected.value.has(id);
  const { right, wrong } = question.value;
  const sign = right.includes(id) ? "right" : wrong.includes(id) ? "wrong" : "";
  const label = `${described(item)}${sign && `, marked ${sign}`}${item?.alike > 0 ? `, +${item.alike}` : ""}`;
  return html`<div
    class=${`tile ${isChosen ? "chosen" : ""} ${isApart ? "apart" : ""} ${state}`}
    role="gridcell"
    aria-label=${label}
    aria-selected=${isChosen}
    tabindex=${active.value === photo ? 0 : -1}
    data-photo=${photo}
    data-id=${id}
    style=${{ left: `${left}px`, width: `${width}px` }}
    title=${item ? label : null}
    onFocus=${() => (active.value = photo)}
    onClick=${(event) => (event.shiftKey || event.ctrlKey || event.metaKey || selected.value.size ? choose(photo, event.shiftKey) : ask({ open: id }))}
  >
    ${wasSeen.current && html`<img src=${thumbnail(id)} alt="" decoding="async" draggable=${false}
      onLoad=${() => setState("loaded")} onError=${() => setState("broken")} />`}
    ${state === "broken" && html`<span class="why">${item?.missing ? "the file is gone" : "no picture"}</span>`}
    ${item?.alike > 0 && html`<button class="badge" tabindex="-1" aria-label=${`${item.alike} nearly the same; show them`} title="Nearly the same: show them"
      onClick=${(event) => {
        event.stopPropagation();
        ask({ terms: [{ id, weight: 1 }], right: [], wrong: [], sort: "", unique: false, fits: "all", view: "", group: null });
      }}>+${item.alike}</button>`}
    ${sign && html`<span class=${`mark ${sign}`}><${Icon} name=${sign === "right" ? "check" : "close"} /></span>`}
    <button class="pick" tabindex="-1" aria-label="Select" onClick=${(event) => {
      event.stopPropagation();
      choose(photo, event.shiftKey);
    }}><${Icon} name="check" /></button>
  </div>`;
}

let anchor = null;
export function choose(photo, isRange = false) {
  const { ids } = shown.value;
  const next = new Set(selected.value);
  if (isRange && anchor !== null) {
    for (let one = Math.min(anchor, photo); one <= Math.max(anchor, photo); one++) next.add(ids[one]);
  } else if (!next.delete(ids[photo])) next.add(ids[photo]);
  anchor = photo;
  selected.value = next;
}

function onKey(event, list, rows, move) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const photo = active.value;
  const row = rowOf(rows, photo);
  const keys = {
    ArrowLeft: () => move(photo - 1),
    ArrowRight: () => move(photo + 1),
    ArrowUp: () => move(beside(list, rows, photo, row, -1)),
    ArrowDown: () => move(beside(list, rows, photo, row, 1)),
    PageUp: () => move(rows.first[Math.max(0, row - 4)]),
    PageDown: () => move(rows.first[Math.min(rows.first.length - 1, row + 4)]),
    Home: () => move(0),
    End: () => move(list.ids.length - 1),
    Enter: () => ask({ open: list.ids[photo] }),
    x: () => choose(photo),
    X: () => choose(photo, true),
    s: () => ask({ terms: [{ id: list.ids[photo], weight: 1 }], right: [], wrong: [], sort: "", view: "", group: null }),
    "+": () => isQuestion(question.value) && mark([list.ids[photo]], "right"),
    "-": () => isQuestion(question.value) && mark([list.ids[photo]], "wrong"),
  };
  const act = keys[event.key];
  if (!act) return;
  event.preventDefault();
  act();
}

// The photo above or below that lies nearest.
function beside(list, rows, photo, row, step) {
  let other = row + step;
  while (other >= 0 && other < rows.first.length && !rows.count[other]) other += step;
  if (other < 0 || other >= rows.first.length) return photo;
  const middle = (of, at) => {
    let left = 0;
    for (let one = rows.first[of]; one < at; one++) left += list.aspects[one] * rows.height[of] + GAP;
    return left + (list.aspects[at] * rows.height[of]) / 2;
  };
  const here = middle(row, photo);
  let best = rows.first[other];
  for (let one = best + 1; one < rows.first[other] + rows.count[other]; one++)
    if (Math.abs(middle(other, one) - here) < Math.abs(middle(other, best) - here)) best = one;
  return best;
}

// Months along the side, to be dragged along.
function Scrubber({ rows, list, top, view, go }) {
  const bar = useRef(null);
  const [hover, setHover] = useState(null);
  const span = Math.max(1, rows.total - view.height);
  const heads = useMemo(() => rows.first.map((_, row) => row).filter((row) => !rows.count[row]), [rows]);
  const years = useMemo(() => {
    const marks = [];
    for (const row of heads) {
      const { year } = list.sections[rows.section[row]];
      const at = rows.top[row] / Math.max(1, rows.total);
      if (year !== marks.at(-1)?.year) marks.push({ year, at });
    }
    let last = -1;
    return marks.filter(({ at }) => (at - last > 0.035 || last < 0) && ((last = at), true));
  }, [rows]);
  const sectionAt = (place) => list.sections[rows.section[rowAt(rows.top, place)]];
  const shareOf = (event) => {
    const { top: from, height } = bar.current.getBoundingClientRect();
    return Math.min(1, Math.max(0, (event.clientY - from) / height));
  };
  const drag = (event) => {
    setHover(shareOf(event));
    if (event.buttons) go(shareOf(event) * span);
  };
  const share = Math.min(1, top / span);
  const at = hover ?? share;
  return html`<div
    class="scrubber"
    ref=${bar}
    role="slider"
    tabindex="0"
    aria-label="Date"
    aria-orientation="vertical"
    aria-controls="grid"
    aria-valuemin="0"
    aria-valuemax="100"
    aria-valuenow=${Math.round(share * 100)}
    aria-valuetext=${sectionAt(top).label}
    onPointerDown=${(event) => {
      bar.current.setPointerCapture(event.pointerId);
      go(shareOf(event) * span);
    }}
    onPointerMove=${drag}
    onPointerLeave=${() => setHover(null)}
    onKeyDown=${(event) => {
      const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
      if (!step) return;
      event.preventDefault();
      const here = heads.findLastIndex((row) => rows.top[row] <= top + 1);
      go(rows.top[heads[Math.min(heads.length - 1, Math.max(0, here + step))]]);
    }}
  >
    ${years.map(({ year, at }) => html`<span class="year" style=${{ top: `${at * 100}%` }}>${year}</span>`)}
    <i class="now" style=${{ top: `${share * 100}%` }}></i>
    ${hover !== null && html`<b class="bubble" style=${{ top: `${at * 100}%` }}>${sectionAt(hover * span).label}</b>`}
  </div>`;
}
