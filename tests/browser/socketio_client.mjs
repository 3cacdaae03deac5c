// The official Socket.IO client, loaded by pages of another origin from `/socket.io/` of the game server.

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import path from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

import { Installation, postScore } from "../node/installation.mjs";
import { origin } from "./origin.mjs";

const PACKAGE = fileURLToPath(new URL("../socket.io-client/node_modules/socket.io-client", import.meta.url));
const { version } = JSON.parse(readFileSync(path.join(PACKAGE, "package.json")));
const distributed = (name) => readFileSync(path.join(PACKAGE, "dist", name));

/** Pages by the path of the client that they load; each shows the board in its title. */
const PAGES = {
  "/socket.io.js": (game) => `<script src="${game}/socket.io/socket.io.js"></script><script>start(io)</script>`,
  "/socket.io.min.js": (game) => `<script src="${game}/socket.io/socket.io.min.js" crossorigin="anonymous"
    integrity="sha384-${createHash("sha384").update(distributed("socket.io.min.js")).digest("base64")}"></script>
    <script>start(io)</script>`,
  "/socket.io.esm.min.js": (game) =>
    `<script type="module">import { io } from "${game}/socket.io/socket.io.esm.min.js"; start(io);</script>`,
  // Its packets are not those of the server.
  "/socket.io.msgpack.min.js": (game) =>
    `<script src="${game}/socket.io/socket.io.msgpack.min.js"></script><script>document.title = io && '[]'</script>`,
};

const head = (game) => `<!doctype html><link rel="icon" href="data:,"><script>
  const start = (io) => {
    const socket = io("${game}");
    for (const event of ["current_leaderboard", "update_leaderboard"]) {
      socket.on(event, (players) => { document.title = JSON.stringify(players); });
    }
  };
</script>`;

/** The origin of the pages. */
const pagesOf = (t, game) => origin(t, (path) => PAGES[path] && head(game) + PAGES[path](game));

async function connect(page, url, game) {
  for (const name of Object.keys(PAGES)) {
    await page.open(`${url}${name}`);
    await page.until("document.title.startsWith('[')");
    if (name.includes("msgpack")) continue;
    const score = Math.random();
    await postScore(game, "ada", score);
    await page.until(`document.title === '[{"username":"ada","score":${score}}]'`);
  }
  page.assertNoErrors();
}

export function socketioClient(context) {
  test("pages connect by the client from a folder of the server", async (t) => {
    const settings = { "game.socketio_client": path.join(PACKAGE, "dist") };
    const { game } = await (await Installation.make(t, context.binary, settings)).up();
    for (const name of Object.keys(PAGES).flatMap((name) => [name.slice(1), `${name.slice(1)}.map`])) {
      const response = await fetch(`${game}/socket.io/${name}`);
      assert.equal(response.status, 200);
      assert.ok(Buffer.from(await response.arrayBuffer()).equals(distributed(name)), name);
    }
    await connect(await context.browser.page(t), await pagesOf(t, game), game);
  });

  test("pages connect by the client that the server redirects to", async (t) => {
    const { game } = await (await Installation.make(t, context.binary)).up();
    const page = await context.browser.page(t);
    // The CDN, which tests must not depend on. The release is the tested one.
    const folder = `https://cdn.socket.io/${version}/`;
    await page.stub("https://*", "text/javascript", (url) => {
      assert.ok(url.startsWith(folder), url);
      return distributed(url.slice(folder.length));
    });
    await connect(page, await pagesOf(t, game), game);
    assert.ok(page.requests.includes(`GET ${folder}socket.io.esm.min.js`), page.requests);
  });
}
