// Asks the server. What it refuses is an Error that says why, in the server's words.

export async function get(address, parameters = {}, signal) {
  const response = await fetch(`${address}${query(parameters)}`, { signal });
  return (await checked(response)).json();
}

export async function bytes(address, parameters, signal) {
  return (await checked(await fetch(`${address}${query(parameters)}`, { signal }))).arrayBuffer();
}

export async function post(address, body, signal) {
  const isForm = body instanceof FormData;
  const headers = isForm ? {} : { "Content-Type": "application/json" };
  const response = await fetch(address, { method: "POST", headers, body: isForm ? body : JSON.stringify(body), signal });
  return (await checked(response)).json();
}

async function checked(response) {
  if (response.ok) return response;
  const problem = await response.json().catch(() => null);
  throw new Error(problem?.detail ?? `The server answered ${response.status}.`);
}

function query(parameters) {
  const given = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters)) for (const one of [value].flat()) given.append(name, one);
  return given.size ? `?${given}` : "";
}

export function conditions(filters) {
  const told = (negated) => filters.filter((one) => one.negated === negated).map((one) => `${one.field}=${one.value}`);
  return { filter: told(false), exclude: told(true) };
}

export const thumbnail = (id, size = "small") => `api/items/${id}/thumbnail?size=${size}`;
export const original = (id, download = false) => `api/items/${id}/original${download ? "?download=true" : ""}`;
