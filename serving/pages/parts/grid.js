// Servers x hours as a table of which only the rows in sight are in the document: arrow keys move through all of it.
import { h } from "../lib/dom.js";
import { OF_LETTER, TOLD_LETTER, strength } from "../lib/classes.js";
import { clock, day, hour, hoursAfter, load } from "../lib/told.js";

const ROW = 24, SPARE = 4, FACTS = 3;
const MOVES = {
  ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1],
  Home: [0, -Infinity], End: [0, Infinity],
};

export class FleetGrid {
  // `address(row, column)` is where Enter and a click lead to; `point(line)` tells of the cell under pointer or keys.
  constructor(address, point) {
    this.address = address;
    this.point = point;
    this.rows = [];
    this.active = { row: 0, column: 0 };
    this.head = h("div", { class: "head", role: "rowgroup" });
    this.body = h("div", { class: "body", role: "rowgroup" });
    this.element = h("div", {
      class: "grid", role: "grid", tabindex: "0", "aria-label": "Fleet, servers by hours", "aria-describedby": "legend",
      onscroll: () => this.draw(), onkeydown: (event) => this.keyed(event), onfocus: () => this.mark(),
    }, this.head, this.body);
    this.body.addEventListener("click", (event) => this.clicked(event));
    this.body.addEventListener("pointerover", (event) => this.pointed(event));
    this.pool = [];
    new ResizeObserver(() => this.draw()).observe(this.element);
  }

  // `rows`: name, group, high, expected, past, loads, coming, said, highs; `span`: first, past, ahead.
  show(rows, span) {
    this.rows = rows;
    const moved = this.span?.past !== span.past;
    if (moved || this.span.first !== span.first) this.headings(span);
    this.span = span;
    this.body.style.height = `${rows.length * ROW}px`;
    this.element.setAttribute("aria-rowcount", rows.length + 1);
    this.element.setAttribute("aria-colcount", FACTS + span.past + span.ahead);
    this.active.row = Math.min(this.active.row, Math.max(0, rows.length - 1));
    this.active.column = Math.min(this.active.column, FACTS + span.past + span.ahead - 1);
    for (const line of this.pool) this.rest(line);
    this.draw();
    if (moved) this.revealNow();
  }

  // On a narrow screen the hours ahead are the first to be seen.
  revealNow() {
    const now = this.pool[0]?.cells[this.span.past];
    if (now) this.element.scrollLeft = now.offsetLeft - this.element.clientWidth / 2;
  }

  headings({ first, past, ahead }) {
    const columns = Array.from({ length: past + ahead }, (_, place) => hoursAfter(first, place));
    this.element.style.setProperty("--hours", columns.length);
    const days = columns.map((time, place) => (place === 0 || time.getUTCHours() === 0
      ? h("span", { class: place >= past ? "ahead" : "" }, columns.length - place > 6 ? day(time) : "") : h("span")));
    const heads = [["Server"], ["Group"], ["High", "Hours of high ahead"]].map(([told, whole], place) =>
      h("span", { role: "columnheader", "aria-colindex": place + 1, "aria-label": whole, title: whole, class: `fact fact${place}` }, told));
    const hours = columns.map((time, place) => h("span", {
      role: "columnheader", "aria-colindex": FACTS + place + 1, class: place >= past ? "ahead" : "",
    }, h("span", { class: "unseen" }, hour(time)), time.getUTCHours() % 6 === 0 ? h("span", { "aria-hidden": "true" }, clock(time).slice(0, 2)) : null));
    this.head.replaceChildren(
      h("div", { class: "row days", "aria-hidden": "true" }, h("span", { class: "fact fact0" }), h("span", { class: "fact fact1" }),
        h("span", { class: "fact fact2" }), days),
      h("div", { class: "row", role: "row", "aria-rowindex": 1 }, heads, hours));
    const line = h("div", { class: "row now", "aria-hidden": "true" }, h("span"));
    line.firstChild.style.gridColumnStart = FACTS + past + 1;
    this.body.replaceChildren(line);
    this.pool = [];
    this.first = null;
    this.columns = columns;
  }

  draw() {
    if (!this.span) return;
    const first = Math.max(0, Math.floor(this.element.scrollTop / ROW) - SPARE);
    const seen = Math.ceil(this.element.clientHeight / ROW) + 2 * SPARE;
    const last = Math.min(this.rows.length, first + seen);
    while (this.pool.length < last - first) this.pool.push(this.line());
    const wanted = new Set(Array.from({ length: last - first }, (_, place) => first + place));
    const free = this.pool.filter((line) => !wanted.delete(line.row));
    for (const row of wanted) this.lay(free.pop(), row);
    for (const line of free) this.rest(line);
    this.mark();
  }

  // A line of cells, copied from a first one: a screen has thousands.
  line() {
    const element = (this.first ??= this.firstLine()).cloneNode(true);
    const all = [...element.children], link = all[0].firstChild;
    this.body.append(element);
    return { element, link, facts: all.slice(0, FACTS), cells: all.slice(FACTS), all, row: null };
  }

  firstLine() {
    const all = [h("span", { role: "rowheader", class: "fact fact0" }, h("a", { tabindex: "-1" })),
      h("span", { role: "gridcell", class: "fact fact1" }), h("span", { role: "gridcell", class: "fact fact2" }),
      ...this.columns.map(() => h("span", { role: "gridcell" }))];
    all.forEach((cell, place) => cell.setAttribute("aria-colindex", place + 1));
    return h("div", { class: "row", role: "row" }, all);
  }

  // Nothing is in this line; an id is that of one cell alone.
  rest(line) {
    line.row = null;
    line.element.hidden = true;
    for (const cell of line.all) cell.removeAttribute("id");
  }

  lay(line, place) {
    const row = this.rows[place], { past } = this.span;
    line.row = place;
    line.element.hidden = false;
    line.element.style.transform = `translateY(${place * ROW}px)`;
    line.element.setAttribute("aria-rowindex", place + 2);
    line.link.textContent = line.link.title = row.name;
    line.link.href = this.address(place, null);
    line.facts[1].textContent = row.group;
    line.facts[2].textContent = row.high || "";
    line.facts[2].setAttribute("aria-label", this.told(place, 2 - FACTS));
    line.cells.forEach((cell, column) => {
      const letter = column < past ? row.past[column] : row.coming[column - past];
      const sure = column < past ? "" : ` f s${strength(row.said[column - past] ?? 0)}`;
      cell.className = `c ${OF_LETTER[letter]}${sure}`;
      cell.setAttribute("aria-label", this.told(place, column));
    });
    line.all.forEach((cell, column) => { cell.id = `cell-${place}-${column}`; });
  }

  // What a cell says; columns from -3 to -1 are the facts.
  told(place, column) {
    const row = this.rows[place], { past } = this.span;
    if (column < -1) return column === -FACTS ? row.name : `group ${row.group || "none"}`;
    if (column === -1) return `${row.high} hours of high ahead, ${row.expected} expected`;
    const time = hour(this.columns[column]);
    if (column < past) {
      const came = row.loads[column] === null ? "" : `, load ${load(row.loads[column])}`;
      return `${time}: ${TOLD_LETTER[row.past[column]]}${came}`;
    }
    const ahead = column - past, said = row.said[ahead];
    if (said === null) return `${time}: no forecast`;
    const high = row.coming[ahead] === "h" ? "" : `, high ${row.highs[ahead]} %`;
    return `${time}: forecast ${TOLD_LETTER[row.coming[ahead]]}, ${said} %${high}`;
  }

  mark() {
    this.marked?.classList.remove("active");
    const { row, column } = this.active;
    this.marked = this.pool.find((line) => line.row === row)?.all[column];
    if (!this.marked) {
      this.element.removeAttribute("aria-activedescendant");
      return;
    }
    this.marked.classList.add("active");
    this.element.setAttribute("aria-activedescendant", this.marked.id);
    if (document.activeElement === this.element) this.tell(row, column);
  }

  tell(row, column) {
    const [name, cell] = [this.rows[row].name, this.told(row, column - FACTS)];
    this.point(column === 0 ? name : `${name} · ${cell}`);
  }

  keyed(event) {
    const page = Math.max(1, Math.floor(this.element.clientHeight / ROW) - 3);
    const pages = { PageUp: [-page, 0], PageDown: [page, 0] };
    let move = MOVES[event.key] ?? pages[event.key];
    if (event.ctrlKey && event.key === "Home") move = [-Infinity, -Infinity];
    if (event.ctrlKey && event.key === "End") move = [Infinity, Infinity];
    if (event.key === "Enter" && this.rows.length) {
      location.assign(this.address(this.active.row, this.active.column - FACTS));
    } else if (move && this.rows.length) {
      event.preventDefault();
      const last = [this.rows.length - 1, FACTS + this.columns.length - 1];
      const [row, column] = [this.active.row, this.active.column]
        .map((place, way) => Math.max(0, Math.min(last[way], place + move[way])));
      this.active = { row, column };
      this.reveal();
      this.draw();
    }
  }

  reveal() {
    const top = this.active.row * ROW, { scrollTop, clientHeight } = this.element;
    const seen = clientHeight - this.head.offsetHeight - ROW;
    if (top < scrollTop) this.element.scrollTop = top;
    else if (top > scrollTop + seen) this.element.scrollTop = top - seen;
    const cell = this.pool[0]?.cells[this.active.column - FACTS];
    if (!cell) { if (this.active.column < FACTS) this.element.scrollLeft = 0; return; }
    const facts = this.pool[0].cells[0].offsetLeft, left = cell.offsetLeft;
    if (left - this.element.scrollLeft < facts) this.element.scrollLeft = left - facts;
    else if (left + 20 > this.element.scrollLeft + this.element.clientWidth) this.element.scrollLeft = left + 20 - this.element.clientWidth;
  }

  placeOf(event) {
    const cell = event.target.closest("[id^=cell-]");
    return cell && cell.id.split("-").slice(1).map(Number);
  }

  pointed(event) {
    const place = this.placeOf(event);
    if (place) this.tell(...place);
  }

  clicked(event) {
    const place = this.placeOf(event);
    if (!place || event.target.closest("a")) return;
    this.active = { row: place[0], column: place[1] };
    location.assign(this.address(place[0], place[1] - FACTS));
  }
}
