// What the server answered to the question at hand: a list of photos for the grid, facets, and what is known of items.
import { computed, effect, signal } from "@preact/signals";
import { bytes, conditions, get, post } from "./api.js";
import { isQuestion, question, RELEVANCE, sortOf, STRICTNESS } from "./state.js";

// Hits that are asked for first, and looked at once more; whoever scrolls to the end asks for twice as many.
const FIRST = 100;
const MOST = 10_000;

const EPOCH = 2_440_588; // the Julian day number of 1970-01-01

export const answer = signal({ state: "loading" });
export const facets = signal(null);
export const status = signal(null);
export const isStale = signal(false); // the library has changed since it was asked

// Items by their ids, as far as they were told; `told` rises when some are.
export const items = new Map();
export const told = signal(0);

// What of a question decides its answer.
const asked = computed(() => {
  const { terms, filters, sort, right, wrong, group, fits, unique, rerank } = question.value;
  return { terms, key: JSON.stringify([terms, filters, sort, right, wrong, group, fits, unique, rerank]) };
});

let current = { key: null, photos: [], abort: null };

effect(() => {
  const { terms, key } = asked.value;
  const photos = terms.map((term) => term.photo);
  if (key === current.key && photos.every((photo, place) => photo === current.photos[place])) return;
  current.abort?.abort();
  current = { key, photos, abort: new AbortController() };
  load(FIRST, current.abort.signal);
});

export function retry() {
  current.abort?.abort();
  current.abort = new AbortController();
  load(FIRST, current.abort.signal);
  refreshStatus({ isNews: false });
}

export function more() {
  const { hits, k, isReranking } = answer.value;
  if (hits && !isReranking && hits.length >= k && k < MOST) load(Math.min(2 * k, MOST), current.abort.signal);
}

async function load(k, signal) {
  const wanted = question.value;
  answer.value = { ...answer.value, state: "loading", isNew: k === FIRST };
  try {
    const counting = get("api/facets", conditions(wanted.filters), signal);
    counting.then((found) => (facets.value = found), () => {});
    const group = wanted.group === null ? null : (await get("api/groups", {}, signal)).groups[wanted.group];
    if (wanted.rerank && !status.value) await refreshStatus();
    const found = isQuestion(wanted) ? await searched(wanted, k, group, signal) : await browsed(wanted, group, signal);
    answer.value = wanted.rerank && canBeReranked(wanted) ? await reranked(wanted, found, k, group, signal) : found;
  } catch (error) {
    if (error.name !== "AbortError") answer.value = { state: "error", error: error.message };
  }
}

// Whether a model of the server may look at the first hits once more: it knows words, and puts the best first.
export function canBeReranked({ terms, sort, right, wrong }) {
  const isOfWords = terms.every((term) => term.text) && terms.some((term) => term.weight > 0);
  return Boolean(status.value?.reranker) && isOfWords && (!sort || sort === RELEVANCE) && !right.length && !wrong.length;
}

// An answer with its first hits in the order of that model; until they are, it is shown as it was found.
async function reranked(wanted, found, k, group, signal) {
  const before = answer.value;
  if (k > FIRST && before.hits) {
    const known = new Set(before.hits.map((hit) => hit.id));
    return { ...found, notes: before.notes, hits: [...before.hits, ...found.hits.filter((hit) => !known.has(hit.id))] };
  }
  const count = Math.min(found.hits.length, FIRST);
  const note = `${status.value.reranker} is looking at ${count} of these together with the words…`;
  answer.value = { ...found, state: "loading", isReranking: true, notes: [...found.notes, note] };
  return searched(wanted, k, group, signal, true);
}

async function browsed(wanted, group, signal) {
  const sort = sortOf(wanted);
  const content = await bytes("api/grid", { ...conditions(wanted.filters), sort }, signal);
  const count = content.byteLength / 10;
  const list = {
    ids: new Uint32Array(content, 0, count),
    days: new Int32Array(content, 4 * count, count),
    aspects: Float32Array.from(new Uint16Array(content, 8 * count, count), (shape) => shape / 256),
  };
  if (group) return { state: "ready", ...within(list, group), group };
  const sections = sort.endsWith("date") ? months(list.days) : count ? [{ label: "", start: 0, end: count }] : [];
  return { state: "ready", list, sections, total: count };
}

// The photos of a group, the most typical first.
function within({ ids, aspects }, group) {
  const places = new Map(Array.from(ids, (id, place) => [id, place]));
  const own = group.ids.filter((id) => places.has(id));
  const list = { ids: Uint32Array.from(own), aspects: Float32Array.from(own, (id) => aspects[places.get(id)]) };
  return { list, sections: own.length ? [{ label: "", start: 0, end: own.length }] : [], total: own.length };
}

async function searched(wanted, first, group, signal, rerank = false) {
  const k = group ? MOST : first;
  const photos = wanted.terms.filter((term) => term.photo);
  const body = {
    terms: wanted.terms.map(({ text, id, photo, weight }) =>
      photo ? { photo: photos.findIndex((one) => one.photo === photo), weight } : id ? { id, weight } : { text, weight },
    ),
    filters: wanted.filters,
    sort: sortOf(wanted),
    right: wanted.right,
    wrong: wanted.wrong,
    unique: wanted.unique,
    rerank,
    by_words: wanted.terms.length === 1 && wanted.terms[0].text ? null : false, // of one sentence, its rare words
    k,
    judge: sortOf(wanted) === "relevance" && wanted.fits !== "all" && !wanted.right.length && !wanted.wrong.length,
    fits: STRICTNESS.includes(wanted.fits) && wanted.fits !== "all" ? (wanted.fits ?? "normally") : "normally",
  };
  const form = new FormData();
  form.append("query", JSON.stringify(body));
  for (const { photo } of photos) form.append("photo", photo);
  const found = await post("api/search", photos.length ? form : body, signal);
  if (group) {
    const own = new Set(group.ids);
    found.hits = found.hits.filter((hit) => own.has(hit.id));
    if (found.fits !== null) found.fits = found.hits.filter((hit) => hit.probability != null).length;
  }
  for (const hit of found.hits) items.set(hit.id, hit);
  told.value++;
  return { state: "ready", ...found, k, group, total: found.hits.length };
}

// The list that the grid shows of an answer: all that is browsed; of hits those that fit first, then the nearest.
export const shown = computed(() => {
  const { list, sections, hits, fits } = answer.value;
  if (list) return { ...list, sections };
  if (!hits) return null;
  const isFit = (hit) => fits === null || hit.probability != null;
  const [good, others] = [hits.filter(isFit), hits.filter((hit) => !isFit(hit))];
  const ordered = [...good, ...others];
  const parts = [
    { label: "", start: 0, end: good.length },
    { label: good.length ? "Less likely" : "The nearest", start: good.length, end: ordered.length, isApart: true },
  ];
  return {
    ids: Uint32Array.from(ordered, (hit) => hit.id),
    aspects: Float32Array.from(ordered, ({ facts }) => clipped(facts.width / facts.height || 1)),
    sections: parts.filter(({ start, end }) => end > start),
    good: good.length,
  };
});

const clipped = (aspect) => Math.min(4, Math.max(0.25, aspect));

function months(days) {
  const sections = [];
  let last = null;
  for (let place = 0; place < days.length; place++) {
    const day = new Date((days[place] - EPOCH) * 86_400_000);
    const month = `${day.getUTCFullYear()}-${day.getUTCMonth()}`;
    if (month !== last) {
      last = month;
      if (sections.length) sections.at(-1).end = place;
      sections.push({ label: monthName(day), year: day.getUTCFullYear(), start: place, end: days.length });
    }
  }
  return sections;
}

const monthName = (day) => day.toLocaleDateString("en", { month: "long", year: "numeric", timeZone: "UTC" });

// Asks for what is not known yet of items that are in sight.
let waiting = new Set();
export function tell(ids) {
  for (const id of ids) if (!items.has(id)) waiting.add(id);
  clearTimeout(tell.timer);
  if (waiting.size) tell.timer = setTimeout(fetchWaiting, 120);
}

async function fetchWaiting() {
  const wanted = [...waiting].slice(0, 200);
  waiting = new Set();
  const found = await get("api/items", { id: wanted }).catch(() => ({ items: [] }));
  for (const item of found.items) items.set(item.id, item);
  told.value++;
}

export async function refreshStatus({ isNews = true } = {}) {
  const was = status.value?.revision;
  status.value = await get("api/status").catch(() => status.value);
  isStale.value = isNews && (isStale.value || (was !== undefined && was !== status.value?.revision));
}

// What is indexed meanwhile is offered, not pushed between the photos that somebody looks at.
const LOOK_EVERY = 15_000;
setInterval(() => document.hidden || refreshStatus(), LOOK_EVERY);

export const nameOf = (item) => item?.path.split("/").at(-1) ?? "";
export const folderOf = (item) => item?.path.split("/").slice(0, -1).join("/") ?? "";

export function dateOf(item) {
  const moment = item?.facts.taken ?? item?.facts.modified;
  return moment ? new Date(moment).toLocaleString("en", { dateStyle: "medium", timeStyle: "short" }) : "";
}

export function described(item) {
  return item ? [nameOf(item), dateOf(item).split(",").slice(0, 2).join(",")].filter(Boolean).join(", ") : "Photo";
}
