// The source editor: merge fields go in at the cursor; the preview follows what is typed (the button does it without script).
const PAUSE_MS = 500;

for (const show of document.querySelectorAll("form [data-preview]")) follow(show.form, show);

function follow(form, show) {
  const frame = form.querySelector(`iframe[name="${show.formTarget}"]`);
  let last = form.querySelector("textarea.source");
  let timer = 0;
  let asked = 0;

  // Written into the frame instead of posted into it: no flicker, the place in it stays, and "back" leaves the page, not the preview.
  // The frame keeps the policy it was loaded with: style yes, script never.
  const refresh = async () => {
    const mine = ++asked;
    const typed = new FormData(form);
    typed.delete("file"); // a picture goes up when it is saved
    const answer = await fetch(show.formAction, { method: "POST", body: typed });
    const html = await answer.text();
    const page = frame.contentDocument;
    if (mine !== asked || !answer.ok || !page) return;
    const place = page.scrollingElement?.scrollTop ?? 0;
    page.open();
    page.write(html);
    page.close();
    if (page.scrollingElement) page.scrollingElement.scrollTop = place;
  };

  const later = () => {
    clearTimeout(timer);
    timer = setTimeout(() => refresh().catch(() => {}), PAUSE_MS);
  };

  form.addEventListener("focusin", (event) => {
    if (event.target.matches("[data-mergeable]")) last = event.target;
  });
  form.addEventListener("input", later);
  show.addEventListener("click", (event) => {
    event.preventDefault();
    refresh().catch(() => {});
  });
  document.addEventListener("click", (event) => {
    const chip = event.target.closest("[data-insert]");
    if (!chip || !last) return;
    event.preventDefault();
    last.setRangeText(chip.dataset.insert, last.selectionStart, last.selectionEnd, "end");
    last.focus();
    last.dispatchEvent(new Event("input", { bubbles: true }));
  });
}

// Desktop, phone, dark, text: a phone is the same page in a narrower frame.
document.addEventListener("change", (event) => {
  if (event.target.name !== "view") return;
  const pane = event.target.closest(".preview-pane")?.querySelector(".mail");
  if (pane) pane.dataset.view = event.target.value;
});
