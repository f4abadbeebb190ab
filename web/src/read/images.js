// Pictures to pixels, as metier/runtime/images.py does.

import { floats } from "./arrays.js";
import { resize } from "./resample.js";

/** Upright RGB bytes of a picture file; what is transparent is laid on white. */
export async function decode(blob) {
  let bitmap;
  try {
    bitmap = await createImageBitmap(blob, {
      imageOrientation: "from-image",
      premultiplyAlpha: "none",
      colorSpaceConversion: "none",
    });
  } catch {
    throw new Error("not an image that this browser can open");
  }
  const { width, height } = bitmap;
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(bitmap, 0, 0);
  bitmap.close();
  const pixels = context.getImageData(0, 0, width, height).data;
  const data = new Uint8Array(width * height * 3);
  for (let from = 0, to = 0; from < pixels.length; from += 4, to += 3) {
    const alpha = pixels[from + 3];
    for (let c = 0; c < 3; c++) {
      const value = pixels[from + c];
      data[to + c] = alpha === 255 ? value : Math.round((value * alpha + 255 * (255 - alpha)) / 255);
    }
  }
  return { width, height, data };
}

function targetSize(image, resizing) {
  if (resizing[0] === "exact") return [resizing[2], resizing[1]];
  const size = resizing[1];
  const [short, long] = [image.width, image.height].sort((a, b) => a - b);
  const longer = Math.trunc((size * long) / short);
  return image.width <= image.height ? [size, longer] : [longer, size];
}

const MOST_RESIZED = 2 ** 24;

function cutOut(image, left, top, width, height) {
  const data = new Uint8Array(width * height * 3);
  for (let y = 0; y < height; y++) {
    const from = ((top + y) * image.width + left) * 3;
    data.set(image.data.subarray(from, from + width * 3), y * width * 3);
  }
  return { width, height, data };
}

/** A picture that is far too long without its ends, well beyond what the crop keeps. */
function middle(image, size, crop) {
  const [short, long] = [image.width, image.height].sort((a, b) => a - b);
  if (size * size * long <= MOST_RESIZED * short) return image;
  const upright = image.width <= image.height;
  const kept = (8 * Math.max(size, upright ? crop[0] : crop[1]) * short) / size;
  const end = Math.max(0, Math.trunc((long - kept) / (2 * short))) * short;
  const [left, top] = upright ? [0, end] : [end, 0];
  return cutOut(image, left, top, image.width - 2 * left, image.height - 2 * top);
}

/** The centre of a picture; where it is smaller, black fills up. */
function centre(image, [height, width]) {
  let { top, left, source } = { top: 0, left: 0, source: image };
  if (image.height < height || image.width < width) {
    const room = { height: Math.max(image.height, height), width: Math.max(image.width, width) };
    room.data = new Uint8Array(room.height * room.width * 3);
    top = Math.ceil((room.height - image.height) / 2);
    left = Math.ceil((room.width - image.width) / 2);
    for (let y = 0; y < image.height; y++) {
      const line = image.data.subarray(y * image.width * 3, (y + 1) * image.width * 3);
      room.data.set(line, ((top + y) * room.width + left) * 3);
    }
    source = room;
  }
  top = Math.max(0, top + Math.floor((image.height - height) / 2));
  left = Math.max(0, left + Math.floor((image.width - width) / 2));
  return cutOut(source, left, top, width, height);
}

/** The resized and cropped picture. */
export function pixels(image, spec) {
  const { resize: resizing, crop } = spec;
  if (crop && resizing?.[0] === "shortest_edge") image = middle(image, resizing[1], crop);
  const sized = resizing ? resize(image, ...targetSize(image, resizing), spec.resample) : image;
  return crop ? centre(sized, crop) : sized;
}

export async function imageReader(spec) {
  const round = Math.fround;
  const order = spec.channels === "bgr" ? [2, 1, 0] : [0, 1, 2];
  const levels = [0, 1, 2].map((place) =>
    Float32Array.from({ length: 256 }, (_, value) =>
      round(round(round(value * spec.rescale) - round(spec.mean[place])) / round(spec.std[place])),
    ),
  );
  return async (row) => {
    const blob = row[spec.column];
    if (!blob) throw new Error("no image given");
    const { width, height, data } = pixels(await decode(blob), spec);
    const area = width * height;
    const found = new Float32Array(3 * area);
    order.forEach((channel, place) => {
      for (let i = 0; i < area; i++) found[place * area + i] = levels[place][data[i * 3 + channel]];
    });
    return { pixel_values: floats(found, [1, 3, height, width]) };
  };
}
