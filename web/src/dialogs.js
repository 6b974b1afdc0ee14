// Dialogs: a tag for the selected, and folders to index with the progress of a run.
import { html } from "htm/preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { signal } from "@preact/signals";
import { get, post } from "./api.js";
import { Icon } from "./icons.js";
import { facets, refreshStatus, retry } from "./library.js";
import { say } from "./state.js";

// Which dialog is open: {kind: "tag", ids} or {kind: "index"}.
export const dialog = signal(null);

export function Dialogs() {
  if (!dialog.value) return null;
  return dialog.value.kind === "tag" ? html`<${TagDialog} ids=${dialog.value.ids} />` : html`<${IndexDialog} />`;
}

function useModal() {
  const at = useRef(null);
  useEffect(() => at.current.showModal(), []);
  return at;
}

const closed = () => (dialog.value = null);

function TagDialog({ ids }) {
  const at = useModal();
  const [tag, setTag] = useState("");
  const change = async (remove) => {
    try {
      await post("api/tags", { tag: tag.trim(), ids, remove });
      say(remove ? `“${tag.trim()}” taken off` : `${ids.length} tagged “${tag.trim()}”`);
      closed();
      retry();
    } catch (error) {
      say(error.message);
    }
  };
  const known = Object.keys(facets.value?.facets.tag ?? {});
  return html`<dialog ref=${at} aria-labelledby="tag-title" onClose=${closed}>
    <form method="dialog" onSubmit=${(event) => {
      event.preventDefault();
      if (tag.trim()) change(false);
    }}>
      <h2 id="tag-title">Tag ${ids.length} ${ids.length === 1 ? "photo" : "photos"}</h2>
      <p class="soft">The tag is kept in the library; no file is changed.</p>
      <input class="field" list="tags" aria-label="Tag" maxlength="100" value=${tag} onInput=${(event) => setTag(event.currentTarget.value)} autofocus />
      <datalist id="tags">${known.map((name) => html`<option value=${name} />`)}</datalist>
      <div class="buttons">
        <button type="button" onClick=${() => at.current.close()}>Cancel</button>
        <button type="button" disabled=${!known.some((name) => name.toLowerCase() === tag.trim().toLowerCase())} onClick=${() => change(true)}>Take off</button>
        <button class="main" disabled=${!tag.trim()}>Tag</button>
      </div>
    </form>
  </dialog>`;
}

function IndexDialog() {
  const at = useModal();
  const [path, setPath] = useState(null);
  const [folders, setFolders] = useState([]);
  const [trail, setTrail] = useState([]);
  const [run, setRun] = useState(null);
  useEffect(() => {
    get("api/folders", path === null ? {} : { path }).then((told) => setFolders(told.folders), (error) => say(error.message));
  }, [path]);
  const follow = (response) => events(response, (name, data) => {
    if (name === "progress") setRun((was) => ({ ...was, ...data }));
    if (name === "end") {
      setRun((was) => ({ ...was, end: data }));
      refreshStatus();
      retry();
    }
  });
  useEffect(() => {
    fetch("api/index").then((response) => response.ok && follow(response), () => {});
  }, []);
  const start = async () => {
    setRun({ total: 0, files: 0, failed: 0, end: null });
    const response = await fetch("api/index", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ path }),
    });
    if (!response.ok) {
      setRun(null);
      return say((await response.json()).detail);
    }
    return follow(response);
  };
  const isGoing = run && !run.end;
  return html`<dialog class="index" ref=${at} aria-labelledby="index-title" onClose=${closed}>
    <h2 id="index-title">Add photos</h2>
    ${isGoing
      ? html`<p>${run.total ? `${run.files.toLocaleString("en")} of ${run.total.toLocaleString("en")} files` : "Looking through the folder …"}${run.failed ? `, ${run.failed} could not be read` : ""}</p>
        <progress max=${run.total || 1} value=${run.files} aria-label="Indexing"></progress>`
      : html`${run?.end && html`<p role="status">${ending(run.end)}</p>`}
        <p class="path">${path ?? "Folders that this server may index"}</p>
        <ul class="folders">
          ${trail.length > 0 && html`<li><button onClick=${() => {
            setPath(trail.at(-1));
            setTrail(trail.slice(0, -1));
          }}>‹ back</button></li>`}
          ${folders.map((folder) => html`<li key=${folder}><button onClick=${() => {
            setTrail([...trail, path]);
            setPath(folder);
          }}><${Icon} name="folder" />${folder.split("/").at(-1) || folder}</button></li>`)}
        </ul>`}
    <div class="buttons">
      <button onClick=${() => at.current.close()}>Close</button>
      ${isGoing
        ? html`<button class="main" onClick=${() => fetch("api/index", { method: "DELETE" })}>Stop</button>`
        : html`<button class="main" disabled=${path === null} onClick=${start}>Index this folder</button>`}
    </div>
  </dialog>`;
}

function ending({ problem, embedded, moved, failed, unchanged, interrupted }) {
  if (problem) return problem;
  const told = [`${embedded} new`, moved && `${moved} moved`, unchanged && `${unchanged} unchanged`, failed && `${failed} could not be read`];
  return `${interrupted ? "Stopped; what is done is kept: " : "Done: "}${told.filter(Boolean).join(", ")}`;
}

// Server-sent events of an answer that is read as it comes.
async function events(response, take) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    text += value;
    const blocks = text.split("\n\n");
    text = blocks.pop();
    for (const block of blocks) {
      const [, name, data] = /^event: (.*)\ndata: (.*)$/s.exec(block) ?? [];
      if (name) take(name, JSON.parse(data));
    }
  }
}
