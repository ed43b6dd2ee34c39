// What colours and heights mean.
import { h } from "../lib/dom.js";
import { CLASSES } from "../lib/classes.js";

const mark = (name, told) => h("span", { class: "key" }, h("span", { class: `c ${name}`, "aria-hidden": "true" }), told);

export function fleetLegend() {
  return h("p", { class: "legend", id: "legend" },
    CLASSES.map((name) => mark(name, name)),
    h("span", { class: "key" }, [1, 3, 5, 7].map((each) => h("span", { class: `c high f s${each}`, "aria-hidden": "true" })), "the fainter the less sure"),
    h("span", { class: "key" }, h("span", { class: "line-now", "aria-hidden": "true" }), "left of it as it was, right of it as forecast"),
    mark("idle", "idle"), mark("missing", "missing, no forecast"), mark("retired", "retired"));
}

export function serverLegend() {
  return h("p", { class: "legend" },
    h("span", { class: "key" }, h("span", { class: "stroke", "aria-hidden": "true" }), "load as it was"),
    CLASSES.map((name) => mark(name, name)), h("span", { class: "key" }, "the stronger, the more probable"),
    h("span", { class: "key" }, h("span", { class: "outlined", "aria-hidden": "true" }), "in the prediction set"),
    h("span", { class: "key" }, "● hit"), h("span", { class: "key" }, "✕ miss"), mark("missing", "missing"));
}
