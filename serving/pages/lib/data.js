// Asks the service for data; shows the key that it may want, and asks for one where it is refused.
const KEY = "serverload.key";
const troubles = new Map();
let told = () => {};
let asking = null;

export const hasKey = () => sessionStorage.getItem(KEY) !== null;
export const forgetKey = () => sessionStorage.removeItem(KEY);
export const onTrouble = (tell) => { told = tell; };

// The answer and its ETag, or the problem that is told instead and its status.
export async function ask(path, parameters = {}) {
  const query = new URLSearchParams(Object.entries(parameters).filter(([, each]) => each !== null && each !== ""));
  try {
    const answer = await asked(query.size ? `${path}?${query}` : path);
    const body = await answer.json();
    if (!answer.ok) return { problem: body.detail, status: answer.status };
    return { data: body, etag: answer.headers.get("etag") };
  } catch (error) {
    return { problem: `The service does not answer (${error.message}).`, status: 0 };
  }
}

document.getElementById("key").addEventListener("cancel", (event) => event.preventDefault());

// As `ask`, where a problem is told at the top of the page and null is given.
export async function got(path, parameters = {}) {
  const answer = await ask(path, parameters), wrong = answer.problem !== undefined;
  if (wrong) troubles.set(path, answer.problem); else troubles.delete(path);
  told([...troubles.values()][0] ?? "");
  return wrong ? null : answer;
}

async function asked(address) {
  for (;;) {
    const shown = sessionStorage.getItem(KEY);
    const headers = { Accept: "application/json", ...(shown ? { Authorization: `Bearer ${shown}` } : {}) };
    const answer = await fetch(address, { headers, cache: "no-cache" });
    if (answer.status === 429) {
      await new Promise((resolve) => setTimeout(resolve, 1000 * (Number(answer.headers.get("retry-after")) || 1)));
    } else if (answer.status === 401 || answer.status === 403 && hasKey()) {
      // another request may have got a key meanwhile
      if (sessionStorage.getItem(KEY) === shown) await newKey((await answer.json()).detail);
    } else return answer;
  }
}

// One question at a time, however many requests wait for the key.
function newKey(why) {
  asking ??= new Promise((resolve) => {
    const dialog = document.getElementById("key");
    const field = document.getElementById("key-text");
    document.getElementById("key-why").textContent = `${why}.`;
    field.value = "";
    dialog.addEventListener("close", () => {
      sessionStorage.setItem(KEY, field.value.trim());
      field.value = "";
      asking = null;
      resolve();
    }, { once: true });
    dialog.showModal();
  });
  return asking;
}
