// A product of a products block, and products out of a table that was pasted: a line each, tabs between title, text, price and address.
export const product = { src: "", alt: "", title: "", text: "", price: "", href: "" };

export const fromTable = (text) =>
  text
    .split(/\r?\n/)
    .map((line) => line.split("\t").map((cell) => cell.trim()))
    .filter((cells) => cells.length > 1 && cells[0])
    .map(([title, words = "", price = "", href = ""]) => ({ ...product, title: title.slice(0, 200), text: words.slice(0, 1000), price: price.slice(0, 60), href: /^https?:\/\/[^/\s]/i.test(href) ? href.slice(0, 2000) : "" }));
