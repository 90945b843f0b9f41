// Steps of a campaign save by themselves: 2 s after the last key, and before the page is left.
// The answer carries the new revision; 409 says that somebody else saved first, and nothing is overwritten.
const PAUSE_MS = 2000;

for (const form of document.querySelectorAll("form[data-autosave]")) watch(form);

function watch(form) {
  const state = document.querySelector("[data-savestate]");
  let timer = 0;
  let running = null;
  let dirty = false;

  const say = (name) => {
    state.dataset.state = name;
    state.textContent = state.dataset[name];
  };

  const save = async () => {
    clearTimeout(timer);
    if (!dirty || state.dataset.state === "conflict") return;
    dirty = false;
    say("saving");
    try {
      const answer = await fetch(form.action, { method: "POST", body: new FormData(form), headers: { Accept: "application/json" } });
      const told = answer.headers.get("Content-Type")?.includes("json") ? await answer.json() : {};
      if (answer.status === 409) return conflict(told);
      if (answer.status === 422) return refused(told.errors ?? {});
      if (!answer.ok) throw new Error(String(answer.status));
      if (told.revision && form.elements.base) form.elements.base.value = told.revision;
      say(dirty ? "unsaved" : "saved");
      form.dispatchEvent(new CustomEvent("autosaved", { bubbles: true, detail: told }));
    } catch {
      dirty = true;
      say("failed");
    }
  };

  // What is typed stays; “Save” shows the sentence beside the field.
  const refused = (errors) => {
    dirty = true;
    say("refused");
    const said = Object.values(errors)[0];
    if (said) state.textContent = `${state.dataset.refused}: ${said}`;
  };

  const conflict = () => {
    say("conflict");
    document.querySelector("[data-conflict-notice]")?.removeAttribute("hidden");
  };

  const touched = (event) => {
    if (event.target.name === "view") return; // how the preview looks is no part of the mail
    dirty = true;
    if (state.dataset.state !== "conflict") say("unsaved");
    clearTimeout(timer);
    timer = setTimeout(() => (running = save()), PAUSE_MS);
  };

  form.addEventListener("input", touched);
  form.addEventListener("submit", () => {
    clearTimeout(timer);
    dirty = false;
  });
  window.addEventListener("beforeunload", (event) => {
    if (dirty) event.preventDefault();
  });
  // A link to the next step waits for the save that is on its way.
  document.addEventListener("click", async (event) => {
    const link = event.target.closest("a[data-after-save]");
    if (!link || (!dirty && !running) || state.dataset.state === "conflict") return;
    event.preventDefault();
    await running;
    await save();
    if (!dirty) location.assign(link.href);
  });
}
