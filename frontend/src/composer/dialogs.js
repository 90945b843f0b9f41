// Pictures of the library, chosen or uploaded; and the address of a link.
import { element } from "./panel.js";

const csrf = () => document.querySelector('input[name="csrf_token"]')?.value ?? "";

export function pictures(root, words) {
  const list = element("div", { class: "c-pictures" });
  const said = element("p", { class: "error", role: "alert" });
  const input = element("input", { type: "file", accept: "image/png,image/jpeg,image/gif,image/webp", multiple: true, id: "c-upload" });
  const dialog = element(
    "dialog", { "aria-labelledby": "c-pictures-title", class: "wide" },
    element("h2", { id: "c-pictures-title" }, words.choosePicture),
    element("div", { class: "field" }, element("label", { for: "c-upload" }, words.upload), input), said, list,
    element("div", { class: "row" }, element("button", { class: "btn", type: "button", onclick: () => dialog.close() }, words.goBack)),
  );
  root.append(dialog);
  let answer = null;

  async function upload(file) {
    const form = new FormData();
    form.append("csrf_token", csrf());
    form.append("file", file);
    said.textContent = "";
    try {
      const told = await fetch("/media", { method: "POST", body: form, headers: { Accept: "application/json" } });
      const found = await told.json();
      if (told.ok) return found;
      said.textContent = found.error ?? words.uploadFailed;
    } catch {
      said.textContent = words.uploadFailed;
    }
    if (!dialog.open) dialog.showModal(); // a drop that failed says why
    return null;
  }

  async function fill() {
    const told = await fetch("/media/list", { headers: { Accept: "application/json" } });
    const { items } = await told.json();
    list.replaceChildren(
      ...(items.length
        ? items.map((item) => element("button", { class: "c-picture", type: "button", onclick: () => finish(item) }, element("img", { src: item.src, alt: "", loading: "lazy" }), element("span", {}, item.alt || item.name)))
        : [element("p", { class: "muted" }, words.noPictures)]),
    );
  }

  const finish = (item) => {
    answer?.(item);
    answer = null;
    dialog.close();
  };
  dialog.addEventListener("close", () => {
    answer?.(null);
    answer = null;
  });
  input.addEventListener("change", async () => {
    const found = [];
    for (const file of input.files) found.push(await upload(file));
    input.value = "";
    if (found.length === 1 && found[0]) finish(found[0]);
    else fill();
  });

  return {
    upload,
    choose: () =>
      new Promise((resolve) => {
        answer = resolve;
        said.textContent = "";
        fill();
        dialog.showModal();
      }),
  };
}

export function linkDialog(root, editor, words) {
  const input = element("input", { class: "input", type: "text", id: "c-href", inputmode: "url", "aria-describedby": "c-href-said" });
  const said = element("p", { class: "error", id: "c-href-said", role: "alert" });
  const dialog = element(
    "dialog", { "aria-labelledby": "c-href-title" },
    element("h2", { id: "c-href-title" }, words.link),
    element("div", { class: "field" }, element("label", { for: "c-href" }, words.address), input, said),
    element("div", { class: "row" },
      element("button", { class: "btn", type: "button", onclick: () => dialog.close() }, words.goBack),
      element("button", { class: "btn", type: "button", onclick: () => { editor.chain().focus().extendMarkRange("link").unsetLink().run(); dialog.close(); } }, words.removeLink),
      element("button", { class: "btn pri", type: "button", onclick: () => take() }, words.take)),
  );
  root.append(dialog);

  const whole = (given) => (/^[\w.-]+\.[a-z]{2,}([/?#].*)?$/i.test(given) ? `https://${given}` : /^[^\s@]+@[^\s@]+\.[a-z]+$/i.test(given) ? `mailto:${given}` : given);

  function take() {
    const href = whole(input.value.trim());
    if (!/^(https?:\/\/[^/\s]|mailto:.|tel:[+\d]|\{\{)/i.test(href)) {
      said.textContent = words.badAddress;
      input.setAttribute("aria-invalid", "true");
      input.focus();
      return;
    }
    const chain = editor.chain().focus();
    if (editor.state.selection.empty && !editor.isActive("link")) chain.insertContent({ type: "text", text: href, marks: [{ type: "link", attrs: { href } }] }).run();
    else chain.extendMarkRange("link").setLink({ href }).run();
    dialog.close();
  }

  input.addEventListener("keydown", (event) => {
    if (event.key !== "Enter") return;
    event.preventDefault();
    take();
  });

  return {
    open() {
      said.textContent = "";
      input.removeAttribute("aria-invalid");
      input.value = editor.getAttributes("link").href ?? "";
      dialog.showModal();
      input.focus();
    },
  };
}
