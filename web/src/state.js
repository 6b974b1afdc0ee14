// What is asked, and the address bar that says the same: every state of the page is a link, and Back works.
import { signal } from "@preact/signals";

export const NEWEST = "-date";
export const RELEVANCE = "relevance";

// How strictly photos have to fit, from not at all; null is the calibrated default.
export const STRICTNESS = ["all", "loosely", null, "strictly"];

// A question: `terms` are {text | id | photo, weight}, `filters` {field, value, negated}; `photo` is a File.
// `right` and `wrong` are ids that were marked, `group` is the number of a group that is looked into.
export const NOTHING = { terms: [], filters: [], right: [], wrong: [], sort: "", view: "", group: null, fits: null, unique: true, rerank: false, open: null };

export const question = signal({ ...fromAddress(location.search), terms: withPhotos() });
export const selected = signal(new Set());
export const isAside = signal(matchMedia("(min-width: 900px)").matches);
export const message = signal("");

addEventListener("popstate", () => {
  question.value = { ...fromAddress(location.search), terms: withPhotos() };
});

// Changes a part of the question; what is open in the viewer closes unless it is named.
export function ask(change, { replace = false } = {}) {
  const next = { ...question.value, open: null, ...change };
  const address = toAddress(next);
  if (address !== location.search || next.terms.some((term) => term.photo)) {
    const photos = next.terms.filter((term) => term.photo);
    history[replace ? "replaceState" : "pushState"]({ photos }, "", address || location.pathname);
  }
  question.value = next;
}

export function isQuestion({ terms }) {
  return terms.length > 0;
}

export function sortOf(asked) {
  return asked.sort || (isQuestion(asked) ? RELEVANCE : NEWEST);
}

// Marks photos as right or wrong, or takes the mark off again where all bear it.
export function mark(ids, kind) {
  const { right, wrong } = question.value;
  const had = kind === "right" ? right : wrong;
  const isOff = ids.every((id) => had.includes(id));
  const without = (list) => list.filter((id) => !ids.includes(id));
  const next = { right: without(right), wrong: without(wrong) };
  if (!isOff) next[kind] = [...next[kind], ...ids];
  ask(next);
}

// A filter goes on, or off where it is on already.
export function toggle(field, value, negated = false) {
  const { filters } = question.value;
  const others = filters.filter((one) => !(one.field === field && one.value === value));
  const was = filters.find((one) => one.field === field && one.value === value && one.negated === negated);
  ask({ filters: was ? others : [...others, { field, value, negated }] });
}

export function say(words) {
  message.value = words;
  clearTimeout(say.timer);
  say.timer = setTimeout(() => (message.value = ""), 4000);
}

// Photos that were dropped are no part of an address; the browser's history keeps them beside it.
function withPhotos() {
  return [...fromAddress(location.search).terms, ...(history.state?.photos ?? [])];
}

function fromAddress(search) {
  const given = new URLSearchParams(search);
  const terms = given.getAll("q").map(termOf).filter(Boolean);
  const filters = [
    ...given.getAll("filter").map((text) => filterOf(text, false)),
    ...given.getAll("exclude").map((text) => filterOf(text, true)),
  ];
  return {
    ...NOTHING,
    terms,
    filters,
    sort: given.get("sort") ?? "",
    view: given.get("view") ?? "",
    group: given.has("group") ? Number(given.get("group")) : null,
    right: numbers(given.get("right")),
    wrong: numbers(given.get("wrong")),
    fits: given.get("fits"),
    unique: given.get("fold") !== "no",
    rerank: given.get("rerank") === "yes",
    open: Number(given.get("photo")) || null,
  };
}

function numbers(text) {
  return (text ?? "").split(",").map(Number).filter(Boolean);
}

function toAddress({ terms, filters, right, wrong, sort, view, group, fits, unique, rerank, open }) {
  const given = new URLSearchParams();
  for (const term of terms) {
    if (term.photo) continue;
    const value = term.id ? `id:${term.id}` : term.text;
    given.append("q", term.weight === 1 ? value : `${term.weight}:${value}`);
  }
  for (const one of filters) given.append(one.negated ? "exclude" : "filter", `${one.field}=${one.value}`);
  if (right.length) given.set("right", right.join(","));
  if (wrong.length) given.set("wrong", wrong.join(","));
  if (view) given.set("view", view);
  if (group !== null) given.set("group", group);
  if (sort) given.set("sort", sort);
  if (fits !== null) given.set("fits", fits);
  if (!unique) given.set("fold", "no");
  if (rerank) given.set("rerank", "yes");
  if (open) given.set("photo", open);
  const address = given.toString();
  return address && `?${address}`;
}

function termOf(text) {
  const [, weight, value] = /^(?:(-?\d+(?:\.\d+)?):(?=[^\s\d]))?(.+)$/s.exec(text) ?? [];
  if (!value) return null;
  const id = /^id:(\d{1,15})$/.exec(value)?.[1];
  return { ...(id ? { id: Number(id) } : { text: value }), weight: weight === undefined ? 1 : Number(weight) };
}

function filterOf(text, negated) {
  const at = text.indexOf("=");
  return { field: at < 0 ? text : text.slice(0, at), value: at < 0 ? "" : text.slice(at + 1), negated };
}

// "a beach -people + 2:sunset" as terms: a sign before a word takes that word, a sign alone all that follows it.
export function termsOf(line) {
  const terms = [];
  let sign = 1;
  let words = [];
  const close = () => {
    if (words.length) terms.push(weighed(words.join(" "), sign));
    words = [];
  };
  for (const [, mark, quoted, word] of line.matchAll(/(?<=^|\s)([+-]?)(?:"([^"]+)"|(\S+))(?=\s|$)|(?<=^|\s)[+-](?=\s|$)/g)) {
    const value = quoted ?? word;
    if (value === undefined || (!mark && /^[+-]$/.test(value))) {
      close();
      sign = (value ?? "+") === "-" ? -1 : 1;
    } else if (mark && /^[^\d\s]|^[\d.]+:\D/.test(value)) {
      terms.push(weighed(value, mark === "-" ? -1 : 1));
    } else {
      words.push(`${mark}${value}`);
    }
  }
  close();
  return terms.sort((one, other) => (other.weight > 0) - (one.weight > 0));
}

function weighed(text, sign) {
  const term = termOf(text);
  return { ...term, weight: sign * term.weight };
}

export function wordsOf(term) {
  return term.id ? `id:${term.id}` : term.text;
}

export async function copyText(text, done) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    const area = document.createElement("textarea"); // where the page is not served securely there is no clipboard
    area.value = text;
    (document.querySelector(".pswp") ?? document.body).append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
  say(done);
}
