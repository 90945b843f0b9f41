// A button with data-copy puts the text of the element it names on the clipboard. Where the browser has none for us (plain http), the text
// is selected instead, ready for the keyboard. Without script the text is there to be selected.
const STAYS_MS = 2_000;

document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  const source = document.getElementById(button.dataset.copy);
  const label = button.querySelector("[aria-live]");
  button.dataset.label ??= label.textContent;
  let said = button.dataset.copied;
  try {
    await navigator.clipboard.writeText(source.textContent);
  } catch {
    getSelection().selectAllChildren(source);
    said = button.dataset.selected;
  }
  label.textContent = said;
  clearTimeout(button.timer);
  button.timer = setTimeout(() => {
    label.textContent = button.dataset.label;
  }, STAYS_MS);
});
