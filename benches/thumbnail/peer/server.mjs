// The API server of the Node stack of uploads.py: accepts uploads, and holds long polls for thumbnails.
//
//     REDIS_URL=redis://… node server.mjs
//
// Stores everything below the current folder, which worker.mjs must share.

import { EventEmitter } from "node:events";
import express from "express";
import { Redis } from "ioredis";
import multer from "multer";
import { setStatus, statusOf } from "./database.mjs";

const redis = new Redis(process.env.REDIS_URL);
const subscriber = redis.duplicate();
const finished = new EventEmitter().setMaxListeners(0);
subscriber.on("pmessage", (_pattern, channel, status) => finished.emit(channel, JSON.parse(status)));
await subscriber.psubscribe("finished:*");

const app = express();
const upload = multer({ storage: multer.diskStorage({ destination: "uploads" }), limits: { fileSize: 50 << 20 } });

app.post("/enqueue", upload.single("image"), async (request, response) => {
    const userId = Number(request.body?.userId);
    if (!Number.isSafeInteger(userId) || userId < 1 || !request.file) {
        return response.status(400).json({ message: "userId and image are needed" });
    }
    const imagePath = request.file.path;
    setStatus(userId, { status: "pending" });
    await redis.publish("image_uploaded", JSON.stringify({ userId, imagePath }));
    response.json({ message: "Image received and event broadcasted!", userId, imagePath });
});

app.get("/status-live/:userId", (request, response) => {
    const { userId } = request.params;
    const status = statusOf(userId);
    if (status && status.status !== "pending") return response.json(status);

    const wake = (status) => response.json(status);
    const giveUp = () =>
        response.status(408).json({ status: "pending", message: "Request timed out. Please try again." });
    const timer = setTimeout(giveUp, Number(request.query.timeout ?? 30) * 1000);
    finished.once(`finished:${userId}`, wake);
    response.once("close", () => {
        clearTimeout(timer);
        finished.off(`finished:${userId}`, wake);
    });
});

app.use("/thumbnails", express.static("thumbnails"));

const server = app.listen(0, "127.0.0.1", () => console.log(`listening on http://127.0.0.1:${server.address().port}`));
