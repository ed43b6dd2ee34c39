// The classes and what stands for them: a letter in the fleet's answer, a colour and a height on the page.
export const CLASSES = ["low", "medium", "high"];
export const OF_LETTER = {
  l: "low", m: "medium", h: "high", i: "idle", "-": "missing", r: "retired", ".": "absent",
};
export const TOLD_LETTER = {
  ...OF_LETTER, i: "idle, no sessions", "-": "missing, the whole fleet is silent", r: "retired", ".": "before its first hour",
};

// Of several strengths, from "hardly more likely than another" to "sure".
export const strength = (percent) => Math.max(1, Math.min(7, Math.ceil((percent - 30) / 10)));
