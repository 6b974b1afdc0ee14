// The page: a bar to ask, facets, the grid, the viewer; what is loading, empty or wrong says so.
import { render } from "preact";
import { effect } from "@preact/signals";
import { html } from "htm/preact";
import { useEffect, useState } from "preact/hooks";
import { Aside } from "./aside.js";
import { AskBar, Chips, Cropper, cropping, DropTarget, Sort } from "./askbar.js";
import { Grid } from "./grid.js";
import { Icon } from "./icons.js";
import { answer, canBeReranked, isStale, refreshStatus, retry, shown, status } from "./library.js";
import { get } from "./api.js";
import { dialog, Dialogs } from "./dialogs.js";
import { ask, copyText, isAside, isQuestion, mark, message, NOTHING, question, RELEVANCE, say, selected, STRICTNESS } from "./state.js";

function Page() {
  useEffect(() => {
    refreshStatus();
    const onKey = (event) => {
      if (event.key === "Escape" && selected.value.size && !question.value.open) selected.value = new Set();
    };
    addEventListener("keydown", onKey);
    return () => removeEventListener("keydown", onKey);
  }, []);
  return html`
    <a class="skip" href="#main" onClick=${(event) => {
      event.preventDefault();
      (document.querySelector("[data-photo][tabindex='0']") ?? document.querySelector("main")).focus();
    }}>To the photos</a>
    <header>
      <a class="brand" href="./" aria-label="Descry: the whole library" onClick=${(event) => {
        event.preventDefault();
        ask(NOTHING);
      }}><img src="icon.svg" alt="" width="28" height="28" /><b>Descry</b></a>
      <${AskBar} />
      <button class="plain facet-button" aria-expanded=${isAside.value} aria-label="Filters" title="Filters"
        onClick=${() => (isAside.value = !isAside.value)}><${Icon} name="filter" /></button>
    </header>
    <div class="body">
      <${Aside} />
      <main id="main" tabindex="-1">
        <${Views} />
        <${Chips} />
        ${isOther(question.value)
          ? html`<${Other} view=${question.value.view} />`
          : html`<${Heading} /><${Trouble} /><${Grid} /><${Selection} />`}
      </main>
    </div>
    <${DropTarget} />
    <${Dialogs} />
    ${cropping.value && html`<${Cropper} />`}
    <p class="toast" role="status" aria-live="polite">${message.value}</p>
  `;
}

const VIEWS = { "": ["Photos", "grid"], groups: ["Groups", "groups"], map: ["Map", "map"], duplicates: ["Duplicates", "twins"] };

// Whether something else than the grid is looked at.
const isOther = ({ view, group, terms }) => Boolean(VIEWS[view] && view && group === null && !terms.length);

function Views() {
  const { view } = question.value;
  const [roots, setRoots] = useState([]);
  useEffect(() => {
    get("api/folders").then(({ folders }) => setRoots(folders), () => {});
  }, []);
  return html`<nav class="views" aria-label="Views">
    ${Object.entries(VIEWS).map(([name, [label, icon]]) => html`<button key=${name} aria-current=${(isOther(question.value) ? view : "") === name ? "page" : null}
      onClick=${() => ask(name ? { ...NOTHING, view: name } : { view: "", group: null })}><${Icon} name=${icon} />${label}</button>`)}
    ${roots.length > 0 && html`<button class="add" onClick=${() => (dialog.value = { kind: "index" })}><${Icon} name="like" />Add photos</button>`}
  </nav>`;
}

// These are loaded when they are first looked at.
function Other({ view }) {
  const [views, setViews] = useState(null);
  useEffect(() => {
    import("./views.js").then(setViews, () => say("This view could not be loaded."));
  }, []);
  if (!views) return null;
  return html`<h1 class="unseen">${VIEWS[view][0]}</h1><${{ groups: views.Groups, map: views.Map_, duplicates: views.Duplicates }[view]} />`;
}

const canBeJudged = ({ sort, right, wrong }) => (!sort || sort === RELEVANCE) && !right.length && !wrong.length;

function Heading() {
  const { state, total, fits, hits, notes } = answer.value;
  const asked = isQuestion(question.value);
  const list = shown.value;
  const count = list?.good ?? total;
  const words =
    state === "loading" && !list
      ? "Looking…"
      : state === "error" || !list
        ? "Photos"
        : asked
          ? fits === 0
            ? "Nothing fits"
            : fits == null
              ? hits?.[0]?.rank_score != null ? "By words and by meaning" : "The nearest"
              : `${count.toLocaleString("en")} ${count === 1 ? "photo fits" : "photos fit"}`
          : `${(total ?? 0).toLocaleString("en")} photos`;
  return html`<div class="heading-line" aria-live="polite">
    <h1>${words}</h1>
    ${state === "loading" && html`<span class="busy" role="progressbar" aria-label="Loading"></span>`}
    ${asked && hits?.length > 0 && fits != null && canBeJudged(question.value) && html`<${Relevance} />`}
    ${asked && html`<button class="switch" role="switch" aria-checked=${question.value.unique} title="Show what is nearly the same once"
      onClick=${() => ask({ unique: !question.value.unique }, { replace: true })}><i></i>Fold copies</button>`}
    ${asked && canBeReranked(question.value) && html`<button class="switch" role="switch" aria-checked=${question.value.rerank}
      title=${`Order the first hundred by what ${status.value.reranker} says of each photo together with the words; it may take minutes`}
      onClick=${() => ask({ rerank: !question.value.rerank }, { replace: true })}><i></i>Re-rank</button>`}
    ${isStale.value && html`<button class="plain" onClick=${retry}>The library has changed. Show it</button>`}
    <span class="space"></span>
    <${Sort} />
    ${notes?.filter((note) => !note.startsWith("Nothing fits")).map((note) => html`<p class="note">${note}</p>`)}
  </div>`;
}

// From all there is to what surely fits; where nobody has touched it, as calibrated.
function Relevance() {
  const { fits } = question.value;
  const level = Math.max(0, STRICTNESS.indexOf(fits));
  return html`<label class="relevance" title="How strictly photos have to fit">
    <span>all</span>
    <input type="range" min="0" max=${STRICTNESS.length - 1} step="1" value=${level} aria-label="How strictly photos have to fit"
      aria-valuetext=${fits ?? "normally"}
      onChange=${(event) => ask({ fits: STRICTNESS[event.currentTarget.value] }, { replace: true })} />
    <span>sure</span>
  </label>`;
}

function Trouble() {
  const { state, error } = answer.value;
  const list = shown.value;
  if (state === "error")
    return html`<div class="trouble" role="alert"><h2>That did not work</h2><p>${error}</p>
      <div class="buttons"><button class="main" onClick=${retry}>Try again</button>${question.value.filters.length > 0 && html`<button onClick=${() => ask({ filters: [] })}>Remove all filters</button>`}</div></div>`;
  if (state === "loading" && !list) return html`<div class="skeleton" aria-hidden="true">${[3, 2, 4, 3, 2, 3, 4, 2, 3, 3, 2, 4].map((grow) => html`<i style=${{ flexGrow: grow }}></i>`)}</div>`;
  if (state !== "ready" || list?.ids.length) return null;
  const { filters, terms } = question.value;
  if (filters.length)
    return html`<div class="trouble"><h2>No photo passes these filters</h2><p>Remove one of them to see more.</p><button class="main" onClick=${() => ask({ filters: [] })}>Remove all filters</button></div>`;
  if (terms.length) return html`<div class="trouble"><h2>Nothing fits</h2><p>Say it in other words, or look by relevance to see the nearest.</p></div>`;
  return html`<div class="trouble"><h2>No photos yet</h2><p>Add a folder on the command line, and they appear here while it works:</p><pre>descry index ~/Photos</pre></div>`;
}

function Selection() {
  const ids = [...selected.value];
  if (!ids.length) return null;
  const copy = async () => {
    const found = [];
    for (let start = 0; start < ids.length; start += 500)
      found.push(...(await get("api/items", { id: ids.slice(start, start + 500) })).items);
    await copyText(found.map((item) => item.path).join("\n"), `${found.length} paths copied`);
  };
  return html`<div class="selection" role="toolbar" aria-label="Selected photos">
    <b>${ids.length} selected</b>
    ${isQuestion(question.value) && html`<button onClick=${() => (mark(ids, "right"), (selected.value = new Set()))}><${Icon} name="check" />Right</button>
      <button onClick=${() => (mark(ids, "wrong"), (selected.value = new Set()))}><${Icon} name="close" />Wrong</button>`}
    <button onClick=${() => ask({ ...NOTHING, terms: ids.slice(0, 40).map((id) => ({ id, weight: 1 })) })}><${Icon} name="like" />More like these</button>
    <button onClick=${() => copy().catch((error) => say(error.message))}><${Icon} name="copy" />Copy paths</button>
    <form method="post" action="api/download"><input type="hidden" name="ids" value=${ids.join(",")} /><button><${Icon} name="download" />Download</button>
      <button formaction="api/sheet" title="A page with all of them, to print or to send"><${Icon} name="grid" />Contact sheet</button></form>
    <button onClick=${() => (dialog.value = { kind: "tag", ids })}><${Icon} name="tag" />Tag</button>
    <button class="close" aria-label="Clear the selection" onClick=${() => (selected.value = new Set())}><${Icon} name="close" /></button>
  </div>`;
}

// The viewer is loaded when the first photo is opened.
effect(() => {
  const { open } = question.value;
  if (open || effect.viewer) {
    effect.viewer ??= import("./viewer.js");
    effect.viewer.then(({ show }) => show(open), () => say("The viewer could not be loaded."));
  }
});

effect(() => {
  const { terms } = question.value;
  const words = terms.filter((term) => term.text).map((term) => `${term.weight < 0 ? "− " : ""}${term.text}`);
  document.title = words.length ? `${words.join(" ")} · Descry` : "Descry";
});

render(html`<${Page} />`, document.body);
