// The page's pictograms, drawn for it on a square of 24.
import { html } from "htm/preact";

const PATHS = {
  search: "M10.5 4a6.5 6.5 0 1 1 0 13 6.5 6.5 0 0 1 0-13ZM15.5 15.5 20 20",
  photo: "M4 7h3l1.5-2h7L17 7h3v12H4ZM12 9.5a3.5 3.5 0 1 1 0 7 3.5 3.5 0 0 1 0-7Z",
  close: "M6 6l12 12M18 6 6 18",
  check: "M5 12.5l4.5 4.5L19 7.5",
  filter: "M4 6h16M7 12h10M10 18h4",
  like: "M12 5v14M5 12h14",
  unlike: "M5 12h14",
  heat: "M12 3c1 4 5 5.5 5 10a5 5 0 0 1-10 0c0-2 1-3.500 2-4.500 0 2 1 3 2 3 1.500-2 .5-5.500 1-8.500Z",
  crop: "M7 3v14h14M3 7h14v14",
  folder: "M3 6h6l2 2h10v11H3Z",
  copy: "M9 9h11v11H9ZM5 15H4V4h11v1",
  download: "M12 4v11M7 11l5 5 5-5M5 20h14",
  place: "M12 21c-4-5-6-8-6-11a6 6 0 0 1 12 0c0 3-2 6-6 11ZM12 8a2 2 0 1 1 0 4 2 2 0 0 1 0-4Z",
  info: "M12 11v6M12 7.500v.01M12 3a9 9 0 1 1 0 18 9 9 0 0 1 0-18Z",
  grid: "M4 4h7v7H4ZM13 4h7v7h-7ZM4 13h7v7H4ZM13 13h7v7h-7Z",
  groups: "M8 4a4 4 0 1 1 0 8 4 4 0 0 1 0-8ZM17 12a3 3 0 1 1 0 6 3 3 0 0 1 0-6ZM8 15a2.500 2.500 0 1 1 0 5 2.500 2.500 0 0 1 0-5Z",
  map: "M4 6l5-2 6 2 5-2v14l-5 2-6-2-5 2ZM9 4v14M15 6v14",
  twins: "M4 8h11v11H4ZM9 8V5h11v11h-5",
  tag: "M4 4h8l8 8-8 8-8-8ZM8 8v.01",
};

export function Icon({ name }) {
  return html`<svg class="icon" viewBox="0 0 24 24" aria-hidden="true"><path d=${PATHS[name]} /></svg>`;
}
