// A button with data-confirm opens its <dialog>; without script the button's own address shows the same question as a page.
document.addEventListener("click", (event) => {
  const opener = event.target.closest("[data-confirm]");
  if (opener) {
    const dialog = document.getElementById(opener.dataset.confirm);
    if (dialog?.showModal) {
      event.preventDefault();
      dialog.showModal();
    }
    return;
  }
  const closer = event.target.closest("dialog [data-close]");
  if (closer) {
    event.preventDefault();
    closer.closest("dialog").close();
  }
});

// A second press of "Send" must not send the form twice.
document.addEventListener("submit", (event) => {
  const form = event.target;
  if (form.method !== "post" || form.target || "again" in form.dataset) return; // a download leaves the page as it is
  if (form.dataset.sent) {
    event.preventDefault();
    return;
  }
  if (!event.defaultPrevented) form.dataset.sent = "1";
});

// Back from the next page (bfcache): the form may be sent again.
window.addEventListener("pageshow", () => {
  for (const form of document.querySelectorAll("form[data-sent]")) delete form.dataset.sent;
});
