// The admin's script: every page works without it; it only makes them quicker.
import "htmx.org/dist/htmx.esm.js";
import "./ui/clickmap.js";
import "./ui/confirm.js";
import "./ui/copy.js";
import "./ui/editor.js";
import "./ui/keys.js";
import "./ui/menus.js";
import "./ui/saving.js";

document.documentElement.classList.add("scripted");

// The block editor is 120 kB and on one page only.
const composer = document.querySelector("[data-composer]");
if (composer) import("./composer/index.js").then(({ start }) => start(composer));
