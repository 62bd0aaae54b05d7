// @ts-check
// SPDX-License-Identifier: Apache-2.0
// The speaker's window: notes, clock, this slide and the next one. Opens with the key S.
//
// It is a window without an address, filled from here: a deck needs no frame for it, and allows
// none. Slides in it are copies, made when the deck has turned; what they show is a picture of what
// is drawn here.

/** @typedef {{ keyCode: number, key: string, description: string }} Binding */
/**
 * What of reveal.js is used here.
 * @typedef {object} Deck
 * @property {() => HTMLElement} getCurrentSlide
 * @property {() => HTMLElement[]} getSlides
 * @property {() => { width: number, height: number }} getComputedSlideSize
 * @property {() => void} next
 * @property {() => void} prev
 * @property {(binding: Binding, act: () => void) => void} addKeyBinding
 * @property {(event: string, act: () => void) => void} on
 */

const NEXT = ["ArrowRight", "ArrowDown", "PageDown", " ", "n"];
const BACK = ["ArrowLeft", "ArrowUp", "PageUp", "p"];
const EVENTS = ["slidechanged", "fragmentshown", "fragmenthidden"];

/**
 * @param {Deck} deck
 * @param {string} style of the window
 */
export function offerNotes(deck, style) {
  /** @type {Speaker | null} */
  let speaker = null;
  const open = () => {
    if (speaker?.isOpen()) return speaker.window.focus();
    const opened = window.open("", "_blank", "width=1100,height=700");
    if (opened) speaker = new Speaker(deck, opened, style);
    else alert("The browser keeps the window of notes closed. Let this file open windows.");
  };
  deck.addKeyBinding({ keyCode: 83, key: "S", description: "Speaker notes" }, open);
  for (const event of EVENTS) deck.on(event, () => speaker?.show());
  addEventListener("pagehide", () => speaker?.window.close());
}

class Speaker {
  /**
   * @param {Deck} deck
   * @param {Window} opened
   * @param {string} style
   */
  constructor(deck, opened, style) {
    this.deck = deck;
    this.window = opened;
    this.page = opened.document;
    this.page.title = `Notes: ${document.title}`;
    this.page.documentElement.lang = "en";
    // By their rules: plotly writes some that stand in no element.
    const rules = [...document.styleSheets].flatMap((sheet) => [...sheet.cssRules]);
    const looks = this.page.createElement("style");
    looks.textContent = rules.map((rule) => rule.cssText).join("\n") + style;
    this.page.head.append(looks);
    this.page.body.className = "speaker";
    this.page.body.dataset.jpThemeLight = "true";
    this.now = this.part("now", "This slide");
    this.coming = this.part("coming", "Next");
    this.clock = this.part("clock", "Time · since the start");
    this.notes = this.part("notes", "Notes");
    this.began = Date.now();
    const again = this.page.createElement("button");
    again.textContent = "From zero";
    again.addEventListener("click", () => {
      this.began = Date.now();
      this.tick();
    });
    this.clock.after(again);
    this.page.addEventListener("keydown", (event) => this.turn(event));
    this.ticking = setInterval(() => this.tick(), 1000);
    this.tick();
    this.show();
  }

  isOpen() {
    return !this.window.closed;
  }

  /**
   * A part of the window with a heading.
   * @param {string} name
   * @param {string} heading
   */
  part(name, heading) {
    const section = this.page.createElement("section");
    section.className = name;
    const title = this.page.createElement("h2");
    title.textContent = heading;
    const content = this.page.createElement("div");
    section.append(title, content);
    this.page.body.append(section);
    return content;
  }

  /** @param {KeyboardEvent} event */
  turn(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === " " && /** @type {Element} */ (event.target).tagName === "BUTTON") return;
    const go = NEXT.includes(event.key)
      ? this.deck.next
      : BACK.includes(event.key) && this.deck.prev;
    if (!go) return;
    event.preventDefault();
    go.call(this.deck);
  }

  tick() {
    if (!this.isOpen()) return clearInterval(this.ticking);
    const passed = Math.floor((Date.now() - this.began) / 1000);
    const two = (/** @type {number} */ n) => String(n).padStart(2, "0");
    const time = new Date().toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
    this.clock.textContent = `${time} · ${two(Math.floor(passed / 60))}:${two(passed % 60)}`;
  }

  /** What belongs to the slide that the deck shows now. */
  show() {
    if (!this.isOpen()) return;
    const slides = this.deck.getSlides();
    const slide = this.deck.getCurrentSlide();
    const next = slides[slides.indexOf(slide) + 1];
    this.put(this.now, slide);
    this.put(this.coming, next);
    // A note may be a fragment's, which is said when that is shown.
    const notes = [...slide.querySelectorAll("aside.notes")].filter(
      (note) => !note.closest(".fragment:not(.visible)"),
    );
    this.notes.replaceChildren(...notes.map((note) => this.page.importNode(note, true)));
    if (!notes.length) this.notes.textContent = "No notes on this slide.";
  }

  /**
   * A copy of a slide, as small as its place.
   * @param {HTMLElement} place
   * @param {HTMLElement | undefined} slide
   */
  put(place, slide) {
    if (!slide) {
      place.textContent = "This is the last slide.";
      return;
    }
    const { width, height } = this.deck.getComputedSlideSize();
    const frame = this.page.createElement("div");
    frame.className = "reveal frame";
    frame.inert = true; // a picture: nothing in it is to be used
    const slides = this.page.createElement("div");
    slides.className = "slides";
    const copy = /** @type {HTMLElement} */ (copied(slide, this.page));
    copy.removeAttribute("style");
    copy.removeAttribute("hidden");
    copy.className = "present";
    slides.append(copy);
    frame.append(slides);
    place.replaceChildren(frame);
    const scale = place.clientWidth / width;
    slides.style.cssText = `width: ${width}px; height: ${height}px; transform: scale(${scale})`;
    frame.style.height = `${height * scale}px`;
  }
}

/**
 * A copy of what is drawn: with what stands in shadow roots, and canvases as pictures of them. What
 * runs is left out.
 * @param {Node} node
 * @param {Document} page that it is for
 * @returns {Node | null}
 */
function copied(node, page) {
  if (
    node instanceof HTMLScriptElement ||
    (node instanceof HTMLElement && node.matches("aside.notes"))
  )
    return null;
  const copy = page.importNode(node, false);
  if (node instanceof HTMLCanvasElement) {
    const picture = page.createElement("img");
    if (node.width && node.height) picture.src = node.toDataURL();
    picture.className = node.className;
    picture.style.cssText = node.style.cssText;
    return picture;
  }
  if (copy instanceof Element || "removeAttribute" in copy)
    /** @type {Element} */ (copy).removeAttribute("id");
  for (const child of node.childNodes) {
    const made = copied(child, page);
    if (made) copy.appendChild(made);
  }
  const root = node instanceof Element ? node.shadowRoot : null;
  if (root) {
    const shadow = /** @type {Element} */ (copy).attachShadow({ mode: "open" });
    for (const child of root.childNodes) {
      const made = copied(child, page);
      if (made) shadow.append(made);
    }
  }
  return copy;
}
