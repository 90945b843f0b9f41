// The source editor: merge fields go in at the cursor; the preview follows what is typed (the same button does it without script).
const PAUSE_MS = 500;

for (const source of document.querySelectorAll("textarea.source")) {
  let last = source;
  const form = source.form;
  form.addEventListener("focusin", (event) => {
    if (event.target.matches("[data-mergeable]")) last = event.target;
  });

  document.addEventListener("click", (event) => {
    const chip = event.target.closest("[data-insert]");
    if (!chip) return;
    event.preventDefault();
    last.setRangeText(chip.dataset.insert, last.selectionStart, last.selectionEnd, "end");
    last.focus();
    last.dispatchEvent(new Event("input", { bubbles: true }));
    chip.closest("details")?.removeAttribute("open");
  });

  const show = form.querySelector("[data-preview]");
  if (!show) continue;
  let timer = 0;
  const later = () => {
    clearTimeout(timer);
    timer = setTimeout(() => form.requestSubmit(show), PAUSE_MS);
  };
  form.addEventListener("input", later);
}

// Desktop, phone, dark, text: a phone is the same page in a narrower frame.
document.addEventListener("change", (event) => {
  if (event.target.name !== "view") return;
  const pane = document.querySelector(".preview-pane .mail");
  if (pane) pane.dataset.view = event.target.value;
});
