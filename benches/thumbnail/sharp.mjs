// Makes the thumbnail of one file repeatedly with sharp, and reports the cost of each.
//
//     node sharp.mjs FILE OUTPUT WARM-UPS ROUNDS
//
// Bytes in, bytes out, with one libvips thread and without its operation cache, so that every round does all of the work.
// Prints the CPU milliseconds of this process per round, in user and kernel mode, and its peak resident memory in KiB.

import { readFileSync, writeFileSync } from "node:fs";
import sharp from "sharp";

const [file, output, warmUps, rounds] = process.argv.slice(2);
const input = readFileSync(file);
sharp.concurrency(1);
sharp.cache(false);

const { hasAlpha } = await sharp(input).metadata();

// The minimal pipeline: none of the inputs needs rotation.
function thumbnail() {
    const image = sharp(input).resize(300, 300);
    return (hasAlpha ? image.png() : image.jpeg({ quality: 80 })).toBuffer();
}

const cpu = [];
let bytes;
for (let round = -Number(warmUps); round < Number(rounds); round++) {
    const before = process.cpuUsage();
    bytes = await thumbnail();
    const { user, system } = process.cpuUsage(before);
    if (round >= 0) cpu.push((user + system) / 1000);
}
writeFileSync(output, bytes);
const peak = Number(/^VmHWM:\s*(\d+)/m.exec(readFileSync("/proc/self/status", "utf8"))[1]);
console.log(JSON.stringify({ cpu, peak }));
