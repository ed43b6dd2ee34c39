// What is chosen on a page stands in its address, so that it can be sent to others and gone back to.
export function state(defaults) {
  const query = new URLSearchParams(location.search);
  const chosen = {};
  for (const [name, usual] of Object.entries(defaults)) {
    const given = query.get(name);
    chosen[name] = given === null ? usual : typeof usual === "number" ? Number(given) || usual : given;
  }
  return chosen;
}

export function keep(chosen, defaults, { back = false } = {}) {
  const query = new URLSearchParams();
  for (const [name, each] of Object.entries(chosen)) if (each !== defaults[name]) query.set(name, each);
  const address = location.pathname + (query.size ? `?${query}` : "");
  if (address === location.pathname + location.search) return;
  if (back) history.pushState(null, "", address); else history.replaceState(null, "", address);
}
