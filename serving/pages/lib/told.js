// Times (all UTC), shares and ages as people read them.
const HOUR = 3600e3;
const part = (options) => new Intl.DateTimeFormat("en-GB", { timeZone: "UTC", ...options });
const WEEKDAY = part({ weekday: "short" }), DATE = part({ day: "numeric", month: "short" });
const TIME = part({ hour: "2-digit", minute: "2-digit" });
const SECOND = part({ day: "numeric", month: "short", hour: "2-digit", minute: "2-digit", second: "2-digit" });
const COUNT = new Intl.NumberFormat("en-GB");

export const hoursAfter = (time, count) => new Date(new Date(time).getTime() + count * HOUR);
export const iso = (time) => time.toISOString().slice(0, 19) + "Z";
export const day = (time) => `${WEEKDAY.format(new Date(time))} ${DATE.format(new Date(time))}`;
export const clock = (time) => TIME.format(new Date(time));
export const hour = (time) => `${day(time)} ${clock(time)}`;
export const second = (time) => (time ? SECOND.format(new Date(time)) : "never");
export const count = (number) => (number === null || number === undefined ? "-" : COUNT.format(number));
export const percent = (share, digits = 0) => (share === null || share === undefined ? "-" : `${(100 * share).toFixed(digits)} %`);
export const figure = (number, digits = 3) => (number === null || number === undefined ? "-" : number.toFixed(digits));
export const load = (number) => (number === null || number === undefined ? "-" : COUNT.format(Math.round(number * 10) / 10));

export function span(from, to = Date.now()) {
  const minutes = Math.max(0, (new Date(to) - new Date(from)) / 60e3);
  if (minutes < 120) return `${Math.round(minutes)} min`;
  if (minutes < 48 * 60) return `${Math.round(minutes / 60)} h`;
  return `${COUNT.format(Math.round(minutes / 1440))} days`;
}

export const age = (from, to = Date.now()) => (from ? `${span(from, to)} ago` : "never");
