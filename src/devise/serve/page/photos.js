// Photos of the service's index: thumbnails, large copies, and some to try.

import { call, json, make } from "./calls.js";

const at = (id) => document.getElementById(id);

/** An image that loads itself; a missing photo is marked. */
export function small(photo) {
  const image = make("img", { alt: photo.name, width: 160, height: 120 });
  call(photo.thumbnail).then((answer) => answer.blob()).then((blob) => {
    image.onload = () => URL.revokeObjectURL(image.src);
    image.src = URL.createObjectURL(blob);
  }).catch(() => { image.alt = `${photo.name}: cannot be shown`; });
  return image;
}

/** The photo as a file, its longer side at most 1280 pixels. */
export async function large(photo, signal) {
  const answer = await call(`${photo.thumbnail}${photo.thumbnail.includes("?") ? "&" : "?"}side=1280`, { signal });
  return new File([await answer.blob()], photo.name, { type: "image/jpeg" });
}

/** Photos to try; none if the service has no index. take: names a file. fail: shows an error. */
export async function startSamples(take, fail) {
  const found = await json("/v1/photos?top=8").catch(() => null);
  if (!found?.photos.length) return;
  at("samples-list").replaceChildren(...found.photos.map((photo) => make("li", {},
    make("button", { type: "button", class: "tile", "aria-label": `Name ${photo.name}`,
      onclick: () => large(photo).then(take, fail) }, small(photo)))));
  at("samples").hidden = false;
}
