// Facets: what there is, and how much of it, to be narrowed to by a click.
import { html } from "htm/preact";
import { useState } from "preact/hooks";
import { facets, status } from "./library.js";
import { isAside, question, toggle } from "./state.js";

const SHOWN = 7;

const KINDS = { image: "photos", text: "texts" };

const TITLES = { on: "When", in: "Folders", tag: "Tags", place: "Places", camera: "Cameras", colour: "Colours", type: "Types" };

export function Aside() {
  if (!isAside.value) return null;
  const told = facets.value?.facets;
  return html`<aside class="facets" aria-label="Filters">
    ${told && Object.entries(TITLES).map(([field, title]) => {
      const values = field === "on" ? periods(told.on) : Object.entries(told[field] ?? {});
      return values.length > (field === "colour" ? 1 : 0) && html`<${Facet} key=${field} ...${{ field, title, values }} />`;
    })}
    ${status.value && html`<p class="about">${Object.entries(status.value.items).map(([kind, count]) => `${count.toLocaleString("en")} ${KINDS[kind] ?? kind}`).join(", ")} in the library
      ${status.value.failed > 0 && html`<br />${status.value.failed} files could not be read`}</p>`}
  </aside>`;
}

// Years, and the months of a year that was chosen.
function periods(months = {}) {
  const chosen = question.value.filters.find(({ field, value }) => field === "on" && /^\d{4}/.test(value));
  const years = new Map();
  const within = [];
  for (const [month, count] of Object.entries(months)) {
    const year = month.slice(0, 4);
    years.set(year, (years.get(year) ?? 0) + count);
    if (chosen?.value.startsWith(year)) within.push([month, count]);
  }
  return within.length ? within : [...years].sort(([one], [other]) => other.localeCompare(one));
}

function Facet({ field, title, values }) {
  const [isWhole, setWhole] = useState(false);
  const { filters } = question.value;
  const is = (value, negated) => filters.some((one) => one.field === field && one.value === value && one.negated === negated);
  const some = isWhole ? values : values.slice(0, SHOWN);
  return html`<section>
    <h2>${title}</h2>
    <ul>
      ${some.map(([value, count]) => html`<li key=${value}>
        <button aria-pressed=${is(value, false)} class=${is(value, true) ? "out" : ""} title=${value} onClick=${() => toggle(field, value)}>
          <span>${labelOf(field, value, values)}</span><small>${count.toLocaleString("en")}</small>
        </button>
      </li>`)}
    </ul>
    ${values.length > SHOWN && html`<button class="plain" onClick=${() => setWhole(!isWhole)}>${isWhole ? "Fewer" : `All ${values.length}`}</button>`}
  </section>`;
}

function labelOf(field, value, values) {
  if (field === "on" && value.length === 7)
    return new Date(`${value}-15`).toLocaleDateString("en", { month: "long", year: "numeric" });
  if (field === "place") return value.split(", ").slice(0, -1).join(", ");
  if (field === "colour") return value.replaceAll("-", " ");
  if (field !== "in") return value;
  const name = value.split("/").at(-1) || value;
  const isTwice = values.filter(([other]) => other.split("/").at(-1) === name).length > 1;
  return isTwice ? value.split("/").slice(-2).join("/") : name;
}
