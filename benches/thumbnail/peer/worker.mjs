// The thumbnail worker of the Node stack of uploads.py.
//
//     REDIS_URL=redis://… node worker.mjs

import { randomUUID } from "node:crypto";
import { mkdirSync } from "node:fs";
import { availableParallelism } from "node:os";
import { Redis } from "ioredis";
import pLimit from "p-limit";
import sharp from "sharp";
import { setStatus } from "./database.mjs";

// One job per core, each on one thread, as in m3a3's worker.
sharp.concurrency(1);
const limit = pLimit(availableParallelism());

const redis = new Redis(process.env.REDIS_URL);
const subscriber = redis.duplicate();

async function makeThumbnail({ userId, imagePath }) {
    const name = `${randomUUID()}.jpg`;
    let status = { status: "done", thumbnailUrl: `/thumbnails/${name}` };
    try {
        await sharp(imagePath).rotate().resize(300, 300).jpeg({ quality: 80 }).toFile(`thumbnails/${name}`);
    } catch (error) {
        status = { status: "failed", message: error.message };
    }
    setStatus(userId, status);
    await redis.publish(`finished:${userId}`, JSON.stringify(status));
}

mkdirSync("thumbnails", { recursive: true });
subscriber.on("message", (_channel, message) => limit(makeThumbnail, JSON.parse(message)));
await subscriber.subscribe("image_uploaded");
console.log("thumbnail worker is ready");
