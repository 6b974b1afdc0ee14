// Where photos lie in justified rows. Pure numbers: 100,000 photos take some ten milliseconds.

export const GAP = 4;
const HEAD = 44;

// Rows of a list with `aspects` and `sections`, for a width and a wished height: `first` photo and `count` (0 is the
// heading of a section), `top` and `height` of each, the `section` it is of, and the `height` of all.
export function rowsOf({ aspects, sections }, width, wished) {
  const rows = { first: [], count: [], top: [], height: [], section: [], total: 0 };
  let top = 0;
  const push = (first, count, height, section) => {
    rows.first.push(first);
    rows.count.push(count);
    rows.top.push(top);
    rows.height.push(height);
    rows.section.push(section);
    top += height + (count ? GAP : 0);
  };
  sections.forEach(({ label, start, end }, section) => {
    if (label) push(start, 0, HEAD, section);
    for (let first = start, place = start, sum = 0; place < end; place++) {
      sum += aspects[place];
      const gaps = GAP * (place - first);
      const isFull = sum * wished + gaps >= width;
      if (!isFull && place < end - 1) continue;
      push(first, place - first + 1, isFull ? (width - gaps) / sum : Math.min(wished, (width - gaps) / sum), section);
      first = place + 1;
      sum = 0;
    }
  });
  rows.total = top;
  return rows;
}

// The number of the last row that begins at or above a place.
export function rowAt(tops, place) {
  let [low, high] = [0, tops.length - 1];
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (tops[middle] <= place) low = middle;
    else high = middle - 1;
  }
  return Math.max(0, low);
}

// The row that holds a photo.
export function rowOf(rows, photo) {
  let row = rowAt(rows.first, photo);
  while (row < rows.first.length - 1 && (!rows.count[row] || rows.first[row] + rows.count[row] <= photo)) row++;
  return row;
}
