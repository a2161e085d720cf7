// Prints what nsfwjs makes of raw pictures, as one line of JSON: picture name to label to score.
//
//     node golden.mjs FOLDER
//
// FOLDER holds pictures.json, a list of {name, width, height}, and beside it NAME.rgb, three bytes a pixel.
// Everything between a picture and its scores is nsfwjs' own code, on the CPU backend of TensorFlow.js.

import { readFileSync } from "node:fs";
import { join } from "node:path";

console.info = console.warn; // standard output is for the scores

const tf = await import("@tensorflow/tfjs");
const { load } = await import("nsfwjs/core");
const { MobileNetV2Model } = await import("nsfwjs/models/mobilenet_v2");

async function score(model, folder, { name, width, height }) {
  const pixels = new Uint8Array(readFileSync(join(folder, `${name}.rgb`)));
  const picture = tf.tensor3d(pixels, [height, width, 3], "int32");
  const classes = await model.classify(picture);
  return [name, Object.fromEntries(classes.map((each) => [each.className.toLowerCase(), each.probability]))];
}

const folder = process.argv[2];
await tf.setBackend("cpu");
const model = await load("MobileNetV2", { modelDefinitions: [MobileNetV2Model] });
const scores = [];
for (const picture of JSON.parse(readFileSync(join(folder, "pictures.json")))) {
  scores.push(await score(model, folder, picture));
}
console.log(JSON.stringify(Object.fromEntries(scores)));
