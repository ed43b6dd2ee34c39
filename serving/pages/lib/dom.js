// Elements. Whatever comes from data becomes text, never markup.
export function h(tag, traits = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, trait] of Object.entries(traits)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), trait);
    else if (name === "dataset") Object.assign(element.dataset, trait);
    else if (trait === true) element.setAttribute(name, "");
    else if (trait !== false && trait !== null && trait !== undefined) element.setAttribute(name, trait);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}

export function fill(element, ...children) {
  element.replaceChildren(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}

// A select whose options are [value, label] pairs.
export function choice(label, options, chosen, changed) {
  const select = h("select", { onchange: () => changed(select.value) },
    options.map(([value, told]) => h("option", { value, selected: String(value) === String(chosen) }, told)));
  return h("label", { class: "choice" }, h("span", {}, label), select);
}

// A table with a caption; `columns` are [heading, cell of a row, kind] where kind may be "number".
export function table(caption, columns, rows, traits = {}) {
  const heads = columns.map(([heading, , kind]) => h("th", { scope: "col", class: kind }, heading));
  const body = rows.map((row) => h("tr", {}, columns.map(([, cell, kind], place) =>
    h(place === 0 ? "th" : "td", place === 0 ? { scope: "row", class: kind } : { class: kind }, cell(row)))));
  return h("div", { class: "scrolled", tabindex: "0", role: "region", "aria-label": caption },
    h("table", traits, h("caption", {}, caption), h("thead", {}, h("tr", {}, heads)), h("tbody", {}, body)));
}
