// The block editor: TipTap on the mail's document, its palette, the settings of what is selected, and the form that is saved.
import { Editor } from "@tiptap/core";
import { currentBlock, currentSection, double, insert, insertSaved, made, move, PALETTE, remove, select, setAttrs } from "./blocks.js";
import { element, panel } from "./panel.js";
import { linkDialog, pictures } from "./dialogs.js";
import { extensions } from "./schema.js";
import { slash } from "./slash.js";

// Pasted HTML without looks and handlers before the browser reads it, which would report each to the policy; what may stay is the schema's
// to say. Google Docs writes bold as a style, and wraps everything in a <b> that is none.
export const plain = (html) =>
  html
    .replace(/<(script|style|iframe|object|title)\b[\s\S]*?<\/\1\s*>/gi, "")
    .replace(/<b\b[^>]*font-weight:\s*normal[^>]*>([\s\S]*)<\/b>/gi, "$1")
    .replace(/<span\b[^>]*font-weight:\s*(?:bold|[6-9]00)[^>]*>([\s\S]*?)<\/span>/gi, "<b>$1</b>")
    .replace(/\s(?:style|on\w+)\s*=\s*(?:"[^"]*"|'[^']*'|[^\s>]+)/gi, "")
    .replace(/<img\b[^>]*>/gi, "");

export function start(root) {
  const words = JSON.parse(document.getElementById("composer-words").textContent);
  const source = root.form?.elements.content ?? root.closest("form").elements.content;
  const stored = JSON.parse(source.value);
  let { theme } = stored;
  const canvas = root.querySelector("[data-canvas]");
  const panelPlace = root.querySelector("[data-panel]");
  document.querySelector("[data-panel-place]")?.append(panelPlace); // beside the mail where there is room

  const editor = new Editor({
    element: canvas,
    injectCSS: false,
    enableContentCheck: true,
    extensions: extensions(words),
    content: stored.body,
    editorProps: {
      attributes: { class: "c-mail", role: "textbox", "aria-multiline": "true", "aria-label": words.mail },
      transformPastedHTML: plain,
      handleKeyDown: (_view, event) => menu.keydown(event) || keys(event),
      handlePaste: (_view, event) => upload(event.clipboardData?.files),
      handleDrop: (view, event) => dropped(view, event),
    },
    onContentError: ({ disableCollaboration }) => disableCollaboration?.(),
  });
  const library = pictures(root, words);
  const links = linkDialog(root, editor, words);
  const menu = slash(root, editor, words);

  // ---- saved with the form, like every other field

  const write = () => {
    source.value = JSON.stringify({ version: 1, theme, body: editor.getJSON() });
    source.dispatchEvent(new Event("input", { bubbles: true }));
  };
  const looks = () => (theme.brand && words.brand.theme ? { ...theme, ...words.brand.theme } : theme);
  const paint = () => {
    const theme = looks();
    for (const [name, value] of Object.entries(theme)) if (typeof value === "string" && value.startsWith("#")) canvas.style.setProperty(`--mail-${name.replace(/[A-Z]/g, (c) => `-${c.toLowerCase()}`)}`, value);
    canvas.style.setProperty("--mail-width", `${theme.width}px`);
    canvas.style.setProperty("--mail-radius", `${theme.radius}px`);
    canvas.dataset.font = theme.font;
  };
  editor.on("update", write);
  paint();

  const settings = panel(panelPlace, editor, words, looks, {
    theme: (part) => {
      theme = { ...theme, ...part };
      paint();
      write();
    },
    choose: () => library.choose(),
    saveSection: async (name, section, over) => {
      const form = new FormData();
      form.append("csrf_token", document.querySelector('input[name="csrf_token"]')?.value ?? "");
      form.append("name", name);
      form.append("section", JSON.stringify(section));
      if (over) form.append("over", "yes");
      try {
        const answer = await fetch("/templates/sections", { method: "POST", body: form, headers: { Accept: "application/json" } });
        const kept = await answer.json();
        if (kept.id) words.saved = [...words.saved.filter((each) => each.id !== kept.id), { ...kept, section }];
        return kept;
      } catch {
        return { error: words.uploadFailed };
      }
    },
    pick: async (found) => {
      const chosen = await library.choose();
      const node = editor.state.doc.nodeAt(found.pos);
      if (chosen && node) setAttrs(editor, { pos: found.pos, node }, { src: chosen.src, alt: node.attrs.alt || chosen.alt });
      settings.draw(true);
    },
  });
  for (const place of [panelPlace, root]) {
    place.addEventListener("input", (event) => {
      if (event.target.closest("[data-panel], dialog")) event.stopPropagation(); // its fields are not the form's
    });
  }

  // ---- palette

  const palette = root.querySelector("[data-palette]");
  for (const name of PALETTE.filter((each) => each !== "html" || words.mayHtml)) {
    palette.append(
      element("button", { class: "chip", type: "button", draggable: true, "data-kind": name, onclick: () => insert(editor, name, words), ondragstart: (event) => event.dataTransfer.setData("application/x-kairan-block", name) }, words.kinds[name]),
    );
  }

  if (words.saved.length) {
    const chosen = element("select", { class: "input", "aria-label": words.kinds.saved, onchange: (event) => {
      event.stopPropagation();
      const found = words.saved.find((each) => String(each.id) === event.target.value);
      event.target.value = "";
      if (found) insertSaved(editor, { id: found.id, name: found.name });
    } }, element("option", { value: "" }, words.kinds.saved), ...words.saved.map((each) => element("option", { value: String(each.id) }, each.name)));
    chosen.addEventListener("input", (event) => event.stopPropagation());
    palette.append(chosen);
  }

  function dropped(view, event) {
    const kind = event.dataTransfer?.getData("application/x-kairan-block");
    const place = view.posAtCoords({ left: event.clientX, top: event.clientY });
    if (kind && place) {
      event.preventDefault();
      insert(editor, kind, words, landing(place.pos, kind));
      return true;
    }
    return upload(event.dataTransfer?.files, place?.pos);
  }

  // Behind the block, or section, that was dropped on.
  function landing(pos, kind) {
    const $pos = editor.state.doc.resolve(pos);
    const parent = ["columns2", "columns3", "section", "products"].includes(kind) ? "doc" : "column";
    for (let depth = $pos.depth; depth > 0; depth--) if ($pos.node(depth - 1).type.name === parent) return $pos.after(depth);
    return parent === "column" && $pos.parent.type.name === "column" ? pos : null;
  }

  function upload(files, pos = null) {
    const found = [...(files ?? [])].filter((file) => file.type.startsWith("image/"));
    if (!found.length) return false;
    (async () => {
      for (const file of found) {
        const picture = await library.upload(file);
        if (picture) {
          insert(editor, "image", words, pos === null ? null : landing(pos, "image"));
          const here = currentBlock(editor.state);
          if (here?.node.type.name === "image") setAttrs(editor, here, { src: picture.src, alt: picture.alt });
        }
      }
    })();
    return true;
  }

  // ---- the bar above the mail

  const bar = root.querySelector("[data-bar]");
  const chain = () => editor.chain().focus();
  const found = (kind) => (kind === "section" ? currentSection(editor.state) : currentBlock(editor.state));
  const acts = {
    undo: () => chain().undo().run(),
    redo: () => chain().redo().run(),
    bold: () => chain().toggleBold().run(),
    italic: () => chain().toggleItalic().run(),
    underline: () => chain().toggleUnderline().run(),
    strike: () => chain().toggleStrike().run(),
    link: () => links.open(),
    left: () => chain().setTextAlign("left").run(),
    center: () => chain().setTextAlign("center").run(),
    right: () => chain().setTextAlign("right").run(),
    up: () => move(editor, found(), -1),
    down: () => move(editor, found(), 1),
    double: () => double(editor, found()),
    remove: () => remove(editor, found()),
    sectionUp: () => move(editor, found("section"), -1),
    sectionDown: () => move(editor, found("section"), 1),
    sectionDouble: () => double(editor, found("section")),
    sectionRemove: () => remove(editor, found("section")),
  };
  bar.addEventListener("click", (event) => {
    const name = event.target.closest("[data-act]")?.dataset.act;
    if (name) acts[name]?.();
  });
  bar.querySelector("[data-colour]")?.addEventListener("input", (event) => {
    event.stopPropagation();
    editor.chain().setMark("textColor", { color: event.target.value }).run();
  });
  bar.querySelector("[data-merge]")?.addEventListener("change", (event) => {
    event.stopPropagation();
    const field = event.target.value;
    event.target.value = "";
    if (field) chain().insertContent({ type: "mergeTag", attrs: { field, fallback: words.fallbacks[field] ?? "" } }).run();
  });
  const pressed = () => {
    for (const name of ["bold", "italic", "underline", "strike", "link"]) bar.querySelector(`[data-act="${name}"]`)?.setAttribute("aria-pressed", String(editor.isActive(name)));
    for (const side of ["left", "center", "right"]) bar.querySelector(`[data-act="${side}"]`)?.setAttribute("aria-pressed", String(editor.isActive({ textAlign: side })));
    bar.querySelector('[data-act="undo"]')?.toggleAttribute("disabled", !editor.can().undo());
    bar.querySelector('[data-act="redo"]')?.toggleAttribute("disabled", !editor.can().redo());
  };
  editor.on("transaction", pressed);
  pressed();

  function keys(event) {
    if (event.altKey && event.shiftKey && (event.key === "ArrowUp" || event.key === "ArrowDown")) return move(editor, found("section"), event.key === "ArrowUp" ? -1 : 1);
    if (event.altKey && (event.key === "ArrowUp" || event.key === "ArrowDown")) return move(editor, found(), event.key === "ArrowUp" ? -1 : 1);
    if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "d") return double(editor, found());
    if ((event.ctrlKey || event.metaKey) && event.shiftKey && event.key === "Backspace") return remove(editor, found());
    if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "k" && !event.shiftKey && !editor.state.selection.empty) {
      event.stopPropagation();
      links.open();
      return true;
    }
    return false;
  }

  // ---- outline

  const outline = root.querySelector("[data-outline]");
  const list = () => {
    const items = [];
    editor.state.doc.forEach((section, offset, at) => {
      const blocks = [];
      section.descendants((node, pos, parent) => {
        if (parent.type.name === "column") blocks.push({ name: node.type.name, pos: offset + 1 + pos, text: node.textContent.slice(0, 40) || node.attrs.label || node.attrs.alt || "" });
        return node.type.name === "column";
      });
      items.push(
        element("li", {}, element("button", { class: "bare", type: "button", onclick: () => select(editor, section.isAtom ? offset : offset + 2) }, `${words.kinds[section.type.name]} ${at + 1}`),
          element("ol", {}, ...blocks.map((block) => element("li", {}, element("button", { class: "bare", type: "button", onclick: () => select(editor, block.pos) }, `${words.kinds[block.name]}${block.text ? `: ${block.text}` : ""}`))))),
      );
    });
    outline.replaceChildren(...items);
  };
  editor.on("update", list);
  list();

  root.dataset.ready = "";
  root.editor = editor; // for tests, and for whoever looks
  root.composer = { insert: (name) => insert(editor, name, words), made };
}
