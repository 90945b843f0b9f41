// "/" in an empty line opens the blocks: arrows, Enter, Escape, or go on writing to narrow them.
import { insert, PALETTE } from "./blocks.js";
import { element } from "./panel.js";

export function slash(root, editor, words) {
  const list = element("ul", { class: "c-slash", role: "listbox", id: "c-slash", "aria-label": words.blocks, hidden: true });
  root.append(list);
  let chosen = 0;

  const isOpen = () => !list.hidden;
  const typed = () => {
    const { $from } = editor.state.selection;
    const text = $from.parent.textContent;
    return $from.parent.type.name === "paragraph" && text.startsWith("/") ? text.slice(1).toLowerCase() : null;
  };
  const matching = () => PALETTE.filter((name) => (name !== "html" || words.mayHtml) && `${words.kinds[name]} ${name}`.toLowerCase().includes(typed() ?? ""));

  function draw() {
    const found = typed() === null ? [] : matching();
    list.hidden = !found.length;
    editor.view.dom.toggleAttribute("aria-activedescendant", false);
    if (!found.length) return;
    chosen = Math.min(chosen, found.length - 1);
    list.replaceChildren(...found.map((name, at) => element("li", { role: "option", id: `c-slash-${name}`, "data-kind": name, "aria-selected": String(at === chosen), onmousedown: (event) => { event.preventDefault(); take(name); } }, words.kinds[name])));
    editor.view.dom.setAttribute("aria-activedescendant", `c-slash-${found[chosen]}`);
    const place = editor.view.coordsAtPos(editor.state.selection.from);
    const frame = root.getBoundingClientRect();
    list.style.setProperty("inset-block-start", `${place.bottom - frame.top + 4}px`);
    list.style.setProperty("inset-inline-start", `${Math.min(place.left - frame.left, frame.width - 220)}px`);
  }

  function take(name) {
    const { $from } = editor.state.selection;
    editor.commands.deleteRange({ from: $from.start(), to: $from.end() });
    list.hidden = true;
    insert(editor, name, words);
  }

  editor.on("update", () => draw());
  editor.on("selectionUpdate", () => draw());
  editor.on("blur", () => (list.hidden = true));

  return {
    keydown(event) {
      if (!isOpen()) return false;
      const found = matching();
      if (event.key === "ArrowDown" || event.key === "ArrowUp") {
        chosen = (chosen + (event.key === "ArrowDown" ? 1 : found.length - 1)) % found.length;
        draw();
        return true;
      }
      if (event.key === "Enter") {
        take(found[chosen]);
        return true;
      }
      if (event.key === "Escape") {
        list.hidden = true;
        return true;
      }
      return false;
    },
  };
}
