// "/" or Ctrl+K searches, Ctrl+S saves, "?" lists the keys.
const typing = (element) => element.closest("input, textarea, select, [contenteditable]");

document.addEventListener("keydown", (event) => {
  if (event.defaultPrevented) return; // the block editor has keys of its own
  const command = event.ctrlKey || event.metaKey;
  if ((command && event.key === "k") || (event.key === "/" && !typing(event.target))) {
    const search = document.querySelector("[data-search]");
    if (search) {
      event.preventDefault();
      search.focus();
      search.select();
    }
  } else if (command && event.key === "s") {
    const form = document.querySelector("form[data-save]");
    if (form) {
      event.preventDefault();
      form.requestSubmit();
    }
  } else if (event.key === "?" && !typing(event.target)) {
    document.getElementById("keys")?.showModal();
  }
});
